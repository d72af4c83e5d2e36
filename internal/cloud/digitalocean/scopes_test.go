package digitalocean_test

import (
	"testing"
	"time"

	"github.com/m3o/platform/deploy/workers"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox"
)

// TestAWorkersTokenIsEnough takes a region through its life with the scopes that a worker has, in an account whose location has no
// default network yet.
func TestAWorkersTokenIsEnough(t *testing.T) {
	at := newAccount(t, sandbox.Config{NewAccount: true, Policies: map[string][]byte{"digitalocean": workerpolicy.Of("digitalocean")}})
	h := at.Harness(t)
	want := h.Region
	want.Access = []string{"198.51.100.0/24"}
	if got, err := h.Provider.Preflight(t.Context(), want, nil); err != nil || len(got.Obstacles) > 0 {
		t.Fatalf("the preflight says %+v, %v", got.Obstacles, err)
	}
	network, err := h.Provider.EnsureNetwork(t.Context(), want.NetworkSpec(), "")
	if err != nil {
		t.Fatal(err)
	}
	grown := want
	grown.Access, grown.Kubernetes.Nodes.Count = nil, 3
	for _, spec := range []region.Spec{want, grown} {
		until(t, func() (bool, error) {
			made, err := h.Provider.EnsureCluster(t.Context(), spec.ClusterSpec(network), "")
			return made.Ready, err
		})
	}
	if _, err := h.Provider.Access(t.Context(), want.ClusterSpec(network)); err != nil {
		t.Error(err)
	}
	until(t, func() (bool, error) {
		return gone(h.Provider.DeleteCluster(t.Context(), want.ClusterSpec(network), ""))
	})
	until(t, func() (bool, error) { return gone(h.Provider.DeleteNetwork(t.Context(), want.NetworkSpec(), "")) })
	if left, err := h.Provider.Owned(t.Context(), want.Key(), want.Location); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func gone(now region.Removal, err error) (bool, error) { return now.Gone, err }

// until takes steps until one says that it is done.
func until(t *testing.T, step func() (bool, error)) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		done, err := step()
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("it is not done: %v", err)
		}
		if done {
			return
		}
	}
}
