package aws

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Owned lists what carries the owner's tags, what lies in its VPC, its roles, and the disks and snapshots that carry the name of its
// cluster, or of those whose ARNs are given.
func (p *Provider) Owned(ctx context.Context, owner region.Key, location string, clusters ...string) ([]region.Resource, error) {
	o := inventory{at: p.in(location), owner: owner, network: region.NetworkSpec{Owner: owner, Name: owner.ResourceName()}}
	for _, look := range []func(context.Context) error{o.vpcs, o.inside, o.addresses, o.cluster, o.templates, o.instances, o.roles} {
		if err := look(ctx); err != nil {
			return nil, err
		}
	}
	for _, id := range clusters {
		if name, is := namedBy(id); is && name != o.clusterName() {
			o.names = append(o.names, name)
		}
	}
	l := leftovers{at: o.at, vpc: o.vpc, names: o.names, all: true}
	if err := l.look(ctx); err != nil {
		return nil, err
	}
	for _, r := range l.found {
		o.found = append(o.found, r.Resource)
	}
	return o.found, nil
}

// namedBy is the name of the cluster in its ARN.
func namedBy(arn string) (string, bool) {
	_, name, is := strings.Cut(arn, ":cluster/")
	return name, is && name != ""
}

// inventory gathers. The VPC comes first: it says what else there is.
type inventory struct {
	at      *place
	owner   region.Key
	network region.NetworkSpec
	vpc     string
	names   []string // of clusters
	found   []region.Resource
}

func (o *inventory) add(kind, id, name string) {
	o.found = append(o.found, region.Resource{Kind: kind, ID: id, Name: name})
}

func (o *inventory) clusterName() string {
	return clusterName(region.ClusterSpec{Name: o.owner.ResourceName()})
}

func (o *inventory) vpcs(ctx context.Context) error {
	v, err := o.at.vpc(ctx, o.owner)
	if err != nil || v == nil {
		return err
	}
	o.vpc = aws.ToString(v.VpcId)
	o.add("vpc", o.vpc, tagsOf(v.Tags)[nameTag])
	return nil
}

// inside is what makes up the VPC.
func (o *inventory) inside(ctx context.Context) error {
	if o.vpc == "" {
		return nil
	}
	subnets, err := o.at.subnets(ctx, o.vpc)
	if err != nil {
		return err
	}
	for _, s := range subnets {
		o.add("subnet", aws.ToString(s.SubnetId), tagsOf(s.Tags)[nameTag])
	}
	nats, err := o.at.natGateways(ctx, o.vpc)
	if err != nil {
		return err
	}
	for _, g := range nats {
		if g.State != types.NatGatewayStateDeleted {
			o.add("NAT gateway", aws.ToString(g.NatGatewayId), tagsOf(g.Tags)[nameTag])
		}
	}
	tables, err := o.at.routeTables(ctx, o.vpc)
	for _, t := range tables {
		if isOwn(tagsOf(t.Tags), o.owner) {
			o.add("route table", aws.ToString(t.RouteTableId), tagsOf(t.Tags)[nameTag])
		}
	}
	return err
}

func (o *inventory) addresses(ctx context.Context) error {
	n := network{at: o.at, spec: o.network}
	err := n.lookAtAnchors(ctx)
	for _, g := range n.gateways {
		o.add("internet gateway", aws.ToString(g.InternetGatewayId), tagsOf(g.Tags)[nameTag])
	}
	for _, a := range n.addresses {
		o.add("address", aws.ToString(a.AllocationId), aws.ToString(a.PublicIp))
	}
	return err
}

// cluster finds the region's cluster and its node groups. Where a stranger's has the name, nothing that carries it alone is ours.
func (o *inventory) cluster(ctx context.Context) error {
	c, err := o.at.cluster(ctx, o.clusterName(), o.owner)
	if fault.Is(err, fault.Exists) {
		return nil
	}
	if err != nil {
		return err
	}
	o.names = append(o.names, o.clusterName())
	if c == nil {
		return nil
	}
	o.add("kubernetes cluster", aws.ToString(c.Arn), aws.ToString(c.Name))
	groups, err := every(ctx, eks.NewListNodegroupsPaginator(o.at.eks, &eks.ListNodegroupsInput{ClusterName: c.Name}), func(page *eks.ListNodegroupsOutput) []string { return page.Nodegroups })
	for _, name := range groups {
		o.add("node group", aws.ToString(c.Name)+"/"+name, name)
	}
	return unlessGone(o.at.explain(err, "list the node groups of "+o.clusterName()))
}

func (o *inventory) templates(ctx context.Context) error {
	all, err := every(ctx, ec2.NewDescribeLaunchTemplatesPaginator(o.at.ec2, &ec2.DescribeLaunchTemplatesInput{Filters: ofOwner(o.owner)}),
		func(page *ec2.DescribeLaunchTemplatesOutput) []types.LaunchTemplate { return page.LaunchTemplates })
	for _, t := range all {
		o.add("launch template", aws.ToString(t.LaunchTemplateId), aws.ToString(t.LaunchTemplateName))
	}
	return o.at.explain(err, "list the launch templates")
}

func (o *inventory) instances(ctx context.Context) error {
	all, err := o.at.instances(ctx, append(ofOwner(o.owner), filter("instance-state-name", "pending", "running", "shutting-down", "stopping", "stopped"))...)
	for _, i := range all {
		o.add("instance", aws.ToString(i.InstanceId), tagsOf(i.Tags)[nameTag])
	}
	return err
}

func (o *inventory) roles(ctx context.Context) error {
	for _, w := range principals {
		name := w.roleName(o.owner.ResourceName())
		role, err := o.at.role(ctx, name, o.owner)
		if fault.Is(err, fault.Exists) {
			continue
		}
		if err != nil {
			return err
		}
		if role != nil {
			o.add("role", aws.ToString(role.Arn), name)
		}
	}
	return nil
}
