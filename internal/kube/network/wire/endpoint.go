package wire

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	// MTU of every interface of a cluster. Larger would win little, because
	// TCP crosses the wire in segments of up to maxSegment anyway, and would
	// hide the mistakes that a program shows on a real network.
	MTU = 1500

	// maxSegment bounds what the stack sends at once; with all headers it
	// stays below the largest IPv4 packet.
	maxSegment = 60 << 10
)

// Endpoint is the switch's port into the IP stack: a link endpoint for
// stack.CreateNIC. It hands segmentation and checksums to the kernels of the
// nodes.
type Endpoint struct {
	mac       MAC
	addresses map[netip.Addr]bool
	out       *Switch
	stack     atomic.Pointer[dispatcher]
}

// dispatcher is in a struct so that it can be swapped atomically.
type dispatcher struct{ stack.NetworkDispatcher }

var (
	_ stack.LinkEndpoint = (*Endpoint)(nil)
	_ stack.GSOEndpoint  = (*Endpoint)(nil)
)

// NewEndpoint makes the port with its hardware address. The stack behind it
// accepts packets for any address, so it would also claim them all in ARP:
// only the given addresses are answered for.
func NewEndpoint(mac MAC, addresses ...netip.Addr) *Endpoint {
	e := &Endpoint{mac: mac, addresses: map[netip.Addr]bool{}}
	for _, address := range addresses {
		e.addresses[address] = true
	}
	return e
}

// deliver hands a frame to the stack and takes it over.
func (e *Endpoint) deliver(frame *buffer.View) {
	to := e.stack.Load()
	if to == nil {
		frame.Release()
		return
	}
	protocol := tcpip.NetworkProtocolNumber(binary.BigEndian.Uint16(frame.AsSlice()[OffloadSize+12:]))
	frame.TrimFront(OffloadSize + EtherSize)
	packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(frame)})
	to.DeliverNetworkPacket(protocol, packet)
	packet.DecRef()
}

// WritePackets implements stack.LinkWriter. It never waits: it is called with
// the stack's locks held.
func (e *Endpoint) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	n := 0
	for _, packet := range packets.AsSlice() {
		e.write(packet)
		n++
	}
	return n, nil
}

func (e *Endpoint) write(packet *stack.PacketBuffer) {
	if packet.NetworkProtocolNumber == header.ARPProtocolNumber && !e.answersFor(packet) {
		return
	}
	size, link := packet.Size(), []byte(packet.EgressRoute.RemoteLinkAddress)
	if size > MaxFrame-OffloadSize-EtherSize || len(link) != len(MAC{}) {
		e.out.count(false)
		return
	}
	var head [OffloadSize + EtherSize]byte
	offload(packet).Put(head[:])
	to := MAC(link)
	copy(head[OffloadSize:], to[:])
	copy(head[OffloadSize+6:], e.mac[:])
	binary.BigEndian.PutUint16(head[OffloadSize+12:], uint16(packet.NetworkProtocolNumber))

	frame := buffer.NewView(len(head) + size)
	_, _ = frame.Write(head[:])
	for _, part := range packet.AsSlices() {
		_, _ = frame.Write(part)
	}
	e.out.forward(nil, to, frame)
}

// answersFor says whether an outgoing ARP packet may be sent: every question,
// and the answers about our own addresses.
func (e *Endpoint) answersFor(packet *stack.PacketBuffer) bool {
	arp := header.ARP(packet.NetworkHeader().Slice())
	if !arp.IsValid() {
		return false
	}
	if arp.Op() != header.ARPReply {
		return true
	}
	return e.addresses[netip.AddrFrom4([4]byte(arp.ProtocolAddressSender()))]
}

func offload(packet *stack.PacketBuffer) Offload {
	gso := packet.GSOOptions
	if gso.Type != stack.GSOTCPv4 {
		return Offload{}
	}
	o := Offload{HeaderLength: uint16(EtherSize + packet.HeaderSize())}
	if gso.NeedsCsum {
		o.Flags = FlagNeedsChecksum
		o.ChecksumStart = EtherSize + gso.L3HdrLen
		o.ChecksumOffset = gso.CsumOffset
	}
	if packet.Data().Size() > int(gso.MSS) {
		o.Segment, o.SegmentSize = SegmentTCPv4, gso.MSS
	}
	return o
}

// Attach implements stack.NetworkLinkEndpoint.
func (e *Endpoint) Attach(to stack.NetworkDispatcher) {
	if to == nil {
		e.stack.Store(nil)
		return
	}
	e.stack.Store(&dispatcher{to})
}

// IsAttached implements stack.NetworkLinkEndpoint.
func (e *Endpoint) IsAttached() bool { return e.stack.Load() != nil }

// MTU implements stack.NetworkLinkEndpoint.
func (e *Endpoint) MTU() uint32 { return MTU }

// SetMTU implements stack.NetworkLinkEndpoint; the size is fixed, since
// all nodes must agree on it.
func (e *Endpoint) SetMTU(uint32) {}

// MaxHeaderLength implements stack.NetworkLinkEndpoint; the headers are
// written into the frame, not into the packet.
func (e *Endpoint) MaxHeaderLength() uint16 { return 0 }

// LinkAddress implements stack.NetworkLinkEndpoint.
func (e *Endpoint) LinkAddress() tcpip.LinkAddress { return tcpip.LinkAddress(e.mac[:]) }

// SetLinkAddress implements stack.NetworkLinkEndpoint; the address is fixed.
func (e *Endpoint) SetLinkAddress(tcpip.LinkAddress) {}

// Capabilities implements stack.NetworkLinkEndpoint: checksums of what comes
// in were never filled in, because it never crossed a cable.
func (e *Endpoint) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityResolutionRequired | stack.CapabilityRXChecksumOffload
}

// GSOMaxSize implements stack.GSOEndpoint.
func (e *Endpoint) GSOMaxSize() uint32 { return maxSegment }

// SupportedGSO implements stack.GSOEndpoint.
func (e *Endpoint) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

// ARPHardwareType implements stack.NetworkLinkEndpoint.
func (e *Endpoint) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }

// AddHeader implements stack.NetworkLinkEndpoint.
func (e *Endpoint) AddHeader(*stack.PacketBuffer) {}

// ParseHeader implements stack.NetworkLinkEndpoint.
func (e *Endpoint) ParseHeader(*stack.PacketBuffer) bool { return true }

// Wait implements stack.NetworkLinkEndpoint.
func (e *Endpoint) Wait() {}

// Close implements stack.NetworkLinkEndpoint.
func (e *Endpoint) Close() {}

// SetOnCloseAction implements stack.NetworkLinkEndpoint.
func (e *Endpoint) SetOnCloseAction(func()) {}
