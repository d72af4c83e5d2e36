package gateway

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/gateway/health"
	"github.com/m3o/platform/internal/gateway/mirror"
	"github.com/m3o/platform/internal/gateway/podlog"
	"github.com/m3o/platform/internal/gateway/registry"
	"github.com/m3o/platform/internal/gateway/upstream"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/ticket"
)

// etcdBackoff is how soon we look for an etcd that was away. By itself the client would wait for up to two minutes.
var etcdBackoff = grpc.ConnectParams{MinConnectTimeout: 3 * time.Second,
	Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}}

// What holds for a service that does not say otherwise.
const (
	DefaultMaxBody = 1 << 30         // bytes of a request's body
	DefaultTimeout = 2 * time.Minute // how long an exchange may stand still
)

// Config is what a gateway needs. Zero values stand for the defaults that are named.
type Config struct {
	Region         string // the region's full name, platform/name: tickets must be for it
	Domain         string // the platform's: <project>.api.<domain> names a project
	DefaultProject string // of a request that names none ("default")

	Listen        string // for requests (":8080")
	MetricsListen string // for /metrics; empty: none
	Listening     func(requests, metrics net.Addr)

	Etcd    []string // endpoints
	EtcdTLS *tls.Config
	Keys    string // JWKS file that tickets are checked with, read again when it changes; empty: no ticket is good

	Kubernetes kubernetes.Interface // nil: made from REST, or from the pod we run in
	REST       *rest.Config

	DefaultMaxBody int64          // bytes of a request's body, for services that do not say (1 GiB)
	MaxBody        int64          // the most that a service may say (release.LargestBody)
	DefaultTimeout time.Duration  // how long an exchange may stand still, for services that do not say (2m)
	MaxTimeout     time.Duration  // the most that a service may say (release.MaxTimeout)
	EndpointWait   time.Duration  // for an endpoint to appear (2s)
	HeaderWait     time.Duration  // for a request's header to come (10s)
	BodyWait       time.Duration  // for each piece of a request's body to come, until the answer begins (30s)
	DrainDelay     time.Duration  // from failing /-/readyz to refusing connections (3s)
	Drain          time.Duration  // for what is in flight at the end (20s)
	MaxConnections int            // at once (16384)
	TrustedProxies []netip.Prefix // whose X-Forwarded-* headers are believed (none)
	AllowLoopback  bool           // services may have loopback addresses; for tests and one machine only

	Logger  *slog.Logger
	Metrics *prometheus.Registry
	Tracer  trace.TracerProvider // nil: no spans; traceparent is passed on as it came
}

func (c Config) withDefaults() Config {
	c.DefaultProject = cmp.Or(c.DefaultProject, account.DefaultProject)
	c.Listen = cmp.Or(c.Listen, ":8080")
	c.MaxBody = cmp.Or(c.MaxBody, release.LargestBody)
	c.DefaultMaxBody = cmp.Or(c.DefaultMaxBody, min(DefaultMaxBody, c.MaxBody))
	c.MaxTimeout = cmp.Or(c.MaxTimeout, time.Duration(release.MaxTimeout))
	c.DefaultTimeout = cmp.Or(c.DefaultTimeout, min(DefaultTimeout, c.MaxTimeout))
	c.EndpointWait = cmp.Or(c.EndpointWait, 2*time.Second)
	c.HeaderWait = cmp.Or(c.HeaderWait, 10*time.Second)
	c.BodyWait = cmp.Or(c.BodyWait, 30*time.Second)
	c.DrainDelay = cmp.Or(c.DrainDelay, 3*time.Second)
	c.Drain = cmp.Or(c.Drain, 20*time.Second)
	c.MaxConnections = cmp.Or(c.MaxConnections, 16384)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	return c
}

func (c Config) validate() error {
	var wrong fault.Checker
	_, err := region.ParseKey(c.Region)
	wrong.Check(err == nil, "region", "%v", err)
	wrong.Check(region.IsLabel(c.DefaultProject), "default project", "%q %s", c.DefaultProject, region.LabelRule)
	wrong.Check(len(c.Etcd) > 0, "etcd", "names no endpoint")
	wrong.Check(c.DefaultMaxBody > 0 && c.DefaultMaxBody <= c.MaxBody, "default max body", "%v is not between 1 and %v, the most there may be", c.DefaultMaxBody, c.MaxBody)
	wrong.Check(c.DefaultTimeout <= c.MaxTimeout, "default timeout", "%v is more than %v, the most there may be", c.DefaultTimeout, c.MaxTimeout)
	wrong.Check(c.MaxConnections > 0, "max connections", "%v is not more than 0", c.MaxConnections)
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"default timeout", c.DefaultTimeout}, {"max timeout", c.MaxTimeout}, {"endpoint wait", c.EndpointWait}, {"header wait", c.HeaderWait}, {"body wait", c.BodyWait},
		{"drain delay", c.DrainDelay}, {"drain", c.Drain}} {
		wrong.Check(d.value > 0, d.field, "%v is not more than 0", d.value)
	}
	return wrong.Err()
}

// Gateway is one region's entry.
type Gateway struct {
	config    Config
	etcd      *clientv3.Client
	watcher   *registry.Watcher
	mirror    *mirror.Mirror
	registrar *registry.Registrar
	table     *upstream.Table
	verifier  *ticket.Verifier
	keys      []byte // the key document the verifier began with
	proxy     *httputil.ReverseProxy
	control   http.Handler
	logs      *podlog.Streamer
	reporter  *health.Reporter
	streams   seats // of log streams
	running   running
	metrics   *metrics
	wake      chan struct{}
	inFlight  atomic.Int64
	draining  atomic.Bool
	ending    chan struct{} // closed when draining begins: what has no end of its own ends now
}

// newGateway puts a gateway together; nothing runs yet.
func newGateway(config Config) (*Gateway, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	g := &Gateway{config: config, wake: make(chan struct{}, 1), ending: make(chan struct{}),
		table: upstream.New(upstream.Options{AllowLoopback: config.AllowLoopback}), verifier: ticket.NewVerifier(config.Region, nil)}
	if err := g.loadKeys(); err != nil {
		return nil, err
	}
	client, err := config.cluster()
	if err != nil {
		return nil, err
	}
	if g.mirror, err = mirror.New(client, config.Logger); err != nil {
		return nil, err
	}
	if g.metrics, err = newMetrics(prometheus.WrapRegistererWith(prometheus.Labels{"region": config.Region}, config.Metrics)); err != nil {
		return nil, err
	}
	g.etcd, err = clientv3.New(clientv3.Config{Endpoints: config.Etcd, TLS: config.EtcdTLS, DialTimeout: 5 * time.Second,
		DialKeepAliveTime: 5 * time.Second, DialKeepAliveTimeout: 3 * time.Second, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(etcdBackoff)}})
	if err != nil {
		return nil, fmt.Errorf("make a client of etcd: %w", err)
	}
	g.watcher = registry.NewWatcher(g.etcd, config.DefaultProject, config.Logger)
	g.registrar = registry.NewRegistrar(g.etcd, g.watcher, g.mirrored, config.Logger)
	if err := exposeRegistrar(config.Metrics, g.registrar); err != nil {
		return nil, err
	}
	g.logs = &podlog.Streamer{Client: client, Pods: g.mirror.Pods, Logger: config.Logger}
	g.reporter = g.newReporter()
	g.watcher.OnChange(g.refresh)
	g.mirror.OnChange(g.refresh)
	g.mirror.OnChange(g.registrar.Wake)
	g.proxy, g.control = g.newProxy(), g.newControl()
	return g, nil
}

func (g *Gateway) loadKeys() error {
	if g.config.Keys == "" {
		g.config.Logger.Warn("no keys to check tickets with: only public services can be called")
		return nil
	}
	body, keys, err := readKeys(g.config.Keys)
	if err != nil {
		return err
	}
	g.keys = body
	g.verifier.SetKeys(keys)
	return nil
}

func (c Config) cluster() (kubernetes.Interface, error) {
	if c.Kubernetes != nil {
		return c.Kubernetes, nil
	}
	config := c.REST
	if config == nil {
		var err error
		if config, err = rest.InClusterConfig(); err != nil {
			return nil, fmt.Errorf("find the cluster this gateway runs in: %w", err)
		}
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the cluster: %w", err)
	}
	return client, nil
}

// mirrored is what the registrar writes into etcd.
func (g *Gateway) mirrored() ([]registry.Instance, bool) {
	instances, _, synced := g.mirror.Services()
	return instances, synced
}
