package rest

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/m3o/platform/internal/fault"
)

// How often somebody may try to log in: from one address, and from all of them.
const (
	loginsEach  = 10 // at once, and then
	loginEvery  = 6 * time.Second
	loginsAll   = 100
	loginAlways = 100 * time.Millisecond
	addresses   = 10_000 // that are told apart
)

// logins limits how often tokens and codes are tried.
type logins struct {
	mu   sync.Mutex
	all  *rate.Limiter
	from map[netip.Prefix]*rate.Limiter
}

func newLogins() *logins {
	return &logins{all: rate.NewLimiter(rate.Every(loginAlways), loginsAll), from: map[netip.Prefix]*rate.Limiter{}}
}

// take counts one attempt from an address, or refuses it. What one address is refused is not counted against the others.
func (l *logins) take(address string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, limit := range []*rate.Limiter{l.of(neighbours(address), now), l.all} {
		turn := limit.ReserveN(now, 1)
		if wait := turn.DelayFrom(now); wait > 0 {
			turn.CancelAt(now)
			return &fault.Error{Kind: fault.Throttled, Message: "too many attempts to log in", RetryAfter: wait}
		}
	}
	return nil
}

// of is the limit of those who share an address. When too many are told apart, those who have not tried for a while are
// forgotten; if there are none, the rest share a limit.
func (l *logins) of(who netip.Prefix, now time.Time) *rate.Limiter {
	if len(l.from) >= addresses && l.from[who] == nil {
		for other, limit := range l.from {
			if limit.TokensAt(now) >= loginsEach {
				delete(l.from, other)
			}
		}
		if len(l.from) >= addresses {
			who = netip.Prefix{}
		}
	}
	limit, known := l.from[who]
	if !known {
		limit = rate.NewLimiter(rate.Every(loginEvery), loginsEach)
		l.from[who] = limit
	}
	return limit
}

// neighbours are the addresses that one subscriber has: one of IPv4, a /64 of IPv6.
func neighbours(address string) netip.Prefix {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}
	}
	bits := 32
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		bits = 64
	}
	prefix, _ := ip.Prefix(bits) // the bits are right for the address
	return prefix
}

// maxStreams is how many event streams one principal has open at once in a process: each costs queries as long as it lasts.
const maxStreams = 16

// streamRetry is how long a principal who was refused one is told to wait.
const streamRetry = 5 * time.Second

// openStreams counts the event streams by who reads them. The zero value is ready to use.
type openStreams struct {
	mu sync.Mutex
	of map[string]int
}

// take gives a principal a stream or refuses it. Who was given one calls leave.
func (o *openStreams) take(who string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of[who] >= maxStreams {
		return &fault.Error{Kind: fault.Throttled, Message: "you have as many event streams open as one may: end one, or try again in a moment", RetryAfter: streamRetry}
	}
	if o.of == nil {
		o.of = map[string]int{}
	}
	o.of[who]++
	return nil
}

func (o *openStreams) leave(who string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of[who]--; o.of[who] == 0 {
		delete(o.of, who)
	}
}
