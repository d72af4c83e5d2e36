package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/store"
)

// began records an alert that began then, and returns its number.
func began(t *testing.T, s *store.Store, project string, at time.Time) int64 {
	t.Helper()
	group := alert.Group{Project: project, Route: "default", Labels: map[string]string{"at": at.String()}}
	opened, err := s.OpenAlert(t.Context(), alert.Opening{Group: group, Hash: group.Hash(), First: 1, Alert: alert.Alert{Project: project, Status: alert.Open, StartedAt: at}})
	must(t, err)
	return opened.Number
}

func TestAlertsOfAWindowAreThoseThatBeganInIt(t *testing.T) {
	s := fresh(t)
	now := time.Now().UTC()
	began(t, s, "shop", now.Add(-48*time.Hour))
	var want []int64
	for i := range store.MaxLimit + 1 { // more than a page
		want = append(want, began(t, s, "shop", now.Add(-time.Hour+time.Duration(i)*time.Second)))
	}
	began(t, s, "other", now)
	all, more, err := s.AlertsSince(t.Context(), "shop", now.Add(-24*time.Hour))
	must(t, err)
	slices.Reverse(want)
	var got []int64
	for _, a := range all {
		got = append(got, a.Number)
	}
	if more || !slices.Equal(got, want) {
		t.Errorf("%t, %d alerts, want %d", more, len(got), len(want))
	}
}

func TestWhatTheRelayHasNotBroughtOnIsKnown(t *testing.T) {
	s := fresh(t)
	if all, err := s.Unrelayed(t.Context()); err != nil || len(all) != 0 {
		t.Fatalf("%+v, %v", all, err)
	}
	relay, err := s.TakeLease(t.Context(), store.Lease{Name: store.RelayLease}, "relay")
	must(t, err)
	oldest := time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)
	for i := range 3 {
		_, err := s.AppendSignals(t.Context(), []alert.Signal{{Project: "shop", Action: alert.Trigger, DedupKey: "disk", At: oldest.Add(time.Duration(i) * time.Minute)}})
		must(t, err)
	}
	must(t, s.MoveCursor(t.Context(), relay, store.SignalCursor, 0, 1))
	all, err := s.Unrelayed(t.Context())
	must(t, err)
	if len(all) != 1 || all[0].What != store.SignalCursor || all[0].Count != 2 || !all[0].Since.Equal(oldest.Add(time.Minute)) {
		t.Errorf("%+v", all)
	}
	must(t, s.MoveCursor(t.Context(), relay, store.SignalCursor, 1, 3))
	r := lon1() // that it is being made makes no signal: the relay need not move for it
	must(t, s.RecordRegion(t.Context(), r))
	if all, err := s.Unrelayed(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	r.Status, r.Version = region.Failed, 2
	must(t, s.RecordRegion(t.Context(), r))
	if all, err := s.Unrelayed(t.Context()); err != nil || len(all) != 1 || all[0].What != store.EventCursor || all[0].Count != 1 || time.Since(all[0].Since) > time.Minute {
		t.Errorf("%+v, %v", all, err)
	}
	must(t, s.MoveCursor(t.Context(), relay, store.EventCursor, 0, 2))
	if all, err := s.Unrelayed(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestPagesAreCountedAndTheFirstOfAnAlertIsTimed(t *testing.T) {
	s := fresh(t)
	now := time.Now().UTC().Truncate(time.Microsecond)
	one, other := began(t, s, "shop", now.Add(-5*time.Second)), began(t, s, "shop", now.Add(-time.Hour))
	page := func(n int64, state alert.Delivery, kind alert.PageKind, at time.Time) {
		t.Helper()
		must(t, s.RecordPage(t.Context(), alert.PageRow{Key: fmt.Sprint(n, kind, at), Project: "shop", Alert: n, Channel: alert.SMS, Contact: "c", Kind: kind, State: state, BeganAt: at, UpdateAt: at}))
	}
	page(one, alert.Failed, alert.PageTrigger, now)
	page(one, alert.Sent, alert.PageTrigger, now.Add(time.Second))
	page(one, alert.Delivered, alert.PageTrigger, now.Add(2*time.Second))
	page(other, alert.Sent, alert.PageTrigger, now.Add(-time.Minute)) // its first
	page(other, alert.Sent, alert.PageTrigger, now)
	page(other, alert.Sent, alert.PageResolved, now)
	tallies, err := s.PagesBetween(t.Context(), now, now.Add(2*time.Second))
	must(t, err)
	if want := []store.PageTally{{Channel: alert.SMS, State: alert.Failed, Count: 1}, {Channel: alert.SMS, State: alert.Sent, Count: 3}}; !slices.Equal(tallies, want) {
		t.Errorf("%+v, want %+v", tallies, want)
	}
	took, err := s.FirstPages(t.Context(), now, now.Add(time.Minute))
	must(t, err)
	if !slices.Equal(took, []time.Duration{6 * time.Second}) {
		t.Errorf("first pages took %v", took)
	}
}

func TestTokensThatExpireAreKnownWhileTheyAreInUse(t *testing.T) {
	s := fresh(t)
	must(t, s.EnsureProject(t.Context(), "shop"))
	ci, err := s.CreateServiceAccount(t.Context(), account.ServiceAccount{Project: "shop", Name: "ci", Role: account.Developer, CreatedBy: "ada"})
	must(t, err)
	hash := account.Hash("a token")
	_, err = s.CreateToken(t.Context(), account.TokenSpec{Owner: ci.ID, Kind: account.Service, Name: "deploys", Scopes: []string{account.All}, Life: time.Hour, By: "ada"}, hash)
	must(t, err)
	soon, lately := time.Now().Add(2*time.Hour), time.Now().Add(-time.Hour)
	if all, err := s.ExpiringTokens(t.Context(), soon, lately); err != nil || len(all) != 0 {
		t.Errorf("one that was never used: %+v, %v", all, err)
	}
	_, err = s.Principal(t.Context(), hash)
	must(t, err)
	all, err := s.ExpiringTokens(t.Context(), soon, lately)
	must(t, err)
	if len(all) != 1 || all[0].Subject != "shop/ci/deploys" || all[0].Project != "shop" || all[0].Kind != account.Service {
		t.Errorf("%+v", all)
	}
	if all, err := s.ExpiringTokens(t.Context(), time.Now().Add(time.Minute), lately); err != nil || len(all) != 0 {
		t.Errorf("one with time left: %+v, %v", all, err)
	}
}
