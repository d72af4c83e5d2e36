package cloudtest

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

func kinds(t *testing.T, s suite) {
	w := s.work(s.Region)
	w.build(t)
	spec, larger, elsewhere := w.clusterSpec(), w.clusterSpec(), s.twin()
	larger.Nodes.Count++
	another := elsewhere.ClusterSpec(w.network)
	another.Principals = w.identity.Principals
	calls := map[Call]func(context.Context) error{
		ListNetworks: func(ctx context.Context) error {
			_, err := s.Provider.EnsureNetwork(ctx, w.region.NetworkSpec(), "")
			return err
		},
		CreateNetwork: func(ctx context.Context) error {
			_, err := s.Provider.EnsureNetwork(ctx, elsewhere.NetworkSpec(), "")
			return err
		},
		ListClusters:  func(ctx context.Context) error { _, err := s.Provider.EnsureCluster(ctx, spec, ""); return err },
		CreateCluster: func(ctx context.Context) error { _, err := s.Provider.EnsureCluster(ctx, another, ""); return err },
		ScaleCluster:  func(ctx context.Context) error { _, err := s.Provider.EnsureCluster(ctx, larger, ""); return err },
		GiveAccess:    func(ctx context.Context) error { _, err := s.Provider.Access(ctx, spec); return err },
		DescribeLimit: func(ctx context.Context) error { _, err := s.Provider.Preflight(ctx, s.Region, nil); return err },
		DeleteCluster: func(ctx context.Context) error { _, err := s.Provider.DeleteCluster(ctx, spec, ""); return err },
	}
	before := len(s.Effects(t))
	for call, do := range calls {
		s.fails(t, Breakage{call, Throttled}, do, fault.Throttled)
		s.fails(t, Breakage{call, Failing}, do, fault.Unavailable)
		if call != DescribeLimit { // there it is an obstacle
			s.fails(t, Breakage{call, Denied}, do, fault.Denied)
		}
	}
	for _, call := range []Call{CreateNetwork, CreateCluster, ScaleCluster} {
		s.fails(t, Breakage{call, Quota}, calls[call], fault.Quota)
		// Of what is only read Go's own client may ask again without a word.
		s.fails(t, Breakage{call, LostBefore}, calls[call], fault.Unavailable)
	}
	if after := s.Effects(t); len(after) != before {
		t.Errorf("calls that failed did %v", after[before:])
	}
}

// fails breaks one call and sees that it fails as it should, in words.
func (s suite) fails(t *testing.T, b Breakage, do func(context.Context) error, want fault.Kind) {
	t.Helper()
	s.Break(t, b)
	err := do(t.Context())
	if !fault.Is(err, want) {
		t.Errorf("%s, %s: got %v (kind %s), want kind %s", b.Call, b.Way, err, fault.Of(err), want)
		return
	}
	var f *fault.Error
	if !errors.As(err, &f) || len(f.Message) < 20 {
		t.Errorf("%s, %s: the message tells nothing: %q", b.Call, b.Way, fault.Message(err))
	}
	if want == fault.Throttled && (f.RetryAfter <= 0 || f.RetryAfter > time.Hour) {
		t.Errorf("%s: come back after %s?", b.Call, f.RetryAfter)
	}
}

func stranger(t *testing.T, s suite) {
	_, err := s.Stranger.EnsureNetwork(t.Context(), s.Region.NetworkSpec(), "")
	wantKind(t, err, fault.Denied)
	_, err = s.Stranger.EnsureCluster(t.Context(), s.Region.ClusterSpec(region.Net{}), "")
	wantKind(t, err, fault.Denied)
	_, err = s.Stranger.DeleteCluster(t.Context(), s.Region.ClusterSpec(region.Net{}), "")
	wantKind(t, err, fault.Denied)
	_, err = s.Stranger.Owned(t.Context(), s.Region.Key(), s.Region.Location)
	wantKind(t, err, fault.Denied)
	p, err := s.Stranger.Preflight(t.Context(), s.Region, nil)
	if err != nil || len(p.Obstacles) != 1 || p.Obstacles[0].Kind != string(fault.Denied) {
		t.Errorf("preflight found %+v, %v; want one obstacle of kind denied", p, err)
	}
}

func late(t *testing.T, s suite) {
	s.Break(t, Breakage{CreateCluster, Late})
	w := s.work(s.Region)
	w.makeNetwork(t)
	w.makeIdentity(t)
	c := w.untilBroken(t)
	if c.Ready || c.State == "" || c.Reason == "" {
		t.Errorf("a broken cluster is not ready, and says why: %+v", c)
	}
	if again := w.untilBroken(t); again.ID != c.ID {
		t.Errorf("asking for it again must show it as it is: %+v", again)
	}
	w.cluster = c
	w.remove(t)
	s.wantOnce(t, true)
	w.cluster = region.Cluster{}
	w.build(t)
}

func stuck(t *testing.T, s suite) {
	s.Break(t, Breakage{CreateCluster, Stuck})
	w := s.work(s.Region)
	w.makeNetwork(t)
	w.makeIdentity(t)
	if _, err := s.Provider.EnsureCluster(t.Context(), w.clusterSpec(), ""); err != nil {
		t.Fatal(err)
	}
	healthy := s.work(s.twin()) // as long as that takes
	healthy.build(t)
	c, err := s.Provider.EnsureCluster(t.Context(), w.clusterSpec(), "")
	if err != nil || c.Ready || c.Broken || c.State == "" || c.ID == healthy.cluster.ID {
		t.Errorf("got %+v, %v", c, err)
	}
	healthy.remove(t)
	w.remove(t)
}

func scale(t *testing.T, s suite) {
	w := s.work(s.Region)
	w.region.Kubernetes.Nodes.Count = 1
	w.build(t)
	first := w.cluster
	for _, n := range []int{3, 2} {
		w.region.Kubernetes.Nodes.Count = n
		if c, err := s.Provider.EnsureCluster(t.Context(), w.clusterSpec(), ""); err != nil || c.Ready || c.ID != first.ID {
			t.Errorf("asked for %d nodes, it is %+v, %v", n, c, err)
		}
		w.makeCluster(t)
	}
	s.wantHappened(t, "created", Cluster, 1)
}

var decimal = regexp.MustCompile(`^[0-9]+\.[0-9]{2}$`)

func preflight(t *testing.T, s suite) {
	ask := func(change func(*region.Spec), have *region.Spec) region.Preflight {
		t.Helper()
		want := s.Region
		change(&want)
		p, err := s.Provider.Preflight(t.Context(), want, have)
		if err != nil {
			t.Fatal(err)
		}
		if !decimal.MatchString(p.Monthly.Amount) || len(p.Monthly.Currency) != 3 {
			t.Errorf("the price is %+v", p.Monthly)
		}
		return p
	}
	obstacle := func(p region.Preflight, kind fault.Kind, word string) {
		t.Helper()
		if len(p.Obstacles) != 1 || p.Obstacles[0].Kind != string(kind) || !strings.Contains(p.Obstacles[0].Message, word) {
			t.Errorf("got %+v, want one obstacle of kind %s about %q", p.Obstacles, kind, word)
		}
	}
	fine := ask(func(*region.Spec) {}, nil)
	if len(fine.Obstacles) > 0 || fine.Monthly.Amount == "0.00" {
		t.Errorf("a region that fits: %+v", fine)
	}
	if fine.Kubernetes != s.Region.Kubernetes {
		t.Errorf("what was asked for is answered as %+v", fine.Kubernetes)
	}
	for _, d := range fine.Draws {
		if d.Pool == "" || d.Adds < 0 || d.Left < d.Adds {
			t.Errorf("a region that fits draws %+v", d)
		}
	}
	filled := ask(func(r *region.Spec) { r.Kubernetes = region.Kubernetes{} }, nil)
	if k := filled.Kubernetes; k.Version == "" || k.Nodes.Count == 0 || k.Nodes.Size == "" || len(filled.Obstacles) > 0 {
		t.Errorf("what was left out is answered as %+v", filled)
	}
	larger := ask(func(r *region.Spec) { r.Kubernetes.Nodes.Count += 1 }, nil)
	if larger.Monthly == fine.Monthly {
		t.Error("one more node costs nothing")
	}
	obstacle(ask(func(r *region.Spec) { r.Location = "atlantis" }, nil), fault.Invalid, "atlantis")
	obstacle(ask(func(r *region.Spec) { r.Kubernetes.Version = "1.99" }, nil), fault.Invalid, "1.99")
	obstacle(ask(func(r *region.Spec) { r.Kubernetes.Nodes.Size = "huge" }, nil), fault.Invalid, "huge")
	obstacle(ask(func(r *region.Spec) { r.Kubernetes.Nodes.Count = 100 }, nil), fault.Quota, "limit")
	have := s.Region
	have.Kubernetes.Nodes.Count = 100
	if p := ask(func(r *region.Spec) { r.Kubernetes.Nodes.Count = 100 }, &have); len(p.Obstacles) > 0 {
		t.Errorf("a region that stays as it is needs nothing more: %+v", p)
	}
	if made := s.Effects(t); len(made) > 0 {
		t.Errorf("looking changed something: %v", made)
	}
	w := s.work(s.Region)
	w.makeNetwork(t)
	w.makeIdentity(t)
	w.makeCluster(t)
	for name, have := range map[string]*region.Spec{"by our books": &s.Region, "by a lost answer": nil} {
		if p := ask(func(r *region.Spec) { r.Kubernetes.Nodes.Count++ }, have); len(p.Obstacles) > 0 || p.Monthly != larger.Monthly {
			t.Errorf("one more node for a region that is there %s: %+v", name, p)
		}
	}
}

func version(t *testing.T, s suite) {
	w := s.work(s.Region)
	w.makeNetwork(t)
	w.makeIdentity(t)
	w.region.Kubernetes.Version = "1.99"
	_, err := s.Provider.EnsureCluster(t.Context(), w.clusterSpec(), "")
	wantKind(t, err, fault.Invalid)
	if err != nil && !strings.Contains(fault.Message(err), s.Region.Kubernetes.Version) {
		t.Errorf("the message does not say what is offered: %s", fault.Message(err))
	}
	s.wantHappened(t, "created", Cluster, 0)
}

func slow(t *testing.T, s suite) {
	s.Break(t, Breakage{ListNetworks, Slow})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := s.Provider.EnsureNetwork(ctx, s.Region.NetworkSpec(), ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's end", err)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("it ended only after %s", took)
	}
}
