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
// It ends when every region where the project may be has the newest standing. Regions are marked each by itself: one that is
// away is retried with backoff, and delays no other and nothing newer. It is started by the first change, by a region that
// becomes ready while the project is suspended, and by the removal of the project, which ends it; starting it again is
// harmless. Standings carry a version, so that of two marks in one region the newer wins. The answer is the newest standing.
func SuspendProject(ctx workflow.Context, in account.ProjectInput) (release.Standing, error) {
	s := &suspension{project: in.Project, status: standingChanged}
	s.regions = workflow.GetSignalChannel(ctx, account.ChangedSignal)
	if err := workflow.SetUpdateHandlerWithOptions(ctx, account.SuspendUpdate, s.suspend,
		workflow.UpdateHandlerOptions{Description: "Suspend the project for a reason, or lift that"}); err != nil {
		return release.Standing{}, err
	}
	err := s.run(ctx)
	return s.is, err
}

// suspension is the state of one run of SuspendProject.
type suspension struct {
	project string
	status  suspensionStatus
	regions workflow.ReceiveChannel
	is      release.Standing // the newest that was read
	marks   []*mark          // of that one, by region
	atWork  int              // marks that are not over, outdated ones among them
}

// suspensionStatus is what regions have been told.
//
//	state   | event                                             | next
//	changed | the standing is read, and regions are being marked | marking
//	marking | a reason is recorded, or a region became ready     | changed
type suspensionStatus string

const (
	standingChanged suspensionStatus = "changed"
	standingMarking suspensionStatus = "marking"
)

// mark is a project's standing on its way to one region.
type mark struct {
	region string
	failed string // why the last attempt failed
	cancel workflow.CancelFunc
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
	s.status = standingChanged
	return after, nil
}

// run brings one standing after the other to the regions, until every region has the newest.
func (s *suspension) run(ctx workflow.Context) error {
	for {
		switch {
		case s.due():
			if err := s.bring(ctx); err != nil {
				return err
			}
		case !workflow.AllHandlersFinished(ctx):
		case s.atWork == 0:
			return nil
		case workflow.GetInfo(ctx).GetContinueAsNewSuggested():
			return s.next(ctx)
		}
		stirs := func() bool {
			idle := s.atWork == 0 || workflow.GetInfo(ctx).GetContinueAsNewSuggested()
			return s.due() || idle && workflow.AllHandlersFinished(ctx)
		}
		if err := workflow.Await(ctx, stirs); err != nil {
			return err
		}
	}
}

// due reports whether there is something to bring. A region that became ready needs the standing, too.
func (s *suspension) due() bool {
	for s.regions.ReceiveAsync(nil) {
		s.status = standingChanged
	}
	return s.status == standingChanged
}

// next continues as new. The next run reads the standing, and marks every region anew.
func (s *suspension) next(ctx workflow.Context) error {
	s.outdate()
	if err := workflow.Await(ctx, func() bool { return s.atWork == 0 && workflow.AllHandlersFinished(ctx) }); err != nil {
		return err
	}
	s.due() // what regions said meanwhile is done by the next run
	return workflow.NewContinueAsNewError(ctx, SuspendProject, account.ProjectInput{Project: s.project})
}

// outdate cancels the marks that are at work. They are over when their workers have noticed, and nothing waits for that but the
// end of the run: what they may still write is older than what comes after them.
func (s *suspension) outdate() {
	for _, m := range s.marks {
		m.cancel()
	}
	s.marks = nil
}

// bring begins to mark the newest standing in every region where the project may be. For one that is being removed, or gone,
// there is nothing to mark any more.
func (s *suspension) bring(ctx workflow.Context) error {
	s.status = standingMarking
	var standing release.Standing
	if err := workflow.ExecuteActivity(quickly(ctx, "Read the project's standing"), projects.ProjectStanding, s.project).Get(ctx, &standing); err != nil {
		return err
	}
	if standing.Project == "" {
		s.outdate()
		return nil
	}
	holders, err := listHolders(ctx, s.project)
	if err != nil {
		return err
	}
	s.outdate()
	s.is = standing
	for _, h := range holders {
		s.mark(ctx, h.Spec)
	}
	s.describe(ctx)
	return nil
}

// mark begins to mark the project in one region, and retries with exponential backoff until it is, or something newer comes.
func (s *suspension) mark(ctx workflow.Context, spec region.Spec) {
	ctx, cancel := workflow.WithCancel(ctx)
	m, in := &mark{region: spec.Name, cancel: cancel}, activities.StandingIn{Region: spec, Standing: s.is}
	s.marks = append(s.marks, m)
	s.atWork++
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer func() { s.atWork-- }()
		for tries := 0; ; tries++ {
			call := watching(ctx, queue.Cloud(spec.Provider), "Mark the project in "+spec.Name, applyLimit)
			err := workflow.ExecuteActivity(call, services.MarkProject, in).Get(ctx, nil)
			if ctx.Err() != nil {
				return
			}
			if m.failed = ""; err == nil {
				s.describe(ctx)
				return
			}
			m.failed = words(err)
			s.describe(ctx)
			retry := workflow.TimerOptions{Summary: "Retry " + spec.Name}
			if workflow.NewTimerWithOptions(ctx, placementBackoff(tries), retry).Get(ctx, nil) != nil {
				return
			}
		}
	})
}

func (s *suspension) describe(ctx workflow.Context) {
	is := "active"
	if s.is.Suspended {
		is = "suspended"
	}
	var failed []string
	for _, m := range s.marks {
		if m.failed != "" {
			failed = append(failed, m.region+": "+m.failed)
		}
	}
	text := fmt.Sprintf("Project **%s** is %s", s.project, is)
	if len(failed) > 0 {
		text += "; regions that do not know it yet:\n- " + strings.Join(failed, "\n- ")
	}
	workflow.SetCurrentDetails(ctx, text)
}

// listHolders are the regions where something of the project may be.
func listHolders(ctx workflow.Context, project string) ([]region.Region, error) {
	var places []region.Region
	err := inStore(ctx, "Find regions where it may be", releases.ListHolders, project).Get(ctx, &places)
	return slices.Clip(places), err
}

// markSuspended has the projects that are suspended marked in a region that takes services now, before any is told of it. It
// waits for that as long as an unreachable cluster is waited for, and no longer: SuspendProject marks what could not be.
func markSuspended(ctx workflow.Context, spec region.Spec) error {
	for page := (activities.Standings{Platform: spec.Platform}); ; {
		var standings []release.Standing
		if err := inStore(ctx, "List suspended projects", operators.SuspendedStandings, page).Get(ctx, &standings); err != nil || len(standings) == 0 {
			return err
		}
		call := watching(ctx, queue.Cloud(spec.Provider), "Mark suspended projects in "+spec.Name, applyLimit)
		call = workflow.WithScheduleToCloseTimeout(call, applyLimit+activities.Slack)
		if err := workflow.ExecuteActivity(call, services.MarkProjects, activities.StandingsIn{Region: spec, Standings: standings}).Get(ctx, nil); err != nil {
			return err
		}
		page.After = standings[len(standings)-1].Project
	}
}
