// Package upstream holds, in memory, where the services of a region can be reached, and sends requests there: it chooses
// an endpoint, keeps connections, and tries again where that cannot do harm.
//
// A Route is a service with its Endpoints. The Table is replaced as a whole when the registry changes and read without a
// lock. An Attempt sends one request. The package is not about who may call what, nor about where the table's contents
// come from. Only the gateway imports it.
package upstream

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/m3o/platform/internal/gateway/registry"
	"github.com/m3o/platform/internal/release"
)

// remembered is how long a service that registers itself is still known after its last instance went: its name gives "not
// ready" instead of "unknown" while it starts again.
const remembered = 30 * time.Second

// maxWaiting bounds how many requests wait for an endpoint to appear.
const maxWaiting = 4096

// Route is a service as the table knows it. It does not change.
type Route struct {
	Service   release.Key
	Access    release.Access
	Preflight release.Access // who may send CORS preflights
	Timeout   time.Duration  // 0: the gateway's own limit
	MaxBody   int64          // 0: the gateway's own limit
	Managed   bool           // Kubernetes runs it
	Endpoints []*Endpoint
	until     time.Time // for a service that is only remembered
}

// Table is where every service can be reached.
type Table struct {
	options Options
	now     func() time.Time
	current atomic.Pointer[contents]
	waiting atomic.Int64
	mu      sync.Mutex // held by Set
}

type contents struct {
	routes   map[release.Key]*Route
	complete bool
	replaced chan struct{} // closed when there are newer contents
}

// New makes an empty table.
func New(options Options) *Table {
	t := &Table{options: options, now: time.Now}
	t.current.Store(&contents{replaced: make(chan struct{})})
	return t
}

// Set replaces the contents: the instances there are, and the services that Kubernetes runs, ready or not, with who may call
// them. complete says that both are known, so that a service which is not listed does not exist.
//
// For a service that Kubernetes runs only the instances from there count: neither a pod that is not ready nor a stranger
// gets its requests by writing into the registry.
func (t *Table) Set(instances []registry.Instance, managed map[release.Key]registry.Admission, complete bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, now := t.current.Load(), t.now()
	next := &contents{routes: map[release.Key]*Route{}, complete: complete, replaced: make(chan struct{})}
	for key, may := range managed {
		next.routes[key] = &Route{Service: key, Access: may.Access, Preflight: may.Preflight, Managed: true}
	}
	kept := old.endpoints()
	for _, i := range instances {
		t.add(next, i, kept)
	}
	old.carry(next, now)
	t.current.Store(next)
	close(old.replaced)
	for _, e := range kept { // what is left has gone: its connections finish what they do and are not used again
		e.retire()
	}
}

// add puts an instance into the route of its service, with the endpoint it had before if nothing of it changed.
func (t *Table) add(c *contents, i registry.Instance, kept map[registry.Instance]*Endpoint) {
	route := c.routes[i.Service]
	if route == nil {
		route = &Route{Service: i.Service}
		c.routes[i.Service] = route
	}
	if route.Managed && !i.Mirrored {
		return
	}
	if slices.ContainsFunc(route.Endpoints, func(e *Endpoint) bool { return e.Address == i.Address }) {
		return
	}
	// While two releases run, the stricter access and the larger of the limits they name hold for both, so that no request of
	// one is refused for the smaller limit of the other.
	if len(route.Endpoints) == 0 {
		route.Access, route.Preflight, route.Timeout, route.MaxBody = i.Access, i.Preflight, i.Timeout, i.MaxBody
	} else {
		route.Timeout, route.MaxBody = max(route.Timeout, i.Timeout), max(route.MaxBody, i.MaxBody)
		if i.Access != release.Public {
			route.Access = i.Access
		}
		if i.Preflight != release.Public {
			route.Preflight = i.Preflight
		}
	}
	endpoint, ok := kept[i]
	if !ok {
		endpoint = newEndpoint(i, t.options)
	}
	delete(kept, i)
	route.Endpoints = append(route.Endpoints, endpoint)
}

func (c *contents) endpoints() map[registry.Instance]*Endpoint {
	all := map[registry.Instance]*Endpoint{}
	for _, route := range c.routes {
		for _, e := range route.Endpoints {
			all[e.Instance] = e
		}
	}
	return all
}

// carry remembers the services that register themselves and are gone just now.
func (c *contents) carry(next *contents, now time.Time) {
	for key, before := range c.routes {
		_, ok := next.routes[key]
		switch {
		case ok || before.Managed:
		case before.until.IsZero():
			next.routes[key] = &Route{Service: key, Access: before.Access, Preflight: before.Preflight, until: now.Add(remembered)}
		case now.Before(before.until):
			next.routes[key] = before
		}
	}
}

// Find looks a service up. complete is false as long as a service that is not found may exist all the same.
func (t *Table) Find(key release.Key) (route *Route, complete bool) {
	c := t.current.Load()
	route = c.routes[key]
	if route != nil && !route.until.IsZero() && t.now().After(route.until) {
		route = nil
	}
	return route, c.complete
}

// List is all services of a project, by name.
func (t *Table) List(project string) []*Route {
	now := t.now()
	var routes []*Route
	for key, route := range t.current.Load().routes {
		if key.Project == project && (route.until.IsZero() || now.Before(route.until)) {
			routes = append(routes, route)
		}
	}
	slices.SortFunc(routes, func(a, b *Route) int { return cmp.Compare(a.Service.Name, b.Service.Name) })
	return routes
}

// Services are the keys of all services there are.
func (t *Table) Services() map[release.Key]bool {
	all := map[release.Key]bool{}
	for key := range maps.Keys(t.current.Load().routes) {
		all[key] = true
	}
	return all
}

// wait returns the route once it has an endpoint that is not among the tried, or nil when the context ends first, the
// service goes, or too many are waiting.
func (t *Table) wait(ctx context.Context, key release.Key, tried []*Endpoint) *Route {
	if t.waiting.Add(1) > maxWaiting {
		t.waiting.Add(-1)
		return nil
	}
	defer t.waiting.Add(-1)
	for {
		c := t.current.Load()
		route := c.routes[key]
		if route != nil && slices.ContainsFunc(route.Endpoints, func(e *Endpoint) bool { return !slices.Contains(tried, e) }) {
			return route
		}
		if route == nil && c.complete {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.replaced:
		}
	}
}
