package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// may refuses a command that is not for the alert that is current.
func (e *escalation) may(ctx workflow.Context, in alert.Command) error {
	if answered(ctx, &e.state.Answers) {
		return nil
	}
	a := e.state.Alert
	switch {
	case a.Number == 0:
		return failure(fault.NotFound, fmt.Sprintf("alert %d is not current", in.Number))
	case in.Number != a.Number:
		return failure(fault.Conflict, fmt.Sprintf("alert %d has ended; alert %d of the same group is %s", in.Number, a.Number, a.Status))
	case a.Status.Final():
		return failure(fault.Conflict, a.Ended())
	}
	return nil
}

// mayBe refuses a command that the alert cannot take as that update.
func (e *escalation) mayBe(update string) func(workflow.Context, alert.Command) error {
	return func(ctx workflow.Context, in alert.Command) error {
		err := e.may(ctx, in)
		if err == nil && !answered(ctx, &e.state.Answers) {
			if wrong := in.Check(update); wrong != nil {
				return failure(fault.Invalid, fault.Message(wrong))
			}
			if update == alert.EscalateUpdate {
				_, err = e.target(in.To)
			}
		}
		return err
	}
}

// target is the step that Escalate asks for: the next one where it names none, and the first after the last.
func (e *escalation) target(to int) (alert.Position, error) {
	a, p := e.state.Alert, e.state.Plan
	if p == nil || p.Steps == 0 {
		return alert.Position{}, failure(fault.Conflict, fmt.Sprintf("alert %d has no policy to escalate by", a.Number))
	}
	if to < 0 || to > p.Steps {
		return alert.Position{}, failure(fault.Invalid, fmt.Sprintf("to: policy %s has no step %d; it has %d", p.Policy, to, p.Steps))
	}
	at := alert.Position{Step: to, Round: max(a.Round, 1)}
	if to == 0 {
		if at.Step = a.Step + 1; at.Step > p.Steps {
			at = alert.Position{Step: 1, Round: at.Round + 1}
		}
	}
	return at, nil
}

// command does one command once, and answers when it is recorded.
func (e *escalation) command(ctx workflow.Context, in alert.Command, do func() error) (alert.Alert, error) {
	return once(ctx, &e.state.Answers, func() (alert.Alert, error) {
		defer func() { e.stirred = true }()
		if err := e.may(ctx, in); err != nil { // it ended since the command was let in
			return alert.Alert{}, err
		}
		if err := do(); err != nil {
			return alert.Alert{}, err
		}
		return e.write(ctx)
	})
}

func (e *escalation) acknowledge(ctx workflow.Context, in alert.Command) (alert.Alert, error) {
	return e.command(ctx, in, func() error {
		e.acknowledged(ctx, in.By, in.For, in.Comment)
		return nil
	})
}

// acknowledged stops all paging: somebody has it. Whoever was paged is told.
func (e *escalation) acknowledged(ctx workflow.Context, by string, hold time.Duration, comment string) {
	a := &e.state.Alert
	if a.Status == alert.Acknowledged && a.AcknowledgedBy == by && hold == 0 {
		return
	}
	e.stop()
	now := workflow.Now(ctx).UTC()
	if hold == 0 && e.state.Plan != nil {
		hold = time.Duration(e.state.Plan.AckFor)
	}
	a.Status, a.AcknowledgedBy, a.NextAt, a.Until = alert.Acknowledged, by, time.Time{}, time.Time{}
	if a.AcknowledgedAt.IsZero() {
		a.AcknowledgedAt = now
	}
	if hold > 0 {
		a.Until = now.Add(hold)
	}
	e.log(ctx, alert.Entry{Kind: alert.LogAcknowledged, By: by, Text: comment})
	e.tellAll(ctx, alert.PageAcknowledged, by)
}

func (e *escalation) resolve(ctx workflow.Context, in alert.Command) (alert.Alert, error) {
	return e.command(ctx, in, func() error {
		e.hear(ctx) // what came in before it is closed belongs to it
		group := activities.GroupIn{Project: e.in.Group.Project, Group: e.in.Hash}
		if err := inStore(ctx, "Note that none of its keys fires", alerts.CloseGroup, group).Get(ctx, nil); err != nil {
			return err
		}
		if err := e.may(ctx, in); err != nil {
			return err
		}
		e.finish(ctx, alert.Closed, in.By, in.Comment)
		return nil
	})
}

func (e *escalation) snooze(ctx workflow.Context, in alert.Command) (alert.Alert, error) {
	return e.command(ctx, in, func() error {
		a := &e.state.Alert
		e.stop()
		a.Status, a.NextAt, a.Until = alert.Snoozed, time.Time{}, workflow.Now(ctx).UTC().Add(in.For)
		e.log(ctx, alert.Entry{Kind: alert.LogSnoozed, By: in.By, Text: strings.TrimSpace("until " + a.Until.Format(time.RFC3339) + " " + in.Comment)})
		e.tellAll(ctx, alert.PageAcknowledged, in.By)
		return nil
	})
}

func (e *escalation) escalate(ctx workflow.Context, in alert.Command) (alert.Alert, error) {
	return e.command(ctx, in, func() error {
		at, err := e.target(in.To)
		if err != nil {
			return err
		}
		a := &e.state.Alert
		e.stop()
		e.beginAnew(workflow.Now(ctx).UTC())
		a.Status, a.Until, a.AcknowledgedBy, e.state.Next = alert.Open, time.Time{}, "", at
		e.log(ctx, alert.Entry{Kind: alert.LogEscalated, By: in.By, Text: strings.TrimSpace(fmt.Sprintf("to step %d %s", at.Step, in.Comment))})
		return nil
	})
}

func (e *escalation) addNote(ctx workflow.Context, in alert.Command) (alert.Alert, error) {
	return e.command(ctx, in, func() error {
		e.log(ctx, alert.Entry{Kind: alert.LogNote, By: in.By, Text: in.Comment})
		return nil
	})
}
