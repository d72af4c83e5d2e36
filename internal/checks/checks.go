// Package checks looks, every so often, at what of the platform needs somebody and nothing else tells: tokens and certificates that
// expire soon, queues that nobody serves or in which work waits, and whether alerts themselves get through. What begins and what ends is
// recorded as a condition, which tells it as an event (internal/event.Turn); alerts are made of those.
//
// One process at a time looks: the holder of a lease in the store. It changes nothing but the conditions. What regions, services and
// releases tell of themselves, and what is seen of them from outside (internal/watch), is not its business. Only the starter imports it,
// for workers of the queue flows.
package checks

import (
	"context"
	"log/slog"
	"time"

	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/lease"
	"github.com/m3o/platform/internal/store"
)

// How often is looked, and for how long at one thing at most.
const (
	every    = 15 * time.Second
	perCheck = 10 * time.Second
)

// Records keep what is found. They refuse it from one who holds the lease no more.
type Records interface {
	Conditions(ctx context.Context) ([]store.Condition, error)
	RecordConditions(ctx context.Context, by store.Lease, turn event.Turn, now []store.Condition) error
}

// Check looks whether one turn has begun, or ended, for any subject.
type Check struct {
	Turn event.Turn
	// Look returns all that is so now, of what was so before. A check that cannot say fails, and everything stays as it was.
	Look func(ctx context.Context, before []store.Condition) ([]store.Condition, error)
}

// Checker looks while it holds the lease.
type Checker struct {
	Records Records
	Leases  lease.Leases
	Checks  []Check
	// Begin, if there is one, is called when this process begins to look; its context ends when it looks no more.
	Begin   func(ctx context.Context)
	Sent    Sent // what the metrics are made of
	Metrics *Metrics
	Logger  *slog.Logger
}

// Run looks until ctx ends.
func (c *Checker) Run(ctx context.Context) {
	lease.New(c.Leases, store.ChecksLease, "checks the platform", c.Logger).Run(ctx, c.hold)
}

func (c *Checker) hold(ctx context.Context, held store.Lease) {
	if c.Begin != nil {
		c.Begin(ctx)
	}
	defer c.Metrics.begin(time.Now())()
	failing := map[string]bool{}
	for ctx.Err() == nil {
		for kind, err := range c.look(ctx, held) {
			if err != nil && !failing[kind] && ctx.Err() == nil {
				c.Logger.WarnContext(ctx, "a check of the platform does not get through", "check", kind, "error", err)
			}
			failing[kind] = err != nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
}

// look makes every check once, and returns how each of them went. One that fails is no reason not to make the next.
func (c *Checker) look(ctx context.Context, held store.Lease) map[string]error {
	went := map[string]error{}
	for _, check := range c.Checks {
		went[check.Turn.Begins] = c.make(ctx, held, check)
	}
	went["metrics"] = c.measure(ctx)
	return went
}

func (c *Checker) measure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, perCheck)
	defer cancel()
	conditions, err := c.Records.Conditions(ctx)
	if err != nil {
		return err
	}
	return c.Metrics.measure(ctx, c.Sent, conditions, time.Now())
}

func (c *Checker) make(ctx context.Context, held store.Lease, check Check) error {
	ctx, cancel := context.WithTimeout(ctx, perCheck)
	defer cancel()
	all, err := c.Records.Conditions(ctx)
	if err != nil {
		return err
	}
	var before []store.Condition
	for _, condition := range all {
		if condition.Kind == check.Turn.Begins {
			before = append(before, condition)
		}
	}
	now, err := check.Look(ctx, before)
	if err != nil || len(before) == 0 && len(now) == 0 {
		return err
	}
	return c.Records.RecordConditions(ctx, held, check.Turn, now)
}
