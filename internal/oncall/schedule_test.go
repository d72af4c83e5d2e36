package oncall_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/oncall"
)

// primary is a week each for ana, bob and cho, from Monday at nine.
func primary(zone string, start string) oncall.Schedule {
	return oncall.Schedule{Name: "primary", Zone: zone, Layers: []oncall.Layer{
		{Name: "weeks", People: []string{"ana", "bob", "cho"}, Rotation: oncall.Weekly, Start: start}}}
}

// on is the moment at which the zone's clock shows the text; with an offset at its end, the one of two that has it.
func on(t *testing.T, zone, text string) time.Time {
	t.Helper()
	if at, err := time.Parse("2006-01-02T15:04Z07:00", text); err == nil {
		return at
	}
	where, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.ParseInLocation("2006-01-02T15:04", text, where)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// shown writes shifts as a clock of the zone shows them.
func shown(t *testing.T, zone string, shifts []oncall.Shift) string {
	t.Helper()
	where, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	lines := make([]string, len(shifts))
	for i, s := range shifts {
		person := s.Person
		if person == "" {
			person = "-"
		}
		lines[i] = fmt.Sprintf("%s %s %s", s.Begins.In(where).Format("01-02T15:04"), person, s.Ends.Sub(s.Begins))
	}
	return strings.Join(lines, "\n")
}

func wantShifts(t *testing.T, zone string, got []oncall.Shift, want ...string) {
	t.Helper()
	if text := shown(t, zone, got); text != strings.Join(want, "\n") {
		t.Errorf("in %s the shifts are\n%s\nwant\n%s", zone, text, strings.Join(want, "\n"))
	}
}

// TestWeeksStayAtNineAcrossBothChanges: in London, New York and on Lord Howe Island, where the clock changes by half an hour.
func TestWeeksStayAtNineAcrossBothChanges(t *testing.T) {
	for _, c := range []struct{ zone, start, from, to string }{
		{"Europe/London", "2026-03-16T09:00", "2026-03-16T09:00", "2026-11-16T09:00"},
		{"America/New_York", "2026-02-23T09:00", "2026-02-23T09:00", "2026-11-16T09:00"},
		{"Australia/Lord_Howe", "2026-03-16T09:00", "2026-03-16T09:00", "2026-11-16T09:00"},
	} {
		s := primary(c.zone, c.start)
		where, _ := time.LoadLocation(c.zone)
		people := []string{"ana", "bob", "cho"}
		hours := map[time.Duration]int{}
		shifts := s.Shifts(on(t, c.zone, c.from), on(t, c.zone, c.to), nil)
		for i, shift := range shifts {
			if clock := shift.Begins.In(where).Format("Mon 15:04"); clock != "Mon 09:00" {
				t.Errorf("%s: shift %d begins at %s", c.zone, i, clock)
			}
			if shift.Person != people[i%3] {
				t.Errorf("%s: shift %d is %s's", c.zone, i, shift.Person)
			}
			hours[shift.Ends.Sub(shift.Begins)]++
		}
		step := time.Hour
		if c.zone == "Australia/Lord_Howe" {
			step = 30 * time.Minute
		}
		week := 7 * 24 * time.Hour
		if hours[week-step] != 1 || hours[week+step] != 1 || hours[week] != len(shifts)-2 {
			t.Errorf("%s: %d shifts, by length %v", c.zone, len(shifts), hours)
		}
	}
}

// TestTwelveHoursStayAtNine: so do turns that are reckoned in hours.
func TestTwelveHoursStayAtNine(t *testing.T) {
	s := oncall.Schedule{Name: "halves", Zone: "Europe/London", Layers: []oncall.Layer{
		{Name: "halves", People: []string{"ana", "bob"}, Rotation: oncall.Hourly, Every: 12, Start: "2026-03-27T09:00"}}}
	wantShifts(t, s.Zone, s.Shifts(on(t, s.Zone, "2026-03-28T09:00"), on(t, s.Zone, "2026-03-29T21:00"), nil),
		"03-28T09:00 ana 12h0m0s", "03-28T21:00 bob 11h0m0s", "03-29T09:00 ana 12h0m0s")
	wantShifts(t, s.Zone, s.Shifts(on(t, s.Zone, "2026-10-24T09:00"), on(t, s.Zone, "2026-10-25T21:00"), nil),
		"10-24T09:00 ana 12h0m0s", "10-24T21:00 bob 13h0m0s", "10-25T09:00 ana 12h0m0s")
}

// TestAHandoverAtATimeThatIsSkipped takes place at the change, and one at a time that comes twice at the first of the two.
func TestAHandoverAtATimeThatIsSkipped(t *testing.T) {
	for _, c := range []struct {
		zone, start, from, to string
		want                  []string
	}{
		{"Europe/London", "2026-03-27T01:30", "2026-03-28T01:30", "2026-03-30T01:30", []string{"03-28T01:30 bob 23h30m0s", "03-29T02:00 cho 23h30m0s"}},
		{"Europe/London", "2026-10-23T01:30", "2026-10-24T01:30", "2026-10-26T01:30", []string{"10-24T01:30 bob 24h0m0s", "10-25T01:30 cho 25h0m0s"}},
		{"America/New_York", "2026-03-06T02:30", "2026-03-07T02:30", "2026-03-09T02:30", []string{"03-07T02:30 bob 23h30m0s", "03-08T03:00 cho 23h30m0s"}},
		{"America/New_York", "2026-10-30T01:30", "2026-10-31T01:30", "2026-11-02T01:30", []string{"10-31T01:30 bob 24h0m0s", "11-01T01:30 cho 25h0m0s"}},
		{"Australia/Lord_Howe", "2026-10-02T02:15", "2026-10-03T02:15", "2026-10-05T02:15", []string{"10-03T02:15 bob 23h45m0s", "10-04T02:30 cho 23h45m0s"}},
		{"Australia/Lord_Howe", "2026-04-03T01:45", "2026-04-04T01:45", "2026-04-06T01:45", []string{"04-04T01:45 bob 24h0m0s", "04-05T01:45 cho 24h30m0s"}},
	} {
		s := primary(c.zone, c.start)
		s.Layers[0].Rotation = oncall.Daily
		wantShifts(t, c.zone, s.Shifts(on(t, c.zone, c.from), on(t, c.zone, c.to), nil), c.want...)
	}
}

// TestTheHourThatIsSkippedIsNobodysTurn, and the one that comes twice is one turn of two hours.
func TestTheHourThatIsSkippedIsNobodysTurn(t *testing.T) {
	s := oncall.Schedule{Name: "hours", Zone: "Europe/London", Layers: []oncall.Layer{
		{Name: "hours", People: []string{"ana", "bob", "cho"}, Rotation: oncall.Hourly, Start: "2026-03-29T00:00"}}}
	wantShifts(t, s.Zone, s.Shifts(on(t, s.Zone, "2026-03-29T00:00"), on(t, s.Zone, "2026-03-29T04:00"), nil),
		"03-29T00:00 ana 1h0m0s", "03-29T02:00 cho 1h0m0s", "03-29T03:00 ana 1h0m0s")
	s.Layers[0].Start = "2026-10-25T00:30"
	wantShifts(t, s.Zone, s.Shifts(on(t, s.Zone, "2026-10-25T00:30"), on(t, s.Zone, "2026-10-25T03:30"), nil),
		"10-25T00:30 ana 1h0m0s", "10-25T01:30 bob 2h0m0s", "10-25T02:30 cho 1h0m0s")
	if at := s.At(on(t, s.Zone, "2026-10-25T01:10Z"), nil); at.Person != "bob" { // 01:10 for the second time
		t.Errorf("at the second 01:10 %q is on call", at.Person)
	}
}

// TestEveryMomentIsInOneShift: what At says is what Shifts say, through weeks with both changes.
func TestEveryMomentIsInOneShift(t *testing.T) {
	for _, zone := range []string{"Europe/London", "America/New_York", "Australia/Lord_Howe", "UTC"} {
		s := oncall.Schedule{Name: "primary", Zone: zone, Layers: []oncall.Layer{
			{Name: "weeks", People: []string{"ana", "bob"}, Rotation: oncall.Weekly, Start: "2026-01-05T09:00"},
			{Name: "nights", People: []string{"cho", "dan", "eve"}, Rotation: oncall.Daily, Every: 2, Start: "2026-01-05T01:30",
				Only: []oncall.Hours{{From: "22:00", To: "01:30"}, {Days: []string{"sun"}, From: "00:00", To: "03:00"}}},
			{Name: "hours", People: []string{"fay", "gus"}, Rotation: oncall.Hourly, Every: 7, Start: "2026-03-01T00:00", Until: "2026-04-20T12:00",
				Only: []oncall.Hours{{Days: []string{"tue", "sun"}, From: "01:15", To: "02:45"}}}}}
		must(t, s.Validate())
		for _, month := range []string{"2026-02-27", "2026-03-24", "2026-09-29", "2026-10-20"} {
			from := on(t, zone, month+"T00:00")
			shifts := s.Shifts(from, from.AddDate(0, 0, 16), nil)
			for i, shift := range shifts {
				if !shift.Ends.After(shift.Begins) || i > 0 && !shift.Begins.Equal(shifts[i-1].Ends) {
					t.Fatalf("%s: %+v after %+v", zone, shift, shifts[max(i-1, 0)])
				}
				middle := shift.Begins.Add(shift.Ends.Sub(shift.Begins) / 2)
				at := s.At(middle, nil)
				inner := i > 0 && i < len(shifts)-1
				if at.Person != shift.Person || inner && (!at.Begins.Equal(shift.Begins) || !at.Ends.Equal(shift.Ends)) {
					t.Fatalf("%s: at %s %+v, among the shifts %+v", zone, middle, at, shift)
				}
				if before := s.At(shift.Ends.Add(-1), nil); before.Person != shift.Person {
					t.Fatalf("%s: just before %s %q", zone, shift.Ends, before.Person)
				}
			}
		}
	}
}

func TestTheLastLayerThatHasSomebodyWins(t *testing.T) {
	s := primary("Europe/London", "2026-06-01T09:00")
	s.Layers = append(s.Layers, oncall.Layer{Name: "office", People: []string{"dan"}, Rotation: oncall.Weekly, Start: "2026-06-01T00:00",
		Only: []oncall.Hours{{Days: []string{"mon", "tue", "wed", "thu", "fri"}, From: "10:00", To: "17:00"}}})
	must(t, s.Validate())
	wantShifts(t, s.Zone, s.Shifts(on(t, s.Zone, "2026-06-05T09:00"), on(t, s.Zone, "2026-06-08T18:00"), nil),
		"06-05T09:00 ana 1h0m0s", "06-05T10:00 dan 7h0m0s", "06-05T17:00 ana 64h0m0s", "06-08T09:00 bob 1h0m0s", "06-08T10:00 dan 7h0m0s", "06-08T17:00 bob 1h0m0s")
	if at := s.At(on(t, s.Zone, "2026-06-06T12:00"), nil); at.Person != "ana" || at.Layer != "weeks" || at.Ends.Sub(at.Begins) != 64*time.Hour {
		t.Errorf("on Saturday %+v", at)
	}
}

// TestALayerThatBeginsAndEnds has nobody before and after.
func TestALayerThatBeginsAndEnds(t *testing.T) {
	s := primary("UTC", "2026-06-01T09:00")
	s.Layers[0].Until = "2026-06-10T12:00"
	must(t, s.Validate())
	wantShifts(t, "UTC", s.Shifts(on(t, "UTC", "2026-05-31T09:00"), on(t, "UTC", "2026-06-12T12:00"), nil),
		"05-31T09:00 - 24h0m0s", "06-01T09:00 ana 168h0m0s", "06-08T09:00 bob 51h0m0s", "06-10T12:00 - 48h0m0s")
	if at := s.At(on(t, "UTC", "2027-06-01T00:00"), nil); at.Person != "" || !at.Begins.Equal(on(t, "UTC", "2026-06-10T12:00")) {
		t.Errorf("after its end %+v", at)
	}
}

// TestHoursThroughMidnight begin on their day and end on the next; 00:00 to 00:00 is the whole day.
func TestHoursThroughMidnight(t *testing.T) {
	s := oncall.Schedule{Name: "nights", Zone: "Europe/London", Layers: []oncall.Layer{{Name: "nights", People: []string{"ana"}, Rotation: oncall.Weekly,
		Start: "2026-06-01T00:00", Only: []oncall.Hours{{Days: []string{"fri"}, From: "22:00", To: "06:00"}, {Days: []string{"sun"}, From: "00:00", To: "00:00"}}}}}
	must(t, s.Validate())
	wantShifts(t, s.Zone, s.Shifts(on(t, s.Zone, "2026-06-05T12:00"), on(t, s.Zone, "2026-06-08T12:00"), nil),
		"06-05T12:00 - 10h0m0s", "06-05T22:00 ana 8h0m0s", "06-06T06:00 - 18h0m0s", "06-07T00:00 ana 24h0m0s", "06-08T00:00 - 12h0m0s")
	wantShifts(t, s.Zone, s.Shifts(on(t, s.Zone, "2026-10-25T00:00"), on(t, s.Zone, "2026-10-26T00:00"), nil), "10-25T00:00 ana 25h0m0s")
}

// TestAnOverrideThatEnds gives the shift back to whoever has the turn then, who may be another than when it began.
func TestAnOverrideThatEnds(t *testing.T) {
	s := primary("Europe/London", "2026-06-01T09:00")
	eve := oncall.Override{ID: "o1", Schedule: "primary", Person: "eve", Begins: on(t, s.Zone, "2026-06-07T20:00"), Ends: on(t, s.Zone, "2026-06-08T12:00")}
	other := oncall.Override{ID: "o2", Schedule: "secondary", Person: "gus", Begins: eve.Begins, Ends: eve.Ends}
	from, to := on(t, s.Zone, "2026-06-07T09:00"), on(t, s.Zone, "2026-06-09T09:00")
	wantShifts(t, s.Zone, s.Shifts(from, to, []oncall.Override{eve, other}), "06-07T09:00 ana 11h0m0s", "06-07T20:00 eve 16h0m0s", "06-08T12:00 bob 21h0m0s")
	at := s.At(eve.Ends.Add(-time.Minute), []oncall.Override{eve})
	if at.Person != "eve" || at.Override != "o1" || !at.Begins.Equal(eve.Begins) || !at.Ends.Equal(eve.Ends) {
		t.Errorf("at its end %+v", at)
	}
	if at := s.At(eve.Ends, []oncall.Override{eve}); at.Person != "bob" || !at.Begins.Equal(eve.Ends) {
		t.Errorf("after its end %+v", at)
	}
	lunch := oncall.Override{ID: "o3", Schedule: "primary", Person: "fay", Begins: on(t, s.Zone, "2026-06-08T08:00"), Ends: on(t, s.Zone, "2026-06-08T10:00"),
		CreatedAt: eve.CreatedAt.Add(time.Hour)}
	wantShifts(t, s.Zone, s.Shifts(eve.Begins, eve.Ends, []oncall.Override{lunch, eve}), "06-07T20:00 eve 12h0m0s", "06-08T08:00 fay 2h0m0s", "06-08T10:00 eve 2h0m0s")
}

// TestAPersonWhoIsRemovedWhileOnCall leaves a gap from now on, which ends with the handover.
func TestAPersonWhoIsRemovedWhileOnCall(t *testing.T) {
	s := primary("Europe/London", "2026-06-01T09:00")
	gone := func(person string) string {
		if person == "bob" {
			return "is no active user"
		}
		return ""
	}
	from := on(t, s.Zone, "2026-06-10T15:00")
	gaps := oncall.Gaps(s, nil, from, from.AddDate(0, 0, 7), gone)
	if len(gaps) != 1 || gaps[0].Person != "bob" || !gaps[0].Begins.Equal(from) || !gaps[0].Ends.Equal(on(t, s.Zone, "2026-06-15T09:00")) || gaps[0].Why != "is no active user" {
		t.Errorf("gaps are %+v", gaps)
	}
	mended := []oncall.Override{{ID: "o", Schedule: "primary", Person: "eve", Begins: from, Ends: gaps[0].Ends}}
	if gaps := oncall.Gaps(s, mended, from, from.AddDate(0, 0, 7), gone); len(gaps) != 0 {
		t.Errorf("with an override %+v", gaps)
	}
}

func TestTimesInWhichNobodyIsOnCall(t *testing.T) {
	s := primary("Europe/London", "2026-06-01T09:00")
	s.Layers[0].Only = []oncall.Hours{{From: "00:00", To: "23:00"}} // an hour of each day is forgotten
	from := on(t, s.Zone, "2026-06-10T12:00")
	gaps := oncall.Gaps(s, nil, from, from.AddDate(0, 0, 2), func(string) string { return "" })
	if len(gaps) != 2 || gaps[0].Why != "nobody is on call" || gaps[0].Ends.Sub(gaps[0].Begins) != time.Hour {
		t.Errorf("gaps are %+v", gaps)
	}
}

func TestSchedulesThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		change func(*oncall.Schedule)
		says   string
	}{
		{func(s *oncall.Schedule) { s.Zone = "Mars/Base" }, `zone: "Mars/Base" is no time zone`},
		{func(s *oncall.Schedule) { s.Zone = "" }, `zone: ""`},
		{func(s *oncall.Schedule) { s.Zone = "Local" }, `zone: "Local"`},
		{func(s *oncall.Schedule) { s.Name = "Primary!" }, `name: "Primary!"`},
		{func(s *oncall.Schedule) { s.Layers = nil }, "layers: there are none"},
		{func(s *oncall.Schedule) { s.Layers[0].People = nil }, "layers[0].people: there are none"},
		{func(s *oncall.Schedule) { s.Layers[0].People = []string{"ana", ""} }, `layers[0].people[1]: ""`},
		{func(s *oncall.Schedule) { s.Layers[0].Rotation = "monthly" }, `layers[0].rotation: "monthly"`},
		{func(s *oncall.Schedule) { s.Layers[0].Every = -1 }, "layers[0].every: -1"},
		{func(s *oncall.Schedule) { s.Layers[0].Every = 53 }, "layers[0].every: 53"},
		{func(s *oncall.Schedule) { s.Layers[0].Start = "2026-02-30T09:00" }, `layers[0].start: "2026-02-30T09:00"`},
		{func(s *oncall.Schedule) { s.Layers[0].Start = "monday" }, `layers[0].start: "monday"`},
		{func(s *oncall.Schedule) { s.Layers[0].Until = "2026-06-01T09:00" }, "layers[0].until: 2026-06-01T09:00 is not after start"},
		{func(s *oncall.Schedule) { s.Layers[0].Only = []oncall.Hours{{From: "9:00", To: "25:00"}} }, `layers[0].only[0].from: "9:00"`},
		{func(s *oncall.Schedule) { s.Layers[0].Only = []oncall.Hours{{From: "09:00", To: "25:00"}} }, `layers[0].only[0].to: "25:00"`},
		{func(s *oncall.Schedule) {
			s.Layers[0].Only = []oncall.Hours{{Days: []string{"monday"}, From: "09:00", To: "17:00"}}
		}, `layers[0].only[0].days[0]: "monday"`},
		{func(s *oncall.Schedule) { s.Layers = append(s.Layers, s.Layers[0]) }, `layers[1].name: "weeks" is the name of layers[0], too`},
		{func(s *oncall.Schedule) {
			s.Layers = append(s.Layers, s.Layers[0])
			s.Layers[1].Name, s.Layers[1].People = "more", []string{"dan"}
		}, `layers[0]: overlaps with layers[1], "more"`},
	} {
		s := primary("Europe/London", "2026-06-01T09:00")
		c.change(&s)
		if err := s.Validate(); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("it says %v, want %q", err, c.says)
		}
	}
	s := primary("Europe/London", "2026-06-01T09:00")
	s.Layers = append(s.Layers, s.Layers[0])
	s.Layers[0].Until, s.Layers[1].Start = "2026-09-07T09:00", "2026-09-07T09:00"
	if err := s.Validate(); err != nil {
		t.Errorf("a rotation that follows another of its name: %v", err)
	}
	if at := (oncall.Schedule{Zone: "Mars/Base"}).At(time.Now(), nil); at.Person != "" {
		t.Errorf("of a bad schedule %+v", at)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
