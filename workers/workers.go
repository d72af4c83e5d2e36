package workers

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// Deployment names the platform's workers to Temporal's worker versioning.
const Deployment = "m3o"

// Options are what all workers of a process share. Build names the code: runs that are pinned stay with the build they
// began with, so it changes with every release of the platform that is deployed beside the last one. There are no
// interceptors here: Temporal's client brings its own into every worker that uses it, and given twice they act twice.
type Options struct {
	Build  string
	Logger *slog.Logger
}

// Run serves the seats' queues until ctx ends; then running activities get a moment to finish.
func Run(ctx context.Context, c client.Client, seats []Seat, o Options) error {
	running, died := []worker.Worker{}, make(chan error, 1)
	defer func() {
		for _, w := range running {
			w.Stop()
		}
	}()
	for _, s := range seats {
		w := s.worker(ctx, c, o, func(err error) {
			select {
			case died <- fmt.Errorf("queue %s: %w", s.Queue, err):
			default: // the first one ends the process
			}
		})
		if err := w.Start(); err != nil {
			return fmt.Errorf("serve queue %s: %w", s.Queue, err)
		}
		running = append(running, w)
	}
	if slices.ContainsFunc(seats, func(s Seat) bool { return s.Workflows }) {
		if err := settle(ctx, c, o); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-died:
		return err
	}
}

func (s Seat) worker(ctx context.Context, c client.Client, o Options, died func(error)) worker.Worker {
	w := worker.New(c, s.Queue, worker.Options{
		MaxConcurrentActivityExecutionSize: s.AtOnce,
		BackgroundActivityContext:          ctx,
		WorkerStopTimeout:                  2 * time.Second,
		DisableRegistrationAliasing:        true,
		OnFatalError:                       died,
		MaxHeartbeatThrottleInterval:       2 * time.Second,
		DefaultHeartbeatThrottleInterval:   2 * time.Second,
		DeploymentOptions:                  worker.DeploymentOptions{UseVersioning: s.Workflows, Version: version(o)},
	})
	register(w, s.flows(), s.Activities.List())
	return w
}

func version(o Options) worker.WorkerDeploymentVersion {
	return worker.WorkerDeploymentVersion{DeploymentName: Deployment, BuildID: o.Build}
}

// register makes workflows and activities known under their own names.
func register(r worker.Registry, list []flow, structs []any) {
	for _, f := range list {
		r.RegisterWorkflowWithOptions(f.function, workflow.RegisterOptions{Name: f.name, VersioningBehavior: f.moves})
	}
	for _, s := range structs {
		r.RegisterActivityWithOptions(s, activity.RegisterOptions{})
	}
}
