package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// How long a request is tried: Patience once the API has answered something, FirstContact before that, when it may simply
// not be running.
const (
	Patience     = 2 * time.Minute
	FirstContact = 3 * time.Second
)

// maxAnswer bounds the JSON of one answer.
const maxAnswer = 16 << 20

// How long one attempt may take: a look, and a change that workflows and clouds are asked about.
const (
	lookLimit   = 30 * time.Second
	changeLimit = 4 * time.Minute
)

// Client calls the API as one caller. Base must be set, and Token for everything but Login; it may be used by many goroutines once it is.
type Client struct {
	Base    string // "http://127.0.0.1:8080"
	Token   string
	Project string       // empty: the caller's own, or default
	HTTP    *http.Client // nil: a client of ours

	Patience     time.Duration // 0: the constant of that name
	FirstContact time.Duration
	Waiting      func(Delay) // told before every pause; may be nil

	met atomic.Bool // the API has answered
}

// Delay tells that a request has to wait, and why.
type Delay struct {
	Attempt int
	Err     error
	Pause   time.Duration
	Left    time.Duration // until it is given up
}

var ours = newHTTP()

func newHTTP() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	transport.ExpectContinueTimeout = 3 * time.Second
	transport.MaxIdleConnsPerHost = 16
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (c *Client) http() *http.Client {
	if c.HTTP != nil {
		return c.HTTP
	}
	return ours
}

// request is one request, whatever becomes of its attempts.
type request struct {
	method, path string
	query        url.Values
	header       http.Header
	body         func() (io.ReadCloser, int64, error) // opened anew for every attempt
	within       time.Duration                        // for one attempt; 0: no limit, for streams
	stream       bool                                 // an answer that breaks off is not asked for again
}

// do makes the request until it is answered, and hands the answer to use if it is no failure.
func (c *Client) do(ctx context.Context, r request, use func(*http.Response) error) error {
	key := ""
	if r.method == http.MethodPost || r.method == http.MethodDelete {
		key = rand.Text()
	}
	began := time.Now()
	for attempt := 1; ; attempt++ {
		miss := c.attempt(ctx, r, key, use)
		if miss == nil || miss.final || ctx.Err() != nil {
			return miss.reason(ctx)
		}
		left := c.patience(miss) - time.Since(began)
		pause := miss.pause(attempt)
		if left < pause {
			return miss.reason(ctx)
		}
		if c.Waiting != nil {
			c.Waiting(Delay{Attempt: attempt, Err: miss.err, Pause: pause, Left: left})
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func (c *Client) patience(m *miss) time.Duration {
	switch {
	case m.limit > 0:
		return m.limit
	case !c.met.Load():
		return or(c.FirstContact, FirstContact)
	}
	return or(c.Patience, Patience)
}

func or(given, otherwise time.Duration) time.Duration {
	if given > 0 {
		return given
	}
	return otherwise
}

// attempt sends the request once.
func (c *Client) attempt(ctx context.Context, r request, key string, use func(*http.Response) error) *miss {
	if r.within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.within)
		defer cancel()
	}
	req, err := c.prepare(ctx, r, key)
	if err != nil {
		return &miss{err: err, final: true}
	}
	resp, err := c.http().Do(req)
	if err != nil {
		return c.unanswered(err)
	}
	defer resp.Body.Close()
	c.met.Store(true)
	if resp.StatusCode >= 300 {
		return refused(resp)
	}
	if err := use(resp); err != nil {
		var broken *brokenError
		return &miss{err: err, final: r.stream || !errors.As(err, &broken)}
	}
	return nil
}

func (c *Client) prepare(ctx context.Context, r request, key string) (*http.Request, error) {
	target := strings.TrimSuffix(c.Base, "/") + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, nil)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%q is not the address of an API", c.Base)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	req.Header.Set("User-Agent", "m3o")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if r.body != nil {
		if req.Body, req.ContentLength, err = r.body(); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// look asks for JSON.
func (c *Client) look(ctx context.Context, path string, query url.Values, into any) error {
	return c.do(ctx, request{method: http.MethodGet, path: path, query: query, within: lookLimit}, c.decode(into))
}

// change sends JSON, and reads the JSON that comes back.
func (c *Client) change(ctx context.Context, method, path string, query url.Values, body, into any) error {
	return c.send(ctx, method, path, query, body, c.decode(into))
}

func (c *Client) send(ctx context.Context, method, path string, query url.Values, body any, use func(*http.Response) error) error {
	r := request{method: method, path: path, query: query, within: changeLimit, header: http.Header{}}
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("write the request: %w", err)
		}
		r.header.Set("Content-Type", "application/json")
		r.body = func() (io.ReadCloser, int64, error) {
			return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
		}
	}
	return c.do(ctx, r, use)
}

// command sends a change whose answer has nothing to read.
func (c *Client) command(ctx context.Context, method, path string, body any) error {
	return c.commandIn(ctx, method, path, nil, body)
}

// commandIn does so with a query.
func (c *Client) commandIn(ctx context.Context, method, path string, query url.Values, body any) error {
	return c.send(ctx, method, path, query, body, func(*http.Response) error { return nil })
}

// brokenError is an answer that ended too early: asking again may help.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return "the answer broke off: " + e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

func (c *Client) decode(into any) func(*http.Response) error {
	return func(resp *http.Response) error {
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
		switch {
		case err != nil:
			return &brokenError{err}
		case len(data) > maxAnswer:
			return fault.New(fault.Invalid, "the answer of %s is larger than %d bytes", c.Base, maxAnswer)
		}
		if err := json.Unmarshal(data, into); err != nil {
			return fault.Wrap(fault.Invalid, err, "the answer of %s is not what this version expects: is it the API of m3o?", c.Base)
		}
		return nil
	}
}

func (c *Client) inProject() url.Values {
	if c.Project == "" {
		return url.Values{}
	}
	return url.Values{"project": {c.Project}}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// pages reads every page of a list, up to most items.
func pages[T any](ctx context.Context, c *Client, path string, query url.Values, most int) ([]T, error) {
	all := []T{}
	for {
		var page struct {
			Items []T    `json:"items"`
			Next  string `json:"next"`
		}
		query.Set("limit", fmt.Sprint(min(200, most-len(all))))
		if err := c.look(ctx, path, query, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" || len(all) >= most || len(page.Items) == 0 {
			return all, nil
		}
		query.Set("cursor", page.Next)
	}
}
