package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/m3o/platform/internal/release"
)

// short is a limit that a flow of a piece every pace keeps within, and a flow of pieces exceeds as a whole.
const (
	short  = 600 * time.Millisecond
	pace   = 100 * time.Millisecond
	pieces = 12
)

var impatient = map[string]string{release.MarkTimeout: short.String()}

// drip writes pieces until the caller has gone, or forever is over.
func drip(rw http.ResponseWriter, r *http.Request, n int) {
	for i := range n {
		fmt.Fprintln(rw, i)
		_ = http.NewResponseController(rw).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-time.After(pace):
		}
	}
}

// TestWhatFlowsIsNotTimed: a download and an upload that each take longer than the service's limit, but never stand still for as long.
func TestWhatFlowsIsNotTimed(t *testing.T) {
	w := serving(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprintln(rw, n, err)
			return
		}
		drip(rw, r, pieces)
	}, impatient)
	if got := w.get("/hello/", ""); strings.Count(got.body, "\n") != pieces {
		t.Errorf("a download: %+v", got)
	}
	from, to := io.Pipe()
	go func() {
		for range pieces {
			fmt.Fprint(to, "x")
			time.Sleep(pace)
		}
		_ = to.Close()
	}()
	r, _ := http.NewRequest(http.MethodPut, w.url+"/hello/", from)
	if got := w.do(r, ""); got.body != fmt.Sprint(pieces, " <nil>\n") {
		t.Errorf("an upload: %+v", got)
	}
}

func TestAServiceThatComputesHasTheTimeItAskedFor(t *testing.T) {
	slow := func(rw http.ResponseWriter, _ *http.Request) { time.Sleep(2 * short); fmt.Fprint(rw, "42") }
	w := newWorld(t, func(c *Config) { c.DefaultTimeout, c.MaxTimeout = short, 4*short })
	patient := release.Key{Project: "default", Name: "patient"}
	greedy := release.Key{Project: "default", Name: "greedy"}
	for key, marks := range map[release.Key]map[string]string{
		greet:   {release.LabelAccess: "public"},
		patient: {release.LabelAccess: "public", release.MarkTimeout: (3 * short).String()},
		greedy:  {release.LabelAccess: "public", release.MarkTimeout: "20h"},
	} {
		w.service(key, release.Public)
		w.run(key, 1, address(program(t, func(rw http.ResponseWriter, r *http.Request) {
			if key == greedy {
				<-r.Context().Done()
				return
			}
			slow(rw, r)
		})), marks)
	}
	w.awaitReady()
	if got := w.get("/patient/", ""); got.body != "42" {
		t.Errorf("with a limit of its own: %+v", got)
	}
	if got := w.get("/hello/", ""); got.status != http.StatusGatewayTimeout || !strings.Contains(got.body, `its setting \"timeout\"`) || !strings.Contains(got.body, short.String()) {
		t.Errorf("with the gateway's: %+v", got)
	}
	if got := w.get("/greedy/", ""); got.status != http.StatusGatewayTimeout || !strings.Contains(got.body, (4*short).String()) {
		t.Errorf("with more than may be: %+v", got)
	}
}

// TestAnAnswerThatStandsStillBreaksOff: what has begun cannot be answered otherwise, and must not look whole.
func TestAnAnswerThatStandsStillBreaksOff(t *testing.T) {
	gone := make(chan struct{}, 1)
	w := serving(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(rw, "data: 1\n\n")
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	}, impatient)
	resp, err := http.Get(w.url + "/hello/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	began := time.Now()
	if body, err := io.ReadAll(resp.Body); err == nil || string(body) != "data: 1\n\n" || time.Since(began) > 10*time.Second {
		t.Errorf("%q, %v after %s", body, err, time.Since(began))
	}
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the service is not told")
	}
}

// TestACallerWhoTakesNothingIsCutOff: a download that its caller does not read stands still, too.
func TestACallerWhoTakesNothingIsCutOff(t *testing.T) {
	gone := make(chan struct{}, 1)
	w := serving(t, func(rw http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := rw.Write(make([]byte, 1<<20)); err != nil {
				break
			}
		}
		gone <- struct{}{}
	}, impatient)
	conn := w.dial()
	fmt.Fprint(conn, "GET /hello/ HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the service goes on writing")
	}
	w.eventually("the gateway has let go", func() bool {
		return strings.Contains(w.scrape(), `m3o_gateway_requests_in_flight{region="micro/lon1"} 0`)
	})
}

func TestWebSocketsLiveWhileSomethingPasses(t *testing.T) {
	w := serving(t, func(rw http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(rw, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		_, _, _ = conn.Read(conn.CloseRead(r.Context()))
		<-r.Context().Done()
	}, impatient)
	conn, _, err := websocket.Dial(t.Context(), strings.Replace(w.url, "http", "ws", 1)+"/hello/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	ended := conn.CloseRead(t.Context())
	for range pieces {
		if err := conn.Ping(t.Context()); err != nil {
			t.Fatalf("a connection with pings: %v", err)
		}
		time.Sleep(pace)
	}
	select {
	case <-ended.Done():
	case <-time.After(10 * time.Second):
		t.Error("a connection that is silent goes on")
	}
}

// TestAnUpgradedConnectionIsClosedOneWayAtATime: a caller that has said all still hears the answer.
func TestAnUpgradedConnectionIsClosedOneWayAtATime(t *testing.T) {
	w := serving(t, func(rw http.ResponseWriter, _ *http.Request) {
		conn, both, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(both, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
		_ = both.Flush()
		said, _ := io.ReadAll(both)
		time.Sleep(pace)
		fmt.Fprintf(conn, "heard %s", said)
	}, nil)
	conn := w.dial().(*net.TCPConn)
	fmt.Fprint(conn, "GET /hello/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	answer := bufio.NewReader(conn)
	resp, err := http.ReadResponse(answer, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%+v, %v", resp, err)
	}
	fmt.Fprint(conn, "all")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(answer); string(got) != "heard all" || err != nil {
		t.Errorf("the service answers %q, %v", got, err)
	}
}

func TestGRPCStreamsLiveWhileSomethingPasses(t *testing.T) {
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		for range pieces {
			if err := stream.SendMsg(wrapperspb.String("x")); err != nil {
				return err
			}
			time.Sleep(pace)
		}
		<-stream.Context().Done()
		return nil
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	w := newWorld(t, nil)
	w.service(greet, release.Public)
	w.run(greet, 1, listener.Addr().String(), map[string]string{release.LabelAccess: "public", release.MarkTimeout: short.String(), release.MarkProtocol: "h2c"})
	w.awaitReady()
	conn, err := grpc.NewClient(strings.TrimPrefix(w.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "m3o-service", "hello"), 20*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/echo.Echo/Watch")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(wrapperspb.String("x")); err != nil {
		t.Fatal(err)
	}
	_ = stream.CloseSend()
	for i := range pieces {
		if err := stream.RecvMsg(&wrapperspb.StringValue{}); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if err := stream.RecvMsg(&wrapperspb.StringValue{}); err == nil || status.Code(err) == codes.DeadlineExceeded && ctx.Err() != nil {
		t.Errorf("a stream that is silent ends with %v", err)
	}
}

// TestPreflightsOfCORSPassWhereTheyMay: browsers send them without a ticket. Nothing else passes without one.
func TestPreflightsOfCORSPassWhereTheyMay(t *testing.T) {
	w := newWorld(t, nil)
	open := release.Key{Project: "default", Name: "open"}
	answer := func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		rw.WriteHeader(http.StatusNoContent)
	}
	w.service(greet, release.ByKey)
	w.run(greet, 1, address(program(t, answer)), nil)
	w.service(open, release.ByKey)
	first := w.run(open, 1, address(program(t, answer)), map[string]string{release.LabelPreflight: "public"})
	w.awaitReady()
	ask := func(service, method string, body io.Reader, names ...string) int {
		r, _ := http.NewRequest(method, w.url+"/"+service+"/", body)
		for _, name := range names {
			r.Header.Set(name, map[string]string{"Origin": "https://app.example.com", "Access-Control-Request-Method": "PUT",
				"Connection": "Upgrade", "Upgrade": "websocket", "X-HTTP-Method-Override": "DELETE"}[name])
		}
		return w.do(r, "").status
	}
	for _, c := range []struct {
		why, service, method string
		body                 io.Reader
		names                []string
		want                 int
	}{
		{"a preflight", "open", "OPTIONS", nil, []string{"Origin", "Access-Control-Request-Method"}, 204},
		{"where it may not", "hello", "OPTIONS", nil, []string{"Origin", "Access-Control-Request-Method"}, 401},
		{"without a method", "open", "OPTIONS", nil, []string{"Origin"}, 401},
		{"without an origin", "open", "OPTIONS", nil, []string{"Access-Control-Request-Method"}, 401},
		{"with a body", "open", "OPTIONS", strings.NewReader("x"), []string{"Origin", "Access-Control-Request-Method"}, 401},
		{"one that becomes a connection", "open", "OPTIONS", nil, []string{"Origin", "Access-Control-Request-Method", "Connection", "Upgrade"}, 401},
		{"one that names another method", "open", "OPTIONS", nil, []string{"Origin", "Access-Control-Request-Method", "X-HTTP-Method-Override"}, 401},
		{"another method", "open", "GET", nil, []string{"Origin", "Access-Control-Request-Method"}, 401},
	} {
		if got := ask(c.service, c.method, c.body, c.names...); got != c.want {
			t.Errorf("%s: %d, not %d", c.why, got, c.want)
		}
	}
	w.run(open, 2, address(program(t, answer)), nil)
	w.eventually("the stricter of two releases holds", func() bool {
		return ask("open", "OPTIONS", nil, "Origin", "Access-Control-Request-Method") == http.StatusUnauthorized
	})
	first.remove()
}

// TestTrailersOfRequestsArriveWithTheirValues, whichever HTTP either side speaks.
func TestTrailersOfRequestsArriveWithTheirValues(t *testing.T) {
	two := &http.Transport{Protocols: new(http.Protocols)}
	two.Protocols.SetUnencryptedHTTP2(true)
	defer two.CloseIdleConnections()
	for service, marks := range map[string]map[string]string{"HTTP/1.1": nil, "HTTP/2.0": {release.MarkProtocol: "h2c"}} {
		w := serving(t, func(rw http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			fmt.Fprintf(rw, "%s %s %v %v", r.Proto, body, r.Trailer, err)
		}, marks)
		for caller, transport := range map[string]*http.Transport{"HTTP/1.1": {}, "HTTP/2.0": two} {
			for _, length := range []int64{-1, 4} {
				if length > 0 && caller == "HTTP/1.1" {
					continue // it has no trailers
				}
				r, _ := http.NewRequest(http.MethodPost, w.url+"/hello/", strings.NewReader("body"))
				r.ContentLength = length
				r.Trailer = http.Header{"X-Checksum": {"42"}, "X-Forwarded-User": {"a stranger's"}}
				resp, err := transport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if want := service + " body map[X-Checksum:[42]] <nil>"; err != nil || string(got) != want {
					t.Errorf("%s to %s, length %d: %q, %v", caller, service, length, got, err)
				}
			}
		}
		conn := w.dial()
		fmt.Fprint(conn, "POST /hello/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n4\r\nbody\r\n0\r\nX-Checksum: 42\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(got), "map[X-Checksum:[42]]") {
			t.Errorf("by hand to %s: %q, %v", service, got, err)
		}
		_ = resp.Body.Close()
	}
}
