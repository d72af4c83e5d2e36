package sandboxtest

import (
	"cmp"
	"context"
	"log/slog"
	"testing"

	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// Sandbox is one that runs as long as its test.
type Sandbox struct {
	sandbox.Endpoints
	Dir   string  // of its state
	Scale float64 // what its times are multiplied by
}

const (
	room  = 20    // clusters that fit into one that has numbers for them
	scale = 0.002 // makes a cluster's five minutes two thirds of a second
)

// Start starts a sandbox on ports that the machine chooses. What the config leaves out is a new folder, a time scale of 0.002, and
// clusters that are only numbers.
func Start(t *testing.T, config sandbox.Config) Sandbox {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan sandbox.Endpoints, 1), make(chan error, 1)
	if config.Dir == "" {
		config.Dir = t.TempDir()
	}
	if config.Clusters == nil && config.KubeBinary == "" {
		config.Clusters = clusterstest.New(room)
	}
	config.RunDir, config.BasePort, config.TimeScale = t.TempDir(), sandbox.AnyPort, cmp.Or(config.TimeScale, scale)
	config.Logger, config.Ready = slog.New(slog.DiscardHandler), func(e sandbox.Endpoints) { ready <- e }
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
		return Sandbox{}
	case at := <-ready:
		return Sandbox{Endpoints: at, Dir: config.Dir, Scale: config.TimeScale}
	}
}

// Credentials is the file with the credentials of a provider's account.
func (s Sandbox) Credentials(provider string) string {
	return sandbox.CredentialsFile(s.Dir, provider)
}
