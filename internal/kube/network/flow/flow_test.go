package flow

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// pair is two ends of a TCP connection.
func pair(t *testing.T) (*net.TCPConn, *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	a, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	for _, conn := range []net.Conn{a, b} {
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	}
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

// spliced is a client and a server with a Splice between them.
func spliced(ctx context.Context, t *testing.T) (client, server *net.TCPConn, done chan struct{}) {
	t.Helper()
	client, left := pair(t)
	server, right := pair(t)
	for _, conn := range []net.Conn{left, right} {
		_ = conn.SetDeadline(time.Time{})
	}
	done = make(chan struct{})
	go func() { Splice(ctx, left, right); close(done) }()
	return client, server, done
}

func wait(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal(what)
	}
}

func TestSpliceHalfClose(t *testing.T) {
	client, server, done := spliced(t.Context(), t)
	if _, err := client.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	_ = client.CloseWrite()
	if got, err := io.ReadAll(server); err != nil || string(got) != "question" {
		t.Fatalf("the server got %q %v", got, err)
	}
	if _, err := server.Write([]byte("answer")); err != nil {
		t.Fatal("after the client ended its direction: ", err)
	}
	select {
	case <-done:
		t.Fatal("it ended with one direction")
	case <-time.After(50 * time.Millisecond):
	}
	_ = server.CloseWrite()
	if got, err := io.ReadAll(client); err != nil || string(got) != "answer" {
		t.Fatalf("the client got %q %v", got, err)
	}
	wait(t, done, "it goes on after both directions ended")
}

// Half an answer must not look like a whole one.
func TestSplicePassesResetOn(t *testing.T) {
	client, server, done := spliced(t.Context(), t)
	_, _ = server.Write([]byte("half an ans"))
	buf := make([]byte, 11)
	if _, err := io.ReadFull(client, buf); err != nil {
		t.Fatal(err)
	}
	_ = server.SetLinger(0)
	_ = server.Close()
	if _, err := client.Read(buf); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v, want a reset", err)
	}
	wait(t, done, "it goes on after a reset")
}

func TestSpliceEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client, _, done := spliced(ctx, t)
	cancel()
	wait(t, done, "it goes on after its context")
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the client's connection is open")
	}
}

// datagrams is a UDP server that answers with what it gets.
func datagramServer(t *testing.T) string {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(buf[:n], from)
		}
	}()
	return conn.LocalAddr().String()
}

type packetBench struct {
	*testing.T
	packets *Packets
	client  *net.UDPConn
	dialled atomic.Int32
	valid   atomic.Bool
	refuse  atomic.Bool
	done    chan struct{}
}

func newPacketBench(t *testing.T, limit int, idle time.Duration) *packetBench {
	t.Helper()
	server := datagramServer(t)
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	b := &packetBench{T: t, done: make(chan struct{})}
	b.valid.Store(true)
	b.packets = &Packets{Conn: conn, Limit: NewLimit(limit), Idle: idle,
		Dial: func(context.Context, netip.AddrPort) (net.Conn, func() bool, error) {
			if b.refuse.Load() {
				return nil, nil, errors.New("refused")
			}
			b.dialled.Add(1)
			server, err := net.Dial("udp4", server)
			return server, b.valid.Load, err
		}}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(b.done)
		if err := b.packets.Serve(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		wait(t, b.done, "it goes on after its context")
		if n := b.packets.Limit.InUse(); n != 0 {
			t.Errorf("%d flows are left", n)
		}
	})
	b.client = b.dial()
	return b
}

func (b *packetBench) dial() *net.UDPConn {
	b.Helper()
	conn, err := net.Dial("udp4", b.packets.Conn.LocalAddr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.UDPConn)
}

func answered(conn net.Conn) bool {
	_, _ = conn.Write([]byte("hello"))
	_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	n, err := conn.Read(make([]byte, 10))
	return err == nil && n == 5
}

func TestPacketsKeepTheirFlow(t *testing.T) {
	b := newPacketBench(t, 10, time.Minute)
	for range 5 {
		if !answered(b.client) {
			t.Error("no answer")
		}
	}
	if n := b.dialled.Load(); n != 1 {
		t.Errorf("one client's server was dialled %d times", n)
	}
	b.valid.Store(false)
	answered(b.client)
	if n := b.dialled.Load(); n != 2 {
		t.Error("a server that is no longer valid was kept")
	}
}

func TestPacketsForgetIdleFlows(t *testing.T) {
	b := newPacketBench(t, 10, 50*time.Millisecond)
	if !answered(b.client) {
		t.Error("no answer")
	}
	for range 100 {
		if b.packets.Limit.InUse() == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := b.packets.Limit.InUse(); n != 0 {
		t.Errorf("%d flows are left after they were idle", n)
	}
	if !answered(b.client) || b.dialled.Load() != 2 {
		t.Errorf("after it was idle, the client's server was dialled %d times", b.dialled.Load())
	}
}

func TestPacketsAreLimited(t *testing.T) {
	b := newPacketBench(t, 1, time.Minute)
	if !answered(b.client) {
		t.Error("no answer")
	}
	if second := b.dial(); answered(second) {
		t.Error("a flow too many was served")
	}
	if !answered(b.client) {
		t.Error("the flow within the limit suffers")
	}
}

func TestPacketsWithoutServer(t *testing.T) {
	b := newPacketBench(t, 10, time.Minute)
	b.refuse.Store(true)
	if answered(b.client) {
		t.Error("nobody answered")
	}
	b.refuse.Store(false)
	if !answered(b.client) {
		t.Error("no answer once there is a server")
	}
}

func TestRelayEnds(t *testing.T) {
	for name, c := range map[string]struct {
		idle  time.Duration
		valid bool
	}{"when idle": {50 * time.Millisecond, true}, "when the server is no longer valid": {time.Minute, false}} {
		t.Run(name, func(t *testing.T) {
			server, err := net.Dial("udp4", datagramServer(t))
			if err != nil {
				t.Fatal(err)
			}
			here, there := net.Pipe()
			done := make(chan struct{})
			var valid atomic.Bool
			valid.Store(true)
			go func() { Relay(t.Context(), there, server, c.idle, valid.Load); close(done) }()
			if !answered(here) {
				t.Error("no answer")
			}
			if !c.valid {
				valid.Store(false)
				_, _ = here.Write([]byte("one more"))
			}
			wait(t, done, "it goes on")
		})
	}
}

func TestLimit(t *testing.T) {
	l := NewLimit(2)
	for i, want := range []bool{true, true, false} {
		if got := l.Take(); got != want {
			t.Errorf("slot %d: %v, want %v", i+1, got, want)
		}
	}
	l.Release()
	if !l.Take() {
		t.Error("a slot that was given back is not there")
	}
}
