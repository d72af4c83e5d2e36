package cloudtest

import (
	"sync"
	"testing"
	"time"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// maxCalls is what one step may ask of the account: more is no bounded step.
const maxCalls = 20

// trouble is a wire on which every call of every stage goes wrong in the same ways once, and then passes.
type trouble struct {
	t    *testing.T
	w    *work
	ways []Passage // of every call, one after the other

	mu    sync.Mutex
	seen  map[string]int // how often a call of a stage came
	calls int            // of the present step
	fresh cloud.Provider
	stays bool    // after a call went wrong so do all that follow, until the caller has noticed
	down  Passage // that way
	wrong int     // calls that went wrong
}

func (s suite) trouble(t *testing.T, stays bool, ways ...Passage) *trouble {
	x := &trouble{t: t, w: s.work(s.Region), ways: ways, seen: map[string]int{}, stays: stays}
	x.w.process = func() cloud.Provider {
		if x.fresh == nil {
			x.fresh = s.Wired(t, x.carry)
		}
		x.calls = 0
		return x.fresh
	}
	return x
}

func (x *trouble) carry(call string) Passage {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.calls++; x.calls > maxCalls {
		x.t.Errorf("%s: one step made more than %d calls, the last was %s", x.w.stage, maxCalls, call)
	}
	if x.down != Passes {
		return x.down
	}
	key := x.w.stage + ": " + call
	n := x.seen[key]
	x.seen[key]++
	if n >= len(x.ways) {
		return Passes
	}
	x.wrong++
	if x.stays {
		x.down = x.ways[n]
		if x.down == CutAfter { // what was done is done; the process is dead for what follows
			x.down = CutBefore
			return CutAfter
		}
	}
	return x.ways[n]
}

// noticed ends the trouble that stays.
func (x *trouble) noticed() { x.down = Passes }

// lives has a region live through all of it.
func (x *trouble) lives() {
	x.t.Helper()
	x.w.build(x.t)
	x.w.unchanged(x.t)
	x.w.wantOnce(x.t, false)
	x.w.remove(x.t)
	x.w.wantOnce(x.t, true)
	if x.wrong < 10 {
		x.t.Errorf("only %d calls went wrong, of %v", x.wrong, x.seen)
	}
}

// killed: whoever takes the steps ends at a call, before it arrives or after, and a new process knows nothing of it.
func killed(t *testing.T, s suite) {
	x := s.trouble(t, true, CutBefore, CutAfter)
	x.w.bears = func(error) bool {
		died := x.down != Passes
		x.noticed()
		x.fresh = nil
		return died
	}
	x.lives()
}

// lost: the process lives on, and takes the step again.
func lost(t *testing.T, s suite) {
	x := s.trouble(t, false, CutAfter)
	x.w.bears = func(err error) bool { return fault.Is(err, fault.Unavailable) }
	x.lives()
}

func expired(t *testing.T, s suite) {
	x := s.trouble(t, true, Expired)
	x.w.bears = func(err error) bool {
		if x.down == Passes {
			return false
		}
		wantKind(t, err, fault.Denied) // the operator is asked, and renews them
		x.noticed()
		return true
	}
	x.lives()
}

func throttled(t *testing.T, s suite) {
	x := s.trouble(t, false, Refused)
	x.w.bears = func(err error) bool {
		if fault.Is(err, fault.Throttled) && retryAfter(err) <= 0 {
			t.Errorf("%s: nothing says when to come back: %v", x.w.stage, err)
		}
		return fault.Is(err, fault.Throttled)
	}
	x.lives()
}

func hints(t *testing.T, s suite) {
	for name, hands := range map[string]func(first, newest string) string{
		"lost":     func(string, string) string { return "" },
		"old":      func(first, _ string) string { return first },
		"nonsense": func(string, string) string { return "{\"nonsense\": \x00\xff" },
	} {
		w := s.work(s.Region)
		w.region.Name += "-" + name
		w.hands = hands
		w.build(t)
		w.remove(t)
	}
	s.wantOnce(t, true)
}

// together is what two attempts of one activity do when the first was taken for dead and was not. Every call of theirs is made
// when all have come to it, as far as they come.
func together(t *testing.T, s suite) {
	const attempts = 4
	all := make([]*work, attempts)
	at := meeting{attempts: attempts, came: map[string]int{}}
	var wg sync.WaitGroup
	for i := range all {
		all[i] = s.work(s.Region)
		been := map[string]bool{}
		p := s.Wired(t, func(call string) Passage {
			if !been[call] {
				been[call] = true
				at.meet(call)
			}
			return Passes
		})
		all[i].process = func() cloud.Provider { return p }
		wg.Go(func() {
			for _, stage := range []func(*testing.T){all[i].makeNetwork, all[i].makeIdentity, all[i].makeCluster, all[i].makeTrust} {
				stage(t)
			}
		})
	}
	wg.Wait()
	for _, w := range all {
		if w.network.ID != all[0].network.ID || w.cluster.ID != all[0].cluster.ID || w.network.ID == "" {
			t.Errorf("one attempt got %+v and %+v, another %+v and %+v", w.network, w.cluster, all[0].network, all[0].cluster)
		}
	}
	s.wantOnce(t, false)
	for _, w := range all {
		wg.Go(func() { w.remove(t) })
	}
	wg.Wait()
	s.wantOnce(t, true)
}

// meeting is where attempts wait for each other.
type meeting struct {
	attempts int
	mu       sync.Mutex
	came     map[string]int
}

// meet returns when all have come to the call, or nobody comes any more.
func (m *meeting) meet(call string) {
	m.mu.Lock()
	m.came[call]++
	m.mu.Unlock()
	for range 20 {
		m.mu.Lock()
		all := m.came[call] >= m.attempts
		m.mu.Unlock()
		if all {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// halfMade: a bootstrap is given up at any of its stages.
func halfMade(t *testing.T, s suite) {
	stages := []func(*work){
		func(*work) {},
		func(w *work) { _, _ = w.Provider.EnsureNetwork(t.Context(), w.region.NetworkSpec(), "") },
		func(w *work) { w.makeNetwork(t) },
		func(w *work) { _, _ = w.Provider.EnsureIdentity(t.Context(), w.region.IdentitySpec(w.network), "") },
		func(w *work) { w.makeIdentity(t) },
		func(w *work) { w.cluster, _ = w.Provider.EnsureCluster(t.Context(), w.clusterSpec(), "") },
		func(w *work) { w.makeCluster(t) },
		func(w *work) { _, _ = w.Provider.EnsureTrust(t.Context(), w.trustSpec(), "") },
	}
	for n := range stages {
		w := s.work(s.Region)
		w.region.Name += string(rune('a' + n))
		for _, reach := range stages[:n] {
			reach(w)
		}
		w.network.Condition, w.cluster.Condition = region.Condition{}, region.Condition{}
		w.remove(t)
	}
	s.wantOnce(t, true)
}
