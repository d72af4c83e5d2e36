package oncall

import (
	"time"
	_ "time/tzdata" // zones are the same wherever the program runs
)

// wallFormat is how a schedule writes a moment on its clock.
const wallFormat = "2006-01-02T15:04"

// wall is what a clock shows, kept as that time in UTC so that it can be added to.
type wall time.Time

// wallOf is what the zone's clock shows at t.
func wallOf(t time.Time, zone *time.Location) wall {
	l := t.In(zone)
	return wall(time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), l.Second(), l.Nanosecond(), time.UTC))
}

// midnight begins the day that is so many days after the clock's.
func (w wall) midnight(days int) wall {
	u := time.Time(w)
	return wall(time.Date(u.Year(), u.Month(), u.Day()+days, 0, 0, 0, 0, time.UTC))
}

func (w wall) add(d time.Duration) wall { return wall(time.Time(w).Add(d)) }

// in is the moment at which the zone's clock shows w: the first of two, and the moment of the change if the clock skips w.
func (w wall) in(zone *time.Location) time.Time {
	u := time.Time(w)
	t := time.Date(u.Year(), u.Month(), u.Day(), u.Hour(), u.Minute(), u.Second(), u.Nanosecond(), zone)
	begins, ends := t.ZoneBounds()
	switch shown := time.Time(wallOf(t, zone)); {
	case shown.After(u): // skipped, and t is reckoned by the offset before the change
		return begins.UTC()
	case shown.Before(u): // skipped, and t is reckoned by the offset after it
		return ends.UTC()
	}
	if !begins.IsZero() {
		_, offset := begins.Add(-1).In(zone).Zone()
		if first := u.Add(-time.Duration(offset) * time.Second); first.Before(begins) {
			return first.UTC()
		}
	}
	return t.UTC()
}

// loadZone loads a zone by its IANA name. Names that mean another zone on each machine are none.
func loadZone(name string) (*time.Location, bool) {
	if name == "" || name == "Local" {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}
