package workflows_test

import (
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// hangs makes a release not become ready in lon1 for most of a minute, from that time on.
func (p *play) hangs(d time.Duration, call string) {
	p.at(d, func() { p.w.later(call, 50*time.Second) })
}

func TestANewerReleaseOvertakesTheOneOnItsWay(t *testing.T) {
	w := worldWith("lon1")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.hangs(time.Minute, "AwaitService lon1/2")
	p.deploy(time.Hour, "b")
	p.deploy(time.Hour+10*time.Second, "c")
	p.expect(time.Hour+20*time.Second, "lon1 3", release.Running, 3)
	p.served(2 * time.Hour)
	same(t, "brought out", w.did("ApplyService"), "ApplyService lon1/1, ApplyService lon1/2, ApplyService lon1/1, ApplyService lon1/3")
	if r := w.releases[2]; r.Status != release.Superseded || r.Message != "release 3 was asked for while it was on its way" {
		t.Errorf("release 2 is recorded as %s %q", r.Status, r.Message)
	}
}

func TestAReleaseThatIsOvertakenWhileItIsBuiltTouchesNoRegion(t *testing.T) {
	w := worldWith("lon1")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.hangs(time.Minute, "BuildImage 2")
	p.deploy(time.Hour, "b")
	p.deploy(time.Hour+10*time.Second, "c")
	p.expect(time.Hour+20*time.Second, "lon1 3", release.Running, 3)
	p.served(2 * time.Hour)
	same(t, "brought out", w.did("ApplyService"), "ApplyService lon1/1, ApplyService lon1/3")
}

func TestOfManyReleasesInARowEverySecondComesOut(t *testing.T) {
	w := worldWith("lon1")
	p := newPlay(t, w)
	for _, call := range []string{"AwaitService lon1/1", "AwaitService lon1/2"} {
		p.hangs(0, call)
	}
	p.deploy(0, "a")
	p.deploy(10*time.Second, "b")
	p.deploy(20*time.Second, "c")
	p.expect(30*time.Second, "lon1 2", release.Starting, 0)
	p.expect(2*time.Minute, "lon1 3", release.Running, 3)
	p.served(time.Hour)
	if a, b := w.releases[1], w.releases[2]; a.Message != "release 2 was asked for while it was on its way" || b.Message != "" || b.Regions[0].Status != release.Ready {
		t.Errorf("release 1 ended with %q, release 2 with %q in %v", a.Message, b.Message, b.Regions)
	}
}

func TestAKillStopsTheDeployOnItsWay(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.hangs(time.Minute, "AwaitService lon1/2")
	p.deploy(time.Hour, "b")
	p.at(time.Hour+15*time.Second, func() {
		if s := p.w.services[hello]; s.Status != release.Killed {
			t.Errorf("five seconds after the kill the service is %s", s.Status)
		}
	})
	p.served(time.Hour + 10*time.Second)
	_, heard, _ := strings.Cut(strings.Join(w.heard, ", "), "release 2 deploying")
	if !strings.Contains(heard, "service deleting") || strings.Contains(heard, "service running") {
		t.Errorf("an owner that was lost meanwhile would not know of the kill: %s", heard)
	}
	if r := w.releases[2]; r.Status != release.Superseded || r.Message != "the service was killed while it was on its way" {
		t.Errorf("release 2 is recorded as %s %q", r.Status, r.Message)
	}
	if got := strings.Count(w.did("ApplyService"), "lon1/1"); got != 1 {
		t.Error("what is to be removed was brought back first")
	}
}

func TestARollbackDuringADeployGoesBackToWhatRuns(t *testing.T) {
	w := worldWith("lon1")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.deploy(time.Hour, "b")
	p.hangs(time.Hour, "AwaitService lon1/3")
	p.deploy(2*time.Hour, "c")
	back := p.rollback(2*time.Hour+10*time.Second, "d", 0)
	p.expect(2*time.Hour+20*time.Second, "lon1 4", release.Running, 4)
	p.served(3 * time.Hour)
	back.ok(t)
	if got := w.releases[4].RollsBack; got != 2 {
		t.Errorf("it went back to release %d", got)
	}
}

func TestAPlacementThatIsOvertakenIsNoFailure(t *testing.T) {
	w := worldWith("lon1")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.hangs(time.Minute, "AwaitService nyc3/1")
	p.ready(time.Hour, "nyc3")
	p.deploy(time.Hour+10*time.Second, "b")
	p.expect(time.Hour+20*time.Second, "lon1 2, nyc3 2", release.Running, 2)
	p.served(2 * time.Hour)
	if w.did("DeleteService nyc3") != "DeleteService nyc3" { // by the kill
		t.Errorf("the region was cleared for the newer release: %s", w.did("DeleteService"))
	}
}

func TestARegionThatCannotBeBroughtBackKeepsWhatRunsThere(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.at(time.Minute, func() {
		w.fails("AwaitService lon1/2", 1, fault.New(fault.Failed, "it exits with 1"))
		w.fails("VerifyRelease nyc3/1", 2, fault.New(fault.Failed, "the gateway cannot be reached"))
	})
	p.deploy(time.Hour, "b")
	p.expect(time.Hour+3*time.Minute, "lon1 1, nyc3 1", release.Running, 1)
	p.at(2*time.Hour, func() { same(t, "regions", placed(p.w.services[hello].Regions), "lon1 ready, nyc3 ready") })
	p.served(3 * time.Hour)
	if got := w.did("DeleteService nyc3"); got != "DeleteService nyc3" {
		t.Errorf("a healthy instance was removed: %s", got)
	}
}

func TestADeployThatSomebodyEndsIsMended(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.hangs(time.Minute, "AwaitService lon1/2")
	p.deploy(time.Hour, "b")
	p.at(time.Hour+10*time.Second, func() { p.CancelWorkflowByID(hello.DeployID(2), "") })
	p.expect(2*time.Hour, "lon1 1, nyc3 1", release.Running, 1)
	p.served(3 * time.Hour)
}

func TestAKillThatFailedSomewhereIsNotForgotten(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.at(time.Minute, func() { w.fails("DeleteService nyc3", 1, fault.New(fault.Denied, "no permission")) })
	p.command(time.Hour, release.KillUpdate, "k", release.KillInput{})
	p.ready(2*time.Hour, "sgp1")
	p.expect(3*time.Hour, "nyc3 1", release.Broken, 1)
	p.at(3*time.Hour, func() { same(t, "regions", placed(p.w.services[hello].Regions), "nyc3 failed") })
	p.deploy(4*time.Hour, "b")
	p.expect(5*time.Hour, "lon1 2, nyc3 2, sgp1 2", release.Running, 2)
	p.served(6 * time.Hour)
}

// What somebody killed does not come back because a later release fails.
func TestAReleaseThatFailsAfterAKillBringsNothingBack(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.at(time.Minute, func() {
		w.fails("DeleteService nyc3", 1, fault.New(fault.Denied, "no permission"))
		w.fails("AwaitService lon1/2", 1, fault.New(fault.Failed, "it exits with 1"))
	})
	p.command(time.Hour, release.KillUpdate, "k", release.KillInput{})
	p.deploy(2*time.Hour, "b")
	p.expect(3*time.Hour, "", release.Broken, 1)
	p.at(3*time.Hour, func() {
		if s := w.services[hello]; len(s.Regions) != 0 || !s.PartlyRemoved || s.Message != "release 2 was rolled back: lon1: it exits with 1" {
			t.Errorf("recorded %+v", s)
		}
	})
	p.served(4 * time.Hour)
}

func TestAKillThatFailsTakesTheReleaseThatWaitsAllTheSame(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	p := newPlay(t, w)
	p.deploy(0, "a")
	p.hangs(time.Minute, "AwaitService lon1/2")
	p.at(time.Minute, func() {
		w.fails("DeleteService nyc3", 1, fault.New(fault.Denied, "no permission"))
		w.later("ApplyService nyc3/1", 30*time.Second) // going back takes its time
	})
	p.deploy(time.Hour, "b")
	p.deploy(time.Hour+10*time.Second, "c")
	p.command(time.Hour+11*time.Second, release.KillUpdate, "k", release.KillInput{})
	p.expect(2*time.Hour, "nyc3 1", release.Broken, 1)
	p.at(2*time.Hour, func() {
		if r := w.releases[3]; r.Status != release.Superseded || r.Message != "the service was killed" {
			t.Errorf("release 3 is recorded as %s %q", r.Status, r.Message)
		}
	})
	p.served(3 * time.Hour)
}

// A region.

func TestAFailedChangeOfARegionWithoutAGatewayRemovesNothing(t *testing.T) {
	w := newWorld()
	quiet := lon1()
	quiet.Network, quiet.Resource = nil, []region.Part{region.NATS}
	w.networks["lon1"], w.clusters["lon1"] = true, region.ClusterSpec{}
	w.fails("ApplyParts lon1", 1, fault.New(fault.Failed, "no"))
	was := region.Region{Spec: quiet, Status: region.Ready, Served: true, Cluster: region.Cluster{ID: "k8s-lon1"}, Version: 5}
	end := newPlay(t, w).bootstrapped(region.BootstrapInput{Region: was, Spec: quiet, Version: 5})
	if end.Removed || len(w.clusters) != 1 || len(w.networks) != 1 || !strings.Contains(end.Region.Message, "What is built stays") {
		t.Errorf("it ended as %+v; clusters %v", end, w.clusters)
	}
}

func TestARegionWhoseChangeFailsGoesOnTakingServices(t *testing.T) {
	for _, c := range []struct {
		region region.Region
		takes  bool
	}{
		{region.Region{Status: region.Failed}, false}, {region.Region{Status: region.Failed, Served: true}, true},
		{region.Region{Status: region.Updating, Served: true}, true}, {region.Region{Status: region.Deleting, Served: true}, false},
	} {
		if c.region.Takes() != c.takes {
			t.Errorf("%s, served %t: takes services %t", c.region.Status, c.region.Served, !c.takes)
		}
	}
}

func TestARetryThatComesWhileWhatWasBuiltIsRemovedIsDone(t *testing.T) {
	w := newWorld()
	w.fails("AwaitParts lon1", 1, fault.New(fault.Failed, "nats does not start"))
	w.later("DeleteCluster lon1", 30*time.Second)
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	retry := p.command(20*time.Second, region.RetryUpdate, "r", region.RetryInput{By: "ada"})
	p.at(10*time.Minute, func() {
		if r := w.regions[lon1().Key()]; r.Status != region.Ready {
			t.Errorf("after the retry the region is %s: %s", r.Status, r.Message)
		}
	})
	p.removedAt(time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	retry.ok(t)
}
