// Package digitalocean is the sandbox's DigitalOcean: a stateful server of the API's own wire protocol, base path /v2, that
// the unmodified SDK (godo) cannot tell from the real one by what it is used for here: account, regions, sizes, VPCs,
// Kubernetes clusters with node pools, kubeconfigs and upgrades, load balancers and volumes made from within clusters.
//
// Resources take their time and go through the real states. A cluster is a real Kubernetes, run by a clusters.Runner. What
// it is not: the whole API (unknown routes answer 404 and say so), a judge of features it cannot have (taints and
// autoscaling are refused, not ignored), or a place for real secrets. Only package sandbox imports it.
package digitalocean

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/m3o/platform/internal/sandbox/budget"
	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Config is what the cloud needs.
type Config struct {
	World  *world.World
	Runner clusters.Runner
	// Versions are the Kubernetes minor versions on offer, newest first.
	Versions []string
	// Token is the account's only API token.
	Token string
	// DropletLimit is how many nodes the account can have; 0 means 25.
	DropletLimit int
	// NewAccount makes it an account that nobody has used yet. One in use has a default VPC in every region.
	NewAccount bool
	Logger     *slog.Logger
}

// Cloud is one DigitalOcean account.
type Cloud struct {
	Config
	budget  *budget.Windows
	handler http.Handler

	mu sync.Mutex
	// busy are the clusters that are having a turn, looking those whose contents are looked at, which looked says when.
	busy, looking map[string]bool
	looked        map[string]time.Time
	troubles      map[string]string
	attended      sync.WaitGroup
}

// New makes the cloud. Its state is whatever the world has, and the default VPCs that it lacks.
func New(config Config) (*Cloud, error) {
	if config.Token == "" {
		return nil, errors.New("the sandbox's DigitalOcean needs a token")
	}
	if len(config.Versions) == 0 {
		return nil, errors.New("the sandbox's DigitalOcean has no Kubernetes version to offer")
	}
	if config.DropletLimit == 0 {
		config.DropletLimit = defaultDropletLimit
	}
	c := &Cloud{Config: config, busy: map[string]bool{}, looking: map[string]bool{}, looked: map[string]time.Time{}, troubles: map[string]string{}}
	c.budget = newBudget(config.World.Clock)
	c.handler = c.routes()
	if config.NewAccount {
		return c, nil
	}
	if err := c.furnish(); err != nil {
		return nil, fmt.Errorf("make the default VPCs: %w", err)
	}
	return c, nil
}

// Name is the provider's name.
func (c *Cloud) Name() string { return Name }

// Operations lists the operations, by their official ids, that faults can be about.
func (c *Cloud) Operations() []string {
	names := make([]string, 0, len(routes))
	for _, r := range routes {
		names = append(names, r.operation)
	}
	return names
}

// ServeHTTP serves the API.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

const (
	// busyPeriod and idlePeriod are how often we look at clusters: often while something is under way.
	busyPeriod = 50 * time.Millisecond
	idlePeriod = time.Second
)

// Run moves resources through their states until ctx ends.
func (c *Cloud) Run(ctx context.Context) error {
	defer c.attended.Wait()
	for {
		unsettled, err := c.attend(ctx)
		if err != nil && ctx.Err() == nil {
			c.Logger.ErrorContext(ctx, "sandbox: digitalocean: looking after the clusters failed", "error", err)
		}
		period := idlePeriod
		if unsettled {
			period = busyPeriod
		}
		timer := time.NewTimer(period)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-c.World.Changed():
			timer.Stop()
			// One request often makes several commits; there is no hurry beyond this.
			if c.World.Clock.Wait(ctx, c.World.Clock.Now().Add(busyPeriod/5)) != nil {
				return nil
			}
		case <-timer.C:
		}
	}
}

// attend has a look at every cluster, each on its own so that a slow one holds up no other. It says whether any of them is on
// its way to another state.
func (c *Cloud) attend(ctx context.Context) (unsettled bool, err error) {
	var all []cluster
	var nodes []node
	err = c.World.View(ctx, func(tx *world.Tx) error {
		all, err = world.List[cluster](tx, ref(kindCluster, ""))
		if err == nil {
			nodes, err = world.List[node](tx, ref(kindNode, ""))
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("list the clusters: %w", err)
	}
	hopeless := map[string]bool{}
	for _, one := range all {
		hopeless[one.ID] = one.State == failed
		unsettled = unsettled || one.State != running && one.State != failed
		c.attendTo(ctx, one.ID)
	}
	for _, n := range nodes {
		unsettled = unsettled || n.State != running && !hopeless[n.Cluster]
	}
	return unsettled, nil
}

func (c *Cloud) attendTo(ctx context.Context, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[id] {
		return
	}
	c.busy[id] = true
	c.attended.Go(func() {
		err := c.turn(ctx, id)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.busy, id)
		if ctx.Err() == nil {
			c.complain(id, err)
		}
	})
}

// complain logs what went wrong with a cluster, once as long as it is the same.
func (c *Cloud) complain(id string, err error) {
	words := ""
	if err != nil {
		words = err.Error()
	}
	if words == "" {
		delete(c.troubles, id)
		return
	}
	if words != c.troubles[id] {
		c.Logger.Warn("sandbox: digitalocean: will try again", "cluster", id, "error", words)
	}
	c.troubles[id] = words
}
