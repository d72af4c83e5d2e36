package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
)

// CreateServiceAccount makes a service account of a project, with one role there.
func (s *Store) CreateServiceAccount(ctx context.Context, in account.ServiceAccount) (account.ServiceAccount, error) {
	if err := errors.Join(account.CheckUser(in.Name, ""), account.CheckProjectRole(in.Role)); err != nil {
		return account.ServiceAccount{}, err
	}
	made := in
	err := s.transact(ctx, "make service account "+in.Name, func(ctx context.Context, tx bun.Tx) error {
		if err := takesMembers(ctx, tx, in.Project); err != nil {
			return err
		}
		if _, err := findServiceAccount(ctx, tx, in.Project, in.Name); !fault.Is(err, fault.NotFound) {
			return orExists(err, "project %q has a service account %q already", in.Project, in.Name)
		}
		row := serviceAccountRow{ID: newID("sac"), Project: in.Project, Name: in.Name, CreatedAt: s.now(), CreatedBy: clean(in.CreatedBy)}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		role := roleRow{Member: row.ID, Project: in.Project, Role: string(in.Role)}
		if _, err := tx.NewInsert().Model(&role).Exec(ctx); err != nil {
			return err
		}
		made = row.serviceAccount(in.Role)
		return s.tellBy(ctx, tx, in.CreatedBy, in.Project, "service-account.created", in.Project+"/"+in.Name, string(in.Role))
	})
	return made, err
}

// takesMembers fails a transaction that would add somebody to a project that is not there, or on its way out.
func takesMembers(ctx context.Context, tx bun.Tx, project string) error {
	row, err := findProject(ctx, tx, project)
	if err == nil && account.ProjectStatus(row.Status) == account.ProjectRemoving {
		err = fault.New(fault.Conflict, "project %q is being removed", project)
	}
	return err
}

func (r serviceAccountRow) serviceAccount(role account.Role) account.ServiceAccount {
	return account.ServiceAccount{ID: r.ID, Project: r.Project, Name: r.Name, Role: role, CreatedAt: r.CreatedAt.UTC(), CreatedBy: r.CreatedBy}
}

func findServiceAccount(ctx context.Context, db bun.IDB, project, name string) (serviceAccountRow, error) {
	var row serviceAccountRow
	err := db.NewSelect().Model(&row).Where("project = ? AND name = ?", clean(project), clean(name)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, fault.New(fault.NotFound, "project %q has no service account %q", clean(project), clean(name))
	}
	return row, err
}

// ServiceAccount returns one service account of a project, without its role.
func (s *Store) ServiceAccount(ctx context.Context, project, name string) (account.ServiceAccount, error) {
	row, err := findServiceAccount(ctx, s.read, project, name)
	return row.serviceAccount(""), s.explain(err, "read a service account")
}

// ServiceAccounts returns the service accounts of a project, in the order of their names.
func (s *Store) ServiceAccounts(ctx context.Context, project string) ([]account.ServiceAccount, error) {
	var rows []serviceAccountRow
	if err := s.read.NewSelect().Model(&rows).Where("project = ?", clean(project)).Order("name").Scan(ctx); err != nil {
		return nil, s.explain(err, "list the service accounts of "+clean(project))
	}
	var grants []roleRow
	if err := s.read.NewSelect().Model(&grants).Where("project = ?", clean(project)).Scan(ctx); err != nil {
		return nil, s.explain(err, "list the roles in "+clean(project))
	}
	roles := map[string]account.Role{}
	for _, g := range grants {
		roles[g.Member] = account.Role(g.Role)
	}
	accounts := make([]account.ServiceAccount, len(rows))
	for i, r := range rows {
		accounts[i] = r.serviceAccount(roles[r.ID])
	}
	return accounts, nil
}

// RemoveServiceAccount removes a service account with its tokens.
func (s *Store) RemoveServiceAccount(ctx context.Context, project, name, by string) error {
	return s.transact(ctx, "remove service account "+clean(name), func(ctx context.Context, tx bun.Tx) error {
		row, err := findServiceAccount(ctx, tx, project, name)
		if err != nil {
			return err
		}
		if err := forgetMember(ctx, tx, row.ID); err != nil {
			return err
		}
		if _, err := tx.NewDelete().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.tellBy(ctx, tx, by, project, "service-account.removed", project+"/"+name, "")
	})
}
