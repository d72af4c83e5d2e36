package store

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// unheard is how long heartbeats may go without a check before the time that passed counts as nobody's fault: pings could not be
// received, or would have been missed too late.
const unheard = 30 * time.Second

type heartbeatRow struct {
	bun.BaseModel `bun:"table:heartbeats"`

	Project string `bun:",pk"`
	Name    string `bun:",pk"`
	Hash    string
	Status  string
	DueAt   time.Time `bun:",nullzero"`
	Doc     string    // an alert.Heartbeat
}

func (r *heartbeatRow) set(h alert.Heartbeat) (err error) {
	r.Project, r.Name, r.Status, r.DueAt = h.Project, h.Name, string(h.Status), h.DueAt
	r.Doc, err = encode(h)
	return err
}

// CreateHeartbeat keeps a new heartbeat, by the hash of its key. Names are given once in a project.
func (s *Store) CreateHeartbeat(ctx context.Context, h alert.Heartbeat, hash []byte) (alert.Heartbeat, error) {
	if err := errors.Join(h.Validate(), checkHash(hash)); err != nil {
		return alert.Heartbeat{}, err
	}
	h.Status, h.CreatedAt, h.CreatedBy = alert.HeartbeatWaiting, s.now(), clean(h.CreatedBy)
	err := s.transact(ctx, "make a heartbeat", func(ctx context.Context, tx bun.Tx) error {
		if _, err := findProject(ctx, tx, h.Project); err != nil {
			return err
		}
		var names []string
		if err := tx.NewSelect().Model((*heartbeatRow)(nil)).Column("name").Where("project = ?", h.Project).Scan(ctx, &names); err != nil {
			return err
		}
		if err := mayAdd(names, h.Name, "a heartbeat", alert.MaxHeartbeats); err != nil {
			return err
		}
		row := heartbeatRow{Hash: hex.EncodeToString(hash)}
		if err := row.set(h); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		return s.tellBy(ctx, tx, h.CreatedBy, h.Project, "heartbeat.created", h.Name, "")
	})
	return h, err
}

// Heartbeats returns a project's heartbeats, by name.
func (s *Store) Heartbeats(ctx context.Context, project string) ([]alert.Heartbeat, error) {
	var rows []heartbeatRow
	if err := s.read.NewSelect().Model(&rows).Where("project = ?", clean(project)).Order("name").Scan(ctx); err != nil {
		return nil, s.explain(err, "list the heartbeats")
	}
	all := make([]alert.Heartbeat, len(rows))
	for i, r := range rows {
		var err error
		if all[i], err = decode[alert.Heartbeat](r.Doc); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// noted is how long a ping is not written down for having come so soon after another.
const noted = time.Second

// PingHeartbeat notes that the heartbeat whose key has the hash was heard. The alert of one that was missed is over.
func (s *Store) PingHeartbeat(ctx context.Context, hash []byte) (h alert.Heartbeat, err error) {
	row, err := heartbeatOf(ctx, s.read, hash)
	if err != nil {
		return h, s.explain(err, "look up a heartbeat")
	}
	if h, err = decode[alert.Heartbeat](row.Doc); err != nil || h.Status == alert.HeartbeatAlive && s.now().Sub(h.LastPing) < noted {
		return h, err
	}
	err = s.transact(ctx, "note a heartbeat", func(ctx context.Context, tx bun.Tx) error {
		row, err := heartbeatOf(ctx, tx, hash)
		if err != nil {
			return err
		}
		h, err = s.changeHeartbeat(ctx, tx, row, func(h alert.Heartbeat) (alert.Heartbeat, string) {
			after, resolves := h.Pinged(s.now())
			return after, why(resolves, "heard again")
		})
		return err
	})
	return h, err
}

func heartbeatOf(ctx context.Context, db bun.IDB, hash []byte) (heartbeatRow, error) {
	text := hex.EncodeToString(hash)
	var row heartbeatRow
	err := db.NewSelect().Model(&row).Where("hash = ?", text).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) || err == nil && subtle.ConstantTimeCompare([]byte(row.Hash), []byte(text)) != 1 {
		return row, fault.New(fault.NotFound, "there is no such key")
	}
	return row, err
}

func why(resolves bool, words string) string {
	if !resolves {
		return ""
	}
	return words
}

// PauseHeartbeat stops a heartbeat from being missed, and ends its alert; ResumeHeartbeat has it watched again.
func (s *Store) PauseHeartbeat(ctx context.Context, project, name, by string) (alert.Heartbeat, error) {
	return s.commandHeartbeat(ctx, project, name, by, "heartbeat.paused", func(h alert.Heartbeat) (alert.Heartbeat, string) {
		after, resolves := h.Paused()
		return after, why(resolves, "paused by "+by)
	})
}

// ResumeHeartbeat has a heartbeat that was paused watched again: it has all its time from now.
func (s *Store) ResumeHeartbeat(ctx context.Context, project, name, by string) (alert.Heartbeat, error) {
	return s.commandHeartbeat(ctx, project, name, by, "heartbeat.resumed", func(h alert.Heartbeat) (alert.Heartbeat, string) {
		return h.Resumed(s.now()), ""
	})
}

type changeHeartbeat func(alert.Heartbeat) (after alert.Heartbeat, resolves string)

func (s *Store) commandHeartbeat(ctx context.Context, project, name, by, kind string, change changeHeartbeat) (h alert.Heartbeat, err error) {
	err = s.transact(ctx, "change a heartbeat", func(ctx context.Context, tx bun.Tx) error {
		row, err := findHeartbeat(ctx, tx, project, name)
		if err != nil {
			return err
		}
		before := row.Status
		if h, err = s.changeHeartbeat(ctx, tx, row, change); err != nil || string(h.Status) == before {
			return err
		}
		return s.tellBy(ctx, tx, by, h.Project, kind, h.Name, "")
	})
	return h, err
}

// changeHeartbeat writes a heartbeat as a change leaves it, with the signal that its alert is over, if the change says why.
func (s *Store) changeHeartbeat(ctx context.Context, tx bun.Tx, row heartbeatRow, change changeHeartbeat) (alert.Heartbeat, error) {
	before, err := decode[alert.Heartbeat](row.Doc)
	if err != nil {
		return before, err
	}
	after, resolves := change(before)
	if err := row.set(after); err != nil {
		return after, err
	}
	if _, err := tx.NewUpdate().Model(&row).Column("status", "due_at", "doc").WherePK().Exec(ctx); err != nil {
		return after, err
	}
	if resolves != "" {
		_, err = s.appendSignals(ctx, tx, []alert.Signal{after.Signal(alert.Resolve, resolves)})
	}
	return after, err
}

// RemoveHeartbeat ends a heartbeat, and its alert with it.
func (s *Store) RemoveHeartbeat(ctx context.Context, project, name, by string) error {
	return s.transact(ctx, "remove a heartbeat", func(ctx context.Context, tx bun.Tx) error {
		row, err := findHeartbeat(ctx, tx, project, name)
		if err != nil {
			return err
		}
		h, err := decode[alert.Heartbeat](row.Doc)
		if err != nil {
			return err
		}
		if h.Status == alert.HeartbeatMissed {
			if _, err := s.appendSignals(ctx, tx, []alert.Signal{h.Signal(alert.Resolve, "removed by "+by)}); err != nil {
				return err
			}
		}
		if _, err := tx.NewDelete().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.tellBy(ctx, tx, by, row.Project, "heartbeat.removed", row.Name, "")
	})
}

func findHeartbeat(ctx context.Context, tx bun.Tx, project, name string) (heartbeatRow, error) {
	row := heartbeatRow{Project: clean(project), Name: clean(name)}
	err := tx.NewSelect().Model(&row).WherePK().Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, fault.New(fault.NotFound, "there is no heartbeat %q in project %q", row.Name, row.Project)
	}
	return row, err
}

// CheckHeartbeats triggers the alerts of the heartbeats that are overdue. by is the relay's lease. Time in which nobody checked is added to
// what each has left: while the platform was away, nobody could be heard.
func (s *Store) CheckHeartbeats(ctx context.Context, by Lease) error {
	now := s.now()
	last, err := s.Cursor(ctx, HeartbeatCursor)
	if err != nil {
		return err
	}
	away := now.Sub(time.UnixMilli(last))
	due, err := s.read.NewSelect().Model((*heartbeatRow)(nil)).Where("status = ? AND due_at <= ?", string(alert.HeartbeatAlive), now).Exists(ctx)
	if err != nil {
		return s.explain(err, "check the heartbeats")
	}
	if !due && away < unheard/3 { // the cursor moves rarely: it costs a commit
		return nil
	}
	return s.transact(ctx, "check the heartbeats", func(ctx context.Context, tx bun.Tx) error {
		if err := moveCursor(ctx, tx, by, HeartbeatCursor, last, now.UnixMilli()); err != nil {
			return err
		}
		if last > 0 && away > unheard {
			return postponeHeartbeats(ctx, tx, away)
		}
		return s.missHeartbeats(ctx, tx, now)
	})
}

func (s *Store) missHeartbeats(ctx context.Context, tx bun.Tx, now time.Time) error {
	var rows []heartbeatRow
	if err := tx.NewSelect().Model(&rows).Where("status = ? AND due_at <= ?", string(alert.HeartbeatAlive), now).Order("project", "name").Scan(ctx); err != nil {
		return err
	}
	var signals []alert.Signal
	for _, row := range rows {
		h, err := decode[alert.Heartbeat](row.Doc)
		if err != nil {
			return err
		}
		h.Status = alert.HeartbeatMissed
		signals = append(signals, h.Signal(alert.Trigger, fmt.Sprintf("not heard of since %s; it is due every %s", h.LastPing.UTC().Format(time.RFC3339), h.Every)))
		if err := row.set(h); err != nil {
			return err
		}
		if _, err := tx.NewUpdate().Model(&row).Column("status", "doc").WherePK().Exec(ctx); err != nil {
			return err
		}
	}
	_, err := s.appendSignals(ctx, tx, signals)
	return err
}

func postponeHeartbeats(ctx context.Context, tx bun.Tx, by time.Duration) error {
	var rows []heartbeatRow
	if err := tx.NewSelect().Model(&rows).Where("status = ?", string(alert.HeartbeatAlive)).Scan(ctx); err != nil {
		return err
	}
	for _, row := range rows {
		h, err := decode[alert.Heartbeat](row.Doc)
		if err != nil {
			return err
		}
		h.DueAt = h.DueAt.Add(by)
		if err := row.set(h); err != nil {
			return err
		}
		if _, err := tx.NewUpdate().Model(&row).Column("due_at", "doc").WherePK().Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}
