package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// Services works on services in the clusters of one cloud account.
type Services struct {
	Connections *Connections
	Poll        time.Duration
}

// ApplyService makes the region run the release. It is server-side apply: repeating it changes nothing. It does not wait
// for instances, but it does for a cluster that is away for the moment.
func (a *Services) ApplyService(ctx context.Context, in release.Placement) error {
	w := watchingIn(ctx, in.Region.Key().String(), a.Poll)
	defer w.close()
	err := w.until(func() (string, bool, error) { return "", true, a.apply(ctx, in) })
	if err != nil {
		return failUsers(fmt.Errorf("apply %s release %d in %s: %w", in.Release.Service, in.Release.Number, in.Region.Key(), err))
	}
	return nil
}

func (a *Services) apply(ctx context.Context, in release.Placement) error {
	return a.Connections.Do(ctx, in.Region, func(client *cluster.Client) error { return client.ApplyService(ctx, in.Release) })
}

// AwaitService returns when the region runs the release and nothing else of the service, or why it never will. It only
// reads; its heartbeats say what it waits for. To say why an instance is not ready takes several calls, so what takes long is looked at less often.
func (a *Services) AwaitService(ctx context.Context, in release.Placement) error {
	w := watchingIn(ctx, in.Region.Key().String(), a.Poll)
	w.eases = true
	defer w.close()
	err := w.until(func() (string, bool, error) {
		rollout, err := a.rollout(ctx, in)
		if err == nil && rollout.Failed {
			err = fault.New(fault.Failed, "%s: %s", in.Region.Name, rollout.Reason)
		}
		return rollout.Reason, rollout.Done, err
	})
	if err != nil {
		return failUsers(fmt.Errorf("await %s in %s: %w", in.Release.Service, in.Region.Key(), err))
	}
	return nil
}

func (a *Services) rollout(ctx context.Context, in release.Placement) (rollout cluster.Rollout, err error) {
	err = a.Connections.Do(ctx, in.Region, func(client *cluster.Client) (err error) {
		rollout, err = client.ServiceState(ctx, in.Release.Service, in.Release.Number)
		return err
	})
	return rollout, err
}

// ServiceIn names a service in a region.
type ServiceIn struct {
	Region  region.Spec `json:"region"`
	Service release.Key `json:"service"`
}

// DeleteService removes the service from the region and returns when its last instance is gone. Gone is fine.
func (a *Services) DeleteService(ctx context.Context, in ServiceIn) error {
	w := watching(ctx, a.Poll)
	defer w.close()
	err := w.until(func() (string, bool, error) {
		gone, err := a.delete(ctx, in)
		return "its last instance is still going", gone, err
	})
	if err != nil {
		return fail(fmt.Errorf("delete %s in %s: %w", in.Service, in.Region.Key(), err))
	}
	return nil
}

func (a *Services) delete(ctx context.Context, in ServiceIn) (gone bool, err error) {
	err = a.Connections.Do(ctx, in.Region, func(client *cluster.Client) (err error) {
		if err := client.DeleteService(ctx, in.Service); err != nil {
			return err
		}
		gone, err = client.ServiceGone(ctx, in.Service)
		return err
	})
	if fault.Is(err, fault.NotFound) {
		return true, nil // without the cluster there is no service in it
	}
	return gone, err
}
