package activities

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// ProjectRecords are the rows of projects.
type ProjectRecords interface {
	Project(ctx context.Context, name string) (account.Project, error)
	RecordSuspension(ctx context.Context, in account.SuspendInput) (account.Project, error)
	BeginRemoval(ctx context.Context, in account.RemoveInput) (account.Project, error)
	ServicesOf(ctx context.Context, project string) ([]release.Key, error)
	EraseProject(ctx context.Context, name, by string) error
}

// ServiceKiller commands the workflows that own services.
type ServiceKiller interface {
	KillService(ctx context.Context, id string, key release.Key, in release.KillInput) (release.Accepted, error)
}

// CurrentAlerts lists the alerts of a project that have not ended.
type CurrentAlerts interface {
	CurrentAlerts(ctx context.Context, project string) ([]alert.Alert, error)
}

// AlertCommander commands the workflows that own alerts.
type AlertCommander interface {
	CommandAlert(ctx context.Context, id, project, group, update string, in alert.Command) (alert.Alert, error)
}

// Projects writes the rows of projects for the workflows that suspend and remove them, and has their services killed and their alerts
// closed.
type Projects struct {
	Records  ProjectRecords
	Services ServiceKiller
	Alerts   CurrentAlerts
	Closer   AlertCommander
	Regions  ProjectFacts
	Poll     time.Duration
}

// RecordSuspension keeps a reason for which a project is suspended, or lifts it. What is so already stays so.
func (a *Projects) RecordSuspension(ctx context.Context, in account.SuspendInput) (account.Project, error) {
	p, err := a.Records.RecordSuspension(ctx, in)
	if err != nil {
		return account.Project{}, fail(fmt.Errorf("change the suspension of project %s: %w", in.Project, err))
	}
	return p, nil
}

// ProjectStanding returns whether a project is suspended; nothing when it is being removed, or not there any more. It only reads.
func (a *Projects) ProjectStanding(ctx context.Context, name string) (release.Standing, error) {
	p, err := a.Records.Project(ctx, name)
	switch {
	case fault.Is(err, fault.NotFound):
		return release.Standing{}, nil
	case err != nil:
		return release.Standing{}, fail(fmt.Errorf("read project %s: %w", name, err))
	case p.Status == account.ProjectRemoving:
		return release.Standing{}, nil
	}
	return standing(p), nil
}

func standing(p account.Project) release.Standing {
	return release.Standing{Project: p.Name, Suspended: len(p.Suspensions) > 0, Version: p.Version}
}

// EndSuspension has the workflow that marks the project in regions look again, now that the project is being removed: it ends.
// Where none runs, one is started that ends at once.
func (a *Projects) EndSuspension(ctx context.Context, project string) error {
	if err := a.Regions.ProjectsChanged(ctx, project); err != nil {
		return fail(fmt.Errorf("end the suspension of project %s: %w", project, err))
	}
	return nil
}

// CloseProject closes a project for new work, before it is removed. What is closed stays closed.
func (a *Projects) CloseProject(ctx context.Context, in account.RemoveInput) (account.Project, error) {
	p, err := a.Records.BeginRemoval(ctx, in)
	if err != nil {
		return account.Project{}, fail(fmt.Errorf("close project %s: %w", in.Project, err))
	}
	return p, nil
}

// KillInput asks for the end of a project's services. Round tells one attempt of the workflow from the next: each is
// commanded anew, and once.
type KillInput struct {
	Project string `json:"project"`
	Round   int    `json:"round"`
	By      string `json:"by"`
}

// KillServices orders the end of every service of the project. The ids make each order one.
func (a *Projects) KillServices(ctx context.Context, in KillInput) error {
	keys, err := a.Records.ServicesOf(ctx, in.Project)
	if err != nil {
		return fail(fmt.Errorf("list the services of project %s: %w", in.Project, err))
	}
	for _, key := range keys {
		id := fmt.Sprintf("%s/%d/%s", account.RemoveID(in.Project), in.Round, key.Name)
		if _, err := a.Services.KillService(ctx, id, key, release.KillInput{By: in.By}); err != nil && !fault.Is(err, fault.NotFound) {
			return fail(fmt.Errorf("kill %s: %w", key, err))
		}
		activity.RecordHeartbeat(ctx, Seen{Reason: "killing " + key.String()})
	}
	return nil
}

// AwaitNoServices returns when the project has no service any more. It only reads; its heartbeats say which it waits for.
func (a *Projects) AwaitNoServices(ctx context.Context, project string) error {
	w := watching(ctx, a.Poll)
	defer w.close()
	err := w.until(func() (string, bool, error) {
		keys, err := a.Records.ServicesOf(ctx, project)
		names := make([]string, len(keys))
		for i, k := range keys {
			names[i] = k.Name
		}
		return "services that are not gone: " + strings.Join(names, ", "), len(keys) == 0, err
	})
	if err != nil {
		return fail(fmt.Errorf("await the end of the services of project %s: %w", project, err))
	}
	return nil
}

// EraseInput names a project to erase, and who asked for it.
type EraseInput struct {
	Project string `json:"project"`
	By      string `json:"by"`
}

// EraseProject closes the alerts of a project that is closed, so that nobody is paged for it any more, and removes every row of it. Gone is
// fine.
func (a *Projects) EraseProject(ctx context.Context, in EraseInput) error {
	if err := a.closeAlerts(ctx, in); err != nil {
		return fail(fmt.Errorf("close the alerts of project %s: %w", in.Project, err))
	}
	if err := a.Records.EraseProject(ctx, in.Project, in.By); err != nil {
		return fail(fmt.Errorf("erase project %s: %w", in.Project, err))
	}
	return nil
}

// closeAlerts closes the alerts one after the other: a try goes on where the one before it was cut off. One whose workflow is gone is over.
func (a *Projects) closeAlerts(ctx context.Context, in EraseInput) error {
	current, err := a.Alerts.CurrentAlerts(ctx, in.Project)
	if err != nil {
		return err
	}
	for _, c := range current {
		id := fmt.Sprintf("%s/alert/%d", account.RemoveID(in.Project), c.Number)
		command := alert.Command{Number: c.Number, By: in.By, Comment: "the project is removed"}
		_, err := a.Closer.CommandAlert(ctx, id, in.Project, c.Group, alert.ResolveUpdate, command)
		if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Conflict) {
			return fmt.Errorf("alert %d: %w", c.Number, err)
		}
	}
	return nil
}

// StandingIn is a project's standing in one region.
type StandingIn struct {
	Region   region.Spec      `json:"region"`
	Standing release.Standing `json:"standing"`
}

// MarkProject has the region's gateway know whether the project is suspended. An older standing than the region has changes
// nothing. It waits for a cluster that is away for the moment.
func (a *Services) MarkProject(ctx context.Context, in StandingIn) error {
	err := a.inProject(ctx, in.Region, func(client projectCluster) (string, bool, error) {
		return "", true, client.MarkProject(ctx, in.Standing)
	})
	if err != nil {
		return fail(fmt.Errorf("mark project %s in %s: %w", in.Standing.Project, in.Region.Name, err))
	}
	return nil
}

// StandingsIn are projects' standings in one region.
type StandingsIn struct {
	Region    region.Spec        `json:"region"`
	Standings []release.Standing `json:"standings"`
}

// MarkProjects is MarkProject for many. One that cannot be marked keeps none of the others from it.
func (a *Services) MarkProjects(ctx context.Context, in StandingsIn) error {
	err := a.inProject(ctx, in.Region, func(client projectCluster) (string, bool, error) {
		return "", true, markAll(ctx, client, in.Standings)
	})
	if err != nil {
		return fail(fmt.Errorf("mark projects in %s: %w", in.Region.Name, err))
	}
	return nil
}

func markAll(ctx context.Context, client projectCluster, standings []release.Standing) error {
	var failed error
	for _, s := range standings {
		switch err := client.MarkProject(ctx, s); {
		case err == nil:
		case !fault.Of(err).Permanent():
			return err // the cluster is away for all of them
		case failed == nil:
			failed = fmt.Errorf("project %s: %w", s.Project, err)
		}
	}
	return failed
}

// ProjectIn names a project in a region.
type ProjectIn struct {
	Region  region.Spec `json:"region"`
	Project string      `json:"project"`
}

// DeleteProject removes the project's namespace from the region and returns when it is gone. Gone is fine.
func (a *Services) DeleteProject(ctx context.Context, in ProjectIn) error {
	err := a.inProject(ctx, in.Region, func(client projectCluster) (string, bool, error) {
		gone, err := client.DeleteProject(ctx, in.Project)
		return "waiting for the namespace to go", gone, err
	})
	if err != nil {
		return fail(fmt.Errorf("delete project %s in %s: %w", in.Project, in.Region.Name, err))
	}
	return nil
}

// projectCluster is what is done about projects in a cluster.
type projectCluster interface {
	MarkProject(ctx context.Context, s release.Standing) error
	DeleteProject(ctx context.Context, project string) (gone bool, err error)
}

// inProject does something in a region's cluster until it is done. Without the cluster there is nothing of a project in it.
func (a *Services) inProject(ctx context.Context, spec region.Spec, do func(projectCluster) (string, bool, error)) error {
	w := watching(ctx, a.Poll)
	defer w.close()
	return w.until(func() (reason string, done bool, err error) {
		reached := false
		err = a.Connections.Do(ctx, spec, func(client *cluster.Client) (err error) {
			reached = true
			reason, done, err = do(client)
			return err
		})
		if !reached && fault.Is(err, fault.NotFound) {
			return "", true, nil
		}
		return reason, done, err
	})
}
