package store

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/event"
)

// AppendAudit writes one entry and returns its Seq, which is given by the store; so is Time when it is zero.
func (s *Store) AppendAudit(ctx context.Context, a event.Audit) (seq int64, err error) {
	if a.Time.IsZero() {
		a.Time = s.now()
	}
	err = s.transact(ctx, "write the audit log", func(ctx context.Context, tx bun.Tx) error {
		if seq, err = count(ctx, tx, auditCounter); err != nil {
			return err
		}
		row := auditRow{Seq: seq, Time: a.Time.UTC(), Subject: clean(a.Subject), Kind: clean(a.Kind), Project: clean(a.Project), Action: clean(a.Action),
			Target: clean(a.Target), Caller: clean(a.From), RequestID: clean(a.RequestID), Status: a.Status}
		_, err := tx.NewInsert().Model(&row).Exec(ctx)
		return err
	})
	return seq, err
}

// ConcludeAudit gives an entry that was written without one the status it came to, and with a target the thing it was done
// to, which may have got its name by it. A status is never changed.
func (s *Store) ConcludeAudit(ctx context.Context, seq int64, status int, target string) error {
	return s.transact(ctx, "conclude an audit entry", func(ctx context.Context, tx bun.Tx) error {
		update := tx.NewUpdate().Model((*auditRow)(nil)).Set("status = ?", status).Where("seq = ? AND status = 0", seq)
		if target != "" {
			update.Set("target = ?", clean(target))
		}
		_, err := update.Exec(ctx)
		return err
	})
}

// Audits returns the log, newest first, and the cursor of the next page.
func (s *Store) Audits(ctx context.Context, page Page) ([]event.Audit, string, error) {
	const list = "audits"
	limit, err := page.limit()
	if err != nil {
		return nil, "", err
	}
	before, has, err := after[int64](page, list)
	if err != nil {
		return nil, "", err
	}
	var rows []auditRow
	query := s.read.NewSelect().Model(&rows).Order("seq DESC").Limit(int64(limit) + 1)
	if has {
		query.Where("seq < ?", before)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, "", s.explain(err, "read the audit log")
	}
	rows, last := cut(rows, limit)
	entries := make([]event.Audit, len(rows))
	for i, r := range rows {
		entries[i] = event.Audit{Seq: r.Seq, Time: r.Time.UTC(), Subject: r.Subject, Kind: r.Kind, Project: r.Project, Action: r.Action,
			Target: r.Target, From: r.Caller, RequestID: r.RequestID, Status: r.Status}
	}
	if last == nil {
		return entries, "", nil
	}
	cursor, err := cursorAfter(list, last.Seq)
	return entries, cursor, err
}
