package relay

import (
	"context"
	"sync"
	"time"

	"github.com/m3o/platform/internal/store"
)

// How groups' workflows are told.
const (
	interval   = 250 * time.Millisecond // between two digests of a group, at least
	busy       = time.Second            // of one that had something new after each of its last digests
	deliveries = 16                     // at once
	perCall    = 10 * time.Second
)

// courier delivers digests: of a group one after the other, of several groups at once.
type courier struct {
	*Relay
	held  store.Lease
	turns chan struct{}
	marks chan mark

	mu      sync.Mutex
	groups  map[store.GroupRef]bool // that are being served; true: something came in since their last digest was read
	serving sync.WaitGroup
	failing bool
}

// mark is a parcel that was delivered, and who waits for that to be noted.
type mark struct {
	parcel store.Parcel
	noted  chan error
}

func newCourier(r *Relay, held store.Lease) *courier {
	return &courier{Relay: r, held: held, turns: make(chan struct{}, deliveries), marks: make(chan mark, deliveries), groups: map[store.GroupRef]bool{}}
}

// run delivers what was pending when the lease was taken, and notes what is delivered, until ctx ends.
func (c *courier) run(ctx context.Context) {
	c.serving.Go(func() {
		c.loop(ctx, "find what alerts were not told", newBell(), func(ctx context.Context) (bool, error) {
			refs, err := c.Groups.PendingGroups(ctx)
			c.tell(ctx, refs)
			return false, err
		})
	})
	c.note(ctx)
}

// tell has the groups' workflows told what is new. A quiet group's is told at once.
func (c *courier) tell(ctx context.Context, refs []store.GroupRef) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ref := range refs {
		if _, served := c.groups[ref]; !served && ctx.Err() == nil {
			c.serving.Go(func() { c.serve(ctx, ref) })
		}
		c.groups[ref] = true
	}
}

// serve delivers digests of one group until nothing is new. A group that goes on and on is told less often: each digest costs its
// workflow a turn, which others wait for.
func (c *courier) serve(ctx context.Context, ref store.GroupRef) {
	pause, apart := firstPause, interval
	for c.news(ref) && ctx.Err() == nil {
		err := c.inTurn(ctx, ref)
		c.report(ctx, err)
		if err != nil {
			c.tell(ctx, []store.GroupRef{ref})
			sleep(ctx, pause)
			pause = min(2*pause, lastPause)
			continue
		}
		pause = firstPause
		sleep(ctx, apart)
		apart = min(2*apart, busy)
	}
}

// news reports whether something came in since it was asked before, and ends the group's service if not.
func (c *courier) news(ref store.GroupRef) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.groups[ref] {
		delete(c.groups, ref)
		return false
	}
	c.groups[ref] = false
	return true
}

// report says once that digests cannot be delivered, and once that they are again.
func (c *courier) report(ctx context.Context, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil && !c.failing && ctx.Err() == nil:
		c.Logger.WarnContext(ctx, "alerts are not told what came in; it is kept, and retried", "error", err)
	case err == nil && c.failing:
		c.Logger.InfoContext(ctx, "alerts are told again what comes in")
	}
	if ctx.Err() == nil {
		c.failing = err != nil
	}
}

func (c *courier) inTurn(ctx context.Context, ref store.GroupRef) error {
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, perCall)
	defer cancel()
	return c.deliver(ctx, ref)
}

// deliver tells a group's workflow what is pending, and has that noted.
func (c *courier) deliver(ctx context.Context, ref store.GroupRef) error {
	parcel, pending, err := c.Groups.Digest(ctx, ref)
	if err != nil || !pending {
		return err
	}
	if err := c.Flows.DeliverDigest(ctx, parcel.Input, parcel.Digest); err != nil {
		c.Metrics.digests.WithLabelValues("no").Inc()
		return err
	}
	c.Metrics.delivered(parcel.Digest)
	m := mark{parcel: parcel, noted: make(chan error, 1)}
	select {
	case c.marks <- m:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-m.noted:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note writes down what was delivered: all that waits for it in one transaction.
func (c *courier) note(ctx context.Context) {
	for {
		var waiting []mark
		select {
		case <-ctx.Done():
			return
		case m := <-c.marks:
			waiting = append(waiting, m)
		}
		for range len(c.marks) {
			waiting = append(waiting, <-c.marks)
		}
		parcels := make([]store.Parcel, len(waiting))
		for i, m := range waiting {
			parcels[i] = m.parcel
		}
		err := c.Groups.MarkSent(ctx, c.held, parcels)
		for _, m := range waiting {
			m.noted <- err
		}
	}
}
