//go:build clients

package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
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

	"github.com/m3o/platform/internal/sandbox"
)

const (
	// startLimit and stopLimit are for the sandbox's process and its clusters, clientLimit for one run of a client: Python, Java and
	// Terraform's plugins take their time on a busy machine.
	startLimit  = time.Minute
	stopLimit   = time.Minute
	clientLimit = 4 * time.Minute
	// nowhere is a proxy that there is not, here what is reached without it.
	nowhere = "http://127.0.0.1:9"
	here    = "127.0.0.1,localhost"
	// scale makes a cluster's ten minutes six seconds.
	scale = "0.01"
)

// sandboxed is a sandbox that runs as a process of its own, and the clients that are run against it.
type sandboxed struct {
	dir string
	at  sandbox.Endpoints

	t      *testing.T // of the cloud whose turn it is
	cloud  string
	home   string   // an empty folder, where the cloud's clients are at home
	env    []string // what its clients have in their environment
	trials []trial
}

// startSandbox runs bin/m3o sandbox until the test ends.
func startSandbox(t *testing.T) *sandboxed {
	t.Helper()
	dir, err := os.MkdirTemp("", "sb") // short: below it are unix sockets
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	s := &sandboxed{dir: filepath.Join(dir, "sandbox")}
	log, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	port := 20000 + 10*rand.IntN(1000)
	cmd := exec.Command(program(t, "m3o"), "sandbox", "--dir", s.dir, "--port", strconv.Itoa(port), "--time-scale", scale, "--kube", program(t, "m3o-kube"))
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { stop(t, cmd, ended, log) })
	for deadline := time.Now().Add(startLimit); ; time.Sleep(100 * time.Millisecond) {
		if s.at, err = sandbox.Find(t.Context(), s.dir); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the sandbox does not start: %v", err)
		}
	}
	lease, end := context.WithCancel(t.Context())
	t.Cleanup(end)
	go s.renew(lease)
	return s
}

// renew is the owner that a sandbox wants to hear of.
func (s *sandboxed) renew(ctx context.Context) {
	for ctx.Err() == nil {
		if answer, err := http.Post(s.at.Control+"/_sandbox/lease", "application/json", nil); err == nil {
			_ = answer.Body.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
		}
	}
}

// stop ends the sandbox with its clusters, and shows its log if the test failed.
func stop(t *testing.T, cmd *exec.Cmd, ended chan error, log *os.File) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(stopLimit):
		t.Errorf("the sandbox does not stop")
		_ = cmd.Process.Kill()
	}
	if text, err := os.ReadFile(log.Name()); t.Failed() {
		t.Logf("the sandbox's log: %v\n%s", err, text[max(0, len(text)-20_000):])
	}
	must(t, log.Close())
}

// program is one that make build makes.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../../bin", name))
	must(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("there is no %s: run make build", path)
	}
	return path
}

// enter makes it a cloud's turn: its clients get an empty home, and what `m3o sandbox env` prints.
func (s *sandboxed) enter(t *testing.T, cloud string) {
	t.Helper()
	s.t, s.cloud, s.home = t, cloud, t.TempDir()
	if s.at.Providers[cloud] == "" {
		t.Fatalf("the sandbox has no cloud %s", cloud)
	}
	out, err := exec.Command(program(t, "m3o"), "sandbox", "env", cloud, "--dir", s.dir, "--json").Output()
	must(t, err)
	var variables map[string]string
	must(t, json.Unmarshal(out, &variables))
	// Nothing listens at the proxy's port: what a client wants from elsewhere than this machine, it does not get.
	s.env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + s.home, "TMPDIR=" + t.TempDir(),
		"HTTPS_PROXY=" + nowhere, "HTTP_PROXY=" + nowhere, "https_proxy=" + nowhere, "http_proxy=" + nowhere, "NO_PROXY=" + here, "no_proxy=" + here}
	for name, value := range variables {
		s.env = append(s.env, name+"="+value)
	}
}

// credentials is the file of the cloud whose turn it is.
func (s *sandboxed) credentials() string { return sandbox.CredentialsFile(s.dir, s.cloud) }

// client is a program on this machine.
type client struct {
	of         *sandboxed
	name, path string
}

// find returns every program of that name that is in the PATH, each once, whose check succeeds, and notes that there is none.
func (s *sandboxed) find(name, what string, check ...string) []client {
	s.t.Helper()
	var found []client
	var seen []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			continue
		}
		real, err := filepath.EvalSymlinks(path)
		if err != nil || slices.Contains(seen, real) {
			continue
		}
		seen = append(seen, real)
		one := client{s, name, path}
		if _, err := one.try(check...); len(check) == 0 || err == nil {
			found = append(found, one)
		}
	}
	if len(found) == 0 {
		s.note(name, what, notThere)
	}
	return found
}

// first has a client be the one of its name that others find, as a kubeconfig names it, while do runs.
func (s *sandboxed) first(c client, do func()) {
	before := s.env
	s.env = append(slices.Clone(before), "PATH="+filepath.Dir(c.path)+":"+os.Getenv("PATH"))
	do()
	s.env = before
}

// has reports whether a client's helper is there, and notes that it is not.
func (s *sandboxed) has(name string) bool {
	_, err := exec.LookPath(name)
	if err != nil {
		s.note(name, "a token for kubectl", notThere)
	}
	return err == nil
}

func (s *sandboxed) note(client, what, outcome string) {
	s.trials = append(s.trials, trial{s.cloud, client, what, outcome})
}

// try runs the program and returns what it says, on standard output; an error has all of it.
func (c client) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(c.of.t.Context(), clientLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = c.of.home, c.of.env, time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), errors.Join(fmt.Errorf("%s %s: %w", c.path, strings.Join(args, " "), err), ctx.Err(), errors.New(cut(out.String()+said.String())))
	}
	return out.String(), nil
}

// cut is what of a client's complaint is shown: its beginning and, where Python says what it is about, its end.
func cut(text string) string {
	const most = 1500
	if len(text) <= 2*most {
		return text
	}
	return text[:most] + "\n…\n" + text[len(text)-most:]
}

// run uses the program for something, checks what it says, and notes the outcome.
func (c client) run(what string, check func(out string) error, args ...string) (ok bool) {
	c.of.t.Helper()
	out, err := c.try(args...)
	if err == nil {
		if err = check(out); err != nil {
			err = fmt.Errorf("%s %s: %w\n%s", c.path, strings.Join(args, " "), err, out)
		}
	}
	outcome := ran
	if err != nil {
		outcome = failed
		c.of.t.Errorf("%s: %v", what, err)
	}
	c.of.note(c.path, what, outcome)
	return err == nil
}

// says checks that every one of the words is said.
func says(words ...string) func(string) error {
	return func(out string) error {
		for _, word := range words {
			if !strings.Contains(out, word) {
				return fmt.Errorf("%q is not said", word)
			}
		}
		return nil
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
