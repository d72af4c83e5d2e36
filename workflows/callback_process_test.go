package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/store"
	"github.com/m3o/platform/workflows"
)

// desk is where providers' callbacks come in: people, an alert that ana was paged by, and a real store. What callbacks mean is said by the
// test, and the workflows of alerts keep what they are told.
type desk struct {
	shop
	means    alert.Meaning
	number   int64
	page     alert.PageRow
	commands []string // "callback/7 Acknowledge 1 ana sms 0s"
	reports  []alert.PageReport
	refuses  error // what commands and reports are answered with
	says     error // what texts fail with
	texts    []alert.Text
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{shop: shop{t: t}}
	db, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "store.db"))
	d.must(err)
	t.Cleanup(func() { db.Close() })
	d.must(db.Migrate(t.Context()))
	d.s = db
	d.must(db.Bootstrap(t.Context(), hashed("ada"), "admin.token"))
	d.must(db.EnsureProject(t.Context(), "shop"))
	for _, name := range []string{"ana", "bob", "carol"} {
		d.joins(name)
	}
	d.must(db.Grant(t.Context(), "", "carol", account.OnCall, "admin"))
	g := alert.Group{Project: "shop", Route: "default", Labels: map[string]string{"dedup_key": "disk"}}
	a := alert.Alert{Project: "shop", Group: g.Hash(), Title: "disk full", Status: alert.Open, StartedAt: time.Now(), Version: 1}
	opened, err := db.OpenAlert(t.Context(), alert.Opening{Group: g, Hash: g.Hash(), First: 1, Alert: a})
	d.must(err)
	d.number = opened.Number
	d.page = alert.PageRow{Key: alert.PageKey("shop", d.number, alert.PageTrigger, 1, "ana"), Project: "shop", Alert: d.number, Person: "ana", Channel: alert.SMS, Contact: d.contact("ana", alert.SMS).ID,
		Kind: alert.PageTrigger, State: alert.Sent, Receipt: "SM1", Code: 1}
	d.must(db.RecordPage(t.Context(), d.page))
	return d
}

func (d *desk) contact(name string, channel alert.Channel) alert.Contact {
	d.t.Helper()
	all, err := d.s.Contacts(d.t.Context(), name)
	d.must(err)
	for _, c := range all {
		if c.Channel == channel {
			return c
		}
	}
	d.t.Fatalf("%s has no %s", name, channel)
	return alert.Contact{}
}

func (d *desk) Send(context.Context, alert.Page) (alert.Receipt, error) {
	return alert.Receipt{}, errors.New("nobody is paged")
}
func (d *desk) SendCode(context.Context, alert.CodeRequest) (alert.CodeSent, error) {
	return alert.CodeSent{}, errors.New("no code is sent")
}
func (d *desk) Read(context.Context, alert.Callback) (alert.Meaning, error) { return d.means, nil }
func (d *desk) SendText(_ context.Context, t alert.Text) (alert.Receipt, error) {
	d.texts = append(d.texts, t)
	return alert.Receipt{ID: "1"}, d.says
}

func (d *desk) CommandAlert(_ context.Context, id, project, group, update string, in alert.Command) (alert.Alert, error) {
	if d.refuses != nil {
		return alert.Alert{}, d.refuses
	}
	d.commands = append(d.commands, fmt.Sprintf("%s %s %d %s %s %s", id, update, in.Number, in.By, in.Via, in.For))
	return alert.Alert{Project: project, Group: group, Number: in.Number, Title: "disk full", Status: alert.Acknowledged}, nil
}

func (d *desk) PageReported(_ context.Context, _, _ string, r alert.PageReport) error {
	if d.refuses == nil {
		d.reports = append(d.reports, r)
	}
	return d.refuses
}

// comes has a callback come in that means this, and returns what it came to.
func (d *desk) comes(channel alert.Channel, m alert.Meaning) string {
	d.t.Helper()
	d.means, d.commands, d.reports, d.texts = m, nil, nil, nil
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterWorkflowWithOptions(workflows.ProcessCallback, workflow.RegisterOptions{Name: alert.CallbackWorkflow})
	env.RegisterActivity(&activities.Pages{Messenger: d})
	env.RegisterActivity(&activities.Callbacks{Alerts: d.s, Contacts: d.s, Flows: d})
	env.ExecuteWorkflow(alert.CallbackWorkflow, alert.Callback{Seq: 7, Channel: channel})
	var outcome string
	d.must(env.GetWorkflowError())
	d.must(env.GetWorkflowResult(&outcome))
	return outcome
}

// hears fails unless exactly one text was sent, to that address, which holds the words.
func (d *desk) hears(to, words string) {
	d.t.Helper()
	if len(d.texts) != 1 || d.texts[0].To != to || !strings.Contains(d.texts[0].Text, words) || d.texts[0].Key != "callback/7" {
		d.t.Errorf("said was %+v, not %q to %s", d.texts, words, to)
	}
}

func (d *desk) commanded(want ...string) {
	d.t.Helper()
	if strings.Join(d.commands, "; ") != strings.Join(want, "; ") {
		d.t.Errorf("commanded was %q, not %q", d.commands, want)
	}
}

func TestAReplyBySMSAcknowledges(t *testing.T) {
	d := newDesk(t)
	phone := d.contact("ana", alert.SMS).Address
	d.comes(alert.SMS, alert.Meaning{Kind: alert.MeansCommand, From: phone, Code: 1, Do: alert.AcknowledgeUpdate})
	d.commanded(fmt.Sprintf("callback/7 Acknowledge %d ana sms 0s", d.number))
	d.hears(phone, fmt.Sprintf("#%d is acknowledged: disk full", d.number))

	d.comes(alert.SMS, alert.Meaning{Kind: alert.MeansCommand, From: phone, Code: 1, Do: alert.SnoozeUpdate})
	d.commanded(fmt.Sprintf("callback/7 Snooze %d ana sms 1h0m0s", d.number))

	d.comes(alert.SMS, alert.Meaning{Kind: alert.MeansCommand, From: phone, Code: 9, Do: alert.AcknowledgeUpdate})
	d.commanded()
	d.hears(phone, "no alert that you were sent has the code 9")

	d.comes(alert.SMS, alert.Meaning{Kind: alert.MeansNothing, From: phone, Text: "1b"})
	d.commanded()
	d.hears(phone, `"1b" is no reply`)

	d.refuses = fault.New(fault.Conflict, "alert %d is closed", d.number)
	d.comes(alert.SMS, alert.Meaning{Kind: alert.MeansCommand, From: phone, Code: 1, Do: alert.ResolveUpdate})
	d.hears(phone, fmt.Sprintf("Nothing was done: alert %d is closed", d.number))

	d.refuses = fault.New(fault.NotFound, "there is no such workflow")
	d.comes(alert.SMS, alert.Meaning{Kind: alert.MeansCommand, From: phone, Code: 1, Do: alert.ResolveUpdate})
	d.hears(phone, "Nothing was done")
}

// A number that nobody has verified does nothing, and costs no answer: its sender may be anybody.
func TestStrangersAreNotAnswered(t *testing.T) {
	d := newDesk(t)
	for _, m := range []alert.Meaning{{Kind: alert.MeansCommand, From: "+14155550199", Code: 1, Do: alert.AcknowledgeUpdate}, {Kind: alert.MeansNothing, From: "+14155550199", Text: "1b"},
		{Kind: alert.MeansStop, From: "+14155550199"}, {Kind: alert.MeansNothing, Why: "nothing"}} {
		d.comes(alert.SMS, m)
		d.commanded()
		if len(d.texts) != 0 {
			t.Errorf("%+v is answered: %v", m, d.texts)
		}
	}
}

func TestAButtonIsForWhoMayAnswer(t *testing.T) {
	d := newDesk(t)
	press := func(name string) alert.Meaning {
		return alert.Meaning{Kind: alert.MeansCommand, From: d.contact(name, alert.Slack).Address, In: "C0OPS", Page: d.page.Key, Do: alert.AcknowledgeUpdate}
	}
	for _, name := range []string{"ana", "carol"} { // paged; on call everywhere
		d.comes(alert.Slack, press(name))
		d.commanded(fmt.Sprintf("callback/7 Acknowledge %d %s slack 0s", d.number, name))
		if len(d.texts) != 0 {
			t.Errorf("Slack's message says so itself, and %v", d.texts)
		}
	}
	d.comes(alert.Slack, press("bob"))
	d.commanded()
	d.hears(d.contact("bob", alert.Slack).Address, "you were not paged by alert")
	d.must(d.s.Grant(t.Context(), "shop", "bob", account.Viewer, "admin"))
	d.comes(alert.Slack, press("bob"))
	d.commanded()
	d.must(d.s.Grant(t.Context(), "shop", "bob", account.Developer, "admin"))
	d.comes(alert.Slack, press("bob"))
	d.commanded(fmt.Sprintf("callback/7 Acknowledge %d bob slack 0s", d.number))

	stranger := press("bob")
	stranger.From = "U0STRANGER"
	d.comes(alert.Slack, stranger)
	d.commanded()
	d.hears("U0STRANGER", "m3o contact add slack U0STRANGER")
	if d.texts[0].In != "C0OPS" {
		t.Errorf("everybody sees it: %+v", d.texts[0])
	}
	ana := press("ana")
	_, err := d.s.MoveUser(t.Context(), "ana", account.Suspended, "admin")
	d.must(err)
	d.comes(alert.Slack, ana)
	d.commanded()
}

func TestAForgedCallbackIsToldAndDoesNothing(t *testing.T) {
	d := newDesk(t)
	for range 3 {
		if outcome := d.comes(alert.SMS, alert.Meaning{Kind: alert.Forged, Why: "its signature is not Twilio's", From: d.contact("ana", alert.SMS).Address, Code: 1, Do: alert.AcknowledgeUpdate}); !strings.HasPrefix(outcome, "forged") {
			t.Errorf("it comes to %q", outcome)
		}
		d.commanded()
	}
	events, err := d.s.Events(t.Context(), 0, nil, 0)
	d.must(err)
	told := 0
	for _, e := range events {
		if e.Kind == store.ForgedEvent && e.Subject == "sms" {
			told++
		}
	}
	if told != 1 || len(d.texts) != 0 {
		t.Errorf("it is told %d times, and answered %v", told, d.texts)
	}
}

func TestReportsReachTheAlert(t *testing.T) {
	d := newDesk(t)
	report := func(state alert.Delivery, gone bool) alert.Meaning {
		return alert.Meaning{Kind: alert.MeansReceipt, Page: d.page.Key, Gone: gone, Receipt: &alert.Receipt{Channel: alert.SMS, ID: "SM1", State: state, Message: map[bool]string{true: "there is no such number"}[gone]}}
	}
	d.comes(alert.SMS, report(alert.Delivered, false))
	if len(d.reports) != 1 || d.reports[0].Key != d.page.Key || d.reports[0].Receipt.State != alert.Delivered {
		t.Errorf("reported is %+v", d.reports)
	}
	d.refuses = fault.New(fault.NotFound, "the alert has ended")
	d.comes(alert.SMS, report(alert.Failed, true))
	row, err := d.s.PageByReceipt(t.Context(), alert.SMS, "SM1")
	d.must(err)
	if row.State != alert.Failed || row.Message != "there is no such number" {
		t.Errorf("the page is %+v", row)
	}
	if c := d.contact("ana", alert.SMS); c.Status != alert.ContactPending || c.Message != "there is no such number" {
		t.Errorf("the contact is %+v", c)
	}
	d.comes(alert.SMS, alert.Meaning{Kind: alert.MeansReceipt, Page: "nothing", Receipt: &alert.Receipt{ID: "SM9"}})
	d.commanded()
}

func TestSTOPEndsAContact(t *testing.T) {
	d := newDesk(t)
	d.comes(alert.SMS, alert.Meaning{Kind: alert.MeansStop, From: d.contact("ana", alert.SMS).Address})
	if c := d.contact("ana", alert.SMS); c.Status != alert.ContactPending || !strings.Contains(c.Message, "STOP") {
		t.Errorf("the contact is %+v", c)
	}
}

// That nobody can be told what came of a reply changes nothing of it.
func TestAnAnswerThatCannotBeSent(t *testing.T) {
	d := newDesk(t)
	d.says = fault.New(fault.Failed, "sms is not set up")
	outcome := d.comes(alert.SMS, alert.Meaning{Kind: alert.MeansCommand, From: d.contact("ana", alert.SMS).Address, Code: 1, Do: alert.AcknowledgeUpdate})
	if len(d.commands) != 1 || !strings.Contains(outcome, "nobody could be told: sms is not set up") {
		t.Errorf("%v: %s", d.commands, outcome)
	}
}

// A contact whose channel says that there is no such address must be verified again; the next one is used at once.
func TestAContactThatIsNoMoreIsVerifiedAgain(t *testing.T) {
	h := newShop(t, twoSteps())
	h.down["sms"] = fault.New(fault.NotFound, "+447700900123 takes no SMS (Twilio 21211): correct the contact")
	h.fires(0, "disk full")
	h.resolves(3 * minutes)
	h.ends()
	ana := h.onCall("ana")
	ana.GetsSlack(0, "disk full")
	ana.GetsEmail(2*minutes, "disk full")
	all, err := h.s.Contacts(t.Context(), "ana")
	h.must(err)
	for _, c := range all {
		if want := map[bool]alert.ContactStatus{true: alert.ContactPending, false: alert.ContactVerified}[c.Channel == alert.SMS]; c.Status != want {
			t.Errorf("the contact is %+v", c)
		}
	}
}
