package cluster

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"
)

const (
	// ownerLook is how often the owner's file is looked at, and abandonedLooks in
	// how many looks in a row it must be too old.
	ownerLook      = 15 * time.Second
	abandonedLooks = 2
)

// errAbandoned is why a cluster ends that nobody wants any more.
var errAbandoned = errors.New("the cluster's owner is gone")

// ownerWatch looks whether the owner still touches its file. What counts is how
// long we were awake without seeing a touch, not how old the file is: after a
// machine slept, everything is old and nobody has left. Who never made the file
// never promised to touch it; who made it and removed it does not touch it.
type ownerWatch struct {
	path    string
	limit   time.Duration
	touched time.Time
	since   time.Time
	late    int
}

// abandoned looks at the file. The time now has a monotonic reading.
func (w *ownerWatch) abandoned(now time.Time) bool {
	info, err := os.Stat(w.path)
	if err == nil && !info.ModTime().Equal(w.touched) {
		w.touched, w.since, w.late = info.ModTime(), now, 0
		return false
	}
	if w.since.IsZero() || now.Sub(w.since) <= w.limit {
		return false
	}
	w.late++
	return w.late >= abandonedLooks
}

// whileOwned returns a context that ends with ctx, or when the owner has not
// touched its file for limit.
func whileOwned(ctx context.Context, path string, limit time.Duration, logger *slog.Logger) (context.Context, context.CancelFunc) {
	owned, cancel := context.WithCancelCause(ctx)
	w := ownerWatch{path: path, limit: limit}
	go func() {
		for {
			// A ticker would look twice at once after it could not for a while.
			select {
			case <-owned.Done():
				return
			case <-time.After(min(ownerLook, max(limit/8, time.Millisecond))):
			}
			if w.abandoned(time.Now()) {
				logger.Warn("cluster: nobody has touched the owner's file, stopping", "file", path, "for", limit)
				cancel(errAbandoned)
				return
			}
		}
	}()
	return owned, func() { cancel(nil) }
}
