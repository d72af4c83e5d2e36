package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
)

// script answers requests one after the other, and remembers their idempotency keys.
type script struct {
	mu    sync.Mutex
	keys  []string
	steps []http.HandlerFunc
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	step := s.steps[min(len(s.keys), len(s.steps)-1)]
	s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
	s.mu.Unlock()
	step(w, r)
}

func (s *script) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys)
}

func scripted(t *testing.T, steps ...http.HandlerFunc) (*client.Client, *script) {
	t.Helper()
	s := &script{steps: steps}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return &client.Client{Base: server.URL, Token: "t", Patience: 5 * time.Second}, s
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// breaksOff sends half an answer.
func breaksOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	io.WriteString(w, `{"id":`)
	panic(http.ErrAbortHandler)
}

func TestAChangeIsSentAgainUnderOneKey(t *testing.T) {
	for name, failure := range map[string]http.HandlerFunc{
		"503": says(503, "{}"), "502": says(502, "{}"), "500": says(500, "{}"), "broken": breaksOff,
		"no answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			c, s := scripted(t, failure, failure, says(202, `{"id":"run-1","url":"/there"}`))
			var waits atomic.Int32
			c.Waiting = func(d client.Delay) {
				if d.Err == nil || d.Left <= 0 || d.Pause <= 0 {
					t.Errorf("%+v", d)
				}
				waits.Add(1)
			}
			started, err := c.ApplyPlan(t.Context(), "abc")
			if err != nil || started.ID != "run-1" {
				t.Fatalf("%+v %v", started, err)
			}
			if len(s.keys) != 3 || s.keys[0] == "" || s.keys[0] != s.keys[1] || s.keys[1] != s.keys[2] || waits.Load() != 2 {
				t.Errorf("keys %q, %d waits", s.keys, waits.Load())
			}
			if _, err := c.ApplyPlan(t.Context(), "abc"); err != nil || s.keys[3] == s.keys[0] {
				t.Errorf("a second change has the first one's key: %q %v", s.keys, err)
			}
		})
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	throttled := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "1")
		says(429, `{"type":"urn:m3o:problem:throttled","detail":"slower"}`)(w, r)
	}
	c, s := scripted(t, throttled, says(200, `{"items":[]}`))
	began := time.Now()
	if _, err := c.Regions(t.Context(), ""); err != nil || s.asked() != 2 || time.Since(began) < time.Second {
		t.Errorf("%v after %s and %d requests", err, time.Since(began), s.asked())
	}
	c, s = scripted(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "600")
		says(429, `{"type":"urn:m3o:problem:throttled","detail":"come back tomorrow"}`)(w, r)
	})
	if _, err := c.Regions(t.Context(), ""); !fault.Is(err, fault.Throttled) || s.asked() != 1 {
		t.Errorf("%v after %d requests: ten minutes are beyond the caller's patience", err, s.asked())
	}
}

func TestRefusalsAreNotRepeatedAndSayAllThatIsWrong(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		kind   fault.Kind
		text   string
	}{
		{404, `{"type":"urn:m3o:problem:not_found","detail":"there is no region \"x\""}`, fault.NotFound, `there is no region "x"`},
		{409, `{"type":"urn:m3o:problem:quota","detail":"3 of 3 are in use"}`, fault.Quota, "3 of 3 are in use"},
		{409, `{"detail":"the plan is stale"}`, fault.Conflict, "the plan is stale"},
		{422, `{"title":"Unprocessable Entity","detail":"validation failed","errors":[{"location":"body.port","message":"expected integer","value":"x"}]}`, fault.Invalid, `body.port: expected integer (it is "x")`},
		{422, `{"type":"urn:m3o:problem:invalid","detail":"a: b; c: d","errors":[{"location":"a","message":"b"},{"location":"c","message":"d"}]}`, fault.Invalid, "2 things are wrong:\n  a: b\n  c: d"},
		{400, `{"detail":"request body is not JSON"}`, fault.Invalid, "request body is not JSON"},
		{401, `{}`, fault.Unauthenticated, "401 Unauthorized"},
		{403, `<html>`, fault.Denied, "403 Forbidden"},
		{301, ``, fault.Unknown, "301 Moved Permanently"},
	} {
		api, s := scripted(t, says(c.status, c.body))
		_, err := api.Region(t.Context(), "x")
		if !fault.Is(err, c.kind) || fault.Message(err) != c.text || s.asked() != 1 {
			t.Errorf("%d %s: %s %q after %d requests", c.status, c.body, fault.Of(err), fault.Message(err), s.asked())
		}
	}
}

func TestAnswersAreBoundedAndChecked(t *testing.T) {
	api, s := scripted(t, says(200, `<html>`))
	if _, err := api.Regions(t.Context(), ""); !fault.Is(err, fault.Invalid) || s.asked() != 1 {
		t.Errorf("%v after %d requests", err, s.asked())
	}
	api, _ = scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 17 << 10 {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	})
	if _, err := api.Regions(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%v", err)
	}
}

func TestAnAPIThatIsStartedAgainIsWaitedFor(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	server := &http.Server{Handler: says(200, `{"items":[{"name":"lon1"}]}`)}
	go server.Serve(listener)
	c := &client.Client{Base: "http://" + address, Token: "t", FirstContact: 200 * time.Millisecond, Patience: 10 * time.Second}
	if _, err := c.Regions(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	server.Close()
	go func() {
		time.Sleep(time.Second)
		again, err := net.Listen("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		server = &http.Server{Handler: says(200, `{"items":[{"name":"nyc3"}]}`)}
		t.Cleanup(func() { server.Close() })
		_ = server.Serve(again)
	}()
	if lines, err := c.Regions(t.Context(), ""); err != nil || len(lines) != 1 || lines[0].Name != "nyc3" {
		t.Errorf("%+v %v", lines, err)
	}
	// One that never answered is given up soon.
	stranger := &client.Client{Base: "http://127.0.0.1:1", Token: "t", FirstContact: 300 * time.Millisecond}
	began := time.Now()
	if _, err := stranger.Regions(t.Context(), ""); !fault.Is(err, fault.Unavailable) || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

func TestACallerWhoGivesUpIsLetGo(t *testing.T) {
	c, _ := scripted(t, says(503, "{}"))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	if _, err := c.Regions(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestListsAreReadToTheEnd(t *testing.T) {
	var cursors []string
	page := func(next string, names ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			cursors = append(cursors, r.URL.Query().Get("cursor"))
			items := make([]string, len(names))
			for i, n := range names {
				items[i] = fmt.Sprintf(`{"key":{"name":%q}}`, n)
			}
			says(200, fmt.Sprintf(`{"items":[%s],"next":%q}`, strings.Join(items, ","), next))(w, r)
		}
	}
	c, _ := scripted(t, page("two", "a", "b"), page("three", "c"), page("", "d"))
	list, err := c.Services(t.Context())
	if err != nil || len(list) != 4 || list[3].Key.Name != "d" || strings.Join(cursors, ",") != ",two,three" {
		t.Errorf("%+v %v, cursors %q", list, err, cursors)
	}
}

func TestEventsGoOnAfterTheLastOneSeen(t *testing.T) {
	var from []string
	stream := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			from = append(from, r.URL.Query().Get("after")+r.Header.Get("Last-Event-ID"))
			io.WriteString(w, text)
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	c, _ := scripted(t, stream(": still here\n\nid: 1\nevent: a\ndata: {\"seq\":1,\"kind\":\"a\"}\n\nid: 2\nevent: b\ndata: {\"se"),
		says(503, "{}"), stream("id: 2\nevent: b\ndata: {\"seq\":2,\ndata: \"kind\":\"b\"}\n\n"))
	enough := errors.New("enough")
	var kinds []string
	err := c.Events(t.Context(), 0, func(e event.Event) error {
		if kinds = append(kinds, e.Kind); len(kinds) == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || strings.Join(kinds, "") != "ab" || strings.Join(from, ",") != "0,1" {
		t.Errorf("%v: %q from %q", err, kinds, from)
	}
	c, _ = scripted(t, stream("data: nonsense\n\n"))
	if err := c.Events(t.Context(), client.Now, func(event.Event) error { return nil }); !fault.Is(err, fault.Invalid) {
		t.Errorf("%v", err)
	}
}

func TestABuildLogIsGoneOnWithWhereItBrokeOff(t *testing.T) {
	part := func(text string, whole bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("follow") != "true" || r.URL.Query().Get("project") != "shop" {
				t.Errorf("%s", r.URL)
			}
			io.WriteString(w, text)
			http.NewResponseController(w).Flush()
			if !whole {
				panic(http.ErrAbortHandler)
			}
		}
	}
	c, _ := scripted(t, part("one\ntw", false), part("one\n", false), part("one\ntwo\nthree\n", true))
	c.Project = "shop"
	var log strings.Builder
	if err := c.BuildLog(t.Context(), "hello", 1, true, &log); err != nil || log.String() != "one\ntwo\nthree\n" {
		t.Errorf("%q %v", log.String(), err)
	}
	c, s := scripted(t, says(404, `{"type":"urn:m3o:problem:not_found","detail":"there is no log"}`))
	if err := c.BuildLog(t.Context(), "hello", 1, true, &log); !fault.Is(err, fault.NotFound) || s.asked() != 1 {
		t.Errorf("%v", err)
	}
}

func TestASourceIsSentWholeAndOnlyWhenItIsAskedFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "source.tar.gz")
	if err := os.WriteFile(file, []byte(strings.Repeat("x", 1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	reads := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			data, _ := io.ReadAll(r.Body)
			sizes = append(sizes, len(data))
			says(status, body)(w, r)
		}
	}
	c, _ := scripted(t, reads(503, "{}"), reads(201, `{"digest":"sha256:1"}`))
	if err := c.PutSource(t.Context(), "sha256:1", file); err != nil || len(sizes) != 2 || sizes[0] != 1<<20 || sizes[1] != 1<<20 {
		t.Errorf("%v: %v", err, sizes)
	}
	// A server that has it answers without asking for the body; what has crossed the wire is the head alone.
	var received atomic.Int64
	server := httptest.NewUnstartedServer(says(201, `{"digest":"sha256:1"}`))
	server.Listener = countingListener{server.Listener, &received}
	server.Start()
	defer server.Close()
	known := &client.Client{Base: server.URL, Token: "t"}
	if err := known.PutSource(t.Context(), "sha256:1", file); err != nil || received.Load() > 4<<10 {
		t.Errorf("%v: %d bytes were sent", err, received.Load())
	}
	c, _ = scripted(t, says(201, `{"digest":"sha256:2"}`))
	if err := c.PutSource(t.Context(), "sha256:1", file); err == nil {
		t.Error("another digest was taken for ours")
	}
}

type countingListener struct {
	net.Listener
	n *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countingConn{c, l.n}, err
}

type countingConn struct {
	net.Conn
	n *atomic.Int64
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func TestKubeconfigsSealedToAnotherAreRefused(t *testing.T) {
	c, _ := scripted(t, says(200, `{"sealed":"bm90IHNlYWxlZA=="}`))
	if _, err := c.Kubeconfig(t.Context(), "lon1", client.KubeconfigOptions{}); err == nil || !strings.Contains(err.Error(), "not sealed") {
		t.Errorf("%v", err)
	}
}
