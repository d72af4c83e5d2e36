package sandbox

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// tiny is a cloud that has nothing.
type tiny struct{ http.Handler }

func (tiny) Name() string                  { return "test" }
func (tiny) Operations() []string          { return []string{"things_list"} }
func (tiny) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// TestACloudIsARow adds a cloud as its developer would, and asks what must follow from it.
func TestACloudIsARow(t *testing.T) {
	before := providers
	defer func() { providers = before }()
	opened := make(chan string, 1)
	providers = append(slices.Clone(providers), row{"test", 2, func(env environment) (Provider, error) {
		opened <- TokenFile(env.config.Dir, "test")
		return tiny{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "nothing") })}, nil
	}})
	if ports := Ports(9000); ports["test"] != 9002 || ports["digitalocean"] != 9001 || len(ports) != 3 {
		t.Errorf("ports %v", ports)
	}
	if err := (Config{BasePort: 9000, OpenPorts: []int{9002}}).checkOpen(); err == nil || !strings.Contains(err.Error(), "the sandbox's own (test)") {
		t.Errorf("its port can be opened to pods: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan Endpoints, 1), make(chan error, 1)
	dir := filepath.Join(t.TempDir(), "sandbox")
	go func() {
		ended <- Run(ctx, Config{Dir: dir, BasePort: AnyPort, TimeScale: 0.001, Clusters: clusterstest.New(1), Logger: slog.New(slog.DiscardHandler), Ready: func(e Endpoints) { ready <- e }})
	}()
	at := <-ready
	if file := <-opened; file != filepath.Join(dir, "test.token") {
		t.Errorf("its credentials are in %s", file)
	}
	for url, want := range map[string]string{at.Providers["test"]: "nothing", at.Control + "/healthz": at.Providers["test"]} {
		answer, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s answers %s, %v", url, body, err)
		}
	}
	for fault, want := range map[string]int{`{"provider":"test","operation":"things_list","fault":"throttle"}`: 201, `{"provider":"test","operation":"vpcs_create","fault":"throttle"}`: 400} {
		answer, err := http.Post(at.Control+"/_sandbox/faults", "application/json", strings.NewReader(fault))
		if err != nil {
			t.Fatal(err)
		}
		if _ = answer.Body.Close(); answer.StatusCode != want {
			t.Errorf("%s is answered %d", fault, answer.StatusCode)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
