// Package sandbox is the clouds on your machine: one stateful server per provider that speaks the provider's own wire
// protocol, with real states, errors and limits, on real Kubernetes clusters; only time is compressed.
//
// It is for first runs, development and tests, listens on loopback only, and holds nothing real. It is not a mock: what was
// answered is on disk, outlives a kill at any instant, and is told in a ledger of effects. Only starter (and tests) import
// it. A provider is a package below that implements Provider, and a row in the table providers.
//
// README.md lists the control routes.
package sandbox

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/internal/hosts"
	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

const (
	defaultBasePort = 9000
	// AnyPort as Config.BasePort lets the machine choose the ports; Config.Ready tells which they are.
	AnyPort = -1

	// maxOpenPorts is how many m3o-kube takes.
	maxOpenPorts = 64

	defaultLease = 10 * time.Minute
	// stopTimeout is how long clusters may take to stop when the sandbox does.
	stopTimeout = 40 * time.Second
	// ownPeriod is how often clusters are told that they have an owner; they stop after ten minutes without a word.
	ownPeriod = 30 * time.Second
	// drainTimeout is how long requests under way may take when the sandbox stops.
	drainTimeout = 2 * time.Second
)

// Config says where and how the sandbox runs.
type Config struct {
	// Dir holds all state. One process at a time.
	Dir string
	// RunDir is where clusters' pid files are; by default the folder run beside Dir.
	RunDir string
	// BasePort is the control routes' port, 9000 by default. Providers follow.
	BasePort int
	// TimeScale is what simulated durations are multiplied by, 1 by default: 0.01 makes 100 s take 1 s.
	TimeScale float64
	// KubeBinary is m3o-kube. One of it, Kubeconfig or Clusters is needed.
	KubeBinary string
	// Kubeconfig is a file whose contexts are taken for clusters instead: those of Contexts, or all of them if it has only
	// clusters of this machine.
	Kubeconfig string
	Contexts   []string
	// OpenPorts are the ports of this machine's loopback that nodes and pods reach, the registry's among them; all others are
	// closed to them. The sandbox's own cannot be opened: whoever reaches those owns every cluster.
	OpenPorts []int
	// Clusters runs clusters, instead of the two above, for tests.
	Clusters clusters.Runner
	// LeaseTimeout is how long the sandbox runs without an owner, 10 minutes by default; negative is for ever.
	LeaseTimeout time.Duration
	// DropletLimit is how many nodes the DigitalOcean account can have, 25 by default.
	DropletLimit int
	// VCPULimit is how many vCPUs the machines of the AWS account can have in each region, 64 by default.
	VCPULimit int
	// NewAccount makes the DigitalOcean account one that nobody has used yet: without the default VPCs that one in use has.
	NewAccount bool
	// Policies are what the accounts' credentials are allowed, by provider's name and in the provider's own format. A provider
	// without one allows everything.
	Policies map[string][]byte
	// Hooks is the base URL of the platform's API, where channels call back when people answer: on the loopback. Without it, replies and
	// pressed buttons lead nowhere. The URLs that messages name themselves are called in any case, on the loopback alone.
	Hooks  string
	Logger *slog.Logger
	// Ready is called when all ports listen.
	Ready func(Endpoints)
}

// Endpoints are where the sandbox listens.
type Endpoints struct {
	// Control is the base URL of the control routes.
	Control string `json:"control"`
	// Providers are the providers' base URLs by name.
	Providers map[string]string `json:"providers"`
}

// Run runs the sandbox until ctx ends or its owner has been gone for too long; then it stops its clusters and keeps their
// state. Started again on the same directory, it goes on where it was, also after a kill.
func Run(ctx context.Context, config Config) (err error) {
	config, err = config.complete()
	if err != nil {
		return err
	}
	unlock, err := lock(config.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	state, err := world.Open(config.Dir, world.Clock{Scale: config.TimeScale})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	runner, versions, err := openRunner(ctx, config)
	if err != nil {
		return err
	}
	s := &server{config: config, world: state, runner: runner, lease: newLease(config.LeaseTimeout)}
	if err := s.listen(); err != nil {
		return err
	}
	if err := s.openProviders(versions); err != nil {
		s.closePorts()
		return err
	}
	if err := s.sayWhere(); err != nil {
		s.closePorts()
		return err
	}
	return errors.Join(s.run(ctx), s.sayNothing(), stopClusters(ctx, runner))
}

// sayNothing takes back what sayWhere wrote.
func (s *server) sayNothing() error {
	if err := os.Remove(endpointsFile(s.config.Dir)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sayWhere writes down where the sandbox listens, for who knows its directory.
func (s *server) sayWhere() error {
	data, err := json.Marshal(s.endpoints)
	if err == nil {
		err = writeWhole(endpointsFile(s.config.Dir), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write down where the sandbox listens: %w", err)
	}
	return nil
}

// complete checks the configuration and fills in what it leaves out.
func (c Config) complete() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("the sandbox needs a directory")
	}
	var err error
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return c, err
	}
	if c.RunDir == "" {
		c.RunDir = filepath.Join(filepath.Dir(c.Dir), "run")
	}
	if c.BasePort == 0 {
		c.BasePort = defaultBasePort
	}
	if c.BasePort != AnyPort && (c.BasePort < 1 || c.BasePort > 65535-100) {
		return c, fmt.Errorf("base port %d is not between 1 and %d", c.BasePort, 65535-100)
	}
	if c.TimeScale == 0 {
		c.TimeScale = 1
	}
	if c.TimeScale < 0.0001 || c.TimeScale > 100 {
		return c, fmt.Errorf("time scale %g is not between 0.0001 and 100", c.TimeScale)
	}
	if c.LeaseTimeout == 0 {
		c.LeaseTimeout = defaultLease
	}
	if c.DropletLimit < 0 {
		return c, fmt.Errorf("droplet limit %d is negative", c.DropletLimit)
	}
	if c.VCPULimit < 0 {
		return c, fmt.Errorf("vCPU limit %d is negative", c.VCPULimit)
	}
	if err := errors.Join(c.checkOpen(), c.checkPolicies(), c.checkHooks()); err != nil {
		return c, err
	}
	c.OpenPorts = slices.Compact(slices.Sorted(slices.Values(c.OpenPorts)))
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return c, fmt.Errorf("make the sandbox's directory: %w", err)
	}
	return c, nil
}

// checkOpen says which ports cannot be open to pods: what is no port, and the sandbox's own.
func (c Config) checkOpen() error {
	if len(c.OpenPorts) > maxOpenPorts {
		return fmt.Errorf("open ports: %d are more than %d", len(c.OpenPorts), maxOpenPorts)
	}
	for _, port := range c.OpenPorts {
		if port < 1 || port > 65535 {
			return fmt.Errorf("open port %d is not between 1 and 65535", port)
		}
		if c.BasePort == AnyPort {
			continue // the machine chooses ours among those that are free
		}
		for what, own := range Ports(c.BasePort) {
			if port == own {
				return fmt.Errorf("open port %d is the sandbox's own (%s): whoever reaches it owns every cluster", port, what)
			}
		}
	}
	return nil
}

// checkPolicies says which policies are nobody's. What is in them is the provider's to judge.
func (c Config) checkPolicies() error {
	for name := range c.Policies {
		if CredentialsFile(c.Dir, name) == "" {
			return fmt.Errorf("policies: the sandbox has no provider %q", name)
		}
	}
	return nil
}

// server is a running sandbox.
type server struct {
	config    Config
	world     *world.World
	runner    clusters.Runner
	providers []Provider
	lease     *lease
	endpoints Endpoints
	ports     []port // of the control routes, and of the providers in the table's order
}

// port is one at which the sandbox listens, and what answers there.
type port struct {
	listener net.Listener
	server   Server
}

// listen opens all ports, so that nothing runs if one is taken, and everything knows where everything is before it is made.
func (s *server) listen() error {
	s.endpoints.Providers = map[string]string{}
	control, err := s.open("the control routes", 0)
	if err != nil {
		return err
	}
	s.endpoints.Control = "http://" + control.String()
	for _, p := range providers {
		at, err := s.open(p.name, p.offset)
		if err != nil {
			return err
		}
		s.endpoints.Providers[p.name] = cmp.Or(p.scheme, "http") + "://" + at.String()
	}
	return nil
}

func (s *server) open(what string, offset int) (net.Addr, error) {
	number := 0
	if s.config.BasePort != AnyPort {
		number = s.config.BasePort + offset
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(number)))
	if err != nil {
		s.closePorts()
		return nil, fmt.Errorf("port %d for %s of the sandbox cannot be had: %w", number, what, err)
	}
	s.ports = append(s.ports, port{listener: listener})
	return listener.Addr(), nil
}

// closePorts closes what was opened and not yet served.
func (s *server) closePorts() {
	for _, p := range s.ports {
		_ = p.listener.Close()
	}
}

// openProviders makes the providers, and says what answers at which port.
func (s *server) openProviders(versions []string) error {
	for i, p := range providers {
		provider, err := p.open(environment{config: s.config, world: s.world, runner: s.runner, versions: versions,
			url: s.endpoints.Providers[p.name], control: s.endpoints.Control,
			credentials: CredentialsFile(s.config.Dir, p.name), policy: s.config.Policies[p.name]})
		if err != nil {
			return fmt.Errorf("open %s: %w", p.name, err)
		}
		s.providers = append(s.providers, provider)
		if err := s.answer(&s.ports[i+1], p, provider); err != nil {
			return err
		}
	}
	control, err := s.web(s.control())
	s.ports[0].server = control
	return err
}

// answer has a provider answer at a port.
func (s *server) answer(at *port, p row, provider Provider) (err error) {
	var secured *tls.Config
	if p.scheme != "" {
		if secured, err = s.secured(); err != nil {
			return err
		}
	}
	switch provider := provider.(type) {
	case http.Handler:
		if secured != nil {
			at.listener = tls.NewListener(at.listener, secured)
		}
		at.server, err = s.web(provider)
		return err
	case speaker:
		at.server = provider.Server(secured)
		return nil
	}
	return fmt.Errorf("%s answers nothing at its port", p.name)
}

// web serves HTTP, for this machine's names alone: a page that made its own name stand for this machine is not to own its clouds.
func (s *server) web(handler http.Handler) (Server, error) {
	guarded, err := hosts.Guard{}.Handler(handler)
	return &http.Server{Handler: guarded, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(s.config.Logger.Handler(), slog.LevelDebug)}, err
}

// secured is for a port with TLS: a certificate of the directory's authority. It stays with HTTP/1.1, where a lost answer is a closed
// connection.
func (s *server) secured() (*tls.Config, error) {
	authority, err := openAuthority(s.config.Dir)
	if err != nil {
		return nil, err
	}
	certificate, err := authority.server()
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}, nil
}

// serve serves a port until it is shut down.
func (p port) serve() error {
	if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// run serves until ctx ends, the lease does, or something breaks.
func (s *server) run(ctx context.Context) error {
	ctx, abandon := context.WithCancel(ctx)
	defer abandon()
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range s.ports {
		group.Go(p.serve)
		group.Go(func() error {
			<-ctx.Done()
			return shutDown(p.server)
		})
	}
	for _, p := range s.providers {
		group.Go(func() error { return p.Run(ctx) })
	}
	group.Go(func() error {
		ownClusters(ctx, s.runner, s.config.Logger)
		return nil
	})
	group.Go(func() error {
		if s.lease.expired(ctx) {
			s.config.Logger.WarnContext(ctx, "sandbox: nobody renewed the lease: stopping", "after", s.config.LeaseTimeout)
			abandon()
		}
		return nil
	})
	s.config.Logger.InfoContext(ctx, "sandbox: ready", "control", s.endpoints.Control, "providers", s.endpoints.Providers, "time_scale", s.config.TimeScale)
	if s.config.Ready != nil {
		s.config.Ready(s.endpoints)
	}
	return group.Wait()
}

// shutDown lets requests under way finish, for a moment.
func shutDown(server Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return server.Close()
	}
	return nil
}
