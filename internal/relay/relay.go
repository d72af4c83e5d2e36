package relay

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/lease"
	"github.com/m3o/platform/internal/store"
)

// How the relay looks for what is new, how much it takes at once, and how it retries.
const (
	lookEvery  = 20 * time.Millisecond // other processes' commits are not signalled
	atOnce     = 500                   // entries of a sequence
	lookAnyway = 5 * time.Second
	firstPause = 250 * time.Millisecond
	lastPause  = 10 * time.Second
)

// Signals is the sequence of signals, and the rules that route them.
type Signals interface {
	Heads(ctx context.Context) (store.Heads, error)
	Watch() (<-chan struct{}, func())
	Signals(ctx context.Context, after int64, limit int) ([]alert.Signal, error)
	RouteSignals(ctx context.Context, by store.Lease, from int64, signals []alert.Signal, route store.Router) ([]store.GroupRef, error)
	Rules(ctx context.Context, project string) (alert.Rules, error)
}

// Groups are what workflows are to be told.
type Groups interface {
	PendingGroups(ctx context.Context) ([]store.GroupRef, error)
	FiringGroups(ctx context.Context, project string) ([]store.GroupRef, error)
	Digest(ctx context.Context, ref store.GroupRef) (store.Parcel, bool, error)
	MarkSent(ctx context.Context, by store.Lease, parcels []store.Parcel) error
}

// Sequences are the others that the relay reads, and the cursors of all.
type Sequences interface {
	Events(ctx context.Context, after int64, projects []string, limit int) ([]event.Event, error)
	Callbacks(ctx context.Context, after int64, limit int) ([]alert.Callback, error)
	Cursor(ctx context.Context, name string) (int64, error)
	MoveCursor(ctx context.Context, by store.Lease, name string, from, to int64) error
	AppendFrom(ctx context.Context, by store.Lease, cursor string, from, to int64, signals []alert.Signal) error
}

// Flows are the workflows. All may be told the same twice.
type Flows interface {
	DeliverDigest(ctx context.Context, in alert.EscalateInput, d alert.Digest) error
	AlertRulesChanged(ctx context.Context, project, group string) error
	ProcessCallback(ctx context.Context, c alert.Callback) error
}

// Job is something that whoever relays does again and again. What it changes, the store refuses from one who lost the lease.
type Job struct {
	Name  string // for the log: "check the heartbeats"
	Every time.Duration
	Do    func(context.Context, store.Lease) error
}

// Relay relays while it holds the lease.
type Relay struct {
	Signals   Signals
	Groups    Groups
	Sequences Sequences
	Flows     Flows
	FromEvent func(event.Event) (alert.Signal, bool) // what an event of the platform is as a signal, if it is one
	Jobs      []Job
	Leases    lease.Leases
	Metrics   *Metrics
	Logger    *slog.Logger
}

// Run relays until ctx ends.
func (r *Relay) Run(ctx context.Context) {
	lease.New(r.Leases, store.RelayLease, "relays alerts", r.Logger).Run(ctx, r.relay)
}

// bell tells a loop that there is something new. Rung twice before it is heard, it is heard once.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// relay works while the lease is held.
func (r *Relay) relay(ctx context.Context, held store.Lease) {
	r.Metrics.holder.Set(1)
	defer r.Metrics.holder.Set(0)
	signals, events, callbacks := newBell(), newBell(), newBell()
	c := newCourier(r, held)
	var group errgroup.Group
	run := func(work func()) {
		group.Go(func() error { work(); return nil })
	}
	run(func() { c.run(ctx) })
	run(func() { r.loop(ctx, "route signals", signals, router{r, held, c}.step) })
	run(func() { r.loop(ctx, "read the events", events, (&reader{Relay: r, held: held}).step) })
	run(func() { r.loop(ctx, "process callbacks", callbacks, caller{r, held}.step) })
	for _, job := range r.Jobs {
		run(func() { r.repeat(ctx, held, job) })
	}
	r.look(ctx, func(before, now store.Heads) {
		if now.Signals != before.Signals {
			signals.ring()
		}
		if now.Events != before.Events {
			events.ring()
		}
		if now.Callbacks != before.Callbacks {
			callbacks.ring()
		}
	})
	_ = group.Wait() // none of them fails: they end with ctx
	c.serving.Wait()
}

// look looks for what is new until ctx ends: at once after a commit of this process, and every lookEvery for those of others.
func (r *Relay) look(ctx context.Context, found func(before, now store.Heads)) {
	committed, stop := r.Signals.Watch()
	defer stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var seen store.Heads
	for {
		if now, err := r.Signals.Heads(ctx); err == nil { // the loops say what is wrong with the database
			found(seen, now)
			seen = now
		}
		select {
		case <-ctx.Done():
			return
		case <-committed:
		case <-tick.C:
		}
	}
}

// loop takes steps while there are more, and then waits for the bell. A step that fails is retried with exponential backoff, and said
// once until one succeeds.
func (r *Relay) loop(ctx context.Context, what string, b bell, step func(context.Context) (more bool, err error)) {
	pause := firstPause
	for ctx.Err() == nil {
		more, err := step(ctx)
		if err != nil {
			if pause == firstPause && ctx.Err() == nil {
				r.Logger.WarnContext(ctx, "the relay cannot "+what, "error", err)
			}
			sleep(ctx, pause)
			pause = min(2*pause, lastPause)
			continue
		}
		if pause = firstPause; more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-b:
		case <-time.After(lookAnyway):
		}
	}
}

// repeat does a job until ctx ends. That it failed is said once until it succeeds.
func (r *Relay) repeat(ctx context.Context, held store.Lease, job Job) {
	failing := false
	for ctx.Err() == nil {
		err := job.Do(ctx, held)
		if err != nil && !failing && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "the relay cannot "+job.Name, "error", err)
		}
		failing = err != nil
		sleep(ctx, job.Every)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// router brings signals into groups.
type router struct {
	*Relay
	held    store.Lease
	courier *courier
}

func (r router) step(ctx context.Context) (more bool, err error) {
	from, err := r.Sequences.Cursor(ctx, store.SignalCursor)
	if err != nil {
		return false, err
	}
	signals, err := r.Signals.Signals(ctx, from, atOnce)
	if err != nil || len(signals) == 0 {
		return false, err
	}
	rules := map[string]alert.Rules{}
	for _, s := range signals {
		if _, known := rules[s.Project]; known {
			continue
		}
		if rules[s.Project], err = r.Signals.Rules(ctx, s.Project); err != nil {
			return false, err
		}
	}
	route := func(s alert.Signal) (alert.Group, alert.Route) { return rules[s.Project].GroupOf(s) }
	touched, err := r.Signals.RouteSignals(ctx, r.held, from, signals, route)
	if err != nil {
		return false, err
	}
	for _, s := range signals {
		r.Metrics.routed.WithLabelValues(string(s.Source), string(s.Action)).Inc()
	}
	r.courier.tell(ctx, touched)
	return len(signals) == atOnce, nil
}

// reader makes signals of events, and tells alerts of rules that changed.
type reader struct {
	*Relay
	held store.Lease
	seen int64 // beyond the cursor: nothing came of these
}

// idle is how many events of no interest are read before the cursor moves for them alone.
const idle = 1000

func (r *reader) step(ctx context.Context) (more bool, err error) {
	from, err := r.Sequences.Cursor(ctx, store.EventCursor)
	if err != nil {
		return false, err
	}
	events, err := r.Sequences.Events(ctx, max(from, r.seen), nil, atOnce)
	if err != nil || len(events) == 0 {
		return false, err
	}
	var signals []alert.Signal
	changed := map[string]bool{}
	for _, e := range events {
		if s, is := r.FromEvent(e); is {
			signals = append(signals, s)
		}
		if alert.ChangesPlans(e.Kind) {
			changed[e.Project] = true
		}
	}
	to := events[len(events)-1].Seq
	if len(signals) > 0 || len(changed) > 0 || to-from >= idle {
		if err := r.rulesChanged(ctx, changed); err != nil {
			return false, err
		}
		if err := r.Sequences.AppendFrom(ctx, r.held, store.EventCursor, from, to, signals); err != nil {
			return false, err
		}
	}
	r.seen = to
	return len(events) == atOnce, nil
}

// rulesChanged has the alerts that fire in the projects decide anew. An event of no project concerns all.
func (r *reader) rulesChanged(ctx context.Context, projects map[string]bool) error {
	if projects[""] {
		projects = map[string]bool{"": true}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(deliveries)
	for project := range projects {
		refs, err := r.Groups.FiringGroups(ctx, project)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			group.Go(func() error { return r.Flows.AlertRulesChanged(ctx, ref.Project, ref.Hash) })
		}
	}
	return group.Wait()
}

// caller has callbacks processed.
type caller struct {
	*Relay
	held store.Lease
}

func (r caller) step(ctx context.Context) (more bool, err error) {
	from, err := r.Sequences.Cursor(ctx, store.CallbackCursor)
	if err != nil {
		return false, err
	}
	callbacks, err := r.Sequences.Callbacks(ctx, from, atOnce)
	if err != nil || len(callbacks) == 0 {
		return false, err
	}
	group, starting := errgroup.WithContext(ctx)
	group.SetLimit(deliveries)
	for _, c := range callbacks {
		group.Go(func() error { return r.Flows.ProcessCallback(starting, c) })
	}
	if err := group.Wait(); err != nil {
		return false, err
	}
	return len(callbacks) == atOnce, r.Sequences.MoveCursor(ctx, r.held, store.CallbackCursor, from, callbacks[len(callbacks)-1].Seq)
}
