package sandbox

import (
	"context"
	"sync"
	"time"
)

// lease is how long the sandbox goes on without its owner. It is measured by the monotonic clock: a machine that slept did
// not abandon us.
type lease struct {
	timeout time.Duration

	mu      sync.Mutex
	renewed time.Time
}

func newLease(timeout time.Duration) *lease { return &lease{timeout: timeout, renewed: time.Now()} }

// renew starts the time anew, and returns when it will be over, zero if never.
func (l *lease) renew() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed = time.Now()
	if l.timeout < 0 {
		return time.Time{}
	}
	return l.renewed.Add(l.timeout)
}

func (l *lease) left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.timeout - time.Since(l.renewed)
}

// expired returns true when nobody renewed the lease in time, false when ctx ended before that.
func (l *lease) expired(ctx context.Context) bool {
	if l.timeout < 0 {
		<-ctx.Done()
		return false
	}
	for {
		left := l.left()
		if left <= 0 {
			return true
		}
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}
