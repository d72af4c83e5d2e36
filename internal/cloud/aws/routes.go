package aws

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/m3o/platform/internal/fault"
)

// routes are a route table that is to be: its way to the world, by an internet gateway or a NAT gateway, and the subnets that use it.
type routes struct {
	name, gateway, nat string
	later              bool // the NAT gateway takes no route yet
	subnets            []types.Subnet
}

// growTable makes what is missing of a route table.
func (n *network) growTable(ctx context.Context, want routes) error {
	table, err := n.table(ctx, want)
	if err != nil || table == nil {
		return err
	}
	if !want.later {
		if err := n.growRoute(ctx, table, want); err != nil {
			return err
		}
	}
	for _, s := range want.subnets {
		if n.routed(aws.ToString(s.SubnetId)) || !n.change() {
			continue
		}
		_, err := n.at.ec2.AssociateRouteTable(ctx, &ec2.AssociateRouteTableInput{RouteTableId: table.RouteTableId, SubnetId: s.SubnetId})
		err = n.at.explain(err, "associate the route table "+want.name+" with the subnet "+aws.ToString(s.SubnetId))
		if err != nil && !fault.Is(err, fault.Exists) {
			return err
		}
	}
	return nil
}

// table finds or makes the route table; nil when this step has changed enough. The token names where it leads, which no later table
// of the same name does: so it is not that of one that was deleted.
func (n *network) table(ctx context.Context, want routes) (*types.RouteTable, error) {
	i := slices.IndexFunc(n.tables, func(t types.RouteTable) bool {
		tags := tagsOf(t.Tags)
		return isOwn(tags, n.spec.Owner) && tags[nameTag] == want.name
	})
	if i >= 0 {
		return &n.tables[i], nil
	}
	if !n.change() {
		return nil, nil
	}
	request := &ec2.CreateRouteTableInput{VpcId: n.vpc.VpcId, TagSpecifications: marked(types.ResourceTypeRouteTable, want.name, n.spec.Tags)}
	request.ClientToken = token(want.gateway+want.nat, request)
	made, err := n.at.ec2.CreateRouteTable(ctx, request)
	if err != nil {
		return nil, n.at.explain(err, "create the route table "+want.name)
	}
	return made.RouteTable, nil
}

func (n *network) growRoute(ctx context.Context, table *types.RouteTable, want routes) error {
	i := slices.IndexFunc(table.Routes, func(r types.Route) bool { return aws.ToString(r.DestinationCidrBlock) == everywhere })
	leads := i >= 0 && aws.ToString(table.Routes[i].GatewayId) == want.gateway && aws.ToString(table.Routes[i].NatGatewayId) == want.nat &&
		table.Routes[i].State != types.RouteStateBlackhole
	if leads || !n.change() {
		return nil
	}
	var gateway, nat *string
	if want.gateway != "" {
		gateway = aws.String(want.gateway)
	} else {
		nat = aws.String(want.nat)
	}
	if i >= 0 {
		_, err := n.at.ec2.ReplaceRoute(ctx, &ec2.ReplaceRouteInput{RouteTableId: table.RouteTableId, DestinationCidrBlock: aws.String(everywhere), GatewayId: gateway, NatGatewayId: nat})
		return n.at.explain(err, "replace the default route of the route table "+want.name)
	}
	_, err := n.at.ec2.CreateRoute(ctx, &ec2.CreateRouteInput{RouteTableId: table.RouteTableId, DestinationCidrBlock: aws.String(everywhere), GatewayId: gateway, NatGatewayId: nat})
	err = n.at.explain(err, "create the default route of the route table "+want.name)
	if fault.Is(err, fault.Exists) { // made since we looked
		return nil
	}
	return err
}

// routed reports whether a subnet is associated with a route table of ours.
func (n *network) routed(subnet string) bool {
	return slices.ContainsFunc(n.tables, func(t types.RouteTable) bool {
		return slices.ContainsFunc(t.Associations, func(a types.RouteTableAssociation) bool { return aws.ToString(a.SubnetId) == subnet })
	})
}

// nat is the NAT gateway of a zone: the newest that is not on its way out.
func (n *network) nat(zone string) *types.NatGateway {
	for i, g := range n.nats {
		if g.State != types.NatGatewayStateDeleted && g.State != types.NatGatewayStateDeleting && n.lies(g, zone) {
			return &n.nats[i]
		}
	}
	return nil
}

// lies reports whether a NAT gateway is in the public subnet of the zone.
func (n *network) lies(g types.NatGateway, zone string) bool {
	return slices.ContainsFunc(n.subnetsOf(true, zone), func(s types.Subnet) bool { return aws.ToString(s.SubnetId) == aws.ToString(g.SubnetId) })
}

// growNATs makes a NAT gateway in every zone that is to have one. Those that were deleted are listed for a while: they are in
// the token, so that another one is another request.
func (n *network) growNATs(ctx context.Context) error {
	for i, zone := range n.exits() {
		subnets := n.subnetsOf(true, zone)
		if n.nat(zone) != nil || len(subnets) == 0 {
			continue
		}
		earlier := ""
		for _, g := range n.nats {
			if n.lies(g, zone) {
				if g.State == types.NatGatewayStateDeleting {
					return fault.New(fault.Conflict, "the NAT gateway %s in %s is still being deleted", aws.ToString(g.NatGatewayId), zone)
				}
				earlier += aws.ToString(g.NatGatewayId)
			}
		}
		if !n.change() {
			return nil
		}
		name := networkName(n.spec) + "-" + zone
		request := &ec2.CreateNatGatewayInput{SubnetId: subnets[0].SubnetId, AllocationId: n.addresses[i].AllocationId, ConnectivityType: types.ConnectivityTypePublic,
			TagSpecifications: marked(types.ResourceTypeNatgateway, name, n.spec.Tags)}
		request.ClientToken = token(earlier, request)
		made, err := n.at.ec2.CreateNatGateway(ctx, request)
		if err != nil {
			return n.at.explain(err, "create the NAT gateway "+name)
		}
		n.nats = append(n.nats, *made.NatGateway)
	}
	return nil
}
