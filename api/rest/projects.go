package rest

import (
	"context"
	"net/http"
	"slices"

	"github.com/m3o/platform/internal/account"
)

// ProjectRequest asks for a project.
type ProjectRequest struct {
	Name     string `json:"name" maxLength:"63"`
	Platform string `json:"platform,omitempty" maxLength:"63" doc:"Its services go to the regions of this one alone; may be left out when there is one."`
}

// ProjectPath names a project.
type ProjectPath struct {
	Project string `path:"project" maxLength:"63" doc:"Name of the project."`
}

// SuspensionPath names a reason for which a project is suspended.
type SuspensionPath struct {
	ProjectPath
	Reason account.Reason `path:"reason" maxLength:"32" doc:"operator, cap or dunning."`
}

// ProjectView is a project, and while it is being removed where that is.
type ProjectView struct {
	account.Project
	Removal *account.Removal `json:"removal,omitempty"`
}

func (a *API) registerProjects() {
	typed(a, "list-projects", http.MethodGet, "/v1/projects", "List the projects that the caller may read", account.Known, 200, a.listProjects)
	typed(a, "create-project", http.MethodPost, "/v1/projects", "Make a project on a platform", account.CreateProjects, 201, a.createProject, http.StatusNotFound, http.StatusConflict)
	typed(a, "get-project", http.MethodGet, "/v1/projects/{project}", "Show a project", account.ReadProjects, 200, a.getProject)
	typed(a, "delete-project", http.MethodDelete, "/v1/projects/{project}", "Remove a project with everything that belongs to it", account.DeleteProjects, 202, a.deleteProject, mayRefuse...)
	typed(a, "suspend-project", http.MethodPut, "/v1/projects/{project}/suspensions/{reason}", "Suspend a project for a reason", account.SuspendProjects, 200,
		func(ctx context.Context, in *struct {
			SuspensionPath
			Body struct {
				Message string `json:"message,omitempty" maxLength:"500" doc:"What is said to those who are refused."`
			}
		}) (*Body[account.Project], error) {
			return a.suspend(ctx, in.SuspensionPath, in.Body.Message, false)
		}, mayRefuse...)
	typed(a, "unsuspend-project", http.MethodDelete, "/v1/projects/{project}/suspensions/{reason}", "Lift a reason for which a project is suspended", account.SuspendProjects, 200,
		func(ctx context.Context, in *SuspensionPath) (*Body[account.Project], error) {
			return a.suspend(ctx, *in, "", true)
		}, mayRefuse...)
}

func (a *API) listProjects(ctx context.Context, _ *struct{}) (*Body[List[account.Project]], error) {
	within, all := caller(ctx).Within(account.ReadProjects)
	items, err := a.Identity.Projects(ctx)
	items = slices.DeleteFunc(items, func(p account.Project) bool { return !all && !slices.Contains(within, p.Name) })
	return listed(ctx, items, err)
}

func (a *API) createProject(ctx context.Context, in *struct{ Body ProjectRequest }) (*Body[account.Project], error) {
	if err := account.CheckProject("name", in.Body.Name); err != nil {
		return nil, problem(ctx, err)
	}
	named(ctx, "/v1/projects/"+in.Body.Name)
	p, err := a.Identity.CreateProject(ctx, in.Body.Name, in.Body.Platform, caller(ctx).Subject)
	return answered(ctx, p, err)
}

func (a *API) getProject(ctx context.Context, _ *ProjectPath) (*Body[ProjectView], error) {
	view := ProjectView{Project: project(ctx)}
	if view.Status == account.ProjectRemoving {
		// It is shown as being removed also when its workflow cannot be asked just now.
		if removal, err := a.ProjectCommands.Removal(ctx, view.Name); err == nil {
			view.Removal = &removal
		}
	}
	return &Body[ProjectView]{view}, nil
}

func (a *API) deleteProject(ctx context.Context, in *struct {
	ProjectPath
	Keyed
	Cascade bool `query:"cascade" doc:"Remove its services, too."`
}) (*Body[Started], error) {
	remove := account.RemoveInput{Project: in.Project, Cascade: in.Cascade, By: caller(ctx).Subject}
	started, err := once(ctx, a, "delete-project "+in.Project, in.IdempotencyKey, in.Cascade, func(id string) (Started, error) {
		_, err := a.ProjectCommands.RemoveProject(ctx, id, remove)
		return Started{ID: account.RemoveID(in.Project), URL: "/v1/projects/" + in.Project}, err
	})
	return answered(ctx, started, err)
}

// suspend has the project's workflow keep the reason, or lift it, and bring that to every region.
func (a *API) suspend(ctx context.Context, in SuspensionPath, message string, lift bool) (*Body[account.Project], error) {
	if err := account.CheckReason(in.Reason, message); err != nil {
		return nil, problem(ctx, err)
	}
	change := account.SuspendInput{Project: in.Project, Reason: in.Reason, Message: message, Lift: lift, By: caller(ctx).Subject}
	p, err := once(ctx, a, "suspend-project", "", nil, func(id string) (account.Project, error) {
		if _, err := a.Accounts.Project(ctx, in.Project); err != nil {
			return account.Project{}, err
		}
		return a.ProjectCommands.SuspendProject(ctx, id, change)
	})
	return answered(ctx, p, err)
}
