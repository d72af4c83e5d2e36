package network

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/m3o/platform/internal/kube/addresses"
	"github.com/m3o/platform/internal/kube/network/wire"
)

const (
	nic = 1

	// Buffers of a connection: what it starts with and may grow to.
	bufferMin, bufferDefault, bufferMax = 4 << 10, 256 << 10, 2 << 20

	// Both ends of every connection are on this machine, so nothing old comes
	// back from a far network; ports are free again soon.
	timeWait = 2 * time.Second

	// A pod that is gone does not answer ARP. The defaults take three seconds
	// to notice, these one.
	arpProbes   = 3
	arpInterval = 300 * time.Millisecond
)

var gatewayMAC = wire.MACOf(addresses.Gateway)

// newStack makes the IP stack of the gateway. It accepts packets for any
// address and may answer as any: it stands for all Services and the outside.
func newStack(endpoint stack.LinkEndpoint) (*stack.Stack, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
		NUDConfigs:         neighbours(),
	})
	if err := setUp(s, endpoint); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func setUp(s *stack.Stack, endpoint stack.LinkEndpoint) error {
	if err := tuneTCP(s); err != nil {
		return err
	}
	if err := s.CreateNIC(nic, endpoint); err != nil {
		return fmt.Errorf("create the interface: %s", err)
	}
	if err := s.SetPromiscuousMode(nic, true); err != nil {
		return fmt.Errorf("accept all addresses: %s", err)
	}
	if err := s.SetSpoofing(nic, true); err != nil {
		return fmt.Errorf("answer as any address: %s", err)
	}
	for _, prefix := range []netip.Prefix{netip.PrefixFrom(addresses.Gateway, addresses.PodCIDR.Bits()), netip.PrefixFrom(addresses.DNSService, 32)} {
		address := tcpip.ProtocolAddress{
			Protocol:          header.IPv4ProtocolNumber,
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: address(prefix.Addr()), PrefixLen: prefix.Bits()},
		}
		if err := s.AddProtocolAddress(nic, address, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("add the address %s: %s", prefix, err)
		}
	}
	pods, err := tcpip.NewSubnet(address(addresses.PodCIDR.Addr()), tcpip.MaskFromBytes(net.CIDRMask(addresses.PodCIDR.Bits(), 32)))
	if err != nil {
		return fmt.Errorf("route to the pods: %w", err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: pods, NIC: nic}})
	return nil
}

func neighbours() stack.NUDConfigurations {
	config := stack.DefaultNUDConfigurations()
	config.MaxMulticastProbes, config.MaxUnicastProbes = arpProbes, arpProbes
	config.RetransmitTimer = arpInterval
	return config
}

func tuneTCP(s *stack.Stack) error {
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	// The stack's RACK loses its way with segments as large as ours.
	recovery := tcpip.TCPRecovery(0)
	send := tcpip.TCPSendBufferSizeRangeOption{Min: bufferMin, Default: bufferDefault, Max: bufferMax}
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: bufferMin, Default: bufferDefault, Max: bufferMax}
	// Its CUBIC shrinks the window at every acknowledgement when round trips
	// are as short as here, down to nothing: the connection stands still.
	congestion, wait := tcpip.CongestionControlOption("reno"), tcpip.TCPTimeWaitTimeoutOption(timeWait)
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &recovery, &send, &receive, &congestion, &wait} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return fmt.Errorf("set the TCP option %T: %s", option, err)
		}
	}
	return nil
}

func address(addr netip.Addr) tcpip.Address { return tcpip.AddrFrom4(addr.As4()) }

func fullAddress(to netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nic, Addr: address(to.Addr()), Port: to.Port()}
}

func addrPort(addr tcpip.Address, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4(addr.As4()), port)
}
