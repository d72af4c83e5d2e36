// Package webhook is the channel that calls other systems: a signed POST of JSON to a URL that a policy names.
//
// URLs are strangers' text, so that what lies inside the platform's network is never called unless whoever runs the platform lists it: what
// a name resolves to is looked at when it is dialled, redirects are not followed, and no proxy is used.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/inside"
)

// The headers of a webhook. Signature is "v1=" and the hexadecimal HMAC-SHA256, under the shared secret, of the timestamp, a dot, and the
// body; a receiver takes no timestamp that is older than five minutes.
const (
	KeyHeader       = "Idempotency-Key" // the page's key
	TimestampHeader = "M3O-Timestamp"   // Unix seconds
	SignatureHeader = "M3O-Signature"
)

// Config is how webhooks are sent.
type Config struct {
	Secret    string      // shared with receivers
	Allow     inside.List // what may be called although it lies inside our network; there, and there alone, without TLS too
	Transport func(http.RoundTripper) http.RoundTripper
}

// Adapter implements channel.Adapter. It is safe for concurrent use.
type Adapter struct {
	Config
	client *http.Client
}

// Event is the body of a webhook. Further fields may come.
type Event struct {
	Key      string            `json:"key"`
	Kind     alert.PageKind    `json:"kind"`
	Project  string            `json:"project"`
	Alert    int64             `json:"alert,omitempty"`
	Title    string            `json:"title"`
	Severity alert.Severity    `json:"severity,omitempty"`
	Status   alert.Status      `json:"status,omitempty"`
	By       string            `json:"by,omitempty"`
	Lines    []string          `json:"lines,omitempty"`
	More     int               `json:"more,omitempty"`
	Firing   int               `json:"firing,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Drill    bool              `json:"drill,omitempty"`
	At       time.Time         `json:"at"`
}

// New makes an adapter.
func New(c Config) (*Adapter, error) {
	if len(c.Secret) < 16 {
		return nil, fault.New(fault.Invalid, "the secret of webhooks must have at least 16 characters")
	}
	a := &Adapter{Config: c}
	var transport http.RoundTripper = &http.Transport{DialContext: a.dial, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 64 << 10}
	if c.Transport != nil {
		transport = c.Transport(transport)
	}
	a.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return a, nil
}

func (a *Adapter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return a.Allow.Dial(ctx, network, address, func(address string) error {
		return fault.New(fault.Denied, "%s lies inside the platform's network, which webhooks do not call; whoever runs the platform can allow it (M3O_WEBHOOK_ALLOW)", address)
	})
}

// Send implements channel.Adapter.
func (a *Adapter) Send(ctx context.Context, p alert.Page) (alert.Receipt, error) {
	c := p.Content
	event := Event{Key: p.Key, Kind: p.Kind, Project: p.Project, Alert: p.Alert, Title: channel.Line(c.Title, channel.MaxTitle), Severity: c.Severity, Status: c.Status,
		By: channel.Line(c.By, channel.MaxTitle), More: c.More, Firing: c.Firing, Labels: map[string]string{}, Drill: c.Drill, At: c.At}
	for _, line := range c.Lines {
		event.Lines = append(event.Lines, channel.Line(line, channel.MaxLine))
	}
	for name, value := range c.Labels {
		event.Labels[channel.Line(name, alert.MaxLabel)] = channel.Line(value, alert.MaxLabel)
	}
	return a.post(ctx, p.Contact.Address, p.Key, event)
}

// Tell implements channel.Adapter.
func (a *Adapter) Tell(ctx context.Context, t alert.Text) (alert.Receipt, error) {
	return a.post(ctx, t.To, t.Key, Event{Key: t.Key, Kind: alert.PageNotice, Title: t.Text, At: time.Now().UTC()})
}

func (a *Adapter) post(ctx context.Context, to, key string, event Event) (alert.Receipt, error) {
	target, err := a.target(to)
	if err != nil {
		return alert.Receipt{}, err
	}
	body, err := json.Marshal(event)
	if err != nil {
		return alert.Receipt{}, err
	}
	now := time.Now().UTC()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return alert.Receipt{}, fault.New(fault.Invalid, "the webhook's URL cannot be called")
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "m3o-alerts")
	r.Header.Set(KeyHeader, channel.Line(key, 255))
	r.Header.Set(TimestampHeader, stamp)
	r.Header.Set(SignatureHeader, Sign(a.Secret, stamp, body))
	answer, err := a.client.Do(r)
	if err != nil {
		return alert.Receipt{}, unreached(target, err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection can be used again
	if err := judge(target, answer); err != nil {
		return alert.Receipt{}, err
	}
	return alert.Receipt{Channel: alert.Webhook, ID: key, State: alert.Delivered, At: now}, nil
}

// Sign is the signature of a body that is sent at stamp.
func Sign(secret, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s.%s", stamp, body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

// target is the URL of a webhook: over TLS, but for what is allowed inside.
func (a *Adapter) target(to string) (*url.URL, error) {
	u, err := url.Parse(to)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fault.New(fault.Invalid, "the webhook's URL is none such as https://example.com/alerts")
	}
	if u.Scheme == "http" && !a.allowed(u) {
		return nil, fault.New(fault.Denied, "the webhook at %s is not https: alerts are not sent in the clear", u.Host)
	}
	return u, nil
}

func (a *Adapter) allowed(u *url.URL) bool {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return a.Allow.Names(net.JoinHostPort(u.Hostname(), port)) || err == nil && a.Allow.Lists(ip)
}

// unreached says why there was no answer. The URL's path may hold a secret, and is not told.
func unreached(target *url.URL, err error) error {
	var refused *fault.Error
	if errors.As(err, &refused) {
		return refused
	}
	var called *url.Error
	if errors.As(err, &called) {
		err = called.Err
	}
	return fault.Wrap(fault.Unavailable, err, "the webhook at %s cannot be reached", target.Host)
}

// judge says in fault's kinds what the receiver answered.
func judge(target *url.URL, answer *http.Response) error {
	switch status := answer.StatusCode; {
	case status >= 200 && status < 300:
		return nil
	case status >= 300 && status < 400:
		return fault.New(fault.Failed, "the webhook at %s sends us elsewhere (%d), and redirects are not followed: name the URL itself", target.Host, status)
	case status == http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(strings.TrimSpace(answer.Header.Get("Retry-After"))) // 0: it does not say
		return &fault.Error{Kind: fault.Throttled, Message: fmt.Sprintf("the webhook at %s takes no more for the moment (429)", target.Host),
			RetryAfter: time.Duration(min(max(seconds, 1), 3600)) * time.Second}
	case status >= 500 || status == http.StatusRequestTimeout || status == http.StatusConflict:
		return fault.New(fault.Unavailable, "the webhook at %s answered %d", target.Host, status)
	case status == http.StatusGone:
		return fault.New(fault.NotFound, "the webhook at %s is gone (410)", target.Host)
	default:
		return fault.New(fault.Failed, "the webhook at %s refused: %d", target.Host, status)
	}
}
