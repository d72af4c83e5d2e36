package dev

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/m3o/platform/internal/fault"
)

// Reach is how the nodes of clusters that are not ours reach the registry of this machine. The zero value is for clusters
// of our own, which find it on the loopback.
type Reach struct {
	Name    string         // "host:port", the beginning of every image's name
	Listen  netip.AddrPort // the address of this machine behind it
	Network netip.Prefix   // of the interface with that address: who may read
}

// NewReach reads "host" or "host:port". The host is an address of this machine, or a name that stands for one.
func NewReach(ctx context.Context, text string, port int) (Reach, error) {
	host, number, err := net.SplitHostPort(text)
	if err != nil {
		host, number = text, strconv.Itoa(port)
	}
	at, err := strconv.ParseUint(number, 10, 16)
	if err != nil || at == 0 {
		return Reach{}, fault.New(fault.Invalid, "%q is not a port", number)
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	if err != nil {
		return Reach{}, fault.Wrap(fault.Invalid, err, "%q is neither an IPv4 address nor a name that stands for one", host)
	}
	networks, err := networksHere()
	if err != nil {
		return Reach{}, err
	}
	for _, address := range found {
		for _, network := range networks {
			if network.Addr() == address.Unmap() {
				return Reach{Name: net.JoinHostPort(host, number), Listen: netip.AddrPortFrom(network.Addr(), uint16(at)), Network: network.Masked()}, nil
			}
		}
	}
	return Reach{}, fault.New(fault.Invalid, "%q is not an address of this machine that others can reach; it has %s", host, addressesOf(networks))
}

// networksHere are this machine's IPv4 addresses, but for those on the loopback, each with its network.
func networksHere() ([]netip.Prefix, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the addresses of this machine: %w", err)
	}
	var networks []netip.Prefix
	for _, a := range addresses {
		if network, err := netip.ParsePrefix(a.String()); err == nil && network.Addr().Is4() && !network.Addr().IsLoopback() {
			networks = append(networks, network)
		}
	}
	return networks, nil
}

func addressesOf(networks []netip.Prefix) string {
	if len(networks) == 0 {
		return "none"
	}
	var all []string
	for _, n := range networks {
		all = append(all, n.Addr().String())
	}
	return strings.Join(all, ", ")
}
