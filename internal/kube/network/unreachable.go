package network

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// quoted is how much of a packet an ICMP error repeats behind the IP header:
// enough for the sender to know its connection again.
const quoted = 8

// sendUnreachable tells the sender of a packet that there is no such host. The
// stack can say by itself only that a port is closed.
func (n *Network) sendUnreachable(id stack.TransportEndpointID, packet *stack.PacketBuffer) {
	route, err := n.stack.FindRoute(nic, id.LocalAddress, id.RemoteAddress, header.IPv4ProtocolNumber, false)
	if err != nil {
		return
	}
	defer route.Release()
	quote := packet.NetworkHeader().View()
	defer quote.Release()
	transport := packet.TransportHeader().Slice()
	if len(transport) < quoted {
		return
	}
	answer := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: int(route.MaxHeaderLength()) + header.ICMPv4MinimumSize,
		Payload:            buffer.MakeWithData(append(append([]byte{}, quote.AsSlice()...), transport[:quoted]...)),
	})
	defer answer.DecRef()
	answer.TransportProtocolNumber = header.ICMPv4ProtocolNumber
	icmp := header.ICMPv4(answer.TransportHeader().Push(header.ICMPv4MinimumSize))
	icmp.SetType(header.ICMPv4DstUnreachable)
	icmp.SetCode(header.ICMPv4HostUnreachable)
	icmp.SetChecksum(0)
	icmp.SetChecksum(^checksum.Checksum(icmp, answer.Data().Checksum()))
	_ = route.WritePacket(stack.NetworkHeaderParams{
		Protocol: header.ICMPv4ProtocolNumber, TTL: route.DefaultTTL(), TOS: stack.DefaultTOS,
	}, answer)
}
