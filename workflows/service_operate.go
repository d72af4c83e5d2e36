package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/attribute"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// OperateService owns one service from its first deploy until it is killed.
//
// Releases are deployed one at a time; the newest supersedes the one in progress and those that wait. A region that becomes
// ready gets the current release. A release that was rolled back is remembered, and is never the target of a rollback. It ends
// when the service is gone from every region. Started for a service that lost its owner, it goes on from what was recorded.
func OperateService(ctx workflow.Context, in release.OperateInput) error {
	o := &serviceOperator{key: in.Key, state: in.State, allocating: workflow.NewMutex(ctx)}
	err := take(ctx, release.ProgressQuery, o.report, "Where the service's deploy is, and what it waits for", []command{
		{release.DeployUpdate, o.deploy, o.mayDeploy, "Deploy a new release"},
		{release.RollbackUpdate, o.rollback, o.mayRollBack, "Deploy an earlier release again"},
		{release.KillUpdate, o.kill, o.mayKill, "Remove the service everywhere"},
	})
	if err != nil {
		return err
	}
	o.ready, o.removed = workflow.GetSignalChannel(ctx, release.RegionReadySignal), workflow.GetSignalChannel(ctx, release.RegionRemovedSignal)
	return operate(ctx, o, func() error {
		return workflow.NewContinueAsNewError(ctx, OperateService, release.OperateInput{Key: o.key, State: o.state})
	})
}

// serviceOperator is the state of one run of OperateService. Its commands are in service_commands.go, its operations in
// service_deploy.go, service_place.go and service_remove.go.
type serviceOperator struct {
	key      release.Key
	state    release.State
	progress release.Progress
	running  *release.Release // being deployed, or ended and not yet adopted
	row      release.Service  // as this run recorded it last
	commands arrivals         // a removal begins when all that came before it are answered

	allocating workflow.Mutex // held by the command whose release is being given its number

	ready, removed workflow.ReceiveChannel
}

// on moves to the phase that follows on the event. One that cannot happen is a mistake in this code: the workflow task fails and is
// retried, so that a corrected version goes on from here.
func (o *serviceOperator) on(e release.PhaseEvent) {
	next, err := o.state.Phase.After(e)
	if err != nil {
		panic(fmt.Sprintf("service %s: %v", o.key, err))
	}
	o.state.Phase = next
}

// recall finds what was recorded before: what runs, what was being deployed, and what was accepted and never had its turn. Commands
// wait until all of it is in place.
func (o *serviceOperator) recall(ctx workflow.Context) error {
	if o.state.Phase != release.Recalling {
		return nil
	}
	var found release.Recalled
	if err := inStore(ctx, "Find what was recorded before", releases.RecallService, o.key).Get(ctx, &found); err != nil {
		return err
	}
	for _, r := range found.Displaced {
		if err := o.supersede(ctx, r, displaced); err != nil {
			return err
		}
	}
	var facts []release.RegionFact
	if found.State.Current != nil { // regions may have become ready while there was no owner
		places, err := listPlaces(ctx, o.key.Project)
		if err != nil {
			return err
		}
		for _, p := range places {
			facts = append(facts, release.RegionFact{Region: p.Spec.Key().String(), Cluster: p.Cluster.ID})
		}
	}
	o.state = found.State
	o.state.Version++
	if o.state.Waiting != nil && o.state.Started.IsZero() {
		o.state.Started = workflow.Now(ctx).UTC()
	}
	for _, f := range facts {
		o.regionReady(f)
	}
	return nil
}

func (o *serviceOperator) outlook() outlook {
	o.hear()
	switch s := o.state; {
	case s.Phase == release.Removing, s.Interrupted != nil, s.Waiting != nil:
		return busy
	case s.Phase == release.Absent:
		return over
	case len(s.Regions) > 0, len(s.Removed) > 0:
		return busy
	}
	return idle
}

// rest: regions in which the current release is not as it should be are retried after a while.
func (o *serviceOperator) rest() (time.Duration, string) {
	if len(o.state.Unplaced) == 0 {
		return 0, ""
	}
	return placementBackoff(o.state.Tries), fmt.Sprintf("Retry %v", o.state.Unplaced)
}

// perform does one operation: a deploy that was in progress when the owner was lost goes before a kill, that before a release,
// that before a region that lacks the current one.
func (o *serviceOperator) perform(ctx workflow.Context, rested bool) error {
	if rested {
		o.state.Regions, o.state.Unplaced, o.state.Tries = o.state.Unplaced, nil, o.state.Tries+1
	}
	err := o.turn(ctx)
	o.running, o.progress = nil, release.Progress{}
	return err
}

func (o *serviceOperator) turn(ctx workflow.Context) error {
	switch {
	case o.state.Interrupted != nil: // it may still be at work
		next := *o.state.Interrupted
		o.state.Interrupted = nil
		return o.runDeploy(ctx, next)
	case o.state.Phase == release.Removing:
		return o.remove(ctx)
	case len(o.state.Removed) > 0:
		return o.forgetRegions(ctx)
	case o.state.Waiting != nil:
		next := *o.state.Waiting
		o.state.Waiting = nil
		return o.runDeploy(ctx, next)
	}
	return o.place(ctx)
}

// remembered bounds what is kept of the past.
const remembered = 20

func newest[T any](list []T) []T { return list[max(0, len(list)-remembered):] }

// displaced is why a release that waited, or came too late, is not deployed.
const displaced = "a newer release was asked for before its turn came"

// supersede records that a newer release, or the end of the service, took a release's place.
func (o *serviceOperator) supersede(ctx workflow.Context, r release.Release, why string) error {
	r.Status, r.Message, r.Version = release.Superseded, why, r.Version+1
	return o.recordRelease(ctx, r)
}

// supersedeWaiting does so with the release that waits, if one does.
func (o *serviceOperator) supersedeWaiting(ctx workflow.Context, why string) error {
	w := o.state.Waiting
	if w == nil {
		return nil
	}
	o.state.Waiting = nil
	return o.supersede(ctx, *w, why)
}

// recordRelease writes a release's row of the read model.
func (o *serviceOperator) recordRelease(ctx workflow.Context, r release.Release) error {
	r.UpdatedAt = workflow.Now(ctx).UTC()
	summary := fmt.Sprintf("Record release %d as %s", r.Number, r.Status)
	return inStore(ctx, summary, releases.RecordRelease, r).Get(ctx, nil)
}

// record writes the service's row of the read model.
func (o *serviceOperator) record(ctx workflow.Context, message string) error {
	o.row = o.now(message)
	o.state.Version++
	row := o.row
	row.Version, row.UpdatedAt = o.state.Version, workflow.Now(ctx).UTC()
	return inStore(ctx, "Record service as "+string(row.Status), releases.RecordService, row).Get(ctx, nil)
}

// recordNews does so if the row does not say so already.
func (o *serviceOperator) recordNews(ctx workflow.Context, message string) error {
	if o.row.Says(o.now(message)) {
		return nil
	}
	return o.record(ctx, message)
}

// now is the service's row as it would be recorded, but for version and time.
func (o *serviceOperator) now(message string) release.Service {
	s := release.Service{Key: o.key, Status: o.status(), Message: message, Latest: o.state.Latest, Regions: o.state.Placed, CreatedAt: o.state.Started,
		PartlyRemoved: o.state.Phase == release.PartlyRemoved}
	switch {
	case o.state.Current != nil:
		s.Current, s.Access = o.state.Current.Number, o.state.Current.Spec.Access
	case o.running != nil:
		s.Access = o.running.Spec.Access
	case o.state.Waiting != nil:
		s.Access = o.state.Waiting.Spec.Access
	}
	return s
}

// status is what users are told. One that is to go says so whatever comes of a deploy meanwhile: an owner that began anew would
// not know of the kill otherwise.
func (o *serviceOperator) status() release.ServiceStatus {
	switch {
	case o.state.Phase == release.Removing:
		return release.Killing
	case o.state.Phase == release.Absent:
		return release.Killed
	case o.state.Phase == release.PartlyRemoved && o.progress.Stage == "":
		return release.Broken
	case o.state.Phase != release.PartlyRemoved && o.state.Current != nil:
		return release.Running
	case o.progress.Stage != "" || o.state.Waiting != nil:
		return release.Starting
	}
	return release.Broken
}

func (o *serviceOperator) describe(ctx workflow.Context) {
	text := fmt.Sprintf("Service **%s** is %s.", o.key, o.status())
	if c := o.state.Current; c != nil {
		text += fmt.Sprintf(" Release %d runs in %d regions.", c.Number, len(o.state.Placed))
	}
	if o.running != nil {
		text += fmt.Sprintf("\n\nAt work: %s release %d.", o.progress.Stage, o.running.Number)
	}
	if o.state.Waiting != nil {
		text += fmt.Sprintf("\n\nRelease %d waits for its turn.", o.state.Waiting.Number)
	}
	workflow.SetCurrentDetails(ctx, text)
	show(ctx, shown{attribute.Status, string(o.status())})
}

func (o *serviceOperator) report() (release.Progress, error) { return o.progress, nil }

// refused is a validator's answer about a service.
func (o *serviceOperator) refused(format string, args ...any) error {
	return failure(fault.Conflict, fmt.Sprintf("service %s: ", o.key)+fmt.Sprintf(format, args...))
}
