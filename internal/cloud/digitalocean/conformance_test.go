package digitalocean_test

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/cloud/digitalocean/digitaloceantest"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// sandboxScale makes a cluster's five minutes two thirds of a second.
const sandboxScale = 0.002

func TestDigitalOceanIsAProvider(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Harness { return accountInUse(t).Harness(t) })
}

func TestANewAccountIsAProvider(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Harness {
		h := newUnused(t).Harness
		all := h.Effects
		h.Effects = func(t *testing.T) []cloudtest.Effect { // what happens to the locations' defaults is not the suite's business
			return slices.DeleteFunc(all(t), func(e cloudtest.Effect) bool { return strings.HasPrefix(e.Name, "default-") })
		}
		return h
	})
}

// accountInUse is an account that has a default VPC in every region.
func accountInUse(t *testing.T) digitaloceantest.Account {
	t.Helper()
	return newAccount(t, sandbox.Config{})
}

// newAccount is the account of a sandbox of its own, whose clusters are only numbers.
func newAccount(t *testing.T, config sandbox.Config) digitaloceantest.Account {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	dir, ready, done := t.TempDir(), make(chan sandbox.Endpoints, 1), make(chan error, 1)
	config.Dir, config.RunDir, config.BasePort, config.DropletLimit = dir, t.TempDir(), sandbox.AnyPort, 20
	config.TimeScale = cmp.Or(config.TimeScale, sandboxScale)
	config.Clusters, config.Logger, config.Ready = clusterstest.New(20), slog.New(slog.DiscardHandler), func(e sandbox.Endpoints) { ready <- e }
	go func() { done <- sandbox.Run(ctx, config) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case err := <-done:
		done <- nil
		t.Fatalf("the sandbox does not start: %v", err)
		return digitaloceantest.Account{}
	case at := <-ready:
		token, err := os.ReadFile(sandbox.CredentialsFile(dir, "digitalocean"))
		if err != nil {
			t.Fatal(err)
		}
		return digitaloceantest.Account{URL: at.Providers["digitalocean"], Control: at.Control, Token: strings.TrimSpace(string(token))}
	}
}
