package store_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/oncall"
	"github.com/m3o/platform/internal/store"
)

// verifies adds a contact of a person and verifies it.
func verifies(t *testing.T, s *store.Store, person string, channel alert.Channel, address string) alert.Contact {
	t.Helper()
	c, err := s.CreateContact(t.Context(), person, channel, address)
	must(t, err)
	code := coded(t, s, person, c.ID)
	c, err = s.VerifyContact(t.Context(), person, c.ID, code)
	must(t, err)
	return c
}

// coded has a code sent to a contact, as the workflow does.
func coded(t *testing.T, s *store.Store, person, contact string) string {
	t.Helper()
	n, err := s.BeginCode(t.Context(), person, contact)
	must(t, err)
	code := alert.CodeOf([]byte(rand.Text()))
	must(t, s.RecordCode(t.Context(), alert.CodeRecord{Contact: contact, N: n, Hash: alert.HashCode(code), Expires: time.Now().Add(alert.CodeLife)}))
	return code
}

func TestAContactIsUsedOnceItsCodeCameBack(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	joins(t, s, "ana")
	joins(t, s, "bob")
	c, err := s.CreateContact(ctx, "ana", alert.SMS, "+447700900123")
	must(t, err)
	if _, err := s.ContactByAddress(ctx, alert.SMS, "+447700900123"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a pending contact was found: %v", err)
	}
	_, err = s.VerifyContact(ctx, "ana", c.ID, "AAAAAAAA")
	wantFault(t, err, fault.Conflict, "no code has been sent")
	code := coded(t, s, "ana", c.ID)
	_, err = s.VerifyContact(ctx, "bob", c.ID, code)
	wantFault(t, err, fault.NotFound, "there is no contact")
	typed := strings.ToLower(code[:4] + "-" + code[4:]) // as people type it
	got, err := s.VerifyContact(ctx, "ana", c.ID, typed)
	must(t, err)
	if got.Status != alert.ContactVerified || got.Person != "ana" {
		t.Errorf("verified: %+v", got)
	}
	found, err := s.ContactByAddress(ctx, alert.SMS, "+447700900123")
	must(t, err)
	if found.ID != c.ID || found.Person != "ana" {
		t.Errorf("the address is %+v", found)
	}
	people, err := s.People(ctx, []string{"ana", "bob", "eve"})
	must(t, err)
	if len(people) != 2 || len(people["ana"].Contacts) != 1 || len(people["bob"].Contacts) != 0 {
		t.Errorf("people are %+v", people)
	}
	events, err := s.Events(ctx, 0, nil, 0)
	must(t, err)
	for _, e := range events {
		if strings.Contains(e.Subject+e.Message, "7700900123") {
			t.Errorf("an event tells the address: %+v", e)
		}
	}
}

func TestAWrongCodeIsRefusedAndFiveOfThemUseItUp(t *testing.T) {
	s := fresh(t)
	joins(t, s, "ana")
	c, err := s.CreateContact(t.Context(), "ana", alert.Email, "ana@example.com")
	must(t, err)
	code := coded(t, s, "ana", c.ID)
	for i := range alert.CodeTries {
		_, err := s.VerifyContact(t.Context(), "ana", c.ID, "WRONG234")
		words := "tries that are left: "
		if i == alert.CodeTries-1 {
			words = "was the last of the tries"
		}
		wantFault(t, err, fault.Invalid, "code: is not the one that was sent", words)
	}
	_, err = s.VerifyContact(t.Context(), "ana", c.ID, code)
	wantFault(t, err, fault.Conflict, "ask for another one")
}

func TestACodeIsGoodForFifteenMinutes(t *testing.T) {
	s := fresh(t)
	joins(t, s, "ana")
	c, err := s.CreateContact(t.Context(), "ana", alert.Email, "ana@example.com")
	must(t, err)
	code := coded(t, s, "ana", c.ID)
	passes(s, time.Now().Add(alert.CodeLife+time.Second))
	_, err = s.VerifyContact(t.Context(), "ana", c.ID, code)
	wantFault(t, err, fault.Conflict, "the code expired at")
}

// TestTheNewestCodeAloneIsGood: of an older sending that is slow nothing is kept.
func TestTheNewestCodeAloneIsGood(t *testing.T) {
	s := fresh(t)
	joins(t, s, "ana")
	c, err := s.CreateContact(t.Context(), "ana", alert.Email, "ana@example.com")
	must(t, err)
	first := coded(t, s, "ana", c.ID)
	passes(s, time.Now().Add(2*time.Minute))
	second := coded(t, s, "ana", c.ID)
	must(t, s.RecordCode(t.Context(), alert.CodeRecord{Contact: c.ID, N: 1, Hash: alert.HashCode(first), Expires: time.Now().Add(time.Hour)}))
	_, err = s.VerifyContact(t.Context(), "ana", c.ID, first)
	wantFault(t, err, fault.Invalid, "code:")
	_, err = s.VerifyContact(t.Context(), "ana", c.ID, second)
	must(t, err)
}

func TestCodesAreNotSentWithoutEnd(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	joins(t, s, "ana")
	now := time.Now()
	again := func() error { // removed and added again, which is no way around
		c, err := s.CreateContact(ctx, "ana", alert.SMS, "+447700900123")
		must(t, err)
		_, err = s.BeginCode(ctx, "ana", c.ID)
		must(t, s.RemoveContact(ctx, "ana", c.ID))
		return err
	}
	must(t, again())
	err := again()
	wantFault(t, err, fault.Throttled, "less than 1m ago")
	for i := range alert.CodesPerHour - 1 {
		passes(s, now.Add(time.Duration(i+1)*2*time.Minute))
		must(t, again())
	}
	passes(s, now.Add(20*time.Minute))
	wantFault(t, again(), fault.Throttled, "to one address")
	passes(s, now.Add(26*time.Hour))
	must(t, again())
}

func TestAnAddressIsOnePersons(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	joins(t, s, "ana")
	joins(t, s, "bob")
	first := verifies(t, s, "ana", alert.SMS, "+447700900123")
	passes(s, time.Now().Add(2*time.Minute))
	c, err := s.CreateContact(ctx, "bob", alert.SMS, "+447700900123")
	must(t, err)
	code := coded(t, s, "bob", c.ID)
	_, err = s.VerifyContact(ctx, "bob", c.ID, code)
	wantFault(t, err, fault.Conflict, "somebody else has verified")
	must(t, s.RemoveContact(ctx, "ana", first.ID))
	_, err = s.VerifyContact(ctx, "bob", c.ID, code)
	must(t, err)
}

func TestAContactThatItsProviderRefusesIsPendingAgain(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	joins(t, s, "ana")
	c := verifies(t, s, "ana", alert.SMS, "+447700900123")
	for range 2 {
		must(t, s.RefuseContact(ctx, c.ID, "the person asked for no more messages (21610)"))
	}
	contacts, err := s.Contacts(ctx, "ana")
	must(t, err)
	if len(contacts) != 1 || contacts[0].Status != alert.ContactPending || !strings.Contains(contacts[0].Message, "21610") {
		t.Errorf("contacts are %+v", contacts)
	}
	must(t, s.RefuseContact(ctx, "con_gone", "x"))
}

func TestContactsThatAreNone(t *testing.T) {
	s := fresh(t)
	joins(t, s, "ana")
	for _, c := range []struct {
		channel alert.Channel
		address string
		says    string
	}{
		{alert.SMS, "07700900123", "E.164"},
		{alert.SMS, "+44 7700 900123", "E.164"},
		{alert.Email, "ana", "name@host"},
		{alert.Email, "ana@example.com\r\nBcc: eve@example.com", "name@host"},
		{alert.Email, "Ana <ana@example.com>", "name@host"},
		{alert.Slack, "#ops", "member id"},
		{alert.Webhook, "https://example.com", "none of email, sms and slack"},
		{"pigeon", "coo", `"pigeon"`},
	} {
		_, err := s.CreateContact(t.Context(), "ana", c.channel, c.address)
		wantFault(t, err, fault.Invalid, c.says)
	}
	_, err := s.CreateContact(t.Context(), "ana", alert.Email, "ana@example.com")
	must(t, err)
	_, err = s.CreateContact(t.Context(), "ana", alert.Email, "ana@example.com")
	wantFault(t, err, fault.Exists, "there is that contact already")
}

func TestHowAPersonWantsToBePaged(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	joins(t, s, "ana")
	lines := []alert.Notify{{Channel: alert.Slack}, {Channel: alert.SMS, After: alert.Duration(2 * time.Minute)}}
	must(t, s.SetNotifyRules(ctx, "ana", map[alert.Urgency][]alert.Notify{alert.High: lines}))
	people, err := s.People(ctx, []string{"ana"})
	must(t, err)
	if got := people["ana"].By[alert.High]; len(got) != 2 || got[1] != lines[1] {
		t.Errorf("chosen: %+v", got)
	}
	wantFault(t, s.SetNotifyRules(ctx, "ana", map[alert.Urgency][]alert.Notify{alert.Low: lines}), fault.Invalid, "urgency", `"low"`)
	bad := []alert.Notify{{Channel: "fax"}, {Channel: alert.SMS, After: alert.Duration(25 * time.Hour)}}
	wantFault(t, s.SetNotifyRules(ctx, "ana", map[alert.Urgency][]alert.Notify{alert.High: bad}), fault.Invalid, `high[0].channel: "fax"`, "high[1].after: 25h")
	must(t, s.SetNotifyRules(ctx, "ana", nil))
	if rules, err := s.NotifyRules(ctx, "ana"); err != nil || rules != nil {
		t.Errorf("after they were given up: %+v, %v", rules, err)
	}
}

func TestRemovingAUserRemovesContactsAndEndsOverrides(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	must(t, s.EnsureProject(ctx, "default"))
	admin(t, s)
	joins(t, s, "ana")
	verifies(t, s, "ana", alert.SMS, "+447700900123")
	now := time.Now()
	running := override(t, s, "ana", now.Add(-time.Hour), now.Add(time.Hour))
	override(t, s, "ana", now.Add(time.Hour), now.Add(2*time.Hour))
	must(t, s.RemoveUser(ctx, "ana", "admin"))
	_, err := s.ContactByAddress(ctx, alert.SMS, "+447700900123")
	wantFault(t, err, fault.NotFound)
	left, err := s.Overrides(ctx, "default", now.Add(-2*time.Hour), now.Add(3*time.Hour))
	must(t, err)
	if len(left) != 1 || left[0].ID != running.ID || left[0].Ends.After(time.Now()) {
		t.Errorf("overrides are %+v", left)
	}
	joins(t, s, "ana") // another person of that name
	if contacts, err := s.Contacts(ctx, "ana"); err != nil || len(contacts) > 0 {
		t.Errorf("the next ana has %+v, %v", contacts, err)
	}
}

// passes has the store believe that it is so late.
func passes(s *store.Store, now time.Time) {
	s.SetClock(func() time.Time { return now.UTC().Truncate(time.Microsecond) })
}

// admin makes somebody who operates the platform.
func admin(t *testing.T, s *store.Store) {
	t.Helper()
	must(t, s.Bootstrap(t.Context(), hash("admin"), "admin.token"))
}

func override(t *testing.T, s *store.Store, person string, begins, ends time.Time) oncall.Override {
	t.Helper()
	o, err := s.CreateOverride(t.Context(), oncall.Override{Project: "default", Schedule: "primary", Person: person, Begins: begins, Ends: ends, By: "admin"})
	must(t, err)
	return o
}

func TestOverridesThatEnd(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	must(t, s.EnsureProject(ctx, "default"))
	joins(t, s, "ana")
	now := time.Now()
	running := override(t, s, "ana", now.Add(-time.Hour), now.Add(time.Hour))
	ahead := override(t, s, "ana", now.Add(time.Hour), now.Add(2*time.Hour))
	ended, err := s.EndOverride(ctx, "default", running.ID, "ana")
	must(t, err)
	if ended.Ends.After(time.Now()) {
		t.Errorf("it ends at %s", ended.Ends)
	}
	_, err = s.EndOverride(ctx, "default", running.ID, "ana")
	wantFault(t, err, fault.Conflict, "ended at")
	_, err = s.EndOverride(ctx, "shop", ahead.ID, "ana")
	wantFault(t, err, fault.NotFound)
	_, err = s.EndOverride(ctx, "default", ahead.ID, "ana")
	must(t, err)
	left, err := s.Overrides(ctx, "default", now.Add(-2*time.Hour), now.Add(3*time.Hour))
	must(t, err)
	if len(left) != 1 {
		t.Errorf("overrides are %+v", left)
	}
	for _, c := range []struct {
		o    oncall.Override
		says string
	}{
		{oncall.Override{Schedule: "primary", Person: "eve", Begins: now, Ends: now.Add(time.Hour)}, `person: there is no user "eve"`},
		{oncall.Override{Schedule: "primary", Person: "ana", Begins: now, Ends: now}, "ends: "},
		{oncall.Override{Schedule: "primary", Person: "ana", Begins: now.Add(-2 * time.Hour), Ends: now.Add(-time.Hour)}, "is over already"},
		{oncall.Override{Schedule: "primary", Person: "ana", Begins: now, Ends: now.AddDate(2, 0, 0)}, "more than 366 days"},
		{oncall.Override{Schedule: "", Person: "", Begins: now, Ends: now.Add(1)}, `schedule: ""`},
	} {
		c.o.Project = "default"
		_, err := s.CreateOverride(ctx, c.o)
		wantFault(t, err, fault.Invalid, c.says)
	}
}

func TestWhoCannotBeReached(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	must(t, s.EnsureProject(ctx, "shop"))
	admin(t, s)
	for i, name := range []string{"ana", "bob", "cho", "dan", "eve"} {
		joins(t, s, name)
		if name != "bob" {
			verifies(t, s, name, alert.SMS, "+44770090000"+string(rune('0'+i)))
		}
	}
	for _, name := range []string{"ana", "bob", "eve"} {
		must(t, s.Grant(ctx, "shop", name, account.Developer, "admin"))
	}
	must(t, s.Grant(ctx, "shop", "cho", account.Viewer, "admin"))
	must(t, s.Grant(ctx, "", "dan", account.OnCall, "admin"))
	_, err := s.MoveUser(ctx, "eve", account.Suspended, "admin")
	must(t, err)
	why, err := s.Unreachable(ctx, "shop", []string{"ana", "bob", "cho", "dan", "eve", "fay"})
	must(t, err)
	want := map[string]string{"bob": "has no verified contact", "cho": "may not act on alerts of project shop", "eve": "is no active user", "fay": "is no active user"}
	if len(why) != len(want) {
		t.Errorf("said %v", why)
	}
	for name, words := range want {
		if why[name] != words {
			t.Errorf("of %s it says %q, want %q", name, why[name], words)
		}
	}
	if why, err := s.Unreachable(ctx, "platform", []string{"ana", "dan"}); err != nil || len(why) != 1 || why["ana"] == "" {
		t.Errorf("for the platform: %v, %v", why, err)
	}
}
