package watch

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/gatecall"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
)

var till = release.Key{Project: "shop", Name: "till"}

// world is a store with regions and one service, and gateways that answer what a test says.
type world struct {
	t       *testing.T
	store   *store.Store
	watcher *Watcher
	memory  *memory
	lease   store.Lease
	now     time.Time
	away    map[string]bool
	seen    map[string][]release.Instance
	stopped []string // suspended projects
}

func database(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func newWorld(t *testing.T, regions ...string) *world {
	t.Helper()
	s := database(t)
	w := &world{t: t, store: s, memory: newMemory(), now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), away: map[string]bool{}, seen: map[string][]release.Instance{}}
	w.watcher = &Watcher{Truth: s, Records: s, Leases: s, Gateways: w, Metrics: NewMetrics(), Logger: slog.New(slog.DiscardHandler)}
	var err error
	w.lease, err = s.TakeLease(t.Context(), store.Lease{Name: store.WatchLease}, "me")
	w.must(err)
	for _, name := range regions {
		w.region(name, region.Ready)
		w.seen["micro/"+name] = []release.Instance{{Name: "till-1", Release: 1, State: release.InstanceReady}}
	}
	w.must(s.EnsureProject(t.Context(), till.Project))
	in := release.Request{Service: till, Origin: release.Origin{Image: "r/till@sha256:1"}, Spec: release.Spec{Access: release.Public, Port: 8080, Replicas: 1}, By: "ada"}
	r, err := s.AllocateRelease(t.Context(), release.Allocation{Request: in, RequestKey: "first"})
	w.must(err)
	r.Status = release.Ready
	w.record(r, release.Ready, regions)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) region(name string, status region.Status) {
	w.t.Helper()
	before, _ := w.store.Region(w.t.Context(), region.Key{Platform: "micro", Name: name})
	w.must(w.store.RecordRegion(w.t.Context(), region.Region{Status: status, Version: before.Version + 1, Endpoints: region.Endpoints{API: "http://" + name + "/"},
		Spec: region.Spec{Platform: "micro", Name: name, Provider: region.DigitalOcean}}))
}

// record has the service run the release in the regions.
func (w *world) record(r release.Release, status release.Status, regions []string) {
	w.t.Helper()
	r.Status, r.Version = status, r.Version+1
	r.Regions = nil
	for _, name := range regions {
		r.Regions = append(r.Regions, release.Placed{Region: "micro/" + name, Status: status})
	}
	w.must(w.store.RecordRelease(w.t.Context(), r))
	if status == release.Ready {
		w.must(w.store.RecordService(w.t.Context(), release.Service{Key: till, Status: release.Running, Current: r.Number, Latest: r.Number, Version: int64(r.Number), Regions: r.Regions}))
	}
}

func (w *world) Ask(_ context.Context, r region.Region) (View, error) {
	name := r.Spec.Key().String()
	if w.away[name] {
		return View{}, fault.New(fault.Unavailable, "its gateway does not answer: connection refused")
	}
	v := View{At: w.now, Services: map[release.Key][]release.Instance{}, Suspended: map[string]bool{}}
	if instances := w.seen[name]; len(instances) > 0 {
		v.Services[till] = instances
	}
	for _, p := range w.stopped {
		v.Suspended[p] = true
	}
	return v, nil
}

// look looks so often, ten seconds apart.
func (w *world) look(times int) {
	w.t.Helper()
	for range times {
		w.now = w.now.Add(every)
		w.must(w.watcher.look(w.t.Context(), w.lease, w.memory))
	}
}

// is says what the service's status is, with words of its message.
func (w *world) is(status release.ServiceStatus, words string) {
	w.t.Helper()
	v, err := w.store.Service(w.t.Context(), till)
	w.must(err)
	if v.Status != status || !strings.Contains(v.Message, words) {
		w.t.Errorf("the service is %s (%s), want %s (%s)", v.Status, v.Message, status, words)
	}
}

// regionIs says what a region's status is, with words of its message.
func (w *world) regionIs(name string, status region.Status, words string) {
	w.t.Helper()
	r, err := w.store.RegionNamed(w.t.Context(), name)
	w.must(err)
	o, err := w.store.Outlook(w.t.Context())
	w.must(err)
	if r = o.Overlay(r); r.Status != status || !strings.Contains(r.Message, words) {
		w.t.Errorf("%s is %s (%s), want %s (%s)", name, r.Status, r.Message, status, words)
	}
}

// told are the events that the watcher told.
func (w *world) told() (kinds []string) {
	w.t.Helper()
	events, err := w.store.Events(w.t.Context(), 0, nil, 1000)
	w.must(err)
	for _, e := range events {
		if _, what, _ := strings.Cut(e.Kind, "."); slices.Contains([]string{"degraded", "recovered", "reachable", "unreachable", "seen", "unseen"}, what) {
			kinds = append(kinds, e.Kind+" "+e.Subject)
		}
	}
	return kinds
}

func (w *world) wantTold(want ...string) {
	w.t.Helper()
	if got := w.told(); !slices.Equal(got, want) {
		w.t.Errorf("told %q, want %q", got, want)
	}
}

func (w *world) instance(name string, change func(*release.Instance)) {
	i := release.Instance{Name: "till-1", Release: 1, State: release.InstanceReady, Since: w.now}
	change(&i)
	w.seen["micro/"+name] = []release.Instance{i}
}

func TestACrashIsSeenAtTheNextLook(t *testing.T) {
	w := newWorld(t, "lon1", "nyc3")
	w.look(3)
	w.is(release.Running, "")
	w.instance("lon1", func(i *release.Instance) {
		i.State, i.Restarts, i.Message, i.Said = release.InstanceRestarting, 1, "the program ends with exit code 1", "lost the database"
	})
	w.look(1)
	w.is(release.Degraded, "micro/lon1: 0 of 1 instances ready: the program ends with exit code 1")
	w.instance("lon1", func(i *release.Instance) { i.Unsteady, i.Restarts = true, 2 })
	w.look(4)
	w.is(release.Degraded, "restarted a moment ago")
	w.instance("lon1", func(i *release.Instance) { i.Restarts = 2 })
	w.look(3)
	w.is(release.Running, "")
	w.wantTold("service.degraded shop/till", "service.recovered shop/till")
}

func TestWhatHasJustBegunWaitsForAnotherLook(t *testing.T) {
	w := newWorld(t, "lon1")
	w.seen["micro/lon1"] = nil // its pod moves
	w.look(1)
	w.is(release.Running, "")
	w.instance("lon1", func(i *release.Instance) { i.State = release.InstanceStarting })
	w.now = w.now.Add(-every) // as old as the look
	w.look(1)
	w.is(release.Degraded, "")
	w.instance("lon1", func(*release.Instance) {})
	w.look(1)
	w.is(release.Running, "")
	w.seen["micro/lon1"] = nil
	w.look(1)
	w.instance("lon1", func(*release.Instance) {})
	w.look(1)
	w.seen["micro/lon1"] = nil
	w.look(1)
	w.is(release.Running, "")
}

// While a release is on its way instances come and go.
func TestARolloutIsNoTrouble(t *testing.T) {
	w := newWorld(t, "lon1")
	second, err := w.store.AllocateRelease(t.Context(), release.Allocation{RequestKey: "second", Request: release.Request{Service: till,
		Origin: release.Origin{Image: "r/till@sha256:2"}, Spec: release.Spec{Access: release.Public, Port: 8080, Replicas: 1}, By: "ada"}})
	w.must(err)
	w.record(second, release.Deploying, []string{"lon1"})
	w.instance("lon1", func(i *release.Instance) { i.Release, i.State = 2, release.InstanceRestarting })
	w.look(5)
	w.is(release.Running, "")
	second.Version++
	w.record(second, release.Ready, []string{"lon1"})
	w.look(1)
	w.is(release.Degraded, "")
}

func TestASuspendedProjectIsNoTrouble(t *testing.T) {
	w := newWorld(t, "lon1")
	w.instance("lon1", func(i *release.Instance) { i.State = release.InstanceRestarting })
	w.look(1)
	w.is(release.Degraded, "")
	w.seen, w.stopped = map[string][]release.Instance{}, []string{"shop"}
	w.look(3)
	w.is(release.Running, "")
}

// A new holder of the lease goes on with what is recorded, and tells nothing twice.
func TestAnotherWorkerGoesOn(t *testing.T) {
	w := newWorld(t, "lon1", "nyc3")
	w.instance("lon1", func(i *release.Instance) { i.State = release.InstanceRestarting })
	w.away["micro/nyc3"] = true
	w.look(3)
	w.memory = newMemory()
	w.look(3)
	w.is(release.Degraded, "")
	w.regionIs("nyc3", region.Degraded, "connection refused")
	w.wantTold("service.degraded shop/till", "region.unreachable micro/nyc3")
	w.instance("lon1", func(*release.Instance) {})
	w.away["micro/nyc3"] = false
	w.memory = newMemory()
	w.look(3)
	w.is(release.Running, "")
	w.regionIs("nyc3", region.Ready, "")
}

func TestThreeFailuresDegradeARegionAndThreeAnswersMendIt(t *testing.T) {
	w := newWorld(t, "lon1", "nyc3")
	w.look(1)
	w.away["micro/lon1"] = true
	w.look(2)
	w.regionIs("lon1", region.Ready, "")
	w.away["micro/lon1"] = false // one answer, and it begins anew
	w.look(1)
	w.away["micro/lon1"] = true
	w.look(2)
	w.regionIs("lon1", region.Ready, "")
	w.look(1)
	w.regionIs("lon1", region.Degraded, "its gateway does not answer: connection refused")
	w.regionIs("nyc3", region.Ready, "")
	w.is(release.Running, "")
	w.away["micro/lon1"] = false
	w.look(2)
	w.regionIs("lon1", region.Degraded, "")
	w.look(1)
	w.regionIs("lon1", region.Ready, "")
	w.wantTold("region.unreachable micro/lon1", "region.reachable micro/lon1")
}

// When no region answers it is the watcher that cannot see: no region is degraded for it.
func TestWhenEveryRegionFailsNoneIsDegraded(t *testing.T) {
	for _, names := range [][]string{{"lon1"}, {"lon1", "nyc3"}} {
		w := newWorld(t, names...)
		for _, name := range names {
			w.away["micro/"+name] = true
		}
		w.look(5)
		for _, name := range names {
			w.regionIs(name, region.Ready, "")
		}
		o, err := w.store.Outlook(t.Context())
		w.must(err)
		if o.Unseen == nil || !strings.Contains(o.Unseen.Why, "micro/lon1: does not answer: connection refused") {
			t.Errorf("%v: %v", names, o.Unseen)
		}
		w.away["micro/lon1"] = false
		w.look(1)
		if o, err := w.store.Outlook(t.Context()); err != nil || o.Unseen != nil {
			t.Errorf("%v: one answers, and %v, %v", names, o.Unseen, err)
		}
		w.wantTold("regions.unseen ", "regions.seen ")
	}
}

func TestWhatIsGoneIsForgotten(t *testing.T) {
	w := newWorld(t, "lon1", "nyc3")
	w.away["micro/lon1"] = true
	w.instance("nyc3", func(i *release.Instance) { i.State = release.InstanceRestarting })
	w.look(3)
	w.region("lon1", region.Deleting)
	w.must(w.store.RecordService(t.Context(), release.Service{Key: till, Status: release.Killing, Current: 1, Latest: 1, Version: 9}))
	w.look(1)
	o, err := w.store.Outlook(t.Context())
	w.must(err)
	health, err := w.store.ServicesHealth(t.Context())
	w.must(err)
	if len(o.Sights) != 0 || len(health) != 0 {
		t.Errorf("left are %v and %v", o.Sights, health)
	}
}

// permits are those of a test.
type permits struct{}

func (permits) Permit(in region.Key, scope string) (string, error) {
	return in.String() + " " + scope, nil
}

func ask(t *testing.T, handler http.HandlerFunc) (View, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	g := &Gateways{Caller: &gatecall.Caller{HTTP: server.Client(), Permits: permits{}}}
	return g.Ask(t.Context(), region.Region{Spec: region.Spec{Platform: "micro", Name: "lon1"}, Endpoints: region.Endpoints{API: server.URL + "/"}})
}

func TestAGatewayIsAskedPageByPage(t *testing.T) {
	pages := map[string]release.Report{
		"":          {Services: []release.Reported{{Service: release.Key{Project: "a", Name: "a"}}}, Next: "a/a", Suspended: []string{"shop"}},
		"a/a":       {Services: []release.Reported{{Service: till, Instances: []release.Instance{{Name: "till-1"}}}}, Next: "shop/till"},
		"shop/till": {},
	}
	broken := false
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/-/instances" || r.Header.Get("Authorization") != "Bearer micro/lon1 instances:read" {
			t.Errorf("asked %s as %s", r.URL.Path, r.Header.Get("Authorization"))
		}
		if broken && r.URL.Query().Get("after") != "" {
			panic(http.ErrAbortHandler)
		}
		_ = json.NewEncoder(w).Encode(pages[r.URL.Query().Get("after")])
	}
	v, err := ask(t, handler)
	if err != nil || v.Partial || len(v.Services) != 2 || len(v.Services[till]) != 1 || !v.Suspended["shop"] {
		t.Errorf("%+v, %v", v, err)
	}
	broken = true
	if v, err := ask(t, handler); err != nil || !v.Partial || len(v.Services) != 1 {
		t.Errorf("one that breaks off: %+v, %v", v, err)
	}
}

func TestWhyAGatewayCannotBeAskedIsSaid(t *testing.T) {
	for words, handler := range map[string]http.HandlerFunc{
		"answers 503 Service Unavailable: the gateway has not read its cluster yet": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"detail":"the gateway has not read its cluster yet"}`))
		},
		"is no gateway":        func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"does not answer: EOF": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		if _, err := ask(t, handler); err == nil || !strings.Contains(fault.Message(err), words) {
			t.Errorf("%q is not said: %v", words, err)
		}
	}
	g := &Gateways{Caller: &gatecall.Caller{HTTP: http.DefaultClient, Permits: permits{}}}
	_, err := g.Ask(t.Context(), region.Region{Endpoints: region.Endpoints{API: "http://127.0.0.1:1/"}})
	if fault.Message(err) != "its gateway does not answer: connection refused" {
		t.Error(err)
	}
	if _, err := (&Gateways{Caller: &gatecall.Caller{HTTP: http.DefaultClient, Permits: refusing{}}}).Ask(t.Context(), region.Region{}); !errors.Is(err, errNoKey) {
		t.Error(err)
	}
}

var errNoKey = errors.New("there is no key")

type refusing struct{}

func (refusing) Permit(region.Key, string) (string, error) { return "", errNoKey }

// What a region missed before it was taken away does not count when it is there again.
func TestARegionThatComesBackBeginsAnew(t *testing.T) {
	w := newWorld(t, "lon1", "nyc3")
	w.away["micro/lon1"] = true
	w.look(2)
	w.region("lon1", region.Deleting)
	w.look(1)
	w.region("lon1", region.Ready)
	w.look(2)
	w.regionIs("lon1", region.Ready, "")
	w.look(1)
	w.regionIs("lon1", region.Degraded, "")
}

// What had just begun before a release came is not what has just begun after it.
func TestARolloutEndsWhatHadJustBegun(t *testing.T) {
	w := newWorld(t, "lon1")
	w.seen["micro/lon1"] = nil
	w.look(1)
	second, err := w.store.AllocateRelease(t.Context(), release.Allocation{RequestKey: "second", Request: release.Request{Service: till,
		Origin: release.Origin{Image: "r/till@sha256:2"}, Spec: release.Spec{Access: release.Public, Port: 8080, Replicas: 1}, By: "ada"}})
	w.must(err)
	w.record(second, release.Deploying, []string{"lon1"})
	w.look(1)
	second.Version++
	w.record(second, release.Ready, []string{"lon1"})
	w.look(1)
	w.is(release.Running, "")
	w.look(1)
	w.is(release.Degraded, "")
}

// A service whose health path answers by turns is degraded, and each turn is not told.
func TestAServiceThatIsWellByTurnsIsDegraded(t *testing.T) {
	w := newWorld(t, "lon1")
	down := func(i *release.Instance) { i.State, i.Since = release.InstanceUnready, w.now.Add(-time.Minute) }
	for range 20 {
		w.instance("lon1", down)
		w.look(1)
		w.instance("lon1", func(*release.Instance) {})
		w.look(2)
	}
	if told := w.told(); len(told) != 2*restless-1 {
		t.Errorf("told %d times: %q", len(told), told)
	}
	w.is(release.Degraded, "")
	w.look(proof - 2)
	w.is(release.Running, "")
	w.look(int(restlessTime / every))
	w.instance("lon1", down)
	w.look(1)
	w.instance("lon1", func(*release.Instance) {})
	w.look(1)
	w.is(release.Running, "") // the unrest is long ago
}

// idle has nothing recorded, and a first question that is never answered.
type idle struct {
	Truth
	Records
	asked chan struct{}
}

func (idle) Outlook(context.Context) (region.Outlook, error)               { return region.Outlook{}, nil }
func (idle) ServicesHealth(context.Context) ([]store.ServiceHealth, error) { return nil, nil }

func (i idle) Regions(ctx context.Context, _ string, _ bool) ([]region.Region, error) {
	i.asked <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestADatabaseThatHangsDoesNotStopTheWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		db := idle{asked: make(chan struct{}, 100)}
		w := &Watcher{Truth: db, Records: db, Metrics: NewMetrics(), Logger: slog.New(slog.DiscardHandler)}
		done := make(chan struct{})
		go func() { defer close(done); w.watch(ctx, store.Lease{}) }()
		time.Sleep(5 * time.Minute)
		if n := len(db.asked); n < 5 {
			t.Errorf("in five minutes it looked %d times", n)
		}
		cancel()
		<-done
	})
}
