package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/m3o/platform/internal/fault"
)

// The prisoner is a program that is put into a jail in place of the go command, and tries what it should not.
func prisoner(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "prisoner")
	cmd := exec.Command("go", "build", "-o", file, "./testdata/prisoner")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

// imprison runs the prisoner with the arguments and returns what it says.
func imprison(t *testing.T, b *Builder, args ...string) (string, error) {
	t.Helper()
	w, err := b.newWork()
	must(err)
	defer w.remove()
	content, err := os.ReadFile(prisoner(t))
	must(err)
	must(os.WriteFile(filepath.Join(w.source, "prisoner"), content, 0o755))
	c := caches{build: filepath.Join(t.TempDir(), "build"), modules: filepath.Join(t.TempDir(), "modules")}
	for _, d := range []string{c.build, c.modules} {
		must(os.Mkdir(d, 0o755))
		must(giveAway(d))
	}
	must(giveAway(w.dir))
	proxy, err := newModuleProxy(b.config.Modules, 1<<20)
	must(err)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var log bytes.Buffer
	j := job{args: append([]string{sourceMark + "/prisoner"}, args...), dir: sourceMark, env: b.settings("off"),
		folders: folders{source: w.source, private: w.private, goroot: b.config.GoRoot, build: c.build, modules: c.modules}}
	err = b.start(ctx, j, proxy, &output{log: &log}, cancel)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return log.String(), err
}

// found is what the prisoner reports.
type found struct {
	Root         []string
	Env          []string
	PID, UID     int
	Interfaces   []string
	Capabilities [2]uint32
	NoNewPrivs   bool
	Failures     map[string]string // what was tried, and how it failed; "" when it worked
}

func TestInAJailThereIsNothingToFind(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "id_rsa")
	must(os.WriteFile(secret, []byte("the secret"), 0o644))
	t.Setenv("M3O_TOKEN", "the token")
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer outside.Close()
	abstract, err := net.Listen("unix", "@m3o-build-test-"+strconv.Itoa(os.Getpid()))
	must(err)
	defer abstract.Close()
	modules := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "v1.0.0") }))
	defer modules.Close()
	b := builder(t, func(c *Config) { c.Modules.Proxy = modules.URL })
	said, err := imprison(t, b, "look", secret, outside.Addr().String(), abstract.Addr().String(), strconv.Itoa(os.Getpid()))
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	var f found
	if err := json.Unmarshal([]byte(said), &f); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	top := strings.Split(b.config.GoRoot, "/")[1]
	if want := []string{"caches", "dev", "private", "source", top}; !slices.Equal(f.Root, sorted(want)) {
		t.Errorf("the root holds %q", f.Root)
	}
	for _, e := range f.Env {
		if !slices.ContainsFunc(b.settings("off"), func(s string) bool { return strings.HasPrefix(e, s[:strings.Index(s, "=")+1]) }) || strings.Contains(e, "the token") {
			t.Errorf("the environment holds %q", e)
		}
	}
	if f.PID != 1 || f.UID != 0 || !slices.Equal(f.Interfaces, []string{"lo"}) || f.Capabilities != [2]uint32{} || !f.NoNewPrivs {
		t.Errorf("found %+v", f)
	}
	for what, failure := range f.Failures {
		allowed := slices.Contains([]string{"write to the work folder", "write to the caches", "ask the module proxy", "write to /dev/null"}, what)
		if allowed != (failure == "") {
			t.Errorf("%s: %q", what, failure)
		}
	}
	if len(f.Failures) < 19 {
		t.Errorf("only %d things were tried", len(f.Failures))
	}
}

func sorted(s []string) []string { slices.Sort(s); return s }

func TestAForkBombEndsAtItsLimit(t *testing.T) {
	b := builder(t, func(c *Config) { c.Limits.Processes = 60 })
	said, err := imprison(t, b, "fork", "500")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	n, err := strconv.Atoi(strings.TrimSpace(said))
	if err != nil || n < 1 || n > 60 {
		t.Errorf("%q processes were started, %v", said, err)
	}
}

func TestTooMuchIsKilled(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*Limits)
		args   []string
		want   string
	}{
		// Four processes of 100 MB: none is over the limit alone.
		"memory":               {func(l *Limits) { l.Memory = 250 << 20 }, []string{"hold", "4", "100"}, "the build took more than 250 MiB of memory"},
		"one process's memory": {func(l *Limits) { l.Memory = 250 << 20 }, []string{"hold", "1", "400"}, "the build took more than 250 MiB of memory"},
		"disk":                 {func(l *Limits) { l.Disk = 20 << 20 }, []string{"write", "100"}, "the build wrote more than 20 MiB"},
	} {
		started := time.Now()
		_, err := imprison(t, builder(t, func(config *Config) { c.change(&config.Limits) }), c.args...)
		if !fault.Is(err, fault.Failed) || err.Error() != c.want {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
		if took := time.Since(started); took > 30*time.Second {
			t.Errorf("%s: it took %s", what, took)
		}
	}
	started := time.Now()
	_, err := imprison(t, builder(t, func(c *Config) { c.Limits.Memory = 250 << 20 }), "hold", "1", "2000")
	if took := time.Since(started); err == nil || took > 30*time.Second {
		t.Errorf("one process far over the limit: %v after %s", err, took)
	}
	said, err := imprison(t, builder(t, func(c *Config) { c.Limits.Disk = 20 << 20 }), "write-one", "30")
	if err != nil || !strings.Contains(said, "file too large") {
		t.Errorf("one file over the limit: %v\n%.300s", err, said)
	}
}

// Assembly can include any file by its path, and the assembler shows what it does not understand.
func TestASourceCannotIncludeWhatIsOutside(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	must(os.WriteFile(secret, []byte("TOPSECRET words\n"), 0o644))
	in := input(map[string]string{"go.mod": gomod, "main.go": "package main\n\nfunc f()\n\nfunc main() { f() }\n",
		"f_amd64.s": "#include \"" + secret + "\"\n", "f_arm64.s": "#include \"" + secret + "\"\n"})
	var log bytes.Buffer
	_, err := builder(t, nil).Build(t.Context(), in, &log)
	if !fault.Is(err, fault.Failed) || !strings.Contains(fault.Output(err), "no such file") || strings.Contains(err.Error()+fault.Output(err)+log.String(), "TOPSECRET") {
		t.Errorf("%v\n%s", err, log.String())
	}
	// Without a jail it can: what this test asks is a real question.
	must(os.Chmod(filepath.Dir(secret), 0o755))
	said, status := runChild(t, in, exec.Command("/proc/self/exe"), inUserNamespace, "refused", "unconfined")
	if status == nil || !strings.Contains(said, "TOPSECRET") {
		t.Errorf("without a jail: %v\n%s", status, said)
	}
}

// slow is a source that takes the compiler long.
func slow() map[string]string {
	var b strings.Builder
	b.WriteString("package main\n\nfunc main() {}\n\n")
	for i := range 3000 {
		fmt.Fprintf(&b, "func f%d(a map[string][]int, s string) int {\n\tn := 0\n\tfor k, v := range a {\n\t\tswitch k {\n\t\tcase \"a%d\", s:\n\t\t\tn += len(v)\n"+
			"\t\tdefault:\n\t\t\tfor _, x := range v {\n\t\t\t\tn += x * %d\n\t\t\t}\n\t\t}\n\t}\n\treturn n\n}\n\n", i, i, i)
	}
	return map[string]string{"go.mod": gomod, "main.go": b.String()}
}

func TestABuildOverItsTimeIsEnded(t *testing.T) {
	b := builder(t, func(c *Config) { c.Limits.Time = 1500 * time.Millisecond })
	started := time.Now()
	_, err := b.Build(t.Context(), input(slow()), io.Discard)
	if !fault.Is(err, fault.Failed) || !strings.Contains(err.Error(), "the build took longer than 1.5s") {
		t.Errorf("Build = %v", err)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := builder(t, nil).Build(ctx, input(slow()), io.Discard); err == nil || fault.Is(err, fault.Failed) {
		t.Errorf("a build that the caller ends = %v, want the caller's reason", err)
	}
}

// TestSiblingBuildsSurviveAFullCache: the one that comes second finds the caches full while the first compiles.
func TestSiblingBuildsSurviveAFullCache(t *testing.T) {
	b := full(t)
	first := make(chan error, 1)
	go func() {
		in := input(slow())
		in.Service.Project = "siblings"
		_, err := b.Build(context.Background(), in, io.Discard)
		first <- err
	}()
	waitForCompiler(t, os.Getpid())
	in := input(map[string]string{"go.mod": gomod, "main.go": print})
	in.Service.Project = "siblings"
	build(t, b, in)
	if err := <-first; err != nil {
		t.Errorf("the first build: %v", err)
	}
}

func TestABuildThatIsCancelledEndsAtOnceWithAllItsProcesses(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := builder(t, nil)
	ended := make(chan error, 1)
	go func() {
		_, err := b.Build(ctx, input(slow()), io.Discard)
		ended <- err
	}()
	jailed := waitForCompiler(t, os.Getpid())
	cancelled := time.Now()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Build = %v", err)
	}
	if took := time.Since(cancelled); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
	for _, pid := range jailed {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
			t.Errorf("process %d lives on", pid)
		}
	}
	if left, _ := filepath.Glob(b.path("work", "*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestABuildThatIsKilledLeavesNothingAndIsRepeated(t *testing.T) {
	in := input(slow())
	host := registry(t)
	cmd := childCommand(t, in, exec.Command("/proc/self/exe"), dir, host)
	must(cmd.Start())
	jailed := waitForCompiler(t, cmd.Process.Pid)
	must(cmd.Process.Kill())
	cmd.Wait()
	for _, pid := range jailed {
		waitUntilGone(t, pid)
	}
	left, err := filepath.Glob(filepath.Join(dir, "work", "build-*"))
	if err != nil || len(left) != 1 {
		t.Errorf("the killed build left %q, %v", left, err)
	}
	b := builder(t, func(c *Config) { c.Registry = host })
	if left, _ := filepath.Glob(filepath.Join(dir, "work", "build-*")); len(left) != 0 {
		t.Errorf("a new builder leaves %q", left)
	}
	if got, _ := build(t, b, in); got.Found {
		t.Error("an unfinished build was found")
	}
}

// waitForCompiler returns the processes of the jail once the compiler runs in it.
func waitForCompiler(t *testing.T, pid int) []int {
	t.Helper()
	for range 600 {
		below := descendants(pid)
		for _, p := range below {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p))
			if bytes.Contains(line, []byte("/compile\x00")) {
				return below
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("no compiler was started")
	return nil
}

func descendants(pid int) (all []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		for _, c := range strings.Fields(string(children)) {
			id, err := strconv.Atoi(c)
			must(err)
			all = append(append(all, id), descendants(id)...)
		}
	}
	return all
}

func waitUntilGone(t *testing.T, pid int) {
	t.Helper()
	for range 100 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("process %d of the killed build lives on", pid)
}

func TestAnOrdinaryUserBuildsInAJail(t *testing.T) {
	if os.Getuid() != 0 {
		return // all other tests are this one then
	}
	in := input(map[string]string{"go.mod": gomod, "main.go": print})
	said, err := runChild(t, in, exec.Command("/proc/self/exe"), func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 1234}}
	})
	if err != nil || !strings.Contains(said, "@sha256:") || !strings.Contains(said, "jail: <nil>\n") {
		t.Fatalf("%v\n%s", err, said)
	}
}

func TestABuilderOfLowPriorityBuilds(t *testing.T) {
	self, err := os.Executable()
	must(err)
	nice, err := exec.LookPath("nice")
	must(err)
	in := input(map[string]string{"go.mod": gomod, "main.go": print})
	said, err := runChild(t, in, exec.Command(nice), func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"nice", "-n", "6", self}, cmd.Args[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	})
	if err != nil || !strings.Contains(said, "@sha256:") {
		t.Fatalf("%v\n%s", err, said)
	}
}

func TestWhereNamespacesAreRefusedThatIsSaid(t *testing.T) {
	in := input(map[string]string{"go.mod": gomod, "main.go": print})
	said, err := runChild(t, in, exec.Command("/proc/self/exe"), inUserNamespace, "refused")
	if err == nil || !strings.Contains(said, "jail: sources are built in a user namespace") || !strings.Contains(said, "failed sources are built in a user namespace, which this machine does not allow") {
		t.Errorf("%v\n%s", err, said)
	}
	said, err = runChild(t, in, exec.Command("/proc/self/exe"), inUserNamespace, "refused", "unconfined")
	if err != nil || !strings.Contains(said, "building without one, as was allowed") || !strings.Contains(said, "@sha256:") {
		t.Errorf("%v\n%s", err, said)
	}
}

// inUserNamespace makes the child root of a user namespace, so that it can refuse itself any further one.
func inUserNamespace(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
}

// runChild builds in another process, with its own builder folder.
func runChild(t *testing.T, in Input, cmd *exec.Cmd, change func(*exec.Cmd), words ...string) (string, error) {
	t.Helper()
	own, err := os.MkdirTemp("", "builder-")
	must(err)
	t.Cleanup(func() { os.RemoveAll(own) })
	b := builder(t, nil)
	std, err := b.standardLibrary(t.Context(), io.Discard)
	must(err)
	must(os.CopyFS(filepath.Join(own, "cache", filepath.Base(std)), os.DirFS(std)))
	cmd = childCommand(t, in, cmd, own, registry(t), words...)
	change(cmd)
	if c := cmd.SysProcAttr.Credential; c != nil {
		must(filepath.WalkDir(own, func(name string, _ os.DirEntry, _ error) error { return os.Lchown(name, int(c.Uid), int(c.Gid)) }))
	}
	said, err := cmd.CombinedOutput()
	return string(said), err
}

func childCommand(t *testing.T, in Input, cmd *exec.Cmd, dir, host string, words ...string) *exec.Cmd {
	t.Helper()
	folder, err := os.MkdirTemp("", "archive-")
	must(err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	must(os.Chmod(folder, 0o755))
	archive := filepath.Join(folder, "source.tar.gz")
	r, err := in.Open(t.Context())
	must(err)
	content, err := io.ReadAll(r)
	must(err)
	must(os.WriteFile(archive, content, 0o644))
	cmd.Args = append([]string{"build.test", childArg, dir, goroot(), host, archive, in.Source}, words...)
	return cmd
}

func TestWithoutAJailAllProcessesEndToo(t *testing.T) {
	b := builder(t, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	proxy, err := newModuleProxy(b.config.Modules, 1<<20)
	must(err)
	work := t.TempDir()
	j := job{args: []string{"/bin/sh", "-c", "sleep 300 & sleep 300"}, dir: work, env: []string{"PATH=/usr/bin:/bin"},
		folders: folders{source: work, private: work, goroot: b.config.GoRoot, build: work, modules: work}}
	ended := make(chan error, 1)
	go func() { ended <- b.unconfined(ctx, j, proxy, &output{log: io.Discard}, cancel) }()
	var below []int
	for range 200 {
		if below = descendants(os.Getpid()); len(below) == 3 { // the shell and both of what it started
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	cancelled := time.Now()
	cancel(nil)
	if err := <-ended; err == nil || len(below) != 3 || time.Since(cancelled) > 3*time.Second {
		t.Errorf("%v, %d processes, %s", err, len(below), time.Since(cancelled))
	}
	for _, pid := range below {
		waitUntilGone(t, pid)
	}
}
