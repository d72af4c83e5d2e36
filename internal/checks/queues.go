package checks

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/store"
)

// Late is how long work may wait in a queue.
const Late = time.Minute

// Queues know who serves them, and what waits there.
type Queues interface {
	AllUnserved() (all []region.Unserved, known bool)
	Backlogs(ctx context.Context) ([]control.Backlog, error)
}

// Regions are those that there are.
type Regions interface {
	Regions(ctx context.Context, platform string, includeDeleted bool) ([]region.Region, error)
}

// UnservedQueues checks for queues that nobody serves and somebody needs: a cloud with a region, or one in which work waits.
func UnservedQueues(queues Queues, regions Regions) Check {
	return Check{Turn: event.QueueServed, Look: func(ctx context.Context, before []store.Condition) ([]store.Condition, error) {
		unserved, known := queues.AllUnserved()
		if !known {
			return before, nil // this process has just begun to listen
		}
		if len(unserved) == 0 {
			return nil, nil
		}
		needed, err := needed(ctx, queues, regions)
		var all []store.Condition
		for _, u := range unserved {
			if slices.Contains(needed, u.Queue) {
				all = append(all, store.Condition{Subject: u.Queue, Message: u.String()})
			}
		}
		return all, err
	}}
}

func needed(ctx context.Context, queues Queues, regions Regions) (names []string, err error) {
	all, err := regions.Regions(ctx, "", false)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		names = append(names, queue.Cloud(r.Spec.Provider))
	}
	waiting, err := queues.Backlogs(ctx)
	for _, b := range waiting {
		names = append(names, b.Queue)
	}
	return names, err
}

// LaggingQueues checks for queues in which something has waited for too long.
func LaggingQueues(queues Queues) Check {
	return Check{Turn: event.QueueLag, Look: func(ctx context.Context, _ []store.Condition) ([]store.Condition, error) {
		waiting, err := queues.Backlogs(ctx)
		var all []store.Condition
		for _, b := range waiting {
			if b.Age > Late {
				all = append(all, store.Condition{Subject: b.Queue, Message: fmt.Sprintf("about %d tasks wait, the oldest for more than %s: "+
					"start more workers (m3o worker --queues %s), or see what keeps them", b.Tasks, Late, b.Queue)})
			}
		}
		return all, err
	}}
}
