package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/release"
)

// The commands that OperateService takes. A command is recorded, remembered under its id, and answered; the loop does it
// in turn.

func (o *serviceOperator) mayDeploy(_ workflow.Context, in release.Request) error {
	if in.Service != o.key {
		return o.refused("the request names %s", in.Service)
	}
	if o.state.Kill {
		return o.refused("it is being killed: deploy again when it is gone")
	}
	return in.Validate()
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

// queue makes r the release that waits, unless a newer one does.
func (o *serviceOperator) queue(ctx workflow.Context, id string, r release.Release) (release.Accepted, error) {
	accepted := release.Accepted{Service: o.key, Release: r.Number}
	o.state.Answers.Remember(id, accepted)
	o.state.Latest = max(o.state.Latest, r.Number)
	if o.state.Started.IsZero() {
		o.state.Started = workflow.Now(ctx).UTC()
	}
	displaced := o.state.Waiting
	if displaced != nil && displaced.Number > r.Number {
		displaced, r = &r, *displaced
	}
	o.state.Waiting = &r
	if displaced != nil {
		old := *displaced
		old.Status, old.Message, old.Version = release.Superseded, "a newer release was asked for before its turn came", old.Version+1
		if err := o.recordRelease(ctx, old); err != nil {
			return release.Accepted{}, err
		}
	}
	return accepted, o.record(ctx, o.serviceStatus(), "")
}

func (o *serviceOperator) mayRollBack(_ workflow.Context, in release.RollbackInput) error {
	if o.state.Kill {
		return o.refused("it is being killed")
	}
	if _, found := o.goal(in.To); !found {
		return o.refused("there is no earlier release to go back to%s", o.choices())
	}
	return nil
}

// goal is the release to go back to: the one of that number, or the newest before the current.
func (o *serviceOperator) goal(number int) (release.Release, bool) {
	for _, r := range slices.Backward(o.state.Previous) {
		if r.Number == number || number == 0 {
			return r, true
		}
	}
	return release.Release{}, false
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
	goal, found := o.goal(in.To)
	if !found {
		return release.Accepted{}, o.refused("there is no earlier release to go back to")
	}
	request := release.Request{Service: o.key, Origin: release.Origin{Image: goal.Image}, Spec: goal.Spec, By: in.By}
	r, err := o.allocate(ctx, id, request, goal.Number)
	if err != nil {
		return release.Accepted{}, err
	}
	return o.queue(ctx, id, r)
}

func (o *serviceOperator) mayKill(workflow.Context, release.KillInput) error {
	if o.gone {
		return o.refused("it is gone")
	}
	return nil
}

func (o *serviceOperator) kill(ctx workflow.Context, _ release.KillInput) (release.Accepted, error) {
	id := workflow.GetCurrentUpdateInfo(ctx).ID
	accepted := release.Accepted{Service: o.key}
	o.state.Answers.Remember(id, accepted)
	o.state.Kill = true
	return accepted, nil
}
