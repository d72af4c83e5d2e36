package main

import (
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/client/apitest"
)

// fires has an alert begin in the world.
func fires(t *testing.T, w *apitest.World, group, title string) alert.Alert {
	t.Helper()
	g := alert.Group{Project: "default", Route: alert.DefaultRoute, Labels: map[string]string{"service": group}}
	opened, err := w.Store.OpenAlert(t.Context(), alert.Opening{Group: g, Hash: g.Hash(), First: 1,
		Alert: alert.Alert{Title: title, Severity: alert.Critical, Urgency: alert.High, Status: alert.Open, Firing: 1, Signals: 1, Policy: "shop", Labels: g.Labels}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := w.Store.Alert(t.Context(), "default", opened.Number)
	if err != nil {
		t.Fatal(err)
	}
	line := alert.Entry{Key: "1", At: time.Now(), Kind: alert.LogTriggered, Text: title}
	if err := w.Store.RecordAlert(t.Context(), a, []alert.Entry{line}); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAlertsAreListedShownAndAnswered(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	if c := m3o("alert", "list").must(t); !strings.Contains(c.errs, "Project default has no alerts. The platform's own are in another: m3o alert list --project platform") {
		t.Errorf("%q %q", c.out, c.errs)
	}
	fires(t, w, "shop", "disk full")
	fires(t, w, "till", "queue long")
	list := answer[[]alert.Alert](t, m3o("alert", "list", "--current", "--json").must(t))
	if len(list) != 2 || list[0].Title != "queue long" {
		t.Errorf("%+v", list)
	}
	shown := m3o("alert", "show", "#1").must(t)
	for _, word := range []string{"disk full", "critical", "triggered", "policy", "service=shop"} {
		if !strings.Contains(shown.out, word) {
			t.Errorf("%q is not shown: %s", word, shown.out)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"alert", "ack", "1", "--for", "2h", "--comment", "mine"}, "Alert 1 is acknowledged by admin"},
		{[]string{"alert", "snooze", "1", "--for", "1h"}, "Alert 1 is snoozed until"},
		{[]string{"alert", "escalate", "1", "--to", "2"}, "Alert 1 is escalated"},
		{[]string{"alert", "note", "1", "the importer filled it"}, "Noted on alert 1"},
		{[]string{"alert", "resolve", "1"}, "Alert 1 is closed"},
	} {
		if got := m3o(c.args...).must(t); !strings.Contains(got.out, c.want) {
			t.Errorf("%v prints %q", c.args, got.out)
		}
	}
	want := "Acknowledge alert 1 for 2h0m0s to 0: mine; Snooze alert 1 for 1h0m0s to 0: ; Escalate alert 1 for 0s to 2: ; AddNote alert 1 for 0s to 0: the importer filled it; Resolve alert 1 for 0s to 0: "
	if got := strings.Join(w.Orders(), "; "); got != want {
		t.Errorf("the commands were %q", got)
	}
	m3o("alert", "ack", "1").fails(t, exitFailed, "alert 1 is closed since")
	if left := answer[[]alert.Alert](t, m3o("alert", "list", "--current", "--json").must(t)); len(left) != 1 {
		t.Errorf("%+v", left)
	}
}

func TestAlertCommandsThatMakeNoSenseAreRefused(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	fires(t, w, "shop", "disk full")
	m3o("alert", "ack", "first").fails(t, exitMisused, `"first" is no number of an alert`)
	m3o("alert", "ack").fails(t, exitMisused)
	m3o("alert", "snooze", "1").fails(t, exitMisused, "--for: say how long")
	m3o("alert", "snooze", "1", "--for", "900h").fails(t, exitMisused, "--for: 900h is not between 0s and 720h")
	m3o("alert", "note", "1", " ").fails(t, exitMisused, "the note is empty")
	m3o("alert", "list", "--status", "broken").fails(t, exitMisused, `--status: "broken" is none of open, acknowledged`)
	m3o("alert", "list", "--limit", "0").fails(t, exitMisused, "--limit")
	m3o("alert", "show", "7").fails(t, exitFailed, "there is no alert 7")
	m3o("alert", "drill", "lon1").fails(t, exitMisused, `"lon1" is no label`)
	if orders := w.Orders(); len(orders) > 0 {
		t.Errorf("commands were sent: %v", orders)
	}
}

func TestADrillIsFollowedToItsAlert(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	go func() { // what the relay and the workflow do
		for t.Context().Err() == nil {
			signals, err := w.Store.Signals(t.Context(), 0, 1)
			if err == nil && len(signals) == 1 {
				rules, _ := w.Store.Rules(t.Context(), "default")
				g, _ := rules.GroupOf(signals[0])
				_, _ = w.Store.OpenAlert(t.Context(), alert.Opening{Group: g, Hash: g.Hash(), First: 1, Alert: alert.Alert{Title: signals[0].Summary, Status: alert.Open, Drill: true}})
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	c := m3o("alert", "drill", "--service", "shop").must(t)
	if !strings.Contains(c.out, "The drill is alert 1") {
		t.Errorf("%q", c.out)
	}
	if shown := answer[client.AlertDetails](t, m3o("alert", "show", "1", "--json").must(t)); !shown.Alert.Drill {
		t.Errorf("%+v", shown)
	}
	if list := m3o("alert", "list").must(t); !strings.Contains(list.out, "DRILL: a drill by admin") {
		t.Errorf("%s", list.out)
	}
}
