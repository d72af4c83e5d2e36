package alert

import (
	"fmt"
	"slices"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// Question is what Simulate answers: an alert with these labels that begins At and that nobody acknowledges.
type Question struct {
	Labels map[string]string `json:"labels"`
	At     time.Time         `json:"at"`
}

// Validate says what is wrong with a question.
func (q Question) Validate(now time.Time) error {
	var c fault.Checker
	c.Check(len(q.Labels) <= MaxLabels+4, "labels", "%d are more than %d", len(q.Labels), MaxLabels)
	for name, value := range q.Labels {
		c.Check(labelName.MatchString(name), "labels."+brief(name), "%.60q is no name of a label", name)
		c.Check(len(value) <= MaxLabel, "labels."+brief(name), "has %d bytes; at most %d are allowed", len(value), MaxLabel)
	}
	c.Check(slices.Contains(Severities, Severity(q.Labels["severity"])), "labels.severity", "%.20q is none of critical, error, warning and info", q.Labels["severity"])
	c.Check(q.At.After(now.Add(-MaxAhead)) && q.At.Before(now.Add(MaxAhead)), "at", "%s is more than a year from now", q.At.Format(time.RFC3339))
	return c.Err()
}

// Simulated says who would be paged when and how.
type Simulated struct {
	Project  string          `json:"project"`
	Route    string          `json:"route"`
	Policy   string          `json:"policy,omitempty"`
	Severity Severity        `json:"severity"`
	Urgency  Urgency         `json:"urgency"`
	At       time.Time       `json:"at"`
	Pages    []SimulatedPage `json:"pages"`
	Notes    []SimulatedNote `json:"notes,omitempty"`  // what holds pages back or reaches nobody, and when
	EndsAt   time.Time       `json:"ends_at,omitzero"` // when the last step is over
}

// SimulatedPage is one page of it.
type SimulatedPage struct {
	At       time.Time `json:"at"`
	After    Duration  `json:"after"` // since the alert began
	Step     int       `json:"step"`
	Round    int       `json:"round"`
	Name     string    `json:"name"` // a user's, or the target's address, see Contact.Name
	Channel  Channel   `json:"channel"`
	Address  string    `json:"address"`            // Contact.Shown
	Schedule string    `json:"schedule,omitempty"` // that has the person on call then
}

// SimulatedNote is one thing to know of it.
type SimulatedNote struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// maxSimulated bounds how many plans a simulation makes; rules that pass Validate, and as many silences as a project has, need fewer.
const maxSimulated = 2000

// Simulate goes through the steps of an alert that nobody acknowledges, and whose contacts all take the pages. It asks MakePlan, as the
// workflow does, at the times when the workflow would.
func Simulate(v View, q Question) Simulated {
	route := v.Rules.completed(v.Rules.RouteOf(q.Labels))
	severity := Severity(q.Labels["severity"])
	s := simulation{view: v, labels: q.Labels, Simulated: Simulated{Project: v.Rules.Project, Route: route.Name, Policy: route.Policy, Severity: severity,
		Urgency: route.UrgencyOf(severity), At: q.At, Pages: []SimulatedPage{}}}
	s.policy, _ = v.Rules.policyNamed(route.Policy)
	s.run(PlanInput{Alert: Alert{Project: v.Rules.Project, Route: route.Name, Severity: severity}, Labels: q.Labels, Round: 1, At: q.At.Add(time.Duration(route.Wait))})
	slices.SortStableFunc(s.Pages, func(a, b SimulatedPage) int { return a.At.Compare(b.At) })
	slices.SortStableFunc(s.Notes, func(a, b SimulatedNote) int { return a.At.Compare(b.At) })
	return s.Simulated
}

// simulation is one run of Simulate.
type simulation struct {
	Simulated
	view   View
	labels map[string]string
	policy Policy
}

// run follows the plans from step 0, which pages nobody and says when the first one begins.
func (s *simulation) run(in PlanInput) {
	for range maxSimulated {
		p := MakePlan(s.view, in)
		switch {
		case p.Record:
			s.note(in.At, "urgency low: the alert is recorded, and nobody is paged")
			return
		case p.Suppressed != "" && !p.Until.After(in.At.Add(InhibitedFor)):
			s.note(in.At, p.Suppressed) // until what inhibits it is over, which no clock knows
			return
		case p.Suppressed != "":
			s.note(in.At, p.Suppressed)
			in.At = p.Until
			continue
		}
		s.page(p, in)
		if p.Next == nil {
			return
		}
		in.At = in.At.Add(time.Duration(*p.Next))
		if in.Step++; p.NextRound {
			in.Step, in.Round = 1, in.Round+1
		}
	}
}

// page adds what a step sends, and what it cannot send.
func (s *simulation) page(p Plan, in PlanInput) {
	for _, problem := range p.Problems {
		s.note(in.At, problem)
	}
	for _, r := range p.Recipients {
		at := in.At
		s.Pages = slices.DeleteFunc(s.Pages, func(before SimulatedPage) bool { return before.Name == r.Name && !before.At.Before(at) }) // this step goes on in their place
		for _, hop := range r.Hops {
			at = at.Add(time.Duration(hop.After))
			if by, held := Silencing(s.view.Silences, s.labels, at); held {
				s.note(at, fmt.Sprintf("%s is not paged by %s: %s", r.Name, hop.Contact.Channel, by.Why()))
				continue
			}
			s.Pages = append(s.Pages, SimulatedPage{At: at, After: Duration(at.Sub(s.At)), Step: in.Step, Round: in.Round, Name: r.Name,
				Channel: hop.Contact.Channel, Address: hop.Contact.Shown(), Schedule: s.scheduleOf(r.Name, in)})
		}
	}
	if p.Next == nil && len(s.policy.Steps) > 0 {
		s.EndsAt = in.At
		s.note(in.At, "this is the last step: nobody else is paged after it")
	}
}

// scheduleOf is the schedule of a step that has somebody on call then.
func (s *simulation) scheduleOf(name string, in PlanInput) string {
	if in.Step < 1 || in.Step > len(s.policy.Steps) {
		return ""
	}
	for _, t := range s.policy.Steps[in.Step-1].Targets {
		if t.Schedule != "" && s.view.OnCall(t.Schedule, in.At).Person == name {
			return t.Schedule
		}
	}
	return ""
}

func (s *simulation) note(at time.Time, text string) {
	s.Notes = append(s.Notes, SimulatedNote{At: at, Text: text})
}
