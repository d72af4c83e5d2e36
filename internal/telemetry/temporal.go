package telemetry

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
)

// temporalMetrics passes the counts of Temporal's SDK on to Prometheus. Series of one name share one set of labels, the
// ones below: the SDK attaches others to some calls, and too many to keep.
type temporalMetrics struct {
	shared *shared
	tags   map[string]string
}

var kept = []string{"task_queue", "workflow_type", "activity_type", "operation"}

type shared struct {
	registry *prometheus.Registry
	mu       sync.Mutex
	counters map[string]*prometheus.CounterVec
	gauges   map[string]*prometheus.GaugeVec
	timers   map[string]*prometheus.HistogramVec
}

func newTemporalMetrics(r *prometheus.Registry) client.MetricsHandler {
	return temporalMetrics{shared: &shared{registry: r, counters: map[string]*prometheus.CounterVec{}, gauges: map[string]*prometheus.GaugeVec{},
		timers: map[string]*prometheus.HistogramVec{}}}
}

func (m temporalMetrics) WithTags(tags map[string]string) client.MetricsHandler {
	merged := maps.Clone(m.tags)
	if merged == nil {
		merged = map[string]string{}
	}
	for k, v := range tags {
		if slices.Contains(kept, k) {
			merged[k] = v
		}
	}
	return temporalMetrics{shared: m.shared, tags: merged}
}

func (m temporalMetrics) labels() prometheus.Labels {
	labels := prometheus.Labels{}
	for _, k := range kept {
		labels[k] = m.tags[k]
	}
	return labels
}

func clean(name string) string { return strings.NewReplacer("-", "_", ".", "_").Replace(name) }

func (m temporalMetrics) Counter(name string) client.MetricsCounter {
	s := m.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	vec, known := s.counters[name]
	if !known {
		vec = prometheus.NewCounterVec(prometheus.CounterOpts{Name: clean(name) + "_total", Help: "Counted by Temporal's SDK."}, kept)
		s.registry.MustRegister(vec)
		s.counters[name] = vec
	}
	return counter{vec.With(m.labels())}
}

func (m temporalMetrics) Gauge(name string) client.MetricsGauge {
	s := m.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	vec, known := s.gauges[name]
	if !known {
		vec = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: clean(name), Help: "Measured by Temporal's SDK."}, kept)
		s.registry.MustRegister(vec)
		s.gauges[name] = vec
	}
	return gauge{vec.With(m.labels())}
}

func (m temporalMetrics) Timer(name string) client.MetricsTimer {
	s := m.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	vec, known := s.timers[name]
	if !known {
		vec = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: clean(name) + "_seconds", Help: "Timed by Temporal's SDK.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30, 120, 600}}, kept)
		s.registry.MustRegister(vec)
		s.timers[name] = vec
	}
	return timer{vec.With(m.labels())}
}

type counter struct{ prometheus.Counter }

func (c counter) Inc(n int64) { c.Add(float64(n)) }

type gauge struct{ prometheus.Gauge }

func (g gauge) Update(v float64) { g.Set(v) }

type timer struct{ prometheus.Observer }

func (t timer) Record(d time.Duration) { t.Observe(d.Seconds()) }
