// Package azure is the sandbox's Azure: a stateful server of one subscription, on one HTTPS port, that is both the directory's
// authority (OpenID configuration, client credentials tokens, key set) and the Resource Manager with the providers behind it as far as
// our adapter and the stock clients use them: Microsoft.Resources, Network, ManagedIdentity, Authorization, ContainerService, Compute.
//
// Resources take their time and go through the real states; requests that take time are long-running operations, polled by
// Azure-AsyncOperation or Location. Bodies are kept as clients sent them and completed, so that no key is lost. A cluster is a real
// Kubernetes, run by a clusters.Runner, with a node resource group of scale sets, load balancers, addresses and disks that goes with it.
// What it is not: the whole API (unknown types and paths are refused as Azure does), a directory with users, or a judge of features it
// cannot have (autoscaling, Windows, private clusters are refused, not ignored). Only package sandbox imports it.
package azure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/m3o/platform/internal/sandbox/budget"
	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/fleet"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Name is the provider's name in ledger, faults and state.
const Name = "azure"

// Config is what the cloud needs.
type Config struct {
	World  *world.World
	Runner clusters.Runner
	// Versions are the Kubernetes minor versions on offer, newest first.
	Versions []string
	Account  Account
	// Policy is the role definition, in JSON, by which the account's requests are judged; nil allows every action.
	Policy []byte
	// CoreLimit is the subscription's quota of vCPUs in each location; 0 means 100.
	CoreLimit int
	// Webhook is the URL at which a cluster's API server asks whose a token is, by the cluster's id with the runner; nil for none.
	Webhook func(cluster string) string
	Logger  *slog.Logger
}

// Cloud is one subscription and its directory.
type Cloud struct {
	Config
	authority *authority
	policy    *policy
	budgets   *budget.Buckets
	fleet     *fleet.Fleet
	// ended counts the operations that ended since the old ones were last dropped.
	ended atomic.Int64
}

// New makes the cloud. Its state is whatever the world has.
func New(config Config) (*Cloud, error) {
	if err := config.Account.check(); err != nil {
		return nil, err
	}
	if len(config.Versions) == 0 {
		return nil, errors.New("the sandbox's Azure has no Kubernetes version to offer")
	}
	if config.CoreLimit == 0 {
		config.CoreLimit = defaultCoreLimit
	}
	c := &Cloud{Config: config, authority: newAuthority(config.Account, config.World.Clock.Now), budgets: budget.NewBuckets(config.World.Clock)}
	if config.Policy != nil {
		var err error
		if c.policy, err = parsePolicy(config.Policy); err != nil {
			return nil, fmt.Errorf("read Azure's policy: %w", err)
		}
	}
	c.fleet = fleet.New(Name, config.World, config.Runner, keeper{c}, config.Logger)
	return c, nil
}

// Name is the provider's name.
func (c *Cloud) Name() string { return Name }

// Operations lists the operations, by their official ids, that faults can be about.
func (c *Cloud) Operations() []string {
	var names []string
	seen := map[string]bool{}
	for _, r := range routes {
		if !seen[r.operation] {
			seen[r.operation] = true
			names = append(names, r.operation)
		}
	}
	return names
}

// ServeHTTP serves the authority and the Resource Manager.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.serve(w, r) }

// Run moves resources through their states until ctx ends.
func (c *Cloud) Run(ctx context.Context) error { return c.fleet.Run(ctx) }
