package alert_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/oncall"
)

// simulate asks who is paged by an alert that begins at a time, as "+12m bob sms (primary)".
func (s *shop) simulate(at time.Time, labels ...string) (pages, notes []string, found alert.Simulated) {
	found = alert.Simulate(s.view, alert.Question{Labels: labelSet(labels...), At: at})
	for _, p := range found.Pages {
		line := fmt.Sprintf("+%s %s %s", p.After, p.Name, p.Channel)
		if p.Schedule != "" {
			line += " (" + p.Schedule + ")"
		}
		pages = append(pages, line)
	}
	for _, n := range found.Notes {
		notes = append(notes, n.At.Sub(at).String()+" "+n.Text)
	}
	return pages, notes, found
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSimulationGoesThroughStepsRepetitionsAndHandovers(t *testing.T) {
	s := newShop(t, replacing("after: 10m", "after: 3m"))
	handover := monday.AddDate(0, 0, 7)
	pages, notes, found := s.simulate(handover.Add(-4 * time.Minute))
	wantLines(t, pages,
		"+0s ana slack (primary)", "+2m ana sms (primary)",
		"+3m carla slack", "+3m #ops slack",
		"+5m ana email (primary)", "+5m carla sms",
		"+6m bob slack (primary)",
		"+8m carla email", "+8m bob sms (primary)",
		"+9m carla slack", "+9m #ops slack",
		"+11m bob email (primary)", "+11m carla sms", "+14m carla email")
	wantSaid(t, notes, "9m0s", "last step")
	if found.Policy != "page" || found.Route != "default" || found.Urgency != alert.High {
		t.Errorf("found %+v", found)
	}
}

func TestAStepGoesOnInThePlaceOfAnEarlierOneToTheSamePerson(t *testing.T) {
	s := newShop(t, replacing("after: 10m", "after: 3m"), replacing(`{person: carla}, {slack: "#ops"}`, `{person: ana}`), replacing("repeat: 1", "repeat: 0"))
	pages, _, _ := s.simulate(monday)
	wantLines(t, pages, "+0s ana slack (primary)", "+2m ana sms (primary)", "+3m ana slack", "+5m ana sms", "+8m ana email")
}

func TestNoStepIsWithheldByTheLimitOfAnAlert(t *testing.T) {
	s := newShop(t, replacing("after: 10m", "after: 3m"), replacing("project: shop", "project: shop\nlimits: {pages_per_alert: 1}"))
	pages, _, _ := s.simulate(monday)
	if len(pages) != 14 || pages[13] != "+14m carla email" {
		t.Errorf("%d pages, want 14:\n%s", len(pages), strings.Join(pages, "\n"))
	}
}

func TestSimulationSaysWhatReachesNobody(t *testing.T) {
	s := newShop(t)
	s.has("ana")
	pages, notes, _ := s.simulate(monday)
	wantLines(t, pages[:2], "+0s carla slack", "+0s #ops slack")
	wantSaid(t, notes, "0s schedule primary: ana", "no contact is verified")
	s = newShop(t)
	_, notes, _ = s.simulate(monday.AddDate(0, 0, -7))
	wantSaid(t, notes, "nobody is on call")
}

func TestSimulationWaitsForASilenceAndAWindowAhead(t *testing.T) {
	s := newShop(t)
	s.view.Silences = []alert.Silence{silence("service=till")}
	pages, notes, _ := s.simulate(monday.Add(50*time.Minute), "service=till")
	wantLines(t, pages[:1], "+10m ana slack (primary)")
	wantSaid(t, notes, "0s silence sil_1 of ana")
	window := silence("service=till")
	window.Begins, window.Ends = monday.Add(time.Minute), monday.Add(4*time.Minute)
	s.view.Silences = []alert.Silence{window}
	pages, notes, _ = s.simulate(monday, "service=till")
	wantLines(t, pages[:2], "+0s ana slack (primary)", "+5m ana email (primary)")
	wantSaid(t, notes, "2m0s ana is not paged by sms", "sil_1")
}

func TestSimulationOfARouteThatGroupsAndOfLowUrgency(t *testing.T) {
	s := newShop(t)
	pages, _, found := s.simulate(monday, "service=db")
	wantLines(t, pages[:1], "+30s carla slack")
	if found.Route != "database" || found.Policy != "databases" {
		t.Errorf("found %+v", found)
	}
	pages, notes, _ := s.simulate(monday, "team=research")
	wantLines(t, pages)
	wantSaid(t, notes, "nobody is paged")
	s.view.Firing = []alert.Key{key("other", alert.Critical, "till")}
	pages, notes, _ = s.simulate(monday, "service=till", "severity=warning")
	wantLines(t, pages)
	wantSaid(t, notes, "inhibited")
}

func TestSimulationFollowsOverrides(t *testing.T) {
	s := newShop(t)
	s.view.OnCall = s.view.Rules.Rota([]oncall.Override{{ID: "ovr_1", Schedule: "primary", Person: "bob", Begins: monday, Ends: monday.Add(time.Hour)}})
	pages, _, _ := s.simulate(monday)
	wantLines(t, pages[:1], "+0s bob slack (primary)")
	pages, _, _ = s.simulate(monday.Add(time.Hour))
	wantLines(t, pages[:1], "+0s ana slack (primary)")
}

func TestSimulationOfAProjectWithoutAPolicy(t *testing.T) {
	found := alert.Simulate(alert.View{Rules: alert.DefaultRules("shop")}, alert.Question{Labels: labelSet(), At: monday})
	if len(found.Pages) > 0 || len(found.Notes) != 1 || !strings.Contains(found.Notes[0].Text, "nobody is paged") {
		t.Errorf("found %+v", found)
	}
}
