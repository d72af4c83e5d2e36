package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/m3o/platform/internal/blob"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/source"
	"github.com/m3o/platform/internal/store"
)

const (
	collectEvery = 24 * time.Hour
	// eventsKept is how far back events tell what happened: as far as Temporal does.
	eventsKept = control.Retention
	// signalsKept is how far back what sources of alerts and providers of channels sent is kept, and which keys were quiet.
	signalsKept = 30 * 24 * time.Hour
	// silencesKept is how long it can be looked up why nobody was paged.
	silencesKept = 90 * 24 * time.Hour
	// alertsKept is how long the log and the pages of an alert that has ended can be looked up.
	alertsKept = 400 * 24 * time.Hour
)

// collectGarbage removes the sources that no release needs and the events, signals, silences and alerts of long ago, at the start and then daily, until ctx
// ends. That it could not is told, and serves as no reason to end.
func collectGarbage(ctx context.Context, db *store.Store, blobs *blob.Folder, logger *slog.Logger) error {
	for {
		freed, err := collectSources(ctx, db, blobs, time.Now().Add(-store.InUseGrace))
		tellCollected(ctx, logger, "sources", "bytes", freed, err)
		forgotten, err := db.ForgetEvents(ctx, time.Now().Add(-eventsKept))
		tellCollected(ctx, logger, "events", "number", forgotten, err)
		forgotten, err = db.ForgetSignals(ctx, time.Now().Add(-signalsKept))
		tellCollected(ctx, logger, "signals of alerts", "number", forgotten, err)
		forgotten, err = db.ForgetSilences(ctx, time.Now().Add(-silencesKept))
		tellCollected(ctx, logger, "silences", "number", forgotten, err)
		forgotten, err = db.ForgetAlerts(ctx, time.Now().Add(-alertsKept))
		tellCollected(ctx, logger, "alerts", "number", forgotten, err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(collectEvery):
		}
	}
}

func tellCollected(ctx context.Context, logger *slog.Logger, what, unit string, n int64, err error) {
	switch {
	case err != nil && ctx.Err() == nil:
		logger.WarnContext(ctx, "old "+what+" were not collected", "error", err)
	case n > 0:
		logger.InfoContext(ctx, "collected old "+what, unit, n)
	}
}

func collectSources(ctx context.Context, db *store.Store, blobs *blob.Folder, before time.Time) (freed int64, err error) {
	needed, err := db.InUse(ctx)
	if err != nil {
		return 0, err
	}
	return blobs.Collect(ctx, source.Folder, before, func(name string) bool { return needed.Sources[source.DigestOf(name)] })
}
