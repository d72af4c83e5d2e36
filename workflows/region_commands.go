package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
)

// The commands that OperateRegion takes. A command is recorded, remembered under its id, and answered; the loop does it in
// turn.

func (o *regionOperator) mayApply(_ workflow.Context, in region.ApplyInput) error {
	if in.Spec.Key() != o.key {
		return refuse("the specification names region %s, not %s", in.Spec.Key(), o.key)
	}
	for _, order := range o.state.Queue {
		if order.Action == region.Delete {
			return refuse("region %s is being removed: apply again when it is gone", o.key.Name)
		}
	}
	if o.running != nil && o.running.Action == region.Delete {
		return refuse("region %s is being removed: apply again when it is gone", o.key.Name)
	}
	if o.exists() {
		if _, fixed := region.Differences(o.state.Region.Spec, in.Spec); len(fixed) > 0 {
			return refuse("%v of region %s cannot be changed in place", fixed, o.key.Name)
		}
	}
	return nil
}

func (o *regionOperator) exists() bool {
	s := o.state.Region.Status
	return s != "" && s != region.Deleted
}

func (o *regionOperator) apply(ctx workflow.Context, in region.ApplyInput) (region.Accepted, error) {
	return o.accept(ctx, region.Order{Action: region.Change, Spec: in.Spec, By: in.By, Keep: in.Keep}, func() error {
		if !o.exists() {
			o.state.Region = newRegion(in.Spec, workflow.Now(ctx))
			return o.record(ctx)
		}
		return nil
	})
}

func (o *regionOperator) mayRemove(workflow.Context, region.RemoveInput) error {
	if !o.exists() {
		return refuse("region %s does not exist", o.key.Name)
	}
	return nil
}

func (o *regionOperator) remove(ctx workflow.Context, in region.RemoveInput) (region.Accepted, error) {
	return o.accept(ctx, region.Order{Action: region.Delete, Spec: o.state.Region.Spec, By: in.By}, func() error { return nil })
}

// accept puts an order in the queue, once per command id, after before has recorded what a look at the region must find.
func (o *regionOperator) accept(ctx workflow.Context, order region.Order, before func() error) (region.Accepted, error) {
	id := workflow.GetCurrentUpdateInfo(ctx).ID
	if known, found := o.state.Answers.Find(id); found {
		return known, nil
	}
	if err := workflow.Await(ctx, func() bool { return o.begun }); err != nil {
		return region.Accepted{}, err
	}
	o.state.Operation++
	order.Operation = o.state.Operation
	accepted := region.Accepted{Operation: order.Operation, Status: o.status()}
	o.state.Answers.Remember(id, accepted) // before anything blocks: the same id must not pass twice
	if err := before(); err != nil {
		return region.Accepted{}, err
	}
	o.state.Queue = append(o.state.Queue, order)
	return accepted, o.passOn(ctx, order)
}

// passOn tells a bootstrap that waits for the operator what the operator wants now.
func (o *regionOperator) passOn(ctx workflow.Context, order region.Order) error {
	if o.child == "" {
		return nil
	}
	signal, payload := region.RetrySignal, order.Spec
	if order.Action == region.Delete {
		signal = region.GiveUpSignal
	}
	// A bootstrap that has ended by now cannot be told, and need not be: the order is in the queue.
	_ = workflow.SignalExternalWorkflow(ctx, o.child, "", signal, payload).Get(ctx, nil)
	return nil
}

func (o *regionOperator) mayRetry(workflow.Context, region.RetryInput) error {
	if o.child == "" && o.state.Region.Status != region.Failed && o.state.Region.Status != region.Degraded {
		return refuse("region %s is %s: there is nothing to retry", o.key.Name, o.status())
	}
	return nil
}

func (o *regionOperator) retry(ctx workflow.Context, in region.RetryInput) (region.Accepted, error) {
	if o.child != "" {
		order := region.Order{Action: region.Change, Spec: o.running.Spec}
		return region.Accepted{Operation: o.running.Operation, Status: o.status()}, o.passOn(ctx, order)
	}
	return o.accept(ctx, region.Order{Action: region.Change, Spec: o.state.Region.Spec, By: in.By}, func() error { return nil })
}

func (o *regionOperator) mayConnect(_ workflow.Context, in region.KubeconfigInput) error {
	if o.state.Region.Cluster.ID == "" {
		return refuse("region %s has no cluster yet", o.key.Name)
	}
	if len(in.PublicKey) != 32 {
		return refuse("public_key must be 32 bytes, not %d", len(in.PublicKey))
	}
	return nil
}

func (o *regionOperator) kubeconfig(ctx workflow.Context, in region.KubeconfigInput) (region.SealedKubeconfig, error) {
	spec := o.state.Region.Spec
	var sealed region.SealedKubeconfig
	ctx = planning(ctx, queue.Cloud(spec.Provider), "Seal a kubeconfig for "+in.By)
	err := workflow.ExecuteActivity(ctx, kubeconfigs.SealKubeconfig, activities.SealInput{Spec: spec, PublicKey: in.PublicKey}).Get(ctx, &sealed)
	return sealed, err
}
