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

// OnCallPeople are the users whom the schedules and the overrides put on call, sorted.
func (r Rules) OnCallPeople(overrides []oncall.Override) []string {
	var all []string
	for _, s := range r.Schedules {
		for _, l := range s.Layers {
			all = append(all, l.People...)
		}
	}
	for _, o := range overrides {
		all = append(all, o.Person)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Gaps are the gaps of all schedules that begin between from and to, or last then, in the order of the schedules and of time. unreachable
// says why people cannot be reached. Overrides are those until GapsEnd(to).
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
	return all
}

// GapsEnd is until when overrides matter for gaps that begin before to.
func GapsEnd(to time.Time) time.Time { return to.Add(gapsBeyond) }

// GapSignals are the signals of gaps: one for each schedule and person, of the first gap. A gap that is mended has no signal: see
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
			Labels: map[string]string{"kind": "on-call", "schedule": g.Schedule}}
		if g.Person != "" {
			s.Labels["person"] = g.Person
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

func gapKey(g oncall.Gap) string { return "on-call/" + g.Schedule + "/" + g.Person }

func gapSummary(g oncall.Gap, now time.Time) string {
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
