package lineage_test

import (
	"context"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/activity"
	temporalotel "go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/lineage"
)

const (
	asked = "0af7651916cd43dd8448eb211c80319c"
	kept  = "00-" + asked + "-b7ad6b7169203331-01"
)

// work does one thing under a trace that was kept, one that nobody asked for, and one of its own.
func work(ctx workflow.Context) error {
	for name, ctx := range map[string]workflow.Context{"Own": ctx, "Asked": lineage.Under(ctx, kept), "Unasked": lineage.Under(ctx, ""), "Broken": lineage.Under(ctx, "00-what-01")} {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Second})
		if err := workflow.ExecuteActivity(ctx, name).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func play(t *testing.T, tracing ...interceptor.WorkerInterceptor) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: tracing})
	for _, name := range []string{"Own", "Asked", "Unasked", "Broken"} {
		env.RegisterActivityWithOptions(func(context.Context) error { return nil }, activity.RegisterOptions{Name: name})
	}
	env.ExecuteWorkflow(work)
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
}

func TestWorkIsInTheTraceOfWhoeverAskedForIt(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tracer, err := temporalotel.NewTracer(temporalotel.TracerOptions{Tracer: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")})
	if err != nil {
		t.Fatal(err)
	}
	play(t, lineage.Interceptor(tracer))
	in := map[string]trace.TraceID{}
	for _, s := range spans.Ended() {
		in[s.Name()] = s.SpanContext().TraceID()
	}
	run := in["RunWorkflow:work"]
	for name, right := range map[string]bool{
		"Own": in["RunActivity:Own"] == run, "Asked": in["RunActivity:Asked"].String() == asked,
		"Unasked": in["RunActivity:Unasked"] != run && in["RunActivity:Unasked"].IsValid(),
		"Broken":  in["RunActivity:Broken"] != run && in["RunActivity:Broken"].IsValid(),
	} {
		if !right {
			t.Errorf("%s is in the wrong trace, of %v", name, in)
		}
	}
}

// TestWithoutTracing: workflows run as they do under tracing.
func TestWithoutTracing(t *testing.T) { play(t) }

func TestATraceOutsideOfWorkflows(t *testing.T) {
	ctx, span := sdktrace.NewTracerProvider().Tracer("test").Start(t.Context(), "work")
	want := "00-" + span.SpanContext().TraceID().String() + "-" + span.SpanContext().SpanID().String() + "-01"
	if got := lineage.In(ctx); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := lineage.In(t.Context()); got != "" {
		t.Errorf("outside of a trace: %q", got)
	}
}
