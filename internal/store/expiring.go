package store

import (
	"context"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
)

// ExpiringToken is a token whose end is near, or past. Subject names it as events do, and Project is that of a service account.
type ExpiringToken struct {
	Subject   string
	Project   string
	Kind      account.Kind
	ExpiresAt time.Time
}

// ExpiringTokens returns the tokens that expire before that, or have, and were used since, by their ends.
func (s *Store) ExpiringTokens(ctx context.Context, before, usedSince time.Time) ([]ExpiringToken, error) {
	var rows []tokenRow
	err := s.read.NewSelect().Model(&rows).Where("expires_at < ? AND last_used >= ?", before.UTC(), usedSince.UTC()).Order("expires_at").Limit(MaxEvents).Scan(ctx)
	if err != nil {
		return nil, s.explain(err, "list the tokens that expire")
	}
	var all []ExpiringToken
	for _, row := range rows {
		owner, project, err := ownerName(ctx, s.read, row)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, s.explain(err, "find whose token expires")
		}
		all = append(all, ExpiringToken{Subject: owner + "/" + row.Name, Project: project, Kind: account.Kind(row.Kind), ExpiresAt: row.ExpiresAt.UTC()})
	}
	return all, nil
}
