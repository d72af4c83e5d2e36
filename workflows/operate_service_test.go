package workflows_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

func request() release.Request {
	r := numbered(0)
	return release.Request{Service: hello, Origin: r.Origin, Spec: r.Spec, By: "ada"}
}

// serving runs OperateService until it ends.
func (p *play) serving(in release.OperateInput) error {
	p.t.Helper()
	in.Key = hello
	err := p.run(release.OperateWorkflow, in)
	if p.w.stale > 0 {
		p.t.Errorf("%d records were older than what was recorded", p.w.stale)
	}
	return err
}

// served runs it with a kill at the end, and fails the test when it does not end well.
func (p *play) served(d time.Duration) {
	p.t.Helper()
	kill := p.command(d, release.KillUpdate, "the-end", release.KillInput{By: "ada"})
	if err := p.serving(release.OperateInput{}); err != nil {
		p.t.Fatal(err)
	}
	kill.ok(p.t)
	if got := p.w.runs(); got != "" {
		p.t.Errorf("after the kill there still run %s", got)
	}
	if s := p.w.services[hello]; s.Status != release.Killed || len(s.Regions) > 0 || s.Current != 0 {
		p.t.Errorf("the service is recorded as %+v", s)
	}
}

func (p *play) deploy(d time.Duration, id string) *answer {
	return p.command(d, release.DeployUpdate, id, request())
}

func (p *play) rollback(d time.Duration, id string, to int) *answer {
	return p.command(d, release.RollbackUpdate, id, release.RollbackInput{To: to, By: "ada"})
}

func (a *answer) release(t *testing.T) int {
	t.Helper()
	a.ok(t)
	return a.Value.(release.Accepted).Release
}

// expect looks at what runs at some moment.
func (p *play) expect(d time.Duration, runs string, status release.ServiceStatus, current int) {
	p.at(d, func() {
		p.t.Helper()
		same(p.t, fmt.Sprintf("runs after %s", d), p.w.runs(), runs)
		if s := p.w.services[hello]; s.Status != status || s.Current != current {
			p.t.Errorf("after %s the service is %s with release %d, want %s with %d (%s)", d, s.Status, s.Current, status, current, s.Message)
		}
	})
}

func TestAServiceLivesFromDeployToKill(t *testing.T) {
	p := newPlay(t, worldWith("lon1", "nyc3"))
	first, second := p.deploy(0, "a"), p.deploy(time.Hour, "b")
	p.expect(30*time.Minute, "lon1 1, nyc3 1", release.Running, 1)
	p.expect(2*time.Hour, "lon1 2, nyc3 2", release.Running, 2)
	p.served(3 * time.Hour)
	if first.release(t) != 1 || second.release(t) != 2 {
		t.Errorf("releases %+v, %+v", first.Value, second.Value)
	}
	if a, b := p.w.releases[1], p.w.releases[2]; a.Status != release.Superseded || b.Status != release.Superseded {
		t.Errorf("releases ended as %s and %s", a.Status, b.Status)
	}
	if s := p.w.services[hello]; s.Latest != 2 || s.CreatedAt.IsZero() {
		t.Errorf("recorded %+v", s)
	}
}

func TestOfReleasesThatWaitTheNewestWins(t *testing.T) {
	w := worldWith("lon1")
	w.later("AwaitService lon1/1", 30*time.Second)
	w.later("DeleteService lon1", 30*time.Second) // being overtaken, it takes its time to go
	p := newPlay(t, w)
	answers := []*answer{p.deploy(0, "a"), {}, {}, {}}
	p.at(5*time.Second, func() {
		for i, id := range []string{"b", "c", "d"} {
			p.UpdateWorkflow(release.DeployUpdate, id, answers[i+1], request())
		}
	})
	p.expect(time.Hour, "lon1 4", release.Running, 4)
	p.served(2 * time.Hour)
	given := map[int]bool{}
	for _, a := range answers {
		given[a.release(t)] = true
	}
	if len(given) != 4 {
		t.Errorf("four commands were given %v", given)
	}
	if got := w.did("ApplyService"); got != "ApplyService lon1/1, ApplyService lon1/4" {
		t.Errorf("brought out: %s", got)
	}
	for _, n := range []int{2, 3} {
		if r := w.releases[n]; r.Status != release.Superseded || r.Message == "" {
			t.Errorf("release %d is recorded as %s %q", n, r.Status, r.Message)
		}
	}
}

func TestAnOlderReleaseNeverReplacesANewer(t *testing.T) {
	w := worldWith("lon1")
	w.during["AllocateRelease c"] = func() { // an owner that was lost had asked for b: the database gives it its number only now
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.byKey["b"] == 0 {
			w.byKey["b"], w.releases[1] = 1, numbered(1)
		}
	}
	p := newPlay(t, w)
	p.deploy(0, "c") // is given 2
	p.deploy(5*time.Second, "b")
	p.expect(time.Hour, "lon1 2", release.Running, 2)
	p.served(2 * time.Hour)
	if r := w.releases[1]; r.Status != release.Superseded || r.Message != "a newer release was asked for before its turn came" {
		t.Errorf("release 1 is recorded as %s %q", r.Status, r.Message)
	}
	same(t, "brought out", w.did("ApplyService"), "ApplyService lon1/2")
}

// The owner finds a release when it begins, which also answers the command that asks for it once more: whenever that hears of it,
// the release has had its turn.
func TestAReleaseThatHadItsTurnIsNotSuperseded(t *testing.T) {
	w := worldWith("lon1")
	w.byKey["b"], w.releases[1] = 1, numbered(1)
	w.after["AllocateRelease b"] = func() { // the number is known; the answer takes as long as a deploy
		for range 1000 {
			time.Sleep(time.Millisecond)
			w.mu.Lock()
			done := w.services[hello].Current == 1
			w.mu.Unlock()
			if done {
				return
			}
		}
		t.Error("the release that was found is not deployed meanwhile")
	}
	p := newPlay(t, w)
	again := p.deploy(0, "b")
	p.expect(time.Hour, "lon1 1", release.Running, 1)
	p.at(time.Hour, func() {
		if r := w.releases[1]; r.Status != release.Ready {
			t.Errorf("release 1 is recorded as %s %q", r.Status, r.Message)
		}
	})
	p.served(2 * time.Hour)
	if again.release(t) != 1 {
		t.Errorf("answered %+v", again.Value)
	}
}

func TestAFirstReleaseThatFailsIsNoServiceThatStarts(t *testing.T) {
	w := worldWith("lon1")
	w.fails("BuildImage 1", 1, fault.New(fault.Failed, "main.go:1: expected 'package'"))
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.expect(time.Hour, "", release.Broken, 0)
	p.at(time.Hour, func() {
		s := w.services[hello]
		if !strings.Contains(s.Message, "main.go:1: expected 'package'") || s.Access != release.Public {
			t.Errorf("recorded %+v", s)
		}
	})
	p.deploy(2*time.Hour, "b")
	p.expect(3*time.Hour, "lon1 2", release.Running, 2)
	p.served(4 * time.Hour)
}

func TestAReleaseThatFailsLeavesTheCurrentOne(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	w.fails("AwaitService nyc3/2", 1, fault.New(fault.Failed, "it exits with 1"))
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.deploy(time.Hour, "b")
	p.expect(2*time.Hour, "lon1 1, nyc3 1", release.Running, 1)
	p.at(2*time.Hour, func() {
		if s := w.services[hello]; s.Message != "release 2 was rolled back: nyc3: it exits with 1" {
			t.Errorf("the service says %q", s.Message)
		}
	})
	bad := p.rollback(2*time.Hour, "r", 2)
	none := p.rollback(2*time.Hour, "s", 0)
	p.served(3 * time.Hour)
	for a, want := range map[*answer]string{bad: "there is no release 2 to go back to", none: "there is no earlier release to go back to"} {
		if a.Rejected == nil || !strings.Contains(a.Rejected.Error(), want) {
			t.Errorf("a rollback to what never ran: %+v, want %q", a, want)
		}
	}
}

func TestRollbackGoesBackAndNotForthAgain(t *testing.T) {
	w := worldWith("lon1")
	p := newPlay(t, w)
	for i, id := range []string{"a", "b", "c"} {
		p.deploy(time.Duration(i)*time.Hour, id)
	}
	p.rollback(3*time.Hour, "d", 0) // 4 = 2
	p.rollback(4*time.Hour, "e", 0) // 5 = 1
	none := p.rollback(5*time.Hour, "f", 0)
	named := p.rollback(6*time.Hour, "g", 3) // 6 = 3
	p.served(8 * time.Hour)
	for n, want := range map[int]int{4: 2, 5: 1, 6: 3} {
		if r := w.releases[n]; r.RollsBack != want || r.Image != w.releases[want].Image {
			t.Errorf("release %d repeats %d with image %s, want %d", n, r.RollsBack, r.Image, want)
		}
	}
	if none.Rejected == nil || !strings.Contains(none.Rejected.Error(), "no earlier release") {
		t.Errorf("a third rollback: %+v", none)
	}
	if named.release(t) != 6 {
		t.Error("a release that is named can be gone back to")
	}
	if got := strings.Count(w.did("BuildImage"), "BuildImage"); got != 3 {
		t.Errorf("%d builds, want 3", got)
	}
}

func TestARollbackThatFailsIsNotGoneBackFrom(t *testing.T) {
	w := worldWith("lon1")
	w.fails("AwaitService lon1/3", 1, fault.New(fault.Failed, "no room"))
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.deploy(time.Hour, "b")
	p.rollback(2*time.Hour, "c", 0)
	p.expect(3*time.Hour, "lon1 2", release.Running, 2)
	p.rollback(3*time.Hour, "d", 0)
	p.expect(4*time.Hour, "lon1 4", release.Running, 4)
	p.served(5 * time.Hour)
	if got := w.releases[4].RollsBack; got != 1 {
		t.Errorf("the second attempt repeats %d", got)
	}
}

func TestWhatAServiceRefuses(t *testing.T) {
	p := newPlay(t, worldWith("lon1"))
	p.deploy(0, "a")
	other, broken := request(), request()
	other.Service.Name, broken.Spec.Port = "bye", 99999
	wrong, bad := p.command(time.Minute, release.DeployUpdate, "b", other), p.command(time.Minute, release.DeployUpdate, "c", broken)
	p.at(time.Hour, func() { p.w.later("DeleteService lon1", 20*time.Second) })
	late, back := p.deploy(time.Hour+5*time.Second, "d"), p.rollback(time.Hour+5*time.Second, "e", 0)
	p.served(time.Hour)
	for _, c := range []struct {
		answer *answer
		kind   fault.Kind
		words  string
	}{
		{wrong, fault.Conflict, "the request names default/bye"}, {bad, fault.Invalid, "port: 99999 is not between 1 and 65535"},
		{late, fault.Conflict, "it is being killed: deploy again when it is gone"}, {back, fault.Conflict, "it is being killed"},
	} {
		var app *temporal.ApplicationError
		if !errors.As(c.answer.Rejected, &app) || app.Type() != string(c.kind) || !strings.Contains(app.Message(), c.words) {
			t.Errorf("want it refused as %s with %q, got %+v", c.kind, c.words, c.answer)
		}
	}
}

func TestAReleaseAskedForWhileTheEndIsRecordedIsNotLost(t *testing.T) {
	w := worldWith("lon1")
	p := newPlay(t, w)
	p.deploy(0, "a")
	kill := p.command(time.Hour, release.KillUpdate, "k", release.KillInput{})
	p.at(time.Hour, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.failing["RecordService hello"] = append([]error{nil}, unavailable(5)...) // deleting is recorded, deleted hangs
	})
	again := p.deploy(time.Hour+2*time.Second, "b")
	p.expect(2*time.Hour, "lon1 2", release.Running, 2)
	p.served(3 * time.Hour)
	kill.ok(t)
	if again.release(t) != 2 {
		t.Errorf("it was given release %d", again.release(t))
	}
}

func unavailable(times int) []error {
	out := make([]error, times)
	for i := range out {
		out[i] = fault.New(fault.Unavailable, "the database is away")
	}
	return out
}

func TestADeployThatComesWhileAKillIsRecalledIsRefused(t *testing.T) {
	w := released(t, "lon1")
	s := w.services[hello]
	s.Status = release.Killing
	w.services[hello] = s
	w.later("ServiceHistory hello", 10*time.Second)
	p := newPlay(t, w)
	late := p.deploy(time.Second, "late")
	if err := p.serving(release.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	late.refused(t, "it is being killed: deploy again when it is gone")
	if w.runs() != "" || w.services[hello].Status != release.Killed || len(w.releases) != 2 {
		t.Errorf("the service is %+v and runs %s", w.services[hello], w.runs())
	}
}

func TestAReleaseAskedForBeforeAKillDoesNotOutliveIt(t *testing.T) {
	w := worldWith("lon1")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.at(time.Minute, func() { w.fails("AllocateRelease b", 5, fault.New(fault.Unavailable, "the database is away")) })
	p.deploy(time.Hour, "b")
	p.served(time.Hour + time.Second)
	if r := w.releases[2]; r.Status != release.Superseded || r.Message != "the service was killed" {
		t.Errorf("release 2 is recorded as %s %q", r.Status, r.Message)
	}
}

func TestAKillThatFailsCanBeRepeated(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.at(time.Minute, func() { w.fails("DeleteService nyc3", 1, fault.New(fault.Denied, "no permission")) })
	first := p.command(time.Hour, release.KillUpdate, "k", release.KillInput{})
	p.at(2*time.Hour, func() {
		if s := w.services[hello]; s.Status != release.Broken || s.Message != "kill: nyc3: no permission. Run `m3o kill hello` again" {
			t.Errorf("recorded %s %q", s.Status, s.Message)
		}
	})
	p.served(3 * time.Hour)
	first.ok(t)
}

func TestAKillReachesRegionsThatTakeNoServicesNow(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.at(time.Minute, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		r := w.regions[place("nyc3").Key()]
		r.Status = region.Failed
		w.regions[r.Spec.Key()] = r
		bare := w.regions[place("lon1").Key()] // its gateway was taken out of the file
		bare.Served, bare.Endpoints.API = true, ""
		w.regions[bare.Spec.Key()] = bare
	})
	p.served(time.Hour)
}

func TestAKilledServiceIsDeployedAgain(t *testing.T) {
	w := worldWith("lon1")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.served(time.Hour)
	before := w.services[hello].Version
	p = newPlay(t, w)
	again := p.deploy(0, "b")
	p.expect(time.Minute, "lon1 2", release.Running, 2)
	p.at(time.Minute, func() {
		if w.services[hello].Version <= before {
			t.Error("its versions began anew")
		}
	})
	p.served(time.Hour)
	if again.release(t) != 2 {
		t.Error("numbers began anew")
	}
}

func TestACommandOfAnEarlierLifeIsNotDoneAgain(t *testing.T) {
	w := worldWith("lon1")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.served(time.Hour)
	p = newPlay(t, w)
	w.calls = nil
	again := p.deploy(0, "a")
	if err := p.serving(release.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	if again.release(t) != 1 || w.did("ApplyService") != "" {
		t.Errorf("it was answered with %+v and did %s", again.Value, w.did("ApplyService"))
	}
}

// Regions come and go.

func (p *play) ready(d time.Duration, name string) {
	p.at(d, func() {
		p.w.mu.Lock()
		s := place(name)
		p.w.regions[s.Key()] = region.Region{Spec: s, Status: region.Ready, Endpoints: region.Endpoints{API: "http://" + name + ".example/"}, Version: 1}
		p.w.mu.Unlock()
		p.SignalWorkflow(release.RegionReadySignal, release.RegionFact{Region: "micro/" + name})
	})
}

func (p *play) gone(d time.Duration, name string) {
	p.at(d, func() {
		p.w.mu.Lock()
		delete(p.w.regions, place(name).Key())
		delete(p.w.running, name+"/"+hello.String())
		p.w.mu.Unlock()
		p.SignalWorkflow(release.RegionRemovedSignal, release.RegionFact{Region: "micro/" + name})
	})
}

func TestARegionThatBecomesReadyGetsTheCurrentRelease(t *testing.T) {
	p := newPlay(t, worldWith("lon1"))
	p.deploy(0, "a")
	p.at(time.Hour, func() { p.w.calls = nil })
	p.ready(time.Hour, "nyc3")
	p.expect(2*time.Hour, "lon1 1, nyc3 1", release.Running, 1)
	p.at(2*time.Hour, func() {
		if got := p.w.did("RecordService", "ApplyService"); got != "RecordService hello, ApplyService nyc3/1, RecordService hello" {
			t.Errorf("a placement is not between two records: %s", got)
		}
	})
	p.ready(2*time.Hour, "nyc3") // told twice
	p.gone(3*time.Hour, "lon1")
	p.at(4*time.Hour, func() { same(t, "regions", placed(p.w.services[hello].Regions), "nyc3 ready") })
	p.deploy(4*time.Hour, "b")
	p.expect(5*time.Hour, "nyc3 2", release.Running, 2)
	p.served(6 * time.Hour)
	if got := strings.Count(p.w.did("ApplyService nyc3/1"), "Apply"); got != 1 {
		t.Errorf("the release was brought to the region %d times", got)
	}
}

// rebuilt is a region that has another cluster than before, an empty one.
func (p *play) rebuilt(d time.Duration, name, cluster string) {
	p.at(d, func() {
		p.w.rebuild(name, cluster)
		p.SignalWorkflow(release.RegionReadySignal, release.RegionFact{Region: "micro/" + name, Cluster: cluster})
	})
}

func (w *world) rebuild(name, cluster string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.regions[place(name).Key()]
	r.Cluster.ID = cluster
	w.regions[r.Spec.Key()] = r
	delete(w.running, name+"/"+hello.String())
}

func TestAClusterThatIsMadeAnewGetsTheCurrentRelease(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	w.rebuild("lon1", "first")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.rebuilt(time.Hour, "lon1", "second")
	p.expect(2*time.Hour, "lon1 1, nyc3 1", release.Running, 1)
	p.at(2*time.Hour, func() {
		p.SignalWorkflow(release.RegionReadySignal, release.RegionFact{Region: "micro/lon1", Cluster: "second"})
	}) // told twice
	p.at(3*time.Hour, func() { same(t, "brought", w.did("ApplyService lon1"), "ApplyService lon1/1, ApplyService lon1/1") })
	p.served(4 * time.Hour)
}

// What could not be placed is taken away again each time, not only the first.
func TestEveryPlacementThatFailsLeavesNothing(t *testing.T) {
	w := worldWith("lon1")
	w.fails("AwaitService nyc3/1", 2, fault.New(fault.Failed, "it exits with 1"))
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.ready(time.Hour, "nyc3")
	p.expect(time.Hour+2*time.Minute, "lon1 1", release.Running, 1) // the second try was after a minute
	p.expect(2*time.Hour, "lon1 1, nyc3 1", release.Running, 1)
	p.at(2*time.Hour, func() {
		if tries := strings.Count(w.did("ApplyService nyc3"), "nyc3/1"); tries != 3 {
			t.Errorf("it was placed %d times", tries)
		}
	})
	p.served(3 * time.Hour)
}

func TestARegionThatIsMadeAnewDuringADeployIsNotForgotten(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.at(time.Minute, func() { w.later("AwaitService lon1/2", 40*time.Second) })
	p.deploy(time.Hour, "b")
	p.gone(time.Hour+5*time.Second, "nyc3")
	p.ready(time.Hour+6*time.Second, "nyc3")
	p.expect(2*time.Hour, "lon1 2, nyc3 2", release.Running, 2)
	p.served(3 * time.Hour)
}

func TestAServiceContinuesAsNewOnlyWhenIdle(t *testing.T) {
	w := worldWith("lon1")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.at(time.Minute, func() {
		p.SetContinueAsNewSuggested(true)
		w.later("AwaitService lon1/2", 20*time.Second)
	})
	p.deploy(time.Minute, "b")
	p.ready(time.Minute+3*time.Second, "nyc3")
	err := p.serving(release.OperateInput{})
	var next *workflow.ContinueAsNewError
	if !errors.As(err, &next) {
		t.Fatalf("it ended with %v, want it to continue as new", err)
	}
	same(t, "runs", w.runs(), "lon1 2, nyc3 2")
	in := carried[release.OperateInput](t, next)
	if in.State.Current == nil || in.State.Current.Number != 2 || in.State.Latest != 2 || len(in.State.Previous) != 1 || len(in.State.Answers.Order) != 2 {
		t.Errorf("it carries %+v", in.State)
	}
	p = newPlay(t, w) // the next run
	repeated, back := p.deploy(0, "b"), p.rollback(time.Minute, "c", 0)
	kill := p.command(time.Hour, release.KillUpdate, "k", release.KillInput{})
	if err := p.serving(in); err != nil {
		t.Fatal(err)
	}
	kill.ok(t)
	if repeated.release(t) != 2 || back.release(t) != 3 || w.releases[3].RollsBack != 1 {
		t.Errorf("answered %+v and %+v; release 3 repeats %d", repeated.Value, back.Value, w.releases[3].RollsBack)
	}
}

func TestAFactThatComesWithTheLastEventIsCarriedOver(t *testing.T) {
	w := worldWith("lon1")
	p := newPlay(t, w)
	p.SetContinueAsNewSuggested(true)
	p.deploy(0, "a")
	told := false
	w.during["RecordService hello"] = func() {
		w.mu.Lock()
		last := w.releases[1].Status == release.Ready && !told
		told = told || last
		w.mu.Unlock()
		if last { // it arrives with the end of the last call, in one task
			p.SignalWorkflowSkippingWorkflowTask(release.RegionReadySignal, release.RegionFact{Region: "micro/nyc3"})
		}
	}
	err := p.serving(release.OperateInput{})
	var next *workflow.ContinueAsNewError
	if !errors.As(err, &next) {
		t.Fatalf("it ended with %v", err)
	}
	in := carried[release.OperateInput](t, next)
	if !told || in.State.Placements != 1 && len(in.State.Regions) == 0 {
		t.Errorf("the region was forgotten: told %t, placed %d times, waiting %v", told, in.State.Placements, in.State.Regions)
	}
}

func TestADeployThatSomebodyEndedIsAFailure(t *testing.T) {
	w := worldWith("lon1")
	w.later("AwaitService lon1/1", 40*time.Second)
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.at(10*time.Second, func() { p.CancelWorkflowByID(hello.DeployID(1), "") })
	p.at(time.Hour, func() {
		if r := w.releases[1]; r.Status != release.Failed {
			t.Errorf("release 1 is recorded as %s", r.Status)
		}
	})
	p.deploy(2*time.Hour, "b")
	p.expect(3*time.Hour, "lon1 2", release.Running, 2)
	p.served(4 * time.Hour)
}

func TestProgressOfAService(t *testing.T) {
	w := worldWith("lon1")
	w.later("AwaitService lon1/1", 40*time.Second)
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.at(10*time.Second, func() {
		var got release.Progress
		value, err := p.QueryWorkflow(release.ProgressQuery)
		if err != nil || value.Get(&got) != nil || got.Release != 1 || got.Stage != "deploying" || !strings.Contains(got.Waiting, hello.DeployID(1)) {
			t.Errorf("progress is %+v, %v", got, err)
		}
	})
	p.served(time.Hour)
}

func TestARegionThatCouldNotBeServedIsTriedAgain(t *testing.T) {
	w := worldWith("lon1")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.at(time.Hour, func() { w.fails("AwaitService nyc3/1", 3, fault.New(fault.Failed, "no room")) })
	p.ready(time.Hour, "nyc3")
	p.expect(time.Hour+10*time.Second, "lon1 1", release.Running, 1)
	p.ready(time.Hour+20*time.Second, "sgp1") // another one comes in between
	p.at(time.Hour+30*time.Second, func() { w.fails("BuildImage 2", 1, fault.New(fault.Failed, "does not compile")) })
	p.deploy(time.Hour+40*time.Second, "b") // and a release that does not come to any region
	p.expect(3*time.Hour, "lon1 1, nyc3 1, sgp1 1", release.Running, 1)
	p.served(4 * time.Hour)
	if got := strings.Count(w.did("ApplyService nyc3/1"), "Apply"); got != 4 {
		t.Errorf("the region was tried %d times, want 4", got)
	}
}

func TestARegionThatCannotGoBackIsTriedAgain(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.at(time.Minute, func() {
		w.fails("AwaitService lon1/2", 1, fault.New(fault.Failed, "it exits with 1"))
		w.fails("ApplyService nyc3/1", 2, fault.New(fault.Denied, "no permission"))
	})
	p.deploy(time.Hour, "b")
	p.at(time.Hour+20*time.Second, func() { same(t, "regions", placed(w.services[hello].Regions), "lon1 ready, nyc3 failed") })
	p.expect(3*time.Hour, "lon1 1, nyc3 1", release.Running, 1)
	p.at(3*time.Hour, func() { same(t, "regions", placed(w.services[hello].Regions), "lon1 ready, nyc3 ready") })
	p.served(4 * time.Hour)
}

// What becomes of another platform's region of the same name is no business of ours.
func TestARegionThatGoesTakesNothingFromItsNamesake(t *testing.T) {
	w := worldWith("lon1")
	other := w.twin("lon1")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.at(time.Hour, func() { same(t, "regions", placed(w.services[hello].Regions), "lon1 ready, other/lon1 ready") })
	p.at(2*time.Hour, func() {
		w.mu.Lock()
		delete(w.regions, other)
		w.mu.Unlock()
		p.SignalWorkflow(release.RegionRemovedSignal, release.RegionFact{Region: other.String()})
	})
	p.at(3*time.Hour, func() { same(t, "regions", placed(w.services[hello].Regions), "lon1 ready") })
	p.served(4 * time.Hour)
}
