package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// DedupLabel is the label that groups have in place of others where their route names none.
const DedupLabel = "dedup_key"

// Hash names the group in ids: 32 hexadecimal digits, the same for the same group for ever.
func (g Group) Hash() string {
	text, err := json.Marshal(g) // of strings: keys of maps come sorted
	if err != nil {
		panic("alert: a group of strings cannot be marshalled: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// RouteOf is the first route that matches, or the default one.
func (r Rules) RouteOf(labels map[string]string) Route {
	for _, route := range r.Routes {
		if MatchesAll(route.Match, labels) {
			return route
		}
	}
	return r.Default
}

// GroupOf is the group of a signal by these rules, and the route that made it.
func (r Rules) GroupOf(s Signal) (Group, Route) {
	labels := s.LabelSet()
	route := r.RouteOf(labels)
	g := Group{Project: s.Project, Route: route.Name, Labels: map[string]string{}}
	for _, name := range route.GroupBy {
		if value := labels[name]; value != "" {
			g.Labels[name] = value
		}
	}
	if len(route.GroupBy) == 0 || s.Source == FromDrill { // a drill joins no alert that is meant, and none joins a drill
		g.Labels[DedupLabel] = s.DedupKey
	}
	return g, route
}
