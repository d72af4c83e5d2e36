package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/m3o/platform/internal/kube/network/flow"
)

const (
	dialTimeout  = 10 * time.Second
	datagramIdle = time.Minute
	acceptPause  = 50 * time.Millisecond
)

// socket is a port of a Service on the machine.
type socket struct {
	protocol corev1.Protocol
	port     int32
}

// frontend is the machine's side of one Service.
type frontend struct {
	balancer *Balancer
	name     types.NamespacedName
	addr     netip.Addr
	open     map[socket]*listener
}

// listener is one open socket. Connections outlive it: close stops new ones.
type listener struct {
	close func()
	done  chan struct{}
}

func newFrontend(b *Balancer, name types.NamespacedName, addr netip.Addr) *frontend {
	return &frontend{balancer: b, name: name, addr: addr, open: map[socket]*listener{}}
}

// update opens and closes sockets until they are the wanted ones, and returns
// why some could not be opened.
func (f *frontend) update(wanted []socket) map[socket]error {
	for s, l := range f.open {
		if !slices.Contains(wanted, s) {
			l.close()
			<-l.done
			delete(f.open, s)
		}
	}
	failures := map[socket]error{}
	for _, s := range wanted {
		if f.open[s] != nil {
			continue
		}
		l, err := f.listen(s)
		if err != nil {
			failures[s] = err
			continue
		}
		f.open[s] = l
	}
	return failures
}

func (f *frontend) listen(s socket) (*listener, error) {
	at := net.JoinHostPort(f.addr.String(), strconv.Itoa(int(s.port)))
	switch s.protocol {
	case corev1.ProtocolTCP:
		l, err := net.Listen("tcp4", at)
		if err != nil {
			return nil, explain(s, at, err)
		}
		return f.serveStreams(s, l), nil
	case corev1.ProtocolUDP:
		conn, err := net.ListenPacket("udp4", at)
		if err != nil {
			return nil, explain(s, at, err)
		}
		return f.serveDatagrams(s, conn.(*net.UDPConn)), nil
	}
	return nil, fmt.Errorf("%s port %d: only TCP and UDP are served", s.protocol, s.port)
}

// explain says what a user can do about a port that cannot be had.
func explain(s socket, at string, err error) error {
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s %s: this machine keeps low ports for root; use a port above 1023, or lower net.ipv4.ip_unprivileged_port_start", s.protocol, at)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s %s: another program on this machine uses it", s.protocol, at)
	}
	return fmt.Errorf("%s %s: %w", s.protocol, at, err)
}

func (f *frontend) serveStreams(s socket, l net.Listener) *listener {
	ctx, cancel := context.WithCancel(context.Background())
	served := &listener{close: func() { cancel(); _ = l.Close() }, done: make(chan struct{})}
	b := f.balancer
	b.running.Go(func() {
		defer close(served.done)
		for {
			conn, err := l.Accept()
			if err == nil {
				b.running.Go(func() { f.serveStream(s, conn.(*net.TCPConn)) })
				continue
			}
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			b.Logger.Warn("cannot accept", "service", f.name, "error", err)
			time.Sleep(acceptPause)
		}
	})
	return served
}

// serveStream connects one client with an endpoint. A client that none can
// be found for is reset, as by a closed port.
func (f *frontend) serveStream(s socket, client *net.TCPConn) {
	b := f.balancer
	if !b.streams.Take() {
		flow.Abort(client)
		return
	}
	defer b.streams.Release()
	ctx, cancel := context.WithTimeout(b.ctx, dialTimeout)
	defer cancel()
	server, _, err := f.dial(ctx, s, client.RemoteAddr().(*net.TCPAddr).AddrPort())
	if err != nil {
		b.Logger.Debug("no endpoint for a connection", "service", f.name, "error", err)
		flow.Abort(client)
		return
	}
	flow.Splice(b.ctx, client, server.(flow.Stream))
}

func (f *frontend) serveDatagrams(s socket, conn *net.UDPConn) *listener {
	ctx, cancel := context.WithCancel(f.balancer.ctx)
	served := &listener{close: cancel, done: make(chan struct{})}
	packets := flow.Packets{
		Conn: conn, Limit: f.balancer.datagrams, Idle: datagramIdle,
		Dial: func(ctx context.Context, client netip.AddrPort) (net.Conn, func() bool, error) {
			return f.dial(ctx, s, client)
		},
	}
	f.balancer.running.Go(func() {
		defer close(served.done)
		if err := packets.Serve(ctx); err != nil {
			f.balancer.Logger.Warn("a load balancer's socket failed", "service", f.name, "error", err)
		}
	})
	return served
}

func (f *frontend) dial(ctx context.Context, s socket, client netip.AddrPort) (net.Conn, func() bool, error) {
	port, err := f.balancer.Table.Port(f.name, s.protocol, s.port)
	if err != nil {
		return nil, nil, err
	}
	return f.balancer.Dial(ctx, s.protocol, port, client.Addr())
}
