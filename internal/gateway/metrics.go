package gateway

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m3o/platform/internal/release"
)

// maxSeries bounds how many services have figures of their own; the rest share one.
const maxSeries = 2000

// otherServices are the requests for services that do not exist or are too many to tell apart.
var otherServices = release.Key{Project: "other", Name: "other"}

// metrics are rate, errors and duration by service. Only services that exist have a series, so that a caller cannot make
// any.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	retries  prometheus.Counter

	mu     sync.Mutex
	series atomic.Pointer[map[release.Key]*series]
}

// series are the figures of one service, found once and not with every request.
type series struct {
	classes  [6]prometheus.Counter
	duration prometheus.Observer
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "m3o_gateway_requests_total",
			Help: "Requests by service and class of answer; 4xx holds callers that left, too."}, []string{"project", "service", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "m3o_gateway_request_duration_seconds",
			Help: "Time from a request's header to the end of its answer.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}},
			[]string{"project", "service"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "m3o_gateway_requests_in_flight", Help: "Requests, streams and upgraded connections now."}),
		retries:  prometheus.NewCounter(prometheus.CounterOpts{Name: "m3o_gateway_retries_total", Help: "Requests that were sent to a second endpoint, or a third."}),
	}
	m.series.Store(&map[release.Key]*series{})
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.inFlight, m.retries} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register the gateway's metrics: %w", err)
		}
	}
	return m, nil
}

// of finds the series of a service that exists.
func (m *metrics) of(key release.Key) *series {
	if s, ok := (*m.series.Load())[key]; ok {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	before := *m.series.Load()
	if s, ok := before[key]; ok {
		return s
	}
	if len(before) >= maxSeries && key != otherServices {
		key = otherServices
		if s, ok := before[key]; ok {
			return s
		}
	}
	s := &series{duration: m.duration.WithLabelValues(key.Project, key.Name)}
	for class := range s.classes {
		s.classes[class] = m.requests.WithLabelValues(key.Project, key.Name, strconv.Itoa(class)+"xx")
	}
	after := make(map[release.Key]*series, len(before)+1)
	for k, v := range before {
		after[k] = v
	}
	after[key] = s
	m.series.Store(&after)
	return s
}

// keep drops the series of services that are gone.
func (m *metrics) keep(services map[release.Key]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := *m.series.Load()
	after := make(map[release.Key]*series, len(before))
	for key, s := range before {
		if services[key] || key == otherServices {
			after[key] = s
			continue
		}
		labels := prometheus.Labels{"project": key.Project, "service": key.Name}
		m.requests.DeletePartialMatch(labels)
		m.duration.DeletePartialMatch(labels)
	}
	m.series.Store(&after)
}

func (s *series) observe(status int, took time.Duration) {
	s.classes[min(max(status/100, 0), 5)].Inc()
	s.duration.Observe(took.Seconds())
}
