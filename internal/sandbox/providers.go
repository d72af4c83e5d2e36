package sandbox

import (
	"context"
	"net/http"
	"path/filepath"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/digitalocean"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Provider is one cloud's wire protocol over the world.
type Provider interface {
	http.Handler
	// Name is what ledger and faults call it.
	Name() string
	// Operations are the official names of its operations, which faults can be about.
	Operations() []string
	// Run moves its resources through their states until ctx ends.
	Run(ctx context.Context) error
}

// environment is what a provider is made from.
type environment struct {
	config   Config
	world    *world.World
	runner   clusters.Runner
	versions []string
}

// row is one cloud: its name, as the platform's file has it, where it listens, and what answers there.
type row struct {
	name   string
	offset int // of its port from the base port, for ever the same one
	open   func(environment) (Provider, error)
}

// providers is the table of clouds. The ports that cannot be opened to pods, faults, the ledger and `m3o dev` follow from it.
var providers = []row{
	{digitalocean.Name, 1, openDigitalOcean},
}

// Ports are where a sandbox of that base port listens, by what answers there.
func Ports(base int) map[string]int {
	ports := map[string]int{"control routes": base}
	for _, p := range providers {
		ports[p.name] = base + p.offset
	}
	return ports
}

// TokenFile is where the API token of a provider is kept in a sandbox's directory.
func TokenFile(dir, provider string) string { return filepath.Join(dir, provider+".token") }

func openDigitalOcean(env environment) (Provider, error) {
	token, err := keptToken(TokenFile(env.config.Dir, digitalocean.Name), "dop_v1_")
	if err != nil {
		return nil, err
	}
	return digitalocean.New(digitalocean.Config{World: env.world, Runner: env.runner, Versions: env.versions, Token: token,
		DropletLimit: env.config.DropletLimit, NewAccount: env.config.NewAccount, Logger: env.config.Logger})
}
