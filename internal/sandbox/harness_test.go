package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	"golang.org/x/oauth2"

	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

// started is a sandbox that runs in this process.
type started struct {
	t         *testing.T
	endpoints sandbox.Endpoints
	do        *godo.Client
	stop      func()
}

// start runs a sandbox until stop is called, or the test ends.
func start(t *testing.T, config sandbox.Config) *started {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan sandbox.Endpoints, 1)
	stopped := make(chan error, 1)
	config.Ready = func(e sandbox.Endpoints) { ready <- e }
	if config.Logger == nil {
		config.Logger = slog.New(slog.NewTextHandler(testLog{t}, nil))
	}
	go func() { stopped <- sandbox.Run(ctx, config) }()
	s := &started{t: t}
	done := false
	s.stop = func() {
		if done {
			return
		}
		done = true
		cancel()
		must(t, <-stopped)
	}
	t.Cleanup(s.stop)
	select {
	case s.endpoints = <-ready:
	case err := <-stopped:
		done = true
		t.Fatalf("the sandbox did not start: %v", err)
	}
	s.do = sdk(t, config.Dir, s.endpoints.Providers["digitalocean"])
	return s
}

// sdk is the official SDK, with the token that the sandbox keeps.
func sdk(t *testing.T, dir, url string) *godo.Client {
	t.Helper()
	token, err := os.ReadFile(sandbox.CredentialsFile(dir, "digitalocean"))
	must(t, err)
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: strings.TrimSpace(string(token))})
	client, err := godo.New(oauth2.NewClient(context.Background(), source), godo.SetBaseURL(url))
	must(t, err)
	return client
}

// testLog writes a sandbox's log to the test's.
type testLog struct{ t *testing.T }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *started) eventually(what string, done func() bool) {
	s.t.Helper()
	begun := time.Now()
	for !done() {
		if time.Since(begun) > 3*time.Minute {
			s.t.Fatalf("waited too long: %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Logf("%s after %s", what, time.Since(begun).Round(time.Millisecond))
}

func (s *started) state(id string) godo.KubernetesClusterStatusState {
	s.t.Helper()
	cluster, _, err := s.do.Kubernetes.Get(s.t.Context(), id)
	must(s.t, err)
	if cluster.Status.State == godo.KubernetesClusterStatusError {
		s.t.Fatalf("the cluster failed: %s", cluster.Status.Message)
	}
	return cluster.Status.State
}

func (s *started) waitState(id string, state godo.KubernetesClusterStatusState) {
	s.t.Helper()
	s.eventually("the cluster is "+string(state), func() bool { return s.state(id) == state })
}

func (s *started) waitGone(id string) {
	s.t.Helper()
	s.eventually("the cluster is gone", func() bool {
		_, response, err := s.do.Kubernetes.Get(s.t.Context(), id)
		return err != nil && response.StatusCode == http.StatusNotFound
	})
}

// ask sends a request to a control route and reads the answer.
func (s *started) ask(method, path string, body any, want int) []byte {
	s.t.Helper()
	data, err := json.Marshal(body)
	must(s.t, err)
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.endpoints.Control+path, bytes.NewReader(data))
	must(s.t, err)
	answer, err := http.DefaultClient.Do(request)
	must(s.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(s.t, err)
	if answer.StatusCode != want {
		s.t.Fatalf("%s %s answers %d %s, want %d", method, path, answer.StatusCode, text, want)
	}
	return text
}

// effects reads the ledger.
func (s *started) effects() []world.Effect {
	s.t.Helper()
	var effects []world.Effect
	decoder := json.NewDecoder(bytes.NewReader(s.ask(http.MethodGet, "/_sandbox/effects", nil, http.StatusOK)))
	for decoder.More() {
		var e world.Effect
		must(s.t, decoder.Decode(&e))
		effects = append(effects, e)
	}
	return effects
}

// readPID reads a pid file.
func readPID(t *testing.T, path string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	must(t, err)
	return pid
}
