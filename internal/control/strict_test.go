//go:build embedded

package control_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/attribute"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/fault"
)

// order is what the workflow of these tests obeys.
type order struct{ Word string }

// obeyed are the orders that were carried out.
type obeyed struct {
	mu    sync.Mutex
	words map[string]bool
}

func (o *obeyed) note(words string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.words[words] = true
}

func (o *obeyed) did(words string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.words[words]
}

// servant is a worker with our keys, and stranger a client without them, on the tests' server.
type servant struct {
	*obeyed
	t        *testing.T
	ctx      context.Context
	queue    string
	stranger client.Client
	heard    chan struct{} // a heartbeat that was recorded
}

func newServant(t *testing.T) *servant {
	s := &servant{obeyed: &obeyed{words: map[string]bool{}}, t: t, ctx: within(t, time.Minute), queue: t.Name(), heard: make(chan struct{})}
	var err error
	s.stranger, err = client.DialContext(s.ctx, client.Options{HostPort: address, Namespace: control.Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
		FailureConverter: converts.Failures}) // it only reads why it was refused
	s.must(err)
	t.Cleanup(s.stranger.Close)
	w := worker.New(dialled, s.queue, worker.Options{DisableRegistrationAliasing: true})
	w.RegisterWorkflowWithOptions(s.obey, workflow.RegisterOptions{Name: "obey"})
	w.RegisterActivityWithOptions(func(context.Context, order) (order, error) { return order{}, activity.ErrResultPending }, activity.RegisterOptions{Name: "ask"})
	w.RegisterActivityWithOptions(s.beat, activity.RegisterOptions{Name: "beat"})
	s.must(w.Start())
	t.Cleanup(w.Stop)
	return s
}

func (s *servant) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// obey carries out what it is given to begin with, by signals and by updates, and what the activity that it is to call answers.
func (s *servant) obey(ctx workflow.Context, in order) error {
	s.note("input " + in.Word)
	update := func(_ workflow.Context, o order) error { s.note("update " + o.Word); return nil }
	if err := workflow.SetUpdateHandler(ctx, "order", update); err != nil {
		return err
	}
	if err := workflow.SetQueryHandler(ctx, "order", func(o order) (order, error) { s.note("query " + o.Word); return o, nil }); err != nil {
		return err
	}
	if err := workflow.SetQueryHandler(ctx, "status", func() (string, error) { return "at work", nil }); err != nil {
		return err
	}
	if call, asks := strings.CutPrefix(in.Word, "call "); asks {
		var answer order
		options := workflow.ActivityOptions{ActivityID: call, StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Millisecond, MaximumAttempts: 2}}
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), call, in).Get(ctx, &answer)
		s.note("answer " + answer.Word)
		return err
	}
	for {
		var o order
		workflow.GetSignalChannel(ctx, "order").Receive(ctx, &o)
		s.note("signal " + o.Word)
		if o.Word == "end" {
			return nil
		}
	}
}

// beat fails when somebody's heartbeat was recorded, and then reads it.
func (s *servant) beat(ctx context.Context, _ order) (order, error) {
	if activity.GetInfo(ctx).Attempt == 1 {
		<-s.heard
		return order{}, errors.New("again")
	}
	var last order
	err := activity.GetHeartbeatDetails(ctx, &last)
	s.note("heartbeat " + last.Word)
	return last, err
}

// start starts the workflow as we do.
func (s *servant) start(id, word string) client.WorkflowRun {
	s.t.Helper()
	run, err := dialled.ExecuteWorkflow(s.ctx, client.StartWorkflowOptions{ID: id, TaskQueue: s.queue}, "obey", order{word})
	s.must(err)
	return run
}

// refuses fails the test unless the error says that something was not encrypted.
func (s *servant) refuses(what string, err error) {
	s.t.Helper()
	if err == nil || !strings.Contains(err.Error(), "not encrypted") {
		s.t.Errorf("%s: %v", what, err)
	}
}

func (s *servant) update(c client.Client, id, word string) error {
	handle, err := c.UpdateWorkflow(s.ctx, client.UpdateWorkflowOptions{WorkflowID: id, UpdateName: "order", Args: []any{order{word}}, WaitForStage: client.WorkflowUpdateStageCompleted})
	if err != nil {
		return err
	}
	return handle.Get(s.ctx, nil)
}

// TestWhoReachesTemporalCommandsNothing: without our keys, nothing that is sent is obeyed, and all of it is with them.
func TestWhoReachesTemporalCommandsNothing(t *testing.T) {
	s := newServant(t)
	started := client.StartWorkflowOptions{ID: "strict-start", TaskQueue: s.queue}
	_, err := s.stranger.ExecuteWorkflow(s.ctx, started, "obey", order{"a stranger's"})
	s.must(err) // Temporal takes it
	s.refuses("a start", dialled.GetWorkflow(s.ctx, "strict-start", "").Get(s.ctx, nil))

	run := s.start("strict", "ours")
	s.must(s.stranger.SignalWorkflow(s.ctx, "strict", "", "order", order{"a stranger's"}))
	s.must(s.stranger.SignalWorkflow(s.ctx, "strict", "", "order", order{"end"}))
	started.ID = "strict"
	_, err = s.stranger.SignalWithStartWorkflow(s.ctx, "strict", "order", order{"end"}, started, "obey", order{"a stranger's"})
	s.must(err)
	s.refuses("an update", s.update(s.stranger, "strict", "a stranger's"))
	s.must(s.update(dialled, "strict", "ours"))
	s.must(dialled.SignalWorkflow(s.ctx, "strict", "", "order", order{"ours"}))
	s.must(dialled.SignalWorkflow(s.ctx, "strict", "", "order", order{"end"}))
	s.must(run.Get(s.ctx, nil))
	for _, how := range []string{"input", "signal", "update"} {
		if s.did(how+" a stranger's") || !s.did(how+" ours") {
			t.Errorf("%s: a stranger's was obeyed: %t; ours was: %t", how, s.did(how+" a stranger's"), s.did(how+" ours"))
		}
	}
}

// TestWhoReachesTemporalAnswersNothing: results, failures and heartbeats come from workers alone.
func TestWhoReachesTemporalAnswersNothing(t *testing.T) {
	s := newServant(t)
	ask := func(id string) client.WorkflowRun {
		run := s.start(id, "call ask")
		s.await(id, func(a string) bool { return a == "ask" })
		return run
	}
	run := ask("strict-result")
	s.must(s.stranger.CompleteActivityByID(s.ctx, control.Namespace, "strict-result", "", "ask", order{"forged"}, nil))
	s.refuses("a result", run.Get(s.ctx, nil))

	run = ask("strict-failure")
	plain, err := client.DialContext(s.ctx, client.Options{HostPort: address, Namespace: control.Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	s.must(err)
	defer plain.Close()
	s.must(plain.CompleteActivityByID(s.ctx, control.Namespace, "strict-failure", "", "ask", nil, temporal.NewNonRetryableApplicationError("forged words", "quota", nil)))
	err = run.Get(s.ctx, nil)
	var app *temporal.ApplicationError
	if s.refuses("a failure", err); strings.Contains(err.Error(), "forged") || errors.As(err, &app) && app.Type() == "quota" {
		t.Errorf("a failure was believed: %v", err)
	}

	run = s.start("strict-beat", "call beat")
	s.await("strict-beat", func(a string) bool { return a == "beat" })
	s.must(s.stranger.RecordActivityHeartbeatByID(s.ctx, control.Namespace, "strict-beat", "", "beat", order{"forged"}))
	close(s.heard)
	s.refuses("a heartbeat", run.Get(s.ctx, nil))
	if s.did("answer forged") || s.did("heartbeat forged") {
		t.Error("a stranger's answer was taken")
	}
}

// TestWhoSendsNothingCommandsNothing: what has no payload at all is no order of zero values. Handlers without arguments answer.
func TestWhoSendsNothingCommandsNothing(t *testing.T) {
	s := newServant(t)
	started := client.StartWorkflowOptions{ID: "strict-empty-start", TaskQueue: s.queue}
	_, err := s.stranger.ExecuteWorkflow(s.ctx, started, "obey")
	s.must(err) // Temporal takes it
	s.refuses("a start", dialled.GetWorkflow(s.ctx, "strict-empty-start", "").Get(s.ctx, nil))

	run := s.start("strict-empty", "ours")
	_, err = s.stranger.WorkflowService().SignalWorkflowExecution(s.ctx, &workflowservice.SignalWorkflowExecutionRequest{Namespace: control.Namespace, SignalName: "order",
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "strict-empty"}})
	s.must(err)
	handle, err := s.stranger.UpdateWorkflow(s.ctx, client.UpdateWorkflowOptions{WorkflowID: "strict-empty", UpdateName: "order", WaitForStage: client.WorkflowUpdateStageCompleted})
	if err == nil {
		err = handle.Get(s.ctx, nil)
	}
	s.refuses("an update", err)
	_, err = s.stranger.QueryWorkflow(s.ctx, "strict-empty", "", "order")
	s.refuses("a query", err)

	var status string
	answer, err := dialled.QueryWorkflow(s.ctx, "strict-empty", "", "status")
	s.must(err)
	if s.must(answer.Get(&status)); status != "at work" {
		t.Errorf("a query without arguments answers %q", status)
	}
	answer, err = dialled.QueryWorkflow(s.ctx, "strict-empty", "", "order", order{"ours"})
	s.must(err)
	s.must(answer.Get(&order{}))
	s.must(s.update(dialled, "strict-empty", "ours"))
	s.must(dialled.SignalWorkflow(s.ctx, "strict-empty", "", "order", order{"end"}))
	s.must(run.Get(s.ctx, nil))
	if answer, err := flows.AwaitWorkflow(s.ctx, "strict-empty"); !fault.Is(err, fault.Denied) {
		t.Errorf("the answer of a workflow that gave none is %s, %v", answer, err)
	}

	run = s.start("strict-empty-result", "call ask")
	s.await("strict-empty-result", func(a string) bool { return a == "ask" })
	s.must(s.stranger.CompleteActivityByID(s.ctx, control.Namespace, "strict-empty-result", "", "ask", nil, nil))
	s.refuses("a result", run.Get(s.ctx, nil))

	for _, how := range []string{"input ", "signal ", "update ", "query "} {
		if s.did(how) {
			t.Errorf("%swithout a payload was obeyed", how)
		}
	}
}

// await waits until the workflow's activity has begun.
func (s *servant) await(id string, begun func(activity string) bool) {
	s.t.Helper()
	for {
		d, err := dialled.DescribeWorkflowExecution(s.ctx, id, "")
		s.must(err)
		for _, a := range d.GetPendingActivities() {
			if a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED && begun(a.GetActivityId()) {
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestWhatOneWorkflowWasGivenCommandsNoOther: a stranger who reads histories has ciphertexts, and copies one.
func TestWhatOneWorkflowWasGivenCommandsNoOther(t *testing.T) {
	s := newServant(t)
	s.start("strict-a", "ours")
	s.must(dialled.SignalWorkflow(s.ctx, "strict-a", "", "order", order{"end"}))
	s.must(dialled.GetWorkflow(s.ctx, "strict-a", "").Get(s.ctx, nil))
	input, signal := s.given("strict-a")
	bound := string(signal.Payloads[0].Metadata["bound-to"])
	if bound != "strict-a" || string(input.Payloads[0].Metadata["bound-to"]) != "strict-a" {
		t.Fatalf("payloads belong to %q", bound)
	}
	run := s.start("strict-b", "ours, too")
	_, err := dialled.WorkflowService().SignalWorkflowExecution(s.ctx, &workflowservice.SignalWorkflowExecutionRequest{Namespace: control.Namespace, SignalName: "order",
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "strict-b"}, Input: signal})
	s.must(err)
	s.must(s.update(dialled, "strict-b", "ours")) // the signal has been read by then
	d, err := dialled.DescribeWorkflowExecution(s.ctx, "strict-b", "")
	s.must(err)
	if status := d.GetWorkflowExecutionInfo().GetStatus(); status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		t.Errorf("the signal of another ended it: %s", status)
	}
	s.must(dialled.SignalWorkflow(s.ctx, "strict-b", "", "order", order{"end"}))
	s.must(run.Get(s.ctx, nil))
}

// given are the payloads that a workflow began with, and of its first signal.
func (s *servant) given(id string) (input, signal *commonpb.Payloads) {
	for events := dialled.GetWorkflowHistory(s.ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		e, err := events.Next()
		s.must(err)
		switch a := e.Attributes.(type) {
		case *historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes:
			input = a.WorkflowExecutionStartedEventAttributes.Input
		case *historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes:
			signal = a.WorkflowExecutionSignaledEventAttributes.Input
		}
	}
	return input, signal
}

// TestWhatTheSDKLeavesPlainStillWorks: summaries are encrypted and read again, search attributes are plain and found.
func TestWhatTheSDKLeavesPlainStillWorks(t *testing.T) {
	s := newServant(t)
	_, err := dialled.ExecuteWorkflow(s.ctx, client.StartWorkflowOptions{ID: "strict-told", TaskQueue: s.queue, StaticSummary: "Obey orders", Memo: map[string]any{"by": "ada"},
		TypedSearchAttributes: temporal.NewSearchAttributes(attribute.Project.ValueSet("default"))}, "obey", order{"ours"})
	s.must(err)
	d, err := dialled.DescribeWorkflow(s.ctx, "strict-told", "")
	s.must(err)
	summary, err := d.GetStaticSummary()
	if err != nil || summary != "Obey orders" {
		t.Errorf("its summary is %q, %v", summary, err)
	}
	if project, found := d.TypedSearchAttributes.GetKeyword(attribute.Project); !found || project != "default" {
		t.Errorf("it is found under %q", project)
	}
	raw, err := dialled.DescribeWorkflowExecution(s.ctx, "strict-told", "")
	s.must(err)
	for what, p := range map[string]*commonpb.Payload{"summary": raw.GetExecutionConfig().GetUserMetadata().GetSummary(), "memo": raw.GetWorkflowExecutionInfo().GetMemo().GetFields()["by"]} {
		if string(p.GetMetadata()["encoding"]) != "binary/encrypted" {
			t.Errorf("Temporal keeps its %s as %s", what, p)
		}
	}
	s.must(dialled.SignalWorkflow(s.ctx, "strict-told", "", "order", order{"end"}))
}
