package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

func findUser(ctx context.Context, db bun.IDB, name string) (row userRow, known bool, err error) {
	err = db.NewSelect().Model(&row).Where("name = ?", clean(name)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, false, nil
	}
	return row, err == nil, err
}

// mustFindUser is findUser for who asks for a user that must be there.
func mustFindUser(ctx context.Context, db bun.IDB, name string) (userRow, error) {
	row, known, err := findUser(ctx, db, name)
	if err == nil && !known {
		err = fault.New(fault.NotFound, "there is no user %q", clean(name))
	}
	return row, err
}

func (r userRow) user(platform []account.Role) account.User {
	return account.User{ID: r.ID, Name: r.Name, Email: r.Email, Status: account.Status(r.Status), Platform: platform, CreatedAt: r.CreatedAt.UTC(), CreatedBy: r.CreatedBy}
}

// Users returns every user, in the order of their names, with their roles on the platform.
func (s *Store) Users(ctx context.Context) ([]account.User, error) {
	var rows []userRow
	if err := s.read.NewSelect().Model(&rows).Order("name").Scan(ctx); err != nil {
		return nil, s.explain(err, "list the users")
	}
	var grants []roleRow
	if err := s.read.NewSelect().Model(&grants).Where("project = ''").Order("role").Scan(ctx); err != nil {
		return nil, s.explain(err, "list the roles on the platform")
	}
	roles := map[string][]account.Role{}
	for _, g := range grants {
		roles[g.Member] = append(roles[g.Member], account.Role(g.Role))
	}
	users := make([]account.User, len(rows))
	for i, r := range rows {
		users[i] = r.user(roles[r.ID])
	}
	return users, nil
}

// UserNamed returns the user of that name.
func (s *Store) UserNamed(ctx context.Context, name string) (account.User, error) {
	row, err := mustFindUser(ctx, s.read, name)
	if err != nil {
		return account.User{}, s.explain(err, "read user "+clean(name))
	}
	return row.user(nil), nil
}

// InviteUser makes a user who is invited, and keeps the hash of the code that makes the user's first token.
func (s *Store) InviteUser(ctx context.Context, name, email string, code []byte, by string) (account.User, time.Time, error) {
	if err := account.CheckUser(name, email); err != nil {
		return account.User{}, time.Time{}, err
	}
	var row userRow
	expires := s.now().Add(account.InvitationLife).Truncate(time.Second)
	err := s.transact(ctx, "invite user "+name, func(ctx context.Context, tx bun.Tx) error {
		if _, known, err := findUser(ctx, tx, name); err != nil || known {
			return orExists(err, "there is a user %q already; a new invitation for the same user is made with m3o user invite --again", name)
		}
		row = userRow{ID: newID("usr"), Name: name, Email: email, Status: string(account.Invited), CreatedAt: s.now(), CreatedBy: clean(by)}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		if err := keepInvitation(ctx, tx, row.ID, code, by, expires); err != nil {
			return err
		}
		return s.tellBy(ctx, tx, by, "", "user.invited", name, "")
	})
	return row.user(nil), expires, err
}

// orExists is err, or that there is such a thing already.
func orExists(err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return fault.New(fault.Exists, format, args...)
}

func keepInvitation(ctx context.Context, tx bun.Tx, member string, code []byte, by string, expires time.Time) error {
	row := invitationRow{Member: member, Hash: hex.EncodeToString(code), CreatedBy: clean(by), ExpiresAt: expires}
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (member) DO UPDATE").Set("hash = EXCLUDED.hash").
		Set("created_by = EXCLUDED.created_by").Set("expires_at = EXCLUDED.expires_at").Exec(ctx)
	return err
}

// RenewInvitation keeps the hash of a new code for a user who was invited, or lost every token. The code before is good no
// more. A user who can log in needs no code, and whoever had one made could act as that user.
func (s *Store) RenewInvitation(ctx context.Context, name string, code []byte, by string) (account.User, time.Time, error) {
	var row userRow
	expires := s.now().Add(account.InvitationLife).Truncate(time.Second)
	err := s.transact(ctx, "invite user "+clean(name)+" again", func(ctx context.Context, tx bun.Tx) error {
		var err error
		if row, err = mustFindUser(ctx, tx, name); err != nil {
			return err
		}
		if account.Status(row.Status) == account.Suspended {
			return fault.New(fault.Conflict, "user %q is suspended", row.Name)
		}
		if err := s.needsCode(ctx, tx, row); err != nil {
			return err
		}
		if err := keepInvitation(ctx, tx, row.ID, code, by, expires); err != nil {
			return err
		}
		return s.tellBy(ctx, tx, by, "", "user.invited", row.Name, "again")
	})
	return row.user(nil), expires, err
}

// needsCode fails for an active user who holds a token that has not expired.
func (s *Store) needsCode(ctx context.Context, tx bun.Tx, row userRow) error {
	if account.Status(row.Status) != account.Active {
		return nil
	}
	n, err := tx.NewSelect().Model((*tokenRow)(nil)).Where("owner = ?", row.ID).Where("expires_at IS NULL OR expires_at > ?", s.now()).Count(ctx)
	if err == nil && n > 0 {
		err = fault.New(fault.Conflict, "user %q is active and holds a token that is good: revoke every token of a user who lost them, and invite again", row.Name)
	}
	return err
}

// MoveUser suspends an active user, or makes a suspended one active again. Doing it again changes nothing.
func (s *Store) MoveUser(ctx context.Context, name string, to account.Status, by string) (account.User, error) {
	var row userRow
	err := s.transact(ctx, "make user "+clean(name)+" "+string(to), func(ctx context.Context, tx bun.Tx) error {
		var err error
		if row, err = mustFindUser(ctx, tx, name); err != nil || account.Status(row.Status) == to {
			return err
		}
		if account.Status(row.Status) == account.Invited {
			return fault.New(fault.Conflict, "user %q is invited and has not logged in: remove the user instead", row.Name)
		}
		row.Status = string(to)
		if _, err := tx.NewUpdate().Model(&row).Column("status").WherePK().Exec(ctx); err != nil {
			return err
		}
		if err := someoneOperates(ctx, tx, "user "+row.Name+" cannot be suspended"); err != nil {
			return err
		}
		return s.tellBy(ctx, tx, by, "", "user."+row.Status, row.Name, "")
	})
	return row.user(nil), err
}

// RemoveUser removes a user with all tokens, sessions, roles, invitations and contacts, and ends overrides by that user.
func (s *Store) RemoveUser(ctx context.Context, name, by string) error {
	return s.transact(ctx, "remove user "+clean(name), func(ctx context.Context, tx bun.Tx) error {
		row, err := mustFindUser(ctx, tx, name)
		if err != nil {
			return err
		}
		if _, err := tx.NewDelete().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		if err := forgetMember(ctx, tx, row.ID); err != nil {
			return err
		}
		if err := s.forgetReach(ctx, tx, row); err != nil {
			return err
		}
		if err := someoneOperates(ctx, tx, "user "+row.Name+" cannot be removed"); err != nil {
			return err
		}
		return s.tellBy(ctx, tx, by, "", alert.UserRemovedEvent, row.Name, "")
	})
}

// forgetMember removes what is kept of a user or a service account, but for its own row.
func forgetMember(ctx context.Context, tx bun.Tx, id string) error {
	var tokens []tokenRow
	if err := tx.NewSelect().Model(&tokens).Where("owner = ?", id).Scan(ctx); err != nil {
		return err
	}
	for _, t := range tokens {
		if err := dropToken(ctx, tx, t); err != nil {
			return err
		}
	}
	if _, err := tx.NewDelete().Model((*roleRow)(nil)).Where("member = ?", id).Exec(ctx); err != nil {
		return err
	}
	_, err := tx.NewDelete().Model((*invitationRow)(nil)).Where("member = ?", id).Exec(ctx)
	return err
}

// someoneOperates fails a change after which no active user would operate the platform. Of two such changes at once one
// sees the other: transactions are serializable.
func someoneOperates(ctx context.Context, tx bun.Tx, otherwise string) error {
	n, err := tx.NewSelect().Model((*userRow)(nil)).Where("status = ?", string(account.Active)).
		Where("id IN (SELECT member FROM roles WHERE project = '' AND role = ?)", string(account.Operator)).Count(ctx)
	if err == nil && n == 0 {
		err = fault.New(fault.Conflict, "%s: this is the last active operator. Make another user an operator first", otherwise)
	}
	return err
}
