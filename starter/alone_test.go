//go:build embedded && (chaos || bench)

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/dev/engine"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// What `m3o dev` holds itself, or starts with clusters, as processes that can be killed alone.
const (
	asTemporal = "temporal" // folder, port
	asSandbox  = "channels" // folder, first port
)

func init() {
	processes[asTemporal] = func() int { return beServer(serveTemporal) }
	processes[asSandbox] = func() int { return beServer(serveSandbox) }
}

// beServer runs a server until it is told to stop. Its arguments are a folder and a port.
func beServer(serve func(ctx context.Context, dir string, port int) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	port, err := strconv.Atoi(os.Args[4])
	if err == nil {
		err = serve(ctx, os.Args[3], port)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serveTemporal(ctx context.Context, dir string, port int) error {
	e, err := engine.Start(ctx, engine.Config{Dir: dir, Port: port, Namespace: control.Namespace, Retention: 24 * time.Hour, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return e.Stop()
}

func serveSandbox(ctx context.Context, dir string, port int) error {
	return sandbox.Run(ctx, sandbox.Config{Dir: dir, BasePort: port, TimeScale: 0.01, Clusters: clusterstest.New(1), LeaseTimeout: -1, Logger: slog.New(slog.DiscardHandler)})
}
