package digitalocean

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

// limiter is the API's rate limit: a window of an hour and one of a minute, both shortened by the time scale. It is kept in
// memory: a restarted sandbox forgets what was used up.
type limiter struct {
	clock        world.Clock
	hour, minute time.Duration

	mu sync.Mutex
	// seen are the times of the requests in the hour's window, oldest first.
	seen []time.Time
}

// quota is what the headers tell.
type quota struct {
	remaining int
	reset     time.Time
	// wait is how long until a request is allowed again; 0 if this one was.
	wait time.Duration
}

func newLimiter(clock world.Clock) *limiter {
	return &limiter{clock: clock, hour: clock.Scaled(time.Hour), minute: clock.Scaled(time.Minute)}
}

// take counts one request, unless there were too many.
func (l *limiter) take() quota {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	l.forget(now.Add(-l.hour))
	wait := l.wait(now)
	if wait == 0 {
		l.seen = append(l.seen, now)
	}
	q := quota{remaining: requestsPerHour - len(l.seen), reset: now, wait: wait}
	if len(l.seen) > 0 {
		q.reset = l.seen[0].Add(l.hour)
	}
	return q
}

func (l *limiter) forget(before time.Time) {
	i := 0
	for i < len(l.seen) && !l.seen[i].After(before) {
		i++
	}
	l.seen = l.seen[i:]
}

// wait says how long it takes until neither window is full.
func (l *limiter) wait(now time.Time) time.Duration {
	if n := len(l.seen); n >= requestsPerHour {
		return l.seen[n-requestsPerHour].Add(l.hour).Sub(now)
	}
	if n := len(l.seen); n >= requestsPerMinute {
		return max(0, l.seen[n-requestsPerMinute].Add(l.minute).Sub(now))
	}
	return 0
}

// tell writes the rate limit's headers.
func (q quota) tell(header http.Header) {
	header.Set("ratelimit-limit", strconv.Itoa(requestsPerHour))
	header.Set("ratelimit-remaining", strconv.Itoa(max(0, q.remaining)))
	header.Set("ratelimit-reset", strconv.FormatInt(q.reset.Unix(), 10))
}

// seconds rounds a wait up to what the retry-after header can say.
func seconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }
