package activities

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Connections opens the clusters of one cloud account, and caches a connection to each. The credentials stay in this process.
//
// Credentials cost calls to the cloud, whose limits all regions share, so they are asked for once for all who need them:
//
//	connection  event                                                   then
//	none        it is needed                                            renewed; who needs it waits
//	valid       three quarters of its credentials' life are over        renewed, and used meanwhile
//	valid       a call fails in a way that stale credentials explain    stale, unless it is young
//	stale       it is needed                                            renewed; who needs it waits
//	any         the cloud gives new credentials                         valid, and young
//	any         the cloud fails in passing                              as before; the next renewal backs off exponentially
//	any         the cloud says that there is no such cluster            none
type Connections struct {
	Cloud     cloud.Clusters
	Transport func(http.RoundTripper) http.RoundTripper // carries the calls, with telemetry where it is wanted; nil: as they are

	mu     sync.Mutex
	cached map[region.Key]*connection
}

const (
	// keep bounds how long a connection is used: a cluster that was made anew under its old name is noticed by then.
	keep = 10 * time.Minute
	// youth is how long a new connection is kept whatever happens: credentials that were just made are not what is wrong with an
	// API server that refuses. It doubles, up to keep, with every connection that never worked.
	youth = 30 * time.Second
	// A renewal that failed is retried after firstRetry, then after three times as long each time, at most after lastRetry.
	firstRetry, lastRetry = time.Second, time.Minute
	// renewalLimit bounds one renewal, which nobody's patience ends.
	renewalLimit = time.Minute
)

type connection struct {
	client  *cluster.Client // nil before the first renewal succeeded
	made    time.Time
	renewAt time.Time
	expires time.Time
	youth   time.Duration
	worked  bool // the API server answered through it
	stale   bool

	renewal  *renewal // on its way, if any
	failures int      // renewals in a row that failed
	retryAt  time.Time
	err      error // of the last renewal, if it failed
}

// renewal is one question to the cloud that everybody waits for together, and what came of it: the client to use, or the
// reason why there is none.
type renewal struct {
	done   chan struct{}
	client *cluster.Client
	err    error
}

// Do calls the region's cluster over the cached connection. A failure that stale credentials explain invalidates it; what a
// stale one was refused for good can be retried, over the next.
func (c *Connections) Do(ctx context.Context, spec region.Spec, call func(*cluster.Client) error) error {
	client, err := c.client(ctx, spec)
	if err != nil {
		return err
	}
	err = call(client)
	if errors.Is(ctx.Err(), context.Canceled) {
		return err // it was given up, which says nothing about the cluster; one that has not answered in time is judged
	}
	return c.judge(spec.Key(), client, err)
}

// Forget drops the connection to a cluster that is gone: one that is made anew under its name is another.
func (c *Connections) Forget(key region.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.cached, key)
}

// client returns the cached client, renewed if it must be.
func (c *Connections) client(ctx context.Context, spec region.Spec) (*cluster.Client, error) {
	client, on, err := c.look(ctx, spec)
	if on == nil {
		return client, err
	}
	select {
	case <-on.done:
		return on.client, on.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// look returns what is cached, or the renewal to wait for, which it begins if need be.
func (c *Connections) look(ctx context.Context, spec region.Spec) (*cluster.Client, *renewal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cached == nil {
		c.cached = map[region.Key]*connection{}
	}
	at := c.cached[spec.Key()]
	if at == nil {
		at = &connection{youth: youth}
		c.cached[spec.Key()] = at
	}
	now := time.Now()
	if at.due(now) && at.renewal == nil && !now.Before(at.retryAt) {
		at.renewal = &renewal{done: make(chan struct{})}
		go c.renew(context.WithoutCancel(ctx), spec, at)
	}
	switch {
	case at.renewal != nil && (at.stale || !at.valid(now)):
		return nil, at.renewal, nil
	case at.valid(now): // a stale one, too, while renewals back off: the API server knows best what is wrong
		return at.client, nil, nil
	}
	return nil, nil, at.err
}

func (a *connection) valid(now time.Time) bool { return a.client != nil && now.Before(a.expires) }

func (a *connection) due(now time.Time) bool {
	return !a.valid(now) || a.stale || !now.Before(a.renewAt)
}

// renew asks the cloud for credentials, and leaves the connection valid or as it was.
func (c *Connections) renew(ctx context.Context, spec region.Spec, at *connection) {
	ctx, cancel := context.WithTimeout(ctx, renewalLimit)
	defer cancel()
	client, expires, err := c.open(ctx, spec)
	c.mu.Lock()
	defer c.mu.Unlock()
	on, now := at.renewal, time.Now()
	defer close(on.done)
	at.renewal = nil
	if err == nil {
		on.client = client
		if c.cached[spec.Key()] == at { // not forgotten meanwhile
			c.cached[spec.Key()] = at.next(client, now, expires)
		}
		return
	}
	at.backOff(now, err)
	switch useful := at.valid(now) && !at.stale; {
	case fault.Of(err).Permanent() && (!useful || fault.Is(err, fault.NotFound)):
		if c.cached[spec.Key()] == at {
			delete(c.cached, spec.Key())
		}
		on.err = err
	case at.valid(now):
		on.client = at.client
	default:
		on.err = err
	}
}

func (c *Connections) open(ctx context.Context, spec region.Spec) (*cluster.Client, time.Time, error) {
	access, err := c.Cloud.Access(ctx, spec.ClusterSpec(region.Net{}))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("credentials of %s: %w", spec.Key(), err)
	}
	client, err := cluster.Connect(access.Kubeconfig, c.Transport)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("connect to %s: %w", spec.Key(), err)
	}
	return client, access.Expires, nil
}

// next is the connection that takes the place of this one.
func (a *connection) next(client *cluster.Client, now, expires time.Time) *connection {
	n := &connection{client: client, made: now, expires: expires, renewAt: now.Add(keep), youth: youth}
	if expires.IsZero() {
		n.expires = now.Add(2 * keep)
	}
	if most := n.expires.Sub(now) * 3 / 4; most < keep {
		n.renewAt = now.Add(most)
	}
	if a.client != nil && !a.worked {
		n.youth = min(2*a.youth, keep)
	}
	return n
}

// backOff puts the next renewal off: for as long as the cloud wants it, or longer.
func (a *connection) backOff(now time.Time, err error) {
	wait := firstRetry
	for range min(a.failures, 10) {
		wait = min(3*wait, lastRetry)
	}
	var f *fault.Error
	if errors.As(err, &f) {
		wait = max(wait, f.RetryAfter)
	}
	a.failures, a.retryAt, a.err = a.failures+1, now.Add(wait), err
}

// judge invalidates the connection if the call's error may come from stale credentials: a cluster that was made anew answers
// to others, at another address.
func (c *Connections) judge(key region.Key, client *cluster.Client, err error) error {
	kind := fault.Of(err)
	suspicious := err != nil && (kind == fault.Unauthenticated || kind == fault.Denied || kind == fault.Unavailable || kind == fault.Unknown)
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.cached[key]
	current := at != nil && at.client == client
	switch {
	case !suspicious:
		if current {
			at.worked = true
		}
		return err
	case current && time.Since(at.made) < at.youth:
		return err
	case current:
		at.stale = true
	}
	if kind.Permanent() {
		return fault.Wrap(fault.Unavailable, err, "%s", fault.Message(err))
	}
	return err
}
