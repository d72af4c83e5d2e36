package network

import (
	"fmt"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/m3o/platform/internal/kube/network/names"
)

const dnsPort = 53

// MachineName leads pods to the machine's loopback.
const MachineName = "host.m3o.internal"

// serveNames starts the name server on the stack.
func (n *Network) serveNames() error {
	at := fullAddress(netip.AddrPortFrom(DNSService, dnsPort))
	packets, err := gonet.DialUDP(n.stack, &at, nil, header.IPv4ProtocolNumber)
	if err != nil {
		return fmt.Errorf("listen for names on udp %s: %w", DNSService, err)
	}
	listener, err := gonet.ListenTCP(n.stack, at, header.IPv4ProtocolNumber)
	if err != nil {
		_ = packets.Close()
		return fmt.Errorf("listen for names on tcp %s: %w", DNSService, err)
	}
	n.names = names.New(names.Config{
		Domain: ClusterDomain, Table: n.table, Resolvers: n.cfg.Resolvers, Logger: n.log,
		Networks: []netip.Prefix{PodCIDR, ServiceCIDR},
		Hosts:    map[string]netip.Addr{MachineName: Machine, "kubernetes.default.svc." + ClusterDomain: APIService.Addr()},
	})
	n.names.Serve(packets, listener)
	return nil
}
