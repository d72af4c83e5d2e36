package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/m3o/platform/internal/kube/addresses"
	"github.com/m3o/platform/internal/kube/network/service"
)

const (
	// dialTimeout bounds the whole way to a server, attemptTimeout one of
	// several endpoints.
	dialTimeout    = 10 * time.Second
	attemptTimeout = 2 * time.Second
	maxAttempts    = 8
)

var (
	// errRefused: there is nobody at the address, now.
	errRefused = errors.New("connection refused")
	// errUnreachable: there is no such address.
	errUnreachable = errors.New("no route to host")
)

var protocols = map[string]corev1.Protocol{
	"tcp": corev1.ProtocolTCP, "tcp4": corev1.ProtocolTCP,
	"udp": corev1.ProtocolUDP, "udp4": corev1.ProtocolUDP,
}

// target is where a connection goes.
type target struct {
	// inside is true when it stays in the cluster.
	inside bool
	// dial connects on behalf of the client. valid, which may be nil, says
	// whether the server should still be talked to.
	dial func(ctx context.Context, client netip.Addr) (conn net.Conn, valid func() bool, err error)
}

// route decides where a connection to an address goes.
func (n *Network) route(protocol corev1.Protocol, to netip.AddrPort) (target, error) {
	addr := to.Addr()
	switch {
	case !addr.Is4():
		return target{}, fmt.Errorf("%w: the cluster has only IPv4", errUnreachable)
	case addr == addresses.Machine && (protocol != corev1.ProtocolTCP || !slices.Contains(n.cfg.OpenPorts, to.Port())):
		return target{}, fmt.Errorf("%w: %s port %d of the machine is not open to pods", errRefused, protocol, to.Port())
	case addr == addresses.Machine:
		return n.outside(protocol, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), to.Port()).String()), nil
	case addr == addresses.Gateway:
		return target{}, errRefused
	case addresses.PodCIDR.Contains(addr):
		return n.direct(protocol, to), nil
	case protocol == corev1.ProtocolTCP && to == addresses.APIService:
		out := n.outside(protocol, n.cfg.APIServer)
		out.inside = true
		return out, nil
	case addresses.ServiceCIDR.Contains(addr):
		return n.toService(protocol, to)
	case forbidden(addr):
		return target{}, errUnreachable
	}
	return n.outside(protocol, to.String()), nil
}

// outside is an ordinary socket of this process.
func (n *Network) outside(protocol corev1.Protocol, to string) target {
	return target{dial: func(ctx context.Context, _ netip.Addr) (net.Conn, func() bool, error) {
		network := "tcp4"
		if protocol == corev1.ProtocolUDP {
			network = "udp4"
		}
		conn, err := n.dialOutside(ctx, network, to)
		return conn, nil, err
	}}
}

// direct is a pod or a node.
func (n *Network) direct(protocol corev1.Protocol, to netip.AddrPort) target {
	return target{inside: true, dial: func(ctx context.Context, _ netip.Addr) (net.Conn, func() bool, error) {
		conn, err := n.dialEndpoint(ctx, protocol, to)
		return conn, nil, err
	}}
}

func (n *Network) dialEndpoint(ctx context.Context, protocol corev1.Protocol, to netip.AddrPort) (net.Conn, error) {
	if protocol == corev1.ProtocolUDP {
		return n.dialDatagrams(to)
	}
	conn, err := n.dialStream(ctx, to)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func (n *Network) toService(protocol corev1.Protocol, to netip.AddrPort) (target, error) {
	port, err := n.table.Find(protocol, to)
	if errors.Is(err, service.ErrUnknownAddress) {
		return target{}, fmt.Errorf("%w: %w", errUnreachable, err)
	}
	if err != nil {
		return target{}, fmt.Errorf("%w: %w", errRefused, err)
	}
	if port.Candidates() == 0 {
		return target{}, fmt.Errorf("%w: the service has no ready endpoint", errRefused)
	}
	return n.balanced(protocol, port), nil
}

// balanced is a port of a Service.
func (n *Network) balanced(protocol corev1.Protocol, port *service.Port) target {
	return target{inside: true, dial: func(ctx context.Context, client netip.Addr) (net.Conn, func() bool, error) {
		conn, to, err := n.dialPort(ctx, protocol, port, client)
		if err != nil {
			return nil, nil, err
		}
		return conn, func() bool { return port.Serves(to) }, nil
	}}
}

// dialPort connects to an endpoint of the port. An endpoint that does not
// answer may be one that just ended: the others are tried before giving up.
func (n *Network) dialPort(ctx context.Context, protocol corev1.Protocol, port *service.Port, client netip.Addr) (net.Conn, netip.AddrPort, error) {
	var failed []netip.AddrPort
	lastErr := fmt.Errorf("%w: the service has no ready endpoint", errRefused)
	for len(failed) < maxAttempts {
		to, ok := port.Pick(client, failed)
		if !ok {
			break
		}
		conn, err := n.attempt(ctx, protocol, to, port.Candidates() > len(failed)+1)
		if err == nil {
			return conn, to, nil
		}
		if ctx.Err() != nil {
			return nil, netip.AddrPort{}, err
		}
		port.Suspect(to)
		failed, lastErr = append(failed, to), err
	}
	return nil, netip.AddrPort{}, lastErr
}

// attempt dials one endpoint, impatiently if there are others.
func (n *Network) attempt(ctx context.Context, protocol corev1.Protocol, to netip.AddrPort, others bool) (net.Conn, error) {
	if others {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
	}
	return n.dialEndpoint(ctx, protocol, to)
}
