package aws

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/m3o/platform/internal/region"
)

// room is how much of a quota is used, and what a region draws from it: so much for each node more, and so much once.
type room struct {
	quota         quota
	limit, used   int
	known         bool // the limit is
	perNode, once int
}

func (r room) adds(nodes int) int { return nodes*r.perNode + r.once }

// families are the quotas of instances on demand, by how the names of their types begin, longest first; all others are standard.
var families = []struct {
	begins string
	quota  quota
}{
	{"hpc", quota{"ec2", "L-F7808C92", "running on-demand HPC instances, in vCPUs"}}, {"inf", quota{"ec2", "L-1945791B", "running on-demand Inf instances, in vCPUs"}},
	{"trn", quota{"ec2", "L-2C3B7624", "running on-demand Trn instances, in vCPUs"}}, {"dl", quota{"ec2", "L-6E869C2A", "running on-demand DL instances, in vCPUs"}},
	{"vt", gpuQuota}, {"u-", quota{"ec2", "L-43DA4232", "running on-demand high memory instances, in vCPUs"}}, {"f", quota{"ec2", "L-74FC7D96", "running on-demand F instances, in vCPUs"}},
	{"g", gpuQuota}, {"p", quota{"ec2", "L-417A185B", "running on-demand P instances, in vCPUs"}}, {"x", quota{"ec2", "L-7295265B", "running on-demand X instances, in vCPUs"}},
}

var gpuQuota = quota{"ec2", "L-DB2E81BA", "running on-demand G and VT instances, in vCPUs"}

func familyOf(name string) quota {
	for _, f := range families {
		if strings.HasPrefix(name, f.begins) {
			return f.quota
		}
	}
	return cpuQuota
}

// measure finds out how much room the account has for the region.
func (s *survey) measure(ctx context.Context, want region.Spec) error {
	family := familyOf(s.size.name)
	used, err := s.at.cpusOf(ctx, family)
	if err != nil {
		return err
	}
	rooms := []room{{quota: family, used: used, perNode: s.size.cpus}}
	made, err := s.at.vpc(ctx, want.Key())
	if err != nil {
		return err
	}
	if made == nil {
		network, err := s.at.networkRooms(ctx, exits(want, s.zones), s.zones)
		if err != nil {
			return err
		}
		rooms = append(rooms, network...)
	}
	for i := range rooms {
		if rooms[i].limit, rooms[i].known, err = s.at.quota(ctx, rooms[i].quota); err != nil {
			return err
		}
	}
	s.rooms = rooms
	return nil
}

// cpusOf are the vCPUs of the instances that count for a quota.
func (at *place) cpusOf(ctx context.Context, of quota) (int, error) {
	all, err := at.instances(ctx, filter("instance-state-name", "pending", "running"))
	used := 0
	for _, i := range all {
		if familyOf(string(i.InstanceType)) == of && i.InstanceLifecycle == "" && i.CpuOptions != nil { // spot instances have a quota of their own
			used += int(aws.ToInt32(i.CpuOptions.CoreCount) * aws.ToInt32(i.CpuOptions.ThreadsPerCore))
		}
	}
	return used, err
}

// networkRooms are what a network draws from: the NAT gateways of the zone that has most.
func (at *place) networkRooms(ctx context.Context, exits int, zones []string) ([]room, error) {
	vpcs, err := every(ctx, ec2.NewDescribeVpcsPaginator(at.ec2, &ec2.DescribeVpcsInput{}), func(page *ec2.DescribeVpcsOutput) []types.Vpc { return page.Vpcs })
	if err != nil {
		return nil, at.explain(err, "count the VPCs")
	}
	addresses, err := at.ec2.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{})
	if err != nil {
		return nil, at.explain(err, "count the addresses")
	}
	nats, err := at.natsByZone(ctx)
	if err != nil {
		return nil, err
	}
	most := 0
	for _, zone := range zones[:min(exits, len(zones))] {
		most = max(most, nats[zone])
	}
	return []room{{quota: vpcQuota, used: len(vpcs), once: 1}, {quota: addressQuota, used: len(addresses.Addresses), once: exits}, {quota: natQuota, used: most, once: 1}}, nil
}

func (at *place) natsByZone(ctx context.Context) (map[string]int, error) {
	nats, err := every(ctx, ec2.NewDescribeNatGatewaysPaginator(at.ec2, &ec2.DescribeNatGatewaysInput{Filter: []types.Filter{filter("state", "pending", "available", "deleting")}}),
		func(page *ec2.DescribeNatGatewaysOutput) []types.NatGateway { return page.NatGateways })
	if err != nil || len(nats) == 0 {
		return nil, at.explain(err, "count the NAT gateways")
	}
	subnets, err := every(ctx, ec2.NewDescribeSubnetsPaginator(at.ec2, &ec2.DescribeSubnetsInput{}), func(page *ec2.DescribeSubnetsOutput) []types.Subnet { return page.Subnets })
	if err != nil {
		return nil, at.explain(err, "list the subnets")
	}
	zoneOf, count := map[string]string{}, map[string]int{}
	for _, s := range subnets {
		zoneOf[aws.ToString(s.SubnetId)] = aws.ToString(s.AvailabilityZone)
	}
	for _, g := range nats {
		count[zoneOf[aws.ToString(g.SubnetId)]]++
	}
	return count, nil
}
