package control

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/m3o/platform/internal/region"
)

// listener hears what a test says, at the test's own time.
type listener struct {
	*Attendance
	t   *testing.T
	now time.Time
}

func newListener(t *testing.T) *listener {
	return &listener{t: t, Attendance: NewAttendance(nil, ""), now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}
}

// after lets time go by in which the worker of aws says something every ten seconds, by a clock that is wrong by so much; "" is none.
func (l *listener) after(d time.Duration, worker string, wrong time.Duration) {
	for end := l.now.Add(d); l.now.Before(end); {
		l.now = l.now.Add(5 * time.Second)
		present := map[string]map[string]time.Time{}
		if worker != "" {
			present["cloud-aws"] = map[string]time.Time{worker: l.now.Truncate(10 * time.Second).Add(wrong)}
		}
		l.take(l.now, present, nil)
	}
}

func (l *listener) want(words string) {
	l.t.Helper()
	got := "served"
	if u := l.unserved("cloud-aws", l.now); u != nil {
		got = u.String()
	}
	if !strings.Contains(got, words) {
		l.t.Errorf("at %s: %s, want %q", l.now.Format(time.TimeOnly), got, words)
	}
}

func TestAWorkerThatFallsSilentIsMissed(t *testing.T) {
	for name, wrong := range map[string]time.Duration{"right clocks": 0, "a clock that is late": -time.Hour, "a clock that is early": time.Hour} {
		t.Run(name, func(t *testing.T) {
			l := newListener(t)
			l.after(time.Minute, "w1", wrong)
			l.want("served")
			dead := map[string]map[string]time.Time{"cloud-aws": {"w1": l.now.Add(wrong)}}
			last := l.now.Add(wrong)
			for range 7 {
				l.take(l.now, dead, nil)
				l.want("served")
				l.now = l.now.Add(5 * time.Second)
			}
			l.now = l.now.Add(5 * time.Second)
			l.take(l.now, dead, nil)
			l.want("nobody serves cloud-aws, since " + last.Format(time.DateTime) + " UTC: start its worker (m3o worker --queues cloud-aws)")
			l.after(10*time.Minute, "", 0) // Temporal has forgotten it; what was heard is not forgotten
			l.want("since " + last.Format(time.DateTime))
			l.after(10*time.Second, "w2", 0)
			l.want("served")
		})
	}
}

func TestOneWorkerOfTwoIsEnough(t *testing.T) {
	l := newListener(t)
	l.after(time.Minute, "w1", time.Hour)
	l.after(10*time.Minute, "w2", 0) // its clock never comes to what the other's said
	l.want("served")
}

func TestAQueueThatNobodyEverServedIsMissed(t *testing.T) {
	l := newListener(t)
	l.want("served") // nothing was heard yet: that says nothing
	began := l.now.Add(5 * time.Second)
	l.after(30*time.Second, "", 0)
	l.want("served")
	l.after(time.Minute, "", 0)
	l.want("at least since " + began.Format(time.DateTime))
	l.now = l.now.Add(time.Minute) // Temporal cannot be heard
	l.want("served")
}

// Where Temporal keeps no heartbeats, polls tell, which take up to a minute.
func TestPollsAreHeardWhereHeartbeatsAreNot(t *testing.T) {
	l := newListener(t)
	polled := l.now.Add(time.Second)
	l.now = l.now.Add(5 * time.Second)
	for range 18 {
		l.take(l.now, nil, map[string]time.Time{"cloud-aws": polled})
		l.want("served")
		l.now = l.now.Add(5 * time.Second)
	}
	l.now = l.now.Add(10 * time.Second)
	l.take(l.now, nil, map[string]time.Time{"cloud-aws": polled})
	l.want("since " + polled.Format(time.DateTime))
}

func TestNothingIsSaidOfOtherQueues(t *testing.T) {
	l := newListener(t)
	l.after(5*time.Minute, "", 0)
	if u := l.unserved("flows", l.now); u != nil {
		t.Errorf("of the flows: %s", u)
	}
	if u := (*Attendance)(nil).Unserved(region.AWS); u != nil {
		t.Errorf("without attendance: %s", u)
	}
}

// older is a Temporal from before workers told it of themselves: it knows who polled.
type older struct {
	workflowservice.UnimplementedWorkflowServiceServer
	polled  time.Time
	waiting map[string]*taskqueuepb.TaskQueueStats // by queue and type
}

func (o older) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

func (o older) DescribeTaskQueue(_ context.Context, in *workflowservice.DescribeTaskQueueRequest) (*workflowservice.DescribeTaskQueueResponse, error) {
	if in.GetReportStats() {
		return &workflowservice.DescribeTaskQueueResponse{Stats: o.waiting[in.GetTaskQueue().GetName()+" "+in.GetTaskQueueType().String()]}, nil
	}
	if in.GetTaskQueue().GetName() != "cloud-aws" {
		return &workflowservice.DescribeTaskQueueResponse{}, nil
	}
	return &workflowservice.DescribeTaskQueueResponse{Pollers: []*taskqueuepb.PollerInfo{{LastAccessTime: timestamppb.New(o.polled)}}}, nil
}

// served is a client of a Temporal.
func served(t *testing.T, o older) client.Client {
	t.Helper()
	listening, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(server, o)
	go func() { _ = server.Serve(listening) }()
	t.Cleanup(server.Stop)
	c, err := client.Dial(client.Options{HostPort: listening.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Of workflows, only the flows' queue is asked: they are served from no other.
func TestWhatWaitsInQueuesIsKnown(t *testing.T) {
	stats := func(n int64, age time.Duration) *taskqueuepb.TaskQueueStats {
		return &taskqueuepb.TaskQueueStats{ApproximateBacklogCount: n, ApproximateBacklogAge: durationpb.New(age)}
	}
	a := NewAttendance(served(t, older{waiting: map[string]*taskqueuepb.TaskQueueStats{"build Activity": stats(3, time.Minute), "flows Activity": stats(1, time.Second),
		"flows Workflow": stats(2, time.Hour), "cloud-aws Workflow": stats(9, time.Hour)}}), "")
	got, err := a.Backlogs(t.Context())
	want := []Backlog{{Queue: "build", Tasks: 3, Age: time.Minute}, {Queue: "flows", Tasks: 3, Age: time.Hour}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

func TestWhoHasJustBegunToListenKnowsNothing(t *testing.T) {
	l := newListener(t)
	for _, c := range []struct {
		listens time.Duration
		known   bool
	}{{0, false}, {30 * time.Second, false}, {time.Minute, true}} {
		l.after(c.listens, "w1", 0)
		all, known := l.allUnserved(l.now)
		if known != c.known {
			t.Errorf("after %s: known: %t", c.listens, known)
		}
		if aws := slices.ContainsFunc(all, func(u region.Unserved) bool { return u.Queue == "cloud-aws" }); aws {
			t.Error("a queue that is served is not")
		}
	}
	l.now = l.now.Add(time.Minute) // Temporal cannot be heard
	if _, known := l.allUnserved(l.now); known {
		t.Error("what is not heard is known")
	}
}

func TestAnOlderTemporalSaysWhoPolls(t *testing.T) {
	polled := time.Now().Add(-time.Minute)
	a := NewAttendance(served(t, older{polled: polled}), "")
	if err := a.listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if u := a.unserved("cloud-aws", time.Now()); u != nil {
		t.Errorf("polled a minute ago: %s", u)
	}
	if got := a.heard["cloud-aws"].said; !got.Equal(polled) {
		t.Errorf("heard of at %s, want the poll at %s", got, polled)
	}
}
