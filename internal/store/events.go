package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/event"
)

const (
	eventCounter = "events"
	auditCounter = "audits"
)

// MaxEvents is how many events one call returns at most.
const MaxEvents = 1000

// count returns the counter's next value. The row stays locked until the transaction ends and is set back with it, so
// values have no gaps and become visible in order: a reader that saw n has seen everything before n. A sequence of the
// database would give neither.
func count(ctx context.Context, tx bun.Tx, counter string) (int64, error) {
	var value int64
	err := tx.NewUpdate().Model((*counterRow)(nil)).Set("value = value + 1").Where("name = ?", counter).
		Returning("value").Scan(ctx, &value)
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", counter, err)
	}
	return value, nil
}

// tell writes an event in the transaction that made it true.
func (s *Store) tell(ctx context.Context, tx bun.Tx, e event.Event) error {
	seq, err := count(ctx, tx, eventCounter)
	if err != nil {
		return err
	}
	row := eventRow{Seq: seq, Time: s.now(), Project: e.Project, Kind: e.Kind, Subject: e.Subject, Region: e.Region, Message: clean(e.Message)}
	if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
		return fmt.Errorf("write event %d: %w", seq, err)
	}
	return nil
}

// Events returns what happened after the event with the given number, oldest first: of the given projects, or of all and the
// platform itself when projects is nil. At most limit events are returned, MaxEvents when limit is not between 1 and that.
func (s *Store) Events(ctx context.Context, after int64, projects []string, limit int) ([]event.Event, error) {
	if limit < 1 || limit > MaxEvents {
		limit = MaxEvents
	}
	var rows []eventRow
	query := s.read.NewSelect().Model(&rows).Where("seq > ?", after).Order("seq").Limit(int64(limit))
	if projects != nil {
		query.Where("project IN ?", bun.Tuple(projects))
	}
	if err := query.Scan(ctx); err != nil {
		return nil, s.explain(err, "read the events")
	}
	events := make([]event.Event, len(rows))
	for i, r := range rows {
		events[i] = event.Event{Seq: r.Seq, Time: r.Time.UTC(), Project: r.Project, Kind: r.Kind, Subject: r.Subject, Region: r.Region, Message: r.Message}
	}
	return events, nil
}

// LastEvent returns the number of the newest event, forgotten or not, 0 when there never was one.
func (s *Store) LastEvent(ctx context.Context) (int64, error) {
	var seq int64
	err := s.read.NewSelect().Model((*counterRow)(nil)).Column("value").Where("name = ?", eventCounter).Scan(ctx, &seq)
	return seq, s.explain(err, "read the last event")
}

// ForgetEvents removes the events from before, and returns how many. The audit log keeps who did what.
func (s *Store) ForgetEvents(ctx context.Context, before time.Time) (forgotten int64, err error) {
	err = s.transact(ctx, "forget old events", func(ctx context.Context, tx bun.Tx) error {
		result, err := tx.NewDelete().Model((*eventRow)(nil)).Where("time < ?", before.UTC()).Exec(ctx)
		if err != nil {
			return err
		}
		forgotten, err = result.RowsAffected()
		return err
	})
	return forgotten, err
}
