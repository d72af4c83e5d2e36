package store

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// CreateToken keeps the hash of a new token. Names are given once by each owner.
func (s *Store) CreateToken(ctx context.Context, spec account.TokenSpec, hash []byte) (account.Token, error) {
	if err := errors.Join(spec.Validate(), checkHash(hash)); err != nil {
		return account.Token{}, err
	}
	var row tokenRow
	err := s.transact(ctx, "make a token", func(ctx context.Context, tx bun.Tx) (err error) {
		row, err = s.makeToken(ctx, tx, spec, hash)
		return err
	})
	if err != nil {
		return account.Token{}, err
	}
	return row.token()
}

func checkHash(hash []byte) error {
	if len(hash) != 32 {
		return fault.New(fault.Invalid, "a token's hash has 32 bytes, not %d", len(hash))
	}
	return nil
}

func (s *Store) makeToken(ctx context.Context, tx bun.Tx, spec account.TokenSpec, hash []byte) (tokenRow, error) {
	scopes, err := encode(spec.Scopes)
	if err != nil {
		return tokenRow{}, err
	}
	if spec.Project != "" {
		if _, err := findProject(ctx, tx, spec.Project); err != nil {
			return tokenRow{}, err
		}
	}
	row := tokenRow{Hash: hex.EncodeToString(hash), ID: newID("tok"), Owner: spec.Owner, Kind: string(spec.Kind), Name: spec.Name, Scopes: scopes,
		Project: spec.Project, CreatedAt: s.now(), CreatedBy: clean(spec.By), ExpiresAt: s.now().Add(spec.Life).Truncate(time.Second)}
	var names []string
	if err := tx.NewSelect().Model((*tokenRow)(nil)).Column("name").Where("owner = ?", spec.Owner).Scan(ctx, &names); err != nil {
		return row, err
	}
	for _, name := range names {
		if name == spec.Name {
			return row, fault.New(fault.Exists, "there is a token %q already: revoke it, or choose another name", spec.Name)
		}
	}
	if len(names) >= account.MaxTokens {
		return row, fault.New(fault.Quota, "%d tokens are the most that one owner has: revoke one", account.MaxTokens)
	}
	if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
		return row, err
	}
	return row, s.tellToken(ctx, tx, row, "token.created", spec.By)
}

// tellToken tells of a token where its owner belongs: in its project, or on the platform.
func (s *Store) tellToken(ctx context.Context, tx bun.Tx, row tokenRow, kind, by string) error {
	subject, project, err := ownerName(ctx, tx, row)
	if err != nil {
		return err
	}
	return s.tellBy(ctx, tx, by, project, kind, subject+"/"+row.Name, "")
}

func ownerName(ctx context.Context, tx bun.IDB, row tokenRow) (name, project string, err error) {
	if account.Kind(row.Kind) == account.Service {
		var owner serviceAccountRow
		err = tx.NewSelect().Model(&owner).Where("id = ?", row.Owner).Scan(ctx)
		name, project = owner.Project+"/"+owner.Name, owner.Project
	} else {
		var owner userRow
		err = tx.NewSelect().Model(&owner).Where("id = ?", row.Owner).Scan(ctx)
		name = owner.Name
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = fault.New(fault.NotFound, "the owner of the token was removed")
	}
	return name, project, err
}

func (r tokenRow) token() (account.Token, error) {
	scopes, err := decode[[]string](r.Scopes)
	return account.Token{ID: r.ID, Name: r.Name, Prefix: account.PrefixOf(account.Kind(r.Kind)), Scopes: scopes, Project: r.Project, CreatedAt: r.CreatedAt.UTC(),
		CreatedBy: r.CreatedBy, ExpiresAt: r.ExpiresAt.UTC(), LastUsed: r.LastUsed.UTC()}, err
}

// Tokens returns the tokens of a user or a service account, by name, those that expired too.
func (s *Store) Tokens(ctx context.Context, owner string) ([]account.Token, error) {
	var rows []tokenRow
	if err := s.read.NewSelect().Model(&rows).Where("owner = ?", owner).Order("name").Scan(ctx); err != nil {
		return nil, s.explain(err, "list tokens")
	}
	tokens := make([]account.Token, len(rows))
	for i, r := range rows {
		t, err := r.token()
		if err != nil {
			return nil, err
		}
		tokens[i] = t
	}
	return tokens, nil
}

// RevokeToken makes a token of the owner, by its name or id, good no more, and with it every session that it began.
func (s *Store) RevokeToken(ctx context.Context, owner, token, by string) error {
	return s.transact(ctx, "revoke a token", func(ctx context.Context, tx bun.Tx) error {
		var row tokenRow
		err := tx.NewSelect().Model(&row).Where("owner = ? AND (name = ? OR id = ?)", owner, clean(token), clean(token)).Limit(1).Scan(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no token %q", clean(token))
		}
		if err != nil {
			return err
		}
		if err := dropToken(ctx, tx, row); err != nil {
			return err
		}
		return s.tellToken(ctx, tx, row, "token.revoked", by)
	})
}

func dropToken(ctx context.Context, tx bun.Tx, row tokenRow) error {
	if _, err := tx.NewDelete().Model((*sessionRow)(nil)).Where("token = ?", row.Hash).Exec(ctx); err != nil {
		return err
	}
	_, err := tx.NewDelete().Model(&row).WherePK().Exec(ctx)
	return err
}

// Redeem exchanges an invitation's code for its user's token: once, whatever happens at the same time. An invited user is
// active from then on.
func (s *Store) Redeem(ctx context.Context, code []byte, name string, hash []byte) (account.Token, account.User, error) {
	if err := checkHash(hash); err != nil {
		return account.Token{}, account.User{}, err
	}
	var token tokenRow
	var user userRow
	err := s.transact(ctx, "redeem an invitation", func(ctx context.Context, tx bun.Tx) (err error) {
		if user, err = s.invited(ctx, tx, code); err != nil {
			return err
		}
		if account.Status(user.Status) == account.Invited {
			user.Status = string(account.Active)
			if _, err = tx.NewUpdate().Model(&user).Column("status").WherePK().Exec(ctx); err != nil {
				return err
			}
			if err = s.tellBy(ctx, tx, user.Name, "", alert.UserActiveEvent, user.Name, ""); err != nil {
				return err
			}
		}
		spec := account.TokenSpec{Owner: user.ID, Kind: account.Person, Name: name, By: user.Name}.WithDefaults()
		if err = spec.Validate(); err != nil {
			return err
		}
		token, err = s.makeToken(ctx, tx, spec, hash)
		return err
	})
	if err != nil {
		return account.Token{}, account.User{}, err
	}
	made, err := token.token()
	return made, user.user(nil), err
}

// Invited returns whose the code of an invitation is.
func (s *Store) Invited(ctx context.Context, code []byte) (account.User, error) {
	user, _, err := s.findInvited(ctx, s.read, code)
	return user.user(nil), s.explain(err, "look up an invitation")
}

// invited takes an invitation away and returns its user.
func (s *Store) invited(ctx context.Context, tx bun.Tx, code []byte) (userRow, error) {
	user, row, err := s.findInvited(ctx, tx, code)
	if err != nil {
		return user, err
	}
	_, err = tx.NewDelete().Model(&row).WherePK().Exec(ctx)
	return user, err
}

func (s *Store) findInvited(ctx context.Context, db bun.IDB, code []byte) (user userRow, row invitationRow, err error) {
	text := hex.EncodeToString(code)
	err = db.NewSelect().Model(&row).Where("hash = ?", text).Scan(ctx)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && subtle.ConstantTimeCompare([]byte(row.Hash), []byte(text)) != 1:
		return user, row, fault.New(fault.Unauthenticated, "the code is not known, or was used: ask for another invitation")
	case err != nil:
		return user, row, err
	case !s.now().Before(row.ExpiresAt):
		return user, row, fault.New(fault.Unauthenticated, "the code expired at %s: ask for another invitation", row.ExpiresAt.UTC().Format(time.RFC3339))
	}
	err = db.NewSelect().Model(&user).Where("id = ?", row.Member).Scan(ctx)
	if err == nil && account.Status(user.Status) == account.Suspended {
		err = fault.New(fault.Unauthenticated, "user %q is suspended", user.Name)
	}
	return user, row, err
}

// BeginSession keeps a browser's session, by the hash of its id, until it expires or the token is good no more.
func (s *Store) BeginSession(ctx context.Context, id, token []byte, expires time.Time) error {
	return s.transact(ctx, "begin a session", func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewDelete().Model((*sessionRow)(nil)).Where("expires_at <= ?", s.now()).Exec(ctx); err != nil {
			return err
		}
		row := sessionRow{Hash: hex.EncodeToString(id), Token: hex.EncodeToString(token), ExpiresAt: expires.UTC().Truncate(time.Second)}
		_, err := tx.NewInsert().Model(&row).Exec(ctx)
		return err
	})
}

// Session returns the hash of the token that a session was begun with.
func (s *Store) Session(ctx context.Context, id []byte) ([]byte, error) {
	var row sessionRow
	err := s.read.NewSelect().Model(&row).Where("hash = ?", hex.EncodeToString(id)).Scan(ctx)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && !s.now().Before(row.ExpiresAt):
		return nil, fault.New(fault.Unauthenticated, "the session has ended: log in at /login")
	case err != nil:
		return nil, s.explain(err, "look up a session")
	}
	return hex.DecodeString(row.Token)
}

// EndSession ends a session. One that has ended is fine.
func (s *Store) EndSession(ctx context.Context, id []byte) error {
	return s.transact(ctx, "end a session", func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewDelete().Model((*sessionRow)(nil)).Where("hash = ?", hex.EncodeToString(id)).Exec(ctx)
		return err
	})
}
