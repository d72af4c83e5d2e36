package machine

import (
	"context"
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/lacks.golden anew")

// good is a machine that lacks nothing; its /proc is a folder.
func good(t *testing.T) Machine {
	t.Helper()
	m := Machine{System: "linux", Proc: t.TempDir(), Groups: t.TempDir(), Go: "go1.26.1", NeedsGo: "1.26.0", Cache: "/home/ada/.cache/go-build", Data: "/home/ada/m3o/.m3o",
		Isolate: func(context.Context) error { return nil }, Room: func(string) (Space, error) { return Space{Free: 100 << 30}, nil }}
	m.kernel(t, "sys/kernel/osrelease", "6.8.0-45-generic")
	m.kernel(t, "meminfo", "MemTotal:       32000000 kB\nMemAvailable: 1 kB\nSwapTotal:      0 kB")
	m.kernel(t, "self/limits", "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 1048576              files")
	return m
}

// kernel has the machine's kernel say something.
func (m Machine) kernel(t *testing.T, name, says string) {
	t.Helper()
	write(t, filepath.Join(m.Proc, name), says)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text+"\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func refuse(context.Context) error {
	return errors.New("start a program in them: operation not permitted")
}

// lacking are machines with one thing wrong each.
var lacking = []struct {
	name  string
	wrong func(*testing.T, *Machine)
}{
	{"nothing", func(*testing.T, *Machine) {}},
	{"no Linux", func(_ *testing.T, m *Machine) { m.System = "darwin" }},
	{"an old kernel", func(t *testing.T, m *Machine) { m.kernel(t, "sys/kernel/osrelease", "5.4.0-187-generic") }},
	{"no Go", func(_ *testing.T, m *Machine) { m.Go = "" }},
	{"an old Go", func(_ *testing.T, m *Machine) { m.Go = "go1.25.7" }},
	{"Ubuntu's rule", func(t *testing.T, m *Machine) {
		m.Isolate = refuse
		m.kernel(t, "sys/kernel/apparmor_restrict_unprivileged_userns", "1")
	}},
	{"Debian's rule", func(t *testing.T, m *Machine) {
		m.Isolate = refuse
		m.kernel(t, "sys/kernel/unprivileged_userns_clone", "0")
	}},
	{"no namespaces left", func(t *testing.T, m *Machine) { m.Isolate = refuse; m.kernel(t, "sys/user/max_user_namespaces", "0") }},
	{"a container", func(_ *testing.T, m *Machine) { m.Isolate = refuse }},
	{"little memory", func(t *testing.T, m *Machine) { m.kernel(t, "meminfo", "MemTotal: 2000000 kB\nSwapTotal: 0 kB") }},
	{"little memory and swap space", func(t *testing.T, m *Machine) { m.kernel(t, "meminfo", "MemTotal: 2000000 kB\nSwapTotal: 4000000 kB") }},
	{"memory for two regions", func(t *testing.T, m *Machine) { m.kernel(t, "meminfo", "MemTotal: 4000000 kB") }},
	{"a container's memory", func(t *testing.T, m *Machine) { write(t, filepath.Join(m.Groups, "memory.max"), "2147483648") }},
	{"few open files", func(t *testing.T, m *Machine) { m.kernel(t, "self/limits", "Max open files  1024  1024  files") }},
	{"a full disk", func(_ *testing.T, m *Machine) { m.Room = space(Space{Free: 200 << 20}) }},
	{"a nearly full disk", func(_ *testing.T, m *Machine) { m.Room = space(Space{Free: 1800 << 20}) }},
	{"a container's disk", func(_ *testing.T, m *Machine) { m.Room = space(Space{Free: 100 << 30, Layered: true}) }},
	{"a disk that fails", func(_ *testing.T, m *Machine) {
		m.Room = func(string) (Space, error) { return Space{}, errors.New("input/output error") }
	}},
}

func space(s Space) func(string) (Space, error) {
	return func(string) (Space, error) { return s, nil }
}

// TestWhatAMachineLacks shows all that is said, and what it keeps from. Read it aloud after a change, and write it with
// `go test ./internal/machine -update`.
func TestWhatAMachineLacks(t *testing.T) {
	var all strings.Builder
	for _, c := range lacking {
		m := good(t)
		c.wrong(t, &m)
		findings := m.Look(t.Context())
		all.WriteString("## " + c.name + "\n")
		if Report(&all, findings, ToBuild) {
			all.WriteString("(it builds)\n")
		}
		if c.name == "nothing" && len(findings) < 8 {
			t.Errorf("only %d things were looked at", len(findings))
		}
		var run strings.Builder
		if Report(&run, findings, ToRun) {
			all.WriteString("(it runs)\n")
		} else if !strings.Contains(run.String(), "lacks what is needed to run") {
			t.Errorf("%s: what keeps it from running is not said: %s", c.name, run.String())
		}
	}
	const golden = "testdata/lacks.golden"
	if *update {
		write(t, golden, strings.TrimSuffix(all.String(), "\n"))
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != all.String() {
		t.Errorf("said is now, %v:\n%s", err, all.String())
	}
}

func TestTakenPortsAreNamedAllAtOnce(t *testing.T) {
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	m := good(t)
	port := held.Addr().(*net.TCPAddr).Port
	m.Ports = []Port{{"API", port}, {"registry", port}, {"free", 0}}
	findings := m.Look(t.Context())
	last := findings[len(findings)-1]
	if !last.Stops(ToRun) || last.Stops(ToBuild) || strings.Count(last.Found, held.Addr().String()[len("127.0.0.1:"):]) != 2 || strings.Contains(last.Found, "free") || last.Way != MovePorts {
		t.Errorf("found is %+v", last)
	}
}

// TestThisMachineCanBeLookedAt with the real probes: what it comes to depends on the machine.
func TestThisMachineCanBeLookedAt(t *testing.T) {
	m := Here(t.Context())
	m.Data = filepath.Join(t.TempDir(), "not", "there", "yet")
	findings := m.Look(t.Context())
	for _, f := range findings {
		if f.What == "" || f.Found == "" || f.State == "" || strings.Contains(f.Found, "not known") || strings.Contains(f.Found, "cannot be looked at") {
			t.Errorf("found is %+v", f)
		}
		if f.What == "Go" && f.State != Fine {
			t.Errorf("the Go that runs this is not found: %+v", f)
		}
	}
	if len(findings) < 8 {
		t.Errorf("only %d things were looked at: %+v", len(findings), findings)
	}
}
