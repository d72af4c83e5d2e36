package release_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

func asked() release.Request {
	return release.Request{Service: release.Key{Project: "default", Name: "hello"}, Origin: release.Origin{Source: "sha256:" + strings.Repeat("0a", 32)}}
}

func TestWhatADeveloperLeavesOutIsFilledIn(t *testing.T) {
	if err := asked().Validate(); err != nil {
		t.Error(err)
	}
	spec, origin, _, err := asked().Over(nil)
	if err != nil || spec.Access != release.ByKey || spec.Port != release.DefaultPort || spec.Replicas != 1 || origin.Package != "." {
		t.Errorf("filled in: %+v %+v, %v", spec, origin, err)
	}
	image := asked()
	image.Origin = release.Origin{Image: "registry/hello:v1"}
	if _, origin, _, err := image.Over(nil); origin.Package != "" || err != nil {
		t.Errorf("an image was given package %q; %v", origin.Package, err)
	}
	longest := asked()
	longest.Service = release.Key{Project: strings.Repeat("p", 21), Name: strings.Repeat("s", 40)}
	if err := longest.Validate(); err != nil {
		t.Error(err)
	}
	said := asked()
	said.Spec = release.Spec{Access: release.Public, Port: 9000, Replicas: 3}
	if spec, _, _, err := said.Over(nil); err != nil || spec.Port != 9000 || spec.Replicas != 3 || spec.Access != release.Public {
		t.Errorf("what was said was changed: %+v, %v", spec, err)
	}
}

func TestBadRequests(t *testing.T) {
	env := func(n, size int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprintf("K%d", i)] = strings.Repeat("x", size)
		}
		return m
	}
	for name, c := range map[string]struct {
		change func(*release.Request)
		want   string
	}{
		"a name with capitals":   {func(r *release.Request) { r.Service.Name = "Hello" }, `name: "Hello" must be a DNS label`},
		"no name":                {func(r *release.Request) { r.Service.Name = "" }, `name: "" must be a DNS label`},
		"names with a joint":     {func(r *release.Request) { r.Service.Name = "a--b" }, `name: "a--b" has two hyphens in a row`},
		"a project with a joint": {func(r *release.Request) { r.Service.Project = "a--b" }, `project: "a--b" has two hyphens in a row`},
		"names too long together": {func(r *release.Request) {
			r.Service = release.Key{Project: strings.Repeat("p", 31), Name: strings.Repeat("s", 31)}
		}, "together have 62 characters; at most 61"},
		"a name that is too long":    {func(r *release.Request) { r.Service.Name = strings.Repeat("a", 41) }, "at most 40 characters"},
		"a project with a slash":     {func(r *release.Request) { r.Service.Project = "a/b" }, `project: "a/b" must be a DNS label`},
		"neither source nor image":   {func(r *release.Request) { r.Origin = release.Origin{} }, "source: name either a source or an image"},
		"both":                       {func(r *release.Request) { r.Origin.Image = "x" }, "source: name either a source or an image"},
		"a source that is no digest": {func(r *release.Request) { r.Origin.Source = "main.go" }, `source: "main.go" is not a digest`},
		"a digest of another kind":   {func(r *release.Request) { r.Origin.Source = "sha512:" + strings.Repeat("a", 64) }, "is not a digest"},
		"a package with braces":      {func(r *release.Request) { r.Origin.Package = "{out}" }, "is not a folder inside the source"},
		"a module with spaces":       {func(r *release.Request) { r.Origin.Module = "a b" }, `module: "a b" is not an import path`},
		"a package outside":          {func(r *release.Request) { r.Origin.Package = "../other" }, `package: "../other" is not a folder inside the source`},
		"a package that climbs":      {func(r *release.Request) { r.Origin.Package = "cmd/../../other" }, "is not a folder inside the source"},
		"a package at the root":      {func(r *release.Request) { r.Origin.Package = "/etc" }, "is not a folder inside the source"},
		"a package that is a flag":   {func(r *release.Request) { r.Origin.Package = "-toolexec=sh" }, "is not a folder inside the source"},
		"an image with a space":      {func(r *release.Request) { r.Origin = release.Origin{Image: "a b"} }, "image: \"a b\" is not an image reference: at most 512 bytes, without spaces"},
		"an image without end":       {func(r *release.Request) { r.Origin = release.Origin{Image: strings.Repeat("a", 600)} }, "is not an image reference"},
		"an access there is not":     {func(r *release.Request) { r.Spec.Access = "secret" }, `access: "secret" is neither "public" nor "key"`},
		"a port":                     {func(r *release.Request) { r.Spec.Port = 70000 }, "port: 70000 is not between 1 and 65535"},
		"a port below":               {func(r *release.Request) { r.Spec.Port = -1 }, "port: -1 is not between 1 and 65535"},
		"preflights of some":         {func(r *release.Request) { r.Spec.Preflight = "some" }, `preflight: "some" is neither "public" nor "key"`},
		"another protocol":           {func(r *release.Request) { r.Spec.Protocol = "grpc" }, `protocol: "grpc" is neither "http" nor "h2c"`},
		"no time at all":             {func(r *release.Request) { r.Spec.Timeout = release.Duration(time.Millisecond) }, "timeout: 1ms is not between 1s and 24h"},
		"days of standing still":     {func(r *release.Request) { r.Spec.Timeout = release.Duration(25 * time.Hour) }, "timeout: 25h is not between 1s and 24h"},
		"bodies of less than none":   {func(r *release.Request) { r.Spec.MaxBody = -1 }, "max_body: -1 bytes are not between 1 and 68719476736 (64GiB)"},
		"bodies of any size":         {func(r *release.Request) { r.Spec.MaxBody = 65 << 30 }, "max_body: 69793218560 bytes are not between 1 and 68719476736 (64GiB)"},
		"too many replicas":          {func(r *release.Request) { r.Spec.Replicas = 51 }, "replicas: 51 is not between 1 and 50"},
		"a start too soon":           {func(r *release.Request) { r.Spec.Start = release.Duration(9 * time.Second) }, "start: 9s is not between 10s and 30m"},
		"a start too late":           {func(r *release.Request) { r.Spec.Start = release.Duration(time.Hour) }, "start: 1h is not between 10s and 30m"},
		"a health that is no path":   {func(r *release.Request) { r.Spec.Health = "healthz" }, `health: "healthz" is not a path`},
		"too many arguments":         {func(r *release.Request) { r.Spec.Args = make([]string, 101) }, "args: 101 arguments are more than 100"},
		"arguments too large":        {func(r *release.Request) { r.Spec.Args = []string{strings.Repeat("x", 40000)} }, "args: 40000 bytes are more than 32768"},
		"an argument with a NUL":     {func(r *release.Request) { r.Spec.Args = []string{"a\x00b"} }, "args: arguments cannot hold NUL characters"},
		"too many settings":          {func(r *release.Request) { r.Spec.Env = env(201, 1) }, "env: 201 settings are more than 200"},
		"settings too large":         {func(r *release.Request) { r.Spec.Env = env(10, 4000) }, "bytes are more than 32768"},
		"a setting's name":           {func(r *release.Request) { r.Spec.Env = map[string]string{"A-B": "1"} }, `env: "A-B" is not the name of a setting`},
		"a setting with a NUL":       {func(r *release.Request) { r.Spec.Env = map[string]string{"A": "1\x00"} }, `env: "A" cannot hold NUL characters`},
		"PORT":                       {func(r *release.Request) { r.Spec.Env = map[string]string{"PORT": "1"} }, "env: PORT is set from port"},
	} {
		t.Run(name, func(t *testing.T) {
			r := asked()
			c.change(&r)
			err := r.Validate()
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && len(err.Error()) > 4000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestEverythingThatIsWrongIsSaidAtOnceAndAlwaysInOneOrder(t *testing.T) {
	r := asked()
	r.Service.Name, r.Spec.Port, r.Spec.Env = "X", -1, map[string]string{"a-b": "", "c-d": "", "e-f": "", "g-h": ""}
	first := r.Validate()
	var f *fault.Error
	if !errors.As(first, &f) || len(f.Problems) != 6 {
		t.Fatalf("got %v", first)
	}
	for range 20 {
		if again := r.Validate(); again.Error() != first.Error() {
			t.Fatalf("told once as\n%v\nand once as\n%v", first, again)
		}
	}
}

func TestPackagesInsideASource(t *testing.T) {
	for _, p := range []string{".", "cmd/server", "./cmd/server", "cmd/_x", "a.b", "_test-like", "a+b/~x", "cmd/a..b", "ünï/日本", "with space", ".hidden/x", "a@b"} {
		r := asked()
		r.Origin.Package = p
		if err := r.Validate(); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}

func TestAPackageHasALengthThatSourcesMayHave(t *testing.T) {
	r := asked()
	if r.Origin.Package = strings.Repeat("a/", 600) + "a"; !fault.Is(r.Validate(), fault.Invalid) {
		t.Error("a package of 1,201 bytes is taken")
	}
}

func TestIds(t *testing.T) {
	k := release.Key{Project: "default", Name: "hello"}
	ids := map[string]bool{}
	for _, id := range []string{k.OperateID(), k.DeployID(1), k.DeployID(11), k.PlaceID(1, 1), k.PlaceID(1, 2), k.BuildID(1), k.BuildID(11)} {
		if ids[id] {
			t.Errorf("%s names two things", id)
		}
		ids[id] = true
	}
	if got := k.OperateID(); got != "service/default/hello" {
		t.Errorf("the service's workflow is %s", got)
	}
	b := release.BuildInput{Service: k, Number: 3}
	if got := b.LogName(); got != "builds/default/hello/3.log" {
		t.Errorf("the build's log is %s", got)
	}
}

func TestURLs(t *testing.T) {
	p := release.Placement{Endpoint: region.Endpoints{API: "http://lon1/"}, Release: release.Release{Service: release.Key{Project: "default", Name: "hello"}}}
	if got := p.URL(); got != "http://lon1/hello/" {
		t.Errorf("the URL is %s", got)
	}
	p.Release.Service = release.Key{Project: "shop", Name: "till"}
	if got := p.URL(); got != "http://lon1/till--shop/" {
		t.Errorf("outside the default project the URL is %s", got)
	}
	if p.Endpoint.API = ""; p.URL() != "" {
		t.Error("a region without a gateway has a URL")
	}
}

func TestTheFirstSegmentOfAPathNamesAService(t *testing.T) {
	for segment, want := range map[string]release.Key{
		"hello": {Name: "hello"}, "till--shop": {Project: "shop", Name: "till"}, "a-b--c-d": {Project: "c-d", Name: "a-b"},
	} {
		if key, ok := release.ParseSegment(segment); !ok || key != want {
			t.Errorf("%s: %+v, %t", segment, key, ok)
		}
	}
	for _, key := range []release.Key{{Project: "default", Name: "hello"}, {Project: "shop", Name: "till"}} {
		if back, ok := release.ParseSegment(key.Segment()); !ok || back.Name != key.Name || (back.Project != "" && back.Project != key.Project) {
			t.Errorf("%s is read as %+v", key.Segment(), back)
		}
	}
	for _, wrong := range []string{"", "-", "--", "till--", "--shop", "till---shop", "a--b--c", "Till", "a/b"} {
		if key, ok := release.ParseSegment(wrong); ok {
			t.Errorf("%q is read as %+v", wrong, key)
		}
	}
}

func TestStatusesThatEnd(t *testing.T) {
	for status, ended := range map[release.Status]bool{release.Pending: false, release.Deploying: false, release.Ready: true, release.Failed: true, release.RolledBack: true, release.Superseded: true} {
		if status.Ended() != ended {
			t.Errorf("%s has ended: %t", status, !ended)
		}
	}
}

func TestARowSaysTheSameWheneverItWasRecorded(t *testing.T) {
	row := func() release.Service {
		return release.Service{Status: release.Running, Access: release.Public, Current: 1, Latest: 2, Message: "m", Regions: []release.Placed{{Region: "lon1"}}}
	}
	later := row()
	later.Version, later.UpdatedAt = 7, time.Now()
	if !row().Says(later) {
		t.Error("a later record of the same says something else")
	}
	for what, change := range map[string]func(*release.Service){
		"name": func(s *release.Service) { s.Key.Name = "x" }, "status": func(s *release.Service) { s.Status = release.Broken },
		"access": func(s *release.Service) { s.Access = release.ByKey }, "current": func(s *release.Service) { s.Current = 2 },
		"latest": func(s *release.Service) { s.Latest = 3 }, "message": func(s *release.Service) { s.Message = "" },
		"regions":      func(s *release.Service) { s.Regions[0].Status = release.Ready },
		"part removed": func(s *release.Service) { s.PartlyRemoved = true },
	} {
		other := row()
		if change(&other); row().Says(other) {
			t.Errorf("with another %s it says the same", what)
		}
	}
}
