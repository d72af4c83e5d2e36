package activities

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// AlertLookup finds the alert and the pages that a callback is about.
type AlertLookup interface {
	Alert(ctx context.Context, project string, number int64) (alert.Alert, error)
	PagesOf(ctx context.Context, project string, number int64) ([]alert.PageRow, error)
	PageByReceipt(ctx context.Context, channel alert.Channel, id string) (alert.PageRow, error)
	PageByCode(ctx context.Context, contact string, code int) (alert.PageRow, error)
	RecordPage(context.Context, alert.PageRow) error
}

// ContactLookup finds who is behind a contact and what they may do, and keeps what providers say of contacts.
type ContactLookup interface {
	ContactByAddress(ctx context.Context, channel alert.Channel, address string) (alert.Contact, error)
	RefuseContact(ctx context.Context, id, why string) error
	Rights(ctx context.Context, person string) (account.Principal, error)
	ReportForged(ctx context.Context, c alert.Channel, seq int64, why string) error
}

// AlertCommands reach the workflows of alerts.
type AlertCommands interface {
	CommandAlert(ctx context.Context, id, project, group, update string, in alert.Command) (alert.Alert, error)
	PageReported(ctx context.Context, project, group string, r alert.PageReport) error
}

// Callbacks gives what providers call back with its effect.
type Callbacks struct {
	Alerts   AlertLookup
	Contacts ContactLookup
	Flows    AlertCommands
}

// ApplyCallback gives a callback its effect: a report reaches the alert's workflow, a reply becomes a command of the person whose verified
// contact it came from. The callback's number is the command's id, so repeating it is one command.
func (a *Callbacks) ApplyCallback(ctx context.Context, in alert.Applying) (alert.Applied, error) {
	applied, err := a.apply(ctx, in)
	if err != nil {
		return alert.Applied{}, fail(fmt.Errorf("apply callback %d of %s: %w", in.Seq, in.Channel, err))
	}
	return applied, nil
}

// RefuseContact makes a contact pending that takes no messages any more. One that is pending or gone is left alone.
func (a *Callbacks) RefuseContact(ctx context.Context, in alert.Refusal) error {
	if err := a.Contacts.RefuseContact(ctx, in.Contact, in.Why); err != nil {
		return fail(fmt.Errorf("refuse contact %s: %w", in.Contact, err))
	}
	return nil
}

func (a *Callbacks) apply(ctx context.Context, in alert.Applying) (alert.Applied, error) {
	switch in.Meaning.Kind {
	case alert.Forged:
		slog.WarnContext(ctx, "a callback was forged, and has no effect", "channel", in.Channel, "callback", in.Seq, "why", in.Meaning.Why)
		return alert.Applied{Outcome: "forged: " + in.Meaning.Why}, a.Contacts.ReportForged(ctx, in.Channel, in.Seq, in.Meaning.Why)
	case alert.MeansReceipt:
		return a.report(ctx, in)
	case alert.MeansStop:
		return a.stop(ctx, in)
	case alert.MeansCommand:
		return a.command(ctx, in)
	}
	return a.help(ctx, in)
}

// report tells the alert's workflow what became of a page. Once that has ended, what is recorded of the page is brought up to date.
func (a *Callbacks) report(ctx context.Context, in alert.Applying) (alert.Applied, error) {
	receipt := *in.Meaning.Receipt
	receipt.At = time.Now().UTC()
	project, number, err := alert.AlertOf(in.Meaning.Page)
	if err != nil {
		return alert.Applied{Outcome: "it is about no page of ours"}, nil
	}
	row, err := a.Alerts.PageByReceipt(ctx, in.Channel, receipt.ID)
	recorded := err == nil
	if err != nil && !fault.Is(err, fault.NotFound) {
		return alert.Applied{}, err
	}
	if in.Meaning.Gone && recorded {
		if err := a.Contacts.RefuseContact(ctx, row.Contact, receipt.Message); err != nil {
			return alert.Applied{}, err
		}
	}
	current, err := a.Alerts.Alert(ctx, project, number)
	if err == nil {
		err = a.Flows.PageReported(ctx, project, current.Group, alert.PageReport{Key: in.Meaning.Page, Receipt: receipt})
	}
	if !fault.Is(err, fault.NotFound) || !recorded {
		return alert.Applied{Outcome: fmt.Sprintf("page %s is %s", in.Meaning.Page, receipt.State)}, unlessGone(err)
	}
	if receipt.State == alert.Sent && row.State != alert.Sending { // reports may come out of order
		return alert.Applied{Outcome: "more is known already"}, nil
	}
	row.State, row.Message, row.UpdateAt = receipt.State, receipt.Message, receipt.At
	return alert.Applied{Outcome: fmt.Sprintf("page %s is %s; its alert has ended", in.Meaning.Page, receipt.State)}, a.Alerts.RecordPage(ctx, row)
}

func unlessGone(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// stop makes the contact pending: its person wants no more messages there.
func (a *Callbacks) stop(ctx context.Context, in alert.Applying) (alert.Applied, error) {
	contact, err := a.Contacts.ContactByAddress(ctx, in.Channel, in.Meaning.From)
	if fault.Is(err, fault.NotFound) {
		return alert.Applied{Outcome: "nobody has that contact"}, nil
	}
	if err == nil {
		err = a.Contacts.RefuseContact(ctx, contact.ID, "its person has replied STOP: send START from it, then verify it again")
	}
	return alert.Applied{Outcome: "the contact is pending again"}, err
}

// help answers a reply that was not understood, if it is from somebody we know.
func (a *Callbacks) help(ctx context.Context, in alert.Applying) (alert.Applied, error) {
	if in.Meaning.Text == "" {
		return alert.Applied{Outcome: in.Meaning.Why}, nil
	}
	if _, err := a.Contacts.ContactByAddress(ctx, in.Channel, in.Meaning.From); err != nil {
		return alert.Applied{Outcome: "nobody has that contact"}, unlessGone(err)
	}
	return answer(in, "a reply that was not understood", fmt.Sprintf("%q is no reply. Send the code of a message with a letter: 1a acknowledges, 1r resolves, 1e escalates, 1s snoozes for an hour",
		in.Meaning.Text)), nil
}

func (a *Callbacks) command(ctx context.Context, in alert.Applying) (alert.Applied, error) {
	m := in.Meaning
	contact, err := a.Contacts.ContactByAddress(ctx, in.Channel, m.From)
	if fault.Is(err, fault.NotFound) {
		if in.Channel != alert.Slack { // an SMS costs, and its sender may be anybody
			return alert.Applied{Outcome: "nobody has that contact"}, nil
		}
		return answer(in, "nobody has that contact", fmt.Sprintf("Nothing was done: nobody here has verified your Slack member id. Link it with `m3o contact add slack %s`, then press the button again.", m.From)), nil
	}
	if err != nil {
		return alert.Applied{}, err
	}
	project, number, err := a.about(ctx, m, contact)
	if fault.Is(err, fault.NotFound) {
		return answer(in, "no such code", fmt.Sprintf("Nothing was done: no alert that you were sent has the code %d", m.Code)), nil
	}
	if err != nil {
		return alert.Applied{}, err
	}
	current, err := a.Alerts.Alert(ctx, project, number)
	if err != nil {
		return alert.Applied{}, err
	}
	if err := a.permit(ctx, contact.Person, current); err != nil {
		return refusal(in, err)
	}
	c := alert.Command{Number: number, By: contact.Person, Via: in.Channel}
	if m.Do == alert.SnoozeUpdate {
		c.For = alert.ReplySnooze
	}
	after, err := a.Flows.CommandAlert(ctx, alert.CallbackID(in.Seq), project, current.Group, m.Do, c)
	if fault.Is(err, fault.NotFound) {
		err = fault.New(fault.Conflict, "alert %d is %s", number, current.Status)
	}
	if err != nil {
		return refusal(in, err)
	}
	done := fmt.Sprintf("#%d is %s: %s", number, after.Status, after.Title)
	if in.Channel == alert.Slack { // its message says so
		return alert.Applied{Outcome: done}, nil
	}
	return answer(in, done, done), nil
}

// about finds the alert that a reply or a button is about.
func (a *Callbacks) about(ctx context.Context, m alert.Meaning, contact alert.Contact) (project string, number int64, err error) {
	if m.Page != "" {
		return alert.AlertOf(m.Page)
	}
	page, err := a.Alerts.PageByCode(ctx, contact.ID, m.Code)
	return page.Project, page.Alert, err
}

// permit says why a person may not answer an alert: it takes a role that may write alerts there, or having been paged by it.
func (a *Callbacks) permit(ctx context.Context, person string, about alert.Alert) error {
	p, err := a.Contacts.Rights(ctx, person)
	if err != nil {
		return err
	}
	if p.May(account.WriteAlerts, about.Project) {
		return nil
	}
	pages, err := a.Alerts.PagesOf(ctx, about.Project, about.Number)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(pages, func(p alert.PageRow) bool { return p.Person == person && p.State != alert.Skipped }) {
		return nil
	}
	return fault.New(fault.Denied, "you were not paged by alert %d, and have no role in project %s that may answer its alerts", about.Number, about.Project)
}

// refusal tells a person why nothing was done. What may pass is tried again instead.
func refusal(in alert.Applying, err error) (alert.Applied, error) {
	if !fault.Of(err).Permanent() {
		return alert.Applied{}, err
	}
	return answer(in, fault.Message(err), "Nothing was done: "+fault.Message(err)), nil
}

func answer(in alert.Applying, outcome, text string) alert.Applied {
	return alert.Applied{Outcome: outcome, Answer: &alert.Text{Key: alert.CallbackID(in.Seq), Channel: in.Channel, To: in.Meaning.From, In: in.Meaning.In, Text: text}}
}
