package checks

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m3o/platform/internal/store"
)

// settled is how long ago a page must have begun to be counted: by then it is known what came of most.
const settled = time.Minute

// Sent is what is kept of pages that were sent.
type Sent interface {
	Unrelayed(ctx context.Context) ([]store.Unrelayed, error)
	PagesBetween(ctx context.Context, from, to time.Time) ([]store.PageTally, error)
	FirstPages(ctx context.Context, from, to time.Time) ([]time.Duration, error)
}

// Metrics measure the way of alerts, by the rows that it leaves: only the process that looks has them. The others' do not grow.
type Metrics struct {
	lag    *prometheus.GaugeVec
	pages  *prometheus.CounterVec
	first  prometheus.Histogram
	holds  *prometheus.GaugeVec
	upto   time.Time
	holder prometheus.Gauge
}

// NewMetrics makes them.
func NewMetrics() *Metrics {
	return &Metrics{
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "m3o_relay_lag_seconds", Help: "How long the oldest entry that the relay has not brought on has waited, by sequence."},
			[]string{"sequence"}),
		pages: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "m3o_pages_total", Help: "Pages, by channel and what came of them within a minute."}, []string{"channel", "state"}),
		first: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "m3o_alert_first_page_seconds",
			Help: "From when an alert's first signal came in until its first page was sent, with the group wait of its route.", Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}}),
		holds:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "m3o_conditions", Help: "What of the platform needs looking after now, by the event that told its beginning."}, []string{"kind"}),
		holder: prometheus.NewGauge(prometheus.GaugeOpts{Name: "m3o_checks_holder", Help: "1 while this worker is the one that checks the platform."}),
	}
}

// Collectors are what to register.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.lag, m.pages, m.first, m.holds, m.holder}
}

// begin starts measuring at this moment: what was before, the process that looked before has measured.
func (m *Metrics) begin(now time.Time) (end func()) {
	m.upto = now.Add(-settled)
	m.holder.Set(1)
	return func() {
		m.holder.Set(0)
		m.lag.Reset()
		m.holds.Reset()
	}
}

// measure takes in what has come about since the last time.
func (m *Metrics) measure(ctx context.Context, sent Sent, conditions []store.Condition, now time.Time) error {
	m.holds.Reset()
	for _, c := range conditions {
		m.holds.WithLabelValues(c.Kind).Inc()
	}
	waiting, err := sent.Unrelayed(ctx)
	if err != nil {
		return err
	}
	for _, name := range store.Sequences {
		m.lag.WithLabelValues(name).Set(0)
	}
	for _, w := range waiting {
		m.lag.WithLabelValues(w.What).Set(now.Sub(w.Since).Seconds())
	}
	to := now.Add(-settled)
	tallies, err := sent.PagesBetween(ctx, m.upto, to)
	if err != nil {
		return err
	}
	took, err := sent.FirstPages(ctx, m.upto, to)
	if err != nil {
		return err
	}
	for _, t := range tallies {
		m.pages.WithLabelValues(string(t.Channel), string(t.State)).Add(float64(t.Count))
	}
	for _, d := range took {
		m.first.Observe(d.Seconds())
	}
	m.upto = to
	return nil
}
