package rest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/source"
)

const file = "platforms:\n- name: micro\n  domain: micro.mu\n  regions:\n  - {provider: do, region: lon1, kubernetes: {version: \"1.34\", nodes: {count: 1, size: s}}}\n"

func TestBodiesThatAreWrong(t *testing.T) {
	s := newSite(t)
	s.service("default", "hello")
	for name, c := range map[string]struct {
		path   string
		body   any
		status int
		words  string
	}{
		"not JSON":           {"/v1/plans", "{file:", 400, ""},
		"no body":            {"/v1/plans", nil, 400, "body"},
		"a list":             {"/v1/plans", "[]", 422, ""},
		"an unknown field":   {"/v1/plans", `{"file": "x", "flie": "y"}`, 422, "flie"},
		"a wrong type":       {"/v1/plans", `{"file": 7}`, 422, "file"},
		"too large":          {"/v1/plans", `{"file": "` + strings.Repeat("x", 3<<20) + `"}`, 413, ""},
		"a file too large":   {"/v1/plans", `{"file": "` + strings.Repeat("x", 1<<20+1) + `"}`, 422, ""},
		"no platform file":   {"/v1/plans", `{"file": "hello"}`, 422, "must be a mapping of fields"},
		"an unknown region":  {"/v1/regions/nowhere/retry", nil, 404, "nowhere"},
		"an access":          {"/v1/services/hello/releases", `{"image": "x", "access": "secret"}`, 422, "access"},
		"a port":             {"/v1/services/hello/releases", `{"image": "x", "port": 70000}`, 422, "70000 is not between 1 and 65535"},
		"a name":             {"/v1/services/Hello/releases", `{"image": "x"}`, 422, "must be a DNS label"},
		"a project":          {"/v1/services/hello/releases?project=No", `{"image": "x"}`, 422, "must be a DNS label"},
		"nothing to run":     {"/v1/services/hello/releases", `{}`, 422, "name either a source or an image"},
		"no such source":     {"/v1/services/hello/releases", `{"source": "` + sourceDigest + `"}`, 404, "has not been uploaded to project default: PUT it to /v1/sources/" + sourceDigest},
		"a rollback to -1":   {"/v1/services/hello/rollback", `{"to": -1}`, 422, "to"},
		"a key of the wrong": {"/v1/plans/XYZ/apply", nil, 422, "id"},
		"no such plan":       {"/v1/plans/abc/apply", nil, 404, "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			s.do("POST", c.path, c.body, as("admin")).refused(t, c.status, c.words)
		})
	}
	if s.commands.count() > 0 {
		t.Errorf("for what was refused was done: %v", s.commands.done)
	}
}

// TestRefusalsDoNotRepeatSecrets: what is said of a body names the field and the rule, not what was in it.
func TestRefusalsDoNotRepeatSecrets(t *testing.T) {
	s := newSite(t)
	for name, body := range map[string]string{
		"beside an unknown field": `{"image": "x", "env": {"PASSWORD": "s3cret-9"}, "prot": 1}`,
		"of the wrong type":       `{"image": "x", "env": {"PASSWORD": ["s3cret-9"]}}`,
		"where a map should be":   `{"image": "x", "env": "s3cret-9"}`,
		"in what is not JSON":     `{"image": "x", "env": {"PASSWORD": "s3cret-9"`,
		"with a NUL":              `{"image": "x", "env": {"PASSWORD": "s3cret-9\u0000"}}`,
		"a name":                  `{"image": "x", "access": "s3cret-9"}`,
		"not an object":           `"s3cret-9"`,
	} {
		if r := s.do("POST", deployPath, body, as("admin")); r.status < 400 || r.status > 499 || strings.Contains(r.body, "s3cret") {
			t.Errorf("%s: answered %d %s", name, r.status, r.body)
		}
	}
}

func TestWhatThereIsNot(t *testing.T) {
	s := newSite(t)
	s.service("default", "hello")
	s.do("GET", "/v1/services/helo", nil, as("admin")).refused(t, 404, `did you mean \"hello\"`)
	s.do("GET", "/v1/services/hello/releases/7", nil, as("admin")).refused(t, 404, "has no release 7; its newest is 1")
	s.do("GET", "/v1/services/hello/releases/0", nil, as("admin")).refused(t, 422)
	s.do("GET", "/v1/services/hello/releases/x/log", nil, as("admin")).refused(t, 422, "is not the number of a release")
	s.do("GET", "/v1/nothing", nil, as("admin")).refused(t, 404, "there is no GET /v1/nothing")
	s.do("PATCH", "/v1/services/hello", "{}", as("admin")).refused(t, 404, "there is no PATCH")
	s.do("GET", "/v1/services/hello/progress", nil, as("admin")).refused(t, 404, "nothing of that name is running")
}

func TestAllThatIsWrongWithAFileIsListed(t *testing.T) {
	s := newSite(t)
	bad := strings.Replace(strings.Replace(file, "do,", "nimbus,", 1), "1.34", "9", 1)
	r := s.do("POST", "/v1/plans", map[string]string{"file": bad}, as("admin"))
	r.refused(t, 422)
	var p struct {
		Errors []struct{ Location, Message string }
	}
	must(t, json.Unmarshal([]byte(r.body), &p))
	if len(p.Errors) != 2 || p.Errors[0].Location != "platforms[0].regions[0].provider" || p.Errors[1].Location != "platforms[0].regions[0].kubernetes.version" {
		t.Errorf("the problems are %+v", p.Errors)
	}
}

func TestFaultsAndTheirStatuses(t *testing.T) {
	s := newSite(t)
	for kind, status := range map[fault.Kind]int{fault.Invalid: 422, fault.Unauthenticated: 401, fault.Denied: 403, fault.NotFound: 404, fault.Exists: 409, fault.Conflict: 409,
		fault.Quota: 409, fault.Failed: 409, fault.Throttled: 429, fault.Unavailable: 503, "never-heard-of": 500} {
		s.commands.failing["DeployService"] = fault.New(kind, "what happened")
		s.do("POST", "/v1/services/hello/releases", `{"image": "x"}`, as("admin")).refused(t, status, "what happened")
	}
	s.commands.failing["DeployService"] = fmt.Errorf("pq: password authentication failed for user m3o")
	if r := s.do("POST", "/v1/services/hello/releases", `{"image": "x"}`, as("admin")); r.status != 500 || strings.Contains(r.body, "password") {
		t.Errorf("an error that is no fault was answered with %d %s", r.status, r.body)
	}
	failed := s.do("POST", "/v1/services/hello/releases", `{"image": "x"}`, as("admin"), header{"X-Request-Id", "abc-7"})
	if failed.refused(t, 500, `"instance":"urn:m3o:request:abc-7"`); failed.header.Get("X-Request-Id") != "abc-7" {
		t.Errorf("an operator cannot find it by %v", failed.header)
	}
	busy := fault.New(fault.Throttled, "come back")
	busy.RetryAfter = 7e9
	s.commands.failing["DeployService"] = busy
	if r := s.do("POST", "/v1/services/hello/releases", `{"image": "x"}`, as("admin")); r.header.Get("Retry-After") != "8" {
		t.Errorf("Retry-After is %q", r.header.Get("Retry-After"))
	}
}

// Idempotency.

const deployPath = "/v1/services/hello/releases"

func TestTheSameKeyIsOneRequest(t *testing.T) {
	s := newSite(t)
	first := s.do("POST", deployPath, `{"image": "x"}`, as("admin"), once("k1"))
	first.ok(t, 202, nil)
	again := s.do("POST", deployPath, `{"image": "x"}`, as("admin"), once("k1"))
	if again.ok(t, 202, nil); again.body != first.body || s.commands.count() != 1 {
		t.Errorf("done %d times; answered %s and %s", s.commands.count(), first.body, again.body)
	}
	s.do("POST", deployPath, `{"image": "y"}`, as("admin"), once("k1")).refused(t, 422, "was used for another request")
	s.do("POST", "/v1/services/other/releases", `{"image": "x"}`, as("admin"), once("k1")).ok(t, 202, nil) // another route
	s.do("POST", deployPath+"?project=shop", `{"image": "x"}`, as("shop"), once("k1")).ok(t, 202, nil)     // another caller
	s.do("POST", deployPath, `{"image": "x"}`, as("admin")).ok(t, 202, nil)                                // no key: a request of its own
	s.do("POST", deployPath, `{"image": "x"}`, as("admin")).ok(t, 202, nil)
	ids := map[string]bool{}
	for _, id := range s.commands.ids {
		ids[id] = true
	}
	if len(ids) != 5 || s.commands.count() != 5 {
		t.Errorf("%d commands under %d ids, want 5 each", s.commands.count(), len(ids))
	}
	s.do("POST", deployPath, `{"image": "x"}`, as("admin"), once(strings.Repeat("k", 256))).refused(t, 422)
}

func TestARequestThatFailedMayBeMadeAgain(t *testing.T) {
	s := newSite(t)
	s.commands.failing["DeployService"] = fault.New(fault.Unavailable, "the platform cannot work now: try again in a moment")
	s.do("POST", deployPath, `{"image": "x"}`, as("admin"), once("k1")).refused(t, 503)
	delete(s.commands.failing, "DeployService")
	s.do("POST", deployPath, `{"image": "x"}`, as("admin"), once("k1")).ok(t, 202, nil)
}

// TestARequestThatIsAtWorkIsOneCommand: a second attempt goes on under the id of the first, by which workflows know it.
func TestARequestThatIsAtWorkIsOneCommand(t *testing.T) {
	s := newSite(t)
	s.commands.gate = make(chan struct{})
	answers := make(chan reply, 2)
	for range 2 {
		go func() { answers <- s.do("POST", deployPath, `{"image": "x"}`, as("admin"), once("k1")) }()
	}
	for s.commands.count() < 2 {
		select {
		case r := <-answers:
			t.Fatalf("answered early: %d %s", r.status, r.body)
		case <-time.After(time.Millisecond):
		}
	}
	s.do("POST", deployPath, `{"image": "other"}`, as("admin"), once("k1")).refused(t, 422)
	close(s.commands.gate)
	for range 2 {
		if r := <-answers; r.status != 202 {
			t.Errorf("answered %d %s", r.status, r.body)
		}
	}
	if s.commands.ids[0] != s.commands.ids[1] {
		t.Errorf("two attempts have the ids %v", s.commands.ids)
	}
}

func TestARepetitionIsAnsweredThoughTheThingIsGone(t *testing.T) {
	s := newSite(t)
	key := s.service("default", "hello")
	must(t, s.store.RecordRegion(t.Context(), lon1()))
	kill := s.do("DELETE", "/v1/services/hello", nil, as("admin"), once("k1"))
	kill.ok(t, 202, nil)
	down := s.do("DELETE", "/v1/regions/lon1", nil, as("admin"), once("k2"))
	down.ok(t, 202, nil)
	must(t, s.store.RecordService(t.Context(), release.Service{Key: key, Status: release.Killed, Version: 9}))
	gone := lon1()
	gone.Status, gone.Version = region.Deleted, 9
	must(t, s.store.RecordRegion(t.Context(), gone))
	if again := s.do("DELETE", "/v1/services/hello", nil, as("admin"), once("k1")); again.status != 202 || again.body != kill.body {
		t.Errorf("answered %d %s", again.status, again.body)
	}
	if again := s.do("DELETE", "/v1/regions/lon1", nil, as("admin"), once("k2")); again.status != 202 || again.body != down.body {
		t.Errorf("answered %d %s", again.status, again.body)
	}
	s.do("DELETE", "/v1/services/hello", nil, as("admin"), once("k3")).refused(t, 404)
}

func TestAPlanIsMadeAndApplied(t *testing.T) {
	s := newSite(t)
	var plan region.Plan
	r := s.do("POST", "/v1/plans", map[string]string{"file": file}, as("admin"), once("k1"))
	r.ok(t, 201, &plan)
	if len(plan.Steps) != 1 || plan.Steps[0].Region.Name != "digitalocean-lon1" || plan.CreatedBy != "admin" {
		t.Errorf("planned %+v", plan)
	}
	if again := s.do("POST", "/v1/plans", map[string]string{"file": file}, as("admin"), once("k1")); again.body != r.body {
		t.Errorf("the repetition was answered %s", again.body)
	}
	s.do("GET", "/v1/plans/"+plan.ID, nil, as("reader")).ok(t, 200, nil)
	s.do("POST", "/v1/plans/"+plan.ID+"/apply", nil, as("admin")).ok(t, 202, nil)
	must(t, s.store.MovePlan(t.Context(), plan.ID, region.PlanOpen, region.PlanApplied))
	s.do("POST", "/v1/plans/"+plan.ID+"/apply", nil, as("admin")).ok(t, 202, nil) // it ended meanwhile; this is the same answer
	s.commands.forgotten = true
	s.do("POST", "/v1/plans/"+plan.ID+"/apply", nil, as("admin")).refused(t, 409)
	if got := strings.Join(s.commands.done, ", "); got != "PlanPlatform "+plan.ID+", ApplyPlan "+plan.ID {
		t.Errorf("done: %s", got)
	}
}

func TestRegionsAndTheirCommands(t *testing.T) {
	s := newSite(t)
	must(t, s.store.RecordRegion(t.Context(), lon1()))
	var list struct{ Items []map[string]any }
	s.do("GET", "/v1/regions", nil, as("reader")).ok(t, 200, &list)
	if len(list.Items) != 1 || list.Items[0]["name"] != "lon1" || list.Items[0]["provider"] != "digitalocean" || list.Items[0]["status"] != "ready" {
		t.Errorf("listed %+v", list)
	}
	s.do("GET", "/v1/regions/lon1", nil, as("reader")).ok(t, 200, nil)
	s.do("GET", "/v1/regions/lon1/progress", nil, as("reader")).ok(t, 200, nil)
	s.do("POST", "/v1/regions/lon1/retry", nil, as("admin")).ok(t, 202, nil)
	s.do("POST", "/v1/regions/lon1/kubeconfig", map[string]any{"public_key": make([]byte, 32)}, as("admin")).ok(t, 200, nil)
	s.do("POST", "/v1/regions/lon1/kubeconfig", map[string]any{"public_key": "!!"}, as("admin")).refused(t, 422)
	s.do("POST", "/v1/regions/lon1/kubeconfig", map[string]any{"public_key": make([]byte, 32)}, as("reader")).refused(t, 403)
	s.do("DELETE", "/v1/regions/lon1", nil, as("admin")).ok(t, 202, nil)
	if got := strings.Join(s.commands.done, ", "); got != "RetryRegion micro/lon1, Kubeconfig micro/lon1, RemoveRegion micro/lon1" {
		t.Errorf("done: %s", got)
	}
}

// Who asks for a kubeconfig gets one with his name, and no more power than he has.
func TestAKubeconfigHasItsCallersPower(t *testing.T) {
	s := newSite(t)
	must(t, s.store.RecordRegion(t.Context(), lon1()))
	for _, c := range []struct {
		by, role, life string
		status         int
		want           region.Access
	}{
		{"admin", "", "", 200, region.Access{By: "admin", Role: region.RoleAdmin, For: time.Hour}},
		{"admin", "view", "30m", 200, region.Access{By: "admin", Role: region.RoleView, For: 30 * time.Minute}},
		{"inspector", "", "24h", 200, region.Access{By: "inspector", Role: region.RoleView, For: 24 * time.Hour}},
		{"inspector", "admin", "", 403, region.Access{}},
		{"reader", "view", "", 403, region.Access{}},
		{"shop", "view", "", 403, region.Access{}},
		{"admin", "root", "", 422, region.Access{}},
		{"admin", "", "9m", 422, region.Access{}},
		{"admin", "", "25h", 422, region.Access{}},
		{"admin", "", "soon", 422, region.Access{}},
	} {
		s.commands.access = region.Access{}
		body := map[string]any{"public_key": make([]byte, 32)}
		if c.role != "" {
			body["role"] = c.role
		}
		if c.life != "" {
			body["for"] = c.life
		}
		answer := s.do("POST", "/v1/regions/lon1/kubeconfig", body, as(c.by))
		if c.status == 200 {
			answer.ok(t, 200, nil)
		} else {
			answer.refused(t, c.status)
		}
		if s.commands.access != c.want {
			t.Errorf("%s %s %s: asked for %+v, want %+v", c.by, c.role, c.life, s.commands.access, c.want)
		}
	}
}

// Sources.

func packed(t *testing.T) (digest string, archive []byte) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module hello\n\ngo 1.26\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o644))
	var b bytes.Buffer
	stats, err := source.Pack(dir, &b, source.Limits{})
	must(t, err)
	return stats.Digest, b.Bytes()
}

func TestASourceIsUploadedAndDeployed(t *testing.T) {
	s := newSite(t)
	digest, archive := packed(t)
	for range 2 {
		s.do("PUT", "/v1/sources/"+digest, bytes.NewReader(archive), as("admin")).ok(t, 201, nil)
	}
	s.do("POST", deployPath, map[string]string{"source": digest}, as("admin")).ok(t, 202, nil)
}

// TestWhatIsAnotherProjectsIsNotRun: that somebody knows a digest or a name does not make it his.
func TestWhatIsAnotherProjectsIsNotRun(t *testing.T) {
	s := newSite(t)
	digest, archive := packed(t)
	s.do("PUT", "/v1/sources/"+digest+"?project=default", bytes.NewReader(archive), as("admin")).ok(t, 201, nil)
	source := map[string]string{"source": digest}
	s.do("POST", deployPath, source, as("shop")).refused(t, 404, "has not been uploaded to project shop")
	s.do("POST", deployPath+"?project=default", source, as("shop")).refused(t, 403, `may not act in project \"default\"`)
	s.do("PUT", "/v1/sources/"+digest+"?project=default", bytes.NewReader(archive), as("shop")).refused(t, 403)
	s.do("PUT", "/v1/sources/"+digest, "garbage", as("shop")).refused(t, 422) // another has it: no reason to believe
	s.do("PUT", "/v1/sources/"+digest+"?project=default", "garbage", as("admin")).refused(t, 422)
	s.do("POST", deployPath, source, as("shop")).refused(t, 404)
	s.do("PUT", "/v1/sources/"+digest+"?project=..%2fdefault", bytes.NewReader(archive), as("admin")).refused(t, 422, "must be a DNS label")

	for _, image := range []string{registry + "/default/hello@" + digest, registry + "/default/hello:build-1", "localhost:5001/default/hello:build-1", registry + "/m3o/etcd:v1", registry + "/shop:v1"} {
		s.do("POST", deployPath, map[string]string{"image": image}, as("shop")).refused(t, 403, "is not project shop's", registry+"/shop/")
	}
	if s.commands.count() > 0 {
		t.Errorf("for the project was done: %v", s.commands.done)
	}
	s.do("POST", deployPath, map[string]string{"image": registry + "/shop/hello:build-1"}, as("shop")).ok(t, 202, nil)
	s.do("POST", deployPath, map[string]string{"image": "registry.example.com/default/hello:v1"}, as("shop")).ok(t, 202, nil)
	s.do("PUT", "/v1/sources/"+digest, bytes.NewReader(archive), as("shop")).ok(t, 201, nil)
	s.do("POST", deployPath, source, as("shop")).ok(t, 202, nil)
}

func TestASourceThatIsNotWhatItSays(t *testing.T) {
	s := newSite(t)
	digest, archive := packed(t)
	s.do("PUT", "/v1/sources/"+sourceDigest, bytes.NewReader(archive), as("admin")).refused(t, 422, digest)
	s.do("PUT", "/v1/sources/main.go", bytes.NewReader(archive), as("admin")).refused(t, 422, "is not a digest")
	s.do("PUT", "/v1/sources/"+digest, bytes.NewReader(archive[:len(archive)/2]), as("admin")).refused(t, 422)
	s.do("PUT", "/v1/sources/"+digest, "not an archive", as("admin")).refused(t, 422)
	s.do("POST", deployPath, map[string]string{"source": digest}, as("admin")).refused(t, 404) // nothing was kept
}

// endless is a body that never ends; it counts what was read of it.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.read += int64(len(p))
	return len(p), nil
}

func TestAnUploadWithoutEndIsStopped(t *testing.T) {
	s := newSite(t)
	body := &endless{}
	req := s.do("PUT", "/v1/sources/"+sourceDigest, body, as("admin"))
	if req.status != 422 && req.status != 413 {
		t.Errorf("answered %d %s", req.status, req.body)
	}
	if body.read > 200e6 {
		t.Errorf("%d MB were read", body.read/1e6)
	}
}

// The document.
