package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/attribute"
)

// log adds a line to the alert's log. It is written with the next record.
func (e *escalation) log(ctx workflow.Context, line alert.Entry) {
	line.At = workflow.Now(ctx).UTC()
	e.entries = append(e.entries, line)
	e.news = true
}

// recordIfDue writes the alert's row and the new lines of its log: news at once, further signals every few seconds, however many come in.
func (e *escalation) recordIfDue(ctx workflow.Context) {
	if e.news || e.joined > 0 && !workflow.Now(ctx).Before(e.recordedAt.Add(joinedEvery)) {
		e.record(ctx)
	}
}

func (e *escalation) record(ctx workflow.Context) {
	_, err := e.write(ctx)
	e.complain(ctx, err)
	e.describe(ctx)
}

// write writes what is known of the alert, and returns it. Its lines have keys by the record's version: written twice they are there once.
func (e *escalation) write(ctx workflow.Context) (alert.Alert, error) {
	a := &e.state.Alert
	e.logJoined(ctx)
	a.Version++
	a.UpdatedAt, a.Message = workflow.Now(ctx).UTC(), e.message()
	entries := e.entries
	for i := range entries {
		entries[i].Key = fmt.Sprintf("%08d.%03d", a.Version, i)
	}
	e.entries, e.joined, e.news, e.recordedAt = nil, 0, false, workflow.Now(ctx)
	recorded := *a // by the time it is, the group's next alert may have begun
	return recorded, inStore(ctx, "Record alert as "+string(a.Status), alerts.RecordAlert, activities.AlertRecord{Alert: recorded, Entries: entries}).Get(ctx, nil)
}

// logJoined tells in the log of further signals.
func (e *escalation) logJoined(ctx workflow.Context) {
	if e.joined == 0 {
		return
	}
	line := alert.Entry{Kind: alert.LogJoined, At: workflow.Now(ctx).UTC(), Text: count(int(e.joined), "further signal") + "; " + firing(e.state.Alert.Firing)}
	e.entries = append([]alert.Entry{line}, e.entries...)
}

// message says what the alert waits for, or why it is as it is.
func (e *escalation) message() string {
	s := e.state
	a, p := s.Alert, s.Plan
	switch {
	case a.Status == alert.Resolved:
		return "no key fires any more"
	case a.Status.Final():
		return ""
	case a.Firing == 0:
		return "no key fires; it is resolved at " + clock(s.ResolveAt)
	case a.Status == alert.Suppressed && p != nil:
		return p.Suppressed
	case a.Status == alert.Acknowledged && !a.Until.IsZero():
		return "the acknowledgement holds until " + clock(a.Until)
	case a.Status == alert.Snoozed:
		return "snoozed until " + clock(a.Until)
	case a.Status != alert.Open || p == nil:
		return ""
	case p.Record:
		return "its urgency is low: it is recorded, and nobody is paged"
	case p.Steps == 0:
		return strings.Join(p.Problems, "; ")
	}
	text := "every step of the policy was taken, and nobody has acknowledged"
	if !a.NextAt.IsZero() {
		text = fmt.Sprintf("step %d of %d begins at %s", s.Next.Step, p.Steps, clock(a.NextAt))
	}
	for _, c := range s.Chases {
		if c.Failure != "" && !slices.ContainsFunc(c.Sends, arrived) {
			text += fmt.Sprintf("; %s is not reached: %s", c.Recipient.Name, c.Failure)
		}
	}
	return text
}

func arrived(s alert.Send) bool { return s.State == alert.Sent || s.State == alert.Delivered }

// count is a number of things, in words.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// firing says how many keys fire.
func firing(keys int) string {
	if keys == 1 {
		return "1 key fires"
	}
	return count(keys, "key") + " fire"
}

func clock(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// report answers the progress query.
func (e *escalation) report() (alert.Alert, error) { return e.state.Alert, nil }

// describe tells operators where the alert is.
func (e *escalation) describe(ctx workflow.Context) {
	a := e.state.Alert
	text := fmt.Sprintf("Alert **%d** of project %s is %s: %s\n\n%s; %s, %s.", a.Number, a.Project, a.Status, a.Title, firing(a.Firing), count(int(a.Signals), "signal"), count(a.Pages, "page"))
	if m := e.message(); m != "" {
		text += "\n\n" + m
	}
	workflow.SetCurrentDetails(ctx, text)
	attributes := []shown{{attribute.Status, string(a.Status)}}
	if a.Service != "" {
		attributes = append(attributes, shown{attribute.Service, a.Service})
	}
	show(ctx, attributes...)
}
