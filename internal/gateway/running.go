package gateway

import (
	"context"
	"errors"
	"sync"
	"time"
)

// suspendedLook is how often what runs is held against the projects that are suspended.
const suspendedLook = time.Second

var errSuspended = errors.New("the project was suspended")

// running are the calls on their way to instances. The zero value is ready to use.
type running struct {
	mu    sync.Mutex
	calls map[*call]struct{}
}

func (r *running) begin(c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls == nil {
		r.calls = map[*call]struct{}{}
	}
	r.calls[c] = struct{}{}
}

func (r *running) end(c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.calls, c)
}

// cancel cancels the calls of those projects that are suspended.
func (r *running) cancel(suspended func(project string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := map[string]bool{}
	for c := range r.calls {
		cut, asked := known[c.key.Project]
		if !asked {
			cut = suspended(c.key.Project)
			known[c.key.Project] = cut
		}
		if cut {
			c.cancel(errSuspended)
		}
	}
}

// endSuspended cancels the calls of projects that become suspended while they run.
func (g *Gateway) endSuspended(ctx context.Context) error {
	look := time.NewTicker(suspendedLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			g.running.cancel(g.mirror.Suspended)
		}
	}
}

// whileActive cancels when the project becomes suspended, or the gateway drains, until ctx ends.
func (g *Gateway) whileActive(ctx context.Context, project string, cancel context.CancelFunc) {
	look := time.NewTicker(suspendedLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.ending:
			cancel()
			return
		case <-look.C:
			if g.mirror.Suspended(project) {
				cancel()
				return
			}
		}
	}
}
