package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/m3o/platform/internal/kube/addresses"
)

const (
	keepaliveIdle     = 30 * time.Second
	keepaliveInterval = 10 * time.Second
	keepaliveCount    = 4
	// unheardTimeout is how long what was sent may stay unanswered. On one
	// machine that is long: the other side is gone.
	unheardTimeout = 20 * time.Second
)

// stream is a TCP connection of the stack.
type stream struct {
	*gonet.TCPConn
	endpoint tcpip.Endpoint
}

// Abort closes the connection with a reset.
func (s stream) Abort() { s.endpoint.Abort() }

// newStream wraps an endpoint. Pods vanish without a word, so connections ask
// from time to time whether the other side is still there.
func newStream(queue *waiter.Queue, endpoint tcpip.Endpoint) stream {
	idle, interval := tcpip.KeepaliveIdleOption(keepaliveIdle), tcpip.KeepaliveIntervalOption(keepaliveInterval)
	unheard := tcpip.TCPUserTimeoutOption(unheardTimeout)
	_ = endpoint.SetSockOpt(&unheard)
	_ = endpoint.SetSockOpt(&idle)
	_ = endpoint.SetSockOpt(&interval)
	_ = endpoint.SetSockOptInt(tcpip.KeepaliveCountOption, keepaliveCount)
	endpoint.SocketOptions().SetKeepAlive(true)
	endpoint.SocketOptions().SetDelayOption(false)
	return stream{gonet.NewTCPConn(queue, endpoint), endpoint}
}

// dialStream connects to a pod or node.
func (n *Network) dialStream(ctx context.Context, to netip.AddrPort) (stream, error) {
	queue := &waiter.Queue{}
	endpoint, err := n.stack.NewEndpoint(tcp.ProtocolNumber, header.IPv4ProtocolNumber, queue)
	if err != nil {
		return stream{}, dialError("tcp", to, err)
	}
	entry, connected := waiter.NewChannelEntry(waiter.WritableEvents)
	queue.EventRegister(&entry)
	defer queue.EventUnregister(&entry)
	err = endpoint.Connect(fullAddress(to))
	if _, started := err.(*tcpip.ErrConnectStarted); started {
		select {
		case <-ctx.Done():
			endpoint.Abort()
			return stream{}, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: ctx.Err()}
		case <-n.ctx.Done():
			endpoint.Abort()
			return stream{}, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: net.ErrClosed}
		case <-connected:
			err = endpoint.LastError()
		}
	}
	if err != nil {
		endpoint.Close()
		return stream{}, dialError("tcp", to, err)
	}
	return newStream(queue, endpoint), nil
}

// dialDatagrams makes a UDP socket connected to a pod or node.
func (n *Network) dialDatagrams(to netip.AddrPort) (net.Conn, error) {
	remote := fullAddress(to)
	conn, err := gonet.DialUDP(n.stack, nil, &remote, header.IPv4ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("dial udp %s: %w", to, err)
	}
	return conn, nil
}

func dialError(network string, to netip.AddrPort, err tcpip.Error) error {
	return &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(to), Err: errors.New(err.String())}
}

// DialContext connects to an address of the cluster: a pod, a node or a
// Service. The network is tcp or udp, the host an IPv4 address or a name of the
// cluster. Other addresses are refused: this is the way in, not out.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	protocol, ok := protocols[network]
	if !ok {
		return nil, net.UnknownNetworkError(network)
	}
	to, err := n.resolve(address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	target, err := n.route(protocol, to)
	if err == nil && !target.inside {
		err = fmt.Errorf("%w: %s is not an address of the cluster", errRefused, to.Addr())
	}
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	conn, _, err := target.dial(ctx, addresses.Gateway)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return conn, nil
}

// resolve turns host:port into an address, asking the cluster's names.
func (n *Network) resolve(address string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		if addr, err = n.names.Lookup(host); err != nil {
			return netip.AddrPort{}, err
		}
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), nil
}
