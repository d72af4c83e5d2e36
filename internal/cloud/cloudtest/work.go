package cloudtest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// work makes and removes one region as workflows do: stage by stage, each a step again and again until it is ready or gone.
type work struct {
	suite
	region region.Spec

	process func() cloud.Provider       // who takes the next step
	bears   func(err error) bool        // whether to go on after an error; nil for what every caller bears
	hands   func(string, string) string // of the first and the newest hint of a stage the one that is handed on; nil for the newest

	stage    string
	network  region.Net
	identity region.Identity
	cluster  region.Cluster
}

func (s suite) work(spec region.Spec) *work {
	return &work{suite: s, region: spec, process: func() cloud.Provider { return s.Provider }}
}

func (w *work) clusterSpec() region.ClusterSpec {
	spec := w.region.ClusterSpec(w.network)
	spec.ID, spec.Principals = w.cluster.ID, w.identity.Principals
	return spec
}

func (w *work) trustSpec() region.TrustSpec { return w.region.TrustSpec(w.cluster, w.identity) }

// build makes the region: network, identity, cluster, trust.
func (w *work) build(t *testing.T) {
	t.Helper()
	w.makeNetwork(t)
	w.makeIdentity(t)
	w.makeCluster(t)
	w.makeTrust(t)
}

func (w *work) makeNetwork(t *testing.T) {
	t.Helper()
	w.until(t, "make the network", func(p cloud.Provider, hint string) (c region.Condition, err error) {
		made, err := p.EnsureNetwork(t.Context(), w.region.NetworkSpec(), hint)
		w.network = made
		return made.Condition, err
	})
}

func (w *work) makeIdentity(t *testing.T) {
	t.Helper()
	w.until(t, "make the identity", func(p cloud.Provider, hint string) (region.Condition, error) {
		made, err := p.EnsureIdentity(t.Context(), w.region.IdentitySpec(w.network), hint)
		w.identity = made
		return made.Condition, err
	})
}

func (w *work) makeCluster(t *testing.T) {
	t.Helper()
	w.until(t, "make the cluster", func(p cloud.Provider, hint string) (region.Condition, error) {
		made, err := p.EnsureCluster(t.Context(), w.clusterSpec(), hint)
		if err == nil {
			w.cluster = made
		}
		return made.Condition, err
	})
	if w.cluster.Nodes != w.region.Kubernetes.Nodes.Count {
		t.Errorf("it is ready with %d nodes, want %d", w.cluster.Nodes, w.region.Kubernetes.Nodes.Count)
	}
}

func (w *work) makeTrust(t *testing.T) {
	t.Helper()
	w.until(t, "make the trust", func(p cloud.Provider, hint string) (region.Condition, error) {
		return p.EnsureTrust(t.Context(), w.trustSpec(), hint)
	})
}

// remove takes the region down: cluster, trust, identity, network. Nothing is left.
func (w *work) remove(t *testing.T) {
	t.Helper()
	w.removeCluster(t)
	w.untilGone(t, "remove the trust", func(p cloud.Provider, hint string) (region.Removal, error) {
		return p.DeleteTrust(t.Context(), w.trustSpec(), hint)
	})
	w.untilGone(t, "remove the identity", func(p cloud.Provider, hint string) (region.Removal, error) {
		return p.DeleteIdentity(t.Context(), w.region.IdentitySpec(w.network), hint)
	})
	w.untilGone(t, "remove the network", func(p cloud.Provider, hint string) (region.Removal, error) {
		return p.DeleteNetwork(t.Context(), w.region.NetworkSpec(), hint)
	})
	left, err := w.Provider.Owned(t.Context(), w.region.Key(), w.region.Location, w.cluster.ID)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func (w *work) removeCluster(t *testing.T) {
	t.Helper()
	w.untilGone(t, "remove the cluster", func(p cloud.Provider, hint string) (region.Removal, error) {
		return p.DeleteCluster(t.Context(), w.clusterSpec(), hint)
	})
	if _, err := w.Provider.Access(t.Context(), w.clusterSpec()); !fault.Is(err, fault.NotFound) {
		t.Errorf("the cluster is called gone, and access to it is given: %v", err)
	}
}

func (w *work) untilGone(t *testing.T, stage string, step func(cloud.Provider, string) (region.Removal, error)) {
	t.Helper()
	w.until(t, stage, func(p cloud.Provider, hint string) (region.Condition, error) {
		now, err := step(p, hint)
		if err == nil && !now.Gone && now.State == "" {
			t.Errorf("%s: it is not gone, and nothing says what it waits for", stage)
		}
		return region.Condition{Ready: now.Gone, State: now.State, Operation: now.Operation}, err
	})
}

// until takes steps until they say that it is ready.
func (w *work) until(t *testing.T, stage string, step func(cloud.Provider, string) (region.Condition, error)) {
	t.Helper()
	w.stage = stage
	first, hint := "", ""
	var last any
	for deadline := time.Now().Add(w.Within); time.Now().Before(deadline); time.Sleep(w.Poll) {
		now, err := step(w.process(), hint)
		switch {
		case err != nil && !w.goesOn(err):
			t.Fatalf("%s: %v (kind %s)", stage, err, fault.Of(err))
		case err != nil:
			hint, last = "", err // a new attempt may know of none
			continue
		case now.Broken:
			t.Fatalf("%s: it is broken: %+v", stage, now)
		case now.Ready:
			return
		case len(now.Operation) > 8<<10:
			t.Errorf("%s: a hint of %d bytes is too long for a heartbeat", stage, len(now.Operation))
		}
		if first == "" {
			first = now.Operation
		}
		hint, last = now.Operation, now
		if w.hands != nil {
			hint = w.hands(first, hint)
		}
	}
	t.Fatalf("%s: not within %s; it is %+v; effects: %v", stage, w.Within, last, w.Effects(t))
}

// goesOn reports whether a caller comes back after an error.
func (w *work) goesOn(err error) bool {
	if w.bears != nil && w.bears(err) {
		return true
	}
	return slices.Contains([]fault.Kind{fault.Conflict}, fault.Of(err))
}

// unchanged checks that further steps for what is ready leave it as it is.
func (w *work) unchanged(t *testing.T) {
	t.Helper()
	before := len(w.Effects(t))
	p := w.Provider
	for range 3 {
		network, err := p.EnsureNetwork(t.Context(), w.region.NetworkSpec(), "")
		if err != nil || !network.Ready || network.ID != w.network.ID {
			t.Errorf("the network was ready as %+v, then %+v, %v", w.network, network, err)
		}
		identity, err := p.EnsureIdentity(t.Context(), w.region.IdentitySpec(w.network), "")
		if err != nil || !identity.Ready {
			t.Errorf("the identity was ready as %+v, then %+v, %v", w.identity, identity, err)
		}
		cluster, err := p.EnsureCluster(t.Context(), w.clusterSpec(), "")
		if err != nil || cluster != w.cluster {
			t.Errorf("the cluster was ready as %+v, then %+v, %v", w.cluster, cluster, err)
		}
		trust, err := p.EnsureTrust(t.Context(), w.trustSpec(), "")
		if err != nil || !trust.Ready {
			t.Errorf("the trust was ready, then %+v, %v", trust, err)
		}
	}
	if after := w.Effects(t); len(after) != before {
		t.Errorf("steps for what is ready changed something: %v", after[before:])
	}
}

// untilBroken takes steps until the cloud has given up on the cluster.
func (w *work) untilBroken(t *testing.T) region.Cluster {
	t.Helper()
	for deadline := time.Now().Add(w.Within); time.Now().Before(deadline); time.Sleep(w.Poll) {
		c, err := w.Provider.EnsureCluster(t.Context(), w.clusterSpec(), "")
		if err != nil && !w.goesOn(err) {
			t.Fatal(err)
		}
		if err == nil && c.Broken {
			return c
		}
	}
	t.Fatalf("the cluster does not fail within %s", w.Within)
	return region.Cluster{}
}

// retryAfter is when a throttled caller is asked to come back, 0 when nobody said.
func retryAfter(err error) time.Duration {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.RetryAfter
	}
	return 0
}
