package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
)

// MAC is a hardware address.
type MAC [6]byte

// MACOf derives the hardware address from the IPv4 address. So an address that
// is used again has the same one, and no neighbour's cache is ever wrong.
func MACOf(addr netip.Addr) MAC {
	ip := addr.As4()
	return MAC{0x0a, 0x58, ip[0], ip[1], ip[2], ip[3]}
}

func (m MAC) multicast() bool { return m[0]&1 != 0 }

const (
	maxPorts       = 256
	maxMACsPerPort = 1024
	readBuffer     = 256 << 10
)

// ErrFull is returned by Serve when the switch has no port left.
var ErrFull = errors.New("the switch has no free port")

// Stats counts what a switch did since it was made.
type Stats struct {
	Frames, Dropped uint64
}

// Switch is a learning Ethernet switch whose ports are stream connections. One
// more port, the Endpoint, leads into the IP stack of this process.
type Switch struct {
	gateway *Endpoint

	frames, dropped atomic.Uint64

	mu    sync.RWMutex
	ports map[*port]struct{}
	macs  map[MAC]*port
}

type port struct {
	queue *queue
	macs  int
}

// NewSwitch makes a switch that hands gateway the frames meant for it.
func NewSwitch(gateway *Endpoint) *Switch {
	s := &Switch{gateway: gateway, ports: map[*port]struct{}{}, macs: map[MAC]*port{}}
	gateway.out = s
	return s
}

// Stats returns the counters.
func (s *Switch) Stats() Stats {
	return Stats{Frames: s.frames.Load(), Dropped: s.dropped.Load()}
}

// Serve is a port of the switch for as long as conn and ctx live. It closes conn
// and has no goroutine left when it returns; the error is nil when the other
// side hung up or ctx ended.
func (s *Switch) Serve(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	p := &port{queue: newQueue()}
	if err := s.join(p); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	written := make(chan error, 1)
	go func() {
		err := p.queue.drain(conn)
		_ = conn.Close()
		written <- err
	}()
	err := s.receive(p, conn)
	s.leave(p)
	if writeErr := <-written; err == nil {
		err = writeErr
	}
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (s *Switch) join(p *port) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ports) >= maxPorts {
		return fmt.Errorf("%w: %d are in use", ErrFull, maxPorts)
	}
	s.ports[p] = struct{}{}
	return nil
}

func (s *Switch) leave(p *port) {
	s.mu.Lock()
	delete(s.ports, p)
	for mac, owner := range s.macs {
		if owner == p {
			delete(s.macs, mac)
		}
	}
	s.mu.Unlock()
	p.queue.close()
}

func (s *Switch) receive(p *port, conn net.Conn) error {
	reader := bufio.NewReaderSize(conn, readBuffer)
	for {
		frame, err := ReadFrame(reader)
		if err != nil {
			return fmt.Errorf("read a frame of an uplink: %w", err)
		}
		s.handle(p, frame)
	}
}

// handle takes over a frame that came in at p.
func (s *Switch) handle(p *port, frame *buffer.View) {
	b := frame.AsSlice()
	if !Carried(b) {
		s.dropped.Add(1)
		frame.Release()
		return
	}
	to, from := macAt(b, OffloadSize), macAt(b, OffloadSize+6)
	if from == s.gateway.mac || !s.learn(from, p) {
		s.dropped.Add(1)
		frame.Release()
		return
	}
	if to == s.gateway.mac {
		s.frames.Add(1)
		s.gateway.deliver(frame)
		return
	}
	if to.multicast() {
		s.gateway.deliver(frame.Clone())
	}
	s.forward(p, to, frame)
}

// learn notes that mac is behind p. It refuses senders that cannot be one
// machine's, and more addresses behind a port than a node has.
func (s *Switch) learn(mac MAC, p *port) bool {
	if mac.multicast() {
		return false
	}
	s.mu.RLock()
	owner := s.macs[mac]
	s.mu.RUnlock()
	if owner == p {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.macs >= maxMACsPerPort {
		return false
	}
	if owner := s.macs[mac]; owner != nil {
		owner.macs--
	}
	p.macs++
	s.macs[mac] = p
	return true
}

// forward sends the frame to the port that to is behind, or to all but the
// one it came from when that is not known. It takes the frame over.
func (s *Switch) forward(from *port, to MAC, frame *buffer.View) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if out := s.macs[to]; out != nil {
		if out == from {
			frame.Release()
			return
		}
		s.count(out.queue.push(frame))
		return
	}
	for out := range s.ports {
		if out != from {
			s.count(out.queue.push(frame.Clone()))
		}
	}
	frame.Release()
}

func (s *Switch) count(kept bool) {
	if kept {
		s.frames.Add(1)
		return
	}
	s.dropped.Add(1)
}

func macAt(b []byte, offset int) MAC { return MAC(b[offset : offset+6]) }
