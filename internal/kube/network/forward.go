package network

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
	corev1 "k8s.io/api/core/v1"

	"github.com/m3o/platform/internal/kube/addresses"
	"github.com/m3o/platform/internal/kube/network/flow"
)

const (
	maxStreams       = 16384
	maxDatagramFlows = 8192
	// maxHandshakes bounds connections whose server is still being dialled.
	maxHandshakes = 4096
	// datagramIdle is after how long of silence a UDP flow is forgotten.
	datagramIdle = time.Minute
)

// forward takes the connections that pods open to anything but each other.
func (n *Network) forward() {
	streams := tcp.NewForwarder(n.stack, 0, maxHandshakes, n.acceptStream)
	datagrams := udp.NewForwarder(n.stack, n.acceptDatagrams)
	n.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, func(id stack.TransportEndpointID, packet *stack.PacketBuffer) bool {
		if _, err := n.routeOut(corev1.ProtocolTCP, id); errors.Is(err, errUnreachable) && opens(packet) {
			n.sendUnreachable(id, packet)
			return true
		}
		return streams.HandlePacket(id, packet)
	})
	n.stack.SetTransportProtocolHandler(udp.ProtocolNumber, func(id stack.TransportEndpointID, packet *stack.PacketBuffer) bool {
		_, err := n.routeOut(corev1.ProtocolUDP, id)
		// The stack answers "port unreachable" to what is not handled, the only
		// thing that makes UDP clients fail at once.
		return err == nil && datagrams.HandlePacket(id, packet)
	})
}

// routeOut routes what came to the gateway. A pod's address cannot be meant:
// the switch would have carried the packet there.
func (n *Network) routeOut(protocol corev1.Protocol, id stack.TransportEndpointID) (target, error) {
	to := addrPort(id.LocalAddress, id.LocalPort)
	if addresses.PodCIDR.Contains(to.Addr()) && to.Addr() != addresses.Machine {
		return target{}, errRefused
	}
	return n.route(protocol, to)
}

// opens says whether a TCP packet opens a connection.
func opens(packet *stack.PacketBuffer) bool {
	tcp := header.TCP(packet.TransportHeader().Slice())
	return len(tcp) >= header.TCPMinimumSize && tcp.Flags()&(header.TCPFlagSyn|header.TCPFlagAck) == header.TCPFlagSyn
}

// acceptStream runs in a goroutine of its own. It answers the client only
// when the server has answered, so that "refused" stays "refused".
func (n *Network) acceptStream(request *tcp.ForwarderRequest) {
	if !n.enter() {
		request.Complete(true)
		return
	}
	defer n.running.Done()
	if !n.streams.Take() {
		request.Complete(true)
		return
	}
	defer n.streams.Release()
	n.serveStream(request)
}

func (n *Network) serveStream(request *tcp.ForwarderRequest) {
	id := request.ID()
	server, err := n.dialOut(id)
	if err != nil {
		n.log.Debug("a connection was refused", "to", addrPort(id.LocalAddress, id.LocalPort), "error", err)
		request.Complete(true)
		return
	}
	queue := &waiter.Queue{}
	endpoint, terr := request.CreateEndpoint(queue)
	if terr != nil {
		request.Complete(true)
		flow.Abort(server)
		return
	}
	request.Complete(false)
	flow.Splice(n.ctx, newStream(queue, endpoint), server)
}

func (n *Network) dialOut(id stack.TransportEndpointID) (flow.Stream, error) {
	target, err := n.routeOut(corev1.ProtocolTCP, id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(n.ctx, dialTimeout)
	defer cancel()
	conn, _, err := target.dial(ctx, netip.AddrFrom4(id.RemoteAddress.As4()))
	if err != nil {
		return nil, err
	}
	return conn.(flow.Stream), nil
}

// acceptDatagrams runs on the stack's own goroutine: it makes the socket, which
// takes the first datagram, and leaves the rest to another.
func (n *Network) acceptDatagrams(request *udp.ForwarderRequest) {
	if !n.datagrams.Take() {
		return
	}
	queue := &waiter.Queue{}
	endpoint, err := request.CreateEndpoint(queue)
	if err != nil || !n.enter() {
		if err == nil {
			endpoint.Close()
		}
		n.datagrams.Release()
		return
	}
	go func() {
		defer n.running.Done()
		defer n.datagrams.Release()
		n.serveDatagrams(gonet.NewUDPConn(queue, endpoint), request.ID())
	}()
}

func (n *Network) serveDatagrams(client *gonet.UDPConn, id stack.TransportEndpointID) {
	target, err := n.routeOut(corev1.ProtocolUDP, id)
	if err != nil {
		_ = client.Close()
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, dialTimeout)
	defer cancel()
	server, valid, err := target.dial(ctx, netip.AddrFrom4(id.RemoteAddress.As4()))
	if err != nil {
		_ = client.Close()
		return
	}
	flow.Relay(n.ctx, client, server, datagramIdle, valid)
}
