package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/m3o/platform/internal/release"
)

// maxRetries is how often a request is sent again, each time to another endpoint.
const maxRetries = 2

// ErrNoEndpoint says that a service has no endpoint that takes requests, and that none came while we waited.
var ErrNoEndpoint = errors.New("no endpoint is ready")

// Attempt sends one request to a service. It is an http.RoundTripper for that request alone.
//
// A request is sent again when no connection could be made, whatever its method, since then nobody has seen it; and when
// the connection broke before the answer began, if its method is idempotent and nothing of a body was sent. In every
// other case the service may have acted on it, so the failure is the caller's to judge.
type Attempt struct {
	Table     *Table
	Route     *Route
	Preflight bool          // it may be sent only because it is a CORS preflight
	HTTP2     bool          // speak HTTP/2 to it
	Wait      time.Duration // how long to wait, in all, for an endpoint to appear

	tried    []*Endpoint
	room     [maxRetries + 1]*Endpoint
	endpoint *Endpoint
	began    time.Time
}

// RoundTrip implements http.RoundTripper. It sets the host of the request's URL.
func (a *Attempt) RoundTrip(r *http.Request) (*http.Response, error) {
	a.tried = a.room[:0]
	body := guard(r)
	var last error
	for {
		endpoint := a.choose(r.Context())
		if endpoint == nil {
			if last == nil {
				last = ErrNoEndpoint
			}
			return nil, last
		}
		resp, err := endpoint.send(r, a.HTTP2)
		if err == nil {
			return resp, nil
		}
		if Unreached(err) {
			endpoint.eject(time.Now())
		}
		if r.Context().Err() != nil || len(a.tried) >= maxRetries || !repeatable(r, body, err) {
			return nil, err
		}
		last, a.tried = err, append(a.tried, endpoint)
		r = again(r)
	}
}

// Done says that the exchange is over, body and all.
func (a *Attempt) Done() {
	if a.endpoint != nil {
		a.endpoint.inFlight.Add(-1)
		a.endpoint = nil
	}
}

// choose picks an endpoint and counts the request there, after waiting for one where there is none.
func (a *Attempt) choose(ctx context.Context) *Endpoint {
	endpoint := pick(a.Route.Endpoints, a.tried)
	if endpoint == nil {
		endpoint = a.await(ctx)
	}
	if endpoint == nil {
		return nil
	}
	a.Done()
	a.endpoint = endpoint
	endpoint.inFlight.Add(1)
	return endpoint
}

func (a *Attempt) await(ctx context.Context) *Endpoint {
	if a.began.IsZero() {
		a.began = time.Now()
	}
	ctx, cancel := context.WithDeadline(ctx, a.began.Add(a.Wait))
	defer cancel()
	for {
		route := a.Table.wait(ctx, a.Route.Service, a.tried)
		// Whether the caller may call was decided by the route as it was: one that became stricter is not for him.
		if route == nil || !a.admitted(route) {
			return nil
		}
		a.Route = route
		if endpoint := pick(route.Endpoints, a.tried); endpoint != nil {
			return endpoint
		}
	}
}

func (a *Attempt) admitted(by *Route) bool {
	switch {
	case by.Access == release.Public:
		return true
	case a.Preflight:
		return by.Preflight == release.Public
	}
	return by.Access == a.Route.Access
}

// again copies a request for another try: what the transport may still hold of the first must not change under it.
func again(r *http.Request) *http.Request {
	c, u := r.WithContext(r.Context()), *r.URL
	c.URL = &u
	return c
}

// guarded is a body that remembers whether any of it was read, and stays open when a transport closes it: the server that
// received it closes it in the end.
type guarded struct {
	io.Reader
	read atomic.Bool
}

func (g *guarded) Read(p []byte) (int, error) {
	g.read.Store(true)
	return g.Reader.Read(p)
}

func (g *guarded) Close() error { return nil }

func guard(r *http.Request) *guarded {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	g := &guarded{Reader: r.Body}
	r.Body, r.GetBody = g, nil
	return g
}

func repeatable(r *http.Request, body *guarded, err error) bool {
	if body != nil && body.read.Load() {
		return false
	}
	return Unreached(err) || (idempotent(r.Method) && broke(err))
}

// Unreached reports whether the error means that no connection was made, so that nobody has seen the request.
func Unreached(err error) bool {
	var d *dialError
	return errors.As(err, &d)
}

func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// broke reports whether the connection broke, as against a time limit or an answer that makes no sense.
func broke(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		err.Error() == "http: server closed idle connection" // net/http keeps the value to itself
}

// Retries is how often the request was sent again.
func (a *Attempt) Retries() int { return len(a.tried) }
