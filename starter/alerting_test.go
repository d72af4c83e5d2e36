//go:build embedded

package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/sandbox/inbox"
)

// watchRules page ana by all her channels, a second apart, and bob some seconds later. What is labelled with a lane is one person's, whose
// first channel is the one that fails in that lane's tests.
const watchRules = `
project: default
policies:
- name: watch
  steps:
  - {after: 0s, targets: [{person: ana}]}
  - {after: 7s, targets: [{person: bob}]}
- name: ana
  steps: [{after: 0s, targets: [{person: ana}]}]
- name: bob
  steps: [{after: 0s, targets: [{person: bob}]}]
- name: carol
  steps: [{after: 0s, targets: [{person: carol}]}]
default: {policy: watch}
routes:
- {name: ana, match: [lane=ana], policy: ana}
- {name: bob, match: [lane=bob], policy: bob}
- {name: carol, match: [lane=carol], policy: carol}
notify:
  high: [{channel: slack, after: 0s}, {channel: sms, after: 1s}, {channel: email, after: 1s}]
limits: {per_person_hour: 1000, per_contact_hour: 1000}
`

// TestAlertsReachPeople: the whole way, from what a source posts to what people have on their phones, and back.
func TestAlertsReachPeople(t *testing.T) {
	p := newAlertingPlatform(t)
	ana, bob, carol := p.newPerson("ana", alert.Email, alert.SMS, alert.Slack), p.newPerson("bob", alert.SMS, alert.Slack), p.newPerson("carol", alert.SMS, alert.Slack)
	p.alertRules(watchRules)
	m := p.newSource("monitor")
	t.Run("until somebody answers", func(t *testing.T) { p.t = t; answeredBySMS(t, m, ana, bob) })
	p.t = t
	ana.pagedBy(alert.Email, alert.Slack)
	bob.pagedBy(alert.SMS, alert.Slack)
	carol.pagedBy(alert.Slack, alert.SMS)
	for round := range deadMail {
		t.Run(fmt.Sprintf("though the first channel is dead, %d", round+1), func(t *testing.T) {
			p.t = t
			var lanes sync.WaitGroup
			for who, ways := range map[*person][]dead{ana: deadMail, bob: deadSMS, carol: deadSlack} {
				if round < len(ways) {
					lanes.Go(func() { m.reachesThough(who, ways[round]) })
				}
			}
			lanes.Wait()
			p.clearFaults()
		})
	}
	p.t = t
}

// answeredBySMS: a signal is a Slack message at once, an SMS and an email at the policy's times, and all of it stops when ana replies.
func answeredBySMS(t *testing.T, m monitor, ana, bob *person) {
	m.fires("disk/db-1", "disk full on db-1")
	slack, sms, mail := ana.gets(alert.Slack, "disk full on db-1"), ana.gets(alert.SMS, "disk full on db-1"), ana.gets(alert.Email, "disk full on db-1")
	if !slack.ReceivedAt.Before(sms.ReceivedAt) || !sms.ReceivedAt.Before(mail.ReceivedAt) {
		t.Errorf("Slack at %s, SMS at %s, mail at %s", clock(slack), clock(sms), clock(mail))
	}
	a := m.p.alertCalled("disk full on db-1")
	ana.replies(sms, "1a")
	a = m.p.becomes(a.Number, alert.Acknowledged)
	if a.AcknowledgedBy != "ana" {
		t.Errorf("acknowledged by %q", a.AcknowledgedBy)
	}
	m.p.until("the Slack message says that ana has it", func() bool {
		now := ana.had(alert.Slack, "disk full on db-1")
		return len(now) > 0 && now[0].ID == slack.ID && now[0].Edits > 0 && strings.Contains(strings.ToLower(now[0].Text), "acknowledged")
	})
	answered, before := time.Now(), len(ana.paged(a))
	time.Sleep(time.Until(a.StartedAt.Add(8 * time.Second))) // the second step would have begun
	if had := bob.had("", "disk full on db-1"); len(had) > 0 {
		t.Errorf("ana has it since %s, and bob got %q at %s", answered.Format(time.TimeOnly), had[0].Text, clock(had[0]))
	}
	if now := ana.paged(a); len(now) > before {
		t.Errorf("after her reply ana was paged again: %q", now[len(now)-1].Text)
	}
	m.ends("disk/db-1")
	m.p.becomes(a.Number, alert.Resolved)
	m.p.until("ana is told that it is over", func() bool {
		now := ana.had(alert.Slack, "disk full on db-1")
		return len(now) > 0 && strings.Contains(strings.ToLower(now[0].Text), "resolved")
	})
}

func clock(m inbox.Message) string { return m.ReceivedAt.Format("15:04:05.000") }

// dead is a way in which a person's first channel fails, and the channel that is used in its place.
type dead struct {
	provider, operation, fault string
	channel, second            alert.Channel
}

// What Slack calls ratelimited is the fault throttle; Twilio answers 429.
var (
	deadMail = []dead{{"smtp", "RCPT", "4xx", alert.Email, alert.Slack}, {"smtp", "RCPT", "5xx", alert.Email, alert.Slack},
		{"smtp", "DATA", "hang", alert.Email, alert.Slack}, {"smtp", "DATA", "dropped", alert.Email, alert.Slack}}
	deadSMS   = []dead{{"twilio", "CreateMessage", "throttle", alert.SMS, alert.Slack}, {"twilio", "CreateMessage", "undeliverable", alert.SMS, alert.Slack}}
	deadSlack = []dead{{"slack", "chat.postMessage", "throttle", alert.Slack, alert.SMS}}
)

// delay is how long after the first channel the second one is used, in these tests.
const delay = time.Second

// reachesThough: the second channel is used within its delay and a second, however the first one fails, and under the same key.
func (s monitor) reachesThough(who *person, way dead) {
	key := way.provider + "/" + way.fault
	summary := "what " + key + " cannot say"
	s.p.misbehaves(way.provider, way.operation, way.fault, who.address[way.channel])
	s.says(alert.Trigger, key, summary, map[string]string{"lane": who.name})
	got := who.gets(way.second, summary)
	a := s.p.alertCalled(summary)
	took := got.ReceivedAt.Sub(a.StartedAt)
	if took > delay+time.Second+patience {
		s.p.t.Errorf("%s: %s got it by %s after %s", key, who.name, way.second, took)
	}
	s.p.t.Logf("%s: by %s after %s, with a delay of %s", key, way.second, took.Round(time.Millisecond), delay)
	if had := who.had(way.channel, summary); len(had) > 0 {
		s.p.t.Errorf("%s: %s got it by %s all the same", key, who.name, way.channel)
	}
	keys := map[string]bool{}
	for _, page := range s.p.pagesOf(a.Number) {
		keys[page.Key] = true
	}
	if len(keys) != 1 || !keys[got.Key] {
		s.p.t.Errorf("%s: what was sent has the key %q, and the pages have %v", key, got.Key, keys)
	}
	s.ends(key)
	s.p.becomes(a.Number, alert.Resolved)
}
