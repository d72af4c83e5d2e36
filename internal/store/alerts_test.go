package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/store"
)

var shop = alert.Group{Project: "default", Route: "default", Labels: map[string]string{"service": "shop"}}

func opening(g alert.Group, first int64) alert.Opening {
	return alert.Opening{Group: g, Hash: g.Hash(), First: first, Alert: alert.Alert{Title: "disk full", Severity: alert.Critical, Status: alert.Open, Service: "shop"}}
}

// opens begins an alert, and returns it as it is recorded.
func opens(t *testing.T, s *store.Store, in alert.Opening) alert.Alert {
	t.Helper()
	opened, err := s.OpenAlert(t.Context(), in)
	must(t, err)
	a, err := s.Alert(t.Context(), in.Group.Project, opened.Number)
	must(t, err)
	return a
}

// ends records that an alert has ended, when it knew of the signals up to one.
func ends(t *testing.T, s *store.Store, a alert.Alert, status alert.Status, upto int64) {
	t.Helper()
	a.Status, a.Upto, a.EndedAt, a.Version = status, upto, time.Now(), a.Version+1
	must(t, s.RecordAlert(t.Context(), a, nil))
}

func TestAnAlertIsOpenedOnceForItsFirstSignal(t *testing.T) {
	s := fresh(t)
	a := opens(t, s, opening(shop, 3))
	again, err := s.OpenAlert(t.Context(), opening(shop, 3))
	must(t, err)
	if again.Number != a.Number || again.Stale || again.Found != nil {
		t.Errorf("asked again it is %+v, not alert %d", again, a.Number)
	}
	other := shop
	other.Labels = map[string]string{"service": "till"}
	if b := opens(t, s, opening(other, 3)); b.Number == a.Number {
		t.Error("another group has the same number")
	}
}

func TestSignalsThatAnEndedAlertKnewBeginNothing(t *testing.T) {
	s := fresh(t)
	a := opens(t, s, opening(shop, 3))
	ends(t, s, a, alert.Resolved, 7)
	for first, stale := range map[int64]bool{3: true, 7: true} {
		opened, err := s.OpenAlert(t.Context(), opening(shop, first))
		must(t, err)
		if opened.Stale != stale || opened.Number != a.Number {
			t.Errorf("signal %d: %+v", first, opened)
		}
	}
	if b := opens(t, s, opening(shop, 8)); b.Number == a.Number {
		t.Error("a new signal begins nothing")
	}
}

func TestAnAlertThatLostItsWorkflowGoesOn(t *testing.T) {
	s := fresh(t)
	a := opens(t, s, opening(shop, 3))
	a.Status, a.AcknowledgedBy, a.Version = alert.Acknowledged, "ana", 5
	must(t, s.RecordAlert(t.Context(), a, nil))
	opened, err := s.OpenAlert(t.Context(), opening(shop, 9))
	must(t, err)
	if opened.Number != a.Number || opened.Found == nil || opened.Found.AcknowledgedBy != "ana" || opened.Found.Version != 5 {
		t.Errorf("it is %+v", opened)
	}
}

func TestARecordThatIsOlderChangesNothingButTheLog(t *testing.T) {
	s := fresh(t)
	a := opens(t, s, opening(shop, 1))
	newer, older := a, a
	newer.Status, newer.Version = alert.Acknowledged, 2
	older.Status, older.Version = alert.Snoozed, 1
	line := func(key, text string) []alert.Entry {
		return []alert.Entry{{Key: key, Kind: alert.LogNote, Text: text}}
	}
	must(t, s.RecordAlert(t.Context(), newer, line("2", "second")))
	must(t, s.RecordAlert(t.Context(), older, line("1", "first")))
	must(t, s.RecordAlert(t.Context(), newer, line("2", "second, once more")))
	got, err := s.Alert(t.Context(), "default", a.Number)
	must(t, err)
	log, err := s.AlertLog(t.Context(), "default", a.Number)
	must(t, err)
	if got.Status != alert.Acknowledged || len(log) != 2 || log[0].Text != "second" && log[1].Text != "second" {
		t.Errorf("it is %s with the log %+v", got.Status, log)
	}
	events, err := s.Events(t.Context(), 0, []string{"default"}, 0)
	must(t, err)
	var kinds []string
	for _, e := range events {
		if strings.HasPrefix(e.Kind, "alert.") {
			kinds = append(kinds, e.Kind)
		}
	}
	if fmt.Sprint(kinds) != "[alert.open alert.acknowledged]" {
		t.Errorf("the events are %v", kinds)
	}
}

func TestAlertsAreListedNewestFirst(t *testing.T) {
	s := fresh(t)
	for i := range 5 {
		g := shop
		g.Labels = map[string]string{"n": fmt.Sprint(i)}
		a := opens(t, s, opening(g, 1))
		if i == 0 {
			ends(t, s, a, alert.Closed, 1)
		}
	}
	var numbers []int64
	for page := (store.Page{Limit: 2}); ; {
		found, next, err := s.Alerts(t.Context(), "default", alert.Filter{Current: true}, page)
		must(t, err)
		for _, a := range found {
			numbers = append(numbers, a.Number)
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	if fmt.Sprint(numbers) != "[5 4 3 2]" {
		t.Errorf("the current alerts are %v", numbers)
	}
	closed, _, err := s.Alerts(t.Context(), "", alert.Filter{Status: alert.Closed, Service: "shop"}, store.Page{})
	must(t, err)
	if len(closed) != 1 || closed[0].Number != 1 {
		t.Errorf("closed are %+v", closed)
	}
	_, err = s.Alert(t.Context(), "other", 1)
	wantFault(t, err, fault.NotFound, "alert 1", `"other"`)
}

// to is a page that asks a person to act, by their contact.
func to(c alert.Contact, number int64, n int) alert.PageRequest {
	return alert.PageRequest{Person: c.Person, Labels: map[string]string{"service": "shop"}, At: time.Now(),
		Page: alert.Page{Key: alert.PageKey("default", number, alert.PageTrigger, n, c.Person), Project: "default", Alert: number, Kind: alert.PageTrigger, Contact: c}}
}

func begins(t *testing.T, s *store.Store, in alert.PageRequest) alert.PageDecision {
	t.Helper()
	d, err := s.BeginPage(t.Context(), in)
	must(t, err)
	return d
}

// sent records what came of a page.
func sent(t *testing.T, s *store.Store, in alert.PageRequest, state alert.Delivery, receipt string) {
	t.Helper()
	must(t, s.RecordPage(t.Context(), alert.PageRow{Key: in.Page.Key, Project: "default", Alert: in.Page.Alert, Person: in.Person, Channel: in.Page.Contact.Channel, Contact: in.Page.Contact.ID,
		Kind: in.Page.Kind, State: state, Receipt: receipt}))
}

func TestAPageThatWentOutIsNotSentAgain(t *testing.T) {
	s := fresh(t)
	joins(t, s, "ana")
	phone := verifies(t, s, "ana", alert.SMS, "+447700900123")
	a := opens(t, s, opening(shop, 1))
	page := to(phone, a.Number, 1)
	if d := begins(t, s, page); !d.Send || d.Again || d.Code != 1 {
		t.Errorf("at first: %+v", d)
	}
	if d := begins(t, s, page); !d.Send || !d.Again || d.Code != 1 {
		t.Errorf("when nobody knows what came of it: %+v", d)
	}
	sent(t, s, page, alert.Failed, "SM1")
	if d := begins(t, s, page); !d.Send || d.Again {
		t.Errorf("when it failed: %+v", d)
	}
	sent(t, s, page, alert.Sent, "SM2")
	if d := begins(t, s, page); d.Send || d.Receipt == nil || d.Receipt.ID != "SM2" {
		t.Errorf("when it went out: %+v", d)
	}
	sent(t, s, page, alert.Delivered, "")
	sent(t, s, page, alert.Failed, "")
	row, err := s.PageByReceipt(t.Context(), alert.SMS, "SM2")
	must(t, err)
	if row.State != alert.Delivered || row.Receipt != "SM2" || row.Person != "ana" {
		t.Errorf("it is recorded as %+v", row)
	}
	_, err = s.PageByReceipt(t.Context(), alert.SMS, "")
	wantFault(t, err, fault.NotFound)
}

func TestRepliesHaveTheSmallestNumberThatIsFree(t *testing.T) {
	s := fresh(t)
	joins(t, s, "ana")
	joins(t, s, "bob")
	phone, other := verifies(t, s, "ana", alert.SMS, "+447700900123"), verifies(t, s, "bob", alert.SMS, "+447700900124")
	var alerts []alert.Alert
	for i := range 3 {
		g := shop
		g.Labels = map[string]string{"n": fmt.Sprint(i)}
		a := opens(t, s, opening(g, 1))
		if d := begins(t, s, to(phone, a.Number, 1)); d.Code != i+1 {
			t.Errorf("alert %d has the code %d", a.Number, d.Code)
		}
		alerts = append(alerts, a)
	}
	if d := begins(t, s, to(phone, alerts[1].Number, 2)); d.Code != 2 {
		t.Errorf("a second page of alert 2 has the code %d", d.Code)
	}
	if d := begins(t, s, to(other, alerts[2].Number, 2)); d.Code != 1 {
		t.Errorf("another phone's code is %d", d.Code)
	}
	ends(t, s, alerts[1], alert.Resolved, 1)
	late, err := s.PageByCode(t.Context(), phone.ID, 2)
	must(t, err)
	if late.Alert != alerts[1].Number {
		t.Errorf("a late reply is to alert %d", late.Alert)
	}
	g := shop
	g.Labels = map[string]string{"n": "new"}
	a := opens(t, s, opening(g, 1))
	if d := begins(t, s, to(phone, a.Number, 1)); d.Code == 2 {
		t.Error("the new alert has the code of one that ended a moment ago: a late reply would be to it")
	}
	g.Labels = map[string]string{"n": "later"}
	a = opens(t, s, opening(g, 1))
	hours := to(phone, a.Number, 1)
	hours.At = hours.At.Add(2 * time.Hour)
	if d := begins(t, s, hours); d.Code != 2 {
		t.Errorf("hours later a new alert has the code %d", d.Code)
	}
	row, err := s.PageByCode(t.Context(), phone.ID, 2)
	must(t, err)
	if row.Alert != a.Number {
		t.Errorf("code 2 is of alert %d", row.Alert)
	}
	_, err = s.PageByCode(t.Context(), phone.ID, 9)
	wantFault(t, err, fault.NotFound)
}

func TestWhoMustNotBePagedIsNot(t *testing.T) {
	s := fresh(t)
	joins(t, s, "ada")
	must(t, s.Grant(t.Context(), "", "ada", account.Operator, "ada"))
	joins(t, s, "ana")
	joins(t, s, "bob")
	a := opens(t, s, opening(shop, 1))
	phone, mail, bobs := verifies(t, s, "ana", alert.SMS, "+447700900123"), verifies(t, s, "ana", alert.Email, "ana@example.com"), verifies(t, s, "bob", alert.Email, "bob@example.com")
	must(t, s.RemoveContact(t.Context(), "ana", mail.ID))
	must(t, s.RefuseContact(t.Context(), phone.ID, "21610"))
	_, err := s.MoveUser(t.Context(), "bob", account.Suspended, "ada")
	must(t, err)
	for want, c := range map[string]alert.Contact{"ana has removed this contact": mail, "the contact is not verified any more": phone, "bob is no active user any more": bobs} {
		if d := begins(t, s, to(c, a.Number, 1)); d.Send || d.Why != want {
			t.Errorf("%s: %+v", c.Address, d)
		}
	}
	pages, err := s.PagesOf(t.Context(), "default", a.Number)
	must(t, err)
	for _, p := range pages {
		if p.State != alert.Skipped || p.Message == "" {
			t.Errorf("it is recorded as %+v", p)
		}
	}
}

func TestTheHourlyLimitsHoldPagesBack(t *testing.T) {
	s := fresh(t)
	must(t, s.EnsureProject(t.Context(), "default"))
	joins(t, s, "ana")
	phone, mail := verifies(t, s, "ana", alert.SMS, "+447700900123"), verifies(t, s, "ana", alert.Email, "ana@example.com")
	rules := alert.Rules{Project: "default", Policies: []alert.Policy{{Name: "p", Steps: []alert.Step{{Targets: []alert.Target{{Person: "ana"}}}}}}, Default: alert.Route{Policy: "p"},
		Limits: alert.Limits{PerPersonHour: 3, PerContactHour: 2}}
	_, err := s.ApplyRules(t.Context(), rules, "ada")
	must(t, err)
	a := opens(t, s, opening(shop, 1))
	for n, want := range []string{"", "", "this contact"} {
		if d := begins(t, s, to(phone, a.Number, n)); d.Send != (want == "") || !strings.Contains(d.Why, want) {
			t.Errorf("SMS %d: %+v", n+1, d)
		}
	}
	for n, want := range []string{"", "to ana"} {
		if d := begins(t, s, to(mail, a.Number, n)); d.Send != (want == "") || !strings.Contains(d.Why, want) {
			t.Errorf("mail %d: %+v", n+1, d)
		}
	}
	told := to(mail, a.Number, 9)
	told.Page.Kind = alert.PageResolved
	if d := begins(t, s, told); !d.Send {
		t.Errorf("how it ended is not told: %s", d.Why)
	}
	later := to(phone, a.Number, 10)
	later.At = time.Now().Add(2 * time.Hour)
	if d := begins(t, s, later); !d.Send {
		t.Errorf("two hours later: %s", d.Why)
	}
}

func TestAProjectThatIsRemovedTakesItsAlertsWithIt(t *testing.T) {
	s := fresh(t)
	must(t, s.EnsureProject(t.Context(), "web"))
	till := alert.Group{Project: "web", Route: "default", Labels: map[string]string{"service": "till"}}
	stays, goes := opens(t, s, opening(shop, 3)), opens(t, s, opening(till, 4))
	must(t, s.RecordAlert(t.Context(), goes, []alert.Entry{{Key: "1", Kind: alert.LogTriggered}}))
	must(t, s.RecordAlert(t.Context(), stays, []alert.Entry{{Key: "1", Kind: alert.LogTriggered}}))
	must(t, s.RecordPage(t.Context(), alert.PageRow{Key: "a", Project: "web", Alert: goes.Number, Contact: "c", Kind: alert.PageTrigger, State: alert.Sent}))
	_, err := s.BeginRemoval(t.Context(), account.RemoveInput{Project: "web", Cascade: true, By: "ada"})
	must(t, err)
	if all, err := s.CurrentAlerts(t.Context(), "web"); err != nil || len(all) != 1 || all[0].Number != goes.Number {
		t.Errorf("to be closed are %+v, %v", all, err)
	}
	ends(t, s, goes, alert.Closed, 4)
	if opened, err := s.OpenAlert(t.Context(), opening(till, 9)); err != nil || !opened.Stale {
		t.Errorf("in a project that is being removed begins %+v, %v", opened, err)
	}
	must(t, s.EraseProject(t.Context(), "web", "ada"))
	if opened, err := s.OpenAlert(t.Context(), opening(till, 12)); err != nil || !opened.Stale {
		t.Errorf("in a project that is gone begins %+v, %v", opened, err)
	}
	left, _, err := s.Alerts(t.Context(), "", alert.Filter{}, store.Page{})
	must(t, err)
	if len(left) != 1 || left[0].Number != stays.Number {
		t.Errorf("left are %+v", left)
	}
	if pages, err := s.PagesOf(t.Context(), "web", goes.Number); err != nil || len(pages) > 0 {
		t.Errorf("left are the pages %+v, %v", pages, err)
	}
	if log, err := s.AlertLog(t.Context(), "default", stays.Number); err != nil || len(log) != 1 {
		t.Errorf("of another project is left %+v, %v", log, err)
	}
}

func TestAlertsOfLongAgoAreForgottenWithTheirLogAndPages(t *testing.T) {
	s := fresh(t)
	now := time.Now()
	began := now.Add(-100 * 24 * time.Hour)
	begin := func(service string, first int64, at time.Time) alert.Alert {
		s.SetClock(func() time.Time { return at.UTC() })
		g := shop
		g.Labels = map[string]string{"service": service}
		a := opens(t, s, opening(g, first))
		must(t, s.RecordAlert(t.Context(), a, []alert.Entry{{Key: "1", At: at, Kind: alert.LogTriggered}}))
		must(t, s.RecordPage(t.Context(), alert.PageRow{Key: service, Project: "default", Alert: a.Number, Contact: "c", Kind: alert.PageTrigger, State: alert.Sent, BeganAt: at}))
		return a
	}
	old, open, fresh := begin("old", 1, began), begin("open", 2, began), begin("fresh", 3, began)
	ends(t, s, old, alert.Resolved, 1)
	fresh.Status, fresh.Version = alert.Resolved, 1
	must(t, s.RecordAlert(t.Context(), fresh, []alert.Entry{{Key: "2", At: now, Kind: alert.LogResolved}}))
	must(t, s.RecordPage(t.Context(), alert.PageRow{Key: "notice", Contact: "c", Kind: alert.PageNotice, State: alert.Sent, BeganAt: began}))
	for _, want := range []int64{2, 0} { // the alert, and the notice
		if n, err := s.ForgetAlerts(t.Context(), now.Add(-90*24*time.Hour)); err != nil || n != want {
			t.Errorf("%d are forgotten, want %d: %v", n, want, err)
		}
	}
	if _, err := s.Alert(t.Context(), "default", old.Number); !fault.Is(err, fault.NotFound) {
		t.Errorf("alert %d: %v", old.Number, err)
	}
	for _, kept := range []alert.Alert{open, fresh} {
		log, err := s.AlertLog(t.Context(), "default", kept.Number)
		must(t, err)
		pages, err := s.PagesOf(t.Context(), "default", kept.Number)
		must(t, err)
		if len(log) == 0 || len(pages) != 1 {
			t.Errorf("of alert %d are left %d lines and %d pages", kept.Number, len(log), len(pages))
		}
	}
	if pages, err := s.PagesOf(t.Context(), "default", old.Number); err != nil || len(pages) > 0 {
		t.Errorf("left are %+v, %v", pages, err)
	}
}
