package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/attribute"
	"github.com/m3o/platform/internal/lineage"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// beyondRun is more records than one deploy makes: what is recorded now is newer than whatever a run that was ended recorded.
const beyondRun = 1000

// runDeploy deploys a release whose turn it is.
func (o *serviceOperator) runDeploy(ctx workflow.Context, next release.Release) error {
	ctx = lineage.Under(ctx, o.state.Traces.Deploy)
	o.running = &next
	o.progress = release.Progress{Release: next.Number, Stage: "deploying", Waiting: region.WaitsFor + o.key.DeployID(next.Number)}
	o.describe(ctx)
	if err := o.recordNews(ctx, ""); err != nil {
		return err
	}
	in := release.DeployInput{Release: next, Before: o.state.Current, Version: next.Version}
	if o.state.Phase == release.PartlyRemoved {
		in.Before = nil // what was killed is not what to go back to
	}
	var end release.Outcome
	run := childRun{workflow: release.DeployWorkflow, id: o.key.DeployID(next.Number), summary: fmt.Sprintf("Release %d of %s", next.Number, o.key),
		attributes: append(showsRelease(o.key, next.Number), shown{attribute.Status, string(release.Deploying)})}
	err := o.attend(ctx, run, in, &end)
	o.progress = release.Progress{}
	if err != nil { // the deploy's stages never fail it: someone ended the workflow
		next.Status, next.Message, next.Version = release.Failed, words(err), next.Version+beyondRun
		end.Release = next
		if err := o.recordRelease(ctx, next); err != nil {
			return err
		}
		o.mend()
	}
	o.state.Ended = end.Release.Status
	if end.Release.Status == release.Ready {
		return o.promote(ctx, end.Release)
	}
	return o.keepCurrent(ctx, end.Release)
}

// attend runs a deploy, and tells it when it is overtaken.
func (o *serviceOperator) attend(ctx workflow.Context, deploy childRun, in release.DeployInput, end *release.Outcome) error {
	runs, ended := false, false
	deploy.begun = func() { runs = true }
	workflow.Go(ctx, func(ctx workflow.Context) {
		err := workflow.Await(ctx, func() bool { return ended || runs && o.overtaken() })
		if err != nil || ended {
			return
		}
		why := release.Overtaken{Killed: o.state.Phase == release.Removing}
		if !why.Killed {
			why.By = o.state.Waiting.Number
		}
		// A deploy that has ended by now cannot be told, and need not be.
		_ = workflow.SignalExternalWorkflow(ctx, deploy.id, "", release.OvertakenSignal, why).Get(ctx, nil)
	})
	err := deploy.run(ctx, in, end)
	ended = true
	return err
}

// overtaken reports whether the deploy in progress is to stop: the service is to end, or a newer release waits. Of deploys, no two
// in a row are overtaken: with a change every minute no release would ever be ready.
func (o *serviceOperator) overtaken() bool {
	if o.state.Phase == release.Removing {
		return true
	}
	w := o.state.Waiting
	return w != nil && (w.RollsBack != 0 || o.state.Ended != release.Superseded || !o.deploysNewer())
}

// deploysNewer reports whether a release newer than the current is being deployed.
func (o *serviceOperator) deploysNewer() bool {
	return o.running != nil && (o.state.Current == nil || o.running.Number > o.state.Current.Number)
}

// promote makes a release that is ready everywhere the current one.
func (o *serviceOperator) promote(ctx workflow.Context, r release.Release) error {
	if o.state.Current != nil {
		old := *o.state.Current
		if r.RollsBack != 0 { // neither it nor what it repeated is the target of a rollback any more
			o.state.RolledBack = newest(append(o.state.RolledBack, old.Number, old.RollsBack))
		}
		o.state.Previous = newest(append(o.state.Previous, old.Brief()))
		if err := o.supersede(ctx, old, old.Message); err != nil {
			return err
		}
	}
	o.on(release.ReleaseReady)
	o.state.Current, o.state.Placed = &r, r.Regions
	o.unplaced(nil)
	return o.record(ctx, "")
}

// keepCurrent adopts the end of a release that is not ready: the current one stays, if there is one.
func (o *serviceOperator) keepCurrent(ctx workflow.Context, r release.Release) error {
	o.state.RolledBack = newest(append(o.state.RolledBack, r.Number))
	switch {
	case o.state.Phase == release.PartlyRemoved:
		o.state.Placed = remnants(o.state.Placed, r)
	case o.state.Current != nil:
		o.state.Placed = wentBack(o.state.Placed, r)
		o.unplaced(append(failedIn(r, nil), o.untouched(r)...))
	}
	return o.record(ctx, fmt.Sprintf("release %d %s: %s", r.Number, r.Status.Verb(), r.Message))
}

// mend has the current release brought back to every region: a deploy that somebody ended left them in whatever state.
func (o *serviceOperator) mend() {
	if o.state.Current == nil || o.state.Phase == release.PartlyRemoved {
		return
	}
	var names []string
	for _, p := range o.state.Placed {
		names = append(names, p.Region)
	}
	o.unplaced(names)
}

// untouched names the regions that wait to be retried and that the release did not come to.
func (o *serviceOperator) untouched(r release.Release) []string {
	return slices.DeleteFunc(slices.Clone(o.state.Unplaced), func(name string) bool {
		return slices.ContainsFunc(r.Regions, func(p release.Placed) bool { return p.Region == name })
	})
}

// wentBack is where the current release runs after another one was rolled back: everywhere that that went well, too.
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

// remnants is where something of a service may be whose kill failed, after a release of it that is not ready was taken away again.
func remnants(placed []release.Placed, r release.Release) []release.Placed {
	placed = without(placed, regionsOf(r))
	for _, p := range r.Regions {
		if p.Status == release.Failed {
			placed = append(placed, p)
		}
	}
	return placed
}

func regionsOf(r release.Release) []string {
	names := make([]string, len(r.Regions))
	for i, p := range r.Regions {
		names[i] = p.Region
	}
	return names
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
