package azure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// A cluster and a node pool as AKS describes them.
type (
	cluster  = armcontainerservice.ManagedCluster
	nodePool = armcontainerservice.ManagedClusterAgentPoolProfile
)

// EnsureCluster takes one step towards the AKS cluster of the spec's name and owner: its creation, then the ranges that reach its API
// server, then its number of nodes. Its version is Azure's to change: it upgrades to newer patches by itself.
func (p *Provider) EnsureCluster(ctx context.Context, spec region.ClusterSpec, operation string) (region.Cluster, error) {
	n := p.names(spec.Name)
	found, err := p.cluster(ctx, spec.Owner, n)
	if err != nil {
		return region.Cluster{}, err
	}
	if found != nil {
		return p.converge(ctx, spec, n, found, operation)
	}
	begun, err := p.createCluster(ctx, spec, n)
	if err != nil && !fault.Is(err, fault.Conflict) {
		return region.Cluster{}, err
	}
	// Made now, or since we looked: by our own lost attempt, or by somebody else.
	found, again := p.cluster(ctx, spec.Owner, n)
	switch {
	case again != nil:
		return region.Cluster{}, again
	case found == nil && isUnseen(err):
		return region.Cluster{ID: n.clusterID(), Name: n.cluster,
			Condition: region.Condition{State: "waits for its identity's roles", Reason: fault.Message(err)}}, nil
	case found == nil && err != nil:
		return region.Cluster{}, err
	case found == nil:
		return region.Cluster{}, fault.New(fault.Conflict, "the cluster %s was made and cannot be seen yet", n.cluster)
	}
	if err == nil {
		_, _ = p.admit(ctx, spec.Owner, n) // early; EnsureTrust does it again
	}
	return p.converge(ctx, spec, n, found, begun)
}

func (p *Provider) createCluster(ctx context.Context, spec region.ClusterSpec, n names) (operation string, err error) {
	version, err := p.version(ctx, spec.Location, spec.Version)
	if err != nil {
		return "", err
	}
	zones, err := p.zonesOf(ctx, spec.Location, spec.Nodes.Size, spec.Network.Zones)
	if err != nil {
		return "", err
	}
	watching, kept := watched(ctx)
	_, err = p.clusters.BeginCreateOrUpdate(watching, n.group, n.cluster, p.body(spec, n, version, zones),
		&armcontainerservice.ManagedClustersClientBeginCreateOrUpdateOptions{IfNoneMatch: ptr("*")})
	return kept.operation(), explain(err, "create the AKS cluster "+n.cluster)
}

// isUnseen says that AKS does not see a role yet that was given: it takes a minute or two, and nothing tells when it is over but another
// try.
func isUnseen(err error) bool {
	var answer *azcore.ResponseError
	return errors.As(err, &answer) && strings.HasSuffix(answer.ErrorCode, "MissingPermissionError")
}

// cluster returns nil when there is none of our name, and an Exists fault when there is one with another owner.
func (p *Provider) cluster(ctx context.Context, owner region.Key, n names) (*cluster, error) {
	found, err := p.clusters.Get(ctx, n.group, n.cluster, nil)
	c, err := ours(&found.ManagedCluster, found.Tags, err, "cluster", n.clusterID(), owner)
	if c != nil && c.Properties == nil {
		return nil, fault.New(fault.Unavailable, "Azure says nothing of the cluster %s", n.cluster)
	}
	return c, err
}

// converge brings a cluster that is there to what the spec wants, one change at a time: AKS takes no two at once. A cluster that is being
// deleted, or that lies in another network, cannot become what is wanted.
func (p *Provider) converge(ctx context.Context, spec region.ClusterSpec, n names, c *cluster, operation string) (region.Cluster, error) {
	pool := poolOf(c)
	switch state := of(c.Properties.ProvisioningState); {
	case state == leaving:
		return region.Cluster{}, fault.New(fault.Conflict, "the cluster %s is still being deleted", n.cluster)
	case pool != nil && spec.Network.ID != "" && !strings.HasPrefix(strings.ToLower(of(pool.VnetSubnetID)), strings.ToLower(spec.Network.ID)+"/"):
		return region.Cluster{}, fault.New(fault.Failed, "the cluster %s is in the subnet %s, not in the network %s: remove the region first",
			n.cluster, of(pool.VnetSubnetID), spec.Network.ID)
	case state == "Failed", state == "Canceled":
		return p.mend(ctx, spec, n, c, operation)
	case state != "Succeeded":
		return n.region(c, region.Condition{State: state, Reason: "AKS makes or changes the cluster", Operation: operation}), nil
	case isStopped(c):
		return n.region(c, region.Condition{State: "Stopped", Broken: true,
			Reason: fmt.Sprintf("somebody stopped the cluster: az aks start -g %s -n %s", n.group, n.cluster)}), nil
	case !slices.Equal(rangesOf(c), spec.Admitted(p.egress)):
		return p.restrict(ctx, spec, n, c)
	case pool == nil || int(of(pool.Count)) != spec.Nodes.Count:
		return p.scale(ctx, spec, n, c, pool)
	}
	switch state := of(pool.ProvisioningState); state {
	case "Succeeded":
		return n.region(c, region.Condition{State: "Succeeded", Ready: true}), nil
	case "Failed", "Canceled":
		return p.mend(ctx, spec, n, c, operation)
	default:
		return n.region(c, region.Condition{State: state, Reason: "AKS makes or changes the node pool", Operation: operation}), nil
	}
}

// mend looks at a cluster that AKS gave up. If another number of nodes is wanted by now than it failed with, it is asked for that: a
// limit that was too small for many nodes may do for fewer. Else it is broken, with the reason if the operation tells it.
func (p *Provider) mend(ctx context.Context, spec region.ClusterSpec, n names, c *cluster, operation string) (region.Cluster, error) {
	why, err := p.reason(ctx, operation)
	if err != nil {
		return region.Cluster{}, err
	}
	pool := poolOf(c)
	if why == "" && pool != nil && int(of(pool.Count)) != spec.Nodes.Count {
		return p.scale(ctx, spec, n, c, pool)
	}
	state := of(c.Properties.ProvisioningState)
	if state == "Succeeded" && pool != nil {
		state = "node pool " + of(pool.ProvisioningState)
	}
	return n.region(c, region.Condition{Broken: true, State: state, Operation: operation, Reason: fmt.Sprintf(
		"%s; `az aks update -g %s -n %s` has AKS try again", orActivityLog(why), n.group, n.cluster)}), nil
}

// restrict changes the ranges that reach the API server.
func (p *Provider) restrict(ctx context.Context, spec region.ClusterSpec, n names, c *cluster) (region.Cluster, error) {
	if c.Properties.APIServerAccessProfile == nil {
		c.Properties.APIServerAccessProfile = &armcontainerservice.ManagedClusterAPIServerAccessProfile{}
	}
	c.Properties.APIServerAccessProfile.AuthorizedIPRanges = append([]*string{}, pointers(spec.Admitted(p.egress))...) // none is said, too
	watching, kept := watched(ctx)
	_, err := p.clusters.BeginCreateOrUpdate(watching, n.group, n.cluster, writable(*c),
		&armcontainerservice.ManagedClustersClientBeginCreateOrUpdateOptions{IfMatch: c.ETag})
	if err != nil {
		return region.Cluster{}, explain(err, "change the ranges that reach the API server of "+n.cluster)
	}
	return n.region(c, region.Condition{State: "Updating", Reason: "AKS changes the ranges that reach the API server", Operation: kept.operation()}), nil
}

// scale asks for the spec's number of nodes, or for the pool if there is none.
func (p *Provider) scale(ctx context.Context, spec region.ClusterSpec, n names, c *cluster, have *nodePool) (region.Cluster, error) {
	var wanted armcontainerservice.AgentPool
	options := &armcontainerservice.AgentPoolsClientBeginCreateOrUpdateOptions{}
	if have == nil {
		zones, err := p.zonesOf(ctx, spec.Location, spec.Nodes.Size, spec.Network.Zones)
		if err != nil {
			return region.Cluster{}, err
		}
		wanted.Properties = pool(spec, n, of(c.Properties.CurrentKubernetesVersion), zones)
		options.IfNoneMatch = ptr("*")
	} else {
		found, err := p.pools.Get(ctx, n.group, n.cluster, of(have.Name), nil)
		if err != nil {
			return region.Cluster{}, explain(err, "look at the node pool of "+n.cluster)
		}
		if found.Properties == nil {
			return region.Cluster{}, fault.New(fault.Unavailable, "Azure says nothing of the node pool of %s", n.cluster)
		}
		options.IfMatch = found.Properties.ETag
		wanted.Properties = writablePool(*found.Properties)
		wanted.Properties.Count = ptr(int32(spec.Nodes.Count))
	}
	watching, kept := watched(ctx)
	_, err := p.pools.BeginCreateOrUpdate(watching, n.group, n.cluster, poolName, wanted, options)
	if err != nil {
		return region.Cluster{}, explain(err, fmt.Sprintf("give the node pool of %s %d nodes", n.cluster, spec.Nodes.Count))
	}
	return n.region(c, region.Condition{State: "Scaling", Operation: kept.operation(),
		Reason: fmt.Sprintf("AKS brings the node pool to %d nodes", spec.Nodes.Count)}), nil
}

// poolOf is the pool we made, nil when there is none: others are somebody's.
func poolOf(c *cluster) *nodePool {
	for _, pool := range c.Properties.AgentPoolProfiles {
		if of(pool.Name) == poolName {
			return pool
		}
	}
	return nil
}

func isStopped(c *cluster) bool {
	return c.Properties.PowerState != nil && of(c.Properties.PowerState.Code) == armcontainerservice.CodeStopped
}

// region is the cluster as the platform sees it.
func (n names) region(c *cluster, now region.Condition) region.Cluster {
	made := region.Cluster{ID: n.clusterID(), Name: n.cluster, Version: of(c.Properties.CurrentKubernetesVersion), Condition: now}
	if host := of(c.Properties.Fqdn); host != "" {
		made.Endpoint = "https://" + host + ":443"
	}
	if issuer := c.Properties.OidcIssuerProfile; issuer != nil {
		made.Issuer = of(issuer.IssuerURL)
	}
	if pool := poolOf(c); pool != nil && of(pool.ProvisioningState) == "Succeeded" && of(c.Properties.ProvisioningState) == "Succeeded" {
		made.Nodes = int(of(pool.Count)) // AKS counts a pool as done when all of its nodes are ready
	}
	return made
}

// DeleteCluster asks for the end of the cluster, and when it is gone for that of its node group, should AKS have left that: in it
// is what the cluster made. What is not ours stays.
func (p *Provider) DeleteCluster(ctx context.Context, spec region.ClusterSpec, operation string) (region.Removal, error) {
	n := p.names(spec.Name)
	found, err := p.cluster(ctx, spec.Owner, n)
	switch {
	case fault.Is(err, fault.Exists): // and the group with its nodes is not ours either
		return region.Removal{Gone: true}, nil
	case err != nil:
		return region.Removal{}, err
	case found == nil:
		return p.sweep(ctx, spec.Owner, n, operation)
	case of(found.Properties.ProvisioningState) == leaving:
		return region.Removal{State: "the cluster is " + leaving, Operation: operation}, nil
	}
	why, err := p.reason(ctx, operation) // of a deletion that was given up
	if err != nil {
		return region.Removal{}, err
	}
	watching, kept := watched(ctx)
	_, err = p.clusters.BeginDelete(watching, n.group, n.cluster, nil)
	err = explain(err, "delete the AKS cluster "+n.cluster)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return region.Removal{}, err
	}
	now := region.Removal{State: "the deletion of the cluster was requested", Operation: kept.operation()}
	if why != "" {
		now.State += ", after Azure gave up the one before: " + why
	}
	return now, nil
}

// sweep removes the node group of a cluster that is gone.
func (p *Provider) sweep(ctx context.Context, owner region.Key, n names, operation string) (region.Removal, error) {
	left, err := p.nodeGroup(ctx, owner, n)
	switch {
	case err != nil:
		return region.Removal{}, err
	case left == nil:
		return region.Removal{Gone: true}, nil
	case groupState(left) == leaving:
		return region.Removal{State: "the resource group " + n.nodeGroup + " is " + leaving, Operation: operation}, nil
	}
	now, err := p.deleteGroup(ctx, n.nodeGroup)
	now.State = "the cluster left the resource group " + n.nodeGroup + "; " + now.State
	return now, err
}
