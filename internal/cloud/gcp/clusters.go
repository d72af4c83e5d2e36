package gcp

import (
	"context"
	"slices"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// EnsureCluster makes the cluster with all its nodes, and from then on gives it the number of nodes and the access list of the
// spec. Its version is GKE's to change: the release channel upgrades it by itself.
func (p *Provider) EnsureCluster(ctx context.Context, spec region.ClusterSpec, operation string) (region.Cluster, error) {
	c, err := p.findCluster(ctx, spec)
	switch {
	case err != nil:
		return region.Cluster{}, err
	case c != nil:
		return p.converge(ctx, spec, c, operation)
	}
	running, failed, err := p.clusterOperation(ctx, operation, spec.Location, "create the cluster "+clusterName(spec.Name))
	switch {
	case err != nil:
		return region.Cluster{}, err
	case failed != nil && !mayPass(failed): // only the operation tells why there is no cluster
		return region.Cluster{}, failed
	case running != nil && running.GetOperationType() == containerpb.Operation_CREATE_CLUSTER:
		return region.Cluster{Name: clusterName(spec.Name), Condition: region.Condition{State: running.GetStatus().String(), Operation: operation}}, nil
	}
	return p.createCluster(ctx, spec)
}

func (p *Provider) createCluster(ctx context.Context, spec region.ClusterSpec) (region.Cluster, error) {
	request, err := p.clusterRequest(ctx, spec)
	if err != nil {
		return region.Cluster{}, err
	}
	hint := ""
	op, err := p.containers.CreateCluster(ctx, request)
	switch err = explain(err, "create the cluster "+clusterName(spec.Name)); {
	case isUnknownYet(err):
		return region.Cluster{}, fault.Wrap(fault.Conflict, err, "%s", fault.Message(err))
	case err == nil:
		hint = containerHint + op.GetName()
	case !fault.Is(err, fault.Exists):
		return region.Cluster{}, err
	}
	// Made now, or since we looked: by our own lost attempt, or by somebody else.
	c, again := p.findCluster(ctx, spec)
	switch {
	case again != nil:
		return region.Cluster{}, again
	case c == nil:
		return region.Cluster{}, fault.New(fault.Conflict, "the cluster %s was made but is not there yet", clusterName(spec.Name))
	}
	made := regional(c, spec, nodes{})
	made.Ready, made.Operation = false, hint
	return made, nil
}

// findCluster returns nil when there is none of that name, and an Exists fault when there is one that is not ours. One that is
// on its way out counts until it is gone: so long it keeps its name and its network.
func (p *Provider) findCluster(ctx context.Context, spec region.ClusterSpec) (*containerpb.Cluster, error) {
	c, err := p.containers.GetCluster(ctx, &containerpb.GetClusterRequest{Name: p.clusterPath(spec)})
	err = explain(err, "describe the cluster "+clusterName(spec.Name))
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case !labelled(c.GetResourceLabels(), spec.Owner):
		return nil, fault.New(fault.Exists, "the GCP project %s has a cluster %s in %s that is not this region's: its labels are not %v; delete it, or give the region another name",
			p.project, c.GetName(), spec.Location, spec.Tags)
	}
	return c, nil
}

// converge takes one step from the cluster there is to the one that is wanted. Operations on a cluster exclude each other, so that
// it changes one thing at a time, when nothing else is at work.
func (p *Provider) converge(ctx context.Context, spec region.ClusterSpec, c *containerpb.Cluster, operation string) (region.Cluster, error) {
	if err := fits(c, spec); err != nil {
		return region.Cluster{}, err
	}
	switch c.GetStatus() {
	case containerpb.Cluster_STOPPING:
		return region.Cluster{}, fault.New(fault.Conflict, "the cluster %s is still being deleted", c.GetName())
	case containerpb.Cluster_ERROR:
		return p.broken(ctx, spec, c, operation)
	case containerpb.Cluster_RUNNING:
	default:
		return waiting(regional(c, spec, nodes{}), operation), nil
	}
	found, err := p.nodes(ctx, c)
	if err != nil {
		return region.Cluster{}, err
	}
	now := regional(c, spec, found)
	if found.failed != "" {
		return p.replace(ctx, spec, found, now)
	}
	if !found.settled {
		return waiting(now, operation), nil
	}
	op, err := p.change(ctx, spec, c, found)
	if err != nil || op == nil {
		return now, err
	}
	now.Ready, now.State, now.Reason, now.Operation = false, op.GetOperationType().String(), reasonOf(op), containerHint+op.GetName()
	return now, nil
}

// waiting is a cluster that GKE is at work on.
func waiting(now region.Cluster, operation string) region.Cluster {
	if containerOperation(operation) != "" {
		now.Operation = operation
	}
	return now
}

// change asks for the next thing that differs, if something does: who may reach the API server, a pool, the size of one, a pool less.
func (p *Provider) change(ctx context.Context, spec region.ClusterSpec, c *containerpb.Cluster, found nodes) (*containerpb.Operation, error) {
	if want := p.accessList(spec); !sameAccess(c, want) {
		op, err := p.containers.UpdateCluster(ctx, &containerpb.UpdateClusterRequest{Name: p.clusterPath(spec), Update: &containerpb.ClusterUpdate{
			DesiredControlPlaneEndpointsConfig: &containerpb.ControlPlaneEndpointsConfig{
				IpEndpointsConfig: &containerpb.ControlPlaneEndpointsConfig_IPEndpointsConfig{AuthorizedNetworksConfig: want}}}})
		return op, explain(err, "change who reaches the API server of the cluster "+c.GetName())
	}
	return p.resize(ctx, spec, c, found)
}

// fits refuses a cluster that cannot become what is wanted.
func fits(c *containerpb.Cluster, spec region.ClusterSpec) error {
	network := last(c.GetNetworkConfig().GetNetwork())
	if network == "" {
		network = last(c.GetNetwork())
	}
	if want := networkName(spec.Name); network != want {
		return fault.New(fault.Failed, "the cluster %s is in the network %s, not in %s: remove the region first", c.GetName(), network, want)
	}
	return nil
}

// broken is a cluster that GKE has given up on.
func (p *Provider) broken(ctx context.Context, spec region.ClusterSpec, c *containerpb.Cluster, operation string) (region.Cluster, error) {
	now := regional(c, spec, nodes{})
	if now.Reason != "" {
		now.Reason += nextFor(now.Reason)
		return now, nil
	}
	_, failed, err := p.clusterOperation(ctx, operation, spec.Location, "create the cluster "+c.GetName())
	if err != nil {
		return region.Cluster{}, err
	}
	now.Reason = "GKE does not say why: see the cluster's operations in the console"
	if failed != nil {
		now.Reason = fault.Message(failed)
	}
	return now, nil
}

// regional is the cluster as the platform sees it.
func regional(c *containerpb.Cluster, spec region.ClusterSpec, n nodes) region.Cluster {
	now := region.Cluster{ID: c.GetId(), Name: c.GetName(), Version: c.GetCurrentMasterVersion(), Nodes: n.running, Issuer: issuerOf(c),
		Condition: region.Condition{State: c.GetStatus().String(), Reason: words(c.GetConditions())}}
	if c.GetEndpoint() != "" {
		now.Endpoint = "https://" + c.GetEndpoint()
	}
	switch c.GetStatus() {
	case containerpb.Cluster_ERROR:
		now.Broken = true
	case containerpb.Cluster_RUNNING:
		now.Ready = n.settled && n.running == spec.Nodes.Count && n.wanted == spec.Nodes.Count
		if !now.Ready {
			now.Reason = n.reason(spec.Nodes.Count)
		}
	}
	return now
}

// issuerOf is who signs the tokens of the cluster's service accounts.
func issuerOf(c *containerpb.Cluster) string {
	if c.GetSelfLink() == "" || c.GetWorkloadIdentityConfig() == nil {
		return ""
	}
	return c.GetSelfLink()
}

// words are what GKE says about the state of something.
func words(conditions []*containerpb.StatusCondition) string {
	var all []string
	for _, c := range conditions {
		if m := c.GetMessage(); m != "" && !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	return joined(all)
}
