//go:build embedded

package spine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// settings of one platform under test.
type settings struct {
	offset int // 0: one that is free
	scale  float64
	poll   string
	more   []string // further flags of `m3o dev`

	binary string // the program; empty: what `make build` made

	within []string // the command that runs it; empty: it runs by itself
}

// platform is `m3o dev` in a data directory of its own, on ports of its own.
type platform struct {
	t      *testing.T
	dir    string
	offset int
	within []string
	binary string // of another version
	args   []string
	dev    *exec.Cmd
	ended  chan struct{}
	api    string
	log    *os.File
	// furnished is what the sandbox had at the beginning, as inventory has it: accounts in use have things of their own.
	furnished map[string]int
}

// program is what `make build` made.
func program(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../../bin/m3o")
	if err != nil {
		t.Fatal(err)
	}
	for _, need := range []string{path, filepath.Join(filepath.Dir(path), "m3o-kube"), filepath.Join(filepath.Dir(path), "images", "etcd")} {
		if _, err := os.Stat(need); err != nil {
			t.Fatalf("%s is missing: run make build first", need)
		}
	}
	return path
}

func (p *platform) program() string {
	if p.binary != "" {
		return p.binary
	}
	return program(p.t)
}

// start brings up a platform that is taken down, checked for leftovers of its own, when the test ends.
func start(t *testing.T, s settings) *platform {
	t.Helper()
	p := &platform{t: t, dir: t.TempDir(), offset: s.offset, within: s.within, binary: s.binary}
	if p.offset == 0 {
		p.offset = freeOffset(t)
	}
	p.api = "http://127.0.0.1:" + strconv.Itoa(8080+p.offset)
	p.args = append([]string{"dev", "--data-dir", p.dir, "--port-offset", strconv.Itoa(p.offset), "--time-scale", fmt.Sprint(s.scale), "--poll", s.poll}, s.more...)
	log, err := os.Create(filepath.Join(p.dir, "dev.log"))
	if err != nil {
		t.Fatal(err)
	}
	p.log = log
	p.up()
	t.Cleanup(p.down)
	p.furnished = p.inventory()
	return p
}

func freeOffset(t *testing.T) int {
	t.Helper()
	for range 100 {
		offset := 10000 + rand.IntN(200)*100
		if allFree(offset) {
			return offset
		}
	}
	t.Fatal("no free ports were found")
	return 0
}

func allFree(offset int) bool {
	for _, port := range []int{8080, 7233, 8233, 5001, 9000, 9001, 9002, 9003, 9004} {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port+offset))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

// up starts `m3o dev` in a process group of its own, and returns when it is ready.
func (p *platform) up() {
	p.t.Helper()
	began := time.Now()
	p.launch()
	for time.Since(began) < time.Minute {
		if resp, err := http.Get(p.api + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-p.ended:
			p.t.Fatalf("m3o dev ended: %s", p.tail())
		case <-time.After(50 * time.Millisecond):
		}
	}
	p.t.Fatalf("m3o dev is not ready after a minute: %s", p.tail())
}

func (p *platform) launch() {
	p.t.Helper()
	line := append(append(slices.Clone(p.within), p.program()), p.args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), "GOPROXY="+modules(p.t)), p.log, p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	p.dev, p.ended = cmd, ended
}

// modules is the machine's module proxy, and where it cannot be reached what building this project fetched from it.
func modules(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOPROXY", "GOMODCACHE").Output()
	proxy, cache, found := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil || !found {
		t.Fatalf("go env: %q, %v", out, err)
	}
	return strings.ReplaceAll(proxy, ",", "|") + "|file://" + filepath.Join(cache, "cache", "download")
}

func (p *platform) tail() string {
	data, _ := os.ReadFile(p.log.Name())
	return string(data[max(0, len(data)-3000):])
}

// kill ends the whole process group at once, as a power cut would. The sandbox is in another, and lives on.
func (p *platform) kill() {
	_ = syscall.Kill(-p.dev.Process.Pid, syscall.SIGKILL) // it may have ended by itself
	<-p.ended
}

// down stops everything, and shows the logs of a test that failed.
func (p *platform) down() {
	p.stop()
	if p.t.Failed() {
		p.t.Logf("end of dev.log: %s", p.tail())
		if sandbox, err := os.ReadFile(filepath.Join(p.dir, "log", "sandbox.log")); err == nil {
			p.t.Logf("end of sandbox.log: %s", sandbox[max(0, len(sandbox)-3000):])
		}
	}
}

// stop ends `m3o dev` as an operator does, and fails the test if a process of ours is left.
func (p *platform) stop() {
	_ = p.dev.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-p.ended:
	case <-time.After(90 * time.Second):
		p.t.Errorf("m3o dev does not stop: %s", p.tail())
		p.kill()
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		left := processesOf(p.dir)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			p.t.Errorf("processes are left: %v", left)
			for pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			return
		}
	}
}

// processesOf lists the processes whose command line names the directory.
func processesOf(dir string) map[int]string {
	found := map[int]string{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if bytes.Contains(line, []byte(dir)) {
			found[pid] = string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
	return found
}

// result is how a command ended.
type result struct {
	out, errs string
	code      int
}

// m3o runs a command of the command line.
func (p *platform) m3o(args ...string) result {
	p.t.Helper()
	return p.command(context.Background(), args...)
}

func (p *platform) command(ctx context.Context, args ...string) result {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	return execute(exec.CommandContext(ctx, p.program(), p.here(args)...))
}

// here makes a command one on this platform.
func (p *platform) here(args []string) []string {
	return append(args, "--data-dir", p.dir, "--api", p.api)
}

func execute(cmd *exec.Cmd) result {
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := result{out: out.String(), errs: errs.String(), code: cmd.ProcessState.ExitCode()}
	if err != nil && r.code < 0 {
		r.errs += err.Error()
	}
	return r
}

// must runs a command that has to succeed, and returns what it printed.
func (p *platform) must(args ...string) string {
	p.t.Helper()
	r := p.m3o(args...)
	if r.code != 0 {
		p.t.Fatalf("m3o %s: exit %d\n%s\n%s", strings.Join(args, " "), r.code, r.errs, r.out)
	}
	return r.out
}

// decode reads JSON that a command printed.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// file writes a platform file with the regions.
func (p *platform) file(regions ...string) string {
	p.t.Helper()
	var b strings.Builder
	b.WriteString("platforms:\n- name: micro\n  domain: m3o.localhost\n  regions:\n")
	for _, r := range regions {
		fmt.Fprintf(&b, "  - {name: %s, provider: do, region: %s, kubernetes: {version: \"1.34\", nodes: {count: 1, size: s-2vcpu-4gb}}, resource: [etcd, nats], network: [api], unenforced: allow}\n", r, r)
	}
	path := filepath.Join(p.t.TempDir(), "platform.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// effect is a line of the sandbox's ledger.
type effect struct {
	Seq         int64     `json:"seq"`
	Time        time.Time `json:"time"`
	Operation   string    `json:"operation"`
	Kind        string    `json:"kind"`
	Resource    string    `json:"resource"`
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	State       string    `json:"state"`
	RequestedAt time.Time `json:"requested_at"`
	ReadyAt     time.Time `json:"ready_at"`
}

func (p *platform) sandbox(method, path, body string) []byte {
	p.t.Helper()
	req, err := http.NewRequest(method, "http://127.0.0.1:"+strconv.Itoa(9000+p.offset)+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		p.t.Fatalf("%s %s: %s %v: %s", method, path, resp.Status, err, data)
	}
	return data
}

// effects reads the whole ledger, which is told in parts.
func (p *platform) effects() []effect {
	p.t.Helper()
	var all []effect
	for since := int64(0); ; since = all[len(all)-1].Seq {
		before := len(all)
		lines := bufio.NewScanner(bytes.NewReader(p.sandbox(http.MethodGet, fmt.Sprintf("/_sandbox/effects?since=%d", since), "")))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			all = append(all, decode[effect](p.t, lines.Text()))
		}
		if err := lines.Err(); err != nil {
			p.t.Fatal(err)
		}
		if len(all) == before {
			return all
		}
	}
}

// asked is what a region of these tests consists of and the platform asks the cloud for. What its cluster makes by itself
// is in the ledger when the sandbox has looked: one load balancer and at most two volumes.
var (
	asked  = map[string]int{"vpc": 1, "kubernetes_cluster": 1, "kubernetes_node_pool": 1, "kubernetes_node": 1}
	itself = map[string]int{"load_balancer": 1, "volume": 2}
)

// once fails the test unless the ledger shows each resource of so many regions created once, and, if all are to be gone,
// deleted once. A region that was taken down and made again counts anew: so what is made, removed and made once more on the
// way to one region is found out.
func (p *platform) once(regions int, gone bool) (created, deleted int) {
	p.t.Helper()
	made, ended, names, kinds := map[string]int{}, map[string]int{}, map[string]string{}, map[string]int{}
	for _, e := range p.effects() {
		key := e.Resource + " " + e.ID
		names[key] = e.Resource + " " + e.Name
		switch e.Kind {
		case "created":
			made[key]++
			kinds[e.Resource]++
			created++
		case "deleted":
			ended[key]++
			deleted++
		}
	}
	p.counted(kinds, regions)
	living := map[string]string{}
	for key, n := range made {
		if n != 1 || ended[key] > 1 {
			p.t.Errorf("%s was created %d times and deleted %d times", names[key], n, ended[key])
		}
		if ended[key] > 0 {
			continue
		}
		if other, twice := living[names[key]]; twice {
			p.t.Errorf("there are two of %s: %s and %s", names[key], other, key)
		}
		living[names[key]] = key
	}
	if gone && len(living) > 0 {
		p.t.Errorf("left over: %v", living)
	}
	return created, deleted
}

// counted compares how many of each kind were created with what so many regions need.
func (p *platform) counted(kinds map[string]int, regions int) {
	p.t.Helper()
	for kind, each := range asked {
		if kinds[kind] != each*regions {
			p.t.Errorf("%d of kind %s were created for %d regions, want %d", kinds[kind], kind, regions, each*regions)
		}
	}
	for kind, n := range kinds {
		if asked[kind] == 0 && n > itself[kind]*regions {
			p.t.Errorf("%d of kind %s were created for %d regions, want %d at most", n, kind, regions, itself[kind]*regions)
		}
	}
}

// nothingLeft fails the test if anything exists in the sandbox that was not there before.
func (p *platform) nothingLeft() {
	p.t.Helper()
	for one, n := range p.inventory() {
		if n > p.furnished[one] {
			p.t.Errorf("the sandbox still has %d of %s, and had %d", n, one, p.furnished[one])
		}
	}
}

// inventory counts what exists in the sandbox, by provider, kind, id and name: not all have all of these.
func (p *platform) inventory() map[string]int {
	p.t.Helper()
	state := decode[struct {
		Providers map[string]map[string][]struct{ ID, Name string }
	}](p.t, string(p.sandbox(http.MethodGet, "/_sandbox/state", "")))
	found := map[string]int{}
	for provider, kinds := range state.Providers {
		for kind, all := range kinds {
			for _, one := range all {
				found[fmt.Sprintf("%s's %s %s (%s)", provider, kind, one.Name, one.ID)]++
			}
		}
	}
	return found
}
