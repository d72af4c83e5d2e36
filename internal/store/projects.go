package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// EnsureProject makes a project of that name exist, on no platform yet.
func (s *Store) EnsureProject(ctx context.Context, name string) error {
	if err := account.CheckProject("project", name); err != nil {
		return err
	}
	row := projectRow{Name: name, Status: string(account.ProjectActive), Suspensions: "[]", CreatedAt: s.now()}
	return s.transact(ctx, "make project "+name, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&row).On("CONFLICT (name) DO NOTHING").Exec(ctx)
		return err
	})
}

// CreateProject makes a project on a platform that has regions; without a name, on the only one there is.
func (s *Store) CreateProject(ctx context.Context, name, platform, by string) (account.Project, error) {
	if err := account.CheckProject("name", name); err != nil {
		return account.Project{}, err
	}
	if name == account.PlatformProject {
		return account.Project{}, account.ReservedProject("it is there already; choose another name")
	}
	row := projectRow{Name: name, Status: string(account.ProjectActive), Suspensions: "[]", CreatedAt: s.now(), CreatedBy: clean(by)}
	err := s.transact(ctx, "make project "+name, func(ctx context.Context, tx bun.Tx) error {
		var err error
		if row.Platform, err = findPlatform(ctx, tx, platform); err != nil {
			return err
		}
		if err := neverGiven(ctx, tx, name); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		return s.tellBy(ctx, tx, by, name, "project.created", name, "on "+row.Platform)
	})
	if err != nil {
		return account.Project{}, err
	}
	return row.project()
}

// neverGiven says why a project cannot have the name: it is given once in a control plane.
func neverGiven(ctx context.Context, tx bun.Tx, name string) error {
	var status string
	err := tx.NewSelect().Model((*projectRow)(nil)).Column("status").Where("name = ?", name).Scan(ctx, &status)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case account.ProjectStatus(status) == account.ProjectRemoved:
		return fault.New(fault.Exists, "there was a project %q, which was removed; a project's name is given once in a control plane: choose another", name)
	}
	return fault.New(fault.Exists, "there is a project %q already; a project's name is given once in a control plane", name)
}

// findPlatform is the platform of that name, or the only one.
func findPlatform(ctx context.Context, tx bun.Tx, name string) (string, error) {
	var there []string
	err := tx.NewSelect().Model((*regionRow)(nil)).ColumnExpr("DISTINCT platform").Where("status <> ?", string(region.Deleted)).Order("platform").Scan(ctx, &there)
	switch {
	case err != nil:
		return "", err
	case slices.Contains(there, name):
		return name, nil
	case name != "":
		return "", fault.New(fault.NotFound, "there is no platform %q%s; %s", clean(name), fault.DidYouMean(clean(name), there), thereIs("platform", there))
	case len(there) == 1:
		return there[0], nil
	}
	return "", badField("platform", "must name one: "+thereIs("platform", there))
}

func findProject(ctx context.Context, db bun.IDB, name string) (projectRow, error) {
	var row projectRow
	err := db.NewSelect().Model(&row).Where("name = ? AND status <> ?", clean(name), string(account.ProjectRemoved)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, fault.New(fault.NotFound, "there is no project %q", clean(name))
	}
	return row, err
}

func (r projectRow) project() (account.Project, error) {
	why, err := decode[[]account.Suspension](r.Suspensions)
	return account.Project{Name: r.Name, Platform: r.Platform, Status: account.ProjectStatus(r.Status), Suspensions: why, Version: r.Version,
		CreatedAt: r.CreatedAt.UTC(), CreatedBy: r.CreatedBy}, err
}

// Project returns a project.
func (s *Store) Project(ctx context.Context, name string) (account.Project, error) {
	row, err := findProject(ctx, s.read, name)
	if err != nil {
		return account.Project{}, s.explain(err, "read project "+clean(name))
	}
	return row.project()
}

// Projects returns every project, in the order of their names.
func (s *Store) Projects(ctx context.Context) ([]account.Project, error) {
	var rows []projectRow
	if err := s.read.NewSelect().Model(&rows).Where("status <> ?", string(account.ProjectRemoved)).Order("name").Scan(ctx); err != nil {
		return nil, s.explain(err, "list the projects")
	}
	projects := make([]account.Project, len(rows))
	for i, r := range rows {
		p, err := r.project()
		if err != nil {
			return nil, err
		}
		projects[i] = p
	}
	return projects, nil
}

// takesWork fails a transaction that would begin work in a project that takes none.
func takesWork(ctx context.Context, tx bun.Tx, name string) error {
	row, err := findProject(ctx, tx, name)
	if err != nil {
		return err
	}
	p, err := row.project()
	return errors.Join(err, p.Takes())
}

// bindDefault gives the default project to the platform of a plan that is being applied, if it has none yet, or nothing is
// left of the one it had.
func bindDefault(ctx context.Context, tx bun.Tx, wanted []region.Spec) error {
	row, err := findProject(ctx, tx, account.DefaultProject)
	if fault.Is(err, fault.NotFound) || len(wanted) == 0 || err == nil && row.Platform == wanted[0].Platform {
		return nil
	}
	if err != nil {
		return err
	}
	lives, err := tx.NewSelect().Model((*regionRow)(nil)).Where("platform = ? AND status <> ?", row.Platform, string(region.Deleted)).Exists(ctx)
	if err != nil || lives {
		return err
	}
	row.Platform = wanted[0].Platform
	_, err = tx.NewUpdate().Model(&row).Column("platform").WherePK().Exec(ctx)
	return err
}

// PlacesOf returns the regions of the project's platform: its services go to no other. There are none for the default
// project before a platform is applied.
func (s *Store) PlacesOf(ctx context.Context, project string) ([]region.Region, error) {
	p, err := s.Project(ctx, project)
	if err != nil || p.Platform == "" {
		return nil, err
	}
	return s.Regions(ctx, p.Platform, false)
}

// ServicesOn returns every service that was not killed of the projects on a platform.
func (s *Store) ServicesOn(ctx context.Context, platform string) ([]release.Service, error) {
	projects, err := s.projectsOn(ctx, platform)
	if err != nil {
		return nil, err
	}
	all, err := s.AllServices(ctx)
	return slices.DeleteFunc(all, func(v release.Service) bool { return !projects[v.Key.Project] }), err
}

// SuspendedOn returns the projects on a platform that are suspended.
func (s *Store) SuspendedOn(ctx context.Context, platform string) ([]account.Project, error) {
	projects, err := s.Projects(ctx)
	return slices.DeleteFunc(projects, func(p account.Project) bool { return p.Platform != platform || p.Status != account.ProjectSuspended }), err
}

func (s *Store) projectsOn(ctx context.Context, platform string) (map[string]bool, error) {
	projects, err := s.Projects(ctx)
	on := map[string]bool{}
	for _, p := range projects {
		on[p.Name] = p.Platform == platform
	}
	return on, err
}

// RecordSuspension suspends a project for a reason, or lifts that one and leaves the others. Its version grows with each
// change; doing it again changes nothing, unless it is with another message, which replaces the former.
func (s *Store) RecordSuspension(ctx context.Context, in account.SuspendInput) (account.Project, error) {
	if err := account.CheckReason(in.Reason, in.Message); err != nil {
		return account.Project{}, err
	}
	if in.Project == account.PlatformProject {
		return account.Project{}, account.ReservedProject("it is never suspended")
	}
	var after account.Project
	err := s.transact(ctx, "change the suspension of project "+in.Project, func(ctx context.Context, tx bun.Tx) error {
		row, err := findProject(ctx, tx, in.Project)
		if err != nil {
			return err
		}
		if after, err = row.project(); err != nil || after.Status == account.ProjectRemoving {
			return errors.Join(err, after.Takes())
		}
		at := slices.IndexFunc(after.Suspensions, func(v account.Suspension) bool { return v.Reason == in.Reason })
		switch known := at >= 0; {
		case in.Lift && known:
			after.Suspensions = slices.Delete(after.Suspensions, at, at+1)
		case in.Lift, known && after.Suspensions[at].Message == clean(in.Message):
			return nil
		case known:
			after.Suspensions[at].Message, after.Suspensions[at].By = clean(in.Message), clean(in.By)
		default:
			after.Suspensions = append(after.Suspensions, account.Suspension{Reason: in.Reason, Message: clean(in.Message), By: clean(in.By), Since: s.now()})
		}
		after, err = s.saveSuspensions(ctx, tx, row, after, in.By)
		return err
	})
	return after, err
}

func (s *Store) saveSuspensions(ctx context.Context, tx bun.Tx, row projectRow, after account.Project, by string) (account.Project, error) {
	var err error
	if row.Suspensions, err = encode(after.Suspensions); err != nil {
		return after, err
	}
	row.Status = string(account.ProjectActive)
	if len(after.Suspensions) > 0 {
		row.Status = string(account.ProjectSuspended)
	}
	row.Version++
	if _, err := tx.NewUpdate().Model(&row).Column("status", "suspensions", "version").WherePK().Exec(ctx); err != nil {
		return after, err
	}
	if after, err = row.project(); err != nil {
		return after, err
	}
	return after, s.tellBy(ctx, tx, by, row.Name, "project."+string(after.Status), row.Name, after.Why())
}
