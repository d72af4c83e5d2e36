package workflows

import (
	"errors"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/queue"
)

func childOptions(id, summary string) workflow.ChildWorkflowOptions {
	return workflow.ChildWorkflowOptions{WorkflowID: id, TaskQueue: queue.Flows, StaticSummary: summary,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_ABANDON,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY}
}

// runChild runs a workflow of its own and stores its answer. One of that id that runs, or has run, is found: its answer
// is taken instead.
func runChild(ctx workflow.Context, name, id, summary string, in, answer any) error {
	err := workflow.ExecuteChildWorkflow(child(ctx, id, summary), name, in).Get(ctx, answer)
	var started *temporal.ChildWorkflowExecutionAlreadyStartedError
	if !errors.As(err, &started) {
		return err
	}
	return workflow.ExecuteActivity(watching(ctx, queue.Flows, "Find the answer of "+id, rolloutLimit+buildLimit),
		flows.AwaitWorkflow, activities.Awaited{ID: id}).Get(ctx, answer)
}

// kindOf is the fault behind an activity's or a child's error.
func kindOf(err error) fault.Kind {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return fault.Kind(app.Type())
	}
	return fault.Unknown
}

// words are the message for users behind an activity's or a child's error.
func words(err error) string {
	var app *temporal.ApplicationError
	var timeout *temporal.TimeoutError
	switch {
	case errors.As(err, &app):
		return app.Message()
	case errors.As(err, &timeout):
		return timedOut(timeout)
	}
	return err.Error()
}

// timedOut says what was being waited for: the last heartbeat of the activity that ran out of time.
func timedOut(t *temporal.TimeoutError) string {
	var app *temporal.ApplicationError
	if errors.As(t.Unwrap(), &app) {
		return "it took too long; the last attempt said: " + app.Message()
	}
	var last string
	if t.HasLastHeartbeatDetails() && t.LastHeartbeatDetails(&last) == nil && last != "" {
		return "it took too long; last seen: " + last
	}
	return "it took too long"
}

// failure makes an error of a kind that an update's caller or a parent understands.
func failure(kind fault.Kind, message string) error {
	return temporal.NewNonRetryableApplicationError(message, string(kind), nil)
}
