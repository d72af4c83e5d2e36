package aws

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// networkName needs no cutting: it is the value of a tag, which has 256 characters.
func networkName(spec region.NetworkSpec) string { return spec.Name }

// zonesTag is the VPC's tag with its zones: which those are is decided once, whatever AWS opens or closes later.
const zonesTag = "m3o-zones"

const everywhere = "0.0.0.0/0"

// changesAtOnce is how much one step changes of a network, beside the nine calls that look at it.
const changesAtOnce = 10

// EnsureNetwork takes one step towards a VPC with a private and a public subnet in each of its zones, an internet gateway, and one
// NAT gateway, or one in each zone. Nodes live in the private subnets, load balancers and NAT gateways in the public ones. While no
// instance is there that would need them, it is ready before its NAT gateways are: a control plane needs none, and EnsureCluster
// waits for them before it asks for nodes.
func (p *Provider) EnsureNetwork(ctx context.Context, spec region.NetworkSpec, _ string) (region.Net, error) {
	made, err := p.ensureNetwork(ctx, spec)
	return made, unlisted(err)
}

func (p *Provider) ensureNetwork(ctx context.Context, spec region.NetworkSpec) (region.Net, error) {
	at := p.in(spec.Location)
	n, err := at.anchors(ctx, spec)
	if err != nil {
		return region.Net{}, err
	}
	if !n.anchored() {
		state, err := p.anchor(ctx, at, spec)
		if err != nil {
			return region.Net{}, err
		}
		return n.region(region.Condition{State: state}), nil
	}
	if n.vpc.State != types.VpcStateAvailable {
		return n.region(region.Condition{State: "the VPC is " + string(n.vpc.State)}), nil
	}
	if err := n.lookInside(ctx); err != nil {
		return region.Net{}, err
	}
	condition, err := n.grow(ctx)
	if err == nil && n.opening && n.changes == 0 {
		condition.Ready, err = n.isEmpty(ctx)
	}
	if err != nil {
		return region.Net{}, err
	}
	return n.region(condition), nil
}

// network is what there is of a region's network, and what it is to be.
type network struct {
	at      *place
	spec    region.NetworkSpec
	zones   []string
	changes int  // of this step
	opening bool // NAT gateways are all that it waits for

	vpc       *types.Vpc
	gateways  []types.InternetGateway
	addresses []types.Address
	subnets   []types.Subnet
	nats      []types.NatGateway
	tables    []types.RouteTable
}

// anchors looks at what has no name of its own within something else: the VPC, internet gateways, addresses. A VPC of the
// network's name that is not the region's is an Exists fault.
func (at *place) anchors(ctx context.Context, spec region.NetworkSpec) (*network, error) {
	n := &network{at: at, spec: spec}
	var err error
	if n.vpc, err = at.vpc(ctx, spec.Owner); err != nil {
		return nil, err
	}
	if n.vpc == nil {
		if err := at.refuseNamesake(ctx, spec); err != nil {
			return nil, err
		}
	} else if n.zones = strings.Fields(tagsOf(n.vpc.Tags)[zonesTag]); len(n.zones) < fewestZones {
		return nil, fault.New(fault.Failed, "the VPC %s of this region does not say its zones in its tag %q: write them back, or remove the region first", aws.ToString(n.vpc.VpcId), zonesTag)
	}
	if n.vpc != nil && aws.ToString(n.vpc.CidrBlock) != cidrOf(spec) {
		return nil, fault.New(fault.Failed, "the VPC %s of this region has the range %s, not %s: remove the region first", aws.ToString(n.vpc.VpcId), aws.ToString(n.vpc.CidrBlock), cidrOf(spec))
	}
	return n, n.lookAtAnchors(ctx)
}

func (n *network) lookAtAnchors(ctx context.Context) (err error) {
	if n.gateways, err = n.at.internetGateways(ctx, n.spec.Owner); err != nil {
		return err
	}
	n.addresses, err = n.at.elasticAddresses(ctx, n.spec.Owner)
	return err
}

// vpc returns the region's, nil when there is none.
func (at *place) vpc(ctx context.Context, owner region.Key) (*types.Vpc, error) {
	all, err := every(ctx, ec2.NewDescribeVpcsPaginator(at.ec2, &ec2.DescribeVpcsInput{Filters: ofOwner(owner)}),
		func(page *ec2.DescribeVpcsOutput) []types.Vpc { return page.Vpcs })
	if err != nil || len(all) == 0 {
		return nil, at.explain(err, "list the VPCs")
	}
	first := slices.MinFunc(all, func(a, b types.Vpc) int { return cmp.Compare(aws.ToString(a.VpcId), aws.ToString(b.VpcId)) })
	return &first, nil
}

func (at *place) refuseNamesake(ctx context.Context, spec region.NetworkSpec) error {
	all, err := at.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: []types.Filter{filter("tag:"+nameTag, networkName(spec))}})
	if err != nil {
		return at.explain(err, "list the VPCs")
	}
	for _, v := range all.Vpcs {
		if !isOwn(tagsOf(v.Tags), spec.Owner) {
			return notOurs("VPC", networkName(spec), aws.ToString(v.VpcId))
		}
	}
	return nil
}

func (at *place) internetGateways(ctx context.Context, owner region.Key) ([]types.InternetGateway, error) {
	all, err := every(ctx, ec2.NewDescribeInternetGatewaysPaginator(at.ec2, &ec2.DescribeInternetGatewaysInput{Filters: ofOwner(owner)}),
		func(page *ec2.DescribeInternetGatewaysOutput) []types.InternetGateway { return page.InternetGateways })
	return all, at.explain(err, "list the internet gateways")
}

func (at *place) elasticAddresses(ctx context.Context, owner region.Key) ([]types.Address, error) {
	all, err := at.ec2.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{Filters: ofOwner(owner)})
	if err != nil {
		return nil, at.explain(err, "list the addresses")
	}
	slices.SortFunc(all.Addresses, func(a, b types.Address) int {
		return cmp.Compare(aws.ToString(a.AllocationId), aws.ToString(b.AllocationId))
	})
	return all.Addresses, nil
}

func cidrOf(spec region.NetworkSpec) string { return cmp.Or(spec.CIDR, defaultRange) }

// exits are the zones that have a NAT gateway.
func (n *network) exits() []string {
	if n.spec.NAT == region.PerZoneNAT {
		return n.zones
	}
	return n.zones[:1]
}

func (n *network) anchored() bool {
	return n.vpc != nil && len(n.gateways) > 0 && len(n.addresses) >= len(n.exits())
}

// region is the network as the platform sees it.
func (n *network) region(c region.Condition) region.Net {
	made := region.Net{Name: networkName(n.spec), CIDR: cidrOf(n.spec), Zones: n.zones, Condition: c}
	if n.vpc != nil {
		made.ID = aws.ToString(n.vpc.VpcId)
	}
	for _, l := range n.layouts() {
		if s := n.subnet(l); s != nil {
			made.Subnets = append(made.Subnets, region.Subnet{ID: aws.ToString(s.SubnetId), Zone: l.zone, CIDR: l.cidr, Public: l.public})
		}
	}
	for _, a := range n.addresses {
		made.Egress = append(made.Egress, aws.ToString(a.PublicIp))
	}
	slices.Sort(made.Egress)
	return made
}

// layouts are the subnets that the network is to have; none while its zones are not known.
func (n *network) layouts() []layout {
	all, err := layouts(cidrOf(n.spec), n.zones)
	if err != nil {
		return nil
	}
	return all
}

func (n *network) subnet(l layout) *types.Subnet {
	i := slices.IndexFunc(n.subnets, func(s types.Subnet) bool { return aws.ToString(s.CidrBlock) == l.cidr })
	if i < 0 {
		return nil
	}
	return &n.subnets[i]
}

// lookInside looks at what is in the VPC.
func (n *network) lookInside(ctx context.Context) (err error) {
	id := aws.ToString(n.vpc.VpcId)
	if n.subnets, err = n.at.subnets(ctx, id); err != nil {
		return err
	}
	if n.nats, err = n.at.natGateways(ctx, id); err != nil {
		return err
	}
	n.tables, err = n.at.routeTables(ctx, id)
	return err
}

func (at *place) subnets(ctx context.Context, vpc string) ([]types.Subnet, error) {
	all, err := every(ctx, ec2.NewDescribeSubnetsPaginator(at.ec2, &ec2.DescribeSubnetsInput{Filters: []types.Filter{filter("vpc-id", vpc)}}),
		func(page *ec2.DescribeSubnetsOutput) []types.Subnet { return page.Subnets })
	return all, at.explain(err, "list the subnets")
}

func (at *place) natGateways(ctx context.Context, vpc string) ([]types.NatGateway, error) {
	all, err := every(ctx, ec2.NewDescribeNatGatewaysPaginator(at.ec2, &ec2.DescribeNatGatewaysInput{Filter: []types.Filter{filter("vpc-id", vpc)}}),
		func(page *ec2.DescribeNatGatewaysOutput) []types.NatGateway { return page.NatGateways })
	return all, at.explain(err, "list the NAT gateways")
}

func (at *place) routeTables(ctx context.Context, vpc string) ([]types.RouteTable, error) {
	all, err := every(ctx, ec2.NewDescribeRouteTablesPaginator(at.ec2, &ec2.DescribeRouteTablesInput{Filters: []types.Filter{filter("vpc-id", vpc)}}),
		func(page *ec2.DescribeRouteTablesOutput) []types.RouteTable { return page.RouteTables })
	return all, at.explain(err, "list the route tables")
}

// change counts what the step changes, and reports whether it may.
func (n *network) change() bool {
	n.changes++
	return n.changes <= changesAtOnce
}

// grow makes what is missing in the VPC, as far as this step comes.
func (n *network) grow(ctx context.Context) (region.Condition, error) {
	for _, stage := range []func(context.Context) error{n.growNames, n.growSubnets, n.growWayIn, n.growNATs} {
		if err := stage(ctx); err != nil {
			return region.Condition{}, err
		}
		if n.changes > changesAtOnce {
			return region.Condition{State: "the VPC is being furnished"}, nil
		}
	}
	condition, err := n.open(ctx)
	if err == nil && !condition.Broken && n.changes > 0 {
		return region.Condition{State: "the VPC is being furnished"}, nil // the next step sees whether all of it is there
	}
	return condition, err
}

// open has the private subnets lead out by the NAT gateways that are available, and is ready when all are. Route tables are there before.
func (n *network) open(ctx context.Context) (region.Condition, error) {
	condition := region.Condition{Ready: true, State: string(n.vpc.State)}
	for _, zone := range n.exits() {
		nat := n.nat(zone)
		switch {
		case nat == nil:
			return region.Condition{State: "the NAT gateway is not listed yet"}, nil
		case nat.State == types.NatGatewayStateFailed:
			return region.Condition{Broken: true, State: string(nat.State), Reason: fmt.Sprintf("the NAT gateway %s in %s failed: %s %s; remove the region, or delete the gateway and apply again",
				aws.ToString(nat.NatGatewayId), zone, aws.ToString(nat.FailureCode), aws.ToString(nat.FailureMessage))}, nil
		case nat.State != types.NatGatewayStateAvailable:
			n.opening, condition = true, region.Condition{State: "the NAT gateway is " + string(nat.State)}
		}
	}
	return condition, n.growWaysOut(ctx)
}

// isEmpty reports whether no instance lives in the VPC.
func (n *network) isEmpty(ctx context.Context) (bool, error) {
	all, err := n.at.instances(ctx, filter("vpc-id", aws.ToString(n.vpc.VpcId)), filter("instance-state-name", "pending", "running"))
	return len(all) == 0, err
}

// growNames has instances find each other, and the cluster's private endpoint, by name.
func (n *network) growNames(ctx context.Context) error {
	for _, name := range []types.VpcAttributeName{types.VpcAttributeNameEnableDnsSupport, types.VpcAttributeNameEnableDnsHostnames} {
		found, err := n.at.ec2.DescribeVpcAttribute(ctx, &ec2.DescribeVpcAttributeInput{VpcId: n.vpc.VpcId, Attribute: name})
		if err != nil {
			return n.at.explain(err, "describe the VPC "+networkName(n.spec))
		}
		is, change := found.EnableDnsSupport, &ec2.ModifyVpcAttributeInput{VpcId: n.vpc.VpcId}
		on := &types.AttributeBooleanValue{Value: aws.Bool(true)}
		if name == types.VpcAttributeNameEnableDnsHostnames {
			is, change.EnableDnsHostnames = found.EnableDnsHostnames, on
		} else {
			change.EnableDnsSupport = on
		}
		if is != nil && aws.ToBool(is.Value) || !n.change() {
			continue
		}
		if _, err := n.at.ec2.ModifyVpcAttribute(ctx, change); err != nil {
			return n.at.explain(err, "switch on "+string(name)+" of the VPC "+networkName(n.spec))
		}
	}
	return nil
}

func (n *network) growSubnets(ctx context.Context) error {
	for _, l := range n.layouts() {
		if n.subnet(l) != nil {
			continue
		}
		if !n.change() {
			return nil
		}
		name := l.name(networkName(n.spec))
		made, err := n.at.ec2.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: n.vpc.VpcId, CidrBlock: aws.String(l.cidr), AvailabilityZone: aws.String(l.zone),
			TagSpecifications: marked(types.ResourceTypeSubnet, name, n.spec.Tags, l.roles(networkName(n.spec)))})
		err = n.at.explain(err, "create the subnet "+name)
		if fault.Is(err, fault.Exists) { // made since we looked
			continue
		}
		if err != nil {
			return err
		}
		n.subnets = append(n.subnets, *made.Subnet)
	}
	return nil
}

// subnetsOf are those of a purpose in some of the zones.
func (n *network) subnetsOf(public bool, zones ...string) []types.Subnet {
	var found []types.Subnet
	for _, l := range n.layouts() {
		if s := n.subnet(l); s != nil && l.public == public && slices.Contains(zones, l.zone) {
			found = append(found, *s)
		}
	}
	return found
}

// growWayIn connects the public subnets with the world.
func (n *network) growWayIn(ctx context.Context) error {
	gateway := n.gateways[0]
	attached := slices.ContainsFunc(gateway.Attachments, func(a types.InternetGatewayAttachment) bool {
		return aws.ToString(a.VpcId) == aws.ToString(n.vpc.VpcId)
	})
	if !attached && n.change() {
		_, err := n.at.ec2.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: gateway.InternetGatewayId, VpcId: n.vpc.VpcId})
		err = n.at.explain(err, "attach the internet gateway "+aws.ToString(gateway.InternetGatewayId))
		if err != nil && !fault.Is(err, fault.Exists) {
			return err
		}
	}
	return n.growTable(ctx, routes{name: networkName(n.spec) + "-public", gateway: aws.ToString(gateway.InternetGatewayId), subnets: n.subnetsOf(true, n.zones...)})
}

// growWaysOut has the private subnets reach the world through a NAT gateway, as soon as EC2 takes a route to it.
func (n *network) growWaysOut(ctx context.Context) error {
	for _, zone := range n.exits() {
		nat := n.nat(zone)
		r := routes{name: networkName(n.spec) + "-private", nat: aws.ToString(nat.NatGatewayId), later: nat.State != types.NatGatewayStateAvailable,
			subnets: n.subnetsOf(false, n.zones...)}
		if n.spec.NAT == region.PerZoneNAT {
			r.name, r.subnets = r.name+"-"+zone, n.subnetsOf(false, zone)
		}
		if err := n.growTable(ctx, r); err != nil {
			return err
		}
	}
	return nil
}
