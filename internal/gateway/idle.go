package gateway

import (
	"io"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// idle ends an exchange that stands still: in which no byte has come, from either side, for as long as its limit. What flows costs a
// reading of the clock for each piece. The zero value has no limit and does nothing.
type idle struct {
	limit  time.Duration
	began  time.Time
	last   atomic.Int64 // when a byte came last, in nanoseconds after began
	expire func()

	mu    sync.Mutex // held while expire runs: what it ends is not over before
	timer *time.Timer
	over  bool
}

// start begins the limit. expire is called once, if ever, and not after stop.
func (i *idle) start(limit time.Duration, expire func()) {
	i.limit, i.began, i.expire = limit, time.Now(), expire
	i.timer = time.AfterFunc(math.MaxInt64, i.look) // look needs the timer
	i.timer.Reset(limit)
}

// moved notes that a byte came.
func (i *idle) moved() { i.last.Store(int64(time.Since(i.began))) }

func (i *idle) look() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		return
	}
	if still := time.Since(i.began) - time.Duration(i.last.Load()); still < i.limit {
		i.timer.Reset(i.limit - still)
		return
	}
	i.over = true
	i.expire()
}

func (i *idle) stop() {
	if i.timer == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
	i.timer.Stop()
}

// flow is the body of an answer.
type flow struct {
	io.ReadCloser
	idle *idle
}

func (f *flow) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if n > 0 {
		f.idle.moved()
	}
	return n, err
}

// conversation is a connection that was upgraded: what comes from either side passes it, pings and all.
type conversation struct {
	io.ReadWriteCloser
	idle *idle
}

func (c *conversation) Read(p []byte) (int, error) {
	n, err := c.ReadWriteCloser.Read(p)
	if n > 0 {
		c.idle.moved()
	}
	return n, err
}

func (c *conversation) Write(p []byte) (int, error) {
	c.idle.moved()
	return c.ReadWriteCloser.Write(p)
}

// CloseWrite tells the service that its caller has said all, and may still listen.
func (c *conversation) CloseWrite() error {
	if half, ok := c.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return http.ErrNotSupported
}
