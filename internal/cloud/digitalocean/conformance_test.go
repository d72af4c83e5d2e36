package digitalocean_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/cloud/digitalocean"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	sandbox "github.com/m3o/platform/internal/sandbox/digitalocean"
	"github.com/m3o/platform/internal/sandbox/world"
)

// sandboxScale makes a cluster's five minutes two thirds of a second.
const sandboxScale = 0.002

func TestDigitalOceanIsAProvider(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Harness { return newAccount(t).harness(t) })
}

// account is a sandbox account, served over HTTP.
type account struct {
	world  *world.World
	cloud  *sandbox.Cloud
	server *httptest.Server
	client *godo.Client
}

const token = "dop_v1_test"

func newAccount(t *testing.T) *account {
	t.Helper()
	w, err := world.Open(t.TempDir(), world.Clock{Scale: sandboxScale})
	if err != nil {
		t.Fatal(err)
	}
	c, err := sandbox.New(sandbox.Config{World: w, Runner: clusterstest.New(20), Versions: []string{"1.35", "1.34"}, Token: token,
		DropletLimit: 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	a := &account{world: w, cloud: c, server: httptest.NewServer(c)}
	t.Cleanup(func() {
		a.server.CloseClientConnections()
		a.server.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if a.client, err = godo.New(&http.Client{Transport: bearer{}}, godo.SetBaseURL(a.server.URL)); err != nil {
		t.Fatal(err)
	}
	return a
}

type bearer struct{}

func (bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return http.DefaultTransport.RoundTrip(r)
}

func (a *account) provider(t *testing.T, token string) cloud.Provider {
	t.Helper()
	p, err := digitalocean.New(digitalocean.Config{Token: token, BaseURL: a.server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (a *account) harness(t *testing.T) cloudtest.Harness {
	return cloudtest.Harness{
		Provider: a.provider(t, token), Stranger: a.provider(t, "another"),
		Region: region.Spec{Platform: "micro", Domain: "micro.mu", Name: "lon1", Provider: region.DigitalOcean, Location: "lon1",
			Kubernetes: region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 2, Size: "s-2vcpu-4gb"}}, Network: []region.Part{region.API}},
		Break: a.breakOnce, Effects: a.effects, Foreign: a.foreign,
		Within: 20 * time.Second,
	}
}

var operations = map[cloudtest.Call]string{
	cloudtest.ListNetworks:  "vpcs_list",
	cloudtest.CreateNetwork: "vpcs_create",
	cloudtest.DeleteNetwork: "vpcs_delete",
	cloudtest.ListClusters:  "kubernetes_list_clusters",
	cloudtest.CreateCluster: "kubernetes_create_cluster",
	cloudtest.ScaleCluster:  "kubernetes_update_nodePool",
	cloudtest.DeleteCluster: "kubernetes_destroy_associatedResourcesDangerous",
	cloudtest.GiveAccess:    "kubernetes_get_kubeconfig",
	cloudtest.DescribeLimit: "account_get",
}

var ways = map[cloudtest.Way]string{
	cloudtest.Throttled: world.Throttle, cloudtest.Failing: world.ServerError, cloudtest.LostAfter: world.Lost,
	cloudtest.LostBefore: world.LostBefore, cloudtest.Denied: world.Denied, cloudtest.Quota: world.Quota,
	cloudtest.Slow: world.Slow, cloudtest.Stuck: world.Stuck, cloudtest.Late: world.Late,
}

func (a *account) breakOnce(t *testing.T, b cloudtest.Breakage) {
	t.Helper()
	f := world.Fault{Provider: sandbox.Name, Operation: operations[b.Call], Fault: ways[b.Way], Times: 1}
	if err := f.Validate(a.cloud.Operations()); err != nil {
		t.Fatal(err)
	}
	err := a.world.Update(t.Context(), func(tx *world.Tx) error {
		_, err := tx.AddFault(f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var kinds = map[string]cloudtest.Kind{"vpc": cloudtest.Network, "kubernetes_cluster": cloudtest.Cluster}

func (a *account) effects(t *testing.T) []cloudtest.Effect {
	t.Helper()
	all, err := a.world.Effects(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var effects []cloudtest.Effect
	for _, e := range all {
		kind, seen := kinds[e.Resource]
		if seen {
			effects = append(effects, cloudtest.Effect{Change: e.Kind, Kind: kind, Name: e.Name})
		}
	}
	return effects
}

func (a *account) foreign(t *testing.T, kind cloudtest.Kind, name string) {
	t.Helper()
	var err error
	switch kind {
	case cloudtest.Network:
		_, _, err = a.client.VPCs.Create(t.Context(), &godo.VPCCreateRequest{Name: name, RegionSlug: "lon1", Description: "somebody's"})
	case cloudtest.Cluster:
		_, _, err = a.client.Kubernetes.Create(t.Context(), &godo.KubernetesClusterCreateRequest{Name: name, RegionSlug: "lon1", VersionSlug: "1.34.1-do.0",
			NodePools: []*godo.KubernetesNodePoolCreateRequest{{Name: "pool", Size: "s-2vcpu-4gb", Count: 1}}})
	}
	if err != nil {
		t.Fatal(err)
	}
}
