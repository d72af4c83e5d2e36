package azure_test

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"testing"

	"github.com/m3o/platform/deploy/workers"
	"github.com/m3o/platform/internal/cloud/azure"
	"github.com/m3o/platform/internal/cloud/azure/azuretest"
	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// sandboxScale makes a cluster's five minutes a bit more than half a second.
const sandboxScale = 0.002

// TestAzureIsAProvider with a worker that may do what its role allows, and nothing else.
func TestAzureIsAProvider(t *testing.T) {
	role := map[string][]byte{"azure": workerpolicy.Of("azure")}
	cloudtest.Run(t, func(t *testing.T) cloudtest.Harness { return newAccount(t, sandbox.Config{Policies: role}).Harness(t) })
}

// newAccount is the subscription of a sandbox of its own, whose clusters are only numbers.
func newAccount(t *testing.T, config sandbox.Config) azuretest.Account {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	dir, ready, done := t.TempDir(), make(chan sandbox.Endpoints, 1), make(chan error, 1)
	config.Dir, config.RunDir, config.BasePort = dir, t.TempDir(), sandbox.AnyPort
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
		return azuretest.Account{}
	case at := <-ready:
		data, err := os.ReadFile(sandbox.CredentialsFile(dir, "azure"))
		if err != nil {
			t.Fatal(err)
		}
		secret, err := azure.ParseSecret(data)
		if err != nil {
			t.Fatal(err)
		}
		authority, err := os.ReadFile(sandbox.AuthorityFile(dir))
		if err != nil {
			t.Fatal(err)
		}
		return azuretest.Account{URL: at.Providers["azure"], Control: at.Control, Secret: secret, Authority: authority, Scale: config.TimeScale}
	}
}
