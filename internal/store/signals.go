package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

const (
	signalCounter   = "signals"
	callbackCounter = "callbacks"
)

// MaxSignals is how many signals, or callbacks, one call returns at most.
const MaxSignals = 1000

type signalRow struct {
	bun.BaseModel `bun:"table:signals"`

	Seq     int64 `bun:",pk"`
	Time    time.Time
	Project string
	Doc     string // an alert.Signal
}

type callbackRow struct {
	bun.BaseModel `bun:"table:callbacks"`

	Seq     int64 `bun:",pk"`
	Time    time.Time
	Channel string
	Digest  string
	Doc     string // an alert.Callback
}

type cursorRow struct {
	bun.BaseModel `bun:"table:cursors"`

	Name  string `bun:",pk"`
	Value int64
}

// countMany is count for n at once: it returns the last of them.
func countMany(ctx context.Context, tx bun.Tx, counter string, n int) (last int64, err error) {
	err = tx.NewUpdate().Model((*counterRow)(nil)).Set("value = value + ?", n).Where("name = ?", counter).Returning("value").Scan(ctx, &last)
	if err != nil {
		return 0, fmt.Errorf("count %d %s: %w", n, counter, err)
	}
	return last, nil
}

// AppendSignals keeps signals in their order, all or none, and returns their numbers. A signal without a time came in now.
func (s *Store) AppendSignals(ctx context.Context, signals []alert.Signal) (numbers []int64, err error) {
	if len(signals) == 0 {
		return nil, nil
	}
	err = s.transact(ctx, "keep signals", func(ctx context.Context, tx bun.Tx) error {
		numbers, err = s.appendSignals(ctx, tx, signals)
		return err
	})
	return numbers, err
}

// appendSignals takes two statements however many there are.
func (s *Store) appendSignals(ctx context.Context, tx bun.Tx, signals []alert.Signal) ([]int64, error) {
	if len(signals) == 0 {
		return nil, nil
	}
	last, err := countMany(ctx, tx, signalCounter, len(signals))
	if err != nil {
		return nil, err
	}
	numbers, rows := make([]int64, len(signals)), make([]signalRow, len(signals))
	for i, signal := range signals {
		signal.Seq = last - int64(len(signals)-1-i)
		signal.At, signal.Project, signal.DedupKey = s.orNow(signal.At), clean(signal.Project), clean(signal.DedupKey)
		doc, err := encode(signal)
		if err != nil {
			return nil, err
		}
		numbers[i], rows[i] = signal.Seq, signalRow{Seq: signal.Seq, Time: signal.At, Project: signal.Project, Doc: doc}
	}
	_, err = tx.NewInsert().Model(&rows).Exec(ctx)
	return numbers, err
}

// Signals returns the signals after the one with the given number, oldest first: at most limit, MaxSignals when limit is not between 1
// and that.
func (s *Store) Signals(ctx context.Context, after int64, limit int) ([]alert.Signal, error) {
	var rows []signalRow
	if err := s.read.NewSelect().Model(&rows).Where("seq > ?", after).Order("seq").Limit(bounded(limit)).Scan(ctx); err != nil {
		return nil, s.explain(err, "read the signals")
	}
	signals := make([]alert.Signal, len(rows))
	for i, r := range rows {
		var err error
		if signals[i], err = decode[alert.Signal](r.Doc); err != nil {
			return nil, err
		}
	}
	return signals, nil
}

func bounded(limit int) int64 {
	if limit < 1 || limit > MaxSignals {
		return MaxSignals
	}
	return int64(limit)
}

// AppendCallback keeps what a provider called back with, before it is answered. digest is of what the provider signed: the same of the
// same channel again is not fresh, and not kept.
func (s *Store) AppendCallback(ctx context.Context, c alert.Callback, digest []byte) (fresh bool, err error) {
	row := callbackRow{Channel: string(c.Channel), Digest: hex.EncodeToString(digest)}
	err = s.transact(ctx, "keep a callback", func(ctx context.Context, tx bun.Tx) error {
		known, err := tx.NewSelect().Model((*callbackRow)(nil)).Where("channel = ? AND digest = ?", row.Channel, row.Digest).Exists(ctx)
		if fresh = !known; err != nil || known {
			return err
		}
		if row.Seq, err = count(ctx, tx, callbackCounter); err != nil {
			return err
		}
		c.Seq, c.At = row.Seq, s.orNow(c.At)
		row.Time = c.At
		if row.Doc, err = encode(c); err != nil {
			return err
		}
		_, err = tx.NewInsert().Model(&row).Exec(ctx)
		return err
	})
	return fresh && err == nil, err
}

// Callbacks returns the callbacks after the one with the given number, oldest first; limit is as that of Signals.
func (s *Store) Callbacks(ctx context.Context, after int64, limit int) ([]alert.Callback, error) {
	var rows []callbackRow
	if err := s.read.NewSelect().Model(&rows).Where("seq > ?", after).Order("seq").Limit(bounded(limit)).Scan(ctx); err != nil {
		return nil, s.explain(err, "read the callbacks")
	}
	callbacks := make([]alert.Callback, len(rows))
	for i, r := range rows {
		var err error
		if callbacks[i], err = decode[alert.Callback](r.Doc); err != nil {
			return nil, err
		}
	}
	return callbacks, nil
}

// Heads are the numbers of the newest signal, callback and event.
type Heads struct{ Signals, Callbacks, Events int64 }

// Heads costs one small read: it is asked many times a second.
func (s *Store) Heads(ctx context.Context) (h Heads, err error) {
	var rows []counterRow
	err = s.read.NewSelect().Model(&rows).Where("name IN (?, ?, ?)", signalCounter, callbackCounter, eventCounter).Scan(ctx)
	for _, r := range rows {
		switch r.Name {
		case signalCounter:
			h.Signals = r.Value
		case callbackCounter:
			h.Callbacks = r.Value
		case eventCounter:
			h.Events = r.Value
		}
	}
	return h, s.explain(err, "read what is new")
}

// Cursor returns how far what reads a sequence has come: 0 at first.
func (s *Store) Cursor(ctx context.Context, name string) (int64, error) {
	at, err := findCursor(ctx, s.read, name)
	return at, s.explain(err, "read the cursor "+name)
}

func findCursor(ctx context.Context, db bun.IDB, name string) (int64, error) {
	row := cursorRow{Name: name}
	err := db.NewSelect().Model(&row).WherePK().Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return row.Value, err
}

// MoveCursor moves a cursor that is still where it was seen. by is the lease of whoever read the sequence so far: who lost it moves
// nothing, and neither does who was overtaken.
func (s *Store) MoveCursor(ctx context.Context, by Lease, name string, from, to int64) error {
	return s.transact(ctx, "move the cursor "+name, func(ctx context.Context, tx bun.Tx) error {
		return moveCursor(ctx, tx, by, name, from, to)
	})
}

func moveCursor(ctx context.Context, tx bun.Tx, by Lease, name string, from, to int64) error {
	if err := held(ctx, tx, by); err != nil {
		return err
	}
	at, err := findCursor(ctx, tx, name)
	if err == nil && at != from {
		err = fault.New(fault.Conflict, "the cursor %s is at %d, not at %d", name, at, from)
	}
	if err != nil {
		return err
	}
	_, err = tx.NewInsert().Model(&cursorRow{Name: name, Value: to}).On("CONFLICT (name) DO UPDATE").Set("value = EXCLUDED.value").Exec(ctx)
	return err
}

// AppendFrom keeps the signals that were made of a sequence's entries, and moves its cursor past them, both or none.
func (s *Store) AppendFrom(ctx context.Context, by Lease, cursor string, from, to int64, signals []alert.Signal) error {
	return s.transact(ctx, "keep the signals of "+cursor, func(ctx context.Context, tx bun.Tx) error {
		if err := moveCursor(ctx, tx, by, cursor, from, to); err != nil {
			return err
		}
		_, err := s.appendSignals(ctx, tx, signals)
		return err
	})
}
