package flow

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Dial opens the server's side of a client's flow. valid may be nil.
type Dial func(ctx context.Context, client netip.AddrPort) (server net.Conn, valid func() bool, err error)

// Packets serves the clients of one UDP socket, each with a server connection
// of its own, which lasts until nothing came for Idle.
type Packets struct {
	Conn  *net.UDPConn
	Dial  Dial
	Limit *Limit
	Idle  time.Duration

	mu       sync.Mutex
	sessions map[netip.AddrPort]*session
	running  sync.WaitGroup
}

type session struct {
	relay
	server net.Conn
	valid  func() bool
}

// Serve passes datagrams until ctx ends or the socket fails; it closes the
// socket and leaves nothing running.
func (p *Packets) Serve(ctx context.Context) error {
	p.sessions = map[netip.AddrPort]*session{}
	stop := context.AfterFunc(ctx, func() { _ = p.Conn.Close() })
	defer stop()
	err := p.receive(ctx)
	_ = p.Conn.Close()
	p.mu.Lock()
	for _, s := range p.sessions {
		_ = s.server.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (p *Packets) receive(ctx context.Context) error {
	buf := make([]byte, maxDatagram)
	for {
		n, client, err := p.Conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		s := p.session(ctx, client)
		if s == nil {
			continue
		}
		s.touch()
		if _, err := s.server.Write(buf[:n]); err != nil {
			_ = s.server.Close()
		}
	}
}

// session finds or makes the client's session. None is made when no server
// answers or there are too many: the datagram is lost, as UDP allows.
func (p *Packets) session(ctx context.Context, client netip.AddrPort) *session {
	p.mu.Lock()
	s := p.sessions[client]
	p.mu.Unlock()
	if s != nil && (s.valid == nil || s.valid()) {
		return s
	}
	if s != nil {
		p.forget(client, s)
	}
	if !p.Limit.Take() {
		return nil
	}
	server, valid, err := p.Dial(ctx, client)
	if err != nil {
		p.Limit.Release()
		return nil
	}
	s = &session{relay: relay{idle: p.Idle}, server: server, valid: valid}
	s.touch()
	p.mu.Lock()
	p.sessions[client] = s
	p.mu.Unlock()
	p.running.Add(1)
	go p.answer(client, s)
	return s
}

func (p *Packets) forget(client netip.AddrPort, s *session) {
	_ = s.server.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sessions[client] == s {
		delete(p.sessions, client)
	}
}

// answer passes the server's datagrams to the client.
func (p *Packets) answer(client netip.AddrPort, s *session) {
	defer p.running.Done()
	defer p.Limit.Release()
	defer p.forget(client, s)
	s.pass(clientConn{p.Conn, client}, s.server, nil)
}

// clientConn is the socket as one client sees it; only Write is used.
type clientConn struct {
	*net.UDPConn
	client netip.AddrPort
}

func (c clientConn) Write(b []byte) (int, error) { return c.WriteToUDPAddrPort(b, c.client) }
