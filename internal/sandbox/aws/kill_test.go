package aws_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/m3o/platform/internal/sandbox/aws"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/world"
)

// openOnScale opens an account whose time is compressed by another factor.
func openOnScale(t *testing.T, scale float64) *account {
	t.Helper()
	w, err := world.Open(t.TempDir(), world.Clock{Scale: scale})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return openOn(t, w, clusterstest.New(8))
}

// TestARestartedSandboxGoesOn: nothing but the state on disk remembers what is under way.
func TestARestartedSandboxGoesOn(t *testing.T) {
	dir := t.TempDir()
	runner := clusterstest.New(8)
	begin := func() (*world.World, context.CancelFunc, chan error) {
		w, err := world.Open(dir, world.Clock{Scale: scale})
		if err != nil {
			t.Fatal(err)
		}
		cloud, err := aws.New(aws.Config{World: w, Runner: runner, Versions: []string{"1.35", "1.34"}, Account: keys.Account(), AccessKey: keys.AccessKey, Secret: keys.Secret,
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- cloud.Run(ctx) }()
		return w, stop, done
	}
	w, err := world.Open(dir, world.Clock{Scale: scale})
	if err != nil {
		t.Fatal(err)
	}
	a := openOn(t, w, runner)
	n := a.makeNetwork()
	role := a.makeRole("kill", "eks.amazonaws.com", "AmazonEKSClusterPolicy")
	a.until("EKS sees the role", func() bool {
		_, err := a.makeCluster(n, "kill", role)
		return err == nil
	})
	if err := w.Close(); err != nil { // whatever it is at, it does no more of it
		t.Fatal(err)
	}
	for range 10 {
		w, stop, done := begin()
		time.Sleep(120 * time.Millisecond)
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	again, err := world.Open(dir, world.Clock{Scale: scale})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	b := openOn(t, again, runner)
	b.until("the cluster is active", func() bool { return b.describe("kill").Status == "ACTIVE" })
	if made := b.effects("created", "cluster"); made != 1 || len(runner.Running()) != 1 {
		t.Errorf("%d clusters were made, %d run", made, len(runner.Running()))
	}
}
