// Package machine says what a machine lacks to build the platform and to run it with `m3o dev`, each with a way out, before
// time is spent on finding out.
//
// It looks and changes nothing. It is no monitoring: what a running platform meets, that says itself. `make build`, `make run`,
// `m3o version --check` and `m3o dev` use the same probes and so say the same words. It imports the standard library
// alone, so that a program for it is compiled in a second on a machine that has compiled nothing yet.
package machine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/version"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Purpose is what somebody is about to do.
type Purpose string

// Purposes.
const (
	ToBuild Purpose = "build"
	ToRun   Purpose = "run" // which includes that a build was possible
)

// State is what a finding comes to.
type State string

// States of a finding, from best to worst.
const (
	Fine       State = "fine"
	Tight      State = "tight"       // it works, with what the finding says
	StopsRun   State = "stops run"   // it can be built here, not run
	StopsBuild State = "stops build" // neither
)

// Finding is one thing that was looked at.
type Finding struct {
	What  string `json:"what"`  // "memory"
	State State  `json:"state"` // whether that is enough
	Found string `json:"found"` // "1.9 GB"
	Way   string `json:"way,omitempty"`
}

// Stops reports whether the machine cannot do this as it is.
func (f Finding) Stops(p Purpose) bool {
	return f.State == StopsBuild || f.State == StopsRun && p == ToRun
}

func (f Finding) String() string {
	if f.Way == "" {
		return f.What + ": " + f.Found
	}
	return f.What + ": " + f.Found + ". " + f.Way
}

// Machine is where to look, and for what.
type Machine struct {
	System  string // runtime.GOOS
	Proc    string // where the kernel tells of itself: /proc
	Groups  string // the root of control groups: /sys/fs/cgroup
	Go      string // version of the Go in PATH, such as go1.26.0; empty: there is none
	NeedsGo string // the lowest that will do; empty: any
	Built   bool   // nothing of the platform is compiled here any more
	Cache   string // Go's build cache; empty: not looked at
	Data    string // the data directory, which need not exist yet; empty: not looked at
	Ports   []Port // that must be free

	Isolate func(context.Context) error      // tries to make the namespaces of a node
	Room    func(path string) (Space, error) // of the file system that a path is on
}

// Space is what a file system has.
type Space struct {
	Free    uint64 // bytes
	Layered bool   // an overlay itself, such as a container's own disk
}

// Here is this machine, with the Go in PATH.
func Here(ctx context.Context) Machine {
	m := Machine{System: runtime.GOOS, Proc: "/proc", Groups: "/sys/fs/cgroup", Isolate: isolate, Room: room}
	if out, err := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOCACHE").Output(); err == nil {
		words := strings.SplitN(strings.TrimSpace(string(out)), "\n", 2)
		m.Go = words[0]
		if len(words) == 2 {
			m.Cache = words[1]
		}
	}
	return m
}

// Sizes that a build and a run take, as measured with four regions.
const (
	firstBuild = 8 << 30 // modules, Go's build cache and bin/
	anyBuild   = 1 << 30 // with all compiled before
	anyRun     = 2 << 30 // disk of the data directory
	compiling  = 3 << 30 // memory: the largest program is linked in 2 GB
	running    = 6 << 30 // memory of four regions
	openFiles  = 4096
)

// Look looks at everything that is asked about.
func (m Machine) Look(ctx context.Context) []Finding {
	all := []Finding{m.system()}
	if all[0].State != Fine {
		return all // the rest is Linux'
	}
	all = append(all, m.toolchain(), m.namespaces(ctx), m.memory(), m.files())
	if m.Cache != "" {
		all = append(all, m.disk("disk for Go's build cache", m.Cache, firstBuild, anyBuild, StopsBuild,
			"A first build takes about "+size(firstBuild)+", later ones little: make room, or move the cache (go env -w GOCACHE=DIR)"))
	}
	if m.Data != "" {
		all = append(all, m.disk("disk for the data directory", m.Data, anyRun, anyRun/4, StopsRun,
			"Four regions with their images take about "+size(anyRun)+": make room, or choose another folder (--data-dir DIR)"), m.layers())
	}
	if len(m.Ports) > 0 {
		all = append(all, ports(m.Ports))
	}
	return all
}

func (m Machine) system() Finding {
	f := Finding{What: "system", State: Fine, Found: m.System}
	if m.System != "linux" {
		f.State, f.Way = StopsBuild, "The built-in clusters and the jail of builds need Linux: use a virtual machine"
		return f
	}
	release := m.read("sys/kernel/osrelease")
	f.Found += " " + release
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err == nil && (major < 5 || major == 5 && minor < 12) {
		f.State, f.Way = StopsRun, "Containers of the built-in clusters need Linux 5.12 or later"
	}
	return f
}

func (m Machine) toolchain() Finding {
	f := Finding{What: "Go", State: Fine, Found: cmp.Or(m.Go, "there is none in PATH")}
	switch {
	case m.Go == "":
		f.State, f.Way = StopsBuild, strings.TrimSpace("Install Go "+m.NeedsGo)+" or later: it compiles the platform, and your services"
	case m.NeedsGo != "" && version.Compare(m.Go, "go"+m.NeedsGo) < 0:
		f.State, f.Way = StopsBuild, "Install Go "+m.NeedsGo+" or later, or let this one fetch it (go env -w GOTOOLCHAIN=auto)"
	}
	return f
}

// bring is what is left where namespaces are refused for good.
const bring = "or bring clusters of your own: m3o dev --kubeconfig FILE --unjailed takes one context per region"

// namespaces tries to make them: what the settings say is the reason where that fails, and no proof that it works.
func (m Machine) namespaces(ctx context.Context) Finding {
	f := Finding{What: "user namespaces", State: Fine, Found: "allowed"}
	err := m.Isolate(ctx)
	if err == nil {
		return f
	}
	f.State, f.Found = StopsRun, "this machine refuses them"
	for _, s := range []struct{ name, value, good string }{
		{"kernel.apparmor_restrict_unprivileged_userns", "1", "0"},
		{"kernel.unprivileged_userns_clone", "0", "1"},
		{"user.max_user_namespaces", "0", "15000"},
	} {
		if m.read("sys/"+strings.ReplaceAll(s.name, ".", "/")) == s.value {
			f.Found += " (" + s.name + " is " + s.value + ")"
			f.Way = "Clusters and builds live in them: allow them (sudo sysctl " + s.name + "=" + s.good + "), " + bring
			return f
		}
	}
	f.Found += " (" + err.Error() + ")"
	f.Way = "Clusters and builds live in them. In a container, its own security profile forbids them (Docker: --security-opt seccomp=unconfined " +
		"--security-opt apparmor=unconfined --security-opt systempaths=unconfined). Allow them, " + bring
	return f
}

func (m Machine) memory() Finding {
	total := m.kilobytes("MemTotal") << 10
	if limit, err := strconv.ParseUint(strings.TrimSpace(read(filepath.Join(m.Groups, "memory.max"))), 10, 64); err == nil {
		total = min(total, limit)
	}
	f := Finding{What: "memory", State: Fine, Found: size(total)}
	switch {
	case total == 0:
		f.Found = "not known"
	case total < compiling && !m.Built:
		f.State, f.Way = StopsBuild, "Linking the platform takes "+size(compiling)+" with what else runs: give the machine more, or swap space"
		if total+m.kilobytes("SwapTotal")<<10 >= compiling {
			f.State, f.Way = Tight, "Swap space is used to link the platform: that takes long"
		}
	case total < running:
		f.State, f.Way = Tight, "Four regions take up to "+size(running)+": apply a file with one or two"
	}
	return f
}

func (m Machine) kilobytes(name string) uint64 {
	_, rest, _ := strings.Cut(m.read("meminfo"), name+":")
	var n uint64
	_, _ = fmt.Sscanf(rest, "%d", &n) // not there is none
	return n
}

func (m Machine) files() Finding {
	f := Finding{What: "open files", State: Fine, Found: "not known"}
	_, rest, _ := strings.Cut(m.read("self/limits"), "Max open files")
	limits := strings.Fields(rest)
	if len(limits) < 2 {
		return f
	}
	f.Found = limits[1]
	if n, err := strconv.Atoi(limits[1]); err == nil && n < openFiles {
		f.State, f.Way = Tight, fmt.Sprintf("Four regions want %d: raise the limit (ulimit -Hn)", openFiles)
	}
	return f
}

// disk looks at the file system of a folder. Below enough it is tight, below least that is the worst it can be.
func (m Machine) disk(what, folder string, enough, least uint64, worst State, way string) Finding {
	f := Finding{What: what, State: Fine}
	space, err := m.Room(existing(folder))
	if err != nil {
		f.State, f.Found = Tight, fmt.Sprintf("%s cannot be looked at: %v", folder, err)
		return f
	}
	f.Found = size(space.Free) + " are free at " + folder
	switch {
	case space.Free < least:
		f.State, f.Way = worst, way
	case space.Free < enough:
		f.State, f.Way = Tight, way
	}
	return f
}

// layers says whether containers can have their layers in the data directory.
func (m Machine) layers() Finding {
	f := Finding{What: "file system of the data directory", State: Fine, Found: "holds containers"}
	if space, err := m.Room(existing(m.Data)); err == nil && space.Layered {
		f.State, f.Found = StopsRun, m.Data+" is on an overlay, as a container's own disk is"
		f.Way = "Containers cannot have layers there: choose a folder of a volume (--data-dir DIR)"
	}
	return f
}

// existing is the folder, or what there is of the way to it.
func existing(folder string) string {
	for {
		if _, err := os.Stat(folder); err == nil || filepath.Dir(folder) == folder {
			return folder
		}
		folder = filepath.Dir(folder)
	}
}

func (m Machine) read(name string) string { return read(filepath.Join(m.Proc, name)) }

// read is what is in a file, nothing where there is none.
func read(path string) string {
	data, _ := os.ReadFile(path) // the kernel has not every setting
	return strings.TrimSpace(string(data))
}

func size(bytes uint64) string { return fmt.Sprintf("%.1f GB", float64(bytes)/(1<<30)) }

// Port is a port of the loopback, and what listens there.
type Port struct {
	What   string
	Number int
}

// Taken are those ports that somebody holds.
func Taken(ports []Port) (taken []Port, err error) {
	for _, p := range ports {
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Number)))
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			taken = append(taken, p)
		case err != nil:
			return nil, fmt.Errorf("listen on port %d (%s): %w", p.Number, p.What, err)
		default:
			listener.Close()
		}
	}
	return taken, nil
}

// Named lists ports for people.
func Named(ports []Port) string {
	names := make([]string, len(ports))
	for i, p := range ports {
		names[i] = fmt.Sprintf("%d (%s)", p.Number, p.What)
	}
	return strings.Join(names, ", ")
}

// Ports are where m3o dev listens, moved by an offset, but for the sandbox: one of before may be there.
func Ports(offset int) []Port {
	return []Port{{"API", 8080 + offset}, {"Temporal", 7233 + offset}, {"Temporal UI", 8233 + offset}, {"registry", 5001 + offset}}
}

// MovePorts is the way out of ports that are taken.
const MovePorts = "Stop what holds them, or move ours: m3o dev --port-offset 100"

func ports(wanted []Port) Finding {
	f := Finding{What: "ports", State: Fine, Found: "free"}
	taken, err := Taken(wanted)
	switch {
	case err != nil:
		f.State, f.Found = StopsRun, err.Error()
	case len(taken) > 0:
		f.State, f.Found, f.Way = StopsRun, "taken are "+Named(taken), MovePorts
	}
	return f
}

// Report writes what keeps the machine from a purpose, and what is tight, and reports whether it can be done.
func Report(w io.Writer, findings []Finding, p Purpose) (able bool) {
	groups := []struct {
		title string
		fits  func(Finding) bool
	}{
		{"This machine lacks what is needed to " + string(p) + " the platform:", func(f Finding) bool { return f.Stops(p) }},
		{"What is built here does not run here:", func(f Finding) bool { return f.State == StopsRun && !f.Stops(p) }},
		{"Worth knowing of this machine:", func(f Finding) bool { return f.State == Tight }},
	}
	for _, g := range groups {
		title := g.title + "\n"
		for _, f := range findings {
			if g.fits(f) {
				fmt.Fprintf(w, "%s  %s.\n", title, f)
				title = ""
			}
		}
	}
	return !slices.ContainsFunc(findings, func(f Finding) bool { return f.Stops(p) })
}

// List writes all findings, one a line.
func List(w io.Writer, findings []Finding) {
	for _, f := range findings {
		fmt.Fprintf(w, "%-34s %s\n", f.What, f.Found)
	}
}
