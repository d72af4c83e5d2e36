package alert_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// monday is when these tests play: a Monday, at nine in London.
var monday = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// shopFile is the policy file of the project shop: ana is on call this week, bob the next one, and carla is the boss.
const shopFile = `
project: shop
schedules:
  - name: primary
    zone: Europe/London
    layers:
      - {name: week, people: [ana, bob], rotation: weekly, start: 2026-01-05T09:00}
policies:
  - name: page
    repeat: 1
    acknowledged_for: 30m
    steps:
      - targets: [{schedule: primary}]
      - after: 10m
        targets: [{person: carla}, {slack: "#ops"}]
  - name: databases
    steps:
      - targets: [{person: carla}]
routes:
  - name: database
    match: [service=db, severity=~critical|error]
    policy: databases
    group_by: [service, region]
    group_wait: 30s
  - name: chatter
    match: [team=research]
    urgency: low
default: {policy: page}
inhibit:
  - {source: [severity=critical], target: [severity=warning], equal: [service]}
notify:
  high: [{channel: slack}, {channel: sms, after: 2m}, {channel: email, after: 3m}]
`

// shop is a project where everybody has every contact.
type shop struct {
	t    *testing.T
	view alert.View
}

func newShop(t *testing.T, change ...func(file string) string) *shop {
	t.Helper()
	file := shopFile
	for _, c := range change {
		file = c(file)
	}
	r, err := alert.ParseRules([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, view: alert.View{Rules: r.WithDefaults(), OnCall: r.Rota(nil), People: map[string]alert.Person{}}}
	for _, name := range []string{"ana", "bob", "carla"} {
		s.has(name, alert.Slack, alert.SMS, alert.Email)
	}
	return s
}

// has gives somebody verified contacts of these channels, and no others.
func (s *shop) has(name string, channels ...alert.Channel) {
	p := alert.Person{Name: name}
	for _, c := range channels {
		p.Contacts = append(p.Contacts, alert.Contact{ID: name + "-" + string(c), Person: name, Channel: c, Address: name + "@" + string(c), Status: alert.ContactVerified})
	}
	s.view.People[name] = p
}

// step plans a step of an alert of the default route.
func (s *shop) step(n, round int, at time.Time, labels ...string) alert.Plan {
	return alert.MakePlan(s.view, s.input(n, round, at, labels...))
}

func (s *shop) input(n, round int, at time.Time, labels ...string) alert.PlanInput {
	set := labelSet(labels...)
	route := s.view.Rules.RouteOf(set)
	return alert.PlanInput{Alert: alert.Alert{Project: "shop", Number: 1, Route: route.Name, Group: "mine", Severity: alert.Severity(set["severity"])}, Labels: set, Step: n, Round: round, At: at}
}

// labelSet is that of an error, but for what is given as "name=value".
func labelSet(labels ...string) map[string]string {
	set := map[string]string{"project": "shop", "severity": "error"}
	for _, l := range labels {
		name, value, _ := strings.Cut(l, "=")
		set[name] = value
	}
	return set
}

// wantPages holds a plan's recipients to "ana: slack 0s, sms 2m".
func wantPages(t *testing.T, p alert.Plan, want ...string) {
	t.Helper()
	var got []string
	for _, r := range p.Recipients {
		hops := make([]string, len(r.Hops))
		for i, h := range r.Hops {
			hops[i] = fmt.Sprintf("%s %s", h.Contact.Channel, h.After)
		}
		got = append(got, r.Name+": "+strings.Join(hops, ", "))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("paged are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// wantSaid fails unless one of the texts holds all words.
func wantSaid(t *testing.T, texts []string, words ...string) {
	t.Helper()
	for _, text := range texts {
		all := true
		for _, w := range words {
			all = all && strings.Contains(text, w)
		}
		if all {
			return
		}
	}
	t.Errorf("nothing of %q says %q", texts, words)
}

// wantProblem fails unless the error has a problem of the field that says all words.
func wantProblem(t *testing.T, err error, field string, words ...string) {
	t.Helper()
	if !fault.Is(err, fault.Invalid) {
		t.Fatalf("got %v, want a fault", err)
	}
	for _, p := range err.(*fault.Error).Problems {
		if p.Field != field {
			continue
		}
		for _, w := range words {
			if !strings.Contains(p.Message, w) {
				t.Errorf("%s: %q lacks %q", field, p.Message, w)
			}
		}
		return
	}
	t.Errorf("no problem of %s in %v", field, err)
}
