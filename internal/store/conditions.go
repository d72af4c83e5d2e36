package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/event"
)

// ChecksLease is the lease of whoever looks at the platform itself, see internal/checks. Only its holder records what it finds.
const ChecksLease = "checks"

// Condition is a turn that began: what it is about, and since when. Its kind and subject tell it apart.
type Condition struct {
	Kind    string // of the event that began it
	Subject string
	Project string // empty for the platform's own
	Region  string // where, if it is in one
	Message string
	Since   time.Time
}

// RecordConditions takes over everything that is so now of one turn, all subjects of it: what is news is told as the turn's first event,
// and what is not so any more as its last one. by is the lease of whoever looked.
func (s *Store) RecordConditions(ctx context.Context, by Lease, turn event.Turn, now []Condition) error {
	return s.transact(ctx, "record "+turn.Begins, func(ctx context.Context, tx bun.Tx) error {
		if err := held(ctx, tx, by); err != nil {
			return err
		}
		var before []conditionRow
		if err := tx.NewSelect().Model(&before).Where("kind = ?", turn.Begins).Order("subject").Scan(ctx); err != nil {
			return err
		}
		for _, c := range now {
			if err := s.tellTurn(ctx, tx, turn, c, true); err != nil {
				return err
			}
		}
		for _, row := range before {
			if slices.ContainsFunc(now, func(c Condition) bool { return clean(c.Subject) == row.Subject }) {
				continue
			}
			if err := s.tellTurn(ctx, tx, turn, row.condition(), false); err != nil {
				return err
			}
		}
		return nil
	})
}

// tellTurn takes over whether something is so. Only a change of that is told; words that changed alone are kept.
func (s *Store) tellTurn(ctx context.Context, tx bun.Tx, turn event.Turn, c Condition, so bool) error {
	row := conditionRow{Kind: turn.Begins, Subject: clean(c.Subject), Project: c.Project, Region: c.Region, Message: clean(c.Message), Since: s.now()}
	before := conditionRow{Kind: row.Kind, Subject: row.Subject}
	err := tx.NewSelect().Model(&before).WherePK().Scan(ctx)
	known := err == nil
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	told := event.Event{Project: row.Project, Kind: turn.Begins, Subject: row.Subject, Region: row.Region, Message: row.Message}
	switch {
	case so && !known:
		_, err = tx.NewInsert().Model(&row).Exec(ctx)
	case so && before.Message != row.Message:
		_, err := tx.NewUpdate().Model(&row).Column("message").WherePK().Exec(ctx)
		return err
	case !so && known:
		told.Kind, told.Project, told.Region, told.Message = turn.Ends, before.Project, before.Region, ""
		_, err = tx.NewDelete().Model(&before).WherePK().Exec(ctx)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	return s.tell(ctx, tx, told)
}

// Conditions returns everything that needs looking after now, by kind and subject.
func (s *Store) Conditions(ctx context.Context) ([]Condition, error) {
	var rows []conditionRow
	if err := s.read.NewSelect().Model(&rows).Order("kind", "subject").Scan(ctx); err != nil {
		return nil, s.explain(err, "read what needs looking after")
	}
	all := make([]Condition, len(rows))
	for i, row := range rows {
		all[i] = row.condition()
	}
	return all, nil
}

func (r conditionRow) condition() Condition {
	return Condition{Kind: r.Kind, Subject: r.Subject, Project: r.Project, Region: r.Region, Message: r.Message, Since: r.Since.UTC()}
}
