package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/lineage"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
)

// The commands that OperateRegion takes. A command is recorded, remembered under its id, and answered; the loop does it in
// turn. Validators see the state when the command comes; it is looked at again when the command's turn comes.

func (o *regionOperator) mayApply(ctx workflow.Context, in region.ApplyInput) error {
	if in.Spec.Key() != o.key {
		return refuse("the specification names region %s, not %s", in.Spec.Key(), o.key)
	}
	if o.answered(ctx) {
		return nil
	}
	return o.fits(in.Spec, true)
}

// newest is the order that was taken last of those that are not done, nil when the region is at rest.
func (o *regionOperator) newest() *region.Order {
	if n := len(o.state.Queue); n > 0 {
		return &o.state.Queue[n-1]
	}
	return o.running
}

// fits reports why the region cannot become the spec. What a bootstrap at work has built so far is not known here, so that only
// a region at rest can be corrected.
func (o *regionOperator) fits(spec region.Spec, corrects bool) error {
	if o.removal() != nil {
		return refuse("region %s is being removed: apply again when it is gone", o.key.Name)
	}
	if !o.exists() {
		return nil
	}
	have, order := o.state.Region, o.newest()
	if corrects && order != nil {
		have.Spec = order.Spec
	}
	_, fixed := region.Differences(have.Spec, spec)
	if corrects && order == nil {
		fixed = have.Fixed(fixed)
	}
	if len(fixed) > 0 {
		return refuse("%s of region %s cannot be changed in place: remove the region and make it anew", strings.Join(fixed, ", "), o.key.Name)
	}
	return nil
}

func (o *regionOperator) exists() bool {
	s := o.state.Region.Status
	return s != "" && s != region.Deleted
}

// removal is the order to take the region down that runs or waits, nil when there is none.
func (o *regionOperator) removal() *region.Order {
	for i, order := range o.state.Queue {
		if order.Action == region.Delete {
			return &o.state.Queue[i]
		}
	}
	if o.running != nil && o.running.Action == region.Delete {
		return o.running
	}
	return nil
}

// answered reports whether a command of this id had its answer in an earlier run.
func (o *regionOperator) answered(ctx workflow.Context) bool {
	_, found := o.state.Answers.Find(workflow.GetCurrentUpdateInfo(ctx).ID)
	return found
}

func (o *regionOperator) apply(ctx workflow.Context, in region.ApplyInput) (region.Accepted, error) {
	return o.accept(ctx, func() (region.Accepted, error) {
		if err := o.fits(in.Spec, correctsRegions(ctx)); err != nil {
			return region.Accepted{}, err
		}
		if before := o.state.Region; !o.exists() {
			o.state.Region = newRegion(in.Spec, workflow.Now(ctx))
			if err := o.record(ctx); err != nil {
				o.state.Region = before
				return region.Accepted{}, err
			}
		}
		return o.order(ctx, region.Order{Action: region.Change, Spec: in.Spec, By: in.By, Keep: in.Keep})
	})
}

// remove orders the end of the region. One that is on its way is the same order; gone is fine.
func (o *regionOperator) remove(ctx workflow.Context, in region.RemoveInput) (region.Accepted, error) {
	return o.accept(ctx, func() (region.Accepted, error) {
		if !o.exists() {
			return region.Accepted{Status: region.Deleted}, nil
		}
		if order := o.removal(); order != nil {
			return region.Accepted{Operation: order.Operation, Status: o.status()}, nil
		}
		if err := o.noteRemoval(ctx); err != nil {
			return region.Accepted{}, err
		}
		return o.order(ctx, region.Order{Action: region.Delete, Spec: o.state.Region.Spec, By: in.By})
	})
}

// noteRemoval records that a region at rest is to go, so that it goes even if its owner is lost, and whoever asks is told so.
// A bootstrap at work is told by itself, and records what comes of it.
func (o *regionOperator) noteRemoval(ctx workflow.Context) error {
	if !recordsRemovals(ctx) || o.running != nil || len(o.state.Queue) > 0 {
		return nil
	}
	before := o.state.Region
	o.state.Region.Status, o.state.Region.Message, o.state.Region.Operation = region.Deleting, "", o.state.Operation+1
	if err := o.record(ctx); err != nil {
		o.state.Region = before
		return err
	}
	return nil
}

// accept lets commands pass one by one, each once per id.
func (o *regionOperator) accept(ctx workflow.Context, take func() (region.Accepted, error)) (region.Accepted, error) {
	turn := o.came
	o.came++
	defer func() { o.passed++ }()
	if err := workflow.Await(ctx, func() bool { return o.begun && o.passed == turn }); err != nil {
		return region.Accepted{}, err
	}
	id := workflow.GetCurrentUpdateInfo(ctx).ID
	if known, found := o.state.Answers.Find(id); found {
		return known, nil
	}
	accepted, err := take()
	if err == nil {
		o.state.Answers.Remember(id, accepted)
	}
	return accepted, err
}

// order puts an order in the queue.
func (o *regionOperator) order(ctx workflow.Context, order region.Order) (region.Accepted, error) {
	o.state.Operation++
	order.Operation, order.Trace = o.state.Operation, lineage.Of(ctx)
	o.state.Queue = append(o.state.Queue, order)
	_, err := o.passOn(ctx, order)
	return region.Accepted{Operation: order.Operation, Status: o.status()}, err
}

// passOn tells a bootstrap that waits for the operator what the operator wants now. One that has ended by now cannot be told.
func (o *regionOperator) passOn(ctx workflow.Context, order region.Order) (told bool, err error) {
	if err := workflow.Await(ctx, func() bool { return o.child == "" || o.runs }); err != nil || o.child == "" {
		return false, err
	}
	signal, payload := region.RetrySignal, order.Spec
	if order.Action == region.Delete {
		signal = region.GiveUpSignal
	}
	return workflow.SignalExternalWorkflow(ctx, o.child, "", signal, payload).Get(ctx, nil) == nil, nil
}

func (o *regionOperator) mayRetry(ctx workflow.Context, _ region.RetryInput) error {
	if !o.begun || o.answered(ctx) {
		return nil
	}
	return o.retriable(true)
}

func (o *regionOperator) retriable(mends bool) error {
	if o.removal() != nil {
		return refuse("region %s is being removed: there is nothing to retry", o.key.Name)
	}
	r := o.state.Region
	if o.child == "" && r.Status != region.Failed && r.Status != region.Degraded && !(mends && r.Drift() != "") {
		return refuse("region %s is %s: there is nothing to retry", o.key.Name, o.status())
	}
	return nil
}

func (o *regionOperator) retry(ctx workflow.Context, in region.RetryInput) (region.Accepted, error) {
	return o.accept(ctx, func() (region.Accepted, error) {
		if err := o.retriable(correctsRegions(ctx)); err != nil {
			return region.Accepted{}, err
		}
		if o.child == "" {
			return o.order(ctx, region.Order{Action: region.Change, Spec: o.state.Region.Spec, By: in.By})
		}
		operation := o.running.Operation
		told, err := o.passOn(ctx, *o.newest())
		if err != nil || told || !keepsRetries(ctx) {
			return region.Accepted{Operation: operation, Status: o.status()}, err
		}
		if o.child == "" { // its end was heard of meanwhile
			return o.order(ctx, region.Order{Action: region.Change, Spec: o.state.Region.Spec, By: in.By})
		}
		o.again = true
		return region.Accepted{Operation: operation, Status: o.status()}, nil
	})
}

func (o *regionOperator) mayConnect(_ workflow.Context, in region.KubeconfigInput) error {
	if err := in.Validate(); err != nil {
		return refuse("%s", fault.Message(err))
	}
	if o.begun {
		return o.connects(true)
	}
	return nil
}

// connects reports why there can be no cluster to connect to. While a bootstrap runs, which is when it is looked into most, the
// cloud knows better.
func (o *regionOperator) connects(early bool) error {
	if o.state.Region.Cluster.ID == "" && !(early && o.child != "") {
		return refuse("region %s has no cluster yet", o.key.Name)
	}
	return nil
}

func (o *regionOperator) kubeconfig(ctx workflow.Context, in region.KubeconfigInput) (region.SealedKubeconfig, error) {
	var sealed region.SealedKubeconfig
	if err := workflow.Await(ctx, func() bool { return o.begun }); err != nil {
		return sealed, err
	}
	if err := o.connects(correctsRegions(ctx)); err != nil {
		return sealed, err
	}
	spec := o.state.Region.Spec
	if o.running != nil {
		spec = o.running.Spec
	}
	ctx = asking(ctx, queue.Cloud(spec.Provider), fmt.Sprintf("Make a kubeconfig for %s: %s", in.By, in.Role))
	err := workflow.ExecuteActivity(ctx, kubeconfigs.SealKubeconfig, activities.SealInput{Spec: spec, KubeconfigInput: in}).Get(ctx, &sealed)
	if err != nil {
		return sealed, failure(kindOf(err), words(err))
	}
	return sealed, nil
}
