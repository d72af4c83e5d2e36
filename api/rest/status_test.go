package rest_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/api/rest"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/status"
)

// alerted is an alert of a project, as its workflow records it.
func (s *site) alerted(project string, change func(*alert.Alert)) {
	s.t.Helper()
	a := alert.Alert{Project: project, Title: "disk full on shop-db-3", Severity: alert.Critical, Urgency: alert.High, Status: alert.Open, StartedAt: time.Now().Add(-time.Hour)}
	change(&a)
	group := alert.Group{Project: project, Route: "default", Labels: map[string]string{alert.DedupLabel: time.Now().String()}}
	_, err := s.store.OpenAlert(s.t.Context(), alert.Opening{Group: group, Hash: group.Hash(), First: 1, Alert: a})
	must(s.t, err)
}

func (s *site) platformStatus(headers ...header) (status.Document, reply) {
	s.t.Helper()
	r := s.do("GET", "/v1/status", nil, headers...)
	var d status.Document
	if r.status == http.StatusOK {
		must(s.t, json.Unmarshal([]byte(r.body), &d))
	}
	return d, r
}

func TestAnybodyMayReadHowThePlatformIs(t *testing.T) {
	s := newSite(t)
	r := lon1()
	r.Status = region.Ready
	must(t, s.store.RecordRegion(t.Context(), r))
	of := map[string]string{"kind": "region", "platform": "micro", "region": "lon1"}
	s.alerted(alert.Platform, func(a *alert.Alert) { a.Labels = of })
	s.alerted(alert.Platform, func(a *alert.Alert) { a.Labels, a.Drill = of, true })
	s.alerted("shop", func(a *alert.Alert) { a.Labels = of })
	d, got := s.platformStatus()
	if got.status != 200 || d.State != status.Operational || len(d.Components) != 4 || d.Components[3].Name != "micro/lon1" || len(d.Incidents) != 1 || !d.Incidents[0].EndedAt.IsZero() {
		t.Fatalf("%d: %s", got.status, got.body)
	}
	if strings.Contains(got.body, "shop") || strings.Contains(got.body, "disk") {
		t.Errorf("it tells strangers of a project: %s", got.body)
	}
	if cache := got.header.Get("Cache-Control"); cache != "public, max-age=5" {
		t.Errorf("Cache-Control: %s", cache)
	}
	tag := got.header.Get("ETag")
	if _, again := s.platformStatus(header{"If-None-Match", `"other", ` + tag}); tag == "" || again.status != http.StatusNotModified || again.body != "" {
		t.Errorf("who has it gets %d: %q", again.status, again.body)
	}
}

// The rules of the platform's alerts may group them by anything: what they are about is told all the same.
func TestAnIncidentIsToldHoweverItsAlertIsGrouped(t *testing.T) {
	s := newSite(t)
	seen, err := s.store.Lease(t.Context(), "relay")
	must(t, err)
	lease, err := s.store.TakeLease(t.Context(), seen, "test")
	must(t, err)
	_, err = s.store.AppendSignals(t.Context(), []alert.Signal{{Project: alert.Platform, Source: alert.FromPlatform, Action: alert.Trigger, DedupKey: "region/micro/lon1", Summary: "secret",
		Severity: alert.Critical, Labels: map[string]string{"kind": "region", "platform": "micro", "region": "lon1"}, At: time.Now()}})
	must(t, err)
	signals, err := s.store.Signals(t.Context(), 0, 1)
	must(t, err)
	group := alert.Group{Project: alert.Platform, Route: "all"}
	_, err = s.store.RouteSignals(t.Context(), lease, 0, signals, func(alert.Signal) (alert.Group, alert.Route) { return group, alert.Route{Name: "all"} })
	must(t, err)
	_, err = s.store.OpenAlert(t.Context(), alert.Opening{Group: group, Hash: group.Hash(), First: 1,
		Alert: alert.Alert{Title: "secret", Severity: alert.Critical, Urgency: alert.High, Status: alert.Open, StartedAt: time.Now()}})
	must(t, err)
	d, got := s.platformStatus()
	if len(d.Incidents) != 1 || d.Incidents[0].Component != "micro/lon1" || strings.Contains(got.body, "secret") {
		t.Errorf("%s", got.body)
	}
}

// Strangers cannot make the database work harder, and what changed is seen a few seconds later.
func TestTheStatusIsMadeOnceInAWhile(t *testing.T) {
	s := newSite(t)
	first, _ := s.platformStatus()
	r := lon1()
	r.Status = region.Ready
	must(t, s.store.RecordRegion(t.Context(), r))
	if second, _ := s.platformStatus(); len(second.Components) != 3 || !second.At.Equal(first.At) {
		t.Errorf("it was made again at once: %+v", second)
	}
}

func TestAPlatformWithoutItsDatabaseOrEngineSaysSo(t *testing.T) {
	s := newSite(t, func(a *rest.API) {
		a.Ready = func(*http.Request) error { return errors.New("temporal at 10.0.0.7 is away") }
	})
	if d, got := s.platformStatus(); d.State != status.Outage || d.Components[0].State != status.Operational || strings.Contains(got.body, "10.0.0.7") {
		t.Errorf("without an engine: %s", got.body)
	}
	s = newSite(t)
	must(t, s.store.Close())
	if d, got := s.platformStatus(); got.status != 200 || d.State != status.Outage || len(d.Components) != 3 {
		t.Errorf("without a database: %d, %s", got.status, got.body)
	}
}

func TestStatsAreAProjectsOwn(t *testing.T) {
	s := newSite(t)
	s.alerted("shop", func(a *alert.Alert) { a.StartedAt = time.Now().Add(-40 * 24 * time.Hour) })
	s.alerted("shop", func(a *alert.Alert) { a.Service, a.Pages = "till", 3 })
	s.alerted("default", func(*alert.Alert) {})
	get := func(query string, headers ...header) (stats rest.ProjectStats, got reply) {
		got = s.do("GET", "/v1/alerts/stats?project=shop"+query, nil, headers...)
		if got.status == 200 {
			must(t, json.Unmarshal([]byte(got.body), &stats))
		}
		return stats, got
	}
	if stats, got := get("", as("shop")); stats.Project != "shop" || stats.Total.Alerts != 1 || stats.Total.Pages != 3 || stats.Services[0].Service != "till" || stats.Zone != "UTC" {
		t.Errorf("%d: %s", got.status, got.body)
	}
	back := url.QueryEscape(time.Now().Add(-41 * 24 * time.Hour).Format(time.RFC3339))
	if stats, got := get("&zone=Europe/London&since="+back, as("shop")); stats.Total.Alerts != 2 || stats.Zone != "Europe/London" {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if _, got := get("", as("nobody")); got.status != http.StatusForbidden {
		t.Errorf("a stranger gets %d", got.status)
	}
	for query, want := range map[string]string{"&zone=Mars": `"Mars" is no time zone`, "&since=2020-01-01T00:00:00Z": "is not within the last 366 days", "&zone=Local": "no time zone"} {
		if _, got := get(query, as("shop")); got.status != http.StatusUnprocessableEntity || !strings.Contains(strings.ReplaceAll(got.body, `\"`, `"`), want) {
			t.Errorf("%s: %d, %s", query, got.status, got.body)
		}
	}
}
