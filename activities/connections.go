package activities

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Connections opens the clusters of one cloud account, and keeps them open until their credentials are about to end. The
// credentials stay in this process.
type Connections struct {
	Cloud     cloud.Clusters
	Transport func(http.RoundTripper) http.RoundTripper // carries the calls, with telemetry where it is wanted; nil: as they are

	mu   sync.Mutex
	open map[region.Key]connection
}

type connection struct {
	client        *cluster.Client
	made, expires time.Time
}

// keep bounds how long a connection is used: a cluster that was made anew under its old name is noticed by then.
const keep = 10 * time.Minute

// Cluster returns a client for the region's cluster.
func (c *Connections) Cluster(ctx context.Context, spec region.Spec) (*cluster.Client, error) {
	c.mu.Lock()
	cached, found := c.open[spec.Key()]
	c.mu.Unlock()
	if found && time.Now().Before(cached.expires) {
		return cached.client, nil
	}
	access, err := c.Cloud.Access(ctx, spec.ClusterSpec(region.Net{}))
	if err != nil {
		return nil, fmt.Errorf("credentials of %s: %w", spec.Key(), err)
	}
	client, err := cluster.Connect(access.Kubeconfig, c.Transport)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", spec.Key(), err)
	}
	c.remember(spec.Key(), connection{client, time.Now(), soonest(time.Now().Add(keep), access.Expires)})
	return client, nil
}

func (c *Connections) remember(key region.Key, made connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[region.Key]connection{}
	}
	c.open[key] = made
}

// fresh is how long a connection is beyond doubt.
const fresh = 10 * time.Second

// Doubt drops the region's connection if err says that it may have gone stale: a cluster that was made anew answers to
// other credentials at another address. What a stale connection was refused is asked again over a fresh one.
func (c *Connections) Doubt(spec region.Spec, err error) error {
	kind := fault.Of(err)
	switch {
	case err == nil:
		return nil
	case kind != fault.Unauthenticated && kind != fault.Denied && kind != fault.Unavailable && kind != fault.Unknown:
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := time.Since(c.open[spec.Key()].made) > fresh
	delete(c.open, spec.Key())
	if old && kind.Permanent() {
		return fault.Wrap(fault.Unavailable, err, "%s", fault.Message(err))
	}
	return err
}

func soonest(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}
