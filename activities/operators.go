package activities

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"go.temporal.io/sdk/activity"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/lineage"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// RegionCommands starts and commands the workflows that own regions.
type RegionCommands interface {
	ApplyRegion(ctx context.Context, id string, in region.ApplyInput) (region.Accepted, error)
	RemoveRegion(ctx context.Context, id string, key region.Key, in region.RemoveInput) (region.Accepted, error)
}

// ServiceFacts tells the workflows that own services what became true.
type ServiceFacts interface {
	RegionReady(ctx context.Context, key release.Key, fact release.RegionFact) error
	RegionRemoved(ctx context.Context, key release.Key, fact release.RegionFact) error
}

// ServiceList lists what belongs on a platform: the services that are not deleted, and the projects that are suspended.
type ServiceList interface {
	ServicesOn(ctx context.Context, platform string) ([]release.Service, error)
	SuspendedOn(ctx context.Context, platform string) ([]account.Project, error)
}

// ProjectFacts tells the workflows that bring a project's standing to its regions that there is one more.
type ProjectFacts interface {
	ProjectsChanged(ctx context.Context, project string) error
}

// Operators reaches the workflows that own things, from workflows that do not.
type Operators struct {
	Regions  RegionCommands
	Services ServiceFacts
	Projects ProjectFacts
	List     ServiceList
}

// OrderInput is one step of a plan, under the id that makes it happen once.
type OrderInput struct {
	ID   string      `json:"id"`
	Step region.Step `json:"step"`
	Plan string      `json:"plan"`
	By   string      `json:"by"`
	Keep bool        `json:"keep"`
}

// OrderRegion hands one step of a plan to the workflow that owns the region, started if need be. The id is the update's:
// ordering twice is one order.
func (a *Operators) OrderRegion(ctx context.Context, in OrderInput) (region.Accepted, error) {
	accepted, err := a.order(ctx, in)
	if err != nil {
		return region.Accepted{}, fail(fmt.Errorf("%s region %s: %w", in.Step.Action, in.Step.Region.Key(), err))
	}
	return accepted, nil
}

func (a *Operators) order(ctx context.Context, in OrderInput) (region.Accepted, error) {
	if in.Step.Action == region.Delete {
		return a.Regions.RemoveRegion(ctx, in.ID, in.Step.Region.Key(), region.RemoveInput{By: in.By})
	}
	return a.Regions.ApplyRegion(ctx, in.ID, region.ApplyInput{Spec: in.Step.Region, Plan: in.Plan, By: in.By, Keep: in.Keep})
}

// Announcement is a region, and the provider's id of its cluster when it has one.
type Announcement struct {
	Key     region.Key `json:"key"`
	Cluster string     `json:"cluster,omitempty"`
}

// Standings asks for one page of the suspended projects of a platform: those whose names come after one.
type Standings struct {
	Platform string `json:"platform"`
	After    string `json:"after,omitempty"`
}

// standingsAtOnce bounds a page, and so what one activity is given.
const standingsAtOnce = 500

// SuspendedStandings returns the standings of the platform's suspended projects, a page of them, in the order of their names.
// There are no more after an empty page. It only reads.
func (a *Operators) SuspendedStandings(ctx context.Context, in Standings) ([]release.Standing, error) {
	suspended, err := a.List.SuspendedOn(ctx, in.Platform)
	if err != nil {
		return nil, fail(fmt.Errorf("list suspended projects of %s: %w", in.Platform, err))
	}
	var page []release.Standing
	for _, p := range after(suspended, in.After) {
		page = append(page, standing(p))
	}
	return page[:min(len(page), standingsAtOnce)], nil
}

// after puts projects in the order of their names' bytes, and leaves out those up to a name.
func after(projects []account.Project, last string) []account.Project {
	projects = slices.DeleteFunc(projects, func(p account.Project) bool { return p.Name <= last })
	slices.SortFunc(projects, func(a, b account.Project) int { return cmp.Compare(a.Name, b.Name) })
	return projects
}

// heard is how far an announcement came, as its heartbeats say: the last service that was told, and before that the last
// suspended project whose workflow was.
type heard struct {
	release.Key
	Suspended string `json:"suspended,omitempty"`
}

func heardBefore(ctx context.Context) heard {
	var last heard
	if activity.HasHeartbeatDetails(ctx) {
		_ = activity.GetHeartbeatDetails(ctx, &last) // details of another shape begin at the first
	}
	return last
}

// AnnounceReady tells every service of the region's platform that it takes services now, and before that the workflows that
// mark suspended projects in regions, which retry what could not be marked yet. Being told twice is harmless.
func (a *Operators) AnnounceReady(ctx context.Context, in Announcement) error {
	suspended, err := a.List.SuspendedOn(ctx, in.Key.Platform)
	if err != nil {
		return fail(fmt.Errorf("list suspended projects for %s: %w", in.Key, err))
	}
	last := heardBefore(ctx)
	for _, p := range after(suspended, last.Suspended) {
		if err := a.Projects.ProjectsChanged(ctx, p.Name); err != nil {
			return fail(fmt.Errorf("have suspended project %s marked in %s: %w", p.Name, in.Key, err))
		}
		last.Suspended = p.Name
		activity.RecordHeartbeat(ctx, last)
	}
	return a.announce(ctx, in, last, a.Services.RegionReady)
}

// AnnounceRemoved tells every service of its platform that the region is no longer a place. Being told twice is harmless.
func (a *Operators) AnnounceRemoved(ctx context.Context, in Announcement) error {
	return a.announce(ctx, in, heardBefore(ctx), a.Services.RegionRemoved)
}

func (a *Operators) announce(ctx context.Context, in Announcement, last heard, tell func(context.Context, release.Key, release.RegionFact) error) error {
	services, err := a.List.ServicesOn(ctx, in.Key.Platform)
	if err != nil {
		return fail(fmt.Errorf("list services for %s: %w", in.Key, err))
	}
	for _, s := range untold(services, last.Key) {
		if err := tell(ctx, s.Key, release.RegionFact{Region: in.Key.String(), Cluster: in.Cluster, Trace: lineage.In(ctx)}); err != nil {
			return fail(fmt.Errorf("tell %s of region %s: %w", s.Key, in.Key, err))
		}
		last.Key = s.Key
		activity.RecordHeartbeat(ctx, last)
	}
	return nil
}

// untold leaves out the services that an earlier attempt told, and puts the others in an order of its own: a database sorts
// names as its language does.
func untold(services []release.Service, last release.Key) []release.Service {
	slices.SortFunc(services, func(a, b release.Service) int { return order(a.Key, b.Key) })
	return slices.DeleteFunc(services, func(s release.Service) bool { return order(s.Key, last) <= 0 })
}

func order(a, b release.Key) int {
	return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Name, b.Name))
}
