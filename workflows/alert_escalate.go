package workflows

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/alert"
)

// EscalateAlert owns the alerts of one group, one after the other: it pages who the rules say, step by step, until somebody acknowledges.
//
// It ends when none of the group's keys fires any more, or a person has closed the alert, and whoever was paged has been told. It is started
// by the first signals; what comes in while it ends begins the next alert. Signals that come twice count once. What fails is tried in
// another way, and then again, for as long as the alert is open: it never ends because a page could not be sent. Its commands are in
// alert_commands.go, how people are paged in alert_page.go.
func EscalateAlert(ctx workflow.Context, in alert.EscalateInput) error {
	e := &escalation{in: in, digests: workflow.GetSignalChannel(ctx, alert.DigestSignal),
		reports: workflow.GetSignalChannel(ctx, alert.ReceiptSignal), changes: workflow.GetSignalChannel(ctx, alert.RulesSignal)}
	e.state = &e.in.State
	err := take(ctx, alert.ProgressQuery, e.report, "Where the alert is, and what happens next", []command{
		{alert.AcknowledgeUpdate, e.acknowledge, e.mayBe(alert.AcknowledgeUpdate), "Stop paging: somebody has it"},
		{alert.ResolveUpdate, e.resolve, e.mayBe(alert.ResolveUpdate), "Close the alert"},
		{alert.SnoozeUpdate, e.snooze, e.mayBe(alert.SnoozeUpdate), "Stop paging for a while"},
		{alert.EscalateUpdate, e.escalate, e.mayBe(alert.EscalateUpdate), "Begin a step of the policy now"},
		{alert.AddNoteUpdate, e.addNote, e.mayBe(alert.AddNoteUpdate), "Write a note into the log"},
	})
	if err != nil {
		return err
	}
	return e.run(ctx)
}

// escalation is the state of one run of EscalateAlert.
type escalation struct {
	in    alert.EscalateInput
	state *alert.State // of in: carried over

	digests, reports, changes workflow.ReceiveChannel

	next       *alert.Digest   // what came in after the alert ended: the next one's beginning
	fired      bool            // a key began to fire since the last alert
	joined     int64           // signals since the last record
	entries    []alert.Entry   // lines of the log that are not recorded yet
	news       bool            // the record is out of date
	recordedAt time.Time       // when it was written last
	claimed    string          // a source says that somebody has it
	changed    bool            // what plans are made of has changed
	worse      bool            // the severity rose
	early      []alert.Receipt // what channels said of pages whose sending has not returned yet

	flow        int // grows when whoever is being paged no longer is: what began before comes to nothing
	sends       workflow.Context
	cancelSends workflow.CancelFunc
	sending     int  // pages being sent
	telling     int  // messages on how the alert went on, being sent
	stirred     bool // something happened that the loop has not looked at
	alarm       alarm
}

// run is the loop: hear what came in, do what is due, record it, rest.
func (e *escalation) run(ctx workflow.Context) error {
	for {
		e.stirred = false
		e.hear(ctx)
		a := &e.state.Alert
		switch {
		case a.Number == 0:
			began, err := e.open(ctx)
			if err != nil || !began && !e.stirs() {
				return err
			}
			if !began { // an alert that has ended knew of it; what came in since may be new
				e.forget()
				continue
			}
		case a.Status.Final():
			again, err := e.end(ctx)
			if err != nil || !again {
				return err
			}
			continue
		}
		e.act(ctx)
		e.recordIfDue(ctx)
		if a.Status.Final() {
			continue
		}
		if e.mayContinueAsNew(ctx) {
			return workflow.NewContinueAsNewError(ctx, EscalateAlert, e.in)
		}
		if err := e.rest(ctx); err != nil {
			return err
		}
	}
}

// mayContinueAsNew: no page is being sent, no command is at work, and nothing has come in that the next run would not know of.
func (e *escalation) mayContinueAsNew(ctx workflow.Context) bool {
	if !workflow.GetInfo(ctx).GetContinueAsNewSuggested() || e.sending+e.telling > 0 || e.changed || e.stirs() || !workflow.AllHandlersFinished(ctx) {
		return false
	}
	if e.joined > 0 {
		e.record(ctx)
	}
	return !e.stirs() && workflow.AllHandlersFinished(ctx)
}

func (e *escalation) stirs() bool {
	return e.stirred || e.digests.Len()+e.reports.Len()+e.changes.Len() > 0
}

// hear takes in all signals that are there.
func (e *escalation) hear(ctx workflow.Context) {
	for {
		var d alert.Digest
		if !e.digests.ReceiveAsync(&d) {
			break
		}
		e.take(ctx, d)
	}
	for {
		var r alert.PageReport
		if !e.reports.ReceiveAsync(&r) {
			break
		}
		e.reported(ctx, r)
	}
	for e.changes.ReceiveAsync(nil) {
		e.changed = true
	}
}

// take takes in what came in of the group's keys. A repetition counts once; what comes after the end is for the next alert.
func (e *escalation) take(ctx workflow.Context, d alert.Digest) {
	s := e.state
	if d.Upto <= s.Upto || e.next != nil && d.Upto <= e.next.Upto {
		return
	}
	signals := d.Signals
	if d.After == s.After {
		d.Signals -= s.Counted
	}
	s.After, s.Counted = d.After, signals
	if s.Alert.Status.Final() {
		switch {
		case e.next != nil:
			d.Signals, d.Fired, d.FirstAt = d.Signals+e.next.Signals, d.Fired+e.next.Fired, e.next.FirstAt
			e.next = &d
		case d.Firing > 0 || d.Fired > 0:
			e.next = &d
		default:
			s.Upto = d.Upto
		}
		return
	}
	e.takeIn(ctx, d)
}

// forget forgets the alert, for the group's next one.
func (e *escalation) forget() {
	s := e.state
	*s, e.fired = alert.State{Upto: s.Upto, After: s.After, Counted: s.Counted, Answers: s.Answers}, false
}

// takeIn takes in what is of the current alert.
func (e *escalation) takeIn(ctx workflow.Context, d alert.Digest) {
	s := e.state
	a := &s.Alert
	s.Upto, a.Upto = d.Upto, d.Upto
	e.joined += d.Signals
	a.Signals += d.Signals
	if a.Number == 0 {
		a.Drill = d.Drill
		if a.StartedAt.IsZero() {
			a.StartedAt = d.FirstAt
		}
	}
	before := *a
	a.Firing, s.Samples = d.Firing, d.Samples
	e.claimed = cmp.Or(d.Acknowledged, e.claimed)
	if e.fired = e.fired || d.Fired > 0; a.Number == 0 && e.fired {
		e.characterize()
	}
	if a.Firing == 0 {
		if s.ResolveAt.IsZero() {
			s.ResolveAt = workflow.Now(ctx).UTC().Add(time.Duration(e.resolveIn()))
		}
		return
	}
	s.ResolveAt = time.Time{}
	e.characterize()
	if a.Number != 0 && slices.Index(alert.Severities, a.Severity) < slices.Index(alert.Severities, before.Severity) {
		e.worse, e.changed, e.news = true, true, true
	}
	if before.Firing != a.Firing || before.Severity != a.Severity || before.Title != a.Title {
		e.planUpdate(ctx)
	}
}

// characterize takes the alert's title, severity and service from the worst of its firing keys.
func (e *escalation) characterize() {
	a := &e.state.Alert
	if len(e.state.Samples) == 0 {
		a.Title, a.Severity = cmp.Or(a.Title, "an alert of route "+e.in.Group.Route), cmp.Or(a.Severity, alert.Error)
		return
	}
	worst := e.state.Samples[0]
	a.Title, a.Severity, a.Service = cmp.Or(worst.Summary, worst.DedupKey), cmp.Or(worst.Severity, alert.Error), cmp.Or(worst.Service, a.Service)
}

func (e *escalation) resolveIn() alert.Duration {
	if p := e.state.Plan; p != nil {
		return p.ResolveIn
	}
	return e.in.Rules.ResolveIn
}

// open begins an alert, if a key fires and no alert knew of it. One that fired and ended before it was told of here is an alert, too: it is
// recorded, and nobody is paged for what is over.
func (e *escalation) open(ctx workflow.Context) (bool, error) {
	heard := func() bool { return e.digests.Len() > 0 }
	if e.state.Upto == 0 && !heard() { // started by hand: nobody may ever signal
		if _, err := workflow.AwaitWithTimeout(ctx, time.Minute, heard); err != nil {
			return false, err
		}
		e.hear(ctx)
	}
	s, now := e.state, workflow.Now(ctx).UTC()
	a := &s.Alert
	if a.Firing == 0 && !e.fired {
		return false, nil
	}
	a.Project, a.Group, a.Route, a.Labels, a.Status = e.in.Group.Project, e.in.Hash, e.in.Group.Route, e.in.Group.Labels, alert.Open
	if a.StartedAt.IsZero() {
		a.StartedAt = now
	}
	a.UpdatedAt, a.Urgency = now, cmp.Or(e.in.Rules.Urgency, alert.High)
	var opened alert.Opened
	opening := alert.Opening{Group: e.in.Group, Hash: e.in.Hash, First: s.Upto, Alert: *a}
	if err := inStore(ctx, "Give the alert its number", alerts.OpenAlert, opening).Get(ctx, &opened); err != nil {
		return false, err
	}
	if opened.Stale {
		return false, nil
	}
	if a.Number = opened.Number; opened.Found != nil {
		e.adopt(*opened.Found)
	} else {
		e.log(ctx, alert.Entry{Kind: alert.LogTriggered, Text: a.Title})
	}
	e.joined, e.news = 0, true
	if a.Status == alert.Open || a.Status == alert.Suppressed {
		e.outline(ctx)
	}
	return true, nil
}

// adopt goes on with an alert whose workflow was lost: what is known of it holds, but for what its keys say now.
func (e *escalation) adopt(found alert.Alert) {
	now := e.state.Alert
	a := &e.state.Alert
	*a = found
	a.Firing, a.Title, a.Severity, a.Service, a.Upto, a.Signals = now.Firing, now.Title, now.Severity, now.Service, now.Upto, found.Signals+now.Signals
	if a.Status == alert.Suppressed {
		a.Status = alert.Open
	}
	a.Step, a.Round, a.NextAt = 0, 0, time.Time{}
}

// outline asks what the rules make of the alert before anybody is paged: whether somebody is, and when that begins.
func (e *escalation) outline(ctx workflow.Context) {
	s := e.state
	e.beginAnew(s.Alert.StartedAt)
	plan, ok := e.plan(ctx, alert.Position{Step: 0, Round: 1})
	if !ok {
		return
	}
	e.adhere(plan)
	switch {
	case plan.Suppressed != "":
		e.suppress(ctx, plan)
	case plan.Next == nil:
		s.Alert.NextAt, s.Next = time.Time{}, alert.Position{}
		e.logProblems(ctx, plan)
	default:
		s.Alert.NextAt = s.Alert.StartedAt.Add(time.Duration(max(e.in.Rules.Wait, *plan.Next)))
	}
}

// beginAnew has the policy begin with its first step at that time.
func (e *escalation) beginAnew(at time.Time) {
	s := e.state
	s.Alert.Step, s.Alert.Round, s.Alert.NextAt, s.Next = 0, 0, at, alert.Position{Step: 1, Round: 1}
	s.Course = alert.Course{Retries: s.Course.Retries}
	e.news = true
}

// adhere notes what the plan says beside whom to page.
func (e *escalation) adhere(plan alert.Plan) {
	e.state.Plan = &plan
	e.state.Plan.Recipients = nil // in the chases
	e.state.Alert.Policy, e.state.Alert.Urgency = plan.Policy, plan.Urgency
	e.news = true
}

// plan asks for the plan of a step. One that cannot be had is asked for again in a while. What a command has overtaken comes to nothing.
func (e *escalation) plan(ctx workflow.Context, at alert.Position) (plan alert.Plan, ok bool) {
	flow, now := e.flow, workflow.Now(ctx).UTC()
	in := alert.PlanInput{Alert: e.state.Alert, Labels: e.labels(), Step: at.Step, Round: at.Round, At: now}
	err := inStore(ctx, fmt.Sprintf("Plan step %d", at.Step), alerts.PlanStep, in).Get(ctx, &plan)
	switch {
	case e.flow != flow || e.state.Alert.Status.Final():
		return plan, false
	case err != nil:
		e.log(ctx, alert.Entry{Kind: alert.LogSkipped, Text: fmt.Sprintf("step %d cannot be planned: %s", at.Step, words(err))})
		e.state.Alert.NextAt, e.state.Next = now.Add(planLimit), alert.Position{Step: max(at.Step, 1), Round: at.Round}
	}
	return plan, err == nil
}

// labels are the group's and those of the worst firing key, as rules match them.
func (e *escalation) labels() map[string]string {
	all := map[string]string{}
	if len(e.state.Samples) > 0 {
		maps.Copy(all, e.state.Samples[0].Labels) //workflowcheck:ignore (in any order a copy is the same)
		all["source"] = string(e.state.Samples[0].Source)
	}
	maps.Copy(all, e.in.Group.Labels) //workflowcheck:ignore (in any order a copy is the same)
	a := e.state.Alert
	all["project"], all["severity"] = e.in.Group.Project, string(a.Severity)
	if a.Service != "" {
		all["service"] = a.Service
	}
	return all
}

// act does what is due. While no key fires nobody is paged.
func (e *escalation) act(ctx workflow.Context) {
	s := e.state
	a := &s.Alert
	if a.Firing == 0 {
		if e.due(ctx, s.ResolveAt) {
			e.finish(ctx, alert.Resolved, "", "")
		}
		return
	}
	if claimed := e.claimed; claimed != "" {
		e.claimed = ""
		if a.Status == alert.Open || a.Status == alert.Suppressed {
			e.acknowledged(ctx, claimed, 0, "")
		}
	}
	if (a.Status == alert.Acknowledged || a.Status == alert.Snoozed) && e.due(ctx, a.Until) {
		e.expire(ctx)
	}
	changed, worse := e.changed, e.worse
	e.changed, e.worse = false, false
	switch {
	case !changed:
	case a.Status == alert.Suppressed:
		a.NextAt = workflow.Now(ctx).UTC()
	case a.Status == alert.Open:
		e.review(ctx, worse)
	}
	if (a.Status == alert.Open || a.Status == alert.Suppressed) && e.due(ctx, a.NextAt) {
		e.begin(ctx, s.Next)
	}
	if a.Status == alert.Open {
		e.pursue(ctx)
		e.exhaust(ctx)
	}
	if e.due(ctx, s.UpdateAt) {
		e.update(ctx)
	}
}

// due reports whether a time has come. Zero never does.
func (e *escalation) due(ctx workflow.Context, at time.Time) bool {
	return !at.IsZero() && !at.After(workflow.Now(ctx))
}

// review decides anew about an open alert, because what plans are made of has changed, or its severity rose. A step that has begun stays as
// it is, unless nobody whom it paged is there any more: then the next one begins. An alert that nobody was to be paged for, or that has
// another policy now, begins with the first step.
func (e *escalation) review(ctx workflow.Context, worse bool) {
	s := e.state
	at := alert.Position{Step: s.Alert.Step, Round: max(s.Alert.Round, 1)}
	plan, ok := e.plan(ctx, at)
	if !ok {
		return
	}
	was := s.Plan
	switch {
	case plan.Suppressed != "":
		s.Next = alert.Position{Step: max(at.Step, 1), Round: at.Round}
		e.suppress(ctx, plan)
	case plan.Record || plan.Steps == 0:
		if s.Alert.Step == 0 {
			e.adhere(plan)
		}
	case was == nil || was.Record || was.Steps == 0 || !s.Course.Reached && s.Course.Exhausted || worse && was.Policy != plan.Policy:
		e.stop()
		e.adhere(plan)
		e.beginAnew(workflow.Now(ctx).UTC())
	case at.Step > 0 && len(plan.Recipients) == 0 && plan.Next != nil && !plan.NextRound:
		s.Alert.NextAt, e.news = workflow.Now(ctx).UTC(), true
	}
}

// suppress holds whoever is being paged until the rules say otherwise.
func (e *escalation) suppress(ctx workflow.Context, plan alert.Plan) {
	a := &e.state.Alert
	now := workflow.Now(ctx).UTC()
	if a.Status != alert.Suppressed {
		e.stop()
		e.log(ctx, alert.Entry{Kind: alert.LogSuppressed, Text: plan.Suppressed})
	}
	a.Status, a.NextAt, e.news = alert.Suppressed, plan.Until.UTC(), true
	if !plan.Until.After(now) {
		a.NextAt = now.Add(inhibitLimit)
	}
	e.adhere(plan)
}

// stop ends the paging of everybody at once. A page that is being sent is waited for and accounted for, but by nobody here.
func (e *escalation) stop() {
	e.flow++
	if e.sends != nil {
		e.cancelSends()
	}
	e.sends = nil
	e.state.Chases, e.early = nil, nil
	e.stirred = true
}

// begin begins a step of the policy, as the rules are now.
func (e *escalation) begin(ctx workflow.Context, at alert.Position) {
	plan, ok := e.plan(ctx, at)
	if !ok {
		return
	}
	s := e.state
	recipients := plan.Recipients
	e.adhere(plan)
	switch {
	case plan.Suppressed != "":
		e.suppress(ctx, plan)
		return
	case plan.Record:
		s.Alert.Status, s.Alert.NextAt, s.Next = alert.Open, time.Time{}, alert.Position{}
		return
	}
	s.Begun++
	s.Course.Exhausted = false
	s.Alert.Status, s.Alert.Step, s.Alert.Round = alert.Open, at.Step, at.Round
	e.log(ctx, alert.Entry{Kind: alert.LogEscalated, Text: stepText(at, plan, recipients)})
	e.logProblems(ctx, plan)
	for _, r := range recipients {
		e.chase(ctx, r)
	}
	s.Alert.NextAt, s.Next = time.Time{}, alert.Position{}
	if plan.Next != nil {
		s.Alert.NextAt = workflow.Now(ctx).UTC().Add(time.Duration(*plan.Next))
		s.Next = alert.Position{Step: at.Step + 1, Round: at.Round}
		if plan.NextRound {
			s.Next = alert.Position{Step: 1, Round: at.Round + 1}
		}
	}
}

func (e *escalation) logProblems(ctx workflow.Context, plan alert.Plan) {
	for _, p := range plan.Problems {
		e.log(ctx, alert.Entry{Kind: alert.LogSkipped, Text: p})
	}
}

func stepText(at alert.Position, plan alert.Plan, recipients []alert.Recipient) string {
	text := fmt.Sprintf("step %d of %d", at.Step, plan.Steps)
	if at.Round > 1 {
		text += fmt.Sprintf(", round %d", at.Round)
	}
	var names []string
	for _, r := range recipients {
		names = append(names, r.Name)
	}
	if len(names) == 0 {
		return text + ": reaches nobody"
	}
	return text + ": " + strings.Join(names, ", ")
}

// exhaust notes that the policy has no further step and nobody is being paged. Where it reached nobody at all it begins anew after a while:
// an alert is never left with nobody who knows of it.
func (e *escalation) exhaust(ctx workflow.Context) {
	s := e.state
	p := s.Plan
	if p == nil || p.Record || p.Steps == 0 || s.Alert.Step == 0 || !s.Alert.NextAt.IsZero() || s.Course.Exhausted || slices.ContainsFunc(s.Chases, underway) {
		return
	}
	s.Course.Exhausted = true
	text := fmt.Sprintf("policy %s has no further step, and nobody has acknowledged", p.Policy)
	if !s.Course.Reached {
		at := workflow.Now(ctx).UTC().Add(courseBackoff(s.Course.Retries))
		s.Course.Retries++
		text = fmt.Sprintf("policy %s reached nobody; it begins again at %s", p.Policy, at.Format(time.RFC3339))
		s.Alert.NextAt, s.Next = at, alert.Position{Step: 1, Round: 1}
	}
	e.log(ctx, alert.Entry{Kind: alert.LogExhausted, Text: text})
}

// expire opens an alert again whose acknowledgement or snooze is over: paging begins with the first step.
func (e *escalation) expire(ctx workflow.Context) {
	a := &e.state.Alert
	text := "the snooze is over"
	if a.Status == alert.Acknowledged {
		text = "the acknowledgement of " + a.AcknowledgedBy + " has expired"
	}
	e.log(ctx, alert.Entry{Kind: alert.LogExpired, Text: text + "; paging begins anew"})
	a.Status, a.Until, a.AcknowledgedBy = alert.Open, time.Time{}, ""
	e.stop()
	e.beginAnew(workflow.Now(ctx).UTC())
}

// finish ends the alert, and begins to tell whoever was paged.
func (e *escalation) finish(ctx workflow.Context, status alert.Status, by, comment string) {
	a := &e.state.Alert
	kind, text := alert.LogResolved, "no key fires any more"
	if status == alert.Closed {
		kind, text = alert.LogClosed, comment
	}
	e.stop()
	a.Status, a.EndedAt, a.NextAt, a.Until = status, workflow.Now(ctx).UTC(), time.Time{}, time.Time{}
	e.state.UpdateAt, e.state.Next = time.Time{}, alert.Position{}
	e.log(ctx, alert.Entry{Kind: kind, By: by, Text: text})
	e.tellAll(ctx, alert.PageResolved, by)
}

// end waits until all is said of an alert that has ended. It reports whether another one begins: what has come in is not lost.
func (e *escalation) end(ctx workflow.Context) (again bool, err error) {
	e.record(ctx)
	e.describe(ctx)
	for {
		over := func() bool { return e.telling == 0 && workflow.AllHandlersFinished(ctx) }
		err := workflow.Await(ctx, func() bool { return e.sending == 0 && (e.stirs() || e.next != nil || over()) })
		if err != nil {
			return false, err
		}
		e.stirred = false
		e.hear(ctx)
		if len(e.entries) > 0 {
			e.record(ctx)
			continue
		}
		switch {
		case e.next != nil && e.sending == 0:
			d := *e.next
			e.next, e.joined, e.claimed, e.changed, e.worse = nil, 0, "", false, false
			e.forget()
			e.takeIn(ctx, d)
			return true, nil
		case e.sending == 0 && over() && !e.stirs():
			return false, nil
		}
	}
}

// alarm is one timer, kept for as long as what is due next stays the same: signals that change nothing cost no timers.
type alarm struct {
	at     time.Time
	rings  workflow.Future
	cancel workflow.CancelFunc
}

// rest waits until something is due or comes in.
func (e *escalation) rest(ctx workflow.Context) error {
	at := e.earliest()
	if e.alarm.rings != nil && (!e.alarm.at.Equal(at) || e.alarm.rings.IsReady()) {
		e.alarm.cancel()
		e.alarm = alarm{}
	}
	if e.alarm.rings == nil && !at.IsZero() {
		limited, cancel := workflow.WithCancel(ctx)
		wait := max(at.Sub(workflow.Now(ctx)), 0)
		if wait == 0 || e.stirs() {
			cancel()
			return nil
		}
		e.alarm = alarm{at: at, cancel: cancel, rings: workflow.NewTimerWithOptions(limited, wait, workflow.TimerOptions{Summary: cmp.Or(e.message(), "what is due next")})}
	}
	return workflow.Await(ctx, func() bool { return e.stirs() || e.alarm.rings != nil && e.alarm.rings.IsReady() })
}

// earliest is when something is due by itself; zero when nothing is.
func (e *escalation) earliest() (first time.Time) {
	s := e.state
	a := s.Alert
	consider := func(at time.Time) {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if e.joined > 0 {
		consider(e.recordedAt.Add(joinedEvery))
	}
	if a.Firing == 0 {
		consider(s.ResolveAt)
		return first
	}
	consider(a.NextAt)
	consider(a.Until)
	consider(s.UpdateAt)
	if a.Status != alert.Open {
		return first
	}
	for _, c := range s.Chases {
		if c.Tried < len(c.Recipient.Hops) {
			consider(c.At)
		}
		for _, send := range c.Sends {
			consider(send.Deadline)
		}
	}
	return first
}
