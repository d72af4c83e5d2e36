package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
)

// How workers are heard of: by what they tell Temporal every few seconds, and where Temporal does not keep that, by their polls, each
// of which takes up to a minute.
const (
	heartbeatEvery = 10 * time.Second
	heardWithin    = 35 * time.Second
	polledWithin   = 95 * time.Second
	listenEvery    = 5 * time.Second
	listenPages    = 10 // of 500 workers
	listenWorkers  = 20 // of one queue: one that lives is enough
)

// Attendance knows which queues somebody serves, and which nobody does since when. It knows of what it has listened to: Temporal
// forgets a worker after five minutes. The zero value and nil have heard nothing, and say nothing.
type Attendance struct {
	temporal  client.Client
	namespace string
	queues    []string

	mu       sync.Mutex
	began    time.Time
	listened time.Time
	told     map[string]time.Time // what each worker said last, by its own clock: that it says something else is what counts
	heard    map[string]sign
}

// sign is the last one of a queue's workers.
type sign struct {
	at     time.Time // by our clock
	said   time.Time // by theirs, or Temporal's
	within time.Duration
}

// NewAttendance is the attendance at the queues of the clouds, the builds and the pages in a namespace; "" is Namespace.
func NewAttendance(c client.Client, namespace string) *Attendance {
	a := &Attendance{temporal: c, namespace: cmp.Or(namespace, Namespace), queues: []string{queue.Build, queue.Pages}, told: map[string]time.Time{}, heard: map[string]sign{}}
	for _, p := range region.Providers() {
		a.queues = append(a.queues, queue.Cloud(p))
	}
	return a
}

// Listen listens until ctx ends. What cannot be heard for a while is not known: it is no reason to end.
func (a *Attendance) Listen(ctx context.Context) {
	for ctx.Err() == nil {
		_ = a.listen(ctx) // known no more, see Unserved
		select {
		case <-ctx.Done():
		case <-time.After(listenEvery):
		}
	}
}

// listen takes in who serves the queues now.
func (a *Attendance) listen(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, listenEvery)
	defer cancel()
	present, err := a.workers(ctx)
	if err != nil {
		return fmt.Errorf("list the workers: %w", err)
	}
	polls := map[string]time.Time{}
	for _, name := range a.queues {
		if len(present[name]) > 0 {
			continue
		}
		if polls[name], err = a.lastPoll(ctx, name); err != nil {
			return fmt.Errorf("find who polls %s: %w", name, err)
		}
	}
	a.take(time.Now(), present, polls)
	return nil
}

// workers are what the queues' workers said last, by queue and worker. A Temporal that does not know what workers are knows none.
func (a *Attendance) workers(ctx context.Context) (map[string]map[string]time.Time, error) {
	all := map[string]map[string]time.Time{}
	request := &workflowservice.ListWorkersRequest{Namespace: a.namespace, PageSize: 500}
	for range listenPages {
		page, err := a.temporal.WorkflowService().ListWorkers(ctx, request)
		var unknown *serviceerror.Unimplemented
		if errors.As(err, &unknown) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, w := range page.GetWorkers() {
			if !slices.Contains(a.queues, w.GetTaskQueue()) || len(all[w.GetTaskQueue()]) == listenWorkers {
				continue
			}
			if err := a.hear(ctx, w.GetWorkerInstanceKey(), all); err != nil {
				return nil, err
			}
		}
		if request.NextPageToken = page.GetNextPageToken(); len(request.NextPageToken) == 0 {
			break
		}
	}
	return all, nil
}

// hear adds what a worker said last. One that went meanwhile says nothing.
func (a *Attendance) hear(ctx context.Context, worker string, all map[string]map[string]time.Time) error {
	found, err := a.temporal.WorkflowService().DescribeWorker(ctx, &workflowservice.DescribeWorkerRequest{Namespace: a.namespace, WorkerInstanceKey: worker})
	var gone *serviceerror.NotFound
	if errors.As(err, &gone) {
		return nil
	}
	if err != nil {
		return err
	}
	beat := found.GetWorkerInfo().GetWorkerHeartbeat()
	if all[beat.GetTaskQueue()] == nil {
		all[beat.GetTaskQueue()] = map[string]time.Time{}
	}
	all[beat.GetTaskQueue()][worker] = beat.GetHeartbeatTime().AsTime()
	return nil
}

// lastPoll is when somebody polled the queue last; the zero time when nobody did in five minutes.
func (a *Attendance) lastPoll(ctx context.Context, name string) (last time.Time, err error) {
	found, err := a.temporal.DescribeTaskQueue(ctx, name, enumspb.TASK_QUEUE_TYPE_ACTIVITY)
	if err != nil {
		return last, err
	}
	for _, p := range found.GetPollers() {
		if at := p.GetLastAccessTime().AsTime(); at.After(last) {
			last = at
		}
	}
	return last, nil
}

// take notes what was heard at a moment of our clock.
func (a *Attendance) take(now time.Time, present map[string]map[string]time.Time, polls map[string]time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.began.IsZero() {
		a.began = now
	}
	a.listened = now
	told := map[string]time.Time{}
	for _, name := range a.queues {
		for worker, said := range present[name] {
			told[worker] = said
			if before, known := a.told[worker]; !known || said.After(before) {
				a.heard[name] = sign{at: now, said: said, within: heardWithin}
			}
		}
		if polled := polls[name]; polled.After(a.heard[name].said) {
			a.heard[name] = sign{at: now, said: polled, within: polledWithin}
		}
	}
	a.told = told
}

// Unserved says that nobody serves the provider's queue, and since when; nil when somebody does, or that is not known.
func (a *Attendance) Unserved(p region.Provider) *region.Unserved {
	return a.unserved(queue.Cloud(p), time.Now())
}

func (a *Attendance) unserved(name string, now time.Time) *region.Unserved {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	last, heard := a.heard[name]
	switch {
	case !slices.Contains(a.queues, name), now.Sub(a.listened) > heardWithin:
		return nil
	case heard && now.Sub(last.at) > last.within:
		return &region.Unserved{Queue: name, Since: last.said}
	case !heard && now.Sub(a.began) > heardWithin:
		return &region.Unserved{Queue: name, Since: a.began, Earlier: true}
	}
	return nil
}
