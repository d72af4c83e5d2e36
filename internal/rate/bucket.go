package rate

import (
	"net/http"
	"time"

	"github.com/m3o/platform/internal/fault"
)

const (
	// used is the part of a limit that is used: requests that were sent in time may arrive closer together, and people use
	// the account as well.
	used = 0.95
	// atOnce is the part of that which may be sent in one go, after a time without requests.
	atOnce = 0.2
	// atStart is the part of the share that a new process may send in one go. What the one before it sent is not known: this
	// little fits into what used leaves of the limit, for a few restarts in its period.
	atStart = 0.01
)

// bucket counts by the generic cell rate algorithm: free is when it would be empty if nothing more came. In any period it lets
// through burst requests and one more for every interval, which together are no more than its share of the limit. It begins
// nearly empty.
type bucket struct {
	limit    Limit
	interval time.Duration
	burst    int
	free     time.Time
	opens    time.Time // until when the provider asked for a pause
}

func newBucket(limit Limit, workers int, now time.Time) (*bucket, error) {
	share := float64(limit.Requests) * used / float64(workers)
	if limit.Per <= 0 || share < 2 {
		return nil, fault.New(fault.Invalid, "%d workers leave each too small a share of %d requests in %s: run fewer", workers, limit.Requests, limit.Per)
	}
	burst := max(1, int(share*atOnce))
	b := &bucket{limit: limit, burst: burst, interval: time.Duration(float64(limit.Per) / (share - float64(burst)))}
	b.free = now.Add(time.Duration(burst-max(1, int(share*atStart))) * b.interval)
	return b, nil
}

func (b *bucket) counts(r *http.Request) bool { return b.limit.Counts == nil || b.limit.Counts(r) }

// take counts one request, and returns how long it has to wait.
func (b *bucket) take(now time.Time) time.Duration {
	if b.free.Before(now) {
		b.free = now
	}
	wait := b.free.Add(-time.Duration(b.burst-1) * b.interval).Sub(now)
	b.free = b.free.Add(b.interval)
	return max(0, wait)
}

// giveBack takes back a turn that was not used.
func (b *bucket) giveBack() { b.free = b.free.Add(-b.interval) }

// pause empties the bucket until then: what waited does not go out in one go.
func (b *bucket) pause(until time.Time) {
	if b.opens.Before(until) {
		b.opens = until
	}
	if full := until.Add(time.Duration(b.burst-1) * b.interval); b.free.Before(full) {
		b.free = full
	}
}
