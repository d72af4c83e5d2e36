package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/cloud/digitalocean/digitaloceantest"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/sandboxtest"
)

// bench is the cloud's activities over DigitalOcean's adapter and a sandbox of its own, whose clusters are only numbers.
type bench struct {
	cloudtest.Harness
	t      *testing.T
	poll   time.Duration
	cancel func() // the activity at work

	mu    sync.Mutex
	beats []Seen // what it told in heartbeats
	past  *Seen  // what the attempt before it told
	wire  cloudtest.Wire
}

func newBench(t *testing.T) *bench {
	t.Helper()
	at := sandboxtest.Start(t, sandbox.Config{DropletLimit: 20})
	account := digitaloceantest.Open(t, at.Providers["digitalocean"], at.Control, at.Credentials("digitalocean"))
	b := &bench{Harness: account.Harness(t), t: t, wire: func(string) cloudtest.Passage { return cloudtest.Passes }}
	b.Provider = b.Wired(t, func(call string) cloudtest.Passage { return b.wire(call) })
	return b
}

// run does one attempt of an activity, as a worker would.
func (b *bench) run(name string, in, out any) error {
	b.t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	b.cancel = func() { cancel(temporal.NewCanceledError()) } // as the server's word does
	defer b.cancel()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(discarded{})
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx, Interceptors: []interceptor.WorkerInterceptor{&hearing{b: b}}})
	if b.past != nil {
		env.SetHeartbeatDetails(*b.past)
	}
	poll := cmp.Or(b.poll, 20*time.Millisecond)
	for _, a := range []any{&Networks{Cloud: b.Provider, Poll: poll}, &Identities{Cloud: b.Provider, Poll: poll}, &Clusters{Cloud: b.Provider, Poll: poll, Limit: time.Minute}} {
		env.RegisterActivity(a)
	}
	value, err := env.ExecuteActivity(name, in)
	if err == nil && out != nil {
		err = value.Get(out)
	}
	return err
}

// hearing takes down what activities tell, before it is throttled on its way to the server. What is told with a context that
// has ended does not get there.
type hearing struct {
	interceptor.WorkerInterceptorBase
	b *bench
}

func (h *hearing) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	in := &inbound{b: h.b}
	in.Next = next
	return in
}

type inbound struct {
	interceptor.ActivityInboundInterceptorBase
	b *bench
}

func (i *inbound) Init(next interceptor.ActivityOutboundInterceptor) error {
	out := &outbound{b: i.b}
	out.Next = next
	return i.Next.Init(out)
}

type outbound struct {
	interceptor.ActivityOutboundInterceptorBase
	b *bench
}

func (o *outbound) RecordHeartbeat(ctx context.Context, details ...any) {
	o.b.mu.Lock()
	if seen, ok := details[0].(Seen); ok && ctx.Err() == nil {
		o.b.beats = append(o.b.beats, seen)
	}
	o.b.mu.Unlock()
	o.Next.RecordHeartbeat(ctx, details...)
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) network() (n region.Net) {
	b.t.Helper()
	b.must(b.run("EnsureNetwork", b.Region.NetworkSpec(), &n))
	return n
}

func (b *bench) count(change string, kind cloudtest.Kind) (n int) {
	for _, e := range b.Effects(b.t) {
		if e.Change == change && e.Kind == kind {
			n++
		}
	}
	return n
}

func (b *bench) wantCount(change string, kind cloudtest.Kind, want int) {
	b.t.Helper()
	if got := b.count(change, kind); got != want {
		b.t.Errorf("%d %ss were %s, want %d", got, kind, change, want)
	}
}

// kindOf is the kind of fault that Temporal is told of, and whether it tries again.
func kindOf(err error) (kind fault.Kind, retried bool) {
	var failed *temporal.ApplicationError
	if !errors.As(err, &failed) {
		return "", false
	}
	return fault.Kind(failed.Type()), !failed.NonRetryable()
}

// A region is made stage by stage, each in one activity, and taken down likewise: the answer is what is ready, or gone.
func TestARegionIsMadeAndRemovedStepByStep(t *testing.T) {
	b := newBench(t)
	network := b.network()
	var identity region.Identity
	b.must(b.run("EnsureIdentity", b.Region.IdentitySpec(network), &identity))
	spec := b.Region.ClusterSpec(network)
	var cluster region.Cluster
	b.must(b.run("EnsureCluster", spec, &cluster))
	if !network.Ready || network.ID == "" || !identity.Ready || !cluster.Ready || cluster.Nodes != spec.Nodes.Count {
		t.Errorf("made were %+v, %+v, %+v", network, identity, cluster)
	}
	b.must(b.run("EnsureTrust", b.Region.TrustSpec(cluster, identity), nil))
	spec.ID = cluster.ID
	b.must(b.run("DeleteCluster", spec, nil))
	if _, err := b.Provider.Access(t.Context(), spec); !fault.Is(err, fault.NotFound) {
		t.Errorf("the cluster was called gone: %v", err)
	}
	b.must(b.run("DeleteTrust", b.Region.TrustSpec(cluster, identity), nil))
	b.must(b.run("DeleteIdentity", b.Region.IdentitySpec(network), nil))
	for range 2 { // gone is fine
		b.must(b.run("DeleteNetwork", b.Region.NetworkSpec(), nil))
	}
	for _, kind := range b.Kinds {
		b.wantCount("created", kind, 1)
		b.wantCount("deleted", kind, 1)
	}
}

// A create that is on its way when the work is cancelled is seen to its end: what it makes is there before it is removed. The
// worker goes on saying that it lives.
func TestACancellationBreaksOffNoCall(t *testing.T) {
	b := newBench(t)
	spec := b.Region.ClusterSpec(b.network())
	var after time.Time
	lives := false
	b.wire = func(call string) cloudtest.Passage {
		if call == "POST /v2/kubernetes/clusters" {
			b.cancel()
			b.mu.Lock()
			b.beats = nil
			b.mu.Unlock()
			time.Sleep(heartbeatEvery + heartbeatEvery/4)
			b.mu.Lock()
			lives, after = len(b.beats) > 0, time.Now()
			b.mu.Unlock()
		}
		return cloudtest.Passes
	}
	err := b.run("EnsureCluster", spec, nil)
	var cancelled *temporal.CanceledError
	if !errors.As(err, &cancelled) || time.Since(after) > 5*time.Second {
		t.Errorf("it ended with %v, %s after the call", err, time.Since(after))
	}
	b.wantCount("created", cloudtest.Cluster, 1)
	if !lives {
		t.Error("while the call was on its way nobody said that the worker lives")
	}
	b.must(b.run("DeleteCluster", spec, nil))
	b.wantCount("deleted", cloudtest.Cluster, 1)
}

// hinting is the adapter with operations, as other clouds have them.
type hinting struct {
	cloud.Provider
	given []string
}

func (h *hinting) EnsureCluster(ctx context.Context, spec region.ClusterSpec, operation string) (region.Cluster, error) {
	h.given = append(h.given, operation)
	c, err := h.Provider.EnsureCluster(ctx, spec, operation)
	if !c.Ready {
		c.Operation = "operation-" + c.State
	}
	return c, err
}

// cut ends the attempt that makes the n-th call of that kind from now, as a throttled account does.
func (b *bench) cut(call string, n int) {
	b.wire = func(made string) cloudtest.Passage {
		if made == call {
			n--
		}
		if made == call && n == 0 {
			return cloudtest.Refused
		}
		return cloudtest.Passes
	}
}

// last is what an attempt that ended told at its end.
func (b *bench) last() Seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.beats[len(b.beats)-1]
}

// An attempt begins with what the last one told in its heartbeats (the provider's word, its hint, and how long was waited), and
// hands the hint of every step to the next one.
func TestAnAttemptGoesOnWhereTheLastOneWas(t *testing.T) {
	b := newBench(t)
	spec := b.Region.ClusterSpec(b.network())
	h := &hinting{Provider: b.Provider}
	b.Provider, b.past = h, &Seen{Waited: time.Second, Operation: "operation-before"}
	b.cut("GET /v2/kubernetes/clusters", 5)
	if kind, retried := kindOf(b.run("EnsureCluster", spec, nil)); kind != fault.Throttled || !retried {
		t.Errorf("the attempt ended with a fault of kind %s, tried again %t", kind, retried)
	}
	last := b.last()
	if last.State != "provisioning" || last.Operation != "operation-provisioning" || last.Waited < time.Second {
		t.Errorf("its last heartbeat is %+v", last)
	}
	steps := len(h.given)
	b.past = &last
	b.must(b.run("EnsureCluster", spec, nil))
	if h.given[0] != "operation-before" || h.given[1] != "operation-provisioning" || h.given[steps] != "operation-provisioning" {
		t.Errorf("the steps were told %q; the second attempt began with step %d", h.given, steps)
	}
	b.wantCount("created", cloudtest.Cluster, 1)
	b.past = nil
	b.cut("GET /v2/kubernetes/clusters", 3)
	if kind, _ := kindOf(b.run("DeleteCluster", spec, nil)); kind != fault.Throttled {
		t.Errorf("the removal ended with a fault of kind %s", kind)
	}
	if last := b.last(); !strings.HasPrefix(last.State, "the cluster is delet") {
		t.Errorf("its last heartbeat is %+v", last)
	}
}

// failing is an adapter whose operation ended badly: whoever brings it is told so, every time.
type failing struct{ cloud.Provider }

func (f failing) EnsureNetwork(ctx context.Context, spec region.NetworkSpec, operation string) (region.Net, error) {
	if operation == "operation-1" {
		return region.Net{}, fault.New(fault.Unavailable, "operation-1 failed: internal error, please try again")
	}
	return f.Provider.EnsureNetwork(ctx, spec, operation)
}

// An operation that ended badly is told once. The next attempt is without it, and asks anew.
func TestAnOperationThatFailedIsNotHandedOn(t *testing.T) {
	b := newBench(t)
	b.Provider, b.past = failing{b.Provider}, &Seen{Operation: "operation-1"}
	if kind, retried := kindOf(b.run("EnsureNetwork", b.Region.NetworkSpec(), nil)); kind != fault.Unavailable || !retried {
		t.Errorf("the attempt ended with a fault of kind %s, tried again %t", kind, retried)
	}
	last := b.last()
	if last.Operation != "" {
		t.Fatalf("the next attempt is told %q", last.Operation)
	}
	b.past = &last
	b.must(b.run("EnsureNetwork", b.Region.NetworkSpec(), nil))
}

// changing is an adapter whose network is in another state at each of the first looks.
type changing struct {
	cloud.Provider
	looks []time.Time
}

func (c *changing) EnsureNetwork(context.Context, region.NetworkSpec, string) (region.Net, error) {
	c.looks = append(c.looks, time.Now())
	return region.Net{Condition: region.Condition{State: fmt.Sprint("state ", min(len(c.looks), 3)), Ready: len(c.looks) == 9}}, nil
}

// After news the next look comes soon, then ever later: what has just begun may be over in a second.
func TestNewsAreFollowedByALookSoon(t *testing.T) {
	b := newBench(t)
	const poll = 160 * time.Millisecond
	c := &changing{}
	b.Provider, b.poll = c, poll
	b.must(b.run("EnsureNetwork", b.Region.NetworkSpec(), nil))
	for i, least := range []time.Duration{poll / 16, poll / 16, poll / 16, poll / 8, poll / 4, poll / 2, poll, poll} {
		if waited := c.looks[i+1].Sub(c.looks[i]); waited < least {
			t.Errorf("look %d came %s after the one before, want %s at least", i+2, waited, least)
		}
	}
	if all := c.looks[8].Sub(c.looks[0]); all >= 8*poll {
		t.Errorf("nine looks took %s: as long as without news", all)
	}
}

// A cloud that is down ends the attempt: Temporal backs off, and whoever asks hears why at once.
func TestACallThatFailsInPassingIsMadeAgain(t *testing.T) {
	b := newBench(t)
	for _, way := range []cloudtest.Way{cloudtest.Failing, cloudtest.LostBefore} {
		b.Break(t, cloudtest.Breakage{Call: cloudtest.CreateNetwork, Way: way})
		if kind, retried := kindOf(b.run("EnsureNetwork", b.Region.NetworkSpec(), nil)); kind != fault.Unavailable || !retried {
			t.Errorf("%s: a fault of kind %s, tried again %t", way, kind, retried)
		}
	}
	if n := b.network(); !n.Ready {
		t.Errorf("got %+v", n)
	}
	b.wantCount("created", cloudtest.Network, 1)
}

// What is for good, or names its own time to come back, ends the attempt, in the provider's words.
func TestWhatEndsAnAttempt(t *testing.T) {
	b := newBench(t)
	for way, want := range map[cloudtest.Way]struct {
		kind    fault.Kind
		retried bool
		words   string
	}{
		cloudtest.Throttled: {fault.Throttled, true, "too_many|Rate limit|rate limit"},
		cloudtest.Quota:     {fault.Quota, false, "limit"},
		cloudtest.Denied:    {fault.Denied, false, "not authorized"},
	} {
		b.Break(t, cloudtest.Breakage{Call: cloudtest.CreateNetwork, Way: way})
		err := b.run("EnsureNetwork", b.Region.NetworkSpec(), nil)
		kind, retried := kindOf(err)
		said := slices.ContainsFunc(strings.Split(want.words, "|"), func(w string) bool { return strings.Contains(err.Error(), w) })
		if kind != want.kind || retried != want.retried || !said {
			t.Errorf("%s: it ended with %v, of kind %s, tried again %t", way, err, kind, retried)
		}
		var failed *temporal.ApplicationError
		if errors.As(err, &failed) && (failed.NextRetryDelay() > 0) != (way == cloudtest.Throttled) {
			t.Errorf("%s: the next attempt is in %s", way, failed.NextRetryDelay())
		}
	}
	b.wantCount("created", cloudtest.Network, 0)
}

// A cluster that the cloud has given up on fails with its words, at once and for good.
func TestABrokenClusterFails(t *testing.T) {
	b := newBench(t)
	spec := b.Region.ClusterSpec(b.network())
	b.Break(t, cloudtest.Breakage{Call: cloudtest.CreateCluster, Way: cloudtest.Late})
	err := b.run("EnsureCluster", spec, nil)
	kind, retried := kindOf(err)
	if kind != fault.Failed || retried || !strings.Contains(err.Error(), `the cluster m3o-micro-lon1 is in state "error": provisioning failed`) {
		t.Errorf("it ended with %v, of kind %s, tried again %t", err, kind, retried)
	}
}

// An old cluster of the name is waited for. One that never ends its going keeps a new one away for an hour, not for ever.
func TestWhatIsInTheWayIsWaitedForAWhile(t *testing.T) {
	b := newBench(t)
	spec := b.Region.ClusterSpec(b.network())
	removed := func() {
		t.Helper()
		b.must(b.run("EnsureCluster", spec, nil))
		if _, err := b.Provider.DeleteCluster(t.Context(), spec, ""); err != nil {
			t.Fatal(err)
		}
	}
	removed()
	b.Break(t, cloudtest.Breakage{Call: cloudtest.DeleteCluster, Way: cloudtest.Stuck})
	removed()
	b.wantCount("created", cloudtest.Cluster, 2)
	b.past = &Seen{Blocked: blockedLimit + time.Second}
	err := b.run("EnsureCluster", spec, nil)
	if kind, retried := kindOf(err); kind != fault.Conflict || retried || !strings.Contains(err.Error(), "is still being deleted") {
		t.Errorf("after an hour it ended with %v, of kind %s, tried again %t", err, kind, retried)
	}
}

// A network is removed when what lives in it is gone.
func TestANetworkWaitsForWhatLivesInIt(t *testing.T) {
	b := newBench(t)
	spec := b.Region.ClusterSpec(b.network())
	b.must(b.run("EnsureCluster", spec, nil))
	if _, err := b.Provider.DeleteCluster(t.Context(), spec, ""); err != nil {
		t.Fatal(err)
	}
	b.must(b.run("DeleteNetwork", b.Region.NetworkSpec(), nil))
	b.wantCount("deleted", cloudtest.Cluster, 1)
	b.wantCount("deleted", cloudtest.Network, 1)
}

// discarded drops the SDK's log.
type discarded struct{}

func (discarded) Debug(string, ...any) {}
func (discarded) Info(string, ...any)  {}
func (discarded) Warn(string, ...any)  {}
func (discarded) Error(string, ...any) {}
