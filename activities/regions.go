package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// RegionRecords is the read model of regions. Region returns a NotFound fault for one that never was.
type RegionRecords interface {
	RecordRegion(context.Context, region.Region) error
	Region(ctx context.Context, key region.Key) (region.Region, error)
	Regions(ctx context.Context, platform string, includeDeleted bool) ([]region.Region, error)
}

// PlanRecords keeps plans, with the regions that each was made for.
type PlanRecords interface {
	SavePlan(context.Context, region.Plan, []region.Spec) error
	Plan(ctx context.Context, id string) (region.Plan, []region.Spec, error)
	MovePlan(ctx context.Context, id string, from, to region.PlanStatus) error
}

// Regions writes the read model of regions and plans, and reads it for decisions that a history must keep.
type Regions struct {
	Records RegionRecords
	Plans   PlanRecords
}

// RecordRegion writes what is known of a region. Older versions than the one recorded are ignored, so repeating it, or
// doing it late, changes nothing.
func (a *Regions) RecordRegion(ctx context.Context, r region.Region) error {
	if err := a.Records.RecordRegion(ctx, r); err != nil {
		return fail(fmt.Errorf("record region %s: %w", r.Spec.Key(), err))
	}
	return nil
}

// RecordedRegion returns what is recorded of the region, of one that is deleted too, and nothing of one that never was: a
// region that is made anew under an old name goes on from there. It only reads.
func (a *Regions) RecordedRegion(ctx context.Context, key region.Key) (region.Region, error) {
	found, err := a.Records.Region(ctx, key)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return region.Region{}, fail(fmt.Errorf("find what is recorded of region %s: %w", key, err))
	}
	return found, nil
}

// ComparePlan lists the steps from what there is to what is wanted, without what the clouds say. It only reads.
func (a *Regions) ComparePlan(ctx context.Context, in region.PlanInput) (region.Plan, error) {
	have, err := a.Records.Regions(ctx, "", false)
	if err != nil {
		return region.Plan{}, fail(fmt.Errorf("compare plan %s: %w", in.ID, err))
	}
	return region.Plan{
		ID: in.ID, Status: region.PlanOpen, Destroy: in.Destroy, Keep: in.Keep, CreatedBy: in.CreatedBy,
		Steps: region.Compare(in.Wanted, have, in.Destroy), Basis: region.Fingerprint(in.Wanted, have, in.Destroy),
	}, nil
}

// SavePlanInput is a plan and the regions it was made for.
type SavePlanInput struct {
	Plan   region.Plan   `json:"plan"`
	Wanted []region.Spec `json:"wanted"`
}

// SavePlan stores a plan under its id. A plan that is stored is left as it is.
func (a *Regions) SavePlan(ctx context.Context, in SavePlanInput) error {
	if err := a.Plans.SavePlan(ctx, in.Plan, in.Wanted); err != nil {
		return fail(fmt.Errorf("save plan %s: %w", in.Plan.ID, err))
	}
	return nil
}

// ClaimPlan takes an open plan for this run, if the world is still the one it was made from, and returns it. A plan
// that this id has claimed before is returned again.
func (a *Regions) ClaimPlan(ctx context.Context, id string) (region.Plan, error) {
	plan, err := a.claim(ctx, id)
	if err != nil {
		return region.Plan{}, fail(fmt.Errorf("claim plan %s: %w", id, err))
	}
	return plan, nil
}

func (a *Regions) claim(ctx context.Context, id string) (region.Plan, error) {
	plan, wanted, err := a.Plans.Plan(ctx, id)
	if err != nil || plan.Status == region.PlanApplied {
		return plan, err // only the one workflow with this plan's id applies it
	}
	have, err := a.Records.Regions(ctx, "", false)
	if err != nil {
		return region.Plan{}, err
	}
	if plan.Status == region.PlanStale || plan.Basis != region.Fingerprint(wanted, have, plan.Destroy) {
		if err := a.Plans.MovePlan(ctx, id, region.PlanOpen, region.PlanStale); err != nil && !fault.Is(err, fault.Conflict) {
			return region.Plan{}, err
		}
		return region.Plan{}, fault.New(fault.Conflict, "the regions changed since plan %s was made: plan again", id)
	}
	if plan.Blocked() {
		return region.Plan{}, fault.New(fault.Conflict, "plan %s has obstacles: %s", id, firstObstacle(plan))
	}
	if err := a.Plans.MovePlan(ctx, id, region.PlanOpen, region.PlanApplied); err != nil {
		return region.Plan{}, err
	}
	plan.Status = region.PlanApplied
	return plan, nil
}

func firstObstacle(p region.Plan) string {
	for _, s := range p.Steps {
		for _, o := range s.Obstacles {
			return s.Region.Name + ": " + o.Message
		}
	}
	return "none"
}

// ReleaseRecords tells which releases are on their way.
type ReleaseRecords interface {
	RunningReleases(ctx context.Context, in region.Key) ([]release.Release, error)
}

// Traffic watches what still moves in a region before it goes.
type Traffic struct {
	Records ReleaseRecords
	Poll    time.Duration
}

// AwaitReleases returns when no release is on its way into the region any more. It only reads, and says in its heartbeats
// what it waits for.
func (a *Traffic) AwaitReleases(ctx context.Context, key region.Key) error {
	w := watching(ctx, a.Poll)
	defer w.close()
	err := w.until(func() (string, bool, error) {
		running, err := a.Records.RunningReleases(ctx, key)
		if err != nil || len(running) == 0 {
			return "", true, err
		}
		return fmt.Sprintf("waiting for release %d of %s", running[0].Number, running[0].Service), false, nil
	})
	if err != nil {
		return fail(fmt.Errorf("await releases in %s: %w", key, err))
	}
	return nil
}
