//go:build contract

package contract

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	"golang.org/x/oauth2"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/digitalocean"
	"github.com/m3o/platform/internal/sandbox/world"
)

// digitalOceanDeviations are where SDK, sandbox and description are known to differ.
var digitalOceanDeviations = []deviation{
	{"kubernetes_create_cluster", "request", "/maintenance_policy/duration",
		"the SDK has one type for request and answer, and always sends the read-only field, empty"},
	noBackups,
}

// noBackups is the one that our adapter meets, too.
var noBackups = deviation{"droplets_list", "answer", "/droplets/*/next_backup_window",
	"the field is required and null where there are no backups, but only one of the two halves of its schema says that it may be"}

const doToken = "dop_v1_of_the_contract"

// exchange is a conversation with the sandbox through the SDK.
type exchange struct {
	*godo.Client
	t      *testing.T
	ctx    context.Context
	check  *checker
	cloud  *digitalocean.Cloud
	world  *world.World
	runner *clusterstest.Runner
	url    string
}

func newExchange(t *testing.T) *exchange {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w, err := world.Open(t.TempDir(), world.Clock{Scale: 0.001})
	must(t, err)
	runner := clusterstest.New(4)
	cloud, err := digitalocean.New(digitalocean.Config{World: w, Runner: runner, Token: doToken,
		Versions: []string{"1.37", "1.36", "1.35", "1.34"}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	must(t, err)
	server := httptest.NewServer(cloud)
	stopped := make(chan error, 1)
	go func() { stopped <- cloud.Run(ctx) }()
	t.Cleanup(func() {
		server.Close()
		cancel()
		must(t, <-stopped)
		must(t, w.Close())
	})
	e := &exchange{t: t, ctx: ctx, check: newChecker(t, "digitalocean.json", digitalOceanDeviations),
		cloud: cloud, world: w, runner: runner, url: server.URL}
	e.Client = e.as(doToken)
	return e
}

// as is the SDK with a token, through the checker.
func (e *exchange) as(token string) *godo.Client {
	e.t.Helper()
	transport := &oauth2.Transport{Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token}), Base: e.check}
	client, err := godo.New(&http.Client{Transport: transport}, godo.SetBaseURL(e.url))
	must(e.t, err)
	return client
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// status checks the status of an answer, error or not.
func status(t *testing.T, response *godo.Response, want int) {
	t.Helper()
	if response == nil || response.StatusCode != want {
		t.Fatalf("the answer is %v, want status %d", response, want)
	}
}

func (e *exchange) wait(id string, state godo.KubernetesClusterStatusState) *godo.KubernetesCluster {
	e.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		cluster, response, err := e.Kubernetes.Get(e.ctx, id)
		if state == "" && response.StatusCode == http.StatusNotFound {
			return nil
		}
		if err == nil && cluster.Status.State == state {
			return cluster
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("the cluster does not become %q: %v", state, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestDigitalOcean(t *testing.T) {
	e := newExchange(t)
	e.catalogue()
	network := e.vpcs()
	e.clusters(network)
	e.belongings(network)
	e.volumes()
	e.refusals()
	e.check.finish(e.cloud.Operations())
}

func (e *exchange) catalogue() {
	_, _, err := e.Account.Get(e.ctx)
	must(e.t, err)
	for _, page := range []*godo.ListOptions{nil, {Page: 1, PerPage: 3}, {Page: 2, PerPage: 3}, {Page: 1, PerPage: 200}} {
		_, _, err = e.Regions.List(e.ctx, page)
		must(e.t, err)
		_, _, err = e.Sizes.List(e.ctx, page)
		must(e.t, err)
	}
	_, _, err = e.Kubernetes.GetOptions(e.ctx)
	must(e.t, err)
}

func (e *exchange) vpcs() *godo.VPC {
	network, _, err := e.VPCs.Create(e.ctx, &godo.VPCCreateRequest{Name: "net-1", RegionSlug: "lon1", Description: "ours"})
	must(e.t, err)
	other, _, err := e.VPCs.Create(e.ctx, &godo.VPCCreateRequest{Name: "net-2", RegionSlug: "lon1", IPRange: "10.9.0.0/24"})
	must(e.t, err)
	_, response, _ := e.VPCs.Create(e.ctx, &godo.VPCCreateRequest{Name: "net-2", RegionSlug: "lon1"})
	status(e.t, response, http.StatusUnprocessableEntity)
	_, _, err = e.VPCs.Update(e.ctx, other.ID, &godo.VPCUpdateRequest{Name: "net-3"})
	must(e.t, err)
	_, _, err = e.VPCs.Set(e.ctx, other.ID, godo.VPCSetDescription("changed"))
	must(e.t, err)
	e.defaults(other)
	_, _, err = e.VPCs.List(e.ctx, &godo.ListOptions{Page: 1, PerPage: 1})
	must(e.t, err)
	_, _, err = e.VPCs.Get(e.ctx, other.ID)
	must(e.t, err)
	_, err = e.VPCs.Delete(e.ctx, other.ID)
	must(e.t, err)
	response, _ = e.VPCs.Delete(e.ctx, other.ID)
	status(e.t, response, http.StatusNotFound)
	return network
}

// defaults makes a VPC its region's default, and takes that from it again.
func (e *exchange) defaults(other *godo.VPC) {
	all, _, err := e.VPCs.List(e.ctx, &godo.ListOptions{PerPage: 200})
	must(e.t, err)
	i := slices.IndexFunc(all, func(v *godo.VPC) bool { return v.Default && v.RegionSlug == other.RegionSlug })
	_, _, err = e.VPCs.Set(e.ctx, other.ID, godo.VPCSetDefault())
	must(e.t, err)
	response, _ := e.VPCs.Delete(e.ctx, other.ID)
	status(e.t, response, http.StatusForbidden)
	_, response, _ = e.VPCs.Update(e.ctx, other.ID, &godo.VPCUpdateRequest{Name: other.Name, Default: godo.PtrTo(false)})
	status(e.t, response, http.StatusForbidden)
	_, _, err = e.VPCs.Set(e.ctx, all[i].ID, godo.VPCSetDefault())
	must(e.t, err)
}

func (e *exchange) create(name string, network *godo.VPC) *godo.KubernetesCluster {
	cluster, _, err := e.Kubernetes.Create(e.ctx, &godo.KubernetesClusterCreateRequest{Name: name, RegionSlug: "lon1", VersionSlug: "1.34",
		VPCUUID: network.ID, Tags: []string{"m3o", "m3o:region:lon1"}, HA: godo.PtrTo(false),
		MaintenancePolicy: &godo.KubernetesMaintenancePolicy{StartTime: "03:00", Day: godo.KubernetesMaintenanceDayMonday},
		NodePools: []*godo.KubernetesNodePoolCreateRequest{{Name: "main", Size: "s-2vcpu-4gb", Count: 2, Tags: []string{"worker"},
			Labels: map[string]string{"role": "any"}}}})
	must(e.t, err)
	return cluster
}

func (e *exchange) clusters(network *godo.VPC) {
	e.runner.SetReady("lon1", false)
	cluster := e.create("lon1", network)
	_, response, _ := e.Kubernetes.GetKubeConfig(e.ctx, cluster.ID, nil)
	status(e.t, response, http.StatusNotFound)
	e.droplets(cluster, "new")
	e.runner.SetReady("lon1", true)
	e.wait(cluster.ID, godo.KubernetesClusterStatusRunning)
	e.droplets(cluster, "active")
	_, _, err := e.Kubernetes.List(e.ctx, &godo.ListOptions{Page: 1, PerPage: 100})
	must(e.t, err)
	_, _, err = e.Kubernetes.GetKubeConfig(e.ctx, cluster.ID, nil)
	must(e.t, err)
	_, _, err = e.Kubernetes.GetKubeConfigWithExpiry(e.ctx, cluster.ID, 3600)
	must(e.t, err)
	_, _, err = e.Kubernetes.GetCredentials(e.ctx, cluster.ID, &godo.KubernetesClusterCredentialsGetRequest{ExpirySeconds: godo.PtrTo(3600)})
	must(e.t, err)
	_, _, err = e.Kubernetes.GetUser(e.ctx, cluster.ID)
	must(e.t, err)
	_, _, err = e.Kubernetes.Update(e.ctx, cluster.ID, &godo.KubernetesClusterUpdateRequest{Name: "lon1", Tags: []string{"m3o"},
		RoutingAgent: &godo.KubernetesRoutingAgent{Enabled: godo.PtrTo(true)}})
	must(e.t, err)
	_, _, err = e.VPCs.ListMembers(e.ctx, network.ID, &godo.VPCListMembersRequest{ResourceType: "kubernetes"}, nil)
	must(e.t, err)
	response, _ = e.VPCs.Delete(e.ctx, network.ID)
	status(e.t, response, http.StatusConflict)
	e.pools(cluster)
	e.upgrade(cluster)
	_, err = e.Kubernetes.Delete(e.ctx, cluster.ID)
	must(e.t, err)
	_, _, err = e.Kubernetes.List(e.ctx, nil) // one that is on its way out must not upset the SDK
	must(e.t, err)
	e.wait(cluster.ID, "")
}

// droplets are the nodes of the account's only cluster, found in every way there is.
func (e *exchange) droplets(cluster *godo.KubernetesCluster, state string) {
	all, response, err := e.Droplets.List(e.ctx, &godo.ListOptions{Page: 1, PerPage: 1})
	must(e.t, err)
	if len(all) != 1 || response.Meta.Total != 2 || all[0].Status != state {
		e.t.Errorf("%d of %+v droplets, of which the first is %+v", len(all), response.Meta, all)
	}
	for what, list := range map[string]func() ([]godo.Droplet, *godo.Response, error){
		"all": func() ([]godo.Droplet, *godo.Response, error) { return e.Droplets.List(e.ctx, nil) },
		"page 2": func() ([]godo.Droplet, *godo.Response, error) {
			return e.Droplets.List(e.ctx, &godo.ListOptions{Page: 2, PerPage: 1})
		},
		"with GPUs": func() ([]godo.Droplet, *godo.Response, error) { return e.Droplets.ListWithGPUs(e.ctx, nil) },
		"by tag": func() ([]godo.Droplet, *godo.Response, error) {
			return e.Droplets.ListByTag(e.ctx, "k8s:"+cluster.ID, nil)
		},
		"by name": func() ([]godo.Droplet, *godo.Response, error) { return e.Droplets.ListByName(e.ctx, all[0].Name, nil) },
	} {
		found, _, err := list()
		must(e.t, err)
		if want := map[string]int{"all": 2, "page 2": 1, "by tag": 2, "by name": 1}[what]; len(found) != want {
			e.t.Errorf("%s: %d droplets, want %d", what, len(found), want)
		}
	}
}

func (e *exchange) pools(cluster *godo.KubernetesCluster) {
	pool, _, err := e.Kubernetes.CreateNodePool(e.ctx, cluster.ID, &godo.KubernetesNodePoolCreateRequest{Name: "more", Size: "c-2", Count: 1})
	must(e.t, err)
	_, _, err = e.Kubernetes.ListNodePools(e.ctx, cluster.ID, nil)
	must(e.t, err)
	pool, _, err = e.Kubernetes.UpdateNodePool(e.ctx, cluster.ID, pool.ID, &godo.KubernetesNodePoolUpdateRequest{Name: "more", Count: godo.PtrTo(3)})
	must(e.t, err)
	_, err = e.Kubernetes.DeleteNode(e.ctx, cluster.ID, pool.ID, pool.Nodes[0].ID, &godo.KubernetesNodeDeleteRequest{Replace: true, SkipDrain: true})
	must(e.t, err)
	_, err = e.Kubernetes.RecycleNodePoolNodes(e.ctx, cluster.ID, pool.ID, &godo.KubernetesNodePoolRecycleNodesRequest{Nodes: []string{pool.Nodes[1].ID}})
	must(e.t, err)
	_, _, err = e.Kubernetes.GetNodePool(e.ctx, cluster.ID, pool.ID)
	must(e.t, err)
	_, err = e.Kubernetes.DeleteNodePool(e.ctx, cluster.ID, pool.ID)
	must(e.t, err)
	_, response, _ := e.Kubernetes.GetNodePool(e.ctx, cluster.ID, pool.ID)
	status(e.t, response, http.StatusNotFound)
}

func (e *exchange) upgrade(cluster *godo.KubernetesCluster) {
	e.wait(cluster.ID, godo.KubernetesClusterStatusRunning)
	upgrades, _, err := e.Kubernetes.GetUpgrades(e.ctx, cluster.ID)
	must(e.t, err)
	_, err = e.Kubernetes.Upgrade(e.ctx, cluster.ID, &godo.KubernetesClusterUpgradeRequest{VersionSlug: upgrades[0].Slug})
	must(e.t, err)
	_, _, err = e.Kubernetes.Get(e.ctx, cluster.ID)
	must(e.t, err)
	e.wait(cluster.ID, godo.KubernetesClusterStatusRunning)
}

// belongings are what a cluster's contents made in the account.
func (e *exchange) belongings(network *godo.VPC) {
	e.runner.Made(clusters.Inventory{
		LoadBalancers: []clusters.LoadBalancer{{UID: "1", Name: "a1", IP: "127.0.0.9", Ports: []clusters.Port{{Protocol: "tcp", Port: 80, NodePort: 30080}}}},
		Volumes:       []clusters.Volume{{UID: "2", Name: "pvc-2", SizeGiB: 5}},
	})
	cluster := e.create("nyc1", network)
	e.wait(cluster.ID, godo.KubernetesClusterStatusRunning)
	associated, _, err := e.Kubernetes.ListAssociatedResourcesForDeletion(e.ctx, cluster.ID)
	for deadline := time.Now().Add(20 * time.Second); err == nil && len(associated.LoadBalancers)*len(associated.Volumes) == 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond) // until the cloud has seen them
		associated, _, err = e.Kubernetes.ListAssociatedResourcesForDeletion(e.ctx, cluster.ID)
	}
	must(e.t, err)
	balancer, volume := associated.LoadBalancers[0].ID, associated.Volumes[0].ID
	_, _, err = e.LoadBalancers.List(e.ctx, nil)
	must(e.t, err)
	_, _, err = e.LoadBalancers.Get(e.ctx, balancer)
	must(e.t, err)
	_, _, err = e.Storage.ListVolumes(e.ctx, &godo.ListVolumeParams{Region: "lon1"})
	must(e.t, err)
	_, _, err = e.Storage.GetVolume(e.ctx, volume)
	must(e.t, err)
	_, err = e.Kubernetes.DeleteSelective(e.ctx, cluster.ID, &godo.KubernetesClusterDeleteSelectiveRequest{Volumes: []string{}, LoadBalancers: []string{}, VolumeSnapshots: []string{}})
	must(e.t, err)
	e.wait(cluster.ID, "")
	_, err = e.LoadBalancers.Delete(e.ctx, balancer)
	must(e.t, err)
	_, err = e.Storage.DeleteVolume(e.ctx, volume)
	must(e.t, err)
	cluster = e.create("sgp1", network)
	_, err = e.Kubernetes.DeleteDangerous(e.ctx, cluster.ID)
	must(e.t, err)
	e.wait(cluster.ID, "")
}

// volumes are those that no cluster made.
func (e *exchange) volumes() {
	request := godo.VolumeCreateRequest{Region: "lon1", Name: "disk-1", Description: "somebody's", SizeGigaBytes: 5, Tags: []string{"a:b"}}
	made, _, err := e.Storage.CreateVolume(e.ctx, &request)
	must(e.t, err)
	_, response, _ := e.Storage.CreateVolume(e.ctx, &request)
	status(e.t, response, http.StatusConflict)
	request.Name, request.Tags = "disk-2", nil
	bare, _, err := e.Storage.CreateVolume(e.ctx, &request)
	must(e.t, err)
	_, _, err = e.Storage.ListVolumes(e.ctx, nil)
	must(e.t, err)
	for _, id := range []string{made.ID, bare.ID} {
		_, err = e.Storage.DeleteVolume(e.ctx, id)
		must(e.t, err)
	}
}

// refusals are errors of all kinds.
func (e *exchange) refusals() {
	_, response, _ := e.as("wrong").Account.Get(e.ctx)
	status(e.t, response, http.StatusUnauthorized)
	_, response, _ = e.Kubernetes.Create(e.ctx, &godo.KubernetesClusterCreateRequest{Name: "x", RegionSlug: "mars1", VersionSlug: "1.34",
		NodePools: []*godo.KubernetesNodePoolCreateRequest{{Name: "main", Size: "c-2", Count: 1}}})
	status(e.t, response, http.StatusUnprocessableEntity)
	for _, f := range []struct {
		fault  string
		status int
	}{{world.Throttle, 429}, {world.ServerError, 500}, {world.Denied, 403}, {world.Quota, 422}} {
		for _, operation := range []string{"kubernetes_list_clusters", "vpcs_list", "account_get"} {
			e.inject(world.Fault{Operation: operation, Fault: f.fault})
		}
		_, response, _ = e.Kubernetes.List(e.ctx, nil)
		status(e.t, response, f.status)
		_, response, _ = e.VPCs.List(e.ctx, nil)
		status(e.t, response, f.status)
		_, response, _ = e.Account.Get(e.ctx)
		status(e.t, response, f.status)
	}
	e.badBody()
}

func (e *exchange) inject(f world.Fault) {
	f.Provider = digitalocean.Name
	must(e.t, e.world.Update(e.ctx, func(tx *world.Tx) error {
		_, err := tx.AddFault(f)
		return err
	}))
}

// badBody sends what no SDK sends; only the answer is checked.
func (e *exchange) badBody() {
	request, err := http.NewRequestWithContext(e.ctx, http.MethodPost, e.url+"/v2/vpcs", http.NoBody)
	must(e.t, err)
	request.Header.Set("Authorization", "Bearer "+doToken)
	answer, err := http.DefaultClient.Do(request)
	must(e.t, err)
	defer answer.Body.Close()
	var body struct {
		ID        string `json:"id"`
		Message   string `json:"message"`
		RequestID string `json:"request_id"`
	}
	must(e.t, json.NewDecoder(answer.Body).Decode(&body))
	if answer.StatusCode != http.StatusBadRequest || body.ID == "" || body.Message == "" || body.RequestID == "" {
		e.t.Errorf("a request without a body is answered %d %+v", answer.StatusCode, body)
	}
}
