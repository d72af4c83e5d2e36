package digitalocean_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	"golang.org/x/oauth2"

	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/digitalocean"
	"github.com/m3o/platform/internal/sandbox/world"
)

const token = "dop_v1_of_the_test"

// cloud is a sandbox DigitalOcean, and the official SDK to use it.
type cloud struct {
	*godo.Client
	t      *testing.T
	ctx    context.Context
	world  *world.World
	runner *clusterstest.Runner
	url    string
	before map[string]bool // what there was before anything happened
	stop   func()
}

// newCloud starts a cloud in which five minutes take 300 ms.
func newCloud(t *testing.T) *cloud { return newCloudAt(t, 0.001, 25) }

func newCloudAt(t *testing.T, scale float64, droplets int) *cloud {
	t.Helper()
	return open(t, t.TempDir(), scale, digitalocean.Config{DropletLimit: droplets})
}

// newAccount is an account that nobody has used yet.
func newAccount(t *testing.T) *cloud {
	t.Helper()
	return open(t, t.TempDir(), 0.001, digitalocean.Config{NewAccount: true})
}

// open starts a cloud on a directory, which may hold the state of another.
func open(t *testing.T, dir string, scale float64, config digitalocean.Config) *cloud {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w, err := world.Open(dir, world.Clock{Scale: scale})
	must(t, err)
	runner := clusterstest.New(8)
	config.World, config.Runner, config.Token, config.Logger = w, runner, token, slog.New(slog.DiscardHandler)
	config.Versions = []string{"1.37", "1.36", "1.35", "1.34"}
	do, err := digitalocean.New(config)
	must(t, err)
	server := httptest.NewServer(do)
	stopped := make(chan error, 1)
	go func() { stopped <- do.Run(ctx) }()
	c := &cloud{Client: client(t, server.URL, token), t: t, ctx: ctx, world: w, runner: runner, url: server.URL, before: map[string]bool{}}
	c.stop = sync.OnceFunc(func() {
		server.Close()
		cancel()
		must(t, errors.Join(<-stopped, w.Close()))
	})
	t.Cleanup(c.stop)
	for _, id := range c.existing() {
		c.before[id] = true
	}
	return c
}

func client(t *testing.T, url, token string) *godo.Client {
	t.Helper()
	c, err := godo.New(oauth2.NewClient(t.Context(), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})), godo.SetBaseURL(url))
	must(t, err)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// refused checks that err is the API's error of that status, with words.
func refused(t *testing.T, err error, status int, words string) {
	t.Helper()
	var answer *godo.ErrorResponse
	if !errors.As(err, &answer) {
		t.Fatalf("got %v, want an API error %d", err, status)
	}
	equal(t, "status", answer.Response.StatusCode, status)
	if !strings.Contains(answer.Message, words) {
		t.Errorf("message %q does not say %q", answer.Message, words)
	}
	if answer.RequestID == "" {
		t.Error("the error has no request id")
	}
}

// eventually waits until done is true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (c *cloud) vpc(name string) *godo.VPC {
	c.t.Helper()
	v, response, err := c.VPCs.Create(c.ctx, &godo.VPCCreateRequest{Name: name, RegionSlug: "lon1"})
	must(c.t, err)
	equal(c.t, "status", response.StatusCode, http.StatusCreated)
	return v
}

func clusterRequest(name string, nodes int) *godo.KubernetesClusterCreateRequest {
	return &godo.KubernetesClusterCreateRequest{Name: name, RegionSlug: "lon1", VersionSlug: "1.34.1-do.0", Tags: []string{"m3o"},
		NodePools: []*godo.KubernetesNodePoolCreateRequest{{Name: "main", Size: "s-2vcpu-4gb", Count: nodes, Labels: map[string]string{"role": "any"}}}}
}

func (c *cloud) cluster(name string, nodes int) *godo.KubernetesCluster {
	c.t.Helper()
	cluster, response, err := c.Kubernetes.Create(c.ctx, clusterRequest(name, nodes))
	must(c.t, err)
	equal(c.t, "status", response.StatusCode, http.StatusCreated)
	equal(c.t, "state", cluster.Status.State, godo.KubernetesClusterStatusProvisioning)
	return cluster
}

func (c *cloud) get(id string) *godo.KubernetesCluster {
	c.t.Helper()
	cluster, _, err := c.Kubernetes.Get(c.ctx, id)
	must(c.t, err)
	return cluster
}

func (c *cloud) waitState(id string, state godo.KubernetesClusterStatusState) *godo.KubernetesCluster {
	c.t.Helper()
	var cluster *godo.KubernetesCluster
	eventually(c.t, "cluster becomes "+string(state), func() bool {
		cluster = c.get(id)
		return cluster.Status.State == state
	})
	return cluster
}

func (c *cloud) waitGone(id string) {
	c.t.Helper()
	eventually(c.t, "cluster is gone", func() bool {
		_, response, err := c.Kubernetes.Get(c.ctx, id)
		return err != nil && response.StatusCode == http.StatusNotFound
	})
}

// inject orders a fault.
func (c *cloud) inject(f world.Fault) {
	c.t.Helper()
	f.Provider = digitalocean.Name
	must(c.t, c.world.Update(c.ctx, func(tx *world.Tx) error {
		_, err := tx.AddFault(f)
		return err
	}))
}

func (c *cloud) ledger() []world.Effect {
	c.t.Helper()
	effects, err := c.world.Effects(c.ctx, 0)
	must(c.t, err)
	return effects
}

// balanced checks that the ledger tells of exactly what exists: each thing created once, and deleted at most once.
func (c *cloud) balanced() {
	c.t.Helper()
	living := map[string]bool{}
	for _, e := range c.ledger() {
		id := e.Resource + "/" + e.ID
		switch {
		case e.Kind == world.Created && living[id], e.Kind == world.Deleted && !living[id]:
			c.t.Errorf("line %d of the ledger: %s %s out of turn", e.Seq, id, e.Kind)
		case e.Kind != world.Updated:
			living[id] = e.Kind == world.Created
		}
	}
	for id, alive := range living {
		if !alive {
			delete(living, id)
		}
	}
	for _, id := range c.existing() {
		if !living[id] {
			c.t.Errorf("%s exists, but the ledger does not say so", id)
		}
		delete(living, id)
	}
	for id := range living {
		c.t.Errorf("the ledger says that %s exists, but it does not", id)
	}
}
