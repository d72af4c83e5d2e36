package workflows_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/workflows"
)

func wants(nodes int) region.ApplyInput {
	s := lon1()
	s.Kubernetes.Nodes.Count = nodes
	return region.ApplyInput{Spec: s, By: "ada"}
}

// operated runs OperateRegion until it ends.
func (p *play) operated(in region.OperateInput) error {
	p.t.Helper()
	in.Key = lon1().Key()
	err := p.run(region.OperateWorkflow, in)
	if p.w.stale > 0 {
		p.t.Errorf("%d records were older than what was recorded", p.w.stale)
	}
	return err
}

// removedAt orders the end of the region, with which its workflow ends.
func (p *play) removedAt(d time.Duration) *answer {
	return p.command(d, region.RemoveUpdate, "the-end", region.RemoveInput{By: "ada"})
}

func (a *answer) accepted(t *testing.T) region.Accepted {
	t.Helper()
	a.ok(t)
	return a.Value.(region.Accepted)
}

func (a *answer) refused(t *testing.T, words string) {
	t.Helper()
	err := errors.Join(a.Rejected, a.Err)
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Type() != string(fault.Conflict) || !strings.Contains(app.Message(), words) {
		t.Errorf("want it refused with %q, got %+v", words, a)
	}
}

func TestARegionLivesFromApplyToRemove(t *testing.T) {
	w := newWorld()
	w.services[hello] = serviceRow()
	p := newPlay(t, w)
	apply := p.command(0, region.ApplyUpdate, "a", wants(1))
	remove := p.removedAt(time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	if got := apply.accepted(t); got.Operation != 1 || got.Status != region.Planned {
		t.Errorf("apply was answered with %+v", got)
	}
	if got := remove.accepted(t); got.Operation != 2 {
		t.Errorf("remove was answered with %+v", got)
	}
	same(t, "recorded", strings.Join(w.told, ", "), "lon1 planned, lon1 creating, lon1 ready, lon1 deleting, lon1 deleted")
	same(t, "services were told", w.did("RegionRe"), "RegionReady hello lon1, RegionRemoved hello lon1")
	if len(w.clusters)+len(w.networks) > 0 {
		t.Error("something is left in the cloud")
	}
}

func TestTheAnswerComesAfterTheRecord(t *testing.T) {
	w := newWorld()
	p := newPlay(t, w)
	a := &answer{}
	p.at(0, func() {
		p.UpdateWorkflow(region.ApplyUpdate, "a", recorded{a, func() {
			if w.regions[lon1().Key()].Status == "" {
				t.Error("the command was answered before a look could find the region")
			}
		}}, wants(1))
	})
	b := &answer{}
	p.at(time.Minute, func() {
		p.UpdateWorkflow(region.RemoveUpdate, "b", recorded{b, func() {
			if r := w.regions[lon1().Key()]; r.Status != region.Deleting || r.Operation != 2 || w.did("DeleteCluster") != "" {
				t.Errorf("the removal was answered with the region at %s, operation %d", r.Status, r.Operation)
			}
		}}, region.RemoveInput{By: "ada"})
	})
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	a.ok(t)
	b.ok(t)
}

type recorded struct {
	*answer
	look func()
}

func (r recorded) Complete(v any, err error) { r.look(); r.answer.Complete(v, err) }

func TestOrdersAreDoneInTheOrderOfTheCommands(t *testing.T) {
	w := newWorld()
	w.later("RecordRegion lon1", 3*time.Second) // the first command hangs on the database while the others come
	p := newPlay(t, w)
	answers := []*answer{p.command(0, region.ApplyUpdate, "a", wants(1)), {}, {}}
	p.at(time.Second, func() {
		p.UpdateWorkflow(region.ApplyUpdate, "b", answers[1], wants(2))
		p.UpdateWorkflow(region.ApplyUpdate, "c", answers[2], wants(3))
	})
	p.at(time.Hour, func() {
		if r := w.regions[lon1().Key()]; r.Spec.Kubernetes.Nodes.Count != 3 || r.Status != region.Ready {
			t.Errorf("the last command wanted 3 nodes; there are %d, %s", r.Spec.Kubernetes.Nodes.Count, r.Status)
		}
	})
	p.removedAt(time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	for i, a := range answers {
		if got := a.accepted(t); got.Operation != i+1 {
			t.Errorf("command %d is operation %d", i+1, got.Operation)
		}
	}
	if got := strings.Count(w.did("EnsureNetwork"), "EnsureNetwork"); got != 3 {
		t.Errorf("%d bootstraps, want 3", got)
	}
}

func TestTheSameCommandIsDoneOnce(t *testing.T) {
	w := newWorld()
	p := newPlay(t, w)
	state := region.State{Phase: region.Idle, Version: 5, Operation: 4, Region: region.Region{Spec: lon1(), Status: region.Ready}}
	state.Answers.Remember("a", region.Accepted{Operation: 4, Status: region.Planned})
	again := p.command(0, region.ApplyUpdate, "a", wants(7))
	p.removedAt(time.Minute)
	if err := p.operated(region.OperateInput{State: state}); err != nil {
		t.Fatal(err)
	}
	if got := again.accepted(t); got.Operation != 4 {
		t.Errorf("the repetition was answered with %+v", got)
	}
	if got := w.did("EnsureNetwork"); got != "" {
		t.Errorf("the repetition did %s", got)
	}
}

func TestARepetitionIsAnsweredEvenWhenItWouldBeRefusedNow(t *testing.T) {
	p := newPlay(t, newWorld())
	state := region.State{Phase: region.Idle, Version: 5, Operation: 4, Region: region.Region{Spec: lon1(), Status: region.Ready, Served: true}}
	state.Answers.Remember("a", region.Accepted{Operation: 4})
	moved := wants(1)
	moved.Spec.Location = "elsewhere"
	again := p.command(0, region.ApplyUpdate, "a", moved)
	fresh := p.command(0, region.ApplyUpdate, "b", moved)
	p.removedAt(time.Minute)
	if err := p.operated(region.OperateInput{State: state}); err != nil {
		t.Fatal(err)
	}
	again.accepted(t)
	fresh.refused(t, "region of region micro/lon1 cannot be changed in place")
}

func TestWhatARegionRefuses(t *testing.T) {
	w := newWorld()
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	other := wants(1)
	other.Spec.Name = "fra1"
	wrong := p.command(time.Minute, region.ApplyUpdate, "b", other)
	idle := p.command(time.Minute, region.RetryUpdate, "c", region.RetryInput{})
	key := p.command(time.Minute, region.KubeconfigUpdate, "d", adas([]byte("short")))
	remove := p.removedAt(time.Hour)
	p.at(time.Hour, func() { w.later("DeleteCluster lon1", 20*time.Second) })
	late := p.command(time.Hour+5*time.Second, region.ApplyUpdate, "e", wants(2))
	retry := p.command(time.Hour+5*time.Second, region.RetryUpdate, "f", region.RetryInput{})
	twice := p.command(time.Hour+5*time.Second, region.RemoveUpdate, "g", region.RemoveInput{})
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	wrong.refused(t, "the specification names region micro/fra1, not micro/lon1")
	idle.refused(t, "there is nothing to retry")
	key.refused(t, "public_key: must be 32 bytes, not 5")
	late.refused(t, "is being removed: apply again when it is gone")
	retry.refused(t, "is being removed")
	if first, second := remove.accepted(t), twice.accepted(t); first.Operation != second.Operation {
		t.Errorf("two removals are operations %d and %d", first.Operation, second.Operation)
	}
	if got := w.did("Sweep"); got != "Sweep lon1" {
		t.Errorf("the region was taken down more than once: %s", got)
	}
}

// adas asks for a kubeconfig, as ada does.
func adas(key []byte) region.KubeconfigInput {
	return region.KubeconfigInput{PublicKey: key, Access: region.Access{By: "ada", Role: region.RoleAdmin, For: time.Hour}}
}

func TestAKubeconfigIsSealed(t *testing.T) {
	w := newWorld()
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	sealed := p.command(time.Minute, region.KubeconfigUpdate, "k", adas(make([]byte, 32)))
	p.removedAt(time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	sealed.ok(t)
	if box := sealed.Value.(region.SealedKubeconfig).Sealed; len(box) == 0 || strings.Contains(string(box), "kubeconfig") {
		t.Errorf("the kubeconfig is not sealed: %q", box)
	}
}

// A region is looked into most while it comes up.
func TestAKubeconfigOfARegionThatComesUp(t *testing.T) {
	w := newWorld()
	w.later("RecordRegion lon1", 3*time.Second)
	w.later("AwaitParts lon1", 40*time.Second)
	p := newPlay(t, w)
	ask := func(d time.Duration, id string) *answer {
		return p.command(d, region.KubeconfigUpdate, id, adas(make([]byte, 32)))
	}
	p.command(0, region.ApplyUpdate, "a", wants(1))
	before, during := ask(time.Second, "k1"), ask(30*time.Second, "k2")
	p.at(35*time.Second, func() { w.fails("Access lon1", 100, fault.New(fault.Unavailable, "the cluster has no kubeconfig yet")) })
	asked, told := p.Now().Add(35*time.Second), time.Time{}
	early := &answer{}
	p.at(35*time.Second, func() {
		p.UpdateWorkflow(region.KubeconfigUpdate, "k3", recorded{early, func() { told = p.Now() }}, adas(make([]byte, 32)))
	})
	p.removedAt(time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	before.refused(t, "region micro/lon1 has no cluster yet")
	during.ok(t)
	if early.Err == nil || !strings.Contains(early.Err.Error(), "has no kubeconfig yet") || told.Sub(asked) > 20*time.Second {
		t.Errorf("after %s it is said: %v", told.Sub(asked), early.Err)
	}
}

func TestRemovingWhileABootstrapWaitsForQuota(t *testing.T) {
	w := newWorld()
	w.fails("EnsureCluster lon1", 1, fault.New(fault.Quota, "droplet limit reached"))
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	p.removedAt(time.Minute)
	began := p.Now()
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	if took := p.Now().Sub(began); took > time.Hour {
		t.Errorf("the removal waited %s", took)
	}
	if len(w.networks)+len(w.clusters) > 0 || w.regions[lon1().Key()].Status != region.Deleted {
		t.Errorf("something is left: %v %v, %s", w.networks, w.clusters, w.regions[lon1().Key()].Status)
	}
}

func TestRemovingInTheMomentABootstrapBegins(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond} {
		w := newWorld()
		w.fails("EnsureCluster lon1", 1, fault.New(fault.Quota, "droplet limit reached"))
		p := newPlay(t, w)
		p.command(0, region.ApplyUpdate, "a", wants(1))
		p.removedAt(d)
		began := p.Now()
		if err := p.operated(region.OperateInput{}); err != nil {
			t.Fatal(err)
		}
		if took := p.Now().Sub(began); took > time.Hour {
			t.Errorf("after %s the removal waited %s", d, took)
		}
	}
}

func TestRetryGoesOnWithTheNewestWish(t *testing.T) {
	w := newWorld()
	w.fails("EnsureCluster lon1", 2, fault.New(fault.Quota, "droplet limit reached"))
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(9))
	smaller := p.command(time.Minute, region.ApplyUpdate, "b", wants(2))
	retry := p.command(time.Hour, region.RetryUpdate, "c", region.RetryInput{By: "ada"})
	p.at(time.Hour+time.Minute, func() {
		if n := w.clusters["lon1"].Nodes.Count; n != 2 {
			t.Errorf("the cluster has %d nodes, want the 2 that were asked for last", n)
		}
	})
	p.removedAt(2 * time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	smaller.ok(t)
	retry.ok(t)
}

func TestRetryAfterAFailure(t *testing.T) {
	w := newWorld()
	w.fails("AwaitParts lon1", 1, fault.New(fault.Failed, "nats does not start"))
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	retry := p.command(time.Hour, region.RetryUpdate, "b", region.RetryInput{By: "ada"})
	p.removedAt(2 * time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	if got := retry.accepted(t); got.Operation != 2 || got.Status != region.Failed {
		t.Errorf("retry was answered with %+v", got)
	}
	same(t, "recorded", strings.Join(w.told, ", "), "lon1 planned, lon1 creating, lon1 failed, lon1 creating, lon1 ready, lon1 deleting, lon1 deleted")
}

// What is wrong in the file is corrected after the attempt that it made fail was removed; as long as something of it is
// there, or may be, it stays where and what it is.
func TestARegionThatWasRemovedAgainIsAskedForOtherwise(t *testing.T) {
	w := newWorld()
	w.fails("EnsureCluster lon1", 1, fault.New(fault.Failed, "no such size"))
	p := newPlay(t, w)
	other := wants(1)
	other.Spec.Location, other.Spec.Kubernetes.Nodes.Size = "nyc1", "s-4vcpu-8gb"
	w.later("EnsureNetwork lon1", 30*time.Second)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	early := p.command(10*time.Second, region.ApplyUpdate, "b", other)
	p.at(time.Hour, func() { w.later("EnsureNetwork lon1", 30*time.Second) })
	corrected := p.command(time.Hour, region.ApplyUpdate, "c", other)
	again := p.command(time.Hour+10*time.Second, region.ApplyUpdate, "c2", other)
	back := p.command(time.Hour+11*time.Second, region.ApplyUpdate, "c3", wants(1))
	p.at(2*time.Hour, func() {
		if r := w.regions[lon1().Key()]; r.Status != region.Ready || w.clusters["lon1"].Location != "nyc1" {
			t.Errorf("the region is %s in %s: %s", r.Status, w.clusters["lon1"].Location, r.Message)
		}
	})
	late := p.command(3*time.Hour, region.ApplyUpdate, "d", wants(1))
	p.removedAt(4 * time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	early.refused(t, "region, kubernetes.nodes.size of region micro/lon1 cannot be changed in place")
	corrected.ok(t)
	again.ok(t)
	back.refused(t, "region, kubernetes.nodes.size of region micro/lon1 cannot be changed in place")
	late.refused(t, "region, kubernetes.nodes.size of region micro/lon1 cannot be changed in place")
}

// Of two that ask at once for a region in two places, one is told that it came too late.
func TestARegionIsInOnePlace(t *testing.T) {
	w := newWorld()
	w.later("RecordRegion lon1", 3*time.Second) // both come before anything is built
	p := newPlay(t, w)
	other := wants(1)
	other.Spec.Location = "nyc1"
	first, second := p.command(0, region.ApplyUpdate, "a", wants(1)), p.command(time.Second, region.ApplyUpdate, "b", other)
	p.removedAt(time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	first.ok(t)
	second.refused(t, "region of region micro/lon1 cannot be changed in place")
}

func TestADriftedRegionIsMendedWhenAsked(t *testing.T) {
	w := newWorld()
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	idle := p.command(time.Minute, region.RetryUpdate, "b", region.RetryInput{By: "ada"})
	p.at(2*time.Minute, func() { w.drift = []string{"deployment gateway: replicas 1, wanted 2"} })
	p.at(time.Hour, func() {
		if r := w.regions[lon1().Key()]; r.Status != region.Ready || r.Drift() == "" || strings.Count(w.did("ApplyParts"), "lon1") != 1 {
			t.Errorf("recorded %s %q after %s", r.Status, r.Message, w.did("ApplyParts"))
		}
	})
	mend := p.command(time.Hour, region.RetryUpdate, "c", region.RetryInput{By: "ada"})
	p.at(2*time.Hour, func() {
		if r := w.regions[lon1().Key()]; r.Status != region.Ready || r.Message != "" || w.drift != nil {
			t.Errorf("recorded %s %q", r.Status, r.Message)
		}
	})
	p.removedAt(3 * time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	idle.refused(t, "there is nothing to retry")
	mend.ok(t)
}

// A cluster that its cloud upgraded is said to have drifted. Whoever asks for the version that it runs gets it without another cluster.
func TestAClusterThatTheCloudUpgraded(t *testing.T) {
	w := newWorld()
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	p.at(2*time.Minute, func() { w.version = "1.35.2" })
	p.at(time.Hour, func() {
		if r := w.regions[lon1().Key()]; r.Status != region.Ready || r.Drift() != "kubernetes.version 1.35.2, wanted 1.34" || r.Cluster.Version != "1.35.2" {
			t.Errorf("recorded %s %q, version %s", r.Status, r.Message, r.Cluster.Version)
		}
	})
	newer, newest := wants(1), wants(1)
	newer.Spec.Kubernetes.Version, newest.Spec.Kubernetes.Version = "1.35", "1.36"
	late := p.command(time.Hour, region.ApplyUpdate, "b", newest)
	taken := p.command(time.Hour+time.Minute, region.ApplyUpdate, "c", newer)
	p.at(3*time.Hour, func() {
		if r := w.regions[lon1().Key()]; r.Status != region.Ready || r.Message != "" || r.Spec.Kubernetes.Version != "1.35" || w.did("DeleteCluster") != "" {
			t.Errorf("recorded %s %q, spec %+v, after %s", r.Status, r.Message, r.Spec.Kubernetes, w.did("DeleteCluster"))
		}
	})
	p.removedAt(4 * time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	late.refused(t, "kubernetes.version of region micro/lon1 cannot be changed in place")
	taken.ok(t)
}

func TestWhatWasOrderedBeforeARemovalIsNotDone(t *testing.T) {
	w := newWorld()
	w.later("EnsureCluster lon1", 30*time.Second)
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	p.command(2*time.Second, region.ApplyUpdate, "b", wants(2))
	p.removedAt(3 * time.Second)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(w.did("EnsureNetwork"), "EnsureNetwork"); got != 1 {
		t.Errorf("%d bootstraps, want the one that was at work", got)
	}
}

func TestProgressTellsWhatIsAtWork(t *testing.T) {
	w := newWorld()
	w.later("EnsureCluster lon1", 30*time.Second)
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	p.at(5*time.Second, func() {
		var got region.Progress
		value, err := p.QueryWorkflow(region.ProgressQuery)
		if err != nil || value.Get(&got) != nil || got.Status != region.Creating || got.Stage != "bootstrap" {
			t.Errorf("progress is %+v, %v", got, err)
		}
	})
	p.removedAt(time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
}

func TestARegionThatRestsIsLookedAt(t *testing.T) {
	w := newWorld()
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	say := func(words string) func() {
		return func() { w.mu.Lock(); defer w.mu.Unlock(); w.broken = words }
	}
	expect := func(status region.Status, message string) func() {
		return func() {
			if r := w.regions[lon1().Key()]; r.Status != status || r.Message != message {
				t.Errorf("recorded %s %q, want %s %q", r.Status, r.Message, status, message)
			}
		}
	}
	p.at(time.Hour, say("nats-0 does not answer"))
	p.at(2*time.Hour, expect(region.Degraded, "nats-0 does not answer"))
	p.at(2*time.Hour, say(""))
	p.at(3*time.Hour, expect(region.Ready, ""))
	p.at(3*time.Hour, func() { w.calls = nil })
	p.at(5*time.Hour, func() {
		if got := w.did("RecordRegion"); got != "" {
			t.Errorf("what is no news is recorded: %s", got)
		}
		if looks := strings.Count(w.did("InspectParts"), "InspectParts"); looks < 11 || looks > 13 {
			t.Errorf("%d looks in two hours", looks)
		}
	})
	p.removedAt(5*time.Hour + time.Minute)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
}

func TestACloudThatCannotBeAskedMakesARegionDegraded(t *testing.T) {
	w := newWorld()
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	p.at(time.Minute, func() { w.fails("InspectParts lon1", 100, fault.New(fault.Denied, "the token was withdrawn")) })
	p.at(10*time.Minute+15*time.Second, func() {
		if r := w.regions[lon1().Key()]; r.Status != region.Degraded || r.Message != "the token was withdrawn" {
			t.Errorf("recorded %s %q", r.Status, r.Message)
		}
	})
	p.removedAt(time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
}

// A worker that is away says nothing of a region; one that waits for the region in vain does.
func TestWhatNobodySawIsNoFinding(t *testing.T) {
	timeout := temporal.NewTimeoutError
	refused := temporal.NewApplicationError("no", string(fault.Denied))
	for _, c := range []struct {
		err    error
		unseen bool
	}{
		{nil, false}, {refused, false},
		{timeout(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil), true}, {timeout(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, nil), true},
		{timeout(enumspb.TIMEOUT_TYPE_HEARTBEAT, nil), true}, {timeout(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil), false},
		{timeout(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, timeout(enumspb.TIMEOUT_TYPE_HEARTBEAT, nil)), true},
		{timeout(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, timeout(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil)), false},
		{timeout(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, refused), false},
	} {
		if got := workflows.Unseen(c.err); got != c.unseen {
			t.Errorf("%v: unseen %t", c.err, got)
		}
	}
}

func TestItContinuesAsNewOnlyWhenIdle(t *testing.T) {
	w := newWorld()
	w.later("EnsureCluster lon1", 30*time.Second)
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	p.at(time.Second, func() { p.SetContinueAsNewSuggested(true) })
	p.command(2*time.Second, region.ApplyUpdate, "b", wants(2))
	err := p.operated(region.OperateInput{})
	var next *workflow.ContinueAsNewError
	if !errors.As(err, &next) {
		t.Fatalf("it ended with %v, want it to continue as new", err)
	}
	if r := w.regions[lon1().Key()]; r.Status != region.Ready || r.Spec.Kubernetes.Nodes.Count != 2 {
		t.Errorf("it left orders behind: %s with %d nodes", r.Status, r.Spec.Kubernetes.Nodes.Count)
	}
	in := carried[region.OperateInput](t, next)
	if in.State.Operation != 2 || in.State.Region.Status != region.Ready || len(in.State.Answers.Order) != 2 || in.State.Version < w.regions[lon1().Key()].Version {
		t.Errorf("it carries %+v", in.State)
	}
	p = newPlay(t, w) // the next run
	again := p.command(0, region.ApplyUpdate, "b", wants(2))
	p.removedAt(time.Hour)
	if err := p.operated(in); err != nil {
		t.Fatal(err)
	}
	if got := again.accepted(t); got.Operation != 2 {
		t.Errorf("the repetition was answered with %+v", got)
	}
}

func TestARegionThatLostItsOwnerIsTakenOver(t *testing.T) {
	w := newWorld()
	ready := readyRegion(t, w)
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(3))
	w.fails("EnsureCluster lon1", 1, fault.New(fault.Failed, "cannot grow"))
	p.removedAt(time.Hour)
	p.at(time.Minute, func() {
		if r := w.regions[lon1().Key()]; r.Endpoints != ready.Endpoints || len(w.clusters) != 1 {
			t.Errorf("a failed change removed a region that ran: %+v", r)
		}
	})
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	if w.regions[lon1().Key()].Status != region.Deleted || len(w.clusters) > 0 {
		t.Error("it was not removed")
	}
}

func TestRemovingWhatIsGoneIsFine(t *testing.T) {
	w := newWorld()
	r := readyRegion(t, w)
	newPlay(t, w).tornDown(r)
	w.calls = nil
	p := newPlay(t, w)
	remove := p.removedAt(0)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	if got := remove.accepted(t); got.Status != region.Deleted {
		t.Errorf("it was answered with %+v", got)
	}
	if got := w.did("Delete", "Record"); got != "" {
		t.Errorf("it did %s", got)
	}
}

func TestARegionIsMadeAnewUnderItsOldName(t *testing.T) {
	w := newWorld()
	newPlay(t, w).tornDown(readyRegion(t, w))
	before := w.regions[lon1().Key()].Version
	p := newPlay(t, w)
	apply := p.command(0, region.ApplyUpdate, "a", wants(1))
	p.at(time.Minute, func() {
		if r := w.regions[lon1().Key()]; r.Status != region.Ready || r.Version <= before || len(w.clusters) != 1 {
			t.Errorf("made anew: %+v", r)
		}
	})
	p.removedAt(time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	apply.ok(t)
}

func TestACommandThatFailsLeavesNothingBehind(t *testing.T) {
	w := newWorld()
	w.fails("RecordRegion lon1", 1, fault.New(fault.Invalid, "refused by the database"))
	p := newPlay(t, w)
	apply := p.command(0, region.ApplyUpdate, "a", wants(1))
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatalf("the workflow ended with %v", err)
	}
	if apply.Err == nil {
		t.Error("the command was taken")
	}
}

func TestABootstrapThatSomebodyEndedIsAFailure(t *testing.T) {
	w := newWorld()
	w.later("AwaitParts lon1", 40*time.Second)
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	p.at(10*time.Second, func() { p.CancelWorkflowByID(lon1().Key().BootstrapID(1), "") })
	p.at(time.Hour, func() {
		r := w.regions[lon1().Key()]
		if r.Status != region.Failed || r.Cluster.ID == "" {
			t.Errorf("recorded %s with cluster %q; want it failed, with what the bootstrap had built", r.Status, r.Cluster.ID)
		}
	})
	p.removedAt(2 * time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	if len(w.clusters)+len(w.networks) > 0 {
		t.Error("something is left")
	}
}

// Whoever ends a bootstrap ends that attempt, not the retry that was asked for since.
func TestARetryOutlivesTheBootstrapThatSomebodyEnded(t *testing.T) {
	w := newWorld()
	w.later("AwaitParts lon1", 40*time.Second)
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	retry := &answer{}
	p.at(10*time.Second, func() { // the retry comes when the bootstrap has ended, and before the owner hears of that
		p.CancelWorkflowByID(lon1().Key().BootstrapID(1), "")
		p.UpdateWorkflow(region.RetryUpdate, "r", retry, region.RetryInput{By: "ada"})
	})
	p.at(time.Hour, func() {
		if r := w.regions[lon1().Key()]; r.Status != region.Ready || r.Operation != 2 {
			t.Errorf("after the retry the region is %s by operation %d: %s", r.Status, r.Operation, r.Message)
		}
	})
	p.removedAt(2 * time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	retry.ok(t)
}

// What the operator wants to look at stays through retries, and when the owner is lost.
func TestWhatIsToBeKeptStays(t *testing.T) {
	keep := wants(1)
	keep.Keep = true
	for name, begin := range map[string]func(*world, *play) region.OperateInput{
		"retried": func(w *world, p *play) region.OperateInput {
			w.fails("AwaitParts lon1", 2, fault.New(fault.Failed, "nats does not start"))
			p.command(0, region.ApplyUpdate, "a", keep)
			p.command(30*time.Minute, region.RetryUpdate, "r", region.RetryInput{By: "ada"})
			return region.OperateInput{}
		},
		"recalled": func(w *world, p *play) region.OperateInput {
			w.fails("AwaitParts lon1", 1, fault.New(fault.Failed, "nats does not start"))
			w.regions[lon1().Key()] = region.Region{Spec: lon1(), Status: region.Creating, Keep: true, Operation: 1, Version: 3}
			return region.OperateInput{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			p := newPlay(t, w)
			in := begin(w, p)
			p.at(time.Hour, func() {
				if r := w.regions[lon1().Key()]; r.Status != region.Failed || !r.Keep || len(w.clusters) != 1 || len(w.failing["AwaitParts lon1"]) > 0 {
					t.Errorf("recorded %s %q, kept %t; clusters %v", r.Status, r.Message, r.Keep, w.clusters)
				}
			})
			p.removedAt(2 * time.Hour)
			if err := p.operated(in); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAnOwnerThatCannotLearnWhetherABootstrapRunsGuessesNothing(t *testing.T) {
	w := newWorld()
	w.regions[lon1().Key()] = region.Region{Spec: lon1(), Status: region.Failed, Operation: 4, Version: 9}
	w.fails("WorkflowRuns "+lon1().Key().BootstrapID(4), 1, fault.New(fault.Denied, "the namespace is closed to this worker"))
	p := newPlay(t, w)
	if err := p.operated(region.OperateInput{}); err == nil || !strings.Contains(err.Error(), "closed to this worker") {
		t.Errorf("it ended with %v", err)
	}
}

func TestARegionIsGoneEvenIfNobodyCanBeTold(t *testing.T) {
	w := newWorld()
	w.services[hello] = serviceRow()
	w.fails("RegionRemoved hello lon1", 1, fault.New(fault.Denied, "no"))
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	p.removedAt(time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	if r := w.regions[lon1().Key()]; r.Status != region.Deleted {
		t.Errorf("it is recorded as %s: %s", r.Status, r.Message)
	}
}
