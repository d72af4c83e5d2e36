package store

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

type integrationRow struct {
	bun.BaseModel `bun:"table:integration_keys"`

	ID         string `bun:",pk"`
	Project    string
	Name       string
	FirstHash  string
	SecondHash string
	CreatedAt  time.Time
	Doc        string // an alert.IntegrationKey
}

// CreateIntegrationKey keeps a new integration key, by the hashes of its pair. Names are given once in a project.
func (s *Store) CreateIntegrationKey(ctx context.Context, k alert.IntegrationKey, first, second []byte) (alert.IntegrationKey, error) {
	if err := errors.Join(k.Validate(), checkHash(first), checkHash(second)); err != nil {
		return alert.IntegrationKey{}, err
	}
	k.ID, k.CreatedAt, k.CreatedBy = newID("key"), s.now(), clean(k.CreatedBy)
	err := s.transact(ctx, "make an integration key", func(ctx context.Context, tx bun.Tx) error {
		if _, err := findProject(ctx, tx, k.Project); err != nil {
			return err
		}
		var names []string
		if err := tx.NewSelect().Model((*integrationRow)(nil)).Column("name").Where("project = ?", k.Project).Scan(ctx, &names); err != nil {
			return err
		}
		if err := mayAdd(names, k.Name, "an integration key", alert.MaxIntegrationKeys); err != nil {
			return err
		}
		row := integrationRow{ID: k.ID, Project: k.Project, Name: k.Name, FirstHash: hex.EncodeToString(first), SecondHash: hex.EncodeToString(second), CreatedAt: k.CreatedAt}
		var err error
		if row.Doc, err = encode(k); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		return s.tellBy(ctx, tx, k.CreatedBy, k.Project, "integration-key.created", k.Name, "")
	})
	return k, err
}

// mayAdd says why a project cannot have another of these.
func mayAdd(names []string, name, noun string, most int) error {
	for _, known := range names {
		if known == name {
			return fault.New(fault.Exists, "there is %s %q already: remove it, or choose another name", noun, name)
		}
	}
	if len(names) >= most {
		return fault.New(fault.Quota, "%d are the most that a project has: remove %s", most, noun)
	}
	return nil
}

// IntegrationKeys returns a project's integration keys, by name.
func (s *Store) IntegrationKeys(ctx context.Context, project string) ([]alert.IntegrationKey, error) {
	var rows []integrationRow
	if err := s.read.NewSelect().Model(&rows).Where("project = ?", clean(project)).Order("name").Scan(ctx); err != nil {
		return nil, s.explain(err, "list the integration keys")
	}
	keys := make([]alert.IntegrationKey, len(rows))
	for i, r := range rows {
		var err error
		if keys[i], err = decode[alert.IntegrationKey](r.Doc); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// IntegrationKey returns the key that one of a pair's secrets is of, by its hash.
func (s *Store) IntegrationKey(ctx context.Context, hash []byte) (alert.IntegrationKey, error) {
	text := hex.EncodeToString(hash)
	var row integrationRow
	err := s.read.NewSelect().Model(&row).Where("first_hash = ? OR second_hash = ?", text, text).Limit(1).Scan(ctx)
	same := func(hash string) bool { return subtle.ConstantTimeCompare([]byte(hash), []byte(text)) == 1 }
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && !same(row.FirstHash) && !same(row.SecondHash):
		return alert.IntegrationKey{}, fault.New(fault.NotFound, "there is no such key")
	case err != nil:
		return alert.IntegrationKey{}, s.explain(err, "look up an integration key")
	}
	return decode[alert.IntegrationKey](row.Doc)
}

// RotateIntegrationKey makes the second secret of a pair its first, and another, by its hash, its second. The first one is good no more.
func (s *Store) RotateIntegrationKey(ctx context.Context, project, name string, second []byte, by string) (k alert.IntegrationKey, err error) {
	if err := checkHash(second); err != nil {
		return k, err
	}
	err = s.transact(ctx, "rotate an integration key", func(ctx context.Context, tx bun.Tx) error {
		row, err := findIntegration(ctx, tx, project, name)
		if err != nil {
			return err
		}
		if k, err = decode[alert.IntegrationKey](row.Doc); err != nil {
			return err
		}
		k.RotatedAt = s.now()
		row.FirstHash, row.SecondHash = row.SecondHash, hex.EncodeToString(second)
		if row.Doc, err = encode(k); err != nil {
			return err
		}
		if _, err := tx.NewUpdate().Model(&row).Column("first_hash", "second_hash", "doc").WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.tellBy(ctx, tx, by, row.Project, "integration-key.rotated", row.Name, "")
	})
	return k, err
}

// RevokeIntegrationKey makes both secrets of a pair good no more.
func (s *Store) RevokeIntegrationKey(ctx context.Context, project, name, by string) error {
	return s.transact(ctx, "revoke an integration key", func(ctx context.Context, tx bun.Tx) error {
		row, err := findIntegration(ctx, tx, project, name)
		if err != nil {
			return err
		}
		if _, err := tx.NewDelete().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.tellBy(ctx, tx, by, row.Project, "integration-key.revoked", row.Name, "")
	})
}

func findIntegration(ctx context.Context, tx bun.Tx, project, name string) (integrationRow, error) {
	var row integrationRow
	err := tx.NewSelect().Model(&row).Where("project = ? AND name = ?", clean(project), clean(name)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, fault.New(fault.NotFound, "there is no integration key %q in project %q", clean(name), clean(project))
	}
	return row, err
}
