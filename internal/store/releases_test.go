package store_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
)

func allocate(t *testing.T, s *store.Store, key release.Key, requestKey string) release.Release {
	t.Helper()
	r, err := s.AllocateRelease(t.Context(), release.Allocation{Request: request(key), RequestKey: requestKey})
	must(t, err)
	return r
}

func TestReleasesAreNumberedByService(t *testing.T) {
	s := fresh(t)
	other := release.Key{Project: "default", Name: "other"}
	got := []int{allocate(t, s, hello, "a").Number, allocate(t, s, hello, "b").Number, allocate(t, s, other, "a").Number, allocate(t, s, hello, "a").Number}
	if want := []int{1, 2, 1, 1}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	r := allocate(t, s, hello, "a")
	want := request(hello)
	if r.Status != release.Pending || r.By != "ada" || !reflect.DeepEqual(r.Spec, want.Spec) || !reflect.DeepEqual(r.Origin, want.Origin) || r.CreatedAt.IsZero() {
		t.Errorf("got %+v", r)
	}
	stored, err := s.Release(t.Context(), hello, 1)
	must(t, err)
	if !reflect.DeepEqual(stored, r) {
		t.Errorf("stored %+v, answered %+v", stored, r)
	}
	_, err = s.AllocateRelease(t.Context(), release.Allocation{Request: request(hello), RequestKey: ""})
	wantFault(t, err, fault.Invalid)
}

func TestNumbersOutliveTheService(t *testing.T) {
	s := fresh(t)
	allocate(t, s, hello, "a")
	must(t, s.RecordService(t.Context(), release.Service{Key: hello, Status: release.Running, Version: 1}))
	must(t, s.RecordService(t.Context(), release.Service{Key: hello, Status: release.Killed, Version: 2}))
	if r := allocate(t, s, hello, "b"); r.Number != 2 {
		t.Errorf("got number %d", r.Number)
	}
}

func TestARollbackRepeatsTheEarlierRelease(t *testing.T) {
	s := fresh(t)
	first := allocate(t, s, hello, "a")
	first.Image, first.Status, first.Version = "registry/hello@sha256:1", release.Ready, 1
	must(t, s.RecordRelease(t.Context(), first))
	allocate(t, s, hello, "b")
	back, err := s.AllocateRelease(t.Context(), release.Allocation{Request: release.Request{Service: hello, By: "eve"}, RequestKey: "c", RollsBack: 1})
	must(t, err)
	if back.Number != 3 || back.RollsBack != 1 || back.Image != first.Image || !reflect.DeepEqual(back.Spec, first.Spec) || back.By != "eve" {
		t.Errorf("got %+v", back)
	}
	_, err = s.AllocateRelease(t.Context(), release.Allocation{Request: release.Request{Service: hello}, RequestKey: "d", RollsBack: 9})
	wantFault(t, err, fault.NotFound, "no release 9", "newest is 3")
	if r := allocate(t, s, hello, "e"); r.Number != 4 {
		t.Errorf("the refused rollback took a number: %d", r.Number)
	}
}

func TestOlderRecordsOfAReleaseAreIgnored(t *testing.T) {
	s := fresh(t)
	r := allocate(t, s, hello, "a")
	r.Status, r.Version, r.Regions = release.Ready, 3, []release.Placed{{Region: "micro/lon1", Status: release.Ready, URL: "http://x/"}}
	must(t, s.RecordRelease(t.Context(), r))
	late := r
	late.Status, late.Version = release.Deploying, 2
	must(t, s.RecordRelease(t.Context(), late))
	must(t, s.RecordRelease(t.Context(), r))
	got, err := s.Release(t.Context(), hello, 1)
	must(t, err)
	if got.Status != release.Ready || !reflect.DeepEqual(got.Regions, r.Regions) {
		t.Errorf("got %+v", got)
	}
	events, err := s.Events(t.Context(), 0, []string{"default"}, 0)
	must(t, err)
	if len(events) != 2 || events[1].Kind != "release.ready" || events[1].Subject != "default/hello/1" || events[1].Project != "default" {
		t.Errorf("got %+v", events)
	}
	unknown := r
	unknown.Number = 7
	wantFault(t, s.RecordRelease(t.Context(), unknown), fault.NotFound, "newest is 1")
	unknown.Service.Name = "helo"
	wantFault(t, s.RecordRelease(t.Context(), unknown), fault.NotFound, "never released")
}

func TestReleasesArePaged(t *testing.T) {
	s := fresh(t)
	for i := range 7 {
		allocate(t, s, hello, fmt.Sprint(i))
	}
	var got []int
	page := store.Page{Limit: 3}
	for pages := 1; ; pages++ {
		releases, next, err := s.Releases(t.Context(), hello, page)
		must(t, err)
		for _, r := range releases {
			got = append(got, r.Number)
		}
		if next == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		page.Cursor = next
	}
	if want := []int{7, 6, 5, 4, 3, 2, 1}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	_, _, err := s.Releases(t.Context(), release.Key{Project: "default", Name: "other"}, page)
	wantFault(t, err, fault.Invalid, "cursor")
}

func TestPagesOutOfBoundsAreRefused(t *testing.T) {
	s := fresh(t)
	for _, page := range []store.Page{{Limit: -1}, {Limit: store.MaxLimit + 1}} {
		_, _, err := s.Services(t.Context(), "default", page)
		wantFault(t, err, fault.Invalid, "limit")
	}
	for _, cursor := range []string{"x", "%%%", "e30", "eyJsIjoiYXVkaXRzIiwiYSI6MX0", "eyJsIjoic2VydmljZXMvZGVmYXVsdCIsImEiOjF9"} {
		_, _, err := s.Services(t.Context(), "default", store.Page{Cursor: cursor})
		wantFault(t, err, fault.Invalid, "cursor")
	}
}

func TestRunningReleasesAreThoseOnTheirWayToTheRegion(t *testing.T) {
	s := fresh(t)
	for i, c := range []struct {
		status  release.Status
		regions []release.Placed
	}{
		{release.Deploying, []release.Placed{{Region: "micro/lon1"}, {Region: "micro/nyc3"}}},
		{release.Deploying, []release.Placed{{Region: "micro/nyc3"}}},
		{release.Deploying, []release.Placed{{Region: "other/lon1"}}},
		{release.Deploying, nil},
		{release.Ready, []release.Placed{{Region: "micro/lon1", Status: release.Ready}, {Region: "micro/nyc3", Status: release.Pending}}},
		{release.Pending, nil},
		{release.Ready, []release.Placed{{Region: "micro/nyc3", Status: release.Ready}, {Region: "micro/lon1", Status: release.Pending}}},
		{release.Superseded, []release.Placed{{Region: "micro/lon1", Status: release.Deploying}}},
	} {
		r := allocate(t, s, hello, fmt.Sprint(i))
		r.Status, r.Regions, r.Version = c.status, c.regions, 1
		must(t, s.RecordRelease(t.Context(), r))
	}
	running, err := s.RunningReleases(t.Context(), region.Key{Platform: "micro", Name: "lon1"})
	must(t, err)
	var got []int
	for _, r := range running {
		got = append(got, r.Number)
	}
	if want := []int{1, 4, 7}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// However many releases came to nothing since, an owner that begins anew must know which one is meant to run: it would take
// the service away otherwise when the next one fails.
func TestTheReleaseThatRunsIsKnownAfterAnyNumberOfOthers(t *testing.T) {
	s := fresh(t)
	for i := range store.MaxLimit + 2 {
		allocate(t, s, hello, fmt.Sprint("key", i))
	}
	must(t, s.RecordService(t.Context(), release.Service{Key: hello, Status: release.Running, Current: 1, Version: 1}))
	_, newest, err := s.ServiceHistory(t.Context(), hello)
	must(t, err)
	if len(newest) != store.MaxLimit+1 || newest[0].Number != 1 || newest[1].Number != 3 {
		t.Errorf("of %d releases the first are %d and %d", len(newest), newest[0].Number, newest[1].Number)
	}
}

func TestAKilledServiceIsGoneUntilItIsDeployedAgain(t *testing.T) {
	s := fresh(t)
	v := release.Service{Key: hello, Status: release.Running, Access: release.ByKey, Current: 1, Latest: 1, Version: 1}
	must(t, s.RecordService(t.Context(), v))
	web := release.Service{Key: release.Key{Project: "default", Name: "web"}, Status: release.Running, Version: 1}
	must(t, s.RecordService(t.Context(), web))
	v.Status, v.Version = release.Killed, 2
	must(t, s.RecordService(t.Context(), v))
	_, err := s.Service(t.Context(), hello)
	wantFault(t, err, fault.NotFound, `"hello"`, "the only service is web")
	_, err = s.Service(t.Context(), release.Key{Project: "default", Name: "webb"})
	wantFault(t, err, fault.NotFound, `did you mean "web"?`)
	if last, _, err := s.ServiceHistory(t.Context(), hello); err != nil || last.Version != 2 || last.Status != release.Killed {
		t.Errorf("the last record is %+v, %v", last, err)
	}
	v.Status, v.Version = release.Starting, 1
	must(t, s.RecordService(t.Context(), v)) // older: ignored
	_, err = s.Service(t.Context(), hello)
	wantFault(t, err, fault.NotFound)
	v.Version = 3
	must(t, s.RecordService(t.Context(), v))
	got, err := s.Service(t.Context(), hello)
	must(t, err)
	if got.Status != release.Starting || got.Access != release.ByKey {
		t.Errorf("got %+v", got)
	}
}

func TestServicesArePagedByName(t *testing.T) {
	s := fresh(t)
	for _, project := range []string{"b", "a"} {
		for _, name := range []string{"z", "m", "a"} {
			must(t, s.RecordService(t.Context(), release.Service{Key: release.Key{Project: project, Name: name}, Status: release.Running, Version: 1}))
		}
	}
	list := func(project string) (names []string) {
		page := store.Page{Limit: 2}
		for {
			services, next, err := s.Services(t.Context(), project, page)
			must(t, err)
			for _, v := range services {
				names = append(names, v.Key.String())
			}
			if page.Cursor = next; next == "" {
				return names
			}
		}
	}
	if got, want := list(""), []string{"a/a", "a/m", "a/z", "b/a", "b/m", "b/z"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if got, want := list("b"), []string{"b/a", "b/m", "b/z"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestAllServicesAreMoreThanAPage(t *testing.T) {
	s := fresh(t)
	for i := range store.MaxLimit + 1 {
		must(t, s.RecordService(t.Context(), release.Service{Key: release.Key{Project: "default", Name: fmt.Sprintf("s%03d", i)}, Status: release.Running, Version: 1}))
	}
	must(t, s.RecordService(t.Context(), release.Service{Key: release.Key{Project: "default", Name: "s000"}, Status: release.Killed, Version: 2}))
	all, err := s.AllServices(t.Context())
	must(t, err)
	if len(all) != store.MaxLimit || all[0].Key.Name != "s001" {
		t.Errorf("%d services from %s", len(all), all[0].Key.Name)
	}
}

// A workflow task whose worker died before it was completed is done again, and may be told of more than before: what it records
// then is what counts, though it has the version that was given before.
func TestWhatAWorkflowTaskRecordsAgainCounts(t *testing.T) {
	s := fresh(t)
	r := allocate(t, s, hello, "a")
	place := lon1()
	place.Version = 3
	must(t, s.RecordRegion(t.Context(), place))
	v := release.Service{Key: hello, Status: release.Running, Version: 3}
	must(t, s.RecordService(t.Context(), v))
	r.Status, r.Version = release.Deploying, 3
	must(t, s.RecordRelease(t.Context(), r))
	place.Status, v.Status, r.Status = region.Deleting, release.Killing, release.Superseded
	for range 2 {
		must(t, s.RecordRegion(t.Context(), place))
		must(t, s.RecordService(t.Context(), v))
		must(t, s.RecordRelease(t.Context(), r))
	}
	gotRegion, err := s.Region(t.Context(), place.Spec.Key())
	must(t, err)
	gotService, err := s.Service(t.Context(), hello)
	must(t, err)
	gotRelease, err := s.Release(t.Context(), hello, r.Number)
	must(t, err)
	if gotRegion.Status != region.Deleting || gotService.Status != release.Killing || gotRelease.Status != release.Superseded {
		t.Errorf("recorded are %s, %s and %s", gotRegion.Status, gotService.Status, gotRelease.Status)
	}
	if seq, err := s.LastEvent(t.Context()); err != nil || seq != 7 {
		t.Errorf("%d events, %v: want the allocation, and two changes of each", seq, err)
	}
}

// A release is made of its request and of the release that it follows, at the moment it is given its number.
func TestAReleaseKeepsTheSettingsOfTheOneItFollows(t *testing.T) {
	s := fresh(t)
	allocate(t, s, hello, "a")
	next := release.Request{Service: hello, Origin: release.Origin{Image: "registry/hello:2"}, By: "eve", Spec: release.Spec{Replicas: 5, Env: map[string]string{"NEW": "1"}}}
	made, err := s.AllocateRelease(t.Context(), release.Allocation{Request: next, RequestKey: "b", Follows: 1})
	must(t, err)
	want := request(hello).Spec
	want.Replicas, want.Env = 5, map[string]string{"QUOTE": want.Env["QUOTE"], "NEW": "1"}
	if made.Number != 2 || made.Follows != 1 || !reflect.DeepEqual(made.Spec, want) || made.Origin.Image != "registry/hello:2" {
		t.Errorf("made %+v", made)
	}
	stored, err := s.Release(t.Context(), hello, 2)
	must(t, err)
	if !reflect.DeepEqual(stored, made) {
		t.Errorf("stored %+v, answered %+v", stored, made)
	}
	// The same request is merged once, whatever the service follows by now.
	next.Spec.Replicas = 7
	again, err := s.AllocateRelease(t.Context(), release.Allocation{Request: next, RequestKey: "b"})
	must(t, err)
	if !reflect.DeepEqual(again, made) {
		t.Errorf("asked again it is %+v", again)
	}
	alone, err := s.AllocateRelease(t.Context(), release.Allocation{Request: next, RequestKey: "c"})
	must(t, err)
	if alone.Spec.Access != release.ByKey || len(alone.Spec.Env) != 1 {
		t.Errorf("without one to follow it is %+v", alone.Spec)
	}
}

func TestWhatCannotBeMergedTakesNoNumber(t *testing.T) {
	s := fresh(t)
	many := func(prefix string) release.Request {
		r := release.Request{Service: hello, Origin: release.Origin{Image: "x"}, Spec: release.Spec{Env: map[string]string{}}}
		for i := range 150 {
			r.Spec.Env[fmt.Sprint(prefix, i)] = ""
		}
		return r
	}
	_, err := s.AllocateRelease(t.Context(), release.Allocation{Request: many("A"), RequestKey: "a"})
	must(t, err)
	_, err = s.AllocateRelease(t.Context(), release.Allocation{Request: many("B"), RequestKey: "b", Follows: 1})
	wantFault(t, err, fault.Invalid, "env: 300 settings are more than 200")
	_, err = s.AllocateRelease(t.Context(), release.Allocation{Request: many("A"), RequestKey: "c", Follows: 9})
	wantFault(t, err, fault.NotFound, "no release 9")
	if r := allocate(t, s, hello, "d"); r.Number != 2 {
		t.Errorf("what was refused took a number: %d", r.Number)
	}
}

func TestARollbackRepeatsAllThatTheEarlierReleaseHad(t *testing.T) {
	s := fresh(t)
	req := request(hello)
	req.Origin, req.File = release.Origin{Source: digestOf(1), Package: "./cmd/x"}, &release.InFile{Settings: []string{"replicas", "package"}}
	first, err := s.AllocateRelease(t.Context(), release.Allocation{Request: req, RequestKey: "a"})
	must(t, err)
	_, err = s.AllocateRelease(t.Context(), release.Allocation{Request: release.Request{Service: hello, Origin: release.Origin{Image: "x"}, Reset: []string{"env"}}, RequestKey: "b", Follows: 1})
	must(t, err)
	back, err := s.AllocateRelease(t.Context(), release.Allocation{Request: release.Request{Service: hello}, RequestKey: "c", Follows: 2, RollsBack: 1})
	must(t, err)
	if back.Follows != 2 || !reflect.DeepEqual(back.Spec, first.Spec) || !reflect.DeepEqual(back.Origin, first.Origin) || !reflect.DeepEqual(back.InFile, first.InFile) || len(back.InFile) != 2 {
		t.Errorf("it is %+v", back)
	}
}
