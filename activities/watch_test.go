package activities

import (
	"testing"
	"time"
)

// A release that is not there yet is looked at often, while it may be at any moment, and once a second when it takes long: to say why it
// is not costs several calls to its cluster.
func TestWhatTakesLongIsLookedAtLessOften(t *testing.T) {
	for _, c := range []struct {
		eases        bool
		poll, waited time.Duration
		want         time.Duration
	}{
		{true, 250 * time.Millisecond, 10 * time.Second, 250 * time.Millisecond},
		{true, 250 * time.Millisecond, 20 * time.Second, time.Second},
		{true, 5 * time.Second, 20 * time.Second, 5 * time.Second},
		{false, 250 * time.Millisecond, time.Hour, 250 * time.Millisecond},
	} {
		w := &watch{poll: c.poll, eases: c.eases, seen: Seen{Waited: c.waited}}
		if got := w.interval(); got != c.want {
			t.Errorf("after %s every %s, want %s", c.waited, got, c.want)
		}
	}
}
