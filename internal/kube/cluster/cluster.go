package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/klog/v2"

	"github.com/m3o/platform/internal/kube/controlplane"
	"github.com/m3o/platform/internal/kube/node"
	"github.com/m3o/platform/internal/kube/storage"
)

// ErrRestart asks the caller to start the process again: the wanted state has
// something that is fixed while a process lives, such as the version.
var ErrRestart = errors.New("the cluster has to start again")

// DefaultOwnerTimeout is how long a cluster lives without a touch of its owner.
const DefaultOwnerTimeout = 10 * time.Minute

// Config says which cluster to run.
type Config struct {
	// Dir is the cluster's directory.
	Dir string
	// OwnerTimeout is how long the file "owner" in Dir, if there ever is one, may
	// stay untouched before the cluster stops.
	OwnerTimeout time.Duration
	Logger       *slog.Logger
}

// cluster is everything of one cluster while it runs.
type cluster struct {
	dir    *directory
	spec   Spec
	logger *slog.Logger
	report *reporter
	due    *deadline

	plane  *controlplane.ControlPlane
	client kubernetes.Interface
	fleet  *fleet
	nodes  corelisters.NodeLister
	// changed says that a Node object changed.
	changed chan struct{}
}

// Run runs a cluster until ctx ends, its owner is gone, or something fails for
// good. Nodes stop first, with their pods' grace, then the control plane. What a
// killed process left is taken up where it was.
func Run(ctx context.Context, config Config) error {
	if config.OwnerTimeout <= 0 {
		return fmt.Errorf("an owner timeout of %s is not possible", config.OwnerTimeout)
	}
	dir, err := openDirectory(config.Dir)
	if err != nil {
		return err
	}
	ctx, release := whileOwned(ctx, dir.owner(), config.OwnerTimeout, config.Logger)
	defer release()
	c := &cluster{dir: dir, logger: config.Logger, report: newReporter(dir.status()), changed: make(chan struct{}, 1)}
	c.due = &deadline{report: c.report, logger: c.logger, exit: os.Exit}
	defer c.due.met()
	defer context.AfterFunc(ctx, func() { c.due.expect("go down", stopLimit) })()
	klog.OsExit = func(code int) {
		c.logError(c.report.end(errors.New("a component of Kubernetes gave up, the log says why")))
		os.Exit(code)
	}
	err = c.run(ctx)
	if errors.Is(err, ErrRestart) && ctx.Err() != nil {
		err = nil // it was told to stop meanwhile
	}
	c.logError(c.report.end(err))
	return errors.Join(err, dir.close())
}

func (c *cluster) run(ctx context.Context) error {
	c.due.expect("come up", startLimit)
	if err := c.report.update(func(*Status) {}); err != nil {
		return err
	}
	spec, err := loadSpec(c.dir.spec())
	if err != nil {
		return err
	}
	c.spec = spec
	if err := c.startPlane(ctx); err != nil {
		return err
	}
	defer c.plane.Stop()
	return c.serve(ctx)
}

// startPlane starts the control plane, and meanwhile tries whether nodes can run
// on this machine at all.
func (c *cluster) startPlane(ctx context.Context) error {
	token, err := c.dir.adminToken()
	if err != nil {
		return err
	}
	port, err := c.wantedPort()
	if err != nil {
		return err
	}
	var nodesRefused error
	var group errgroup.Group
	group.Go(func() error {
		nodesRefused = node.Check(ctx)
		return nil
	})
	c.plane, err = controlplane.Start(ctx, controlplane.Config{
		Dir: c.dir.controlPlane(), SocketDir: c.dir.shortSocketDir(),
		Name: c.spec.Name, Version: c.spec.Version, Port: port, Token: token, Authenticator: c.spec.Authenticator,
		EgressSocket: c.dir.socket(egressSocket), Logger: c.logger,
	})
	_ = group.Wait()
	if nodesRefused != nil {
		err = nodesRefused
	}
	if err == nil {
		err = c.publish(token)
	}
	if err != nil && c.plane != nil {
		c.plane.Stop()
	}
	return err
}

func (c *cluster) wantedPort() (int, error) {
	if c.spec.APIPort != 0 {
		return c.spec.APIPort, nil
	}
	return c.dir.keptPort()
}

// publish writes what users of the cluster need, and keeps the port.
func (c *cluster) publish(token string) error {
	authority := c.plane.Authority().CertPEM
	kubeconfig, err := controlplane.Kubeconfig(c.spec.Name, c.plane.Endpoint(), authority, c.spec.Name+"-admin", &api.AuthInfo{Token: token})
	if err != nil {
		return err
	}
	for path, data := range map[string][]byte{
		c.dir.kubeconfig(): kubeconfig,
		c.dir.authority():  authority,
		c.dir.port():       fmt.Appendf(nil, "%d\n", c.plane.Port()),
	} {
		if err := replaceFile(path, data); err != nil {
			return err
		}
	}
	return nil
}

// serve runs everything that needs the API server.
func (c *cluster) serve(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.plane.Admin())
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	c.client = client
	if err := storage.EnsureClass(ctx, client); err != nil {
		return err
	}
	c.fleet, err = newFleet(c.dir, client, c.plane, controlplane.PresentedVersion(c.spec.Version), c.logger)
	if err != nil {
		return err
	}
	// Parts outlive ctx: nodes need the network and the API while they stop.
	partsCtx, stopParts := context.WithCancel(context.WithoutCancel(ctx))
	defer stopParts()
	parts, partsCtx := errgroup.WithContext(partsCtx)
	if err := c.startParts(partsCtx, parts); err != nil {
		return err
	}
	// Nodes that are retired meanwhile are the next process' to finish.
	loopCtx, leave := context.WithCancel(ctx)
	err = c.loop(loopCtx, partsCtx)
	leave()
	c.due.expect("go down", stopLimit)
	c.fleet.stop()
	stopParts()
	if failed := parts.Wait(); failed != nil {
		return failed
	}
	return err
}

func (c *cluster) startParts(ctx context.Context, parts *errgroup.Group) error {
	if err := c.startNetwork(ctx, parts); err != nil {
		return err
	}
	gate := relay{target: strings.TrimPrefix(c.plane.Endpoint(), "https://"), logger: c.logger}
	parts.Go(func() error { return gate.serve(ctx, c.dir.nodeSocket(node.APISocket)) })
	provisioner := storage.New(c.client, c.dir.volumes(), node.Give, c.logger)
	parts.Go(func() error { return provisioner.Run(ctx) })
	return c.watchNodes(ctx)
}

func (c *cluster) watchNodes(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(c.client, 0)
	c.nodes = factory.Core().V1().Nodes().Lister()
	notify := func() {
		select {
		case c.changed <- struct{}{}:
		default:
		}
	}
	_, err := factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { notify() },
		UpdateFunc: func(any, any) { notify() },
		DeleteFunc: func(any) { notify() },
	})
	if err != nil {
		return fmt.Errorf("watch the nodes: %w", err)
	}
	factory.StartWithContext(ctx)
	factory.WaitForCacheSyncWithContext(ctx)
	return nil
}

// loop follows the wanted state and the nodes until ctx ends or a part fails.
func (c *cluster) loop(ctx, parts context.Context) error {
	specs := watchSpec(ctx, c.dir.spec(), c.logger)
	if err := c.reconcile(ctx); err != nil {
		return err
	}
	c.due.met()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-parts.Done():
			return context.Cause(parts)
		case err := <-c.plane.Failed():
			return err
		case wanted := <-specs:
			if c.spec.restartNeeded(wanted) {
				return ErrRestart
			}
			c.spec = wanted
		case name := <-c.fleet.retired:
			if err := c.fleet.forget(ctx, name); err != nil {
				return err
			}
		case <-c.changed:
		}
		if err := c.reconcile(ctx); err != nil {
			return err
		}
	}
}

// reconcile makes the node processes as wanted, marks the nodes that registered,
// and writes down which are ready.
func (c *cluster) reconcile(ctx context.Context) error {
	if err := c.fleet.reconcile(ctx, c.spec); err != nil {
		return err
	}
	nodes, err := c.nodes.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	c.markNodes(ctx, nodes)
	return c.report.update(func(s *Status) {
		s.Ready = true
		s.Endpoint = c.plane.Endpoint()
		s.Version = controlplane.PresentedVersion(c.spec.Version)
		s.Nodes = nodeStatuses(c.spec.Nodes, nodes)
	})
}

func (c *cluster) markNodes(ctx context.Context, nodes []*corev1.Node) {
	wanted := map[string]NodeSpec{}
	for _, n := range c.spec.Nodes {
		wanted[n.Name] = n
	}
	for _, n := range nodes {
		if spec, ok := wanted[n.Name]; ok {
			c.logError(markNode(ctx, c.client, n, nodeLabels(c.spec, spec)))
		}
	}
}

func (c *cluster) logError(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		c.logger.Warn("cluster: will try again", "error", err)
	}
}
