package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/attribute"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/lineage"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
)

// OperateRegion owns one region from its first apply until it is gone.
//
// Everything that changes the region goes through it, one operation at a time, in the order in which the commands were
// accepted. Between operations it inspects the region every few minutes and reports what is broken or drifted. It ends
// when the region is provably gone; a failed operation leaves it running, with the reason in the region's message. Started
// for a region that lost its owner, it goes on from what was recorded.
func OperateRegion(ctx workflow.Context, in region.OperateInput) error {
	o := &regionOperator{key: in.Key, state: in.State}
	err := take(ctx, region.ProgressQuery, o.report, "Where the region's operation is, and what it waits for", []command{
		{region.ApplyUpdate, o.apply, o.mayApply, "Make the region as specified"},
		{region.RemoveUpdate, o.remove, nil, "Take the region down"},
		{region.RetryUpdate, o.retry, o.mayRetry, "Go on with a bootstrap that waits or failed"},
		{region.KubeconfigUpdate, o.kubeconfig, o.mayConnect, "A kubeconfig sealed to the caller's key"},
	})
	if err != nil {
		return err
	}
	return operate(ctx, o, func() error {
		return workflow.NewContinueAsNewError(ctx, OperateRegion, region.OperateInput{Key: o.key, State: o.state})
	})
}

// regionOperator is the state of one run of OperateRegion.
type regionOperator struct {
	key      region.Key
	state    region.State
	progress region.Progress
	running  *region.Order // the operation in progress
	commands arrivals      // answered in the order in which they came
}

// on moves to the phase that follows on the event. One that cannot happen is a mistake in this code: the workflow task fails and is
// retried, so that a corrected version goes on from here.
func (o *regionOperator) on(e region.PhaseEvent) {
	next, err := o.state.Phase.After(e)
	if err != nil {
		panic(fmt.Sprintf("region %s: %v", o.key, err))
	}
	o.state.Phase = next
}

// recall goes on from what was recorded of the region in an earlier life.
func (o *regionOperator) recall(ctx workflow.Context) error {
	if o.state.Phase != region.Recalling {
		return nil
	}
	found, err := o.lastRecord(ctx)
	if err != nil {
		return err
	}
	o.state.Region, o.state.Version, o.state.Operation = found, found.Version+1, found.Operation
	if found.Version > 0 {
		return o.resume(ctx)
	}
	o.on(region.Recalled)
	return nil
}

// resume queues the operation that was in progress when the region lost its owner: run under its old id it is found if it still
// runs. Commands wait until a bootstrap is found, for they may have to be passed on to it. Of a region that became ready services
// may not have heard.
func (o *regionOperator) resume(ctx workflow.Context) error {
	r := o.state.Region
	o.state.Operation = max(1, r.Operation)
	order := region.Order{Operation: o.state.Operation, Action: region.Change, Spec: r.Spec, By: "recovery", Keep: r.Keep}
	if r.Status == region.Deleting {
		order.Action = region.Delete
	}
	resumes := r.Status.Moving()
	if r.Status == region.Failed {
		var err error
		if resumes, err = o.bootstrapRuns(ctx); err != nil {
			return err
		}
	}
	if resumes {
		o.state.Queue = append(o.state.Queue, order)
		if order.Action == region.Delete {
			o.on(region.Recalled)
		}
		return nil
	}
	o.on(region.Recalled)
	if r.Takes() {
		o.announce(ctx)
	}
	return nil
}

// bootstrapRuns reports whether the bootstrap of a region that is recorded as failed is not over: it waits for the operator, or
// removes what it built. With nobody to tell it otherwise it would remove, a day later, what a next one had built.
func (o *regionOperator) bootstrapRuns(ctx workflow.Context) (runs bool, err error) {
	id := o.key.BootstrapID(o.state.Operation)
	err = workflow.ExecuteActivity(quickly(ctx, "Find whether "+id+" still runs"), flows.WorkflowRuns, activities.Awaited{ID: id}).Get(ctx, &runs)
	return runs, err
}

// announce has suspended projects marked in the region, and then tells every service that it takes services now. The region does
// not end because one cannot be told.
func (o *regionOperator) announce(ctx workflow.Context) {
	if err := markSuspended(ctx, o.state.Region.Spec); err != nil && ctx.Err() == nil {
		workflow.GetLogger(ctx).Error("not every suspended project is marked in the region yet", "region", o.key.String(), "error", err)
	}
	tell := watching(ctx, queue.Flows, "Tell services of the region", tellingLimit)
	ready := activities.Announcement{Key: o.key, Cluster: o.state.Region.Cluster.ID}
	if err := workflow.ExecuteActivity(tell, operators.AnnounceReady, ready).Get(ctx, nil); err != nil && ctx.Err() == nil {
		workflow.GetLogger(ctx).Error("services were not told of the region", "region", o.key.String(), "error", err)
	}
}

func (o *regionOperator) lastRecord(ctx workflow.Context) (region.Region, error) {
	var found region.Region
	err := inStore(ctx, "Find what was recorded before", regions.RecordedRegion, o.key).Get(ctx, &found)
	return found, err
}

func (o *regionOperator) outlook() outlook {
	switch {
	case len(o.state.Queue) > 0:
		return busy
	case !o.exists():
		return over
	}
	return idle
}

func (o *regionOperator) rest() (time.Duration, string) {
	if o.state.Region.Status == region.Degraded {
		return inspectDegradedEvery, "Next inspection"
	}
	return inspectEvery, "Next inspection"
}

// perform does the next order, or inspects a region that rested.
func (o *regionOperator) perform(ctx workflow.Context, rested bool) error {
	if rested {
		return o.inspect(ctx)
	}
	order := o.next()
	ctx = lineage.Under(ctx, order.Trace)
	event, do := region.BootstrapTaken, o.bootstrap
	if order.Action == region.Delete {
		event, do = region.TeardownTaken, o.teardown
	}
	o.on(event)
	o.running = &order
	err := do(ctx, order)
	o.running, o.progress = nil, region.Progress{}
	o.on(region.OperationEnded)
	return err
}

// next takes the order whose turn it is from the queue. What was ordered before a removal need not be done any more.
func (o *regionOperator) next() region.Order {
	if i := slices.IndexFunc(o.state.Queue, func(order region.Order) bool { return order.Action == region.Delete }); i > 0 {
		o.state.Queue = o.state.Queue[i:]
	}
	order := o.state.Queue[0]
	o.state.Queue = o.state.Queue[1:]
	return order
}

func (o *regionOperator) bootstrap(ctx workflow.Context, order region.Order) error {
	id := o.key.BootstrapID(order.Operation)
	o.state.Region.Operation = order.Operation
	in := region.BootstrapInput{Region: o.state.Region, Spec: order.Spec, Keep: order.Keep, Version: o.state.Version}
	o.progress = region.Progress{Stage: "bootstrap", Waiting: region.WaitsFor + id}
	o.describe(ctx)
	var end region.Outcome
	run := childRun{workflow: region.BootstrapWorkflow, id: id, anew: true, begun: func() { o.on(region.BootstrapRunning) },
		summary: fmt.Sprintf("Bootstrap region %s on %s in %s", o.key.Name, order.Spec.Provider, order.Spec.Location)}
	if err := run.run(ctx, in, &end); err != nil {
		if err := o.recordFailure(ctx, order.Spec, err); err != nil {
			return err
		}
	} else {
		o.adopt(end.Region)
	}
	if o.state.Region.Status == region.Ready {
		o.announce(ctx)
	} else if (end.Repeat || o.state.Phase == region.Repeating) && len(o.state.Queue) == 0 {
		o.state.Operation++
		o.state.Queue = append(o.state.Queue, region.Order{Operation: o.state.Operation, Action: region.Change, Spec: o.state.Region.Spec, By: order.By, Keep: order.Keep})
	}
	return ctx.Err()
}

func (o *regionOperator) teardown(ctx workflow.Context, order region.Order) error {
	id := o.key.TeardownID(order.Operation)
	o.state.Region.Operation = order.Operation
	o.progress = region.Progress{Stage: "teardown", Waiting: region.WaitsFor + id}
	o.describe(ctx)
	var end region.Outcome
	run := childRun{workflow: region.TeardownWorkflow, id: id, anew: true, summary: "Take down region " + o.key.Name}
	if err := run.run(ctx, region.TeardownInput{Region: o.state.Region, Version: o.state.Version}, &end); err != nil {
		return o.recordFailure(ctx, o.state.Region.Spec, err)
	}
	o.adopt(end.Region)
	return nil
}

// recordFailure notes that an operation's own workflow failed, which its stages never do by themselves: someone ended it.
// What it had recorded until then is true and newer than what we know.
func (o *regionOperator) recordFailure(ctx workflow.Context, spec region.Spec, why error) error {
	if temporal.IsCanceledError(ctx.Err()) {
		return why
	}
	found, err := o.lastRecord(ctx)
	if err != nil {
		return err
	}
	if found.Version > o.state.Version {
		o.adopt(found)
	}
	o.state.Region.Spec, o.state.Region.Status, o.state.Region.Message = spec, region.Failed, words(why)
	return o.record(ctx)
}

// adopt keeps what an operation left, with the version its records came to.
func (o *regionOperator) adopt(r region.Region) {
	o.state.Region = r
	o.state.Version = max(o.state.Version, r.Version)
}

// record writes the region's row of the read model.
func (o *regionOperator) record(ctx workflow.Context) error {
	o.state.Version++
	o.state.Region.Version = o.state.Version
	o.state.Region.UpdatedAt = workflow.Now(ctx).UTC()
	summary := fmt.Sprintf("Record %s as %s", o.key.Name, o.state.Region.Status)
	return inStore(ctx, summary, regions.RecordRegion, o.state.Region).Get(ctx, nil)
}

// inspect asks whether the parts of an idle region work and are as they were applied, and records what is news.
func (o *regionOperator) inspect(ctx workflow.Context) error {
	if s := o.state.Region.Status; s != region.Ready && s != region.Degraded {
		return nil
	}
	ctx = lineage.Under(ctx, "") // nobody asked for it
	spec := o.state.Region.Spec
	var found region.Inspection
	ask := inspecting(ctx, queue.Cloud(spec.Provider), "Inspect what is broken or drifted")
	err := workflow.ExecuteActivity(ask, parts.InspectParts, spec).Get(ctx, &found)
	if unseen(err) {
		return nil // that says nothing of the region
	}
	if err != nil {
		found = region.Inspection{Problems: []string{words(err)}}
	}
	if len(o.state.Queue) > 0 || o.state.Region.Status == region.Deleting || !o.state.Region.Saw(found) {
		return nil
	}
	return o.record(ctx)
}

// unseen reports whether nobody inspected: no worker took it, or those that did are dead. One that lives and comes to no end has
// seen that the region hangs.
func unseen(err error) bool {
	var answered *temporal.ApplicationError
	var late *temporal.TimeoutError
	seen := errors.As(err, &answered)
	for errors.As(err, &late) {
		seen = seen || late.TimeoutType() == enumspb.TIMEOUT_TYPE_START_TO_CLOSE
		err = late.Unwrap()
	}
	return late != nil && !seen
}

func (o *regionOperator) describe(ctx workflow.Context) {
	text := fmt.Sprintf("**%s** is %s.", o.key, o.status())
	if o.progress.Waiting != "" {
		text += " At work: " + o.progress.Stage + " (" + o.progress.Waiting + ")."
	}
	if o.state.Region.Message != "" {
		text += "\n\n" + o.state.Region.Message
	}
	if n := len(o.state.Queue); n > 0 {
		text += fmt.Sprintf("\n\n%d orders wait for their turn.", n)
	}
	workflow.SetCurrentDetails(ctx, text)
	show(ctx, shown{attribute.Status, string(o.status())})
}

// status is what users are told while an operation is in progress, and what is recorded otherwise.
func (o *regionOperator) status() region.Status {
	switch {
	case o.state.Phase == region.Removing:
		return region.Deleting
	case o.state.Phase.HasBootstrap() && o.state.Region.Endpoints.API != "":
		return region.Updating
	case o.state.Phase.HasBootstrap():
		return region.Creating
	case o.state.Region.Status == "":
		return region.Planned
	}
	return o.state.Region.Status
}

func (o *regionOperator) report() (region.Progress, error) {
	p := o.progress
	p.Status = o.status()
	return p, nil
}

// newRegion is the region before anything of it exists.
func newRegion(spec region.Spec, now time.Time) region.Region {
	return region.Region{Spec: spec, Status: region.Planned, CreatedAt: now.UTC()}
}

// refuse is a validator's answer.
func refuse(format string, args ...any) error {
	return failure(fault.Conflict, fmt.Sprintf(format, args...))
}
