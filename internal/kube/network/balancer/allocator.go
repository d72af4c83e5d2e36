package balancer

import (
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/types"
)

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// maxPrefixBits leaves room for at least two addresses.
const maxPrefixBits = 30

// ValidatePrefix says what is wrong with a prefix for load balancers: the
// machine answers at every address of 127.0.0.0/8 without being told to, and
// at no other.
func ValidatePrefix(prefix netip.Prefix) error {
	switch {
	case !prefix.IsValid() || !prefix.Addr().Is4() || !loopback.Contains(prefix.Addr()) || prefix.Bits() < loopback.Bits():
		return fmt.Errorf("load balancer prefix %s: want a part of %s", prefix, loopback)
	case prefix.Bits() > maxPrefixBits:
		return fmt.Errorf("load balancer prefix %s: it is too small, want at most /%d", prefix, maxPrefixBits)
	case prefix != prefix.Masked():
		return fmt.Errorf("load balancer prefix %s: want %s", prefix, prefix.Masked())
	case prefix.Contains(netip.AddrFrom4([4]byte{127, 0, 0, 1})):
		return fmt.Errorf("load balancer prefix %s: it holds 127.0.0.1, which is the machine's own", prefix)
	}
	return nil
}

// allocator knows which Service has which address. It is used by one goroutine.
type allocator struct {
	prefix netip.Prefix
	owners map[netip.Addr]types.NamespacedName
	addrs  map[types.NamespacedName]netip.Addr
	last   netip.Addr
}

func newAllocator(prefix netip.Prefix) *allocator {
	return &allocator{
		prefix: prefix, last: prefix.Addr(),
		owners: map[netip.Addr]types.NamespacedName{}, addrs: map[types.NamespacedName]netip.Addr{},
	}
}

// reserve gives the Service this address, instead of any it had.
func (a *allocator) reserve(name types.NamespacedName, addr netip.Addr) error {
	if !a.usable(addr) {
		return fmt.Errorf("the address %s is not one of %s", addr, a.prefix)
	}
	if owner, taken := a.owners[addr]; taken && owner != name {
		return fmt.Errorf("the address %s belongs to the service %s", addr, owner)
	}
	a.release(name)
	a.owners[addr], a.addrs[name] = name, addr
	return nil
}

// allocate returns the address that the Service has, or gives it one. The
// search goes on behind the last address that was given, so that one that was
// just released rests for a while.
func (a *allocator) allocate(name types.NamespacedName) (netip.Addr, error) {
	if addr, ok := a.addrs[name]; ok {
		return addr, nil
	}
	for range 1 << (32 - a.prefix.Bits()) {
		a.last = a.last.Next()
		if !a.prefix.Contains(a.last) {
			a.last = a.prefix.Addr()
		}
		if _, taken := a.owners[a.last]; !taken && a.usable(a.last) {
			return a.last, a.reserve(name, a.last)
		}
	}
	return netip.Addr{}, fmt.Errorf("all addresses of %s are in use", a.prefix)
}

func (a *allocator) release(name types.NamespacedName) {
	if addr, ok := a.addrs[name]; ok {
		delete(a.owners, addr)
		delete(a.addrs, name)
	}
}

// usable excludes the first and the last address of the prefix.
func (a *allocator) usable(addr netip.Addr) bool {
	return a.prefix.Contains(addr) && addr != a.prefix.Addr() && a.prefix.Contains(addr.Next())
}
