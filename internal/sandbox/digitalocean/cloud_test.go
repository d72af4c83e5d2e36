package digitalocean_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/m3o/platform/internal/sandbox/digitalocean"
	"github.com/m3o/platform/internal/sandbox/world"
)

// existing lists kind/id of everything that was made and is there.
func (c *cloud) existing() []string {
	c.t.Helper()
	var ids []string
	must(c.t, c.world.View(c.ctx, func(tx *world.Tx) error {
		all, err := tx.Everything()
		for kind, docs := range all[digitalocean.Name] {
			for _, doc := range docs {
				var one struct{ ID string }
				must(c.t, json.Unmarshal(doc, &one))
				if id := kind + "/" + one.ID; !c.before[id] {
					ids = append(ids, id)
				}
			}
		}
		return err
	}))
	return ids
}

func TestAccountAndCatalogue(t *testing.T) {
	c := newCloud(t)
	account, response, err := c.Account.Get(c.ctx)
	must(t, err)
	equal(t, "droplet limit", account.DropletLimit, 25)
	equal(t, "status", account.Status, "active")
	equal(t, "rate limit", response.Rate.Limit, 5000)
	if response.Rate.Remaining >= 5000 || response.Rate.Reset.Before(time.Now().Add(-time.Minute)) {
		t.Errorf("rate limit headers: %+v", response.Rate)
	}
	options, _, err := c.Kubernetes.GetOptions(c.ctx)
	must(t, err)
	equal(t, "newest version", options.Versions[0].Slug, "1.37.1-do.0")
	equal(t, "versions", len(options.Versions), 4)
	regions, _, err := c.Regions.List(c.ctx, &godo.ListOptions{PerPage: 200})
	must(t, err)
	sizes, _, err := c.Sizes.List(c.ctx, &godo.ListOptions{PerPage: 200})
	must(t, err)
	for _, size := range options.Sizes {
		i := slices.IndexFunc(sizes, func(s godo.Size) bool { return s.Slug == size.Slug })
		if i < 0 || sizes[i].PriceMonthly <= 0 || sizes[i].Vcpus == 0 {
			t.Errorf("size %s has no price or processors", size.Slug)
		}
	}
	for _, region := range options.Regions {
		if !slices.ContainsFunc(regions, func(r godo.Region) bool { return r.Slug == region.Slug && r.Available }) {
			t.Errorf("region %s is not available", region.Slug)
		}
	}
}

func TestWrongTokens(t *testing.T) {
	c := newCloud(t)
	for _, wrong := range []string{"", "wrong", token + "x", token[:5]} {
		_, _, err := client(t, c.url, wrong).Account.Get(c.ctx)
		refused(t, err, http.StatusUnauthorized, "Unable to authenticate you")
	}
}

func TestUnknownRouteSaysSo(t *testing.T) {
	c := newCloud(t)
	_, _, err := c.Domains.List(c.ctx, nil)
	refused(t, err, http.StatusNotFound, "does not have this route")
}

func TestVPCLife(t *testing.T) {
	c := newCloud(t)
	v := c.vpc("net-1")
	if v.IPRange == "" || v.URN != "do:vpc:"+v.ID || v.CreatedAt.IsZero() {
		t.Errorf("incomplete VPC %+v", v)
	}
	got, _, err := c.VPCs.Get(c.ctx, v.ID)
	must(t, err)
	equal(t, "VPC", *got, *v)
	renamed, _, err := c.VPCs.Update(c.ctx, v.ID, &godo.VPCUpdateRequest{Name: "net-2", Description: "moved"})
	must(t, err)
	equal(t, "name", renamed.Name, "net-2")
	_, err = c.VPCs.Delete(c.ctx, v.ID)
	must(t, err)
	_, _, err = c.VPCs.Get(c.ctx, v.ID)
	refused(t, err, http.StatusNotFound, "could not be found")
	_, err = c.VPCs.Delete(c.ctx, v.ID)
	refused(t, err, http.StatusNotFound, "could not be found")
	c.balanced()
}

func TestVPCRefusals(t *testing.T) {
	c := newCloud(t)
	first := c.vpc("net-1")
	for _, bad := range []struct {
		request godo.VPCCreateRequest
		words   string
	}{
		{godo.VPCCreateRequest{Name: "net-1", RegionSlug: "lon1"}, "already been taken"},
		{godo.VPCCreateRequest{Name: "net 1", RegionSlug: "lon1"}, "alphanumeric"},
		{godo.VPCCreateRequest{RegionSlug: "lon1"}, "name is required"},
		{godo.VPCCreateRequest{Name: "net-2", RegionSlug: "lon9"}, "Region"},
		{godo.VPCCreateRequest{Name: "net-2", RegionSlug: "lon1", IPRange: first.IPRange}, "overlaps"},
		{godo.VPCCreateRequest{Name: "net-2", RegionSlug: "lon1", IPRange: "8.8.8.0/24"}, "private"},
		{godo.VPCCreateRequest{Name: "net-2", RegionSlug: "lon1", IPRange: "10.0.0.0/8"}, "between"},
		{godo.VPCCreateRequest{Name: "net-2", RegionSlug: "lon1", IPRange: "10.0.0.1/24"}, "CIDR"},
	} {
		_, _, err := c.VPCs.Create(c.ctx, &bad.request)
		refused(t, err, http.StatusUnprocessableEntity, bad.words)
	}
	equal(t, "VPCs", len(c.existing()), 1)
}

func TestPagination(t *testing.T) {
	c := newAccount(t)
	for i := range 5 {
		c.vpc("net-" + string(rune('a'+i)))
	}
	var names []string
	for page := 1; ; page++ {
		vpcs, response, err := c.VPCs.List(c.ctx, &godo.ListOptions{Page: page, PerPage: 2})
		must(t, err)
		for _, v := range vpcs {
			names = append(names, v.Name)
		}
		equal(t, "total", response.Meta.Total, 5)
		if response.Links.IsLastPage() {
			break
		}
		current, err := response.Links.CurrentPage()
		must(t, err)
		equal(t, "current page", current, page)
	}
	equal(t, "names", strings.Join(names, " "), "net-a net-b net-c net-d net-e")
	vpcs, response, err := c.VPCs.List(c.ctx, &godo.ListOptions{Page: 9, PerPage: 2})
	must(t, err)
	equal(t, "beyond the end", len(vpcs), 0)
	equal(t, "last", response.Links.IsLastPage(), true)
}

func TestClusterLife(t *testing.T) {
	c := newCloud(t)
	v := c.vpc("net-1")
	request := clusterRequest("lon1", 2)
	request.VPCUUID = v.ID
	c.runner.SetReady("lon1", false)
	started := time.Now()
	cluster, _, err := c.Kubernetes.Create(c.ctx, request)
	must(t, err)
	_, _, err = c.Kubernetes.GetKubeConfig(c.ctx, cluster.ID, nil)
	refused(t, err, http.StatusNotFound, "not ready")
	c.runner.SetReady("lon1", true)
	cluster = c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	if took := time.Since(started); took < 270*time.Millisecond {
		t.Errorf("five minutes at 1:1000 took %s", took)
	}
	checkRunning(t, cluster)
	_, err = c.VPCs.Delete(c.ctx, v.ID)
	refused(t, err, http.StatusConflict, "Can not delete VPC with members")
	members, _, err := c.VPCs.ListMembers(c.ctx, v.ID, nil, nil)
	must(t, err)
	equal(t, "members", len(members), 3)
	c.balanced()

	_, err = c.Kubernetes.Delete(c.ctx, cluster.ID)
	must(t, err)
	if going, _, err := c.Kubernetes.Get(c.ctx, cluster.ID); err == nil { // on a slow machine it is gone by now
		equal(t, "state", going.Status.State, godo.KubernetesClusterStatusDeleted)
	}
	if _, err = c.Kubernetes.Delete(c.ctx, cluster.ID); err != nil {
		refused(t, err, http.StatusNotFound, "could not be found")
	}
	c.waitGone(cluster.ID)
	equal(t, "clusters that run", len(c.runner.Running()), 0)
	_, err = c.VPCs.Delete(c.ctx, v.ID)
	must(t, err)
	equal(t, "what is left", len(c.existing()), 0)
	c.balanced()
}

func checkRunning(t *testing.T, cluster *godo.KubernetesCluster) {
	t.Helper()
	equal(t, "version", cluster.VersionSlug, "1.34.1-do.0")
	equal(t, "endpoint", cluster.Endpoint, "https://127.0.0.1:6443")
	equal(t, "tags", strings.Join(cluster.Tags, " "), "k8s k8s:"+cluster.ID+" m3o")
	equal(t, "pools", len(cluster.NodePools), 1)
	pool := cluster.NodePools[0]
	equal(t, "count", pool.Count, 2)
	equal(t, "nodes", len(pool.Nodes), 2)
	for _, n := range pool.Nodes {
		equal(t, "node state", n.Status.State, "running")
		if !strings.HasPrefix(n.Name, "main-") || n.DropletID == "" {
			t.Errorf("odd node %+v", n)
		}
	}
}

func TestLedgerTellsHowLongItTook(t *testing.T) {
	c := newCloud(t)
	cluster := c.cluster("lon1", 1)
	c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	effects, err := c.world.Effects(c.ctx, 0)
	must(t, err)
	i := slices.IndexFunc(effects, func(e world.Effect) bool {
		return e.Resource == "kubernetes_cluster" && e.State == "running"
	})
	if i < 0 || effects[i].RequestedAt == nil || effects[i].ReadyAt == nil {
		t.Fatalf("no line says when the cluster was ready: %+v", effects)
	}
	if took := effects[i].ReadyAt.Sub(*effects[i].RequestedAt); took < 270*time.Millisecond || took > 5*time.Second {
		t.Errorf("the ledger says it took %s", took)
	}
	equal(t, "operation", effects[i].Operation, "kubernetes_create_cluster")
}

func TestClusterWaitsForItsNodes(t *testing.T) {
	c := newCloud(t)
	c.runner.SetReady("lon1", false)
	cluster := c.cluster("lon1", 1)
	time.Sleep(600 * time.Millisecond)
	equal(t, "state", c.get(cluster.ID).Status.State, godo.KubernetesClusterStatusProvisioning)
	c.runner.SetReady("lon1", true)
	cluster = c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	node := cluster.NodePools[0].Nodes[0].Name
	c.runner.BreakNode(node, true)
	if sick := c.waitState(cluster.ID, godo.KubernetesClusterStatusDegraded); !strings.Contains(sick.Status.Message, node) {
		t.Errorf("message %q does not name the node", sick.Status.Message)
	}
	c.runner.BreakNode(node, false)
	c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
}

func TestClusterThatCannotRun(t *testing.T) {
	c := newCloud(t)
	c.runner.Fail("user namespaces are refused here")
	cluster := c.cluster("lon1", 1)
	cluster = c.waitState(cluster.ID, godo.KubernetesClusterStatusError)
	equal(t, "message", cluster.Status.Message, "user namespaces are refused here")
	_, err := c.Kubernetes.Delete(c.ctx, cluster.ID)
	must(t, err)
	c.waitGone(cluster.ID)
	c.balanced()
}

func TestClusterRefusals(t *testing.T) {
	c := newCloud(t)
	c.cluster("lon1", 3)
	elsewhere, _, err := c.VPCs.Create(c.ctx, &godo.VPCCreateRequest{Name: "far", RegionSlug: "nyc3"})
	must(t, err)
	before := len(c.existing())
	for _, bad := range []struct {
		change func(*godo.KubernetesClusterCreateRequest)
		words  string
	}{
		{func(r *godo.KubernetesClusterCreateRequest) { r.Name = "lon1" }, "already exists"},
		{func(r *godo.KubernetesClusterCreateRequest) { r.Name = "Lon 2" }, "name"},
		{func(r *godo.KubernetesClusterCreateRequest) { r.RegionSlug = "nyc2" }, "region"},
		{func(r *godo.KubernetesClusterCreateRequest) { r.VersionSlug = "1.20.0-do.0" }, "version"},
		{func(r *godo.KubernetesClusterCreateRequest) { r.NodePools = nil }, "node pool"},
		{func(r *godo.KubernetesClusterCreateRequest) { r.NodePools[0].Size = "s-1vcpu-1gb" }, "size"},
		{func(r *godo.KubernetesClusterCreateRequest) { r.NodePools[0].Count = 23 }, "will exceed your droplet limit"},
		{func(r *godo.KubernetesClusterCreateRequest) { r.NodePools[0].Count = 0 }, "count"},
		{func(r *godo.KubernetesClusterCreateRequest) { r.NodePools[0].AutoScale = true }, "auto_scale"},
		{func(r *godo.KubernetesClusterCreateRequest) { r.NodePools[0].Labels = map[string]string{"a b": "c"} }, "labels"},
		{func(r *godo.KubernetesClusterCreateRequest) { r.NodePools = append(r.NodePools, r.NodePools[0]) }, "twice"},
		{func(r *godo.KubernetesClusterCreateRequest) { r.Tags = []string{"no spaces"} }, "tag"},
		{func(r *godo.KubernetesClusterCreateRequest) { r.VPCUUID = elsewhere.ID }, "nyc3"},
		{func(r *godo.KubernetesClusterCreateRequest) { r.VPCUUID = "none" }, "no VPC"},
		{func(r *godo.KubernetesClusterCreateRequest) { r.ClusterSubnet = "10.1.0.0/16" }, "subnets"},
	} {
		request := clusterRequest("lon2", 1)
		bad.change(request)
		_, _, err := c.Kubernetes.Create(c.ctx, request)
		refused(t, err, http.StatusUnprocessableEntity, bad.words)
	}
	equal(t, "what exists", len(c.existing()), before)
	c.balanced()
}

func TestNoPlaceLeft(t *testing.T) {
	c := newCloud(t)
	for i := range 8 {
		c.cluster("lon"+string(rune('a'+i)), 1)
	}
	_, _, err := c.Kubernetes.Create(c.ctx, clusterRequest("one-more", 1))
	refused(t, err, http.StatusUnprocessableEntity, "cluster limit")
}

func TestVersionsCanBeMinorOrLatest(t *testing.T) {
	c := newCloud(t)
	for asked, want := range map[string]string{"1.35": "1.35.1-do.0", "latest": "1.37.1-do.0"} {
		request := clusterRequest("v"+strings.ReplaceAll(asked, ".", "-"), 1)
		request.VersionSlug = asked
		cluster, _, err := c.Kubernetes.Create(c.ctx, request)
		must(t, err)
		equal(t, "version", cluster.VersionSlug, want)
	}
}

func TestKubeconfigAndCredentials(t *testing.T) {
	c := newCloud(t)
	cluster := c.cluster("lon1", 1)
	c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	file, _, err := c.Kubernetes.GetKubeConfig(c.ctx, cluster.ID, nil)
	must(t, err)
	config, err := clientcmd.RESTConfigFromKubeConfig(file.KubeconfigYAML)
	must(t, err)
	equal(t, "server", config.Host, "https://127.0.0.1:6443")
	equal(t, "token", config.BearerToken, "token-of-"+cluster.ID)
	equal(t, "authority", string(config.CAData), "authority of "+cluster.ID)
	loaded, err := clientcmd.Load(file.KubeconfigYAML)
	must(t, err)
	equal(t, "context", loaded.CurrentContext, "do-lon1-lon1")
	credentials, _, err := c.Kubernetes.GetCredentials(c.ctx, cluster.ID, &godo.KubernetesClusterCredentialsGetRequest{})
	must(t, err)
	equal(t, "token", credentials.Token, config.BearerToken)
	equal(t, "authority", string(credentials.CertificateAuthorityData), string(config.CAData))
	if credentials.ExpiresAt.Before(time.Now().Add(6 * 24 * time.Hour)) {
		t.Errorf("credentials expire at %s", credentials.ExpiresAt)
	}
}

func TestUpgrade(t *testing.T) {
	c := newCloud(t)
	cluster := c.cluster("lon1", 1)
	c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	upgrades, _, err := c.Kubernetes.GetUpgrades(c.ctx, cluster.ID)
	must(t, err)
	equal(t, "upgrades", len(upgrades), 1)
	_, err = c.Kubernetes.Upgrade(c.ctx, cluster.ID, &godo.KubernetesClusterUpgradeRequest{VersionSlug: "1.37.1-do.0"})
	refused(t, err, http.StatusUnprocessableEntity, "not an available upgrade")
	_, err = c.Kubernetes.Upgrade(c.ctx, cluster.ID, &godo.KubernetesClusterUpgradeRequest{VersionSlug: upgrades[0].Slug})
	must(t, err)
	equal(t, "state", c.get(cluster.ID).Status.State, godo.KubernetesClusterStatusUpgrading)
	cluster = c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	equal(t, "version", cluster.VersionSlug, "1.35.1-do.0")
}

func TestUpgradeSaysWhatItWaitsFor(t *testing.T) {
	c := newCloud(t)
	cluster := c.waitState(c.cluster("lon1", 1).ID, godo.KubernetesClusterStatusRunning)
	_, err := c.Kubernetes.Upgrade(c.ctx, cluster.ID, &godo.KubernetesClusterUpgradeRequest{VersionSlug: "1.35.1-do.0"})
	must(t, err)
	node := cluster.NodePools[0].Nodes[0].Name
	c.runner.BreakNode(node, true)
	eventually(t, "the upgrade waits for "+node, func() bool {
		status := c.get(cluster.ID).Status
		return status.State == godo.KubernetesClusterStatusUpgrading && strings.Contains(status.Message, node)
	})
	c.runner.BreakNode(node, false)
	equal(t, "message", c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning).Status.Message, "")
}

func TestUpdateCluster(t *testing.T) {
	c := newCloud(t)
	cluster := c.cluster("lon1", 1)
	updated, response, err := c.Kubernetes.Update(c.ctx, cluster.ID, &godo.KubernetesClusterUpdateRequest{Name: "lon1", Tags: []string{"new"},
		MaintenancePolicy: &godo.KubernetesMaintenancePolicy{StartTime: "03:00", Day: godo.KubernetesMaintenanceDaySunday},
		RoutingAgent:      &godo.KubernetesRoutingAgent{Enabled: godo.PtrTo(true)}})
	must(t, err)
	equal(t, "status", response.StatusCode, http.StatusAccepted)
	equal(t, "tag", updated.Tags[2], "new")
	got := c.get(cluster.ID)
	equal(t, "day", got.MaintenancePolicy.Day, godo.KubernetesMaintenanceDaySunday)
	equal(t, "routing agent", *got.RoutingAgent.Enabled, true)
	_, _, err = c.Kubernetes.Update(c.ctx, cluster.ID, &godo.KubernetesClusterUpdateRequest{Name: "other"})
	refused(t, err, http.StatusUnprocessableEntity, "rename")
}

func TestRateLimit(t *testing.T) {
	c := newCloudAt(t, 0.05, 25) // a minute takes 3 s
	var last error
	for range 251 {
		_, _, last = c.Account.Get(c.ctx)
	}
	refused(t, last, http.StatusTooManyRequests, "rate limit exceeded")
	var answer *http.Response
	if e, ok := last.(*godo.ErrorResponse); ok {
		answer = e.Response
	}
	if answer.Header.Get("Retry-After") == "" || answer.Header.Get("Ratelimit-Limit") != "5000" {
		t.Errorf("headers %v", answer.Header)
	}
	eventually(t, "requests are allowed again", func() bool {
		_, _, err := c.Account.Get(c.ctx)
		return err == nil
	})
}
