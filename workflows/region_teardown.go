package workflows

import (
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
)

// TeardownRegion takes a region down and proves that nothing of it is left.
//
// It first closes the region to new releases and waits for those on their way, then removes the cluster with all that
// it made in the account, then what it acted as and the network, and last asks the cloud for everything that is marked as
// the region's. Each step treats gone as fine, so starting it again is safe. If a step fails for good the region stays, failed, with the
// reason.
func TeardownRegion(ctx workflow.Context, in region.TeardownInput) (region.Outcome, error) {
	t := &teardown{region: in.Region, version: in.Version}
	if err := workflow.SetQueryHandler(ctx, region.ProgressQuery, t.report); err != nil {
		return region.Outcome{}, err
	}
	return t.run(ctx)
}

// teardown is the state of one run of TeardownRegion.
type teardown struct {
	region   region.Region
	version  int64
	progress region.Progress
}

func (t *teardown) run(ctx workflow.Context) (region.Outcome, error) {
	t.region.Status, t.region.Message, t.region.Served = region.Deleting, "", false
	steps := []step{
		{name: "drain", do: t.drain},
		{name: "cluster", do: func(ctx workflow.Context) error { return removeCluster(ctx, t.region) }},
		{name: "trust", do: func(ctx workflow.Context) error { return removeTrust(ctx, t.region) }},
		{name: "identity", do: func(ctx workflow.Context) error { return removeIdentity(ctx, t.region) }},
		{name: "network", do: func(ctx workflow.Context) error { return removeNetwork(ctx, t.region.Spec) }},
		{name: "inventory", do: func(ctx workflow.Context) error { return sweep(ctx, t.region.Spec, t.region.Cluster) }},
	}
	for i, s := range steps {
		t.progress = region.Progress{Stage: s.name, Done: i, Of: len(steps)}
		if err := t.record(ctx); err != nil {
			return region.Outcome{}, err
		}
		if err := s.do(ctx); err != nil {
			return t.fail(ctx, s, err)
		}
	}
	t.progress = region.Progress{Done: len(steps), Of: len(steps)}
	t.region.Status, t.region.Message = region.Deleted, ""
	t.region.Forget()
	if err := t.record(ctx); err != nil {
		return region.Outcome{}, err
	}
	tell := watching(ctx, queue.Flows, "Tell services that the region is gone", tellingLimit)
	err := workflow.ExecuteActivity(tell, operators.AnnounceRemoved, activities.Announcement{Key: t.region.Spec.Key()}).Get(ctx, nil)
	if err != nil && ctx.Err() == nil { // it is gone all the same
		workflow.GetLogger(ctx).Error("services were not told that the region is gone", "region", t.region.Spec.Key().String(), "error", err)
	}
	return region.Outcome{Region: t.region, Removed: true}, nil
}

// drain waits until no release is on its way into the region. One that never ends does not keep the region alive.
func (t *teardown) drain(ctx workflow.Context) error {
	wait := watching(ctx, queue.Flows, "Wait for releases on their way into the region", releasesLimit)
	err := workflow.ExecuteActivity(wait, traffic.AwaitReleases, t.region.Spec.Key()).Get(ctx, nil)
	if k := kindOf(err); err != nil && ctx.Err() == nil && (k == fault.Failed || !k.Permanent()) {
		workflow.GetLogger(ctx).Warn("releases on their way were not waited for any longer", "region", t.region.Spec.Key().String())
		return nil
	}
	return err
}

func (t *teardown) fail(ctx workflow.Context, s step, why error) (region.Outcome, error) {
	if temporal.IsCanceledError(ctx.Err()) {
		return region.Outcome{}, why
	}
	t.region.Status = region.Failed
	t.region.Message = fmt.Sprintf("teardown, %s: %s. Run `m3o region teardown %s` again", s.name, words(why), t.region.Spec.Key())
	return region.Outcome{Region: t.region}, t.record(ctx)
}

func (t *teardown) record(ctx workflow.Context) error {
	details := fmt.Sprintf("Region **%s** is %s: step %d of %d, %s.", t.region.Spec.Key(), t.region.Status, t.progress.Done+1, t.progress.Of, t.progress.Stage)
	return recordStage(ctx, &t.region, &t.version, t.progress, details)
}

func (t *teardown) report() (region.Progress, error) {
	p := t.progress
	p.Status = t.region.Status
	return p, nil
}

// removeCluster takes a cluster down with what it made in the account.
func removeCluster(ctx workflow.Context, r region.Region) error {
	spec := r.Spec.ClusterSpec(r.Network)
	spec.ID, spec.Principals = r.Cluster.ID, r.Identity.Principals
	ctx = watching(ctx, queue.Cloud(spec.Provider), "Remove cluster "+spec.Name+" until it is gone", goneLimit)
	return workflow.ExecuteActivity(ctx, clusters.DeleteCluster, spec).Get(ctx, nil)
}

func removeTrust(ctx workflow.Context, r region.Region) error {
	spec := r.Spec.TrustSpec(r.Cluster, r.Identity)
	ctx = watching(ctx, queue.Cloud(spec.Provider), "Remove the trust in cluster "+spec.Name, goneLimit)
	return workflow.ExecuteActivity(ctx, identities.DeleteTrust, spec).Get(ctx, nil)
}

func removeIdentity(ctx workflow.Context, r region.Region) error {
	spec := r.Spec.IdentitySpec(r.Network)
	ctx = watching(ctx, queue.Cloud(spec.Provider), "Remove what the cluster acted as", goneLimit)
	return workflow.ExecuteActivity(ctx, identities.DeleteIdentity, spec).Get(ctx, nil)
}

func removeNetwork(ctx workflow.Context, spec region.Spec) error {
	ctx = watching(ctx, queue.Cloud(spec.Provider), "Remove network "+spec.NetworkSpec().Name+" until it is gone", goneLimit)
	return workflow.ExecuteActivity(ctx, networks.DeleteNetwork, spec.NetworkSpec()).Get(ctx, nil)
}

// sweep proves that nothing in the account is marked as the region's any more, or as its cluster's.
func sweep(ctx workflow.Context, spec region.Spec, had region.Cluster) error {
	in := activities.SweepInput{Key: spec.Key(), Location: spec.Location}
	if had.ID != "" {
		in.Clusters = []string{had.ID}
	}
	look := looking(ctx, queue.Cloud(spec.Provider), "Prove that nothing of the region is left", sweepLimit)
	return workflow.ExecuteActivity(look, accounts.Sweep, in).Get(ctx, nil)
}
