package gcp

import (
	"context"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// DeleteCluster asks for the end of the cluster, which takes its node pools along, and when it is gone removes what its
// controllers made and left. What is not ours stays.
func (p *Provider) DeleteCluster(ctx context.Context, spec region.ClusterSpec, _ string) (region.Removal, error) {
	c, err := p.findCluster(ctx, spec)
	switch {
	case fault.Is(err, fault.Exists): // of somebody else's cluster we cannot tell what it left from what it has
		return region.Removal{Gone: true}, nil
	case err != nil:
		return region.Removal{}, err
	case c == nil:
		return p.sweep(ctx, spec)
	case c.GetStatus() == containerpb.Cluster_STOPPING:
		return region.Removal{State: "the cluster is " + c.GetStatus().String()}, nil
	}
	op, err := p.containers.DeleteCluster(ctx, &containerpb.DeleteClusterRequest{Name: p.clusterPath(spec)})
	err = explain(err, "delete the cluster "+c.GetName())
	switch {
	case fault.Is(err, fault.NotFound):
		return region.Removal{State: "the cluster is gone"}, nil
	case fault.Is(err, fault.Conflict):
		return p.makeWay(ctx, spec, c, err)
	case err != nil:
		return region.Removal{}, err
	}
	return region.Removal{State: "the deletion of the cluster is " + op.GetStatus().String(), Operation: containerHint + op.GetName()}, nil
}

// makeWay: while GKE makes a cluster it refuses to delete it. Its creation is cancelled, as far as GKE can still do that; every
// other operation is waited for.
func (p *Provider) makeWay(ctx context.Context, spec region.ClusterSpec, c *containerpb.Cluster, refused error) (region.Removal, error) {
	waits := region.Removal{State: "the cluster is " + c.GetStatus().String() + ": " + fault.Message(refused)}
	if c.GetStatus() != containerpb.Cluster_PROVISIONING {
		return waits, nil
	}
	list, err := p.containers.ListOperations(ctx, &containerpb.ListOperationsRequest{Parent: p.locationPath(spec.Location)})
	if err != nil {
		return region.Removal{}, explain(err, "list the operations on clusters in "+spec.Location)
	}
	for _, op := range list.GetOperations() {
		active := op.GetStatus() == containerpb.Operation_PENDING || op.GetStatus() == containerpb.Operation_RUNNING
		if op.GetOperationType() != containerpb.Operation_CREATE_CLUSTER || !active || kindAndName(op.GetTargetLink()) != "clusters/"+c.GetName() {
			continue
		}
		err := p.containers.CancelOperation(ctx, &containerpb.CancelOperationRequest{Name: p.locationPath(spec.Location) + "/operations/" + op.GetName()})
		err = explain(err, "cancel the creation of the cluster "+c.GetName())
		switch {
		case err == nil:
			waits.State = "the creation of the cluster is being cancelled"
		case !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.NotFound):
			return region.Removal{}, err
		}
	}
	return waits, nil
}
