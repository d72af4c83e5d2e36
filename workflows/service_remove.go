package workflows

import (
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/lineage"
	"github.com/m3o/platform/internal/release"
)

// remove takes the service away from every region where it may be, and with it the releases that were asked for before.
func (o *serviceOperator) remove(ctx workflow.Context) error {
	ctx = lineage.Under(ctx, o.state.Traces.Kill)
	if err := workflow.Await(ctx, o.commands.none); err != nil {
		return err
	}
	failed := o.removeEverywhere(ctx)
	if err := o.supersedeWaiting(ctx, "the service was killed"); err != nil {
		return err
	}
	if failed != nil {
		o.on(release.RemovalFailed)
		o.unplaced(nil)
		return o.record(ctx, release.KillFailed+words(failed)+". Run `m3o kill "+o.key.Name+"` again")
	}
	if o.state.Current != nil {
		if err := o.supersede(ctx, *o.state.Current, o.state.Current.Message); err != nil {
			return err
		}
	}
	o.on(release.Removed)
	o.state.Ended = ""
	o.state.Current, o.state.Previous, o.state.RolledBack, o.state.Placed, o.state.Unplaced = nil, nil, nil, nil, nil
	return o.record(ctx, "")
}

func (o *serviceOperator) removeEverywhere(ctx workflow.Context) error {
	places, err := listHolders(ctx, o.key.Project)
	if err != nil {
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
