// Package lineage keeps work in the trace of whoever asked for it, when the one who does it is a workflow that lives for
// years: a command is answered long before its work begins, which may be in another run of the workflow.
//
// A trace is a W3C traceparent, plain text that a workflow keeps in its state beside what was asked for. It is taken from
// recorded history alone, so a replay finds the same; and it changes what is sent along with a workflow's commands, never
// the commands. The package is not how spans are made or exported: see internal/telemetry.
package lineage

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
)

// traceparent is the name that W3C gave to what we keep.
const traceparent = "traceparent"

type tracerKey struct{}
type commandKey struct{}

// Of is the trace of the command that ctx handles. Empty if there is none.
func Of(ctx workflow.Context) string {
	kept, _ := ctx.Value(commandKey{}).(string)
	return kept
}

// In is the trace that ctx is in, outside of workflows. Empty if there is none.
func In(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceparent]
}

// Under is for work that was asked for in a trace: what is started with its result belongs there. Work that nobody asked for
// belongs to a trace of its own, rather than to that of the first command there ever was.
func Under(ctx workflow.Context, kept string) workflow.Context {
	tracer, traced := ctx.Value(tracerKey{}).(interceptor.Tracer)
	if !traced {
		return ctx
	}
	outside := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{traceparent: kept})
	if !trace.SpanContextFromContext(outside).IsValid() {
		return workflow.WithValue(ctx, tracer.Options().SpanContextKey, nil)
	}
	return workflow.WithValue(ctx, tracer.Options().SpanContextKey, tracer.SpanFromContext(outside))
}

// Interceptor traces workflows, their activities and calls to them with the tracer, so that Of and Under know of it.
func Interceptor(tracer interceptor.Tracer) interceptor.Interceptor {
	return tracing{Interceptor: interceptor.NewTracingInterceptor(tracer), tracer: tracer}
}

type tracing struct {
	interceptor.Interceptor
	tracer interceptor.Tracer
}

func (t tracing) InterceptWorkflow(ctx workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	i := &inbound{tracer: t.tracer}
	i.Next = t.Interceptor.InterceptWorkflow(ctx, next)
	return i
}

// inbound tells a workflow's code what it cannot see by itself: the SDK takes headers away before that runs.
type inbound struct {
	interceptor.WorkflowInboundInterceptorBase
	tracer interceptor.Tracer
}

func (i *inbound) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	return i.Next.ExecuteWorkflow(workflow.WithValue(ctx, tracerKey{}, i.tracer), in)
}

func (i *inbound) ExecuteUpdate(ctx workflow.Context, in *interceptor.UpdateInput) (any, error) {
	return i.Next.ExecuteUpdate(workflow.WithValue(ctx, commandKey{}, i.sent(ctx)), in)
}

// sent is the trace in the header that came with a command.
func (i *inbound) sent(ctx workflow.Context) string {
	var header map[string]string
	payload := interceptor.WorkflowHeader(ctx)[i.tracer.Options().HeaderKey]
	if payload == nil || converter.GetDefaultDataConverter().FromPayload(payload, &header) != nil {
		return "" // a caller without a trace, or with one that is none of ours
	}
	return header[traceparent]
}
