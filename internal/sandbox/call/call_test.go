package call_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/m3o/platform/internal/sandbox/call"
	"github.com/m3o/platform/internal/sandbox/world"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open makes a world in which the faults are ordered.
func open(t *testing.T, faults ...world.Fault) *world.World {
	t.Helper()
	w, err := world.Open(t.TempDir(), world.Clock{Scale: 0.001})
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()) })
	must(t, w.Update(t.Context(), func(tx *world.Tx) error {
		for _, f := range faults {
			f.Provider = "p"
			if _, err := tx.AddFault(f); err != nil {
				return err
			}
		}
		return nil
	}))
	return w
}

func of(t *testing.T, w *world.World, operation, target string) *call.Call {
	t.Helper()
	return &call.Call{Provider: "p", World: w, Operation: operation, ID: "request-1", At: w.Clock.Now(), Target: target,
		Request: httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/things?secret=1", nil)}
}

// finish ends a call and says whether its answer arrives.
func finish(c *call.Call) (arrives bool) {
	defer func() {
		if r := recover(); r != nil {
			if err, is := r.(error); !is || !errors.Is(err, http.ErrAbortHandler) {
				panic(r)
			}
		}
	}()
	c.Finish(http.StatusOK)
	return true
}

func nothing(*world.Tx) error { return nil }

func TestEarlyFaultIsTheOnlyAnswer(t *testing.T) {
	for _, kind := range world.Early {
		w := open(t, world.Fault{Fault: kind, Operation: "make", Match: "lon"}, world.Fault{Fault: world.Lost})
		c := of(t, w, "make", "lon1")
		fault, found, err := c.Misbehave()
		must(t, err)
		if !found || fault.Fault != kind || c.Lost != (kind == world.LostBefore) {
			t.Errorf("%s: got %+v, found %v, lost %v", kind, fault, found, c.Lost)
		}
		if arrives := finish(c); arrives == (kind == world.LostBefore) {
			t.Errorf("%s: the answer arrives: %v", kind, arrives)
		}
		// The fault that loses an answer is left for a request that gets so far.
		c = of(t, w, "read", "")
		if _, found, err := c.Misbehave(); found || err != nil {
			t.Errorf("%s: once more: %v %v", kind, found, err)
		}
		if finish(c) {
			t.Errorf("%s: the answer of a read was not lost", kind)
		}
	}
}

func TestSlowWaitsAndGoesOn(t *testing.T) {
	c := of(t, open(t, world.Fault{Fault: world.Slow, Delay: "50ms"}), "make", "")
	begun := time.Now()
	if _, found, err := c.Misbehave(); found || err != nil {
		t.Errorf("it is refused: %v %v", found, err)
	}
	if took := time.Since(begun); took < 50*time.Millisecond {
		t.Errorf("it took %s", took)
	}
}

func TestLostAnswerComesAfterTheCommit(t *testing.T) {
	w := open(t, world.Fault{Fault: world.Lost, Operation: "make"})
	c := of(t, w, "make", "")
	refused := errors.New("refused")
	if err := c.Commit(func(*world.Tx) error { return refused }); !errors.Is(err, refused) || c.Lost {
		t.Errorf("a refused change: %v, lost %v", err, c.Lost)
	}
	must(t, c.Commit(func(tx *world.Tx) error { return tx.Record(c.Effect(world.Created, "thing", "1", "one")) }))
	if finish(c) {
		t.Error("the answer arrives")
	}
	effects, err := w.Effects(t.Context(), 0)
	must(t, err)
	if len(effects) != 1 || effects[0].Key != "request-1" || effects[0].Operation != "make" || !effects[0].RequestedAt.Equal(c.At) {
		t.Errorf("the ledger says %+v", effects)
	}
	last := w.Requests.Last(1)
	if len(last) != 1 || last[0].Path != "/things" || last[0].RequestID != "request-1" {
		t.Errorf("the last request is %+v", last)
	}
	c = of(t, w, "make", "")
	must(t, c.Commit(nothing))
	if !finish(c) {
		t.Error("the fault was used twice")
	}
}

func TestTransitionsAreSpoiledByFaults(t *testing.T) {
	w := open(t, world.Fault{Fault: world.Stuck, Match: "a"}, world.Fault{Fault: world.Late, Times: 2})
	begin := func(target string, end bool) (tr world.Transition) {
		c := of(t, w, "make", target)
		must(t, c.Commit(func(tx *world.Tx) (err error) {
			if end {
				tr, err = c.BeginEnd(tx, "id", time.Minute)
			} else {
				tr, err = c.Begin(tx, "id", time.Minute, "no room")
			}
			return err
		}))
		return tr
	}
	if tr := begin("a", false); !tr.Stuck || tr.Fail != "" || tr.Key != "request-1" {
		t.Errorf("stuck: %+v", tr)
	}
	if tr := begin("b", true); tr.Spoiled() {
		t.Errorf("what goes fails late: %+v", tr)
	}
	tr := begin("b", false)
	if tr.Fail != "no room" || tr.Stuck {
		t.Errorf("late: %+v", tr)
	}
	if took := tr.Due.Sub(tr.RequestedAt); took < 50*time.Millisecond || took > 70*time.Millisecond {
		t.Errorf("a minute at a scale of 0.001 takes %s", took)
	}
}
