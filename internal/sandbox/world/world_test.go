package world_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

func open(t *testing.T, dir string) *world.World {
	t.Helper()
	w, err := world.Open(dir, world.Clock{Scale: 1})
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()) })
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type thing struct{ Text string }

func put(tx *world.Tx, id, parent string) error {
	return errors.Join(
		tx.Put(world.Ref{Provider: "p", Kind: "k", ID: id}, world.Meta{Name: "name of " + id, Parent: parent}, thing{id}),
		tx.Record(world.Effect{Provider: "p", Kind: world.Created, Resource: "k", ID: id}))
}

// TestStateIsInItsFolder opens a folder whose name has characters that mean something in URLs.
func TestStateIsInItsFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's #1? 50%25 a b")
	must(t, os.Mkdir(dir, 0o700))
	w, err := world.Open(dir, world.Clock{Scale: 1})
	must(t, err)
	must(t, w.Update(t.Context(), func(tx *world.Tx) error { return put(tx, "a", "") }))
	must(t, w.Close())
	if _, err := os.Stat(filepath.Join(dir, "world.db")); err != nil {
		t.Error(err)
	}
	must(t, open(t, dir).View(t.Context(), func(tx *world.Tx) error {
		_, err := world.Get[thing](tx, world.Ref{Provider: "p", Kind: "k", ID: "a"})
		return err
	}))
}

func TestFailedChangeLeavesNothing(t *testing.T) {
	w := open(t, t.TempDir())
	boom := errors.New("boom")
	err := w.Update(t.Context(), func(tx *world.Tx) error {
		must(t, put(tx, "a", ""))
		_, err := tx.AddFault(world.Fault{Provider: "p", Fault: world.Lost})
		return errors.Join(err, boom)
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	effects, err := w.Effects(t.Context(), 0)
	must(t, err)
	must(t, w.View(t.Context(), func(tx *world.Tx) error {
		all, err := tx.Everything()
		faults, faultsErr := tx.Faults()
		if len(all)+len(faults)+len(effects) != 0 {
			t.Errorf("left: %v %v %v", all, faults, effects)
		}
		return errors.Join(err, faultsErr)
	}))
}

func TestALedgerOfOneProviderIsNotHiddenByTheOthers(t *testing.T) {
	w := open(t, t.TempDir())
	must(t, w.Update(t.Context(), func(tx *world.Tx) error {
		for range 10_000 { // as many as one answer has
			if err := tx.Record(world.Effect{Provider: "p", Kind: world.Created}); err != nil {
				return err
			}
		}
		return tx.Record(world.Effect{Provider: "q", Kind: world.Created})
	}))
	for provider, want := range map[string]int{"p": 10_000, "q": 1, "": 10_000, "r": 0} {
		effects, err := w.EffectsOf(t.Context(), provider, 0)
		must(t, err)
		if len(effects) != want {
			t.Errorf("of %q there are %d lines, want %d", provider, len(effects), want)
		}
	}
}

func TestResources(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	must(t, w.Update(t.Context(), func(tx *world.Tx) error {
		return errors.Join(put(tx, "b", "x"), put(tx, "a", "x"), put(tx, "c", "y"))
	}))
	must(t, w.Update(t.Context(), func(tx *world.Tx) error { return put(tx, "b", "x") })) // keeps its place
	must(t, w.View(t.Context(), func(tx *world.Tx) error {
		all, err := world.List[thing](tx, world.Ref{Provider: "p", Kind: "k"})
		must(t, err)
		children, err := world.Children[thing](tx, world.Ref{Provider: "p", Kind: "k", ID: "x"})
		must(t, err)
		if len(all) != 3 || all[0].Text != "b" || len(children) != 2 || children[1].Text != "a" {
			t.Errorf("all %v, children %v", all, children)
		}
		found, err := world.Mentioning[thing](tx, world.Ref{Provider: "p", Kind: "k"}, `"TEXT":"b"`)
		if err != nil || len(found) != 1 || found[0].Text != "b" {
			t.Errorf("those that mention b are %v, %v", found, err)
		}
		if _, err := world.Get[thing](tx, world.Ref{Provider: "q", Kind: "k", ID: "a"}); !errors.Is(err, world.ErrNotFound) {
			t.Errorf("another provider's: %v", err)
		}
		name, err := tx.NameOf(world.Ref{Provider: "p", Kind: "k", ID: "a"})
		if name != "name of a" {
			t.Errorf("name %q", name)
		}
		return err
	}))
	must(t, w.Update(t.Context(), func(tx *world.Tx) error {
		ref := world.Ref{Provider: "p", Kind: "k", ID: "a"}
		must(t, tx.Delete(ref))
		if err := tx.Delete(ref); !errors.Is(err, world.ErrNotFound) {
			t.Errorf("deleted twice: %v", err)
		}
		return nil
	}))
}

// Looking through all that a sandbox holds at each write makes a long test slower the longer it lasts.
func TestPutDoesNotLookThroughEverything(t *testing.T) {
	must(t, open(t, t.TempDir()).View(t.Context(), func(tx *world.Tx) error {
		steps, err := tx.PlanOfPut()
		if plan := strings.Join(steps, "; "); !strings.Contains(plan, "SEARCH resource USING COVERING INDEX") { // "SEARCH resource" reads all for a maximum
			t.Errorf("the database's plan is %q", plan)
		}
		return err
	}))
}

func TestTakeFault(t *testing.T) {
	w := open(t, t.TempDir())
	must(t, w.Update(t.Context(), func(tx *world.Tx) error {
		_, first := tx.AddFault(world.Fault{Provider: "p", Operation: "make_*", Match: "lon", Fault: world.Quota, Times: 2, After: 1})
		_, second := tx.AddFault(world.Fault{Provider: "p", Fault: world.Lost, Times: -1})
		return errors.Join(first, second)
	}))
	take := func(provider, operation, name string, kinds ...string) bool {
		var taken bool
		must(t, w.Update(t.Context(), func(tx *world.Tx) (err error) {
			_, taken, err = tx.TakeFault(provider, operation, name, kinds...)
			return err
		}))
		return taken
	}
	for i, step := range []struct {
		provider, operation, name, kind string
		want                            bool
	}{
		{"q", "make_cluster", "lon1", world.Quota, false},
		{"p", "drop_cluster", "lon1", world.Quota, false},
		{"p", "make_cluster", "nyc1", world.Quota, false},
		{"p", "make_cluster", "lon1", world.Denied, false},
		{"p", "make_cluster", "lon1", world.Quota, false}, // the one to be left alone
		{"p", "make_cluster", "lon1", world.Quota, true},
		{"p", "make_pool", "a-lon2/main", world.Quota, true},
		{"p", "make_cluster", "lon1", world.Quota, false}, // used up
		{"p", "anything", "", world.Lost, true},
		{"p", "anything", "", world.Lost, true},
	} {
		if got := take(step.provider, step.operation, step.name, step.kind); got != step.want {
			t.Errorf("step %d: taken is %v", i, got)
		}
	}
}

func TestClockJitterIsSmallAndAlwaysTheSame(t *testing.T) {
	clock := world.Clock{Scale: 0.5}
	start := time.Unix(1000, 0)
	seen := map[time.Duration]bool{}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		took := clock.Due(start, 100*time.Second, id).Sub(start)
		if math.Abs(took.Seconds()-50) > 5 {
			t.Errorf("100 s at a scale of 0.5 take %s", took)
		}
		if clock.Due(start, 100*time.Second, id).Sub(start) != took {
			t.Error("another time, another duration")
		}
		seen[took] = true
	}
	if len(seen) < 3 {
		t.Errorf("hardly any jitter: %v", seen)
	}
}

func TestRequestsForgetTheOldest(t *testing.T) {
	w := open(t, t.TempDir())
	for range 2500 {
		w.Requests.Add(world.Request{Path: "/old"})
	}
	w.Requests.Add(world.Request{Path: "/new"})
	if last := w.Requests.Last(2); len(last) != 2 || last[1].Path != "/new" {
		t.Errorf("last %v", last)
	}
	if n := len(w.Requests.Last(1 << 30)); n != 2000 {
		t.Errorf("%d are kept", n)
	}
}

func TestWhatIsDeletedCannotFailLate(t *testing.T) {
	operations := []string{"vpcs_create", "vpcs_delete", "kubernetes_destroy_associatedResourcesDangerous"}
	for operation, want := range map[string]bool{"vpcs_create": true, "vpcs_*": true, "": true, "vpcs_delete": false, "*_d*": false} {
		err := world.Fault{Provider: "p", Operation: operation, Fault: world.Late}.Validate(operations, world.OfClouds)
		if (err == nil) != want || err != nil && !strings.Contains(err.Error(), "never becomes ready") {
			t.Errorf("late for %q: %v", operation, err)
		}
		if err := (world.Fault{Provider: "p", Operation: operation, Fault: world.Stuck}).Validate(operations, world.OfClouds); err != nil {
			t.Errorf("stuck for %q: %v", operation, err)
		}
	}
}

func FuzzFault(f *testing.F) {
	f.Add("vpcs_create", "lon*", "slow", "2s", 1, 0, 500)
	f.Add("", "[", "", "-1s", -1, -1, 0)
	f.Fuzz(func(t *testing.T, operation, match, kind, delay string, times, after, status int) {
		fault := world.Fault{Provider: "p", Operation: operation, Match: match, Fault: kind, Delay: delay, Times: times, After: after, Status: status}
		if fault.Validate([]string{"vpcs_create"}, world.OfClouds) != nil {
			return
		}
		if wait := fault.Wait(); wait < 0 || wait > 5*time.Minute {
			t.Errorf("a wait of %s is accepted", wait)
		}
		if strings.Contains(match, "[") && match == "[" {
			t.Error("a glob that is none is accepted")
		}
	})
}

// TestEveryWatcherIsTold: each cloud has a loop of its own.
func TestEveryWatcherIsTold(t *testing.T) {
	w := open(t, t.TempDir())
	first, second := w.Watch(t.Context()), w.Watch(t.Context())
	over, end := context.WithCancel(t.Context())
	third := w.Watch(over)
	end()
	must(t, w.View(t.Context(), func(*world.Tx) error { return nil }))
	for range 3 {
		must(t, w.Update(t.Context(), func(tx *world.Tx) error { return put(tx, "a", "") }))
	}
	for i, told := range []<-chan struct{}{first, second} {
		if n := len(told); n != 1 {
			t.Errorf("watcher %d is told %d times", i, n)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		for len(third) > 0 {
			<-third
		}
		must(t, w.Update(t.Context(), func(tx *world.Tx) error { return put(tx, "a", "") }))
		if len(third) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("one whose context has ended is still told")
		}
	}
}
