package watch

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
)

// enough is how many probes in a row turn a region: one that fails says little.
const enough = 3

// batch is how many services are recorded in one transaction.
const batch = 100

// place is a service in a region.
type place struct {
	service release.Key
	region  string
}

// memory is what the watcher knows from its looks before, and what is recorded. A new holder of the lease begins with the records.
type memory struct {
	known  bool
	sights map[string]region.Sight // as recorded; "" is all of them
	misses map[string]int          // probes in a row that failed
	hits   map[string]int          // and that did not
	health map[place]release.Health
	fresh  map[place]bool // what was not well the last time, and had just begun
	unrest map[place]unrest
	wanted map[release.Ref]int
}

func newMemory() *memory {
	return &memory{misses: map[string]int{}, hits: map[string]int{}, fresh: map[place]bool{}, unrest: map[place]unrest{}, wanted: map[release.Ref]int{}}
}

// remember reads what is recorded, if that is not known.
func (m *memory) remember(ctx context.Context, records Records) error {
	if m.known {
		return nil
	}
	outlook, err := records.Outlook(ctx)
	if err != nil {
		return err
	}
	health, err := records.ServicesHealth(ctx)
	if err != nil {
		return err
	}
	m.sights, m.health = maps.Clone(outlook.Sights), map[place]release.Health{}
	if outlook.Unseen != nil {
		m.sights[""] = region.Sight{Message: outlook.Unseen.Why}
	}
	for _, h := range health {
		m.health[place{h.Service, h.Region}] = *h.Health
	}
	m.known = true
	return nil
}

// recordSights turns the regions that failed, or answered, often enough. If none answers it is the watcher that cannot see, and
// no region is turned for it.
func (w *Watcher) recordSights(ctx context.Context, lease store.Lease, m *memory, watched map[string]region.Region, missed map[string]error) error {
	news := map[string]*region.Sight{}
	if len(watched) > 0 && len(missed) == len(watched) {
		m.count("", false)
		if m.misses[""] >= enough {
			news[""] = &region.Sight{Message: blindness(missed)}
		}
	} else {
		m.count("", true)
		news[""] = &region.Sight{Well: true}
		for name := range watched {
			err := missed[name]
			m.count(name, err == nil)
			switch {
			case m.misses[name] >= enough:
				news[name] = &region.Sight{Message: fault.Message(err)}
			case m.hits[name] >= enough:
				news[name] = &region.Sight{Well: true}
			}
		}
	}
	for name := range m.sights {
		if _, there := watched[name]; !there && name != "" {
			news[name] = nil
		}
	}
	gone := func(name string, _ int) bool { _, there := watched[name]; return !there && name != "" }
	maps.DeleteFunc(m.misses, gone)
	maps.DeleteFunc(m.hits, gone)
	return w.writeSights(ctx, lease, m, news)
}

func (m *memory) count(name string, answered bool) {
	if answered {
		m.misses[name] = 0
		m.hits[name]++
		return
	}
	m.hits[name] = 0
	m.misses[name]++
}

// blindness says why no region is seen, by one that is not.
func blindness(missed map[string]error) string {
	names := slices.Sorted(maps.Keys(missed))
	of := fmt.Sprintf("none of %d gateways answers; of %s: ", len(names), names[0])
	if len(names) == 1 {
		of = "the only gateway, of " + names[0] + ": "
	}
	return of + strings.TrimPrefix(fault.Message(missed[names[0]]), "its gateway ")
}

// writeSights records what is news. A region that was always well has no record.
func (w *Watcher) writeSights(ctx context.Context, lease store.Lease, m *memory, news map[string]*region.Sight) error {
	for _, name := range slices.Sorted(maps.Keys(news)) {
		sight, before := news[name], region.Sight{Well: true}
		if recorded, known := m.sights[name]; known {
			before = recorded
		}
		if sight != nil && sight.Well == before.Well {
			continue
		}
		if err := w.Records.RecordSight(ctx, lease, name, sight); err != nil {
			return err
		}
		if sight == nil {
			delete(m.sights, name)
			continue
		}
		m.sights[name] = *sight
		w.Metrics.turned("region", sight.Well)
		if !sight.Well {
			w.Logger.WarnContext(ctx, "a region does not answer", "region", name, "reason", sight.Message)
		}
	}
	return nil
}

// scene is all that a look found.
type scene struct {
	services []release.Service
	rollouts []release.Release
	views    map[string]View
	watched  map[string]region.Region
}

// rolling reports whether a release of the service is on its way into the region: its instances change, which is no trouble.
func (s scene) rolling(key release.Key, in string) bool {
	r, known := s.watched[in]
	return known && slices.ContainsFunc(s.rollouts, func(on release.Release) bool { return on.Service == key && on.BoundFor(r.Spec.Key()) })
}

// recordHealth records how the services are wherever they were brought and can be seen, and forgets where they are not any more.
func (w *Watcher) recordHealth(ctx context.Context, lease store.Lease, m *memory, s scene) error {
	kept, news := map[place]bool{}, []store.ServiceHealth{}
	for _, service := range s.services {
		for _, p := range service.Regions {
			at := place{service.Key, p.Region}
			view, seen := s.views[p.Region]
			_, watched := s.watched[p.Region]
			switch {
			case p.Status != release.Ready || !watched || seen && view.Suspended[service.Key.Project]:
				continue // nothing is meant to run there
			case !seen || s.rolling(service.Key, p.Region):
				kept[at] = true
				delete(m.fresh, at) // what comes after it has just begun again
				continue
			}
			kept[at] = true
			h, changed, err := w.judge(ctx, m, at, service, view)
			if err != nil {
				return err
			}
			if changed {
				news = append(news, store.ServiceHealth{Service: service.Key, Region: p.Region, Health: &h})
			}
		}
	}
	for at := range m.health {
		if !kept[at] {
			news = append(news, store.ServiceHealth{Service: at.service, Region: at.region})
		}
	}
	maps.DeleteFunc(m.fresh, func(at place, _ bool) bool { return !kept[at] })
	maps.DeleteFunc(m.unrest, func(at place, _ unrest) bool { return !kept[at] })
	return w.writeHealth(ctx, lease, m, news)
}

// judge says how a service is in a region, and whether that is news. What has just begun waits for the next look.
func (w *Watcher) judge(ctx context.Context, m *memory, at place, service release.Service, view View) (h release.Health, changed bool, err error) {
	instances, told := view.Services[at.service]
	if !told && view.Partial {
		return h, false, nil
	}
	wanted, err := w.wanted(ctx, m, release.Ref{Service: service.Key, Number: service.Current})
	if err != nil || wanted == 0 {
		return h, false, err
	}
	h, fresh := release.Judge(service.Current, wanted, instances, view.At)
	before, known := m.health[at]
	if fresh && !m.fresh[at] && (!known || before.Well) {
		m.fresh[at] = true
		return h, false, nil
	}
	if h.Well {
		delete(m.fresh, at)
	}
	if !m.settled(at, h.Well, known && !before.Well, view.At) {
		return h, false, nil
	}
	before.Since = time.Time{}
	return h, !known || !reflect.DeepEqual(before, h), nil
}

// How often a service may turn in how long until it must prove that it is well, and by how many looks in a row.
const (
	restless     = 3
	restlessTime = 10 * time.Minute
	proof        = 6
)

// unrest is how often a service turned lately.
type unrest struct {
	turns int       // from well to not well
	last  time.Time // when it turned last
	calm  int       // looks in a row that found it well since
}

// settled notes what a look found of a service that was well before it or not. False: it has turned so often lately, as one whose
// health path answers by turns, that it stays degraded until it has been well for a while, or each turn would be told.
func (m *memory) settled(at place, well, wasDown bool, now time.Time) bool {
	u := m.unrest[at]
	switch {
	case !well && !wasDown:
		if now.Sub(u.last) > restlessTime {
			u.turns = 0
		}
		u.turns, u.last, u.calm = u.turns+1, now, 0
	case !well:
		u.calm = 0
	case wasDown:
		u.calm++
	default:
		return true
	}
	m.unrest[at] = u
	return !well || u.turns < restless || u.calm >= proof
}

// wanted is how many instances a release has in each region; 0 if it is not there. It never changes.
func (w *Watcher) wanted(ctx context.Context, m *memory, ref release.Ref) (int, error) {
	if n, known := m.wanted[ref]; known {
		return n, nil
	}
	r, err := w.Truth.Release(ctx, ref.Service, ref.Number)
	if fault.Is(err, fault.NotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(m.wanted) > 10_000 { // of releases that ran before
		clear(m.wanted)
	}
	m.wanted[ref] = r.Spec.Replicas
	return r.Spec.Replicas, nil
}

// writeHealth records what is news, and remembers what is recorded.
func (w *Watcher) writeHealth(ctx context.Context, lease store.Lease, m *memory, news []store.ServiceHealth) error {
	for some := range slices.Chunk(news, batch) {
		if err := w.Records.RecordHealth(ctx, lease, some); err != nil {
			return err
		}
		for _, h := range some {
			at := place{h.Service, h.Region}
			before, known := m.health[at]
			if h.Health == nil {
				delete(m.health, at)
				continue
			}
			if m.health[at] = *h.Health; (!known || before.Well) != h.Health.Well {
				w.Metrics.turned("service", h.Health.Well)
			}
		}
	}
	return nil
}
