// Package call is one request to a sandbox cloud, whatever its wire protocol: its faults, its commit with the loss of the answer,
// the transitions and ledger lines that it causes, and the log of requests.
//
// It knows no provider's words: Misbehave says which fault it is, and the provider answers as its cloud would. It does not parse,
// authorize, throttle or write answers. Only the providers' packages below internal/sandbox import it.
//
// The order of things, for every request:
//
//	c := &call.Call{Provider: Name, World: w, Operation: op, ID: requestID, At: now, Target: name, Request: r}
//	// authorize and throttle here: neither is the call's part
//	fault, found, err := c.Misbehave() // found: answer in the cloud's words, and do nothing
//	err = c.Commit(change)             // or c.View(look)
//	c.Finish(status)                   // before the answer is written
package call

import (
	"net/http"
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

// Call is one request being answered. It is used by one goroutine.
type Call struct {
	// Provider is the provider's name, Operation the official name of what is asked.
	Provider, Operation string
	World               *world.World
	// ID is the request's, as the answer's header has it. The ledger has it as the effects' key.
	ID string
	// At is when the request came in.
	At time.Time
	// Target is the name that faults match: that of the resource, or several joined by "/".
	Target  string
	Request *http.Request
	// Lost drops the answer: Finish closes the connection without a word.
	Lost bool

	// admitted says that no early fault answered, committed that a commit has looked for a fault that loses the answer.
	admitted, committed bool
}

// Misbehave carries out the faults that show before anything is done. It serves slow and hanging ones itself, by waiting. What it returns, if
// anything was found, is one of world.Early, and the request's only answer.
func (c *Call) Misbehave() (fault world.Fault, found bool, err error) {
	slow, found, err := c.take(world.Slow, world.Hang)
	if err != nil {
		return fault, false, err
	}
	if found {
		if err := c.wait(slow); err != nil {
			// The caller has hung up: whatever is answered, nobody reads it.
			return world.Fault{Fault: world.ServerError, Status: http.StatusServiceUnavailable}, true, nil
		}
	}
	if fault, found, err = c.take(world.Early...); err != nil {
		return fault, false, err
	}
	c.Lost = found && fault.Fault == world.LostBefore
	c.admitted = !found
	return fault, found, nil
}

// wait is for a fault that delays the answer. Its error is the caller's who has hung up.
func (c *Call) wait(fault world.Fault) error {
	ctx := c.Request.Context()
	if fault.Fault == world.Hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return c.World.Clock.Wait(ctx, c.World.Clock.Now().Add(fault.Wait()))
}

// take uses up a fault that is about this call, in a commit of its own.
func (c *Call) take(kinds ...string) (fault world.Fault, found bool, err error) {
	err = c.View(func(tx *world.Tx) (err error) {
		fault, found, err = tx.TakeFault(c.Provider, c.Operation, c.Target, kinds...)
		return err
	})
	return fault, found, err
}

// Commit makes a change, with the loss of its answer if a fault wants it. The answer may be given when it returns nil; otherwise
// nothing happened.
func (c *Call) Commit(change func(*world.Tx) error) error {
	err := c.World.Update(c.Request.Context(), func(tx *world.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		_, lost, err := tx.TakeFault(c.Provider, c.Operation, c.Target, world.Lost)
		c.Lost = c.Lost || lost
		return err
	})
	c.committed = c.committed || err == nil
	return err
}

// View looks at the state.
func (c *Call) View(look func(*world.Tx) error) error {
	return c.World.View(c.Request.Context(), look)
}

// Begin is the transition by which this call makes or changes the resource with that id. It takes about as long as takes in simulated
// time, and is stuck or fails with the words of fail if a fault wants it.
func (c *Call) Begin(tx *world.Tx, id string, takes time.Duration, fail string) (world.Transition, error) {
	t, err := c.BeginEnd(tx, id, takes)
	if err != nil || t.Stuck {
		return t, err
	}
	_, late, err := tx.TakeFault(c.Provider, c.Operation, c.Target, world.Late)
	if late {
		t.Fail = fail
	}
	return t, err
}

// BeginEnd is the transition by which this call removes something. What goes is never ready, so it cannot fail late.
func (c *Call) BeginEnd(tx *world.Tx, id string, takes time.Duration) (world.Transition, error) {
	t := world.Transition{Operation: c.Operation, Key: c.ID, RequestedAt: c.At, Due: c.World.Clock.Due(c.At, takes, id)}
	_, stuck, err := tx.TakeFault(c.Provider, c.Operation, c.Target, world.Stuck)
	t.Stuck = stuck
	return t, err
}

// Effect is a line of the ledger about what this call did. The caller adds tags, parent and state, and records it in its commit.
func (c *Call) Effect(kind, resource, id, name string) world.Effect {
	at := c.At
	return world.Effect{Provider: c.Provider, Operation: c.Operation, Kind: kind, Resource: resource, ID: id, Name: name,
		Key: c.ID, RequestedAt: &at}
}

// Finish ends the call, before its answer is written: it logs the request, and panics with http.ErrAbortHandler, which closes the
// connection without a word as a network failure would, if the answer is lost. Answers of reads and refusals, which commit nothing,
// can be lost as well.
func (c *Call) Finish(status int) {
	if c.admitted && !c.committed {
		_, lost, err := c.take(world.Lost)
		// Without a state to look at there is no answer to rely on either.
		c.Lost = c.Lost || lost || err != nil
	}
	c.World.Requests.Add(world.Request{Provider: c.Provider, Method: c.Request.Method, Path: c.Request.URL.Path,
		Operation: c.Operation, Status: status, RequestID: c.ID, At: c.At})
	if c.Lost {
		panic(http.ErrAbortHandler)
	}
}
