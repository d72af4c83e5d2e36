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
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/oncall"
)

// MaxOverrides is how many overrides a project has at most that are not over.
const MaxOverrides = 500

type notifyRow struct {
	bun.BaseModel `bun:"table:notify_rules"`

	Member string `bun:",pk"`
	Doc    string // map[alert.Urgency][]alert.Notify
}

type overrideRow struct {
	bun.BaseModel `bun:"table:overrides"`

	ID        string `bun:",pk"`
	Project   string
	Schedule  string
	Person    string
	Begins    time.Time
	Ends      time.Time
	CreatedBy string
	CreatedAt time.Time
}

func (r overrideRow) override() oncall.Override {
	return oncall.Override{ID: r.ID, Project: r.Project, Schedule: r.Schedule, Person: r.Person, Begins: r.Begins.UTC(), Ends: r.Ends.UTC(), By: r.CreatedBy,
		CreatedAt: r.CreatedAt.UTC()}
}

// NotifyRules returns how a user wants to be paged, by urgency: nothing if the user chose nothing.
func (s *Store) NotifyRules(ctx context.Context, person string) (map[alert.Urgency][]alert.Notify, error) {
	user, err := mustFindUser(ctx, s.read, person)
	if err != nil {
		return nil, s.explain(err, "read user "+clean(person))
	}
	var row notifyRow
	err = s.read.NewSelect().Model(&row).Where("member = ?", user.ID).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, s.explain(err, "read how "+user.Name+" is paged")
	}
	return decode[map[alert.Urgency][]alert.Notify](row.Doc)
}

// SetNotifyRules keeps how a user wants to be paged, in place of what was chosen before; without lines the project's rules hold again.
func (s *Store) SetNotifyRules(ctx context.Context, person string, by map[alert.Urgency][]alert.Notify) error {
	if err := alert.CheckNotify(by); err != nil {
		return err
	}
	doc, err := encode(by)
	if err != nil {
		return err
	}
	return s.transact(ctx, "keep how "+clean(person)+" is paged", func(ctx context.Context, tx bun.Tx) error {
		user, err := mustFindUser(ctx, tx, person)
		if err != nil {
			return err
		}
		if len(by[alert.High]) == 0 {
			_, err = tx.NewDelete().Model((*notifyRow)(nil)).Where("member = ?", user.ID).Exec(ctx)
		} else {
			row := notifyRow{Member: user.ID, Doc: doc}
			_, err = tx.NewInsert().Model(&row).On("CONFLICT (member) DO UPDATE").Set("doc = EXCLUDED.doc").Exec(ctx)
		}
		if err != nil {
			return err
		}
		return s.tellBy(ctx, tx, user.Name, "", "contact.rules", user.Name, "")
	})
}

// People returns those of the named who are active users, by name, with their verified contacts, of which there may be none, and with
// how they want to be paged.
func (s *Store) People(ctx context.Context, names []string) (map[string]alert.Person, error) {
	people := map[string]alert.Person{}
	if len(names) == 0 {
		return people, nil
	}
	var users []userRow
	if err := s.read.NewSelect().Model(&users).Where("status = ?", string(account.Active)).Where("name IN ?", bun.Tuple(names)).Scan(ctx); err != nil {
		return nil, s.explain(err, "look up people")
	}
	ids, named := make([]string, len(users)), map[string]string{}
	for i, u := range users {
		ids[i], named[u.ID] = u.ID, u.Name
		people[u.Name] = alert.Person{Name: u.Name}
	}
	if len(ids) == 0 {
		return people, nil
	}
	var contacts []contactRow
	err := s.read.NewSelect().Model(&contacts).Where("member IN ?", bun.Tuple(ids)).Where("status = ?", string(alert.ContactVerified)).
		Order("created_at", "id").Scan(ctx)
	if err != nil {
		return nil, s.explain(err, "look up contacts")
	}
	for _, c := range contacts {
		p := people[named[c.Member]]
		p.Contacts = append(p.Contacts, c.contact(p.Name))
		people[p.Name] = p
	}
	var rules []notifyRow
	if err := s.read.NewSelect().Model(&rules).Where("member IN ?", bun.Tuple(ids)).Scan(ctx); err != nil {
		return nil, s.explain(err, "look up how people are paged")
	}
	for _, r := range rules {
		p := people[named[r.Member]]
		if p.By, err = decode[map[alert.Urgency][]alert.Notify](r.Doc); err != nil {
			return nil, err
		}
		people[p.Name] = p
	}
	return people, nil
}

// Unreachable says of each of the named why a page about the project would not reach them or be of no use. Who is not in the answer can
// be reached: an active user with a verified contact, who may act on the project's alerts.
func (s *Store) Unreachable(ctx context.Context, project string, names []string) (map[string]string, error) {
	people, err := s.People(ctx, names)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	var grants []struct{ Name, Role string }
	err = s.read.NewSelect().TableExpr("roles AS r").Join("JOIN users AS u ON u.id = r.member").ColumnExpr("u.name AS name, r.role AS role").
		Where("r.project = '' OR r.project = ?", clean(project)).Where("u.name IN ?", bun.Tuple(names)).Scan(ctx, &grants)
	if err != nil {
		return nil, s.explain(err, "look up roles in project "+clean(project))
	}
	acts := map[string]bool{}
	for _, g := range grants {
		acts[g.Name] = acts[g.Name] || account.Role(g.Role).Holds(account.WriteAlerts)
	}
	why := map[string]string{}
	for _, name := range names {
		p, active := people[name]
		switch {
		case !active:
			why[name] = "is no active user"
		case len(p.Contacts) == 0:
			why[name] = "has no verified contact"
		case !acts[name]:
			why[name] = fmt.Sprintf("may not act on alerts of project %s", clean(project))
		}
	}
	return why, nil
}

// ContactsIn returns the contacts, those that are not verified too, of those of the named who have a role in the project or on the
// platform.
func (s *Store) ContactsIn(ctx context.Context, project string, names []string) (map[string][]alert.Contact, error) {
	contacts := map[string][]alert.Contact{}
	if len(names) == 0 {
		return contacts, nil
	}
	var found []struct {
		contactRow
		Person string
	}
	err := s.read.NewSelect().TableExpr("contacts AS c").Join("JOIN users AS u ON u.id = c.member").ColumnExpr("c.*, u.name AS person").
		Where("u.name IN ?", bun.Tuple(names)).Where("EXISTS (SELECT 1 FROM roles AS r WHERE r.member = u.id AND (r.project = '' OR r.project = ?))", clean(project)).
		OrderExpr("c.created_at, c.id").Scan(ctx, &found)
	if err != nil {
		return nil, s.explain(err, "look up contacts of people in project "+clean(project))
	}
	for _, f := range found {
		contacts[f.Person] = append(contacts[f.Person], f.contact(f.Person))
	}
	return contacts, nil
}

// Overrides returns the overrides of a project that hold at some time between from and to, in the order in which they begin.
func (s *Store) Overrides(ctx context.Context, project string, from, to time.Time) ([]oncall.Override, error) {
	var rows []overrideRow
	err := s.read.NewSelect().Model(&rows).Where("project = ?", clean(project)).Where("ends > ? AND begins < ?", from.UTC(), to.UTC()).
		Order("begins", "created_at", "id").Scan(ctx)
	if err != nil {
		return nil, s.explain(err, "list the overrides of project "+clean(project))
	}
	overrides := make([]oncall.Override, len(rows))
	for i, r := range rows {
		overrides[i] = r.override()
	}
	return overrides, nil
}

// CreateOverride puts a person on call in the place of whoever a schedule has. The same id is one override; without one it gets one. Whether
// there is the schedule, its caller has seen.
func (s *Store) CreateOverride(ctx context.Context, o oncall.Override) (oncall.Override, error) {
	if err := o.Validate(); err != nil {
		return oncall.Override{}, err
	}
	if !o.Ends.After(s.now()) {
		return oncall.Override{}, badField("ends", o.Ends.UTC().Format(time.RFC3339)+" is over already")
	}
	if o.ID == "" {
		o.ID = newID("ovr")
	}
	row := overrideRow{ID: o.ID, Project: o.Project, Schedule: o.Schedule, Person: o.Person, Begins: s.orNow(o.Begins), Ends: s.orNow(o.Ends), CreatedBy: clean(o.By),
		CreatedAt: s.now()}
	err := s.transact(ctx, "make an override", func(ctx context.Context, tx bun.Tx) error {
		if _, err := findProject(ctx, tx, o.Project); err != nil {
			return err
		}
		if _, err := findActive(ctx, tx, "person", o.Person); err != nil {
			return err
		}
		n, err := tx.NewSelect().Model((*overrideRow)(nil)).Where("project = ? AND ends > ?", o.Project, s.now()).Count(ctx)
		if err != nil {
			return err
		}
		if n >= MaxOverrides {
			return fault.New(fault.Quota, "%d overrides that are not over are the most that a project has: end one", MaxOverrides)
		}
		result, err := tx.NewInsert().Model(&row).On("CONFLICT (id) DO NOTHING").Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return s.tellOverride(ctx, tx, row, alert.OverrideCreatedEvent, row.CreatedBy)
	})
	return row.override(), err
}

func (s *Store) tellOverride(ctx context.Context, tx bun.Tx, row overrideRow, kind, by string) error {
	return s.tellBy(ctx, tx, by, row.Project, kind, row.Schedule, fmt.Sprintf("%s from %s to %s", row.Person, row.Begins.UTC().Format(time.RFC3339), row.Ends.UTC().Format(time.RFC3339)))
}

// EndOverride ends an override now; one that has not begun is as if it had never been. One that is over is refused.
func (s *Store) EndOverride(ctx context.Context, project, id, by string) (oncall.Override, error) {
	var row overrideRow
	err := s.transact(ctx, "end an override", func(ctx context.Context, tx bun.Tx) error {
		row = overrideRow{}
		err := tx.NewSelect().Model(&row).Where("project = ? AND id = ?", clean(project), clean(id)).Scan(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no override %q in project %s", clean(id), clean(project))
		}
		if err != nil {
			return err
		}
		now := s.now()
		if !row.Ends.After(now) {
			return fault.New(fault.Conflict, "override %s ended at %s", row.ID, row.Ends.UTC().Format(time.RFC3339))
		}
		if begun := row.Begins.Before(now); begun {
			row.Ends = now
			_, err = tx.NewUpdate().Model(&row).Column("ends").WherePK().Exec(ctx)
		} else {
			_, err = tx.NewDelete().Model(&row).WherePK().Exec(ctx)
		}
		if err != nil {
			return err
		}
		return s.tellOverride(ctx, tx, row, alert.OverrideEndedEvent, by)
	})
	return row.override(), err
}

// AllRules returns the rules of every project that has some, in the order of their names.
func (s *Store) AllRules(ctx context.Context) ([]alert.Rules, error) {
	var rows []rulesRow
	if err := s.read.NewSelect().Model(&rows).Order("project").Scan(ctx); err != nil {
		return nil, s.explain(err, "read the alerting rules of all projects")
	}
	all := make([]alert.Rules, len(rows))
	for i, row := range rows {
		r, err := decode[alert.Rules](row.Doc)
		if err != nil {
			return nil, err
		}
		r.Version = row.Version
		all[i] = r.WithDefaults()
	}
	return all, nil
}
