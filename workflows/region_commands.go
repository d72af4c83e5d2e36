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

// The commands that OperateRegion accepts. A command is recorded, remembered under its id, and answered; the loop performs it in
// turn. Validators see the state when the command comes; it is checked again when the command's turn comes.

func (o *regionOperator) mayApply(ctx workflow.Context, in region.ApplyInput) error {
	if in.Spec.Key() != o.key {
		return refuse("the specification names region %s, not %s", in.Spec.Key(), o.key)
	}
	if answered(ctx, &o.state.Answers) {
		return nil
	}
	return o.fits(in.Spec)
}

// newest is the order that was accepted last of those that are not done, nil when the region is idle.
func (o *regionOperator) newest() *region.Order {
	if n := len(o.state.Queue); n > 0 {
		return &o.state.Queue[n-1]
	}
	return o.running
}

// fits reports why the region cannot become the spec. What a bootstrap in progress has built so far is not known here, so that only
// an idle region can be corrected.
func (o *regionOperator) fits(spec region.Spec) error {
	if o.removal() != nil {
		return refuse("region %s is being removed: apply again when it is gone", o.key)
	}
	if !o.exists() {
		return nil
	}
	have, order := o.state.Region, o.newest()
	if order != nil {
		have.Spec = order.Spec
	}
	_, fixed := region.Differences(have.Spec, spec)
	if order == nil {
		fixed = have.Fixed(fixed, spec)
	}
	if len(fixed) > 0 {
		return refuse("%s of region %s cannot be changed in place: remove the region and make it anew", strings.Join(fixed, ", "), o.key)
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

func (o *regionOperator) apply(ctx workflow.Context, in region.ApplyInput) (region.Accepted, error) {
	return o.accept(ctx, func() (region.Accepted, error) {
		if err := o.fits(in.Spec); err != nil {
			return region.Accepted{}, err
		}
		if before := o.state.Region; !o.exists() {
			o.state.Region = newRegion(in.Spec, workflow.Now(ctx))
			o.state.Region.Keep = in.Keep
			if err := o.record(ctx); err != nil {
				o.state.Region = before
				return region.Accepted{}, err
			}
		}
		return o.order(ctx, region.Order{Action: region.Change, Spec: in.Spec, By: in.By, Keep: in.Keep})
	})
}

// remove orders the end of the region. One in progress is the same order; gone is fine.
func (o *regionOperator) remove(ctx workflow.Context, in region.RemoveInput) (region.Accepted, error) {
	return o.accept(ctx, func() (region.Accepted, error) {
		if !o.exists() {
			return region.Accepted{Status: region.Deleted}, nil
		}
		if order := o.removal(); order != nil {
			return region.Accepted{Operation: order.Operation, Status: o.status()}, nil
		}
		if err := o.recordRemoval(ctx); err != nil {
			return region.Accepted{}, err
		}
		return o.order(ctx, region.Order{Action: region.Delete, Spec: o.state.Region.Spec, By: in.By})
	})
}

// recordRemoval records that an idle region is to go, so that it goes even if its owner is lost, and whoever asks is told so.
// A bootstrap in progress is told by itself, and records what comes of it.
func (o *regionOperator) recordRemoval(ctx workflow.Context) error {
	if o.newest() != nil {
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
func (o *regionOperator) accept(ctx workflow.Context, do func() (region.Accepted, error)) (region.Accepted, error) {
	number, leave := o.commands.enter()
	defer leave()
	if err := workflow.Await(ctx, func() bool { return o.state.Phase.Open() && o.commands.answered == number }); err != nil {
		return region.Accepted{}, err
	}
	return once(ctx, &o.state.Answers, do)
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
	err = workflow.Await(ctx, func() bool { return o.state.Phase != region.Starting })
	if err != nil || !o.state.Phase.HasBootstrap() {
		return false, err
	}
	signal, payload := region.RetrySignal, order.Spec
	if order.Action == region.Delete {
		signal = region.GiveUpSignal
	}
	return workflow.SignalExternalWorkflow(ctx, o.key.BootstrapID(o.running.Operation), "", signal, payload).Get(ctx, nil) == nil, nil
}

func (o *regionOperator) mayRetry(ctx workflow.Context, _ region.RetryInput) error {
	if !o.state.Phase.Open() || answered(ctx, &o.state.Answers) {
		return nil
	}
	return o.retriable()
}

// retriable reports why there is nothing to retry.
func (o *regionOperator) retriable() error {
	if o.removal() != nil {
		return refuse("region %s is being removed: there is nothing to retry", o.key)
	}
	r := o.state.Region
	if !o.state.Phase.HasBootstrap() && r.Status != region.Failed && r.Status != region.Degraded && r.Drift() == "" {
		return refuse("region %s is %s: there is nothing to retry", o.key.Name, o.status())
	}
	return nil
}

func (o *regionOperator) retry(ctx workflow.Context, in region.RetryInput) (region.Accepted, error) {
	return o.accept(ctx, func() (region.Accepted, error) {
		if err := o.retriable(); err != nil {
			return region.Accepted{}, err
		}
		if o.state.Phase.HasBootstrap() {
			return o.retryBootstrap(ctx, in)
		}
		return o.order(ctx, region.Order{Action: region.Change, Spec: o.state.Region.Spec, By: in.By, Keep: o.state.Region.Keep})
	})
}

// retryBootstrap has the bootstrap in progress go on. One that has ended cannot: then another attempt follows, unless one does anyway.
func (o *regionOperator) retryBootstrap(ctx workflow.Context, in region.RetryInput) (region.Accepted, error) {
	operation := o.running.Operation
	told, err := o.passOn(ctx, *o.newest())
	switch next := o.newest(); {
	case err != nil:
		return region.Accepted{}, err
	case told:
	case next == nil:
		return o.order(ctx, region.Order{Action: region.Change, Spec: o.state.Region.Spec, By: in.By, Keep: o.state.Region.Keep})
	case o.running != nil && o.running.Operation == operation: // its end is not heard of here yet
		o.on(region.RetryMissed)
	default:
		operation = next.Operation
	}
	return region.Accepted{Operation: operation, Status: o.status()}, nil
}

func (o *regionOperator) mayConnect(_ workflow.Context, in region.KubeconfigInput) error {
	if err := in.Validate(); err != nil {
		return refuse("%s", fault.Message(err))
	}
	if o.state.Phase.Open() {
		return o.connects()
	}
	return nil
}

// connects reports why there can be no cluster to connect to. While a bootstrap runs, which is when most people connect, the
// cloud knows better.
func (o *regionOperator) connects() error {
	if o.state.Region.Cluster.ID == "" && !o.state.Phase.HasBootstrap() {
		return refuse("region %s has no cluster yet", o.key)
	}
	return nil
}

func (o *regionOperator) kubeconfig(ctx workflow.Context, in region.KubeconfigInput) (region.SealedKubeconfig, error) {
	var sealed region.SealedKubeconfig
	if err := workflow.Await(ctx, func() bool { return o.state.Phase.Open() }); err != nil {
		return sealed, err
	}
	if err := o.connects(); err != nil {
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
