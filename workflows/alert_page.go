package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/queue"
)

// chase begins to page a recipient of a step. Who is still being paged for an earlier step is paged for this one from now on.
func (e *escalation) chase(ctx workflow.Context, r alert.Recipient) {
	if len(r.Hops) == 0 {
		return
	}
	s := e.state
	s.Chases = slices.DeleteFunc(s.Chases, func(c *alert.Chase) bool { return c.Recipient.Name == r.Name || !underway(c) })
	s.Chases = append(s.Chases, &alert.Chase{Key: alert.PageKey(s.Alert.Project, s.Alert.Number, alert.PageTrigger, s.Begun, r.Name), Recipient: r,
		At: workflow.Now(ctx).UTC().Add(time.Duration(r.Hops[0].After))})
}

// underway reports whether something is still to happen in a chase by itself.
func underway(c *alert.Chase) bool {
	return c.Tried < len(c.Recipient.Hops) || slices.ContainsFunc(c.Sends, func(s alert.Send) bool { return s.State == alert.Sending || !s.Deadline.IsZero() })
}

// pursue pages whoever is to be paged now. The next contact is used when the one before has not brought an answer in time, whatever came of
// it, and at once where it failed: so a channel that hangs delays no other. Recipients do not wait for each other.
func (e *escalation) pursue(ctx workflow.Context) {
	now := workflow.Now(ctx).UTC()
	for _, c := range e.state.Chases {
		for i := range c.Sends {
			if e.due(ctx, c.Sends[i].Deadline) {
				e.unconfirmed(ctx, c, &c.Sends[i])
			}
		}
		for hops := c.Recipient.Hops; c.Tried < len(hops) && e.due(ctx, c.At); {
			c.Sends = append(c.Sends, alert.Send{Hop: c.Tried, State: alert.Sending})
			c.Tried++
			if c.Tried < len(hops) {
				c.At = now.Add(time.Duration(hops[c.Tried].After))
			}
			e.send(ctx, c, c.Tried-1)
		}
		if !underway(c) {
			e.retry(ctx, c)
		}
	}
}

// retry has all contacts of a recipient tried again after a while, if each of them failed. Where nothing was to be sent to them, nothing is
// tried again: the next step is.
func (e *escalation) retry(ctx workflow.Context, c *alert.Chase) {
	reached := slices.ContainsFunc(c.Sends, func(s alert.Send) bool { return s.State == alert.Sent || s.State == alert.Delivered })
	failed := slices.ContainsFunc(c.Sends, func(s alert.Send) bool { return s.State == alert.Failed })
	if reached || !failed {
		return
	}
	pause := pageBackoff(c.Attempts)
	c.Attempts++
	c.Tried, c.Sends, c.At = 0, nil, workflow.Now(ctx).UTC().Add(pause)
	e.log(ctx, alert.Entry{Kind: alert.LogFailed, By: c.Recipient.Name, Page: c.Key,
		Text: fmt.Sprintf("every way to reach %s failed, at last: %s; tried again in %s", c.Recipient.Name, c.Failure, alert.Duration(pause))})
}

// failed notes that a hop failed: the next one begins at once.
func (e *escalation) failed(ctx workflow.Context, c *alert.Chase, s *alert.Send, why string) {
	s.State, s.Deadline, c.Failure = alert.Failed, time.Time{}, why
	e.hurry(ctx, c)
}

// hurry has the next hop begin now.
func (e *escalation) hurry(ctx workflow.Context, c *alert.Chase) {
	if now := workflow.Now(ctx).UTC(); c.Tried > 0 && c.Tried < len(c.Recipient.Hops) && c.At.After(now) {
		c.At = now
	}
}

// unconfirmed: the channel said that it would confirm that the page arrived, and has not.
func (e *escalation) unconfirmed(ctx workflow.Context, c *alert.Chase, s *alert.Send) {
	contact := c.Recipient.Hops[s.Hop].Contact
	why := fmt.Sprintf("%s did not confirm within %s that it arrived", contact.Channel, confirmLimit)
	e.failed(ctx, c, s, why)
	e.log(ctx, alert.Entry{Kind: alert.LogFailed, By: c.Recipient.Name, Channel: contact.Channel, Page: c.Key, Receipt: s.Receipt, Text: why})
	e.recordReport(ctx, c, s, alert.Receipt{State: alert.Failed, Message: why})
}

// recordReport writes what is known of a page since it was sent.
func (e *escalation) recordReport(ctx workflow.Context, c *alert.Chase, s *alert.Send, r alert.Receipt) {
	contact := c.Recipient.Hops[s.Hop].Contact
	row := e.row(ctx, alert.Page{Key: c.Key, Kind: alert.PageTrigger, Contact: contact}, e.personOf(c.Recipient, contact))
	row.State, row.Receipt, row.Message = r.State, s.Receipt, r.Message
	e.recordPage(ctx, row)
}

// recordPage writes what came of a page, without waiting for it: the loop goes on.
func (e *escalation) recordPage(ctx workflow.Context, row alert.PageRow) {
	e.sending++
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer e.sent()
		e.complain(ctx, inStore(ctx, "Record page as "+string(row.State), alerts.RecordPage, row).Get(ctx, nil))
	})
}

func (e *escalation) sent() {
	e.sending--
	e.stirred = true
}

// complain logs what the store refuses for good: no alert ends for it.
func (e *escalation) complain(ctx workflow.Context, err error) {
	if err != nil && ctx.Err() == nil {
		workflow.GetLogger(ctx).Error("the store refuses what came of an alert", "alert", e.state.Alert.Number, "error", err)
	}
}

// personOf is the user who reads a contact; "" of a policy's target.
func (e *escalation) personOf(r alert.Recipient, c alert.Contact) string {
	if c.ID == "" {
		return ""
	}
	return cmp.Or(c.Person, r.Name)
}

// row is a page as the store keeps it, being sent.
func (e *escalation) row(ctx workflow.Context, p alert.Page, person string) alert.PageRow {
	now := workflow.Now(ctx).UTC()
	return alert.PageRow{Key: p.Key, Project: e.in.Group.Project, Alert: cmp.Or(p.Alert, e.state.Alert.Number), Person: person, Channel: p.Contact.Channel,
		Contact: p.Contact.Name(), Kind: p.Kind, State: alert.Sending, Code: p.Code, BeganAt: now, UpdateAt: now}
}

// send sends one hop's page, and notes what came of it.
func (e *escalation) send(ctx workflow.Context, c *alert.Chase, hop int) {
	if e.sends == nil {
		e.sends, e.cancelSends = workflow.WithCancel(ctx)
	}
	contact, sends, flow := c.Recipient.Hops[hop].Contact, e.sends, e.flow
	page := e.page(ctx, alert.PageTrigger, c.Key, contact)
	if before := e.told(contact); before != nil {
		page.Previous = &before.Receipt
	}
	e.sending++
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer e.sent()
		out := e.deliver(ctx, paging(sends, fmt.Sprintf("Page %s by %s", c.Recipient.Name, contact.Channel)), page, e.personOf(c.Recipient, contact))
		e.account(ctx, page, c.Recipient.Name, out)
		if e.flow != flow {
			e.overtaken(ctx, c.Recipient.Name, contact, out)
			return
		}
		e.settle(ctx, c, &c.Sends[slices.IndexFunc(c.Sends, func(s alert.Send) bool { return s.Hop == hop })], out)
	})
}

// page is a page of the alert as it is now.
func (e *escalation) page(ctx workflow.Context, kind alert.PageKind, key string, contact alert.Contact) alert.Page {
	a := e.state.Alert
	return alert.Page{Key: key, Project: a.Project, Alert: a.Number, Kind: kind, Contact: contact, Content: e.content(ctx)}
}

// content is what pages say of the alert now.
func (e *escalation) content(ctx workflow.Context) alert.Content {
	a := e.state.Alert
	c := alert.Content{Title: a.Title, Severity: a.Severity, Status: a.Status, Labels: a.Labels, Firing: a.Firing, Drill: a.Drill, At: workflow.Now(ctx).UTC()}
	if all := e.state.Samples; len(all) == 1 && a.Firing <= 1 && all[0].URL == "" && all[0].Summary == a.Title {
		return c // a line would say the title again
	}
	for _, s := range e.state.Samples[:min(len(e.state.Samples), alert.MaxLines)] {
		line := fmt.Sprintf("%s: %s", s.Severity, cmp.Or(s.Summary, s.DedupKey))
		if s.URL != "" {
			line += " " + s.URL
		}
		c.Lines = append(c.Lines, line)
	}
	c.More = max(0, a.Firing-len(c.Lines))
	return c
}

// outcome is what came of a page.
type outcome struct {
	state   alert.Delivery // Sent, Delivered, Failed, Skipped
	receipt alert.Receipt
	why     string // Failed, Skipped
}

// deliver asks whether a page may be sent now, sends it, and records what came of it. sending is the class of the call; when that is cancelled
// the page is not sent, unless it is already under way.
func (e *escalation) deliver(ctx, sending workflow.Context, p alert.Page, person string) outcome {
	now := workflow.Now(ctx).UTC()
	var d alert.PageDecision
	request := alert.PageRequest{Page: p, Person: person, Labels: e.labels(), At: now}
	if err := inStore(ctx, "Decide whether to page", alerts.BeginPage, request).Get(ctx, &d); err != nil {
		return outcome{state: alert.Failed, why: words(err)}
	}
	switch {
	case d.Receipt != nil:
		return outcome{state: d.Receipt.State, receipt: *d.Receipt}
	case !d.Send:
		return outcome{state: alert.Skipped, why: d.Why}
	}
	p.Code, p.Again = d.Code, d.Again
	var out outcome
	if err := workflow.ExecuteActivity(sending, pages.SendPage, p).Get(ctx, &out.receipt); err != nil {
		out.state, out.why = alert.Failed, pageWords(err)
		e.refuse(ctx, p.Contact, err)
		if temporal.IsCanceledError(err) {
			out.state, out.why = alert.Skipped, "somebody acted before it was sent"
		}
	} else if out.state = cmp.Or(out.receipt.State, alert.Sent); out.state == alert.Failed {
		out.why = cmp.Or(out.receipt.Message, "the provider refused it")
	}
	row := e.row(ctx, p, person)
	row.State, row.Receipt, row.Message = out.state, out.receipt.ID, out.why
	e.complain(ctx, inStore(ctx, "Record page as "+string(out.state), alerts.RecordPage, row).Get(ctx, nil))
	return out
}

// refuse makes a contact pending whose channel says that there is no such address: it must be verified again before it is used.
func (e *escalation) refuse(ctx workflow.Context, c alert.Contact, err error) {
	var app *temporal.ApplicationError
	if c.ID == "" || !errors.As(err, &app) || app.Type() != string(fault.NotFound) {
		return
	}
	in := alert.Refusal{Contact: c.ID, Why: app.Message()}
	e.complain(ctx, inStore(ctx, "Have the contact verified again", callbacks.RefuseContact, in).Get(ctx, nil))
}

// pageWords say why a page was not sent. That no worker took it is said of the queue.
func pageWords(err error) string {
	var timeout *temporal.TimeoutError
	if errors.As(err, &timeout) && timeout.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START {
		return "nobody serves the queue " + queue.Pages
	}
	return words(err)
}

// account writes what came of a page into the log, and remembers who was paged.
func (e *escalation) account(ctx workflow.Context, p alert.Page, name string, out outcome) {
	line := alert.Entry{By: name, Channel: p.Contact.Channel, Page: p.Key, Receipt: out.receipt.ID, Text: out.why}
	switch out.state {
	case alert.Skipped:
		line.Kind = alert.LogSkipped
	case alert.Failed:
		line.Kind = alert.LogFailed
	default:
		line.Kind = alert.LogPaged
		e.state.Alert.Pages++
		e.state.Course.Reached, e.state.Course.Retries = true, 0
		e.remember(alert.Told{Person: e.personOf(alert.Recipient{Name: name}, p.Contact), Contact: p.Contact, Receipt: out.receipt})
	}
	e.log(ctx, line)
}

// remember notes who is to be told how the alert goes on: each contact once. Of several messages to one the first is brought up to date, and
// the others are answers in its thread, where a channel has threads.
func (e *escalation) remember(t alert.Told) {
	if e.told(t.Contact) == nil {
		e.state.Paged = append(e.state.Paged, t)
	}
}

// told is what a contact got first of the alert; nil when it got nothing.
func (e *escalation) told(c alert.Contact) *alert.Told {
	i := slices.IndexFunc(e.state.Paged, func(t alert.Told) bool { return t.Contact.Channel == c.Channel && t.Contact.Address == c.Address })
	if i < 0 {
		return nil
	}
	return &e.state.Paged[i]
}

// settle notes in the chase what came of one hop.
func (e *escalation) settle(ctx workflow.Context, c *alert.Chase, s *alert.Send, out outcome) {
	s.State, s.Receipt = out.state, out.receipt.ID
	switch out.state {
	case alert.Failed:
		e.failed(ctx, c, s, out.why)
	case alert.Skipped:
		e.hurry(ctx, c)
	case alert.Sent:
		if out.receipt.Confirm {
			s.Deadline = workflow.Now(ctx).UTC().Add(confirmLimit)
		}
		for _, r := range e.early {
			if r.ID == s.Receipt {
				e.confirm(ctx, c, s, r)
				e.recordReport(ctx, c, s, r)
			}
		}
	}
}

// confirm notes what a channel says later of one hop's page. One that was given up and arrived after all has arrived.
func (e *escalation) confirm(ctx workflow.Context, c *alert.Chase, s *alert.Send, r alert.Receipt) {
	switch {
	case r.State == alert.Delivered:
		s.State, s.Deadline = alert.Delivered, time.Time{}
	case r.State == alert.Failed && s.State == alert.Sent:
		e.failed(ctx, c, s, cmp.Or(r.Message, "it did not arrive"))
	}
}

// reported takes in what a channel says of a page that it took.
func (e *escalation) reported(ctx workflow.Context, in alert.PageReport) {
	r := in.Receipt
	if r.State != alert.Delivered && r.State != alert.Failed {
		return
	}
	e.sending++
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer e.sent()
		e.complain(ctx, inStore(ctx, "Record what became of a page", alerts.ReportPage, in).Get(ctx, nil))
	})
	if _, number, err := alert.AlertOf(in.Key); err != nil || number != e.state.Alert.Number {
		return
	}
	kind := alert.LogDelivered
	if r.State == alert.Failed {
		kind = alert.LogFailed
	}
	e.log(ctx, alert.Entry{Kind: kind, By: e.recipientOf(in.Key, r), Channel: r.Channel, Page: in.Key, Receipt: r.ID, Text: r.Message})
	for _, c := range e.state.Chases {
		if i := slices.IndexFunc(c.Sends, func(s alert.Send) bool { return r.ID != "" && s.Receipt == r.ID }); i >= 0 {
			e.confirm(ctx, c, &c.Sends[i], r)
			return
		}
	}
	if len(e.state.Chases) > 0 && len(e.early) < remembered {
		e.early = append(e.early, r)
	}
}

// recipientOf is who was paged with that receipt and key.
func (e *escalation) recipientOf(key string, r alert.Receipt) string {
	for _, t := range e.state.Paged {
		if t.Receipt.ID == r.ID {
			return cmp.Or(t.Person, t.Contact.Name())
		}
	}
	return alert.RecipientOf(key) // of what told them how the alert went on, no receipt is kept
}

// overtaken: while a page was being sent, somebody acted. Who got it is told.
func (e *escalation) overtaken(ctx workflow.Context, name string, contact alert.Contact, out outcome) {
	if out.state != alert.Sent && out.state != alert.Delivered {
		return
	}
	a := e.state.Alert
	kind, by := alert.PageAcknowledged, a.AcknowledgedBy
	if a.Status.Final() {
		kind, by = alert.PageResolved, ""
	}
	if a.Status != alert.Open && a.Status != alert.Suppressed {
		e.tell(ctx, kind, by, alert.Told{Person: e.personOf(alert.Recipient{Name: name}, contact), Contact: contact, Receipt: out.receipt})
	}
}

// tellAll tells whoever was paged how the alert went on. Messages that can be are updated in place; who did it is not told what they know.
func (e *escalation) tellAll(ctx workflow.Context, kind alert.PageKind, by string) {
	e.state.Told++
	for _, t := range e.state.Paged {
		if t.Person == "" || t.Person != by || t.Contact.Channel == alert.Slack {
			e.tell(ctx, kind, by, t)
		}
	}
}

// tell tells one contact. It delays nothing: neither paging, nor the next alert.
func (e *escalation) tell(ctx workflow.Context, kind alert.PageKind, by string, t alert.Told) {
	a, name := e.state.Alert, cmp.Or(t.Person, t.Contact.Name())
	p := e.page(ctx, kind, alert.PageKey(a.Project, a.Number, kind, e.state.Told, name), t.Contact)
	p.Previous, p.Content.By = &t.Receipt, by
	e.telling++
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer func() { e.telling--; e.stirred = true }()
		out := e.deliver(ctx, telling(ctx, fmt.Sprintf("Tell %s by %s", name, t.Contact.Channel)), p, t.Person)
		line := alert.Entry{Key: p.Key + " " + t.Contact.Name(), At: workflow.Now(ctx).UTC(), Kind: alert.LogPaged, By: name, Channel: t.Contact.Channel, Page: p.Key,
			Receipt: out.receipt.ID, Text: cmp.Or(out.why, string(kind))}
		switch {
		case out.state == alert.Failed:
			line.Kind = alert.LogFailed
		case out.state == alert.Skipped:
			line.Kind = alert.LogSkipped
		case kind == alert.PageUpdate && e.state.Alert.Number == a.Number:
			e.state.Alert.Pages++
		}
		record := activities.AlertRecord{Alert: a, Entries: []alert.Entry{line}}
		e.complain(ctx, inStore(ctx, "Log what was told", alerts.RecordAlert, record).Get(ctx, nil))
	})
}

// inPlace are the messages that can be updated in place.
func (e *escalation) inPlace() (all []alert.Told) {
	for _, t := range e.state.Paged {
		if t.Contact.Channel == alert.Slack {
			all = append(all, t)
		}
	}
	return all
}

// hasRoom reports whether the alert may have that many messages more within its limit, and still page whoever this round of its policy has
// yet to page: updates give way to steps, which are never withheld.
func (e *escalation) hasRoom(messages int) bool {
	s := e.state
	if s.Plan == nil {
		return true
	}
	messages += s.Alert.Pages
	if s.Alert.Status == alert.Open || s.Alert.Status == alert.Suppressed {
		messages += s.Plan.Ahead
	}
	for _, c := range s.Chases {
		messages += len(c.Recipient.Hops) - c.Tried
		for _, send := range c.Sends {
			if send.State == alert.Sending {
				messages++
			}
		}
	}
	return messages <= s.Plan.PageLimit
}

// planUpdate has Slack's messages say how the alert is now, at most once in an interval.
func (e *escalation) planUpdate(ctx workflow.Context) {
	s := e.state
	if n := len(e.inPlace()); !s.UpdateAt.IsZero() || n == 0 || !e.hasRoom(n) {
		return
	}
	s.UpdateAt = workflow.Now(ctx).UTC()
	if next := s.UpdatedAt.Add(time.Duration(cmp.Or(e.in.Rules.Interval, alert.DefaultInterval))); next.After(s.UpdateAt) {
		s.UpdateAt = next
	}
}

// update updates Slack's messages in place, within the limit of pages of the alert. Nobody is paged by it.
func (e *escalation) update(ctx workflow.Context) {
	s := e.state
	s.UpdateAt = time.Time{}
	told := e.inPlace()
	if !e.hasRoom(len(told)) {
		return
	}
	s.UpdatedAt = workflow.Now(ctx).UTC()
	s.Told++
	for _, t := range told {
		e.tell(ctx, alert.PageUpdate, "", t)
	}
}
