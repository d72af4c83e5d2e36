// Package rate keeps a process within its share of what a provider allows: a transport that gives every request its turn.
//
// Workers of one cloud share no database, so nobody counts for all of them: each takes the provider's limits divided by the
// number of workers. A request that gets no turn soon enough fails as a Throttled fault that says when to come back, so that
// whoever made it gives its place to others meanwhile. The package does not retry, and SDKs in front of it must not either:
// their retries would wait for turns as well. It knows no provider: those who make a client bring the limits.
package rate

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/m3o/platform/internal/fault"
)

// Limit is one limit of a provider: so many requests in any period, of all workers together.
type Limit struct {
	Name     string // what is counted, for messages: "requests a minute"
	Requests int
	Per      time.Duration
	Counts   func(*http.Request) bool // which requests count; nil: all of them
}

// Options say whose limits they are, and how many share them.
type Options struct {
	Provider string // for messages: "DigitalOcean"
	Limits   []Limit
	Workers  int           // processes that share the limits; 0 is 1
	Patience time.Duration // the longest wait for a turn; 0 is DefaultPatience
	Logger   *slog.Logger  // waits worth noticing are logged; nil: nowhere
}

// DefaultPatience is the longest wait for a turn within a call. Longer ones are left to whoever retries, whose place is free
// for others meanwhile.
const DefaultPatience = 20 * time.Second

// noticeable is a wait that is logged.
const noticeable = time.Second

// Transport sends requests in their turn. It is safe for concurrent use, and a prometheus.Collector of how long they wait.
type Transport struct {
	next     http.RoundTripper
	provider string
	patience time.Duration
	logger   *slog.Logger

	mu      sync.Mutex
	buckets []*bucket

	waits   *prometheus.HistogramVec
	refused *prometheus.CounterVec
}

// New returns a transport that keeps to one worker's share of the limits.
func New(next http.RoundTripper, o Options) (*Transport, error) {
	t := &Transport{next: next, provider: o.Provider, patience: o.Patience, logger: o.Logger}
	if t.patience <= 0 {
		t.patience = DefaultPatience
	}
	if t.logger == nil {
		t.logger = slog.New(slog.DiscardHandler)
	}
	for _, limit := range o.Limits {
		b, err := newBucket(limit, max(1, o.Workers), time.Now())
		if err != nil {
			return nil, err
		}
		t.buckets = append(t.buckets, b)
	}
	labels := prometheus.Labels{"provider": o.Provider}
	t.waits = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "m3o_cloud_turn_wait_seconds", ConstLabels: labels,
		Help: "How long requests waited for their turn, by the limit that held them up.", Buckets: []float64{.01, .1, .5, 1, 5, 10, 20}}, []string{"limit"})
	t.refused = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "m3o_cloud_throttled_total", ConstLabels: labels,
		Help: "Requests that were not sent for want of a turn (by=worker), or that the provider refused (by=provider)."}, []string{"by"})
	return t, nil
}

// Describe implements prometheus.Collector.
func (t *Transport) Describe(to chan<- *prometheus.Desc) {
	t.waits.Describe(to)
	t.refused.Describe(to)
}

// Collect implements prometheus.Collector.
func (t *Transport) Collect(to chan<- prometheus.Metric) { t.waits.Collect(to); t.refused.Collect(to) }

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.turn(r); err != nil {
		if r.Body != nil {
			r.Body.Close() // a RoundTripper always closes it
		}
		return nil, err
	}
	response, err := t.next.RoundTrip(r)
	if err == nil && throttles(response) {
		t.refused.WithLabelValues("provider").Inc()
		now := time.Now()
		t.pause(r, now.Add(max(shortest, RetryAfter(response, now))))
	}
	return response, err
}

// turn waits until every limit that counts the request has room for it.
func (t *Transport) turn(r *http.Request) error {
	ctx := r.Context()
	latest := t.latest(ctx)
	for {
		now := time.Now()
		taken, wait, slowest := t.reserve(r, now)
		if left := latest.Sub(now); wait > 0 && wait > left {
			t.giveBack(taken)
			return t.refuse(wait, max(0, left), slowest)
		}
		if err := t.wait(ctx, wait, slowest); err != nil {
			t.giveBack(taken)
			return err
		}
		if wait <= 0 || !t.paused(taken) {
			return nil
		}
	}
}

func (t *Transport) refuse(wait, left time.Duration, limit string) error {
	t.refused.WithLabelValues("worker").Inc()
	f := fault.New(fault.Throttled, "this worker's share of %s's limit (%s) is used up: the next request may be sent in %s, and can wait for %s",
		t.provider, limit, wait.Round(time.Millisecond), left.Round(time.Millisecond))
	f.RetryAfter = wait
	return f
}

func (t *Transport) wait(ctx context.Context, d time.Duration, limit string) error {
	if d <= 0 {
		return nil
	}
	t.announce(ctx, d, limit)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// latest is until when a request may wait: not past its own deadline.
func (t *Transport) latest(ctx context.Context) time.Time {
	latest := time.Now().Add(t.patience)
	if deadline, bounded := ctx.Deadline(); bounded && deadline.Before(latest) {
		return deadline
	}
	return latest
}

// announce shows a wait to whoever looks at metrics, traces or the log.
func (t *Transport) announce(ctx context.Context, wait time.Duration, limit string) {
	t.waits.WithLabelValues(limit).Observe(wait.Seconds())
	trace.SpanFromContext(ctx).AddEvent("wait for a turn", trace.WithAttributes(attribute.String("provider", t.provider),
		attribute.String("limit", limit), attribute.Float64("seconds", wait.Seconds())))
	if wait >= noticeable {
		t.logger.InfoContext(ctx, "a request waits for its turn", "provider", t.provider, "limit", limit, "wait", wait.Round(time.Millisecond))
	}
}

// reserve takes a turn of every limit that counts the request. The request may be sent after wait, for which slowest is to blame.
func (t *Transport) reserve(r *http.Request, now time.Time) (taken []*bucket, wait time.Duration, slowest string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.buckets {
		if !b.counts(r) {
			continue
		}
		taken = append(taken, b)
		if d := b.take(now); d > wait {
			wait, slowest = d, b.limit.String()
		}
	}
	return taken, wait, slowest
}

func (t *Transport) giveBack(taken []*bucket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range taken {
		b.giveBack()
	}
}

// pause sends nothing that the same limits count before the time that the provider named.
func (t *Transport) pause(r *http.Request, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.buckets {
		if b.counts(r) {
			b.pause(until)
		}
	}
}

// paused reports whether the provider asked for a pause while a request waited: its turn is worth nothing then.
func (t *Transport) paused(taken []*bucket) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	return slices.ContainsFunc(taken, func(b *bucket) bool { return now.Before(b.opens) })
}

func (l Limit) String() string {
	if l.Name != "" {
		return l.Name
	}
	return fmt.Sprintf("%d requests in %s", l.Requests, l.Per)
}

// throttles reports whether the provider refused a request for the number of them.
func throttles(r *http.Response) bool {
	return r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("Retry-After") != ""
}

// Bounds of the pause after a refusal.
const (
	shortest = time.Second
	longest  = time.Hour
)

// RetryAfter is how long a provider that refused a request wants no more: said in Retry-After, or by when the limit is reset;
// 0 when it does not say.
func RetryAfter(r *http.Response, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil {
		wait = time.Duration(min(seconds, int(longest/time.Second))) * time.Second
	} else if at, err := http.ParseTime(r.Header.Get("Retry-After")); err == nil {
		wait = at.Sub(now)
	} else if reset, err := strconv.ParseInt(r.Header.Get("Ratelimit-Reset"), 10, 64); err == nil {
		wait = time.Unix(reset, 0).Sub(now)
	}
	return min(max(wait, 0), longest)
}
