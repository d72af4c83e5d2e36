package main

import (
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/client/apitest"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
)

var helloKey = release.Key{Project: "default", Name: "hello"}

// lookAt records what whoever watches the regions saw.
func lookAt(t *testing.T, w *apitest.World, record func(store.Lease) error) {
	t.Helper()
	lease, err := w.Store.Lease(t.Context(), store.WatchLease)
	if err == nil && lease.Holder == "" {
		lease, err = w.Store.TakeLease(t.Context(), lease, "watcher")
	}
	if err == nil {
		err = record(lease)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func seeHealth(t *testing.T, w *apitest.World, in string, h release.Health) {
	t.Helper()
	lookAt(t, w, func(l store.Lease) error {
		return w.Store.RecordHealth(t.Context(), l, []store.ServiceHealth{{Service: helloKey, Region: in, Health: &h}})
	})
}

func TestStatusTellsWhatIsNow(t *testing.T) {
	w := twoRegions(t)
	m3o("run", program(t, "hello"), "--health", "/up", "--json").must(t)
	ready := release.Instance{Name: "hello-1", Release: 1, State: release.InstanceReady}
	seeHealth(t, w, "micro/nyc3", release.Health{Release: 1, Well: true, Wanted: 1, Instances: []release.Instance{ready}})
	seeHealth(t, w, "micro/lon1", release.Health{Release: 1, Wanted: 1, Message: "0 of 1 instances ready: the program ends with exit code 1", Instances: []release.Instance{
		{Name: "hello-2", Release: 1, State: release.InstanceRestarting, Since: time.Now().Add(-12 * time.Second), Restarts: 3, Message: "the program ends with exit code 1",
			Said: "begins\n\x1b[31mlost the database\x1b[0m"}}})

	out := m3o("status", "hello").must(t).out
	for _, words := range []string{"status    degraded", "message   micro/lon1: 0 of 1 instances ready: the program ends with exit code 1", "0/1", "1/1",
		"lon1: instance hello-2 has been restarting for 12s: the program ends with exit code 1", "  its last words:\n    begins\n    ", "lost the database", "/up"} {
		if !strings.Contains(out, words) {
			t.Errorf("status lacks %q:\n%s", words, out)
		}
	}
	type status struct {
		Service struct {
			Status  string
			Regions []release.Placed
		}
		Current release.Release
	}
	got := answer[status](t, m3o("status", "hello", "--json").must(t))
	if h := got.Service.Regions[0].Health; got.Service.Status != "degraded" || h == nil || h.Well || h.Since.IsZero() || h.Instances[0].Restarts != 3 ||
		!strings.Contains(h.Instances[0].Said, "lost the database") || got.Current.Spec.Health != "/up" {
		t.Errorf("%+v", got)
	}
	if out := m3o("services").must(t).out; !strings.Contains(out, "degraded") || !strings.Contains(out, "lon1(degraded),nyc3") {
		t.Errorf("services shows\n%s", out)
	}
	if out := m3o("events").must(t).out; !strings.Contains(out, "service.degraded") {
		t.Errorf("events shows\n%s", out)
	}
}

func TestARegionThatDoesNotAnswerIsShown(t *testing.T) {
	w := twoRegions(t)
	see := func(name string, s region.Sight) {
		lookAt(t, w, func(l store.Lease) error { return w.Store.RecordSight(t.Context(), l, name, &s) })
	}
	see("micro/lon1", region.Sight{Message: "its gateway does not answer: connection refused"})
	for _, args := range [][]string{{"region", "list"}, {"region", "show", "lon1"}} {
		if out := m3o(args...).must(t).out; !strings.Contains(out, "degraded") || !strings.Contains(out, "its gateway does not answer: connection refused") {
			t.Errorf("%q shows\n%s", args, out)
		}
	}
	see("micro/lon1", region.Sight{Well: true})
	see("", region.Sight{Message: "none of 2 gateways answers"})
	c := m3o("region", "list").must(t)
	if strings.Contains(c.out, "degraded") || !strings.Contains(c.errs, "What is said of regions is from before") || !strings.Contains(c.errs, "none of 2 gateways answers") {
		t.Errorf("region list shows\n%s%s", c.out, c.errs)
	}
	type line struct{ Unseen *region.Unseen }
	if got := answer[[]line](t, m3o("region", "list", "--json").must(t)); got[1].Unseen == nil || got[1].Unseen.Why != "none of 2 gateways answers" {
		t.Errorf("%+v", got)
	}
}
