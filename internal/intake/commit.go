package intake

import (
	"context"
	"sync"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// How much is kept in one transaction, how much may wait for the next ones, and how long one may take.
var (
	perCommit = load{signals: 2000, bytes: 4 << 20}
	waiting   = load{signals: 20_000, bytes: 64 << 20}
)

const (
	commitFor = 15 * time.Second
	tryAgain  = time.Second
)

// load is how much signals are.
type load struct{ signals, bytes int }

func loadOf(signals []alert.Signal) load {
	l := load{signals: len(signals)}
	for _, s := range signals {
		l.bytes += 200 + len(s.DedupKey) + len(s.Summary) + len(s.Details) + len(s.URL)
		for name, value := range s.Labels {
			l.bytes += len(name) + len(value)
		}
	}
	return l
}

func (l load) plus(other load) load  { return load{l.signals + other.signals, l.bytes + other.bytes} }
func (l load) minus(other load) load { return load{l.signals - other.signals, l.bytes - other.bytes} }
func (l load) over(most load) bool   { return l.signals > most.signals || l.bytes > most.bytes }

// Appender keeps signals, all or none.
type Appender interface {
	AppendSignals(ctx context.Context, signals []alert.Signal) ([]int64, error)
}

// Committer keeps the signals of requests that come at the same time in one transaction: while one is under way, the next requests
// gather for the one after it. It is safe for concurrent use, and needs no end.
type Committer struct {
	store Appender

	mu     sync.Mutex
	queue  []request
	queued load
	busy   bool
}

// request is what one caller wants kept.
type request struct {
	signals []alert.Signal
	load    load
	kept    chan error
}

// NewCommitter keeps signals in the store.
func NewCommitter(store Appender) *Committer { return &Committer{store: store} }

// Keep returns when the signals are durable. A queue that is full is Unavailable with the time to come back after; nothing is kept then.
// Of a caller who leaves before, the signals may be kept all the same.
func (c *Committer) Keep(ctx context.Context, signals []alert.Signal) error {
	if len(signals) == 0 {
		return nil
	}
	r := request{signals: signals, load: loadOf(signals), kept: make(chan error, 1)}
	if err := c.enqueue(r); err != nil {
		return err
	}
	select {
	case err := <-r.kept:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Committer) enqueue(r request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued.plus(r.load).over(waiting) {
		return &fault.Error{Kind: fault.Unavailable, Message: "more alerts come in than can be kept: nothing of this request was kept", RetryAfter: tryAgain}
	}
	c.queue, c.queued = append(c.queue, r), c.queued.plus(r.load)
	if !c.busy {
		c.busy = true
		go c.commit()
	}
	return nil
}

// commit commits until nothing waits.
func (c *Committer) commit() {
	for {
		batch := c.take()
		if len(batch) == 0 {
			return
		}
		var all []alert.Signal
		for _, r := range batch {
			all = append(all, r.signals...)
		}
		ctx, cancel := context.WithTimeout(context.Background(), commitFor) // no caller's: each may leave while others wait
		_, err := c.store.AppendSignals(ctx, all)
		cancel()
		for _, r := range batch {
			r.kept <- err
		}
	}
}

// take takes the requests of the next transaction: at least one, if any waits.
func (c *Committer) take() []request {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, taken := 0, load{}
	for n < len(c.queue) && (n == 0 || !taken.plus(c.queue[n].load).over(perCommit)) {
		taken = taken.plus(c.queue[n].load)
		n++
	}
	batch := c.queue[:n:n]
	c.queue, c.queued = c.queue[n:], c.queued.minus(taken)
	c.busy = n > 0
	return batch
}
