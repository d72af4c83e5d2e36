package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/m3o/platform/internal/sandbox/clusters"
)

// offered are the Kubernetes versions on offer where no m3o-kube tells which it can present, newest first.
var offered = []string{"1.37", "1.36", "1.35", "1.34"}

// versionTimeout is for a large binary on a cold disk.
const versionTimeout = time.Minute

// openRunner makes what runs the clusters, and says which versions they can have.
func openRunner(ctx context.Context, config Config) (clusters.Runner, []string, error) {
	dir := filepath.Join(config.Dir, "clusters")
	switch {
	case config.Clusters != nil:
		return config.Clusters, offered, nil
	case config.Kubeconfig != "":
		runner, err := clusters.NewContexts(config.Kubeconfig, config.Contexts, dir)
		return runner, offered, err
	case config.KubeBinary == "":
		return nil, nil, errors.New("the sandbox needs m3o-kube, or a kubeconfig with clusters to use instead")
	}
	binary, err := filepath.Abs(config.KubeBinary)
	if err != nil {
		return nil, nil, err
	}
	versions, err := kubeVersions(ctx, binary)
	if err != nil {
		return nil, nil, fmt.Errorf("ask %s for its versions (make build makes it): %w", binary, err)
	}
	runner, err := clusters.NewProcesses(binary, dir, config.RunDir, config.OpenPorts, config.Logger)
	return runner, versions, err
}

// CheckContexts says why Config.Kubeconfig and Config.Contexts cannot be used, without starting anything on them.
func CheckContexts(kubeconfig string, named []string) error {
	return clusters.CheckContexts(kubeconfig, named)
}

// kubeVersions asks m3o-kube which versions it can present.
func kubeVersions(ctx context.Context, binary string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "version", "--json").Output()
	if err != nil {
		return nil, err
	}
	return parseVersions(out)
}

func parseVersions(out []byte) ([]string, error) {
	var told struct {
		Emulates []string `json:"emulates"`
	}
	if err := json.Unmarshal(bytes.TrimSpace(out), &told); err != nil {
		return nil, fmt.Errorf("it did not answer in JSON: %w", err)
	}
	if len(told.Emulates) == 0 {
		return nil, errors.New("it can present no version")
	}
	return told.Emulates, nil
}

// owner is a runner whose clusters stop by themselves when nobody owns them any more.
type owner interface {
	Own() error
}

// ownClusters tells the clusters that they have an owner, until ctx ends.
func ownClusters(ctx context.Context, runner clusters.Runner, logger *slog.Logger) {
	o, needed := runner.(owner)
	if !needed {
		return
	}
	ticker := time.NewTicker(ownPeriod)
	defer ticker.Stop()
	for {
		if err := o.Own(); err != nil {
			logger.WarnContext(ctx, "sandbox: a cluster was not told that it has an owner", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// stopper is a runner whose clusters would go on without us.
type stopper interface {
	StopAll(ctx context.Context) error
}

// stopClusters stops the clusters at the end, although ctx ended.
func stopClusters(ctx context.Context, runner clusters.Runner) error {
	s, needed := runner.(stopper)
	if !needed {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := s.StopAll(ctx); err != nil {
		return fmt.Errorf("stop the clusters: %w", err)
	}
	return nil
}
