package world_test

import (
	"testing"
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

func TestStuckTransitionIsNeverDue(t *testing.T) {
	due := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		transition   world.Transition
		due, spoiled bool
	}{
		"as it should be": {world.Transition{Due: due}, true, false},
		"later":           {world.Transition{Due: due.Add(time.Nanosecond)}, false, false},
		"fails":           {world.Transition{Due: due, Fail: "no"}, true, true},
		"stuck":           {world.Transition{Due: due, Stuck: true}, false, true},
	} {
		if got := c.transition.IsDue(due); got != c.due {
			t.Errorf("%s: due is %v", name, got)
		}
		if got := c.transition.Spoiled(); got != c.spoiled {
			t.Errorf("%s: spoiled is %v", name, got)
		}
	}
}
