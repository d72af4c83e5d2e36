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
	"strings"

	"github.com/m3o/platform/internal/sandbox/budget"
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
	// Token is the account's only API token.
	Token string
	// DropletLimit is how many nodes the account can have; 0 means 25.
	DropletLimit int
	// NewAccount makes it an account that nobody has used yet. One in use has a default VPC in every region.
	NewAccount bool
	// Policy says which scopes the token has: {"scopes": ["vpc:read", …]}. nil is full access.
	Policy []byte
	Logger *slog.Logger
}

// Cloud is one DigitalOcean account.
type Cloud struct {
	Config
	budget  *budget.Windows
	granted grants
	fleet   *fleet.Fleet
	handler http.Handler
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
	granted, err := readPolicy(config.Policy)
	if err != nil {
		return nil, err
	}
	c := &Cloud{Config: config, granted: granted}
	c.fleet = fleet.New(Name, config.World, config.Runner, keeper{c}, config.Logger)
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

// ServeHTTP serves the API. A slash at a path's end means nothing, as there: python3-digitalocean sends "/v2/account/".
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path := strings.TrimRight(r.URL.Path, "/"); path != r.URL.Path && path != "" {
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = path, ""
	}
	c.handler.ServeHTTP(w, r)
}

// Run moves resources through their states until ctx ends.
func (c *Cloud) Run(ctx context.Context) error { return c.fleet.Run(ctx) }
