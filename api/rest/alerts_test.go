package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// fires has an alert of a group of a project begin.
func (s *site) fires(project, service string) alert.Alert {
	s.t.Helper()
	g := alert.Group{Project: project, Route: alert.DefaultRoute, Labels: map[string]string{"service": service}}
	opened, err := s.store.OpenAlert(s.t.Context(), alert.Opening{Group: g, Hash: g.Hash(), First: 1,
		Alert: alert.Alert{Title: "disk full", Service: service, Severity: alert.Critical, Status: alert.Open, Firing: 1}})
	must(s.t, err)
	a, err := s.store.Alert(s.t.Context(), project, opened.Number)
	must(s.t, err)
	return a
}

func TestAlertsAreListedAndShown(t *testing.T) {
	s := newSite(t)
	s.user("ana", "shop/developer")
	first, second := s.fires("shop", "cart"), s.fires("shop", "till")
	s.fires("default", "hidden")
	must(t, s.store.RecordAlert(t.Context(), first, []alert.Entry{{Key: "1", At: time.Now(), Kind: alert.LogTriggered, Text: "disk full"}}))
	var list struct {
		Items []alert.Alert
		Next  string
	}
	r := s.do("GET", "/v1/alerts?project=shop&limit=1", nil, as("ana"))
	must(t, json.Unmarshal([]byte(r.body), &list))
	if r.status != 200 || len(list.Items) != 1 || list.Items[0].Number != second.Number || list.Next == "" {
		t.Errorf("%d %s", r.status, r.body)
	}
	r = s.do("GET", "/v1/alerts?project=shop&service=cart&current=true", nil, as("ana"))
	must(t, json.Unmarshal([]byte(r.body), &list))
	if len(list.Items) != 1 || list.Items[0].Number != first.Number {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.do("GET", "/v1/alerts?project=shop&status=broken", nil, as("ana")).refused(t, 422)
	var shown struct {
		Alert alert.Alert
		Log   []alert.Entry
		Pages []alert.PageRow
	}
	r = s.do("GET", fmt.Sprintf("/v1/alerts/%d?project=shop", first.Number), nil, as("ana"))
	must(t, json.Unmarshal([]byte(r.body), &shown))
	if r.status != 200 || shown.Alert.Title != "disk full" || len(shown.Log) != 1 || shown.Pages == nil {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.do("GET", "/v1/alerts/3?project=shop", nil, as("ana")).refused(t, 404) // another project's
}

func TestCommandsGoToTheAlertsWorkflow(t *testing.T) {
	s := newSite(t)
	s.user("ana", "shop/developer")
	a := s.fires("shop", "cart")
	for path, want := range map[string]string{
		`acknowledge {"for":"2h","comment":"mine"}`: "Acknowledge alert 1 of %s by ana for 2h0m0s to 0: mine",
		`snooze {"for":"1h"}`:                       "Snooze alert 1 of %s by ana for 1h0m0s to 0: ",
		`escalate {"to":2}`:                         "Escalate alert 1 of %s by ana for 0s to 2: ",
		`notes {"comment":"the importer"}`:          "AddNote alert 1 of %s by ana for 0s to 0: the importer",
		`resolve {}`:                                "Resolve alert 1 of %s by ana for 0s to 0: ",
	} {
		verb, body, _ := strings.Cut(path, " ")
		r := s.do("POST", "/v1/alerts/1/"+verb+"?project=shop", body, as("ana"))
		if got := s.commands.done[len(s.commands.done)-1]; r.status != 200 || got != fmt.Sprintf(want, a.Group) {
			t.Errorf("%s: %d %s: %s", path, r.status, r.body, got)
		}
	}
}

func TestCommandsThatMakeNoSenseAreRefusedByField(t *testing.T) {
	s := newSite(t)
	s.user("ana", "shop/developer")
	s.fires("shop", "cart")
	for path, want := range map[string]string{
		`snooze {}`:                 "for: is missing",
		`snooze {"for":"800h"}`:     "800h",
		`acknowledge {"for":"-1h"}`: "for",
		`notes {"comment":""}`:      "comment",
		`escalate {"to":-1}`:        "to",
		`resolve {"because":"x"}`:   "because",
	} {
		verb, body, _ := strings.Cut(path, " ")
		r := s.do("POST", "/v1/alerts/1/"+verb+"?project=shop", body, as("ana"))
		if r.refused(t, 422); !strings.Contains(r.body, want) {
			t.Errorf("%s: %s", path, r.body)
		}
	}
	if n := s.commands.count(); n != 0 {
		t.Errorf("%d commands were sent: %v", n, s.commands.done)
	}
}

func TestAnAlertThatHasEndedSaysSinceWhen(t *testing.T) {
	s := newSite(t)
	s.user("ana", "shop/developer")
	a := s.fires("shop", "cart")
	a.Status, a.EndedAt, a.Version = alert.Closed, time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC), 1
	must(t, s.store.RecordAlert(t.Context(), a, nil))
	s.commands.failing[alert.AcknowledgeUpdate] = fault.New(fault.NotFound, "nothing of that name is running")
	r := s.do("POST", "/v1/alerts/1/acknowledge?project=shop", `{}`, as("ana"))
	if r.refused(t, 409); !strings.Contains(r.body, "alert 1 is closed since 2026-01-05T03:00:00Z") {
		t.Errorf("%s", r.body)
	}
}

func TestADrillIsASignalThatSaysSo(t *testing.T) {
	s := newSite(t)
	s.user("ana", "shop/developer")
	r := s.do("POST", "/v1/alerts/drills?project=shop", `{"service":"cart","labels":{"region":"lon1"}}`, as("ana"))
	if r.status != http.StatusAccepted {
		t.Fatalf("%d %s", r.status, r.body)
	}
	signals, err := s.store.Signals(t.Context(), 0, 10)
	must(t, err)
	if len(signals) != 1 {
		t.Fatalf("%+v", signals)
	}
	got := signals[0]
	if got.Source != alert.FromDrill || got.Project != "shop" || got.Service != "cart" || got.Severity != alert.Critical || got.Labels["region"] != "lon1" || !strings.Contains(got.Summary, "a drill by ana") {
		t.Errorf("%+v", got)
	}
	s.user("eve", "shop/viewer")
	s.do("POST", "/v1/alerts/drills?project=shop", `{}`, as("eve")).refused(t, 403)
}
