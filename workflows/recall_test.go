package workflows_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// released is a world in which release 2 runs and its owner was lost.
func released(t *testing.T, names ...string) *world {
	w := worldWith(names...)
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.deploy(time.Hour, "b")
	p.lost(2*time.Hour, release.OperateInput{})
	return w
}

// lost runs OperateService until somebody terminates it.
func (p *play) lost(d time.Duration, in release.OperateInput) {
	p.t.Helper()
	p.at(d, p.CancelWorkflow) // its code notices nothing else of a termination; the world goes on
	in.Key = hello
	if err := p.run(release.OperateWorkflow, in); err == nil {
		p.t.Fatal("the owner ended as if all were done")
	}
	p.w.calls = nil
}

func TestAnOwnerThatWasLostKnowsWhatRuns(t *testing.T) {
	w := released(t, "lon1", "nyc3")
	w.fails("AwaitService nyc3/3", 1, fault.New(fault.Failed, "it exits with 1"))
	p := newPlay(t, w)
	p.deploy(0, "c")
	p.expect(time.Hour, "lon1 2, nyc3 2", release.Running, 2)
	back := p.rollback(time.Hour, "d", 0)
	p.expect(2*time.Hour, "lon1 4, nyc3 4", release.Running, 4)
	p.served(3 * time.Hour)
	back.ok(t)
	if got := w.releases[4].RollsBack; got != 1 {
		t.Errorf("the rollback went to release %d", got)
	}
	if w.did("DeleteService lon1") != "DeleteService lon1" {
		t.Errorf("a failed deploy removed what ran: %s", w.did("DeleteService"))
	}
}

func TestAnOwnerThatWasLostIsKilled(t *testing.T) {
	newPlay(t, released(t, "lon1")).served(time.Minute)
}

func TestARegionThatBecameReadyWithoutAnOwnerGetsTheRelease(t *testing.T) {
	w := released(t, "lon1")
	s := place("nyc3")
	w.regions[s.Key()] = region.Region{Spec: s, Status: region.Ready, Endpoints: region.Endpoints{API: "http://nyc3.example/"}, Version: 1}
	p := newPlay(t, w)
	p.rollback(time.Minute, "r", 7) // refused, but it wakes an owner
	p.expect(time.Minute, "lon1 2, nyc3 2", release.Running, 2)
	p.served(time.Hour)
}

func TestAClusterThatWasMadeAnewWithoutAnOwnerGetsTheRelease(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	w.rebuild("lon1", "first")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.lost(time.Hour, release.OperateInput{})
	w.rebuild("lon1", "second")
	p = newPlay(t, w)
	p.rollback(time.Minute, "r", 7) // refused, but it wakes an owner
	p.expect(time.Hour, "lon1 1, nyc3 1", release.Running, 1)
	p.served(2 * time.Hour)
}

func TestAnOwnerThatWasLostKnowsThatAKillFailed(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	w.fails("DeleteService nyc3", 1, fault.New(fault.Denied, "no permission"))
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.command(time.Hour, release.KillUpdate, "k", release.KillInput{})
	p.lost(2*time.Hour, release.OperateInput{})
	p = newPlay(t, w)
	p.rollback(time.Minute, "r", 7) // refused, but it wakes an owner
	p.expect(time.Hour, "nyc3 1", release.Broken, 1)
	p.served(2 * time.Hour)
}

func TestAnOwnerThatWasLostKnowsThatAKillFailedBeforeAReleaseDid(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	w.fails("DeleteService nyc3", 1, fault.New(fault.Denied, "no permission"))
	w.fails("BuildImage 2", 1, fault.New(fault.Failed, "does not compile"))
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.command(time.Hour, release.KillUpdate, "k", release.KillInput{})
	p.deploy(2*time.Hour, "b")
	p.lost(3*time.Hour, release.OperateInput{})
	p = newPlay(t, w)
	p.rollback(time.Minute, "r", 7) // refused, but it wakes an owner
	p.expect(time.Hour, "nyc3 1", release.Broken, 1)
	p.served(2 * time.Hour)
}

// The ids of placements are taken once: what an owner before placed is not the answer to what the next one places.
func TestAPlacementAfterTheOwnerWasLostIsANewOne(t *testing.T) {
	w := worldWith("lon1")
	var placed []string
	count := func(p *play) {
		p.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, _ converter.EncodedValues) {
			placed = append(placed, info.WorkflowExecution.ID)
		})
	}
	p := newPlay(t, w)
	count(p)
	p.deploy(0, "a")
	p.ready(time.Hour, "nyc3")
	p.expect(2*time.Hour, "lon1 1, nyc3 1", release.Running, 1)
	p.lost(3*time.Hour, release.OperateInput{})
	p = newPlay(t, w)
	count(p)
	p.ready(time.Hour, "sgp1")
	p.expect(2*time.Hour, "lon1 1, nyc3 1, sgp1 1", release.Running, 1)
	p.served(3 * time.Hour)
	slices.Sort(placed)
	if n := len(placed); len(slices.Compact(placed)) != n || n < 3 {
		t.Errorf("operations ran under %v", placed)
	}
}

func TestWhatWasOnItsWayWhenTheOwnerWasLostComesFirst(t *testing.T) {
	w := released(t, "lon1")
	third, fourth := *built(3), numbered(4)
	third.Status, third.Version = release.Deploying, 3
	w.releases[3], w.releases[4], w.byKey["d"] = third, fourth, 4
	p := newPlay(t, w)
	p.deploy(0, "e") // 5
	p.expect(time.Hour, "lon1 5", release.Running, 5)
	p.served(2 * time.Hour)
	if r := w.releases[4]; r.Status != release.Superseded {
		t.Errorf("release 4 is recorded as %s", r.Status)
	}
	if !w.releases[3].Status.Ended() {
		t.Errorf("release 3 is recorded as %s", w.releases[3].Status)
	}
}

func TestAReleaseThatWaitedWhenTheOwnerWasLostIsNotLost(t *testing.T) {
	w := released(t, "lon1")
	w.releases[3] = numbered(3)
	p := newPlay(t, w)
	p.expect(time.Minute, "lon1 3", release.Running, 3)
	p.served(time.Hour)
}

func TestAServiceThatNeverWasCannotBeKilled(t *testing.T) {
	p := newPlay(t, worldWith("lon1"))
	kill := p.command(0, release.KillUpdate, "k", release.KillInput{})
	if err := p.serving(release.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	kill.refused(t, "it is gone")
	if len(p.w.services) > 0 {
		t.Errorf("recorded %v", p.w.services)
	}
}

// recorded regions whose owner was lost

func TestARegionThatLostItsOwnerGoesOn(t *testing.T) {
	for _, c := range []struct {
		status  region.Status
		served  bool
		waiting bool // its bootstrap waits for the operator
		does    string
	}{
		{region.Planned, false, false, "EnsureNetwork lon1"}, {region.Creating, false, false, "EnsureNetwork lon1"}, {region.Updating, true, false, "EnsureNetwork lon1"},
		{region.Ready, true, false, ""}, {region.Failed, false, false, ""}, {region.Failed, false, true, "EnsureNetwork lon1"},
	} {
		t.Run(fmt.Sprintf("%s, waiting %t", c.status, c.waiting), func(t *testing.T) {
			w := newWorld()
			w.atWork[lon1().Key().BootstrapID(4)] = c.waiting
			w.services[hello] = serviceRow()
			w.regions[lon1().Key()] = region.Region{Spec: lon1(), Status: c.status, Served: c.served, Operation: 4, Version: 9}
			p := newPlay(t, w)
			p.at(time.Minute, func() {
				if got := w.did("EnsureNetwork"); got != c.does {
					t.Errorf("it did %q, want %q", got, c.does)
				}
				if r := w.regions[lon1().Key()]; c.does != "" && (r.Status != region.Ready || r.Operation != 4) {
					t.Errorf("the region is %s after operation %d: %s", r.Status, r.Operation, r.Message)
				}
				if told := w.did("RegionReady"); (c.status != region.Failed || c.waiting) != (told == "RegionReady hello lon1") {
					t.Errorf("services were told %q", told)
				}
			})
			remove := p.removedAt(time.Hour)
			if err := p.operated(region.OperateInput{}); err != nil {
				t.Fatal(err)
			}
			if got := remove.accepted(t).Operation; got != 5 {
				t.Errorf("the next operation is %d, want 5", got)
			}
		})
	}
}

func TestARegionThatLostItsOwnerOnItsWayOutGoes(t *testing.T) {
	w := newWorld()
	w.networks["lon1"], w.clusters["lon1"] = true, region.ClusterSpec{}
	w.regions[lon1().Key()] = region.Region{Spec: lon1(), Status: region.Deleting, Operation: 2, Version: 9}
	p := newPlay(t, w)
	repeated := p.removedAt(0)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	repeated.ok(t)
	if r := w.regions[lon1().Key()]; r.Status != region.Deleted || len(w.clusters) > 0 {
		t.Errorf("the region is %s, clusters %v", r.Status, w.clusters)
	}
	if strings.Count(w.did("DeleteCluster"), "lon1") != 1 {
		t.Errorf("it was removed twice: %s", w.did("DeleteCluster"))
	}
}
