package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Networks makes and removes private networks in one cloud account. Poll is how often it takes a step.
type Networks struct {
	Cloud cloud.Networks
	Poll  time.Duration
}

// EnsureNetwork makes the network of the spec exist and returns it when it is ready. Asking twice returns the same network.
func (a *Networks) EnsureNetwork(ctx context.Context, spec region.NetworkSpec) (network region.Net, err error) {
	err = converge(ctx, pace{poll: a.Poll}, "network "+spec.Name, func(ctx context.Context, operation string) (_ region.Condition, err error) {
		network, err = a.Cloud.EnsureNetwork(ctx, spec, operation)
		return network.Condition, err
	})
	return network, fail(err)
}

// DeleteNetwork removes the network and returns when it is gone. Gone is fine; its heartbeats say what it waits for.
func (a *Networks) DeleteNetwork(ctx context.Context, spec region.NetworkSpec) error {
	return fail(remove(ctx, pace{poll: a.Poll}, "network "+spec.Name, func(ctx context.Context, operation string) (region.Removal, error) {
		return a.Cloud.DeleteNetwork(ctx, spec, operation)
	}))
}

// Identities makes and removes what a region's cluster, nodes and workloads act as in one cloud account.
type Identities struct {
	Cloud cloud.Identities
	Poll  time.Duration
}

// EnsureIdentity makes roles, service accounts or managed identities exist, and returns them when a cluster can be made with
// them. Asking twice returns the same.
func (a *Identities) EnsureIdentity(ctx context.Context, spec region.IdentitySpec) (identity region.Identity, err error) {
	err = converge(ctx, pace{poll: a.Poll}, "identity "+spec.Name, func(ctx context.Context, operation string) (_ region.Condition, err error) {
		identity, err = a.Cloud.EnsureIdentity(ctx, spec, operation)
		return identity.Condition, err
	})
	return identity, fail(err)
}

// DeleteIdentity removes them. Gone is fine. No cluster may act by them any more.
func (a *Identities) DeleteIdentity(ctx context.Context, spec region.IdentitySpec) error {
	return fail(remove(ctx, pace{poll: a.Poll}, "identity "+spec.Name, func(ctx context.Context, operation string) (region.Removal, error) {
		return a.Cloud.DeleteIdentity(ctx, spec, operation)
	}))
}

// EnsureTrust lets the workloads of a cluster, and people, act through it. Asking twice changes nothing.
func (a *Identities) EnsureTrust(ctx context.Context, spec region.TrustSpec) error {
	return fail(converge(ctx, pace{poll: a.Poll}, "trust of cluster "+spec.Name, func(ctx context.Context, operation string) (region.Condition, error) {
		return a.Cloud.EnsureTrust(ctx, spec, operation)
	}))
}

// DeleteTrust removes what of that outlives the cluster. Gone is fine.
func (a *Identities) DeleteTrust(ctx context.Context, spec region.TrustSpec) error {
	return fail(remove(ctx, pace{poll: a.Poll}, "trust of cluster "+spec.Name, func(ctx context.Context, operation string) (region.Removal, error) {
		return a.Cloud.DeleteTrust(ctx, spec, operation)
	}))
}

// Clusters makes and removes managed Kubernetes clusters in one cloud account. Poll is how often it takes a step at one that
// is on its way; the provider's rate limit bounds it. Limit is how long the provider may take for one. Gone, if there is
// one, is told of a cluster that was removed.
type Clusters struct {
	Cloud cloud.Clusters
	Poll  time.Duration
	Limit time.Duration
	Gone  func(region.Key)
}

// EnsureCluster makes the cluster of the spec exist and returns it when it is ready, or why it never will be. Asking twice
// returns the same cluster.
func (a *Clusters) EnsureCluster(ctx context.Context, spec region.ClusterSpec) (cluster region.Cluster, err error) {
	err = converge(ctx, pace{poll: a.Poll, limit: a.Limit}, "cluster "+spec.Name, func(ctx context.Context, operation string) (_ region.Condition, err error) {
		cluster, err = a.Cloud.EnsureCluster(ctx, spec, operation)
		return cluster.Condition, err
	})
	return cluster, fail(err)
}

// DeleteCluster removes the cluster with what it made in the account, and returns when all of it is gone. Gone is fine.
func (a *Clusters) DeleteCluster(ctx context.Context, spec region.ClusterSpec) error {
	err := remove(ctx, pace{poll: a.Poll}, "cluster "+spec.Name, func(ctx context.Context, operation string) (region.Removal, error) {
		return a.Cloud.DeleteCluster(ctx, spec, operation)
	})
	if err == nil && a.Gone != nil {
		a.Gone(spec.Owner)
	}
	return fail(err)
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

// SweepInput is a region that is to be gone, and the ids of the clusters that it had: what they made can outlive them.
type SweepInput struct {
	Key      region.Key `json:"key"`
	Location string     `json:"location,omitempty"`
	Clusters []string   `json:"clusters,omitempty"`
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
		left, err := a.Cloud.Owned(ctx, in.Key, in.Location, in.Clusters...)
		return fmt.Sprintf("%d resources of %s are still there: %v", len(left), in.Key, left), len(left) == 0, err
	})
	if err != nil {
		return fail(fmt.Errorf("sweep %s: %w", in.Key, err))
	}
	return nil
}
