package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/m3o/platform/internal/kube/addresses"
	"github.com/m3o/platform/internal/kube/cri"
	"github.com/m3o/platform/internal/kube/network/bridge"
)

const (
	runtimeSocket = "/run/m3o/cri.sock"
	dialLimit     = 10 * time.Second
	// stopGrace is how long pods may take to end when the node is told to.
	stopGrace = 8 * time.Second
)

// Main is the whole life of the node in dir, in the process that Command
// describes, which was handed the trees. It returns when ctx ends, after its pods
// ended in their grace, or when a part fails.
func Main(ctx context.Context, dir string, trees []string, logger *slog.Logger) error {
	config, sockets, err := enter(dir, trees)
	if err != nil {
		return err
	}
	defer sockets.Close()
	// Names of unix sockets are short and the cluster's directory may be deep.
	config.SocketDir = fmt.Sprintf("/proc/self/fd/%d", sockets.Fd())
	return serve(ctx, config, logger.With("node", config.Name))
}

// enter makes this process' surroundings a machine of its own, and opens the
// folder of the cluster's sockets.
func enter(dir string, trees []string) (Config, *os.File, error) {
	config, err := enterMounts(dir, trees)
	if err != nil {
		return Config{}, nil, err
	}
	if err := unix.Sethostname([]byte(config.Name)); err != nil {
		return Config{}, nil, fmt.Errorf("set the node's host name: %w", err)
	}
	sockets, err := os.Open(config.SocketDir)
	if err != nil {
		return Config{}, nil, fmt.Errorf("open the cluster's sockets: %w", err)
	}
	return config, sockets, nil
}

// enterMounts makes the node's mounts. What it was handed as trees it reaches only
// then; what it reaches by itself has to stay visible.
func enterMounts(dir string, trees []string) (config Config, err error) {
	resolver := resolverFile()
	if len(trees) == 0 {
		if config, err = load(dir); err != nil {
			return Config{}, err
		}
	}
	if err := isolateMounts(config.ClusterDir); err != nil {
		return Config{}, err
	}
	if err := attachTrees(trees); err != nil {
		return Config{}, err
	}
	if config, err = load(dir); err != nil {
		return Config{}, err
	}
	if err := mountOwn(config); err != nil {
		return Config{}, err
	}
	return config, useResolver(config, resolver)
}

// serve runs the bridge, the runtime and the kubelet. When ctx ends, the runtime
// first stops listening to the kubelet and then ends the pods.
func serve(ctx context.Context, config Config, logger *slog.Logger) error {
	uplink, err := net.Dial("unix", filepath.Join(config.SocketDir, UplinkSocket))
	if err != nil {
		return fmt.Errorf("join the cluster's network: %w", err)
	}
	network, err := bridge.New(bridge.Config{
		Index: config.Index, Uplink: uplink, LastReserved: filepath.Join(config.Dir, "last-address"), Logger: logger,
	})
	if err != nil {
		return err
	}
	runtime, listener, err := startRuntime(config, network, logger)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return runtime.Serve(ctx, listener) })
	group.Go(func() error { return runKubelet(ctx, config, "unix://"+runtimeSocket) })
	group.Go(func() error { return watchBridge(ctx, network) })
	return group.Wait()
}

// watchBridge ends the node when its uplink does: the cluster's network is gone
// then, and a new node process joins the new one.
func watchBridge(ctx context.Context, network *bridge.Bridge) error {
	ended := make(chan error, 1)
	go func() { ended <- network.Wait() }()
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return fmt.Errorf("the cluster's network is gone: %w", errors.Join(err, errUplink))
	}
}

var errUplink = errors.New("the uplink ended")

func startRuntime(config Config, network *bridge.Bridge, logger *slog.Logger) (*cri.Server, net.Listener, error) {
	runtime, err := cri.New(cri.Config{
		Root: config.runtimeDir(), Network: network, Registry: registryTransport(config.InsecureRegistries),
		StreamingAddress: "127.0.0.1:0", StopGrace: stopGrace, Logger: logger,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("start the container runtime: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(runtimeSocket), 0o700); err != nil {
		return nil, nil, fmt.Errorf("start the container runtime: %w", err)
	}
	listener, err := net.Listen("unix", runtimeSocket)
	if err != nil {
		return nil, nil, fmt.Errorf("start the container runtime: %w", err)
	}
	return runtime, listener, nil
}

// registryTransport reaches registries from the node. A registry on the loopback
// of the machine is not on the node's own, so it is dialled at the address that
// the machine has in the cluster's network. Insecure ones are asked in plain HTTP.
func registryTransport(insecure []string) http.RoundTripper {
	dialer := &net.Dialer{Timeout: dialLimit}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, kind, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if ip := net.ParseIP(host); host == "localhost" || (ip != nil && ip.IsLoopback()) {
			address = net.JoinHostPort(addresses.Machine.String(), port)
		}
		return dialer.DialContext(ctx, kind, address)
	}
	return plainly{insecure, transport}
}

// plainly asks some hosts in plain HTTP, whatever they were to be asked in.
type plainly struct {
	hosts []string
	next  http.RoundTripper
}

func (p plainly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" && slices.Contains(p.hosts, r.URL.Host) {
		r = r.Clone(r.Context())
		r.URL.Scheme = "http"
	}
	return p.next.RoundTrip(r)
}
