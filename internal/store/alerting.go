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

type rulesRow struct {
	bun.BaseModel `bun:"table:alert_rules"`

	Project   string `bun:",pk"`
	Version   int64
	Doc       string
	ChangedAt time.Time
	ChangedBy string
}

// Rules returns how a project's alerts reach people: what was applied, or else alert.DefaultRules, whose version is 0.
func (s *Store) Rules(ctx context.Context, project string) (alert.Rules, error) {
	r, err := findRules(ctx, s.read, project)
	return r, s.explain(err, "read the alerting rules of project "+clean(project))
}

func findRules(ctx context.Context, db bun.IDB, project string) (alert.Rules, error) {
	var row rulesRow
	err := db.NewSelect().Model(&row).Where("project = ?", clean(project)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return alert.DefaultRules(project), nil
	}
	if err != nil {
		return alert.Rules{}, err
	}
	r, err := decode[alert.Rules](row.Doc)
	r.Version = row.Version
	return r.WithDefaults(), err
}

// ApplyRules puts a project's rules in the place of those it has, of the version that r says (0: it has none), and returns them with their
// new version. Another version is a Conflict: somebody changed them meanwhile. The same rules again change nothing. A change is told as the
// event "rules.applied".
func (s *Store) ApplyRules(ctx context.Context, r alert.Rules, by string) (alert.Rules, error) {
	if err := r.Validate(); err != nil {
		return alert.Rules{}, err
	}
	var applied alert.Rules
	err := s.transact(ctx, "apply the alerting rules of project "+r.Project, func(ctx context.Context, tx bun.Tx) (err error) {
		applied, err = s.applyRules(ctx, tx, r.WithDefaults(), by)
		return err
	})
	return applied, err
}

func (s *Store) applyRules(ctx context.Context, tx bun.Tx, r alert.Rules, by string) (alert.Rules, error) {
	if r.Project != alert.Platform {
		if _, err := findProject(ctx, tx, r.Project); err != nil {
			return r, err
		}
	}
	old, err := findRules(ctx, tx, r.Project)
	if err != nil {
		return r, err
	}
	if old.Version > 0 && len(alert.Differences(old, r)) == 0 {
		return old, nil
	}
	if old.Version != r.Version {
		return r, fault.New(fault.Conflict, "the alerting rules of project %q have version %d by now, not %d: plan again", r.Project, old.Version, r.Version)
	}
	known, err := activeUsers(ctx, tx, r.People())
	if err != nil {
		return r, err
	}
	if err := fault.Problems(r.UnknownPeople(func(name string) bool { return known[name] })); err != nil {
		return r, err
	}
	r.Version++
	doc, err := encode(r)
	if err != nil {
		return r, err
	}
	row := rulesRow{Project: r.Project, Version: r.Version, Doc: doc, ChangedAt: s.now(), ChangedBy: clean(by)}
	_, err = tx.NewInsert().Model(&row).On("CONFLICT (project) DO UPDATE").Set("version = EXCLUDED.version").Set("doc = EXCLUDED.doc").
		Set("changed_at = EXCLUDED.changed_at").Set("changed_by = EXCLUDED.changed_by").Exec(ctx)
	if err != nil {
		return r, err
	}
	return r, s.tellBy(ctx, tx, by, r.Project, alert.RulesAppliedEvent, r.Project, fmt.Sprintf("version %d", r.Version))
}

// ActiveUsers says which of the names are those of active users.
func (s *Store) ActiveUsers(ctx context.Context, names []string) (map[string]bool, error) {
	known, err := activeUsers(ctx, s.read, names)
	return known, s.explain(err, "look up users")
}

func activeUsers(ctx context.Context, db bun.IDB, names []string) (map[string]bool, error) {
	known := map[string]bool{}
	if len(names) == 0 {
		return known, nil
	}
	var found []string
	err := db.NewSelect().Model((*userRow)(nil)).Column("name").Where("name IN ?", bun.Tuple(names)).Where("status = ?", string(account.Active)).Scan(ctx, &found)
	for _, name := range found {
		known[name] = true
	}
	return known, err
}

// AlertView is what plans by these rules are made of, for times between from and to: people, overrides, silences, and what fires now.
func (s *Store) AlertView(ctx context.Context, r alert.Rules, from, to time.Time) (alert.View, error) {
	overrides, err := s.Overrides(ctx, r.Project, from, to)
	if err != nil {
		return alert.View{}, err
	}
	v := alert.View{Rules: r, Overrides: overrides, OnCall: r.Rota(overrides)}
	names := r.People()
	for _, o := range overrides {
		names = append(names, o.Person)
	}
	if v.People, err = s.People(ctx, names); err != nil {
		return v, err
	}
	if v.Silences, err = s.Silences(ctx, r.Project, from); err != nil || len(r.Inhibit) == 0 {
		return v, err
	}
	v.Firing, err = s.FiringKeys(ctx, r.Project)
	return v, err
}

// MaxSilences bounds the silences of a project that are not over.
const MaxSilences = 200

type silenceRow struct {
	bun.BaseModel `bun:"table:silences"`

	ID          string `bun:",pk"`
	Project     string
	Maintenance bool
	Status      string
	Ends        time.Time
	DueAt       time.Time `bun:",nullzero"`
	Doc         string
}

func rowOfSilence(v alert.Silence) (silenceRow, error) {
	doc, err := encode(v)
	return silenceRow{ID: v.ID, Project: v.Project, Maintenance: v.Maintenance, Status: string(v.Status), Ends: v.Ends, DueAt: v.DueAt(), Doc: doc}, err
}

func silencesOf(rows []silenceRow) ([]alert.Silence, error) {
	all := make([]alert.Silence, len(rows))
	for i, row := range rows {
		v, err := decode[alert.Silence](row.Doc)
		if err != nil {
			return nil, err
		}
		all[i] = v
	}
	return all, nil
}

// Silences returns the silences and maintenance windows of a project that are not over at a time, those that have not begun too; the one
// that ends first comes first.
func (s *Store) Silences(ctx context.Context, project string, at time.Time) ([]alert.Silence, error) {
	var rows []silenceRow
	err := s.read.NewSelect().Model(&rows).Where("project = ? AND ends > ?", clean(project), at.UTC()).Where("status <> ?", string(alert.SilenceOver)).Order("ends", "id").Scan(ctx)
	if err != nil {
		return nil, s.explain(err, "list the silences of project "+clean(project))
	}
	return silencesOf(rows)
}

// SilenceFilter says which silences are listed.
type SilenceFilter struct {
	Maintenance bool // maintenance windows, in place of silences
	Over        bool // those that are over, too
}

type silencePosition struct {
	Ends time.Time
	ID   string
}

// SilencePage returns a part of a project's silences or maintenance windows: those that end first come first.
func (s *Store) SilencePage(ctx context.Context, project string, f SilenceFilter, p Page) (all []alert.Silence, next string, err error) {
	const list = "silences"
	limit, err := p.limit()
	if err != nil {
		return nil, "", err
	}
	from, has, err := after[silencePosition](p, list)
	if err != nil {
		return nil, "", err
	}
	var rows []silenceRow
	query := s.read.NewSelect().Model(&rows).Where("project = ? AND maintenance = ?", clean(project), f.Maintenance).Order("ends", "id").Limit(int64(limit) + 1)
	if !f.Over {
		query.Where("status <> ?", string(alert.SilenceOver))
	}
	if has {
		query.Where("ends > ? OR ends = ? AND id > ?", from.Ends.UTC(), from.Ends.UTC(), from.ID)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, "", s.explain(err, "list the silences of project "+clean(project))
	}
	rows, last := cut(rows, limit)
	if last != nil {
		if next, err = cursorAfter(list, silencePosition{last.Ends.UTC(), last.ID}); err != nil {
			return nil, "", err
		}
	}
	all, err = silencesOf(rows)
	return all, next, err
}

// CreateSilence keeps a silence or a maintenance window and returns it. One without a beginning begins now. The same id again changes
// nothing and returns what there is. It is told as the event "silence.created".
func (s *Store) CreateSilence(ctx context.Context, v alert.Silence) (alert.Silence, error) {
	now := s.now()
	v.CreatedAt, v.Begins, v.Ends, v.Status, v.EndedBy = now, v.Begins.UTC().Truncate(time.Microsecond), v.Ends.UTC().Truncate(time.Microsecond), alert.SilenceAhead, ""
	v.Comment, v.By = clean(v.Comment), clean(v.By)
	if !v.Begins.After(now) {
		v.Begins, v.Status = now, alert.SilenceActive
	}
	if err := v.Validate(now); err != nil {
		return v, err
	}
	row, err := rowOfSilence(v)
	if err != nil {
		return v, err
	}
	err = s.transact(ctx, "keep a silence of project "+v.Project, func(ctx context.Context, tx bun.Tx) error {
		if before, err := findSilence(ctx, tx, v.Project, v.ID); !fault.Is(err, fault.NotFound) {
			v = before
			return err
		}
		there, err := tx.NewSelect().Model((*silenceRow)(nil)).Where("project = ?", v.Project).Where("status <> ?", string(alert.SilenceOver)).Count(ctx)
		if err != nil {
			return err
		}
		if there >= MaxSilences {
			return fault.New(fault.Quota, "project %q has %d silences and maintenance windows, the most: end one", v.Project, there)
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		return s.tellSilence(ctx, tx, v, alert.SilenceCreatedEvent, v.By)
	})
	return v, err
}

// tellSilence tells of a silence in its project; by is empty for what time does.
func (s *Store) tellSilence(ctx context.Context, tx bun.Tx, v alert.Silence, kind, by string) error {
	message := fmt.Sprintf("%s until %s: %s", v.Noun(), v.Ends.UTC().Format(time.RFC3339), v.Comment)
	if by != "" {
		return s.tellBy(ctx, tx, by, v.Project, kind, v.ID, message)
	}
	return s.tell(ctx, tx, event.Event{Project: v.Project, Kind: kind, Subject: v.ID, Message: message})
}

// EndSilence ends a silence or a maintenance window now, or before it begins. One that is over is fine. It is told as the event
// "silence.over".
func (s *Store) EndSilence(ctx context.Context, project, id, by string) (alert.Silence, error) {
	var ended alert.Silence
	err := s.transact(ctx, "end silence "+clean(id), func(ctx context.Context, tx bun.Tx) error {
		v, err := findSilence(ctx, tx, project, id)
		if ended = v; err != nil || v.Status == alert.SilenceOver {
			return err
		}
		now := s.now()
		v.Ends, v.Status, v.EndedBy = now, alert.SilenceOver, clean(by)
		if v.Begins.After(now) {
			v.Begins = now
		}
		ended = v
		if err := writeSilence(ctx, tx, v); err != nil {
			return err
		}
		return s.tellSilence(ctx, tx, v, alert.SilenceOverEvent, by)
	})
	return ended, err
}

func findSilence(ctx context.Context, db bun.IDB, project, id string) (alert.Silence, error) {
	var row silenceRow
	err := db.NewSelect().Model(&row).Where("project = ? AND id = ?", clean(project), clean(id)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return alert.Silence{}, fault.New(fault.NotFound, "there is no silence or maintenance window %.60q in project %q", clean(id), clean(project))
	}
	if err != nil {
		return alert.Silence{}, err
	}
	return decode[alert.Silence](row.Doc)
}

func writeSilence(ctx context.Context, tx bun.Tx, v alert.Silence) error {
	row, err := rowOfSilence(v)
	if err == nil {
		_, err = tx.NewUpdate().Model(&row).Column("status", "ends", "due_at", "doc").WherePK().Exec(ctx)
	}
	return err
}

// SilencesDue returns the silences of all projects whose status changes by time no later than at: see MoveSilence.
func (s *Store) SilencesDue(ctx context.Context, at time.Time, limit int) ([]alert.Silence, error) {
	var rows []silenceRow
	if err := s.read.NewSelect().Model(&rows).Where("due_at <= ?", at.UTC()).Order("due_at", "id").Limit(int64(limit)).Scan(ctx); err != nil {
		return nil, s.explain(err, "list the silences that are due")
	}
	return silencesOf(rows)
}

// MoveSilence brings a silence that is due to its next status, once: one that was moved or ended meanwhile is left as it is. Its beginning
// and its end are told as the events "silence.begun" and "silence.over".
func (s *Store) MoveSilence(ctx context.Context, due alert.Silence) error {
	return s.transact(ctx, "move silence "+due.ID, func(ctx context.Context, tx bun.Tx) error {
		v, err := findSilence(ctx, tx, due.Project, due.ID)
		if fault.Is(err, fault.NotFound) || err == nil && v.Status != due.Status {
			return nil
		}
		if err != nil {
			return err
		}
		v.Status = v.Next()
		if err := writeSilence(ctx, tx, v); err != nil {
			return err
		}
		switch v.Status {
		case alert.SilenceActive:
			return s.tellSilence(ctx, tx, v, alert.SilenceBegunEvent, "")
		case alert.SilenceOver:
			return s.tellSilence(ctx, tx, v, alert.SilenceOverEvent, "")
		}
		return nil
	})
}

// ForgetSilences removes the silences that were over before a time, and returns how many.
func (s *Store) ForgetSilences(ctx context.Context, before time.Time) (forgotten int64, err error) {
	err = s.transact(ctx, "forget old silences", func(ctx context.Context, tx bun.Tx) error {
		result, err := tx.NewDelete().Model((*silenceRow)(nil)).Where("status = ? AND ends < ?", string(alert.SilenceOver), before.UTC()).Exec(ctx)
		if err != nil {
			return err
		}
		forgotten, err = result.RowsAffected()
		return err
	})
	return forgotten, err
}
