package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/m3o/platform/internal/blob"
	"github.com/m3o/platform/internal/source"
	"github.com/m3o/platform/internal/store"
)

const collectEvery = 24 * time.Hour

// collectSources removes the sources that no release needs, at the start and then daily, until ctx ends. That it could not
// is told, and serves as no reason to end.
func collectSources(ctx context.Context, db *store.Store, blobs *blob.Folder, logger *slog.Logger) error {
	for {
		freed, err := collectSourcesNow(ctx, db, blobs, time.Now().Add(-store.InUseGrace))
		switch {
		case err != nil && ctx.Err() == nil:
			logger.WarnContext(ctx, "old sources were not collected", "error", err)
		case freed > 0:
			logger.InfoContext(ctx, "collected old sources", "bytes", freed)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(collectEvery):
		}
	}
}

func collectSourcesNow(ctx context.Context, db *store.Store, blobs *blob.Folder, before time.Time) (freed int64, err error) {
	needed, err := db.InUse(ctx)
	if err != nil {
		return 0, err
	}
	kept := map[string]bool{}
	for digest := range needed.Sources {
		if name, err := source.BlobName(digest); err == nil { // releases of images have none
			kept[name] = true
		}
	}
	return blobs.Collect(ctx, source.Folder, before, func(name string) bool { return kept[name] })
}
