package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
)

// PlanPlatform makes and stores a plan: what would be created, changed and deleted, what it costs a month, and what
// stands in the way.
//
// It changes nothing in any cloud. Starting it twice under one id is one plan. A cloud that cannot be asked makes the
// plan fail, with the cloud's words.
func PlanPlatform(ctx workflow.Context, in region.PlanInput) (region.Plan, error) {
	var plan region.Plan
	if err := workflow.ExecuteActivity(quickly(ctx, "Compare with what there is"), regions.ComparePlan, in).Get(ctx, &plan); err != nil {
		return region.Plan{}, err
	}
	plan.CreatedAt = workflow.Now(ctx).UTC()
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("Plan **%s** has %d steps. Asking the clouds what stands in their way.", in.ID, len(plan.Steps)))
	if err := askClouds(ctx, &plan); err != nil {
		return region.Plan{}, err
	}
	save := activities.SavePlanInput{Plan: plan, Wanted: in.Wanted}
	return plan, workflow.ExecuteActivity(quickly(ctx, "Store the plan"), regions.SavePlan, save).Get(ctx, nil)
}

// askClouds asks every cloud at once what stands in the way of its regions.
func askClouds(ctx workflow.Context, plan *region.Plan) error {
	answers := make([]workflow.Future, len(plan.Steps))
	for i, step := range plan.Steps {
		if step.Action == region.Delete {
			continue
		}
		ctx := planning(ctx, queue.Cloud(step.Region.Provider), "Ask "+string(step.Region.Provider)+" about "+step.Region.Name)
		answers[i] = workflow.ExecuteActivity(ctx, accounts.Preflight, activities.PreflightInput{Want: step.Region, Have: step.Before})
	}
	found := make([]region.Preflight, len(plan.Steps))
	for i, answer := range answers {
		if answer == nil {
			continue
		}
		if err := answer.Get(ctx, &found[i]); err != nil {
			return err
		}
	}
	plan.Judge(found)
	return nil
}

// ApplyPlan carries out a stored plan, if the world is still the one it was made from: every step is ordered from the
// workflow that owns the region.
//
// It ends when every order is accepted; the regions go on by themselves. A plan is applied once: starting it again finds
// the first run.
func ApplyPlan(ctx workflow.Context, in region.ApplyPlanInput) (region.Plan, error) {
	var plan region.Plan
	if err := workflow.ExecuteActivity(quickly(ctx, "Claim the plan"), regions.ClaimPlan, in.Plan).Get(ctx, &plan); err != nil {
		return region.Plan{}, err
	}
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("Plan **%s**: ordering %d steps from the workflows that own the regions.", plan.ID, len(plan.Steps)))
	orders := make([]workflow.Future, len(plan.Steps))
	for i, step := range plan.Steps {
		order := activities.OrderInput{ID: fmt.Sprintf("%s/%s", plan.ID, step.Region.Key()), Step: step, Plan: plan.ID, By: in.By, Keep: plan.Keep}
		orders[i] = workflow.ExecuteActivity(ordering(ctx, fmt.Sprintf("Order: %s %s", step.Action, step.Region.Name)), operators.OrderRegion, order)
	}
	var failed error
	for _, order := range orders {
		if err := order.Get(ctx, nil); err != nil && failed == nil {
			failed = err
		}
	}
	return plan, failed
}
