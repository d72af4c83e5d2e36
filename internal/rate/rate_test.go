package rate

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// provider counts the requests that reach it, and answers with its status.
type provider struct {
	mu     sync.Mutex
	seen   []time.Time
	status int
	header http.Header
}

func (p *provider) RoundTrip(*http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, time.Now())
	status := p.status
	if status == 0 {
		status = http.StatusOK
	}
	return &http.Response{StatusCode: status, Header: p.header, Body: http.NoBody}, nil
}

// most is how many requests came in any period of that length.
func (p *provider) most(period time.Duration) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	most, first := 0, 0
	for i, at := range p.seen {
		for at.Sub(p.seen[first]) >= period {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func (p *provider) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.seen)
}

func transport(t *testing.T, p *provider, o Options) *Transport {
	t.Helper()
	o.Provider = "Cloud"
	made, err := New(p, o)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func request(ctx context.Context, method string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, method, "http://cloud.example/things", nil)
	if err != nil {
		panic(err)
	}
	return r
}

// send makes requests one after the other for so long, coming back when it is told to.
func send(ctx context.Context, t *Transport, method string, until time.Time) {
	for time.Now().Before(until) {
		_, err := t.RoundTrip(request(ctx, method))
		var f *fault.Error
		if errors.As(err, &f) {
			time.Sleep(f.RetryAfter)
		}
	}
}

var twoLimits = []Limit{{Name: "requests an hour", Requests: 5000, Per: time.Hour}, {Name: "requests a minute", Requests: 250, Per: time.Minute}}

func TestAWorkerKeepsToItsShareOfEveryLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{}
		for range 4 { // four workers, each as busy as it can be
			worker := transport(t, p, Options{Limits: twoLimits, Workers: 4})
			go func() {
				time.Sleep(time.Hour) // what may be sent in one go is there by then
				send(t.Context(), worker, http.MethodGet, time.Now().Add(3*time.Hour))
			}()
		}
		time.Sleep(4*time.Hour + time.Minute)
		synctest.Wait()
		if most := p.most(time.Minute); most > 250 || most < 200 {
			t.Errorf("%d requests in a minute; 250 are allowed, and there are enough to send", most)
		}
		if most := p.most(time.Hour); most > 5000 || most < 4500 {
			t.Errorf("%d requests in an hour; 5000 are allowed, and there are enough to send", most)
		}
	})
}

// TestRestartsKeepToTheLimit: a new process does not know what the one before it sent.
func TestRestartsKeepToTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{}
		hour := twoLimits[:1]
		idle := transport(t, p, Options{Limits: hour})
		time.Sleep(time.Hour)
		send(t.Context(), idle, http.MethodGet, time.Now().Add(10*time.Minute))
		for range 5 {
			send(t.Context(), transport(t, p, Options{Limits: hour}), http.MethodGet, time.Now().Add(10*time.Minute))
		}
		if most := p.most(time.Hour); most > 5000 || most < 4000 {
			t.Errorf("%d requests in an hour; 5000 are allowed, and there are enough to send", most)
		}
	})
}

func TestALimitCountsOnlyItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{}
		writes := Limit{Name: "writes a minute", Requests: 10, Per: time.Minute, Counts: func(r *http.Request) bool { return r.Method != http.MethodGet }}
		worker := transport(t, p, Options{Limits: []Limit{writes}})
		for range 1000 {
			if _, err := worker.RoundTrip(request(t.Context(), http.MethodGet)); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		for range 3 {
			if _, err := worker.RoundTrip(request(t.Context(), http.MethodPost)); err != nil {
				t.Fatal(err)
			}
		}
		if waited := time.Since(began); waited < 10*time.Second {
			t.Errorf("three writes of ten a minute went out within %s", waited)
		}
	})
}

func TestWhoGetsNoTurnIsToldWhenToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{}
		worker := transport(t, p, Options{Limits: []Limit{{Name: "requests an hour", Requests: 10, Per: time.Hour}}})
		var f *fault.Error
		for range 3 {
			if _, err := worker.RoundTrip(request(t.Context(), http.MethodGet)); err != nil && !errors.As(err, &f) {
				t.Fatal(err)
			}
		}
		if f == nil || f.Kind != fault.Throttled || f.RetryAfter < time.Minute || !strings.Contains(f.Message, "Cloud's limit (requests an hour)") {
			t.Fatalf("got %+v", f)
		}
		before := p.count()
		time.Sleep(f.RetryAfter)
		if _, err := worker.RoundTrip(request(t.Context(), http.MethodGet)); err != nil || p.count() != before+1 {
			t.Errorf("when told to come back: %v", err)
		}
	})
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{}
		worker := transport(t, p, Options{Limits: []Limit{{Requests: 10, Per: time.Minute}}})
		if _, err := worker.RoundTrip(request(t.Context(), http.MethodGet)); err != nil {
			t.Fatal(err)
		}
		canceled, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		if _, err := worker.RoundTrip(request(canceled, http.MethodGet)); !errors.Is(err, context.Canceled) || time.Since(began) != time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began = time.Now()
		if _, err := worker.RoundTrip(request(short, http.MethodGet)); !fault.Is(err, fault.Throttled) || time.Since(began) != 0 {
			t.Errorf("a deadline that comes too early is said after %s: %v", time.Since(began), err)
		}
		if p.count() != 1 {
			t.Errorf("%d requests were sent", p.count())
		}
		// Neither took a turn away: the next one goes out when the first of them would have.
		if _, err := worker.RoundTrip(request(t.Context(), http.MethodGet)); err != nil || time.Since(began) > 8*time.Second {
			t.Errorf("the next one waited %s: %v", time.Since(began), err)
		}
	})
}

func TestNothingIsSentBeforeTheProviderWantsIt(t *testing.T) {
	for name, header := range map[string]http.Header{
		"seconds":   {"Retry-After": {"30"}},
		"date":      {"Retry-After": {time.Date(2000, 1, 1, 0, 0, 30, 0, time.UTC).Format(http.TimeFormat)}},
		"its reset": {"Ratelimit-Reset": {"946684830"}}, // the same time: synctest begins at midnight of 2000-01-01 UTC
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &provider{status: http.StatusTooManyRequests, header: header}
				worker := transport(t, p, Options{Limits: []Limit{{Requests: 6000, Per: time.Minute}}, Patience: 10 * time.Second})
				began := time.Now()
				if response, err := worker.RoundTrip(request(t.Context(), http.MethodGet)); err != nil || response.StatusCode != http.StatusTooManyRequests {
					t.Fatalf("the answer itself is the caller's: %v", err)
				}
				p.status = http.StatusOK
				for range 5 {
					_, err := worker.RoundTrip(request(t.Context(), http.MethodGet))
					var f *fault.Error
					if !errors.As(err, &f) || f.Kind != fault.Throttled || f.RetryAfter < 29*time.Second {
						t.Errorf("within the pause: %v", err)
					}
				}
				time.Sleep(25 * time.Second)
				if _, err := worker.RoundTrip(request(t.Context(), http.MethodGet)); err != nil || time.Since(began) < 30*time.Second {
					t.Errorf("after %s it was sent: %v", time.Since(began), err)
				}
				if p.count() != 2 {
					t.Errorf("%d requests were sent", p.count())
				}
			})
		})
	}
}

// A turn that was given out before the provider refused another request is not used in the pause.
func TestWhoWaitsWaitsOutAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{}
		worker := transport(t, p, Options{Limits: []Limit{{Requests: 10, Per: time.Minute}}, Patience: time.Minute})
		began := time.Now()
		done := make(chan struct{})
		for range 2 {
			go func() {
				if _, err := worker.RoundTrip(request(t.Context(), http.MethodGet)); err != nil {
					t.Error(err)
				}
				done <- struct{}{}
			}()
		}
		<-done
		synctest.Wait() // the other has its turn, and waits for it
		worker.pause(request(t.Context(), http.MethodGet), began.Add(40*time.Second))
		<-done
		if waited := time.Since(began); waited < 40*time.Second {
			t.Errorf("it went out after %s", waited)
		}
	})
}

func TestMoreWorkersThanALimitHasRoomForAreRefused(t *testing.T) {
	if _, err := New(&provider{}, Options{Limits: twoLimits, Workers: 200}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "200 workers") {
		t.Errorf("got %v", err)
	}
}

func TestThrottlingSaysWhenToComeBack(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		header, value string
		want          time.Duration
	}{
		{"Retry-After", "7", 7 * time.Second},
		{"Retry-After", now.Add(time.Minute).Format(http.TimeFormat), time.Minute},
		{"Ratelimit-Reset", strconv.FormatInt(now.Add(90*time.Second).Unix(), 10), 90 * time.Second},
		{"Ratelimit-Reset", strconv.FormatInt(now.Add(-time.Second).Unix(), 10), 0},
		{"Ratelimit-Reset", "99999999999", time.Hour},
		{"Retry-After", "soon", 0},
	} {
		r := &http.Response{Header: http.Header{c.header: {c.value}}}
		if got := RetryAfter(r, now); got != c.want {
			t.Errorf("%s: %s: got %s, want %s", c.header, c.value, got, c.want)
		}
	}
}
