//go:build embedded

package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/dev/engine"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// The server and the client of all tests here. The workflows are small ones that behave towards callers as the real ones
// may: they continue as new after every command, close under commands, refuse, and fail.
var (
	dialled  client.Client
	flows    *control.Flows
	address  string
	converts control.Converters // of the client
	ledger   = struct {
		sync.Mutex
		done map[string]int // how often a command was carried out, by its id
		runs map[string]int // how often a workflow began, by its id
	}{done: map[string]int{}, runs: map[string]int{}}
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "control")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		panic(err)
	}
	logger := slog.New(slog.DiscardHandler)
	server, err := engine.Start(ctx, engine.Config{Dir: dir, Port: port, Namespace: control.Namespace, Retention: 24 * time.Hour, Logger: logger})
	if err != nil {
		panic(err)
	}
	defer server.Stop()
	address = server.Address
	k, err := control.LoadOrCreateKeys(dir + "/keys.json")
	if err != nil {
		panic(err)
	}
	codec, err := control.NewCodec(k)
	if err != nil {
		panic(err)
	}
	if dialled, err = control.Dial(ctx, control.Settings{Address: server.Address, Codec: codec, Logger: logger}); err != nil {
		panic(err)
	}
	defer dialled.Close()
	converts = codec.Converters()
	flows = control.NewFlows(dialled, converts)
	w := worker.New(dialled, queue.Flows, worker.Options{DisableRegistrationAliasing: true})
	for name, function := range map[string]any{release.OperateWorkflow: operateService, region.OperateWorkflow: operateRegion, region.PlanWorkflow: plan, region.ApplyWorkflow: applyPlan} {
		w.RegisterWorkflowWithOptions(function, workflow.RegisterOptions{Name: name})
	}
	w.RegisterActivityWithOptions(count, activity.RegisterOptions{Name: "count"})
	if err := w.Start(); err != nil {
		panic(err)
	}
	defer w.Stop()
	return m.Run()
}

func count(_ context.Context, id string) error {
	ledger.Lock()
	defer ledger.Unlock()
	ledger.done[id]++
	return nil
}

func begun(id string) int {
	ledger.Lock()
	defer ledger.Unlock()
	return ledger.runs[id]
}

// operateService carries out a deploy once per id. It continues as new after every few commands, and closes after some.
func operateService(ctx workflow.Context, in release.OperateInput) error {
	book, closing, taken := in.State.Answers, false, 0
	err := workflow.SetUpdateHandler(ctx, release.DeployUpdate, func(ctx workflow.Context, r release.Request) (release.Accepted, error) {
		id := workflow.GetCurrentUpdateInfo(ctx).ID
		if known, found := book.Find(id); found {
			return known, nil
		}
		call := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second})
		if err := workflow.ExecuteActivity(call, "count", id).Get(ctx, nil); err != nil {
			return release.Accepted{}, err
		}
		taken++
		accepted := release.Accepted{Service: in.Key, Release: len(book.Order) + 1}
		book.Remember(id, accepted)
		closing = r.Spec.Health == "/close"
		return accepted, nil
	})
	if err != nil {
		return err
	}
	if err := workflow.Await(ctx, func() bool { return taken > 0 && workflow.AllHandlersFinished(ctx) }); err != nil || closing {
		return err
	}
	return workflow.NewContinueAsNewError(ctx, release.OperateWorkflow, release.OperateInput{Key: in.Key, State: release.State{Answers: book}})
}

// operateRegion refuses, fails or takes its time, as the plan's name says.
func operateRegion(ctx workflow.Context, in region.OperateInput) error {
	over, abandons := false, false
	var first bool
	count := func(workflow.Context) any {
		ledger.Lock()
		defer ledger.Unlock()
		ledger.runs[in.Key.Name]++
		return ledger.runs[in.Key.Name] == 1
	}
	if err := workflow.SideEffect(ctx, count).Get(&first); err != nil {
		return err
	}
	handler := func(ctx workflow.Context, a region.ApplyInput) (region.Accepted, error) {
		defer func() { over = a.Plan == "close" }()
		switch a.Plan {
		case "fail":
			return region.Accepted{}, temporal.NewNonRetryableApplicationError("the cloud says no", string(fault.Quota), nil)
		case "abandon": // its first life ends with the command in its hands
			if abandons = first; abandons {
				return region.Accepted{}, workflow.Sleep(ctx, time.Hour)
			}
		case "sleep":
			return region.Accepted{}, workflow.Sleep(ctx, time.Hour)
		}
		return region.Accepted{Operation: 1}, nil
	}
	validator := func(_ workflow.Context, a region.ApplyInput) error {
		if a.Plan == "refuse" {
			return temporal.NewNonRetryableApplicationError("region "+in.Key.Name+" is being removed", string(fault.Conflict), nil)
		}
		return nil
	}
	if err := workflow.SetUpdateHandlerWithOptions(ctx, region.ApplyUpdate, handler, workflow.UpdateHandlerOptions{Validator: validator}); err != nil {
		return err
	}
	if err := workflow.SetQueryHandler(ctx, region.ProgressQuery, func() (region.Progress, error) { return region.Progress{Stage: "network", Of: 5}, nil }); err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return abandons || over && workflow.AllHandlersFinished(ctx) })
}

// plan fails for the first time when it is to be destroyed.
func plan(ctx workflow.Context, in region.PlanInput) (region.Plan, error) {
	var first bool
	count := func(workflow.Context) any {
		ledger.Lock()
		defer ledger.Unlock()
		ledger.runs[in.ID]++
		return ledger.runs[in.ID] == 1
	}
	if err := workflow.SideEffect(ctx, count).Get(&first); err != nil {
		return region.Plan{}, err
	}
	if in.Destroy && first {
		return region.Plan{}, temporal.NewNonRetryableApplicationError("the token is not valid", string(fault.Unauthenticated), nil)
	}
	return region.Plan{ID: in.ID}, nil
}

// applyPlan fails for the first time.
func applyPlan(ctx workflow.Context, in region.ApplyPlanInput) (region.Plan, error) {
	return plan(ctx, region.PlanInput{ID: in.Plan, Destroy: true})
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func deployOf(name, health string) release.Request {
	return release.Request{Service: release.Key{Project: "default", Name: name}, Spec: release.Spec{Health: health, Env: map[string]string{"PASSWORD": marker}}, By: "ada"}
}

func TestACommandStartsWhatItIsFor(t *testing.T) {
	ctx := within(t, 30*time.Second)
	got, err := flows.DeployService(ctx, "first", deployOf("starts", ""))
	if err != nil || got.Release != 1 || got.Service.Name != "starts" {
		t.Fatalf("answered %+v, %v", got, err)
	}
	again, err := flows.DeployService(ctx, "first", deployOf("starts", ""))
	if err != nil || again != got {
		t.Fatalf("the repetition was answered %+v, %v", again, err)
	}
}

// storm sends commands from many callers at once, and fails the test for each that was not done exactly once.
func storm(t *testing.T, name string, times int, health func(i int) string) {
	t.Helper()
	ctx := within(t, 2*time.Minute)
	var all sync.WaitGroup
	for caller := range 6 {
		all.Go(func() {
			for n := range 4 {
				i := caller*4 + n
				for range times {
					if _, err := flows.DeployService(ctx, fmt.Sprintf("%s-%d", name, i), deployOf(name, health(i))); err != nil {
						t.Errorf("command %d: %v", i, err)
					}
				}
			}
		})
	}
	all.Wait()
	ledger.Lock()
	defer ledger.Unlock()
	for i := range 24 {
		if n := ledger.done[fmt.Sprintf("%s-%d", name, i)]; n != 1 {
			t.Errorf("command %d was done %d times", i, n)
		}
	}
}

// TestEveryCommandIsDoneOnceThoughItsWorkflowContinuesAsNew: each is sent twice, as a caller does who lost the first answer.
func TestEveryCommandIsDoneOnceThoughItsWorkflowContinuesAsNew(t *testing.T) {
	storm(t, "renewed", 2, func(int) string { return "" })
}

// TestNoCommandIsLostThoughItsWorkflowCloses: what comes in the moment it closes goes to its next life.
func TestNoCommandIsLostThoughItsWorkflowCloses(t *testing.T) {
	storm(t, "closing", 1, func(i int) string {
		if i%3 == 0 {
			return "/close"
		}
		return ""
	})
}

func TestACommandThatAWorkflowTookToItsGraveIsSentAgain(t *testing.T) {
	got, err := flows.ApplyRegion(within(t, 30*time.Second), "grave", applyTo("grave", "abandon"))
	if err != nil || got.Operation != 1 {
		t.Errorf("answered %+v, %v", got, err)
	}
	if n := begun("grave"); n != 2 {
		t.Errorf("the workflow had %d lives, want 2", n)
	}
}

func TestTheAnswerOutlivesContinueAsNewAndTheEnd(t *testing.T) {
	ctx := within(t, time.Minute)
	first, err := flows.DeployService(ctx, "kept-1", deployOf("kept", ""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := flows.DeployService(ctx, "kept-2", deployOf("kept", "")); err != nil { // in the next run
		t.Fatal(err)
	}
	if again, err := flows.DeployService(ctx, "kept-1", deployOf("kept", "")); err != nil || again != first {
		t.Errorf("after it continued as new: %+v, %v", again, err)
	}
	last, err := flows.DeployService(ctx, "kept-3", deployOf("kept", "/close"))
	if err != nil {
		t.Fatal(err)
	}
	if err := dialled.GetWorkflow(ctx, last.Service.OperateID(), "").Get(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if again, err := flows.DeployService(ctx, "kept-3", deployOf("kept", "/close")); err != nil || again != last {
		t.Errorf("after it closed: %+v, %v", again, err)
	}
	ledger.Lock()
	defer ledger.Unlock()
	for _, id := range []string{"kept-1", "kept-2", "kept-3"} {
		if ledger.done[id] != 1 {
			t.Errorf("%s was done %d times", id, ledger.done[id])
		}
	}
}

func TestAPlanIsMadeOnce(t *testing.T) {
	ctx := within(t, 30*time.Second)
	for range 3 {
		if err := flows.PlanPlatform(ctx, region.PlanInput{ID: "once"}); err != nil {
			t.Fatal(err)
		}
		if err := flows.AwaitPlan(ctx, region.PlanID("once")); err != nil {
			t.Fatal(err)
		}
	}
	if n := begun("once"); n != 1 {
		t.Errorf("the plan was made %d times", n)
	}
}

func TestAPlanThatFailedIsMadeAgain(t *testing.T) {
	ctx := within(t, 30*time.Second)
	in := region.PlanInput{ID: "again", Destroy: true}
	if err := flows.PlanPlatform(ctx, in); err != nil {
		t.Fatal(err)
	}
	if err := flows.AwaitPlan(ctx, region.PlanID("again")); !fault.Is(err, fault.Unauthenticated) || fault.Message(err) != "the token is not valid" {
		t.Fatalf("the first try ended with %v", err)
	}
	if err := flows.PlanPlatform(ctx, in); err != nil {
		t.Fatal(err)
	}
	if err := flows.AwaitPlan(ctx, region.PlanID("again")); err != nil {
		t.Errorf("the second try ended with %v", err)
	}
	answer, err := flows.AwaitWorkflow(ctx, region.PlanID("again"))
	if err != nil || !strings.Contains(string(answer), `"id":"again"`) {
		t.Errorf("its answer is %s, %v", answer, err)
	}
}

func TestAPlanThatWasHalfCarriedOutIsNotCarriedOutAgain(t *testing.T) {
	ctx := within(t, 30*time.Second)
	for range 2 {
		if err := flows.ApplyPlan(ctx, region.ApplyPlanInput{Plan: "half"}); err != nil {
			t.Fatal(err)
		}
		if err := flows.AwaitPlan(ctx, region.ApplyID("half")); fault.Message(err) != "the token is not valid" {
			t.Errorf("it ended with %v", err)
		}
	}
	if n := begun("half"); n != 1 {
		t.Errorf("it was carried out %d times", n)
	}
}

func applyTo(name, how string) region.ApplyInput {
	return region.ApplyInput{Plan: how, Spec: region.Spec{Platform: "micro", Name: name, Provider: region.DigitalOcean}}
}

func TestWhatAWorkflowRefusesComesBackAsTheFaultThatItWas(t *testing.T) {
	ctx := within(t, 30*time.Second)
	for how, want := range map[string]struct {
		kind  fault.Kind
		words string
	}{"refuse": {fault.Conflict, "region lon1 is being removed"}, "fail": {fault.Quota, "the cloud says no"}} {
		_, err := flows.ApplyRegion(ctx, "a-"+how, applyTo("lon1", how))
		if fault.Of(err) != want.kind || fault.Message(err) != want.words {
			t.Errorf("%s came back as %s %q (%v)", how, fault.Of(err), fault.Message(err), err)
		}
	}
}

func TestACommandThatIsNotAnsweredInTime(t *testing.T) {
	_, err := flows.ApplyRegion(within(t, 2*time.Second), "slow", applyTo("slow", "sleep"))
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.Message(err), "did not answer in time; the work itself goes on") {
		t.Errorf("it came back as %s %q", fault.Of(err), fault.Message(err))
	}
}

func TestWhoIsNotThere(t *testing.T) {
	ctx := within(t, 30*time.Second)
	nobody := release.Key{Project: "default", Name: "nobody"}
	if _, err := flows.ServiceProgress(ctx, nobody); !fault.Is(err, fault.NotFound) {
		t.Errorf("a question: %v", err)
	}
	if err := flows.RegionReady(ctx, nobody, release.RegionFact{Region: "lon1"}); err != nil {
		t.Errorf("a fact: %v", err)
	}
}

func TestAQuestionIsAnswered(t *testing.T) {
	ctx := within(t, 30*time.Second)
	if _, err := flows.ApplyRegion(ctx, "q", applyTo("asked", "")); err != nil {
		t.Fatal(err)
	}
	p, err := flows.RegionProgress(ctx, region.Key{Platform: "micro", Name: "asked"})
	if err != nil || p.Stage != "network" || p.Of != 5 {
		t.Errorf("answered %+v, %v", p, err)
	}
}

func TestARunThatSomebodyEndsIsNoOutageOfTheEngine(t *testing.T) {
	ctx := within(t, 30*time.Second)
	if _, err := flows.ApplyRegion(ctx, "t", applyTo("ended", "")); err != nil {
		t.Fatal(err)
	}
	id := region.Key{Platform: "micro", Name: "ended"}.OperateID()
	if err := dialled.TerminateWorkflow(ctx, id, "", "by hand"); err != nil {
		t.Fatal(err)
	}
	if _, err := flows.AwaitWorkflow(ctx, id); !fault.Is(err, fault.Failed) {
		t.Errorf("it came back as %s: %v", fault.Of(err), err)
	}
}

// TestStoredHistoriesHoldCiphertext reads what the server keeps, without the codec.
func TestStoredHistoriesHoldCiphertext(t *testing.T) {
	ctx := within(t, 30*time.Second)
	got, err := flows.DeployService(ctx, "secret", deployOf("secret", "/close"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := flows.ApplyRegion(ctx, "b-fail", applyTo("quoted", "fail")); err == nil {
		t.Fatal("it did not fail")
	}
	encrypted := 0
	for _, id := range []string{got.Service.OperateID(), region.Key{Platform: "micro", Name: "quoted"}.OperateID()} {
		for events := dialled.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
			e, err := events.Next()
			if err != nil {
				t.Fatal(err)
			}
			raw, err := proto.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range []string{marker, "PASSWORD", "the cloud says no"} {
				if bytes.Contains(raw, []byte(word)) {
					t.Errorf("event %d (%s) of %s holds %q", e.EventId, e.EventType, id, word)
				}
			}
			encrypted += bytes.Count(raw, []byte("binary/encrypted"))
		}
	}
	if encrypted < 5 {
		t.Errorf("%d encrypted payloads in the histories; is the codec in use?", encrypted)
	}
}

func TestTemporalThatIsAwayIsSaidSo(t *testing.T) {
	k, err := control.LoadOrCreateKeys(t.TempDir() + "/keys.json")
	if err != nil {
		t.Fatal(err)
	}
	codec, err := control.NewCodec(k)
	if err != nil {
		t.Fatal(err)
	}
	_, err = control.Dial(within(t, 2*time.Second), control.Settings{Address: "127.0.0.1:1", Codec: codec, Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "reach Temporal at 127.0.0.1:1") {
		t.Errorf("got %v", err)
	}
	if errors.Is(err, context.Canceled) {
		t.Error("it was cancelled")
	}
}
