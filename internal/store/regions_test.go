package store_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

func TestARegionComesBackAsItWasRecorded(t *testing.T) {
	s := fresh(t)
	r := lon1()
	r.Message = "waits for 'quota'; ask \\ \"support\"?\x00\xff"
	r.Cluster = region.Cluster{ID: "c1", Ready: true, Nodes: 3}
	r.CreatedAt, r.UpdatedAt = time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.FixedZone("x", 3600)), time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)
	must(t, s.RecordRegion(t.Context(), r))
	got, err := s.Region(t.Context(), r.Spec.Key())
	must(t, err)
	want := r
	want.Message = "waits for 'quota'; ask \\ \"support\"?\uFFFD\uFFFD"
	want.CreatedAt = time.Date(2026, 1, 2, 2, 4, 5, 123456000, time.UTC)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestOlderRecordsOfARegionAreIgnored(t *testing.T) {
	s := fresh(t)
	r := lon1()
	r.Version = 5
	must(t, s.RecordRegion(t.Context(), r))
	for _, version := range []int64{4, 0} {
		late := lon1()
		late.Status, late.Version = region.Failed, version
		must(t, s.RecordRegion(t.Context(), late))
	}
	got, err := s.Region(t.Context(), r.Spec.Key())
	must(t, err)
	if got.Status != region.Creating || got.Version != 5 {
		t.Errorf("got %s at version %d", got.Status, got.Version)
	}
	if seq, err := s.LastEvent(t.Context()); err != nil || seq != 1 {
		t.Errorf("%d events, %v: an ignored record must tell nothing", seq, err)
	}
}

func TestChangesOfStatusOrMessageAreTold(t *testing.T) {
	s := fresh(t)
	r := lon1()
	for _, step := range []func(){
		func() {},
		func() { r.Cluster.Nodes = 1 }, // tells nothing
		func() { r.Message = "waits for quota" },
		func() { r.Status, r.Message = region.Ready, "" },
	} {
		step()
		r.Version++
		must(t, s.RecordRegion(t.Context(), r))
	}
	events, err := s.Events(t.Context(), 0, "", 0)
	must(t, err)
	var got []string
	for _, e := range events {
		got = append(got, e.Kind+" "+e.Subject+" "+e.Message)
	}
	want := []string{"region.creating micro/lon1 ", "region.creating micro/lon1 waits for quota", "region.ready micro/lon1 "}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What was forgotten is not told again, and the numbers go on: who heard event 2 does not hear it under another's number.
func TestEventsOfLongAgoAreForgotten(t *testing.T) {
	s := fresh(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.SetClock(func() time.Time { return now })
	r := lon1()
	tell := func(message string) {
		r.Message = message
		r.Version++
		must(t, s.RecordRegion(t.Context(), r))
	}
	tell("first")
	tell("second")
	now = now.Add(time.Hour)
	tell("third")
	for _, want := range []int64{2, 0} {
		if n, err := s.ForgetEvents(t.Context(), now); err != nil || n != want {
			t.Errorf("forgot %d events, not %d: %v", n, want, err)
		}
	}
	events, err := s.Events(t.Context(), 0, "", 0)
	if err != nil || len(events) != 1 || events[0].Message != "third" || events[0].Seq != 3 {
		t.Errorf("left are %+v, %v", events, err)
	}
	if n, err := s.ForgetEvents(t.Context(), now.Add(time.Minute)); err != nil || n != 1 {
		t.Errorf("forgot %d events, %v", n, err)
	}
	if last, err := s.LastEvent(t.Context()); err != nil || last != 3 {
		t.Errorf("the last event was %d, %v", last, err)
	}
	tell("fourth")
	if events, err := s.Events(t.Context(), 3, "", 0); err != nil || len(events) != 1 || events[0].Seq != 4 {
		t.Errorf("after the third there are %+v, %v", events, err)
	}
}

func TestARegionMadeAgainIsBornAgain(t *testing.T) {
	s := fresh(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.SetClock(func() time.Time { now = now.Add(time.Hour); return now })
	r := lon1()
	births := map[int64]time.Time{}
	for _, status := range []region.Status{region.Creating, region.Ready, region.Deleted, region.Creating} {
		r.Status = status
		must(t, s.RecordRegion(t.Context(), r))
		got, err := s.Region(t.Context(), r.Spec.Key())
		must(t, err)
		births[r.Version] = got.CreatedAt
		r.Version++
	}
	if births[1] != births[2] || births[2] != births[3] || !births[4].After(births[3]) {
		t.Errorf("births %v", births)
	}
}

func TestDeletedRegionsAreNotListed(t *testing.T) {
	s := fresh(t)
	gone := lon1()
	gone.Spec.Name, gone.Status = "nyc3", region.Deleted
	elsewhere := lon1()
	elsewhere.Spec.Platform = "another"
	for _, r := range []region.Region{gone, elsewhere, lon1()} {
		must(t, s.RecordRegion(t.Context(), r))
	}
	for _, c := range []struct {
		platform string
		deleted  bool
		want     []string
	}{
		{"", false, []string{"another/lon1", "micro/lon1"}},
		{"", true, []string{"another/lon1", "micro/lon1", "micro/nyc3"}},
		{"micro", true, []string{"micro/lon1", "micro/nyc3"}},
		{"none", true, nil},
	} {
		regions, err := s.Regions(t.Context(), c.platform, c.deleted)
		must(t, err)
		var got []string
		for _, r := range regions {
			got = append(got, r.Spec.Key().String())
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}

func TestRegionsAreFoundByName(t *testing.T) {
	s := fresh(t)
	_, err := s.RegionNamed(t.Context(), "lon1")
	wantFault(t, err, fault.NotFound, "none yet")
	must(t, s.RecordRegion(t.Context(), lon1()))
	got, err := s.RegionNamed(t.Context(), "lon1")
	must(t, err)
	if got.Spec.Platform != "micro" {
		t.Errorf("got %+v", got)
	}
	_, err = s.RegionNamed(t.Context(), "lon2")
	wantFault(t, err, fault.NotFound, `"lon2"`, `did you mean "lon1"?`, "micro/lon1")
	_, err = s.RegionNamed(t.Context(), "\x00'")
	wantFault(t, err, fault.NotFound)
	another := lon1()
	another.Spec.Platform = "another"
	must(t, s.RecordRegion(t.Context(), another))
	_, err = s.RegionNamed(t.Context(), "lon1")
	wantFault(t, err, fault.Conflict, "another/lon1, micro/lon1")
	got, err = s.RegionNamed(t.Context(), "another/lon1")
	must(t, err)
	if got.Spec.Platform != "another" {
		t.Errorf("got %+v", got)
	}
}

func TestPlansAreKeptAndMovedOnce(t *testing.T) {
	s := fresh(t)
	p := region.Plan{ID: "p1", Status: region.PlanOpen, Basis: "b", CreatedBy: "ada", CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Steps: []region.Step{{Action: region.Create, Region: lon1().Spec, Monthly: region.Cost{Amount: "72.00", Currency: "USD"}}}}
	wanted := []region.Spec{lon1().Spec}
	must(t, s.SavePlan(t.Context(), p, wanted))
	changed := p
	changed.Basis = "another"
	must(t, s.SavePlan(t.Context(), changed, nil))
	got, specs, err := s.Plan(t.Context(), "p1")
	must(t, err)
	if !reflect.DeepEqual(got, p) || !reflect.DeepEqual(specs, wanted) {
		t.Errorf("got %+v of %+v", got, specs)
	}
	must(t, s.MovePlan(t.Context(), "p1", region.PlanOpen, region.PlanApplied))
	must(t, s.MovePlan(t.Context(), "p1", region.PlanOpen, region.PlanApplied))
	wantFault(t, s.MovePlan(t.Context(), "p1", region.PlanOpen, region.PlanStale), fault.Conflict, "applied")
	if got, _, _ = s.Plan(t.Context(), "p1"); got.Status != region.PlanApplied {
		t.Errorf("the plan is %s", got.Status)
	}
	_, _, err = s.Plan(t.Context(), "p2")
	wantFault(t, err, fault.NotFound, "p2")
	wantFault(t, s.MovePlan(t.Context(), "p2", region.PlanOpen, region.PlanStale), fault.NotFound)
}
