package oncall

import (
	"slices"
	"strings"
	"time"
)

// rota is a schedule that has been read: what its times mean is found.
type rota struct {
	zone      *time.Location
	layers    []turns
	overrides []Override // those of the schedule, the newest first
}

// turns is a layer that has been read.
type turns struct {
	name   string
	people []string
	start  wall
	first  time.Time // when start is
	until  time.Time // zero: never
	length time.Duration
	only   []hours
}

type hours struct {
	days     [7]bool // by time.Weekday
	from, to time.Duration
}

// read is false for a schedule that Validate refuses.
func (s Schedule) read(overrides []Override) (rota, bool) {
	if s.Validate() != nil {
		return rota{}, false
	}
	zone, _ := loadZone(s.Zone)
	r := rota{zone: zone, layers: make([]turns, len(s.Layers))}
	for i, l := range s.Layers {
		start, _ := parseWall(l.Start)
		r.layers[i] = turns{name: l.Name, people: l.People, start: start, first: start.in(zone), length: units[l.Rotation] * time.Duration(max(l.Every, 1))}
		if until, ends := parseWall(l.Until); ends {
			r.layers[i].until = until.in(zone)
		}
		for _, h := range l.Only {
			r.layers[i].only = append(r.layers[i].only, h.read())
		}
	}
	for _, o := range overrides {
		if o.Schedule == s.Name && o.Ends.After(o.Begins) {
			r.overrides = append(r.overrides, o)
		}
	}
	slices.SortStableFunc(r.overrides, func(a, b Override) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	})
	return r, true
}

func (h Hours) read() hours {
	from, _ := parseHour(h.From)
	to, _ := parseHour(h.To)
	if to <= from {
		to += 24 * time.Hour
	}
	read := hours{from: from, to: to}
	for i, day := range weekdays {
		read.days[i] = len(h.Days) == 0 || slices.Contains(h.Days, day)
	}
	return read
}

// span is a stretch of time in which a part of a schedule stays as it is. Zero ends stand for ever.
type span struct{ begins, ends time.Time }

// cut is what two spans have in common.
func (s span) cut(o span) span {
	if o.begins.After(s.begins) {
		s.begins = o.begins
	}
	if s.ends.IsZero() || !o.ends.IsZero() && o.ends.Before(s.ends) {
		s.ends = o.ends
	}
	return s
}

// around narrows the span, which has t, to the side of the moment on which t is.
func (s span) around(t, moment time.Time) span {
	if moment.After(t) {
		return s.cut(span{ends: moment})
	}
	return s.cut(span{begins: moment})
}

// part is a stretch of time with who is on call in it, and by what: two parts that follow each other and are alike are one shift.
type part struct {
	span
	person   string
	layer    int // -1: none
	turn     int
	override string
}

func (p part) like(o part) bool {
	return p.person == o.person && p.layer == o.layer && p.turn == o.turn && p.override == o.override
}

// at is who is on call at t, and for how long at least.
func (r rota) at(t time.Time) part {
	p := part{layer: -1}
	for _, o := range r.overrides {
		p.span = p.around(t, o.Begins).around(t, o.Ends)
	}
	for _, o := range r.overrides {
		if !o.Begins.After(t) && o.Ends.After(t) {
			p.person, p.override = o.Person, o.ID
			return p
		}
	}
	for i := len(r.layers) - 1; i >= 0; i-- {
		person, turn, during := r.layers[i].at(t, r.zone)
		p.span = p.cut(during)
		if person != "" {
			p.person, p.layer, p.turn = person, i, turn
			return p
		}
	}
	return p
}

// at is who of the layer has the turn at t, which turn that is, and for how long the answer holds.
func (l turns) at(t time.Time, zone *time.Location) (person string, turn int, during span) {
	if t.Before(l.first) {
		return "", 0, span{ends: l.first}
	}
	if !l.until.IsZero() {
		if !t.Before(l.until) {
			return "", 0, span{begins: l.until}
		}
		during = span{begins: l.first, ends: l.until}
	}
	if len(l.only) > 0 {
		open, window := l.window(t, zone)
		if during = during.cut(window); !open {
			return "", 0, during
		}
	}
	turn, own := l.turn(t, zone)
	return l.people[turn%len(l.people)], turn, during.cut(own)
}

// turn is the number of the turn that t is in, and when that is. t is not before the first.
func (l turns) turn(t time.Time, zone *time.Location) (int, span) {
	begins := func(n int) time.Time { return l.start.add(time.Duration(n) * l.length).in(zone) }
	n := max(int(time.Time(wallOf(t, zone)).Sub(time.Time(l.start))/l.length), 0)
	for !begins(n + 1).After(t) { // t is the second of two times that the clock shows alike: turn n+1 began at the first
		n++
	}
	return n, span{begins(n), begins(n + 1)}
}

// window says whether t is in the hours of the layer, and from when until when that stays so at least.
func (l turns) window(t time.Time, zone *time.Location) (open bool, around span) {
	today := wallOf(t, zone)
	for days := -8; days <= 8; days++ { // hours of a day begin within a week of t, and last into the next day
		midnight := today.midnight(days)
		for _, h := range l.only {
			if !h.days[time.Time(midnight).Weekday()] {
				continue
			}
			begins, ends := midnight.add(h.from).in(zone), midnight.add(h.to).in(zone)
			around = around.around(t, begins).around(t, ends)
			open = open || !begins.After(t) && ends.After(t)
		}
	}
	return open, around
}
