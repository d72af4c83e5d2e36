package digitalocean

import (
	"context"
	"sync"
	"time"
)

// shared is a list that all who poll read together: one request at a time, whose answer serves for a while whoever asks
// next, so that a hundred regions on their way cost as many requests as one. What we change ourselves is seen at once; what
// others change, within that while.
type shared[T any] struct {
	serve time.Duration // how long an answer serves, from when it was asked for; 0: everyone asks for himself

	mu     sync.Mutex
	newest *listing[T]
}

// listing is one request for a list, and its answer once it is done.
type listing[T any] struct {
	began time.Time
	done  chan struct{}
	items []T
	err   error
}

// get returns the list. Who asks may give up without taking it away from the others.
func (s *shared[T]) get(ctx context.Context, list func(context.Context) ([]T, error)) ([]T, error) {
	if s.serve <= 0 {
		return list(ctx)
	}
	current := s.join(ctx, list)
	select {
	case <-current.done:
		return append([]T(nil), current.items...), current.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// join returns the request to wait for: the newest one while it runs or serves, else a new one. A failed one serves as well: a
// provider that has trouble is not asked more often.
func (s *shared[T]) join(ctx context.Context, list func(context.Context) ([]T, error)) *listing[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.newest; n != nil && (n.runs() || time.Since(n.began) < s.serve) {
		return n
	}
	made := &listing[T]{began: time.Now(), done: make(chan struct{})}
	s.newest = made
	go func(ctx context.Context) { // ends by the timeouts of its calls
		defer close(made.done)
		made.items, made.err = list(ctx)
	}(context.WithoutCancel(ctx))
	return made
}

func (l *listing[T]) runs() bool {
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

// forget makes the next one who asks see what was changed since.
func (s *shared[T]) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest = nil
}
