package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
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

var public = map[string]string{"m3o.dev/access": "public"}

// serving is a world in which the handler is the public service hello.
func serving(t testing.TB, handler http.HandlerFunc, marks map[string]string) *world {
	t.Helper()
	w := newWorld(t, nil)
	w.service(greet, release.Public)
	all := map[string]string{}
	for _, m := range []map[string]string{public, marks} {
		for k, v := range m {
			all[k] = v
		}
	}
	w.run(greet, 1, address(program(t, handler)), all)
	w.awaitReady()
	return w
}

func TestWebSocketsPass(t *testing.T) {
	w := serving(t, func(rw http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(rw, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		for {
			kind, words, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			if err := conn.Write(r.Context(), kind, append([]byte(r.URL.Path+" "), words...)); err != nil {
				return
			}
		}
	}, map[string]string{"m3o.dev/timeout": "200ms"})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(w.url, "http")+"/hello/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	for i := range 4 {
		words := fmt.Sprint("message ", i)
		if err := conn.Write(ctx, websocket.MessageText, []byte(words)); err != nil {
			t.Fatal(err)
		}
		_, got, err := conn.Read(ctx)
		if err != nil || string(got) != "/echo "+words {
			t.Fatalf("got %q, %v", got, err)
		}
		time.Sleep(100 * time.Millisecond) // beyond the time limit, which ends with the upgrade
	}
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
}

// echo answers every message of a stream, then says goodbye in a trailer.
func echo(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	if err := stream.SendHeader(metadata.Pairs("method", method)); err != nil {
		return err
	}
	stream.SetTrailer(metadata.Pairs("goodbye", "yes"))
	for {
		var in wrapperspb.StringValue
		if err := stream.RecvMsg(&in); errors.Is(err, io.EOF) {
			return status.Error(codes.DataLoss, "as agreed: 100 %")
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(wrapperspb.String("echo " + in.GetValue())); err != nil {
			return err
		}
	}
}

func grpcServer(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(echo))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func TestGRPCStreamsPassBothWays(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.ByKey)
	w.run(greet, 1, grpcServer(t), nil)
	w.awaitReady()
	conn, err := grpc.NewClient(strings.TrimPrefix(w.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	description := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	auth := metadata.Pairs("authorization", "Bearer "+w.ticket("default", "call:default/hello"))
	for name, c := range map[string]struct {
		method string
		md     metadata.MD
	}{
		"service in the path":     {"/hello/echo.Echo/Talk", auth},
		"service in the metadata": {"/echo.Echo/Talk", metadata.Join(auth, metadata.Pairs("m3o-service", "hello"))},
	} {
		stream, err := conn.NewStream(metadata.NewOutgoingContext(ctx, c.md), description, c.method)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range 3 { // each answer comes before the next question: nothing is held back
			if err := stream.SendMsg(wrapperspb.String(fmt.Sprint(i))); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var got wrapperspb.StringValue
			if err := stream.RecvMsg(&got); err != nil || got.GetValue() != fmt.Sprint("echo ", i) {
				t.Fatalf("%s: got %q, %v", name, got.GetValue(), err)
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		err = stream.RecvMsg(&wrapperspb.StringValue{})
		if s := status.Convert(err); s.Code() != codes.DataLoss || s.Message() != "as agreed: 100 %" {
			t.Errorf("%s: ended with %v", name, err)
		}
		header, _ := stream.Header()
		if header.Get("method")[0] != "/echo.Echo/Talk" || stream.Trailer().Get("goodbye")[0] != "yes" {
			t.Errorf("%s: header %v, trailer %v", name, header, stream.Trailer())
		}
	}
	err = conn.Invoke(ctx, "/nope/echo.Echo/Talk", wrapperspb.String("x"), &wrapperspb.StringValue{})
	if s := status.Convert(err); s.Code() != codes.Unimplemented || !strings.Contains(s.Message(), `no service "nope"`) {
		t.Errorf("unknown service: %v", err)
	}
	err = conn.Invoke(ctx, "/hello/echo.Echo/Talk", wrapperspb.String("x"), &wrapperspb.StringValue{})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a ticket: %v", err)
	}
}

func TestEventsAreNotHeldBackNorTimed(t *testing.T) {
	next := make(chan string)
	w := serving(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		rw.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(rw).Flush()
		for words := range next {
			fmt.Fprintf(rw, "data: %s\n\n", words)
			_ = http.NewResponseController(rw).Flush()
		}
	}, map[string]string{"m3o.dev/timeout": "150ms"})
	resp, err := http.Get(w.url + "/hello/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for i := range 4 {
		next <- fmt.Sprint(i)
		got, err := lines.ReadString('\n')
		if err != nil || got != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("got %q, %v", got, err)
		}
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		time.Sleep(70 * time.Millisecond)
	}
	close(next)
}

func TestTimeLimitOfAService(t *testing.T) {
	gone := make(chan struct{})
	w := serving(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); close(gone) }, map[string]string{"m3o.dev/timeout": "100ms"})
	got := w.get("/hello/", "")
	if got.status != http.StatusGatewayTimeout || got.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %+v", got)
	}
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the service is not told")
	}
}

func TestLargeBodiesStreamBothWays(t *testing.T) {
	w := serving(t, func(rw http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(rw).EnableFullDuplex()
		rw.Header().Set("Trailer", "Sum")
		n, _ := io.Copy(rw, r.Body)
		rw.Header().Set("Sum", fmt.Sprint(n))
	}, nil)
	const size = 64 << 20
	r, _ := http.NewRequest(http.MethodPost, w.url+"/hello/", io.LimitReader(endless{}, size))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || n != size || resp.Trailer.Get("Sum") != fmt.Sprint(size) {
		t.Errorf("%d bytes, trailer %v, %v", n, resp.Trailer, err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestBodyLimit(t *testing.T) {
	w := serving(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, map[string]string{"m3o.dev/max-body": "1000"})
	for name, body := range map[string]io.Reader{"announced": bytes.NewReader(make([]byte, 1001)), "not announced": io.LimitReader(endless{}, 2000)} {
		r, _ := http.NewRequest(http.MethodPost, w.url+"/hello/", body)
		if got := w.do(r, ""); got.status != http.StatusRequestEntityTooLarge || !strings.Contains(got.body, "1000") {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	r, _ := http.NewRequest(http.MethodPost, w.url+"/hello/", io.LimitReader(endless{}, 1000))
	if got := w.do(r, ""); got.status != http.StatusOK {
		t.Errorf("a body within the limit: %+v", got)
	}
}

func TestBodyIsAskedForBeforeItIsSent(t *testing.T) {
	var read atomic.Int64
	w := serving(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		read.Store(n)
	}, nil)
	for path, want := range map[string]string{"/hello/yes": "HTTP/1.1 100 Continue", "/hello/no": "HTTP/1.1 403 Forbidden"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", path)
		lines := bufio.NewReader(conn)
		if got, err := lines.ReadString('\n'); err != nil || strings.TrimSpace(got) != want {
			t.Errorf("%s: got %q, %v", path, got, err)
			continue
		}
		if path == "/hello/no" {
			continue
		}
		if got, err := lines.ReadString('\n'); err != nil || got != "\r\n" {
			t.Fatalf("got %q, %v", got, err)
		}
		fmt.Fprint(conn, "12345")
		if got, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(got, "HTTP/1.1 200") || read.Load() != 5 {
			t.Errorf("got %q, %v, %d bytes", got, err, read.Load())
		}
	}
}

func TestBrokenAnswerIsNotPassedOffAsWhole(t *testing.T) {
	w := serving(t, func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = rw.Write(bytes.Repeat([]byte("x"), 100<<10))
		_ = http.NewResponseController(rw).Flush()
		panic(http.ErrAbortHandler)
	}, nil)
	resp, err := http.Get(w.url + "/hello/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("%d bytes look like a whole answer", n)
	}
}

func TestHeaderLimit(t *testing.T) {
	w := serving(t, func(http.ResponseWriter, *http.Request) {}, nil)
	r, _ := http.NewRequest(http.MethodGet, w.url+"/hello/", nil)
	r.Header.Set("X-Large", strings.Repeat("x", maxHeader+5000)) // the server's own slack is 4096
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() // the server hangs up, so that the body may be lost
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a very large header: %s", resp.Status)
	}
}

func TestTunnelsAndHTTP2UpgradesAreNotPassed(t *testing.T) {
	seen := make(chan http.Header, 1)
	w := serving(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }, nil)
	r, _ := http.NewRequest(http.MethodGet, w.url+"/hello/", nil)
	r.Header.Set("Connection", "Upgrade, HTTP2-Settings")
	r.Header.Set("Upgrade", "h2c")
	r.Header.Set("Http2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA")
	if got := w.do(r, ""); got.status != http.StatusOK {
		t.Fatalf("got %+v", got)
	}
	if h := <-seen; h.Get("Upgrade") != "" || h.Get("Http2-Settings") != "" {
		t.Errorf("the service sees %v", h)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
	if got, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(got, "405") {
		t.Errorf("got %q, %v", got, err)
	}
}
