package budget

import (
	"math"
	"sync"
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

// Bucket holds up to Burst tokens, and gets PerSecond of them in every simulated second. A request takes one.
type Bucket struct {
	Burst     int
	PerSecond float64
}

// Buckets is a budget of token buckets, one per key. It is safe for concurrent use.
type Buckets struct {
	clock world.Clock

	mu     sync.Mutex
	levels map[string]level
}

// level is how many tokens a bucket had when.
type level struct {
	tokens float64
	at     time.Time
}

// NewBuckets makes buckets that are full.
func NewBuckets(clock world.Clock) *Buckets {
	return &Buckets{clock: clock, levels: map[string]level{}}
}

// Take takes one token from the key's bucket, unless it is empty. A key's bucket is the same at every call.
func (b *Buckets) Take(key string, bucket Bucket) Answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	// A tenth of the time, ten times the tokens.
	perSecond := bucket.PerSecond / b.clock.Scale
	l, used := b.levels[key]
	if !used {
		l = level{tokens: float64(bucket.Burst), at: now}
	}
	l.tokens = math.Min(float64(bucket.Burst), l.tokens+perSecond*now.Sub(l.at).Seconds())
	l.at = now
	var answer Answer
	if l.tokens >= 1 {
		l.tokens--
	} else {
		answer.Wait = max(1, seconds((1-l.tokens)/perSecond)) // never 0, which is for those that are taken
	}
	b.levels[key] = l
	answer.Remaining = int(l.tokens)
	answer.Reset = now.Add(seconds((float64(bucket.Burst) - l.tokens) / perSecond))
	return answer
}

func seconds(s float64) time.Duration { return time.Duration(math.Ceil(s * float64(time.Second))) }
