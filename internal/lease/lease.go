// Package lease lets one process at a time do something: the holder of a lease in the store. A lease has no end that clocks would have to
// agree on; whoever has seen it unchanged for long enough takes it over (store.Lease).
//
// It knows nothing of what is done. Writes that only the holder may make are refused by the store from one who lost the lease.
package lease

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/store"
)

// Leases are where processes agree on who holds one.
type Leases interface {
	Lease(ctx context.Context, name string) (store.Lease, error)
	TakeLease(ctx context.Context, seen store.Lease, holder string) (store.Lease, error)
	LeaveLease(ctx context.Context, l store.Lease) error
}

// pace is how often the holder of a lease renews it, and when others take it over. All is measured by each process's own clock,
// which only has to run as fast as the others'.
type pace struct {
	look  time.Duration // between two looks at another's lease, and two renewals of one's own
	stale time.Duration // a lease that stood still for so long is taken over
	yield time.Duration // a holder that could not renew for so long has lost it: less than stale
}

var usual = pace{look: 2500 * time.Millisecond, stale: 10 * time.Second, yield: 8 * time.Second}

// Keeper does something while it holds a lease.
type Keeper struct {
	leases Leases
	name   string
	doing  string // for the log: "watches the regions"
	me     string
	pace   pace
	logger *slog.Logger
}

// New is a keeper of the lease of that name. doing is what its holder does, for the log: "watches the regions".
func New(leases Leases, name, doing string, logger *slog.Logger) *Keeper {
	return &Keeper{leases: leases, name: name, doing: doing, me: rand.Text(), pace: usual, logger: logger}
}

// Run calls work whenever it has got the lease, with a context that ends when it has lost it, until ctx ends.
func (k *Keeper) Run(ctx context.Context, work func(context.Context, store.Lease)) {
	seen, since, failing := store.Lease{}, time.Now(), false
	for ctx.Err() == nil {
		now, err := k.leases.Lease(ctx, k.name)
		if err == nil && now != seen {
			seen, since = now, time.Now()
		}
		if err == nil && (now.Holder == "" || time.Since(since) >= k.pace.stale) {
			var taken store.Lease
			began := time.Now()
			if taken, err = k.leases.TakeLease(ctx, now, k.me); err == nil {
				k.logger.DebugContext(ctx, "this worker "+k.doing)
				k.hold(ctx, taken, began, work)
				seen, since = store.Lease{}, time.Now()
			}
		}
		failed := err != nil && !fault.Is(err, fault.Conflict) && ctx.Err() == nil
		if failed && !failing {
			k.logger.WarnContext(ctx, "this worker cannot take a lease over", "lease", k.name, "error", err)
		}
		failing = failed
		sleep(ctx, k.pace.look)
	}
}

// hold works and renews a lease that was taken then, until it is lost or ctx ends, and then leaves it. It returns when work has.
func (k *Keeper) hold(ctx context.Context, lease store.Lease, then time.Time, work func(context.Context, store.Lease)) {
	working, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		work(working, lease)
	}()
	k.renew(ctx, lease, then)
	stop()
	<-done
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.pace.look)
	defer cancel()
	if err := k.leases.LeaveLease(leaving, lease); err != nil {
		k.logger.DebugContext(ctx, "the lease is left to grow stale", "error", err)
	}
}

// renew keeps the lease until it is another's, or could not be renewed for too long, or ctx ends. An attempt that hangs takes no longer
// than the lease is good for.
func (k *Keeper) renew(ctx context.Context, lease store.Lease, renewed time.Time) {
	for {
		lost := renewed.Add(k.pace.yield)
		sleep(ctx, min(k.pace.look, time.Until(lost)))
		if ctx.Err() != nil {
			return
		}
		began := time.Now()
		next, err := k.again(ctx, lease, lost)
		switch {
		case err == nil:
			lease, renewed = next, began
		case fault.Is(err, fault.Conflict), time.Since(renewed) >= k.pace.yield:
			k.logger.WarnContext(ctx, "this worker lost a lease", "lease", k.name, "error", err)
			return
		}
	}
}

// again renews a lease, which an attempt before whose answer was lost may have renewed.
func (k *Keeper) again(ctx context.Context, lease store.Lease, lost time.Time) (store.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, min(k.pace.look, time.Until(lost)))
	defer cancel()
	now, err := k.leases.Lease(ctx, k.name)
	if err != nil {
		return lease, err
	}
	if now.Holder != lease.Holder {
		return lease, fault.New(fault.Conflict, "the lease %s is another's", k.name)
	}
	return k.leases.TakeLease(ctx, now, k.me)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
