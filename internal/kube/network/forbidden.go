package network

import (
	"net/netip"
	"slices"
)

// neverDialled are the networks that no pod and no node reaches through this
// process: it may be on a cloud's machine, whose own services answer there.
var neverDialled = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),          // this machine
	netip.MustParsePrefix("100.64.0.0/10"),      // between a provider and its customers; metadata of some clouds
	netip.MustParsePrefix("127.0.0.0/8"),        // the machine's loopback, but for addresses.Machine
	netip.MustParsePrefix("168.63.129.16/32"),   // the host of an Azure machine, which hands out its secrets
	netip.MustParsePrefix("169.254.0.0/16"),     // link-local: metadata of most clouds
	netip.MustParsePrefix("224.0.0.0/4"),        // multicast
	netip.MustParsePrefix("255.255.255.255/32"), // broadcast
	netip.MustParsePrefix("::/127"),             // this machine and its loopback
	netip.MustParsePrefix("fd00:ec2::/32"),      // metadata of Amazon's machines
	netip.MustParsePrefix("fe80::/10"),          // link-local
	netip.MustParsePrefix("ff00::/8"),           // multicast
}

// carriers are IPv6 networks whose addresses end with the IPv4 address that they
// lead to.
var carriers = []netip.Prefix{
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("64:ff9b::/96"),
}

// forbidden says that an address is never dialled for a pod, in whichever form it
// is written.
func forbidden(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	within := func(p netip.Prefix) bool { return p.Contains(addr) }
	if slices.ContainsFunc(neverDialled, within) {
		return true
	}
	if !slices.ContainsFunc(carriers, within) {
		return false
	}
	bytes := addr.As16()
	return forbidden(netip.AddrFrom4([4]byte(bytes[12:])))
}
