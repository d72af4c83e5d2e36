//go:build embedded

package workflows_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/store"
	"github.com/m3o/platform/workflows"
)

// alarmed is the shop on a real server. No run is kept between its tasks, so each task replays all there was before it.
type alarmed struct {
	*shop
	stage *stage
	ctx   context.Context
	c     client.Client
	flows *control.Flows
	pages worker.Worker
	first string // the run of the first alert
}

// quickSteps are twoSteps in seconds.
func quickSteps() alert.Rules {
	rules := twoSteps()
	rules.Policies[0].Steps[0].Targets = []alert.Target{{Person: "ana"}} // the schedule begins later
	rules.Notify.High[1].After, rules.Notify.High[2].After = after(300*time.Millisecond), after(300*time.Millisecond)
	rules.Policies[0].Steps[1].After = after(1500 * time.Millisecond)
	rules.Default.Interval = after(200 * time.Millisecond)
	return rules
}

func newAlarmed(t *testing.T, rules alert.Rules) *alarmed {
	st := emptyStage(t)
	a := &alarmed{shop: openShop(t, time.Now().UTC(), rules), stage: st, ctx: st.ctx, c: st.c, flows: st.flows}
	worker.SetStickyWorkflowCacheSize(0)
	flows := worker.New(a.c, queue.Flows, worker.Options{DisableRegistrationAliasing: true})
	flows.RegisterWorkflowWithOptions(workflows.EscalateAlert, workflow.RegisterOptions{Name: alert.EscalateWorkflow})
	a.pages = worker.New(a.c, queue.Pages, worker.Options{DisableRegistrationAliasing: true, DisableWorkflowWorker: true})
	for _, of := range a.activities() {
		flows.RegisterActivity(of)
		a.pages.RegisterActivity(of)
	}
	a.must(flows.Start())
	t.Cleanup(flows.Stop)
	return a
}

// serves has somebody serve the queue pages.
func (a *alarmed) serves() {
	a.must(a.pages.Start())
	a.t.Cleanup(a.pages.Stop)
}

// tells is what the relay does.
func (a *alarmed) tells(firing ...string) {
	a.t.Helper()
	a.must(a.flows.DeliverDigest(a.ctx, a.in, a.digest(1, firing...)))
}

func (a *alarmed) commands(id, update string, in alert.Command) (alert.Alert, error) {
	return a.flows.CommandAlert(a.ctx, id, "default", a.in.Hash, update, in)
}

// until waits until somebody has got a number of messages of a kind.
func (a *alarmed) until(n int, who string, kind alert.PageKind) {
	a.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		got := 0
		a.mu.Lock()
		for _, m := range a.messages {
			if m.who == who && m.page.Kind == kind {
				got++
			}
		}
		a.mu.Unlock()
		if got >= n {
			return
		}
	}
	a.t.Fatalf("%s does not get %d messages of kind %s; all got\n%s\nThe log:\n%s", who, n, kind, a.transcript(), a.log(1))
}

func (a *alarmed) ended() {
	a.t.Helper()
	a.must(a.c.GetWorkflow(a.ctx, alert.EscalateID("default", a.in.Hash), "").Get(a.ctx, nil))
}

// plays is the life of two alerts of one group: paged by all ways and acknowledged, brought up to date, escalated by hand and resolved by its
// source; the next one is closed by a person.
func (a *alarmed) plays() {
	a.t.Helper()
	a.down["ana sms"] = fault.New(fault.Failed, "21610 unsubscribed")
	a.tells("disk full")
	a.until(2, "ana", alert.PageTrigger) // Slack and email
	a.until(1, "bob", alert.PageTrigger)
	a.tells("disk full", "queue long")
	_, err := a.commands("note", alert.AddNoteUpdate, alert.Command{Number: 1, By: "ana", Comment: "the importer"})
	a.must(err)
	first, err := a.commands("ack", alert.AcknowledgeUpdate, alert.Command{Number: 1, By: "ana", For: time.Hour})
	a.must(err)
	again, err := a.commands("ack", alert.AcknowledgeUpdate, alert.Command{Number: 1, By: "ana", For: time.Hour})
	a.must(err)
	if first.Status != alert.Acknowledged || again.Version != first.Version {
		a.t.Errorf("acknowledged as version %d, and again as %d", first.Version, again.Version)
	}
	a.until(1, "bob", alert.PageAcknowledged)
	_, err = a.commands("snooze", alert.SnoozeUpdate, alert.Command{Number: 1, By: "ana", For: time.Hour})
	a.must(err)
	_, err = a.commands("escalate", alert.EscalateUpdate, alert.Command{Number: 1, By: "ana", To: 2})
	a.must(err)
	a.until(2, "bob", alert.PageTrigger)
	a.tells()
	a.until(1, "bob", alert.PageResolved)
	a.ended()
	found, err := a.c.DescribeWorkflowExecution(a.ctx, alert.EscalateID("default", a.in.Hash), "")
	a.must(err)
	a.first = found.GetWorkflowExecutionInfo().GetExecution().GetRunId()
	a.tells("disk full once more")
	a.until(3, "ana", alert.PageTrigger)
	_, err = a.commands("late", alert.AcknowledgeUpdate, alert.Command{Number: 1, By: "ana"})
	if !fault.Is(err, fault.Conflict) || !strings.Contains(fault.Message(err), "alert 1 has ended; alert 2 of the same group is open") {
		a.t.Errorf("a command for the first one: %v", err)
	}
	_, err = a.commands("close", alert.ResolveUpdate, alert.Command{Number: 2, By: "bob", Comment: "replaced"})
	a.must(err)
	a.ended()
}

func TestAlertsLiveOnARealServer(t *testing.T) {
	a := newAlarmed(t, quickSteps())
	a.serves()
	a.plays()
	if first, second := a.alert(1), a.alert(2); first.Status != alert.Resolved || second.Status != alert.Closed {
		t.Errorf("they are %s and %s", first.Status, second.Status)
	}
	a.logs(1, "failed ana sms", "21610")
	if _, err := a.commands("after", alert.AcknowledgeUpdate, alert.Command{Number: 2, By: "ana"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a command after the end: %v", err)
	}
}

func TestPagesWaitForAWorkerAndSayWhatTheyWaitFor(t *testing.T) {
	rules := quickSteps()
	rules.Policies[0].Steps = rules.Policies[0].Steps[:1]
	a := newAlarmed(t, rules)
	a.tells("disk full")
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		found, _, err := a.s.Alerts(t.Context(), "default", alert.Filter{}, store.Page{})
		a.must(err)
		if len(found) == 1 && strings.Contains(found[0].Message, "nobody serves the queue pages") && strings.Contains(a.log(1), "every way") {
			break
		}
	}
	a.logs(1, "failed ana", "every way to reach ana failed", "nobody serves the queue pages")
	_, err := a.commands("ack", alert.AcknowledgeUpdate, alert.Command{Number: 1, By: "bob"})
	a.must(err)
	a.serves()
	a.tells()
	a.ended()
	for _, m := range a.messages {
		if m.page.Kind == alert.PageTrigger {
			t.Errorf("after the acknowledgement: %q", m)
		}
	}
}
