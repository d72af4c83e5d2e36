package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
)

// What a client may take and how long: a connection that says nothing must not cost us one for ever.
const (
	clientIdle    = 2 * time.Minute
	maxHeader     = 64 << 10
	maxStreams    = 250 // of one HTTP/2 connection
	sendTimeout   = 2 * time.Minute
	h2PingAfter   = 30 * time.Second
	h2PingTimeout = 15 * time.Second
)

// propagators carry the trace from the caller to the service.
var propagators = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})

// Run runs a gateway until the context ends, and then drains it: /-/readyz fails first, so that balancers look elsewhere,
// then no new connection is taken, then what is in flight gets its time. The error says why it could not run.
func Run(ctx context.Context, config Config) error {
	g, err := newGateway(config)
	if err != nil {
		return err
	}
	defer g.etcd.Close()
	requests, err := g.listen(g.config.Listen)
	if err != nil {
		return err
	}
	defer requests.Close()
	var scrapes net.Listener
	var scrapesAt net.Addr
	if g.config.MetricsListen != "" {
		if scrapes, err = g.listen(g.config.MetricsListen); err != nil {
			return err
		}
		defer scrapes.Close()
		scrapesAt = scrapes.Addr()
	}
	if g.config.Listening != nil {
		g.config.Listening(requests.Addr(), scrapesAt)
	}
	g.config.Logger.InfoContext(ctx, "gateway listens", "region", g.config.Region, "address", requests.Addr().String())
	return g.run(ctx, requests, scrapes)
}

// run keeps the table up to date until the last request is done.
func (g *Gateway) run(ctx context.Context, requests, scrapes net.Listener) error {
	// What serves the requests in flight must outlive the order to stop.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, work := errgroup.WithContext(work)
	for _, part := range []func(context.Context) error{g.watcher.Run, g.registrar.Run, g.mirror.Run, g.feed, g.endSuspended} {
		group.Go(func() error { return part(work) })
	}
	if g.config.Keys != "" {
		group.Go(func() error { return g.followKeys(work) })
	}
	if scrapes != nil {
		group.Go(func() error { return g.serveMetrics(work, scrapes) })
	}
	group.Go(func() error {
		defer stop()
		return g.serve(ctx, work, requests)
	})
	return group.Wait()
}

func (g *Gateway) listen(address string) (net.Listener, error) {
	config := net.ListenConfig{Control: limitUnsent}
	listener, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return netutil.LimitListener(listener, g.config.MaxConnections), nil
}

// serve answers requests until ctx ends, or work fails, and drains.
func (g *Gateway) serve(ctx, work context.Context, listener net.Listener) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	server := g.newServer(g.handler())
	server.ErrorLog = slog.NewLogLogger(g.config.Logger.Handler(), slog.LevelDebug)
	server.MaxHeaderBytes = maxHeader
	server.BaseContext = func(net.Listener) context.Context { return base }
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve requests: %w", err)
	case <-work.Done():
	case <-ctx.Done():
	}
	return g.drain(server, cut)
}

func (g *Gateway) newServer(handler http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{Handler: handler, ReadHeaderTimeout: g.config.HeaderWait, IdleTimeout: clientIdle, Protocols: protocols,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: h2PingAfter, PingTimeout: h2PingTimeout}}
}

func (g *Gateway) handler() http.Handler {
	if g.config.Tracer == nil {
		return g
	}
	return otelhttp.NewHandler(g, "gateway", otelhttp.WithTracerProvider(g.config.Tracer), otelhttp.WithPropagators(propagators),
		otelhttp.WithFilter(func(r *http.Request) bool {
			return r.URL.Path != "/-/healthz" && r.URL.Path != "/-/readyz" && r.URL.Path != "/-/instances"
		}))
}

// drain ends a server in steps. Upgraded connections are not the server's any more, so we count ourselves.
func (g *Gateway) drain(server *http.Server, cut context.CancelFunc) error {
	g.draining.Store(true)
	close(g.ending)
	g.config.Logger.Info("gateway drains", "in_flight", g.inFlight.Load())
	time.Sleep(g.config.DrainDelay)
	ctx, cancel := context.WithTimeout(context.Background(), g.config.Drain)
	defer cancel()
	err := server.Shutdown(ctx)
	for g.inFlight.Load() > 0 && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	if left := g.inFlight.Load(); left > 0 {
		g.config.Logger.Warn("requests are cut off", "in_flight", left)
	}
	cut()
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("end the server: %w", err)
	}
	return ignoreClosed(server.Close())
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (g *Gateway) serveMetrics(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g.config.Metrics, promhttp.HandlerOpts{}))
	server := g.newServer(mux)
	server.ReadTimeout, server.WriteTimeout = time.Minute, time.Minute
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// refresh says that the table is out of date. It never blocks.
func (g *Gateway) refresh() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// feed keeps the table up to date.
func (g *Gateway) feed(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.wake:
			g.update()
		}
	}
}

// update makes the table from the cluster and the registry. What Kubernetes runs is taken from Kubernetes: it is what would
// come back through etcd a moment later, or not at all while etcd is away. Of the registry counts what the cluster vouches
// for, and so nothing before the cluster has been read: whoever can write to etcd can write anything.
func (g *Gateway) update() {
	watched, _ := g.watcher.Watched()
	instances, managed, synced := g.mirror.Services()
	if !synced {
		instances, managed = nil, nil
	} else {
		for _, registered := range g.watcher.Instances() {
			if i, ok := g.mirror.Vouch(registered); ok {
				instances = append(instances, i)
			}
		}
	}
	g.table.Set(instances, managed, synced && watched)
	g.metrics.keep(g.table.Services())
}
