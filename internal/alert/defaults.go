package alert

import (
	"time"

	"github.com/m3o/platform/internal/event"
)

// DefaultInterval is a route's group_interval where it says nothing.
const DefaultInterval = Duration(5 * time.Minute)

// DefaultNotify is how people are paged where neither they nor the rules say.
var DefaultNotify = Notifies{High: []Notify{{Channel: Slack}, {Channel: SMS, After: Duration(2 * time.Minute)}, {Channel: Email, After: Duration(2 * time.Minute)}}}

// DefaultRules are those of a project that has none yet: everything is grouped and recorded, and each alert says that nobody is paged
// before a policy is applied. The platform's own alerts are one for each region, service or other subject.
func DefaultRules(project string) Rules {
	r := Rules{Project: project, Default: Route{Name: DefaultRoute}, Notify: DefaultNotify}
	if project == Platform {
		r.Routes = []Route{
			{Name: "regions", Match: []Matcher{{"kind", "=", "region"}}, GroupBy: []string{"kind", "platform", "region"}},
			{Name: "on-call", Match: []Matcher{{"source", "=", string(FromOnCall)}}, GroupBy: []string{"project", "schedule"}},
		}
		r.Inhibit = []Inhibition{{Source: []Matcher{{"event", "=", event.RegionsSeen.Begins}}, Target: []Matcher{{"event", "=", event.RegionReach.Begins}}}}
	}
	return r.WithDefaults()
}

// DefaultRoute is the name of the default route: no other bears it.
const DefaultRoute = "default"

// WithDefaults fills in what a file leaves out.
func (r Rules) WithDefaults() Rules {
	if r.Policies == nil {
		r.Policies = []Policy{} // null is none of a file's lists
	}
	r.Default = r.Default.withDefaults()
	r.Default.Name = DefaultRoute
	routes := make([]Route, len(r.Routes))
	for i, route := range r.Routes {
		routes[i] = route.withDefaults()
	}
	if len(routes) > 0 {
		r.Routes = routes
	}
	if len(r.Notify.High) == 0 {
		r.Notify = DefaultNotify
	}
	r.Limits = r.Limits.WithDefaults()
	return r
}

func (r Route) withDefaults() Route {
	if r.Interval == 0 {
		r.Interval = DefaultInterval
	}
	return r
}
