package workflows

import (
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// SuspendProject keeps the reasons for which a project is suspended, and brings whether it is to the gateways of every region.
//
// It ends when every region where the project may be has the newest standing; a region that is away is retried with backoff.
// It is started by the first change, and by a region that becomes ready while the project is suspended; starting it again
// is harmless. It is the only one that marks the project in regions, and standings carry a version.
func SuspendProject(ctx workflow.Context, in account.ProjectInput) error {
	s := &suspension{project: in.Project, changed: true}
	s.regions = workflow.GetSignalChannel(ctx, account.ChangedSignal)
	if err := workflow.SetUpdateHandlerWithOptions(ctx, account.SuspendUpdate, s.suspend,
		workflow.UpdateHandlerOptions{Description: "Suspend the project for a reason, or lift that"}); err != nil {
		return err
	}
	return s.run(ctx)
}

// suspension is the state of one run of SuspendProject.
type suspension struct {
	project string
	changed bool // there is something that regions have not heard
	tries   int
	regions workflow.ReceiveChannel
}

func (s *suspension) suspend(ctx workflow.Context, in account.SuspendInput) (account.Project, error) {
	var after account.Project
	summary := fmt.Sprintf("Suspend for %s", in.Reason)
	if in.Lift {
		summary = fmt.Sprintf("Lift %s", in.Reason)
	}
	if err := workflow.ExecuteActivity(quickly(ctx, summary), projects.RecordSuspension, in).Get(ctx, &after); err != nil {
		return after, err
	}
	s.changed = true
	return after, nil
}

// run brings one standing after the other to the regions, until there is no newer one.
func (s *suspension) run(ctx workflow.Context) error {
	for {
		if s.due() {
			s.changed = false
			if err := s.bring(ctx); err != nil {
				return err
			}
			continue
		}
		if workflow.AllHandlersFinished(ctx) {
			return nil
		}
		if err := workflow.Await(ctx, func() bool { return s.due() || workflow.AllHandlersFinished(ctx) }); err != nil {
			return err
		}
	}
}

// due reports whether there is something to bring. A region that became ready needs the standing, too.
func (s *suspension) due() bool {
	for s.regions.ReceiveAsync(nil) {
		s.changed = true
	}
	return s.changed
}

// bring marks the project in every region where it may be, all at once. Those that could not be marked are retried, unless
// something newer is to be brought first.
func (s *suspension) bring(ctx workflow.Context) error {
	var standing release.Standing
	if err := workflow.ExecuteActivity(quickly(ctx, "Read the project's standing"), projects.ProjectStanding, s.project).Get(ctx, &standing); err != nil {
		return err
	}
	if standing.Project == "" {
		return nil // it is gone, with its namespaces
	}
	failed, err := s.mark(ctx, standing)
	if err != nil {
		return err
	}
	workflow.SetCurrentDetails(ctx, describeStanding(standing, failed))
	if len(failed) == 0 {
		s.tries = 0
		return nil
	}
	s.tries++
	_, err = workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{Timeout: placementBackoff(s.tries),
		TimerOptions: workflow.TimerOptions{Summary: "Retry regions that could not be marked"}}, s.due)
	s.changed = true
	return err
}

func (s *suspension) mark(ctx workflow.Context, standing release.Standing) (failed []string, err error) {
	holders, err := listHolders(ctx, s.project)
	if err != nil {
		return nil, err
	}
	marks := make([]workflow.Future, len(holders))
	for i, h := range holders {
		call := watching(ctx, queue.Cloud(h.Spec.Provider), "Mark the project in "+h.Spec.Name, applyLimit)
		marks[i] = workflow.ExecuteActivity(call, services.MarkProject, activities.StandingIn{Region: h.Spec, Standing: standing})
	}
	for i, m := range marks {
		if err := m.Get(ctx, nil); err != nil {
			failed = append(failed, holders[i].Spec.Name+": "+words(err))
		}
	}
	return failed, ctx.Err()
}

func describeStanding(standing release.Standing, failed []string) string {
	is := "active"
	if standing.Suspended {
		is = "suspended"
	}
	text := fmt.Sprintf("Project **%s** is %s", standing.Project, is)
	if len(failed) > 0 {
		text += "; regions that do not know it yet:\n- " + strings.Join(failed, "\n- ")
	}
	return text
}

// listHolders are the regions where something of the project may be.
func listHolders(ctx workflow.Context, project string) ([]region.Region, error) {
	var places []region.Region
	err := inStore(ctx, "Find regions where it may be", releases.ListHolders, project).Get(ctx, &places)
	return slices.Clip(places), err
}
