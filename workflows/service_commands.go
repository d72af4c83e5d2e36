package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/lineage"
	"github.com/m3o/platform/internal/release"
)

// The commands that OperateService takes. A command is recorded, remembered under its id, and answered; the loop does it
// in turn.

func (o *serviceOperator) mayDeploy(ctx workflow.Context, in release.Request) error {
	if in.Service != o.key {
		return o.refused("the request names %s", in.Service)
	}
	if o.state.Kill && !o.answered(ctx) {
		return o.refused("it is being killed: deploy again when it is gone")
	}
	err := in.Validate() //workflowcheck:ignore (it takes the settings in the order of their names)
	if err != nil {
		return failure(fault.Invalid, err.Error())
	}
	return nil
}

// answered reports whether a command of this id had its answer in an earlier run.
func (o *serviceOperator) answered(ctx workflow.Context) bool {
	_, found := o.state.Answers.Find(workflow.GetCurrentUpdateInfo(ctx).ID)
	return found
}

func (o *serviceOperator) deploy(ctx workflow.Context, in release.Request) (release.Accepted, error) {
	id := workflow.GetCurrentUpdateInfo(ctx).ID
	if known, found := o.state.Answers.Find(id); found {
		return known, nil
	}
	r, err := o.allocate(ctx, id, in, 0)
	if err != nil {
		return release.Accepted{}, err
	}
	return o.queue(ctx, id, r)
}

// queue lets r have its turn. A release that is not pending is the answer to a command that was taken before and is
// forgotten since: it does not run again.
func (o *serviceOperator) queue(ctx workflow.Context, id string, r release.Release) (release.Accepted, error) {
	accepted := release.Accepted{Service: o.key, Release: r.Number}
	o.state.Answers.Remember(id, accepted)
	if r.Status != release.Pending || o.state.Waiting != nil && o.state.Waiting.Number == r.Number {
		return accepted, nil
	}
	if err := o.enqueue(ctx, r); err != nil {
		return release.Accepted{}, err
	}
	return accepted, o.record(ctx, o.serviceStatus(), "")
}

// enqueue makes r the release that waits, unless a newer one does or had its turn. The other is recorded as superseded.
func (o *serviceOperator) enqueue(ctx workflow.Context, r release.Release) error {
	if o.state.Started.IsZero() || o.gone {
		o.state.Started = workflow.Now(ctx).UTC()
	}
	displaced := &r
	if r.Number > o.state.Latest {
		displaced, o.state.Waiting, o.state.Latest, o.gone = o.state.Waiting, &r, r.Number, false
		o.state.Traces.Deploy = lineage.Of(ctx)
	}
	if displaced == nil {
		return nil
	}
	old := *displaced
	old.Status, old.Message, old.Version = release.Superseded, "a newer release was asked for before its turn came", old.Version+1
	return o.recordRelease(ctx, old)
}

func (o *serviceOperator) mayRollBack(ctx workflow.Context, in release.RollbackInput) error {
	if o.answered(ctx) {
		return nil
	}
	if !o.begun {
		return nil
	}
	return o.rollable(in)
}

// rollable reports why the service cannot go back.
func (o *serviceOperator) rollable(in release.RollbackInput) error {
	if o.state.Kill {
		return o.refused("it is being killed")
	}
	if _, found := o.goal(in.To); !found {
		return o.refused("there is no earlier release to go back to%s", o.choices())
	}
	return nil
}

// goal is the release to go back to: the one of that number, or the newest before the current that was not itself gone
// back from. While a newer one is on its way or waits, that is the current.
func (o *serviceOperator) goal(number int) (release.Release, bool) {
	if c := o.state.Current; c != nil && (o.newer() || o.state.Waiting != nil) && (number == 0 || number == c.Number) {
		return *c, true
	}
	for _, r := range slices.Backward(o.state.Previous) {
		if r.Number == number || number == 0 && !o.goneBackFrom(r) {
			return r, true
		}
	}
	return release.Release{}, false
}

// newer reports whether a release newer than the current is on its way.
func (o *serviceOperator) newer() bool {
	return o.running != nil && (o.state.Current == nil || o.running.Number > o.state.Current.Number)
}

// goneBackFrom reports whether the release is one that a rollback left, or the one that the current repeats.
func (o *serviceOperator) goneBackFrom(r release.Release) bool {
	return slices.Contains(o.state.RolledBack, r.Number) || o.state.Current != nil && o.state.Current.RollsBack == r.Number
}

func (o *serviceOperator) choices() string {
	text := ""
	for _, r := range o.state.Previous {
		text += " " + r.Ref().String()
	}
	if text == "" {
		return ""
	}
	return "; there are" + text
}

func (o *serviceOperator) rollback(ctx workflow.Context, in release.RollbackInput) (release.Accepted, error) {
	id := workflow.GetCurrentUpdateInfo(ctx).ID
	if known, found := o.state.Answers.Find(id); found {
		return known, nil
	}
	if err := workflow.Await(ctx, func() bool { return o.begun }); err != nil {
		return release.Accepted{}, err
	}
	if err := o.rollable(in); err != nil {
		return release.Accepted{}, err
	}
	goal, _ := o.goal(in.To)
	request := release.Request{Service: o.key, Origin: release.Origin{Image: goal.Image}, By: in.By} // its spec is recorded
	r, err := o.allocate(ctx, id, request, goal.Number)
	if err != nil {
		return release.Accepted{}, err
	}
	return o.queue(ctx, id, r)
}

func (o *serviceOperator) mayKill(ctx workflow.Context, _ release.KillInput) error {
	if o.gone && !o.answered(ctx) {
		return o.refused("it is gone")
	}
	return nil
}

func (o *serviceOperator) kill(ctx workflow.Context, _ release.KillInput) (release.Accepted, error) {
	id := workflow.GetCurrentUpdateInfo(ctx).ID
	accepted := release.Accepted{Service: o.key}
	if err := workflow.Await(ctx, func() bool { return o.begun }); err != nil {
		return accepted, err
	}
	if known, found := o.state.Answers.Find(id); found {
		return known, nil
	}
	if o.state.Latest == 0 && o.state.Waiting == nil && o.ordering == 0 {
		return accepted, o.refused("it is gone")
	}
	o.state.Answers.Remember(id, accepted)
	o.state.Kill, o.state.Traces.Kill = true, lineage.Of(ctx)
	if !recordsRemovals(ctx) {
		return accepted, nil
	}
	o.ordering++ // its turn comes when it is recorded
	defer func() { o.ordering-- }()
	return accepted, o.record(ctx, release.Killing, "")
}
