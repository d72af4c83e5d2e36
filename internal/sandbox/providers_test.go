package sandbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// tiny is a cloud that has nothing.
type tiny struct {
	http.Handler
	name string
}

func (c tiny) Name() string                { return c.name }
func (tiny) Operations() []string          { return []string{"things_list"} }
func (tiny) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// trusting is a client that trusts the sandbox's authority and no other.
func trusting(t *testing.T, dir string) *http.Client {
	t.Helper()
	data, err := os.ReadFile(AuthorityFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		t.Fatalf("%s has no certificate", AuthorityFile(dir))
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TestACloudIsARow adds a cloud as its developer would, and asks what must follow from it.
func TestACloudIsARow(t *testing.T) {
	before := providers
	defer func() { providers = before }()
	opened := make(chan environment, 1)
	providers = append(slices.Clone(providers), row{name: "test", offset: 9, credentials: "test.ini", scheme: "https", open: func(env environment) (Provider, error) {
		opened <- env
		return tiny{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "nothing") }), "test"}, nil
	}})
	if ports := Ports(9000); ports["test"] != 9009 || ports["digitalocean"] != 9001 || len(ports) != len(before)+2 {
		t.Errorf("ports %v", ports)
	}
	if err := (Config{BasePort: 9000, OpenPorts: []int{9009}}).checkOpen(); err == nil || !strings.Contains(err.Error(), "the sandbox's own (test)") {
		t.Errorf("its port can be opened to pods: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan Endpoints, 1), make(chan error, 1)
	dir := filepath.Join(t.TempDir(), "sandbox")
	go func() {
		ended <- Run(ctx, Config{Dir: dir, BasePort: AnyPort, TimeScale: 0.001, Clusters: clusterstest.New(1), Policies: map[string][]byte{"test": []byte("all")}, Logger: slog.New(slog.DiscardHandler), Ready: func(e Endpoints) { ready <- e }})
	}()
	at := <-ready
	env := <-opened
	if env.credentials != filepath.Join(dir, "test.ini") || CredentialsFile(dir, "test") != env.credentials || CredentialsFile(dir, "none") != "" {
		t.Errorf("its credentials are in %s", env.credentials)
	}
	if env.url != at.Providers["test"] || env.control != at.Control || string(env.policy) != "all" {
		t.Errorf("it is told %q, %q, %q", env.url, env.control, env.policy)
	}
	client := trusting(t, dir)
	for url, want := range map[string]string{at.Providers["test"]: "nothing", at.Control + "/healthz": at.Providers["test"]} {
		answer, err := client.Get(url)
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
