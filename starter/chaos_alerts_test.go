//go:build embedded && chaos

package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/dev/figures"
)

// What comes in while things are killed: 100 keys a second that begin to fire in 20 groups, each of which ends 3 s later. After 5 s a group
// rests, so that its alert resolves and its next key begins another.
const (
	chaosRate   = 100
	chaosGroups = 20
	chaosLife   = 3 * time.Second
	chaosBurst  = 5 * time.Second
	chaosRest   = 7 * time.Second
)

// TestAlertsSurvive kills the API, the workers, Temporal and the sandbox of channels at random moments, one at a time, while alerts come in,
// and starts each again. No signal that was accepted may be lost, every message be known to the platform, and at most one message be doubled
// by a kill, under the key of the first. Alertmanager takes the same alerts beside it and is killed as often; what it lost is printed.
func TestAlertsSurvive(t *testing.T) {
	a := newAlone(t, 6*time.Hour, aloneRules)
	peer := newAlertmanagerCount(t)
	f := &flood{rate: chaosRate, groups: chaosGroups, life: chaosLife, burst: chaosBurst, rest: chaosRest,
		send: []func(context.Context, message) error{a.send, peer.send}}
	over, done := make(chan struct{}), sync.WaitGroup{}
	began := time.Now()
	done.Go(func() { f.run(a.ctx, over) })
	time.Sleep(chaosBurst / 2)
	killed := a.assassinate(peer, *kills)
	time.Sleep(chaosBurst / 2)
	close(over)
	done.Wait()
	a.quiet()
	peer.quiet()
	found := a.account(f)
	t.Logf("kills: n=%d in %s, %v; messages of sources: %d accepted, %d times refused and sent again", *kills, time.Since(began).Round(time.Second), killed, f.count(), f.refused.Load())
	figures.Table(fmt.Sprintf("%d kills of each, while %d alerts a second came in, in %d groups", *kills, chaosRate, chaosGroups),
		[]string{"", "accepted", "lost", "alerts", "left open", "notifications", "unaccounted", "doubled"},
		[][]string{found.cells("m3o"), peer.account(f).cells("Alertmanager")})
	figures.Say("With 0 failures in %d kills the rate is below %.3f. Alertmanager keeps alerts in memory: Prometheus sends them again every minute while they\n"+
		"fire, which these, of %s each, do not live to see.", *kills, 3/float64(max(1, *kills)), chaosLife)
	found.judge(t, *kills)
}

// accounts is what came of a flood.
type accounts struct {
	accepted, lost       int // keys
	alerts, open         int // episodes, and those of them that did not end
	notifications        int
	unaccounted, doubled int // notifications that nobody knows of; and those that were sent more than once
	wrong                []string
}

func (a accounts) cells(name string) []string {
	cells := []string{name}
	for _, n := range []int{a.accepted, a.lost, a.alerts, a.open, a.notifications, a.unaccounted, a.doubled} {
		cells = append(cells, fmt.Sprint(n))
	}
	return cells
}

// judge fails the test unless nothing was lost.
func (a accounts) judge(t *testing.T, kills int) {
	t.Helper()
	for _, w := range a.wrong[:min(len(a.wrong), 20)] {
		t.Error(w)
	}
	if len(a.wrong) > 20 {
		t.Errorf("and %d more", len(a.wrong)-20)
	}
	if a.doubled > kills {
		t.Errorf("%d messages were doubled by %d kills", a.doubled, kills)
	}
}

// assassinate kills one process at a time, in rounds of all, and starts it again at once; and Alertmanager as often.
func (a *alone) assassinate(peer *alertmanagerCount, n int) map[string]int {
	a.t.Helper()
	killed := map[string]int{}
	var round []string
	for range n {
		if len(round) == 0 {
			round = slices.Sorted(maps.Keys(a.processes))
			rand.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		}
		victim := round[0]
		round = round[1:]
		for _, p := range []*process{a.processes[victim], peer.process} {
			p.kill()
			a.must("start "+p.name+" again", p.start())
		}
		killed[victim]++
		time.Sleep(300*time.Millisecond + rand.N(3*time.Second))
	}
	return killed
}

// account compares what was accepted, what the store has and what the sandbox delivered.
func (a *alone) account(f *flood) accounts {
	a.t.Helper()
	found := accounts{}
	found.signals(f, a.signals(), a.alerts())
	rows := map[string]alert.PageRow{} // by key and channel
	for _, one := range a.alerts() {
		if one.Labels["group"] != "" { // not one of the platform's own
			found.alerts++
			if !one.Status.Final() {
				found.open++
			}
		}
		for _, p := range a.pages(one.Number) {
			rows[p.Key+" "+string(p.Channel)] = p
		}
	}
	found.pages(rows, a.delivered(), a.updated())
	return found
}

// signals checks that every key that was accepted is in the store, and every signal there in an alert of its group.
func (a *accounts) signals(f *flood, kept []alert.Signal, alerts []alert.Alert) {
	stored := map[message]bool{}
	firing, counts := map[string]bool{}, map[string]int64{}
	for _, s := range kept {
		group, _, _ := strings.Cut(s.DedupKey, "/")
		if len(f.accepted[group]) == 0 {
			continue // of the platform itself
		}
		stored[message{group: group, key: s.DedupKey, over: s.Action == alert.Resolve}] = true
		// A message that is repeated because its answer was lost ends a key that has ended: that changes nothing.
		if concerns := s.Action == alert.Trigger || firing[s.DedupKey]; concerns {
			counts[group]++
		}
		firing[s.DedupKey] = s.Action == alert.Trigger
	}
	for _, all := range f.accepted {
		for _, m := range all {
			if !m.over {
				a.accepted++
			}
			if !stored[m] {
				a.lost++
				a.wrong = append(a.wrong, fmt.Sprintf("%+v was accepted, and is not kept", m))
			}
		}
	}
	told := map[string]int64{}
	for _, one := range alerts {
		told[one.Labels["group"]] += one.Signals
	}
	for group, n := range counts {
		if told[group] < n { // what was told to an alert when a worker was killed may count twice
			a.lost += int(n - told[group])
			a.wrong = append(a.wrong, fmt.Sprintf("%d signals came in for group %s, and its alerts tell of %d", n, group, told[group]))
		}
	}
}

// pages compares the platform's pages with what the channels took. A message of Slack's that is brought up to date in place is no other one, and
// keeps the key of the page that it was.
func (a *accounts) pages(rows map[string]alert.PageRow, sent map[string]int, updated map[int64]bool) {
	for one, n := range sent {
		if a.notifications++; n > 1 {
			a.doubled += n - 1
		}
		if _, known := rows[one]; !known {
			a.unaccounted++
			a.wrong = append(a.wrong, fmt.Sprintf("%s was sent, and the platform does not know of it", one))
		}
	}
	for one, p := range rows {
		inPlace := p.Channel == alert.Slack && p.Kind != alert.PageTrigger && updated[p.Alert]
		if (p.State == alert.Sent || p.State == alert.Delivered) && sent[one] == 0 && !inPlace {
			a.unaccounted++
			a.wrong = append(a.wrong, fmt.Sprintf("%s is %s, and no channel has it", one, p.State))
		}
		if p.State == alert.Sending {
			a.unaccounted++
			a.wrong = append(a.wrong, fmt.Sprintf("%s is being sent for ever", one))
		}
	}
}

// alertmanagerCount is an Alertmanager whose notifications are counted.
type alertmanagerCount struct {
	*alertmanager
	client *http.Client

	mu       sync.Mutex
	last     map[string]string // by group: what the last notification said
	told     map[message]bool  // of keys
	firing   map[string]bool   // by group
	episodes int
	doubled  int
	notified atomic.Int64
}

func newAlertmanagerCount(t *testing.T) *alertmanagerCount {
	t.Helper()
	c := &alertmanagerCount{client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: chaosRate}},
		last: map[string]string{}, told: map[message]bool{}, firing: map[string]bool{}}
	c.alertmanager = newAlertmanager(t, serveHook(t, c.receive), "group")
	return c
}

func (c *alertmanagerCount) send(_ context.Context, m message) error {
	one := amAlert{Labels: map[string]string{"alertname": "Flood", "group": m.group, "key": m.key}}
	if now := time.Now(); m.over {
		one.EndsAt = &now
	}
	return c.post(c.client, one)
}

// receive counts a notification of a group.
func (c *alertmanagerCount) receive(n amNotification) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notified.Add(1)
	said, group := "", n.GroupLabels["group"]
	for _, one := range n.Alerts {
		c.told[message{group: group, key: one.Labels["key"], over: one.Status == "resolved"}] = true
		said += one.Labels["key"] + " " + one.Status + "\n"
	}
	if c.last[n.GroupKey] == said {
		c.doubled++
	}
	if n.Status == "firing" && !c.firing[group] {
		c.episodes++
	}
	c.last[n.GroupKey], c.firing[group] = said, n.Status == "firing"
}

// XX nothing was heard for some intervals of groups.
func (c *alertmanagerCount) quiet() {
	for heard := int64(-1); heard != c.notified.Load(); time.Sleep(3 * time.Second) {
		heard = c.notified.Load()
	}
}

// account: a key is lost that was accepted and that no notification said to fire.
func (c *alertmanagerCount) account(f *flood) accounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := accounts{alerts: c.episodes, notifications: int(c.notified.Load()), doubled: c.doubled}
	for _, all := range f.accepted {
		for _, m := range all {
			if m.over {
				continue
			}
			if found.accepted++; !c.told[m] {
				found.lost++
			}
		}
	}
	for _, firing := range c.firing {
		if firing {
			found.open++
		}
	}
	return found
}
