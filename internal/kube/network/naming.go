package network

import (
	"fmt"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/m3o/platform/internal/kube/addresses"
	"github.com/m3o/platform/internal/kube/network/names"
)

const dnsPort = 53

// serveNames starts the name server on the stack.
func (n *Network) serveNames() error {
	at := fullAddress(netip.AddrPortFrom(addresses.DNSService, dnsPort))
	packets, err := gonet.DialUDP(n.stack, &at, nil, header.IPv4ProtocolNumber)
	if err != nil {
		return fmt.Errorf("listen for names on udp %s: %w", addresses.DNSService, err)
	}
	listener, err := gonet.ListenTCP(n.stack, at, header.IPv4ProtocolNumber)
	if err != nil {
		_ = packets.Close()
		return fmt.Errorf("listen for names on tcp %s: %w", addresses.DNSService, err)
	}
	n.names = names.New(names.Config{
		Domain: addresses.ClusterDomain, Table: n.table, Resolvers: n.cfg.Resolvers, Logger: n.log,
		Networks: []netip.Prefix{addresses.PodCIDR, addresses.ServiceCIDR},
		Hosts:    map[string]netip.Addr{addresses.MachineName: addresses.Machine, addresses.APIName: addresses.APIService.Addr()},
	})
	n.names.Serve(packets, listener)
	return nil
}
