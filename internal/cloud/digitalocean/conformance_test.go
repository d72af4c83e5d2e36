package digitalocean_test

import (
	"context"
	"log/slog"
	"os"
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
	cloudtest.Run(t, func(t *testing.T) cloudtest.Harness { return newAccount(t).Harness(t) })
}

// newAccount is the account of a sandbox of its own, whose clusters are only numbers.
func newAccount(t *testing.T) digitaloceantest.Account {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	dir, ready, done := t.TempDir(), make(chan sandbox.Endpoints, 1), make(chan error, 1)
	config := sandbox.Config{Dir: dir, RunDir: t.TempDir(), BasePort: sandbox.AnyPort, TimeScale: sandboxScale, DropletLimit: 20,
		Clusters: clusterstest.New(20), Logger: slog.New(slog.DiscardHandler), Ready: func(e sandbox.Endpoints) { ready <- e }}
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
		token, err := os.ReadFile(sandbox.TokenFile(dir, "digitalocean"))
		if err != nil {
			t.Fatal(err)
		}
		return digitaloceantest.Account{URL: at.Providers["digitalocean"], Control: at.Control, Token: strings.TrimSpace(string(token))}
	}
}
