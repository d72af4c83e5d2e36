package digitalocean

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// accessFor is how long credentials for a cluster hold.
const accessFor = 24 * time.Hour

// EnsureCluster returns the cluster of the spec's name and owner, asked for if there is none. One that has another number
// of nodes is asked to change it. Its version is DigitalOcean's to change: it upgrades clusters by itself.
func (p *Provider) EnsureCluster(ctx context.Context, spec region.ClusterSpec, _ string) (region.Cluster, error) {
	found, err := p.findCluster(ctx, spec)
	if err != nil {
		return region.Cluster{}, err
	}
	if found != nil {
		return p.adjust(ctx, spec, found)
	}
	err = p.createCluster(ctx, spec)
	if err != nil && !fault.Is(err, fault.Exists) {
		return region.Cluster{}, err
	}
	// Made now, or since we looked: by our own lost attempt, or by somebody else.
	found, again := p.findCluster(ctx, spec)
	switch {
	case again != nil:
		return region.Cluster{}, again
	case found == nil && err != nil:
		return region.Cluster{}, err
	case found == nil:
		return region.Cluster{}, fault.New(fault.Conflict, "the cluster %s was made but is not listed yet", clusterName(spec))
	}
	return found.region(), nil
}

func (p *Provider) createCluster(ctx context.Context, spec region.ClusterSpec) error {
	options, err := p.options(ctx)
	if err != nil {
		return err
	}
	version, err := newest(options.Versions, spec.Version)
	if err != nil {
		return err
	}
	request := &godo.KubernetesClusterCreateRequest{
		Name: clusterName(spec), RegionSlug: spec.Location, VersionSlug: version, VPCUUID: spec.Network.ID, Tags: marks(spec.Owner, spec.Tags),
		// Said outright, because what DigitalOcean takes for granted depends on the version and costs money.
		HA:        godo.PtrTo(false),
		NodePools: []*godo.KubernetesNodePoolCreateRequest{poolRequest(spec)},
	}
	if allowed := spec.Admitted(p.egress); allowed != nil {
		request.ControlPlaneFirewall = firewallRequest(allowed)
	}
	_, _, err = p.api.Kubernetes.Create(ctx, request)
	return explain(err, "create the Kubernetes cluster "+clusterName(spec))
}

func poolRequest(spec region.ClusterSpec) *godo.KubernetesNodePoolCreateRequest {
	return &godo.KubernetesNodePoolCreateRequest{Name: poolName(spec), Size: spec.Nodes.Size, Count: spec.Nodes.Count,
		Tags: marks(spec.Owner, spec.Tags)}
}

// The limits of names. The API's description names none. A cluster's and a pool's names become values of labels on nodes, which
// have 63 characters; nodes are called after their pool, with a hyphen and five characters, and a node's name is a DNS label.
const (
	clusterNameLimit = 63
	poolNameLimit    = 63 - len("-abcde")
)

func clusterName(spec region.ClusterSpec) string {
	return region.CutName(clusterNameLimit, spec.Name)
}

// poolName is the same for a spec that has the cluster's own name.
func poolName(spec region.ClusterSpec) string {
	return region.CutName(poolNameLimit, clusterName(spec)+"-nodes")
}

// adjust asks for the spec's number of nodes, and for who reaches the API server. A cluster that is being deleted, or that lies in another network, cannot
// become what is wanted.
func (p *Provider) adjust(ctx context.Context, spec region.ClusterSpec, c *cluster) (region.Cluster, error) {
	switch {
	case c.leaving():
		return region.Cluster{}, fault.New(fault.Conflict, "the cluster %s (%s) is still being deleted", c.Name, c.ID)
	case spec.Network.ID != "" && c.VPC != spec.Network.ID:
		return region.Cluster{}, fault.New(fault.Failed, "the cluster %s (%s) is in the network %s, not in %s: remove the region first", c.Name, c.ID, c.VPC, spec.Network.ID)
	case c.broken():
		return c.region(), nil
	}
	if allowed := spec.Admitted(p.egress); !c.Firewall.isAs(allowed) {
		_, _, err := p.api.Kubernetes.Update(ctx, c.ID, &godo.KubernetesClusterUpdateRequest{Name: c.Name, ControlPlaneFirewall: firewallRequest(allowed)})
		if err != nil {
			return region.Cluster{}, explain(err, "restrict who reaches the API server of the Kubernetes cluster "+c.Name)
		}
	}
	pool := c.pool(poolName(spec))
	if pool == nil {
		if _, _, err := p.api.Kubernetes.CreateNodePool(ctx, c.ID, poolRequest(spec)); err != nil {
			return region.Cluster{}, explain(err, "create the node pool "+poolName(spec))
		}
		c.Pools = append(c.Pools, nodePool{Name: poolName(spec), Count: spec.Nodes.Count})
		return c.region(), nil
	}
	if pool.Count == spec.Nodes.Count {
		return c.region(), nil
	}
	_, _, err := p.api.Kubernetes.UpdateNodePool(ctx, c.ID, pool.ID, &godo.KubernetesNodePoolUpdateRequest{Name: pool.Name, Count: &spec.Nodes.Count})
	if err != nil {
		return region.Cluster{}, explain(err, fmt.Sprintf("give the node pool %s %d nodes", pool.Name, spec.Nodes.Count))
	}
	pool.Count = spec.Nodes.Count
	return c.region(), nil
}

// DeleteCluster asks for the end of the cluster and of the load balancers, volumes and snapshots it made, and when it is gone
// removes what of that is left. What is not ours stays.
func (p *Provider) DeleteCluster(ctx context.Context, spec region.ClusterSpec, _ string) (region.Removal, error) {
	c, err := p.findCluster(ctx, spec)
	switch {
	case fault.Is(err, fault.Exists), err == nil && c == nil:
		return p.sweepCluster(ctx, spec.ID)
	case err != nil:
		return region.Removal{}, err
	case c.leaving():
		return region.Removal{State: "the cluster is " + c.Status.State}, nil
	}
	_, err = p.api.Kubernetes.DeleteDangerous(ctx, c.ID)
	err = explain(err, "delete the Kubernetes cluster "+clusterName(spec))
	if err != nil && !fault.Is(err, fault.NotFound) {
		return region.Removal{}, err
	}
	return region.Removal{State: "the deletion of the cluster was requested"}, nil
}

// Access returns a kubeconfig that holds for a day.
func (p *Provider) Access(ctx context.Context, spec region.ClusterSpec) (cloud.Access, error) {
	c, err := p.ours(ctx, spec)
	if err != nil {
		return cloud.Access{}, err
	}
	expires := time.Now().Add(accessFor)
	config, _, err := p.api.Kubernetes.GetKubeConfigWithExpiry(ctx, c.ID, int64(accessFor/time.Second))
	if err != nil {
		return cloud.Access{}, notYet(explain(err, "give access to the Kubernetes cluster "+clusterName(spec)))
	}
	if len(config.KubeconfigYAML) == 0 {
		return cloud.Access{}, fault.New(fault.Unavailable, "the Kubernetes cluster %s has no kubeconfig yet", clusterName(spec))
	}
	return cloud.Access{Kubeconfig: config.KubeconfigYAML, Expires: expires}, nil
}

// notYet: a cluster that was just seen, and for which a kubeconfig is "not found", is not up yet, or not up again.
func notYet(err error) error {
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Conflict) {
		return fault.Wrap(fault.Unavailable, err, "%s", fault.Message(err))
	}
	return err
}

// ours is the cluster of the spec's name and owner. One that is somebody else's is not there, as far as the region goes.
func (p *Provider) ours(ctx context.Context, spec region.ClusterSpec) (*cluster, error) {
	c, err := p.findCluster(ctx, spec)
	if fault.Is(err, fault.Exists) {
		return nil, fault.Wrap(fault.NotFound, err, "%s", fault.Message(err))
	}
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, fault.New(fault.NotFound, "the DigitalOcean account has no Kubernetes cluster %s", clusterName(spec))
	}
	return c, nil
}

// findCluster returns nil when there is none of that name, and an Exists fault when there is one that is not ours. One that is
// on its way out counts until it is no longer listed: so long it keeps its name and its network.
func (p *Provider) findCluster(ctx context.Context, spec region.ClusterSpec) (*cluster, error) {
	all, err := p.clusters(ctx)
	if err != nil {
		return nil, err
	}
	var found *cluster
	for i, c := range all {
		if c.Name != clusterName(spec) || found != nil && c.leaving() {
			continue
		}
		if !slices.Contains(c.Tags, spec.Owner.Owner()) {
			return nil, fault.New(fault.Exists, "the DigitalOcean account has a Kubernetes cluster %s (%s) that is not this region's: it lacks the tag %q; rename it, or give the region another name",
				c.Name, c.ID, spec.Owner.Owner())
		}
		found = &all[i]
	}
	return found, nil
}

// cluster is the part of a cluster that we look at. godo's own type refuses a whole list for one state that it does not
// know, and the API has more of them than godo.
type cluster struct {
	ID       string                `json:"id"`
	Name     string                `json:"name"`
	Version  string                `json:"version"`
	VPC      string                `json:"vpc_uuid"`
	Endpoint string                `json:"endpoint"`
	Tags     []string              `json:"tags"`
	Status   state                 `json:"status"`
	Pools    []nodePool            `json:"node_pools"`
	Firewall *controlPlaneFirewall `json:"control_plane_firewall"`
}

type nodePool struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Size  string `json:"size"`
	Count int    `json:"count"`
	Nodes []struct {
		Status state `json:"status"`
	} `json:"nodes"`
}

type state struct {
	State   string `json:"state"`
	Message string `json:"message"`
}

// clusters lists all of the account's. The list is the caller's own, to its pools.
func (p *Provider) clusters(ctx context.Context) ([]cluster, error) {
	all, err := p.lists.clusters.get(ctx, func(ctx context.Context) ([]cluster, error) { return every(ctx, p.listClusters) })
	for i := range all {
		all[i].Pools = slices.Clone(all[i].Pools)
	}
	return all, explain(err, "list the Kubernetes clusters")
}

func (p *Provider) listClusters(ctx context.Context, page *godo.ListOptions) ([]cluster, *godo.Response, error) {
	path := fmt.Sprintf("/v2/kubernetes/clusters?page=%d&per_page=%d", page.Page, page.PerPage)
	request, err := p.api.NewRequest(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, nil, err
	}
	var answer struct {
		Clusters []cluster   `json:"kubernetes_clusters"`
		Links    *godo.Links `json:"links"`
	}
	response, err := p.api.Do(ctx, request, &answer)
	if err == nil {
		response.Links = answer.Links
	}
	return answer.Clusters, response, err
}

// leaving says that it is being deleted: the API's description calls that "deleting", its SDK "deleted".
func (c *cluster) leaving() bool { return c.Status.State == "deleting" || c.Status.State == "deleted" }

func (c *cluster) broken() bool { return c.Status.State == "error" || c.Status.State == "invalid" }

// wanted is how many nodes it is to have; none of no cluster.
func (c *cluster) wanted() int {
	n := 0
	if c == nil {
		return n
	}
	for _, pool := range c.Pools {
		n += pool.Count
	}
	return n
}

// pool is the pool we made, else the first there is.
func (c *cluster) pool(name string) *nodePool {
	for i := range c.Pools {
		if c.Pools[i].Name == name {
			return &c.Pools[i]
		}
	}
	if len(c.Pools) > 0 {
		return &c.Pools[0]
	}
	return nil
}

// region is the cluster as the platform sees it: ready when the control plane and every node that was asked for runs, and
// none is on its way out.
func (c *cluster) region() region.Cluster {
	wanted, listed, running := c.wanted(), 0, 0
	var troubles []string
	for _, pool := range c.Pools {
		for _, n := range pool.Nodes {
			listed++
			if n.Status.State == "running" {
				running++
			} else if n.Status.Message != "" && !slices.Contains(troubles, n.Status.Message) {
				troubles = append(troubles, n.Status.Message)
			}
		}
	}
	ready := c.Status.State == "running" && wanted > 0 && wanted == listed && listed == running
	reason := c.Status.Message
	if reason == "" && !ready && c.Status.State == "running" {
		reason = strings.Join(append([]string{fmt.Sprintf("%d of %d nodes are running", running, wanted)}, troubles...), "; ")
	}
	return region.Cluster{ID: c.ID, Name: c.Name, Endpoint: c.Endpoint, Version: c.Version, Nodes: running,
		Condition: region.Condition{State: c.Status.State, Reason: reason, Ready: ready, Broken: c.broken()}}
}
