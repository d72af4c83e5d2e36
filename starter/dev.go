//go:build embedded

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/deploy/workers"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/dev"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/store"
	"github.com/m3o/platform/internal/telemetry"
)

// embeddedCommands are the commands that need the embedded parts.
func embeddedCommands() []*cobra.Command { return []*cobra.Command{devCommand(), sandboxCommand()} }

type devFlags struct {
	offset     int
	scale      float64
	poll       time.Duration
	patience   time.Duration
	split      bool
	kubeconfig string
	registry   string
	unjailed   bool
	contexts   []string
	openPorts  []int
	programs   string
	logLevel   string
	inside     string
	apply, run string
	alerting   string
}

func devCommand() *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{Use: "dev", Short: "Run the whole platform on this machine", GroupID: groupServe, Args: takes(0, 0),
		Long: "Run the whole platform on this machine, on loopback ports alone: Temporal, registry, sandbox clouds with real Kubernetes clusters,\n" +
			"API and workers. No Docker, no accounts, no root. All state is in the data directory; started again, it goes on with what is there.\n\n" +
			"Flags say all that there is to say: no settings come from the environment but M3O_DATA_DIR and where traces\n" +
			"go (M3O_OTLP_ENDPOINT, and M3O_REGION_OTLP_ENDPOINT for gateways). The Go toolchain in PATH compiles\n" +
			"services, and its own settings (go env) say where modules come from.\n\n" +
			"Where user namespaces are refused, --kubeconfig takes clusters that you bring, one context per region (of\n" +
			"digitalocean: the other clouds' clusters ask their cloud whose a token is), and --unjailed compiles without\n" +
			"them. Their nodes pull images from this machine over plain HTTP, which must be allowed to them, at --registry-address.",
		Example: "  m3o dev\n  m3o dev --kubeconfig kind.yaml --registry-address 172.18.0.1 --unjailed",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDev(cmd, f) }}
	flags := cmd.Flags()
	flags.IntVar(&f.offset, "port-offset", 0, "move all ports by this much")
	flags.Float64Var(&f.scale, "time-scale", 0.02, "how much of their time the sandbox clouds take (1: as long as the real ones)")
	flags.DurationVar(&f.poll, "poll", 500*time.Millisecond, "how often the clouds are asked about what is on its way")
	flags.DurationVar(&f.patience, "cluster-limit", 10*time.Minute, "how long the clouds may take for a cluster")
	flags.BoolVar(&f.split, "split", false, "run each process by itself, as production does")
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "run regions on the contexts of this kubeconfig (kind, k3d, …) instead of built-in clusters")
	flags.StringVar(&f.registry, "registry-address", "", "with --kubeconfig: HOST[:PORT] under which cluster nodes reach this machine's registry (that network can pull images)")
	flags.BoolVar(&f.unjailed, "unjailed", false, "compile services without a jail where none can be made: for source that you trust")
	flags.StringSliceVar(&f.contexts, "context", nil, "use only these contexts of --kubeconfig (required if a cluster is on another machine)")
	flags.IntSliceVar(&f.openPorts, "open-port", nil, "a port of this machine's loopback that services may reach, as host.m3o.internal; the registry's is open, all others are closed")
	flags.StringVar(&f.programs, "programs", "", "folder with m3o-kube and images/ (default: where m3o is)")
	flags.StringVar(&f.inside, "inside-registries", "", "comma-separated private registries that m3o run --image may pull from: HOST[:PORT] or a network such as 10.0.0.0/8")
	flags.StringVar(&f.alerting, "alerting", "", "when all is ready, apply this policy file, and make its people reachable whom the sandbox knows: ana, bob, carol")
	flags.StringVar(&f.apply, "apply", "", "and then apply this platform file")
	flags.StringVar(&f.run, "run", "", "and then run the service in this folder")
	flags.StringVar(&f.logLevel, "log-level", "warn", "what is logged: debug, info, warn, error")
	return cmd
}

func runDev(cmd *cobra.Command, f devFlags) error {
	if f.scale <= 0 || f.scale > 1 {
		return misuse("--time-scale: %g is not above 0 and at most 1", f.scale)
	}
	if f.poll < 50*time.Millisecond {
		return misuse("--poll: %s is less than 50ms", f.poll)
	}
	if _, err := logLevel("--log-level", f.logLevel); err != nil {
		return err
	}
	if len(f.contexts) > 0 && f.kubeconfig == "" {
		return misuse("--context names contexts of a --kubeconfig, and there is none")
	}
	ports, err := dev.NewPorts(f.offset)
	if err != nil {
		return misuse("%v", err)
	}
	if err := ports.CheckOpen(f.openPorts); err != nil {
		return misuse("%v", err)
	}
	if len(f.openPorts) > 0 && f.kubeconfig != "" {
		return misuse("--open-port is for built-in clusters; pods of a --kubeconfig reach what their own network lets them")
	}
	reach, err := f.reach(cmd.Context(), ports)
	if err != nil {
		return err
	}
	programs, err := programFolder(f.programs)
	if err != nil {
		return err
	}
	tools, err := toolchain(cmd.Context())
	if err != nil {
		return err
	}
	outside := config.Load(config.Cloud)
	signals, err := openSignals(cmd.Context(), config.Settings{LogLevel: f.logLevel, Endpoint: outside.Endpoint}, "dev")
	if err != nil {
		return err
	}
	defer closeSignals(cmd.Context(), signals)
	dir, err := ownDataDir(cmd)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	return dev.Run(cmd.Context(), dev.Config{DataDir: dir, Ports: ports, TimeScale: f.scale, Poll: f.poll, Patience: f.patience, Split: f.split,
		Programs: programs, Go: tools, Kubeconfig: f.kubeconfig, Contexts: f.contexts, OpenPorts: f.openPorts, Reach: reach, Unjailed: f.unjailed, Inside: f.inside, LogLevel: f.logLevel,
		Traces: dev.Traces{Platform: outside.Endpoint, Regions: outside.RegionTrace},
		Admit:  admitOrSay(say), MakeKeys: makeKeys, Logger: signals.Logger, Then: func(ctx context.Context) error { return firstSteps(ctx, cmd, f) }, Processes: platformProcesses(signals),
		Say: say})
}

// admitOrSay admits the administrator, or says that others operate the platform.
func admitOrSay(say func(string, ...any)) func(context.Context, *store.Store, string) error {
	return func(ctx context.Context, db *store.Store, file string) error {
		err := admit(ctx, db, file)
		if fault.Is(err, fault.Conflict) {
			say(notAdmitted, file, fault.Message(err))
			return nil
		}
		return err
	}
}

// reach is how nodes of clusters that the user brings reach the registry.
func (f devFlags) reach(ctx context.Context, ports dev.Ports) (dev.Reach, error) {
	if f.registry == "" {
		return dev.Reach{}, nil
	}
	if f.kubeconfig == "" {
		return dev.Reach{}, misuse("--registry-address is for the clusters of a --kubeconfig; built-in ones find the registry by themselves")
	}
	reach, err := dev.NewReach(ctx, f.registry, ports.Registry)
	if err != nil {
		return dev.Reach{}, misuse("--registry-address: %v", err)
	}
	return reach, nil
}

// firstStep is a command that a newcomer would run next.
type firstStep struct {
	project string
	args    []string
}

// firstSteps does what a newcomer would do next, by the same commands, and ends with what there is to call.
func firstSteps(ctx context.Context, cmd *cobra.Command, f devFlags) error {
	dir := locate(cmd).dir // this platform and no other, whatever the environment says
	ports, err := dev.NewPorts(f.offset)
	if err != nil {
		return err
	}
	at := []string{"--data-dir", dir, "--api", dev.URL(ports.API), "--token-file", dev.TokenFile(dir), "--project"}
	var steps []firstStep
	if f.alerting != "" {
		project, err := prepareRota(ctx, cmd.OutOrStdout(), f.alerting, dir, ports)
		if err != nil {
			return err
		}
		steps = append(steps, firstStep{project, []string{"policy", "apply", "-f", f.alerting, "--yes"}})
	}
	if f.apply != "" {
		steps = append(steps, firstStep{account.DefaultProject, []string{"apply", "-f", f.apply, "--yes"}})
	}
	if f.run != "" {
		steps = append(steps, firstStep{account.DefaultProject, []string{"run", f.run}})
	}
	for _, step := range steps {
		fmt.Fprintf(cmd.OutOrStdout(), "\n$ m3o %s\n", strings.Join(step.args, " "))
		root := rootCommand()
		root.SetArgs(slices.Concat(step.args, at, []string{step.project}))
		root.SetOut(cmd.OutOrStdout())
		root.SetErr(cmd.ErrOrStderr())
		if err := root.ExecuteContext(ctx); err != nil {
			return fmt.Errorf("m3o %s: %w", strings.Join(step.args, " "), err)
		}
	}
	if len(steps) > 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "\nTemporal UI  %s\nAPI          %s\nInbox        %s/inbox: what people are sent, to answer there\nCtrl-C stops everything; started again, it goes on with what is there.\n",
			dev.URL(ports.UI), dev.URL(ports.API), dev.URL(ports.Sandbox))
	}
	return nil
}

// platformProcesses are the processes that run on this machine: the API, and a worker for each row of the table of queues. A
// cloud without a sandbox has none.
func platformProcesses(signals *telemetry.Signals) []dev.Process {
	processes := []dev.Process{{Name: "api", Args: []string{"api"}, Parts: []config.Part{config.API},
		Run: func(ctx context.Context, s config.Settings) error { return runAPI(ctx, s, signals) }}}
	for _, r := range queues {
		if r.cloud && r.sandbox == nil {
			continue
		}
		rows := []row{r}
		processes = append(processes, dev.Process{Name: "worker-" + r.queue, Args: []string{"worker", "--queues", r.queue}, Parts: partsOf(rows), Cloud: r.sandbox, Channels: r.channels,
			Run: func(ctx context.Context, s config.Settings) error { return runWorker(ctx, s, rows, signals) }})
	}
	return processes
}

// programFolder is where m3o-kube and the regions' programs are: beside this program, unless told otherwise.
func programFolder(given string) (string, error) {
	if given != "" {
		return filepath.Abs(given)
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find our own program: %w", err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", fmt.Errorf("find our own program: %w", err)
	}
	return filepath.Dir(self), nil
}

// toolchain is the Go in PATH, which compiles services.
func toolchain(ctx context.Context) (dev.Toolchain, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "-json", "GOROOT", "GOPROXY", "GOSUMDB", "GONOSUMDB").Output()
	if err != nil {
		return dev.Toolchain{}, fmt.Errorf("find the Go toolchain that compiles services (is `go` in PATH?): %w", err)
	}
	var tools dev.Toolchain
	if err := json.Unmarshal(out, &tools); err != nil {
		return dev.Toolchain{}, fmt.Errorf("read `go env`: %w", err)
	}
	return tools, nil
}

func sandboxCommand() *cobra.Command {
	c := sandbox.Config{}
	policed := false
	cmd := &cobra.Command{Use: "sandbox", Short: "Run the sandbox clouds", GroupID: groupServe, Args: takes(0, 0),
		Long: "Run the sandbox clouds: a stateful server per provider that speaks the provider's own wire protocol, on real Kubernetes clusters.\n" +
			"Control routes are under /_sandbox/ on the first port.\n\nSettings come from flags and from the environment:\n" + config.Describe(config.Everything),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.Dir == "" {
				return misuse("--dir must be set: the folder that holds all state")
			}
			signals, err := openSignals(cmd.Context(), config.Load(), "sandbox")
			if err != nil {
				return err
			}
			defer closeSignals(cmd.Context(), signals)
			c.Logger = signals.Logger
			if policed {
				c.Policies = workerPolicies()
			}
			c.Ready = func(e sandbox.Endpoints) {
				signals.Logger.Info("ready", "control", e.Control, "providers", e.Providers)
			}
			return sandbox.Run(cmd.Context(), c)
		}}
	flags := cmd.Flags()
	flags.StringVar(&c.Dir, "dir", "", "folder that holds all state")
	flags.IntVar(&c.BasePort, "port", 9000, "port of the control routes; providers follow")
	flags.Float64Var(&c.TimeScale, "time-scale", 1, "what simulated durations are multiplied by")
	flags.StringVar(&c.KubeBinary, "kube", "", "the program m3o-kube")
	flags.StringVar(&c.Kubeconfig, "kubeconfig", "", "take the contexts of this file for clusters instead")
	flags.BoolVar(&c.NewAccount, "new-account", false, "begin with an account that nobody has used yet: no region of it has its default VPC")
	flags.StringSliceVar(&c.Contexts, "context", nil, "use only these contexts of --kubeconfig (required if a cluster is on another machine)")
	flags.IntSliceVar(&c.OpenPorts, "open-ports", nil, "ports of this machine's loopback that nodes and pods reach, such as their registry's; all others are closed")
	flags.StringVar(&c.Hooks, "hooks", "", "base URL of the platform's API on this machine, which Twilio and Slack call when people answer")
	cmd.AddCommand(sandboxEnvCommand())
	flags.BoolVar(&policed, "worker-policies", false, "allow the accounts' credentials what the policies of deploy/workers allow, and nothing else")
	flags.DurationVar(&c.LeaseTimeout, "lease", 10*time.Minute, "stop when no owner was heard of for so long; negative: never")
	return cmd
}

// workerPolicies are the policy documents of the clouds that the sandbox has.
func workerPolicies() map[string][]byte {
	policies := map[string][]byte{}
	for name := range sandbox.Ports(0) {
		if document := workerpolicy.Of(name); document != nil {
			policies[name] = document
		}
	}
	return policies
}
