//go:build embedded

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

// What the test environment does not do as a real server does: the reuse of ids, and waiting for what is cancelled.
func TestOnARealServer(t *testing.T) {
	s := newStage(t)
	t.Run("a region's second life has its own bootstrap", func(t *testing.T) { secondLife(t, s) })
	t.Run("what is on its way when it is given up is removed too", func(t *testing.T) { givenUp(t, s) })
	t.Run("a removal tells a bootstrap that waits", func(t *testing.T) { removalTells(t, s) })
	t.Run("a region that lost its owner is removed", func(t *testing.T) { orphan(t, s) })
	t.Run("a bootstrap that waits is found by the next owner", func(t *testing.T) { waitsOn(t, s) })
	t.Run("a deploy that was found is not done again", func(t *testing.T) { found(t, s) })
	t.Run("what keeps a region is said", func(t *testing.T) { kept(t, s) })
	t.Run("a deploy survives its owner", func(t *testing.T) { survives(t, s) })
}

// kept: the cloud is away, and who asks hears in its words what the region waits for.
func kept(t *testing.T, s *stage) {
	spec := place("kept")
	s.w.fails("EnsureNetwork kept", 5, fault.New(fault.Unavailable, "DigitalOcean answered 503"))
	s.order(spec, "kept-apply")
	said := false
	for deadline := time.Now().Add(20 * time.Second); !said && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		p, err := s.flows.RegionProgress(s.ctx, spec.Key())
		s.must("ask what it waits for", err)
		said = strings.HasPrefix(p.Waiting, "DigitalOcean answered 503 (retried")
	}
	if !said {
		t.Error("nobody hears what the region waits for")
	}
	s.region(spec, region.Ready)
	s.takeDown(spec, "kept-remove")
}

// survives: the owner of a service is terminated while a deploy is on its way. The deploy goes on, and the next command's
// owner takes over how it ended.
func survives(t *testing.T, s *stage) {
	spec := place("survivor")
	s.order(spec, "survivor-apply")
	s.region(spec, region.Ready)
	key := release.Key{Project: "default", Name: "orphaned"}
	begun, goOn := make(chan struct{}), make(chan struct{})
	s.w.mu.Lock()
	first := len(s.w.releases) + 1
	call := fmt.Sprintf("AwaitService survivor/%d", first)
	s.w.during[call] = func() { close(begun); <-goOn }
	s.w.mu.Unlock()
	in := request()
	in.Service = key
	_, err := s.flows.DeployService(s.ctx, "survivor-deploy", in)
	s.must("deploy", err)
	<-begun
	s.w.mu.Lock()
	delete(s.w.during, call)
	s.w.mu.Unlock()
	s.must("terminate the owner", s.c.TerminateWorkflow(s.ctx, key.OperateID(), "", "by hand"))
	close(goOn)
	_, err = s.flows.DeployService(s.ctx, "survivor-again", in)
	s.must("deploy again", err)
	s.until("the second release runs", func(w *world) bool { return w.services[key].Current == first+1 })
	_, err = s.flows.KillService(s.ctx, "survivor-kill", key, release.KillInput{By: "ada"})
	s.must("kill", err)
	s.until("it is gone", func(w *world) bool { return w.services[key].Status == release.Killed })
	s.takeDown(spec, "survivor-remove")
}

func (s *stage) order(spec region.Spec, id string) {
	s.t.Helper()
	_, err := s.flows.ApplyRegion(s.ctx, id, region.ApplyInput{Spec: spec, By: "ada"})
	s.must("apply", err)
}

func (s *stage) takeDown(spec region.Spec, id string) {
	s.t.Helper()
	_, err := s.flows.RemoveRegion(s.ctx, id, spec.Key(), region.RemoveInput{By: "ada"})
	s.must("remove", err)
	s.must("wait for its end", s.c.GetWorkflow(s.ctx, spec.Key().OperateID(), "").Get(s.ctx, nil))
	s.region(spec, region.Deleted)
	s.until("nothing is left of "+spec.Name, func(w *world) bool { _, lives := w.clusters[spec.Name]; return !lives && !w.networks[spec.Name] })
}

// secondLife: operations are counted anew, so their workflows bear the ids of the first life's, which are not to be found.
func secondLife(t *testing.T, s *stage) {
	spec := place("twice")
	for _, life := range []string{"first", "second"} {
		s.order(spec, life+"-apply")
		s.region(spec, region.Ready)
		s.until("there is a cluster in its "+life+" life", func(w *world) bool { _, lives := w.clusters["twice"]; return lives })
		s.takeDown(spec, life+"-remove")
	}
}

// givenUp: the cloud has the request and makes the cluster a moment after the bootstrap was told to give up.
func givenUp(t *testing.T, s *stage) {
	spec := place("late")
	begun := make(chan struct{})
	s.w.mu.Lock()
	s.w.during["EnsureCluster late"] = func() { close(begun); time.Sleep(time.Second) }
	s.w.mu.Unlock()
	s.order(spec, "late-apply")
	<-begun
	s.takeDown(spec, "late-remove")
	time.Sleep(time.Second)
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if _, lives := s.w.clusters["late"]; lives {
		t.Error("a cluster was left behind")
	}
}

func removalTells(t *testing.T, s *stage) {
	spec := place("waiting")
	s.w.fails("EnsureCluster waiting", 1, fault.New(fault.Quota, "droplet limit reached"))
	s.order(spec, "waiting-apply")
	s.region(spec, region.Failed)
	s.takeDown(spec, "waiting-remove")
}

func orphan(t *testing.T, s *stage) {
	spec := place("orphan")
	s.order(spec, "orphan-apply")
	s.region(spec, region.Ready)
	s.must("terminate its owner", s.c.TerminateWorkflow(s.ctx, spec.Key().OperateID(), "", "by mistake"))
	s.takeDown(spec, "orphan-remove")
}

// waitsOn: the owner of a region is terminated while the bootstrap waits for the operator. The next one does not begin another.
func waitsOn(t *testing.T, s *stage) {
	spec := place("patient")
	key := spec.Key()
	s.w.fails("EnsureCluster patient", 1, fault.New(fault.Quota, "droplet limit reached"))
	s.order(spec, "patient-apply")
	s.region(spec, region.Failed)
	s.must("terminate its owner", s.c.TerminateWorkflow(s.ctx, key.OperateID(), "", "by mistake"))
	_, err := s.flows.RetryRegion(s.ctx, "patient-retry", key, region.RetryInput{By: "ada"})
	s.must("retry", err)
	s.region(spec, region.Ready)
	if r := s.w.regions[key]; r.Operation != 1 {
		t.Errorf("it took operation %d", r.Operation)
	}
	if _, err := s.c.DescribeWorkflowExecution(s.ctx, key.BootstrapID(2), ""); err == nil {
		t.Error("another bootstrap was begun beside the one that waited")
	}
	s.takeDown(spec, "patient-remove")
}

// found: an owner that lost its state finds the deploy of that number, and takes its answer.
func found(t *testing.T, s *stage) {
	spec := place("lon1")
	s.order(spec, "found-apply")
	s.region(spec, region.Ready)
	first, err := s.flows.DeployService(s.ctx, "found-deploy", request())
	s.must("deploy", err)
	s.until("it runs", func(w *world) bool { return w.services[hello].Current == first.Release })
	again, err := s.flows.DeployService(s.ctx, "found-deploy", request())
	s.must("deploy again", err)
	if again != first {
		t.Errorf("answered %+v and %+v", first, again)
	}
	_, err = s.flows.KillService(s.ctx, "found-kill", hello, release.KillInput{By: "ada"})
	s.must("kill", err)
	s.must("wait for its end", s.c.GetWorkflow(s.ctx, hello.OperateID(), "").Get(s.ctx, nil))
	if once := s.w.did("ApplyService lon1/1"); once != "ApplyService lon1/1" {
		t.Errorf("done: %s", once)
	}
}
