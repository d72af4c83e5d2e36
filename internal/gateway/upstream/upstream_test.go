package upstream

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/m3o/platform/internal/gateway/registry"
	"github.com/m3o/platform/internal/release"
)

var till = release.Key{Project: "shop", Name: "till"}

func instance(n int) registry.Instance {
	return registry.Instance{Service: till, ID: fmt.Sprint("till-", n), Address: fmt.Sprintf("10.0.0.%d:80", n), Access: release.Public}
}

func set(t *Table, numbers ...int) *Route {
	var all []registry.Instance
	for _, n := range numbers {
		all = append(all, instance(n))
	}
	t.Set(all, nil, true)
	route, _ := t.Find(till)
	return route
}

func TestLoadIsSpreadAndFollowsWhatIsInFlight(t *testing.T) {
	route := set(New(Options{}), 1, 2, 3)
	counts := map[string]int{}
	for range 3000 {
		counts[pick(route.Endpoints, nil).ID]++
	}
	for id, n := range counts {
		if n < 800 || n > 1200 {
			t.Errorf("%s got %d of 3000", id, n)
		}
	}
	route.Endpoints[0].inFlight.Store(100)
	busy := 0
	for range 3000 {
		if pick(route.Endpoints, nil) == route.Endpoints[0] {
			busy++
		}
	}
	if busy < 200 || busy > 500 { // only when both choices fall on it: one in nine
		t.Errorf("the busy one got %d of 3000", busy)
	}
}

func TestEndpointsAreTriedOnceAndEjectedForAMoment(t *testing.T) {
	route := set(New(Options{}), 1, 2, 3)
	e := route.Endpoints
	for range 100 {
		if got := pick(e, []*Endpoint{e[0], e[2]}); got != e[1] {
			t.Fatalf("got %v", got.ID)
		}
	}
	if got := pick(e, e); got != nil {
		t.Errorf("all have been tried, but got %s", got.ID)
	}
	e[0].eject(time.Now())
	for range 100 {
		if pick(e, nil) == e[0] {
			t.Fatal("an ejected endpoint is taken although there are others")
		}
	}
	e[1].eject(time.Now())
	e[2].eject(time.Now())
	if pick(e, nil) == nil {
		t.Error("nothing is taken when all are ejected")
	}
	e[0].eject(time.Now().Add(-2 * ejectionTime))
	if got := pick(e, nil); got != e[0] {
		t.Errorf("got %s, not the one whose time is over", got.ID)
	}
}

func TestEndpointsLiveOnWhenTheTableIsReplaced(t *testing.T) {
	table := New(Options{})
	before := set(table, 1, 2).Endpoints
	before[0].inFlight.Store(7)
	after := set(table, 1, 3).Endpoints
	if after[0] != before[0] || after[0].inFlight.Load() != 7 || after[1] == before[1] {
		t.Error("an endpoint that stays is made anew, or one that goes stays")
	}
}

func TestServicesThatRegisterThemselvesAreRememberedForAWhile(t *testing.T) {
	table, now := New(Options{}), time.Now()
	table.now = func() time.Time { return now }
	set(table, 1)
	for _, c := range []struct {
		after time.Duration
		known bool
	}{{0, true}, {remembered - time.Second, true}, {remembered + time.Second, false}} {
		now = now.Add(c.after)
		if c.after == 0 {
			set(table)
		}
		if route, _ := table.Find(till); (route != nil) != c.known || (len(table.List("shop")) == 1) != c.known {
			t.Errorf("after %s: known %t", c.after, route != nil)
		}
		now = now.Add(-c.after)
	}
	table.Set(nil, map[release.Key]registry.Admission{till: {Access: release.Public}}, true)
	table.Set(nil, nil, true)
	if route, _ := table.Find(till); route != nil {
		t.Error("a service that Kubernetes ran is still known after it was deleted")
	}
}

func TestWaitEndsWithTheRightThing(t *testing.T) {
	table := New(Options{})
	table.Set(nil, map[release.Key]registry.Admission{till: {Access: release.Public}}, true)
	route, _ := table.Find(till)
	choose := func(access release.Access, appear func()) *Endpoint {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		a := Attempt{Table: table, Route: &Route{Service: till, Access: access}, Wait: 200 * time.Millisecond}
		go func() { time.Sleep(20 * time.Millisecond); appear() }()
		return a.choose(ctx)
	}
	ready := func(access release.Access) func() {
		return func() {
			i := instance(1)
			i.Access, i.Mirrored = access, true
			table.Set([]registry.Instance{i}, map[release.Key]registry.Admission{till: {Access: route.Access}}, true)
		}
	}
	empty := func() { table.Set(nil, map[release.Key]registry.Admission{till: {Access: route.Access}}, true) }
	if choose(release.Public, ready(release.Public)) == nil {
		t.Error("an endpoint that appears is not taken")
	}
	empty()
	if choose(release.Public, ready(release.ByKey)) != nil {
		t.Error("one who waited for a public service gets to one with a key")
	}
	empty()
	if choose(release.ByKey, ready(release.ByKey)) == nil {
		t.Error("one with a ticket waits in vain")
	}
	empty()
	if choose(release.Public, func() {}) != nil {
		t.Error("something appears out of nothing")
	}
	empty()
	began := time.Now()
	if choose(release.Public, func() { table.Set(nil, nil, true) }) != nil || time.Since(began) > 150*time.Millisecond {
		t.Error("the wait goes on when the service is deleted")
	}
}
