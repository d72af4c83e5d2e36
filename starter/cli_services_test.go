package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/client/apitest"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// ranJSON is what scripts read of run.
type ranJSON struct {
	Service string
	Release int
	Image   string
	Status  string
	Regions []struct{ Name, Status, URL string }
}

// twoRegions is a world with two regions that are ready.
func twoRegions(t *testing.T) *apitest.World {
	t.Helper()
	w := apitest.New(t)
	at(t, w)
	for _, name := range []string{"lon1", "nyc3"} {
		w.AddRegion(region.Region{Spec: apitest.Spec(name), Status: region.Ready})
	}
	return w
}

func TestRunBringsAFolderToEveryRegion(t *testing.T) {
	w := twoRegions(t)
	c := m3o("run", program(t, "hello"), "--json").must(t)
	got := answer[ranJSON](t, c)
	if got.Service != "hello" || got.Release != 1 || !strings.Contains(got.Image, "@sha256:") || len(got.Regions) != 2 {
		t.Fatalf("%+v", got)
	}
	for i, name := range []string{"lon1", "nyc3"} {
		if r := got.Regions[i]; r.Name != name || r.Status != "ready" || !strings.HasSuffix(r.URL, "/hello/") {
			t.Errorf("%+v", r)
		}
	}
	for _, word := range []string{"Packed 2 files", "go build .", "pushed"} {
		if !strings.Contains(c.errs, word) {
			t.Errorf("%q is not shown: %s", word, c.errs)
		}
	}
	// The same source again is not sent, and makes a release of its own.
	if again := answer[ranJSON](t, m3o("run", "hello", "--json").must(t)); again.Release != 2 || again.Image != got.Image {
		t.Errorf("%+v", again)
	}
	s, err := w.Store.Service(t.Context(), release.Key{Project: "default", Name: "hello"})
	if err != nil || s.Access != release.ByKey || s.Current != 2 {
		t.Errorf("%+v %v", s, err)
	}
}

// A release that waits says at once for what, in the row of what waits.
func TestAReleaseThatWaitsSaysForWhat(t *testing.T) {
	w := twoRegions(t)
	w.Progress = release.Progress{Release: 1, Stage: release.StageImage, Waiting: "waits for a builder: 2 builds are before it"}
	w.Place = func(string, release.Release) error { time.Sleep(lasts + askEvery); return nil }
	c := onScreen(t, "run", program(t, "hello")).must(t)
	if !strings.Contains(c.errs, "release 1    build      waits for a builder: 2 builds are before it") {
		t.Errorf("nobody is told: %q", c.errs)
	}
	w.Progress = release.Progress{Release: 2, Stage: release.StageRollout, Regions: []release.Placing{
		{Region: "micro/lon1", Status: release.Deploying, Stage: release.PlaceInstances, Waiting: "no node has room"},
		{Region: "micro/nyc3", Status: release.Ready}}}
	c = m3o("run", "hello").must(t)
	for _, line := range []string{"\nlon1         instances  no node has room  ", "\nnyc3         ready  "} {
		if !strings.Contains(c.errs, line) {
			t.Errorf("%q is not said: %s", line, c.errs)
		}
	}
	w.Progress, w.Place = release.Progress{Release: 1}, nil
	if c := m3o("run", "hello").must(t); !strings.Contains(c.errs, "release 3    pending    waits for its turn, after release 1") {
		t.Errorf("nobody is told of the release before it: %s", c.errs)
	}
	w.Progress = release.Progress{Release: 1, Stage: "rollout", Waiting: "no node has room"}
	w.Progress.Release = 2
	if c := m3o("status", "hello").must(t); !strings.Contains(c.out, "release 2, rollout") || !strings.Contains(c.out, "no node has room") {
		t.Errorf("the status is %s", c.out)
	}
	w.Progress.Waiting = region.WaitsFor + "release/default/hello/2" // work, not an obstacle
	if c := m3o("status", "hello").must(t); strings.Contains(c.out, "waits for") {
		t.Errorf("the status is %s", c.out)
	}
}

func TestAProjectThatDoesNotExistIsRefused(t *testing.T) {
	w := twoRegions(t)
	m3o("run", program(t, "hello"), "--project", "shpo", "--detach").fails(t, exitFailed, `there is no project "shpo"`)
	if orders := w.Orders(); len(orders) > 0 {
		t.Errorf("ordered all the same: %v", orders)
	}
}

func TestWhatTheSourceSaysAndWhatFlagsSay(t *testing.T) {
	w := twoRegions(t)
	write(t, program(t, "shop")+"/m3o.yaml", "name: store\naccess: public\nport: 3000\nreplicas: 2\nhealth: /healthz\nenv: {LEVEL: debug, MODE: a}\nargs: [-v]\n")
	want := release.Spec{Access: release.Public, Port: 3000, Replicas: 2, Health: "/healthz", Env: map[string]string{"LEVEL": "debug", "MODE": "a"}, Args: []string{"-v"}}
	m3o("run", "shop").must(t)
	check := func(name string, number int, want release.Spec) {
		t.Helper()
		r, err := w.Store.Release(t.Context(), release.Key{Project: "default", Name: name}, number)
		got, _ := json.Marshal(r.Spec)
		wanted, _ := json.Marshal(want)
		if err != nil || string(got) != string(wanted) {
			t.Errorf("%s\nnot %s (%v)", got, wanted, err)
		}
	}
	check("store", 1, want)
	m3o("run", "shop", "--name", "other", "--port", "4000", "--env", "MODE=b", "--public=false", "--replicas", "1", "--health", "").must(t)
	want.Access, want.Port, want.Replicas, want.Health, want.Env["MODE"] = release.ByKey, 4000, 1, "", "b"
	check("other", 1, want)
	m3o("run", "--image", "registry.example.com/shop:1", "--name", "ready-made").must(t)
	check("ready-made", 1, release.Spec{Access: release.ByKey, Port: 8080, Replicas: 1})
}

func TestBadSourcesAreRefusedBeforeAnythingIsSent(t *testing.T) {
	w := twoRegions(t)
	program(t, "good")
	write(t, "empty/README.md", "nothing to build\n")
	write(t, program(t, "typo")+"/m3o.yaml", "acces: public\n")
	write(t, program(t, "bomb")+"/m3o.yaml", "name: &a x\naccess: *a\n")
	write(t, program(t, "wrong")+"/m3o.yaml", "access: everybody\n")
	for name, c := range map[string]struct {
		args  []string
		code  int
		words []string
	}{
		"no folder":         {[]string{"nowhere"}, exitFailed, []string{"nowhere"}},
		"no main package":   {[]string{"empty"}, exitFailed, []string{"m3o: empty: no main package in .: name the folder of a program, a Go package main\n"}},
		"a file":            {[]string{"good/main.go"}, exitMisused, []string{"good/main.go is a file"}},
		"no such package":   {[]string{"good", "--package", "./cmd"}, exitFailed, []string{"cmd"}},
		"unknown field":     {[]string{"typo"}, exitFailed, []string{`line 1: unknown field "acces"`, `did you mean "access"`, "m3o.yaml"}},
		"anchors":           {[]string{"bomb"}, exitFailed, []string{"anchors"}},
		"access":            {[]string{"wrong"}, exitFailed, []string{`"everybody"`}},
		"name":              {[]string{"good", "--name", "No_Label"}, exitMisused, []string{"DNS label"}},
		"setting":           {[]string{"good", "--env", "A"}, exitMisused, []string{"NAME=VALUE"}},
		"port":              {[]string{"good", "--port", "70000"}, exitFailed, []string{"m3o: port: 70000 is not between 1 and 65535"}},
		"nothing":           {nil, exitMisused, []string{"--image"}},
		"both":              {[]string{"good", "--image", "x"}, exitMisused, []string{"either"}},
		"image, no name":    {[]string{"--image", "x"}, exitMisused, []string{"--name"}},
		"too many":          {[]string{"good", "good"}, exitMisused, []string{"too many"}},
		"the port by $PORT": {[]string{"good", "--env", "PORT=1"}, exitFailed, []string{"PORT is set"}},
	} {
		t.Run(name, func(t *testing.T) { m3o(append([]string{"run"}, c.args...)...).fails(t, c.code, c.words...) })
	}
	if len(w.Orders()) != 0 {
		t.Errorf("ordered: %v", w.Orders())
	}
}

func TestAReleaseThatFailsSaysWhy(t *testing.T) {
	w := twoRegions(t)
	program(t, "hello")
	w.Build = func(log func(string), _ release.Release) error {
		log("./main.go:3:1: too many return values")
		return errors.New("the build failed: ./main.go:3:1: too many return values")
	}
	c := m3o("run", "hello", "--json").fails(t, exitFailed, "release 1 of hello failed", "the build failed", "./main.go:3:1: too many return values\n")
	if got := answer[ranJSON](t, c); got.Status != "failed" || len(got.Regions) != 2 {
		t.Errorf("%+v", got)
	}
	w.Build = nil
	w.Place = func(name string, _ release.Release) error {
		if name == "nyc3" {
			return errors.New("the program ended with code 3: this release is ill")
		}
		return nil
	}
	c = m3o("run", "hello", "--json").fails(t, exitFailed, "was rolled back", "nyc3: the program ended with code 3: this release is ill")
	if got := answer[ranJSON](t, c); got.Status != "rolledback" || got.Regions[0].Status != "rolledback" {
		t.Errorf("%+v", got)
	}
}

func TestDetachAndCtrlCLeaveARelease(t *testing.T) {
	w := twoRegions(t)
	w.Step = 150 * time.Millisecond
	program(t, "hello")
	got := answer[map[string]any](t, m3o("run", "hello", "--detach", "--json").must(t))
	if got["release"] != 1.0 || got["service"] != "hello" {
		t.Errorf("%v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var errs buffer
	go func() {
		for !strings.Contains(errs.String(), "go build") {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	if c := typing(t, ctx, "", &errs, "run", "hello"); c.code != exitFailed || !strings.Contains(errs.String(), "m3o status hello") {
		t.Errorf("exit %d: %s", c.code, errs.String())
	}
}

func TestRollbackAndKillWait(t *testing.T) {
	w := twoRegions(t)
	program(t, "hello")
	m3o("run", "hello").must(t)
	m3o("rollback", "hello").fails(t, exitFailed, "no release to go back to")
	m3o("run", "hello").must(t)
	if got := answer[ranJSON](t, m3o("rollback", "hello", "--json").must(t)); got.Release != 3 || got.Status != "ready" {
		t.Errorf("%+v", got)
	}
	m3o("rollback", "hello", "--to", "0").fails(t, exitMisused, "--to")
	m3o("rollback", "hello", "--to", "99").fails(t, exitFailed, "no release 99")
	m3o("kill", "hello").fails(t, exitMisused, "--yes")
	w.Remove = func(string) error { return errors.New("nyc3: the cluster does not answer") }
	m3o("kill", "hello", "--yes").fails(t, exitFailed, "nyc3: the cluster does not answer")
	w.Remove = nil
	if got := answer[map[string]string](t, m3o("kill", "hello", "--yes", "--json").must(t)); got["status"] != "deleted" {
		t.Errorf("%v", got)
	}
	m3o("kill", "hello", "--yes").fails(t, exitFailed, `no service "hello"`)
	if want := []string{"deploy hello", "deploy hello", "rollback hello 0", "kill hello", "kill hello"}; !slices.Equal(w.Orders(), want) {
		t.Errorf("ordered: %v", w.Orders())
	}
}

func TestServicesStatusAndReleases(t *testing.T) {
	twoRegions(t)
	if c := m3o("services", "--json").must(t); strings.TrimSpace(c.out) != "[]" {
		t.Errorf("%q", c.out)
	}
	program(t, "hello")
	m3o("run", "hello").must(t)
	m3o("run", "hello", "--public").must(t)
	if c := m3o("services").must(t); !strings.Contains(c.out, "hello  running  2") || !strings.Contains(c.out, "lon1,nyc3") {
		t.Errorf("%s", c.out)
	}
	c := m3o("status", "hello").must(t)
	for _, word := range []string{"default/hello", "running", "public", "/hello/", "RELEASE", "admin"} {
		if !strings.Contains(c.out, word) {
			t.Errorf("%q is not shown: %s", word, c.out)
		}
	}
	status := answer[struct {
		Service  release.Service
		Releases []release.Release
	}](t, m3o("status", "hello", "--json").must(t))
	if status.Service.Current != 2 || len(status.Releases) != 2 || status.Releases[0].Number != 2 {
		t.Errorf("%+v", status)
	}
	if list := answer[[]release.Release](t, m3o("releases", "hello", "--limit", "1", "--json").must(t)); len(list) != 1 || list[0].Number != 2 {
		t.Errorf("%+v", list)
	}
	m3o("status", "helo").fails(t, exitFailed, `did you mean "hello"`)
	m3o("releases", "hello", "--limit", "0").fails(t, exitMisused)
}

func TestCallGoesThroughAGateway(t *testing.T) {
	twoRegions(t)
	program(t, "hello")
	m3o("run", "hello").must(t)
	type echo struct{ Region, Method, Path, Body, Type, X string }
	if got := answer[echo](t, m3o("call", "hello", "/").must(t)); got.Region != "lon1" || got.Method != "GET" || got.Path != "/" {
		t.Errorf("%+v", got)
	}
	got := answer[echo](t, m3o("call", "hello", "greet", `{"name":"Ada"}`, "--region", "nyc3", "-H", "X-Test: 1").must(t))
	if got.Region != "nyc3" || got.Method != "POST" || got.Path != "/greet" || got.Body != `{"name":"Ada"}` || got.Type != "application/json" || got.X != "1" {
		t.Errorf("%+v", got)
	}
	if got := answer[echo](t, typing(t, t.Context(), "a note", nil, "call", "hello", "/note", "-", "-X", "put", "-H", "Content-Type: text/plain").must(t)); got.Method != "PUT" || got.Body != "a note" {
		t.Errorf("%+v", got)
	}
	m3o("call", "hello", "/greet", "{name: Ada}").fails(t, exitMisused, "not JSON")
	m3o("call", "hello", "/", "-H", "nothing").fails(t, exitMisused, "Name: value")
	m3o("call", "hello", "/", "--region", "ams3").fails(t, exitFailed, "micro/lon1, micro/nyc3")
	m3o("call", "nothing", "/").fails(t, exitFailed, `no service "nothing"`)
	if c := m3o("call", "hello", "/fail", "-i").fails(t, exitFailed, "418", "Content-Type: application/problem+json"); !strings.Contains(c.out, "it is a teapot") {
		t.Errorf("%q", c.out)
	}
}

// TestServicesThatRegisteredThemselvesCanBeCalled: nobody brought them out, and only the gateways know them.
func TestServicesThatRegisteredThemselvesCanBeCalled(t *testing.T) {
	w := twoRegions(t)
	w.Registered = map[string][]string{"nyc3": {"greeter"}}
	program(t, "hello")
	m3o("run", "hello").must(t)
	type echo struct{ Region, Path string }
	for _, region := range [][]string{nil, {"--region", "nyc3"}} {
		if got := answer[echo](t, m3o(append([]string{"call", "greeter", "/greet"}, region...)...).must(t)); got.Region != "nyc3" || got.Path != "/greet" {
			t.Errorf("%v: %+v", region, got)
		}
	}
	for _, region := range []string{"lon1", "nyc3"} {
		c := m3o("call", "helo", "/", "--region", region).fails(t, exitFailed, `no service "helo" in project "default"`, `did you mean "hello"`)
		if named := strings.Contains(c.errs, "registered by themselves: greeter"); named != (region == "nyc3") {
			t.Errorf("%s: %s", region, c.errs)
		}
	}
	m3o("call", "greeter", "/", "--region", "lon1").fails(t, exitFailed, `no service "greeter"`)
}

// TestServicesOfOtherProjectsHaveURLsOfTheirOwn: what is printed leads there, and so does a call.
func TestServicesOfOtherProjectsHaveURLsOfTheirOwn(t *testing.T) {
	twoRegions(t)
	program(t, "till")
	m3o("project", "create", "shop").must(t)
	if c := m3o("run", "till", "--project", "shop").must(t); !strings.Contains(c.out, "/till--shop/") {
		t.Errorf("%s", c.out)
	}
	if c := m3o("status", "till", "--project", "shop").must(t); !strings.Contains(c.out, "/till--shop/") {
		t.Errorf("%s", c.out)
	}
	if got := answer[struct{ Region, Path string }](t, m3o("call", "till", "/pay", "--project", "shop").must(t)); got.Region != "lon1" || got.Path != "/pay" {
		t.Errorf("%+v", got)
	}
}

func TestLogsOfAllRegionsAreMerged(t *testing.T) {
	twoRegions(t)
	program(t, "hello")
	m3o("run", "hello").must(t)
	lines := strings.Split(strings.TrimSpace(m3o("logs", "hello", "--json").must(t).out), "\n")
	var texts []string
	for _, line := range lines {
		var l struct{ Region, Instance, Line string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, l.Line)
	}
	for i := range 3 {
		if pair := texts[2*i : 2*i+2]; !strings.HasSuffix(pair[0], string(rune('0'+i))) || !strings.HasSuffix(pair[1], string(rune('0'+i))) {
			t.Errorf("not in the order of time: %v", texts)
		}
	}
	if c := m3o("logs", "hello", "--region", "nyc3").must(t); !strings.Contains(c.out, "nyc3/pod-1 | nyc3 line 0") || strings.Contains(c.out, "lon1") {
		t.Errorf("%s", c.out)
	}
	m3o("logs", "hello", "--region", "ams3").fails(t, exitFailed, "lon1")
	m3o("logs", "hello", "--tail", "20000").fails(t, exitMisused, "--tail")
}

func TestLogsSayWhatTheyLeaveOut(t *testing.T) {
	w := twoRegions(t)
	program(t, "hello")
	m3o("run", "hello").must(t)
	if c := m3o("logs", "hello").must(t); c.errs != "" {
		t.Errorf("nothing was left out: %s", c.errs)
	}
	w.Lines = 1500
	if c := m3o("logs", "hello", "--json").must(t).says(t, "the last 1000 lines of each instance", "--tail", "--since"); strings.Count(c.out, "\n") != 2000 {
		t.Errorf("%d lines", strings.Count(c.out, "\n"))
	}
	for _, args := range [][]string{{"--tail", "1200"}, {"--since", "1h"}} {
		if c := m3o(append([]string{"logs", "hello"}, args...)...).must(t); c.errs != "" {
			t.Errorf("%v: as it was asked for: %s", args, c.errs)
		}
	}
}

// The instances of a first release that was rolled back are gone; the service is there, and says why.
func TestLogsOfAServiceThatHasNoInstance(t *testing.T) {
	w := twoRegions(t)
	program(t, "hello")
	w.Place = func(string, release.Release) error {
		return errors.New("the program ends with exit code 3; its last words:\npanic")
	}
	m3o("run", "hello").fails(t, exitFailed)
	c := m3o("logs", "hello").fails(t, exitFailed, "service hello has no instance now", "release 1 was rolled back: nyc3: the program ends with exit code 3", "panic")
	if strings.Contains(c.errs, "has no service") {
		t.Errorf("there is one: %s", c.errs)
	}
	m3o("logs", "hello", "--release", "1").fails(t, exitFailed, "no instance")
	w.Place = nil
	m3o("run", "hello").must(t)
	m3o("run", "hello").must(t)
	m3o("rollback", "hello").must(t)
	if c := m3o("logs", "hello").must(t); !strings.Contains(c.out, "lon1 line 2") {
		t.Errorf("%s %s", c.out, c.errs)
	}
}

func TestTheLogOfABuild(t *testing.T) {
	twoRegions(t)
	program(t, "hello")
	m3o("run", "hello").must(t)
	m3o("run", "--image", "example.com/hello:1", "--name", "hello").must(t)
	if c := m3o("logs", "hello", "--build", "--release", "1").must(t); c.out != "go build .\npushed\n" {
		t.Errorf("%q", c.out)
	}
	if c := m3o("logs", "hello", "--build", "--release", "1", "--json").must(t); c.out != `{"release":1,"line":"go build ."}`+"\n"+`{"release":1,"line":"pushed"}`+"\n" {
		t.Errorf("%q", c.out)
	}
	m3o("logs", "hello", "--build").fails(t, exitFailed, "release 2 of hello was not built")
	m3o("logs", "hello", "--build", "--release", "9").fails(t, exitFailed, "no release 9")
}

func TestFollowedLogsEndWithCtrlC(t *testing.T) {
	twoRegions(t)
	program(t, "hello")
	m3o("run", "hello").must(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	c := typing(t, ctx, "", nil, "logs", "hello", "-f")
	if c.code != exitDone || !strings.Contains(c.out, "lon1 line 9") || !strings.Contains(c.out, "nyc3 line 9") {
		t.Errorf("exit %d: %s %s", c.code, c.out, c.errs)
	}
}

// TestARunOutlivesTheAPI takes the API away while a release is on its way, as a killed and restarted `m3o dev` does.
func TestARunOutlivesTheAPI(t *testing.T) {
	w := twoRegions(t)
	w.Step = 200 * time.Millisecond
	program(t, "hello")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve := func(l net.Listener) *http.Server {
		s := &http.Server{Handler: w.Handler()}
		go s.Serve(l)
		return s
	}
	server := serve(listener)
	var errs buffer
	restarted := make(chan *http.Server, 1)
	go func() {
		for !strings.Contains(errs.String(), "go build") {
			time.Sleep(5 * time.Millisecond)
		}
		server.Close()
		time.Sleep(1500 * time.Millisecond)
		again, err := net.Listen("tcp", listener.Addr().String())
		if err != nil {
			t.Error(err)
			close(restarted)
			return
		}
		restarted <- serve(again)
	}()
	c := typing(t, t.Context(), "", &errs, "run", "hello", "--json", "--api", "http://"+listener.Addr().String())
	if again := <-restarted; again != nil {
		defer again.Close()
	}
	if c.code != exitDone || !strings.Contains(errs.String(), "does not answer; retrying") || strings.Count(errs.String(), "go build") != 1 {
		t.Fatalf("exit %d: %s", c.code, errs.String())
	}
	if got := answer[ranJSON](t, c); got.Release != 1 || got.Status != "ready" {
		t.Errorf("%+v", got)
	}
	if !slices.Equal(w.Orders(), []string{"deploy hello"}) {
		t.Errorf("ordered: %v", w.Orders())
	}
}
