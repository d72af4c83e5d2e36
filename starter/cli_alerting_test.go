package main

import (
	"strings"
	"testing"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/client/apitest"
)

const someRules = `
project: default
policies: [{name: page, repeat: 1, steps: [{targets: [{person: admin}]}, {after: 5m, targets: [{email: ops@example.com}]}]}]
routes: [{name: chatter, match: [team=research], urgency: low}]
default: {policy: page}
`

func TestAPolicyFileIsPlannedAppliedShownAndAppliedAgain(t *testing.T) {
	at(t, apitest.New(t))
	if none := m3o("policy", "show").must(t).says(t, "No policy file was applied"); !strings.Contains(none.out, "policies: []") {
		t.Errorf("without a file it shows %s", none.out)
	}
	write(t, "alerting.yaml", someRules)
	plan := m3o("policy", "plan", "-f", "alerting.yaml").must(t).says(t, "admin cannot be paged: no contact is verified")
	for _, word := range []string{"create", "policy page", "route chatter", "default route", "policy: none -> page"} {
		if !strings.Contains(plan.out, word) {
			t.Errorf("plan does not say %q: %s", word, plan.out)
		}
	}
	m3o("policy", "apply", "-f", "alerting.yaml").fails(t, exitMisused, "say --yes")
	applied := m3o("policy", "apply", "-f", "alerting.yaml", "--yes").must(t)
	if !strings.Contains(applied.out, "The alerting rules of project default have version 1") {
		t.Errorf("apply says %q", applied.out)
	}
	if again := m3o("policy", "plan", "-f", "alerting.yaml").must(t); again.out != "no changes\n" {
		t.Errorf("plan after apply prints %q", again.out)
	}
	shown := m3o("policy", "show").must(t)
	if _, err := alert.ParseRules([]byte(shown.out)); err != nil {
		t.Errorf("what is shown is no policy file: %v\n%s", err, shown.out)
	}
	write(t, "shown.yaml", shown.out)
	if again := m3o("policy", "plan", "-f", "shown.yaml").must(t); again.out != "no changes\n" {
		t.Errorf("what is shown changes %q", again.out)
	}
	write(t, "alerting.yaml", strings.ReplaceAll(someRules, "after: 5m", "after: 7m"))
	changed := answer[alert.RulesPlan](t, m3o("policy", "plan", "-f", "alerting.yaml", "--json").must(t))
	if changed.Version != 1 || len(changed.Changes) != 1 || changed.Changes[0].Fields[0] != "steps[1].after: 5m -> 7m" {
		t.Errorf("changes are %+v", changed)
	}
}

func TestBadPolicyFilesAreRefusedBeforeAnybodyIsAsked(t *testing.T) {
	at(t, apitest.New(t))
	write(t, "alerting.yaml", strings.ReplaceAll(strings.ReplaceAll(someRules, "repeat: 1", "repaet: 1"), "urgency: low", "urgencie: low"))
	m3o("policy", "apply", "-f", "alerting.yaml", "--yes").fails(t, exitFailed, "alerting.yaml: 2 things are wrong", `policies[0].repaet: unknown field (did you mean "repeat"?) (line 3)`, `routes[0].urgencie`)
	m3o("policy", "plan").fails(t, exitMisused, "name the policy file")
	m3o("policy", "plan", "-f", "none.yaml").fails(t, exitFailed, "none.yaml")
	write(t, "alerting.yaml", someRules)
	m3o("policy", "plan", "-f", "alerting.yaml", "--project", "shop").fails(t, exitMisused, `"shop" is not "default", the project of alerting.yaml`)
}

func TestAPolicyIsSimulatedBeforeItIsApplied(t *testing.T) {
	at(t, apitest.New(t))
	write(t, "alerting.yaml", someRules)
	c := m3o("alert", "simulate", "service=till", "--severity", "critical", "-f", "alerting.yaml", "--at", "2026-11-05T03:00:00Z").must(t)
	for _, word := range []string{"policy page", "urgency high", "2026-11-05T03:00:00Z", "ops@example.com", "admin cannot be paged", "last step"} {
		if !strings.Contains(c.out, word) {
			t.Errorf("%q is not said: %s", word, c.out)
		}
	}
	found := answer[alert.Simulated](t, m3o("alert", "simulate", "team=research", "-f", "alerting.yaml", "--json").must(t))
	if found.Urgency != alert.Low || len(found.Pages) > 0 {
		t.Errorf("found %+v", found)
	}
	m3o("alert", "simulate", "till").fails(t, exitMisused, `"till" is no label`)
	m3o("alert", "simulate", "--at", "tomorrow").fails(t, exitMisused, `--at: "tomorrow" is no time`)
	m3o("alert", "simulate", "--severity", "bad").fails(t, exitFailed, "labels.severity", "bad")
}

func TestSilencesAndMaintenanceWindowsFromTheCommandLine(t *testing.T) {
	at(t, apitest.New(t))
	made := answer[alert.Silence](t, m3o("silence", "add", "service=till", "severity!=critical", "--for", "2h", "--comment", "the importer is slow", "--json").must(t))
	if made.Status != alert.SilenceActive || made.Maintenance || made.Ends.Sub(made.Begins).Round(1e9).Hours() != 2 {
		t.Errorf("made is %+v", made)
	}
	window := answer[alert.Silence](t, m3o("maintenance", "add", "region=lon1", "--begins", "+1h", "--for", "4h", "--comment", "new nodes", "--json").must(t))
	if window.Status != alert.SilenceAhead || !window.Maintenance {
		t.Errorf("made is %+v", window)
	}
	if c := m3o("silence", "list").must(t); !strings.Contains(c.out, made.ID) || !strings.Contains(c.out, "service=till severity!=critical") || strings.Contains(c.out, window.ID) {
		t.Errorf("silences are %s", c.out)
	}
	if c := m3o("maintenance", "list").must(t); !strings.Contains(c.out, window.ID) || strings.Contains(c.out, made.ID) {
		t.Errorf("windows are %s", c.out)
	}
	if c := m3o("silence", "end", made.ID).must(t); !strings.Contains(c.out, "Silence "+made.ID+" is over.") {
		t.Errorf("said is %s", c.out)
	}
	m3o("silence", "list").must(t).says(t, "There are none.")
	if c := m3o("silence", "list", "--over").must(t); !strings.Contains(c.out, "over") {
		t.Errorf("over are %s", c.out)
	}
	m3o("silence", "end", "sil_none").fails(t, exitFailed, "sil_none")
	for words, args := range map[string][]string{"no matcher": {"till", "--for", "1h", "--comment", "c"}, "--comment": {"a=b", "--for", "1h"}, "say when it ends": {"a=b", "--comment", "c"},
		"--ends": {"a=b", "--comment", "c", "--ends", "soon"}, "missing": {"--comment", "c", "--for", "1h"}} {
		m3o(append([]string{"silence", "add"}, args...)...).fails(t, exitMisused, words)
	}
	m3o("silence", "add", "a=b", "--for", "800h", "--comment", "c").fails(t, exitFailed, "30 days")
}
