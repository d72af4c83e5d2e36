package aws_test

import (
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/m3o/platform/internal/sandbox/clusters"
)

// network is a VPC as clusters want it: two zones, a public and a private subnet in each, one way out.
type network struct {
	vpc, gateway, address, nat string
	subnets                    []string // public ones first
	tables                     []string
}

func named(kind ec2types.ResourceType, name string, more ...ec2types.Tag) []ec2types.TagSpecification {
	return []ec2types.TagSpecification{{ResourceType: kind, Tags: append([]ec2types.Tag{{Key: sdk.String("Name"), Value: &name}}, more...)}}
}

func (a *account) makeNetwork() network {
	a.t.Helper()
	ctx := a.t.Context()
	var n network
	made, err := a.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String("10.20.0.0/16"), TagSpecifications: named("vpc", "net")})
	a.must(err)
	n.vpc = *made.Vpc.VpcId
	for _, change := range []*ec2.ModifyVpcAttributeInput{
		{VpcId: &n.vpc, EnableDnsSupport: &ec2types.AttributeBooleanValue{Value: sdk.Bool(true)}},
		{VpcId: &n.vpc, EnableDnsHostnames: &ec2types.AttributeBooleanValue{Value: sdk.Bool(true)}},
	} {
		_, err := a.ec2.ModifyVpcAttribute(ctx, change)
		a.must(err)
	}
	gateway, err := a.ec2.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{TagSpecifications: named("internet-gateway", "net")})
	a.must(err)
	n.gateway = *gateway.InternetGateway.InternetGatewayId
	_, err = a.ec2.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: &n.gateway, VpcId: &n.vpc})
	a.must(err)
	for i, cidr := range []string{"10.20.192.0/20", "10.20.208.0/20", "10.20.0.0/18", "10.20.64.0/18"} {
		role := "kubernetes.io/role/elb"
		if i >= 2 {
			role = "kubernetes.io/role/internal-elb"
		}
		s, err := a.ec2.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: &n.vpc, CidrBlock: &cidr, AvailabilityZone: sdk.String(region + string("ab"[i%2])),
			TagSpecifications: named("subnet", "net-"+cidr, ec2types.Tag{Key: &role, Value: sdk.String("1")})})
		a.must(err)
		n.subnets = append(n.subnets, *s.Subnet.SubnetId)
	}
	address, err := a.ec2.AllocateAddress(ctx, &ec2.AllocateAddressInput{Domain: "vpc", TagSpecifications: named("elastic-ip", "net")})
	a.must(err)
	n.address = *address.AllocationId
	nat, err := a.ec2.CreateNatGateway(ctx, &ec2.CreateNatGatewayInput{SubnetId: &n.subnets[0], AllocationId: &n.address, ClientToken: sdk.String("once")})
	a.must(err)
	n.nat = *nat.NatGateway.NatGatewayId
	n.tables = []string{a.makeTable(n, n.subnets[:2], &ec2.CreateRouteInput{GatewayId: &n.gateway}), a.makeTable(n, n.subnets[2:], &ec2.CreateRouteInput{NatGatewayId: &n.nat})}
	a.until("the NAT gateway is available", func() bool { return a.natState(n.nat) == "available" })
	return n
}

// makeNetworkOnly makes a network without a way out, which a control plane can do without.
func (a *account) makeNetworkOnly() network {
	a.t.Helper()
	ctx := a.t.Context()
	made, err := a.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String("10.60.0.0/16")})
	a.must(err)
	n := network{vpc: *made.Vpc.VpcId}
	_, err = a.ec2.ModifyVpcAttribute(ctx, &ec2.ModifyVpcAttributeInput{VpcId: &n.vpc, EnableDnsHostnames: &ec2types.AttributeBooleanValue{Value: sdk.Bool(true)}})
	a.must(err)
	for i, cidr := range []string{"10.60.0.0/24", "10.60.1.0/24"} {
		s, err := a.ec2.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: &n.vpc, CidrBlock: &cidr, AvailabilityZone: sdk.String(region + string("ab"[i]))})
		a.must(err)
		n.subnets = append(n.subnets, *s.Subnet.SubnetId)
	}
	return n
}

func (a *account) natState(id string) string {
	a.t.Helper()
	got, err := a.ec2.DescribeNatGateways(a.t.Context(), &ec2.DescribeNatGatewaysInput{NatGatewayIds: []string{id}})
	a.must(err)
	return string(got.NatGateways[0].State)
}

func (a *account) makeTable(n network, subnets []string, route *ec2.CreateRouteInput) string {
	a.t.Helper()
	ctx := a.t.Context()
	table, err := a.ec2.CreateRouteTable(ctx, &ec2.CreateRouteTableInput{VpcId: &n.vpc})
	a.must(err)
	route.RouteTableId, route.DestinationCidrBlock = table.RouteTable.RouteTableId, sdk.String("0.0.0.0/0")
	_, err = a.ec2.CreateRoute(ctx, route)
	a.must(err)
	for _, s := range subnets {
		_, err := a.ec2.AssociateRouteTable(ctx, &ec2.AssociateRouteTableInput{RouteTableId: route.RouteTableId, SubnetId: &s})
		a.must(err)
	}
	return *route.RouteTableId
}

const trustFormat = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"SERVICE"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`

// makeRole makes a role for a service, with policies of AWS.
func (a *account) makeRole(name, service string, policies ...string) string {
	a.t.Helper()
	document := trustOf(service)
	made, err := a.iam.CreateRole(a.t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &document})
	a.must(err)
	for _, policy := range policies {
		_, err := a.iam.AttachRolePolicy(a.t.Context(), &iam.AttachRolePolicyInput{RoleName: &name, PolicyArn: sdk.String("arn:aws:iam::aws:policy/" + policy)})
		a.must(err)
	}
	return *made.Role.Arn
}

// makeCluster makes a cluster in the network that lets its maker in.
func (a *account) makeCluster(n network, name, role string) (*eks.CreateClusterOutput, error) {
	return a.eks.CreateCluster(a.t.Context(), &eks.CreateClusterInput{Name: &name, RoleArn: &role, Version: sdk.String("1.34"), ClientRequestToken: sdk.String("token-of-" + name),
		ResourcesVpcConfig: &ekstypes.VpcConfigRequest{SubnetIds: n.subnets, EndpointPrivateAccess: sdk.Bool(true), EndpointPublicAccess: sdk.Bool(true)},
		AccessConfig:       &ekstypes.CreateAccessConfigRequest{AuthenticationMode: "API"}, BootstrapSelfManagedAddons: sdk.Bool(false), Tags: map[string]string{"team": "ours"}})
}

func (a *account) describe(name string) *ekstypes.Cluster {
	a.t.Helper()
	got, err := a.eks.DescribeCluster(a.t.Context(), &eks.DescribeClusterInput{Name: &name})
	a.must(err)
	return got.Cluster
}

// anActiveCluster makes a network, roles and a cluster that is active.
func (a *account) anActiveCluster(name string) network {
	a.t.Helper()
	n := a.makeNetwork()
	role := a.makeRole(name+"-cluster", "eks.amazonaws.com", "AmazonEKSClusterPolicy")
	a.until("EKS sees the role", func() bool {
		_, err := a.makeCluster(n, name, role)
		return err == nil
	})
	a.until("the cluster is active", func() bool { return a.describe(name).Status == "ACTIVE" })
	return n
}

func (a *account) addon(cluster, name string) error {
	_, err := a.eks.CreateAddon(a.t.Context(), &eks.CreateAddonInput{ClusterName: &cluster, AddonName: &name})
	return err
}

func (a *account) addonStatus(cluster, name string) string {
	a.t.Helper()
	got, err := a.eks.DescribeAddon(a.t.Context(), &eks.DescribeAddonInput{ClusterName: &cluster, AddonName: &name})
	a.must(err)
	return string(got.Addon.Status)
}

func (a *account) nodegroup(n network, cluster, name, role string, count int32) error {
	_, err := a.eks.CreateNodegroup(a.t.Context(), &eks.CreateNodegroupInput{ClusterName: &cluster, NodegroupName: &name, NodeRole: &role, Subnets: n.subnets[2:],
		InstanceTypes: []string{"t3.large"}, ScalingConfig: &ekstypes.NodegroupScalingConfig{MinSize: &count, MaxSize: &count, DesiredSize: &count}})
	return err
}

func (a *account) nodegroupOf(cluster, name string) *ekstypes.Nodegroup {
	a.t.Helper()
	got, err := a.eks.DescribeNodegroup(a.t.Context(), &eks.DescribeNodegroupInput{ClusterName: &cluster, NodegroupName: &name})
	a.must(err)
	return got.Nodegroup
}

func TestAClustersLife(t *testing.T) {
	a := open(t)
	ctx := t.Context()
	n := a.anActiveCluster("life")
	c := a.describe("life")
	if *c.Endpoint == "" || *c.CertificateAuthority.Data == "" || *c.Identity.Oidc.Issuer == "" || *c.ResourcesVpcConfig.ClusterSecurityGroupId == "" || *c.ResourcesVpcConfig.VpcId != n.vpc {
		t.Errorf("an active cluster is %+v", c)
	}
	nodes := a.makeRole("life-nodes", "ec2.amazonaws.com", "AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly")
	for _, name := range []string{"vpc-cni", "kube-proxy", "coredns"} {
		a.must(a.addon("life", name))
	}
	a.until("a DaemonSet is fine without nodes", func() bool { return a.addonStatus("life", "vpc-cni") == "ACTIVE" })
	a.until("a Deployment is not", func() bool { return a.addonStatus("life", "coredns") == "DEGRADED" })
	a.until("EKS sees the role", func() bool { return a.nodegroup(n, "life", "main", nodes, 2) == nil })
	a.until("the nodes run", func() bool { return a.nodegroupOf("life", "main").Status == "ACTIVE" })
	a.until("the add-on runs on them", func() bool { return a.addonStatus("life", "coredns") == "ACTIVE" })

	a.runner.Made(clusters.Inventory{LoadBalancers: []clusters.LoadBalancer{{UID: "u1", Name: "a0123", IP: "127.0.0.9", Ports: []clusters.Port{{Protocol: "tcp", Port: 443, NodePort: 30443}}}},
		Volumes: []clusters.Volume{{UID: "u2", Name: "pvc-1", SizeGiB: 8}}})
	a.until("there is a load balancer for the Service", func() bool {
		got, err := a.elb.DescribeLoadBalancers(ctx, &elasticloadbalancingv2.DescribeLoadBalancersInput{})
		return err == nil && len(got.LoadBalancers) == 1 && got.LoadBalancers[0].State.Code == "active" && len(got.LoadBalancers[0].AvailabilityZones) == 2
	})
	_, err := a.eks.DeleteCluster(ctx, &eks.DeleteClusterInput{Name: sdk.String("life")})
	a.refused(err, "ResourceInUseException", "nodegroups")
	_, err = a.eks.DeleteNodegroup(ctx, &eks.DeleteNodegroupInput{ClusterName: sdk.String("life"), NodegroupName: sdk.String("main")})
	a.must(err)
	a.until("the node group is gone", func() bool {
		got, err := a.eks.ListNodegroups(ctx, &eks.ListNodegroupsInput{ClusterName: sdk.String("life")})
		return err == nil && len(got.Nodegroups) == 0
	})
	_, err = a.eks.DeleteCluster(ctx, &eks.DeleteClusterInput{Name: sdk.String("life")})
	a.must(err)
	a.until("the cluster is gone", func() bool {
		_, err := a.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: sdk.String("life")})
		return err != nil
	})
	a.leftBehind(n)
	a.balanced()
	for _, kind := range []string{"cluster", "nodegroup", "addon", "access-entry", "instance", "network-interface"} {
		if made, gone := a.effects("created", kind), a.effects("deleted", kind); made == 0 || made != gone {
			t.Errorf("%ss were made %d times and removed %d times", kind, made, gone)
		}
	}
	if len(a.runner.Running()) != 0 {
		t.Error("the real cluster still runs")
	}
}

// leftBehind sweeps what a cluster leaves in its network, in the only order in which that goes, and then the network.
func (a *account) leftBehind(n network) {
	a.t.Helper()
	ctx := a.t.Context()
	_, err := a.ec2.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &n.subnets[0]})
	a.refused(err, "DependencyViolation", n.subnets[0])
	_, err = a.ec2.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: &n.vpc})
	a.refused(err, "DependencyViolation")
	_, err = a.ec2.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: &n.gateway, VpcId: &n.vpc})
	a.refused(err, "DependencyViolation", "mapped public address")
	balancers, err := a.elb.DescribeLoadBalancers(ctx, &elasticloadbalancingv2.DescribeLoadBalancersInput{})
	a.must(err)
	arn := balancers.LoadBalancers[0].LoadBalancerArn
	marks, err := a.elb.DescribeTags(ctx, &elasticloadbalancingv2.DescribeTagsInput{ResourceArns: []string{*arn}})
	a.must(err)
	if got := marks.TagDescriptions[0].Tags; len(got) == 0 || *got[0].Key != "kubernetes.io/cluster/life" || *got[0].Value != "owned" {
		a.t.Errorf("the load balancer is tagged %+v", got)
	}
	_, err = a.elb.DeleteLoadBalancer(ctx, &elasticloadbalancingv2.DeleteLoadBalancerInput{LoadBalancerArn: arn})
	a.must(err)
	groups, err := a.elb.DescribeTargetGroups(ctx, &elasticloadbalancingv2.DescribeTargetGroupsInput{})
	a.must(err)
	_, err = a.elb.DeleteTargetGroup(ctx, &elasticloadbalancingv2.DeleteTargetGroupInput{TargetGroupArn: groups.TargetGroups[0].TargetGroupArn})
	a.must(err)
	owned := []ec2types.Filter{{Name: sdk.String("tag:kubernetes.io/cluster/life"), Values: []string{"owned"}}}
	volumes, err := a.ec2.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{Filters: owned})
	a.must(err)
	if len(volumes.Volumes) != 1 || volumes.Volumes[0].State != "available" {
		a.t.Fatalf("the volumes left are %+v", volumes.Volumes)
	}
	_, err = a.ec2.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: volumes.Volumes[0].VolumeId})
	a.must(err)
	a.sweep(n)
	a.removeNetwork(n)
}

// sweep removes interfaces that are nobody's, and then the groups that they had.
func (a *account) sweep(n network) {
	a.t.Helper()
	ctx := a.t.Context()
	inside := []ec2types.Filter{{Name: sdk.String("vpc-id"), Values: []string{n.vpc}}}
	a.until("only the NAT gateway's interface is left", func() bool {
		got, err := a.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: inside})
		a.must(err)
		left := 0
		for _, i := range got.NetworkInterfaces {
			if i.Status == "available" {
				_, err := a.ec2.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: i.NetworkInterfaceId})
				a.must(err)
			} else if i.InterfaceType != "nat_gateway" {
				left++
			}
		}
		return left == 0
	})
	groups, err := a.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: inside})
	a.must(err)
	for _, g := range groups.SecurityGroups {
		if *g.GroupName != "default" {
			_, err := a.ec2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: g.GroupId})
			a.must(err)
		}
	}
}

// removeNetwork takes a network down.
func (a *account) removeNetwork(n network) {
	a.t.Helper()
	ctx := a.t.Context()
	_, err := a.ec2.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: &n.address})
	a.refused(err, "InvalidIPAddress.InUse")
	_, err = a.ec2.DeleteNatGateway(ctx, &ec2.DeleteNatGatewayInput{NatGatewayId: &n.nat})
	a.must(err)
	_, err = a.ec2.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &n.subnets[0]})
	a.refused(err, "DependencyViolation")
	a.until("the NAT gateway is gone, and still shown", func() bool { return a.natState(n.nat) == "deleted" })
	_, err = a.ec2.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: &n.address})
	a.must(err)
	_, err = a.ec2.DeleteRouteTable(ctx, &ec2.DeleteRouteTableInput{RouteTableId: &n.tables[0]})
	a.refused(err, "DependencyViolation", n.tables[0])
	for _, s := range n.subnets {
		_, err := a.ec2.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &s})
		a.must(err)
	}
	for _, table := range n.tables {
		_, err := a.ec2.DeleteRouteTable(ctx, &ec2.DeleteRouteTableInput{RouteTableId: &table})
		a.must(err)
	}
	_, err = a.ec2.DeleteInternetGateway(ctx, &ec2.DeleteInternetGatewayInput{InternetGatewayId: &n.gateway})
	a.refused(err, "DependencyViolation")
	_, err = a.ec2.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: &n.gateway, VpcId: &n.vpc})
	a.must(err)
	_, err = a.ec2.DeleteInternetGateway(ctx, &ec2.DeleteInternetGatewayInput{InternetGatewayId: &n.gateway})
	a.must(err)
	_, err = a.ec2.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: &n.vpc})
	a.must(err)
	for _, kind := range []string{"vpc", "subnet", "internet-gateway", "elastic-ip", "natgateway", "route-table"} {
		if made, gone := a.effects("created", kind), a.effects("deleted", kind); made == 0 || made != gone {
			a.t.Errorf("%ss were made %d times and removed %d times", kind, made, gone)
		}
	}
}

func trustOf(service string) string { return strings.ReplaceAll(trustFormat, "SERVICE", service) }
