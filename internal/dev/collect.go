//go:build embedded

package dev

import (
	"context"
	"errors"
	"time"

	"github.com/m3o/platform/internal/image"
	"github.com/m3o/platform/internal/store"
)

const (
	collectEvery = 24 * time.Hour
	crowdedLook  = time.Hour   // how often it is looked whether the registry is nearly full
	firstCollect = time.Minute // after the start, which has better to do
)

// collectGarbage removes images that no release needs, daily, and when the registry is nearly full, until ctx ends.
func (r *run) collectGarbage(ctx context.Context, registry *image.Registry) error {
	var last time.Time
	for pause := firstCollect; ; pause = crowdedLook {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if time.Since(last) >= collectEvery || crowded(registry) {
			last = time.Now()
			r.collect(ctx, registry)
		}
	}
}

// crowded reports whether nine tenths of the registry are taken.
func crowded(registry *image.Registry) bool {
	used, total := registry.Used()
	return used > total/10*9
}

// collect removes what no release needs now. That it could not is told; it is tried again.
func (r *run) collect(ctx context.Context, registry *image.Registry) {
	done, err := r.collectNow(ctx, registry)
	switch {
	case err != nil && ctx.Err() == nil:
		r.Logger.WarnContext(ctx, "the registry's garbage was not collected", "error", err)
	case done.Blobs > 0:
		r.Logger.InfoContext(ctx, "collected the registry's garbage", "images", done.Images, "blobs", done.Blobs, "bytes", done.Bytes)
	}
}

func (r *run) collectNow(ctx context.Context, registry *image.Registry) (done image.Collected, err error) {
	before := time.Now().Add(-store.InUseGrace) // of the question what is needed, not of its answer
	db, err := store.Open(ctx, r.settings.Store)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	needed, err := db.InUse(ctx)
	if err != nil {
		return done, err
	}
	return registry.Collect(needed.Images, before)
}
