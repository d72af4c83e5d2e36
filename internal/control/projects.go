package control

import (
	"context"

	"github.com/m3o/platform/internal/account"
)

// SuspendProject suspends a project for a reason, or lifts that, under id. The answer comes when it is kept; every region
// hears of it after.
func (f *Flows) SuspendProject(ctx context.Context, id string, in account.SuspendInput) (account.Project, error) {
	var p account.Project
	c := projectCommand(account.SuspendWorkflow, account.SuspendID(in.Project), in.Project)
	c.update, c.id, c.arg = account.SuspendUpdate, id, in
	return p, f.send(ctx, c, &p)
}

// ProjectsChanged has the standing of a project brought to every region again: one became ready, or none of them is to be told any more.
func (f *Flows) ProjectsChanged(ctx context.Context, project string) error {
	c := projectCommand(account.SuspendWorkflow, account.SuspendID(project), project)
	return f.tell(ctx, c, account.ChangedSignal, nil)
}

// RemoveProject closes a project under id, and has everything that belongs to it removed.
func (f *Flows) RemoveProject(ctx context.Context, id string, in account.RemoveInput) (account.Project, error) {
	var p account.Project
	c := projectCommand(account.RemoveWorkflow, account.RemoveID(in.Project), in.Project)
	c.input = account.RemovalInput{Project: in.Project}
	c.update, c.id, c.arg = account.RemoveUpdate, id, in
	return p, f.send(ctx, c, &p)
}

// Removal tells where the removal of a project is.
func (f *Flows) Removal(ctx context.Context, project string) (account.Removal, error) {
	var r account.Removal
	return r, f.query(ctx, account.RemoveID(project), account.ProgressQuery, &r)
}

func projectCommand(workflow, id, project string) command {
	return command{workflow: workflow, workflowID: id, input: account.ProjectInput{Project: project}, summary: "Project " + project,
		attributes: projectAttributes(project)}
}
