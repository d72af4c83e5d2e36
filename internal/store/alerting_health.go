package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/alert"
)

// Sequences are what Unrelayed tells of.
var Sequences = []string{SignalCursor, EventCursor, CallbackCursor, digestSequence}

const digestSequence = "digests"

// Unrelayed is what the relay has not brought to workflows yet.
type Unrelayed struct {
	What  string // one of Sequences
	Count int64
	Since time.Time // when the oldest of it came in
}

// Unrelayed returns what waits for the relay, sequence by sequence. What does not wait is left out.
func (s *Store) Unrelayed(ctx context.Context) ([]Unrelayed, error) {
	heads, err := s.Heads(ctx)
	if err != nil {
		return nil, err
	}
	var all []Unrelayed
	for _, q := range []struct {
		cursor string
		head   int64
		model  any
	}{{SignalCursor, heads.Signals, (*signalRow)(nil)}, {CallbackCursor, heads.Callbacks, (*callbackRow)(nil)}} {
		at, err := findCursor(ctx, s.read, q.cursor)
		if err != nil {
			return nil, s.explain(err, "read the cursor "+q.cursor)
		}
		since, found, err := s.oldest(ctx, s.read.NewSelect().Model(q.model).Column("time").Where("seq > ?", at).Order("seq").Limit(1))
		if err != nil {
			return nil, s.explain(err, "find what waits for the relay")
		}
		if found {
			all = append(all, Unrelayed{What: q.cursor, Count: q.head - at, Since: since})
		}
	}
	events, waits, err := s.unrelayedEvents(ctx)
	if err != nil {
		return nil, err
	}
	if waits {
		all = append(all, events)
	}
	pending := s.read.NewSelect().Model((*groupRow)(nil)).Where("pending > 0")
	n, err := pending.Clone().Count(ctx)
	if err != nil || n == 0 {
		return all, s.explain(err, "count the digests that wait")
	}
	since, _, err := s.oldest(ctx, pending.Column("first_at").Order("first_at").Limit(1))
	return append(all, Unrelayed{What: digestSequence, Count: int64(n), Since: since}), s.explain(err, "find which digest waits")
}

// unrelayedEvents are those that make signals: the cursor need not move for others.
func (s *Store) unrelayedEvents(ctx context.Context) (u Unrelayed, waits bool, err error) {
	at, err := findCursor(ctx, s.read, EventCursor)
	if err != nil {
		return u, false, s.explain(err, "read the cursor "+EventCursor)
	}
	events, err := s.Events(ctx, at, nil, MaxEvents)
	u.What = EventCursor
	for _, e := range events {
		if _, news := alert.FromEvent(e); !news {
			continue
		}
		if u.Count++; u.Count == 1 {
			u.Since = e.Time
		}
	}
	return u, u.Count > 0, err
}

func (s *Store) oldest(ctx context.Context, query *bun.SelectQuery) (at time.Time, found bool, err error) {
	err = query.Scan(ctx, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return at, false, nil
	}
	return at.UTC(), err == nil, err
}

// PageTally is how many pages by one channel came to one state.
type PageTally struct {
	Channel alert.Channel
	State   alert.Delivery
	Count   int64
}

// PagesBetween counts the pages that began from then until before to, by channel and state.
func (s *Store) PagesBetween(ctx context.Context, from, to time.Time) ([]PageTally, error) {
	var all []PageTally
	err := s.read.NewSelect().Model((*pageRow)(nil)).Column("channel", "state").ColumnExpr("COUNT(*) AS count").
		Where("began_at >= ? AND began_at < ?", from.UTC(), to.UTC()).Group("channel", "state").Order("channel", "state").Scan(ctx, &all)
	return all, s.explain(err, "count the pages")
}

// FirstPages returns, of the alerts whose first page that was sent began from then until before to, how long it took since their first
// signal came in.
func (s *Store) FirstPages(ctx context.Context, from, to time.Time) ([]time.Duration, error) {
	var firsts []struct {
		Doc   string
		Began time.Time
	}
	sent := "p.kind = ? AND p.state IN (?, ?)"
	args := []any{string(alert.PageTrigger), string(alert.Sent), string(alert.Delivered)}
	within := s.read.NewSelect().TableExpr("pages AS p").ColumnExpr("p.alert").Where("p.began_at >= ? AND p.began_at < ?", from.UTC(), to.UTC()).Where(sent, args...)
	err := s.read.NewSelect().TableExpr("pages AS p").Join("JOIN alerts AS a ON a.number = p.alert").ColumnExpr("a.doc AS doc, MIN(p.began_at) AS began").
		Where(sent, args...).Where("p.alert IN (?)", within).GroupExpr("a.number, a.doc").Having("MIN(p.began_at) >= ?", from.UTC()).Scan(ctx, &firsts)
	if err != nil {
		return nil, s.explain(err, "find the first pages of alerts")
	}
	took := make([]time.Duration, len(firsts))
	for i, f := range firsts {
		a, err := decode[alert.Alert](f.Doc)
		if err != nil {
			return nil, err
		}
		took[i] = f.Began.Sub(a.StartedAt)
	}
	return took, nil
}
