// Package fleet keeps a sandbox cloud's clusters: it gives each of them its turns, one at a time and none holding up another, often
// while something is under way, and looks from time to time at what runs in them.
//
// It knows no cloud's states, names or resources: a Keeper does. It starts no cluster itself; that is the turn's part, by
// clusters.Runner. Only the providers' packages below internal/sandbox import it.
package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

const (
	// busyPeriod and idlePeriod are how often we look at clusters: often while something is under way.
	busyPeriod = 50 * time.Millisecond
	idlePeriod = time.Second
	// inventoryPeriod is how often we look at what Services and claims made in the account, in real time.
	inventoryPeriod = 3 * time.Second
)

// Keeper is what a cloud does for its clusters. It is called concurrently, for one cluster one Turn at a time.
type Keeper interface {
	// Clusters lists the ids of those that exist. unsettled says that any of them, or of the cloud's other resources, is on its way to
	// another state: then turns come often.
	Clusters(context.Context) (ids []string, unsettled bool, err error)
	// Turn makes the real cluster as wanted and moves the stored one on, as far as it is time. Gone is fine. What it returns is
	// logged, once as long as it is the same, and the next turn comes all the same.
	Turn(ctx context.Context, id string) error
	// Belongings makes what the cloud has of the cluster's load balancers and volumes what was found in it. The cluster may have gone
	// or be going: then it changes nothing.
	Belongings(ctx context.Context, id string, found clusters.Inventory) error
}

// Fleet is the clusters of one cloud.
type Fleet struct {
	provider string
	world    *world.World
	runner   clusters.Runner
	keeper   Keeper
	logger   *slog.Logger

	mu sync.Mutex
	// busy are the clusters that are having a turn, looking those whose contents are looked at, which looked says when.
	busy, looking map[string]bool
	looked        map[string]time.Time
	troubles      map[string]string
	attended      sync.WaitGroup
}

// New makes a fleet of the provider's clusters, which keeper knows and runner runs.
func New(provider string, w *world.World, runner clusters.Runner, keeper Keeper, logger *slog.Logger) *Fleet {
	return &Fleet{provider: provider, world: w, runner: runner, keeper: keeper, logger: logger.With("provider", provider),
		busy: map[string]bool{}, looking: map[string]bool{}, looked: map[string]time.Time{}, troubles: map[string]string{}}
}

// Run gives turns until ctx ends, and returns when the last one has ended.
func (f *Fleet) Run(ctx context.Context) error {
	defer f.attended.Wait()
	changed := f.world.Watch(ctx)
	for {
		unsettled, err := f.attend(ctx)
		if err != nil && ctx.Err() == nil {
			f.logger.ErrorContext(ctx, "sandbox: looking after the clusters failed", "error", err)
		}
		period := idlePeriod
		if unsettled {
			period = busyPeriod
		}
		timer := time.NewTimer(period)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-changed:
			timer.Stop()
			// One request often makes several commits; there is no hurry beyond this.
			if f.world.Clock.Wait(ctx, f.world.Clock.Now().Add(busyPeriod/5)) != nil {
				return nil
			}
		case <-timer.C:
		}
	}
}

// attend gives every cluster a turn that has none now, each on its own so that a slow one holds up no other.
func (f *Fleet) attend(ctx context.Context) (unsettled bool, err error) {
	ids, unsettled, err := f.keeper.Clusters(ctx)
	if err != nil {
		return false, fmt.Errorf("list the clusters: %w", err)
	}
	f.forget(ids)
	for _, id := range ids {
		f.attendTo(ctx, id)
	}
	return unsettled, nil
}

// forget drops what is remembered of clusters that no longer exist.
func (f *Fleet) forget(existing []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	exists := make(map[string]bool, len(existing))
	for _, id := range existing {
		exists[id] = true
	}
	for id := range f.looked {
		if !exists[id] {
			delete(f.looked, id)
		}
	}
	for id := range f.troubles {
		if !exists[id] {
			delete(f.troubles, id)
		}
	}
}

func (f *Fleet) attendTo(ctx context.Context, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy[id] {
		return
	}
	f.busy[id] = true
	f.attended.Go(func() {
		err := f.keeper.Turn(ctx, id)
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.busy, id)
		if ctx.Err() == nil {
			f.complain(ctx, id, err)
		}
	})
}

// complain logs what went wrong with a cluster, once as long as it is the same.
func (f *Fleet) complain(ctx context.Context, id string, err error) {
	if err == nil {
		delete(f.troubles, id)
		return
	}
	if words := err.Error(); words != f.troubles[id] {
		f.troubles[id] = words
		f.logger.WarnContext(ctx, "sandbox: a cluster's turn failed and is repeated", "cluster", id, "error", words)
	}
}
