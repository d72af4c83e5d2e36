package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// EnsureProject makes a project of that name exist.
func (s *Store) EnsureProject(ctx context.Context, name string) error {
	if !region.IsLabel(name) {
		return badField("project", "\""+clean(name)+"\" "+region.LabelRule)
	}
	row := projectRow{Name: name, CreatedAt: s.now()}
	return s.transact(ctx, "make project "+name, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&row).On("CONFLICT (name) DO NOTHING").Exec(ctx)
		return err
	})
}

// ReplaceToken lets whoever holds the token with this hash act as the principal, until expires; for ever when that is zero.
// Others that had the name before are good no more; the same hash again replaces what was saved.
func (s *Store) ReplaceToken(ctx context.Context, hash []byte, p account.Principal, name string, expires time.Time) error {
	if len(hash) < 32 {
		return fault.New(fault.Invalid, "a token's hash has at least 32 bytes, not %d", len(hash))
	}
	principal, err := encode(p)
	if err != nil {
		return err
	}
	row := tokenRow{Hash: hex.EncodeToString(hash), Name: clean(name), Principal: principal, CreatedAt: s.now()}
	if !expires.IsZero() {
		row.ExpiresAt = expires.UTC()
	}
	return s.transact(ctx, "save a token", func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewDelete().Model((*tokenRow)(nil)).Where("name = ? AND hash <> ?", row.Name, row.Hash).Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewInsert().Model(&row).On("CONFLICT (hash) DO UPDATE").Set("name = EXCLUDED.name").
			Set("principal = EXCLUDED.principal").Set("expires_at = EXCLUDED.expires_at").Exec(ctx)
		return err
	})
}

// Principal returns who holds the token with this hash. The lookup is by hash, so its time tells nothing about tokens.
func (s *Store) Principal(ctx context.Context, hash []byte) (account.Principal, error) {
	var row tokenRow
	err := s.read.NewSelect().Model(&row).Where("hash = ?", hex.EncodeToString(hash)).Scan(ctx)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return account.Principal{}, fault.New(fault.Unauthenticated, "the token is not known")
	case err != nil:
		return account.Principal{}, s.explain(err, "look up a token")
	case !row.ExpiresAt.IsZero() && !s.now().Before(row.ExpiresAt):
		return account.Principal{}, fault.New(fault.Unauthenticated, "the token %q expired at %s", row.Name, row.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return decode[account.Principal](row.Principal)
}
