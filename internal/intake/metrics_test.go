package intake

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

func TestWhatComesInIsCountedBySourceAndWhatIsRefusedByReason(t *testing.T) {
	m := NewMetrics()
	m.Took([]alert.Signal{{Source: alert.FromGrafana}, {Source: alert.FromAPI}, {Source: alert.FromAPI}}, nil)
	m.Took([]alert.Signal{{Source: alert.FromAPI}}, fault.New(fault.Throttled, "too many"))
	m.Took(nil, errors.New("the body is larger"))
	(*Metrics)(nil).Took(nil, nil)
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.Collectors()...)
	err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP m3o_intake_requests_total Requests with alerts, by what came of them: accepted, or why not.
# TYPE m3o_intake_requests_total counter
m3o_intake_requests_total{result="accepted"} 1
m3o_intake_requests_total{result="refused"} 1
m3o_intake_requests_total{result="throttled"} 1
# HELP m3o_intake_signals_total Signals that were kept, by their source's format.
# TYPE m3o_intake_signals_total counter
m3o_intake_signals_total{source="api"} 2
m3o_intake_signals_total{source="grafana"} 1
`))
	if err != nil {
		t.Error(err)
	}
}
