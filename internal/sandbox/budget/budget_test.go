package budget_test

import (
	"testing"
	"time"

	"github.com/m3o/platform/internal/sandbox/budget"
	"github.com/m3o/platform/internal/sandbox/world"
)

// stopped is a clock that stands still until it is moved.
func stopped(scale float64) (clock world.Clock, move func(time.Duration)) {
	now := time.Unix(1000, 0)
	return world.Clock{Scale: scale, Read: func() time.Time { return now }}, func(d time.Duration) { now = now.Add(d) }
}

func TestWindowsSlide(t *testing.T) {
	clock, move := stopped(0.1)
	b := budget.NewWindows(clock, budget.Window{Requests: 5, Period: time.Hour}, budget.Window{Requests: 2, Period: time.Minute})
	first := b.Take("a")
	if first.Wait != 0 || first.Remaining != 4 || !first.Reset.Equal(clock.Now().Add(6*time.Minute)) {
		t.Errorf("the first: %+v", first)
	}
	b.Take("a")
	if third := b.Take("a"); third.Wait != 6*time.Second || third.Remaining != 3 {
		t.Errorf("a third within the minute: %+v", third)
	}
	if other := b.Take("b"); other.Wait != 0 {
		t.Errorf("somebody else waits: %+v", other)
	}
	move(6 * time.Second)
	for range 2 {
		if a := b.Take("a"); a.Wait != 0 {
			t.Errorf("a minute later: %+v", a)
		}
	}
	move(6 * time.Second)
	b.Take("a")
	if sixth := b.Take("a"); sixth.Wait != 6*time.Minute-12*time.Second || sixth.Remaining != 0 {
		t.Errorf("a sixth within the hour: %+v", sixth)
	}
}

func TestBucketsRefill(t *testing.T) {
	clock, move := stopped(0.01)
	b := budget.NewBuckets(clock)
	bucket := budget.Bucket{Burst: 3, PerSecond: 0.5} // one in two seconds: 20 ms
	for left := 2; left >= 0; left-- {
		if a := b.Take("a", bucket); a.Wait != 0 || a.Remaining != left {
			t.Errorf("with %d left: %+v", left, a)
		}
	}
	empty := b.Take("a", bucket)
	if empty.Wait != 20*time.Millisecond || empty.Remaining != 0 || !empty.Reset.Equal(clock.Now().Add(60*time.Millisecond)) {
		t.Errorf("empty: %+v", empty)
	}
	if other := b.Take("b", bucket); other.Wait != 0 {
		t.Errorf("somebody else waits: %+v", other)
	}
	move(empty.Wait)
	if a := b.Take("a", bucket); a.Wait != 0 {
		t.Errorf("after the wait that it was told: %+v", a)
	}
	move(time.Hour)
	if a := b.Take("a", bucket); a.Remaining != 2 {
		t.Errorf("it holds more than its burst: %+v", a)
	}
}
