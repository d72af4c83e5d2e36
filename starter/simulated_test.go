//go:build embedded

package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/dev"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// asProcess begins the arguments with which a test binary is m3o itself, as a process of its own.
const asProcess = "be"

// processes are what else a test binary can be.
var processes = map[string]func() int{}

// TestMain is also m3o: what is killed must be a process.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == asProcess {
		if other := processes[os.Args[2]]; other != nil {
			os.Exit(other())
		}
		os.Exit(run(os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// simulated is the platform with each of its processes by itself, over the sandbox clouds, whose clusters are stand-ins.
type simulated struct {
	*watchedPlatform
	runner    *clusterstest.Runner
	processes map[string]*process
	logs      string
}

// process is one of the platform's, told what `m3o dev --split` tells it and nothing else.
type process struct {
	name    string
	program string // another one than m3o
	args    []string
	env     []string
	cmd     *exec.Cmd
	log     string
}

// newSimulated brings up all processes.
func newSimulated(t *testing.T, on ground) *simulated {
	t.Helper()
	on.runner = clusterstest.New(100)
	t.Cleanup(on.runner.ServeAPIs())
	s := &simulated{watchedPlatform: newBarePlatform(t, on), runner: on.runner, processes: map[string]*process{}, logs: t.TempDir()}
	for _, p := range platformProcesses(nil) {
		if p.Args[0] == "worker" && p.Args[2] == queue.Build || p.Cloud != nil && sandbox.CredentialsFile("", p.Cloud.Name) == "" {
			continue
		}
		s.processes[p.Name] = &process{name: p.Name, args: p.Args, env: s.settings.Of(p.Parts...).Environ(), log: filepath.Join(s.logs, p.Name)}
		s.must("start "+p.Name, s.processes[p.Name].start())
	}
	t.Cleanup(s.stopAll)
	s.until("the API is ready", func() bool {
		r, err := http.Get(s.api + "/readyz")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return s
}

// start starts a process that does not run.
func (p *process) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command(os.Args[0], append([]string{asProcess}, p.args...)...)
	if p.program != "" {
		p.cmd = exec.Command(p.program, p.args...)
	}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.env, log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return p.cmd.Start()
}

// kill ends a process at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	_ = p.cmd.Wait()
}

func (s *simulated) stopAll() {
	for _, p := range s.processes {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	}
	for _, p := range s.processes {
		_ = p.cmd.Wait()
		if text, err := os.ReadFile(p.log); s.t.Failed() && err == nil && len(text) > 0 {
			s.t.Logf("end of the log of %s: %s", p.name, text[max(0, len(text)-2000):])
		}
	}
}

// cloudsHere are the providers that the table serves and the sandbox has, in the order of the platform file's.
func cloudsHere() []region.Provider {
	return slices.DeleteFunc(region.Providers(), func(p region.Provider) bool {
		return !slices.ContainsFunc(queues, func(r row) bool {
			return r.queue == queue.Cloud(p) && r.sandbox != nil && sandbox.CredentialsFile("", r.sandbox.Name) != ""
		})
	})
}

// locations is where a region of each provider is, in these tests.
var locations = map[region.Provider]string{region.AWS: "us-east-1", region.GCP: "europe-west1", region.Azure: "southeastasia", region.DigitalOcean: "lon1"}

// simulatedFile is a platform with one region on each of the clouds, or with several of each.
func simulatedFile(clouds []region.Provider, each int) string {
	var b strings.Builder
	b.WriteString("platforms:\n- name: micro\n  domain: micro.mu\n  regions:\n")
	for _, p := range clouds {
		for n := range each {
			fmt.Fprintf(&b, "  - {name: %s-%d, provider: %s, region: %s, kubernetes: {nodes: {count: 1}}, resource: [etcd, nats], unenforced: allow}\n", p, n+1, p, locations[p])
		}
	}
	return b.String()
}

// planned has a plan made, and fails the test if something stands in its way.
func (s *simulated) planned(file string, destroy bool) region.Plan {
	s.t.Helper()
	var plan region.Plan
	s.ask(http.MethodPost, s.api+"/v1/plans", map[string]any{"file": file, "destroy": destroy}, &plan)
	if plan.Blocked() {
		s.t.Fatalf("the plan is blocked: %+v", plan.Steps)
	}
	return plan
}

// apply has a plan made and carried out, and returns how many steps it has.
func (s *simulated) apply(file string, destroy bool) int {
	s.t.Helper()
	plan := s.planned(file, destroy)
	if len(plan.Steps) > 0 {
		s.ask(http.MethodPost, s.api+"/v1/plans/"+plan.ID+"/apply", nil, nil)
	}
	return len(plan.Steps)
}

// regionLine is what the API lists of a region.
type regionLine struct {
	Name     string
	Provider region.Provider
	Status   region.Status
	Message  string
	Unserved *region.Unserved
}

func (s *simulated) regions() map[string]regionLine {
	s.t.Helper()
	var list struct{ Items []regionLine }
	s.ask(http.MethodGet, s.api+"/v1/regions", nil, &list)
	found := map[string]regionLine{}
	for _, l := range list.Items {
		found[l.Name] = l
	}
	return found
}

// settle waits until every region is as wanted, and fails the test with what they are instead.
func (s *simulated) settle(limit time.Duration, so func(regionLine) bool) map[string]regionLine {
	s.t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
		found := s.regions()
		open := false
		for _, l := range found {
			open = open || !so(l)
			if l.Status == region.Failed && !so(l) && !strings.HasSuffix(l.Message, region.Undoing) {
				s.t.Fatalf("%s failed: %s", l.Name, l.Message)
			}
		}
		if !open {
			return found
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("after %s the regions are %+v", limit, found)
		}
	}
}

func isReady(l regionLine) bool { return l.Status == region.Ready }

// TestACloudsWorkerHoldsNothingElse: what each worker is told is what its own cloud's settings are, and nothing of the store, the other
// clouds or the people's tokens.
func TestACloudsWorkerHoldsNothingElse(t *testing.T) {
	s := config.Settings{Store: "sqlite:///x", TicketKey: "ticket.key", TicketKeys: "tickets.json", Blobs: "blobs", Registry: "r", RegistrySecretFile: "secret"}
	for _, r := range queues {
		if r.sandbox != nil {
			s = s.With(r.sandbox.Own(devCloud(r.sandbox.Name)))
		}
	}
	for _, p := range platformProcesses(nil) {
		if p.Cloud == nil {
			continue
		}
		env := strings.Join(s.Of(p.Parts...).Environ(), "\n")
		for _, other := range cloudsHere() {
			if has := strings.Contains(env, "of-"+string(other)+"\n") || strings.HasSuffix(env, "of-"+string(other)); has != (string(other) == p.Cloud.Name) {
				t.Errorf("the worker of %s is told of %s: %t\n%s", p.Cloud.Name, other, has, env)
			}
		}
		for _, secret := range []string{"sqlite:///x", "ticket.key", "blobs", "secret"} {
			if strings.Contains(env, "="+secret) {
				t.Errorf("the worker of %s is told %s", p.Cloud.Name, secret)
			}
		}
	}
}

// TestKillingAWorkerStopsOnlyItsCloud: the others go on, the regions of that cloud say that nobody works on them and since when, and
// with a worker again they go on where they were.
func TestKillingAWorkerStopsOnlyItsCloud(t *testing.T) {
	s := newSimulated(t, ground{limit: 8 * time.Minute})
	clouds := cloudsHere()
	victim := clouds[len(clouds)-1]
	worker := "worker-" + queue.Cloud(victim)
	s.apply(simulatedFile(clouds, 1), false)
	s.settle(3*time.Minute, isReady)
	change := s.planned(strings.ReplaceAll(simulatedFile(clouds, 1), "resource: [etcd, nats]", "resource: [etcd]"), false)
	killed := time.Now()
	s.processes[worker].kill()
	s.ask(http.MethodPost, s.api+"/v1/plans/"+change.ID+"/apply", nil, nil)
	s.until("the change is under way", func() bool { return s.regions()[string(victim)+"-1"].Status == region.Updating })
	s.settle(3*time.Minute, func(l regionLine) bool { return l.Provider == victim || isReady(l) && l.Unserved == nil })
	s.until("the region says that nobody works on it", func() bool { return s.regions()[string(victim)+"-1"].Unserved != nil })
	said := s.regions()[string(victim)+"-1"].Unserved
	if off := said.Since.Sub(killed).Abs(); off > 15*time.Second || said.Queue != queue.Cloud(victim) || said.Earlier {
		t.Errorf("the worker was killed at %s, and the region says %s", killed.UTC().Format(time.TimeOnly), said)
	}
	if l := s.regions()[string(victim)+"-1"]; l.Status != region.Updating {
		t.Errorf("without its worker the region on %s is %s: %s", victim, l.Status, l.Message)
	}
	var progress region.Progress
	s.ask(http.MethodGet, s.api+"/v1/regions/"+string(victim)+"-1/progress", nil, &progress)
	if progress.Waiting != said.String() {
		t.Errorf("its operation waits for %q", progress.Waiting)
	}
	for name, l := range s.regions() {
		if l.Provider != victim && (l.Unserved != nil || !isReady(l)) {
			t.Errorf("%s is %s, unserved %v", name, l.Status, l.Unserved)
		}
	}
	s.must("start "+worker, s.processes[worker].start())
	s.settle(2*time.Minute, func(l regionLine) bool { return isReady(l) && l.Unserved == nil })
}

// devCloud is a cloud of no sandbox, whose settings say whose they are.
func devCloud(name string) dev.SandboxCloud {
	return dev.SandboxCloud{URL: "http://127.0.0.1:1/of-" + name, Credentials: "/of-" + name, CA: "/of-" + name, Hour: time.Minute}
}
