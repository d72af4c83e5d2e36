package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
)

// alertCounter counts alerts: their numbers are the whole platform's, and never given twice.
const alertCounter = "alerts"

type alertRow struct {
	bun.BaseModel `bun:"table:alerts"`

	Number   int64 `bun:",pk"`
	Project  string
	Hash     string
	First    int64
	Upto     int64
	Service  string
	Severity string
	Status   string // an alert.Status
	Version  int64
	Doc      string // an alert.Alert
}

type entryRow struct {
	bun.BaseModel `bun:"table:alert_entries"`

	Number int64  `bun:",pk"`
	Key    string `bun:",pk"`
	At     time.Time
	Doc    string // an alert.Entry
}

// current are the statuses of alerts that have not ended.
var current = []string{string(alert.Open), string(alert.Acknowledged), string(alert.Snoozed), string(alert.Suppressed)}

// OpenAlert gives the group's alert that begins with a signal its number, and records it. Asked again it answers the same. The group's
// alert that has not ended goes on, whatever signal it began with: its workflow was lost. Signals that an ended alert of the group knew
// begin nothing, and neither do those that a person closed, nor those of a project that is being removed. The beginning is told as the
// event "alert.open".
func (s *Store) OpenAlert(ctx context.Context, in alert.Opening) (alert.Opened, error) {
	var opened alert.Opened
	err := s.transact(ctx, "open an alert of project "+in.Group.Project, func(ctx context.Context, tx bun.Tx) error {
		var last alertRow
		err := tx.NewSelect().Model(&last).Where("project = ? AND hash = ?", in.Group.Project, in.Hash).Order("number DESC").Limit(1).Scan(ctx)
		switch {
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return err
		case err != nil: // the group's first
		case !alert.Status(last.Status).Final():
			found, err := decode[alert.Alert](last.Doc)
			opened = alert.Opened{Number: last.Number}
			if last.First != in.First || last.Version > 0 {
				opened.Found = &found
			}
			return err
		case in.First <= last.Upto:
			opened = alert.Opened{Number: last.Number, Stale: true}
			return nil
		case alert.Status(last.Status) == alert.Closed:
			if over, err := isQuiet(ctx, tx, in); err != nil || over {
				opened = alert.Opened{Number: last.Number, Stale: true}
				return err
			}
		}
		if over, err := isLeaving(ctx, tx, in.Group.Project); err != nil || over {
			opened = alert.Opened{Stale: true}
			return err
		}
		a := in.Alert
		if a.Number, err = count(ctx, tx, alertCounter); err != nil {
			return err
		}
		opened = alert.Opened{Number: a.Number}
		a.Project, a.Group, a.Upto = in.Group.Project, in.Hash, max(a.Upto, in.First)
		row, err := s.alertRow(a)
		if err != nil {
			return err
		}
		row.First = in.First
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		return s.tellAlert(ctx, tx, a)
	})
	return opened, err
}

// isQuiet reports whether keys of the group are known and none of them fires: what tells that one does was made before a person closed the
// alert.
func isQuiet(ctx context.Context, tx bun.Tx, in alert.Opening) (bool, error) {
	var firing []bool
	err := tx.NewSelect().Model((*keyRow)(nil)).ColumnExpr("DISTINCT firing").Where("project = ? AND alert_group = ?", in.Group.Project, in.Hash).Scan(ctx, &firing)
	return len(firing) == 1 && !firing[0], err
}

// isLeaving reports whether a project is being removed, or was.
func isLeaving(ctx context.Context, tx bun.Tx, project string) (bool, error) {
	return tx.NewSelect().Model((*projectRow)(nil)).Where("name = ? AND status IN (?, ?)", project, string(account.ProjectRemoving), string(account.ProjectRemoved)).Exists(ctx)
}

// alertRow is the alert's row, but for its first signal.
func (s *Store) alertRow(a alert.Alert) (alertRow, error) {
	a.Title, a.Message, a.AcknowledgedBy = clean(a.Title), clean(a.Message), clean(a.AcknowledgedBy)
	a.StartedAt, a.UpdatedAt = s.orNow(a.StartedAt), s.orNow(a.UpdatedAt)
	doc, err := encode(a)
	return alertRow{Number: a.Number, Project: a.Project, Hash: a.Group, Upto: a.Upto, Service: clean(a.Service), Severity: string(a.Severity),
		Status: string(a.Status), Version: a.Version, Doc: doc}, err
}

func (s *Store) tellAlert(ctx context.Context, tx bun.Tx, a alert.Alert) error {
	return s.tell(ctx, tx, event.Event{Project: a.Project, Kind: "alert." + string(a.Status), Subject: fmt.Sprintf("%s/%d", a.Project, a.Number),
		Message: a.Title})
}

// RecordAlert writes what is now known of an alert, and lines of its log; a line that is there already is not written again. A record that
// is older than what is there changes nothing but the log. A change of status is told as the event "alert.<status>".
func (s *Store) RecordAlert(ctx context.Context, a alert.Alert, entries []alert.Entry) error {
	return s.transact(ctx, fmt.Sprintf("record alert %d", a.Number), func(ctx context.Context, tx bun.Tx) error {
		if err := s.writeEntries(ctx, tx, a.Number, entries); err != nil {
			return err
		}
		var old alertRow
		err := tx.NewSelect().Model(&old).Where("project = ? AND number = ?", a.Project, a.Number).Scan(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return noAlert(a.Project, a.Number)
		}
		if err != nil || a.Version < old.Version {
			return err
		}
		row, err := s.alertRow(a)
		if err != nil {
			return err
		}
		_, err = tx.NewUpdate().Model(&row).Column("upto", "service", "severity", "status", "version", "doc").WherePK().Exec(ctx)
		if err != nil || old.Status == row.Status {
			return err
		}
		return s.tellAlert(ctx, tx, a)
	})
}

func (s *Store) writeEntries(ctx context.Context, tx bun.Tx, number int64, entries []alert.Entry) error {
	for _, e := range entries {
		e.At, e.Text, e.By, e.Receipt = s.orNow(e.At), clean(e.Text), clean(e.By), clean(e.Receipt)
		doc, err := encode(e)
		if err != nil {
			return err
		}
		row := entryRow{Number: number, Key: clean(e.Key), At: e.At, Doc: doc}
		if _, err := tx.NewInsert().Model(&row).On("CONFLICT (number, key) DO NOTHING").Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

func noAlert(project string, number int64) error {
	return fault.New(fault.NotFound, "there is no alert %d in project %q", number, clean(project))
}

// Alert returns what is known of an alert. Project "" is any.
func (s *Store) Alert(ctx context.Context, project string, number int64) (alert.Alert, error) {
	var row alertRow
	query := s.read.NewSelect().Model(&row).Where("number = ?", number)
	if project != "" {
		query.Where("project = ?", clean(project))
	}
	err := query.Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return alert.Alert{}, noAlert(project, number)
	}
	if err != nil {
		return alert.Alert{}, s.explain(err, fmt.Sprintf("read alert %d", number))
	}
	return decode[alert.Alert](row.Doc)
}

// Alerts returns the alerts of a project, or of all when project is empty, that the filter chooses, newest first, and the cursor of the
// next page.
func (s *Store) Alerts(ctx context.Context, project string, f alert.Filter, page Page) ([]alert.Alert, string, error) {
	list := fmt.Sprintf("alerts/%s/%s/%t/%s", project, f.Status, f.Current, f.Service)
	limit, err := page.limit()
	if err != nil {
		return nil, "", err
	}
	from, has, err := after[int64](page, list)
	if err != nil {
		return nil, "", err
	}
	var rows []alertRow
	query := s.read.NewSelect().Model(&rows).Order("number DESC").Limit(int64(limit) + 1)
	if project != "" {
		query.Where("project = ?", clean(project))
	}
	if f.Status != "" {
		query.Where("status = ?", clean(string(f.Status)))
	}
	if f.Current {
		query.Where("status IN ?", bun.Tuple(current))
	}
	if f.Service != "" {
		query.Where("service = ?", clean(f.Service))
	}
	if has {
		query.Where("number < ?", from)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, "", s.explain(err, "list the alerts")
	}
	rows, last := cut(rows, limit)
	alerts := make([]alert.Alert, len(rows))
	for i, row := range rows {
		if alerts[i], err = decode[alert.Alert](row.Doc); err != nil {
			return nil, "", fmt.Errorf("list the alerts: %w", err)
		}
	}
	if last == nil {
		return alerts, "", nil
	}
	cursor, err := cursorAfter(list, last.Number)
	return alerts, cursor, err
}

// CurrentAlerts returns the alerts of a project that have not ended, the oldest first.
func (s *Store) CurrentAlerts(ctx context.Context, project string) ([]alert.Alert, error) {
	var rows []alertRow
	if err := s.read.NewSelect().Model(&rows).Where("project = ? AND status IN ?", clean(project), bun.Tuple(current)).Order("number").Scan(ctx); err != nil {
		return nil, s.explain(err, "list the current alerts of project "+clean(project))
	}
	alerts := make([]alert.Alert, len(rows))
	for i, row := range rows {
		var err error
		if alerts[i], err = decode[alert.Alert](row.Doc); err != nil {
			return nil, err
		}
	}
	return alerts, nil
}

// alertsAtOnce is how many alerts are forgotten in one transaction: each has lines and pages.
const alertsAtOnce = 200

// ForgetAlerts removes the alerts that ended and of which nothing was written since before, with their logs and pages, and the pages of
// that age that are of no alert. It returns how many alerts, and pages of none, those were.
func (s *Store) ForgetAlerts(ctx context.Context, before time.Time) (forgotten int64, err error) {
	before = before.UTC()
	for n := int64(alertsAtOnce); n == alertsAtOnce; forgotten += n {
		err := s.transact(ctx, "forget old alerts", func(ctx context.Context, tx bun.Tx) (err error) {
			n, err = forgetAlerts(ctx, tx, before)
			return err
		})
		if err != nil {
			return forgotten, err
		}
	}
	notices, err := s.forget(ctx, func(tx bun.Tx) *bun.DeleteQuery {
		return tx.NewDelete().Model((*pageRow)(nil)).Where("alert = 0 AND began_at < ?", before)
	})
	return forgotten + notices, err
}

func forgetAlerts(ctx context.Context, tx bun.Tx, before time.Time) (int64, error) {
	var numbers []int64
	err := tx.NewSelect().Model((*alertRow)(nil)).Column("number").Where("status NOT IN ?", bun.Tuple(current)).
		Where("NOT EXISTS (SELECT 1 FROM alert_entries AS e WHERE e.number = ?TableAlias.number AND e.at >= ?)", before).
		Order("number").Limit(alertsAtOnce).Scan(ctx, &numbers)
	if err != nil || len(numbers) == 0 {
		return 0, err
	}
	for _, of := range []struct {
		model  any
		column string
	}{{(*entryRow)(nil), "number"}, {(*pageRow)(nil), "alert"}, {(*alertRow)(nil), "number"}} {
		if _, err := tx.NewDelete().Model(of.model).Where("? IN ?", bun.Ident(of.column), bun.Tuple(numbers)).Exec(ctx); err != nil {
			return 0, err
		}
	}
	return int64(len(numbers)), nil
}

// AlertLog returns the log of an alert, oldest first.
func (s *Store) AlertLog(ctx context.Context, project string, number int64) ([]alert.Entry, error) {
	if _, err := s.Alert(ctx, project, number); err != nil {
		return nil, err
	}
	var rows []entryRow
	if err := s.read.NewSelect().Model(&rows).Where("number = ?", number).Order("at", "key").Scan(ctx); err != nil {
		return nil, s.explain(err, fmt.Sprintf("read the log of alert %d", number))
	}
	entries := make([]alert.Entry, len(rows))
	for i, row := range rows {
		var err error
		if entries[i], err = decode[alert.Entry](row.Doc); err != nil {
			return nil, fmt.Errorf("read the log of alert %d: %w", number, err)
		}
	}
	return entries, nil
}
