package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
)

// owners gives things that are there the workflows that they need.
type owners interface {
	OwnRegion(ctx context.Context, key region.Key) error
	OwnService(ctx context.Context, key release.Key) error
	ProjectsChanged(ctx context.Context, project string) error
	RemoveProject(ctx context.Context, id string, in account.RemoveInput) (account.Project, error)
}

// own gives every region and service that is there its owner, and every project that is suspended or being removed its
// workflow, should it have lost it: with Temporal's database, or because somebody terminated the workflow. One that has an owner is
// left as it is. What fails is said and tried again at the next start, or by the next command to the thing itself.
func (b *base) own(ctx context.Context, db *store.Store, flows *control.Flows) {
	if err := ownAll(ctx, db, flows); err != nil && ctx.Err() == nil {
		b.signals.Logger.WarnContext(ctx, "not everything has an owner", "error", err)
	}
}

// ownAll goes on after what fails: each thing's owner is its own matter.
func ownAll(ctx context.Context, db *store.Store, flows owners) error {
	regions, err := db.Regions(ctx, "", false)
	for _, r := range regions {
		if failed := flows.OwnRegion(ctx, r.Spec.Key()); failed != nil {
			err = errors.Join(err, fmt.Errorf("give region %s its owner: %w", r.Spec.Key(), failed))
		}
	}
	services, failed := db.AllServices(ctx)
	err = errors.Join(err, failed)
	for _, s := range services {
		if failed := flows.OwnService(ctx, s.Key); failed != nil {
			err = errors.Join(err, fmt.Errorf("give service %s its owner: %w", s.Key, failed))
		}
	}
	projects, failed := db.Projects(ctx)
	err = errors.Join(err, failed)
	for _, p := range projects {
		if failed := ownProject(ctx, p, flows); failed != nil {
			err = errors.Join(err, fmt.Errorf("give project %s, which is %s, its workflow: %w", p.Name, p.Status, failed))
		}
	}
	return err
}

// ownProject goes on with the removal of a project, or brings its standing to the regions. One whose last reason was lifted may
// have lost its workflow before every region heard of that.
func ownProject(ctx context.Context, p account.Project, flows owners) error {
	switch {
	case p.Status == account.ProjectRemoving:
		// One id: a run that has had this command does not do it again.
		_, err := flows.RemoveProject(ctx, account.RemoveID(p.Name)+"/recovery", account.RemoveInput{Project: p.Name, Cascade: true, By: "recovery"})
		return err
	case p.Version > 0:
		return flows.ProjectsChanged(ctx, p.Name)
	}
	return nil
}
