package alert_test

import (
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
)

// silence is one of ana's that holds for an hour from monday on.
func silence(match ...string) alert.Silence {
	s := alert.Silence{ID: "sil_1", Project: "shop", By: "ana", Comment: "the importer is slow", Status: alert.SilenceActive, Begins: monday, Ends: monday.Add(time.Hour)}
	for _, text := range match {
		m, err := alert.ParseMatcher(text)
		if err != nil {
			panic(err)
		}
		s.Match = append(s.Match, m)
	}
	return s
}

func TestASilenceStopsWhatItMatchesAndNothingElse(t *testing.T) {
	s := newShop(t)
	s.view.Silences = []alert.Silence{silence("service=till", "severity=~error|warning")}
	p := s.step(1, 1, monday, "service=till")
	wantPages(t, p)
	wantSaid(t, []string{p.Suppressed}, "silence sil_1 of ana until 2026-01-05T10:00:00Z", "the importer is slow")
	if !p.Until.Equal(monday.Add(time.Hour)) {
		t.Errorf("until %s", p.Until)
	}
	for name, p := range map[string]alert.Plan{"another service": s.step(1, 1, monday, "service=cart"), "a worse severity": s.step(1, 1, monday, "service=till", "severity=critical"),
		"before": s.step(1, 1, monday.Add(-time.Second), "service=till"), "after": s.step(1, 1, monday.Add(time.Hour), "service=till")} {
		if p.Suppressed != "" {
			t.Errorf("%s is suppressed: %s", name, p.Suppressed)
		}
	}
}

func TestAMaintenanceWindowHoldsWhatIsBeingEscalated(t *testing.T) {
	s := newShop(t)
	window := silence("service=till")
	window.Maintenance, window.Begins = true, monday.Add(5*time.Minute)
	s.view.Silences = []alert.Silence{window}
	wantPages(t, s.step(1, 1, monday, "service=till"), "ana: slack 0s, sms 2m, email 3m")
	p := s.step(2, 1, monday.Add(10*time.Minute), "service=till")
	wantPages(t, p)
	wantSaid(t, []string{p.Suppressed}, "maintenance window sil_1 of ana")
	if p.Next == nil {
		t.Error("what is held does not go on")
	}
	if next := alert.NextWindow(s.view.Silences, labelSet("service=till"), monday); !next.Equal(window.Begins) {
		t.Errorf("the next window begins at %s", next)
	}
}

func TestOfSeveralSilencesTheLongestCounts(t *testing.T) {
	s := newShop(t)
	long := silence("service=till")
	long.ID, long.Ends = "sil_2", monday.Add(3*time.Hour)
	s.view.Silences = []alert.Silence{silence("service=till"), long}
	if p := s.step(1, 1, monday, "service=till"); !p.Until.Equal(long.Ends) {
		t.Errorf("until %s", p.Until)
	}
}

// key is one that fires, of another group than the alert that is planned.
func key(group string, severity alert.Severity, service string) alert.Key {
	return alert.Key{Project: "shop", DedupKey: "k-" + group, Group: group, Firing: true, Service: service, Severity: severity}
}

func TestAWorseAlertOfTheSameServiceInhibits(t *testing.T) {
	s := newShop(t)
	s.view.Firing = []alert.Key{key("mine", alert.Critical, "till"), key("other", alert.Critical, "cart")}
	if p := s.step(1, 1, monday, "service=till", "severity=warning"); p.Suppressed != "" {
		t.Errorf("an alert inhibits itself, or one of another service does: %s", p.Suppressed)
	}
	s.view.Firing = append(s.view.Firing, key("third", alert.Critical, "till"))
	p := s.step(1, 1, monday, "service=till", "severity=warning")
	wantSaid(t, []string{p.Suppressed}, "inhibited", "severity=critical", "service=till")
	if !p.Until.Equal(monday.Add(alert.InhibitedFor)) {
		t.Errorf("it is looked at again at %s", p.Until)
	}
	if p := s.step(1, 1, monday, "service=till", "severity=critical"); p.Suppressed != "" {
		t.Errorf("what is as bad is inhibited: %s", p.Suppressed)
	}
}

func TestTwoThatWouldInhibitEachOtherBothPage(t *testing.T) {
	s := newShop(t, replacing("target: [severity=warning]", "target: [severity=~critical|warning]"))
	s.view.Firing = []alert.Key{key("other", alert.Critical, "till")}
	if p := s.step(1, 1, monday, "service=till", "severity=critical"); p.Suppressed != "" {
		t.Errorf("suppressed: %s", p.Suppressed)
	}
	if p := s.step(1, 1, monday, "service=till", "severity=warning"); p.Suppressed == "" {
		t.Error("a warning is not inhibited")
	}
}

func TestWhatIsWrongWithASilence(t *testing.T) {
	now := monday.Add(time.Minute)
	for field, change := range map[string]func(*alert.Silence){
		"match":   func(s *alert.Silence) { s.Match = nil },
		"comment": func(s *alert.Silence) { s.Comment = "" },
		"ends":    func(s *alert.Silence) { s.Ends = s.Begins.Add(alert.MaxSilence + time.Second) },
		"begins": func(s *alert.Silence) {
			s.Begins, s.Ends = now.Add(alert.MaxAhead+time.Hour), now.Add(alert.MaxAhead+2*time.Hour)
		},
		"match[0]": func(s *alert.Silence) { s.Match[0].Value, s.Match[0].Op = "(", "=~" },
	} {
		s := silence("service=till")
		change(&s)
		wantProblem(t, s.Validate(now), field)
	}
	past, none := silence("service=till"), silence("service=till")
	wantProblem(t, past.Validate(past.Ends), "ends", "in the past")
	none.Ends = none.Begins
	wantProblem(t, none.Validate(now), "ends", "is not after")
	if err := silence("service=till").Validate(now); err != nil {
		t.Error(err)
	}
}

func TestASilencesAuthorIsToldAnHourBeforeItEnds(t *testing.T) {
	s := silence("service=till")
	if at := s.NoticeAt(); !at.Equal(monday.Add(30 * time.Minute)) {
		t.Errorf("of one of an hour, the author is told at %s", at)
	}
	s.Ends = monday.Add(5 * time.Hour)
	if at := s.NoticeAt(); !at.Equal(monday.Add(4 * time.Hour)) {
		t.Errorf("of one of five hours, the author is told at %s", at)
	}
	s.Status = alert.SilenceAhead
	for _, want := range []struct {
		due  time.Time
		next alert.SilenceStatus
	}{{s.Begins, alert.SilenceActive}, {s.NoticeAt(), alert.SilenceEnding}, {s.Ends, alert.SilenceOver}} {
		if !s.DueAt().Equal(want.due) || s.Next() != want.next {
			t.Errorf("%s is due at %s for %s, want %s for %s", s.Status, s.DueAt(), s.Next(), want.due, want.next)
		}
		s.Status = s.Next()
	}
	if !s.DueAt().IsZero() {
		t.Error("one that is over is due")
	}
}
