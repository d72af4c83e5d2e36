package main

import (
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/client/apitest"
	"github.com/m3o/platform/internal/oncall"
)

// onCallWorld is a platform whose project default has ana and the administrator take turns by the day.
func onCallWorld(t *testing.T) *apitest.World {
	t.Helper()
	w := apitest.New(t)
	at(t, w)
	ctx := t.Context()
	for _, err := range []error{w.Store.EnsureProject(ctx, "default"), joinsAs(t, w, "ana"), w.Store.Grant(ctx, "default", "ana", account.Developer, "admin")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	rules := alert.DefaultRules("default")
	rules.Default.Urgency = alert.Low
	rules.Schedules = []oncall.Schedule{{Name: "primary", Zone: "Europe/London", Layers: []oncall.Layer{
		{Name: "days", People: []string{"admin", "ana"}, Rotation: oncall.Daily, Start: "2026-01-05T09:00"}}}}
	if _, err := w.Store.ApplyRules(ctx, rules, "admin"); err != nil {
		t.Fatal(err)
	}
	return w
}

func joinsAs(t *testing.T, w *apitest.World, name string) error {
	_, _, err := w.Store.InviteUser(t.Context(), name, "", account.Hash("code of "+name), "admin")
	if err != nil {
		return err
	}
	_, _, err = w.Store.Redeem(t.Context(), account.Hash("code of "+name), "login", account.Hash(account.Secret(account.PersonToken, []byte(name))))
	return err
}

func TestAContactIsVerifiedByItsCode(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	m3o("contact", "add", "sms", "07700").fails(t, exitMisused, "address", "E.164", `"07700"`)
	m3o("contact", "add", "pigeon", "coo").fails(t, exitMisused, `channel: "pigeon"`)
	added := answer[client.ContactView](t, m3o("contact", "add", "sms", "+447700900123", "--json").must(t))
	if !added.CodeSent || added.Status != alert.ContactPending {
		t.Errorf("added %+v", added)
	}
	m3o("contact", "add", "sms", "+447700900123").fails(t, exitFailed, "there is that contact already")
	m3o("contact", "verify", "WRONG234").fails(t, exitFailed, "code: is not the one", "left: 4")
	m3o("contact", "verify", "+447700900123", strings.ToLower(apitest.Code)).must(t)
	m3o("contact", "verify", "x").fails(t, exitFailed, "no contact that is to be verified")
	m3o("contact", "verify", "con_x", "x").fails(t, exitFailed, `no contact "con_x"`)
	listed := answer[[]alert.Contact](t, m3o("contact", "list", "--json").must(t))
	if len(listed) != 1 || listed[0].Status != alert.ContactVerified {
		t.Errorf("listed %+v", listed)
	}
	m3o("contact", "remove", "+447700900123").must(t)
	m3o("contact", "list").must(t).says(t, "You have no contacts")
}

func TestHowIAmPagedIsMine(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	m3o("contact", "rules").must(t).says(t, "the project's rules hold")
	out := m3o("contact", "rules", "--urgency", "high", "slack:0s", "sms:2m", "email:5m").must(t).says(t, "no verified contact by slack")
	if !strings.Contains(out.out, "sms") || !strings.Contains(out.out, "2m") {
		t.Errorf("it shows %s", out.out)
	}
	got := answer[client.NotifyChoice](t, m3o("contact", "rules", "--json").must(t))
	if len(got.High) != 3 || got.High[1] != (alert.Notify{Channel: alert.SMS, After: alert.Duration(2 * time.Minute)}) {
		t.Errorf("chosen %+v", got)
	}
	m3o("contact", "rules", "fax:1m").fails(t, exitMisused, `high[0].channel: "fax"`)
	m3o("contact", "rules", "sms:soon").fails(t, exitMisused, `"soon"`)
	m3o("contact", "rules", "sms:25h").fails(t, exitMisused, "high[0].after: 25h")
	m3o("contact", "rules", "--urgency", "low", "sms:1m").fails(t, exitMisused, `urgency: "low"`)
	m3o("contact", "rules", "--reset").must(t).says(t, "the project's rules hold")
}

func TestGapsFailUntilTheyAreMended(t *testing.T) {
	w := onCallWorld(t)
	gaps := m3o("oncall", "gaps")
	if gaps.code != exitFailed || !strings.Contains(gaps.out, "has no verified contact") {
		t.Errorf("exit %d: %s%s", gaps.code, gaps.out, gaps.errs)
	}
	if list := answer[[]oncall.Gap](t, m3o("oncall", "gaps", "--json")); len(list) < 7 {
		t.Errorf("gaps are %+v", list)
	}
	m3o("oncall", "show").must(t).says(t, "warning: schedule primary: ", "has no verified contact")
	m3o("contact", "add", "email", "admin@example.com").must(t)
	m3o("contact", "verify", apitest.Code).must(t)
	if list := answer[[]oncall.Gap](t, m3o("oncall", "gaps", "--days", "3", "--json")); len(list) == 0 || list[0].Person != "ana" {
		t.Errorf("gaps are %+v", list)
	}
	m3o("oncall", "override", "admin", "--for", "2400h").must(t)
	m3o("oncall", "gaps").must(t).says(t, "No gaps within 7 days")
	m3o("oncall", "gaps", "--days", "93").fails(t, exitMisused, "--days: 93")
	people := m3o("contact", "people").must(t)
	if !strings.Contains(people.out, "email a***@example.com (verified)") || strings.Contains(people.out, "admin@example.com") {
		t.Errorf("people are %s", people.out)
	}
	if _, err := w.Store.UserNamed(t.Context(), "ana"); err != nil {
		t.Error(err)
	}
}

func TestAnOverrideHoldsUntilItEnds(t *testing.T) {
	onCallWorld(t)
	m3o("oncall", "override").fails(t, exitMisused, "something is missing")
	m3o("oncall", "override", "ana").fails(t, exitMisused, "--to", "--for")
	m3o("oncall", "override", "ana", "--from", "+2h", "--to", "+1h").fails(t, exitMisused, "--to", "is not after")
	m3o("oncall", "override", "ana", "--from", "monday", "--for", "1h").fails(t, exitMisused, `--from: "monday"`)
	m3o("oncall", "override", "eve", "--for", "1h").fails(t, exitFailed, `person: there is no user "eve"`)
	m3o("oncall", "override", "ana", "--schedule", "secondary", "--for", "1h").fails(t, exitFailed, `no schedule "secondary"`)
	made := answer[oncall.Override](t, m3o("oncall", "override", "ana", "--schedule", "primary", "--for", "1h", "--json").must(t))
	lines := answer[[]client.OnCallLine](t, m3o("oncall", "show", "primary", "--json").must(t))
	if len(lines) != 1 || lines[0].Now.Person != "ana" || lines[0].Now.Override != made.ID || lines[0].Next == nil {
		t.Errorf("on call: %+v", lines)
	}
	if list := m3o("oncall", "overrides").must(t); !strings.Contains(list.out, made.ID) {
		t.Errorf("overrides are %s", list.out)
	}
	shown := m3o("schedule", "show").must(t)
	for _, words := range []string{"Schedule primary, times of Europe/London", "override " + made.ID, "days", "daily"} {
		if !strings.Contains(shown.out, words) {
			t.Errorf("the schedule lacks %q: %s", words, shown.out)
		}
	}
	m3o("schedule", "show", "primary", "--from", "2026-01-01T00:00", "--to", "2026-12-01T00:00").fails(t, exitFailed, "to: ", "92 days")
	m3o("schedule", "show", "tertiary").fails(t, exitFailed, `no schedule "tertiary"`)
	m3o("oncall", "override", "--end", made.ID, "ana").fails(t, exitMisused, "nothing else")
	m3o("oncall", "override", "--end", made.ID).must(t)
	m3o("oncall", "override", "--end", made.ID).fails(t, exitFailed, "ended at")
	if lines := answer[[]client.OnCallLine](t, m3o("oncall", "show", "--json").must(t)); lines[0].Now.Override != "" {
		t.Errorf("after its end: %+v", lines)
	}
}
