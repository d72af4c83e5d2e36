package cloudtest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

func life(t *testing.T, s suite) {
	network := s.ensureNetwork(t)
	if network.ID == "" || network.Name != s.network().Name {
		t.Errorf("the network is %+v", network)
	}
	spec := s.cluster(network)
	if _, err := s.Provider.FindCluster(t.Context(), spec); !fault.Is(err, fault.NotFound) {
		t.Errorf("find a cluster that is not there: %v", err)
	}
	first := s.ensureCluster(t, spec)
	if first.ID == "" || first.Ready || first.Broken || first.State == "" {
		t.Errorf("a cluster that was just asked for is %+v", first)
	}
	ready := s.untilReady(t, spec, spec.Nodes.Count)
	if ready.ID != first.ID || !strings.HasPrefix(ready.Endpoint, "https://") || !strings.HasPrefix(ready.Version, spec.Version+".") {
		t.Errorf("the ready cluster is %+v", ready)
	}
	s.canAccess(t, spec)
	s.ownsBoth(t, network, ready)
	if err := s.Provider.DeleteNetwork(t.Context(), s.network()); !fault.Is(err, fault.Conflict) {
		t.Errorf("delete a network with a cluster in it: %v, want a Conflict", err)
	}
	s.remove(t, spec)
	for range 2 { // gone is fine
		if err := s.Provider.DeleteCluster(t.Context(), spec); err != nil {
			t.Errorf("delete a cluster that is gone: %v", err)
		}
		if err := s.Provider.DeleteNetwork(t.Context(), s.network()); err != nil {
			t.Errorf("delete a network that is gone: %v", err)
		}
	}
	for _, kind := range []Kind{Network, Cluster} {
		s.wantHappened(t, "created", kind, 1)
		s.wantHappened(t, "deleted", kind, 1)
	}
}

func outlived(t *testing.T, s suite) {
	spec := s.cluster(s.ensureNetwork(t))
	s.ensureCluster(t, spec)
	c := s.untilReady(t, spec, spec.Nodes.Count)
	volume := s.Outlive(t, c)
	owns := func(clusters ...string) bool {
		return slices.ContainsFunc(s.owned(t, clusters...), func(r region.Resource) bool { return r.ID == volume })
	}
	if !owns() {
		t.Errorf("the volume %s of a cluster that is there is not listed: %v", volume, s.owned(t))
	}
	if err := s.Provider.DeleteCluster(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	s.untilGone(t, spec)
	s.untilNetworkGone(t)
	if left := s.owned(t, "another", c.ID); !owns("another", c.ID) || len(left) != 1 {
		t.Errorf("left is the volume %s, listed is %v", volume, left)
	}
	other := s.Region.Key()
	other.Name += "-other"
	if owned, err := s.Provider.Owned(t.Context(), other, "another"); err != nil || len(owned) > 0 {
		t.Errorf("another region owns %v, %v", owned, err)
	}
}

func (s suite) canAccess(t *testing.T, spec region.ClusterSpec) {
	t.Helper()
	access, err := s.Provider.Access(t.Context(), spec)
	if err != nil {
		t.Fatalf("access the cluster: %v", err)
	}
	var config struct {
		Clusters []struct {
			Cluster struct{ Server string }
		}
		Users []any
	}
	if err := yaml.Unmarshal(access.Kubeconfig, &config); err != nil || len(config.Clusters) == 0 || config.Clusters[0].Cluster.Server == "" || len(config.Users) == 0 {
		t.Errorf("the kubeconfig names no server or no user: %v", err)
	}
	if access.Expires.IsZero() {
		t.Error("the credentials do not say when they end")
	}
}

func (s suite) ownsBoth(t *testing.T, network region.Net, c region.Cluster) {
	t.Helper()
	ids := map[string]bool{}
	for _, r := range s.owned(t) {
		ids[r.ID] = true
	}
	if !ids[network.ID] || !ids[c.ID] {
		t.Errorf("of %s and %s not both are listed as ours: %v", network.ID, c.ID, s.owned(t))
	}
	other := s.Region.Key()
	other.Name += "-other"
	if owned, err := s.Provider.Owned(t.Context(), other); err != nil || len(owned) > 0 {
		t.Errorf("another region owns %v, %v", owned, err)
	}
}

func again(t *testing.T, s suite) {
	network := s.ensureNetwork(t)
	spec := s.cluster(network)
	c := s.ensureCluster(t, spec)
	for range 3 {
		if n := s.ensureNetwork(t); n != network {
			t.Errorf("first the network was %+v, then %+v", network, n)
		}
		if again := s.ensureCluster(t, spec); again.ID != c.ID {
			t.Errorf("first the cluster was %+v, then %+v", c, again)
		}
	}
	s.untilReady(t, spec, spec.Nodes.Count)
	if again := s.ensureCluster(t, spec); !again.Ready {
		t.Errorf("asking for what is there disturbed it: %+v", again)
	}
	s.wantHappened(t, "created", Network, 1)
	s.wantHappened(t, "created", Cluster, 1)
	if err := s.Provider.DeleteCluster(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if err := s.Provider.DeleteCluster(t.Context(), spec); err != nil {
		t.Errorf("delete a cluster that is being deleted: %v", err)
	}
	if _, err := s.Provider.EnsureCluster(t.Context(), spec); err != nil && !fault.Is(err, fault.Conflict) {
		t.Errorf("ask for a cluster that is being deleted: %v, want a Conflict", err)
	}
}

// together is what two attempts of one activity do when the first was taken for dead and was not.
func together(t *testing.T, s suite) {
	const attempts = 4
	networks, errs := make([]region.Net, attempts), make([]error, attempts)
	each(attempts, func(i int) { networks[i], errs[i] = s.Provider.EnsureNetwork(t.Context(), s.network()) })
	for i := range attempts {
		if errs[i] != nil || networks[i].ID != networks[0].ID {
			t.Errorf("attempt %d got %+v, %v", i, networks[i], errs[i])
		}
	}
	spec := s.cluster(networks[0])
	clusters := make([]region.Cluster, attempts)
	each(attempts, func(i int) { clusters[i], errs[i] = s.Provider.EnsureCluster(t.Context(), spec) })
	for i := range attempts {
		if errs[i] != nil || clusters[i].ID != clusters[0].ID {
			t.Errorf("attempt %d got %+v, %v", i, clusters[i], errs[i])
		}
	}
	s.wantHappened(t, "created", Network, 1)
	s.wantHappened(t, "created", Cluster, 1)
}

func each(n int, do func(int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

func lost(t *testing.T, s suite) {
	s.Break(t, Breakage{CreateNetwork, LostAfter})
	_, err := s.Provider.EnsureNetwork(t.Context(), s.network())
	wantKind(t, err, fault.Unavailable)
	network := s.ensureNetwork(t)
	spec := s.cluster(network)
	s.Break(t, Breakage{CreateCluster, LostAfter})
	_, err = s.Provider.EnsureCluster(t.Context(), spec)
	wantKind(t, err, fault.Unavailable)
	s.ensureCluster(t, spec)
	s.untilReady(t, spec, spec.Nodes.Count)
	spec.Nodes.Count++
	s.Break(t, Breakage{ScaleCluster, LostAfter})
	_, err = s.Provider.EnsureCluster(t.Context(), spec)
	wantKind(t, err, fault.Unavailable)
	s.ensureCluster(t, spec)
	s.untilReady(t, spec, spec.Nodes.Count)
	s.Break(t, Breakage{DeleteCluster, LostAfter})
	wantKind(t, s.Provider.DeleteCluster(t.Context(), spec), fault.Unavailable)
	if err := s.Provider.DeleteCluster(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	s.untilGone(t, spec)
	s.until(t, "the network is empty", func(ctx context.Context) (bool, error) {
		s.Break(t, Breakage{DeleteNetwork, LostAfter})
		return fault.Is(s.Provider.DeleteNetwork(ctx, s.network()), fault.Unavailable) && s.happened(t, "deleted", Network) > 0, nil
	})
	s.untilNetworkGone(t)
	for _, kind := range []Kind{Network, Cluster} {
		s.wantHappened(t, "created", kind, 1)
		s.wantHappened(t, "deleted", kind, 1)
	}
}

func foreign(t *testing.T, s suite) {
	s.Foreign(t, Network, s.network().Name)
	_, err := s.Provider.EnsureNetwork(t.Context(), s.network())
	wantKind(t, err, fault.Exists)
	if !strings.Contains(fault.Message(err), s.network().Name) {
		t.Errorf("the message does not name it: %s", fault.Message(err))
	}
	if err := s.Provider.DeleteNetwork(t.Context(), s.network()); err != nil {
		t.Errorf("of ours nothing is there, so there is nothing to delete: %v", err)
	}
	spec := s.cluster(region.Net{})
	s.Foreign(t, Cluster, spec.Name)
	_, err = s.Provider.EnsureCluster(t.Context(), spec)
	wantKind(t, err, fault.Exists)
	_, err = s.Provider.FindCluster(t.Context(), spec)
	wantKind(t, err, fault.NotFound)
	_, err = s.Provider.Access(t.Context(), spec)
	wantKind(t, err, fault.NotFound)
	if err := s.Provider.DeleteCluster(t.Context(), spec); err != nil {
		t.Errorf("of ours nothing is there, so there is nothing to delete: %v", err)
	}
	if owned := s.owned(t); len(owned) > 0 {
		t.Errorf("listed as ours: %v", owned)
	}
	s.wantHappened(t, "created", Cluster, 1)
	s.wantHappened(t, "deleted", Network, 0)
	s.wantHappened(t, "deleted", Cluster, 0)
}
