package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

type pageRow struct {
	bun.BaseModel `bun:"table:pages"`

	Key       string `bun:",pk"`
	Contact   string `bun:",pk"`
	Project   string
	Alert     int64
	Person    string
	Channel   string
	Kind      string
	State     string // an alert.Delivery
	Receipt   string
	Message   string
	Code      int
	BeganAt   time.Time
	UpdatedAt time.Time
}

func (r pageRow) page() alert.PageRow {
	return alert.PageRow{Key: r.Key, Project: r.Project, Alert: r.Alert, Person: r.Person, Channel: alert.Channel(r.Channel), Contact: r.Contact,
		Kind: alert.PageKind(r.Kind), State: alert.Delivery(r.State), Receipt: r.Receipt, Message: r.Message, Code: r.Code,
		BeganAt: r.BeganAt.UTC(), UpdateAt: r.UpdatedAt.UTC()}
}

// BeginPage decides whether a page may be sent now, and if so notes that it is being sent. One that went out before is not sent again: its
// receipt is returned. One that is noted as being sent is sent once more, under the same key: what came of it was lost. One that failed may
// be tried again. A page that asks to act is held back by a silence and by the limits of the person and the contact; what tells how an
// alert goes on is not. Whoever is no active user with that contact verified gets neither.
func (s *Store) BeginPage(ctx context.Context, in alert.PageRequest) (alert.PageDecision, error) {
	in.At = later(in.At, s.now())
	rules, err := s.Rules(ctx, in.Page.Project)
	if err != nil {
		return alert.PageDecision{}, err
	}
	why, err := s.holdsBack(ctx, in)
	if err != nil {
		return alert.PageDecision{}, err
	}
	var decision alert.PageDecision
	err = s.transact(ctx, "begin page "+in.Page.Key, func(ctx context.Context, tx bun.Tx) (err error) {
		decision, err = s.beginPage(ctx, tx, in, rules.Limits, why)
		return err
	})
	return decision, err
}

// later is the later of two times: a decision that waited is made of what holds now.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a.UTC().Truncate(time.Microsecond)
	}
	return b
}

// holdsBack says why a page may not be sent now, "" when it may.
func (s *Store) holdsBack(ctx context.Context, in alert.PageRequest) (string, error) {
	if asks(in.Page.Kind) {
		silences, err := s.Silences(ctx, in.Page.Project, in.At)
		if err != nil {
			return "", err
		}
		if silence, found := alert.Silencing(silences, in.Labels, in.At); found {
			return silence.Why(), nil
		}
	}
	if in.Person == "" {
		return "", nil
	}
	return s.unreachable(ctx, in.Person, in.Page.Contact)
}

func (s *Store) beginPage(ctx context.Context, tx bun.Tx, in alert.PageRequest, limits alert.Limits, why string) (alert.PageDecision, error) {
	row := rowOfRequest(in)
	var old pageRow
	err := tx.NewSelect().Model(&old).Where("key = ? AND contact = ?", row.Key, row.Contact).Scan(ctx)
	known := err == nil
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return alert.PageDecision{}, err
	}
	if known && (old.State == string(alert.Sent) || old.State == string(alert.Delivered)) {
		p := old.page()
		return alert.PageDecision{Code: p.Code, Why: "it went out before",
			Receipt: &alert.Receipt{Channel: p.Channel, ID: p.Receipt, State: p.State, Message: p.Message, At: p.UpdateAt}}, nil
	}
	if why == "" && asks(in.Page.Kind) {
		sent, err := before(ctx, tx, in, row)
		if err != nil {
			return alert.PageDecision{}, err
		}
		why = limits.Refuses(alert.PageTrigger, in.Person, sent)
	}
	if why != "" {
		row.State, row.Message = string(alert.Skipped), clean(why)
	} else if in.Page.Contact.Channel == alert.SMS && in.Page.Kind == alert.PageTrigger {
		if row.Code, err = replyCode(ctx, tx, row); err != nil {
			return alert.PageDecision{}, err
		}
	}
	_, err = tx.NewInsert().Model(&row).On("CONFLICT (key, contact) DO UPDATE").Set("state = EXCLUDED.state").Set("message = EXCLUDED.message").
		Set("receipt = EXCLUDED.receipt").Set("code = EXCLUDED.code").Set("updated_at = EXCLUDED.updated_at").Exec(ctx)
	return alert.PageDecision{Send: why == "", Why: why, Code: row.Code, Again: known && old.State == string(alert.Sending)}, err
}

func rowOfRequest(in alert.PageRequest) pageRow {
	return pageRow{Key: clean(in.Page.Key), Contact: clean(in.Page.Contact.Name()), Project: in.Page.Project, Alert: in.Page.Alert,
		Person: clean(in.Person), Channel: string(in.Page.Contact.Channel), Kind: string(in.Page.Kind), State: string(alert.Sending), BeganAt: in.At, UpdatedAt: in.At}
}

// before counts the pages that count against the limits of one more: those that ask to act, whatever came of them, but not itself. Steps of
// a policy are not limited by the alert: whoever is next must hear of it. Updates of messages are.
func before(ctx context.Context, tx bun.Tx, in alert.PageRequest, row pageRow) (alert.Before, error) {
	counted := func(where string, args ...any) (int, error) {
		n, err := tx.NewSelect().Model((*pageRow)(nil)).Where(where, args...).Where("kind IN ? AND state <> ?", bun.Tuple([]string{string(alert.PageTrigger), string(alert.PageUpdate)}), string(alert.Skipped)).
			Where("NOT (key = ? AND contact = ?)", row.Key, row.Contact).Count(ctx)
		return int(n), err
	}
	var sent alert.Before
	var err error
	hour := row.BeganAt.Add(-time.Hour)
	if sent.Contact, err = counted("contact = ? AND began_at > ?", row.Contact, hour); err != nil {
		return sent, err
	}
	if row.Person != "" {
		if sent.Person, err = counted("person = ? AND began_at > ?", row.Person, hour); err != nil {
			return sent, err
		}
	}
	if in.Page.Kind == alert.PageUpdate {
		sent.Alert, err = counted("alert = ?", row.Alert)
	}
	return sent, err
}

// codeRests is how long a number of an alert that has ended is not given to another: a late reply is to what its sender read.
const codeRests = time.Hour

// replyCode is the number that a reply by SMS begins with: the contact's for this alert, or the smallest that none of its current or late
// alerts has.
func replyCode(ctx context.Context, tx bun.Tx, row pageRow) (int, error) {
	var taken []struct {
		Alert int64
		Code  int
	}
	err := tx.NewSelect().Model((*pageRow)(nil)).ColumnExpr("DISTINCT alert, code").Where("contact = ? AND code > 0", row.Contact).
		Where("began_at > ? OR alert IN (?)", row.BeganAt.Add(-codeRests),
			tx.NewSelect().Model((*alertRow)(nil)).Column("number").Where("status IN ?", bun.Tuple(current))).Scan(ctx, &taken)
	if err != nil {
		return 0, err
	}
	var codes []int
	for _, t := range taken {
		if t.Alert == row.Alert {
			return t.Code, nil
		}
		codes = append(codes, t.Code)
	}
	code := 1
	for slices.Contains(codes, code) {
		code++
	}
	return code, nil
}

// RecordPage writes what came of a page. What is known to have been delivered stays so.
func (s *Store) RecordPage(ctx context.Context, p alert.PageRow) error {
	row := pageRow{Key: clean(p.Key), Contact: clean(p.Contact), Project: p.Project, Alert: p.Alert, Person: clean(p.Person), Channel: string(p.Channel),
		Kind: string(p.Kind), State: string(p.State), Receipt: clean(p.Receipt), Message: clean(p.Message), Code: p.Code,
		BeganAt: s.orNow(p.BeganAt), UpdatedAt: s.orNow(p.UpdateAt)}
	return s.transact(ctx, "record page "+p.Key, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&row).On("CONFLICT (key, contact) DO UPDATE").Set("state = EXCLUDED.state").Set("message = EXCLUDED.message").
			Set("receipt = CASE WHEN EXCLUDED.receipt = '' THEN ?TableAlias.receipt ELSE EXCLUDED.receipt END").Set("updated_at = EXCLUDED.updated_at").
			Where("?TableAlias.state <> ?", string(alert.Delivered)).Exec(ctx)
		return err
	})
}

// PageByReceipt returns the page that a channel knows by this id.
func (s *Store) PageByReceipt(ctx context.Context, channel alert.Channel, id string) (alert.PageRow, error) {
	return s.onePage(ctx, fmt.Sprintf("page that %s knows as %.80q", channel, clean(id)), "channel = ? AND receipt = ? AND receipt <> ''", string(channel), clean(id))
}

// PageByCode returns the newest page to a contact, by its id, that asked for replies beginning with the number. Numbers are given again
// when the alert that had them has ended.
func (s *Store) PageByCode(ctx context.Context, contact string, code int) (alert.PageRow, error) {
	return s.onePage(ctx, fmt.Sprintf("page with the number %d", code), "contact = ? AND code = ? AND code > 0", clean(contact), code)
}

func (s *Store) onePage(ctx context.Context, what, where string, args ...any) (alert.PageRow, error) {
	var row pageRow
	err := s.read.NewSelect().Model(&row).Where(where, args...).Order("began_at DESC").Limit(1).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return alert.PageRow{}, fault.New(fault.NotFound, "there is no %s", what)
	}
	return row.page(), s.explain(err, "find a "+what)
}

// PagesOf returns the pages of an alert, in the order in which they began.
func (s *Store) PagesOf(ctx context.Context, project string, number int64) ([]alert.PageRow, error) {
	var rows []pageRow
	err := s.read.NewSelect().Model(&rows).Where("project = ? AND alert = ?", clean(project), number).Order("began_at", "key", "contact").Scan(ctx)
	if err != nil {
		return nil, s.explain(err, fmt.Sprintf("list the pages of alert %d", number))
	}
	pages := make([]alert.PageRow, len(rows))
	for i, row := range rows {
		pages[i] = row.page()
	}
	return pages, nil
}

// asks reports whether a page asks somebody to act, rather than to tell how that went.
func asks(kind alert.PageKind) bool { return kind == alert.PageTrigger || kind == alert.PageUpdate }

// unreachable says why a person must not be paged by a contact any more, "" when they may.
func (s *Store) unreachable(ctx context.Context, person string, c alert.Contact) (string, error) {
	active, err := s.ActiveUsers(ctx, []string{person})
	if err != nil {
		return "", err
	}
	if !active[person] {
		return fmt.Sprintf("%s is no active user any more", person), nil
	}
	now, err := s.Contact(ctx, c.ID)
	switch {
	case fault.Is(err, fault.NotFound):
		return fmt.Sprintf("%s has removed this contact", person), nil
	case err == nil && (now.Status != alert.ContactVerified || now.Person != person):
		return "the contact is not verified any more", nil
	}
	return "", err
}
