package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/m3o/platform/internal/release"
)

// dial opens a bare connection to the gateway.
func (w *world) dial() net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	return conn
}

func TestSlowSendersAreCutOff(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.HeaderWait, c.BodyWait = 200*time.Millisecond, 200*time.Millisecond })
	w.service(greet, release.Public)
	w.run(greet, 1, address(program(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })), public)
	w.awaitReady()

	header := w.dial()
	fmt.Fprint(header, "GET /hello/ HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	began := time.Now()
	if rest, err := io.ReadAll(header); err != nil || strings.Contains(string(rest), "200 OK") || time.Since(began) > 5*time.Second {
		t.Errorf("a header that does not come: %q, %v after %s", rest, err, time.Since(began))
	}

	body := w.dial()
	fmt.Fprint(body, "POST /hello/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12")
	got, err := http.ReadResponse(bufio.NewReader(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if got.StatusCode != http.StatusRequestTimeout || got.Header.Get("Content-Type") != "application/problem+json" {
		words, _ := io.ReadAll(got.Body)
		t.Errorf("a body that does not come: %s %v %s", got.Status, got.Header, words)
	}

	steady := w.dial()
	fmt.Fprint(steady, "POST /hello/ HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n")
	for range 6 { // longer in all than the limit for one piece
		time.Sleep(70 * time.Millisecond)
		fmt.Fprint(steady, "x")
	}
	if got, err := bufio.NewReader(steady).ReadString('\n'); err != nil || !strings.Contains(got, "200") {
		t.Errorf("a body that comes slowly but steadily: %q, %v", got, err)
	}
}

// TestSendersThatNobodyReadsAreCutOff: the server itself waits for what is left of a body, whatever became of the request.
func TestSendersThatNobodyReadsAreCutOff(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.HeaderWait, c.BodyWait = 200*time.Millisecond, 200*time.Millisecond })
	vault := release.Key{Project: "default", Name: "vault"}
	w.service(greet, release.Public)
	w.service(vault, release.ByKey)
	read := release.Key{Project: "default", Name: "read"}
	w.service(read, release.Public)
	w.run(read, 1, address(program(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })), public)
	w.run(greet, 1, address(program(t, func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("Connection", "close") })), public)
	w.awaitReady()
	for name, c := range map[string]struct{ request, want string }{
		"unknown":      {"POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", " 404 "},
		"in pieces":    {"POST /nope HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12", " 404 "},
		"no ticket":    {"POST /vault/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n1", " 401 "},
		"control":      {"POST /-/readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", " 405 "},
		"GET":          {"GET /-/readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", " 200 "},
		"never read":   {"POST /hello/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", " 200 "},
		"read in part": {"POST /hello/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n12", " 200 "},
	} {
		conn := w.dial()
		fmt.Fprint(conn, c.request)
		began := time.Now()
		answer, err := io.ReadAll(conn) // to the end of the connection
		if err != nil || !strings.Contains(string(answer), c.want) || time.Since(began) > 8*time.Second {
			t.Errorf("%s: got %q, %v after %s", name, answer, err, time.Since(began))
		}
	}
	whole := w.dial()
	for range 3 {
		fmt.Fprint(whole, "POST /read/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n12")
	}
	fmt.Fprint(whole, "GET /read/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if answers, err := io.ReadAll(whole); err != nil || strings.Count(string(answers), " 200 OK") != 4 {
		t.Errorf("a connection whose bodies come is good for four requests: %q, %v", answers, err)
	}
	late := w.dial()
	fmt.Fprint(late, "POST /hello/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
	time.Sleep(time.Second)
	fmt.Fprint(late, "GET /-/healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer, _ := io.ReadAll(late); strings.Count(string(answer), "HTTP/1.1 ") > 1 {
		t.Errorf("a body that comes late is taken for a request: %q", answer)
	}
	refused := w.dial()
	fmt.Fprint(refused, "POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n12GET /-/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if both, err := io.ReadAll(refused); err != nil || !strings.Contains(string(both), " 404 ") || !strings.Contains(string(both), " 200 OK") {
		t.Errorf("a connection whose body came is good for another request: %q, %v", both, err)
	}
}

// TestAnAnswerDoesNotWaitForTheBody: a caller who asks first whether he may send the body does not send it then.
func TestAnAnswerDoesNotWaitForTheBody(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BodyWait = 30 * time.Second })
	w.service(greet, release.Public)
	w.run(greet, 1, address(program(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusUnauthorized)
		_ = http.NewResponseController(rw).Flush() // so that its length is not known
		fmt.Fprint(rw, "who are you?")
	})), public)
	w.awaitReady()
	conn := w.dial() // which has 10 s
	fmt.Fprint(conn, "POST /hello/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
	got, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if words, err := io.ReadAll(got.Body); err != nil || got.StatusCode != http.StatusUnauthorized || string(words) != "who are you?" || !got.Close {
		t.Errorf("got %s %q, %v, to be closed: %t", got.Status, words, err, got.Close)
	}
}

func TestConversationsHaveTheirOwnPace(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BodyWait = 150 * time.Millisecond })
	w.service(greet, release.Public)
	w.run(greet, 1, address(program(t, func(rw http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(rw)
		_ = control.EnableFullDuplex()
		rw.Header().Set("Content-Type", "application/x-ndjson")
		rw.WriteHeader(http.StatusOK)
		_ = control.Flush()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			fmt.Fprintln(rw, "echo", lines.Text())
			_ = control.Flush()
		}
	})), public)
	w.awaitReady()
	from, to := io.Pipe()
	r, _ := http.NewRequest(http.MethodPost, w.url+"/hello/", from)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for i := range 3 {
		time.Sleep(250 * time.Millisecond)
		fmt.Fprintln(to, i)
		if !lines.Scan() || lines.Text() != fmt.Sprint("echo ", i) {
			t.Fatalf("got %q, %v", lines.Text(), lines.Err())
		}
	}
	_ = to.Close()
}

func TestHTTP2CallersAndServices(t *testing.T) {
	w := newWorld(t, nil)
	proto := func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.Proto) }
	for name, marks := range map[string]map[string]string{"one": public, "two": {"m3o.dev/access": "public", "m3o.dev/protocol": "h2c"}} {
		key := release.Key{Project: "default", Name: name}
		w.service(key, release.Public)
		w.run(key, 1, address(program(t, proto)), marks)
	}
	w.awaitReady()
	two := &http.Transport{Protocols: new(http.Protocols)}
	two.Protocols.SetUnencryptedHTTP2(true)
	defer two.CloseIdleConnections()
	for name, transport := range map[string]*http.Transport{"HTTP/1.1": {}, "HTTP/2.0": two} {
		for service, want := range map[string]string{"one": "HTTP/1.1", "two": "HTTP/2.0"} {
			r, _ := http.NewRequest(http.MethodGet, w.url+"/"+service+"/", nil)
			resp, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || string(got) != want || resp.Proto != name {
				t.Errorf("%s to %s: the caller speaks %s, the service sees %q, %v", name, service, resp.Proto, got, err)
			}
		}
	}
}

func TestSpansJoinTheCallersTrace(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	w := newWorld(t, func(c *Config) { c.Tracer = trace.NewTracerProvider(trace.WithSpanProcessor(spans)) })
	seen := make(chan string, 1)
	w.service(greet, release.Public)
	w.run(greet, 1, address(program(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("Traceparent") })), public)
	w.awaitReady()
	r, _ := http.NewRequest(http.MethodGet, w.url+"/hello/", nil)
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if got := w.do(r, ""); got.status != http.StatusOK {
		t.Fatalf("got %+v", got)
	}
	got := <-seen
	if !strings.HasPrefix(got, "00-0af7651916cd43dd8448eb211c80319c-") || strings.Contains(got, "b7ad6b7169203331") {
		t.Errorf("the service sees %q: another trace, or no span of ours", got)
	}
	w.eventually("the span ends", func() bool {
		for _, s := range spans.Ended() {
			if strings.Contains(got, s.SpanContext().SpanID().String()) && s.Parent().SpanID().String() == "b7ad6b7169203331" {
				return true
			}
		}
		return false
	})
}

func TestSpansTellNoSecretsAndNoProbes(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	w := newWorld(t, func(c *Config) { c.Tracer = trace.NewTracerProvider(trace.WithSpanProcessor(spans)) })
	w.service(greet, release.Public)
	w.run(greet, 1, address(hello(t, "hi")), public)
	w.awaitReady()
	r, _ := http.NewRequest(http.MethodGet, w.url+"/hello/?ticket=hush", nil)
	r.Header.Set("Cookie", "session=hush")
	r.Header.Set("Baggage", "secret=hush")
	w.do(r, "")
	w.get("/-/readyz", "")
	w.eventually("the span ends", func() bool { return len(spans.Ended()) > 0 })
	for _, s := range spans.Ended() {
		for _, a := range s.Attributes() {
			if strings.Contains(a.Value.String(), "hush") || strings.Contains(a.Value.String(), "readyz") {
				t.Errorf("%s tells %s", a.Key, a.Value.String())
			}
		}
	}
}

func TestFiguresGoWithTheirService(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.Public)
	p := w.run(greet, 1, address(hello(t, "hi")), public)
	w.awaitReady()
	for i := range 30 {
		w.get("/hello/", "")
		w.get(fmt.Sprint("/made-up-", i, "/"), "")
	}
	scraped := w.scrape()
	if !strings.Contains(scraped, `service="hello"} 30`) || strings.Contains(scraped, "made-up") ||
		!strings.Contains(scraped, `m3o_gateway_requests_total{code="4xx",project="other",region="micro/lon1",service="other"} 30`) {
		t.Errorf("got\n%s", scraped)
	}
	p.remove()
	if err := w.cluster.DiscoveryV1().EndpointSlices(greet.Namespace()).Delete(t.Context(), "hello-abc", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.eventually("a deleted service is unknown, and has no figures", func() bool {
		return w.get("/hello/", "").status == http.StatusNotFound && !strings.Contains(w.scrape(), `service="hello"`)
	})
}

func TestBadConfigurationIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no region":    {func(c *Config) { c.Region = "" }, "region"},
		"no platform":  {func(c *Config) { c.Region = "lon1" }, "region"},
		"no etcd":      {func(c *Config) { c.Etcd = nil }, "etcd"},
		"negative":     {func(c *Config) { c.Drain = -1 }, "drain"},
		"no such keys": {func(c *Config) { c.Keys = "/nope/keys.json" }, "/nope/keys.json"},
		"no cluster":   {func(c *Config) { c.Keys = "" }, "cluster"},
	} {
		config := Config{Region: "micro/lon1", Etcd: []string{"http://127.0.0.1:1"}}
		c.change(&config)
		if err := Run(t.Context(), config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
