package awstest

import (
	"testing"
	"time"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// patience is how long anything may take in an account of a test.
const patience = 2 * time.Minute

// Built is a region that was made.
type Built struct {
	Spec     region.Spec
	Network  region.Net
	Identity region.Identity
	Cluster  region.Cluster
}

// ClusterSpec is what its cluster is to be.
func (b *Built) ClusterSpec() region.ClusterSpec {
	spec := b.Spec.ClusterSpec(b.Network)
	spec.ID, spec.Principals = b.Cluster.ID, b.Identity.Principals
	return spec
}

// Build makes a region: network, identity, cluster, trust.
func Build(t *testing.T, p cloud.Provider, spec region.Spec) *Built {
	t.Helper()
	b := &Built{Spec: spec}
	Until(t, func() (ready bool, err error) {
		b.Network, err = p.EnsureNetwork(t.Context(), spec.NetworkSpec(), "")
		return b.Network.Ready, err
	})
	Until(t, func() (ready bool, err error) {
		b.Identity, err = p.EnsureIdentity(t.Context(), spec.IdentitySpec(b.Network), "")
		return b.Identity.Ready, err
	})
	b.Converge(t, p)
	Until(t, func() (bool, error) {
		now, err := p.EnsureTrust(t.Context(), spec.TrustSpec(b.Cluster, b.Identity), "")
		return now.Ready, err
	})
	return b
}

// Converge has the cluster become what the spec says by now.
func (b *Built) Converge(t *testing.T, p cloud.Provider) {
	t.Helper()
	Until(t, func() (ready bool, err error) {
		made, err := p.EnsureCluster(t.Context(), b.ClusterSpec(), "")
		if err == nil {
			b.Cluster = made
		}
		return made.Ready, err
	})
}

// Remove removes it: cluster, trust, identity, network.
func (b *Built) Remove(t *testing.T, p cloud.Provider) {
	t.Helper()
	Until(t, func() (bool, error) {
		now, err := p.DeleteCluster(t.Context(), b.ClusterSpec(), "")
		return now.Gone, err
	})
	Until(t, func() (bool, error) {
		now, err := p.DeleteIdentity(t.Context(), b.Spec.IdentitySpec(b.Network), "")
		return now.Gone, err
	})
	Until(t, func() (bool, error) {
		now, err := p.DeleteNetwork(t.Context(), b.Spec.NetworkSpec(), "")
		return now.Gone, err
	})
	if left, err := p.Owned(t.Context(), b.Spec.Key(), b.Spec.Location, b.Cluster.ID); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// Until takes steps until they say that it is done. A Conflict waits.
func Until(t *testing.T, step func() (done bool, err error)) {
	t.Helper()
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		done, err := step()
		switch {
		case err != nil && !fault.Is(err, fault.Conflict):
			t.Fatal(err)
		case err == nil && done:
			return
		}
		last = err
	}
	t.Fatalf("not within %s: %v", patience, last)
}
