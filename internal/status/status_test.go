package status_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/status"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func in(name string, s region.Status) region.Region {
	return region.Region{Spec: region.Spec{Platform: "micro", Name: name}, Status: s, Endpoints: region.Endpoints{API: "https://" + name}}
}

func states(d status.Document) (all []string) {
	for _, c := range d.Components {
		all = append(all, c.Name+" "+string(c.State))
	}
	return all
}

func TestEachComponentIsHowItIs(t *testing.T) {
	fine := []string{"api operational", "deploys operational", "alerts operational"}
	for name, c := range map[string]struct {
		facts status.Facts
		want  []string
		all   status.State
	}{
		"nothing yet": {status.Facts{}, fine, status.Operational},
		"regions": {status.Facts{Regions: []region.Region{in("lon1", region.Ready), in("nyc3", region.Degraded), in("fra1", region.Updating)}},
			append(fine[:3:3], "micro/lon1 operational", "micro/nyc3 degraded", "micro/fra1 operational"), status.Degraded},
		"regions that serve nobody": {status.Facts{Regions: []region.Region{in("lon1", region.Creating), in("nyc3", region.Failed), in("fra1", region.Deleting)}}, fine, status.Operational},
		"a region that does not answer": {status.Facts{Regions: []region.Region{in("lon1", region.Ready)}, Outlook: region.Outlook{Sights: map[string]region.Sight{"micro/lon1": {Since: noon}}}},
			append(fine[:3:3], "micro/lon1 outage"), status.Outage},
		"regions that cannot be seen": {status.Facts{Regions: []region.Region{in("lon1", region.Ready)}, Outlook: region.Outlook{Unseen: &region.Unseen{Since: noon}}},
			append(fine[:3:3], "micro/lon1 unknown"), status.Unknown},
		"a queue nobody serves": {status.Facts{Conditions: []status.Condition{{Kind: event.QueueServed.Begins, Since: noon}}},
			[]string{"api operational", "deploys degraded", "alerts operational"}, status.Degraded},
		"a channel that fails": {status.Facts{Conditions: []status.Condition{{Kind: event.PagesArrive.Begins, Since: noon}, {Kind: event.TokenEnds.Begins}}},
			[]string{"api operational", "deploys operational", "alerts degraded"}, status.Degraded},
		"no engine": {status.Facts{EngineAway: true}, []string{"api operational", "deploys outage", "alerts outage"}, status.Outage},
	} {
		d := status.Make(c.facts)
		if got := states(d); !slices.Equal(got, c.want) || d.State != c.all {
			t.Errorf("%s: %s, %q, want %s, %q", name, d.State, got, c.all, c.want)
		}
	}
}

func TestIncidentsSayNothingButWhatEverybodyMayKnow(t *testing.T) {
	ended := noon.Add(-2 * time.Hour)
	lon1 := map[string]string{"kind": "region", "platform": "micro", "region": "lon1"}
	of := func(n int64, severity alert.Severity, labels map[string]string, change func(*alert.Alert)) alert.Alert {
		a := alert.Alert{Number: n, Project: alert.Platform, Title: "secret: dial 10.0.0.7 for project shop", Message: "secret", Severity: severity, Labels: labels,
			StartedAt: noon.Add(-3 * time.Hour), AcknowledgedBy: "ana"}
		change(&a)
		return a
	}
	same := func(*alert.Alert) {}
	d := status.Make(status.Facts{At: noon, Alerts: []alert.Alert{
		of(1, alert.Critical, lon1, func(a *alert.Alert) { a.StartedAt, a.EndedAt = noon.Add(-9*24*time.Hour), noon.Add(-8*24*time.Hour) }), // long over
		of(2, alert.Critical, lon1, func(a *alert.Alert) { a.StartedAt, a.EndedAt = noon.Add(-9*24*time.Hour), ended }),
		of(3, alert.Critical, lon1, func(a *alert.Alert) { a.Drill = true }),
		of(4, alert.Warning, lon1, same),                                            // drift
		of(5, alert.Error, map[string]string{"kind": "token", "secret": "x"}, same), // nobody else's matter
		of(6, alert.Error, map[string]string{"kind": "page", "subject": "secret"}, same),
		of(7, alert.Critical, map[string]string{"kind": "region"}, same),
	}})
	var got []string
	for _, i := range d.Incidents {
		got = append(got, i.Component+" "+string(i.State)+": "+i.Title)
	}
	want := []string{"regions outage: The regions did not work as they should", "alerts degraded: Alerts did not arrive by every channel", "micro/lon1 outage: The region did not work as it should"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if i := d.Incidents[2]; !i.EndedAt.Equal(ended) || i.Number != 2 {
		t.Errorf("%+v", i)
	}
	text, err := json.Marshal(d)
	if err != nil || strings.Contains(string(text), "secret") || strings.Contains(string(text), "shop") || strings.Contains(string(text), "ana") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestADocumentIsBounded(t *testing.T) {
	f := status.Facts{At: noon}
	for n := range 1000 {
		f.Alerts = append(f.Alerts, alert.Alert{Number: int64(n), Severity: alert.Critical, Labels: map[string]string{"kind": "region"}, StartedAt: noon})
		f.Regions = append(f.Regions, in("lon1", region.Ready))
	}
	if d := status.Make(f); len(d.Incidents) != status.MaxIncidents || d.Incidents[0].Number != 999 || len(d.Components) != 3+status.MaxRegions {
		t.Errorf("%d incidents, %d components", len(d.Incidents), len(d.Components))
	}
}
