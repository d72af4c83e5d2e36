package dev

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/machine"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// TestMain is also `m3o sandbox`: what starts a sandbox starts its own program again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "sandbox" {
		os.Exit(beSandbox(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// beSandbox runs a sandbox whose clusters are only numbers.
func beSandbox(args []string) int {
	flags := flag.NewFlagSet("sandbox", flag.ExitOnError)
	c := sandbox.Config{Clusters: clusterstest.New(1), LeaseTimeout: time.Minute}
	flags.StringVar(&c.Dir, "dir", "", "")
	flags.IntVar(&c.BasePort, "port", 0, "")
	_ = flags.Parse(args) // exits by itself
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Fprintln(os.Stderr, "a sandbox starts")
	if err := sandbox.Run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// place is a data directory with ports that are free.
type place struct {
	t     *testing.T
	dir   string
	ports Ports
}

func newPlace(t *testing.T) place {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"log", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for offset := 4000 + os.Getpid()%400*10; ; offset += 10 {
		ports, err := NewPorts(offset)
		if err != nil {
			t.Fatal(err)
		}
		p := place{t, dir, ports}
		if p.free() == nil {
			return p
		}
	}
}

func (p place) plan() sandboxPlan {
	dir := filepath.Join(p.dir, "sandbox")
	return sandboxPlan{control: URL(p.ports.Sandbox), dir: dir, log: logPath(p.dir, "sandbox"), logger: slog.New(slog.DiscardHandler),
		args: []string{"sandbox", "--dir", dir, "--port", strconv.Itoa(p.ports.Sandbox)}}
}

func (p place) free() error {
	return p.ports.free(p.t.Context(), filepath.Join(p.dir, "sandbox"), []machine.Port{{What: "sandbox", Number: p.ports.Sandbox}, {What: "sandbox, digitalocean", Number: p.ports.Sandbox + 1}})
}

// sandbox finds or starts the place's sandbox, which is stopped when the test ends.
func (p place) sandbox() *sandboxProcess {
	p.t.Helper()
	o, health, err := findOrStart(p.t.Context(), p.plan())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(o.stop)
	if health.PID != o.pid || health.Dir != p.plan().dir || health.Endpoints.Providers["digitalocean"] == "" {
		p.t.Fatalf("the sandbox says of itself: %+v", health)
	}
	return o
}

// starts counts how often a sandbox was started.
func (p place) starts() int {
	log, err := os.ReadFile(p.plan().log)
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.Count(string(log), "a sandbox starts")
}

// hold listens on a port, and never says a word.
func hold(t *testing.T, port int) {
	t.Helper()
	listener, err := net.Listen("tcp", Address(port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
}

// refused fails the test unless err is a conflict whose message for users has all the words.
func refused(t *testing.T, err error, words ...string) {
	t.Helper()
	if !fault.Is(err, fault.Conflict) {
		t.Fatalf("got %v, want a conflict", err)
	}
	for _, word := range words {
		if !strings.Contains(fault.Message(err), word) {
			t.Errorf("%q does not say %q", fault.Message(err), word)
		}
	}
}

func TestADirectoryHasOneProcess(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lock(dir)
	refused(t, err, dir, "process "+strconv.Itoa(os.Getpid()), "--data-dir")
	if pid, held := holder(filepath.Join(dir, "run", "dev.lock")); !held || pid != strconv.Itoa(os.Getpid()) {
		t.Errorf("the lock is held by %q, %t", pid, held)
	}
	unlock()
	if pid, held := holder(filepath.Join(dir, "run", "dev.lock")); held {
		t.Errorf("the lock is held by %q after its end", pid)
	}
	if unlock, err = lock(dir); err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestTakenPortsAreNamedAllAtOnce(t *testing.T) {
	p := newPlace(t)
	wanted := map[int]string{p.ports.API: "API", p.ports.Temporal: "Temporal", p.ports.UI: "Temporal UI", p.ports.Registry: "registry",
		p.ports.Sandbox: "sandbox", p.ports.Sandbox + 1: "sandbox, digitalocean"}
	for port, what := range wanted {
		t.Run(what, func(t *testing.T) {
			if port != p.ports.Sandbox { // who asks a silent one waits: see below
				hold(t, port)
			} else {
				serve(t, port, http.NotFoundHandler())
			}
			err := p.free()
			refused(t, err, fmt.Sprintf("ports are taken: %d (%s).", port, what), "--port-offset")
		})
	}
	hold(t, p.ports.API)
	hold(t, p.ports.Sandbox+1)
	refused(t, p.free(), fmt.Sprintf("%d (API), %d (sandbox, digitalocean).", p.ports.API, p.ports.Sandbox+1))
}

func serve(t *testing.T, port int, handler http.Handler) {
	t.Helper()
	listener, err := net.Listen("tcp", Address(port))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
}

// What holds the sandbox's port may answer anything, or nothing at all.
func TestWhatIsNoSandboxIsNotTakenForOne(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"not found":     http.NotFound,
		"not JSON":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") },
		"other JSON":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"status":"ok"}`) },
		"a JSON string": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `"ok"`) },
		"silence":       func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			serve(t, p.ports.Sandbox, handler)
			refused(t, p.free(), fmt.Sprintf("%d (sandbox).", p.ports.Sandbox))
		})
	}
}

func TestOurOwnSandboxIsFoundAgain(t *testing.T) {
	p := newPlace(t)
	first := p.sandbox()
	if err := p.free(); err != nil {
		t.Errorf("our own sandbox is in the way: %v", err)
	}
	second := p.sandbox()
	if second.pid != first.pid || second.child != nil || p.starts() != 1 {
		t.Errorf("process %d was started, process %d found after %d starts", first.pid, second.pid, p.starts())
	}
	hold(t, p.ports.API) // what else is taken is still named
	refused(t, p.free(), fmt.Sprintf("ports are taken: %d (API).", p.ports.API))
	second.stop()
	if alive(first.pid) {
		t.Errorf("process %d goes on after it was stopped", first.pid)
	}
}

// What was asked for now does not silently become what was asked for before.
func TestOurSandboxWithOtherSettingsIsNotTakenForThem(t *testing.T) {
	p := newPlace(t)
	running := p.sandbox()
	wanted := p.plan()
	wanted.args = append(wanted.args, "--time-scale", "1")
	_, _, err := findOrStart(t.Context(), wanted)
	refused(t, err, "other settings", "--time-scale 1", fmt.Sprintf("kill %d", running.pid))
	if !alive(running.pid) {
		t.Error("it was ended")
	}
}

func TestAKilledSandboxIsStartedAgain(t *testing.T) {
	p := newPlace(t)
	first := p.sandbox()
	dead := first.pid // keep writes first, once it runs
	ctx, cancel := context.WithCancel(t.Context())
	kept := make(chan error, 1)
	go func() { kept <- first.keep(ctx) }()
	if err := syscall.Kill(dead, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		health, err := sandboxAt(t.Context(), p.plan().control)
		if err == nil && health.PID != dead {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no sandbox after half a minute: %+v, %v", health, err)
		}
	}
	cancel()
	if err := <-kept; err != nil {
		t.Error(err)
	}
}

func TestTheSandboxOfAnotherDirectoryIsLeftAlone(t *testing.T) {
	other := newPlace(t)
	running := other.sandbox()
	p := place{t, t.TempDir(), other.ports}
	words := []string{URL(p.ports.Sandbox), "another data directory", other.plan().dir, strconv.Itoa(running.pid), "--port-offset"}
	refused(t, p.free(), words...)
	_, _, err := findOrStart(t.Context(), p.plan())
	refused(t, err, words...)
	if !alive(running.pid) {
		t.Error("it was ended")
	}
}

// A port that somebody else holds stays held: to try again would only take time.
func TestASandboxWithoutItsPortIsNotTriedAgain(t *testing.T) {
	for _, offset := range []int{0, 1} {
		p := newPlace(t)
		port := p.ports.Sandbox + offset
		serve(t, port, http.NotFoundHandler())
		began := time.Now()
		_, _, err := findOrStart(t.Context(), p.plan())
		if !fault.Is(err, fault.Failed) || !strings.Contains(fault.Message(err), strconv.Itoa(port)) || !strings.Contains(fault.Message(err), "address already in use") {
			t.Errorf("port %d is held: %v", port, err)
		}
		if n := p.starts(); n != 1 || time.Since(began) > 10*time.Second {
			t.Errorf("port %d is held: %d starts in %s", port, n, time.Since(began))
		}
	}
}

// A sandbox that is on its way down holds its folder, and no port any more.
func TestASandboxOnItsWayDownIsWaitedFor(t *testing.T) {
	p := newPlace(t)
	unlock := holdFolder(t, p.plan().dir)
	time.AfterFunc(2*time.Second, unlock)
	p.sandbox()
	if n := p.starts(); n < 1 || n > 3 {
		t.Errorf("%d starts in two seconds", n)
	}
}

// The same data directory with another --port-offset: our sandbox of before lives on the old ports.
func TestASandboxOnOtherPortsIsNamed(t *testing.T) {
	p := newPlace(t)
	running := p.sandbox()
	moved := newPlace(t)
	moved.dir = p.dir
	ctx, cancel := context.WithCancel(t.Context())
	waits := make(chan string, 100)
	at := moved.plan()
	at.logger = slog.New(slog.NewTextHandler(lines(waits), nil))
	tried := make(chan error, 1)
	go func() { _, _, err := findOrStart(ctx, at); tried <- err }()
	if line := <-waits; !strings.Contains(line, "process="+strconv.Itoa(running.pid)) {
		t.Errorf("while it waits it says %q", line)
	}
	cancel()
	if err := <-tried; err == nil {
		t.Error("there are two sandboxes in one folder")
	}
	if !alive(running.pid) {
		t.Error("the one that was there has ended")
	}
}

type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// holdFolder holds a sandbox's folder, as a sandbox does.
func holdFolder(t *testing.T, dir string) (unlock func()) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { file.Close() }
}

func TestTheCheckBeforeABuildLooksAtOurPorts(t *testing.T) {
	p, err := NewPorts(100)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"API": p.API, "Temporal": p.Temporal, "Temporal UI": p.UI, "registry": p.Registry}
	for _, port := range machine.Ports(100) {
		if want[port.What] != port.Number {
			t.Errorf("%s is looked for at %d, and listens at %d", port.What, port.Number, want[port.What])
		}
		delete(want, port.What)
	}
	if len(want) > 0 {
		t.Errorf("nobody looks at %v", want)
	}
}

func TestPortsAreMovedTogether(t *testing.T) {
	p, err := NewPorts(100)
	if want := (Ports{API: 8180, Temporal: 7333, UI: 8333, Registry: 5101, Sandbox: 9100}); err != nil || p != want {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, offset := range []int{-1, 50001} {
		if _, err := NewPorts(offset); !fault.Is(err, fault.Invalid) {
			t.Errorf("offset %d: %v", offset, err)
		}
	}
	var clouds []int
	for _, port := range sandbox.Ports(p.Sandbox) {
		clouds = append(clouds, port)
	}
	slices.Sort(clouds)
	if !slices.Equal(clouds, []int{9100, 9101, 9102, 9103, 9104, 9106, 9107, 9108}) {
		t.Errorf("the sandbox's ports are %v", clouds)
	}
}
