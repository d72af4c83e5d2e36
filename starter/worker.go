package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/telemetry"
	"github.com/m3o/platform/workers"
)

func workerCommand() *cobra.Command {
	var names []string
	cmd := &cobra.Command{Use: "worker --queues NAME[,NAME…]", Short: "Serve task queues", GroupID: groupServe, Args: takes(0, 0),
		Long: "Serve task queues: workflows and their activities. A worker holds what its queues need and nothing else; the queues are\n" +
			queueNames() + ".\n\nSettings come from the environment:\n" + describeQueues(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(names) == 0 {
				return misuse("--queues: name the queues to serve, of %s", queueNames())
			}
			rows, err := rowsOf(names)
			if err != nil {
				return misuse("--queues: %v", err)
			}
			s := config.Load(partsOf(rows)...)
			signals, err := openSignals(cmd.Context(), s, "worker")
			if err != nil {
				return err
			}
			defer closeSignals(cmd.Context(), signals)
			return runWorker(cmd.Context(), s, rows, signals)
		}}
	cmd.Flags().StringSliceVar(&names, "queues", nil, "the queues to serve")
	return cmd
}

// runWorker serves the queues until ctx ends.
func runWorker(ctx context.Context, s config.Settings, rows []row, signals *telemetry.Signals) (err error) {
	b, err := connect(ctx, s, signals)
	if err != nil {
		return err
	}
	defer b.close()
	var seats []workers.Seat
	for _, r := range rows {
		seat, done, failed := r.seat(ctx, b)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, done()) }()
		seats = append(seats, seat)
	}
	build := s.WorkerBuild
	if build == "" {
		build = version
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return workers.Run(ctx, b.temporal, seats, workers.Options{Build: build, Logger: signals.Logger})
	})
	if s.Metrics != "" {
		group.Go(func() error { return serveHTTP(ctx, s.Metrics, b.health()) })
	}
	return group.Wait()
}

// health answers what watches a worker.
func (b *base) health() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", b.signals.Metrics())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := reachable(r.Context(), b.temporal); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	return mux
}

// readSecret reads a secret from its file.
func readSecret(variable, path string) (string, error) {
	if path == "" {
		return "", misuse("%s must be set: the file with the token", variable)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", variable, err)
	}
	return strings.TrimSpace(string(data)), nil
}
