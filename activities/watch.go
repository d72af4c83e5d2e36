package activities

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/m3o/platform/internal/fault"
)

// Slack is what a watch's start-to-close timeout has above its limit, so that the watch itself says what it waited for.
const Slack = time.Minute

// heartbeatEvery is well below the timeout after which an activity without one counts as lost.
const heartbeatEvery = 2 * time.Second

// Seen is what a watch tells in its heartbeats: how long somebody really looked, and what was seen last. A next attempt begins
// with it; heartbeats are throttled, so it may be late.
type Seen struct {
	Waited    time.Duration `json:"waited"`
	Blocked   time.Duration `json:"blocked,omitempty"` // how much of that, without a break, another operation was in the way
	Reason    string        `json:"reason"`
	Region    string        `json:"region,omitempty"`    // the full name of the region that a deploy looks at
	Tries     int           `json:"tries,omitempty"`     // of what is tried a number of times
	State     string        `json:"state,omitempty"`     // the provider's word
	Operation string        `json:"operation,omitempty"` // the provider's hint for its next step
}

// watch looks at something until it is so, or has taken too long. Only the time in which somebody looked counts: a
// platform that was switched off for a night has waited for nothing. A new attempt goes on where the last one's heartbeats ended.
type watch struct {
	activity    context.Context // the activity's own
	open        context.Context // until the watch is closed
	poll, limit time.Duration
	end         context.CancelFunc
	done        chan struct{}

	since   time.Time     // when the present look began
	soon    time.Duration // after news: until the next look
	blocked bool          // another operation was in the way of the last look
	retried bool          // what fails in passing ends the attempt: Temporal backs off, and says at once why
	eases   bool          // a look costs more than most: what takes long is looked at once a second
	mu      sync.Mutex
	seen    Seen
}

// watching begins a watch whose limit is the activity's start-to-close timeout, less the slack. Close ends it.
func watching(ctx context.Context, poll time.Duration) *watch { return watchingIn(ctx, "", poll) }

// watchingIn begins a watch whose heartbeats name a region.
func watchingIn(ctx context.Context, region string, poll time.Duration) *watch {
	w := &watch{activity: ctx, poll: poll, limit: activity.GetInfo(ctx).StartToCloseTimeout - Slack, done: make(chan struct{}), since: time.Now()}
	if activity.HasHeartbeatDetails(ctx) {
		_ = activity.GetHeartbeatDetails(ctx, &w.seen) // details of another shape begin at zero
	}
	w.seen.Region = region
	w.open, w.end = context.WithCancel(context.WithoutCancel(ctx))
	go w.beat()
	return w
}

func (w *watch) close() { w.end(); <-w.done }

// beat sends heartbeats beside the looking, which may take longer than a heartbeat may be late. It goes on until the watch is
// closed, also when the activity is cancelled: a call that is on its way then is seen to its end, and the work is not lost
// meanwhile.
func (w *watch) beat() {
	defer close(w.done)
	for {
		activity.RecordHeartbeat(context.WithoutCancel(w.activity), w.now())
		if pause(w.open, heartbeatEvery) != nil {
			return
		}
	}
}

func (w *watch) now() Seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// soonest is the part of the poll interval after which something is looked at that has just changed.
const soonest = 16

// note keeps the provider's word and hint for the next step, and tells them at once when they are new. What has just begun may be over in
// a second, and what was just made may be all that the next step needs: the next looks come sooner.
func (w *watch) note(state, operation string) {
	w.mu.Lock()
	news := w.seen.State != state || w.seen.Operation != operation
	w.seen.State, w.seen.Operation = state, operation
	w.mu.Unlock()
	if news {
		w.soon = w.poll / soonest
		activity.RecordHeartbeat(context.WithoutCancel(w.activity), w.now())
	}
}

// until looks until it is so, has failed for good, or has taken too long. What look says it waits for is told in heartbeats.
func (w *watch) until(look func() (waitsFor string, done bool, err error)) error {
	for {
		reason, done, err := look()
		switch {
		case err != nil:
			err = w.retry(err)
		case done:
			return nil
		default:
			err = w.next(reason)
		}
		if err != nil {
			return err
		}
	}
}

// next waits until the next look. It fails when the limit is over, with what was seen last. The looking itself counts: a
// server that drops packets makes it long.
func (w *watch) next(reason string) error {
	w.tell(reason)
	if err := pause(w.activity, w.interval()); err != nil {
		return err
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	waited := now.Sub(w.since)
	w.seen.Waited += waited
	w.seen.Blocked += waited
	if !w.blocked {
		w.seen.Blocked = 0
	}
	w.since = now
	if w.seen.Waited > w.limit {
		return fault.New(fault.Failed, "it took longer than %s; last seen: %s", w.limit.Round(time.Second), reason)
	}
	return nil
}

// Of what eases: after how long a wait, and how seldom.
const (
	easesAfter = 15 * time.Second
	easedPoll  = time.Second
)

// tell says what is waited for, at once when it is new.
func (w *watch) tell(reason string) {
	w.mu.Lock()
	news := w.seen.Reason != reason
	w.seen.Reason = reason
	w.mu.Unlock()
	if news {
		activity.RecordHeartbeat(context.WithoutCancel(w.activity), w.now())
	}
}

// interval is how long until the next look: exponential after news, at most the poll interval.
func (w *watch) interval() time.Duration {
	if w.eases && w.now().Waited > easesAfter {
		return max(w.poll, easedPoll)
	}
	if w.soon <= 0 || w.soon >= w.poll {
		return w.poll
	}
	d := w.soon
	w.soon *= 2
	return d
}

// retry waits until the next look after one that failed in passing. It returns what is for good, and what names its own
// time to come back: Temporal keeps that, and the attempt's place is free meanwhile.
func (w *watch) retry(err error) error {
	var f *fault.Error
	if fault.Of(err).Permanent() || errors.Is(err, context.Canceled) || errors.As(err, &f) && f.RetryAfter > 0 || w.retried && !w.blocked {
		return err
	}
	return w.next(fault.Message(err))
}

// beat sends heartbeats beside a call that cannot, so that a dead worker is noticed. Work waits for nothing.
func beat(ctx context.Context, waitsFor string) (stop func()) {
	return beatAs(ctx, Seen{Reason: waitsFor})
}

func beatAs(ctx context.Context, seen Seen) (stop func()) {
	beating, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			activity.RecordHeartbeat(ctx, seen) // not cut off on its way
			if pause(beating, heartbeatEvery) != nil {
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// pause waits for d, or returns why it need not go on.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
