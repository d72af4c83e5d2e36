// Package telemetry is how the platform is watched: OpenTelemetry traces from the HTTP request through workflow and
// activity to the cloud call, Prometheus metrics, and slog lines that carry the trace they belong to.
//
// It sets things up and offers no measuring of its own: packages count what they know about. Traces leave only where an
// OTLP endpoint is configured. The starter calls Setup once; everything may log with slog.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/client"
	temporalotel "go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"

	"github.com/m3o/platform/internal/lineage"
)

// Settings say where signals go. Endpoint is an OTLP/HTTP URL; empty keeps traces in the process.
type Settings struct {
	Service  string
	Version  string
	Endpoint string
	Region   string // that the process serves, platform/name; empty: none
	Log      io.Writer
	Level    slog.Level
}

// Signals are a process's means to be watched.
type Signals struct {
	Logger   *slog.Logger
	Registry *prometheus.Registry
	traces   *sdktrace.TracerProvider
	temporal client.MetricsHandler
}

// carried is what goes from process to process: the trace, and no baggage, in which a caller could send anything on through
// histories and to the clouds.
var carried = propagation.TraceContext{}

// Setup makes the signals, and makes them the process's defaults.
func Setup(ctx context.Context, s Settings) (*Signals, error) {
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(resource.NewSchemaless(s.attributes()...))}
	if s.Endpoint != "" {
		if err := CheckEndpoint(s.Endpoint); err != nil {
			return nil, err
		}
		exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(s.Endpoint))
		if err != nil {
			return nil, fmt.Errorf("export traces to %s: %w", s.Endpoint, err)
		}
		options = append(options, sdktrace.WithBatcher(exporter))
	}
	traces := sdktrace.NewTracerProvider(options...)
	otel.SetTracerProvider(traces)
	otel.SetTextMapPropagator(carried)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	logger := slog.New(traced{slog.NewTextHandler(s.Log, &slog.HandlerOptions{Level: s.Level})})
	slog.SetDefault(logger)
	return &Signals{Logger: logger, Registry: registry, traces: traces, temporal: newTemporalMetrics(registry)}, nil
}

// attributes are what all traces of the process carry.
func (s Settings) attributes() []attribute.KeyValue {
	all := []attribute.KeyValue{attribute.String("service.name", s.Service), attribute.String("service.version", s.Version)}
	if s.Region != "" {
		all = append(all, attribute.String("m3o.region", s.Region))
	}
	return all
}

// CheckEndpoint says what is wrong with an address for traces. The exporter would only log it, and send nothing.
func CheckEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("%q is no URL like https://collector:4318/v1/traces", endpoint)
	}
	return nil
}

// Close sends what has not been sent.
func (s *Signals) Close(ctx context.Context) error {
	return errors.Join(s.traces.ForceFlush(ctx), s.traces.Shutdown(ctx))
}

// Metrics serves the registry to Prometheus.
func (s *Signals) Metrics() http.Handler {
	return promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Traces makes the tracers of this process.
func (s *Signals) Traces() trace.TracerProvider { return s.traces }

// Interceptor carries traces through workflows and activities. It is for the client of Temporal alone: workers take it from
// theirs.
func (s *Signals) Interceptor() (interceptor.Interceptor, error) {
	tracer, err := temporalotel.NewTracer(temporalotel.TracerOptions{Tracer: s.traces.Tracer("temporal"), TextMapPropagator: carried, DisableBaggage: true})
	if err != nil {
		return nil, fmt.Errorf("trace workflows: %w", err)
	}
	return lineage.Interceptor(tracer), nil
}

// Transport carries traces to outside calls.
func (s *Signals) Transport(base http.RoundTripper) http.RoundTripper {
	return s.transport(discreet{RoundTripper: base})
}

// TransportToHosts is Transport for what users name: a path may hold a secret, so spans tell the host alone.
func (s *Signals) TransportToHosts(base http.RoundTripper) http.RoundTripper {
	return s.transport(discreet{RoundTripper: base, hostAlone: true})
}

func (s *Signals) transport(base discreet) http.RoundTripper {
	return otelhttp.NewTransport(base, otelhttp.WithTracerProvider(s.traces), otelhttp.WithPropagators(carried))
}

// discreet keeps queries out of spans: there is no telling what a provider takes there.
type discreet struct {
	http.RoundTripper
	hostAlone bool
}

func (d discreet) RoundTrip(r *http.Request) (*http.Response, error) {
	bare := url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host, Path: r.URL.Path}
	if d.hostAlone {
		bare.Path = "/-"
	}
	trace.SpanFromContext(r.Context()).SetAttributes(attribute.String("url.full", bare.String())) // the later value counts
	return d.RoundTripper.RoundTrip(r)
}

// Temporal counts what Temporal's client and workers do.
func (s *Signals) Temporal() client.MetricsHandler { return s.temporal }
