package world

import (
	"sync"
	"time"
)

// keptRequests is how many of the last requests are remembered.
const keptRequests = 2000

// Request is one request that came in, without what is secret in it.
type Request struct {
	Provider  string    `json:"provider"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Operation string    `json:"operation"`
	Status    int       `json:"status"`
	RequestID string    `json:"request_id"`
	At        time.Time `json:"at"`
}

// Requests remembers the last requests, in memory.
type Requests struct {
	mu    sync.Mutex
	ring  []Request
	count int
}

func newRequests() *Requests { return &Requests{ring: make([]Request, keptRequests)} }

// Add remembers a request.
func (r *Requests) Add(request Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring[r.count%len(r.ring)] = request
	r.count++
}

// Last returns up to n requests, oldest first.
func (r *Requests) Last(n int) []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = max(0, min(n, r.count, len(r.ring)))
	last := make([]Request, 0, n)
	for i := r.count - n; i < r.count; i++ {
		last = append(last, r.ring[i%len(r.ring)])
	}
	return last
}
