package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

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
// accepted. Between operations it looks at the region every few minutes and reports what is broken or drifted. It ends
// when the region is provably gone; a failed operation leaves it running, with the reason in the region's message. Started
// for a region that lost its owner, it goes on from what was recorded.
func OperateRegion(ctx workflow.Context, in region.OperateInput) error {
	o := &regionOperator{key: in.Key, state: in.State}
	if err := o.listen(ctx); err != nil {
		return err
	}
	return o.run(ctx)
}

// regionOperator is the state of one run of OperateRegion.
type regionOperator struct {
	key      region.Key
	state    region.State
	progress region.Progress
	running  *region.Order // the operation at work
	begun    bool
	child    string // id of the bootstrap at work, to pass commands on to it
	runs     bool   // the child can be told something
	again    bool   // a retry came too late for the child
	came     int    // commands that came, and those whose turn is over: they pass one by one, in the order in which they came
	passed   int    // (Temporal's mutex lets the last one in first)
}

func (o *regionOperator) listen(ctx workflow.Context) error {
	if err := workflow.SetQueryHandlerWithOptions(ctx, region.ProgressQuery, o.report,
		workflow.QueryHandlerOptions{Description: "Where the region's operation is, and what it waits for"}); err != nil {
		return err
	}
	handlers := []struct {
		name    string
		handler any
		options workflow.UpdateHandlerOptions
	}{
		{region.ApplyUpdate, o.apply, workflow.UpdateHandlerOptions{Validator: o.mayApply, Description: "Make the region as specified"}},
		{region.RemoveUpdate, o.remove, workflow.UpdateHandlerOptions{Description: "Take the region down"}},
		{region.RetryUpdate, o.retry, workflow.UpdateHandlerOptions{Validator: o.mayRetry, Description: "Go on with a bootstrap that waits or failed"}},
		{region.KubeconfigUpdate, o.kubeconfig, workflow.UpdateHandlerOptions{Validator: o.mayConnect, Description: "A kubeconfig sealed to the caller's key"}},
	}
	for _, h := range handlers {
		if err := workflow.SetUpdateHandlerWithOptions(ctx, h.name, h.handler, h.options); err != nil {
			return err
		}
	}
	return nil
}

// run does one operation after the other, and looks at the region in between.
func (o *regionOperator) run(ctx workflow.Context) error {
	if err := o.begin(ctx); err != nil {
		return err
	}
	for {
		if o.over() {
			if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) || !o.over() }); err != nil || o.over() {
				return err
			}
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && len(o.state.Queue) == 0 {
			return o.continueAsNew(ctx)
		}
		o.describe(ctx)
		due, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{Timeout: o.restFor(),
			TimerOptions: workflow.TimerOptions{Summary: "Next look at the region"}}, func() bool { return len(o.state.Queue) > 0 || o.over() })
		if err != nil {
			return err
		}
		switch {
		case len(o.state.Queue) > 0:
			err = o.perform(ctx, o.next())
		case !due:
			err = o.reconcile(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// begin goes on from what was recorded of the region in an earlier life. Commands wait for it.
func (o *regionOperator) begin(ctx workflow.Context) error {
	if o.state.Version == 0 {
		found, err := o.recorded(ctx)
		if err != nil {
			return err
		}
		o.state.Region, o.state.Version, o.state.Operation = found, found.Version+1, found.Operation
		if found.Version > 0 && recallsRegion(ctx) {
			o.resume(ctx)
			return nil
		}
	}
	o.begun = true
	return nil
}

// resume orders once more what was at work when the region lost its owner: run under its old id it is found if it still
// runs. Of a region that became ready services may not have heard.
func (o *regionOperator) resume(ctx workflow.Context) {
	r := o.state.Region
	o.state.Operation = max(1, r.Operation)
	order := region.Order{Operation: o.state.Operation, Action: region.Change, Spec: r.Spec, By: "recovery"}
	if r.Status == region.Deleting {
		order.Action = region.Delete
	}
	finds := findsWaiting(ctx)
	moving := r.Status.Moving() || finds && r.Status == region.Failed && o.stillAtWork(ctx)
	if moving {
		o.state.Queue = append(o.state.Queue, order)
	}
	// A command is to be passed on to the bootstrap that is found, so it waits until that is.
	o.begun = !finds || !moving || order.Action == region.Delete
	if !moving && r.Takes() {
		o.announce(ctx)
	}
}

// stillAtWork reports whether the bootstrap of a region that is recorded as failed is not over: it waits for the operator, or
// removes what it built. With nobody to tell it otherwise it would take away, a day later, what a next one had built.
func (o *regionOperator) stillAtWork(ctx workflow.Context) bool {
	var runs bool
	id := o.key.BootstrapID(o.state.Operation)
	err := workflow.ExecuteActivity(quickly(ctx, "Find whether "+id+" still runs"), flows.WorkflowRuns, activities.Awaited{ID: id}).Get(ctx, &runs)
	return err == nil && runs // there is no error but the end of this workflow: it is asked until there is an answer
}

// announce tells every service that the region takes services now. The region does not end because one cannot be told.
func (o *regionOperator) announce(ctx workflow.Context) {
	tell := watching(ctx, queue.Flows, "Tell services of the region", tellingLimit)
	ready := activities.Announcement{Key: o.key, Cluster: o.state.Region.Cluster.ID}
	if err := workflow.ExecuteActivity(tell, operators.AnnounceReady, ready).Get(ctx, nil); err != nil && ctx.Err() == nil {
		workflow.GetLogger(ctx).Error("services were not told of the region", "region", o.key.String(), "error", err)
	}
}

func (o *regionOperator) recorded(ctx workflow.Context) (region.Region, error) {
	var found region.Region
	err := workflow.ExecuteActivity(quickly(ctx, "Find what was recorded before"), regions.RecordedRegion, o.key).Get(ctx, &found)
	return found, err
}

// restFor is how long the region may rest: one that is not well is looked at sooner, so that it is not called so for long
// after it got well.
func (o *regionOperator) restFor() time.Duration {
	if o.state.Region.Status == region.Degraded {
		return lookAgainIn
	}
	return reconcileEvery
}

// over reports whether there is no region and nobody asks for one.
func (o *regionOperator) over() bool { return !o.exists() && len(o.state.Queue) == 0 }

func (o *regionOperator) continueAsNew(ctx workflow.Context) error {
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return err
	}
	return workflow.NewContinueAsNewError(ctx, OperateRegion, region.OperateInput{Key: o.key, State: o.state})
}

// next is the order whose turn it is. What was ordered before a removal need not be done any more.
func (o *regionOperator) next() region.Order {
	if i := slices.IndexFunc(o.state.Queue, func(order region.Order) bool { return order.Action == region.Delete }); i > 0 {
		o.state.Queue = o.state.Queue[i:]
	}
	order := o.state.Queue[0]
	o.state.Queue = o.state.Queue[1:]
	return order
}

func (o *regionOperator) perform(ctx workflow.Context, order region.Order) error {
	o.running, ctx = &order, lineage.Under(ctx, order.Trace)
	defer func() {
		o.begun = true
		o.running, o.child, o.runs, o.again, o.progress = nil, "", false, false, region.Progress{}
	}()
	if order.Action == region.Delete {
		return o.teardown(ctx, order)
	}
	return o.bootstrap(ctx, order)
}

func (o *regionOperator) bootstrap(ctx workflow.Context, order region.Order) error {
	o.child, o.state.Region.Operation = o.key.BootstrapID(order.Operation), order.Operation
	in := region.BootstrapInput{Region: o.state.Region, Spec: order.Spec, Keep: order.Keep, Version: o.state.Version}
	o.progress = region.Progress{Stage: "bootstrap", Waiting: region.WaitsFor + o.child}
	o.describe(ctx)
	var end region.Outcome
	run := childRun{workflow: region.BootstrapWorkflow, id: o.child, anew: true, begun: func() { o.runs, o.begun = true, true },
		summary: fmt.Sprintf("Bootstrap region %s on %s in %s", o.key.Name, order.Spec.Provider, order.Spec.Location)}
	if err := run.run(ctx, in, &end); err != nil {
		return o.recordFailure(ctx, order.Spec, err)
	}
	o.adopt(end.Region)
	if end.Region.Status == region.Ready {
		o.announce(ctx)
	} else if (end.Again || o.again) && len(o.state.Queue) == 0 {
		o.state.Operation++
		o.state.Queue = append(o.state.Queue, region.Order{Operation: o.state.Operation, Action: region.Change, Spec: end.Region.Spec, By: order.By, Keep: order.Keep})
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
	found, err := o.recorded(ctx)
	if err != nil {
		return err
	}
	if found.Version > o.state.Version {
		o.adopt(found)
	}
	o.state.Region.Spec, o.state.Region.Status, o.state.Region.Message = spec, region.Failed, words(why)
	return o.record(ctx)
}

// adopt takes over what an operation left, with the version its records came to.
func (o *regionOperator) adopt(r region.Region) {
	o.state.Region = r
	o.state.Version = max(o.state.Version, r.Version)
}

func (o *regionOperator) record(ctx workflow.Context) error {
	o.state.Version++
	o.state.Region.Version = o.state.Version
	o.state.Region.UpdatedAt = workflow.Now(ctx).UTC()
	summary := fmt.Sprintf("Record %s as %s", o.key.Name, o.state.Region.Status)
	return workflow.ExecuteActivity(quickly(ctx, summary), regions.RecordRegion, o.state.Region).Get(ctx, nil)
}

// reconcile looks at a region that rests, and records what it found if that is news.
func (o *regionOperator) reconcile(ctx workflow.Context) error {
	if s := o.state.Region.Status; s != region.Ready && s != region.Degraded {
		return nil
	}
	ctx = lineage.Under(ctx, "") // nobody asked for it
	spec := o.state.Region.Spec
	var found region.Inspection
	look := planning(ctx, queue.Cloud(spec.Provider), "Look for what is broken or drifted")
	err := workflow.ExecuteActivity(look, parts.InspectParts, spec).Get(ctx, &found)
	var unseen *temporal.TimeoutError
	if errors.As(err, &unseen) {
		return nil // nobody looked: that says nothing of the region
	}
	if err != nil {
		found = region.Inspection{Problems: []string{words(err)}}
	}
	if len(o.state.Queue) > 0 || o.state.Region.Status == region.Deleting || !o.state.Region.Saw(found) {
		return nil
	}
	return o.record(ctx)
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
	_ = workflow.UpsertTypedSearchAttributes(ctx, attribute.Status.ValueSet(string(o.status()))) // fails only for unknown attributes
}

func (o *regionOperator) status() region.Status {
	switch {
	case o.running != nil && o.running.Action == region.Delete:
		return region.Deleting
	case o.running != nil && o.state.Region.Endpoints.API != "":
		return region.Updating
	case o.running != nil:
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
