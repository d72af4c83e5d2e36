// Package watch looks at every region's gateway from outside, every ten seconds, and records what it sees: how the instances of
// services are, and whether the region answers at all.
//
// One process at a time watches: the holder of a lease in the store. What it records lies beside what the owners of services and
// regions record, and never in it: readers see both (internal/store, region.Outlook). It changes nothing in a region, and is no
// workflow: decision 14 says why. Only the starter imports it, for workers of the queue flows.
package watch

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/internal/lease"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
)

// How often the regions are looked at, how many at once, and for how long each.
const (
	every     = 10 * time.Second
	jitter    = time.Second // the most that a look is early
	atOnce    = 16
	perRegion = 8 * time.Second
	perLook   = 30 * time.Second // a database that hangs must not keep the watcher from the next look
)

// Truth is what the owners recorded.
type Truth interface {
	Regions(ctx context.Context, platform string, includeDeleted bool) ([]region.Region, error)
	RunningServices(ctx context.Context) ([]release.Service, []release.Release, error)
	Release(ctx context.Context, key release.Key, number int) (release.Release, error)
}

// Records keep what is seen. They refuse it from one who holds the lease no more.
type Records interface {
	ServicesHealth(ctx context.Context) ([]store.ServiceHealth, error)
	Outlook(ctx context.Context) (region.Outlook, error)
	RecordHealth(ctx context.Context, by store.Lease, now []store.ServiceHealth) error
	RecordSight(ctx context.Context, by store.Lease, name string, now *region.Sight) error
}

// Asker asks gateways.
type Asker interface {
	Ask(ctx context.Context, r region.Region) (View, error)
}

// Watcher watches while it holds the lease.
type Watcher struct {
	Truth    Truth
	Records  Records
	Leases   lease.Leases
	Gateways Asker
	Metrics  *Metrics
	Logger   *slog.Logger
}

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	lease.New(w.Leases, store.WatchLease, "watches the regions", w.Logger).Run(ctx, w.watch)
}

// watch looks again and again while the lease is held.
func (w *Watcher) watch(ctx context.Context, held store.Lease) {
	w.Metrics.holder.Set(1)
	defer w.Metrics.holder.Set(0)
	memory, failing := newMemory(), false
	for ctx.Err() == nil {
		began := time.Now()
		err := w.lookWithin(ctx, perLook, held, memory)
		if err != nil && !failing && ctx.Err() == nil {
			w.Logger.WarnContext(ctx, "what is seen of the regions is not recorded", "error", err)
		}
		failing = err != nil
		sleep(ctx, every-rand.N(jitter)-time.Since(began))
	}
}

func (w *Watcher) lookWithin(ctx context.Context, limit time.Duration, lease store.Lease, m *memory) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return w.look(ctx, lease, m)
}

// look asks every gateway once, and records what is news.
func (w *Watcher) look(ctx context.Context, lease store.Lease, m *memory) error {
	if err := m.remember(ctx, w.Records); err != nil {
		return err
	}
	all, err := w.Truth.Regions(ctx, "", false)
	if err != nil {
		return err
	}
	watched := map[string]region.Region{}
	for _, r := range all {
		if r.Takes() && r.Endpoints.API != "" {
			watched[r.Spec.Key().String()] = r
		}
	}
	services, rollouts, err := w.Truth.RunningServices(ctx)
	if err != nil {
		return err
	}
	views, missed := w.ask(ctx, watched)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := w.recordSights(ctx, lease, m, watched, missed); err != nil {
		return err
	}
	return w.recordHealth(ctx, lease, m, scene{services: services, rollouts: rollouts, views: views, watched: watched})
}

// ask asks the regions, and returns the views of those that answered and why others did not.
func (w *Watcher) ask(ctx context.Context, regions map[string]region.Region) (views map[string]View, missed map[string]error) {
	views, missed = map[string]View{}, map[string]error{}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(atOnce)
	for name, r := range regions {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, perRegion)
			defer cancel()
			view, err := w.Gateways.Ask(ctx, r)
			mu.Lock()
			defer mu.Unlock()
			if w.Metrics.probed(name, err); err != nil {
				missed[name] = err
			} else {
				views[name] = view
			}
			return nil
		})
	}
	_ = group.Wait() // the failures are in missed
	return views, missed
}

// Metrics count what is looked at and what is found.
type Metrics struct {
	probes *prometheus.CounterVec
	turns  *prometheus.CounterVec
	holder prometheus.Gauge
}

// NewMetrics makes them.
func NewMetrics() *Metrics {
	return &Metrics{
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "m3o_watch_probes_total", Help: "Looks at a region's gateway, by whether it answered."},
			[]string{"region", "answered"}),
		turns: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "m3o_watch_turns_total", Help: "Services and regions that turned degraded, or well again."},
			[]string{"noun", "to"}),
		holder: prometheus.NewGauge(prometheus.GaugeOpts{Name: "m3o_watch_holder", Help: "1 while this worker is the one that watches the regions."}),
	}
}

// Collectors are what to register.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.probes, m.turns, m.holder}
}

func (m *Metrics) probed(region string, err error) {
	answered := "yes"
	if err != nil {
		answered = "no"
	}
	m.probes.WithLabelValues(region, answered).Inc()
}

func (m *Metrics) turned(noun string, well bool) {
	to := "degraded"
	if well {
		to = "well"
	}
	m.turns.WithLabelValues(noun, to).Inc()
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
