package checks

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/store"
)

// Alerting is what is kept of the way of alerts.
type Alerting interface {
	Unrelayed(ctx context.Context) ([]store.Unrelayed, error)
	PagesBetween(ctx context.Context, from, to time.Time) ([]store.PageTally, error)
}

// StuckRelay checks whether what came in is brought to the workflows of alerts. The alert of it comes when the relay moves again; until
// then the event, the metrics and the status of the platform tell.
func StuckRelay(alerting Alerting) Check {
	return Check{Turn: event.RelayMoves, Look: func(ctx context.Context, _ []store.Condition) ([]store.Condition, error) {
		waiting, err := alerting.Unrelayed(ctx)
		var all []store.Condition
		for _, w := range waiting {
			if time.Since(w.Since) > Late {
				all = append(all, store.Condition{Subject: w.What, Message: fmt.Sprintf("%d wait, the oldest since %s UTC: see the log of the flows workers, and whether Temporal answers",
					w.Count, w.Since.UTC().Format(time.DateTime))})
			}
		}
		return all, err
	}}
}

// How pages are judged: by those that began lately, if there are enough of them.
const (
	pagesFor = 15 * time.Minute
	fewPages = 3
)

// FailingPages checks by which channels most pages fail. Without a page nobody knows whether the channel is well again. Webhooks are left
// out: whether those of a project answer is the project's affair, and no trouble of the platform.
func FailingPages(alerting Alerting) Check {
	return Check{Turn: event.PagesArrive, Look: func(ctx context.Context, before []store.Condition) ([]store.Condition, error) {
		tallies, err := alerting.PagesBetween(ctx, time.Now().Add(-pagesFor), time.Now())
		failed, sent := map[alert.Channel]int64{}, map[alert.Channel]int64{}
		for _, t := range tallies {
			switch t.State {
			case alert.Failed:
				failed[t.Channel] += t.Count
			case alert.Sent, alert.Delivered:
				sent[t.Channel] += t.Count
			}
		}
		var all []store.Condition
		for _, channel := range []alert.Channel{alert.Email, alert.SMS, alert.Slack} {
			bad, good := failed[channel], sent[channel]
			i := slices.IndexFunc(before, func(c store.Condition) bool { return c.Subject == string(channel) })
			switch {
			case bad >= fewPages && bad > good:
				all = append(all, store.Condition{Subject: string(channel), Message: fmt.Sprintf("%d of %d pages of the last %d minutes failed: see m3o alert show, and the log of the pages workers",
					bad, bad+good, int(pagesFor.Minutes()))})
			case bad+good == 0 && i >= 0:
				all = append(all, before[i])
			}
		}
		return all, err
	}}
}
