package activities

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// Services works on services in the clusters of one cloud account.
type Services struct {
	Connections *Connections
	Poll        time.Duration
}

// ApplyService makes the region run the release. It is server-side apply: repeating it changes nothing, and it does not
// wait.
func (a *Services) ApplyService(ctx context.Context, in release.Placement) error {
	client, err := a.Connections.Cluster(ctx, in.Region)
	if err == nil {
		err = client.ApplyService(ctx, in.Release)
	}
	if err != nil {
		a.Connections.Forget(in.Region, err)
		return fail(fmt.Errorf("apply %s release %d in %s: %w", in.Release.Service, in.Release.Number, in.Region.Name, err))
	}
	return nil
}

// AwaitService returns when the region runs the release and nothing else of the service, or why it never will. It only
// reads; its heartbeats say what it waits for.
func (a *Services) AwaitService(ctx context.Context, in release.Placement) error {
	for {
		client, err := a.Connections.Cluster(ctx, in.Region)
		if err != nil {
			return fail(fmt.Errorf("await %s in %s: %w", in.Release.Service, in.Region.Name, err))
		}
		rollout, err := client.ServiceState(ctx, in.Release.Service, in.Release.Number)
		if err != nil {
			a.Connections.Forget(in.Region, err)
			return fail(fmt.Errorf("await %s in %s: %w", in.Release.Service, in.Region.Name, err))
		}
		if rollout.Failed {
			return fail(fault.New(fault.Failed, "%s: %s", in.Region.Name, rollout.Reason))
		}
		if rollout.Done {
			return nil
		}
		activity.RecordHeartbeat(ctx, rollout.Reason)
		if err := pause(ctx, a.Poll); err != nil {
			return fail(err)
		}
	}
}

// ServiceIn names a service in a region.
type ServiceIn struct {
	Region  region.Spec `json:"region"`
	Service release.Key `json:"service"`
}

// DeleteService removes the service from the region and returns when its last instance is gone. Gone is fine.
func (a *Services) DeleteService(ctx context.Context, in ServiceIn) error {
	for {
		gone, err := a.delete(ctx, in)
		if err != nil {
			a.Connections.Forget(in.Region, err)
			return fail(fmt.Errorf("delete %s in %s: %w", in.Service, in.Region.Name, err))
		}
		if gone {
			return nil
		}
		activity.RecordHeartbeat(ctx, "waiting for the last instance to go")
		if err := pause(ctx, a.Poll); err != nil {
			return fail(err)
		}
	}
}

func (a *Services) delete(ctx context.Context, in ServiceIn) (gone bool, err error) {
	client, err := a.Connections.Cluster(ctx, in.Region)
	if fault.Is(err, fault.NotFound) {
		return true, nil // without the cluster there is no service in it
	}
	if err != nil {
		return false, err
	}
	if err := client.DeleteService(ctx, in.Service); err != nil {
		return false, err
	}
	return client.ServiceGone(ctx, in.Service)
}
