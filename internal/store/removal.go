package store

import (
	"context"
	"slices"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// BeginRemoval closes a project: from now on no release of it is allocated. With services it needs cascade. Doing it again
// changes nothing.
func (s *Store) BeginRemoval(ctx context.Context, in account.RemoveInput) (account.Project, error) {
	if in.Project == account.DefaultProject {
		return account.Project{}, fault.New(fault.Conflict, "project %q is that of whoever names none: it cannot be removed", in.Project)
	}
	if in.Project == account.PlatformProject {
		return account.Project{}, account.ReservedProject("it cannot be removed")
	}
	var after account.Project
	err := s.transact(ctx, "begin to remove project "+in.Project, func(ctx context.Context, tx bun.Tx) error {
		row, err := findProject(ctx, tx, in.Project)
		if err != nil {
			return err
		}
		if account.ProjectStatus(row.Status) != account.ProjectRemoving {
			if err := s.close(ctx, tx, &row, in); err != nil {
				return err
			}
		}
		after, err = row.project()
		return err
	})
	return after, err
}

func (s *Store) close(ctx context.Context, tx bun.Tx, row *projectRow, in account.RemoveInput) error {
	keys, err := servicesOf(ctx, tx, row.Name)
	if err != nil {
		return err
	}
	if len(keys) > 0 && !in.Cascade {
		names := make([]string, len(keys))
		for i, k := range keys {
			names[i] = k.Name
		}
		return fault.New(fault.Conflict, "project %q has services: %s. Kill them, or remove them with it (cascade)", row.Name, enumerate(names))
	}
	row.Status = string(account.ProjectRemoving)
	if _, err := tx.NewUpdate().Model(row).Column("status").WherePK().Exec(ctx); err != nil {
		return err
	}
	return s.tellBy(ctx, tx, in.By, row.Name, "project.removing", row.Name, "")
}

// ServicesOf names the services that a project has: those that were not killed, and those of which a release was allocated
// that has not ended, whose owner may not have recorded the service yet.
func (s *Store) ServicesOf(ctx context.Context, project string) ([]release.Key, error) {
	keys, err := servicesOf(ctx, s.read, project)
	return keys, s.explain(err, "list the services of project "+clean(project))
}

func servicesOf(ctx context.Context, db bun.IDB, project string) ([]release.Key, error) {
	var names, begun []string
	err := db.NewSelect().Model((*serviceRow)(nil)).Column("name").Where("project = ? AND status <> ?", clean(project), string(release.Killed)).Scan(ctx, &names)
	if err != nil {
		return nil, err
	}
	err = db.NewSelect().Model((*releaseRow)(nil)).ColumnExpr("DISTINCT service").Where("project = ?", clean(project)).
		Where("status IN (?, ?)", string(release.Pending), string(release.Deploying)).Scan(ctx, &begun)
	names = append(names, begun...)
	slices.Sort(names)
	names = slices.Compact(names)
	keys := make([]release.Key, len(names))
	for i, name := range names {
		keys[i] = release.Key{Project: project, Name: name}
	}
	return keys, err
}

// EraseProject removes what is kept of a project that was closed: service accounts and tokens, roles, releases, services,
// events, alerts and how they reached people. Its row stays as that of a removed project, which nobody finds: what could not be removed anywhere, or is kept
// under its name, never belongs to another. Gone is fine.
func (s *Store) EraseProject(ctx context.Context, name, by string) error {
	return s.transact(ctx, "erase project "+name, func(ctx context.Context, tx bun.Tx) error {
		row, err := findProject(ctx, tx, name)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		if err == nil && account.ProjectStatus(row.Status) != account.ProjectRemoving {
			err = fault.New(fault.Conflict, "project %q is not being removed", name)
		}
		if err != nil {
			return err
		}
		if err := forgetMembers(ctx, tx, name); err != nil {
			return err
		}
		entries := tx.NewDelete().Model((*entryRow)(nil)).Where("number IN (?)", tx.NewSelect().Model((*alertRow)(nil)).Column("number").Where("project = ?", name))
		if _, err := entries.Exec(ctx); err != nil {
			return err
		}
		for _, model := range []any{(*roleRow)(nil), (*releaseRow)(nil), (*serviceRow)(nil), (*healthRow)(nil), (*eventRow)(nil),
			(*conditionRow)(nil), (*alertRow)(nil), (*pageRow)(nil), (*rulesRow)(nil), (*silenceRow)(nil), (*overrideRow)(nil),
			(*signalRow)(nil), (*keyRow)(nil), (*groupRow)(nil), (*integrationRow)(nil), (*heartbeatRow)(nil),
		} {
			if _, err := tx.NewDelete().Model(model).Where("project = ?", name).Exec(ctx); err != nil {
				return err
			}
		}
		row.Status, row.Suspensions = string(account.ProjectRemoved), "[]"
		if _, err := tx.NewUpdate().Model(&row).Column("status", "suspensions").WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.tell(ctx, tx, event.Event{Kind: "project.removed", Subject: name, Message: "by " + by})
	})
}

// forgetMembers removes a project's service accounts, and the tokens of users that are limited to it.
func forgetMembers(ctx context.Context, tx bun.Tx, project string) error {
	var accounts []serviceAccountRow
	if err := tx.NewSelect().Model(&accounts).Where("project = ?", project).Scan(ctx); err != nil {
		return err
	}
	for i := range accounts {
		if err := forgetMember(ctx, tx, accounts[i].ID); err != nil {
			return err
		}
		if _, err := tx.NewDelete().Model(&accounts[i]).WherePK().Exec(ctx); err != nil {
			return err
		}
	}
	var tokens []tokenRow
	if err := tx.NewSelect().Model(&tokens).Where("project = ?", project).Scan(ctx); err != nil {
		return err
	}
	for _, t := range tokens {
		if err := dropToken(ctx, tx, t); err != nil {
			return err
		}
	}
	return nil
}
