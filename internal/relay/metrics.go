package relay

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m3o/platform/internal/alert"
)

// Metrics count what is relayed, and how long it took.
type Metrics struct {
	routed  *prometheus.CounterVec
	digests *prometheus.CounterVec
	waited  prometheus.Histogram
	holder  prometheus.Gauge
}

// NewMetrics makes them.
func NewMetrics() *Metrics {
	return &Metrics{
		routed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "m3o_relay_signals_total", Help: "Signals that were brought into groups of alerts, by where they came from and what they say."},
			[]string{"source", "action"}),
		digests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "m3o_relay_digests_total", Help: "Digests for workflows of alerts, by whether they were delivered."},
			[]string{"delivered"}),
		waited: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "m3o_relay_wait_seconds",
			Help: "From when the oldest signal of a digest came in until its workflow had it.", Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60}}),
		holder: prometheus.NewGauge(prometheus.GaugeOpts{Name: "m3o_relay_holder", Help: "1 while this worker is the one that relays alerts."}),
	}
}

// Collectors are what to register.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.routed, m.digests, m.waited, m.holder}
}

func (m *Metrics) delivered(d alert.Digest) {
	m.digests.WithLabelValues("yes").Inc()
	m.waited.Observe(time.Since(d.FirstAt).Seconds())
}
