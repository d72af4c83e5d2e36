package clusters_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// TestMain lets this binary stand in for m3o-kube.
func TestMain(m *testing.M) {
	if clusterstest.IsStandIn(os.Args) {
		os.Exit(clusterstest.StandIn(os.Args))
	}
	os.Exit(m.Run())
}

const id = "b1614d11-60d0-40bf-9b32-e04523426f9a"

type fixture struct {
	t           *testing.T
	dir, runDir string
	open        []int
	*clusters.Processes
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, dir: t.TempDir(), runDir: t.TempDir(), open: []int{5001, 5432}}
	f.reopen()
	t.Cleanup(func() { must(t, f.StopAll(t.Context())) })
	return f
}

// reopen forgets all that is in memory, as a killed sandbox does.
func (f *fixture) reopen() {
	f.t.Helper()
	binary, err := os.Executable()
	must(f.t, err)
	f.Processes, err = clusters.NewProcesses(binary, f.dir, f.runDir, f.open, slog.New(slog.NewTextHandler(io.Discard, nil)))
	must(f.t, err)
}

func (f *fixture) folder() string { return filepath.Join(f.dir, id[:8]) }

func (f *fixture) apply(nodes ...string) {
	f.t.Helper()
	w := clusters.Wanted{ID: id, Name: "lon1", Version: "1.34", Place: f.Places()[0]}
	for _, name := range nodes {
		w.Nodes = append(w.Nodes, clusters.Node{Name: name, Pool: "main", CPU: 1, MemoryMiB: 1024})
	}
	must(f.t, f.Apply(f.t.Context(), w))
}

func (f *fixture) status() clusters.Status {
	f.t.Helper()
	status, err := f.Status(f.t.Context(), id)
	must(f.t, err)
	return status
}

func (f *fixture) waitReady(nodes ...string) {
	f.t.Helper()
	f.eventually("the cluster is ready", func() bool {
		f.apply(nodes...)
		return f.status().AllReady("1.34", nodes)
	})
}

func (f *fixture) pid() int {
	f.t.Helper()
	data, err := os.ReadFile(filepath.Join(f.runDir, "cluster-lon1.pid"))
	must(f.t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	must(f.t, err)
	return pid
}

// ended waits until a process, which may be a zombie for an instant, is no more.
func (f *fixture) ended(pid int) {
	f.t.Helper()
	f.eventually("the process ends", func() bool { return syscall.Kill(pid, 0) != nil })
}

func (f *fixture) eventually(what string, done func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			f.t.Fatalf("waited too long: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestClusterProcessLife(t *testing.T) {
	f := newFixture(t)
	if f.status().Alive {
		t.Error("a cluster that nobody asked for is alive")
	}
	if _, err := f.Access(t.Context(), id); !errors.Is(err, clusters.ErrNotReady) {
		t.Errorf("access to no cluster: %v", err)
	}
	f.waitReady("a")
	f.waitReady("a", "b")
	access, err := f.Access(t.Context(), id)
	must(t, err)
	if access.Token != "token" || string(access.CA) != "authority\n" || access.Server != "https://127.0.0.1:6443" {
		t.Errorf("access %+v", access)
	}
	pid := f.pid()
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Errorf("the cluster is in group %d (%v), not its own", group, err)
	}
	must(t, f.Remove(t.Context(), id))
	f.ended(pid)
	for _, path := range []string{f.folder(), filepath.Join(f.runDir, "cluster-lon1.pid")} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left", path)
		}
	}
	must(t, f.Remove(t.Context(), id))
}

// TestAdoptedClusterIsToldWhichPortsAreOpen: it keeps what it was told until the next sandbox opens others.
func TestAdoptedClusterIsToldWhichPortsAreOpen(t *testing.T) {
	f := newFixture(t)
	open := func() (ports []int) {
		text, err := os.ReadFile(filepath.Join(f.folder(), "cluster.json"))
		must(t, err)
		var wanted struct{ OpenPorts []int }
		must(t, json.Unmarshal(text, &wanted))
		return wanted.OpenPorts
	}
	f.waitReady("a")
	pid := f.pid()
	f.reopen()
	f.waitReady("a")
	if got := open(); !slices.Equal(got, []int{5001, 5432}) || f.pid() != pid {
		t.Errorf("the cluster opens %v, as process %d after %d", got, f.pid(), pid)
	}
	f.open = []int{5001}
	f.reopen()
	f.waitReady("a")
	if got := open(); !slices.Equal(got, []int{5001}) || f.pid() != pid {
		t.Errorf("taken over, the cluster opens %v, as process %d after %d", got, f.pid(), pid)
	}
}

func TestRunningClusterIsFoundAgain(t *testing.T) {
	f := newFixture(t)
	f.waitReady("a")
	pid := f.pid()
	must(t, os.Remove(filepath.Join(f.runDir, "cluster-lon1.pid"))) // as if we were killed before we wrote it
	f.reopen()
	f.waitReady("a")
	if f.pid() != pid {
		t.Errorf("process %d runs instead of %d", f.pid(), pid)
	}
	f.reopen()
	must(t, f.Remove(t.Context(), id)) // without having applied
	f.ended(pid)
	if _, err := os.Stat(filepath.Join(f.runDir, "cluster-lon1.pid")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the pid file is left")
	}
}

func TestKilledClusterIsStartedAgain(t *testing.T) {
	f := newFixture(t)
	f.waitReady("a")
	pid := f.pid()
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	f.eventually("the end is noticed", func() bool { return !f.status().Alive })
	f.waitReady("a")
	if f.pid() == pid {
		t.Error("the same process runs")
	}
}

// TestProcessThatStartsItselfAnewIsNotLost has the cluster's process exec itself over and over, as it does for an upgrade: one
// that we started, and one that we found.
func TestProcessThatStartsItselfAnewIsNotLost(t *testing.T) {
	f := newFixture(t)
	f.waitReady("a")
	pid := f.pid()
	for _, whose := range []string{"started", "found"} {
		again := filepath.Join(f.folder(), "again")
		must(t, os.WriteFile(again, []byte("30"), 0o600))
		must(t, syscall.Kill(pid, syscall.SIGUSR1))
		f.eventually("it did so 30 times", func() bool {
			for range 100 { // the instants in which it looks dead are short
				if !f.status().Alive {
					t.Fatalf("a process that we %s was taken for dead while it started itself anew", whose)
				}
			}
			f.apply("a")
			left, err := os.ReadFile(again)
			return err == nil && string(left) == "0"
		})
		must(t, os.Remove(filepath.Join(f.folder(), "status.json"))) // when it is there again, the last one hears signals
		f.waitReady("a")
		if f.pid() != pid {
			t.Errorf("process %d runs instead of %d", f.pid(), pid)
		}
		f.reopen()
		f.waitReady("a")
	}
}

func TestRefusingMachineFailsAtOnce(t *testing.T) {
	f := newFixture(t)
	must(t, os.MkdirAll(f.folder(), 0o700))
	must(t, os.WriteFile(filepath.Join(f.folder(), "refuse"), []byte("user namespaces are refused here"), 0o600))
	f.apply("a")
	f.eventually("it failed", func() bool { return f.status().Failed == "user namespaces are refused here" })
}

func TestCrashingClusterFailsInTheEnd(t *testing.T) {
	f := newFixture(t)
	must(t, os.MkdirAll(f.folder(), 0o700))
	must(t, os.WriteFile(filepath.Join(f.folder(), "crash"), []byte("etcd has no space"), 0o600))
	f.eventually("it failed", func() bool {
		f.apply("a")
		failed := f.status().Failed
		return strings.Contains(failed, "4 times") && strings.Contains(failed, "etcd has no space")
	})
}

func TestMissingBinaryIsSaid(t *testing.T) {
	p, err := clusters.NewProcesses("/does/not/exist", t.TempDir(), t.TempDir(), nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	must(t, err)
	must(t, p.Apply(t.Context(), clusters.Wanted{ID: id, Name: "lon1", Version: "1.34"}))
	status, err := p.Status(t.Context(), id)
	must(t, err)
	if !strings.Contains(status.Failed, "/does/not/exist") {
		t.Errorf("failed: %q", status.Failed)
	}
}

func TestLogOfARunningClusterIsShortened(t *testing.T) {
	f := newFixture(t)
	f.waitReady("a")
	log := filepath.Join(f.folder(), "log")
	const long = 21 << 20
	must(t, os.Truncate(log, long))
	f.apply("a")
	for path, want := range map[string]int64{log: 0, log + ".1": long} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Size() != want {
			t.Errorf("%s has %d bytes, want %d", filepath.Base(path), info.Size(), want)
		}
	}
	must(t, syscall.Kill(f.pid(), syscall.SIGQUIT)) // of which a Go program dies with many words
	f.eventually("it goes on at the start of the log", func() bool {
		said, err := os.ReadFile(log)
		return err == nil && strings.HasPrefix(string(said), "SIGQUIT")
	})
}

// TestBusyProgramIsTriedAgain has the program open for writing for a while, as it is while somebody replaces it.
func TestBusyProgramIsTriedAgain(t *testing.T) {
	f := newFixture(t)
	self, err := os.Executable()
	must(t, err)
	data, err := os.ReadFile(self)
	must(t, err)
	path := filepath.Join(t.TempDir(), "m3o-kube")
	program, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
	must(t, err)
	_, err = program.Write(data)
	must(t, err)
	f.Processes, err = clusters.NewProcesses(path, f.dir, f.runDir, nil, slog.New(slog.DiscardHandler))
	must(t, err)
	f.apply("a")
	if status := f.status(); status.Alive || status.Failed != "" || !strings.Contains(status.Trouble, "text file busy") {
		t.Errorf("with a program that is being written: %+v", status)
	}
	must(t, program.Close())
	f.waitReady("a")
}

func TestOddIDsAreRefused(t *testing.T) {
	f := newFixture(t)
	for _, odd := range []string{"", "..", "a/b", "../../etc"} {
		if err := f.Apply(t.Context(), clusters.Wanted{ID: odd}); err == nil {
			t.Errorf("id %q is taken", odd)
		}
	}
}

func TestStopAllStopsWhatItFinds(t *testing.T) {
	f := newFixture(t)
	f.waitReady("a")
	pid := f.pid()
	f.reopen()
	must(t, f.StopAll(t.Context()))
	f.ended(pid)
	if _, err := os.Stat(filepath.Join(f.folder(), "cluster.json")); err != nil {
		t.Errorf("the state is gone: %v", err)
	}
}
