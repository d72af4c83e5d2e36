package telemetry_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/baggage"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/m3o/platform/internal/telemetry"
)

// setup makes signals whose lines and spans the test can read.
func setup(t *testing.T, s telemetry.Settings) (*telemetry.Signals, *bytes.Buffer, *tracetest.SpanRecorder) {
	t.Helper()
	var lines bytes.Buffer
	s.Service, s.Log = "m3o-test", &lines
	signals, err := telemetry.Setup(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	spans := tracetest.NewSpanRecorder()
	signals.Traces().(*sdktrace.TracerProvider).RegisterSpanProcessor(spans)
	return signals, &lines, spans
}

func TestLinesBearTheirTrace(t *testing.T) {
	signals, lines, _ := setup(t, telemetry.Settings{})
	ctx, span := signals.Traces().Tracer("test").Start(t.Context(), "work")
	ids := "trace_id=" + span.SpanContext().TraceID().String() + " span_id=" + span.SpanContext().SpanID().String()
	for name, log := range map[string]func(context.Context, string, ...any){
		"logger": signals.Logger.InfoContext, "default": slog.InfoContext, "with attributes": signals.Logger.With("a", "b").InfoContext,
	} {
		lines.Reset()
		log(ctx, "hello")
		if got := lines.String(); !strings.Contains(got, ids) || !strings.Contains(got, "hello") {
			t.Errorf("%s: %q lacks %s", name, got, ids)
		}
	}
	lines.Reset()
	signals.Logger.WithGroup("g").InfoContext(ctx, "hello")
	if got := lines.String(); !strings.Contains(got, "trace_id="+span.SpanContext().TraceID().String()) {
		t.Errorf("in a group: %q lacks the trace", got)
	}
	lines.Reset()
	signals.Logger.InfoContext(t.Context(), "hello")
	if got := lines.String(); strings.Contains(got, "trace_id") {
		t.Errorf("outside of a trace: %q", got)
	}
}

func TestLinesBelowTheLevelAreDropped(t *testing.T) {
	signals, lines, _ := setup(t, telemetry.Settings{Level: slog.LevelWarn})
	signals.Logger.InfoContext(t.Context(), "hello")
	if lines.Len() > 0 {
		t.Errorf("got %q", lines)
	}
}

// TestOutsideCallsAreTracedDiscreetly: the callee is told the trace, and no baggage; the span tells no query, no user and no header.
func TestOutsideCallsAreTracedDiscreetly(t *testing.T) {
	signals, _, spans := setup(t, telemetry.Settings{})
	got := http.Header{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	defer server.Close()
	member, err := baggage.NewMember("secret", "hush")
	if err != nil {
		t.Fatal(err)
	}
	bag, err := baggage.New(member)
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := signals.Traces().Tracer("test").Start(baggage.ContextWithBaggage(t.Context(), bag), "work")
	url := strings.Replace(server.URL, "http://", "http://ada:hush@", 1) + "/v2/vpcs?ticket=hush"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer hush")
	resp, err := (&http.Client{Transport: signals.Transport(http.DefaultTransport)}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if parent := got.Get("Traceparent"); !strings.Contains(parent, span.SpanContext().TraceID().String()) || got.Get("Baggage") != "" {
		t.Errorf("the callee is told trace %q and baggage %q", parent, got.Get("Baggage"))
	}
	ended := spans.Ended()
	if len(ended) != 1 || ended[0].Parent().SpanID() != span.SpanContext().SpanID() {
		t.Fatalf("got %d spans: %v", len(ended), ended)
	}
	where := ""
	for _, a := range ended[0].Attributes() {
		if strings.Contains(a.Value.String(), "hush") {
			t.Errorf("%s tells %s", a.Key, a.Value.String())
		}
		if a.Key == "url.full" {
			where = a.Value.String()
		}
	}
	if where != server.URL+"/v2/vpcs" {
		t.Errorf("the call went to %q", where)
	}
}

func TestTracesGoToTheCollector(t *testing.T) {
	received := make(chan string, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- r.URL.Path + " " + string(body)
	}))
	defer collector.Close()
	signals, _, _ := setup(t, telemetry.Settings{Endpoint: collector.URL + "/v1/traces", Region: "micro/lon1"})
	_, span := signals.Traces().Tracer("test").Start(t.Context(), "a-span-of-ours", trace.WithSpanKind(trace.SpanKindServer))
	span.End()
	if err := signals.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-received:
		if !strings.HasPrefix(got, "/v1/traces ") || !strings.Contains(got, "a-span-of-ours") || !strings.Contains(got, "m3o-test") || !strings.Contains(got, "micro/lon1") {
			t.Errorf("got %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
}

func TestAnEndpointMustBeAURL(t *testing.T) {
	for _, endpoint := range []string{"collector:4318", "ftp://collector", "https://", "::"} {
		if _, err := telemetry.Setup(t.Context(), telemetry.Settings{Log: io.Discard, Endpoint: endpoint}); err == nil || !strings.Contains(err.Error(), "is no URL") {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

func TestCallsToWhatUsersNameAreTracedByHostAlone(t *testing.T) {
	signals, _, spans := setup(t, telemetry.Settings{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	resp, err := (&http.Client{Transport: signals.TransportToHosts(http.DefaultTransport)}).Get(server.URL + "/services/hush")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	where := ""
	for _, a := range spans.Ended()[0].Attributes() {
		if where += a.Value.String() + " "; strings.Contains(a.Value.String(), "hush") {
			t.Errorf("%s tells %s", a.Key, a.Value.String())
		}
	}
	if !strings.Contains(where, server.URL+"/-") {
		t.Errorf("the call went to %q", where)
	}
}
