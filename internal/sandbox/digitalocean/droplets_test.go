package digitalocean_test

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/digitalocean/godo"
)

func (c *cloud) droplets(options *godo.ListOptions) ([]godo.Droplet, *godo.Response) {
	c.t.Helper()
	all, response, err := c.Droplets.List(c.ctx, options)
	must(c.t, err)
	return all, response
}

func TestNodesAreDroplets(t *testing.T) {
	c := newCloudAt(t, 0.01, 25)
	network, _, err := c.VPCs.Create(c.ctx, &godo.VPCCreateRequest{Name: "net-1", RegionSlug: "lon1", IPRange: "10.9.0.0/24"})
	must(t, err)
	request := clusterRequest("lon1", 2)
	request.VPCUUID, request.NodePools[0].Tags = network.ID, []string{"m3o", "pool"}
	cluster, _, err := c.Kubernetes.Create(c.ctx, request)
	must(t, err)
	fresh, response := c.droplets(nil)
	if len(fresh) != 2 || response.Meta.Total != 2 || fresh[0].Status != "new" || len(fresh[0].Networks.V4) != 0 {
		t.Fatalf("%d droplets, %+v", len(fresh), fresh)
	}
	c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	all, _ := c.droplets(nil)
	for i, n := range c.get(cluster.ID).NodePools[0].Nodes {
		d := all[i]
		equal(t, "name", d.Name, n.Name)
		equal(t, "urn", d.URN(), "do:droplet:"+n.DropletID)
		equal(t, "status", d.Status, "active")
		equal(t, "size", d.SizeSlug+" "+d.Size.Slug, "s-2vcpu-4gb s-2vcpu-4gb")
		equal(t, "memory", d.Memory, 4096)
		equal(t, "region", d.Region.Slug, "lon1")
		equal(t, "VPC", d.VPCUUID, network.ID)
		equal(t, "image", d.Image.Name, "do-kube-1.34.1-do.0")
		equal(t, "tags", strings.Join(d.Tags, " "), "k8s k8s:"+cluster.ID+" k8s:worker m3o pool")
		equal(t, "address", d.Networks.V4[0].IPAddress+"/"+d.Networks.V4[0].Netmask, []string{"10.9.0.2", "10.9.0.3"}[i]+"/255.255.255.0")
	}
	_, err = c.Kubernetes.Delete(c.ctx, cluster.ID)
	must(t, err)
	if going, _ := c.droplets(nil); len(going) != 2 {
		t.Errorf("%d droplets while the cluster goes", len(going))
	}
	c.waitGone(cluster.ID)
	if left, response := c.droplets(nil); len(left) != 0 || response.Meta.Total != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestDropletsAreFound(t *testing.T) {
	c := newCloud(t)
	one, two := c.cluster("lon1", 2), c.cluster("lon2", 3)
	names := func(all []godo.Droplet, _ *godo.Response, err error) []string {
		t.Helper()
		must(t, err)
		list := []string{}
		for _, d := range all {
			list = append(list, d.Name)
		}
		return list
	}
	equal(t, "of one cluster", len(names(c.Droplets.ListByTag(c.ctx, "k8s:"+one.ID, nil))), 2)
	equal(t, "of all", len(names(c.Droplets.ListByTag(c.ctx, "K8S", nil))), 5)
	equal(t, "of no tag", len(names(c.Droplets.ListByTag(c.ctx, "k8", nil))), 0)
	equal(t, "with GPUs", len(names(c.Droplets.ListWithGPUs(c.ctx, nil))), 0)
	node := two.NodePools[0].Nodes[1].Name
	equal(t, "by name", strings.Join(names(c.Droplets.ListByName(c.ctx, strings.ToUpper(node), nil)), " "), node)
	equal(t, "by part of a name", len(names(c.Droplets.ListByName(c.ctx, node[:4], nil))), 0)

	var paged []string
	for page := 1; page <= 3; page++ {
		all, response := c.droplets(&godo.ListOptions{Page: page, PerPage: 2})
		equal(t, "total", response.Meta.Total, 5)
		equal(t, "last page", response.Links.IsLastPage(), page == 3)
		paged = append(paged, names(all, nil, nil)...)
	}
	if whole := names(c.Droplets.List(c.ctx, &godo.ListOptions{PerPage: 200})); !slices.Equal(paged, whole) {
		t.Errorf("page by page %v, at once %v", paged, whole)
	}
}

func TestDropletsAreNotFoundByContradictions(t *testing.T) {
	c := newCloud(t)
	for _, query := range []string{"tag_name=a&name=b", "tag_name=a&type=droplets", "type=all"} {
		request, err := c.NewRequest(c.ctx, http.MethodGet, "/v2/droplets?"+query, nil)
		must(t, err)
		_, err = c.Do(c.ctx, request, nil)
		refused(t, err, http.StatusBadRequest, "")
	}
}

// TestAddressesAreNobodyElses: in a VPC no two machines have the same, also of several clusters, and the network can be full.
func TestAddressesAreNobodyElses(t *testing.T) {
	c := newCloudAt(t, 0.001, 100)
	network, _, err := c.VPCs.Create(c.ctx, &godo.VPCCreateRequest{Name: "net-1", RegionSlug: "lon1", IPRange: "10.9.0.16/28"})
	must(t, err)
	var made []*godo.KubernetesCluster
	for name, nodes := range map[string]int{"a": 6, "b": 4} {
		request := clusterRequest(name, nodes)
		request.VPCUUID = network.ID
		cluster, _, err := c.Kubernetes.Create(c.ctx, request)
		must(t, err)
		made = append(made, cluster)
	}
	_, _, err = c.Kubernetes.CreateNodePool(c.ctx, made[0].ID, &godo.KubernetesNodePoolCreateRequest{Name: "more", Size: "c-2", Count: 3})
	must(t, err)
	for _, cluster := range made {
		c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	}
	prefix, seen := netip.MustParsePrefix(network.IPRange), map[string]bool{}
	eventually(t, "every machine has an address", func() bool {
		all, _ := c.droplets(nil)
		for _, d := range all {
			address, err := d.PrivateIPv4()
			if err == nil && address != "" {
				seen[d.Name+" "+address] = true
			}
		}
		return len(seen) == 13
	})
	addresses := map[string]bool{}
	for one := range seen {
		_, address, _ := strings.Cut(one, " ")
		addresses[address] = prefix.Contains(netip.MustParseAddr(address))
	}
	if len(addresses) != 13 || addresses["10.9.0.16"] || addresses["10.9.0.17"] || addresses["10.9.0.31"] {
		t.Errorf("%d machines have the addresses %v", len(seen), addresses)
	}
	count := made[0].NodePools[0].Count + 1
	_, _, err = c.Kubernetes.UpdateNodePool(c.ctx, made[0].ID, made[0].NodePools[0].ID, &godo.KubernetesNodePoolUpdateRequest{Count: &count})
	refused(t, err, http.StatusUnprocessableEntity, "no free addresses")
	c.balanced()
}
