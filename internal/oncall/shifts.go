package oncall

import "time"

// horizon is how far At looks for the beginning and the end of a shift.
const horizon = 366 * 24 * time.Hour

// At is the shift at t: who is on call then, since when and until when. Begins and Ends are at most a year away. Of a schedule that
// Validate refuses nobody is on call.
func (s Schedule) At(t time.Time, overrides []Override) Shift {
	r, fine := s.read(overrides)
	if !fine {
		return Shift{Begins: t.Add(-horizon).UTC(), Ends: t.Add(horizon).UTC()}
	}
	now := r.at(t)
	whole := now.cut(span{t.Add(-horizon), t.Add(horizon)})
	for begins := now.begins; begins.After(t.Add(-horizon)); {
		before := r.at(begins.Add(-1))
		if !before.like(now) {
			break
		}
		begins = before.begins
		whole.begins = later(begins, t.Add(-horizon))
	}
	for ends := now.ends; !ends.IsZero() && ends.Before(t.Add(horizon)); {
		after := r.at(ends)
		if !after.like(now) {
			break
		}
		ends = after.ends
		whole.ends = span{ends: ends}.cut(span{ends: t.Add(horizon)}).ends
	}
	now.span = whole
	return r.shift(now)
}

// Shifts are all shifts between from and to in their order, gaps among them: each begins when the one before ends, the first one at from,
// and the last one ends at to. Of a schedule that Validate refuses nobody is on call.
func (s Schedule) Shifts(from, to time.Time, overrides []Override) []Shift {
	if !to.After(from) {
		return nil
	}
	r, fine := s.read(overrides)
	if !fine {
		return []Shift{{Begins: from.UTC(), Ends: to.UTC()}}
	}
	var shifts []Shift
	var last part
	for t := from; t.Before(to); t = last.ends {
		next := r.at(t)
		next.span = next.cut(span{from, to})
		if len(shifts) > 0 && next.like(last) {
			shifts[len(shifts)-1].Ends = next.ends.UTC()
		} else {
			shifts = append(shifts, r.shift(next))
		}
		last = next
	}
	return shifts
}

// Gaps are the times between from and to in which a page to the schedule would reach nobody: nobody is on call, or somebody of whom
// reachable says why they cannot be reached ("" when they can).
func Gaps(s Schedule, overrides []Override, from, to time.Time, reachable func(person string) (why string)) []Gap {
	var gaps []Gap
	for _, shift := range s.Shifts(from, to, overrides) {
		why := "nobody is on call"
		if shift.Person != "" {
			why = reachable(shift.Person)
		}
		if why == "" {
			continue
		}
		if n := len(gaps) - 1; n >= 0 && gaps[n].Person == shift.Person && gaps[n].Why == why && gaps[n].Ends.Equal(shift.Begins) {
			gaps[n].Ends = shift.Ends
			continue
		}
		gaps = append(gaps, Gap{Schedule: s.Name, Person: shift.Person, Why: why, Begins: shift.Begins, Ends: shift.Ends})
	}
	return gaps
}

func (r rota) shift(p part) Shift {
	shift := Shift{Person: p.person, Override: p.override, Begins: p.begins.UTC(), Ends: p.ends.UTC()}
	if p.layer >= 0 {
		shift.Layer = r.layers[p.layer].name
	}
	return shift
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Next is the first shift after t of somebody else than who is on call then, or of nobody; false if there is none that begins before to.
func (s Schedule) Next(t, to time.Time, overrides []Override) (Shift, bool) {
	shifts := s.Shifts(t, to, overrides)
	for _, shift := range shifts {
		if shift.Person != shifts[0].Person {
			return s.At(shift.Begins, overrides), true
		}
	}
	return Shift{}, false
}
