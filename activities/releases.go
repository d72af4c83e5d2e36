package activities

import (
	"context"
	"fmt"
	"slices"

	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// ServiceRecords is the read model of services and releases.
type ServiceRecords interface {
	AllocateRelease(context.Context, release.Allocation) (release.Release, error)
	RecordRelease(context.Context, release.Release) error
	RecordService(context.Context, release.Service) error
	ServiceHistory(ctx context.Context, key release.Key) (release.Service, []release.Release, error)
	PlacesOf(ctx context.Context, project string) ([]region.Region, error)
}

// Releases writes the read model of services and releases, and reads it for decisions that a history must keep.
type Releases struct{ Records ServiceRecords }

// AllocateRelease records a new release, with the settings that it keeps, and gives it the next number of its service. Asking again under
// the same key returns the same release.
func (a *Releases) AllocateRelease(ctx context.Context, in release.Allocation) (release.Release, error) {
	r, err := a.Records.AllocateRelease(ctx, in)
	if err != nil {
		return release.Release{}, fail(fmt.Errorf("allocate a release of %s: %w", in.Request.Service, err))
	}
	return r, nil
}

// RecordRelease writes what is known of a release. Older versions than the one recorded are ignored.
func (a *Releases) RecordRelease(ctx context.Context, r release.Release) error {
	if err := a.Records.RecordRelease(ctx, r); err != nil {
		return fail(fmt.Errorf("record release %d of %s: %w", r.Number, r.Service, err))
	}
	return nil
}

// RecordService writes what is known of a service. Older versions than the one recorded are ignored.
func (a *Releases) RecordService(ctx context.Context, s release.Service) error {
	if err := a.Records.RecordService(ctx, s); err != nil {
		return fail(fmt.Errorf("record service %s: %w", s.Key, err))
	}
	return nil
}

// RecallService returns where the service stands by what was recorded of it: who owns it after its owner was lost, or
// after it was killed, goes on from there. It only reads.
func (a *Releases) RecallService(ctx context.Context, key release.Key) (release.Recalled, error) {
	service, newest, err := a.Records.ServiceHistory(ctx, key)
	if err != nil {
		return release.Recalled{}, fail(fmt.Errorf("recall service %s: %w", key, err))
	}
	return release.Recall(service, newest), nil
}

// ListPlaces returns the regions that take services of the project now: those of its platform. It only reads.
func (a *Releases) ListPlaces(ctx context.Context, project string) ([]region.Region, error) {
	all, err := a.Records.PlacesOf(ctx, project)
	if err != nil {
		return nil, fail(fmt.Errorf("list places of project %s: %w", project, err))
	}
	places := []region.Region{}
	for _, r := range all {
		if r.Takes() && r.Endpoints.API != "" {
			places = append(places, r)
		}
	}
	return places, nil
}

// ListHolders returns the regions where a service of the project may run, whether or not they take services now: all of its
// platform that have been ready, also without a gateway. One on its way out may yet stay. It only reads.
func (a *Releases) ListHolders(ctx context.Context, project string) ([]region.Region, error) {
	all, err := a.Records.PlacesOf(ctx, project)
	if err != nil {
		return nil, fail(fmt.Errorf("list regions that hold services of project %s: %w", project, err))
	}
	return slices.DeleteFunc(all, func(r region.Region) bool { return !r.Served && r.Endpoints.API == "" }), nil
}
