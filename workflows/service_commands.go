package workflows

import (
	"slices"
	"strconv"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/lineage"
	"github.com/m3o/platform/internal/release"
)

// The commands that OperateService accepts. A command is recorded, remembered under its id, and answered; the loop performs it
// in turn.

// accept has a command done once per id, when it is known what there is.
func (o *serviceOperator) accept(ctx workflow.Context, do func() (release.Accepted, error)) (release.Accepted, error) {
	if err := workflow.Await(ctx, func() bool { return o.state.Phase != release.Recalling }); err != nil {
		return release.Accepted{}, err
	}
	return once(ctx, &o.state.Answers, do)
}

func (o *serviceOperator) mayDeploy(ctx workflow.Context, in release.Request) error {
	if in.Service != o.key {
		return o.refused("the request names %s", in.Service)
	}
	if o.state.Phase == release.Removing && !answered(ctx, &o.state.Answers) {
		return o.beingKilled()
	}
	err := in.Validate() //workflowcheck:ignore (it takes the settings in the order of their names)
	if err != nil {
		return failure(fault.Invalid, err.Error())
	}
	return nil
}

func (o *serviceOperator) beingKilled() error {
	return o.refused("it is being killed: deploy again when it is gone")
}

func (o *serviceOperator) deploy(ctx workflow.Context, in release.Request) (release.Accepted, error) {
	return o.accept(ctx, func() (release.Accepted, error) {
		if o.state.Phase == release.Removing { // the kill was recalled while the command waited
			return release.Accepted{}, o.beingKilled()
		}
		return o.allocate(ctx, in, 0)
	})
}

// allocate gives a request its number, once per command id, and lets the release have its turn. One request after the other: each
// follows the release of the one before.
func (o *serviceOperator) allocate(ctx workflow.Context, in release.Request, rollsBack int) (release.Accepted, error) {
	_, leave := o.commands.enter()
	defer leave()
	if err := o.allocating.Lock(ctx); err != nil {
		return release.Accepted{}, err
	}
	defer o.allocating.Unlock()
	var r release.Release
	allocate := release.Allocation{Request: in, RequestKey: workflow.GetCurrentUpdateInfo(ctx).ID, RollsBack: rollsBack, Follows: o.followed(rollsBack)}
	if err := inStore(ctx, "Record the release and give it a number", releases.AllocateRelease, allocate).Get(ctx, &r); err != nil {
		return release.Accepted{}, err
	}
	accepted := release.Accepted{Service: o.key, Release: r.Number}
	// One that is not pending answers a command that was accepted before and is forgotten since: it is not deployed again. Nor is
	// one that the owner found when it began, which may have had its turn by now.
	if r.Status != release.Pending || isOne(r, o.state.Waiting, o.state.Interrupted, o.running, o.state.Current) || o.ended(r) {
		return accepted, nil
	}
	if err := o.enqueue(ctx, r); err != nil {
		return release.Accepted{}, err
	}
	return accepted, o.record(ctx, "")
}

// followed is the release whose settings the next one keeps where its request names none: the newest that has not failed, running or
// not. Of one that fails later, what follows it keeps the settings. A rollback keeps none; it is compared with what runs. After a kill
// there is nothing to keep.
func (o *serviceOperator) followed(rollsBack int) int {
	current := o.state.Current
	if o.state.Phase == release.PartlyRemoved {
		current = nil
	}
	candidates := []*release.Release{o.state.Waiting, o.running, o.state.Interrupted, current}
	if rollsBack != 0 {
		candidates = []*release.Release{current}
	}
	number := 0
	for _, r := range candidates {
		if r != nil && r.Status != release.Failed && !slices.Contains(o.state.RolledBack, r.Number) {
			number = max(number, r.Number)
		}
	}
	return number
}

// ended reports whether the release had its turn and made way, or came to nothing.
func (o *serviceOperator) ended(r release.Release) bool {
	return slices.Contains(o.state.RolledBack, r.Number) ||
		slices.ContainsFunc(o.state.Previous, func(p release.Release) bool { return p.Number == r.Number })
}

// isOne reports whether the release is one of those.
func isOne(r release.Release, of ...*release.Release) bool {
	return slices.ContainsFunc(of, func(other *release.Release) bool { return other != nil && other.Number == r.Number })
}

// enqueue makes r the release that waits, unless a newer one does or had its turn. The other is superseded.
func (o *serviceOperator) enqueue(ctx workflow.Context, r release.Release) error {
	if r.Number <= o.state.Latest {
		return o.supersede(ctx, r, displaced)
	}
	if o.state.Phase == release.Absent {
		o.state.Started = workflow.Now(ctx).UTC()
	}
	older := o.state.Waiting
	o.state.Waiting, o.state.Latest, o.state.Traces.Deploy = &r, r.Number, lineage.Of(ctx)
	o.on(release.ReleaseQueued)
	if older == nil {
		return nil
	}
	return o.supersede(ctx, *older, displaced)
}

func (o *serviceOperator) mayRollBack(ctx workflow.Context, in release.RollbackInput) error {
	if o.state.Phase == release.Recalling || answered(ctx, &o.state.Answers) {
		return nil
	}
	return o.rollable(in)
}

// rollable reports why the service cannot go back.
func (o *serviceOperator) rollable(in release.RollbackInput) error {
	if o.state.Phase == release.Removing {
		return o.refused("it is being killed")
	}
	if _, found := o.goal(in.To); !found {
		if in.To != 0 {
			return o.refused("there is no release %d to go back to%s", in.To, o.choices())
		}
		return o.refused("there is no earlier release to go back to%s", o.choices())
	}
	return nil
}

// goal is the target of a rollback: the release of that number, or the newest before the current that was not itself rolled
// back from. While a newer one is being deployed or waits, that is the current.
func (o *serviceOperator) goal(number int) (release.Release, bool) {
	if c := o.state.Current; c != nil && (o.deploysNewer() || o.state.Waiting != nil) && (number == 0 || number == c.Number) {
		return *c, true
	}
	for _, r := range slices.Backward(o.state.Previous) {
		if r.Number == number || number == 0 && !o.rolledBackFrom(r) {
			return r, true
		}
	}
	return release.Release{}, false
}

// rolledBackFrom reports whether the release is one that a rollback left, or the one that the current repeats.
func (o *serviceOperator) rolledBackFrom(r release.Release) bool {
	return slices.Contains(o.state.RolledBack, r.Number) || o.state.Current != nil && o.state.Current.RollsBack == r.Number
}

func (o *serviceOperator) choices() string {
	var numbers []string
	for _, r := range o.state.Previous {
		numbers = append(numbers, strconv.Itoa(r.Number))
	}
	switch len(numbers) {
	case 0:
		return ""
	case 1:
		return "; there is " + numbers[0]
	}
	return "; there are " + strings.Join(numbers, ", ")
}

func (o *serviceOperator) rollback(ctx workflow.Context, in release.RollbackInput) (release.Accepted, error) {
	return o.accept(ctx, func() (release.Accepted, error) {
		if err := o.rollable(in); err != nil {
			return release.Accepted{}, err
		}
		goal, _ := o.goal(in.To)
		request := release.Request{Service: o.key, Origin: release.Origin{Image: goal.Image}, By: in.By} // its spec is recorded
		return o.allocate(ctx, request, goal.Number)
	})
}

func (o *serviceOperator) mayKill(ctx workflow.Context, _ release.KillInput) error {
	if o.state.Phase == release.Absent && o.commands.none() && !answered(ctx, &o.state.Answers) {
		return o.refused("it is gone")
	}
	return nil
}

func (o *serviceOperator) kill(ctx workflow.Context, _ release.KillInput) (release.Accepted, error) {
	return o.accept(ctx, func() (release.Accepted, error) {
		if o.state.Phase == release.Absent && o.commands.none() { // none is being given its release either
			return release.Accepted{}, o.refused("it is gone")
		}
		_, leave := o.commands.enter()
		defer leave()
		o.on(release.KillAccepted)
		o.state.Traces.Kill = lineage.Of(ctx)
		return release.Accepted{Service: o.key}, o.record(ctx, "")
	})
}
