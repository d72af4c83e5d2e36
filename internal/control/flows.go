package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// answerIn bounds how long a command waits for the workflow to accept it.
const answerIn = 30 * time.Second

// closing bounds how often a command is sent again because the workflow closed under it.
const closing = 5

// Flows commands the platform's workflows.
type Flows struct {
	temporal   client.Client
	reads      Converters
	attendance *Attendance // nil: nothing is known of who serves queues
}

// NewFlows commands through the client, and reads with its converters what running work says of itself.
func NewFlows(c client.Client, reads Converters) *Flows { return &Flows{temporal: c, reads: reads} }

// Attended are the same flows with a word on queues that nobody serves, where they say what work waits for.
func (f *Flows) Attended(a *Attendance) *Flows {
	return &Flows{temporal: f.temporal, reads: f.reads, attendance: a}
}

// command is one update that starts the workflow it is for if need be.
type command struct {
	workflow, workflowID string
	input                any
	update, id           string
	arg                  any
	summary              string
	attributes           temporal.SearchAttributes
}

func (c command) options() client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: c.workflowID, TaskQueue: queue.Flows, StaticSummary: c.summary, TypedSearchAttributes: c.attributes,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING}
}

// send delivers the command and waits for its answer. The same id is one command, whatever happens in between; when the
// workflow closes under it, it is sent again to the next run.
func (f *Flows) send(ctx context.Context, c command, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	var err error
	for range closing {
		if err = f.sendOnce(ctx, c, answer); !closedUnder(err) {
			break
		}
	}
	return translate(err)
}

func (f *Flows) sendOnce(ctx context.Context, c command, answer any) error {
	start := f.temporal.NewWithStartWorkflowOperation(c.options(), c.workflow, c.input)
	handle, err := f.temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start,
		UpdateOptions: client.UpdateWorkflowOptions{UpdateID: c.id, UpdateName: c.update, WorkflowID: c.workflowID, Args: []any{c.arg},
			WaitForStage: client.WorkflowUpdateStageCompleted},
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, answer)
}

// closedUpdate is what Temporal's server answers for an update that a workflow accepted and took to its grave.
const closedUpdate = "AcceptedUpdateCompletedWorkflow"

// closedUnder reports whether the workflow ended while the update was on its way to it.
func closedUnder(err error) bool {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Type() == closedUpdate
	}
	var aborted *serviceerror.Aborted
	var multi *serviceerror.MultiOperationExecution
	var notFound *serviceerror.NotFound
	return errors.As(err, &aborted) || errors.As(err, &multi) || errors.As(err, &notFound) && strings.Contains(notFound.Error(), "is closing")
}

// start starts a workflow whose id is a business key: one that runs or has done its work is left as it is. Whether one that
// failed is tried again, the policy says.
func (f *Flows) start(ctx context.Context, again enumspb.WorkflowIdReusePolicy, workflow, id, summary string, input any) error {
	_, err := f.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: queue.Flows, StaticSummary: summary,
		WorkflowIDReusePolicy: again, WorkflowExecutionErrorWhenAlreadyStarted: true}, workflow, input)
	var already *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &already) {
		return nil
	}
	return translate(err)
}

// PlanPlatform starts the making of a plan. Starting the same plan twice is one plan; one that could not be made is tried again.
func (f *Flows) PlanPlatform(ctx context.Context, in region.PlanInput) error {
	return f.start(ctx, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY, region.PlanWorkflow, region.PlanID(in.ID), "Plan "+in.ID, in)
}

// ApplyPlan starts the carrying out of a stored plan. Starting it twice is once, also when it failed: some of its orders were
// taken then, and the world is not the one it was made from any more.
func (f *Flows) ApplyPlan(ctx context.Context, in region.ApplyPlanInput) error {
	return f.start(ctx, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, region.ApplyWorkflow, region.ApplyID(in.Plan), "Apply plan "+in.Plan, in)
}

// AwaitPlan waits for the making of a plan, or of its orders, to end, and returns why it failed if it did.
func (f *Flows) AwaitPlan(ctx context.Context, workflowID string) error {
	return translate(f.temporal.GetWorkflow(ctx, workflowID, "").Get(ctx, nil))
}

// ApplyRegion orders a region under id.
func (f *Flows) ApplyRegion(ctx context.Context, id string, in region.ApplyInput) (region.Accepted, error) {
	var a region.Accepted
	c := regionCommand(in.Spec.Key(), in.Spec.Provider)
	c.update, c.id, c.arg = region.ApplyUpdate, id, in
	return a, f.send(ctx, c, &a)
}

// RemoveRegion orders the end of a region under id. A region that lost its owner gets one; gone is fine.
func (f *Flows) RemoveRegion(ctx context.Context, id string, key region.Key, in region.RemoveInput) (region.Accepted, error) {
	var a region.Accepted
	c := regionCommand(key, "")
	c.update, c.id, c.arg = region.RemoveUpdate, id, in
	return a, f.send(ctx, c, &a)
}

// RetryRegion tells a bootstrap that waits to go on.
func (f *Flows) RetryRegion(ctx context.Context, id string, key region.Key, in region.RetryInput) (region.Accepted, error) {
	var a region.Accepted
	c := regionCommand(key, "")
	c.update, c.id, c.arg = region.RetryUpdate, id, in
	return a, f.send(ctx, c, &a)
}

// Kubeconfig asks for a kubeconfig sealed to the caller's key.
func (f *Flows) Kubeconfig(ctx context.Context, id string, key region.Key, in region.KubeconfigInput) (region.SealedKubeconfig, error) {
	var s region.SealedKubeconfig
	c := regionCommand(key, "")
	c.update, c.id, c.arg = region.KubeconfigUpdate, id, in
	return s, f.send(ctx, c, &s)
}

// RegionProgress tells where the region's operation is.
func (f *Flows) RegionProgress(ctx context.Context, key region.Key) (region.Progress, error) {
	var p region.Progress
	err := f.query(ctx, key.OperateID(), region.ProgressQuery, &p)
	p.Waiting = f.why(ctx, p.Waiting)
	return p, err
}

// DeployService orders a release under id.
func (f *Flows) DeployService(ctx context.Context, id string, in release.Request) (release.Accepted, error) {
	var a release.Accepted
	c := serviceCommand(in.Service)
	c.update, c.id, c.arg = release.DeployUpdate, id, in
	return a, f.send(ctx, c, &a)
}

// RollbackService orders an earlier release again under id.
func (f *Flows) RollbackService(ctx context.Context, id string, key release.Key, in release.RollbackInput) (release.Accepted, error) {
	var a release.Accepted
	c := serviceCommand(key)
	c.update, c.id, c.arg = release.RollbackUpdate, id, in
	return a, f.send(ctx, c, &a)
}

// KillService orders the end of a service under id.
func (f *Flows) KillService(ctx context.Context, id string, key release.Key, in release.KillInput) (release.Accepted, error) {
	var a release.Accepted
	c := serviceCommand(key)
	c.update, c.id, c.arg = release.KillUpdate, id, in
	return a, f.send(ctx, c, &a)
}

// ServiceProgress tells where the service's deploy is, and how each region comes along.
func (f *Flows) ServiceProgress(ctx context.Context, key release.Key) (release.Progress, error) {
	var p release.Progress
	if err := f.query(ctx, key.OperateID(), release.ProgressQuery, &p); err != nil {
		return p, err
	}
	f.look(ctx, &p)
	return p, nil
}

// RegionReady tells a service that a region takes services now. A service that lost its owner gets one.
func (f *Flows) RegionReady(ctx context.Context, key release.Key, fact release.RegionFact) error {
	return f.tell(ctx, serviceCommand(key), release.RegionReadySignal, fact)
}

// RegionRemoved tells a service that a region is no longer a place. A service that lost its owner gets one.
func (f *Flows) RegionRemoved(ctx context.Context, key release.Key, fact release.RegionFact) error {
	return f.tell(ctx, serviceCommand(key), release.RegionRemovedSignal, fact)
}

func (f *Flows) tell(ctx context.Context, c command, signal string, fact any) error {
	_, err := f.temporal.SignalWithStartWorkflow(ctx, c.workflowID, signal, fact, c.options(), c.workflow, c.input)
	return translate(err)
}

// OwnRegion and OwnService give a region or a service its owner, should it have lost it: with Temporal's database, or to
// somebody who terminated it. One that has an owner is left as it is.
func (f *Flows) OwnRegion(ctx context.Context, key region.Key) error {
	return f.own(ctx, regionCommand(key, ""))
}

func (f *Flows) OwnService(ctx context.Context, key release.Key) error {
	return f.own(ctx, serviceCommand(key))
}

func (f *Flows) own(ctx context.Context, c command) error {
	_, err := f.temporal.ExecuteWorkflow(ctx, c.options(), c.workflow, c.input)
	return translate(err)
}

func (f *Flows) query(ctx context.Context, workflowID, name string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	value, err := f.temporal.QueryWorkflow(ctx, workflowID, "", name)
	if err != nil {
		return translate(err)
	}
	if err := value.Get(answer); err != nil {
		return fmt.Errorf("read the answer to %s of %s: %w", name, workflowID, err)
	}
	return nil
}

func regionCommand(key region.Key, provider region.Provider) command {
	return command{workflow: region.OperateWorkflow, workflowID: key.OperateID(), input: region.OperateInput{Key: key},
		summary: fmt.Sprintf("Region %s of %s", key.Name, key.Platform), attributes: regionAttributes(key, provider)}
}

func serviceCommand(key release.Key) command {
	return command{workflow: release.OperateWorkflow, workflowID: key.OperateID(), input: release.OperateInput{Key: key},
		summary: fmt.Sprintf("Service %s of project %s", key.Name, key.Project), attributes: serviceAttributes(key)}
}

// AwaitWorkflow waits for the workflow's answer, whichever of its runs gives it. One that ended without is refused: the SDK reads
// nothing then, and everything that is awaited answers.
func (f *Flows) AwaitWorkflow(ctx context.Context, id string) (json.RawMessage, error) {
	var answer json.RawMessage
	if err := f.temporal.GetWorkflow(ctx, id, "").Get(ctx, &answer); err != nil {
		return nil, translate(err)
	}
	if len(answer) == 0 {
		return nil, fault.New(fault.Denied, "the workflow %s ended without an answer that is encrypted with our keys", id)
	}
	return answer, nil
}

// WorkflowRuns reports whether a run of the workflow is at work.
func (f *Flows) WorkflowRuns(ctx context.Context, id string) (bool, error) {
	found, err := f.temporal.DescribeWorkflowExecution(ctx, id, "")
	var none *serviceerror.NotFound
	switch {
	case errors.As(err, &none):
		return false, nil
	case err != nil:
		return false, translate(err)
	}
	return found.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}
