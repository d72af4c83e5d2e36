// Package inside tells what lies inside the network that the platform runs in, so that addresses which strangers name are called only
// where that gives nothing away.
//
// It decides and dials; it makes no requests. Addresses are looked at when they are dialled, after names were resolved.
package inside

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// List is what may be reached although it lies inside.
type List struct {
	hosts    []string // "host" or "host:port"
	networks []netip.Prefix
}

// Parse reads a list of hosts ("registry.example", "localhost:5000") and networks ("10.1.0.0/16") with commas between.
func Parse(list string) (List, error) {
	var in List
	for item := range strings.SplitSeq(list, ",") {
		item = strings.ToLower(strings.TrimSpace(item))
		if network, err := netip.ParsePrefix(item); err == nil {
			in.networks = append(in.networks, network.Masked())
			continue
		}
		if strings.ContainsAny(item, "/@ ") {
			return List{}, fault.New(fault.Invalid, "%q is neither HOST, HOST:PORT nor a network like 10.1.0.0/16", item)
		}
		if item != "" {
			in.hosts = append(in.hosts, item)
		}
	}
	return in, nil
}

// Names reports whether the list names what is called (host:port), whatever address that has.
func (in List) Names(address string) bool {
	address = strings.ToLower(address)
	host, _, err := net.SplitHostPort(address)
	return slices.Contains(in.hosts, address) || err == nil && slices.Contains(in.hosts, host)
}

// Lists reports whether the address lies in a network of the list.
func (in List) Lists(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(in.networks, func(network netip.Prefix) bool { return network.Contains(ip) })
}

// Permits reports whether the address lies outside, or in a network of the list.
func (in List) Permits(ip netip.Addr) bool {
	if in.Lists(ip) {
		return true
	}
	ip = ip.Unmap().WithZone("")
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !slices.ContainsFunc(special, func(network netip.Prefix) bool { return network.Contains(ip) })
}

// special are networks that nothing public is in, beside those that netip knows of: a provider's own, and ways to
// write an inner IPv4 address as one of IPv6.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),    // between a provider and its customers; some clouds' metadata
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's machines' own services
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("fec0::/10"),
}

const dialTime = 30 * time.Second

// Dial connects as a net.Dialer does, but for addresses that are not permitted: for those it returns what refused makes of the address
// that was called, and sends nothing.
func (in List) Dial(ctx context.Context, network, address string, refused func(address string) error) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTime, KeepAlive: dialTime}
	if in.Names(address) {
		return dialer.DialContext(ctx, network, address)
	}
	dialer.Control = func(_, resolved string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(resolved)
		if err != nil || !in.Permits(at.Addr()) {
			return errors.Join(refused(address), err)
		}
		return nil
	}
	return dialer.DialContext(ctx, network, address)
}
