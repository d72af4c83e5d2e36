package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/oncall"
	"github.com/m3o/platform/internal/store"
)

func TestWhoeverIsOnCallIsPagedByOneWayAfterTheOtherAndThenTheNextPerson(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	h.resolves(20 * minutes)
	h.ends()
	ana, bob := h.onCall("ana"), h.user("bob")
	ana.GetsSlack(0, "disk full")
	ana.GetsSMS(2*minutes, "disk full")
	ana.GetsEmail(4*minutes, "disk full")
	bob.GetsSlack(10*minutes, "disk full")
	bob.GetsSMS(12*minutes, "disk full")
	bob.GetsEmail(14*minutes, "disk full")
	for _, p := range []*someone{ana, bob} {
		for range 3 {
			if m, _ := p.next(); m.page.Kind != alert.PageResolved || m.at != 20*minutes {
				t.Errorf("%s is told %q", p.name, m)
			}
		}
		p.GetsNothing()
	}
	if a := h.alert(1); a.Status != alert.Resolved || a.Pages != 6 || a.Step != 2 || !a.EndedAt.Equal(monday.Add(20*minutes)) {
		t.Errorf("it is recorded as %+v", a)
	}
	h.logs(1, "triggered", "disk full")
	h.logs(1, "10m escalated", "step 2 of 2: bob")
	h.logs(1, "14m exhausted", "policy shop has no further step")
	h.logs(1, "20m resolved")
}

func TestAReplyBySMSStopsItEverywhere(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	ana, bob := h.onCall("ana"), h.user("bob")
	took := ana.replies(3*minutes, "1a")
	h.resolves(time.Hour)
	h.ends()
	took.ok(t)
	ana.GetsSlack(0, "disk full")
	if m := ana.GetsSMS(2*minutes, "disk full"); m.page.Code != 1 {
		t.Errorf("the code is %d", m.page.Code)
	}
	m := ana.gets(alert.Slack, 3*minutes, alert.PageAcknowledged, "disk full")
	if m.page.Previous == nil || m.page.Previous.ID != "receipt-1" || m.page.Content.By != "ana" || m.page.Content.Status != alert.Acknowledged {
		t.Errorf("Slack's message is updated with %+v", m.page)
	}
	ana.gets(alert.Slack, time.Hour, alert.PageResolved, "disk full")
	ana.gets(alert.SMS, time.Hour, alert.PageResolved, "disk full")
	ana.GetsNothing()
	bob.GetsNothing()
	if a := h.alert(1); a.AcknowledgedBy != "ana" || a.Status != alert.Resolved {
		t.Errorf("it is recorded as %+v", a)
	}
}

func TestAnAcknowledgementTellsWhoeverElseWasPaged(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	h.command(11*minutes, alert.AcknowledgeUpdate, alert.Command{By: "bob"})
	h.resolves(time.Hour)
	h.ends()
	h.says(`
		0s ana slack trigger
		2m ana sms trigger
		4m ana email trigger
		10m bob slack trigger
		11m ana slack acknowledged
		11m ana sms acknowledged
		11m ana email acknowledged
		11m bob slack acknowledged
		1h ana slack resolved
		1h ana sms resolved
		1h ana email resolved
		1h bob slack resolved`)
}

func TestAChannelThatFailsIsFollowedByTheNextAtOnceWithTheSameKey(t *testing.T) {
	h := newShop(t, twoSteps())
	h.down["slack"] = fault.New(fault.Failed, "channel_not_found")
	h.fires(0, "disk full")
	h.resolves(3 * minutes)
	h.ends()
	ana := h.onCall("ana")
	m := ana.GetsSMS(0, "disk full")
	if want := alert.PageKey("default", 1, alert.PageTrigger, 1, "ana"); m.page.Key != want {
		t.Errorf("the key is %s, not %s", m.page.Key, want)
	}
	next := ana.GetsEmail(2*minutes, "disk full")
	if next.page.Key != m.page.Key {
		t.Errorf("the next one's key is %s, not %s", next.page.Key, m.page.Key)
	}
	h.logs(1, "failed ana slack", "channel_not_found")
}

func TestAChannelThatThrottlesIsNotWaitedFor(t *testing.T) {
	h := newShop(t, twoSteps())
	h.down["slack"] = fault.New(fault.Throttled, "ratelimited")
	h.fires(0, "disk full")
	h.resolves(3 * minutes)
	h.ends()
	if m := h.messages[0]; m.page.Contact.Channel != alert.SMS || m.at > 5*time.Second {
		t.Errorf("the next channel is used with %q", m)
	}
}

func TestAChannelThatHangsDelaysTheNextByNothing(t *testing.T) {
	rules := twoSteps()
	rules.Notify.High[1].After = after(time.Second)
	h := newShop(t, rules)
	h.during["ana slack"] = func() { time.Sleep(2 * time.Second) } // while somebody works, the story's clock is that of the wall
	h.down["ana slack"] = temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil)
	h.fires(0, "disk full")
	h.resolves(time.Minute)
	h.ends()
	h.onCall("ana").GetsSMS(time.Second, "disk full")
	h.logs(1, "2s failed ana slack")
}

func TestAnSMSThatIsNotConfirmedInTimeIsFollowedByTheNext(t *testing.T) {
	h := newShop(t, twoSteps())
	h.confirms["sms"] = true
	h.fires(0, "disk full")
	h.resolves(9 * minutes)
	h.ends()
	ana := h.onCall("ana")
	ana.GetsSlack(0, "disk full")
	ana.GetsSMS(2*minutes, "disk full")
	ana.GetsEmail(2*minutes+30*time.Second, "disk full")
	h.logs(1, "2m30s failed ana sms", "did not confirm within 30s")
}

func TestAnSMSThatIsConfirmedIsGivenItsTime(t *testing.T) {
	h := newShop(t, twoSteps())
	h.confirms["sms"] = true
	h.fires(0, "disk full")
	h.report(2*minutes+5*time.Second, "ana", alert.SMS, alert.Delivered, "")
	h.resolves(9 * minutes)
	h.ends()
	ana := h.onCall("ana")
	ana.GetsSlack(0, "disk full")
	ana.GetsSMS(2*minutes, "disk full")
	ana.GetsEmail(4*minutes, "disk full")
	h.logs(1, "delivered ana sms")
	pages, err := h.s.PagesOf(t.Context(), "default", 1)
	h.must(err)
	if i := slices.IndexFunc(pages, func(p alert.PageRow) bool { return p.Channel == alert.SMS && p.State == alert.Delivered }); i < 0 {
		t.Errorf("the pages are %+v", pages)
	}
}

func TestAnSMSThatTheProviderGivesUpIsFollowedByTheNextAtOnce(t *testing.T) {
	h := newShop(t, twoSteps())
	h.confirms["sms"] = true
	h.fires(0, "disk full")
	h.report(2*minutes+5*time.Second, "ana", alert.SMS, alert.Failed, "30003 unreachable handset")
	h.resolves(9 * minutes)
	h.ends()
	ana := h.onCall("ana")
	ana.GetsSlack(0, "disk full")
	ana.GetsSMS(2*minutes, "disk full")
	ana.GetsEmail(2*minutes+5*time.Second, "disk full")
	h.logs(1, "failed ana sms 30003 unreachable handset")
}

func TestWhoCannotBeReachedIsTriedAgainAndAgain(t *testing.T) {
	rules := twoSteps()
	rules.Policies[0].Steps = rules.Policies[0].Steps[:1]
	h := newShop(t, rules)
	away := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
	for _, channel := range []string{"slack", "sms", "email"} {
		h.failing[channel] = slices.Repeat([]error{away}, 3)
	}
	h.fires(0, "disk full")
	h.at(20*time.Second, func() {
		if a := h.alert(1); !strings.Contains(a.Message, "ana is not reached: nobody serves the queue pages") {
			t.Errorf("it says %q", a.Message)
		}
	})
	h.resolves(time.Hour)
	h.ends()
	h.logs(1, "failed ana", "every way to reach ana failed, at last: nobody serves the queue pages; tried again in 30s")
	h.logs(1, "failed ana", "tried again in 1m")
	h.logs(1, "failed ana", "tried again in 2m")
	m := h.onCall("ana").gets(alert.Slack, 3*minutes+30*time.Second, alert.PageTrigger, "disk full")
	if m.page.Key != alert.PageKey("default", 1, alert.PageTrigger, 1, "ana") {
		t.Errorf("the key is %s", m.page.Key)
	}
}

func TestOneRecipientsFailureDelaysNoOther(t *testing.T) {
	rules := twoSteps()
	rules.Policies[0].Steps[0].Targets = []alert.Target{{Person: "ana"}, {Person: "bob"}, {Slack: "#ops"}}
	h := newShop(t, rules)
	for _, channel := range []string{"ana slack", "ana sms", "ana email"} {
		h.down[channel] = fault.New(fault.Failed, "gone")
	}
	h.fires(0, "disk full")
	h.resolves(9 * minutes)
	h.ends()
	h.onCall("ana").GetsNothing()
	h.user("bob").GetsSlack(0, "disk full")
	h.user("bob").h.logs(1, "every way to reach ana failed")
	h.user("#ops").GetsSlack(0, "disk full")
}

func TestAnAcknowledgementExpiresAndPagingBeginsAnew(t *testing.T) {
	rules := twoSteps()
	rules.Policies[0].AcknowledgedFor = after(2 * time.Hour)
	h := newShop(t, rules)
	h.fires(0, "disk full")
	h.command(time.Minute, alert.AcknowledgeUpdate, alert.Command{By: "ana"})
	h.command(2*time.Hour+3*minutes, alert.AcknowledgeUpdate, alert.Command{By: "ana", For: 5 * time.Hour})
	h.resolves(24 * time.Hour)
	h.ends()
	ana := h.onCall("ana")
	first := ana.GetsSlack(0, "disk full")
	ana.gets(alert.Slack, time.Minute, alert.PageAcknowledged, "")
	again := ana.GetsSlack(2*time.Hour+time.Minute, "disk full")
	if first.page.Key == again.page.Key {
		t.Errorf("both pages have the key %s", first.page.Key)
	}
	h.logs(1, "expired", "the acknowledgement of ana has expired; paging begins anew")
	if text := h.log(1); !strings.Contains(text, "7h3m expired") {
		t.Errorf("the second one does not hold for five hours:\n%s", text)
	}
}

func TestASnoozeHoldsPagesUntilItIsOver(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	h.command(time.Minute, alert.SnoozeUpdate, alert.Command{By: "ana", For: time.Hour}).okLater(t, h)
	h.at(30*minutes, func() {
		if a := h.alert(1); a.Status != alert.Snoozed || a.Message != "snoozed until 2027-03-22T10:01:00Z" {
			t.Errorf("it is %s: %s", a.Status, a.Message)
		}
	})
	h.resolves(time.Hour + 90*time.Second)
	h.ends()
	ana := h.onCall("ana")
	ana.GetsSlack(0, "disk full")
	ana.gets(alert.Slack, time.Minute, alert.PageAcknowledged, "")
	ana.GetsSlack(time.Hour+time.Minute, "disk full")
}

// okLater fails the test at its end unless the command was taken.
func (a *answer) okLater(t *testing.T, h *shop) *answer {
	t.Cleanup(func() { a.ok(t) })
	return a
}

func TestAStepIsBegunByHand(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	h.command(time.Minute, alert.EscalateUpdate, alert.Command{By: "ana", To: 2}).okLater(t, h)
	wrong := h.command(90*time.Second, alert.EscalateUpdate, alert.Command{By: "ana", To: 3})
	h.command(95*time.Second, alert.AddNoteUpdate, alert.Command{By: "ana", Comment: "bob knows the importer"}).okLater(t, h)
	h.resolves(100 * time.Second)
	h.ends()
	h.onCall("ana").GetsSlack(0, "disk full")
	h.user("bob").GetsSlack(time.Minute, "disk full")
	h.logs(1, "note ana", "bob knows the importer")
	if wrong.Rejected == nil || !strings.Contains(wrong.Rejected.Error(), "policy shop has no step 3; it has 2") {
		t.Errorf("step 3 was %v", wrong.Rejected)
	}
}

func TestAHandoverInTheMiddleOfAnEscalation(t *testing.T) {
	rules := twoSteps()
	rules.Policies[0].Repeat = 1
	h := shopAt(t, monday.Add(7*24*time.Hour-15*minutes-time.Hour), rules) // the clocks go forward on Sunday: nine there is eight in UTC
	h.fires(0, "disk full")
	h.resolves(30 * minutes)
	h.ends()
	h.onCall("ana").GetsSlack(0, "disk full")
	h.user("bob").GetsSlack(10*minutes, "disk full")
	h.onCall("cid").GetsSlack(20*minutes, "disk full")
	if m, any := h.user("ana").next(); !any || m.at != 0 {
		t.Errorf("ana gets %q", m)
	}
	for _, m := range h.messages {
		if m.who == "ana" && m.page.Kind == alert.PageTrigger && m.at > 10*minutes {
			t.Errorf("ana, whose turn is over, gets %q", m)
		}
	}
}

func TestAnOverrideThatEnds(t *testing.T) {
	rules := twoSteps()
	rules.Policies[0].Repeat = 1
	h := newShop(t, rules)
	_, err := h.s.CreateOverride(t.Context(), oncall.Override{Project: "default", Schedule: "primary", Person: "cid", Begins: monday.Add(-time.Hour), Ends: monday.Add(15 * minutes), By: "ada"})
	h.must(err)
	h.fires(0, "disk full")
	h.resolves(21 * minutes)
	h.ends()
	h.user("cid").GetsSlack(0, "disk full")
	h.onCall("ana").GetsSlack(20*minutes, "disk full")
}

func TestSomebodyWhoIsRemovedWhileTheyArePagedGetsNothingMore(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	ana := h.onCall("ana")
	ana.leaves(time.Minute)
	h.resolves(11 * minutes)
	h.ends()
	ana.GetsSlack(0, "disk full")
	ana.GetsNothing()
	h.logs(1, "2m skipped ana sms", "ana is no active user any more")
	h.user("bob").GetsSlack(10*minutes, "disk full")
}

func TestASilenceHoldsWhatIsBeingEscalatedAndLetsItGoOn(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	h.at(time.Minute, func() {
		h.silence("sil_1", false, time.Minute, time.Hour)
		h.SignalWorkflow(alert.RulesSignal, nil)
	})
	h.at(30*minutes, func() {
		if a := h.alert(1); a.Status != alert.Suppressed || !strings.HasPrefix(a.Message, "silence sil_1 of ada until") {
			t.Errorf("it is %s: %s", a.Status, a.Message)
		}
	})
	h.resolves(time.Hour + time.Minute)
	h.ends()
	h.says(`
		0s ana slack trigger
		1h ana slack trigger
		1h1m ana slack resolved`)
	h.logs(1, "1m suppressed", "sil_1")
}

// silence makes a silence or a maintenance window of the shop.
func (h *shop) silence(id string, maintenance bool, begins, ends time.Duration) {
	h.t.Helper()
	service, err := alert.ParseMatcher("service=shop")
	h.must(err)
	source, err := alert.ParseMatcher("source=api") // what a signal's own labels do not tell
	h.must(err)
	_, err = h.s.CreateSilence(h.t.Context(), alert.Silence{ID: id, Project: "default", Match: []alert.Matcher{service, source}, Maintenance: maintenance, Comment: "new disks", By: "ada",
		Begins: h.began.Add(begins), Ends: h.began.Add(ends)})
	h.must(err)
}

func TestAPageIsHeldByASilenceThatNobodyHasToldTheAlertOf(t *testing.T) {
	h := newShop(t, twoSteps())
	h.silence("sil_1", true, time.Minute, 9*minutes)
	h.fires(0, "disk full")
	h.resolves(11 * minutes)
	h.ends()
	h.onCall("ana").GetsSlack(0, "disk full")
	h.logs(1, "2m skipped ana sms", "maintenance window sil_1")
	h.user("bob").GetsSlack(10*minutes, "disk full")
}

func TestWhatIsSilencedFromTheBeginningPagesWhenTheSilenceEnds(t *testing.T) {
	h := newShop(t, twoSteps())
	h.silence("sil_1", true, 0, time.Hour)
	h.fires(0, "disk full")
	h.resolves(time.Hour + time.Minute)
	h.ends()
	h.onCall("ana").GetsSlack(time.Hour, "disk full")
}

func TestLowUrgencyIsRecordedAndRisesToAPage(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "info: disk at 70 %")
	h.at(time.Minute, func() {
		if a := h.alert(1); a.Urgency != alert.Low || !strings.Contains(a.Message, "nobody is paged") {
			t.Errorf("it is %s: %s", a.Urgency, a.Message)
		}
	})
	h.fires(time.Hour, "critical: disk full", "info: disk at 70 %")
	h.resolves(time.Hour + time.Minute)
	h.ends()
	ana := h.onCall("ana")
	m := ana.GetsSlack(time.Hour, "disk full")
	if m.page.Content.Severity != alert.Critical || m.page.Content.Firing != 2 {
		t.Errorf("the page says %+v", m.page.Content)
	}
}

func TestWhatIsOverBeforeTheGroupWaitPagesNobody(t *testing.T) {
	rules := twoSteps()
	rules.Default.Wait = after(30 * time.Second)
	h := newShop(t, rules)
	h.fires(0, "disk full")
	h.resolves(20 * time.Second)
	h.ends()
	h.says("")
	if a := h.alert(1); a.Status != alert.Resolved {
		t.Errorf("it is %s", a.Status)
	}
}

func TestTheGroupWaitGathersWhatBelongsTogether(t *testing.T) {
	rules := twoSteps()
	rules.Default.Wait = after(30 * time.Second)
	h := newShop(t, rules)
	h.fires(0, "disk full")
	h.fires(10*time.Second, "disk full", "queue long")
	h.resolves(time.Minute)
	h.ends()
	m := h.onCall("ana").GetsSlack(30*time.Second, "queue long")
	if m.page.Content.Firing != 2 || len(m.page.Content.Lines) != 2 {
		t.Errorf("the page says %+v", m.page.Content)
	}
}

// TestAPageSaysWhatIsWrongOnce: one key is the title, and no list repeats it.
func TestAPageSaysWhatIsWrongOnce(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	h.resolves(10 * time.Second)
	h.ends()
	if m := h.onCall("ana").GetsSlack(0, "disk full"); len(m.page.Content.Lines) != 0 || m.page.Content.More != 0 {
		t.Errorf("the page says %+v", m.page.Content)
	}
}

func TestAKeyThatFlapsIsResolvedOnceItIsQuiet(t *testing.T) {
	rules := twoSteps()
	rules.Default.ResolveIn = after(5 * minutes)
	h := newShop(t, rules)
	h.fires(0, "disk full")
	h.resolves(time.Minute)
	h.fires(3*minutes, "disk full")
	h.resolves(4 * minutes)
	h.ends()
	if a := h.alert(1); a.Status != alert.Resolved || !a.EndedAt.Equal(monday.Add(9*minutes)) {
		t.Errorf("it is %s, ended %s", a.Status, a.EndedAt)
	}
}

func TestAStormCostsLittleAndNotifiesFewTimes(t *testing.T) {
	rules := twoSteps()
	rules.Default.Interval = after(10 * time.Second)
	h := newShop(t, rules)
	calls := 0
	h.SetOnLocalActivityStartedListener(func(*activity.Info, context.Context, []any) { calls++ })
	firing := []string{"host 0 down"}
	h.fires(0, firing...)
	for i := range 400 { // in a hundred seconds
		h.at(time.Second+time.Duration(i)*250*time.Millisecond, func() {
			for range 25 {
				firing = append(firing, fmt.Sprintf("host %d down", len(firing)))
			}
			h.SignalWorkflow(alert.DigestSignal, h.digest(25, firing...))
		})
	}
	h.command(20*minutes, alert.ResolveUpdate, alert.Command{By: "ana"}).okLater(t, h)
	h.ends()
	sent := 0
	last := 0
	for _, m := range h.messages {
		if m.page.Kind == alert.PageTrigger || m.page.Kind == alert.PageUpdate {
			sent, last = sent+1, max(last, m.page.Content.Firing)
		}
	}
	if sent > alert.DefaultPagesPerAlert {
		t.Errorf("%d notifications:\n%s", sent, h.transcript())
	}
	if last < 10_001 {
		t.Errorf("the last one says that %d fire", last)
	}
	if a := h.alert(1); a.Signals != 10_001 {
		t.Errorf("%d signals are counted", a.Signals)
	}
	if calls > 150 {
		t.Errorf("it took %d calls to the store", calls)
	}
	t.Logf("%d notifications, %d calls to the store", sent, calls)
}

func TestUpdatesGiveWayToThePeopleOfLaterSteps(t *testing.T) {
	rules := twoSteps()
	rules.Default.Interval = after(10 * time.Second)
	policy := &rules.Policies[0]
	for _, name := range []string{"cid", "ada"} {
		policy.Steps = append(policy.Steps, alert.Step{After: after(10 * minutes), Targets: []alert.Target{{Person: name}}})
	}
	h := newShop(t, rules)
	h.fires(0, "disk full")
	h.fires(time.Minute, "disk full", "queue long")
	h.fires(11*minutes, "disk full", "queue long", "cache cold")
	h.command(40*minutes, alert.ResolveUpdate, alert.Command{By: "ana"}).okLater(t, h)
	h.ends()
	for i, name := range []string{"ana", "bob", "cid", "ada"} {
		p, at := h.user(name), time.Duration(i)*10*minutes
		p.GetsSlack(at, "disk full")
		p.GetsSMS(at+2*minutes, "disk full")
		p.GetsEmail(at+4*minutes, "disk full")
	}
	if strings.Contains(h.transcript(), string(alert.PageUpdate)) {
		t.Errorf("with twelve messages of its steps the alert has room for no update:\n%s", h.transcript())
	}
}

func TestSlackSaysHowItIsAtMostOnceInAnInterval(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	h.fires(time.Minute, "disk full", "queue long")
	h.fires(2*minutes, "disk full", "queue long", "cache cold")
	h.command(3*minutes, alert.AcknowledgeUpdate, alert.Command{By: "ana"})
	h.resolves(10 * minutes)
	h.ends()
	h.says(`
		0s ana slack trigger
		1m ana slack update
		2m ana sms trigger
		3m ana slack acknowledged
		6m ana slack update
		10m ana slack resolved
		10m ana sms resolved`)
}

func TestAClosedAlertTakesNoCommandsAndWhatComesAfterIsTheNextOne(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	h.command(time.Minute, alert.ResolveUpdate, alert.Command{By: "ana", Comment: "replaced"}).okLater(t, h)
	h.at(30*time.Second, func() {
		h.during["ana slack"] = func() { // while whoever was paged is being told
			h.SignalWorkflow(alert.DigestSignal, h.digest(1, "disk full again"))
		}
	})
	late := h.command(2*minutes, alert.AcknowledgeUpdate, alert.Command{Number: 1, By: "bob"})
	h.command(3*minutes, alert.ResolveUpdate, alert.Command{Number: 2, By: "ana"}).okLater(t, h)
	h.ends()
	if a := h.alert(1); a.Status != alert.Closed || a.Ended() != "alert 1 is closed since 2027-03-22T09:01:00Z" {
		t.Errorf("%+v", a)
	}
	if a := h.alert(2); a.Status != alert.Closed || a.Title != "disk full again" {
		t.Errorf("%+v", a)
	}
	if late.Rejected == nil || !strings.Contains(late.Rejected.Error(), "alert 1 has ended; alert 2 of the same group is open") {
		t.Errorf("the late command was %v, %v", late.Rejected, late.Err)
	}
	h.logs(1, "closed ana", "replaced")
}

func TestADigestThatComesTwiceIsOneAlert(t *testing.T) {
	h := newShop(t, twoSteps())
	var first alert.Digest
	h.at(0, func() {
		first = h.digest(1, "disk full")
		h.SignalWorkflow(alert.DigestSignal, first)
		h.SignalWorkflow(alert.DigestSignal, first)
	})
	h.resolves(time.Minute)
	h.ends()
	if a := h.alert(1); a.Signals != 2 {
		t.Errorf("%d signals are counted", a.Signals)
	}
	h.env(monday.Add(time.Hour)) // the workflow has ended, and the relay does not know that it was told
	h.at(0, func() { h.SignalWorkflow(alert.DigestSignal, first) })
	h.ends()
	if all, _, err := h.s.Alerts(t.Context(), "default", alert.Filter{}, store.Page{}); err != nil || len(all) != 1 {
		t.Errorf("there are %d alerts, %v", len(all), err)
	}
}

func TestSignalsThatAreToldOfTwiceCountOnce(t *testing.T) {
	h := newShop(t, twoSteps())
	h.at(0, func() {
		d := h.digest(3, "disk full")
		h.SignalWorkflow(alert.DigestSignal, d)
		d.Upto, d.Signals = 5, 5 // the relay was killed before it noted that the three were delivered, and two more came in
		h.SignalWorkflow(alert.DigestSignal, d)
		h.upto = 5
	})
	h.resolves(time.Minute)
	h.ends()
	if a := h.alert(1); a.Signals != 6 {
		t.Errorf("%d signals are counted", a.Signals)
	}
}

func TestASourceThatHasItStopsThePaging(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	h.at(time.Minute, func() {
		d := h.digest(1, "disk full")
		d.Acknowledged = "eve in the ticket system"
		h.SignalWorkflow(alert.DigestSignal, d)
	})
	h.resolves(time.Hour)
	h.ends()
	if a := h.alert(1); a.AcknowledgedBy != "eve in the ticket system" {
		t.Errorf("%+v", a)
	}
	h.logs(1, "1m joined   1 further signal; 1 key fires")
	h.user("bob").GetsNothing()
}

func TestAPageThatIsBeingSentWhenSomebodyAcknowledgesIsAccountedFor(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	took := &answer{}
	h.during["ana slack"] = func() {
		h.do(took, alert.AcknowledgeUpdate, alert.Command{By: "bob"})
		time.Sleep(200 * time.Millisecond)
	}
	h.resolves(time.Hour)
	h.ends()
	took.ok(t)
	if a := h.alert(1); a.AcknowledgedBy != "bob" || a.Status != alert.Resolved {
		t.Errorf("%+v", a)
	}
	pages, err := h.s.PagesOf(t.Context(), "default", 1)
	h.must(err)
	for _, p := range pages {
		if p.State == alert.Sending {
			t.Errorf("nobody knows what came of %+v", p)
		}
	}
	for _, m := range h.messages {
		if m.page.Kind == alert.PageTrigger && m.page.Contact.Channel != alert.Slack {
			t.Errorf("after the acknowledgement: %q", m)
		}
	}
}

func TestWithoutAPolicyTheAlertSaysSoUntilThereIsOne(t *testing.T) {
	h := newShop(t, alert.Rules{})
	h.fires(0, "disk full")
	h.at(time.Minute, func() {
		if a := h.alert(1); !strings.Contains(a.Message, "has no policy") {
			t.Errorf("it says %q", a.Message)
		}
	})
	h.at(time.Hour, func() {
		_, err := h.s.ApplyRules(t.Context(), twoSteps(), "ada")
		h.must(err)
		h.SignalWorkflow(alert.RulesSignal, nil)
	})
	h.resolves(time.Hour + time.Minute)
	h.ends()
	h.onCall("ana").GetsSlack(time.Hour, "disk full")
}

func TestAPolicyThatReachesNobodyBeginsAgain(t *testing.T) {
	rules := twoSteps()
	rules.Policies[0].Steps = []alert.Step{{Targets: []alert.Target{{Person: "bob"}}}}
	h := newShop(t, rules)
	bob := h.user("bob")
	_, err := h.s.MoveUser(t.Context(), "bob", "suspended", "ada")
	h.must(err)
	h.fires(0, "disk full")
	h.at(7*minutes, func() {
		_, err := h.s.MoveUser(t.Context(), "bob", "active", "ada")
		h.must(err)
	})
	h.resolves(time.Hour)
	h.ends()
	h.logs(1, "skipped", "bob cannot be paged: there is no such active user")
	h.logs(1, "exhausted", "policy shop reached nobody; it begins again at 2027-03-22T09:05:00Z")
	bob.GetsSlack(15*minutes, "disk full")
}

func TestAPolicyThatReachedNobodyBeginsOnceItCanReachSomebody(t *testing.T) {
	rules := twoSteps()
	rules.Policies[0].Steps = []alert.Step{{Targets: []alert.Target{{Person: "bob"}}}}
	h := newShop(t, rules)
	bob := h.user("bob")
	_, err := h.s.MoveUser(t.Context(), "bob", "suspended", "ada")
	h.must(err)
	h.fires(0, "disk full")
	h.at(2*minutes, func() {
		_, err := h.s.MoveUser(t.Context(), "bob", "active", "ada")
		h.must(err)
		h.SignalWorkflow(alert.RulesSignal, nil)
	})
	h.resolves(3 * minutes)
	h.ends()
	bob.GetsSlack(2*minutes, "disk full")
}

func TestTheNextStepBeginsWhenWhoeverIsPagedIsGone(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	h.onCall("ana").leaves(time.Minute)
	h.at(time.Minute, func() { h.SignalWorkflow(alert.RulesSignal, nil) })
	h.resolves(5 * minutes)
	h.ends()
	h.user("bob").GetsSlack(time.Minute, "disk full")
}

func TestAReceiptThatOvertakesItsPageIsRecorded(t *testing.T) {
	h := newShop(t, twoSteps())
	h.confirms["sms"] = true
	h.fires(0, "disk full")
	h.during["ana sms"] = func() {
		key := alert.PageKey("default", 1, alert.PageTrigger, 1, "ana")
		h.SignalWorkflow(alert.ReceiptSignal, alert.PageReport{Key: key, Receipt: alert.Receipt{Channel: alert.SMS, ID: "receipt-2", State: alert.Delivered, At: h.now()}})
		time.Sleep(200 * time.Millisecond)
	}
	h.resolves(3 * minutes)
	h.ends()
	pages, err := h.s.PagesOf(t.Context(), "default", 1)
	h.must(err)
	for _, p := range pages {
		if p.Channel == alert.SMS && p.Kind == alert.PageTrigger && p.State != alert.Delivered {
			t.Errorf("it is %+v", p)
		}
	}
}

func TestALimitHoldsPagesBackAndSaysSo(t *testing.T) {
	rules := twoSteps()
	rules.Limits.PerPersonHour = 2
	h := newShop(t, rules)
	h.fires(0, "disk full")
	h.resolves(9 * minutes)
	h.ends()
	ana := h.onCall("ana")
	ana.GetsSlack(0, "disk full")
	ana.GetsSMS(2*minutes, "disk full")
	h.logs(1, "4m skipped ana email", "limit")
}

func TestADrillSaysSo(t *testing.T) {
	h := newShop(t, twoSteps())
	h.at(0, func() {
		d := h.digest(1, "critical: a drill")
		d.Drill = true
		h.SignalWorkflow(alert.DigestSignal, d)
	})
	h.command(time.Minute, alert.ResolveUpdate, alert.Command{By: "ana"}).okLater(t, h)
	h.ends()
	if m := h.onCall("ana").GetsSlack(0, "a drill"); !m.page.Content.Drill || !h.alert(1).Drill {
		t.Errorf("the page says %+v", m.page.Content)
	}
}

// TestALongAlertGoesOnAsNew: the run ends while an acknowledgement holds, and in the next run a repetition of its command is known, the
// acknowledgement expires, and everybody who was paged is told how it ends.
func TestALongAlertGoesOnAsNew(t *testing.T) {
	rules := twoSteps()
	rules.Policies[0].AcknowledgedFor = after(2 * time.Hour)
	h := newShop(t, rules)
	h.fires(0, "disk full")
	h.command(3*minutes, alert.AcknowledgeUpdate, alert.Command{By: "bob"}).okLater(t, h)
	h.at(time.Hour, func() { h.SetContinueAsNewSuggested(true) })
	h.fires(time.Hour+time.Second, "disk full", "queue long")
	var asNew *workflow.ContinueAsNewError
	if err := h.run(); !errors.As(err, &asNew) {
		t.Fatalf("it ended with %v", err)
	}
	h.in = carried[alert.EscalateInput](t, asNew)
	if h.in.State.Upto != h.upto || len(h.in.State.Paged) == 0 || h.in.State.Alert.Status != alert.Acknowledged {
		t.Errorf("it carries %+v", h.in.State)
	}
	h.env(monday.Add(time.Hour + 5*time.Second))
	repeated := &answer{}
	h.at(time.Minute, func() {
		h.UpdateWorkflow(alert.AcknowledgeUpdate, "update-1", repeated, alert.Command{Number: 1, By: "bob"})
	})
	h.resolves(4 * time.Hour)
	h.ends()
	repeated.ok(t)
	ana := h.onCall("ana")
	ana.GetsSlack(0, "disk full")
	ana.GetsSMS(2*minutes, "disk full")
	ana.gets(alert.Slack, 3*minutes, alert.PageAcknowledged, "")
	ana.gets(alert.SMS, 3*minutes, alert.PageAcknowledged, "")
	h.logs(1, "2h3m expired")
	if a := h.alert(1); a.Status != alert.Resolved {
		t.Errorf("%+v", a)
	}
	if strings.Count(h.log(1), " acknowledged bob") != 1 {
		t.Errorf("it was acknowledged more than once:\n%s", h.log(1))
	}
}

// TestAnEscalationGoesOnAsNewWhereItWas: between two contacts of a person.
func TestAnEscalationGoesOnAsNewWhereItWas(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	h.at(time.Minute, func() { h.SetContinueAsNewSuggested(true) })
	h.fires(61*time.Second, "disk full", "queue long")
	var asNew *workflow.ContinueAsNewError
	if err := h.run(); !errors.As(err, &asNew) {
		t.Fatalf("it ended with %v", err)
	}
	h.in = carried[alert.EscalateInput](t, asNew)
	h.env(monday.Add(90 * time.Second))
	h.resolves(11 * minutes)
	h.ends()
	h.onCall("ana").GetsSlack(0, "disk full")
	var got []string
	for _, m := range h.messages {
		if m.page.Kind == alert.PageTrigger {
			got = append(got, m.String())
		}
	}
	if text := strings.Join(got, ", "); text != "0s ana slack trigger, 2m ana sms trigger, 4m ana email trigger, 10m bob slack trigger, 12m bob sms trigger" {
		t.Errorf("people got %s", text)
	}
}

// TestWeeksOfAnAlertThatNobodyCloses: it pages whoever is on call each time that the acknowledgement has expired.
func TestWeeksOfAnAlertThatNobodyCloses(t *testing.T) {
	rules := twoSteps()
	rules.Policies[0].AcknowledgedFor = after(24 * time.Hour)
	h := newShop(t, rules)
	h.fires(0, "disk full")
	for day := range 21 {
		h.command(time.Duration(day)*(24*time.Hour+time.Minute)+time.Minute, alert.AcknowledgeUpdate, alert.Command{By: "ana"})
	}
	h.resolves(21 * 24 * time.Hour)
	h.ends()
	byWeek := map[string][3]int{}
	for _, m := range h.messages {
		if m.page.Kind == alert.PageTrigger {
			weeks := byWeek[m.who]
			weeks[int((m.at+2*time.Hour)/(7*24*time.Hour))]++
			byWeek[m.who] = weeks
		}
	}
	if want := map[string][3]int{"ana": {7, 0, 7}, "cid": {0, 7, 0}}; !maps.Equal(byWeek, want) {
		t.Errorf("pages by week are %v, not %v", byWeek, want)
	}
}
