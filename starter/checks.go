package main

import (
	"context"

	"github.com/m3o/platform/internal/checks"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/store"
)

// check looks at the platform itself until ctx ends, in turn with the other workers of flows. What it returns waits for its end.
func (b *base) check(ctx context.Context, db *store.Store) (wait func()) {
	metrics := checks.NewMetrics()
	for _, c := range metrics.Collectors() {
		b.signals.Registry.Unregister(c) // of a worker that was started before in this process
		b.signals.Registry.MustRegister(c)
	}
	attendance := control.NewAttendance(b.temporal, b.settings.TemporalNamespace)
	certificates := map[string]string{}
	if file := b.settings.TemporalCertFile; file != "" {
		certificates["temporal-client"] = file
	}
	c := checks.Checker{Records: db, Leases: db, Sent: db, Metrics: metrics, Logger: b.signals.Logger,
		Begin: func(ctx context.Context) { go attendance.Listen(ctx) },
		Checks: []checks.Check{checks.ExpiringTokens(db), checks.ExpiringCertificates(certificates),
			checks.UnservedQueues(attendance, db), checks.LaggingQueues(attendance), checks.StuckRelay(db), checks.FailingPages(db)}}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
	return func() { stop(); <-done }
}
