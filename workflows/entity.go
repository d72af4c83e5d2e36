package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"
)

// entity is a workflow that owns one thing for as long as the thing exists: OperateRegion, OperateService. It performs one
// operation at a time, and rests in between.
type entity interface {
	// recall reads back what an earlier owner recorded. A run that continues another has that in its input.
	recall(workflow.Context) error
	// outlook is what there is to do now.
	outlook() outlook
	// rest is how long an idle entity rests, 0 for as long as nothing is asked of it, and what is due then.
	rest() (time.Duration, string)
	// perform does the next operation, or what is due after a rest that ended by itself.
	perform(ctx workflow.Context, rested bool) error
	// describe tells operators where the entity is.
	describe(workflow.Context)
}

// outlook is what an entity has to do.
type outlook int

// The outlooks.
const (
	idle outlook = iota // the thing exists, and nothing is asked for
	busy                // an operation waits for its turn
	over                // the thing does not exist, and nobody asks for it
)

// operate runs an entity until it is over. Between operations it continues as new when Temporal suggests it, with no handler at
// work and nothing to do; next makes the error that says so.
func operate(ctx workflow.Context, e entity, next func() error) error {
	if err := e.recall(ctx); err != nil {
		return err
	}
	for {
		if e.outlook() == over {
			err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) || e.outlook() != over })
			if err != nil || e.outlook() == over {
				return err
			}
		}
		if e.outlook() == idle && workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
				return err
			}
			if e.outlook() == idle {
				return next()
			}
			continue
		}
		e.describe(ctx)
		rested, err := rest(ctx, e)
		if err == nil && (rested || e.outlook() == busy) {
			err = e.perform(ctx, rested)
		}
		if err != nil {
			return err
		}
	}
}

// rest waits until the entity is no longer idle, and reports whether its time ran out before.
func rest(ctx workflow.Context, e entity) (expired bool, err error) {
	stirs := func() bool { return e.outlook() != idle }
	limit, then := e.rest()
	if limit == 0 || stirs() {
		return false, workflow.Await(ctx, stirs)
	}
	stirred, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{Timeout: limit, TimerOptions: workflow.TimerOptions{Summary: then}}, stirs)
	return err == nil && !stirred, err
}

// arrivals counts an entity's commands. Temporal's mutex lets the last one in first; by their numbers they can go in order.
type arrivals struct{ came, answered int }

// enter counts a command that came: its number, and what counts its answer.
func (a *arrivals) enter() (number int, leave func()) {
	number = a.came
	a.came++
	return number, func() { a.answered++ }
}

// none reports whether every command that came is answered.
func (a *arrivals) none() bool { return a.came == a.answered }

// answers remembers what commands were answered, beyond the run that did them.
type answers[A any] interface {
	Find(id string) (A, bool)
	Remember(id string, answer A)
}

// once does a command, unless one of its id was done: then its answer is given again. Temporal knows
// update ids only as long as a run lives.
func once[A any](ctx workflow.Context, book answers[A], do func() (A, error)) (A, error) {
	id := workflow.GetCurrentUpdateInfo(ctx).ID
	if known, found := book.Find(id); found {
		return known, nil
	}
	accepted, err := do()
	if err == nil {
		book.Remember(id, accepted)
	}
	return accepted, err
}

// answered reports whether a command of this id had its answer in an earlier run.
func answered[A any](ctx workflow.Context, book answers[A]) bool {
	_, found := book.Find(workflow.GetCurrentUpdateInfo(ctx).ID)
	return found
}

// command is one update that an entity takes.
type command struct {
	name        string
	handler     any
	validator   any
	description string
}

// take sets the handlers of an entity's commands, and its progress query.
func take(ctx workflow.Context, query string, report any, description string, commands []command) error {
	if err := workflow.SetQueryHandlerWithOptions(ctx, query, report, workflow.QueryHandlerOptions{Description: description}); err != nil {
		return err
	}
	for _, c := range commands {
		options := workflow.UpdateHandlerOptions{Validator: c.validator, Description: c.description}
		if err := workflow.SetUpdateHandlerWithOptions(ctx, c.name, c.handler, options); err != nil {
			return err
		}
	}
	return nil
}
