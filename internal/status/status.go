// Package status says to everybody how the platform is: its components, and what went wrong with them lately.
//
// It is pure, and public: nothing in a Document names a project, a person, an address, or repeats words of an error or of an alert. What it
// is made of is told to it; internal/store has it, api/rest serves it.
package status

import (
	"cmp"
	"slices"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/region"
)

// State is how a component, or the platform, is.
type State string

// The states.
const (
	Operational State = "operational"
	Unknown     State = "unknown" // it cannot be seen at the moment
	Degraded    State = "degraded"
	Outage      State = "outage"
)

var badness = []State{Operational, Unknown, Degraded, Outage}

func worse(a, b State) State {
	if slices.Index(badness, b) > slices.Index(badness, a) {
		return b
	}
	return a
}

// The components beside the regions.
const (
	API      = "api"
	Deploys  = "deploys"
	Alerting = "alerts"
)

// Bounds of a document.
const (
	MaxRegions   = 500
	MaxIncidents = 50
	Lately       = 7 * 24 * time.Hour // that incidents are listed for after their end
)

// Component is a part of the platform that works or does not by itself.
type Component struct {
	Name  string    `json:"name"` // "api", "deploys", "alerts", or a region's: "micro/lon1"
	Kind  string    `json:"kind" enum:"service,region"`
	State State     `json:"state" enum:"operational,unknown,degraded,outage"`
	Since time.Time `json:"since,omitzero" doc:"Since when it is not operational, where that is known."`
}

// Incident is something that went wrong with a component.
type Incident struct {
	Number    int64     `json:"number"`
	Component string    `json:"component"`
	Title     string    `json:"title"`
	State     State     `json:"state" enum:"degraded,outage" doc:"How the component was at worst."`
	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at,omitzero" doc:"Left out while it lasts."`
}

// Document is how the platform is at a moment.
type Document struct {
	State      State       `json:"state" enum:"operational,unknown,degraded,outage" doc:"The worst of the components'."`
	At         time.Time   `json:"at"`
	Components []Component `json:"components"`
	Incidents  []Incident  `json:"incidents" doc:"Of the last seven days and those that last, newest first."`
}

// Condition is something of the platform that needs looking after, by the event that began it.
type Condition struct {
	Kind  string
	Since time.Time
}

// Facts are what a document is made of. Alerts are those of the platform itself.
type Facts struct {
	At         time.Time
	Regions    []region.Region
	Outlook    region.Outlook
	Conditions []Condition
	Alerts     []alert.Alert
	EngineAway bool // Temporal does not answer: nothing is begun
}

// Make makes the document.
func Make(f Facts) Document {
	d := Document{State: Operational, At: f.At.UTC().Truncate(time.Second), Components: []Component{{Name: API, Kind: "service", State: Operational},
		f.of(Deploys, event.QueueServed, event.QueueLag), f.of(Alerting, event.RelayMoves, event.PagesArrive)}, Incidents: []Incident{}}
	if f.EngineAway {
		d.Components[1].State, d.Components[2].State = Outage, Outage
	}
	for _, r := range f.Regions[:min(len(f.Regions), MaxRegions)] {
		if c, serves := f.region(r); serves {
			d.Components = append(d.Components, c)
		}
	}
	for _, c := range d.Components {
		d.State = worse(d.State, c.State)
	}
	d.Incidents = append(d.Incidents, incidents(f)...)
	return d
}

// Down is the document of a platform whose store does not answer: nothing is known of what it kept.
func Down(at time.Time) Document {
	d := Document{State: Outage, At: at.UTC().Truncate(time.Second), Incidents: []Incident{}}
	for _, name := range []string{API, Deploys, Alerting} {
		d.Components = append(d.Components, Component{Name: name, Kind: "service", State: Outage})
	}
	return d
}

// of is a component that is degraded while any of the turns lasts.
func (f Facts) of(name string, turns ...event.Turn) Component {
	c := Component{Name: name, Kind: "service", State: Operational}
	for _, condition := range f.Conditions {
		if !slices.ContainsFunc(turns, func(t event.Turn) bool { return t.Begins == condition.Kind }) {
			continue
		}
		if c.State = Degraded; c.Since.IsZero() || condition.Since.Before(c.Since) {
			c.Since = condition.Since
		}
	}
	return c
}

// region is how a region is, if it serves anybody: one that is being made, or removed, is nobody's yet or any more.
func (f Facts) region(r region.Region) (c Component, serves bool) {
	name := r.Spec.Key().String()
	c = Component{Name: name, Kind: "region", State: Operational}
	if !r.Takes() {
		return c, false
	}
	sight, known := f.Outlook.Sights[name]
	switch {
	case f.Outlook.Unseen != nil:
		c.State, c.Since = Unknown, f.Outlook.Unseen.Since
	case known && !sight.Well && r.Endpoints.API != "":
		c.State, c.Since = Outage, sight.Since
	case r.Status == region.Degraded:
		c.State = Degraded
	}
	return c, true
}

// kinds are the alerts that are everybody's matter, by their label kind: what a component is called, and what went wrong.
var kinds = map[string]struct{ component, title string }{
	"region": {"", "The region did not work as it should"},
	"queue":  {Deploys, "Deploys and changes of regions were slow or stood still"},
	"relay":  {Alerting, "Alerts were delivered late"},
	"page":   {Alerting, "Alerts did not arrive by every channel"},
}

// Told returns an alert with the labels by which the public may be told of it. An alert has those labels alone that its route groups by,
// which need not say what it is about: its keys do, the worst first.
func Told(a alert.Alert, keys []alert.Key) alert.Alert {
	for _, k := range keys {
		if _, public := kinds[k.Labels["kind"]]; public {
			a.Labels = k.Labels
			break
		}
	}
	return a
}

// incidents are the alerts that everybody may know of: neither drills nor warnings.
func incidents(f Facts) []Incident {
	var all []Incident
	for _, a := range f.Alerts {
		kind, public := kinds[a.Labels["kind"]]
		bad := a.Severity == alert.Critical || a.Severity == alert.Error
		if !public || !bad || a.Drill || !a.EndedAt.IsZero() && f.At.Sub(a.EndedAt) > Lately {
			continue
		}
		i := Incident{Number: a.Number, Component: kind.component, Title: kind.title, State: Degraded, StartedAt: a.StartedAt.UTC(), EndedAt: a.EndedAt}
		if i.Component == "" {
			i.Component = a.Labels["platform"] + "/" + a.Labels["region"]
		}
		if i.Component == "/" {
			i.Component, i.Title = "regions", "The regions did not work as they should"
		}
		if a.Severity == alert.Critical {
			i.State = Outage
		}
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b Incident) int { return cmp.Compare(b.Number, a.Number) })
	return all[:min(len(all), MaxIncidents)]
}
