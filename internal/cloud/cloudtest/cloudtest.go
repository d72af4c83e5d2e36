// Package cloudtest is the conformance suite of package cloud: what every provider promises, in the users' words, run
// against an account that behaves as the real one does and misbehaves when told to.
//
// A provider's own test makes a Harness over its sandbox and calls Run. The suite looks at effects as an outsider sees
// them, never at calls. What only one provider does (its words, its wire protocol) is for that provider's own tests. Only tests
// import this package.
package cloudtest

import (
	"context"
	"testing"
	"time"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Harness is an account to test with: empty, of its own, and gone after the test.
type Harness struct {
	Provider cloud.Provider
	Region   region.Spec    // that the account can hold, with room for three more nodes but not for a hundred
	Stranger cloud.Provider // the same account with credentials that are not valid

	Break   func(t *testing.T, b Breakage)              // makes the next calls fail
	Effects func(t *testing.T) []Effect                 // everything that happened in the account, in order
	Foreign func(t *testing.T, kind Kind, name string)  // makes a thing of that name that is nobody's region's
	Outlive func(t *testing.T, c region.Cluster) string // makes a volume as the cluster would have, which outlives it; its id
	Within  time.Duration                               // how long anything may take there; each poll is a hundredth
}

// Kind is what the suite makes.
type Kind string

// The kinds.
const (
	Network Kind = "network"
	Cluster Kind = "cluster"
)

// Call is one thing the account is asked, whatever the provider calls it.
type Call string

// The calls that the suite breaks.
const (
	ListNetworks  Call = "list networks"
	CreateNetwork Call = "create network"
	DeleteNetwork Call = "delete network"
	ListClusters  Call = "list clusters"
	CreateCluster Call = "create cluster"
	ScaleCluster  Call = "scale cluster"
	DeleteCluster Call = "delete cluster"
	GiveAccess    Call = "give access"
	DescribeLimit Call = "describe limits"
)

// Way is how a call goes wrong.
type Way string

// The ways.
const (
	Throttled  Way = "throttled"   // too many calls; come back in a while
	Failing    Way = "failing"     // an internal error, before anything was done
	LostAfter  Way = "lost after"  // done, but the connection ended before the answer
	LostBefore Way = "lost before" // the connection ended before anything was done
	Denied     Way = "denied"      // the credentials may not
	Quota      Way = "quota"       // a limit of the account
	Slow       Way = "slow"        // answered much later
	Stuck      Way = "stuck"       // accepted, and never done
	Late       Way = "late"        // accepted, and failed in the end
)

// Breakage makes a call go wrong once.
type Breakage struct {
	Call Call
	Way  Way
}

// Effect is one thing that happened in the account. Change is "created", "updated" or "deleted".
type Effect struct {
	Change string
	Kind   Kind
	Name   string
}

// Run runs the suite. fresh makes a new account for each test.
func Run(t *testing.T, fresh func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, suite)
	}{
		{"a region's life leaves nothing behind", life},
		{"what outlives its cluster is found by the cluster's id", outlived},
		{"asking again makes nothing twice", again},
		{"asking at the same time makes nothing twice", together},
		{"lost answers are adopted", lost},
		{"what is not ours is refused and left alone", foreign},
		{"failures have a kind and the provider's words", kinds},
		{"credentials that are not valid are denied", stranger},
		{"a cluster that fails says so and can be removed", late},
		{"a cluster that is stuck is neither ready nor broken", stuck},
		{"nodes are added and removed", scale},
		{"preflight tells price and obstacles", preflight},
		{"a version that is not offered is refused", version},
		{"calls end with their context", slow},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, suite{Harness: fresh(t)})
		})
	}
}

// suite is a harness with the words the tests are written in.
type suite struct{ Harness }

func (s suite) network() region.NetworkSpec { return s.Region.NetworkSpec() }

func (s suite) cluster(network region.Net) region.ClusterSpec { return s.Region.ClusterSpec(network) }

func (s suite) ensureNetwork(t *testing.T) region.Net {
	t.Helper()
	n, err := s.Provider.EnsureNetwork(t.Context(), s.network())
	if err != nil {
		t.Fatalf("ensure the network: %v", err)
	}
	return n
}

func (s suite) ensureCluster(t *testing.T, spec region.ClusterSpec) region.Cluster {
	t.Helper()
	c, err := s.Provider.EnsureCluster(t.Context(), spec)
	if err != nil {
		t.Fatalf("ensure the cluster: %v", err)
	}
	return c
}

// until asks again and again, as a workflow would.
func (s suite) until(t *testing.T, what string, done func(context.Context) (bool, error)) {
	t.Helper()
	deadline := time.Now().Add(s.Within)
	for {
		ok, err := done(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, s.Within)
		}
		time.Sleep(s.Within / 100)
	}
}

func (s suite) untilReady(t *testing.T, spec region.ClusterSpec, nodes int) region.Cluster {
	t.Helper()
	var c region.Cluster
	s.until(t, "the cluster becomes ready", func(ctx context.Context) (ready bool, err error) {
		c, err = s.Provider.FindCluster(ctx, spec)
		return c.Ready && c.Nodes == nodes, err
	})
	return c
}

func (s suite) untilGone(t *testing.T, spec region.ClusterSpec) {
	t.Helper()
	s.until(t, "the cluster goes", func(ctx context.Context) (bool, error) {
		_, err := s.Provider.FindCluster(ctx, spec)
		if fault.Is(err, fault.NotFound) {
			return true, nil
		}
		return false, err
	})
}

func (s suite) untilNetworkGone(t *testing.T) {
	t.Helper()
	s.until(t, "the network goes", func(ctx context.Context) (bool, error) {
		err := s.Provider.DeleteNetwork(ctx, s.network())
		if fault.Is(err, fault.Conflict) {
			return false, nil
		}
		return err == nil, err
	})
}

// remove takes everything down and sees that nothing is left.
func (s suite) remove(t *testing.T, spec region.ClusterSpec) {
	t.Helper()
	if err := s.Provider.DeleteCluster(t.Context(), spec); err != nil {
		t.Fatalf("delete the cluster: %v", err)
	}
	s.untilGone(t, spec)
	s.untilNetworkGone(t)
	if left := s.owned(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func (s suite) owned(t *testing.T, clusters ...string) []region.Resource {
	t.Helper()
	owned, err := s.Provider.Owned(t.Context(), s.Region.Key(), clusters...)
	if err != nil {
		t.Fatalf("list what is ours: %v", err)
	}
	return owned
}

// happened counts the effects of a kind, whatever their name.
func (s suite) happened(t *testing.T, change string, kind Kind) int {
	t.Helper()
	n := 0
	for _, e := range s.Effects(t) {
		if e.Change == change && e.Kind == kind {
			n++
		}
	}
	return n
}

func (s suite) wantHappened(t *testing.T, change string, kind Kind, want int) {
	t.Helper()
	if got := s.happened(t, change, kind); got != want {
		t.Errorf("%d %ss were %s, want %d; effects: %v", got, kind, change, want, s.Effects(t))
	}
}

func wantKind(t *testing.T, err error, want fault.Kind) {
	t.Helper()
	if !fault.Is(err, want) {
		t.Errorf("got %v (kind %s), want a fault of kind %s", err, fault.Of(err), want)
	}
}
