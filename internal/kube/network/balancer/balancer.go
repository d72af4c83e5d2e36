// Package balancer gives Services of type LoadBalancer an address of their own
// on the machine and listens there, as a cloud's load balancer would. It
// allocates addresses, holds the sockets and writes the Services' status;
// which endpoint a connection goes to, and how it is reached, it asks others.
// Only internal/kube/network may import it.
package balancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"github.com/m3o/platform/internal/kube/network/flow"
	"github.com/m3o/platform/internal/kube/network/service"
)

const (
	maxStreams       = 8192
	maxDatagramFlows = 4096

	// retryAfter is when a port that could not be had is tried again.
	retryAfter = 5 * time.Second
)

// Dial connects to an endpoint of the port for a client. valid, which may be
// nil, says whether the endpoint should still be talked to.
type Dial func(ctx context.Context, protocol corev1.Protocol, port *service.Port, client netip.Addr) (conn net.Conn, valid func() bool, err error)

// Config says what a Balancer needs.
type Config struct {
	Client   kubernetes.Interface
	Services coreinformers.ServiceInformer
	// Prefix is where addresses are taken from; see ValidatePrefix.
	Prefix netip.Prefix
	Table  *service.Table
	Dial   Dial
	Logger *slog.Logger
}

// Balancer serves the cluster's Services of type LoadBalancer.
type Balancer struct {
	Config
	synced    cache.InformerSynced
	queue     workqueue.TypedRateLimitingInterface[types.NamespacedName]
	events    record.EventRecorder
	addresses *allocator
	served    map[types.NamespacedName]*frontend
	// complaints are what the Services' owners were told last.
	complaints map[types.NamespacedName]string

	streams   *flow.Limit
	datagrams *flow.Limit
	running   sync.WaitGroup
	ctx       context.Context // of Run; ends all connections
}

// New makes a balancer that follows the Services of the informer, which is not
// started yet.
func New(cfg Config) (*Balancer, error) {
	if err := ValidatePrefix(cfg.Prefix); err != nil {
		return nil, err
	}
	b := &Balancer{
		Config: cfg, addresses: newAllocator(cfg.Prefix), served: map[types.NamespacedName]*frontend{},
		complaints: map[types.NamespacedName]string{},
		queue:      workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[types.NamespacedName]()),
		streams:    flow.NewLimit(maxStreams), datagrams: flow.NewLimit(maxDatagramFlows),
	}
	handler, err := cfg.Services.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    b.enqueue,
		UpdateFunc: func(_, obj any) { b.enqueue(obj) },
		DeleteFunc: b.enqueue,
	})
	if err != nil {
		return nil, fmt.Errorf("follow services for load balancers: %w", err)
	}
	b.synced = handler.HasSynced
	return b, nil
}

func (b *Balancer) enqueue(obj any) {
	key, err := cache.DeletionHandlingObjectToName(obj)
	if err == nil {
		b.queue.Add(types.NamespacedName{Namespace: key.Namespace, Name: key.Name})
	}
}

// Run serves until ctx ends, once all of synced is true. Then every socket is
// closed; the Services keep their addresses for the next Run.
func (b *Balancer) Run(ctx context.Context, synced ...cache.InformerSynced) error {
	defer b.queue.ShutDown()
	b.ctx = ctx
	if !cache.WaitForCacheSync(ctx.Done(), append(synced, b.synced)...) {
		return nil
	}
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: b.Client.CoreV1().Events("")})
	b.events = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "m3o-load-balancer"})
	if err := b.adopt(); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, b.queue.ShutDown)()
	for b.next(ctx) {
	}
	for name := range b.served {
		b.stop(name)
	}
	b.running.Wait()
	return nil
}

// adopt reserves the addresses that Services have from before, so that
// nobody else gets them.
func (b *Balancer) adopt() error {
	services, err := b.Services.Lister().List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	for _, svc := range services {
		if addr, ok := current(svc); ok && ours(svc) {
			_ = b.addresses.reserve(nameOf(svc), addr)
		}
	}
	return nil
}

func (b *Balancer) next(ctx context.Context) bool {
	name, quit := b.queue.Get()
	if quit {
		return false
	}
	defer b.queue.Done(name)
	err := b.reconcile(ctx, name)
	switch {
	case err == nil:
		b.queue.Forget(name)
	case ctx.Err() != nil:
	case errors.Is(err, errTryLater):
		b.queue.Forget(name)
		b.queue.AddAfter(name, retryAfter)
	default:
		if !apierrors.IsConflict(err) {
			b.Logger.Warn("a load balancer is not up to date", "service", name, "error", err)
		}
		b.queue.AddRateLimited(name)
	}
	return true
}

// errTryLater marks what only somebody else can change.
var errTryLater = errors.New("to be tried again later")

func nameOf(svc *corev1.Service) types.NamespacedName {
	return types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}
}

// ours says whether a Service wants a load balancer from us.
func ours(svc *corev1.Service) bool {
	return svc.Spec.Type == corev1.ServiceTypeLoadBalancer && svc.Spec.LoadBalancerClass == nil && svc.DeletionTimestamp == nil
}

// current is the address that the status of a Service says.
func current(svc *corev1.Service) (netip.Addr, bool) {
	if len(svc.Status.LoadBalancer.Ingress) == 0 {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(svc.Status.LoadBalancer.Ingress[0].IP)
	return addr, err == nil
}
