package alert

import (
	"fmt"
	"slices"
	"time"

	"github.com/m3o/platform/internal/oncall"
)

// How far ahead gaps in schedules are looked for, and from when on one is an error rather than a warning.
const (
	GapsAhead  = 7 * 24 * time.Hour
	gapSoon    = 24 * time.Hour
	gapsBeyond = 35 * 24 * time.Hour // how far the end of a gap is looked for
)

// OnCallPeople are the users whom the rules and the overrides may page, sorted.
func (r Rules) OnCallPeople(overrides []oncall.Override) []string {
	all := r.People()
	for _, o := range overrides {
		all = append(all, o.Person)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Gaps are the gaps of all schedules that begin between from and to, or last then, in the order of the schedules and of time; after them the
// people whom policies name and who cannot be reached. unreachable says why people cannot. Overrides are those until GapsEnd(to).
func (r Rules) Gaps(overrides []oncall.Override, from, to time.Time, unreachable map[string]string) []oncall.Gap {
	all := []oncall.Gap{}
	for _, s := range r.Schedules {
		for _, g := range oncall.Gaps(s, overrides, from, GapsEnd(to), func(person string) string { return unreachable[person] }) {
			if !g.Begins.Before(to) {
				break
			}
			if !g.Ends.Before(GapsEnd(to)) {
				g.Ends = time.Time{}
			}
			all = append(all, g)
		}
	}
	return append(all, r.policyGaps(from, unreachable)...)
}

func (r Rules) policyGaps(from time.Time, unreachable map[string]string) []oncall.Gap {
	var all []oncall.Gap
	for _, p := range r.Policies {
		for _, step := range p.Steps {
			for _, t := range step.Targets {
				g := oncall.Gap{Policy: p.Name, Person: t.Person, Why: unreachable[t.Person], Begins: from}
				if t.Person != "" && g.Why != "" && !slices.Contains(all, g) {
					all = append(all, g)
				}
			}
		}
	}
	return all
}

// GapsEnd is until when overrides matter for gaps that begin before to.
func GapsEnd(to time.Time) time.Time { return to.Add(gapsBeyond) }

// GapSignals are the signals of gaps: one for each schedule or policy and person, of the first gap. A gap that is mended has no signal: see
// GapResolved. One that is as it was has the same signal, but for its time.
func GapSignals(project string, gaps []oncall.Gap, now time.Time) []Signal {
	var signals []Signal
	seen := map[string]bool{}
	for _, g := range gaps {
		key := gapKey(g)
		if seen[key] {
			continue
		}
		seen[key] = true
		s := Signal{Project: project, Action: Trigger, DedupKey: key, Source: FromOnCall, Severity: Warning, Summary: gapSummary(g, now), At: now,
			Labels: map[string]string{"kind": "on-call"}}
		for name, value := range map[string]string{"schedule": g.Schedule, "policy": g.Policy, "person": g.Person} {
			if value != "" {
				s.Labels[name] = value
			}
		}
		if g.Begins.Sub(now) < gapSoon {
			s.Severity = Error
		}
		signals = append(signals, s)
	}
	return signals
}

// GapResolved is the signal that a gap is mended, or past.
func GapResolved(k Key, now time.Time) Signal {
	return Signal{Project: k.Project, Action: Resolve, DedupKey: k.DedupKey, Source: FromOnCall, Summary: "mended, or past: " + k.Summary, Severity: k.Severity, Labels: k.Labels, At: now}
}

func gapKey(g oncall.Gap) string {
	if g.Policy != "" {
		return "on-call/policy " + g.Policy + "/" + g.Person // no schedule's name has a space
	}
	return "on-call/" + g.Schedule + "/" + g.Person
}

func gapSummary(g oncall.Gap, now time.Time) string {
	if g.Policy != "" {
		return fmt.Sprintf("policy %s pages %s, who %s", g.Policy, g.Person, g.Why)
	}
	when := "now"
	if g.Begins.After(now) {
		when = "from " + g.Begins.UTC().Format(time.RFC3339)
	}
	if !g.Ends.IsZero() {
		when += " until " + g.Ends.UTC().Format(time.RFC3339)
	}
	if g.Person == "" {
		return fmt.Sprintf("schedule %s: nobody is on call %s", g.Schedule, when)
	}
	return fmt.Sprintf("schedule %s: %s is on call %s and %s", g.Schedule, g.Person, when, g.Why)
}
