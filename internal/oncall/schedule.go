package oncall

import "time"

// Schedule says who is on call at each moment: the last of its layers that has somebody then, unless an override does.
type Schedule struct {
	Name   string  `json:"name"`
	Zone   string  `json:"zone"` // an IANA name: Europe/London
	Layers []Layer `json:"layers"`
}

// Layer is people who take turns.
type Layer struct {
	Name     string   `json:"name"`
	People   []string `json:"people"`          // in the order of their turns
	Rotation Rotation `json:"rotation"`        // how long a turn is
	Every    int      `json:"every,omitempty"` // so many of it; 0 is 1
	Start    string   `json:"start"`           // the first handover, on the schedule's clock: 2026-01-05T09:00
	Until    string   `json:"until,omitempty"` // from when on the layer has nobody; empty: never
	Only     []Hours  `json:"only,omitempty"`  // when it has somebody; empty: always
}

// Rotation is the unit of turns. Hours, days and weeks are the clock's of the zone: a turn that begins at 09:00 does so in summer and
// winter.
type Rotation string

// The rotations.
const (
	Hourly Rotation = "hourly"
	Daily  Rotation = "daily"
	Weekly Rotation = "weekly"
)

// Hours are hours of the day on days of the week, on the schedule's clock. To that is not after From is on the next day: 00:00 to 00:00
// is the whole day. Days are those on which the hours begin.
type Hours struct {
	Days []string `json:"days,omitempty"` // mon, tue, …; empty: every day
	From string   `json:"from"`           // 09:00
	To   string   `json:"to"`             // 17:00
}

// Override puts a person in the place of whoever a schedule has, from Begins until Ends. Of two that overlap, the newer one holds.
type Override struct {
	ID        string    `json:"id"`
	Project   string    `json:"project"`
	Schedule  string    `json:"schedule"`
	Person    string    `json:"person"`
	Begins    time.Time `json:"begins"`
	Ends      time.Time `json:"ends"`
	By        string    `json:"by"`
	CreatedAt time.Time `json:"created_at"`
}

// Shift is who is on call from Begins until Ends; Person is empty in a gap. Layer is the name of the layer whose turn it is.
type Shift struct {
	Person   string    `json:"person,omitempty"`
	Layer    string    `json:"layer,omitempty"`
	Override string    `json:"override,omitempty"` // the id of the override that put the person there
	Begins   time.Time `json:"begins"`
	Ends     time.Time `json:"ends"`
}

// Gap is a time ahead in which a page would reach nobody: to a schedule, or to a person whom a policy names.
type Gap struct {
	Schedule string    `json:"schedule,omitempty"`
	Policy   string    `json:"policy,omitempty" doc:"In the place of a schedule: a policy that names the person."`
	Person   string    `json:"person,omitempty" doc:"Who is on call then, and cannot be reached; left out when nobody is."`
	Why      string    `json:"why"`
	Begins   time.Time `json:"begins"`
	Ends     time.Time `json:"ends,omitzero" doc:"Left out when it lasts for weeks, if not for ever."`
}
