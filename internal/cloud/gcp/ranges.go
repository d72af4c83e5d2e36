package gcp

import (
	"cmp"
	"encoding/binary"
	"net/netip"

	"github.com/m3o/platform/internal/fault"
)

// defaultCIDR is the range of a region whose record has none.
const defaultCIDR = "10.0.0.0/16"

// ranges are the parts of a region's range: the first sixteenth for nodes, the second for services, the upper half for pods.
type ranges struct {
	all, nodes, services, pods netip.Prefix
}

// The names of a subnetwork's secondary ranges.
const (
	podRange     = "pods"
	serviceRange = "services"
)

func divide(cidr string) (ranges, error) {
	all, err := netip.ParsePrefix(cmp.Or(cidr, defaultCIDR))
	if err != nil || !all.Addr().Is4() || all != all.Masked() || all.Bits() < 16 || all.Bits() > 20 {
		return ranges{}, fault.New(fault.Invalid, "cidr: %q is not an IPv4 range of /16 to /20 that begins at its first address", cidr)
	}
	base := binary.BigEndian.Uint32(all.Addr().AsSlice())
	part := func(offset uint32, bits int) netip.Prefix {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], base+offset)
		return netip.PrefixFrom(netip.AddrFrom4(b), bits)
	}
	size := uint32(1) << (32 - all.Bits())
	return ranges{all: all, nodes: part(0, all.Bits()+4), services: part(size/16, all.Bits()+4), pods: part(size/2, all.Bits()+1)}, nil
}

// around is the region's range whose nodes have this one; "" of what is none.
func around(nodes string) string {
	part, err := netip.ParsePrefix(nodes)
	if err != nil || part.Bits() < 4 {
		return ""
	}
	return netip.PrefixFrom(part.Addr(), part.Bits()-4).Masked().String()
}

// podsPerNode is the most pods that a node runs. GKE gives every node twice as many addresses: a /25.
const podsPerNode = 64

// mostNodes is how many nodes have addresses for their pods. One more comes and goes with every upgrade.
func (r ranges) mostNodes() int { return 1<<(25-r.pods.Bits()) - 1 }
