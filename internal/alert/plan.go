package alert

import (
	"fmt"
	"slices"
	"time"

	"github.com/m3o/platform/internal/oncall"
)

// View is what a plan is made of: the rules, and how the world is.
type View struct {
	Rules     Rules
	People    map[string]Person                                // who can be paged, by name: see Rules.People for whom to look up
	OnCall    func(schedule string, at time.Time) oncall.Shift // overrides included; only asked for schedules of the rules
	Overrides []Override                                       // that OnCall knows
	Silences  []Silence                                        // of the project, those ahead too
	Firing    []Key                                            // of the project that fire: what inhibits
}

// InhibitedFor is how long an inhibited alert waits before it is looked at again, should nobody say that what inhibits it is over.
const InhibitedFor = time.Minute

// RepeatAfter is how long after its last step a policy is gone through again where neither its first step nor its last says.
const RepeatAfter = Duration(5 * time.Minute)

// MakePlan says who is to be paged in a step of an alert. It is pure: the same view and input make the same plan. Step 0 is the time before
// the first one: it pages nobody, and Next says when the first one begins.
//
// A step that reaches nobody is followed by the next one at once, so that a page is not late for a missing contact. Between rounds the
// time is kept, so that a policy that reaches nobody is not used up in a moment.
func MakePlan(v View, in PlanInput) Plan {
	route := v.Rules.routeNamed(in.Alert.Route)
	policy, known := v.Rules.policyNamed(route.Policy)
	p := Plan{Policy: route.Policy, Urgency: route.UrgencyOf(in.Alert.Severity), PageLimit: v.Rules.Limits.WithDefaults().PagesPerAlert, ResolveIn: route.ResolveIn,
		AckFor: policy.AcknowledgedFor, Steps: len(policy.Steps)}
	if p.Urgency == Low {
		p.Record = true
		return p
	}
	if !known {
		p.Problems = []string{v.Rules.noPolicy(route)}
		return p
	}
	if in.Step >= 1 && in.Step <= len(policy.Steps) {
		v.target(&p, policy.Steps[in.Step-1], in.At)
	}
	p.Ahead = v.ahead(policy, in)
	p.Next, p.NextRound = policy.next(in.Step, max(in.Round, 1))
	if p.Next != nil && !p.NextRound && in.Step > 0 && len(p.Recipients) == 0 {
		p.Next = new(Duration)
	}
	if p.Suppressed, p.Until = v.Suppresses(in); p.Suppressed != "" {
		p.Recipients = nil
	}
	return p
}

// next is how long after a step the following one begins; nil after the last one of the last round.
func (p Policy) next(step, round int) (after *Duration, nextRound bool) {
	switch {
	case step < len(p.Steps):
		return &p.Steps[step].After, false
	case round > p.Repeat || len(p.Steps) == 0:
		return nil, false
	}
	again := max(p.Steps[0].After, p.Steps[len(p.Steps)-1].After)
	if again == 0 {
		again = RepeatAfter
	}
	return &again, true
}

// routeNamed is the route that a group was made by; when the rules have it no more, the default route.
func (r Rules) routeNamed(name string) Route {
	for _, route := range r.Routes {
		if route.Name == name {
			return r.completed(route)
		}
	}
	return r.Default
}

// completed gives a route that names no policy that of the default route.
func (r Rules) completed(route Route) Route {
	if route.Policy == "" {
		route.Policy = r.Default.Policy
	}
	return route
}

func (r Rules) policyNamed(name string) (Policy, bool) {
	i := slices.IndexFunc(r.Policies, func(p Policy) bool { return p.Name == name })
	if i < 0 {
		return Policy{}, false
	}
	return r.Policies[i], true
}

func (r Rules) noPolicy(route Route) string {
	if route.Policy == "" {
		return fmt.Sprintf("project %s has no policy, so nobody is paged: write one, and apply it with m3o policy apply -f", r.Project)
	}
	return fmt.Sprintf("project %s has no policy %q any more, so nobody is paged", r.Project, route.Policy)
}

// UrgencyOf is what the route makes of a severity: its own urgency, else high for what is worse than info.
func (r Route) UrgencyOf(s Severity) Urgency {
	switch {
	case r.Urgency != "":
		return r.Urgency
	case s == Info:
		return Low
	}
	return High
}

// Rota says who is on call by the rules' schedules and these overrides.
func (r Rules) Rota(overrides []Override) func(schedule string, at time.Time) oncall.Shift {
	return func(name string, at time.Time) oncall.Shift {
		i := slices.IndexFunc(r.Schedules, func(s oncall.Schedule) bool { return s.Name == name })
		if i < 0 {
			return oncall.Shift{}
		}
		mine := slices.DeleteFunc(slices.Clone(overrides), func(o Override) bool { return o.Schedule != name })
		return r.Schedules[i].At(at, mine)
	}
}

// People are the users whom the rules may page, sorted.
func (r Rules) People() []string {
	var all []string
	for _, p := range r.Policies {
		for _, step := range p.Steps {
			for _, t := range step.Targets {
				all = append(all, t.Person)
			}
		}
	}
	for _, s := range r.Schedules {
		for _, layer := range s.Layers {
			all = append(all, layer.People...)
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(name string) bool { return name == "" })
}

// target resolves a step's targets, each recipient once.
func (v View) target(p *Plan, step Step, at time.Time) {
	for _, t := range step.Targets {
		r, problem := v.recipient(t, at)
		if problem != "" {
			p.Problems = append(p.Problems, problem)
		}
		twice := slices.ContainsFunc(p.Recipients, func(other Recipient) bool { return other.Name == r.Name })
		if len(r.Hops) > 0 && !twice {
			p.Recipients = append(p.Recipients, r)
		}
	}
}

// ahead counts the messages of the steps after the input's, to whoever would be paged by them now.
func (v View) ahead(policy Policy, in PlanInput) (messages int) {
	for _, step := range policy.Steps[min(in.Step, len(policy.Steps)):] {
		var later Plan
		v.target(&later, step, in.At)
		for _, r := range later.Recipients {
			messages += len(r.Hops)
		}
	}
	return messages
}

func (v View) recipient(t Target, at time.Time) (Recipient, string) {
	switch {
	case t.Person != "":
		return v.person(t.Person)
	case t.Schedule != "":
		shift := v.OnCall(t.Schedule, at)
		if shift.Person == "" {
			return Recipient{}, fmt.Sprintf("schedule %s: nobody is on call at %s", t.Schedule, at.UTC().Format(time.RFC3339))
		}
		r, problem := v.person(shift.Person)
		if problem != "" {
			problem = "schedule " + t.Schedule + ": " + problem
		}
		return r, problem
	}
	channel, address := t.address()
	contact := Contact{Channel: channel, Address: address, Status: ContactVerified}
	return Recipient{Name: contact.Name(), Hops: []Hop{{Contact: contact}}}, ""
}

// address is the channel and the address of a target that is nobody's.
func (t Target) address() (Channel, string) {
	switch {
	case t.Slack != "":
		return Slack, t.Slack
	case t.Email != "":
		return Email, t.Email
	}
	return Webhook, t.Webhook
}

// person is somebody with the contacts that their own choice names, or the rules' where they chose nothing. Who has none of these and has
// another one is paged there: a page by the wrong channel is better than none.
func (v View) person(name string) (Recipient, string) {
	who, known := v.People[name]
	if !known {
		return Recipient{}, fmt.Sprintf("%s cannot be paged: there is no such active user", name)
	}
	lines := who.By[High]
	if len(lines) == 0 {
		lines = v.Rules.Notify.High
	}
	r := Recipient{Name: name, Hops: hops(who.Contacts, lines)}
	if len(r.Hops) > 0 {
		return r, ""
	}
	for _, c := range Channels {
		r.Hops = append(r.Hops, hops(who.Contacts, []Notify{{Channel: c}})...)
	}
	if len(r.Hops) == 0 {
		return r, fmt.Sprintf("%s cannot be paged: no contact is verified", name)
	}
	return r, fmt.Sprintf("%s has no verified contact of the channels that are to be used, and is paged by %s", name, r.Hops[0].Contact.Channel)
}

// hops are the verified contacts of each line's channel. A line whose channel has no contact is not waited for: what comes first is sent
// when the first line would have been.
func hops(contacts []Contact, lines []Notify) []Hop {
	var all []Hop
	for _, line := range lines {
		after := line.After
		if len(all) == 0 {
			after = lines[0].After
		}
		for _, c := range contacts {
			if c.Channel == line.Channel && c.Status == ContactVerified {
				all = append(all, Hop{Contact: c, After: after})
				after = 0
			}
		}
	}
	return all
}
