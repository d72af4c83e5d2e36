package fleet

import (
	"context"
	"time"

	"github.com/m3o/platform/internal/sandbox/clusters"
)

// Look starts an inventory of what runs in a cluster, which must be ready, unless there was one a moment ago; the keeper's Belongings
// gets what is found. It does not wait: an API server that has just come up answers slowly, and the cluster's state must not. A turn
// calls it.
func (f *Fleet) Look(ctx context.Context, id string) {
	inspector, can := f.runner.(clusters.Inspector)
	if !can || !f.isLookDue(id) {
		return
	}
	f.attended.Go(func() {
		found, err := inspector.Inspect(ctx, id)
		if err == nil {
			err = f.keeper.Belongings(ctx, id, found)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.looking, id)
		if err != nil && ctx.Err() == nil {
			f.logger.DebugContext(ctx, "sandbox: no inventory", "cluster", id, "error", err)
		}
	})
}

func (f *Fleet) isLookDue(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.looking[id] || time.Since(f.looked[id]) < inventoryPeriod {
		return false
	}
	f.looking[id], f.looked[id] = true, time.Now()
	return true
}
