package sandbox_test

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

// standIns is a sandbox whose clusters are processes, but no Kubernetes.
func standIns(t *testing.T) sandbox.Config {
	t.Helper()
	binary, err := os.Executable()
	must(t, err)
	config := inMemory(t)
	config.Clusters, config.KubeBinary = nil, binary
	return config
}

// faults orders them in the words that scripts use.
func (s *started) fault(operation, kind string) {
	s.t.Helper()
	s.ask(http.MethodPost, "/_sandbox/faults", map[string]any{"provider": "digitalocean", "operation": operation, "fault": kind, "times": 1, "after": 0}, http.StatusCreated)
}

func (s *started) create(name, network string) (*godo.KubernetesCluster, error) {
	c, _, err := s.do.Kubernetes.Create(s.t.Context(), &godo.KubernetesClusterCreateRequest{Name: name, RegionSlug: "lon1", VersionSlug: "1.34", VPCUUID: network,
		NodePools: []*godo.KubernetesNodePoolCreateRequest{{Name: "main", Size: "c-2", Count: 2}}})
	return c, err
}

// TestMisbehavingCloudLeavesNothing has clusters go wrong in every way, one after another under the same name, and deletes
// them: each is gone in the end, with its processes and nodes, and the ledger says so once.
func TestMisbehavingCloudLeavesNothing(t *testing.T) {
	config := standIns(t)
	s := start(t, config)
	network, _, err := s.do.VPCs.Create(t.Context(), &godo.VPCCreateRequest{Name: "net-1", RegionSlug: "lon1"})
	must(t, err)
	for _, c := range []struct {
		operation, kind string
		becomes         godo.KubernetesClusterStatusState
	}{
		{"kubernetes_create_cluster", world.Stuck, godo.KubernetesClusterStatusProvisioning},
		{"kubernetes_create_cluster", world.Late, godo.KubernetesClusterStatusError},
		{"kubernetes_upgrade_cluster", world.Stuck, godo.KubernetesClusterStatusUpgrading},
		{"kubernetes_upgrade_cluster", world.Late, godo.KubernetesClusterStatusError},
	} {
		s.goesWrong(network.ID, c.operation, c.kind, c.becomes)
	}
	for kind, status := range map[string]int{world.Quota: http.StatusUnprocessableEntity, world.Denied: http.StatusForbidden} {
		s.fault("kubernetes_create_cluster", kind)
		var refused *godo.ErrorResponse
		if _, err := s.create("lon1", network.ID); !errors.As(err, &refused) || refused.Response.StatusCode != status {
			t.Errorf("%s: %v", kind, err)
		}
	}
	_, err = s.do.VPCs.Delete(t.Context(), network.ID)
	must(t, err)
	v := &victim{started: s}
	v.checkLedger()
	if out, err := exec.Command("pgrep", "-f", config.Dir).Output(); err == nil {
		t.Errorf("processes are left: %s", out)
	}
	if left, err := os.ReadDir(filepath.Join(config.Dir, "clusters")); err != nil || len(left) > 0 {
		t.Errorf("left of the clusters: %v, %v", left, err)
	}
}

// goesWrong takes a cluster through its life with one fault in it.
func (s *started) goesWrong(network, operation, kind string, becomes godo.KubernetesClusterStatusState) {
	s.t.Helper()
	s.fault(operation, kind)
	c, err := s.create("lon1", network)
	must(s.t, err)
	state := func() godo.KubernetesClusterStatusState {
		got, _, err := s.do.Kubernetes.Get(s.t.Context(), c.ID)
		must(s.t, err)
		return got.Status.State
	}
	if operation == "kubernetes_upgrade_cluster" {
		s.waitState(c.ID, godo.KubernetesClusterStatusRunning)
		_, err := s.do.Kubernetes.Upgrade(s.t.Context(), c.ID, &godo.KubernetesClusterUpgradeRequest{VersionSlug: "1.35.1-do.0"})
		must(s.t, err)
	}
	s.eventually(operation+" "+kind+" shows", func() bool { return state() == becomes })
	time.Sleep(700 * time.Millisecond) // longer than anything takes here
	if got := state(); got != becomes {
		s.t.Errorf("%s of %s: the cluster became %s", kind, operation, got)
	}
	_, err = s.do.Kubernetes.DeleteDangerous(s.t.Context(), c.ID)
	must(s.t, err)
	s.waitGone(c.ID)
	droplets, _, err := s.do.Droplets.ListByTag(s.t.Context(), "k8s:"+c.ID, nil)
	must(s.t, err)
	if len(droplets) > 0 {
		s.t.Errorf("its machines are left: %v", droplets)
	}
}

// TestSandboxOwnsEveryCluster: also one that nobody wants any more keeps its owner, so that it is the sandbox that ends it.
func TestSandboxOwnsEveryCluster(t *testing.T) {
	config := standIns(t)
	folder := filepath.Join(config.Dir, "clusters", "00c0ffee")
	must(t, os.MkdirAll(folder, 0o700))
	s := start(t, config)
	s.eventually("it has an owner", func() bool {
		info, err := os.Stat(filepath.Join(folder, "owner"))
		return err == nil && time.Since(info.ModTime()) < time.Minute
	})
}
