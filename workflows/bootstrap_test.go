package workflows_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/workflows"
)

// bootstrapped runs BootstrapRegion and returns how it ended.
func (p *play) bootstrapped(in region.BootstrapInput) region.Outcome {
	p.t.Helper()
	if err := p.run(region.BootstrapWorkflow, in); err != nil {
		p.t.Fatal(err)
	}
	var end region.Outcome
	if err := p.GetWorkflowResult(&end); err != nil {
		p.t.Fatal(err)
	}
	if p.w.stale > 0 {
		p.t.Errorf("%d records were older than what was recorded", p.w.stale)
	}
	return end
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

func (p *play) removed(end region.Outcome) {
	p.t.Helper()
	if !end.Removed || end.Region.Status != region.Failed || len(p.w.networks)+len(p.w.clusters) > 0 {
		p.t.Errorf("not everything was removed: %+v; networks %v, clusters %v", end, p.w.networks, p.w.clusters)
	}
}

const work = "Preflight, EnsureNetwork, EnsureIdentity, EnsureCluster, EnsureTrust, ApplyParts, AwaitParts, CheckGateway, DeleteNetwork, DeleteIdentity, DeleteCluster, DeleteTrust, Sweep"

func (w *world) worked() string {
	return strings.ReplaceAll(w.did(strings.Split(work, ", ")...), " lon1", "")
}

func TestARegionIsBootstrappedStepByStep(t *testing.T) {
	w := newWorld()
	end := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: lon1(), Version: 3})
	same(t, "calls", w.worked(), "Preflight, EnsureNetwork, EnsureIdentity, EnsureCluster, EnsureCluster, EnsureTrust, ApplyParts, AwaitParts, CheckGateway")
	same(t, "recorded", strings.Join(w.told, ", "), "lon1 creating, lon1 ready")
	r := end.Region
	if r.Status != region.Ready || r.Message != "" || r.Endpoints.API == "" || r.Cluster.ID == "" || r.Network.ID == "" || end.Removed || r.Version <= 3 {
		t.Errorf("it ended as %+v", end)
	}
	if w.regions[r.Spec.Key()].Version != r.Version {
		t.Errorf("the answer has version %d, the record %d", r.Version, w.regions[r.Spec.Key()].Version)
	}
}

func TestABusyCloudIsAskedAgain(t *testing.T) {
	w := newWorld()
	w.fails("EnsureNetwork lon1", 3, fault.New(fault.Throttled, "slow down"))
	w.fails("EnsureCluster lon1", 2, fault.New(fault.Unavailable, "the answer was lost"))
	if end := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: lon1()}); end.Region.Status != region.Ready {
		t.Fatalf("it ended as %+v", end)
	}
	if got := strings.Count(w.worked(), "EnsureNetwork"); got != 4 {
		t.Errorf("the network was asked for %d times, want 4", got)
	}
}

func TestMissingQuotaWaitsForARetry(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Quota, fault.Denied, fault.Unauthenticated} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld()
			w.fails("EnsureCluster lon1", 1, fault.New(kind, "droplet limit of 10 reached"))
			p := newPlay(t, w)
			p.at(2*time.Hour, func() {
				value, err := p.QueryWorkflow(region.ProgressQuery)
				var progress region.Progress
				if err != nil || value.Get(&progress) != nil || progress.Stage != "cluster" || !strings.Contains(progress.Waiting, "m3o region retry micro/lon1") {
					t.Errorf("progress while it waits is %+v, %v", progress, err)
				}
				if r := w.regions[lon1().Key()]; r.Status != region.Failed || !strings.Contains(r.Message, "droplet limit of 10 reached") || !strings.Contains(r.Message, "24 hours") {
					t.Errorf("recorded while it waits: %s %q", r.Status, r.Message)
				}
				p.SignalWorkflow(region.RetrySignal, lon1())
			})
			end := p.bootstrapped(region.BootstrapInput{Spec: lon1()})
			same(t, "calls", w.worked(), "Preflight, EnsureNetwork, EnsureIdentity, EnsureCluster, EnsureCluster, EnsureCluster, EnsureTrust, ApplyParts, AwaitParts, CheckGateway")
			same(t, "recorded", strings.Join(w.told, ", "), "lon1 creating, lon1 failed, lon1 creating, lon1 ready")
			if end.Region.Status != region.Ready || end.Region.Message != "" {
				t.Errorf("it ended as %s %q", end.Region.Status, end.Region.Message)
			}
		})
	}
}

func TestARetryMayComeWithAnotherWish(t *testing.T) {
	w := newWorld()
	w.fails("EnsureCluster lon1", 1, fault.New(fault.Quota, "droplet limit reached"))
	p := newPlay(t, w)
	smaller := lon1()
	smaller.Kubernetes.Nodes.Count, smaller.Resource, smaller.Network = 2, nil, nil
	p.at(time.Hour, func() { p.SignalWorkflow(region.RetrySignal, smaller) })
	big := lon1()
	big.Kubernetes.Nodes.Count = 9
	end := p.bootstrapped(region.BootstrapInput{Spec: big})
	if changes, _ := region.Differences(end.Region.Spec, smaller); len(changes) > 0 || w.clusters["lon1"].Nodes.Count != 2 {
		t.Errorf("what was left out of the new wish is still there: %v; the cluster has %d nodes", changes, w.clusters["lon1"].Nodes.Count)
	}
}

// What is recorded of a region that is ready is what was built: a wish that came too late is another operation's.
func TestAWishThatComesTooLateIsNotRecordedAsBuilt(t *testing.T) {
	w := newWorld()
	w.later("AwaitParts lon1", 20*time.Second)
	p := newPlay(t, w)
	grown := lon1()
	grown.Kubernetes.Nodes.Count = 3
	p.at(10*time.Second, func() { p.SignalWorkflow(region.RetrySignal, grown) })
	end := p.bootstrapped(region.BootstrapInput{Spec: lon1()})
	if end.Region.Status != region.Ready || end.Region.Spec.Kubernetes.Nodes.Count != w.clusters["lon1"].Nodes.Count {
		t.Errorf("it is %s with %d nodes on record, and has %d", end.Region.Status, end.Region.Spec.Kubernetes.Nodes.Count, w.clusters["lon1"].Nodes.Count)
	}
}

func TestAnotherWishIsFulfilledFromTheFirstStep(t *testing.T) {
	w := newWorld()
	w.fails("ApplyParts lon1", 1, fault.New(fault.Denied, "no permission"))
	p := newPlay(t, w)
	grown := lon1()
	grown.Kubernetes.Nodes.Count = 3
	p.at(time.Hour, func() { p.SignalWorkflow(region.RetrySignal, grown) })
	end := p.bootstrapped(region.BootstrapInput{Spec: lon1()})
	if end.Region.Status != region.Ready || end.Region.Spec.Kubernetes.Nodes.Count != 3 || w.clusters["lon1"].Nodes.Count != 3 {
		t.Errorf("it is %s with %d nodes on record, and has %d", end.Region.Status, end.Region.Spec.Kubernetes.Nodes.Count, w.clusters["lon1"].Nodes.Count)
	}
}

// However far it had come before it began anew, all of it is removed.
func TestWhatIsBegunAnewAndFailsLeavesNothing(t *testing.T) {
	w := newWorld()
	w.fails("ApplyParts lon1", 1, fault.New(fault.Denied, "no permission"))
	p := newPlay(t, w)
	odd := lon1()
	odd.Kubernetes.Nodes.Count = 3
	p.at(time.Hour, func() {
		w.mu.Lock()
		w.obstacles = []region.Obstacle{{Kind: "invalid", Message: "the size is not offered any more"}}
		w.mu.Unlock()
		p.SignalWorkflow(region.RetrySignal, odd)
	})
	if end := p.bootstrapped(region.BootstrapInput{Spec: lon1()}); !end.Removed || len(w.clusters)+len(w.networks) > 0 {
		t.Errorf("it ended as %+v; there are clusters %v, networks %v", end, w.clusters, w.networks)
	}
}

func TestAWordThatComesWhileAStepFailsIsHeard(t *testing.T) {
	w := newWorld()
	w.later("EnsureCluster lon1", 8*time.Second)
	w.fails("EnsureCluster lon1", 1, fault.New(fault.Quota, "droplet limit reached"))
	p := newPlay(t, w)
	p.at(2*time.Second, func() { p.SignalWorkflow(region.RetrySignal, lon1()) })
	began := p.Now()
	end := p.bootstrapped(region.BootstrapInput{Spec: lon1()})
	if end.Region.Status != region.Ready || p.Now().Sub(began) > time.Hour {
		t.Errorf("it ended as %s after %s", end.Region.Status, p.Now().Sub(began))
	}
}

// Nothing is put into a cluster in which projects would reach each other, unless that is what the file says.
func TestAClusterThatEnforcesNothingIsRefused(t *testing.T) {
	w := newWorld()
	w.engine = ""
	p := newPlay(t, w)
	end := p.bootstrapped(region.BootstrapInput{Spec: lon1()})
	p.removed(end)
	same(t, "message", end.Region.Message, "verify: it took longer than 3m0s; last seen: nothing in the cluster enforces NetworkPolicy. Everything that was built is removed")
	same(t, "calls", w.did("VerifyCluster", "ApplyParts", "DeleteCluster"), "VerifyCluster lon1, DeleteCluster lon1")
}

func TestAClusterThatEnforcesNothingIsTakenWhereThatIsAllowed(t *testing.T) {
	w := newWorld()
	w.engine = ""
	allowed := lon1()
	allowed.Unenforced = region.Allow
	end := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: allowed})
	if want := (region.Verified{StorageClass: "standard", NetworkPolicy: region.Unenforced}); end.Region.Status != region.Ready || end.Region.Verified != want || w.regions[allowed.Key()].Verified != want {
		t.Errorf("it ended as %+v", end)
	}
	same(t, "calls", w.did("VerifyCluster", "ApplyParts"), "VerifyCluster lon1, ApplyParts lon1")
	// Without the word it is refused again, and what ran stays.
	end = newPlay(t, w).bootstrapped(region.BootstrapInput{Region: end.Region, Spec: lon1(), Version: end.Region.Version})
	if end.Removed || end.Region.Status != region.Failed || len(w.clusters) != 1 || !strings.HasPrefix(end.Region.Message, "verify: ") {
		t.Errorf("without the word it ended as %+v", end)
	}
}

func TestWhatEnforcesIsRecorded(t *testing.T) {
	w := newWorld()
	end := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: lon1()})
	if v := w.regions[lon1().Key()].Verified; v != end.Region.Verified || v.NetworkPolicy != region.Enforced || v.Engine != "daemonset kube-system/cilium" {
		t.Errorf("recorded %+v", v)
	}
}

func TestWithoutAnAnswerWhatIsBuiltIsRemovedAfterADay(t *testing.T) {
	w := newWorld()
	w.fails("EnsureCluster lon1", 1, fault.New(fault.Quota, "droplet limit reached"))
	p := newPlay(t, w)
	began := p.Now()
	p.removed(p.bootstrapped(region.BootstrapInput{Spec: lon1()}))
	if took := p.Now().Sub(began); took < 24*time.Hour || took > 25*time.Hour {
		t.Errorf("it waited %s", took)
	}
	same(t, "calls", w.worked(), "Preflight, EnsureNetwork, EnsureIdentity, EnsureCluster, DeleteCluster, DeleteTrust, DeleteIdentity, DeleteNetwork, Sweep")
}

func TestRemovalWhileItWaits(t *testing.T) {
	w := newWorld()
	w.fails("EnsureCluster lon1", 1, fault.New(fault.Quota, "droplet limit reached"))
	p := newPlay(t, w)
	p.at(time.Hour, func() { p.SignalWorkflow(region.GiveUpSignal, lon1()) })
	began := p.Now()
	end := p.bootstrapped(region.BootstrapInput{Spec: lon1()})
	p.removed(end)
	if p.Now().Sub(began) > 2*time.Hour {
		t.Error("it went on waiting")
	}
}

// TestSignalsThatCannotBeReadEndNothing: they are a stranger's.
func TestSignalsThatCannotBeReadEndNothing(t *testing.T) {
	w := newWorld()
	w.later("EnsureCluster lon1", 40*time.Second)
	p := newPlay(t, w)
	p.at(5*time.Second, func() {
		p.SignalWorkflow(region.GiveUpSignal, "a stranger's")
		p.SignalWorkflow(region.RetrySignal, "a stranger's")
	})
	if end := p.bootstrapped(region.BootstrapInput{Spec: lon1()}); end.Region.Status != region.Ready {
		t.Errorf("the region is %s: %s", end.Region.Status, end.Region.Message)
	}
}

func TestRemovalWhileAStepIsAtWork(t *testing.T) {
	w := newWorld()
	w.later("EnsureCluster lon1", 40*time.Second)
	p := newPlay(t, w)
	p.at(5*time.Second, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.failing["EnsureCluster lon1"] = nil
		p.SignalWorkflow(region.GiveUpSignal, lon1())
	})
	end := p.bootstrapped(region.BootstrapInput{Spec: lon1()})
	p.removed(end)
	if !strings.Contains(end.Region.Message, "cluster: its removal was requested") || strings.Contains(end.Region.Message, "cancel") {
		t.Errorf("the message is %q", end.Region.Message)
	}
	if got := w.did("ApplyParts"); got != "" {
		t.Errorf("it went on with %s", got)
	}
}

func TestAFailureForGoodRemovesNewestFirst(t *testing.T) {
	w := newWorld()
	w.fails("AwaitParts lon1", 1, fault.New(fault.Failed, "nats: image cannot be pulled"))
	end := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: lon1()})
	same(t, "calls", w.worked(), "Preflight, EnsureNetwork, EnsureIdentity, EnsureCluster, EnsureCluster, EnsureTrust, ApplyParts, AwaitParts, DeleteCluster, DeleteTrust, DeleteIdentity, DeleteNetwork, Sweep")
	same(t, "message", end.Region.Message, "parts: nats: image cannot be pulled. Everything that was built is removed")
	if r := end.Region; !end.Removed || r.Status != region.Failed || r.Network.ID+r.Cluster.ID+r.Endpoints.API != "" || r.Verified != (region.Verified{}) {
		t.Errorf("it ended as %+v", end)
	}
}

func TestAnObstacleStopsBeforeAnythingIsMade(t *testing.T) {
	w := newWorld()
	w.obstacles = []region.Obstacle{{Kind: "unsupported", Message: "version 1.99 is not offered"}}
	end := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: lon1()})
	same(t, "calls", w.worked(), "Preflight, Sweep")
	if !end.Removed || !strings.Contains(end.Region.Message, "preflight: version 1.99 is not offered") {
		t.Errorf("it ended as %+v", end)
	}
}

func TestAnObstacleOfQuotaWaits(t *testing.T) {
	w := newWorld()
	w.obstacles = []region.Obstacle{{Kind: "quota", Message: "3 of 3 clusters are in use"}}
	p := newPlay(t, w)
	p.at(time.Hour, func() {
		w.mu.Lock()
		w.obstacles = nil
		w.mu.Unlock()
		p.SignalWorkflow(region.RetrySignal, lon1())
	})
	if end := p.bootstrapped(region.BootstrapInput{Spec: lon1()}); end.Region.Status != region.Ready {
		t.Errorf("it ended as %+v", end)
	}
}

func TestKeepLeavesAFailureForALook(t *testing.T) {
	w := newWorld()
	w.fails("AwaitParts lon1", 1, fault.New(fault.Failed, "nats does not start"))
	end := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: lon1(), Keep: true})
	if end.Removed || len(w.clusters) != 1 || end.Region.Cluster.ID == "" || !strings.Contains(end.Region.Message, "What is built stays") {
		t.Errorf("it ended as %+v", end)
	}
}

func TestARegionThatRanIsNeverRemovedByAFailedChange(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Failed, fault.Quota} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld()
			ready := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: lon1()}).Region
			w.fails("EnsureCluster lon1", 1, fault.New(kind, "cannot grow"))
			grown := lon1()
			grown.Kubernetes.Nodes.Count = 3
			end := newPlay(t, w).bootstrapped(region.BootstrapInput{Region: ready, Spec: grown, Version: ready.Version})
			if end.Removed || len(w.clusters) != 1 || end.Region.Endpoints.API == "" || end.Region.Status != region.Failed {
				t.Errorf("it ended as %+v", end)
			}
			if got := w.did("Delete"); got != "" {
				t.Errorf("it did %s", got)
			}
		})
	}
}

func TestAChangeAsksTheCloudWithWhatThereWas(t *testing.T) {
	w := newWorld()
	ready := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: lon1()}).Region
	grown := lon1()
	grown.Kubernetes.Nodes.Count = 3
	newPlay(t, w).bootstrapped(region.BootstrapInput{Region: ready, Spec: grown, Version: ready.Version})
	if first := w.asked[0]; first.Have != nil {
		t.Errorf("the first preflight was told of a region: %+v", first.Have)
	}
	if last := w.asked[1]; last.Have == nil || last.Have.Kubernetes.Nodes.Count != 1 || last.Want.Kubernetes.Nodes.Count != 3 {
		t.Errorf("the change was asked about with %+v", last)
	}
	if !strings.Contains(strings.Join(w.told, ", "), "lon1 updating") {
		t.Errorf("recorded: %v", w.told)
	}
}

func TestARemovalThatFailsSaysWhatToDo(t *testing.T) {
	w := newWorld()
	w.fails("ApplyParts lon1", 1, fault.New(fault.Invalid, "refused"))
	w.fails("DeleteCluster lon1", 1, fault.New(fault.Denied, "the token may not delete"))
	end := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: lon1()})
	if end.Removed || end.Region.Cluster.ID == "" || !strings.Contains(end.Region.Message, "Removing the cluster failed: the token may not delete; run `m3o region teardown micro/lon1`") {
		t.Errorf("it ended as %+v", end)
	}
}

func TestWhatIsLeftIsNamed(t *testing.T) {
	w := newWorld()
	w.fails("ApplyParts lon1", 1, fault.New(fault.Invalid, "refused"))
	w.fails("Sweep lon1", 1000, fault.New(fault.Unavailable, "1 resources of micro/lon1 are still there: [load balancer lb (7)]"))
	end := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: lon1()})
	if end.Removed || !strings.Contains(end.Region.Message, "last seen: 1 resources of micro/lon1 are still there: [load balancer lb (7)]") {
		t.Errorf("it ended as %+v", end)
	}
}

func TestWhatOutlivesTheClusterIsNamed(t *testing.T) {
	w := newWorld()
	w.volumes = []string{"k8s-nyc3", "k8s-lon1"}
	w.fails("ApplyParts lon1", 1, fault.New(fault.Invalid, "refused"))
	end := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: lon1()})
	if end.Removed || end.Region.Cluster.ID == "" || !strings.Contains(end.Region.Message, "[volume of k8s-lon1 (vol-1)]") {
		t.Errorf("it ended as %+v", end)
	}
	end = newPlay(t, w).tornDown(end.Region)
	if end.Removed || end.Region.Cluster.ID == "" || !strings.Contains(end.Region.Message, "last seen: 1 resources of micro/lon1 are still there: [volume of k8s-lon1 (vol-1)]. Run `m3o region teardown micro/lon1` again") {
		t.Errorf("it ended as %+v", end)
	}
	w.volumes = nil
	if end = newPlay(t, w).tornDown(end.Region); !end.Removed {
		t.Errorf("with the volume deleted it ended as %+v", end)
	}
}

// What may exist is on record before it is asked for: whatever becomes of the answer and of the platform, it is removed.
func TestWhatIsAskedForIsOnRecordBefore(t *testing.T) {
	w := newWorld()
	var network, cluster region.Region
	w.during["EnsureNetwork lon1"] = func() { network = w.regions[lon1().Key()] }
	w.during["EnsureCluster lon1"] = func() { cluster = w.regions[lon1().Key()] }
	newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: lon1()})
	if !network.Network.Begun() || network.Network.ID != "" || network.Cluster.Begun() {
		t.Errorf("when the network was asked for it was recorded as %+v", network)
	}
	if !cluster.Cluster.Begun() || cluster.Cluster.ID != "" || cluster.Identity.Principals["nodes"] != "role-lon1" {
		t.Errorf("when the cluster was asked for it was recorded as %+v", cluster)
	}
}

// A cloud that gives up on a cluster says why, and the operator hears what to do.
func TestACloudThatGivesUpIsHeard(t *testing.T) {
	w := newWorld()
	w.gaveUp = region.Condition{Broken: true, State: "CREATE_FAILED", Reason: "InsufficientFreeAddresses: no addresses are left in subnet-1"}
	end := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: lon1(), Keep: true})
	same(t, "message", end.Region.Message, `cluster: the cluster m3o-micro-lon1 is in state "CREATE_FAILED": InsufficientFreeAddresses: no addresses are left in subnet-1; `+
		"the cloud does not mend that by itself. What is built stays: mend it and run `m3o region retry micro/lon1`, or `m3o region teardown micro/lon1`")
	end = newPlay(t, newWorldWith(w.gaveUp)).bootstrapped(region.BootstrapInput{Spec: lon1()})
	if !end.Removed || !strings.HasSuffix(end.Region.Message, "by itself. Everything that was built is removed") {
		t.Errorf("it ended as %+v", end)
	}
}

func newWorldWith(c region.Condition) *world {
	w := newWorld()
	w.gaveUp = c
	return w
}

// Volumes of a cluster that is gone are known by its id alone.
func TestARemovalKnowsTheClustersID(t *testing.T) {
	w := newWorld()
	r := readyRegion(t, w)
	newPlay(t, w).tornDown(r)
	if w.removed != "k8s-lon1" {
		t.Errorf("the cluster was removed as %q", w.removed)
	}
}

// Teardown.

func (p *play) tornDown(r region.Region) region.Outcome {
	p.t.Helper()
	if err := p.run(region.TeardownWorkflow, region.TeardownInput{Region: r, Version: r.Version}); err != nil {
		p.t.Fatal(err)
	}
	var end region.Outcome
	if err := p.GetWorkflowResult(&end); err != nil {
		p.t.Fatal(err)
	}
	return end
}

func readyRegion(t *testing.T, w *world) region.Region {
	t.Helper()
	r := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: lon1()}).Region
	w.calls, w.told = nil, nil
	return r
}

func TestARegionIsTakenDownInOrder(t *testing.T) {
	w := newWorld()
	r := readyRegion(t, w)
	w.busy = 3
	w.services[hello] = serviceRow()
	end := newPlay(t, w).tornDown(r)
	same(t, "calls", w.did("RunningReleases", "Delete", "Sweep", "RegionRemoved"),
		"RunningReleases lon1, RunningReleases lon1, RunningReleases lon1, RunningReleases lon1, DeleteCluster lon1, DeleteTrust lon1, DeleteIdentity lon1, DeleteNetwork lon1, Sweep lon1, RegionRemoved hello lon1")
	same(t, "recorded", strings.Join(w.told, ", "), "lon1 deleting, lon1 deleted")
	if !end.Removed || end.Region.Cluster.ID+end.Region.Network.ID+end.Region.Endpoints.API != "" || end.Region.Verified != (region.Verified{}) || end.Region.Version <= r.Version {
		t.Errorf("it ended as %+v", end)
	}
}

func TestTheInventoryIsTakenUntilNothingIsLeft(t *testing.T) {
	w := newWorld()
	r := readyRegion(t, w)
	w.fails("Sweep lon1", 5, fault.New(fault.Unavailable, "a load balancer is still there"))
	if end := newPlay(t, w).tornDown(r); !end.Removed {
		t.Errorf("it ended as %+v", end)
	}
	if got := strings.Count(w.did("Sweep"), "Sweep"); got != 6 {
		t.Errorf("%d sweeps, want 6", got)
	}
}

func TestANetworkThatIsStillInUseIsTriedAgain(t *testing.T) {
	w := newWorld()
	r := readyRegion(t, w)
	w.fails("DeleteNetwork lon1", 3, fault.New(fault.Conflict, "something lives in it"))
	if end := newPlay(t, w).tornDown(r); !end.Removed {
		t.Errorf("it ended as %+v", end)
	}
}

func TestATeardownThatFailsKeepsTheRegion(t *testing.T) {
	w := newWorld()
	r := readyRegion(t, w)
	w.fails("DeleteCluster lon1", 1, fault.New(fault.Denied, "the token may not delete"))
	end := newPlay(t, w).tornDown(r)
	if end.Removed || end.Region.Status != region.Failed || end.Region.Cluster.ID == "" || !strings.Contains(end.Region.Message, "teardown, cluster: the token may not delete. Run `m3o region teardown micro/lon1` again") {
		t.Errorf("it ended as %+v", end)
	}
	if got := w.did("RegionRemoved", "Sweep"); got != "" {
		t.Errorf("it went on with %s", got)
	}
}

func TestAReleaseThatNeverEndsDoesNotKeepARegionAlive(t *testing.T) {
	w := newWorld()
	r := readyRegion(t, w)
	w.fails("RunningReleases lon1", 20, fault.New(fault.Unavailable, "the database is away"))
	if end := newPlay(t, w).tornDown(r); !end.Removed {
		t.Errorf("it ended as %+v", end)
	}
}

// Who asks while the cloud's worker is away is told that it is away, not that something went wrong on our side.
func TestWhoDoesNotAnswerInTimeIsAway(t *testing.T) {
	late := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
	for _, c := range []struct {
		err  error
		want fault.Kind
	}{{late, fault.Unavailable}, {fmt.Errorf("seal: %w", late), fault.Unavailable}, {temporal.NewApplicationError("no", string(fault.Denied)), fault.Denied}, {errors.New("odd"), fault.Unknown}} {
		if got := workflows.KindOf(c.err); got != c.want {
			t.Errorf("%v is %s, want %s", c.err, got, c.want)
		}
	}
}
