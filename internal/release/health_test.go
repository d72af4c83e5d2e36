package release

import (
	"strings"
	"testing"
	"time"
)

func TestHowAServiceIs(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	on := func(number int, state InstanceState, ago time.Duration, change ...func(*Instance)) Instance {
		i := Instance{Name: "i", Release: number, State: state, Since: now.Add(-ago)}
		for _, c := range change {
			c(&i)
		}
		return i
	}
	crashed := func(i *Instance) { i.Message = "the program ends with exit code 1" }
	unsteady := func(i *Instance) { i.Unsteady = true; crashed(i) }
	ready := on(2, InstanceReady, time.Hour)
	for name, c := range map[string]struct {
		wanted      int
		seen        []Instance
		well, fresh bool
		words       string
	}{
		"all ready":                  {2, []Instance{ready, ready}, true, false, ""},
		"an old one ends":            {1, []Instance{ready, on(1, InstanceEnding, time.Second)}, true, false, ""},
		"one of an old release":      {1, []Instance{on(1, InstanceReady, time.Hour)}, false, true, "0 of 1 instances ready"},
		"one is missing":             {2, []Instance{ready}, false, true, "1 of 2 instances ready"},
		"none":                       {1, nil, false, true, "0 of 1"},
		"one starts elsewhere":       {2, []Instance{ready, on(2, InstanceStarting, time.Second)}, false, true, "1 of 2"},
		"it does not come up":        {2, []Instance{ready, on(2, InstanceStarting, time.Minute)}, false, false, "1 of 2"},
		"one does not answer":        {1, []Instance{on(2, InstanceUnready, 6*time.Second)}, false, false, "0 of 1"},
		"one has just stopped":       {1, []Instance{on(2, InstanceUnready, 2*time.Second)}, false, true, "0 of 1"},
		"a crash counts at once":     {1, []Instance{on(2, InstanceRestarting, 0, crashed)}, false, false, "0 of 1 instances ready: the program ends with exit code 1"},
		"one that may crash again":   {1, []Instance{on(2, InstanceReady, 3*time.Second, unsteady)}, false, false, "1 of 1 instances ready, 1 of them restarted a moment ago: the program"},
		"evicted, and replaced":      {1, []Instance{ready, on(2, InstanceRestarting, 9*time.Second, crashed)}, false, false, "1 of 1 instances ready: the program"},
		"the worst is told of first": {2, []Instance{ready, on(2, InstanceStarting, time.Minute), on(2, InstanceRestarting, 0, crashed)}, false, false, "exit code 1"},
	} {
		h, fresh := Judge(2, c.wanted, c.seen, now)
		if h.Well != c.well || fresh != c.fresh || !strings.Contains(h.Message, c.words) || h.Well && h.Message != "" || h.Release != 2 || h.Wanted != c.wanted {
			t.Errorf("%s: %+v, fresh %t", name, h, fresh)
		}
	}
	if h, _ := Judge(2, 50, make50(ready), now); len(h.Instances) != maxInstances || !h.Well {
		t.Errorf("%d of 50 instances are kept, well %t", len(h.Instances), h.Well)
	}
}

func make50(i Instance) (all []Instance) {
	for range 50 {
		all = append(all, i)
	}
	return all
}
