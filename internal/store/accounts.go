package store

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
)

// lastUsedStep is how exactly the last use of a token is kept: writing it at each request would cost more than the request.
const lastUsedStep = 5 * time.Minute

// touchTime is how long a request waits for that.
const touchTime = 200 * time.Millisecond

// Principal returns who holds the token with this hash, with the roles of now: a change of them, a suspension and a
// revocation reach tokens that exist at their next request.
func (s *Store) Principal(ctx context.Context, hash []byte) (account.Principal, error) {
	row, err := s.findToken(ctx, hash)
	if err != nil {
		return account.Principal{}, err
	}
	p, err := s.ownerOf(ctx, row)
	if err != nil {
		return account.Principal{}, s.explain(err, "look up who holds a token")
	}
	if err := s.addRoles(ctx, &p); err != nil {
		return account.Principal{}, s.explain(err, "look up roles")
	}
	if s.now().Sub(row.LastUsed) >= lastUsedStep {
		s.touch(ctx, row)
	}
	return p, nil
}

// findToken looks a token up by its hash, so the time it takes tells nothing about tokens; that the database found the very
// hash, and not one that its collation holds for equal, is compared in constant time.
func (s *Store) findToken(ctx context.Context, hash []byte) (tokenRow, error) {
	var row tokenRow
	text := hex.EncodeToString(hash)
	err := s.read.NewSelect().Model(&row).Where("hash = ?", text).Scan(ctx)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && subtle.ConstantTimeCompare([]byte(row.Hash), []byte(text)) != 1:
		return row, fault.New(fault.Unauthenticated, "the token is not known, or was revoked")
	case err != nil:
		return row, s.explain(err, "look up a token")
	case !row.ExpiresAt.IsZero() && !s.now().Before(row.ExpiresAt):
		return row, fault.New(fault.Unauthenticated, "the token %q expired at %s", row.Name, row.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return row, nil
}

// ownerOf is the principal that a token stands for, without its roles.
func (s *Store) ownerOf(ctx context.Context, row tokenRow) (account.Principal, error) {
	p := account.Principal{ID: row.Owner, Kind: account.Kind(row.Kind), Project: row.Project, Token: account.TokenRef{ID: row.ID, Name: row.Name, ExpiresAt: row.ExpiresAt.UTC()}}
	var err error
	if p.Scopes, err = decode[[]string](row.Scopes); err != nil {
		return p, err
	}
	if p.Kind == account.Service {
		var owner serviceAccountRow
		err = s.read.NewSelect().Model(&owner).Where("id = ?", row.Owner).Scan(ctx)
		p.Subject, p.Project = owner.Project+"/"+owner.Name, owner.Project
	} else {
		var owner userRow
		err = s.read.NewSelect().Model(&owner).Where("id = ?", row.Owner).Scan(ctx)
		if p.Subject = owner.Name; err == nil && account.Status(owner.Status) != account.Active {
			return p, fault.New(fault.Unauthenticated, "user %q is %s", owner.Name, owner.Status)
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		return p, fault.New(fault.Unauthenticated, "the owner of the token %q was removed", row.Name)
	}
	return p, err
}

func (s *Store) addRoles(ctx context.Context, p *account.Principal) error {
	var rows []roleRow
	if err := s.read.NewSelect().Model(&rows).Where("member = ?", p.ID).Order("project", "role").Scan(ctx); err != nil {
		return err
	}
	for _, r := range rows {
		if r.Project == "" {
			p.Platform = append(p.Platform, account.Role(r.Role))
			continue
		}
		if p.Projects == nil {
			p.Projects = map[string][]account.Role{}
		}
		p.Projects[r.Project] = append(p.Projects[r.Project], account.Role(r.Role))
	}
	return nil
}

// touch keeps when a token was used, unless another request just did. It waits for other writers only so long, and what goes
// wrong refuses nobody: the next request tries again.
func (s *Store) touch(ctx context.Context, row tokenRow) {
	ctx, cancel := context.WithTimeout(ctx, touchTime)
	defer cancel()
	now := s.now()
	err := s.transact(ctx, "keep when a token was used", func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewUpdate().Model((*tokenRow)(nil)).Set("last_used = ?", now).Where("hash = ?", row.Hash).
			Where("last_used IS NULL OR last_used <= ?", now.Add(-lastUsedStep)).Exec(ctx)
		return err
	})
	if err != nil {
		slog.DebugContext(ctx, "the use of a token was not kept", "token", row.ID, "error", err)
	}
}

// Bootstrap lets whoever holds the token with this hash operate the platform, if nobody else can: the user admin, made an
// active operator, who gets the token under the name of its file, for ever. Another token that bore the name before is good
// no more. While an active operator holds a token that is good, nothing is changed, and that is a conflict unless the token
// is such a one. Where there were users before, the platform is told.
func (s *Store) Bootstrap(ctx context.Context, hash []byte, name string) error {
	if len(hash) < 32 {
		return fault.New(fault.Invalid, "a token's hash has at least 32 bytes, not %d", len(hash))
	}
	return s.transact(ctx, "admit the administrator", func(ctx context.Context, tx bun.Tx) error {
		operating, err := s.operating(ctx, tx)
		if err != nil {
			return err
		}
		if len(operating) > 0 {
			return known(operating, hash)
		}
		before, err := tx.NewSelect().Model((*userRow)(nil)).Count(ctx)
		if err != nil {
			return err
		}
		row, err := s.admit(ctx, tx, hash, name)
		if err != nil || before == 0 {
			return err
		}
		return s.tellBy(ctx, tx, row.CreatedBy, "", "user.admitted", adminName, "made an active operator with the token "+row.Name)
	})
}

// operating are the good tokens of active operators.
func (s *Store) operating(ctx context.Context, tx bun.Tx) (hashes []string, err error) {
	err = tx.NewSelect().Model((*tokenRow)(nil)).Column("hash").Where("expires_at IS NULL OR expires_at > ?", s.now()).
		Where("owner IN (SELECT id FROM users WHERE status = ?)", string(account.Active)).
		Where("owner IN (SELECT member FROM roles WHERE project = '' AND role = ?)", string(account.Operator)).Scan(ctx, &hashes)
	return hashes, err
}

func known(operating []string, hash []byte) error {
	if slices.Contains(operating, hex.EncodeToString(hash)) {
		return nil
	}
	return fault.New(fault.Conflict, "the platform has an active operator already: the token was not admitted, and nothing was changed")
}

// admit gives the token to admin, an active operator from now on.
func (s *Store) admit(ctx context.Context, tx bun.Tx, hash []byte, name string) (tokenRow, error) {
	admin, err := s.ensureAdmin(ctx, tx)
	if err != nil {
		return tokenRow{}, err
	}
	row := tokenRow{Hash: hex.EncodeToString(hash), ID: newID("tok"), Owner: admin.ID, Kind: string(account.Person), Name: clean(name),
		Scopes: `["*"]`, CreatedAt: s.now(), CreatedBy: "m3o migrate"}
	if _, err := tx.NewDelete().Model((*tokenRow)(nil)).Where("owner = ? AND name = ? AND hash <> ?", row.Owner, row.Name, row.Hash).Exec(ctx); err != nil {
		return row, err
	}
	_, err = tx.NewInsert().Model(&row).On("CONFLICT (hash) DO NOTHING").Exec(ctx)
	return row, err
}

// adminName is the first user.
const adminName = "admin"

func (s *Store) ensureAdmin(ctx context.Context, tx bun.Tx) (userRow, error) {
	admin, known, err := findUser(ctx, tx, adminName)
	if err != nil {
		return admin, err
	}
	if !known {
		admin = userRow{ID: newID("usr"), Name: adminName, CreatedAt: s.now(), CreatedBy: "m3o migrate"}
	}
	admin.Status = string(account.Active)
	if _, err := tx.NewInsert().Model(&admin).On("CONFLICT (id) DO UPDATE").Set("status = EXCLUDED.status").Exec(ctx); err != nil {
		return admin, err
	}
	role := roleRow{Member: admin.ID, Role: string(account.Operator)}
	_, err = tx.NewInsert().Model(&role).On("CONFLICT (member, project, role) DO NOTHING").Exec(ctx)
	return admin, err
}

// newID is an id that was never given before.
func newID(kind string) string { return kind + "_" + rand.Text()[:20] }

// tellBy writes an event that says who did it.
func (s *Store) tellBy(ctx context.Context, tx bun.Tx, by, project, kind, subject, message string) error {
	if message != "" {
		message += ", "
	}
	return s.tell(ctx, tx, event.Event{Project: project, Kind: kind, Subject: subject, Message: message + "by " + by})
}
