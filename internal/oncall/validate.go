package oncall

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// Limits of a schedule and of an override.
const (
	MaxLayers   = 20
	MaxPeople   = 100 // of a layer
	MaxHours    = 50  // of a layer
	MaxTurn     = 366 * 24 * time.Hour
	MaxOverride = 366 * 24 * time.Hour
)

// ScheduleNameRule is the sentence that explains what the name of a schedule or a layer must look like.
const ScheduleNameRule = "must have 1 to 63 lower-case letters, digits, dots, hyphens and underscores, beginning and ending with a letter or a digit"

var (
	name     = regexp.MustCompile(`^[a-z0-9]([-._a-z0-9]{0,61}[a-z0-9])?$`)
	units    = map[Rotation]time.Duration{Hourly: time.Hour, Daily: 24 * time.Hour, Weekly: 7 * 24 * time.Hour}
	weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} // in the order of time.Weekday
)

// Validate says everything that is wrong with the schedule, at once.
func (s Schedule) Validate() error { return fault.Problems(s.Problems("")) }

// Problems is everything that is wrong with the schedule. at is where it is in its file, with the dot: "schedules[0].".
func (s Schedule) Problems(at string) []fault.Problem {
	var c fault.Checker
	c.Check(name.MatchString(s.Name), at+"name", "%.80q %s", s.Name, ScheduleNameRule)
	_, known := loadZone(s.Zone)
	c.Check(known, at+"zone", "%.80q is no time zone; an IANA name such as Europe/London is", s.Zone)
	c.Check(len(s.Layers) > 0, at+"layers", "there are none, so that nobody would ever be on call")
	c.Check(len(s.Layers) <= MaxLayers, at+"layers", "%d are more than %d", len(s.Layers), MaxLayers)
	for i, l := range s.Layers {
		l.check(&c, fmt.Sprintf("%slayers[%d].", at, i))
		for j := range i {
			s.checkOverlap(&c, at, j, i)
		}
	}
	return c.Problems()
}

func (l Layer) check(c *fault.Checker, at string) {
	c.Check(name.MatchString(l.Name), at+"name", "%.80q %s", l.Name, ScheduleNameRule)
	c.Check(len(l.People) > 0, at+"people", "there are none, so that nobody takes a turn")
	c.Check(len(l.People) <= MaxPeople, at+"people", "%d are more than %d", len(l.People), MaxPeople)
	for i, p := range l.People {
		c.Check(name.MatchString(p), fmt.Sprintf("%speople[%d]", at, i), "%.80q is no name of a user", p)
	}
	unit := units[l.Rotation]
	c.Check(unit > 0, at+"rotation", "%.80q is none; there are hourly, daily and weekly", l.Rotation)
	if unit > 0 {
		most := int(MaxTurn / unit)
		c.Check(l.Every >= 0 && l.Every <= most, at+"every", "%d is not between 1 and %d, which is about a year of a rotation that is %s", l.Every, most, l.Rotation)
	}
	start, fine := parseWall(l.Start)
	c.Check(fine, at+"start", "%.40q is no time on the schedule's clock such as 2026-01-05T09:00", l.Start)
	if l.Until != "" {
		until, good := parseWall(l.Until)
		c.Check(good, at+"until", "%.40q is no time on the schedule's clock such as 2026-01-05T09:00", l.Until)
		c.Check(!good || !fine || time.Time(until).After(time.Time(start)), at+"until", "%s is not after start, %s", l.Until, l.Start)
	}
	c.Check(len(l.Only) <= MaxHours, at+"only", "%d are more than %d", len(l.Only), MaxHours)
	for i, h := range l.Only {
		h.check(c, fmt.Sprintf("%sonly[%d].", at, i))
	}
}

func (h Hours) check(c *fault.Checker, at string) {
	for i, day := range h.Days {
		c.Check(slices.Contains(weekdays, day), fmt.Sprintf("%sdays[%d]", at, i), "%.40q is no day; there are %s", day, strings.Join(weekdays, ", "))
		c.Check(!slices.Contains(h.Days[:i], day), fmt.Sprintf("%sdays[%d]", at, i), "%.40q is there twice", day)
	}
	from, fine := parseHour(h.From)
	c.Check(fine && from < 24*time.Hour, at+"from", "%.40q is no time of day such as 09:00", h.From)
	_, fine = parseHour(h.To)
	c.Check(fine, at+"to", "%.40q is no time of day such as 17:00, and not 24:00", h.To)
}

// checkOverlap refuses two layers of one name that hold at the same time, and a layer that a later one covers whenever it has somebody.
func (s Schedule) checkOverlap(c *fault.Checker, at string, earlier, later int) {
	a, b := s.Layers[earlier], s.Layers[later]
	first, fine := parseWall(a.Start)
	second, good := parseWall(b.Start)
	if !fine || !good {
		return
	}
	ended := func(l Layer, by wall) bool {
		until, known := parseWall(l.Until)
		return known && !time.Time(until).After(time.Time(by))
	}
	apart := ended(a, second) || ended(b, first)
	c.Check(a.Name != b.Name || apart, fmt.Sprintf("%slayers[%d].name", at, later),
		"%.80q is the name of layers[%d], too, and both hold at the same time: name it otherwise, or end the one (until) before the other starts", b.Name, earlier)
	outlasts := b.Until == ""
	if until, known := parseWall(b.Until); known {
		outlasts = ended(a, until)
	}
	covers := len(b.Only) == 0 && outlasts && !time.Time(second).After(time.Time(first))
	c.Check(a.Name == b.Name || apart || !covers, fmt.Sprintf("%slayers[%d]", at, earlier),
		"overlaps with layers[%d], %.80q, which always has somebody when %.80q has: nobody of %.80q would ever be on call", later, b.Name, a.Name, a.Name)
}

// Validate says everything that is wrong with the override, at once. What is over already is refused by who has a clock.
func (o Override) Validate() error {
	var c fault.Checker
	c.Check(name.MatchString(o.Schedule), "schedule", "%.80q is no name of a schedule", o.Schedule)
	c.Check(name.MatchString(o.Person), "person", "%.80q is no name of a user", o.Person)
	c.Check(!o.Begins.IsZero(), "begins", "is missing")
	c.Check(!o.Ends.IsZero(), "ends", "is missing")
	if !o.Begins.IsZero() && !o.Ends.IsZero() {
		ends, begins := o.Ends.UTC().Format(time.RFC3339), o.Begins.UTC().Format(time.RFC3339)
		c.Check(o.Ends.After(o.Begins), "ends", "%s is not after begins, %s", ends, begins)
		c.Check(o.Ends.Sub(o.Begins) <= MaxOverride, "ends", "%s is more than %d days after begins, %s", ends, MaxOverride/(24*time.Hour), begins)
	}
	return c.Err()
}

// parseWall reads a moment on a schedule's clock. Years are those that rotations are reckoned for.
func parseWall(text string) (wall, bool) {
	t, err := time.Parse(wallFormat, text)
	return wall(t), err == nil && t.Year() >= 2000 && t.Year() < 2200
}

// parseHour reads a time of day: 00:00 to 24:00.
func parseHour(text string) (time.Duration, bool) {
	if text == "24:00" {
		return 24 * time.Hour, true
	}
	t, err := time.Parse("15:04", text)
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, err == nil && len(text) == len("15:04")
}
