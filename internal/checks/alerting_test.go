package checks

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/store"
)

func TestARelayThatDoesNotMoveIsTold(t *testing.T) {
	p := newPlatform(t, func(s *store.Store) []Check { return []Check{StuckRelay(s)} })
	relay, err := p.store.TakeLease(t.Context(), store.Lease{Name: store.RelayLease}, "relay")
	p.must(err)
	signal := func(at time.Time) int64 {
		t.Helper()
		seqs, err := p.store.AppendSignals(t.Context(), []alert.Signal{{Project: "shop", Action: alert.Trigger, DedupKey: "disk", At: at}})
		p.must(err)
		return seqs[0]
	}
	signal(time.Now().Add(-59 * time.Second))
	p.look()
	p.want(event.RelayMoves)
	last := signal(time.Now().Add(-2 * time.Minute))
	p.must(p.store.MoveCursor(t.Context(), relay, store.SignalCursor, 0, last-1))
	p.look()
	p.look()
	p.want(event.RelayMoves, "relay.stuck signals")
	p.must(p.store.MoveCursor(t.Context(), relay, store.SignalCursor, last-1, last))
	p.look()
	p.want(event.RelayMoves, "relay.stuck signals", "relay.moving signals")
}

// page records one that began then.
func (p *platform) page(channel alert.Channel, state alert.Delivery, began time.Time) {
	p.t.Helper()
	p.must(p.store.RecordPage(p.t.Context(), alert.PageRow{Key: fmt.Sprintf("shop/1/trigger/%s/%d", channel, time.Now().UnixNano()), Project: "shop", Alert: 1, Channel: channel,
		Contact: "c", Kind: alert.PageTrigger, State: state, BeganAt: began, UpdateAt: began}))
}

func TestAChannelByWhichMostPagesFailIsTold(t *testing.T) {
	p := newPlatform(t, func(s *store.Store) []Check { return []Check{FailingPages(s)} })
	now := time.Now()
	for range 2 {
		p.page(alert.SMS, alert.Failed, now)
	}
	p.page(alert.SMS, alert.Failed, now.Add(-20*time.Minute)) // long ago
	p.page(alert.SMS, alert.Skipped, now)
	for range 4 {
		p.page(alert.Webhook, alert.Failed, now) // a project's affair
		p.page(alert.Slack, alert.Failed, now)
		p.page(alert.Slack, alert.Delivered, now) // as many as failed
	}
	p.look()
	p.want(event.PagesArrive)
	p.page(alert.SMS, alert.Failed, now)
	p.look()
	p.look()
	p.want(event.PagesArrive, "pages.failing sms")
	if all, err := p.store.Conditions(t.Context()); err != nil || len(all) != 1 || !strings.Contains(all[0].Message, "3 of 3 pages of the last 15 minutes failed") {
		t.Errorf("%+v, %v", all, err)
	}
	for range 3 {
		p.page(alert.SMS, alert.Sent, now)
	}
	p.look()
	p.want(event.PagesArrive, "pages.failing sms", "pages.arriving sms")
}

// That nobody was paged for a while is no sign that pages would arrive.
func TestAChannelThatFailedIsNotWellBeforeAPageArrives(t *testing.T) {
	check := FailingPages(quiet{})
	before := []store.Condition{{Kind: event.PagesArrive.Begins, Subject: "sms", Message: "3 of 3 failed"}}
	if now, err := check.Look(t.Context(), before); err != nil || len(now) != 1 || now[0].Subject != "sms" {
		t.Errorf("%+v, %v", now, err)
	}
}

// quiet is a platform on which nothing happens.
type quiet struct{}

func (quiet) Unrelayed(context.Context) ([]store.Unrelayed, error) { return nil, nil }
func (quiet) PagesBetween(context.Context, time.Time, time.Time) ([]store.PageTally, error) {
	return nil, nil
}
