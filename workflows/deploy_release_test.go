package workflows_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// worldWith is a world with regions that are ready.
func worldWith(names ...string) *world {
	w := newWorld()
	for _, name := range names {
		s := place(name)
		w.regions[s.Key()] = region.Region{Spec: s, Status: region.Ready, Endpoints: region.Endpoints{API: "http://" + name + ".example/"}, Version: 1}
	}
	return w
}

func numbered(n int) release.Release {
	return release.Release{Service: hello, Number: n, Status: release.Pending, Origin: release.Origin{Source: "sha256:" + strings.Repeat("a", 64), Package: "."},
		Spec: release.Spec{Access: release.Public, Port: 8080, Replicas: 1}}
}

func built(n int) *release.Release {
	r := numbered(n)
	r.Image, r.Status = fmt.Sprintf("registry/hello@sha256:%d", n), release.Ready
	return &r
}

func (p *play) deployed(in release.DeployInput) release.Release {
	p.t.Helper()
	p.w.releases[in.Release.Number] = in.Release
	if err := p.run(release.DeployWorkflow, in); err != nil {
		p.t.Fatal(err)
	}
	var end release.Outcome
	if err := p.GetWorkflowResult(&end); err != nil {
		p.t.Fatal(err)
	}
	if p.w.stale > 0 {
		p.t.Errorf("%d records were older than what was recorded", p.w.stale)
	}
	if kept := p.w.releases[in.Release.Number]; kept.Status != end.Release.Status || kept.Version != end.Release.Version || in.Release.Number == 0 {
		p.t.Errorf("recorded %s version %d, answered %s version %d", kept.Status, kept.Version, end.Release.Status, end.Release.Version)
	}
	return end.Release
}

// placed are the regions of a release as a list would show them.
func placed(list []release.Placed) string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = strings.TrimPrefix(p.Region, "micro/") + " " + string(p.Status)
	}
	return strings.Join(out, ", ")
}

func (w *world) runs() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, name := range []string{"lon1", "nyc3", "sgp1"} {
		if n, runs := w.running[name+"/"+hello.String()]; runs {
			out = append(out, fmt.Sprintf("%s %d", name, n))
		}
	}
	return strings.Join(out, ", ")
}

func TestAReleaseGoesToEveryRegion(t *testing.T) {
	w := worldWith("lon1", "nyc3", "sgp1")
	failed := place("fra1")
	w.regions[failed.Key()] = region.Region{Spec: failed, Status: region.Failed, Endpoints: region.Endpoints{API: "http://fra1/"}}
	r := newPlay(t, w).deployed(release.DeployInput{Release: numbered(1)})
	same(t, "runs", w.runs(), "lon1 1, nyc3 1, sgp1 1")
	same(t, "regions", placed(r.Regions), "lon1 ready, nyc3 ready, sgp1 ready")
	if r.Status != release.Ready || r.Image == "" || r.Regions[0].URL != "http://lon1.example/hello/" {
		t.Errorf("it ended as %+v", r)
	}
	if got := strings.Count(w.did("VerifyRelease"), "/1"); got != 3 {
		t.Errorf("it was verified through %d gateways", got)
	}
}

func TestRegionsAreServedAtOnce(t *testing.T) {
	w := worldWith("lon1", "nyc3", "sgp1")
	for _, name := range []string{"lon1", "nyc3", "sgp1"} {
		w.later("AwaitService "+name+"/1", 20*time.Second)
	}
	p := newPlay(t, w)
	began := p.Now()
	p.deployed(release.DeployInput{Release: numbered(1)})
	if took := p.Now().Sub(began); took > 40*time.Second {
		t.Errorf("three regions of about 20 s each took %s", took)
	}
}

func TestOneRegionThatFailsRollsBackAll(t *testing.T) {
	for _, stage := range []string{"ApplyService", "AwaitService", "VerifyRelease"} {
		t.Run(stage, func(t *testing.T) {
			w := worldWith("lon1", "nyc3", "sgp1")
			for _, name := range []string{"lon1", "nyc3", "sgp1"} {
				w.running[name+"/"+hello.String()] = 1
			}
			w.fails(stage+" nyc3/2", 1, fault.New(fault.Failed, "nyc3: it exits with 1"))
			r := newPlay(t, w).deployed(release.DeployInput{Release: numbered(2), Before: built(1)})
			same(t, "runs", w.runs(), "lon1 1, nyc3 1, sgp1 1")
			same(t, "regions", placed(r.Regions), "lon1 rolledback, nyc3 rolledback, sgp1 rolledback")
			same(t, "message", r.Message, "nyc3: it exits with 1")
			if r.Status != release.RolledBack || r.Regions[1].Message != "nyc3: it exits with 1" || r.Regions[0].URL != "http://lon1.example/hello/" {
				t.Errorf("it ended as %+v", r)
			}
			if got := strings.Count(w.did("VerifyRelease"), "/1"); got != 3 {
				t.Errorf("going back was verified in %d regions", got)
			}
		})
	}
}

func TestAFirstReleaseThatFailsLeavesNothing(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	w.fails("AwaitService lon1/1", 1, fault.New(fault.Failed, "it exits with 1"))
	r := newPlay(t, w).deployed(release.DeployInput{Release: numbered(1)})
	same(t, "runs", w.runs(), "")
	if r.Status != release.RolledBack || placed(r.Regions) != "lon1 rolledback, nyc3 rolledback" {
		t.Errorf("it ended as %+v", r)
	}
}

func TestEveryRegionsReasonIsTold(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	w.fails("AwaitService lon1/1", 1, fault.New(fault.Failed, "it exits with 1"))
	w.fails("AwaitService nyc3/1", 1, fault.New(fault.Failed, "nyc3: no room"))
	r := newPlay(t, w).deployed(release.DeployInput{Release: numbered(1)})
	same(t, "message", r.Message, "lon1: it exits with 1; nyc3: no room")
}

func TestGoingBackThatFailsIsTold(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	w.fails("AwaitService lon1/2", 1, fault.New(fault.Failed, "it exits with 1"))
	w.fails("ApplyService nyc3/1", 1, fault.New(fault.Denied, "no permission"))
	r := newPlay(t, w).deployed(release.DeployInput{Release: numbered(2), Before: built(1)})
	if r.Status != release.RolledBack || !strings.Contains(r.Message, "; going back failed in nyc3: no permission") || placed(r.Regions) != "lon1 rolledback, nyc3 failed" {
		t.Errorf("it ended as %+v", r)
	}
}

func TestABuildThatFailsTouchesNothing(t *testing.T) {
	w := worldWith("lon1")
	w.running["lon1/"+hello.String()] = 1
	w.fails("BuildImage 2", 1, fault.New(fault.Failed, "./main.go:7:2: undefined: fmt.Printl"))
	r := newPlay(t, w).deployed(release.DeployInput{Release: numbered(2), Before: built(1)})
	same(t, "message", r.Message, "./main.go:7:2: undefined: fmt.Printl")
	same(t, "runs", w.runs(), "lon1 1")
	if r.Status != release.Failed || w.did("ApplyService", "DeleteService") != "" {
		t.Errorf("it ended as %+v after %s", r, w.did("ApplyService", "DeleteService"))
	}
}

// What the compiler said comes beside the error, which logs hold, and reaches the service's owner.
func TestABuildThatDoesNotCompileSaysWhy(t *testing.T) {
	w := worldWith("lon1")
	wrong := fault.New(fault.Failed, "the source does not compile")
	wrong.Output = "./main.go:7:2: undefined: fmt.Printl"
	w.fails("BuildImage 1", 1, wrong)
	r := newPlay(t, w).deployed(release.DeployInput{Release: numbered(1)})
	same(t, "message", r.Message, "the source does not compile:\n./main.go:7:2: undefined: fmt.Printl")
}

// A builder that is busy, or does not get its turn, holds no slot and fails nothing.
func TestABuildWaitsForItsTurn(t *testing.T) {
	w := worldWith("lon1")
	busy := fault.New(fault.Throttled, "waits for a free builder")
	busy.RetryAfter = 10 * time.Second
	w.fails("BuildImage 1", 9, busy)
	if r := newPlay(t, w).deployed(release.DeployInput{Release: numbered(1)}); r.Status != release.Ready {
		t.Errorf("it ended as %+v", r)
	}
}

func TestADeployTellsWhereEachRegionIs(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	w.later("BuildImage 1", 10*time.Second)
	w.later("AwaitService lon1/1", 10*time.Second)
	w.fails("AwaitService nyc3/1", 1, fault.New(fault.Failed, "it exits with 1"))
	w.later("DeleteService lon1", 10*time.Second)
	p := newPlay(t, w)
	tells := func(after time.Duration, want string) {
		p.at(after, func() {
			var got release.Progress
			value, err := p.QueryWorkflow(release.ProgressQuery)
			if err != nil || value.Get(&got) != nil {
				t.Fatal(err)
			}
			text := got.Stage
			for _, r := range got.Regions {
				text += strings.TrimRight(fmt.Sprintf("; %s %s %s", region.ShortName(r.Region), r.Status, r.Stage), " ")
			}
			same(t, "progress", text, want)
		})
	}
	tells(5*time.Second, "image; lon1 pending; nyc3 pending")
	tells(20*time.Second, "rollout; lon1 deploying instances; nyc3 failed")
	tells(40*time.Second, "roll back; lon1 deploying; nyc3 rolledback")
	r := p.deployed(release.DeployInput{Release: numbered(1)})
	same(t, "status", string(r.Status), string(release.RolledBack))
}

func TestAnImageThatExistsIsPinned(t *testing.T) {
	w := worldWith("lon1")
	in := numbered(1)
	in.Origin = release.Origin{Image: "registry/other:v1"}
	r := newPlay(t, w).deployed(release.DeployInput{Release: in})
	same(t, "image", r.Image, "registry/other:v1@sha256:0")
	if w.did("BuildImage") != "" {
		t.Error("it was built")
	}
}

func TestAnImageThatIsKnownIsNotMadeAgain(t *testing.T) {
	w := worldWith("lon1")
	in := *built(3)
	in.Status = release.Pending
	newPlay(t, w).deployed(release.DeployInput{Release: in})
	if got := w.did("BuildImage", "ResolveImage"); got != "" {
		t.Errorf("it did %s", got)
	}
}

func TestWithoutARegionNothingIsBuilt(t *testing.T) {
	w := worldWith()
	r := newPlay(t, w).deployed(release.DeployInput{Release: numbered(1)})
	same(t, "message", r.Message, "no region of the project's platform is ready to take the service: apply a platform file first")
	if r.Status != release.Failed || w.did("BuildImage") != "" {
		t.Errorf("it ended as %+v", r)
	}
}

// A region became ready after the release went out.

func current(regions ...string) release.Release {
	r := *built(4)
	r.Version = 9
	for _, name := range regions {
		r.Regions = append(r.Regions, release.Placed{Region: "micro/" + name, Status: release.Ready, URL: "http://" + name + "/hello/"})
	}
	return r
}

func TestAReleaseIsBroughtToFurtherRegions(t *testing.T) {
	w := worldWith("lon1", "nyc3", "sgp1")
	in := current("lon1")
	w.during["Regions "] = func() { // a region that closes looks for it from now on
		if r := w.releases[4]; !r.BoundFor(region.Key{Platform: "micro", Name: "sgp1"}) || r.BoundFor(lon1().Key()) {
			t.Errorf("the release is recorded as %s", placed(r.Regions))
		}
	}
	r := newPlay(t, w).deployed(release.DeployInput{Release: in, Only: []string{"micro/sgp1"}, Version: in.Version})
	same(t, "runs", w.runs(), "sgp1 4")
	same(t, "regions", placed(r.Regions), "lon1 ready, sgp1 ready")
	for _, line := range w.heard {
		if line != "release 4 ready" {
			t.Errorf("a release that runs was recorded as %q", line)
		}
	}
}

func TestAFurtherRegionThatFailsIsTakenBackAlone(t *testing.T) {
	w := worldWith("lon1", "sgp1")
	w.running["lon1/"+hello.String()] = 4
	w.fails("AwaitService sgp1/4", 1, fault.New(fault.Failed, "no room"))
	in := current("lon1")
	r := newPlay(t, w).deployed(release.DeployInput{Release: in, Only: []string{"micro/sgp1"}, Version: in.Version})
	same(t, "runs", w.runs(), "lon1 4")
	same(t, "regions", placed(r.Regions), "lon1 ready, sgp1 rolledback")
	if r.Status != release.Ready || r.Message != "sgp1: no room" {
		t.Errorf("it ended as %s %q", r.Status, r.Message)
	}
}

func TestAFurtherRegionThatIsGoneIsNoFailure(t *testing.T) {
	w := worldWith("lon1")
	in := current("lon1")
	r := newPlay(t, w).deployed(release.DeployInput{Release: in, Only: []string{"micro/sgp1"}, Version: in.Version})
	if r.Status != release.Ready || placed(r.Regions) != "lon1 ready" {
		t.Errorf("it ended as %+v", r)
	}
}

// twin adds a region of another platform with the name of one of ours.
func (w *world) twin(name string) region.Key {
	s := place(name)
	s.Platform = "other"
	w.regions[s.Key()] = region.Region{Spec: s, Status: region.Ready, Endpoints: region.Endpoints{API: "http://" + name + ".other.example/"}, Version: 1}
	return s.Key()
}

func TestRegionsOfTheSameNameAreDifferentPlaces(t *testing.T) {
	w := worldWith("lon1")
	other := w.twin("lon1")
	in := current("lon1") // on ours
	r := newPlay(t, w).deployed(release.DeployInput{Release: in, Only: []string{other.String()}, Version: in.Version})
	same(t, "calls", w.did("ApplyService"), "ApplyService lon1/4")
	same(t, "regions", placed(r.Regions), "lon1 ready, other/lon1 ready")
	if url := r.Regions[1].URL; url != "http://lon1.other.example/hello/" {
		t.Errorf("it was brought to %s", url)
	}
}
