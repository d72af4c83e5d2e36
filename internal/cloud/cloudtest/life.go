package cloudtest

import (
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

func life(t *testing.T, s suite) {
	w := s.work(s.Region)
	w.makeNetwork(t)
	if w.network.ID == "" || w.network.Name != w.region.NetworkSpec().Name || w.network.CIDR == "" {
		t.Errorf("the network is %+v", w.network)
	}
	w.makeIdentity(t)
	if _, err := s.Provider.Access(t.Context(), w.clusterSpec()); !fault.Is(err, fault.NotFound) {
		t.Errorf("access a cluster that is not there: %v", err)
	}
	first, err := s.Provider.EnsureCluster(t.Context(), w.clusterSpec(), "")
	if err != nil || first.ID == "" || first.Ready || first.Broken || first.State == "" {
		t.Errorf("a cluster that was just asked for is %+v, %v", first, err)
	}
	w.makeCluster(t)
	ready := w.cluster
	if ready.ID != first.ID || !strings.HasPrefix(ready.Endpoint, "https://") || region.Minor(ready.Version) != w.region.Kubernetes.Version {
		t.Errorf("the ready cluster is %+v", ready)
	}
	w.makeTrust(t)
	w.unchanged(t)
	s.canAccess(t, w.clusterSpec())
	s.ownsBoth(t, w.network, ready)
	if now, err := s.Provider.DeleteNetwork(t.Context(), w.region.NetworkSpec(), ""); now.Gone || err != nil && !fault.Is(err, fault.Conflict) {
		t.Errorf("delete a network with a cluster in it: %+v, %v, want a Conflict, or to be told what it waits for", now, err)
	}
	w.makeNetwork(t) // what of it could be removed is there again
	w.remove(t)
	w.remove(t) // gone is fine
	for _, kind := range []Kind{Network, Cluster} {
		s.wantHappened(t, "created", kind, 1)
		s.wantHappened(t, "deleted", kind, 1)
	}
}

// leftovers: what a cluster made in the account may outlive it, be found late, and keep the network.
func leftovers(t *testing.T, s suite) {
	w := s.work(s.Region)
	w.build(t)
	left := s.Outlive(t, w.cluster)
	owns := func(clusters ...string) bool {
		return slices.ContainsFunc(s.owned(t, clusters...), func(r region.Resource) bool { return r.ID == left })
	}
	if !owns() {
		t.Errorf("what a cluster made that is there, %s, is not listed: %v", left, s.owned(t))
	}
	w.removeCluster(t)
	if owns(w.cluster.ID) {
		t.Errorf("the cluster is called gone, and left %v", s.owned(t, w.cluster.ID))
	}
	late := s.Outlive(t, w.cluster)
	if found := s.owned(t, "another", w.cluster.ID); !slices.ContainsFunc(found, func(r region.Resource) bool { return r.ID == late }) {
		t.Errorf("left is %s, listed is %v", late, found)
	}
	other := s.Region.Key()
	other.Name += "-other"
	if owned, err := s.Provider.Owned(t.Context(), other, s.Region.Location, "another"); err != nil || len(owned) > 0 {
		t.Errorf("another region owns %v, %v", owned, err)
	}
	w.remove(t)
}

// longNames: two regions whose names differ only where a cloud may cut them off do not share what is made for them.
func longNames(t *testing.T, s suite) {
	a, b := s.Region, s.Region
	a.Platform = strings.Repeat("p", longest)
	a.Name = strings.Repeat("r", longest-1) + "a"
	b.Platform, b.Name = a.Platform, a.Name[:longest-1]+"b"
	one, other := s.work(a), s.work(b)
	one.build(t)
	other.build(t)
	if one.network.ID == other.network.ID || one.cluster.ID == other.cluster.ID {
		t.Errorf("both have the network %s and the cluster %s, or %s", one.network.ID, one.cluster.ID, other.cluster.ID)
	}
	one.unchanged(t)
	one.remove(t)
	other.unchanged(t)
	s.canAccess(t, other.clusterSpec())
	other.remove(t)
	s.wantOnce(t, true)
}

// namesakes: two platforms of one account have a region of the same name. Neither sees, changes or removes what is the other's.
func namesakes(t *testing.T, s suite) {
	one, other := s.work(s.Region), s.work(s.Region)
	other.region.Platform += "two"
	one.build(t)
	other.build(t)
	if one.network.ID == other.network.ID || one.cluster.ID == other.cluster.ID {
		t.Errorf("both have the network %s and the cluster %s, or %s", one.network.ID, one.cluster.ID, other.cluster.ID)
	}
	for _, w := range []*work{one, other} {
		w.unchanged(t)
		s.canAccess(t, w.clusterSpec())
		s.ownsAlone(t, w)
	}
	one.remove(t)
	other.unchanged(t)
	s.canAccess(t, other.clusterSpec())
	s.ownsAlone(t, other)
	other.remove(t)
	s.wantOnce(t, true)
}

// ownsAlone checks that a region's network and cluster are listed as its own, and nothing that is listed is another's.
func (s suite) ownsAlone(t *testing.T, w *work) {
	t.Helper()
	owned, err := s.Provider.Owned(t.Context(), w.region.Key(), w.region.Location, w.cluster.ID)
	if err != nil {
		t.Fatalf("list what is ours: %v", err)
	}
	ids := map[string]bool{}
	for _, r := range owned {
		ids[r.ID] = true
	}
	if !ids[w.network.ID] || !ids[w.cluster.ID] {
		t.Errorf("of %s and %s not both are listed as ours: %v", w.network.ID, w.cluster.ID, owned)
	}
	namesake := w.region.Key()
	namesake.Platform += "three"
	if listed, err := s.Provider.Owned(t.Context(), namesake, w.region.Location); err != nil || len(listed) > 0 {
		t.Errorf("a platform without regions owns %v, %v", listed, err)
	}
}

// longest is how many characters the names of platforms and regions have at most.
const longest = 40

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
	if owned, err := s.Provider.Owned(t.Context(), other, s.Region.Location); err != nil || len(owned) > 0 {
		t.Errorf("another region owns %v, %v", owned, err)
	}
}

func again(t *testing.T, s suite) {
	w := s.work(s.Region)
	w.build(t)
	first := w.cluster
	w.build(t)
	if w.cluster != first {
		t.Errorf("first the cluster was %+v, then %+v", first, w.cluster)
	}
	w.unchanged(t)
	s.wantOnce(t, false)
	for range 3 {
		if _, err := s.Provider.DeleteCluster(t.Context(), w.clusterSpec(), ""); err != nil && !fault.Is(err, fault.Conflict) {
			t.Errorf("delete a cluster that is being deleted: %v", err)
		}
	}
	w.remove(t)
	s.wantOnce(t, true)
}

// upgraded: clouds upgrade clusters by themselves.
func upgraded(t *testing.T, s suite) {
	w := s.work(s.Region)
	w.build(t)
	before := w.cluster
	to := s.Upgrade(t, before)
	w.until(t, "become ready with another version", func(p cloud.Provider, hint string) (c region.Condition, err error) {
		w.cluster, err = p.EnsureCluster(t.Context(), w.clusterSpec(), hint)
		c = w.cluster.Condition
		c.Ready = c.Ready && w.cluster.Version == to
		return c, err
	})
	w.unchanged(t)
	if found := w.cluster; found.Version != to || found.ID != before.ID || found.Version == before.Version {
		t.Errorf("it was %+v, was upgraded to %s, and is %+v", before, to, found)
	}
	w.remove(t)
}

func foreign(t *testing.T, s suite) {
	w := s.work(s.Region)
	refuses := func(kind Kind, name string, ensure func() error, gone func() (region.Removal, error)) {
		t.Helper()
		s.Foreign(t, kind, name)
		err := ensure()
		wantKind(t, err, fault.Exists)
		if err != nil && !strings.Contains(fault.Message(err), name) {
			t.Errorf("the message does not name %s: %s", name, fault.Message(err))
		}
		if now, err := gone(); err != nil || !now.Gone {
			t.Errorf("of ours there is no %s, so there is nothing to delete: %+v, %v", kind, now, err)
		}
	}
	refuses(Network, w.region.NetworkSpec().Name, func() error {
		_, err := s.Provider.EnsureNetwork(t.Context(), w.region.NetworkSpec(), "")
		return err
	}, func() (region.Removal, error) {
		return s.Provider.DeleteNetwork(t.Context(), w.region.NetworkSpec(), "")
	})
	if slices.Contains(s.Kinds, Identity) {
		refuses(Identity, w.region.IdentitySpec(w.network).Name, func() error {
			_, err := s.Provider.EnsureIdentity(t.Context(), w.region.IdentitySpec(w.network), "")
			return err
		}, func() (region.Removal, error) {
			return s.Provider.DeleteIdentity(t.Context(), w.region.IdentitySpec(w.network), "")
		})
	}
	refuses(Cluster, w.clusterSpec().Name, func() error {
		_, err := s.Provider.EnsureCluster(t.Context(), w.clusterSpec(), "")
		return err
	}, func() (region.Removal, error) {
		return s.Provider.DeleteCluster(t.Context(), w.clusterSpec(), "")
	})
	_, err := s.Provider.Access(t.Context(), w.clusterSpec())
	wantKind(t, err, fault.NotFound)
	if owned := s.owned(t); len(owned) > 0 {
		t.Errorf("listed as ours: %v", owned)
	}
	s.wantOnce(t, false)
}
