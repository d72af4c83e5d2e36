package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel"
	"github.com/m3o/platform/internal/channel/channeltest"
	"github.com/m3o/platform/internal/channel/webhook"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/inside"
)

const secret = "a secret that receivers know"

// receiver is somebody else's system.
type receiver struct {
	t       *testing.T
	server  *httptest.Server
	adapter *webhook.Adapter

	mu    sync.Mutex
	calls []channeltest.Message
	next  func(http.ResponseWriter, *http.Request)
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t}
	r.server = httptest.NewServer(r)
	t.Cleanup(func() { r.server.CloseClientConnections(); r.server.Close() })
	r.adapter = adapter(t, strings.TrimPrefix(r.server.URL, "http://"))
	return r
}

func adapter(t *testing.T, allow string) *webhook.Adapter {
	t.Helper()
	allowed, err := inside.Parse(allow)
	if err != nil {
		t.Fatal(err)
	}
	a, err := webhook.New(webhook.Config{Secret: secret, Allow: allowed})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	if got, want := req.Header.Get(webhook.SignatureHeader), webhook.Sign(secret, req.Header.Get(webhook.TimestampHeader), body); got != want || req.Method != http.MethodPost {
		r.t.Errorf("%s is signed %s, not %s", req.Method, got, want)
	}
	r.mu.Lock()
	next := r.next
	r.next = nil
	take := func() {
		r.calls = append(r.calls, channeltest.Message{ID: req.Header.Get(webhook.KeyHeader), To: r.server.URL + req.URL.Path, Text: string(body)})
	}
	if next == nil {
		take()
	}
	r.mu.Unlock()
	if next != nil {
		next(w, req)
	}
}

func (r *receiver) Adapter() channel.Adapter { return r.adapter }

func (r *receiver) Contact() alert.Contact {
	return alert.Contact{Channel: alert.Webhook, Address: r.server.URL + "/alerts"}
}

func (r *receiver) Sent() []channeltest.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]channeltest.Message(nil), r.calls...)
}

func (r *receiver) Next(trouble channeltest.Trouble) {
	r.mu.Lock()
	defer r.mu.Unlock()
	answers := map[channeltest.Trouble]int{channeltest.Refused: 403, channeltest.Gone: 410, channeltest.Busy: 503}
	switch trouble {
	case channeltest.Silent:
		r.next = func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }
	case channeltest.Lost:
		r.next = func(_ http.ResponseWriter, req *http.Request) {
			r.mu.Lock()
			r.calls = append(r.calls, channeltest.Message{ID: req.Header.Get(webhook.KeyHeader), To: r.server.URL + req.URL.Path})
			r.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
	default:
		r.next = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(answers[trouble]) }
	}
}

func TestConformance(t *testing.T) {
	channeltest.Run(t, func(t *testing.T) channeltest.Provider { return newReceiver(t) })
}

func paged(to string) alert.Page {
	return alert.Page{Key: "shop/12/trigger/1/hook", Project: "shop", Alert: 12, Kind: alert.PageTrigger, Contact: alert.Contact{Channel: alert.Webhook, Address: to},
		Content: alert.Content{Title: "disk full", Severity: alert.Critical, At: time.Now()}}
}

func TestAWebhookIsJSON(t *testing.T) {
	r := newReceiver(t)
	if _, err := r.adapter.Send(t.Context(), paged(r.Contact().Address)); err != nil {
		t.Fatal(err)
	}
	var event webhook.Event
	if err := json.Unmarshal([]byte(r.calls[0].Text), &event); err != nil || event.Key != "shop/12/trigger/1/hook" || event.Title != "disk full" || event.Kind != alert.PageTrigger || event.Alert != 12 {
		t.Errorf("%+v, %v", event, err)
	}
}

// Whoever writes a policy has us call no address inside our network, however it is written: nothing is dialled.
func TestNothingInsideIsCalled(t *testing.T) {
	var dialled atomic.Int64
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			dialled.Add(1)
			conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	a := adapter(t, "10.9.9.9:1")
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "[::]", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
		"[fd00:ec2::254]", "[fe80::1]", "100.100.100.200", "168.63.129.16", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::1]", "[::127.0.0.1]", "224.0.0.1"} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		began := time.Now()
		_, err := a.Send(ctx, paged("https://"+host+":"+port+"/x"))
		cancel()
		if !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %s %v", host, fault.Of(err), err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s takes %s: something was dialled", host, took)
		}
	}
	if n := dialled.Load(); n != 0 {
		t.Errorf("%d connections came in", n)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	r := newReceiver(t)
	var called atomic.Int64
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Add(1) }))
	defer inner.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		r.next = func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, inner.URL, status) }
		if _, err := r.adapter.Send(t.Context(), paged(r.Contact().Address)); !fault.Is(err, fault.Failed) || !strings.Contains(fault.Message(err), "redirects are not followed") {
			t.Errorf("%d: %v", status, err)
		}
	}
	if called.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestURLsAreChecked(t *testing.T) {
	a := adapter(t, "127.0.0.1:1")
	for to, kind := range map[string]fault.Kind{"http://hooks.example.com/x": fault.Denied, "ftp://hooks.example.com/": fault.Invalid, "hooks.example.com": fault.Invalid, "": fault.Invalid, "https://": fault.Invalid,
		"https://hooks.example.com:port/": fault.Invalid, "file:///etc/passwd": fault.Invalid, "http://127.0.0.1:2/": fault.Denied} {
		if _, err := a.Send(t.Context(), paged(to)); !fault.Is(err, kind) {
			t.Errorf("%q: %s %v", to, fault.Of(err), err)
		}
	}
	if _, err := webhook.New(webhook.Config{Secret: "short"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a short secret: %v", err)
	}
}

func TestWhatReceiversRefuse(t *testing.T) {
	r := newReceiver(t)
	for status, kind := range map[int]fault.Kind{400: fault.Failed, 401: fault.Failed, 404: fault.Failed, 408: fault.Unavailable, 410: fault.NotFound, 429: fault.Throttled, 500: fault.Unavailable} {
		r.next = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "5")
			w.WriteHeader(status)
		}
		_, err := r.adapter.Send(t.Context(), paged(r.Contact().Address+"?token=hidden"))
		if !fault.Is(err, kind) || strings.Contains(fmt.Sprint(err), "hidden") {
			t.Errorf("%d is %s: %v", status, fault.Of(err), err)
		}
	}
	r.server.Close()
	if _, err := r.adapter.Send(t.Context(), paged(r.Contact().Address+"?token=hidden")); !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("nobody listens: %v", err)
	}
}
