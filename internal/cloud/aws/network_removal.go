package aws

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// DeleteNetwork takes one step towards the network's end. While anything has an interface in the VPC but its own NAT gateways,
// nothing is taken away from it. A VPC of that name that is not the region's stays.
func (p *Provider) DeleteNetwork(ctx context.Context, spec region.NetworkSpec, _ string) (region.Removal, error) {
	at := p.in(spec.Location)
	n := &network{at: at, spec: spec}
	var err error
	if n.vpc, err = at.vpc(ctx, spec.Owner); err != nil {
		return region.Removal{}, err
	}
	if err := n.lookAtAnchors(ctx); err != nil {
		return region.Removal{}, err
	}
	if n.vpc == nil {
		return n.removeRest(ctx)
	}
	users, err := at.usersOf(ctx, aws.ToString(n.vpc.VpcId))
	if err != nil {
		return region.Removal{}, err
	}
	if len(users) > 0 {
		return region.Removal{State: "the VPC is used by " + region.Some(users)}, nil
	}
	if err := n.lookInside(ctx); err != nil {
		return region.Removal{}, err
	}
	return n.shrink(ctx)
}

// usersOf describes what has an interface in a VPC, but for NAT gateways.
func (at *place) usersOf(ctx context.Context, vpc string) ([]string, error) {
	all, err := at.interfaces(ctx, vpc)
	if err != nil {
		return nil, err
	}
	var users []string
	for _, i := range all {
		if i.InterfaceType != types.NetworkInterfaceTypeNatGateway && i.InterfaceType != "nat_gateway" {
			users = append(users, strings.TrimSpace(fmt.Sprintf("network interface %s (%s) %s", aws.ToString(i.NetworkInterfaceId), i.Status, aws.ToString(i.Description))))
		}
	}
	return users, nil
}

func (at *place) interfaces(ctx context.Context, vpc string) ([]types.NetworkInterface, error) {
	all, err := every(ctx, ec2.NewDescribeNetworkInterfacesPaginator(at.ec2, &ec2.DescribeNetworkInterfacesInput{Filters: []types.Filter{filter("vpc-id", vpc)}}),
		func(page *ec2.DescribeNetworkInterfacesOutput) []types.NetworkInterface {
			return page.NetworkInterfaces
		})
	return all, at.explain(err, "list the network interfaces")
}

// shrink removes what is in the VPC, and it, as far as this step comes: NAT gateways, which take their time, addresses, subnets,
// internet gateways, route tables.
func (n *network) shrink(ctx context.Context) (region.Removal, error) {
	if state, err := n.shrinkNATs(ctx); err != nil || state != "" {
		return region.Removal{State: state}, err
	}
	for _, stage := range []func(context.Context) error{n.shrinkAddresses, n.shrinkSubnets, n.shrinkWayIn, n.shrinkTables} {
		if err := stage(ctx); err != nil {
			return region.Removal{}, err
		}
		if n.changes > changesAtOnce {
			return region.Removal{State: "the VPC is being emptied"}, nil
		}
	}
	_, err := n.at.ec2.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: n.vpc.VpcId})
	err = unlessGone(n.at.explain(err, "delete the VPC "+networkName(n.spec)))
	if fault.Is(err, fault.Conflict) {
		return region.Removal{}, n.blame(ctx, err)
	}
	if err != nil {
		return region.Removal{}, err
	}
	return region.Removal{State: "the VPC was deleted"}, nil // the next step sees that nothing is left
}

// blame names the security groups that keep the VPC, which EC2 does not.
func (n *network) blame(ctx context.Context, conflict error) error {
	l := leftovers{at: n.at, vpc: aws.ToString(n.vpc.VpcId), all: true}
	if err := l.groups(ctx); err != nil || len(l.found) == 0 {
		return conflict
	}
	var names []string
	for _, g := range l.found {
		names = append(names, g.String())
	}
	return fault.Wrap(fault.Conflict, conflict, "%s; there are still %s: delete them if nobody needs them", fault.Message(conflict), region.Some(names))
}

func (n *network) shrinkNATs(ctx context.Context) (state string, err error) {
	for _, g := range n.nats {
		id := aws.ToString(g.NatGatewayId)
		switch g.State {
		case types.NatGatewayStateDeleted:
			continue
		case types.NatGatewayStateDeleting:
			state = "the NAT gateway " + id + " is deleting"
			continue
		}
		_, err := n.at.ec2.DeleteNatGateway(ctx, &ec2.DeleteNatGatewayInput{NatGatewayId: g.NatGatewayId})
		if err := unlessGone(n.at.explain(err, "delete the NAT gateway "+id)); err != nil {
			return "", err
		}
		state = "the deletion of the NAT gateway " + id + " was requested"
	}
	return state, nil
}

func (n *network) shrinkAddresses(ctx context.Context) error {
	for _, a := range n.addresses {
		if !n.change() {
			return nil
		}
		_, err := n.at.ec2.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: a.AllocationId})
		if err := unlessGone(n.at.explain(err, "release the address "+aws.ToString(a.PublicIp))); err != nil {
			return err
		}
	}
	return nil
}

func (n *network) shrinkSubnets(ctx context.Context) error {
	for _, s := range n.subnets {
		if !n.change() {
			return nil
		}
		_, err := n.at.ec2.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: s.SubnetId})
		if err := unlessGone(n.at.explain(err, "delete the subnet "+aws.ToString(s.SubnetId))); err != nil {
			return err
		}
	}
	return nil
}

func (n *network) shrinkWayIn(ctx context.Context) error {
	for _, g := range n.gateways {
		id := aws.ToString(g.InternetGatewayId)
		for _, a := range g.Attachments {
			if !n.change() {
				return nil
			}
			_, err := n.at.ec2.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: g.InternetGatewayId, VpcId: a.VpcId})
			if err := unlessGone(n.at.explain(err, "detach the internet gateway "+id)); err != nil {
				return err
			}
		}
		if !n.change() {
			return nil
		}
		_, err := n.at.ec2.DeleteInternetGateway(ctx, &ec2.DeleteInternetGatewayInput{InternetGatewayId: g.InternetGatewayId})
		if err := unlessGone(n.at.explain(err, "delete the internet gateway "+id)); err != nil {
			return err
		}
	}
	return nil
}

// shrinkTables leaves the VPC's main route table, which goes with it.
func (n *network) shrinkTables(ctx context.Context) error {
	for _, t := range n.tables {
		if !isOwn(tagsOf(t.Tags), n.spec.Owner) {
			continue
		}
		if !n.change() {
			return nil
		}
		_, err := n.at.ec2.DeleteRouteTable(ctx, &ec2.DeleteRouteTableInput{RouteTableId: t.RouteTableId})
		if err := unlessGone(n.at.explain(err, "delete the route table "+aws.ToString(t.RouteTableId))); err != nil {
			return err
		}
	}
	return nil
}

// removeRest removes what there may be of a network without its VPC. It is gone when there is nothing.
func (n *network) removeRest(ctx context.Context) (region.Removal, error) {
	name := leaseName(networkName(n.spec))
	left, err := n.at.launchTemplate(ctx, name)
	if err != nil {
		return region.Removal{}, err
	}
	leased := left != nil && isOwn(tagsOf(left.Tags), n.spec.Owner)
	if len(n.addresses) == 0 && len(n.gateways) == 0 && !leased {
		return region.Removal{Gone: true}, nil
	}
	for _, stage := range []func(context.Context) error{n.shrinkAddresses, n.shrinkWayIn} {
		if err := stage(ctx); err != nil {
			return region.Removal{}, err
		}
	}
	if leased {
		if err := n.at.deleteLaunchTemplate(ctx, aws.ToString(left.LaunchTemplateId), name); err != nil && !fault.Is(err, fault.NotFound) {
			return region.Removal{}, err
		}
	}
	return region.Removal{State: "what the network left was deleted"}, nil
}
