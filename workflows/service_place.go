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

// hear takes the facts about regions that came. Nothing else receives them: the outlook hears a fact that waits in its
// channel before the run continues as new. Of a region that went and came again both are true in this order, and of
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

// regionRemoved also cancels that the region was ready before. It may become ready after.
func (o *serviceOperator) regionRemoved(fact release.RegionFact) {
	o.state.Regions = slices.DeleteFunc(o.state.Regions, func(name string) bool { return name == fact.Region })
	if !slices.Contains(o.state.Removed, fact.Region) {
		o.state.Removed = append(o.state.Removed, fact.Region)
	}
}

// place brings the current release to regions that became ready.
func (o *serviceOperator) place(ctx workflow.Context) error {
	ctx, o.state.Traces.Place = lineage.Under(ctx, o.state.Traces.Place), ""
	names := o.unserved()
	o.state.Regions = nil
	if o.state.Current == nil || o.state.Phase == release.PartlyRemoved || len(names) == 0 {
		return nil // the next release goes to every region that is ready then
	}
	o.state.Placements++
	current := *o.state.Current
	id := o.key.PlaceID(current.Number, o.state.Placements)
	o.running, o.progress = &current, release.Progress{Release: current.Number, Stage: "placing", Waiting: region.WaitsFor + id}
	o.describe(ctx)
	if err := o.record(ctx, ""); err != nil { // so that the next placement has another number, whatever happens
		return err
	}
	in := release.DeployInput{Release: current, Only: names, Version: current.Version}
	for _, p := range o.state.Placed {
		if p.Status != release.RolledBack { // an earlier attempt left nothing there
			in.Ran = append(in.Ran, p.Region)
		}
	}
	var end release.Outcome
	run := childRun{workflow: release.DeployWorkflow, id: id, summary: fmt.Sprintf("Release %d of %s to %v", current.Number, o.key, names),
		attributes: append(showsRelease(o.key, current.Number), shown{attribute.Status, string(current.Status)})}
	if err := o.attend(ctx, run, in, &end); err != nil {
		o.state.Current.Version += beyondRun
		o.unplaced(names)
		return o.record(ctx, fmt.Sprintf("placing release %d in %v: %s", current.Number, names, words(err)))
	}
	o.state.Current, o.state.Placed = &end.Release, slices.Clone(end.Release.Regions)
	o.unplaced(failedIn(end.Release, names))
	return o.record(ctx, end.Release.Message)
}

// unserved names the regions that became ready, or wait to be retried, and in which the current release does not run.
func (o *serviceOperator) unserved() []string {
	names := slices.Concat(o.state.Regions, o.state.Unplaced)
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), o.runsIn)
}

func (o *serviceOperator) runsIn(name string) bool {
	return slices.ContainsFunc(o.state.Placed, func(p release.Placed) bool { return p.Region == name && p.Status == release.Ready })
}

// unplaced notes the regions in which the release is not as it should be. Where it was rolled back it is not at all.
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

// forgetRegions drops regions that are gone from where the service runs.
func (o *serviceOperator) forgetRegions(ctx workflow.Context) error {
	gone := o.state.Removed
	o.state.Removed = nil
	o.state.Unplaced = slices.DeleteFunc(slices.Clone(o.state.Unplaced), func(name string) bool { return slices.Contains(gone, name) })
	o.state.Placed = slices.DeleteFunc(slices.Clone(o.state.Placed), func(p release.Placed) bool { return slices.Contains(gone, p.Region) })
	if o.state.Current == nil {
		return nil
	}
	o.state.Current.Regions = o.state.Placed
	o.state.Current.Version++
	if err := o.recordRelease(ctx, *o.state.Current); err != nil {
		return err
	}
	return o.record(ctx, "")
}
