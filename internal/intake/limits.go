package intake

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// Limits keep every integration key to its rate, in this process. The zero value is ready to use.
type Limits struct {
	mu   sync.Mutex
	keys map[string]*rate.Limiter // by id
}

// Take counts n alerts of a key, or refuses them with the time to come back after. More than the burst at once count as the burst: what a
// source sends in one request is never too much for ever.
func (l *Limits) Take(k alert.IntegrationKey, n int) error {
	limiter, now := l.of(k), time.Now()
	turn := limiter.ReserveN(now, min(n, k.Burst))
	if wait := turn.DelayFrom(now); wait > 0 {
		turn.CancelAt(now)
		return &fault.Error{Kind: fault.Throttled, Message: "the key takes no more alerts now: see its rate and burst", RetryAfter: wait}
	}
	return nil
}

func (l *Limits) of(k alert.IntegrationKey) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = map[string]*rate.Limiter{}
	}
	limiter, known := l.keys[k.ID]
	if !known || limiter.Limit() != rate.Limit(k.Rate) || limiter.Burst() != k.Burst {
		limiter = rate.NewLimiter(rate.Limit(k.Rate), k.Burst)
		l.keys[k.ID] = limiter
	}
	return limiter
}
