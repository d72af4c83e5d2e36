package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// planning bounds how long a caller waits for a plan: as long as a cloud may be asked for one.
const planning = 3 * time.Minute

// PlanRequest asks what would bring the world to the platform file.
type PlanRequest struct {
	File    string `json:"file" maxLength:"1048576" doc:"The platform file, as it is written (YAML)."`
	Destroy bool   `json:"destroy,omitempty" doc:"Plan to take down every region that the file lists."`
	Keep    bool   `json:"keep,omitempty" doc:"Leave a failed bootstrap as it is, for a look at it."`
}

func (a *API) registerPlans() {
	typed(a, "create-plan", http.MethodPost, "/v1/plans", "Make and store a plan", account.WriteRegions, 201, a.createPlan, mayRefuse...)
	typed(a, "get-plan", http.MethodGet, "/v1/plans/{id}", "Show a plan", account.ReadRegions, 200, a.getPlan)
	typed(a, "apply-plan", http.MethodPost, "/v1/plans/{id}/apply", "Carry out a plan, if the world has not moved",
		account.WriteRegions, 202, a.applyPlan, mayRefuse...)
}

func (a *API) createPlan(ctx context.Context, in *struct {
	Keyed
	Body PlanRequest
}) (*Body[region.Plan], error) {
	wanted, err := region.ParsePlatform([]byte(in.Body.File))
	if err != nil {
		return nil, problem(ctx, err)
	}
	ctx, cancel := context.WithTimeout(ctx, planning)
	defer cancel()
	plan, err := once(ctx, a, "create-plan", in.IdempotencyKey, in.Body, func(id string) (region.Plan, error) {
		input := region.PlanInput{ID: id, Wanted: wanted, Destroy: in.Body.Destroy, Keep: in.Body.Keep, CreatedBy: caller(ctx).Subject}
		if err := a.Plans.PlanPlatform(ctx, input); err != nil {
			return region.Plan{}, err
		}
		if err := a.Plans.AwaitPlan(ctx, region.PlanID(id)); err != nil {
			return region.Plan{}, err
		}
		plan, _, err := a.Regions.Plan(ctx, id)
		return plan, err
	})
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[region.Plan]{plan}, nil
}

// PlanPath names a plan.
type PlanPath struct {
	ID string `path:"id" maxLength:"64" pattern:"^[0-9a-f]+$" doc:"Id of the plan."`
}

func (a *API) getPlan(ctx context.Context, in *PlanPath) (*Body[region.Plan], error) {
	plan, _, err := a.Regions.Plan(ctx, in.ID)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[region.Plan]{plan}, nil
}

// applyPlan answers when every region's own workflow has accepted its order.
func (a *API) applyPlan(ctx context.Context, in *struct {
	PlanPath
	Keyed
}) (*Body[Started], error) {
	plan, _, err := a.Regions.Plan(ctx, in.ID)
	if err != nil {
		return nil, problem(ctx, err)
	}
	ctx, cancel := context.WithTimeout(ctx, planning)
	defer cancel()
	begun := plan.Status == region.PlanApplied // by the workflow of this id: it is not begun again, however long ago that was
	if !begun {
		if err := a.Plans.ApplyPlan(ctx, region.ApplyPlanInput{Plan: in.ID, By: caller(ctx).Subject}); err != nil {
			return nil, problem(ctx, err)
		}
	}
	err = a.Plans.AwaitPlan(ctx, region.ApplyID(in.ID))
	if begun && fault.Is(err, fault.NotFound) {
		err = fault.New(fault.Conflict, "plan %s was carried out long ago: plan again", in.ID)
	}
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[Started]{Started{ID: region.ApplyID(in.ID), URL: "/v1/regions"}}, nil
}
