package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sync/errgroup"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/m3o/platform/internal/kube/addresses"
	"github.com/m3o/platform/internal/kube/network/balancer"
	"github.com/m3o/platform/internal/kube/network/flow"
	"github.com/m3o/platform/internal/kube/network/names"
	"github.com/m3o/platform/internal/kube/network/service"
	"github.com/m3o/platform/internal/kube/network/wire"
)

// Config says what a Network needs.
type Config struct {
	// APIServer is the host:port on the machine where the API server listens.
	APIServer string
	// LoadBalancerCIDR is where Services of type LoadBalancer get their
	// addresses: an IPv4 prefix inside of 127.0.0.0/8. Without it they get none.
	LoadBalancerCIDR netip.Prefix
	// OpenPorts are those of the machine's loopback that pods can reach. All
	// others are closed: much of what listens on a loopback trusts everybody who
	// can connect.
	OpenPorts []uint16
	// Resolvers answer names of the outside, as host:port. Without any, the
	// machine's own are asked: those in its /etc/resolv.conf.
	Resolvers []string
	// Logger may be nil.
	Logger *slog.Logger
}

// Validate says everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.APIServer); err != nil {
		errs = append(errs, fmt.Errorf("address of the API server %q: %w", c.APIServer, err))
	}
	if c.LoadBalancerCIDR.IsValid() {
		errs = append(errs, balancer.ValidatePrefix(c.LoadBalancerCIDR))
	}
	for _, resolver := range c.Resolvers {
		if _, err := netip.ParseAddrPort(resolver); err != nil {
			errs = append(errs, fmt.Errorf("resolver %q: %w", resolver, err))
		}
	}
	return errors.Join(errs...)
}

// Network is the network of one cluster, as its process sees it.
type Network struct {
	cfg   Config
	log   *slog.Logger
	stack *stack.Stack
	wire  *wire.Switch
	table *service.Table
	names *names.Server

	// dialOutside connects to what is outside the cluster.
	dialOutside func(ctx context.Context, network, address string) (net.Conn, error)

	streams   *flow.Limit
	datagrams *flow.Limit

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	mu      sync.Mutex // orders enter and Close
	running sync.WaitGroup
}

// New makes the network and starts to answer on it; nodes join it by
// ServeUplinks. Until Run has seen the cluster's Services, their addresses are
// unreachable.
func New(cfg Config) (*Network, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	n := &Network{
		cfg: cfg, log: cfg.Logger, table: service.NewTable(),
		streams: flow.NewLimit(maxStreams), datagrams: flow.NewLimit(maxDatagramFlows),
		dialOutside: (&net.Dialer{KeepAlive: keepaliveIdle}).DialContext,
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	endpoint := wire.NewEndpoint(gatewayMAC, addresses.Gateway, addresses.Machine)
	n.wire = wire.NewSwitch(endpoint)
	var err error
	if n.stack, err = newStack(endpoint); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	n.forward()
	if err := n.serveNames(); err != nil {
		n.stack.Close()
		return nil, fmt.Errorf("network: %w", err)
	}
	return n, nil
}

// Run follows the cluster's Services and serves those of type LoadBalancer
// on the machine until ctx ends. Then the load balancer's sockets are closed;
// the rest goes on until Close.
func (n *Network) Run(ctx context.Context, client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(withoutManagedFields))
	synced, err := n.table.Watch(factory)
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	if n.cfg.LoadBalancerCIDR.IsValid() {
		lb, err := n.newBalancer(client, factory)
		if err != nil {
			return fmt.Errorf("network: %w", err)
		}
		group.Go(func() error { return lb.Run(ctx, synced...) })
	}
	factory.Start(ctx.Done())
	group.Go(func() error {
		<-ctx.Done()
		factory.Shutdown()
		return nil
	})
	return group.Wait()
}

// withoutManagedFields drops the longest part of an object, which nobody reads
// here.
func withoutManagedFields(obj any) (any, error) {
	if accessor, err := meta.Accessor(obj); err == nil {
		accessor.SetManagedFields(nil)
	}
	return obj, nil
}

func (n *Network) newBalancer(client kubernetes.Interface, factory informers.SharedInformerFactory) (*balancer.Balancer, error) {
	return balancer.New(balancer.Config{
		Client: client, Services: factory.Core().V1().Services(), Prefix: n.cfg.LoadBalancerCIDR, Logger: n.log,
		Table: n.table,
		Dial: func(ctx context.Context, protocol corev1.Protocol, port *service.Port, client netip.Addr) (net.Conn, func() bool, error) {
			return n.balanced(protocol, port).dial(ctx, client)
		},
	})
}

// Stats returns what the network carries at the moment.
func (n *Network) Stats() Stats {
	return Stats{Streams: n.streams.InUse(), DatagramFlows: n.datagrams.InUse(), Wire: n.wire.Stats()}
}

// Stats are counters of a Network.
type Stats struct {
	Streams, DatagramFlows int
	Wire                   wire.Stats
}

// Close ends all connections and waits for what the network runs.
func (n *Network) Close() {
	n.mu.Lock()
	n.cancel()
	n.mu.Unlock()
	n.names.Close()
	n.running.Wait()
	n.stack.Close()
	n.stack.Wait()
}

// enter says whether something may still start; if so, Close waits until it
// calls n.running.Done.
func (n *Network) enter() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() != nil {
		return false
	}
	n.running.Add(1)
	return true
}
