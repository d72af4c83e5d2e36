package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// A provider's Ensure and Delete are steps (package cloud). Here they are repeated until what they are for is so.

// stepLimit bounds one step.
const stepLimit = 45 * time.Second

// blockedLimit is how long an operation that is in the way of something new is waited for. Only the time counts in which
// somebody looked: a platform that was switched off for a night has waited for nothing.
const blockedLimit = time.Hour

// pace is how often a step is taken, and how long all of them may take; 0 is as long as the workflow has patience.
type pace struct{ poll, limit time.Duration }

// converge takes steps until what they make is ready, and fails when it is broken. A step is told the operation that the last one
// of it spoke of, in this attempt or the one before, but not after one that failed: an operation that ended badly is told once, and what
// is asked for anew is another. A cloud that is down ends the attempt.
func converge(ctx context.Context, p pace, what string, step func(context.Context, string) (region.Condition, error)) error {
	w := p.watch(ctx)
	w.retried = true
	defer w.close()
	return named("ensure "+what, w.until(func() (string, bool, error) {
		now, err := unbroken(ctx, w.now().Operation, step)
		if err != nil {
			w.told(err)
			return "", false, w.unblocked(err)
		}
		w.blocked = false
		w.note(now.State, now.Operation)
		if now.Broken {
			return "", false, fault.New(fault.Failed, "the %s is in state %q: %s; the cloud does not mend that by itself", what, now.State, now.Reason)
		}
		return fmt.Sprintf("the %s is still %s", what, told(now.State, now.Reason)), now.Ready, nil
	}))
}

// remove takes steps until what they remove is gone. What is in the way is waited for as long as the workflow has patience.
func remove(ctx context.Context, p pace, what string, step func(context.Context, string) (region.Removal, error)) error {
	w := p.watch(ctx)
	defer w.close()
	return named("delete "+what, w.until(func() (string, bool, error) {
		now, err := unbroken(ctx, w.now().Operation, step)
		if err != nil {
			w.told(err)
			return "", false, passing(err)
		}
		w.note(now.State, now.Operation)
		return fmt.Sprintf("the %s is still there: %s", what, told(now.State, "")), now.Gone, nil
	}))
}

func (p pace) watch(ctx context.Context) *watch {
	w := watching(ctx, p.poll)
	if p.limit > 0 {
		w.limit = min(w.limit, p.limit)
	}
	return w
}

// unbroken takes one step, which a cancellation does not break off: what it asks for may be made all the same, and nobody would
// know. The cancellation is noticed after it.
func unbroken[T any](ctx context.Context, operation string, step func(context.Context, string) (T, error)) (T, error) {
	within, end := context.WithTimeout(context.WithoutCancel(ctx), stepLimit)
	defer end()
	return step(within, operation)
}

// told forgets the operation of a step that failed, unless it is what is in the way, or nothing was asked about it.
func (w *watch) told(err error) {
	if !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.Throttled) {
		w.note(w.now().State, "")
	}
}

// unblocked makes an operation that is in the way something to come back for, for so long.
func (w *watch) unblocked(err error) error {
	w.blocked = fault.Is(err, fault.Conflict)
	if w.now().Blocked > blockedLimit {
		return err
	}
	return passing(err)
}

// passing makes a cloud's "not now" (another operation is in the way) something to come back for.
func passing(err error) error {
	if fault.Is(err, fault.Conflict) {
		return fault.Wrap(fault.Unavailable, err, "%s", fault.Message(err))
	}
	return err
}

func told(state, reason string) string {
	switch {
	case state == "":
		return "on its way"
	case reason == "":
		return fmt.Sprintf("%q", state)
	}
	return fmt.Sprintf("%q: %s", state, reason)
}

func named(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
