package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/compatibility"
	logsapi "k8s.io/component-base/logs/api/v1"
)

const (
	managersStopLimit = 3 * time.Second
	serverStopLimit   = 5 * time.Second
)

// Config says what to run and where its state is.
type Config struct {
	// Dir holds etcd's data, keys and component configuration.
	Dir string
	// SocketDir is a short path for unix sockets, whose names are limited to 107 bytes.
	SocketDir string
	// Name is the cluster's name, Version the Kubernetes version it presents ("1.34").
	Name, Version string
	// Port is where the API server listens on 127.0.0.1; 0 picks a free one.
	Port int
	// Token authenticates as a member of system:masters.
	Token string
	// Authenticator is the URL of a webhook that is asked, by TokenReview, whose the
	// tokens are that the API server does not know; "" for none.
	Authenticator string
	// EgressSocket takes HTTP CONNECT into the cluster's network.
	EgressSocket string
	Logger       *slog.Logger
}

// ControlPlane is a running control plane.
type ControlPlane struct {
	config   Config
	pki      *pki
	registry compatibility.ComponentGlobalsRegistry
	endpoint string
	port     int
	admin    *rest.Config
	etcd     *embed.Etcd

	failed            chan error
	servers, managers sync.WaitGroup
	stopServer        context.CancelFunc
	stopManagers      context.CancelFunc
}

// Start returns when the API server is ready and the controllers run. Starting
// again on the same Dir continues with its state. The caller must Stop what it
// got, and end the process when Failed reports.
func Start(ctx context.Context, config Config) (*ControlPlane, error) {
	c := &ControlPlane{config: config, failed: make(chan error, 8)}
	if err := c.start(ctx); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func (c *ControlPlane) start(ctx context.Context) error {
	listener, err := c.prepare()
	if err != nil {
		return err
	}
	// Components stop in order, at Stop, and not when ctx ends.
	serverCtx, stopServer := context.WithCancel(context.WithoutCancel(ctx))
	managersCtx, stopManagers := context.WithCancel(serverCtx)
	c.stopServer, c.stopManagers = stopServer, stopManagers
	if err := c.startEtcd(serverCtx); err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := c.startServer(serverCtx, listener); err != nil {
		return err
	}
	if err := c.waitServer(ctx); err != nil {
		return err
	}
	if err := c.startControllers(managersCtx); err != nil {
		return err
	}
	return c.startScheduler(managersCtx)
}

// prepare makes everything that needs no running component.
func (c *ControlPlane) prepare() (net.Listener, error) {
	// The components set up logging one after another; the first one stays.
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	quietEtcdClient()
	if err := os.MkdirAll(c.config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the control plane's directory: %w", err)
	}
	registry, err := emulate(c.config.Version)
	if err != nil {
		return nil, err
	}
	c.registry = registry
	if c.pki, err = openPKI(filepath.Join(c.config.Dir, "pki")); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(c.config.Port)))
	if err != nil {
		return nil, fmt.Errorf("the API server's port: %w", err)
	}
	c.port = listener.Addr().(*net.TCPAddr).Port
	c.endpoint = "https://" + listener.Addr().String()
	pair, err := c.pki.pair("cluster")
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	c.admin = c.restConfig(pair, "m3o-kube")
	return listener, nil
}

// Endpoint is the API server's address, as "https://127.0.0.1:41234".
func (c *ControlPlane) Endpoint() string { return c.endpoint }

// Port is the port in Endpoint.
func (c *ControlPlane) Port() int { return c.port }

// Authority signs the certificates of nodes.
func (c *ControlPlane) Authority() *Authority { return c.pki.authority }

// Admin is a client configuration of a member of system:masters.
func (c *ControlPlane) Admin() *rest.Config { return rest.CopyConfig(c.admin) }

// Failed reports a component that ended by itself.
func (c *ControlPlane) Failed() <-chan error { return c.failed }

// Stop ends the components in the order in which they depend on each other.
// etcd is closed last, so that nothing written before is lost.
func (c *ControlPlane) Stop() {
	if c.stopManagers != nil {
		c.stopManagers()
		c.await(&c.managers, managersStopLimit, "controllers")
		c.stopServer()
		c.await(&c.servers, serverStopLimit, "API server")
	}
	if c.etcd != nil {
		c.etcd.Close()
	}
}

func (c *ControlPlane) await(group *sync.WaitGroup, limit time.Duration, name string) {
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(limit):
		c.config.Logger.Warn("control plane: did not stop in time", "component", name, "limit", limit)
	}
}

func (c *ControlPlane) run(ctx context.Context, group *sync.WaitGroup, name string, component func() error) {
	group.Go(func() {
		err := component()
		if err == nil {
			err = errors.New("ended by itself")
		}
		c.fail(ctx, name, err)
	})
}

func (c *ControlPlane) fail(ctx context.Context, name string, err error) {
	if ctx.Err() != nil {
		return
	}
	select {
	case c.failed <- fmt.Errorf("%s: %w", name, err):
	default:
	}
}

// write keeps a component's configuration, readable by its owner alone.
func (c *ControlPlane) write(name string, data []byte) (string, error) {
	path := filepath.Join(c.config.Dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	return path, nil
}
