package alert_test

import (
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
)

func TestWhoIsOnCallIsPagedByTheirContactsInOrder(t *testing.T) {
	s := newShop(t)
	p := s.step(1, 1, monday)
	wantPages(t, p, "ana: slack 0s, sms 2m, email 3m")
	if p.Policy != "page" || p.Urgency != alert.High || p.Steps != 2 || p.PageLimit != 10 || p.AckFor != alert.Duration(30*time.Minute) {
		t.Errorf("the plan is %+v", p)
	}
	if p.Next == nil || *p.Next != alert.Duration(10*time.Minute) || p.NextRound {
		t.Errorf("the next step comes after %v", p.Next)
	}
	second := s.step(2, 1, monday.Add(10*time.Minute))
	wantPages(t, second, "carla: slack 0s, sms 2m, email 3m", "#ops: slack 0s")
	if before := s.step(0, 1, monday); before.Ahead != 7 || p.Ahead != 4 || second.Ahead != 0 {
		t.Errorf("%d messages are ahead before the first step, %d and %d after the steps", before.Ahead, p.Ahead, second.Ahead)
	}
}

func TestStepsAreRepeatedAsOftenAsThePolicySays(t *testing.T) {
	s := newShop(t)
	p := s.step(2, 1, monday)
	if p.Next == nil || !p.NextRound || *p.Next != alert.Duration(10*time.Minute) {
		t.Errorf("after the last step of the first round comes %v, another round: %t", p.Next, p.NextRound)
	}
	if p := s.step(2, 2, monday); p.Next != nil {
		t.Errorf("after the last step of the last round comes %v", *p.Next)
	}
	one := newShop(t, replacing("repeat: 1", "repeat: 3"), replacing("      - after: 10m\n        targets: [{person: carla}, {slack: \"#ops\"}]\n", ""))
	if p := one.step(1, 1, monday); p.Next == nil || *p.Next != alert.RepeatAfter {
		t.Errorf("a policy of one step without a delay is repeated after %v", p.Next)
	}
}

func TestAHandoverInTheMiddleOfAnEscalation(t *testing.T) {
	s := newShop(t)
	handover := monday.AddDate(0, 0, 7)
	wantPages(t, s.step(1, 1, handover.Add(-time.Second)), "ana: slack 0s, sms 2m, email 3m")
	wantPages(t, s.step(1, 2, handover), "bob: slack 0s, sms 2m, email 3m")
}

func TestWhoChoseTheirOwnRulesIsPagedByThem(t *testing.T) {
	s := newShop(t)
	ana := s.view.People["ana"]
	ana.By = map[alert.Urgency][]alert.Notify{alert.High: {{Channel: alert.SMS, After: alert.Duration(time.Minute)}, {Channel: alert.Email, After: alert.Duration(4 * time.Minute)}}}
	s.view.People["ana"] = ana
	wantPages(t, s.step(1, 1, monday), "ana: sms 1m, email 4m")
}

func TestAChannelWithoutAContactIsNotWaitedFor(t *testing.T) {
	s := newShop(t)
	s.has("ana", alert.SMS, alert.Email)
	wantPages(t, s.step(1, 1, monday), "ana: sms 0s, email 3m")
}

func TestAPersonWithoutAVerifiedContactIsAProblemAndTheNextStepComesAtOnce(t *testing.T) {
	s := newShop(t)
	s.has("ana")
	p := s.step(1, 1, monday)
	wantPages(t, p)
	wantSaid(t, p.Problems, "schedule primary", "ana", "no contact is verified")
	if p.Next == nil || *p.Next != 0 {
		t.Errorf("the next step comes after %v", p.Next)
	}
	pending := s.view.People["bob"]
	pending.Contacts[0].Status = alert.ContactPending
	s.view.People["bob"] = pending
	wantPages(t, s.step(1, 1, monday.AddDate(0, 0, 7)), "bob: sms 0s, email 3m")
}

func TestAPersonWhoWasRemovedWhilePaged(t *testing.T) {
	s := newShop(t)
	delete(s.view.People, "carla")
	p := s.step(2, 1, monday)
	wantPages(t, p, "#ops: slack 0s")
	wantSaid(t, p.Problems, "carla", "no such active user")
}

func TestAnotherChannelIsBetterThanNone(t *testing.T) {
	s := newShop(t, replacing("{channel: slack}, {channel: sms, after: 2m}, {channel: email, after: 3m}", "{channel: sms}"))
	s.has("ana", alert.Email)
	p := s.step(1, 1, monday)
	wantPages(t, p, "ana: email 0s")
	wantSaid(t, p.Problems, "ana", "paged by email")
}

func TestNobodyOnCallIsSaid(t *testing.T) {
	s := newShop(t)
	p := s.step(1, 1, monday.Add(-time.Minute))
	wantPages(t, p)
	wantSaid(t, p.Problems, "schedule primary", "nobody is on call")
}

func TestAPersonWhoIsTargetedTwiceIsPagedOnce(t *testing.T) {
	s := newShop(t, replacing(`{person: carla}, {slack: "#ops"}`, `{person: ana}, {schedule: primary}`))
	wantPages(t, s.step(2, 1, monday), "ana: slack 0s, sms 2m, email 3m")
}

func TestLowUrgencyIsRecordedAndNeverPaged(t *testing.T) {
	s := newShop(t)
	for _, labels := range [][]string{{"team=research", "severity=critical"}, {"severity=info"}} {
		p := s.step(1, 1, monday, labels...)
		if !p.Record || p.Next != nil || len(p.Recipients) > 0 {
			t.Errorf("%v: %+v", labels, p)
		}
	}
}

func TestAProjectWithoutAPolicySaysThatNobodyIsPaged(t *testing.T) {
	v := alert.View{Rules: alert.DefaultRules("shop")}
	p := alert.MakePlan(v, alert.PlanInput{Alert: alert.Alert{Route: "default", Severity: alert.Critical}, Step: 1, Round: 1, At: monday})
	wantSaid(t, p.Problems, "project shop", "nobody is paged", "m3o policy apply")
	if p.Next != nil || len(p.Recipients) > 0 {
		t.Errorf("the plan is %+v", p)
	}
}

func TestARouteThatIsGoneLeavesItsAlertsToTheDefaultOne(t *testing.T) {
	s := newShop(t)
	in := s.input(1, 1, monday)
	in.Alert.Route = "removed meanwhile"
	wantPages(t, alert.MakePlan(s.view, in), "ana: slack 0s, sms 2m, email 3m")
}

func TestLimitsSayWhyAPageIsSkipped(t *testing.T) {
	l := alert.Limits{PagesPerAlert: 3, PerPersonHour: 5, PerContactHour: 4}
	for _, c := range []struct {
		kind   alert.PageKind
		before alert.Before
		want   string
	}{
		{alert.PageTrigger, alert.Before{Alert: 2, Person: 4, Contact: 3}, ""},
		{alert.PageTrigger, alert.Before{Alert: 3}, "limit: 3 pages were sent of this alert, the most by pages_per_alert"},
		{alert.PageTrigger, alert.Before{Person: 5}, "limit: 5 pages were sent to ana within an hour, the most by per_person_hour"},
		{alert.PageTrigger, alert.Before{Contact: 4}, "limit: 4 pages were sent to this contact within an hour, the most by per_contact_hour"},
		{alert.PageResolved, alert.Before{Alert: 9, Person: 9, Contact: 9}, ""},
		{alert.PageNotice, alert.Before{Alert: 9}, ""},
	} {
		if got := l.Refuses(c.kind, "ana", c.before); got != c.want {
			t.Errorf("%s after %+v: %q, want %q", c.kind, c.before, got, c.want)
		}
	}
	if got := (alert.Limits{}).Refuses(alert.PageTrigger, "ana", alert.Before{Alert: 10}); got == "" {
		t.Error("without a limit of its own, an alert has no limit of 10")
	}
}
