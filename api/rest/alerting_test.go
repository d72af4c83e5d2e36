package rest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
)

// shopRules is a policy file of the project shop: ana is on call from a Monday on.
const shopRules = `
project: shop
schedules: [{name: primary, zone: Europe/London, layers: [{name: week, people: [ana], rotation: weekly, start: 2026-01-05T09:00}]}]
policies: [{name: page, steps: [{targets: [{schedule: primary}]}, {after: 5m, targets: [{email: ops@example.com}]}]}]
default: {policy: page}
`

// withAna has the user ana, who may do in the project shop what developers may.
func withAna(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.user("ana", "shop/developer")
	s.user("vic", "shop/viewer")
	return s
}

func fileBody(file string, version int) string {
	return fmt.Sprintf(`{"file": %q, "version": %d}`, file, version)
}

func planBody(file string) string { return fmt.Sprintf(`{"file": %q}`, file) }

func TestAPolicyIsPlannedAppliedAndShown(t *testing.T) {
	s := withAna(t)
	var plan alert.RulesPlan
	s.do("POST", "/v1/alerting/plan?project=shop", planBody(shopRules), as("ana")).ok(t, 200, &plan)
	if plan.Version != 0 || len(plan.Changes) != 3 || len(plan.Warnings) != 1 || !strings.Contains(plan.Warnings[0], "ana cannot be paged: no contact is verified") {
		t.Errorf("the plan is %+v", plan)
	}
	var r alert.Rules
	s.do("GET", "/v1/alerting?project=shop", nil, as("vic")).ok(t, 200, &r)
	if r.Version != 0 || len(r.Policies) != 0 {
		t.Errorf("planning applied %+v", r)
	}
	s.do("PUT", "/v1/alerting?project=shop", fileBody(shopRules, 0), as("ana")).ok(t, 200, &r)
	if r.Version != 1 || r.Default.Policy != "page" {
		t.Errorf("applied is %+v", r)
	}
	s.do("GET", "/v1/alerting?project=shop", nil, as("vic")).ok(t, 200, &r)
	if r.Version != 1 || r.Policies[0].Steps[1].After != alert.Duration(5*time.Minute) || r.Schedules[0].Zone != "Europe/London" {
		t.Errorf("shown is %+v", r)
	}
	s.do("POST", "/v1/alerting/plan?project=shop", planBody(shopRules), as("ana")).ok(t, 200, &plan)
	if plan.Version != 1 || plan.Changes == nil || len(plan.Changes) != 0 {
		t.Errorf("the same file changes %+v", plan)
	}
	other := strings.ReplaceAll(shopRules, "after: 5m", "after: 6m")
	s.do("PUT", "/v1/alerting?project=shop", fileBody(other, 0), as("ana")).refused(t, http.StatusConflict, "version 1", "plan again")
}

func TestBadPoliciesAreRefusedAndChangeNothing(t *testing.T) {
	s := withAna(t)
	for words, file := range map[string]string{
		"policies[0].steps[0].targets[0].schedule":    strings.ReplaceAll(shopRules, "schedule: primary", "schedule: nobodys"),
		`there is no active user \"ghost\"`:           strings.ReplaceAll(shopRules, "[ana]", "[ghost]"),
		`is not \"shop\", the project of the request`: strings.ReplaceAll(shopRules, "project: shop", "project: cafe"),
		"unknown field":            shopRules + "escalate: true\n",
		"the policy file is empty": "",
		"targets nobody":           strings.ReplaceAll(shopRules, "{email: ops@example.com}", ""),
		"is no time zone":          strings.ReplaceAll(shopRules, "Europe/London", "Mars/Olympus"),
	} {
		s.do("POST", "/v1/alerting/plan?project=shop", planBody(file), as("ana")).refused(t, http.StatusUnprocessableEntity, words)
		s.do("PUT", "/v1/alerting?project=shop", fileBody(file, 0), as("ana")).refused(t, http.StatusUnprocessableEntity, words)
	}
	s.do("PUT", "/v1/alerting?project=shop", fileBody(shopRules, 0), as("vic")).refused(t, http.StatusForbidden, "alerting:write")
	var r alert.Rules
	if s.do("GET", "/v1/alerting?project=shop", nil, as("ana")).ok(t, 200, &r); r.Version != 0 {
		t.Errorf("applied is %+v", r)
	}
}

func TestWhoWouldBePagedIsAnsweredBeforeTheFileIsApplied(t *testing.T) {
	s := withAna(t)
	var found alert.Simulated
	body := fmt.Sprintf(`{"labels": {"service": "till", "severity": "critical"}, "at": "2026-11-05T03:00:00Z", "file": %q}`, shopRules)
	s.do("POST", "/v1/alerting/simulate?project=shop", body, as("vic")).ok(t, 200, &found)
	if len(found.Pages) != 1 || found.Pages[0].Name != "ops@example.com" || !strings.Contains(fmt.Sprint(found.Notes), "ana cannot be paged") {
		t.Errorf("found %+v", found)
	}
	s.do("POST", "/v1/alerting/simulate?project=shop", `{}`, as("vic")).ok(t, 200, &found)
	if !strings.Contains(fmt.Sprint(found.Notes), "nobody is paged") {
		t.Errorf("without rules: %+v", found)
	}
	s.do("POST", "/v1/alerting/simulate?project=shop", `{"labels": {"severity": "terrible"}}`, as("vic")).refused(t, http.StatusUnprocessableEntity, "labels.severity", "terrible")
	s.do("POST", "/v1/alerting/simulate?project=shop", `{"labels": {"a b": "c"}}`, as("vic")).refused(t, http.StatusUnprocessableEntity, "no name of a label")
	s.do("POST", "/v1/alerting/simulate?project=shop", `{"at": "2099-01-01T00:00:00Z"}`, as("vic")).refused(t, http.StatusUnprocessableEntity, "at", "more than a year")
}

func TestSilencesAreMadeOnceListedAndEnded(t *testing.T) {
	s := withAna(t)
	ends := time.Now().Add(2 * time.Hour).UTC().Format(time.RFC3339)
	body := fmt.Sprintf(`{"match": ["service=till", "severity!=critical"], "comment": "the importer is slow", "ends": %q}`, ends)
	var made, again alert.Silence
	s.do("POST", "/v1/silences?project=shop", body, as("ana"), header{"Idempotency-Key", "k"}).ok(t, 201, &made)
	s.do("POST", "/v1/silences?project=shop", body, as("ana"), header{"Idempotency-Key", "k"}).ok(t, 201, &again)
	if made.ID == "" || made.ID != again.ID || made.By != "ana" || made.Status != alert.SilenceActive || made.Match[1].String() != "severity!=critical" {
		t.Errorf("made are %+v and %+v", made, again)
	}
	list := func(query string) []alert.Silence {
		t.Helper()
		var page struct{ Items []alert.Silence }
		s.do("GET", "/v1/silences?project=shop"+query, nil, as("vic")).ok(t, 200, &page)
		return page.Items
	}
	if all := list(""); len(all) != 1 || all[0].ID != made.ID || len(list("&maintenance=true")) != 0 {
		t.Errorf("listed are %+v", all)
	}
	window := fmt.Sprintf(`{"match": ["service=till"], "comment": "new disks", "maintenance": true, "begins": %q, "ends": %q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339), ends)
	s.do("POST", "/v1/silences?project=shop", window, as("ana")).ok(t, 201, &again)
	if all := list("&maintenance=true"); len(all) != 1 || all[0].Status != alert.SilenceAhead {
		t.Errorf("windows are %+v", all)
	}
	s.do("DELETE", "/v1/silences/"+made.ID+"?project=shop", nil, as("ana")).ok(t, 200, &made)
	if made.Status != alert.SilenceOver || made.EndedBy != "ana" || len(list("")) != 0 || len(list("&over=true")) != 1 {
		t.Errorf("ended is %+v", made)
	}
	s.do("DELETE", "/v1/silences/sil_none?project=shop", nil, as("ana")).refused(t, http.StatusNotFound, "sil_none")
	s.do("POST", "/v1/silences?project=shop", body, as("vic")).refused(t, http.StatusForbidden, "alerts:write")
}

func TestBadSilencesAreRefused(t *testing.T) {
	s := withAna(t)
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	for words, body := range map[string]string{
		"match[0]":         fmt.Sprintf(`{"match": ["service=~("], "comment": "c", "ends": %q}`, at(time.Hour)),
		"no matcher":       fmt.Sprintf(`{"match": ["service"], "comment": "c", "ends": %q}`, at(time.Hour)),
		"stop every alert": fmt.Sprintf(`{"match": [], "comment": "c", "ends": %q}`, at(time.Hour)),
		"say why":          fmt.Sprintf(`{"match": ["a=b"], "comment": "", "ends": %q}`, at(time.Hour)),
		"30 days":          fmt.Sprintf(`{"match": ["a=b"], "comment": "c", "ends": %q}`, at(31*24*time.Hour)),
		"in the past":      fmt.Sprintf(`{"match": ["a=b"], "comment": "c", "ends": %q}`, at(-time.Hour)),
		"a year ahead":     fmt.Sprintf(`{"match": ["a=b"], "comment": "c", "begins": %q, "ends": %q}`, at(400*24*time.Hour), at(401*24*time.Hour)),
	} {
		s.do("POST", "/v1/silences?project=shop", body, as("ana")).refused(t, http.StatusUnprocessableEntity, words)
	}
}

// Who may read alerts learns neither a webhook's secret nor where people can be reached.
func TestReadersOfRulesSeeNoSecretsAndNoAddresses(t *testing.T) {
	s := withAna(t)
	s.user("eve") // has nothing to do with the shop
	s.verifies("ana", "ana@example.com")
	s.verifies("eve", "eve@example.com")
	file := strings.NewReplacer("{email: ops@example.com}", `{email: ops@example.com}, {person: eve}, {webhook: "https://hooks.example.com/hunter2"}`).Replace(shopRules)
	s.do("PUT", "/v1/alerting?project=shop", fileBody(file, 0), as("ana")).ok(t, 200, nil)
	if own := s.do("GET", "/v1/alerting?project=shop", nil, as("ana")); own.status != 200 || !strings.Contains(own.body, "hunter2") {
		t.Errorf("who writes policies reads %d %s", own.status, own.body)
	}
	seen := s.do("GET", "/v1/alerting?project=shop", nil, as("vic"))
	if seen.status != 200 || strings.Contains(seen.body, "hunter2") || !strings.Contains(seen.body, "https://hooks.example.com/***") || !strings.Contains(seen.body, "ops@example.com") {
		t.Errorf("who reads alerts reads %d %s", seen.status, seen.body)
	}
	for _, who := range []string{"ana", "vic"} {
		var found alert.Simulated
		got := s.do("POST", "/v1/alerting/simulate?project=shop", `{"at": "2026-11-05T03:00:00Z"}`, as(who))
		got.ok(t, 200, &found)
		shown := map[string]string{}
		for _, p := range found.Pages {
			shown[p.Name] = p.Address
		}
		if shown["ana"] != "a***@example.com" || shown["eve"] != "***" || shown["ops@example.com"] != "ops@example.com" || strings.Contains(got.body, "hunter2") {
			t.Errorf("%s simulates %v: %s", who, shown, got.body)
		}
	}
	masked := strings.ReplaceAll(file, "hunter2", "***12345678")
	s.do("PUT", "/v1/alerting?project=shop", fileBody(masked, 1), as("ana")).refused(t, 422, "policies[0].steps[1].targets[2].webhook", "masked")
}
