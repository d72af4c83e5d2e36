//go:build embedded

package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/dev/engine"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/machine"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/secret"
	"github.com/m3o/platform/internal/store"
)

// Config says what to run and where.
type Config struct {
	DataDir    string
	Ports      Ports
	TimeScale  float64
	Programs   string // folder of m3o-kube, and in images/ of the programs that regions run
	Go         Toolchain
	Kubeconfig string   // run on these clusters instead of our own
	Contexts   []string // the contexts of it that may be used
	Reach      Reach    // how their nodes reach the registry
	Unjailed   bool     // compile services without a jail where none can be made
	OpenPorts  []int    // ports of this machine that pods reach, besides the registry's; see Ports.CheckOpen
	Inside     string   // registries inside the network that images may come from, beside this machine's
	Poll       time.Duration
	Patience   time.Duration // how long the sandbox may take for a cluster
	LogLevel   string
	Admit      func(ctx context.Context, db *store.Store, tokenFile string) error
	MakeKeys   func(config.Settings) error
	Traces     Traces
	Processes  []Process
	Split      bool
	Say        func(format string, args ...any) // progress, for people
	Then       func(context.Context) error      // done once, when all is ready; its failure stops nothing
	Logger     *slog.Logger
}

// Traces are the OTLP/HTTP URLs that traces go to; empty: nowhere.
type Traces struct {
	Platform string // from the processes on this machine
	Regions  string // from the gateways of regions, as it is reached from there
}

// Toolchain is the machine's own Go: where it is, and where it is told to get modules from.
type Toolchain struct {
	Root    string `json:"GOROOT"`
	Proxy   string `json:"GOPROXY"`
	SumDB   string `json:"GOSUMDB"`
	NoSumDB string `json:"GONOSUMDB"`
}

// Run brings everything up, says where it is, and keeps it up until ctx ends; then it stops all of it, the sandbox last.
func Run(ctx context.Context, c Config) error {
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return err
	}
	c.DataDir = dir
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.Ports.free(ctx, filepath.Join(dir, "sandbox"), c.clouds()); err != nil {
		return err
	}
	if err := c.checkClusters(ctx); err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "log"), 0o700), writePID(dir, "dev", os.Getpid())); err != nil {
		return fmt.Errorf("prepare the data directory: %w", err)
	}
	c.warn()
	r := &run{Config: c, settings: c.locate()}
	return r.all(ctx)
}

// checkClusters says whether regions can have clusters here at all.
func (c Config) checkClusters(ctx context.Context) error {
	if c.Kubeconfig != "" {
		return sandbox.CheckContexts(c.Kubeconfig, c.Contexts)
	}
	return c.checkMachine(ctx)
}

// clouds are the sandbox's ports.
func (c Config) clouds() []machine.Port {
	var ports []machine.Port
	for what, number := range sandbox.Ports(c.Ports.Sandbox) {
		ports = append(ports, machine.Port{What: "sandbox, " + what, Number: number})
	}
	slices.SortFunc(ports, func(a, b machine.Port) int { return a.Number - b.Number })
	return ports
}

type run struct {
	Config
	settings config.Settings
	sandbox  *sandboxProcess
	images   chan struct{}     // closed when the regions' images are in the registry
	packed   map[string]string // their references, once it is
}

// locate is where everything is in the data directory.
func (c Config) locate() config.Settings {
	at := func(name string) string { return filepath.Join(c.DataDir, name) }
	database := url.URL{Scheme: "sqlite", Path: at("store.db")}
	s := config.Settings{Store: database.String(), Temporal: Address(c.Ports.Temporal), TemporalUI: URL(c.Ports.UI),
		PayloadKeys: at("payload.keys"), TicketKey: at("ticket.key"), TicketKeys: at("ticket.public.json"), LinkKey: at("link.key"), LinkKeys: at("link.public.json"), SlackSecretFile: sandbox.Secret(at("sandbox"), "slack.secret"),
		Blobs: at("blobs"), Listen: Address(c.Ports.API), PublicURL: URL(c.Ports.API),
		WorkerBuild: "dev", LogLevel: c.LogLevel, Endpoint: c.Traces.Platform, RegionTrace: c.Traces.Regions,
		Registry: Address(c.Ports.Registry), RegistrySecretFile: at("registry.secret"), BuildDir: at("builds"),
		GoRoot: c.Go.Root, Modules: c.Go.Proxy, SumDB: c.Go.SumDB, NoSumDB: c.Go.NoSumDB, Poll: c.Poll.String(), Patience: c.Patience.String(),
		InsideRegistries: "127.0.0.0/8,::1/128," + c.Inside} // it is the developer's own machine
	if c.Reach.Name != "" {
		s.Registry, s.RegistryHTTP = c.Reach.Name, "yes"
	}
	if c.Unjailed {
		s.Unjailed = "yes"
	}
	return s
}

// warn says what whoever chose it should know.
func (c Config) warn() {
	if port := c.closedTraces(); port != 0 {
		c.Say("Note: M3O_REGION_OTLP_ENDPOINT names port %d of this machine, which gateways do not reach: start with --open-port %d.", port, port)
	}
	if c.Unjailed {
		c.Say("Warning: --unjailed: where this machine allows no jail, services are compiled without one: the compiler runs as you do, on source\n" +
			"that can make it read your files and use what the machine has. Run only services whose source you trust.")
	}
	if c.Kubeconfig != "" && c.Reach.Name == "" {
		c.Say("Note: images are in the registry at %s, where only nodes on this machine's loopback find it. Nodes of kind and k3d are told\n"+
			"where it is with --registry-address, an address of this machine that they reach.", Address(c.Ports.Registry))
	}
}

func (r *run) all(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	r.images = make(chan struct{})
	if err := r.serveRegistry(ctx, group); err != nil {
		return err
	}
	defer func() {
		if r.sandbox != nil {
			r.sandbox.stop()
		}
	}()
	if err := r.prepare(ctx); err != nil {
		return err
	}
	e, err := engine.Start(ctx, engine.Config{Dir: filepath.Join(r.DataDir, "temporal"), Port: r.Ports.Temporal, Namespace: control.Namespace,
		Retention: control.Retention, Logger: r.Logger})
	if err != nil {
		return err
	}
	r.Say("Temporal    %s  (UI %s)", e.Address, URL(r.Ports.UI))
	group.Go(func() error {
		ui := engine.UI{Port: r.Ports.UI, Engine: e.Address, Codec: URL(r.Ports.API) + "/v1/codec", Default: control.Namespace}
		return ui.Serve(ctx)
	})
	r.processes(ctx, group)
	group.Go(func() error { return r.announce(ctx) })
	err = group.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	r.Say("Stopping")
	return errors.Join(err, e.Stop())
}

// prepare makes the store, the secrets and the sandbox, at the same time: neither needs the other.
func (r *run) prepare(ctx context.Context) error {
	together, ctx := errgroup.WithContext(ctx)
	together.Go(func() error { return r.makeStore(ctx) })
	together.Go(func() error { return r.findSandbox(ctx) })
	together.Go(func() error { return r.MakeKeys(r.settings) })
	return together.Wait()
}

func (r *run) makeStore(ctx context.Context) error {
	db, err := store.Open(ctx, r.settings.Store)
	if err != nil {
		return err
	}
	return errors.Join(db.Migrate(ctx), r.Admit(ctx, db, TokenFile(r.DataDir)), db.Close())
}

func (r *run) sandboxArgs() []string {
	args := []string{"sandbox", "--dir", filepath.Join(r.DataDir, "sandbox"), "--port", strconv.Itoa(r.Ports.Sandbox),
		"--time-scale", strconv.FormatFloat(r.TimeScale, 'f', -1, 64), "--worker-policies", "--hooks", URL(r.Ports.API)}
	if r.Kubeconfig != "" {
		return append(args, "--kubeconfig", r.Kubeconfig, "--context", strings.Join(r.Contexts, ","))
	}
	return append(args, "--kube", filepath.Join(r.Programs, "m3o-kube"), "--open-ports", r.Ports.open(r.OpenPorts))
}

func (r *run) sandboxPlan() sandboxPlan {
	return sandboxPlan{control: URL(r.Ports.Sandbox), dir: filepath.Join(r.DataDir, "sandbox"), log: logPath(r.DataDir, "sandbox"), args: r.sandboxArgs(), logger: r.Logger}
}

func (r *run) findSandbox(ctx context.Context) (err error) {
	var health sandboxHealth
	r.sandbox, health, err = findOrStart(ctx, r.sandboxPlan())
	if err != nil {
		return err
	}
	if err := r.findChannels(health); err != nil {
		return err
	}
	for _, p := range r.Processes {
		if p.Cloud == nil {
			continue
		}
		url := health.Endpoints.Providers[p.Cloud.Name]
		if url == "" {
			return fault.New(fault.Failed, "the sandbox at %s has no cloud %s", URL(r.Ports.Sandbox), p.Cloud.Name)
		}
		r.settings = r.settings.With(p.Cloud.Own(NewSandboxCloud(filepath.Join(r.DataDir, "sandbox"), p.Cloud.Name, url, r.TimeScale)))
	}
	r.Say("Sandbox     %s  (process %d; what people are sent: %s/inbox)", URL(r.Ports.Sandbox), r.sandbox.pid, URL(r.Ports.Sandbox))
	return writePID(r.DataDir, "sandbox", r.sandbox.pid)
}

// findChannels has the processes that reach people reach the sandbox's inbox instead.
func (r *run) findChannels(health sandboxHealth) error {
	channels, err := NewSandboxChannels(filepath.Join(r.DataDir, "sandbox"), health.Endpoints.Providers)
	if err != nil {
		return err
	}
	channels.WebhookSecret = filepath.Join(r.DataDir, "webhook.secret")
	if _, err := secret.LoadOrCreate(channels.WebhookSecret, ""); err != nil {
		return err
	}
	for _, p := range r.Processes {
		if p.Channels != nil {
			r.settings = r.settings.With(p.Channels(channels))
		}
	}
	return nil
}

// processes runs the rows of the table: here, or each as a child of its own. Workers wait for the regions' images.
func (r *run) processes(ctx context.Context, group *errgroup.Group) {
	group.Go(func() error {
		return r.sandbox.keep(ctx)
	})
	for _, p := range r.Processes {
		group.Go(func() error {
			settings := r.settings
			if p.Args[0] == "worker" {
				select {
				case <-r.images:
				case <-ctx.Done():
					return nil
				}
				settings.ImageEtcd, settings.ImageNATS, settings.ImageGateway = r.packed["etcd"], r.packed["nats"], r.packed["m3o"]
			}
			settings = settings.Of(p.Parts...)
			if r.Split {
				return r.supervise(ctx, p, settings)
			}
			if err := p.Run(ctx, settings); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
			return nil
		})
	}
}

// announce says when the API is ready, and where it is.
func (r *run) announce(ctx context.Context) error {
	client := http.Client{Timeout: 2 * time.Second}
	for {
		if resp, err := client.Get(URL(r.Ports.API) + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(50 * time.Millisecond):
		}
	}
	r.Say("API         %s  (token in %s)", URL(r.Ports.API), TokenFile(r.DataDir))
	if err := os.WriteFile(APIFile(r.DataDir), []byte(URL(r.Ports.API)+"\n"), 0o600); err != nil {
		return fmt.Errorf("say where the API is: %w", err)
	}
	r.Say("Ready. Payloads in the Temporal UI: log in at %s/login. Ctrl-C stops everything.", URL(r.Ports.API))
	if err := r.Then(ctx); err != nil && ctx.Err() == nil {
		r.Say("%v", err)
	}
	return nil
}
