package activities

import (
	"context"
	"encoding/json"
	"fmt"
)

// Awaiter waits for a workflow's answer, whichever run gives it, and tells whether one runs under an id.
type Awaiter interface {
	AwaitWorkflow(ctx context.Context, id string) (json.RawMessage, error)
	WorkflowRuns(ctx context.Context, id string) (bool, error)
}

// Flows finds the answers of workflows that were started before.
type Flows struct{ Awaiter Awaiter }

// Awaited names a workflow.
type Awaited struct {
	ID string `json:"id"`
}

// AwaitWorkflow returns the answer of the workflow, or the failure it ended with. It only reads.
func (a *Flows) AwaitWorkflow(ctx context.Context, in Awaited) (json.RawMessage, error) {
	stop := beat(ctx, "waiting for "+in.ID)
	defer stop()
	answer, err := a.Awaiter.AwaitWorkflow(ctx, in.ID)
	if err != nil {
		return nil, fail(fmt.Errorf("await workflow %s: %w", in.ID, err))
	}
	return answer, nil
}

// WorkflowRuns reports whether the workflow is at work. One that never was is not.
func (a *Flows) WorkflowRuns(ctx context.Context, in Awaited) (bool, error) {
	runs, err := a.Awaiter.WorkflowRuns(ctx, in.ID)
	if err != nil {
		return false, fail(fmt.Errorf("look for workflow %s: %w", in.ID, err))
	}
	return runs, nil
}
