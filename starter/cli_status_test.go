package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/client/apitest"
	"github.com/m3o/platform/internal/status"
)

// began records an alert of a project.
func began(t *testing.T, w *apitest.World, a alert.Alert) {
	t.Helper()
	group := alert.Group{Project: a.Project, Route: "default", Labels: map[string]string{alert.DedupLabel: a.Title}}
	if _, err := w.Store.OpenAlert(t.Context(), alert.Opening{Group: group, Hash: group.Hash(), First: 1, Alert: a}); err != nil {
		t.Fatal(err)
	}
}

func TestTheStatusOfThePlatformIsShown(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	began(t, w, alert.Alert{Project: alert.Platform, Title: "region micro/lon1 does not answer", Severity: alert.Critical, Status: alert.Open,
		Labels: map[string]string{"kind": "region", "platform": "micro", "region": "lon1"}, StartedAt: time.Now().Add(-time.Minute)})
	out := m3o("platform", "status").must(t).out
	for _, want := range []string{"The platform is operational.", "COMPONENT", "api", "deploys", "alerts", "INCIDENT", "micro/lon1", "lasts", "outage", "The region did not work as it should"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	var d status.Document
	if err := json.Unmarshal([]byte(m3o("platform", "status", "--json").must(t).out), &d); err != nil || len(d.Incidents) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestHowMuchWorkAlertsWereIsShown(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	if none := m3o("alert", "stats").must(t); none.out != "" || !strings.Contains(none.errs, "No alert of project default began since") {
		t.Errorf("%q, %q", none.out, none.errs)
	}
	start := time.Now().Add(-2 * time.Hour)
	began(t, w, alert.Alert{Project: "default", Service: "hello", Title: "disk full", Status: alert.Resolved, Pages: 3, StartedAt: start, EndedAt: start.Add(90 * time.Minute)})
	began(t, w, alert.Alert{Project: "default", Service: "till", Title: "slow", Status: alert.Closed, Pages: 1, StartedAt: start, AcknowledgedAt: start.Add(time.Minute), EndedAt: start.Add(30 * time.Minute)})
	out := m3o("alert", "stats", "--since", "30d").must(t).out
	for _, want := range []string{"(all)    2       2      4      2.0        1m    1h    1 (50 %)", "hello    1       1      3      3.0        -     1h30m  1 (100 %)"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	var stats client.AlertStats
	if err := json.Unmarshal([]byte(m3o("alert", "stats", "--since", "1h", "--json").must(t).out), &stats); err != nil || stats.Total.Alerts != 0 {
		t.Errorf("%+v, %v", stats, err)
	}
	for _, wrong := range []string{"30", "0d", "400d", "-1h", "soon"} {
		m3o("alert", "stats", "--since", wrong).fails(t, 2, "--since: ")
	}
	m3o("alert", "stats", "--zone", "Mars").fails(t, 1, "zone", "Mars")
}
