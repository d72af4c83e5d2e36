package release_test

import (
	"reflect"
	"testing"

	"github.com/m3o/platform/internal/release"
)

// past makes releases as they are recorded: a number each, with the status, where it ran, and what it repeats.
func past(number int, status release.Status, ran bool, rollsBack int) release.Release {
	r := release.Release{Service: release.Key{Project: "default", Name: "hello"}, Number: number, Status: status, RollsBack: rollsBack, Image: "image"}
	if ran {
		r.Regions = []release.Placed{{Region: "lon1", Status: release.Ready}}
	}
	return r
}

func numbers(list []release.Release) []int {
	out := []int{}
	for _, r := range list {
		out = append(out, r.Number)
	}
	return out
}

func TestRecall(t *testing.T) {
	runs := release.Service{Status: release.Running, Version: 7, Current: 6, Regions: []release.Placed{{Region: "lon1", Status: release.Ready}, {Region: "nyc3", Status: release.Failed}}}
	found := release.Recall(runs, []release.Release{
		past(1, release.Superseded, true, 0), past(2, release.Superseded, true, 0), past(3, release.RolledBack, false, 0), past(4, release.Superseded, false, 0),
		past(5, release.Superseded, true, 1), past(6, release.Ready, true, 0), past(7, release.Deploying, false, 0), past(8, release.Pending, false, 0), past(9, release.Pending, false, 0),
	})
	s := found.State
	if s.Current == nil || s.Current.Number != 6 || s.Interrupted == nil || s.Interrupted.Number != 7 || s.Waiting == nil || s.Waiting.Number != 9 || s.Latest != 9 || s.Version != 7 {
		t.Errorf("recalled %+v", s)
	}
	for what, got := range map[string][2][]int{
		"ran before":           {numbers(s.Previous), {1, 2, 5}},
		"never to go back to":  {s.RolledBack, {3, 2, 0}}, // 5 went back to 1 and left 2 behind
		"displaced":            {numbers(found.Displaced), {8}},
		"regions to be mended": {{len(s.Unplaced)}, {1}},
	} {
		if !reflect.DeepEqual(got[0], got[1]) {
			t.Errorf("%s: %v, want %v", what, got[0], got[1])
		}
	}
}

func TestOfAKilledServiceOnlyTheVersionIsRecalled(t *testing.T) {
	killed := release.Service{Status: release.Killed, Version: 9, Current: 0, Latest: 2}
	found := release.Recall(killed, []release.Release{past(1, release.Superseded, true, 0), past(2, release.Superseded, true, 0), past(3, release.Pending, false, 0)})
	waiting := past(3, release.Pending, false, 0)
	if want := (release.State{Version: 9, Phase: release.Present, Latest: 3, Waiting: &waiting}); !reflect.DeepEqual(found.State, want) || found.Displaced != nil {
		t.Errorf("recalled %+v", found)
	}
	if found := release.Recall(release.Service{}, nil); !reflect.DeepEqual(found, release.Recalled{State: release.State{Phase: release.Absent}}) {
		t.Errorf("of a service that never was: %+v", found)
	}
}

func TestAServiceOnItsWayOutGoesOn(t *testing.T) {
	if found := release.Recall(release.Service{Status: release.Killing, Version: 3, Current: 1}, []release.Release{past(1, release.Ready, true, 0)}); found.State.Phase != release.Removing || found.State.Current == nil {
		t.Errorf("recalled %+v", found.State)
	}
}
