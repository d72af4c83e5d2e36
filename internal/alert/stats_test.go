package alert

import (
	"testing"
	"time"
)

func TestStatsSayHowMuchWorkAlertsWere(t *testing.T) {
	monday := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	of := func(service string, began time.Time, pages int, status Status, acknowledged, ended time.Duration) Alert {
		a := Alert{Service: service, Status: status, Pages: pages, StartedAt: began}
		if acknowledged > 0 {
			a.AcknowledgedAt = began.Add(acknowledged)
		}
		if ended > 0 {
			a.EndedAt = began.Add(ended)
		}
		return a
	}
	night, saturday := monday.Add(-8*time.Hour), monday.Add(-48*time.Hour)
	drill := of("till", monday, 9, Closed, time.Second, time.Second)
	drill.Drill = true
	got := Summarize([]Alert{
		of("till", monday, 2, Closed, time.Minute, time.Hour),
		of("till", night, 4, Closed, 3*time.Minute, 3*time.Hour),
		of("till", saturday, 3, Resolved, 0, 2*time.Hour), // noise
		of("till", monday, 1, Open, 0, 0),                 // not yet
		of("stock", monday, 0, Resolved, 0, time.Hour),    // recorded alone: it woke nobody
		of("", monday, 0, Suppressed, 0, 0), drill,
	}, time.UTC)
	want := Stats{Service: "till", Alerts: 4, Paged: 4, Pages: 10, Acknowledged: 2, MTTA: 120, Ended: 3, MTTR: 7200, PagesPerAlert: 2.5, Noise: 1, NoiseShare: .25,
		AfterHours: 2, AfterShare: .5}
	if len(got.Services) != 3 || got.Services[0] != want {
		t.Errorf("of the service\n%+v, want\n%+v", got.Services, want)
	}
	if total := got.Total; total.Alerts != 6 || total.Paged != 4 || total.Ended != 4 || total.MTTR != (3+1+2+1)*3600/4. || total.Noise != 1 {
		t.Errorf("in all %+v", total)
	}
	if empty := Summarize(nil, time.UTC); empty.Total != (Stats{}) || len(empty.Services) != 0 {
		t.Errorf("of nothing %+v", empty)
	}
}

func TestWorkingHoursAreThoseOfAZone(t *testing.T) {
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"2026-11-30T00:00:00Z": false, "2026-11-29T23:59:59Z": true, "2026-11-30T08:59:59Z": false, "2026-11-30T09:00:00Z": true,
		"2026-12-05T03:00:00Z": true} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := afterHours(at.In(tokyo)); got != want {
			t.Errorf("%s is after hours in Tokyo: %t, want %t", text, got, want)
		}
	}
}
