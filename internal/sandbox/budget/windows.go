package budget

import (
	"sync"
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

// Window allows so many requests within any period of that length.
type Window struct {
	Requests int
	Period   time.Duration
}

// Windows is a budget of one or more sliding windows, all of which must have room. It is safe for concurrent use.
type Windows struct {
	clock world.Clock
	// windows have periods in real time.
	windows []Window
	widest  Window

	mu sync.Mutex
	// seen are the times of each key's requests within the widest window, oldest first.
	seen map[string][]time.Time
}

// NewWindows makes a budget of which nothing was used. Window periods are in simulated time.
func NewWindows(clock world.Clock, windows ...Window) *Windows {
	b := &Windows{clock: clock, seen: map[string][]time.Time{}}
	for _, w := range windows {
		w.Period = clock.Scaled(w.Period)
		b.windows = append(b.windows, w)
		if w.Period > b.widest.Period {
			b.widest = w
		}
	}
	return b
}

// Take counts one request for key, unless there were too many.
func (b *Windows) Take(key string) Answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	seen := within(b.seen[key], now.Add(-b.widest.Period))
	answer := Answer{Reset: now}
	for _, w := range b.windows {
		if n := len(seen); n >= w.Requests {
			answer.Wait = max(answer.Wait, seen[n-w.Requests].Add(w.Period).Sub(now))
		}
	}
	if answer.Wait == 0 {
		seen = append(seen, now)
	}
	b.seen[key] = seen
	answer.Remaining = max(0, b.widest.Requests-len(seen))
	if len(seen) > 0 {
		answer.Reset = seen[0].Add(b.widest.Period)
	}
	return answer
}

// within leaves out what was at or before that time.
func within(seen []time.Time, before time.Time) []time.Time {
	i := 0
	for i < len(seen) && !seen[i].After(before) {
		i++
	}
	return seen[i:]
}
