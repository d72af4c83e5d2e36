package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
)

var (
	gatewayMAC = MAC{2, 0, 0, 0, 0, 1}
	everybody  = MAC{255, 255, 255, 255, 255, 255}
)

func mac(n byte) MAC { return MAC{2, 0, 0, 0, 1, n} }

// frame is an IPv4 frame with its length before it.
func frame(to, from MAC, payload string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(MinFrame+len(payload)))
	b = append(b, make([]byte, OffloadSize)...)
	b = append(append(b, to[:]...), from[:]...)
	b = binary.BigEndian.AppendUint16(b, etherIPv4)
	return append(b, payload...)
}

// plug joins a switch and returns the other end.
func plug(t *testing.T, s *Switch) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	done, before := make(chan error, 1), ports(s)
	go func() { done <- s.Serve(t.Context(), theirs) }()
	for ports(s) == before {
		time.Sleep(time.Millisecond)
	}
	t.Cleanup(func() {
		_ = ours.Close()
		if err := <-done; err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
	})
	return ours
}

func ports(s *Switch) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.ports)
}

func send(t *testing.T, conn net.Conn, frame []byte) {
	t.Helper()
	_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
}

// expect reads one frame with this payload; an empty one means that none comes.
func expect(t *testing.T, conn net.Conn, payload string) {
	t.Helper()
	wait := 5 * time.Second
	if payload == "" {
		wait = 50 * time.Millisecond
	}
	_ = conn.SetReadDeadline(time.Now().Add(wait))
	got, err := ReadFrame(conn)
	switch {
	case payload == "" && err == nil:
		t.Errorf("got %q, want nothing", got.AsSlice()[MinFrame:])
	case payload != "" && err != nil:
		t.Errorf("want %q: %v", payload, err)
	case payload != "" && string(got.AsSlice()[MinFrame:]) != payload:
		t.Errorf("got %q, want %q", got.AsSlice()[MinFrame:], payload)
	}
}

func TestSwitchLearns(t *testing.T) {
	s := NewSwitch(NewEndpoint(gatewayMAC))
	a, b, c := plug(t, s), plug(t, s), plug(t, s)
	send(t, a, frame(everybody, mac(1), "hello all"))
	expect(t, b, "hello all")
	expect(t, c, "hello all")
	send(t, b, frame(mac(1), mac(2), "to a alone"))
	expect(t, a, "to a alone")
	send(t, a, frame(mac(2), mac(1), "to b alone"))
	expect(t, b, "to b alone")
	expect(t, c, "")
	send(t, a, frame(mac(9), mac(1), "to somebody unknown"))
	expect(t, b, "to somebody unknown")
	expect(t, c, "to somebody unknown")
	// An address that moves is found at its new place.
	send(t, c, frame(everybody, mac(2), "I moved"))
	expect(t, a, "I moved")
	expect(t, b, "I moved")
	send(t, a, frame(mac(2), mac(1), "to c alone"))
	expect(t, c, "to c alone")
	expect(t, b, "")
}

func TestSwitchRefusesFrames(t *testing.T) {
	s := NewSwitch(NewEndpoint(gatewayMAC))
	a, b := plug(t, s), plug(t, s)
	ipv6 := frame(everybody, mac(1), "IPv6")
	binary.BigEndian.PutUint16(ipv6[LengthSize+OffloadSize+12:], 0x86dd)
	segmented := frame(everybody, mac(1), "UDP segments")
	segmented[LengthSize+1] = 5
	for _, refused := range [][]byte{
		ipv6, segmented, frame(everybody, gatewayMAC, "I am the gateway"), frame(mac(2), everybody, "from everybody"),
	} {
		send(t, a, refused)
	}
	send(t, a, frame(everybody, mac(1), "a good one"))
	expect(t, b, "a good one")
	if got := s.Stats(); got.Dropped != 4 {
		t.Errorf("%d frames were dropped, want 4", got.Dropped)
	}
}

func TestUplinkOutOfStep(t *testing.T) {
	s := NewSwitch(NewEndpoint(gatewayMAC))
	for _, length := range []uint32{0, MinFrame - 1, MaxFrame + 1, 1 << 31} {
		ours, theirs := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- s.Serve(t.Context(), theirs) }()
		_, _ = ours.Write(binary.BigEndian.AppendUint32(nil, length))
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("a length of %d was fine", length)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("a length of %d is waited for", length)
		}
	}
}

// A node that does not read loses frames; the others do not notice.
func TestSlowNodeHoldsNobodyUp(t *testing.T) {
	s := NewSwitch(NewEndpoint(gatewayMAC))
	a, slow, b := plug(t, s), plug(t, s), plug(t, s)
	_ = slow
	payload := string(bytes.Repeat([]byte("x"), 60000))
	go func() {
		for range 2 * maxQueueBytes / len(payload) {
			_, _ = a.Write(frame(everybody, mac(1), payload))
		}
		_, _ = a.Write(frame(everybody, mac(1), "the last"))
	}()
	_ = b.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		got, err := ReadFrame(b)
		if err != nil {
			t.Fatal(err)
		}
		if string(got.AsSlice()[MinFrame:]) == "the last" {
			break
		}
	}
	if s.Stats().Dropped == 0 {
		t.Error("nothing was dropped for a node that does not read")
	}
}

func TestSwitchIsFull(t *testing.T) {
	s := NewSwitch(NewEndpoint(gatewayMAC))
	for range maxPorts {
		plug(t, s)
	}
	ours, theirs := net.Pipe()
	defer ours.Close()
	if err := s.Serve(t.Context(), theirs); !errors.Is(err, ErrFull) {
		t.Errorf("one port too many: %v", err)
	}
}

func TestServeLeavesNothing(t *testing.T) {
	s := NewSwitch(NewEndpoint(gatewayMAC))
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	for range 20 {
		_, theirs := net.Pipe()
		go func() { done <- s.Serve(ctx, theirs) }()
	}
	cancel()
	for range 20 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
	if len(s.ports) != 0 || len(s.macs) != 0 {
		t.Errorf("%d ports and %d addresses are left", len(s.ports), len(s.macs))
	}
}

func TestLearningIsBounded(t *testing.T) {
	s := NewSwitch(NewEndpoint(gatewayMAC))
	p := &port{queue: newQueue()}
	for i := range 2 * maxMACsPerPort {
		s.learn(MAC{2, 1, 0, 0, byte(i >> 8), byte(i)}, p)
	}
	if len(s.macs) != maxMACsPerPort {
		t.Errorf("%d addresses were learnt behind one port, at most %d may be", len(s.macs), maxMACsPerPort)
	}
}

// Whatever a node sends, the switch neither panics nor carries nonsense.
func FuzzUplink(f *testing.F) {
	f.Add(frame(everybody, mac(1), "hello"))
	f.Add(append(frame(mac(2), mac(1), "one"), frame(gatewayMAC, mac(1), "two")...))
	f.Add([]byte{0, 0, 0, 24})
	f.Add([]byte{255, 255, 255, 255, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		s := NewSwitch(NewEndpoint(gatewayMAC))
		in, out := &port{queue: newQueue()}, &port{queue: newQueue()}
		s.ports[in], s.ports[out] = struct{}{}, struct{}{}
		reader := bytes.NewReader(stream)
		for {
			got, err := ReadFrame(reader)
			if err != nil {
				break
			}
			s.handle(in, got)
		}
		for _, carried := range out.queue.frames {
			if !Carried(carried.AsSlice()) {
				t.Errorf("the switch carried %x", carried.AsSlice())
			}
		}
	})
}

func BenchmarkForward(b *testing.B) {
	s := NewSwitch(NewEndpoint(gatewayMAC))
	in, out := &port{queue: newQueue()}, &port{queue: newQueue()}
	s.learn(mac(2), out)
	raw := frame(mac(2), mac(1), string(make([]byte, 1400)))
	reader, batch := bytes.NewReader(raw), []*buffer.View(nil)
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(raw)
		got, err := ReadFrame(reader)
		if err != nil {
			b.Fatal(err)
		}
		s.handle(in, got)
		for _, got := range out.queue.take(batch) {
			got.Release()
		}
	}
}
