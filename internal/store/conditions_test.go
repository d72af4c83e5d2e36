package store_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/store"
)

// told are the events after the first n, as "kind subject".
func told(t *testing.T, s *store.Store, kinds ...string) (all []string) {
	t.Helper()
	events, err := s.Events(t.Context(), 0, nil, 1000)
	must(t, err)
	for _, e := range events {
		if noun, _, _ := strings.Cut(e.Kind, "."); slices.Contains(kinds, noun) || slices.Contains(kinds, e.Kind) {
			all = append(all, e.Kind+" "+e.Subject)
		}
	}
	return all
}

func wantTold(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// record writes the region's next record.
func record(t *testing.T, s *store.Store, r *region.Region, change func(*region.Region)) {
	t.Helper()
	change(r)
	r.Version++
	must(t, s.RecordRegion(t.Context(), *r))
}

// A look that finds the same drift again says nothing new, and while a region is changed nobody knows whether it has drifted.
func TestDriftIsToldWhenItIsFoundAndWhenItIsGone(t *testing.T) {
	s := fresh(t)
	r := lon1()
	r.Status = region.Ready
	drifts := func(words ...string) func(*region.Region) {
		return func(r *region.Region) { r.Status, r.Message = region.Inspection{Healthy: true, Drift: words}.Verdict() }
	}
	for range 2 {
		record(t, s, &r, drifts("missing: deployment m3o-resource/nats"))
	}
	record(t, s, &r, drifts("missing: deployment m3o-resource/nats", "missing: service m3o-resource/nats"))
	record(t, s, &r, func(r *region.Region) { r.Status, r.Message = region.Updating, "step: parts" })
	wantTold(t, told(t, s, "region.drifted", "region.converged"), "region.drifted micro/lon1")
	for range 2 {
		record(t, s, &r, drifts())
	}
	wantTold(t, told(t, s, "region.drifted", "region.converged"), "region.drifted micro/lon1", "region.converged micro/lon1")
	record(t, s, &r, drifts("missing: deployment m3o-resource/nats"))
	record(t, s, &r, func(r *region.Region) { r.Status, r.Message = region.Deleted, "" })
	wantTold(t, told(t, s, "region.drifted", "region.converged"), "region.drifted micro/lon1", "region.converged micro/lon1",
		"region.drifted micro/lon1", "region.converged micro/lon1")
}

func TestAQuotaIsToldOncePerCrossing(t *testing.T) {
	s := fresh(t)
	r := lon1()
	used := func(n int) func(*region.Region) {
		return func(r *region.Region) {
			r.Saw(region.Inspection{Healthy: true, Draws: []region.Draw{{Pool: "droplets", Left: 10 - n, Limit: 10}}})
		}
	}
	for _, n := range []int{7, 8, 9, 8} {
		record(t, s, &r, used(n))
	}
	wantTold(t, told(t, s, "quota"), "quota.near micro/lon1")
	record(t, s, &r, func(r *region.Region) { r.Saw(region.Inspection{Healthy: true}) }) // the account did not say
	wantTold(t, told(t, s, "quota"), "quota.near micro/lon1")
	all, err := s.Conditions(t.Context())
	must(t, err)
	if len(all) != 1 || all[0].Region != "micro/lon1" || !strings.Contains(all[0].Message, "account: 8 of 10 droplets are used; ask for a higher limit") {
		t.Errorf("%+v", all)
	}
	record(t, s, &r, used(7))
	record(t, s, &r, used(8))
	record(t, s, &r, func(r *region.Region) { r.Status = region.Deleted; r.Forget() })
	wantTold(t, told(t, s, "quota"), "quota.near micro/lon1", "quota.clear micro/lon1", "quota.near micro/lon1", "quota.clear micro/lon1")
}

// What was told to be wrong with a service or a region is told to be over when it is removed, too.
func TestWhatIsForgottenHasRecovered(t *testing.T) {
	s, lease := watched(t)
	must(t, s.RecordHealth(t.Context(), lease, in("micro/lon1", crashed())))
	must(t, s.RecordHealth(t.Context(), lease, in("micro/nyc3", well())))
	must(t, s.RecordSight(t.Context(), lease, "micro/lon1", &region.Sight{Message: "its gateway does not answer"}))
	for range 2 {
		must(t, s.RecordHealth(t.Context(), lease, in("micro/lon1", nil)))
		must(t, s.RecordHealth(t.Context(), lease, in("micro/nyc3", nil)))
		must(t, s.RecordSight(t.Context(), lease, "micro/lon1", nil))
	}
	wantTold(t, told(t, s, "service", "region"), "service.running default/hello", "service.degraded default/hello", "region.unreachable micro/lon1",
		"service.recovered default/hello", "region.reachable micro/lon1")
	events, err := s.Events(t.Context(), 0, nil, 100)
	must(t, err)
	for _, e := range events[1:] {
		if e.Region != "micro/lon1" {
			t.Errorf("%s %s does not say where: %+v", e.Kind, e.Subject, e)
		}
	}
}

func TestAConditionIsToldWhenItBeginsAndEnds(t *testing.T) {
	s := fresh(t)
	lease, err := s.TakeLease(t.Context(), store.Lease{Name: store.ChecksLease}, "a")
	must(t, err)
	aws, build := store.Condition{Subject: "cloud-aws", Message: "nobody serves it"}, store.Condition{Subject: "build", Message: "nobody serves it"}
	for _, now := range [][]store.Condition{nil, {aws}, {aws, build}, {aws, build}, {build}, {}, {build}} {
		must(t, s.RecordConditions(t.Context(), lease, event.QueueServed, now))
		must(t, s.RecordConditions(t.Context(), lease, event.QueueLag, nil)) // another turn's is left alone
	}
	wantTold(t, told(t, s, "queue"), "queue.unserved cloud-aws", "queue.unserved build", "queue.served cloud-aws", "queue.served build", "queue.unserved build")
	all, err := s.Conditions(t.Context())
	must(t, err)
	if len(all) != 1 || all[0].Kind != "queue.unserved" || all[0].Subject != "build" || all[0].Since.IsZero() {
		t.Errorf("%+v", all)
	}
	_, err = s.TakeLease(t.Context(), lease, "b")
	must(t, err)
	wantFault(t, s.RecordConditions(t.Context(), lease, event.QueueServed, nil), fault.Conflict)
}
