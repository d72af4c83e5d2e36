package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// miss is an attempt that brought nothing.
type miss struct {
	err   error
	final bool          // another attempt would bring the same
	after time.Duration // the API said when to come back
	limit time.Duration // how long attempts make sense, when it is less than the caller's patience
}

// reason is what the caller is told: that it gave up itself, if so. A nil miss is success.
func (m *miss) reason(ctx context.Context) error {
	switch {
	case m == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return m.err
}

// How attempts are spaced: quickly at first, for an API that is being started again, and never all at once.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 2 * time.Second
)

func (m *miss) pause(attempt int) time.Duration {
	if m.after > 0 {
		return m.after
	}
	pause := min(maxPause, firstPause<<min(attempt-1, 10))
	return pause/2 + rand.N(pause/2+1)
}

// unanswered explains a request that got no answer.
func (c *Client) unanswered(err error) *miss {
	var certificate *tls.CertificateVerificationError
	var unknown *net.DNSError
	var wrapped *url.Error
	cause := err
	if errors.As(err, &wrapped) {
		cause = wrapped.Err
	}
	switch {
	case errors.As(err, &certificate):
		return &miss{err: fault.Wrap(fault.Unavailable, cause, "the certificate of %s is not trusted", c.Base), final: true}
	case errors.As(err, &unknown) && unknown.IsNotFound:
		return &miss{err: fault.Wrap(fault.Unavailable, cause, "the API at %s cannot be found", c.Base), final: true}
	case strings.Contains(cause.Error(), "unsupported protocol scheme"), strings.Contains(cause.Error(), "no Host in request URL"):
		return &miss{err: fault.New(fault.Invalid, "%q is not the address of an API, such as http://127.0.0.1:8080", c.Base), final: true}
	case strings.Contains(cause.Error(), "malformed HTTP response"):
		return &miss{err: fault.Wrap(fault.Unavailable, cause, "what answers at %s does not speak HTTP", c.Base), final: true}
	}
	return &miss{err: fault.Wrap(fault.Unavailable, cause, "the API at %s does not answer", c.Base)}
}

// document is a problem document (RFC 9457), as the API and the gateways write it.
type document struct {
	Type     string   `json:"type"`
	Title    string   `json:"title"`
	Detail   string   `json:"detail"`
	Errors   []detail `json:"errors"`
	Services []string `json:"services"`
}

type detail struct {
	Location string `json:"location"`
	Message  string `json:"message"`
	Value    any    `json:"value"`
}

// maxProblem bounds what is read of a failure's body.
const maxProblem = 64 << 10

const kindPrefix = "urn:m3o:problem:"

// statusKinds are the kinds of failures that do not name theirs.
var statusKinds = map[int]fault.Kind{
	http.StatusBadRequest: fault.Invalid, http.StatusUnprocessableEntity: fault.Invalid, http.StatusRequestEntityTooLarge: fault.Invalid,
	http.StatusUnsupportedMediaType: fault.Invalid, http.StatusUnauthorized: fault.Unauthenticated, http.StatusForbidden: fault.Denied,
	http.StatusNotFound: fault.NotFound, http.StatusConflict: fault.Conflict, http.StatusTooManyRequests: fault.Throttled,
	http.StatusBadGateway: fault.Unavailable, http.StatusServiceUnavailable: fault.Unavailable, http.StatusGatewayTimeout: fault.Unavailable,
}

// refused turns an answer that is a failure into a fault in the API's words.
func refused(resp *http.Response) *miss {
	f := Problem(resp)
	m := &miss{err: f, final: true, after: f.RetryAfter}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		m.final = false
	case http.StatusInternalServerError:
		m.final, m.limit = false, 15*time.Second
	case http.StatusConflict:
		m.final = f.RetryAfter == 0 // one that names a time is about the moment, not about the request
	}
	return m
}

// Problem reads what a failed answer says. It reads the body, bounded.
func Problem(resp *http.Response) *fault.Error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	var d document
	if err != nil || json.Unmarshal(data, &d) != nil {
		d = document{Detail: plainText(resp, data)}
	}
	kind := fault.Kind(strings.TrimPrefix(d.Type, kindPrefix))
	if !strings.HasPrefix(d.Type, kindPrefix) || kind == "" {
		kind = kindOf(resp.StatusCode)
	}
	f := fault.New(kind, "%s", d.words(resp.Status))
	for _, e := range d.Errors {
		f.Problems = append(f.Problems, fault.Problem{Field: e.Location, Message: e.words()})
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		f.RetryAfter = max(time.Second, time.Duration(min(seconds, 3600))*time.Second)
	}
	return f
}

func kindOf(status int) fault.Kind {
	if kind, ok := statusKinds[status]; ok {
		return kind
	}
	return fault.Unknown
}

// plainText is the first line of a body that is no problem document, if it is text for people.
func plainText(resp *http.Response, data []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(data)), "\n")
	if line == "" || len(line) > 500 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		return resp.Status
	}
	return resp.Status + ": " + line
}

// words is the whole of the document for a reader: what is wrong with each field, where it is about fields.
func (d document) words(status string) string {
	text := d.Detail
	if text == "" {
		text = or2(d.Title, status)
	}
	if len(d.Errors) == 0 {
		return text
	}
	lines := make([]string, len(d.Errors))
	for i, e := range d.Errors {
		lines[i] = e.words()
		if e.Location != "" {
			lines[i] = e.Location + ": " + lines[i]
		}
	}
	if len(lines) == 1 {
		return lines[0]
	}
	return fmt.Sprintf("%d things are wrong:\n  %s", len(lines), strings.Join(lines, "\n  "))
}

func or2(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// words names the rule and, where the API tells it, the value that breaks it.
func (e detail) words() string {
	if e.Value == nil {
		return e.Message
	}
	value, err := json.Marshal(e.Value)
	if err != nil || len(value) > 80 {
		return e.Message
	}
	return fmt.Sprintf("%s (it is %s)", e.Message, value)
}
