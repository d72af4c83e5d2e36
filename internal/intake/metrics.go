package intake

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// Metrics count what comes in. Nil counts nothing.
type Metrics struct{ requests, signals *prometheus.CounterVec }

// NewMetrics makes them.
func NewMetrics() *Metrics {
	return &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "m3o_intake_requests_total", Help: "Requests with alerts, by what came of them: accepted, or why not."}, []string{"result"}),
		signals:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "m3o_intake_signals_total", Help: "Signals that were kept, by their source's format."}, []string{"source"}),
	}
}

// Collectors are what to register.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.signals}
}

// Took counts a request with its signals, which were kept unless there is an error.
func (m *Metrics) Took(signals []alert.Signal, err error) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(result(err)).Inc()
	if err != nil {
		return
	}
	for _, s := range signals {
		m.signals.WithLabelValues(string(s.Source)).Inc()
	}
}

// result is one of few words: that a request was accepted, or the kind of its refusal.
func result(err error) string {
	var known *fault.Error
	switch {
	case err == nil:
		return "accepted"
	case errors.As(err, &known):
		return string(known.Kind)
	}
	return "refused"
}
