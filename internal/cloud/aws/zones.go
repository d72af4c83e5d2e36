package aws

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/m3o/platform/internal/fault"
)

// A region lies in three zones, or in two where there are no more: EKS wants two at least.
const (
	fewestZones = 2
	mostZones   = 3
)

// without are zones, by their ids, in which EKS places no control plane (docs.aws.amazon.com/eks/latest/userguide/network-reqs.html,
// 2026-11).
var without = []string{"use1-az3", "usw1-az2", "cac1-az3"}

// zones are the names of the zones that a new region is laid out in, in order.
func (at *place) zones(ctx context.Context) ([]string, error) {
	found, err := at.ec2.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{Filters: []types.Filter{
		filter("zone-type", "availability-zone"), filter("state", "available"), filter("opt-in-status", "opt-in-not-required", "opted-in")}})
	if err != nil {
		return nil, at.explain(err, "list the availability zones")
	}
	var names []string
	for _, z := range found.AvailabilityZones {
		if !slices.Contains(without, aws.ToString(z.ZoneId)) {
			names = append(names, aws.ToString(z.ZoneName))
		}
	}
	if len(names) < fewestZones {
		return nil, fault.New(fault.Failed, "EKS needs %d availability zones, and %s has for this account only %v", fewestZones, at.location, names)
	}
	slices.Sort(names)
	return names[:min(len(names), mostZones)], nil
}

// defaultRange is the network's where the spec names none.
const defaultRange = "10.0.0.0/16"

// layout is one subnet to be.
type layout struct {
	zone   string
	cidr   string
	public bool
}

// layouts divides a region's range: the first three quarters are the zones' private subnets, and quarters of the fourth their
// public ones.
func layouts(cidr string, zones []string) ([]layout, error) {
	whole, err := netip.ParsePrefix(cidr)
	if err != nil || !whole.Addr().Is4() || whole.Bits() > 20 || whole.Bits() < 16 {
		return nil, fault.New(fault.Invalid, "cidr: %q is not a range of IPv4 addresses between a /16 and a /20", cidr)
	}
	var all []layout
	for i, zone := range zones {
		all = append(all, layout{zone: zone, cidr: part(whole, 2, i)})
	}
	last := netip.MustParsePrefix(part(whole, 2, mostZones))
	for i, zone := range zones {
		all = append(all, layout{zone: zone, cidr: part(last, 2, i), public: true})
	}
	return all, nil
}

// part is the n-th part of a range that is divided by so many bits.
func part(whole netip.Prefix, bits, n int) string {
	length := whole.Bits() + bits
	four := whole.Masked().Addr().As4()
	first := binary.BigEndian.Uint32(four[:]) + uint32(n)<<(32-length)
	binary.BigEndian.PutUint32(four[:], first)
	return netip.PrefixFrom(netip.AddrFrom4(four), length).String()
}

// name says where a subnet is and what for: "m3o-micro-use1-private-us-east-1a".
func (l layout) name(network string) string {
	return fmt.Sprintf("%s-%s-%s", network, l.purpose(), l.zone)
}

func (l layout) purpose() string {
	if l.public {
		return "public"
	}
	return "private"
}

// roles are the tags by which load balancers find their subnets.
func (l layout) roles(cluster string) map[string]string {
	role := "kubernetes.io/role/internal-elb"
	if l.public {
		role = "kubernetes.io/role/elb"
	}
	return map[string]string{role: "1", clusterTag(cluster): "shared"}
}
