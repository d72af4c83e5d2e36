package main

import (
	"context"
	"fmt"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/relay"
	"github.com/m3o/platform/internal/store"
)

// relay brings signals to the workflows of alerts until ctx ends, in turn with the other workers of flows. What it returns waits for its
// end.
func (b *base) relay(ctx context.Context, db *store.Store, flows *control.Flows) (wait func(), err error) {
	metrics := relay.NewMetrics()
	for _, c := range metrics.Collectors() {
		b.signals.Registry.Unregister(c) // of a worker that was started before in this process
		if err := b.signals.Registry.Register(c); err != nil {
			return nil, fmt.Errorf("count what is relayed: %w", err)
		}
	}
	r := relay.Relay{Signals: db, Groups: db, Sequences: db, Flows: flows, FromEvent: alert.FromEvent, Leases: db, Metrics: metrics, Logger: b.signals.Logger,
		Jobs: []relay.Job{relay.CheckHeartbeats(db), relay.CheckGaps(db), relay.MoveSilences(db, flows)}}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	return func() { stop(); <-done }, nil
}
