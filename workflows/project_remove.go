package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/queue"
)

// RemoveProject removes a project with everything that belongs to it: services, namespaces, sources, logs, tokens, roles and rows.
//
// The command closes the project before it is answered: from then on it takes no new work. It ends when nothing is left but the
// name, which is never given again; what fails is retried with backoff, and the query says what it waits for. Commanded again it
// goes on; a command that is refused ends it. Every stage finds what is left, so that a run which continues another does the
// earlier ones again. Images are collected once no release names them.
func RemoveProject(ctx workflow.Context, in account.RemovalInput) error {
	r := &removal{RemovalInput: in}
	if err := workflow.SetQueryHandlerWithOptions(ctx, account.ProgressQuery, func() (account.Removal, error) { return r.progress, nil },
		workflow.QueryHandlerOptions{Description: "Where the removal is, and what it waits for"}); err != nil {
		return err
	}
	if err := workflow.SetUpdateHandlerWithOptions(ctx, account.RemoveUpdate, r.remove, workflow.UpdateHandlerOptions{Description: "Close the project, and remove it"}); err != nil {
		return err
	}
	return r.run(ctx)
}

// removal is the state of one run of RemoveProject.
type removal struct {
	account.RemovalInput
	progress account.Removal
}

func (r *removal) remove(ctx workflow.Context, in account.RemoveInput) (account.Project, error) {
	var closed account.Project
	if err := workflow.ExecuteActivity(quickly(ctx, "Close the project"), projects.CloseProject, in).Get(ctx, &closed); err != nil {
		if r.Status == account.RemovalAsked {
			r.Status = account.RemovalRefused
		}
		return closed, err
	}
	if r.Status != account.RemovalClosed {
		r.Status, r.By = account.RemovalClosed, in.By
	}
	return closed, nil
}

func (r *removal) run(ctx workflow.Context) error {
	over := func() bool { return r.Status == account.RemovalRefused && workflow.AllHandlersFinished(ctx) }
	if err := workflow.Await(ctx, func() bool { return r.Status == account.RemovalClosed || over() }); err != nil || r.Status != account.RemovalClosed {
		return err
	}
	for _, stage := range []struct {
		name string
		do   func(workflow.Context) error
	}{
		{"suspension", r.endSuspension},
		{"services", r.killServices},
		{"namespaces", r.removeNamespaces},
		{"sources and logs", r.removeSources},
		{"rows", r.erase},
	} {
		if err := r.persist(ctx, stage.name, stage.do); err != nil {
			return err
		}
	}
	return workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}

// persist does a stage until it succeeds, with exponential backoff. After a failure it continues as new when Temporal suggests it.
func (r *removal) persist(ctx workflow.Context, name string, stage func(workflow.Context) error) error {
	for tries := 0; ; tries++ {
		r.progress.Stage = name
		r.describe(ctx)
		err := stage(ctx)
		if err == nil {
			r.progress.Waiting = ""
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause := placementBackoff(tries)
		r.progress.Waiting = fmt.Sprintf("%s. Retry in %s", words(err), pause.Round(time.Second))
		r.describe(ctx)
		if err := workflow.NewTimerWithOptions(ctx, pause, workflow.TimerOptions{Summary: "Retry " + name}).Get(ctx, nil); err != nil {
			return err
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && workflow.AllHandlersFinished(ctx) {
			return workflow.NewContinueAsNewError(ctx, RemoveProject, r.RemovalInput)
		}
	}
}

func (r *removal) describe(ctx workflow.Context) {
	text := fmt.Sprintf("Project **%s** is being removed: %s", r.Project, r.progress.Stage)
	if r.progress.Waiting != "" {
		text += "\n\n" + r.progress.Waiting
	}
	workflow.SetCurrentDetails(ctx, text)
}

// endSuspension ends the workflow that marks the project in regions, and waits until no mark is on its way: a late one would make
// a namespace that was removed.
func (r *removal) endSuspension(ctx workflow.Context) error {
	if err := workflow.ExecuteActivity(quickly(ctx, "Have regions told no more of the project"), projects.EndSuspension, r.Project).Get(ctx, nil); err != nil {
		return err
	}
	r.progress.Waiting = "marks that are on their way to regions"
	wait := looking(ctx, queue.Flows, "Wait for the last marks in regions", applyLimit)
	return workflow.ExecuteActivity(wait, flows.AwaitWorkflow, activities.Awaited{ID: account.SuspendID(r.Project)}).Get(ctx, nil)
}

// killServices orders the end of every service, and waits for it. Each round orders anew: a kill that failed in some region
// is over.
func (r *removal) killServices(ctx workflow.Context) error {
	r.Round++
	kill := watching(ctx, queue.Flows, "Kill the project's services", tellingLimit)
	if err := workflow.ExecuteActivity(kill, projects.KillServices, activities.KillInput{Project: r.Project, Round: r.Round, By: r.By}).Get(ctx, nil); err != nil {
		return err
	}
	r.progress.Waiting = "services to be gone from every region"
	wait := looking(ctx, queue.Flows, "Wait for the services to go", rolloutLimit)
	return workflow.ExecuteActivity(wait, projects.AwaitNoServices, r.Project).Get(ctx, nil)
}

// removeNamespaces removes what is left of the project in every region where it may be, all at once.
func (r *removal) removeNamespaces(ctx workflow.Context) error {
	holders, err := listHolders(ctx, r.Project)
	if err != nil {
		return err
	}
	deletes, names := make([]workflow.Future, len(holders)), make([]string, len(holders))
	for i, h := range holders {
		names[i] = h.Spec.Name
		call := watching(ctx, queue.Cloud(h.Spec.Provider), "Remove the project's namespace from "+h.Spec.Name, rolloutLimit)
		deletes[i] = workflow.ExecuteActivity(call, services.DeleteProject, activities.ProjectIn{Region: h.Spec, Project: r.Project})
	}
	r.progress.Waiting = "namespaces to be gone from " + strings.Join(names, ", ")
	var failed error
	for _, d := range deletes {
		if err := d.Get(ctx, nil); err != nil {
			failed = err
		}
	}
	return failed
}

// removeSources removes what builders keep of the project. Images stay until the registry collects them.
func (r *removal) removeSources(ctx workflow.Context) error {
	r.progress.Waiting = "a builder to remove sources and logs"
	call := watching(ctx, queue.Build, "Remove sources and build logs", applyLimit)
	return workflow.ExecuteActivity(call, builds.RemoveSources, r.Project).Get(ctx, nil)
}

func (r *removal) erase(ctx workflow.Context) error {
	return workflow.ExecuteActivity(quickly(ctx, "Erase the project's rows"), projects.EraseProject, activities.EraseInput{Project: r.Project, By: r.By}).Get(ctx, nil)
}
