package store

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
)

// Grant gives a user a role in a project; without a project, on the platform. Giving it again changes nothing.
func (s *Store) Grant(ctx context.Context, project, user string, role account.Role, by string) error {
	if err := checkRoleIn(project, role); err != nil {
		return err
	}
	return s.transact(ctx, "grant a role", func(ctx context.Context, tx bun.Tx) error {
		row, err := s.roleOf(ctx, tx, project, user, role)
		if err != nil {
			return err
		}
		result, err := tx.NewInsert().Model(&row).On("CONFLICT (member, project, role) DO NOTHING").Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return s.tellBy(ctx, tx, by, project, "role.granted", user, string(role))
	})
}

// Revoke takes a role from a user. The last active operator keeps that role.
func (s *Store) Revoke(ctx context.Context, project, user string, role account.Role, by string) error {
	if err := checkRoleIn(project, role); err != nil {
		return err
	}
	return s.transact(ctx, "revoke a role", func(ctx context.Context, tx bun.Tx) error {
		row, err := s.roleOf(ctx, tx, project, user, role)
		if err != nil {
			return err
		}
		result, err := tx.NewDelete().Model(&row).WherePK().Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return orNotFound(err, "user %q is no %s%s", clean(user), role, where(project))
		}
		if role == account.Operator {
			if err := someoneOperates(ctx, tx, "user "+user+" cannot be demoted"); err != nil {
				return err
			}
		}
		return s.tellBy(ctx, tx, by, project, "role.revoked", user, string(role))
	})
}

func where(project string) string {
	if project == "" {
		return " on the platform"
	}
	return " of project " + project
}

func orNotFound(err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return fault.New(fault.NotFound, format, args...)
}

func checkRoleIn(project string, role account.Role) error {
	if project == "" {
		return account.CheckPlatformRole(role)
	}
	return account.CheckProjectRole(role)
}

// roleOf finds the user and, if one is named, the project.
func (s *Store) roleOf(ctx context.Context, tx bun.Tx, project, user string, role account.Role) (roleRow, error) {
	if project != "" {
		if _, err := findProject(ctx, tx, project); err != nil {
			return roleRow{}, err
		}
	}
	row, err := mustFindUser(ctx, tx, user)
	return roleRow{Member: row.ID, Project: project, Role: string(role)}, err
}

// Members returns who has a role in a project, by name, people first.
func (s *Store) Members(ctx context.Context, project string) ([]account.Member, error) {
	var found []struct {
		ID, Person, Program, Role string
	}
	err := s.read.NewSelect().TableExpr("roles AS r").
		Join("LEFT JOIN users AS u ON u.id = r.member").Join("LEFT JOIN service_accounts AS a ON a.id = r.member").
		ColumnExpr("r.member AS id, COALESCE(u.name, '') AS person, COALESCE(a.name, '') AS program, r.role AS role").
		Where("r.project = ?", clean(project)).OrderExpr("program, person, role").Scan(ctx, &found)
	if err != nil {
		return nil, s.explain(err, "list the members of "+clean(project))
	}
	members := []account.Member{}
	for _, f := range found {
		if n := len(members); n > 0 && members[n-1].ID == f.ID {
			members[n-1].Roles = append(members[n-1].Roles, account.Role(f.Role))
			continue
		}
		m := account.Member{ID: f.ID, Name: f.Person, Kind: account.Person, Roles: []account.Role{account.Role(f.Role)}}
		if f.Program != "" {
			m.Name, m.Kind = "sa:"+f.Program, account.Service
		}
		members = append(members, m)
	}
	return members, nil
}
