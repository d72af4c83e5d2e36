package workflows

import (
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/attribute"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// DeployRelease deploys one release to every region, all at once, and says how it ended.
//
// It ends with the release ready in all of them: its instances run, and each region's gateway reaches them. If one region
// fails, every region that the release touched goes back to what ran before; so it does when a newer release overtakes it.
// It changes only what the service's owner lets it, one deploy at a time, so running it again for the same release is safe.
// With Only it brings a release that runs elsewhere to further regions; a failure there takes it back from those alone.
func DeployRelease(ctx workflow.Context, in release.DeployInput) (release.Outcome, error) {
	d := &deploy{release: in.Release, before: in.Before, only: in.Only, ran: in.Ran, version: in.Version}
	if in.Only != nil {
		d.others = without(in.Release.Regions, in.Only)
		d.placed = pending(in.Only)
	}
	if err := workflow.SetQueryHandler(ctx, release.ProgressQuery, d.report); err != nil {
		return release.Outcome{}, err
	}
	d.listen(ctx)
	return d.run(ctx)
}

// deploy is the state of one run of DeployRelease.
type deploy struct {
	release release.Release
	before  *release.Release
	only    []string
	ran     []string // regions in which the release ran before, with only
	version int64

	stage  string
	places []region.Region
	placed []release.Placed // in the order of places
	at     []release.PlaceStage
	others []release.Placed // where the release runs already, with only

	overtaken *release.Overtaken
	stop      workflow.CancelFunc // ends the stage in progress
}

// listen receives that the deploy is overtaken, at any time.
func (d *deploy) listen(ctx workflow.Context) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		var why release.Overtaken
		workflow.GetSignalChannel(ctx, release.OvertakenSignal).Receive(ctx, &why)
		d.overtaken = &why
		if d.stop != nil {
			d.stop()
		}
	})
}

func (d *deploy) run(ctx workflow.Context) (release.Outcome, error) {
	for _, stage := range []struct {
		name string
		do   func(workflow.Context) error
		// It begins when it is recorded; the others go on meanwhile.
		afterRecord bool
	}{
		{release.StageRegions, d.findPlaces, true}, // a region that closes must see the release before the release sees the region
		{release.StageImage, d.makeImage, false},
		{release.StageRollout, d.rollOut, false},
	} {
		d.stage = stage.name
		recorded := d.startRecord(ctx)
		if stage.afterRecord {
			if err := recorded.Get(ctx, nil); err != nil {
				return release.Outcome{}, err
			}
		}
		why := d.attempt(ctx, stage.do)
		if err := recorded.Get(ctx, nil); err != nil {
			return release.Outcome{}, err
		}
		if why != nil {
			return d.fail(ctx, why)
		}
	}
	d.release.Status, d.release.Message = release.Ready, ""
	return d.end(ctx)
}

// attempt does a stage in a scope of its own, which being overtaken cancels.
func (d *deploy) attempt(ctx workflow.Context, stage func(workflow.Context) error) error {
	if d.overtaken != nil {
		return failure(fault.Conflict, d.overtaken.String())
	}
	scope, stop := workflow.WithCancel(ctx)
	d.stop = stop
	err := stage(scope)
	d.stop = nil
	stop() // not deferred: a coroutine that is dropped must not touch what others may be at
	if err != nil && d.overtaken != nil {
		return failure(fault.Conflict, d.overtaken.String())
	}
	return err
}

func (d *deploy) end(ctx workflow.Context) (release.Outcome, error) {
	d.stage = ""
	err := d.record(ctx)
	return release.Outcome{Release: d.release}, err
}

func (d *deploy) findPlaces(ctx workflow.Context) error {
	places, err := listPlaces(ctx, d.release.Service.Project)
	if err != nil {
		return err
	}
	if d.only != nil {
		places = among(places, d.only)
	}
	if len(places) == 0 && d.only == nil {
		return failure(fault.Conflict, "no region of the project's platform is ready to take the service: apply a platform file first")
	}
	d.places = places
	names := make([]string, len(places))
	for i, p := range places {
		names[i] = p.Spec.Key().String()
	}
	d.placed = pending(names)
	for i, p := range places {
		d.placed[i].Cluster = p.Cluster.ID
	}
	return nil
}

func pending(names []string) []release.Placed {
	placed := make([]release.Placed, len(names))
	for i, name := range names {
		placed[i] = release.Placed{Region: name, Status: release.Pending}
	}
	return placed
}

// makeImage turns the release's origin into an image by digest, unless that is known.
func (d *deploy) makeImage(ctx workflow.Context) error {
	if d.release.Image != "" {
		return nil
	}
	number := d.release.Number
	in := release.BuildInput{Service: d.release.Service, Number: number, Origin: d.release.Origin}
	var image release.Image
	run := childRun{workflow: release.BuildWorkflow, id: d.release.Service.BuildID(number),
		summary: fmt.Sprintf("Image of release %d of %s", number, d.release.Service), attributes: showsRelease(d.release.Service, number)}
	err := run.run(ctx, in, &image)
	d.release.Image = image.Reference
	return err
}

// rollOut brings the release to all regions in parallel, and fails with every region's reason when one fails.
func (d *deploy) rollOut(ctx workflow.Context) error {
	d.each(ctx, release.Deploying, func(ctx workflow.Context, i int) error { return d.place(ctx, i, d.release) })
	var reasons []string
	for _, p := range d.placed {
		if p.Status == release.Failed {
			reasons = append(reasons, p.Message)
		}
	}
	if len(reasons) > 0 {
		return failure(fault.Failed, strings.Join(reasons, "; "))
	}
	return nil
}

// each does something in every region at once, and keeps the results.
func (d *deploy) each(ctx workflow.Context, during release.Status, do func(workflow.Context, int) error) {
	group := workflow.NewWaitGroup(ctx)
	d.at = make([]release.PlaceStage, len(d.places))
	for i := range d.places {
		d.placed[i].Status, d.placed[i].Message = during, ""
		group.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer group.Done()
			d.keepResult(i, do(ctx, i))
		})
	}
	group.Wait(ctx)
}

// keepResult keeps how it went in a region.
func (d *deploy) keepResult(i int, err error) {
	p := &d.placed[i]
	if err == nil {
		p.Status, p.URL = release.Ready, d.placement(i, d.release).URL()
		return
	}
	name := region.ShortName(p.Region)
	p.Status, p.URL, p.Message = release.Failed, "", fmt.Sprintf("%s: %s", name, strings.TrimPrefix(words(err), name+": "))
}

// place makes one region run a release, and returns when the region's gateway reaches it.
func (d *deploy) place(ctx workflow.Context, i int, r release.Release) error {
	p := d.placement(i, r)
	name, cloud := p.Region.Name, queue.Cloud(p.Region.Provider)
	d.at[i] = release.PlaceApply
	apply := watching(ctx, cloud, fmt.Sprintf("Apply release %d in %s", p.Release.Number, name), applyLimit)
	if err := workflow.ExecuteActivity(apply, services.ApplyService, p).Get(ctx, nil); err != nil {
		return err
	}
	d.at[i] = release.PlaceInstances
	wait := looking(ctx, cloud, "Wait for instances in "+name, rolloutLimit+p.Release.Spec.Deadline())
	if err := workflow.ExecuteActivity(wait, services.AwaitService, p).Get(ctx, nil); err != nil {
		return err
	}
	d.at[i] = release.PlaceGateway
	verify := looking(ctx, queue.Flows, "Reach it through the gateway of "+name, verifyLimit)
	return workflow.ExecuteActivity(verify, gateways.VerifyRelease, p).Get(ctx, nil)
}

func (d *deploy) placement(i int, r release.Release) release.Placement {
	r.Regions = nil // histories stay small
	return release.Placement{Region: d.places[i].Spec, Endpoint: d.places[i].Endpoints, Release: r}
}

// fail rolls the release back in every region that it touched, and records why.
func (d *deploy) fail(ctx workflow.Context, why error) (release.Outcome, error) {
	if temporal.IsCanceledError(ctx.Err()) {
		return release.Outcome{}, why
	}
	touched := d.stage == release.StageRollout
	d.release.Message = words(why)
	if touched && d.stays() {
		return d.leave(ctx)
	}
	if !touched {
		d.placed = nil // no region was touched
		d.release.Status = d.endsAs(release.Failed)
		return d.end(ctx)
	}
	d.stage = release.StageRollback
	if err := d.record(ctx); err != nil {
		return release.Outcome{}, err
	}
	tried := slices.Clone(d.placed)
	d.each(ctx, release.Deploying, d.rollBack)
	for i, p := range d.placed {
		switch {
		case p.Status == release.Failed:
			d.release.Message += "; going back failed in " + p.Message
		case slices.Contains(d.ran, p.Region):
			d.placed[i] = tried[i]
		case d.overtaken != nil:
			d.placed[i] = release.Placed{Region: p.Region, Cluster: p.Cluster, Status: release.RolledBack, URL: d.answers(p)}
		default:
			d.placed[i] = release.Placed{Region: p.Region, Cluster: p.Cluster, Status: release.RolledBack, URL: d.answers(p), Message: tried[i].Message}
		}
	}
	d.release.Status = d.endsAs(release.RolledBack)
	return d.end(ctx)
}

// endsAs is how a release ends that does not get to all its regions.
func (d *deploy) endsAs(otherwise release.Status) release.Status {
	switch {
	case d.only != nil: // it still runs where it ran
		return release.Ready
	case d.overtaken != nil:
		return release.Superseded
	}
	return otherwise
}

// stays reports whether the regions can be left as they are: what overtook the deploy goes over them all. A newer release
// that fails goes back only to what is current.
func (d *deploy) stays() bool {
	return d.overtaken != nil && (d.overtaken.Killed || d.only != nil)
}

// leave ends the deploy where it is.
func (d *deploy) leave(ctx workflow.Context) (release.Outcome, error) {
	for i, p := range d.placed {
		if p.Status != release.Ready {
			d.placed[i] = release.Placed{Region: p.Region, Cluster: p.Cluster, Status: release.Failed, Message: d.release.Message}
		}
	}
	d.release.Status = d.endsAs(release.Superseded)
	return d.end(ctx)
}

// answers is where a region that went back answers: with what ran before, if anything did.
func (d *deploy) answers(p release.Placed) string {
	if d.before == nil {
		return ""
	}
	return p.URL
}

// rollBack makes one region run what it ran before. Where the release itself ran before, there is nothing to roll back to.
func (d *deploy) rollBack(ctx workflow.Context, i int) error {
	spec := d.places[i].Spec
	if slices.Contains(d.ran, spec.Key().String()) {
		return nil
	}
	if d.before == nil {
		return deleteService(ctx, spec, d.release.Service).Get(ctx, nil)
	}
	return d.place(ctx, i, *d.before)
}

func (d *deploy) record(ctx workflow.Context) error { return d.startRecord(ctx).Get(ctx, nil) }

// startRecord begins to write the release's row of the read model.
func (d *deploy) startRecord(ctx workflow.Context) workflow.Future {
	d.version++
	if d.stage != "" && d.only == nil {
		d.release.Status = release.Deploying
	}
	d.release.Version, d.release.UpdatedAt = d.version, workflow.Now(ctx).UTC()
	d.release.Regions = append(append([]release.Placed(nil), d.others...), d.placed...)
	d.describe(ctx)
	summary := fmt.Sprintf("Record release %d: %s %s", d.release.Number, d.release.Status, d.stage)
	return inStore(ctx, strings.TrimSpace(summary), releases.RecordRelease, d.release)
}

func (d *deploy) describe(ctx workflow.Context) {
	text := fmt.Sprintf("Release **%d** of **%s** is %s", d.release.Number, d.release.Service, d.release.Status)
	if d.stage != "" {
		text += ": " + d.stage
	}
	for _, p := range d.placed {
		text += fmt.Sprintf("\n- %s: %s %s", p.Region, p.Status, p.Message)
	}
	workflow.SetCurrentDetails(ctx, text)
	show(ctx, append(showsRelease(d.release.Service, d.release.Number), shown{attribute.Status, string(d.release.Status)})...)
}

func (d *deploy) report() (release.Progress, error) {
	p := release.Progress{Release: d.release.Number, Stage: d.stage}
	for i, placed := range d.placed {
		at := release.Placing{Region: placed.Region, Status: placed.Status, Message: placed.Message}
		switch {
		case placed.Status == release.Deploying:
			at.Stage = d.at[i]
		case placed.Status == release.Ready && d.stage == release.StageRollback && !slices.Contains(d.ran, placed.Region):
			at.Status = release.RolledBack // it is well again, with what ran before
		}
		p.Regions = append(p.Regions, at)
	}
	return p, nil
}

// listPlaces are the regions that take services of the project now.
func listPlaces(ctx workflow.Context, project string) ([]region.Region, error) {
	var places []region.Region
	err := inStore(ctx, "Find regions that take services", releases.ListPlaces, project).Get(ctx, &places)
	return places, err
}

// deleteService takes a service away from one region, and is done when its last instance is gone.
func deleteService(ctx workflow.Context, spec region.Spec, key release.Key) workflow.Future {
	ctx = watching(ctx, queue.Cloud(spec.Provider), "Remove "+key.Name+" from "+spec.Name, rolloutLimit)
	return workflow.ExecuteActivity(ctx, services.DeleteService, activities.ServiceIn{Region: spec, Service: key})
}

func among(places []region.Region, names []string) []region.Region {
	return slices.DeleteFunc(slices.Clone(places), func(p region.Region) bool { return !slices.Contains(names, p.Spec.Key().String()) })
}

func without(placed []release.Placed, names []string) []release.Placed {
	return slices.DeleteFunc(slices.Clone(placed), func(p release.Placed) bool { return slices.Contains(names, p.Region) })
}
