package workflows_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/oncall"
	"github.com/m3o/platform/internal/store"
	"github.com/m3o/platform/workflows"
)

// shop is a project with people, rules and a real store. Its phones are all that is not real: they keep what SendPage was asked for.
type shop struct {
	*testsuite.TestWorkflowEnvironment
	t     *testing.T
	s     *store.Store
	began time.Time // of the story
	in    alert.EscalateInput
	upto  int64
	asked int
	ran   bool

	mu       sync.Mutex
	messages []message
	failing  map[string][]error // "ana sms" or "sms": what SendPage fails with, one after the other
	down     map[string]error   // likewise, for ever
	confirms map[string]bool    // channels whose receipts say that they confirm
	during   map[string]func()  // what happens while a page is being sent
	receipts int
}

// message is one that somebody got.
type message struct {
	at      time.Duration
	who     string
	page    alert.Page
	receipt string
}

func (m message) String() string {
	return fmt.Sprintf("%s %s %s %s", short(m.at), m.who, m.page.Contact.Channel, m.page.Kind)
}

func short(d time.Duration) string { return alert.Duration(d.Truncate(time.Second)).String() }

// someone is a person of the shop.
type someone struct {
	h    *shop
	name string
	read int // messages that the test has looked at
}

// monday is when the tests' stories begin: nine in the morning in London, in winter.
var monday = time.Date(2027, 3, 22, 9, 0, 0, 0, time.UTC)

const minutes = time.Minute

func after(d time.Duration) alert.Duration { return alert.Duration(d) }

// twoSteps pages whoever is on call, and after ten minutes bob.
func twoSteps() alert.Rules {
	return alert.Rules{Project: "default",
		Schedules: []oncall.Schedule{{Name: "primary", Zone: "Europe/London", Layers: []oncall.Layer{{Name: "weekly", People: []string{"ana", "cid"}, Rotation: oncall.Weekly, Start: "2027-03-22T09:00"}}}},
		Policies: []alert.Policy{{Name: "shop", Steps: []alert.Step{{Targets: []alert.Target{{Schedule: "primary"}}},
			{After: after(10 * minutes), Targets: []alert.Target{{Person: "bob"}}}}}},
		Default: alert.Route{Policy: "shop"},
		Notify:  alert.Notifies{High: []alert.Notify{{Channel: alert.Slack}, {Channel: alert.SMS, After: after(2 * minutes)}, {Channel: alert.Email, After: after(2 * minutes)}}},
	}
}

// newShop is the shop on Monday at nine.
func newShop(t *testing.T, rules alert.Rules) *shop {
	t.Helper()
	return shopAt(t, monday, rules)
}

func shopAt(t *testing.T, began time.Time, rules alert.Rules) *shop {
	t.Helper()
	h := openShop(t, began, rules)
	h.env(began)
	return h
}

// openShop makes the people, the rules and the store.
func openShop(t *testing.T, began time.Time, rules alert.Rules) *shop {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	h := &shop{t: t, s: s, began: began, failing: map[string][]error{}, down: map[string]error{}, confirms: map[string]bool{}, during: map[string]func(){}}
	h.must(s.Migrate(t.Context()))
	for _, name := range []string{"ada", "ana", "bob", "cid"} {
		h.joins(name)
	}
	h.must(s.Grant(t.Context(), "", "ada", account.Operator, "ada"))
	applied := alert.DefaultRules("default")
	if len(rules.Policies) > 0 {
		applied, err = s.ApplyRules(t.Context(), rules, "ada")
		h.must(err)
	}
	group := alert.Group{Project: "default", Route: alert.DefaultRoute, Labels: map[string]string{"service": "shop"}}
	h.in = alert.EscalateInput{Group: group, Hash: group.Hash(), Rules: applied.Default}
	return h
}

// env makes a run possible that begins at that time.
func (h *shop) env(now time.Time) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(60 * time.Second)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: 20 * time.Second})
	env.SetStartTime(now)
	env.RegisterWorkflowWithOptions(workflows.EscalateAlert, workflow.RegisterOptions{Name: alert.EscalateWorkflow})
	for _, a := range h.activities() {
		env.RegisterActivity(a)
	}
	h.TestWorkflowEnvironment = env
}

// activities are the real ones over a real store; only the phones are not.
func (h *shop) activities() []any {
	return []any{&activities.Alerts{Records: h.s, Pages: h.s, Rules: h.s}, &activities.Pages{Messenger: h}, &activities.Callbacks{Alerts: h.s, Contacts: h.s}}
}

func (h *shop) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func hashed(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// joins makes somebody an active user with a verified contact of each channel.
func (h *shop) joins(name string) {
	ctx := h.t.Context()
	_, _, err := h.s.InviteUser(ctx, name, name+"@example.com", hashed("code of "+name), "ada")
	h.must(err)
	_, _, err = h.s.Redeem(ctx, hashed("code of "+name), "login", hashed("token of "+name))
	h.must(err)
	number := (int(name[0])*7 + int(name[1])) % 1000
	for channel, address := range map[alert.Channel]string{alert.Slack: "U" + strings.ToUpper(name) + "0000", alert.SMS: fmt.Sprintf("+447700900%03d", number), alert.Email: name + "@example.com"} {
		c, err := h.s.CreateContact(ctx, name, channel, address)
		h.must(err)
		n, err := h.s.BeginCode(ctx, name, c.ID)
		h.must(err)
		code := alert.CodeOf([]byte(rand.Text()))
		h.must(h.s.RecordCode(ctx, alert.CodeRecord{Contact: c.ID, N: n, Hash: alert.HashCode(code), Expires: time.Now().Add(alert.CodeLife)}))
		_, err = h.s.VerifyContact(ctx, name, c.ID, code)
		h.must(err)
	}
}

func (h *shop) user(name string) *someone   { return &someone{h: h, name: name} }
func (h *shop) onCall(name string) *someone { return h.user(name) }

// at does something when that much of the story's time has gone by.
func (h *shop) at(d time.Duration, do func()) { h.RegisterDelayedCallback(do, d) }

// now is the story's time; on a real server everybody's.
func (h *shop) now() time.Time {
	if h.TestWorkflowEnvironment == nil {
		return time.Now().UTC()
	}
	return h.TestWorkflowEnvironment.Now()
}

// digest is what the relay tells of the group's keys: these fire, the worst first.
func (h *shop) digest(signals int64, firing ...string) alert.Digest {
	d := alert.Digest{After: h.upto, Upto: h.upto + signals, Signals: signals, Firing: len(firing), FirstAt: h.now()}
	h.upto += signals
	for _, text := range firing[:min(len(firing), alert.MaxLines)] {
		severity, summary, found := strings.Cut(text, ": ")
		if !found {
			severity, summary = "error", text
		}
		d.Samples = append(d.Samples, alert.Sample{DedupKey: summary, Summary: summary, Severity: alert.Severity(severity), Service: "shop", Source: alert.FromAPI, Since: h.now()})
	}
	return d
}

// fires has these keys fire from then on, and no others.
func (h *shop) fires(d time.Duration, firing ...string) {
	h.at(d, func() { h.SignalWorkflow(alert.DigestSignal, h.digest(1, firing...)) })
}

func (h *shop) resolves(d time.Duration) { h.fires(d) }

// command sends an update to the first alert at that time.
func (h *shop) command(d time.Duration, name string, in alert.Command) *answer {
	a := &answer{}
	h.at(d, func() { h.do(a, name, in) })
	return a
}

func (h *shop) do(a *answer, name string, in alert.Command) {
	h.asked++
	in.Number = cmp.Or(in.Number, 1)
	h.UpdateWorkflow(name, fmt.Sprintf("update-%d", h.asked), a, in)
}

func (h *shop) run() error {
	h.t.Helper()
	h.ExecuteWorkflow(alert.EscalateWorkflow, h.in)
	if !h.IsWorkflowCompleted() {
		h.t.Fatal("the alert does not end")
	}
	h.ran = true
	rank := []alert.Channel{alert.Slack, alert.SMS, alert.Email, alert.Webhook}
	slices.SortStableFunc(h.messages, func(a, b message) int { // recipients do not wait for each other
		return cmp.Or(cmp.Compare(a.at.Truncate(time.Second), b.at.Truncate(time.Second)), cmp.Compare(a.who, b.who),
			cmp.Compare(slices.Index(rank, a.page.Contact.Channel), slices.Index(rank, b.page.Contact.Channel)))
	})
	return h.GetWorkflowError()
}

// ends runs the story, which ends well.
func (h *shop) ends() {
	h.t.Helper()
	h.must(h.run())
}

func (h *shop) alert(number int64) alert.Alert {
	h.t.Helper()
	a, err := h.s.Alert(h.t.Context(), "default", number)
	h.must(err)
	return a
}

// log is the alert's log: kinds and texts.
func (h *shop) log(number int64) string {
	h.t.Helper()
	entries, err := h.s.AlertLog(h.t.Context(), "default", number)
	h.must(err)
	var lines []string
	for _, e := range entries {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", short(e.At.Sub(h.began)), e.Kind, e.By, e.Channel, e.Text)))
	}
	return strings.Join(lines, "\n")
}

// logs fails the test unless the alert's log has a line with all the words.
func (h *shop) logs(number int64, words ...string) {
	h.t.Helper()
	text := h.log(number)
	for _, line := range strings.Split(text, "\n") {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return
		}
	}
	h.t.Errorf("no line of the log has %q:\n%s", words, text)
}

// transcript is who got what when.
func (h *shop) transcript() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var lines []string
	for _, m := range h.messages {
		lines = append(lines, m.String())
	}
	return strings.Join(lines, "\n")
}

// ordered puts what happened at one time in the order of its words: recipients do not wait for each other.
func ordered(text string) string {
	lines := strings.Split(text, "\n")
	slices.SortStableFunc(lines, func(a, b string) int {
		at, words, _ := strings.Cut(a, " ")
		other, others, _ := strings.Cut(b, " ")
		var x, y alert.Duration
		_, _ = x.UnmarshalText([]byte(at)), y.UnmarshalText([]byte(other))
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(words, others))
	})
	return strings.Join(lines, "\n")
}

// says compares who got what when with a text, whose lines are indented.
func (h *shop) says(want string) {
	h.t.Helper()
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		lines = append(lines, strings.TrimSpace(line))
	}
	got := h.transcript()
	if a, b := ordered(got), ordered(strings.Join(lines, "\n")); a != b {
		h.t.Errorf("what people got is\n%s\nnot\n%s\nThe log:\n%s", a, b, h.log(1))
	}
}

// Send is the phone: it takes the page, or fails as it was told to.
func (h *shop) Send(_ context.Context, p alert.Page) (alert.Receipt, error) {
	channel := string(p.Contact.Channel)
	who := cmp.Or(p.Contact.Person, p.Contact.Address)
	h.mu.Lock()
	do := h.during[who+" "+channel]
	delete(h.during, who+" "+channel)
	h.mu.Unlock()
	if do != nil {
		do()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range []string{who + " " + channel, channel} {
		if err := h.down[key]; err != nil {
			return alert.Receipt{}, err
		}
		if list := h.failing[key]; len(list) > 0 {
			h.failing[key] = list[1:]
			return alert.Receipt{}, list[0]
		}
	}
	h.receipts++
	m := message{at: h.now().Sub(h.began), who: who, page: p, receipt: fmt.Sprintf("receipt-%d", h.receipts)}
	h.messages = append(h.messages, m)
	return alert.Receipt{Channel: p.Contact.Channel, ID: m.receipt, State: alert.Sent, Confirm: h.confirms[channel], At: h.now()}, nil
}

func (h *shop) SendCode(context.Context, alert.CodeRequest) (alert.CodeSent, error) {
	return alert.CodeSent{}, nil
}

func (h *shop) SendText(context.Context, alert.Text) (alert.Receipt, error) {
	return alert.Receipt{}, nil
}

func (h *shop) Read(context.Context, alert.Callback) (alert.Meaning, error) {
	return alert.Meaning{}, nil
}

// report has a channel say later what became of the newest message to somebody.
func (h *shop) report(d time.Duration, who string, channel alert.Channel, state alert.Delivery, why string) {
	h.at(d, func() {
		h.mu.Lock()
		var last message
		for _, m := range h.messages {
			if m.who == who && m.page.Contact.Channel == channel {
				last = m
			}
		}
		h.mu.Unlock()
		h.SignalWorkflow(alert.ReceiptSignal, alert.PageReport{Key: last.page.Key, Receipt: alert.Receipt{Channel: channel, ID: last.receipt, State: state, Message: why, At: h.now()}})
	})
}

var reply = regexp.MustCompile(`^(\d+)([are])$`)

// replies answers an SMS, as the callback of a provider does: the number tells which alert.
func (p *someone) replies(d time.Duration, text string) *answer {
	a := &answer{}
	p.h.at(d, func() {
		words := reply.FindStringSubmatch(text)
		if words == nil {
			p.h.t.Errorf("%q is no reply", text)
			return
		}
		code, _ := strconv.Atoi(words[1])
		contacts, err := p.h.s.Contacts(p.h.t.Context(), p.name)
		p.h.must(err)
		i := slices.IndexFunc(contacts, func(c alert.Contact) bool { return c.Channel == alert.SMS })
		page, err := p.h.s.PageByCode(p.h.t.Context(), contacts[i].ID, code)
		if err != nil {
			a.Err = err
			return
		}
		do := map[string]string{"a": alert.AcknowledgeUpdate, "r": alert.ResolveUpdate, "e": alert.EscalateUpdate}[words[2]]
		p.h.do(a, do, alert.Command{Number: page.Alert, By: p.name, Via: alert.SMS})
	})
	return a
}

// next is the next message that the person got and the test has not looked at.
func (p *someone) next() (message, bool) {
	p.h.t.Helper()
	if !p.h.ran {
		p.h.t.Fatal("nothing has happened yet")
	}
	seen := 0
	for _, m := range p.h.messages {
		if m.who != p.name {
			continue
		}
		if seen++; seen > p.read {
			p.read++
			return m, true
		}
	}
	return message{}, false
}

func (p *someone) gets(channel alert.Channel, at time.Duration, kind alert.PageKind, words string) message {
	p.h.t.Helper()
	m, any := p.next()
	text := m.page.Content.Title + "\n" + strings.Join(m.page.Content.Lines, "\n")
	if !any || m.page.Contact.Channel != channel || m.at.Truncate(time.Second) != at || m.page.Kind != kind || !strings.Contains(text, words) {
		p.h.t.Errorf("%s gets %q (%s), not %s by %s with %q after %s; all got\n%s\nThe log:\n%s", p.name, m, text, kind, channel, words, short(at), p.h.transcript(), p.h.log(1))
	}
	return m
}

func (p *someone) GetsSlack(at time.Duration, words string) message {
	p.h.t.Helper()
	return p.gets(alert.Slack, at, alert.PageTrigger, words)
}

func (p *someone) GetsSMS(at time.Duration, words string) message {
	p.h.t.Helper()
	return p.gets(alert.SMS, at, alert.PageTrigger, words)
}

func (p *someone) GetsEmail(at time.Duration, words string) message {
	p.h.t.Helper()
	return p.gets(alert.Email, at, alert.PageTrigger, words)
}

// GetsNothing: no further message than those the test has looked at.
func (p *someone) GetsNothing() {
	p.h.t.Helper()
	if m, any := p.next(); any {
		p.h.t.Errorf("%s gets %q; all got\n%s\nThe log:\n%s", p.name, m, p.h.transcript(), p.h.log(1))
	}
}

// leaves is removed from the platform.
func (p *someone) leaves(d time.Duration) {
	p.h.at(d, func() {
		_, err := p.h.s.MoveUser(p.h.t.Context(), p.name, account.Suspended, "ada")
		p.h.must(err)
	})
}
