// Package gcp is the sandbox's Google Cloud: one project, served by the wire protocols of container v1 (GKE), compute v1, iam v1,
// cloudresourcemanager v1, serviceusage v1 and the OAuth token endpoint, all on one port as their paths do not collide. The
// unmodified SDKs and gcloud cannot tell it from the real one by what they are used for here: networks, subnetworks, routers with
// NAT, addresses, service accounts and policies, clusters with node pools, and what load balancers and volumes leave in the account.
//
// Changes are long-running operations that take their time and go through the real states. A cluster is a real Kubernetes, run by
// a clusters.Runner, whose API server asks the cloud who a caller is (Authenticate). What it is not: the whole API (unknown methods
// answer 404 and say so), or a place for real secrets. Only package sandbox imports it.
package gcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/fleet"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Config is what the cloud needs.
type Config struct {
	World  *world.World
	Runner clusters.Runner
	// Versions are the Kubernetes minor versions on offer, newest first.
	Versions []string
	// Account is the service account whose key the callers have.
	Account Account
	// Policy is the custom role that the account has, as gcloud iam roles create reads it (YAML or JSON); nil is the role of the
	// project's owner.
	Policy []byte
	// NewAccount makes it a project that nobody has used yet. One in use has the network default, with a subnetwork in every region.
	NewAccount bool
	// Authenticator is the URL at which clusters ask who a caller is, by the cluster's id.
	Authenticator func(id string) string
	Logger        *slog.Logger
}

// Cloud is one Google Cloud project.
type Cloud struct {
	Config
	routes  []route
	granted grants
	budgets *budgets
	fleet   *fleet.Fleet
	// swept is when operations that ended long ago were forgotten. Only Clusters looks at it, which is called by one goroutine.
	swept time.Time
}

// New makes the cloud. Its state is whatever the world has, and the account's service account.
func New(config Config) (*Cloud, error) {
	if config.Account.Key == nil {
		return nil, errors.New("the sandbox's Google Cloud needs a service account")
	}
	if len(config.Versions) == 0 {
		return nil, errors.New("the sandbox's Google Cloud has no Kubernetes version to offer")
	}
	granted, err := parseRole(config.Policy)
	if err != nil {
		return nil, fmt.Errorf("the policy of the sandbox's Google Cloud: %w", err)
	}
	c := &Cloud{Config: config, granted: granted, budgets: newBudgets(config.World.Clock)}
	c.routes = c.table()
	c.fleet = fleet.New(Name, config.World, config.Runner, c, config.Logger)
	if err := c.furnish(); err != nil {
		return nil, fmt.Errorf("furnish the project: %w", err)
	}
	return c, nil
}

// Name is the provider's name.
func (c *Cloud) Name() string { return Name }

// Operations lists the methods, by their official ids, that faults can be about.
func (c *Cloud) Operations() []string {
	names := make([]string, 0, len(c.routes))
	for _, r := range c.routes {
		names = append(names, r.operation)
	}
	return names
}

// ServeHTTP serves the APIs.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.serve(w, r) }

// Run moves resources through their states until ctx ends.
func (c *Cloud) Run(ctx context.Context) error { return c.fleet.Run(ctx) }

// view looks at the state, with all that is due by now.
func (c *Cloud) view(ctx context.Context, look func(*world.Tx) error) error {
	return c.World.View(ctx, func(tx *world.Tx) error {
		if err := settle(tx, c.World.Clock.Now()); err != nil {
			return err
		}
		return look(tx)
	})
}

// Clusters implements fleet.Keeper: it lists the clusters and says whether anything is on its way to another state.
func (c *Cloud) Clusters(ctx context.Context) (ids []string, unsettled bool, err error) {
	err = c.view(ctx, func(tx *world.Tx) error {
		all, err := world.List[cluster](tx, ref(kindCluster, ""))
		if err != nil {
			return err
		}
		for _, one := range all {
			ids = append(ids, one.ID)
			unsettled = unsettled || one.State != stateRunning && one.State != stateError
		}
		pending, err := world.Children[operation](tx, ref(kindOperation, pendingOperations))
		for _, o := range pending {
			unsettled = unsettled || !o.Transition.Stuck
		}
		if now := time.Now(); now.Sub(c.swept) > sweepPeriod {
			c.swept = now
			err = errors.Join(err, forgetOperations(tx, c.World.Clock))
		}
		return err
	})
	return ids, unsettled, err
}
