package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/telemetry"
	"github.com/m3o/platform/internal/ticket"
	"github.com/m3o/platform/workers"
)

// queueNames are what `m3o worker --queues` takes.
var queueNames = []string{queue.Flows, queue.Build, queue.Cloud(region.DigitalOcean)}

func workerCommand() *cobra.Command {
	var queues []string
	cmd := &cobra.Command{Use: "worker --queues NAME[,NAME…]", Short: "Serve task queues", GroupID: groupServe, Args: takes(0, 0),
		Long: "Serve task queues: workflows and their activities. A worker holds what its queues need and nothing else; the queues are\n" +
			strings.Join(queueNames, ", ") + ".\n\nSettings come from the environment:\n" + describeQueues(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(queues) == 0 {
				return misuse("--queues: name the queues to serve, of %s", strings.Join(queueNames, ", "))
			}
			for _, q := range queues {
				if !slices.Contains(queueNames, q) {
					return misuse("--queues: %q is none of %s", q, strings.Join(queueNames, ", "))
				}
			}
			s := config.Load().Of(append(queues, config.Worker)...)
			signals, err := openSignals(cmd.Context(), s, "worker")
			if err != nil {
				return err
			}
			defer closeSignals(cmd.Context(), signals)
			return runWorker(cmd.Context(), s, queues, signals)
		}}
	cmd.Flags().StringSliceVar(&queues, "queues", nil, "the queues to serve")
	return cmd
}

// describeQueues lists the settings of all workers, and of each queue.
func describeQueues() string {
	text := config.Describe(config.Worker, config.Everything)
	for _, q := range queueNames {
		text += "\nFor the queue " + q + ":\n" + config.Describe(q)
	}
	return text
}

// runWorker serves the queues until ctx ends.
func runWorker(ctx context.Context, s config.Settings, queues []string, signals *telemetry.Signals) (err error) {
	b, err := connect(ctx, s, signals)
	if err != nil {
		return err
	}
	defer b.close()
	h, done, err := b.holdings(ctx, queues)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	build := s.WorkerBuild
	if build == "" {
		build = version
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return workers.Run(ctx, b.temporal, h, workers.Options{Build: build, Logger: signals.Logger})
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

// holdings makes the collaborators that the queues need.
func (b *base) holdings(ctx context.Context, queues []string) (workers.Holdings, func() error, error) {
	h := workers.Holdings{Clouds: map[region.Provider]workers.CloudHoldings{}}
	done := func() error { return nil }
	for _, q := range queues {
		var err error
		switch q {
		case queue.Flows:
			h.Flows, done, err = b.flowHoldings(ctx)
		case queue.Build:
			h.Build, err = b.buildHoldings(ctx)
		case queue.Cloud(region.DigitalOcean):
			h.Clouds[region.DigitalOcean], err = b.digitalOceanHoldings()
		}
		if err != nil {
			return workers.Holdings{}, nil, fmt.Errorf("queue %s: %w", q, err)
		}
	}
	return h, done, nil
}

// look is how often a worker looks at our own things on their way; clouds are asked less often.
const look = 250 * time.Millisecond

func (b *base) flowHoldings(ctx context.Context) (*workers.FlowHoldings, func() error, error) {
	db, err := openStore(ctx, b.settings)
	if err != nil {
		return nil, nil, err
	}
	signer, err := loadSigner(b.settings)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	flows := control.NewFlows(b.temporal, b.codec)
	go b.own(ctx, db, flows)
	outside := &http.Client{Transport: b.signals.Transport(http.DefaultTransport), Timeout: 10 * time.Second}
	return &workers.FlowHoldings{
		Regions: &activities.Regions{Records: db, Plans: db}, Traffic: &activities.Traffic{Records: db, Poll: time.Second},
		Releases: &activities.Releases{Records: db}, Gateways: &activities.Gateways{HTTP: outside, Permits: permits{signer}, Poll: look},
		Operators: &activities.Operators{Regions: flows, Services: flows, List: db}, Flows: &activities.Flows{Awaiter: flows},
	}, db.Close, nil
}

// permits signs what the platform itself asks of gateways.
type permits struct{ signer *ticket.Signer }

func (p permits) Permit(in region.Key, scope string) (string, error) {
	return p.signer.Sign(ticket.Grant{Subject: "m3o", Regions: []string{in.String()}, Scopes: []string{scope}})
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
