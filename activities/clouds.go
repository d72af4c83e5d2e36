package activities

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Networks makes and removes private networks in one cloud account. Poll is how often it asks for the end of one that is
// still lived in.
type Networks struct {
	Cloud cloud.Networks
	Poll  time.Duration
}

// EnsureNetwork makes the network of the spec exist and returns it. Asking twice returns the same network.
func (a *Networks) EnsureNetwork(ctx context.Context, spec region.NetworkSpec) (region.Net, error) {
	network, err := a.Cloud.EnsureNetwork(ctx, spec)
	if err := againFor(activity.GetInfo(ctx).Attempt, err); err != nil {
		return region.Net{}, fail(fmt.Errorf("ensure network %s: %w", spec.Name, err))
	}
	return network, nil
}

// DeleteNetwork removes the network. Gone is fine. While something still lives in it the provider refuses, and is asked
// again; its heartbeats say what it waits for.
func (a *Networks) DeleteNetwork(ctx context.Context, spec region.NetworkSpec) error {
	w := watching(ctx, a.Poll)
	defer w.close()
	err := w.until(func() (string, bool, error) { return "", true, again(a.Cloud.DeleteNetwork(ctx, spec)) })
	if err != nil {
		return fail(fmt.Errorf("delete network %s: %w", spec.Name, err))
	}
	return nil
}

// again makes a cloud's "not now" (another operation is in the way) something that Temporal asks again.
func again(err error) error {
	if fault.Is(err, fault.Conflict) {
		return fault.Wrap(fault.Unavailable, err, "%s", fault.Message(err))
	}
	return err
}

// patience is how often what is in the way of something new is waited for: an hour of tries, a quarter of a minute apart. It
// counts tries and not the time: none is made while the platform is switched off.
const patience = 240

// againFor is again, for so many tries.
func againFor(attempt int32, err error) error {
	if attempt < patience {
		return again(err)
	}
	return err
}

// Clusters makes, watches and removes managed Kubernetes clusters in one cloud account. Poll is how often it looks at
// one that is on its way; the provider's rate limit bounds it. Limit is how long the provider may take for one. Gone, if there is
// one, is told of a cluster that was removed.
type Clusters struct {
	Cloud cloud.Clusters
	Poll  time.Duration
	Limit time.Duration
	Gone  func(region.Key)
}

// EnsureCluster asks for the cluster of the spec and returns it as it is now. Asking twice returns the same cluster.
func (a *Clusters) EnsureCluster(ctx context.Context, spec region.ClusterSpec) (region.Cluster, error) {
	cluster, err := a.Cloud.EnsureCluster(ctx, spec)
	if err := againFor(activity.GetInfo(ctx).Attempt, err); err != nil {
		return region.Cluster{}, fail(fmt.Errorf("ensure cluster %s: %w", spec.Name, err))
	}
	return cluster, nil
}

// AwaitCluster returns the cluster when it is ready, or why it never will be. It only reads; its heartbeats carry the
// provider's own word for the state.
func (a *Clusters) AwaitCluster(ctx context.Context, spec region.ClusterSpec) (region.Cluster, error) {
	w := watching(ctx, a.Poll)
	defer w.close()
	w.limit = min(w.limit, a.Limit)
	var cluster region.Cluster
	err := w.until(func() (_ string, ready bool, err error) {
		cluster, err = a.Cloud.FindCluster(ctx, spec)
		if err == nil && cluster.Broken {
			err = fault.New(fault.Failed, "cluster %s is in state %q: %s", spec.Name, cluster.State, cluster.Reason)
		}
		return still(cluster), cluster.Ready, err
	})
	if err != nil {
		return region.Cluster{}, fail(fmt.Errorf("await cluster %s: %w", spec.Name, err))
	}
	return cluster, nil
}

func still(c region.Cluster) string { return fmt.Sprintf("cluster %s is still %q", c.Name, c.State) }

// DeleteCluster asks for the end of the cluster and returns when it is gone. Gone is fine.
func (a *Clusters) DeleteCluster(ctx context.Context, spec region.ClusterSpec) error {
	w := watching(ctx, a.Poll)
	defer w.close()
	err := w.until(func() (string, bool, error) { return "", true, again(a.Cloud.DeleteCluster(ctx, spec)) })
	if err == nil {
		err = w.until(func() (string, bool, error) {
			cluster, err := a.Cloud.FindCluster(ctx, spec)
			if fault.Is(err, fault.NotFound) {
				return "", true, nil
			}
			return still(cluster), false, err
		})
	}
	if err != nil {
		return fail(fmt.Errorf("delete cluster %s: %w", spec.Name, err))
	}
	if a.Gone != nil {
		a.Gone(spec.Owner)
	}
	return nil
}

// Accounts asks one cloud account about itself. Wanted is what parts of regions are made of. Poll is how often it looks for
// what a cloud removes late, Limit how long that may take; 0 is as long as the workflow has patience.
type Accounts struct {
	Cloud  cloud.Account
	Wanted cluster.Parts
	Poll   time.Duration
	Limit  time.Duration
}

// PreflightInput is a region that is about to be made (Have nil) or changed.
type PreflightInput struct {
	Want region.Spec  `json:"want"`
	Have *region.Spec `json:"have,omitempty"`
}

// Preflight says what stands in the way of the region, in the cloud and in the platform's own settings, and what it would
// cost. It only reads.
func (a *Accounts) Preflight(ctx context.Context, in PreflightInput) (region.Preflight, error) {
	answer, err := a.Cloud.Preflight(ctx, in.Want, in.Have)
	if err != nil {
		return region.Preflight{}, fail(fmt.Errorf("preflight %s: %w", in.Want.Key(), err))
	}
	if err := a.Wanted.Check(in.Want); err != nil {
		answer.Obstacles = append(answer.Obstacles, region.Obstacle{Kind: string(fault.Invalid),
			Message: "the settings of this platform (M3O_IMAGE_… of `m3o worker`) do not do for the region's parts: " + fault.Message(err)})
	}
	return answer, nil
}

// SweepInput is a region that is to be gone, and the ids of the clusters that it had: what they made can outlive them. It was
// the key alone once, so the key's fields are its own.
type SweepInput struct {
	region.Key
	Clusters []string `json:"clusters,omitempty"`
}

// Sweep proves that nothing in the account is the region's any more. What is left is named, and looked for again: things
// that a cloud removes late (load balancers, volumes) are the usual reason.
func (a *Accounts) Sweep(ctx context.Context, in SweepInput) error {
	w := watching(ctx, a.Poll)
	defer w.close()
	if a.Limit > 0 {
		w.limit = min(w.limit, a.Limit)
	}
	err := w.until(func() (string, bool, error) {
		left, err := a.Cloud.Owned(ctx, in.Key, in.Clusters...)
		return fmt.Sprintf("%d resources of %s are still there: %v", len(left), in.Key, left), len(left) == 0, err
	})
	if err != nil {
		return fail(fmt.Errorf("sweep %s: %w", in.Key, err))
	}
	return nil
}
