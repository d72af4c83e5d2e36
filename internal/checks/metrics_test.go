package checks

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/store"
)

// How long a page took is counted once, from the first signal to the first page that was sent, however many follow.
func TestTheWayOfAlertsIsMeasured(t *testing.T) {
	p := newPlatform(t, func(*store.Store) []Check { return nil })
	m := p.checker.Metrics
	start := time.Now().UTC()
	end := m.begin(start)
	group := alert.Group{Project: "shop", Route: "default"}
	opened, err := p.store.OpenAlert(t.Context(), alert.Opening{Group: group, Hash: group.Hash(), First: 1, Alert: alert.Alert{Project: "shop", Status: alert.Open, StartedAt: start.Add(-2 * time.Second)}})
	p.must(err)
	page := func(key string, channel alert.Channel, state alert.Delivery, at time.Time) {
		t.Helper()
		p.must(p.store.RecordPage(t.Context(), alert.PageRow{Key: key, Project: "shop", Alert: opened.Number, Channel: channel, Contact: "c", Kind: alert.PageTrigger, State: state, BeganAt: at, UpdateAt: at}))
	}
	page("first", alert.Slack, alert.Failed, start)
	page("second", alert.SMS, alert.Delivered, start.Add(time.Second))
	page("third", alert.Email, alert.Sent, start.Add(3*time.Minute))
	p.must(p.store.RecordConditions(t.Context(), p.lease, event.QueueLag, []store.Condition{{Subject: "build"}}))
	_, err = p.store.AppendSignals(t.Context(), []alert.Signal{{Project: "shop", Action: alert.Trigger, DedupKey: "disk", At: start.Add(-10 * time.Second)}})
	p.must(err)
	for _, at := range []time.Duration{0, 90 * time.Second, 95 * time.Second, 5 * time.Minute} {
		conditions, err := p.store.Conditions(t.Context())
		p.must(err)
		p.must(m.measure(t.Context(), p.store, conditions, start.Add(at)))
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.Collectors()...)
	p.must(testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP m3o_pages_total Pages, by channel and what came of them within a minute.
# TYPE m3o_pages_total counter
m3o_pages_total{channel="email",state="sent"} 1
m3o_pages_total{channel="slack",state="failed"} 1
m3o_pages_total{channel="sms",state="delivered"} 1
# HELP m3o_conditions What of the platform needs looking after now, by the event that told its beginning.
# TYPE m3o_conditions gauge
m3o_conditions{kind="queue.lagging"} 1
# HELP m3o_checks_holder 1 while this worker is the one that checks the platform.
# TYPE m3o_checks_holder gauge
m3o_checks_holder 1
`), "m3o_pages_total", "m3o_conditions", "m3o_checks_holder"))
	if lag := testutil.ToFloat64(m.lag.WithLabelValues("signals")); lag < 309 || lag > 311 {
		t.Errorf("the relay is behind by %.1f s", lag)
	}
	families, err := registry.Gather()
	p.must(err)
	for _, f := range families {
		if h := f.GetMetric()[0].GetHistogram(); f.GetName() == "m3o_alert_first_page_seconds" && (h.GetSampleCount() != 1 || h.GetSampleSum() != 3) {
			t.Errorf("%d first pages took %g s", h.GetSampleCount(), h.GetSampleSum())
		}
	}
	end()
	if n := testutil.CollectAndCount(m.holds) + testutil.CollectAndCount(m.lag); n != 0 {
		t.Errorf("who looks no more says %d things", n)
	}
}
