package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
)

// Backlog is what waits in a queue for a worker to take it.
type Backlog struct {
	Queue string
	Tasks int64         // about
	Age   time.Duration // of the oldest
}

// Backlogs returns what waits in every queue in which something does, the flows among them.
func (a *Attendance) Backlogs(ctx context.Context) ([]Backlog, error) {
	var all []Backlog
	for _, name := range append(slices.Clone(a.queues), queue.Flows) {
		b := Backlog{Queue: name}
		for _, kind := range []enumspb.TaskQueueType{enumspb.TASK_QUEUE_TYPE_ACTIVITY, enumspb.TASK_QUEUE_TYPE_WORKFLOW} {
			if kind == enumspb.TASK_QUEUE_TYPE_WORKFLOW && name != queue.Flows {
				continue // workflows are served from one queue
			}
			found, err := a.temporal.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{Namespace: a.namespace,
				TaskQueue: &taskqueuepb.TaskQueue{Name: name}, TaskQueueType: kind, ReportStats: true})
			if err != nil {
				return nil, fmt.Errorf("find what waits in %s: %w", name, err)
			}
			b.Tasks += found.GetStats().GetApproximateBacklogCount()
			b.Age = max(b.Age, found.GetStats().GetApproximateBacklogAge().AsDuration())
		}
		if b.Tasks > 0 {
			all = append(all, b)
		}
	}
	return all, nil
}

// AllUnserved lists the queues that nobody serves. It is not known before workers have had the time to say something, nor while Temporal
// cannot be heard.
func (a *Attendance) AllUnserved() (all []region.Unserved, known bool) {
	return a.allUnserved(time.Now())
}

func (a *Attendance) allUnserved(now time.Time) (all []region.Unserved, known bool) {
	a.mu.Lock()
	known = !a.began.IsZero() && now.Sub(a.began) > heardWithin && now.Sub(a.listened) <= heardWithin
	a.mu.Unlock()
	for _, name := range a.queues {
		if u := a.unserved(name, now); u != nil {
			all = append(all, *u)
		}
	}
	return all, known
}
