package workflows

import (
	"cmp"
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/alert"
)

// SendNotice tells a person what nobody has to acknowledge. When it ends, one of their contacts has it, or none could be reached before it was
// of no use any more, or they have none.
//
// It is started once for each notice. A contact that fails is followed by the next one; when all have failed, they are tried again with
// exponential backoff.
func SendNotice(ctx workflow.Context, in alert.Notice) error {
	for attempt := 0; ; attempt++ {
		var r alert.Recipient
		if err := inStore(ctx, "Find the recipient", notices.FindRecipient, in).Get(ctx, &r); err != nil {
			return err
		}
		sent, err := offer(ctx, in, r)
		if sent || err != nil || len(r.Hops) == 0 {
			return err
		}
		pause := noticeBackoff(attempt)
		if !workflow.Now(ctx).Add(pause).Before(in.Until) {
			return nil
		}
		if err := workflow.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// offer tries a recipient's contacts in order, until one has taken the notice or it is found not to be wanted.
func offer(ctx workflow.Context, in alert.Notice, r alert.Recipient) (done bool, err error) {
	for _, hop := range r.Hops {
		page := alert.Page{Key: alert.PageKey(in.Project, 0, alert.PageNotice, 0, in.Key), Project: in.Project, Kind: alert.PageNotice, Contact: hop.Contact, Content: in.Content}
		state, err := notify(ctx, page, in.Person)
		if err != nil || state == alert.Sent || state == alert.Delivered {
			return true, err
		}
	}
	return false, nil
}

// notify sends a notice to one contact, and records what came of it.
func notify(ctx workflow.Context, p alert.Page, person string) (alert.Delivery, error) {
	now := workflow.Now(ctx).UTC()
	var d alert.PageDecision
	if err := inStore(ctx, "Decide whether to send", alerts.BeginPage, alert.PageRequest{Page: p, Person: person, At: now}).Get(ctx, &d); err != nil {
		return "", err
	}
	switch {
	case d.Receipt != nil:
		return d.Receipt.State, nil
	case !d.Send:
		return alert.Skipped, nil
	}
	row := alert.PageRow{Key: p.Key, Project: p.Project, Person: person, Channel: p.Contact.Channel, Contact: p.Contact.Name(), Kind: p.Kind, BeganAt: now}
	var receipt alert.Receipt
	if err := workflow.ExecuteActivity(paging(ctx, fmt.Sprintf("Notify %s by %s", person, p.Contact.Channel)), pages.SendPage, p).Get(ctx, &receipt); err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		row.State, row.Message = alert.Failed, pageWords(err)
	} else {
		row.State, row.Receipt, row.Message = cmp.Or(receipt.State, alert.Sent), receipt.ID, receipt.Message
	}
	row.UpdateAt = workflow.Now(ctx).UTC()
	return row.State, inStore(ctx, "Record notice as "+string(row.State), alerts.RecordPage, row).Get(ctx, nil)
}

// noticeBackoff is how long all contacts are left alone after they have failed.
func noticeBackoff(attempt int) time.Duration {
	return min(time.Minute<<min(attempt, 4), 10*time.Minute)
}
