package aws_test

import (
	"cmp"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/m3o/platform/internal/cloud/aws/awstest"
	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// sandboxScale makes a cluster's ten minutes one second.
const sandboxScale = 0.002

func TestAWSIsAProvider(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Harness { return newAccount(t, sandbox.Config{}).Harness(t) })
}

// newAccount is the account of a sandbox of its own, whose clusters are only numbers unless the config says what else.
func newAccount(t *testing.T, config sandbox.Config) awstest.Account {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	dir, ready, done := cmp.Or(config.Dir, t.TempDir()), make(chan sandbox.Endpoints, 1), make(chan error, 1)
	config.Dir, config.RunDir, config.BasePort = dir, t.TempDir(), sandbox.AnyPort
	config.TimeScale = cmp.Or(config.TimeScale, sandboxScale)
	if config.Clusters == nil && config.KubeBinary == "" {
		config.Clusters = clusterstest.New(20)
	}
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
		return awstest.Account{}
	case at := <-ready:
		return awstest.Account{URL: at.Providers["aws"], Control: at.Control, Credentials: sandbox.CredentialsFile(dir, "aws"),
			Hour: time.Duration(config.TimeScale * float64(time.Hour))}
	}
}
