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

// childRun is a workflow of its own that another one waits for.
type childRun struct {
	workflow, id, summary string
	attributes            []shown // what it says of itself at first
	anew                  bool    // what ended under the id runs once more: regions that are made anew bear their old ids
	begun                 func()  // called when it runs
}

// options: it is abandoned, not killed, when its parent ends, and found again by its id.
func (c childRun) options() workflow.ChildWorkflowOptions {
	reuse := enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
	if c.anew {
		reuse = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	}
	return workflow.ChildWorkflowOptions{WorkflowID: c.id, TaskQueue: queue.Flows, StaticSummary: c.summary,
		ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON, WorkflowIDReusePolicy: reuse, TypedSearchAttributes: searchAttributes(c.attributes)}
}

// run runs the workflow and stores its answer. One of that id that runs is found, and so is one that has run, unless it
// is to run anew: its answer is taken instead.
func (c childRun) run(ctx workflow.Context, in, answer any) error {
	future := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, c.options()), c.workflow, in)
	err := future.GetChildWorkflowExecution().Get(ctx, nil)
	var started *temporal.ChildWorkflowExecutionAlreadyStartedError
	found := errors.As(err, &started)
	if err != nil && !found {
		return err
	}
	if c.begun != nil {
		c.begun()
	}
	if !found {
		return future.Get(ctx, answer)
	}
	return workflow.ExecuteActivity(watching(ctx, queue.Flows, "Find the answer of "+c.id, answerLimit),
		flows.AwaitWorkflow, activities.Awaited{ID: c.id}).Get(ctx, answer)
}

// kindOf is the fault behind an activity's or a child's error. Who did not answer in time is away.
func kindOf(err error) fault.Kind {
	var app *temporal.ApplicationError
	var timeout *temporal.TimeoutError
	switch {
	case errors.As(err, &app):
		return fault.Kind(app.Type())
	case errors.As(err, &timeout):
		return fault.Unavailable
	}
	return fault.Unknown
}

// words are the message for users behind an activity's or a child's error.
func words(err error) string {
	var app *temporal.ApplicationError
	var timeout *temporal.TimeoutError
	var ended *temporal.TerminatedError
	var canceled *temporal.CanceledError
	switch {
	case errors.As(err, &app):
		return app.Message()
	case errors.As(err, &timeout):
		return timedOut(timeout)
	case errors.As(err, &ended), errors.As(err, &canceled):
		return "an operator ended the work before it was done"
	}
	return "the platform failed at it, for a reason that its operators find in the log"
}

// timedOut says what was being waited for: the last heartbeat of the activity that ran out of time.
func timedOut(t *temporal.TimeoutError) string {
	var app *temporal.ApplicationError
	if errors.As(t.Unwrap(), &app) {
		return "it took too long; the last attempt said: " + app.Message()
	}
	var last activities.Seen
	if t.HasLastHeartbeatDetails() && t.LastHeartbeatDetails(&last) == nil && last.Reason != "" {
		return "it took too long; last seen: " + last.Reason
	}
	return "it took too long"
}

// failure makes an error of a kind that an update's caller or a parent understands.
func failure(kind fault.Kind, message string) error {
	return temporal.NewNonRetryableApplicationError(message, string(kind), nil)
}
