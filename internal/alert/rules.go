package alert

import (
	"slices"
	"time"

	"github.com/m3o/platform/internal/oncall"
)

// Rules are how a project's alerts reach people: the file that `m3o policy apply -f` reads, one per project.
type Rules struct {
	Project   string            `json:"project"`
	Schedules []oncall.Schedule `json:"schedules,omitempty"`
	Policies  []Policy          `json:"policies"`
	Routes    []Route           `json:"routes,omitempty"` // the first that matches holds
	Default   Route             `json:"default"`          // what no route matches; its Match is empty
	Inhibit   []Inhibition      `json:"inhibit,omitempty"`
	Notify    Notifies          `json:"notify"` // how people are paged who chose nothing themselves
	Limits    Limits            `json:"limits"`
	Version   int64             `json:"version,omitempty"` // of the row
}

// Notifies are lines of notification by urgency. Low has none: low is never paged.
type Notifies struct {
	High []Notify `json:"high,omitempty"`
}

// Policy is who is paged, one step after the other, until somebody acknowledges.
type Policy struct {
	Name            string   `json:"name"`
	Steps           []Step   `json:"steps"`
	Repeat          int      `json:"repeat,omitempty"`           // how often the steps are gone through again
	AcknowledgedFor Duration `json:"acknowledged_for,omitempty"` // after which an acknowledged alert is open again; 0: never
}

// Step pages its targets After the step before it (the first: after the alert began).
type Step struct {
	After   Duration `json:"after"`
	Targets []Target `json:"targets"`
}

// Target is exactly one of these.
type Target struct {
	Person   string `json:"person,omitempty"`
	Schedule string `json:"schedule,omitempty"` // whoever is on call when the step begins
	Slack    string `json:"slack,omitempty"`    // a channel: #ops or its id
	Email    string `json:"email,omitempty"`    // a mailing list
	Webhook  string `json:"webhook,omitempty"`  // an https URL, signed
}

// Route says what happens to the signals that it matches.
type Route struct {
	Name      string    `json:"name"`
	Match     []Matcher `json:"match,omitempty"` // all of them
	Policy    string    `json:"policy,omitempty"`
	Urgency   Urgency   `json:"urgency,omitempty"`    // empty: high for critical, error and warning, low for info
	GroupBy   []string  `json:"group_by,omitempty"`   // labels; signals that are alike in them are one alert. Empty: each dedup key is its own
	Wait      Duration  `json:"group_wait,omitempty"` // before the first step, for signals that belong together
	Interval  Duration  `json:"group_interval,omitempty"`
	ResolveIn Duration  `json:"resolve_after,omitempty"` // how long none of its keys must fire before it is resolved
}

// Inhibition suppresses alerts that match Target while one that matches Source fires, and they are alike in Equal.
type Inhibition struct {
	Source []Matcher `json:"source"`
	Target []Matcher `json:"target"`
	Equal  []string  `json:"equal,omitempty"`
}

// Limits bound what is sent. 0 stands for the default.
type Limits struct {
	PagesPerAlert  int `json:"pages_per_alert,omitempty"`  // messages of an alert: its updates give way to its steps, which are never withheld
	PerPersonHour  int `json:"per_person_hour,omitempty"`  // pages to one person by all channels
	PerContactHour int `json:"per_contact_hour,omitempty"` // pages to one contact
}

// Masked are the rules as those see them who may not write them: without the paths of webhooks, which may hold secrets.
func (r Rules) Masked() Rules {
	r.Policies = slices.Clone(r.Policies)
	for i := range r.Policies {
		p := &r.Policies[i]
		p.Steps = slices.Clone(p.Steps)
		for j := range p.Steps {
			s := &p.Steps[j]
			s.Targets = slices.Clone(s.Targets)
			for k, t := range s.Targets {
				if t.Webhook != "" {
					s.Targets[k].Webhook = maskURL(t.Webhook)
				}
			}
		}
	}
	return r
}

// Matcher compares a label: name, operator and value, written as "severity=critical", "service!=shop", "region=~lon.*|fra.*",
// "kind!~test.*". Regular expressions (RE2) match the whole value; a label that is not there is empty.
type Matcher struct {
	Name, Op, Value string
}

// SilenceStatus is where a silence is.
//
//	state    event                                    next state
//	-        made, to begin later                     ahead
//	-        made, to begin now                       active
//	ahead    its beginning                            active
//	active   its author is told that it ends soon     ending
//	ending   its end                                  over
//	any      ended by a person                        over
type SilenceStatus string

// The statuses of a silence.
const (
	SilenceAhead  SilenceStatus = "ahead"
	SilenceActive SilenceStatus = "active"
	SilenceEnding SilenceStatus = "ending"
	SilenceOver   SilenceStatus = "over"
)

// Silence stops alerts that match from paging between Begins and Ends. A maintenance window is a silence with Maintenance set: made ahead
// of time, it also holds what is being escalated already.
type Silence struct {
	ID          string        `json:"id"`
	Project     string        `json:"project"`
	Match       []Matcher     `json:"match"`
	Maintenance bool          `json:"maintenance,omitempty"`
	Comment     string        `json:"comment"`
	By          string        `json:"by"`
	Status      SilenceStatus `json:"status"`
	Begins      time.Time     `json:"begins"`
	Ends        time.Time     `json:"ends"`
	CreatedAt   time.Time     `json:"created_at"`
	EndedBy     string        `json:"ended_by,omitempty"` // who ended it before its time
}

// Override puts a person in the place of whoever a schedule has, for a time.
type Override = oncall.Override
