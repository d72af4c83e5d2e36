package workflows

import (
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/attribute"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/lineage"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// OperateService owns one service from its first deploy until it is killed.
//
// Releases are brought out one at a time; the newest wins: one that is on its way is told that it is overtaken, and those
// that wait are recorded as superseded. A region that becomes ready gets the current release. A release that is rolled back
// is remembered and never taken for something to go back to. It ends when the service is gone from every region. Started
// for a service that lost its owner, it goes on from what was recorded.
func OperateService(ctx workflow.Context, in release.OperateInput) error {
	o := &serviceOperator{key: in.Key, state: in.State}
	if err := o.listen(ctx); err != nil {
		return err
	}
	return o.run(ctx)
}

// serviceOperator is the state of one run of OperateService.
type serviceOperator struct {
	key      release.Key
	state    release.State
	progress release.Progress
	running  *release.Release // on its way
	begun    bool
	gone     bool
	ordering int // commands that are being given their release

	ready, removed workflow.ReceiveChannel
}

func (o *serviceOperator) listen(ctx workflow.Context) error {
	if err := workflow.SetQueryHandlerWithOptions(ctx, release.ProgressQuery, o.report,
		workflow.QueryHandlerOptions{Description: "Where the service's deploy is, and what it waits for"}); err != nil {
		return err
	}
	handlers := []struct {
		name    string
		handler any
		options workflow.UpdateHandlerOptions
	}{
		{release.DeployUpdate, o.deploy, workflow.UpdateHandlerOptions{Validator: o.mayDeploy, Description: "Bring out a new release"}},
		{release.RollbackUpdate, o.rollback, workflow.UpdateHandlerOptions{Validator: o.mayRollBack, Description: "Bring out an earlier release again"}},
		{release.KillUpdate, o.kill, workflow.UpdateHandlerOptions{Validator: o.mayKill, Description: "Remove the service everywhere"}},
	}
	for _, h := range handlers {
		if err := workflow.SetUpdateHandlerWithOptions(ctx, h.name, h.handler, h.options); err != nil {
			return err
		}
	}
	o.ready, o.removed = workflow.GetSignalChannel(ctx, release.RegionReadySignal), workflow.GetSignalChannel(ctx, release.RegionRemovedSignal)
	return nil
}

// hear takes the facts about regions that came. Nothing else receives them: a fact that waits in its channel is seen by
// whoever looks before the run continues as new. Of a region that went and came again both are true in this order, and of
// one that came and went the release is brought nowhere.
func (o *serviceOperator) hear() {
	var fact release.RegionFact
	for o.removed.ReceiveAsync(&fact) {
		o.regionRemoved(fact)
	}
	for o.ready.ReceiveAsync(&fact) {
		o.regionReady(fact)
	}
}

// regionReady also forgets what ran in a cluster that the region no longer has: it was made anew, empty.
func (o *serviceOperator) regionReady(fact release.RegionFact) {
	o.state.Traces.Place = fact.Trace
	o.state.Placed = slices.DeleteFunc(slices.Clone(o.state.Placed), func(p release.Placed) bool {
		return p.Region == fact.Region && fact.Cluster != "" && p.Cluster != "" && p.Cluster != fact.Cluster
	})
	if !slices.Contains(o.state.Regions, fact.Region) {
		o.state.Regions = append(o.state.Regions, fact.Region)
	}
}

// regionRemoved also takes back that the region was ready before. It may become ready again after.
func (o *serviceOperator) regionRemoved(fact release.RegionFact) {
	o.state.Regions = slices.DeleteFunc(o.state.Regions, func(name string) bool { return name == fact.Region })
	if !slices.Contains(o.state.Removed, fact.Region) {
		o.state.Removed = append(o.state.Removed, fact.Region)
	}
}

// run does one thing after the other: what was on its way before a kill, that before a release, that before a region that
// wants the current one.
func (o *serviceOperator) run(ctx workflow.Context) error {
	if err := o.begin(ctx); err != nil {
		return err
	}
	for {
		if o.over() {
			if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) || !o.over() }); err != nil || o.over() {
				return err
			}
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && !o.due() {
			return o.continueAsNew(ctx)
		}
		o.describe(ctx)
		if err := o.rest(ctx); err != nil {
			return err
		}
		if err := o.turn(ctx); err != nil {
			return err
		}
	}
}

// rest waits until there is something to do. Regions where the current release could not be brought, or brought back, are
// tried again by and by, ever more slowly.
func (o *serviceOperator) rest(ctx workflow.Context) error {
	if len(o.state.Unplaced) == 0 {
		return workflow.Await(ctx, o.due)
	}
	due, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{Timeout: placeAgainIn(o.state.Tries),
		TimerOptions: workflow.TimerOptions{Summary: fmt.Sprintf("Try %v again", o.state.Unplaced)}}, o.due)
	if err == nil && !due {
		o.state.Regions, o.state.Unplaced, o.state.Tries = o.state.Unplaced, nil, o.state.Tries+1
	}
	return err
}

// unplaced notes the regions in which the release is not as it should be. Where it was taken back it is not at all.
func (o *serviceOperator) unplaced(names []string) {
	for i, p := range o.state.Placed {
		if slices.Contains(names, p.Region) && p.Status != release.RolledBack {
			o.state.Placed[i].Status = release.Failed
		}
	}
	if o.state.Unplaced = names; len(names) == 0 {
		o.state.Tries = 0
	}
}

// over reports whether there is no service: it was killed, or never had a release, and none waits.
func (o *serviceOperator) over() bool {
	return (o.gone || o.state.Latest == 0) && !o.state.Kill && o.state.Waiting == nil && o.state.Interrupted == nil
}

// begin goes on from what was recorded of the service in an earlier life. Commands wait for it.
func (o *serviceOperator) begin(ctx workflow.Context) error {
	if o.state.Version == 0 {
		if err := o.recall(ctx); err != nil {
			return err
		}
		o.state.Version++
	}
	o.begun = true
	return nil
}

// recall finds what was recorded before: what runs, what was on its way, and what was asked for and never had its turn.
func (o *serviceOperator) recall(ctx workflow.Context) error {
	call := quickly(ctx, "Find what was recorded before")
	if !recallsService(ctx) {
		return workflow.ExecuteActivity(call, releases.RecordedService, o.key).Get(ctx, &o.state.Version)
	}
	var found release.Recalled
	if err := workflow.ExecuteActivity(call, releases.RecallService, o.key).Get(ctx, &found); err != nil {
		return err
	}
	o.state = found.State
	for _, r := range found.Pending {
		if err := o.enqueue(ctx, r); err != nil {
			return err
		}
	}
	if o.state.Current == nil {
		return nil
	}
	places, err := listPlaces(ctx) // regions may have become ready while there was no owner
	for _, p := range places {
		o.regionReady(release.RegionFact{Region: p.Spec.Key().String(), Cluster: p.Cluster.ID})
	}
	return err
}

// due reports whether there is something to do.
func (o *serviceOperator) due() bool {
	o.hear()
	return o.state.Kill || o.state.Interrupted != nil || o.state.Waiting != nil || len(o.state.Regions) > 0 || len(o.state.Removed) > 0
}

func (o *serviceOperator) turn(ctx workflow.Context) error {
	defer func() { o.running, o.progress = nil, release.Progress{} }()
	switch {
	case o.state.Interrupted != nil: // it may still be at work
		next := *o.state.Interrupted
		o.state.Interrupted = nil
		return o.bringOut(ctx, next)
	case o.state.Kill:
		return o.remove(ctx)
	case len(o.state.Removed) > 0:
		return o.forgetRegions(ctx)
	case o.state.Waiting != nil:
		next := *o.state.Waiting
		o.state.Waiting = nil
		return o.bringOut(ctx, next)
	default:
		return o.place(ctx)
	}
}

func (o *serviceOperator) continueAsNew(ctx workflow.Context) error {
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return err
	}
	if o.due() {
		return o.run(ctx)
	}
	return workflow.NewContinueAsNewError(ctx, OperateService, release.OperateInput{Key: o.key, State: o.state})
}

// beyondRun is more records than one deploy makes: what is recorded now is newer than whatever a run that was ended recorded.
const beyondRun = 1000

// bringOut runs the deploy of a release whose turn it is.
func (o *serviceOperator) bringOut(ctx workflow.Context, next release.Release) error {
	ctx = lineage.Under(ctx, o.state.Traces.Deploy)
	o.running = &next
	o.progress = release.Progress{Release: next.Number, Stage: "deploying", Waiting: region.WaitsFor + o.key.DeployID(next.Number)}
	o.describe(ctx)
	if err := o.record(ctx, o.serviceStatus(), ""); err != nil {
		return err
	}
	in := release.DeployInput{Release: next, Before: o.state.Current, Version: next.Version}
	var end release.Outcome
	run := childRun{workflow: release.DeployWorkflow, id: o.key.DeployID(next.Number), summary: fmt.Sprintf("Release %d of %s", next.Number, o.key)}
	err := o.attend(ctx, run, in, &end)
	o.progress = release.Progress{}
	if err != nil { // the deploy's stages never fail it: someone ended the workflow
		next.Status, next.Message, next.Version = release.Failed, words(err), next.Version+beyondRun
		end.Release = next
		if err := o.recordRelease(ctx, next); err != nil {
			return err
		}
		o.mend(ctx)
	}
	o.state.Overtook = end.Release.Status == release.Superseded
	return o.settle(ctx, end.Release)
}

// mend has the current release brought back to every region: the deploy that was ended left them in whatever state.
func (o *serviceOperator) mend(ctx workflow.Context) {
	if o.state.Current == nil || !mendsRegions(ctx) {
		return
	}
	var names []string
	for _, p := range o.state.Placed {
		names = append(names, p.Region)
	}
	o.unplaced(names)
}

// attend runs a deploy, and tells it when something newer has overtaken it.
func (o *serviceOperator) attend(ctx workflow.Context, deploy childRun, in release.DeployInput, end *release.Outcome) error {
	runs, over := false, false
	deploy.begun = func() { runs = true }
	workflow.Go(ctx, func(ctx workflow.Context) {
		err := workflow.Await(ctx, func() bool { return over || runs && o.overtaken() })
		if err != nil || over || !overtakesDeploys(ctx) {
			return
		}
		why := release.Overtaken{Killed: o.state.Kill}
		if !why.Killed {
			why.By = o.state.Waiting.Number
		}
		// A deploy that has ended by now cannot be told, and need not be.
		_ = workflow.SignalExternalWorkflow(ctx, deploy.id, "", release.OvertakenSignal, why).Get(ctx, nil)
	})
	err := deploy.run(ctx, in, end)
	over = true
	return err
}

// overtaken reports whether the deploy on its way need not go on: the service is to end, or a newer release is asked for.
// Of those, two in a row are not overtaken: with a change every minute nothing would ever come out.
func (o *serviceOperator) overtaken() bool {
	w := o.state.Waiting
	return o.state.Kill || w != nil && (w.RollsBack != 0 || !o.state.Overtook || !o.newer())
}

// settle takes over how a deploy ended.
func (o *serviceOperator) settle(ctx workflow.Context, r release.Release) error {
	if r.Status != release.Ready {
		o.state.RolledBack = append(o.state.RolledBack, r.Number)
		o.state.RolledBack = newest(o.state.RolledBack)
		if o.state.Current != nil {
			o.state.Placed = wentBack(o.state.Placed, r)
			o.unplaced(append(failedIn(r, nil), o.untouched(r)...))
		}
		return o.record(ctx, o.serviceStatus(), fmt.Sprintf("release %d %s: %s", r.Number, r.Status, r.Message))
	}
	if o.state.Current != nil {
		old := *o.state.Current
		if r.RollsBack != 0 { // neither it nor what it repeated is to be gone back to
			o.state.RolledBack = newest(append(o.state.RolledBack, old.Number, old.RollsBack))
		}
		o.state.Previous = newest(append(o.state.Previous, old.Brief()))
		old.Status, old.Version = release.Superseded, old.Version+1
		if err := o.recordRelease(ctx, old); err != nil {
			return err
		}
	}
	o.state.Current, o.state.Placed, o.state.HalfKilled = &r, r.Regions, false
	o.unplaced(nil)
	return o.record(ctx, release.Running, "")
}

// untouched names the regions that wait to be tried again and that the release did not come to.
func (o *serviceOperator) untouched(r release.Release) []string {
	return slices.DeleteFunc(slices.Clone(o.state.Unplaced), func(name string) bool {
		return slices.ContainsFunc(r.Regions, func(p release.Placed) bool { return p.Region == name })
	})
}

// wentBack is where the current release runs after another one was taken back: everywhere that that went well, too.
func wentBack(placed []release.Placed, r release.Release) []release.Placed {
	placed = slices.Clone(placed)
	for _, p := range r.Regions {
		if p.Status != release.RolledBack {
			continue
		}
		now := release.Placed{Region: p.Region, Cluster: p.Cluster, Status: release.Ready, URL: p.URL}
		if i := slices.IndexFunc(placed, func(old release.Placed) bool { return old.Region == p.Region }); i >= 0 {
			placed[i] = now
		} else {
			placed = append(placed, now)
		}
	}
	return placed
}

// failedIn names the regions, of those given or of all, in which the release ended as a failure.
func failedIn(r release.Release, among []string) []string {
	var names []string
	for _, p := range r.Regions {
		if among == nil && p.Status == release.Failed || slices.Contains(among, p.Region) && p.Status != release.Ready {
			names = append(names, p.Region)
		}
	}
	return names
}

// remembered bounds what is kept of the past.
const remembered = 20

func newest[T any](list []T) []T { return list[max(0, len(list)-remembered):] }

// place brings the current release to regions that became ready.
func (o *serviceOperator) place(ctx workflow.Context) error {
	ctx, o.state.Traces.Place = lineage.Under(ctx, o.state.Traces.Place), ""
	names := append(o.state.Regions, o.state.Unplaced...)
	slices.Sort(names)
	names = slices.Compact(names)
	o.state.Regions = nil
	if o.state.Current == nil || o.state.HalfKilled {
		return nil // the next release goes to every region that is ready then
	}
	names = slices.DeleteFunc(names, func(name string) bool { return o.runsIn(name) })
	if len(names) == 0 {
		return nil
	}
	o.state.Placements++
	current := *o.state.Current
	id := o.key.PlaceID(current.Number, o.state.Placements)
	o.running, o.progress = &current, release.Progress{Release: current.Number, Stage: "placing", Waiting: region.WaitsFor + id}
	o.describe(ctx)
	if recordsPlacements(ctx) {
		if err := o.record(ctx, o.serviceStatus(), ""); err != nil {
			return err
		}
	}
	in := release.DeployInput{Release: current, Only: names, Version: current.Version}
	for _, p := range o.state.Placed {
		if p.Status != release.RolledBack { // an earlier try left nothing there
			in.Ran = append(in.Ran, p.Region)
		}
	}
	var end release.Outcome
	run := childRun{workflow: release.DeployWorkflow, id: id, summary: fmt.Sprintf("Release %d of %s to %v", current.Number, o.key, names)}
	if err := o.attend(ctx, run, in, &end); err != nil {
		o.state.Current.Version += beyondRun
		o.unplaced(names)
		return o.record(ctx, o.serviceStatus(), fmt.Sprintf("placing release %d in %v: %s", current.Number, names, words(err)))
	}
	o.state.Current, o.state.Placed = &end.Release, slices.Clone(end.Release.Regions)
	o.unplaced(failedIn(end.Release, names))
	return o.record(ctx, o.serviceStatus(), end.Release.Message)
}

func (o *serviceOperator) runsIn(name string) bool {
	return slices.ContainsFunc(o.state.Placed, func(p release.Placed) bool { return p.Region == name && p.Status == release.Ready })
}

// forgetRegions drops regions that are gone from where the service runs.
func (o *serviceOperator) forgetRegions(ctx workflow.Context) error {
	gone := o.state.Removed
	o.state.Removed = nil
	o.state.Unplaced = slices.DeleteFunc(slices.Clone(o.state.Unplaced), func(name string) bool { return slices.Contains(gone, name) })
	dropped := func(p release.Placed) bool { return slices.Contains(gone, p.Region) }
	o.state.Placed = slices.DeleteFunc(slices.Clone(o.state.Placed), dropped)
	if o.state.Current == nil {
		return nil
	}
	o.state.Current.Regions = o.state.Placed
	o.state.Current.Version++
	if err := o.recordRelease(ctx, *o.state.Current); err != nil {
		return err
	}
	return o.record(ctx, o.serviceStatus(), "")
}

// remove takes the service away from every region where it may be, and with it the releases that were asked for before.
func (o *serviceOperator) remove(ctx workflow.Context) error {
	ctx = lineage.Under(ctx, o.state.Traces.Kill)
	if err := workflow.Await(ctx, func() bool { return o.ordering == 0 }); err != nil {
		return err
	}
	if !recordsRemovals(ctx) {
		if err := o.record(ctx, release.Killing, ""); err != nil {
			return err
		}
	}
	if err := o.removeEverywhere(ctx); err != nil {
		return o.halfKilled(ctx, err)
	}
	if o.state.Waiting != nil {
		if err := o.supersede(ctx, "the service was killed"); err != nil {
			return err
		}
	}
	if o.state.Current != nil {
		o.state.Current.Status, o.state.Current.Version = release.Superseded, o.state.Current.Version+1
		if err := o.recordRelease(ctx, *o.state.Current); err != nil {
			return err
		}
	}
	o.gone, o.state.Kill, o.state.HalfKilled, o.state.Overtook = true, false, false, false
	o.state.Current, o.state.Previous, o.state.RolledBack, o.state.Placed, o.state.Unplaced = nil, nil, nil, nil, nil
	return o.record(ctx, release.Killed, "")
}

// halfKilled notes that the service is not gone everywhere. What was asked for before the kill does not come out all the same.
func (o *serviceOperator) halfKilled(ctx workflow.Context, why error) error {
	if o.state.Waiting != nil && killsWaiting(ctx) {
		if err := o.supersede(ctx, "the service was killed"); err != nil {
			return err
		}
	}
	o.state.Kill, o.state.HalfKilled = false, true
	o.unplaced(nil)
	return o.record(ctx, release.Broken, release.KillFailed+words(why)+". Run `m3o kill "+o.key.Name+"` again")
}

func (o *serviceOperator) removeEverywhere(ctx workflow.Context) error {
	var places []region.Region
	list := quickly(ctx, "Find regions where it may run")
	if err := workflow.ExecuteActivity(list, releases.ListHolders).Get(ctx, &places); err != nil {
		return err
	}
	deletes := make([]workflow.Future, len(places))
	for i, place := range places {
		deletes[i] = deleteService(ctx, place.Spec, o.key)
	}
	var kind fault.Kind
	var reasons []string
	left := []release.Placed{}
	for i, d := range deletes {
		if err := d.Get(ctx, nil); err != nil {
			name := places[i].Spec.Key().String()
			kind, reasons = kindOf(err), append(reasons, places[i].Spec.Name+": "+words(err))
			left = append(left, release.Placed{Region: name, Cluster: places[i].Cluster.ID, Status: release.Failed, Message: words(err)})
		}
	}
	if len(reasons) == 0 {
		return nil
	}
	o.state.Placed = left
	return failure(kind, strings.Join(reasons, "; "))
}

// supersede records that the release that waits will not run.
func (o *serviceOperator) supersede(ctx workflow.Context, why string) error {
	old := *o.state.Waiting
	o.state.Waiting = nil
	old.Status, old.Message, old.Version = release.Superseded, why, old.Version+1
	return o.recordRelease(ctx, old)
}

func (o *serviceOperator) recordRelease(ctx workflow.Context, r release.Release) error {
	r.UpdatedAt = workflow.Now(ctx).UTC()
	summary := fmt.Sprintf("Record release %d as %s", r.Number, r.Status)
	return workflow.ExecuteActivity(quickly(ctx, summary), releases.RecordRelease, r).Get(ctx, nil)
}

// record writes where the service stands. One that is to go stays so, whatever comes of a deploy meanwhile: an owner that
// began anew would not know of the kill otherwise.
func (o *serviceOperator) record(ctx workflow.Context, status release.ServiceStatus, message string) error {
	o.state.Version++
	if o.state.Kill {
		status = release.Killing
	}
	s := release.Service{Key: o.key, Status: status, Message: message, Latest: o.state.Latest, Regions: o.state.Placed,
		Version: o.state.Version, CreatedAt: o.state.Started, UpdatedAt: workflow.Now(ctx).UTC()}
	if c := o.state.Current; c != nil {
		s.Current, s.Access = c.Number, c.Spec.Access
	} else if o.running != nil {
		s.Access = o.running.Spec.Access
	}
	return workflow.ExecuteActivity(quickly(ctx, "Record service as "+string(status)), releases.RecordService, s).Get(ctx, nil)
}

func (o *serviceOperator) serviceStatus() release.ServiceStatus {
	switch {
	case o.state.HalfKilled && o.running == nil:
		return release.Broken
	case o.state.Current != nil:
		return release.Running
	case o.running != nil && o.progress.Stage != "" || o.state.Waiting != nil:
		return release.Starting
	}
	return release.Broken
}

func (o *serviceOperator) describe(ctx workflow.Context) {
	text := fmt.Sprintf("Service **%s** is %s.", o.key, o.serviceStatus())
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
	_ = workflow.UpsertTypedSearchAttributes(ctx, attribute.Status.ValueSet(string(o.serviceStatus()))) // fails only for unknown attributes
}

func (o *serviceOperator) report() (release.Progress, error) { return o.progress, nil }

// allocate gives a request its number, once per command id.
func (o *serviceOperator) allocate(ctx workflow.Context, id string, in release.Request, rollsBack int) (release.Release, error) {
	var r release.Release
	if err := workflow.Await(ctx, func() bool { return o.begun }); err != nil {
		return r, err
	}
	o.ordering++
	defer func() { o.ordering-- }()
	err := workflow.ExecuteActivity(quickly(ctx, "Record the release and give it a number"), releases.AllocateRelease,
		activities.AllocateInput{Request: in, RequestKey: id, RollsBack: rollsBack}).Get(ctx, &r)
	return r, err
}

// refused is a validator's answer about a service.
func (o *serviceOperator) refused(format string, args ...any) error {
	return failure(fault.Conflict, fmt.Sprintf("service %s: ", o.key)+fmt.Sprintf(format, args...))
}
