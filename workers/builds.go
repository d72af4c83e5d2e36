package workers

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/queue"
)

// onlyBuild is the build of a machine that runs one build at a time: `m3o dev`.
const onlyBuild = "dev"

// Build is a version of the platform whose workers serve workflows, or did.
type Build struct {
	ID      string
	Current bool // workflows begin on it, and those that are not pinned move to it
	Holds   bool // it was current, and operations that began on it may not have ended
	Empty   bool // it was current, and nothing runs on it any more: its workers can go
}

// Builds lists the builds that Temporal knows, the newest first.
func Builds(ctx context.Context, c client.Client) ([]Build, error) {
	is, err := c.WorkerDeploymentClient().GetHandle(Deployment).Describe(ctx, client.WorkerDeploymentDescribeOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the builds that workers serve: %w", err)
	}
	versions := is.Info.VersionSummaries
	slices.SortFunc(versions, func(a, b client.WorkerDeploymentVersionSummary) int { return b.CreateTime.Compare(a.CreateTime) })
	current := is.Info.RoutingConfig.CurrentVersion
	builds := make([]Build, len(versions))
	for i, v := range versions {
		builds[i] = Build{ID: v.Version.BuildID, Current: current != nil && current.BuildID == v.Version.BuildID,
			Holds: v.DrainageStatus == client.WorkerDeploymentVersionDrainageStatusDraining,
			Empty: v.DrainageStatus == client.WorkerDeploymentVersionDrainageStatusDrained}
	}
	return builds, nil
}

// serving lists the builds whose workers asked for workflows lately: each does once a minute at least.
func serving(ctx context.Context, c client.Client) ([]string, error) {
	is, err := c.DescribeTaskQueue(ctx, queue.Flows, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
	if err != nil {
		return nil, fmt.Errorf("find the workers of the queue %s: %w", queue.Flows, err)
	}
	var builds []string
	for _, p := range is.GetPollers() {
		if time.Since(p.GetLastAccessTime().AsTime()) < 2*time.Minute {
			builds = append(builds, p.GetDeploymentOptions().GetBuildId())
		}
	}
	slices.Sort(builds)
	return slices.Compact(builds), nil
}

// TakeOver has workflows begin on the build from now on, and those that are not pinned move to it. Its workers must be
// there. Taking over twice is once.
func TakeOver(ctx context.Context, c client.Client, build string) error {
	there, err := serving(ctx, c)
	if err != nil {
		return err
	}
	if !slices.Contains(there, build) {
		return fault.New(fault.Conflict, "no worker of build %q serves the queue %s: start `m3o worker --queues %s` of it first; there are workers of %s",
			build, queue.Flows, queue.Flows, strings.Join(there, ", "))
	}
	handle := c.WorkerDeploymentClient().GetHandle(Deployment)
	if _, err := handle.SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{BuildID: build}); err != nil {
		return fmt.Errorf("make build %s current: %w", build, err)
	}
	return nil
}

// settle tells Temporal that new runs begin on this build, if no other is there. Where builds stand side by side, moving to a
// new one is a step of its own, TakeOver: a restarted worker of the old one must not move back. The server learns of a build
// from its worker's first poll, so it is asked until it knows.
func settle(ctx context.Context, c client.Client, o Options) error {
	handle := c.WorkerDeploymentClient().GetHandle(Deployment)
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		current, err := o.current(limited, handle)
		switch {
		case current == o.Build:
			return nil
		case current != "":
			o.Logger.LogAttrs(ctx, slog.LevelWarn, "this build serves only what began on it, until it takes over: m3o migrate --current "+o.Build,
				slog.String("build", o.Build), slog.String("current", current))
			return nil
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("make build %s current: %w", o.Build, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// current returns the build that is current now: another's, or ours, if there was none. It is "" when that is not known.
func (o Options) current(ctx context.Context, handle client.WorkerDeploymentHandle) (string, error) {
	is, err := handle.Describe(ctx, client.WorkerDeploymentDescribeOptions{})
	if err != nil {
		return "", err
	}
	if v := is.Info.RoutingConfig.CurrentVersion; v != nil && (v.BuildID == o.Build || o.Build != onlyBuild) {
		return v.BuildID, nil
	}
	if _, err := handle.SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{BuildID: o.Build, IgnoreMissingTaskQueues: true}); err != nil {
		return "", err
	}
	return o.Build, nil
}
