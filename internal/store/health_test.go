package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
)

// watched is a store with the service hello in two regions, and the lease of whoever watches it.
func watched(t *testing.T) (*store.Store, store.Lease) {
	t.Helper()
	s := fresh(t)
	lease, err := s.TakeLease(t.Context(), store.Lease{Name: store.WatchLease}, "a")
	must(t, err)
	must(t, s.RecordService(t.Context(), servedBy(hello)))
	return s, lease
}

func servedBy(key release.Key) release.Service {
	return release.Service{Key: key, Status: release.Running, Current: 2, Latest: 2, Version: 1, Regions: []release.Placed{
		{Region: "micro/lon1", Status: release.Ready}, {Region: "micro/nyc3", Status: release.Ready}}}
}

func crashed() *release.Health {
	return &release.Health{Release: 2, Wanted: 1, Message: "0 of 1 instances ready: the program ends with exit code 1", Instances: []release.Instance{
		{Name: "hello-1", Release: 2, State: release.InstanceRestarting, Restarts: 3, Message: "the program ends with exit code 1", Said: "lost the \x00 database"}}}
}

func well() *release.Health {
	return &release.Health{Release: 2, Wanted: 1, Well: true, Instances: []release.Instance{{Name: "hello-1", Release: 2, State: release.InstanceReady}}}
}

func in(name string, h *release.Health) []store.ServiceHealth {
	return []store.ServiceHealth{{Service: hello, Region: name, Health: h}}
}

func kinds(t *testing.T, s *store.Store) (all []string) {
	t.Helper()
	events, err := s.Events(t.Context(), 0, nil, 100)
	must(t, err)
	for _, e := range events {
		all = append(all, e.Kind)
	}
	return all
}

func TestAServiceShowsHowItIs(t *testing.T) {
	s, lease := watched(t)
	must(t, s.RecordHealth(t.Context(), lease, in("micro/lon1", crashed())))
	must(t, s.RecordHealth(t.Context(), lease, in("micro/nyc3", well())))
	got, err := s.Service(t.Context(), hello)
	must(t, err)
	if got.Status != release.Degraded || got.Message != "micro/lon1: 0 of 1 instances ready: the program ends with exit code 1" {
		t.Errorf("%s: %s", got.Status, got.Message)
	}
	lon, nyc := got.Regions[0].Health, got.Regions[1].Health
	if lon == nil || lon.Well || lon.Since.IsZero() || lon.Instances[0].Said != "lost the \uFFFD database" || nyc == nil || !nyc.Well {
		t.Errorf("%+v\n%+v", lon, nyc)
	}
	list, _, err := s.Services(t.Context(), "default", store.Page{})
	must(t, err)
	if len(list) != 1 || list[0].Status != release.Degraded || list[0].Regions[0].Health == nil {
		t.Errorf("%+v", list)
	}
	// What its owner goes on from is its own record.
	own, _, err := s.ServiceHistory(t.Context(), hello)
	must(t, err)
	if own.Status != release.Running || own.Regions[0].Health != nil {
		t.Errorf("%+v", own)
	}
	must(t, s.RecordHealth(t.Context(), lease, in("micro/lon1", well())))
	if got, err := s.Service(t.Context(), hello); err != nil || got.Status != release.Running || got.Message != "" {
		t.Errorf("after it recovered: %+v, %v", got, err)
	}
}

// What was seen of a release says nothing about the next one, nor about one that is not there any more.
func TestTheHealthOfAnEarlierReleaseIsNotShown(t *testing.T) {
	s, lease := watched(t)
	must(t, s.RecordHealth(t.Context(), lease, in("micro/lon1", crashed())))
	next := servedBy(hello)
	next.Current, next.Latest, next.Version = 3, 3, 2
	must(t, s.RecordService(t.Context(), next))
	if got, err := s.Service(t.Context(), hello); err != nil || got.Status != release.Running || got.Regions[0].Health != nil {
		t.Errorf("%+v, %v", got, err)
	}
	next.Current, next.Status, next.Version = 2, release.Killing, 3
	must(t, s.RecordService(t.Context(), next))
	if got, err := s.Service(t.Context(), hello); err != nil || got.Status != release.Killing {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestATurnIsToldOnce(t *testing.T) {
	s, lease := watched(t)
	began := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	now := began
	s.SetClock(func() time.Time { return now })
	worse := crashed()
	worse.Instances[0].Restarts = 4
	for _, h := range []*release.Health{well(), crashed(), crashed(), worse, well(), well()} {
		now = now.Add(10 * time.Second)
		must(t, s.RecordHealth(t.Context(), lease, in("micro/lon1", h)))
	}
	if got, want := kinds(t, s), []string{"service.running", "service.degraded", "service.recovered"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	got, err := s.Service(t.Context(), hello)
	must(t, err)
	if since := got.Regions[0].Health.Since; !since.Equal(began.Add(50 * time.Second)) {
		t.Errorf("well since %s", since)
	}
	must(t, s.RecordHealth(t.Context(), lease, in("micro/lon1", nil)))
	if left, err := s.ServicesHealth(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("%+v, %v", left, err)
	}
}

// Whoever lost the lease without knowing records nothing any more.
func TestOnlyTheHolderOfTheLeaseRecords(t *testing.T) {
	s, lease := watched(t)
	over, err := s.TakeLease(t.Context(), lease, "b")
	must(t, err)
	wantFault(t, s.RecordHealth(t.Context(), lease, in("micro/lon1", crashed())), fault.Conflict)
	wantFault(t, s.RecordSight(t.Context(), lease, "micro/lon1", &region.Sight{}), fault.Conflict)
	must(t, s.RecordHealth(t.Context(), over, in("micro/lon1", crashed())))
	if got, err := s.Service(t.Context(), hello); err != nil || got.Status != release.Degraded {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestARegionShowsHowItAnswers(t *testing.T) {
	s, lease := watched(t)
	r := lon1()
	r.Status = region.Ready
	must(t, s.RecordRegion(t.Context(), r))
	must(t, s.RecordSight(t.Context(), lease, "micro/lon1", &region.Sight{Message: "its gateway does not answer: connection refused"}))
	o, err := s.Outlook(t.Context())
	must(t, err)
	if got := o.Overlay(r); got.Status != region.Degraded || got.Message != "its gateway does not answer: connection refused" || o.Unseen != nil {
		t.Errorf("%s: %s, %+v", got.Status, got.Message, o.Unseen)
	}
	if own, err := s.Region(t.Context(), r.Spec.Key()); err != nil || own.Status != region.Ready {
		t.Errorf("the owner's record is changed: %+v, %v", own, err)
	}
	for status, want := range map[region.Status]region.Status{region.Updating: region.Updating, region.Deleting: region.Deleting, region.Degraded: region.Degraded} {
		if r.Status = status; o.Overlay(r).Status != want {
			t.Errorf("one that is %s is shown as %s", status, o.Overlay(r).Status)
		}
	}
	must(t, s.RecordSight(t.Context(), lease, "micro/lon1", &region.Sight{Well: true}))
	must(t, s.RecordSight(t.Context(), lease, "", &region.Sight{Message: "none of 2 gateways answers"}))
	o, err = s.Outlook(t.Context())
	must(t, err)
	if o.Unseen == nil || o.Unseen.Why != "none of 2 gateways answers" || !o.Sights["micro/lon1"].Well {
		t.Errorf("%+v", o)
	}
	must(t, s.RecordSight(t.Context(), lease, "", &region.Sight{Well: true}))
	want := []string{"service.running", "region.ready", "region.unreachable", "region.reachable", "regions.unseen", "regions.seen"}
	if got := kinds(t, s); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// Without a worker of flows nobody looks, and what is shown is old.
func TestThatNobodyWatchesIsSaid(t *testing.T) {
	s, _ := watched(t)
	if o, err := s.Outlook(t.Context()); err != nil || o.Unseen != nil {
		t.Errorf("%+v, %v", o.Unseen, err)
	}
	s.SetClock(func() time.Time { return time.Now().Add(2 * time.Minute).UTC() })
	if o, err := s.Outlook(t.Context()); err != nil || o.Unseen == nil || !strings.Contains(o.Unseen.String(), "m3o worker --queues flows") {
		t.Errorf("%+v, %v", o.Unseen, err)
	}
}

func TestAProjectThatIsErasedLeavesNoHealth(t *testing.T) {
	s, lease := watched(t)
	must(t, s.EnsureProject(t.Context(), "web"))
	key := release.Key{Project: "web", Name: "till"}
	must(t, s.RecordHealth(t.Context(), lease, []store.ServiceHealth{{Service: key, Region: "micro/lon1", Health: crashed()}}))
	_, err := s.BeginRemoval(t.Context(), account.RemoveInput{Project: "web", Cascade: true, By: "ada"})
	must(t, err)
	must(t, s.EraseProject(t.Context(), "web", "ada"))
	if left, err := s.ServicesHealth(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("%+v, %v", left, err)
	}
}
