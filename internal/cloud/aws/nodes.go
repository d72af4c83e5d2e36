package aws

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// groupNameLimit is EKS's for node groups, templateNameLimit EC2's for launch templates.
const (
	groupNameLimit    = 63
	templateNameLimit = 128
)

func groupName(spec region.ClusterSpec) string {
	return region.CutName(groupNameLimit, spec.Name+"-nodes")
}

func templateName(spec region.ClusterSpec) string {
	return region.CutName(templateNameLimit, spec.Name+"-nodes")
}

// growNodes takes one step towards the node group, with the number of nodes that is wanted.
func (f *furnishing) growNodes(ctx context.Context) (region.Condition, error) {
	name := groupName(f.spec)
	found, err := f.at.eks.DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{ClusterName: f.cluster.Name, NodegroupName: aws.String(name)})
	err = f.at.explain(err, "find the node group "+name)
	if fault.Is(err, fault.NotFound) {
		if out, err := f.openNetwork(ctx); err != nil || !out.Ready {
			return out, err
		}
		return f.createNodes(ctx)
	}
	if err != nil {
		return region.Condition{}, err
	}
	group := found.Nodegroup
	now := stateOfGroup(group)
	if group.Status == types.NodegroupStatusDeleting {
		return now, fault.New(fault.Conflict, "the node group %s is still being deleted", name)
	}
	if now.Broken || group.Status == types.NodegroupStatusUpdating {
		return now, nil
	}
	if group.Status == types.NodegroupStatusCreating {
		return now, f.shortage(group)
	}
	if count := int32(f.spec.Nodes.Count); group.ScalingConfig == nil || aws.ToInt32(group.ScalingConfig.DesiredSize) != count {
		return region.Condition{State: string(types.NodegroupStatusUpdating)}, f.scale(ctx, group, count)
	}
	return now, f.shortage(group)
}

// openNetwork finishes what EnsureNetwork left to the NAT gateways: without a way out nodes do not join.
func (f *furnishing) openNetwork(ctx context.Context) (region.Condition, error) {
	spec := region.NetworkSpec{Owner: f.spec.Owner, Provider: f.spec.Provider, Name: f.spec.Name, Location: f.spec.Location, CIDR: f.spec.Network.CIDR, Tags: f.spec.Tags}
	n, err := f.at.anchors(ctx, spec)
	if err != nil {
		return region.Condition{}, err
	}
	if !n.anchored() {
		return region.Condition{}, fault.New(fault.Failed, "the network %s lacks its VPC, its internet gateway or its address: apply the region again", networkName(spec))
	}
	if err := n.lookInside(ctx); err != nil {
		return region.Condition{}, err
	}
	if slices.ContainsFunc(n.zones[1:], func(zone string) bool { return n.nat(zone) != nil }) {
		n.spec.NAT = region.PerZoneNAT
	}
	return n.open(ctx)
}

// quotaWords say that a quota keeps instances from being launched. Once it is raised, the node group goes on by itself.
var quotaWords = regexp.MustCompile(`(?i)vCPU ?limit|VcpuLimitExceeded|InstanceLimitExceeded|quota`)

// shortage is a Quota fault when that is what a node group suffers from.
func (f *furnishing) shortage(group *types.Nodegroup) error {
	if group.Health == nil {
		return nil
	}
	for _, i := range group.Health.Issues {
		if text := string(i.Code) + ": " + aws.ToString(i.Message); quotaWords.MatchString(text) {
			return fault.New(fault.Quota, "the node group %s lacks nodes: %s; ask for quota %s in %s, and EKS goes on by itself", groupName(f.spec), text, familyOf(f.spec.Nodes.Size), f.at.location)
		}
	}
	return nil
}

func stateOfGroup(group *types.Nodegroup) region.Condition {
	now := region.Condition{State: "the node group is " + string(group.Status), Ready: group.Status == types.NodegroupStatusActive,
		Broken: group.Status == types.NodegroupStatusCreateFailed}
	if group.Health != nil {
		var issues []string
		for _, i := range group.Health.Issues {
			issues = append(issues, string(i.Code)+": "+aws.ToString(i.Message))
		}
		now.Reason = strings.Join(issues, "; ")
	}
	if now.Broken && now.Reason == "" {
		now.Reason = "EKS does not say why: remove the region, or delete the node group and apply again"
	}
	return now
}

func scaling(count int32) *types.NodegroupScalingConfig {
	return &types.NodegroupScalingConfig{MinSize: aws.Int32(count), DesiredSize: aws.Int32(count), MaxSize: aws.Int32(max(count, 1))}
}

// scale asks for another number of nodes. The token is of the group as it is now: back to an earlier number is another request.
func (f *furnishing) scale(ctx context.Context, group *types.Nodegroup, count int32) error {
	request := &eks.UpdateNodegroupConfigInput{ClusterName: f.cluster.Name, NodegroupName: group.NodegroupName, ScalingConfig: scaling(count)}
	request.ClientRequestToken = token(fmt.Sprint(f.life(), aws.ToTime(group.ModifiedAt).UnixNano()), request)
	_, err := f.at.eks.UpdateNodegroupConfig(ctx, request)
	return f.at.explain(err, fmt.Sprintf("give the node group %s %d nodes", groupName(f.spec), count))
}

// createNodes asks for the node group, in those private subnets whose zones have the size. Its nodes have no public addresses.
func (f *furnishing) createNodes(ctx context.Context) (region.Condition, error) {
	role, err := rolePrincipal(f.spec.Principals, nodeRole, f.spec.Name)
	if err != nil {
		return region.Condition{}, err
	}
	size, err := f.at.size(ctx, f.spec.Nodes.Size)
	if err != nil {
		return region.Condition{}, err
	}
	image, err := size.image()
	if err != nil {
		return region.Condition{}, err
	}
	subnets, err := f.nodeSubnets(ctx)
	if err != nil {
		return region.Condition{}, err
	}
	template, err := f.ensureTemplate(ctx)
	if err != nil {
		return region.Condition{}, err
	}
	request := &eks.CreateNodegroupInput{ClusterName: f.cluster.Name, NodegroupName: aws.String(groupName(f.spec)), NodeRole: aws.String(role), Subnets: subnets,
		InstanceTypes: []string{f.spec.Nodes.Size}, AmiType: image, CapacityType: types.CapacityTypesOnDemand, ScalingConfig: scaling(int32(f.spec.Nodes.Count)),
		UpdateConfig: &types.NodegroupUpdateConfig{MaxUnavailable: aws.Int32(1)}, LaunchTemplate: &types.LaunchTemplateSpecification{Id: aws.String(template), Version: aws.String("1")}, Tags: f.spec.Tags}
	request.ClientRequestToken = token(f.life(), request)
	if _, err := f.at.eks.CreateNodegroup(ctx, request); err != nil {
		return region.Condition{}, f.at.explain(err, "create the node group "+groupName(f.spec))
	}
	return region.Condition{State: "the node group is " + string(types.NodegroupStatusCreating)}, nil
}

// nodeSubnets are the private subnets that the cluster uses, in zones that have the nodes' size.
func (f *furnishing) nodeSubnets(ctx context.Context) ([]string, error) {
	offered, err := f.at.zonesOf(ctx, f.spec.Nodes.Size)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, s := range f.spec.Network.Subnets {
		if !s.Public && slices.Contains(offered, s.Zone) && slices.Contains(f.cluster.ResourcesVpcConfig.SubnetIds, s.ID) {
			ids = append(ids, s.ID)
		}
	}
	if len(ids) == 0 {
		return nil, fault.New(fault.Invalid, "AWS has no nodes of size %q in the zones of the region's private subnets; it has them in %v", f.spec.Nodes.Size, offered)
	}
	return ids, nil
}

// image is EKS's Amazon Linux 2023 for the size's processors. It takes calls of the metadata service with a token alone.
func (s size) image() (types.AMITypes, error) {
	for _, a := range s.architectures {
		switch string(a) {
		case "x86_64":
			return types.AMITypesAl2023X8664Standard, nil
		case "arm64":
			return types.AMITypesAl2023Arm64Standard, nil
		}
	}
	return "", fault.New(fault.Invalid, "EKS has no Amazon Linux 2023 for nodes of size %q, whose architectures are %v", s.name, s.architectures)
}
