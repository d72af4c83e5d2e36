package sandbox_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/world"
)

// inMemory is a sandbox without processes.
func inMemory(t *testing.T) sandbox.Config {
	t.Helper()
	return sandbox.Config{Dir: filepath.Join(t.TempDir(), "sandbox"), BasePort: sandbox.AnyPort, TimeScale: 0.001, Clusters: clusterstest.New(4)}
}

func TestFaultsOverTheControlRoutes(t *testing.T) {
	s := start(t, inMemory(t))
	for body, words := range map[string]string{
		`{"provider":"digitalocean","operation":"vpcs_creat","fault":"throttle"}`:                       "vpcs_create",
		`{"provider":"digitalosean","operation":"vpcs_create","fault":"throttle"}`:                      "digitalocean",
		`{"provider":"digitalocean","operation":"vpcs_create","fault":"explode"}`:                       "throttle",
		`{"provider":"digitalocean","operation":"vpcs_create","fault":"slow","delay":"long"}`:           "delay",
		`{"provider":"digitalocean","operation":"vpcs_create","fault":"5xx","status":404}`:              "503",
		`{"provider":"digitalocean","operation":"vpcs_create","fault":"throttle","after":-1}`:           "negative",
		`{"provider":"digitalocean","operation":"vpcs_create","fault":"throttle","match":"["}`:          "match",
		`{"provider":"digitalocean","operation":"vpcs_create","fault":"throttle","how often":"always"}`: "a fault is",
	} {
		answer := s.ask(http.MethodPost, "/_sandbox/faults", json.RawMessage(body), http.StatusBadRequest)
		if !strings.Contains(string(answer), words) {
			t.Errorf("%s is answered %s, without %q", body, answer, words)
		}
	}
	s.ask(http.MethodPost, "/_sandbox/faults", world.Fault{Provider: "digitalocean", Operation: "account_get", Fault: world.ServerError, Times: 2}, http.StatusCreated)
	_, response, _ := s.do.Account.Get(t.Context())
	if response == nil || response.StatusCode != http.StatusInternalServerError {
		t.Errorf("the fault does not show: %v", response)
	}
	var listed struct{ Faults []world.Fault }
	must(t, json.Unmarshal(s.ask(http.MethodGet, "/_sandbox/faults", nil, http.StatusOK), &listed))
	if len(listed.Faults) != 1 || listed.Faults[0].Used != 1 || listed.Faults[0].Times != 1 {
		t.Errorf("faults %+v", listed.Faults)
	}
	s.ask(http.MethodDelete, "/_sandbox/faults", nil, http.StatusOK)
	_, _, err := s.do.Account.Get(t.Context())
	must(t, err)
}

func TestLedgerAndRequestsOverTheControlRoutes(t *testing.T) {
	config := inMemory(t)
	s := start(t, config)
	for _, name := range []string{"net-1", "net-2"} {
		_, _, err := s.do.VPCs.Create(t.Context(), &godo.VPCCreateRequest{Name: name, RegionSlug: "lon1"})
		must(t, err)
	}
	effects := s.effects()
	if len(effects) != 2 || effects[0].Seq != 1 || effects[0].Kind != "created" || effects[0].Name != "net-1" || effects[0].Resource != "vpc" {
		t.Errorf("effects %+v", effects)
	}
	later := s.ask(http.MethodGet, "/_sandbox/effects?since=1", nil, http.StatusOK)
	if strings.Count(string(later), "\n") != 1 || !strings.Contains(string(later), "net-2") {
		t.Errorf("after line 1: %s", later)
	}
	s.ask(http.MethodGet, "/_sandbox/effects?since=x", nil, http.StatusBadRequest)
	token, err := os.ReadFile(sandbox.CredentialsFile(config.Dir, "digitalocean"))
	must(t, err)
	requests := string(s.ask(http.MethodGet, "/_sandbox/requests?n=5", nil, http.StatusOK))
	if !strings.Contains(requests, `"operation":"vpcs_create"`) || strings.Contains(requests, strings.TrimSpace(string(token))) {
		t.Errorf("requests %s", requests)
	}
	state := string(s.ask(http.MethodGet, "/_sandbox/state", nil, http.StatusOK))
	if !strings.Contains(state, `"vpc":[{"id"`) {
		t.Errorf("state %s", state)
	}
}

func TestStateOutlivesARestart(t *testing.T) {
	config := inMemory(t)
	s := start(t, config)
	made, _, err := s.do.VPCs.Create(t.Context(), &godo.VPCCreateRequest{Name: "net-1", RegionSlug: "lon1"})
	must(t, err)
	s.stop()
	s = start(t, config)
	found, _, err := s.do.VPCs.Get(t.Context(), made.ID) // with the same token
	must(t, err)
	if *found != *made {
		t.Errorf("found %+v, made %+v", found, made)
	}
}

func TestBrowsersAreRefused(t *testing.T) {
	s := start(t, inMemory(t))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, s.endpoints.Control+"/_sandbox/faults", nil)
	must(t, err)
	request.Header.Set("Origin", "https://example.com")
	answer, err := http.DefaultClient.Do(request)
	must(t, err)
	must(t, answer.Body.Close())
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("status %d", answer.StatusCode)
	}
}

func TestTokenIsPrivate(t *testing.T) {
	config := inMemory(t)
	start(t, config)
	info, err := os.Stat(sandbox.CredentialsFile(config.Dir, "digitalocean"))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file has mode %o", info.Mode().Perm())
	}
}

func TestDirectoryInUseNamesItsHolder(t *testing.T) {
	config := inMemory(t)
	start(t, config)
	err := sandbox.Run(t.Context(), config)
	if err == nil || !strings.Contains(err.Error(), "in use by process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("a second sandbox on the directory: %v", err)
	}
}

func TestPortTakenIsSaid(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	config := inMemory(t)
	config.BasePort = taken.Addr().(*net.TCPAddr).Port
	if err := sandbox.Run(t.Context(), config); err == nil || !strings.Contains(err.Error(), strconv.Itoa(config.BasePort)) {
		t.Errorf("a taken port: %v", err)
	}
}

func TestBadConfigurationsAreSaid(t *testing.T) {
	for words, change := range map[string]func(*sandbox.Config){
		"directory":     func(c *sandbox.Config) { c.Dir = "" },
		"time scale":    func(c *sandbox.Config) { c.TimeScale = -1 },
		"base port":     func(c *sandbox.Config) { c.BasePort = 70000 },
		"droplet limit": func(c *sandbox.Config) { c.DropletLimit = -1 },
		"m3o-kube":      func(c *sandbox.Config) { c.Clusters = nil },
		"policies":      func(c *sandbox.Config) { c.Policies = map[string][]byte{"nobody": nil} },
		"make build":    func(c *sandbox.Config) { c.Clusters, c.KubeBinary = nil, "/does/not/exist" },
		"kubeconfig":    func(c *sandbox.Config) { c.Clusters, c.Kubeconfig = nil, "/does/not/exist" },
	} {
		config := inMemory(t)
		change(&config)
		if err := sandbox.Run(t.Context(), config); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", words, err)
		}
	}
}

// TestPodsReachOnlyOpenPorts sees that a cluster is told which ports of the machine its pods reach.
func TestPodsReachOnlyOpenPorts(t *testing.T) {
	binary, err := os.Executable()
	must(t, err)
	config := inMemory(t)
	config.Clusters, config.KubeBinary, config.BasePort, config.OpenPorts = nil, binary, freePorts(t), []int{5432, 5001, 5432}
	s := start(t, config)
	cluster, _, err := s.do.Kubernetes.Create(t.Context(), &godo.KubernetesClusterCreateRequest{Name: "lon1", RegionSlug: "lon1", VersionSlug: "1.34",
		NodePools: []*godo.KubernetesNodePoolCreateRequest{{Name: "main", Size: "c-2", Count: 1}}})
	must(t, err)
	s.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	files, err := filepath.Glob(filepath.Join(config.Dir, "clusters", "*", "cluster.json"))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("wanted clusters: %v", files)
	}
	text, err := os.ReadFile(files[0])
	must(t, err)
	var wanted struct{ OpenPorts []int }
	must(t, json.Unmarshal(text, &wanted))
	if want := []int{5001, 5432}; !slices.Equal(wanted.OpenPorts, want) {
		t.Errorf("open to pods are %v, want %v", wanted.OpenPorts, want)
	}
}

// TestItsOwnPortsCannotBeOpened: whoever reaches them owns every cluster.
func TestItsOwnPortsCannotBeOpened(t *testing.T) {
	base := freePorts(t)
	for port, words := range map[int]string{base: "sandbox's own (control routes)", base + 1: "sandbox's own (digitalocean)", 0: "not between", 65536: "not between"} {
		config := inMemory(t)
		config.BasePort, config.OpenPorts = base, []int{5001, port}
		if err := sandbox.Run(t.Context(), config); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("open port %d: %v", port, err)
		}
	}
}

// TestAbandonedSandboxStops runs real processes as clusters: without an owner, they stop with the sandbox.
func TestAbandonedSandboxStops(t *testing.T) {
	binary, err := os.Executable()
	must(t, err)
	config := inMemory(t)
	config.Clusters, config.KubeBinary, config.LeaseTimeout = nil, binary, 5*time.Second
	s := &started{t: t}
	ready, stopped := make(chan sandbox.Endpoints, 1), make(chan error, 1)
	config.Ready = func(e sandbox.Endpoints) { ready <- e }
	go func() { stopped <- sandbox.Run(context.Background(), config) }()
	s.endpoints = <-ready
	s.do = sdk(t, config.Dir, s.endpoints.Providers["digitalocean"])
	cluster, _, err := s.do.Kubernetes.Create(t.Context(), &godo.KubernetesClusterCreateRequest{Name: "lon1", RegionSlug: "lon1", VersionSlug: "1.34",
		NodePools: []*godo.KubernetesNodePoolCreateRequest{{Name: "main", Size: "c-2", Count: 1}}})
	must(t, err)
	s.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	pid := readPID(t, filepath.Join(filepath.Dir(config.Dir), "run", "cluster-lon1.pid"))
	for range 6 { // longer than one lease
		s.ask(http.MethodPost, "/_sandbox/lease", nil, http.StatusOK)
		time.Sleep(time.Second)
	}
	select {
	case err := <-stopped:
		t.Fatalf("it stopped although its owner was there: %v", err)
	default:
	}
	select {
	case err := <-stopped:
		must(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("it does not stop without its owner")
	}
	s.eventually("the cluster's process ends", func() bool { return syscall.Kill(pid, 0) != nil })
}

// TestPagesDoNotReachTheClouds: one that made its own name stand for this machine gives it away.
func TestPagesDoNotReachTheClouds(t *testing.T) {
	s := start(t, inMemory(t))
	for _, url := range []string{s.endpoints.Control + "/healthz", s.endpoints.Control + "/_sandbox/state", s.endpoints.Providers["digitalocean"] + "/v2/account"} {
		for host, refused := range map[string]bool{"evil.example:9000": true, "localhost:9000": false, "": false} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			must(t, err)
			request.Host = host
			answer, err := http.DefaultClient.Do(request)
			must(t, err)
			must(t, answer.Body.Close())
			if (answer.StatusCode == http.StatusMisdirectedRequest) != refused {
				t.Errorf("%s of %q: status %d", url, host, answer.StatusCode)
			}
		}
	}
}
