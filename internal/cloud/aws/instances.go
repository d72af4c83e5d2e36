package aws

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// nodeDisk is the size of a node's disk, in GiB.
const nodeDisk = 30

// ensureTemplate returns the id of the nodes' launch template, made if there is none. By it a pod does not reach the metadata service,
// and with it the node's role: one hop more than the node has. Disks are encrypted with the account's own key of EBS.
func (f *furnishing) ensureTemplate(ctx context.Context) (string, error) {
	name := templateName(f.spec)
	found, err := f.at.launchTemplate(ctx, name)
	if err != nil {
		return "", err
	}
	if found != nil {
		if !isOwn(tagsOf(found.Tags), f.spec.Owner) {
			return "", notOurs("launch template", name, aws.ToString(found.LaunchTemplateId))
		}
		return aws.ToString(found.LaunchTemplateId), nil
	}
	request := &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String(name), TagSpecifications: marked(types.ResourceTypeLaunchTemplate, name, f.spec.Tags),
		LaunchTemplateData: &types.RequestLaunchTemplateData{
			MetadataOptions: &types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: types.LaunchTemplateHttpTokensStateRequired, HttpPutResponseHopLimit: aws.Int32(1)},
			BlockDeviceMappings: []types.LaunchTemplateBlockDeviceMappingRequest{{DeviceName: aws.String("/dev/xvda"), Ebs: &types.LaunchTemplateEbsBlockDeviceRequest{
				VolumeSize: aws.Int32(nodeDisk), VolumeType: types.VolumeTypeGp3, Encrypted: aws.Bool(true), DeleteOnTermination: aws.Bool(true)}}},
			TagSpecifications: f.nodeTags()}}
	request.ClientToken = token(f.life(), request)
	made, err := f.at.ec2.CreateLaunchTemplate(ctx, request)
	err = f.at.explain(err, "create the launch template "+name)
	if fault.Is(err, fault.Exists) {
		return "", fault.Wrap(fault.Conflict, err, "the launch template %s was made just now", name)
	}
	if err != nil {
		return "", err
	}
	return aws.ToString(made.LaunchTemplate.LaunchTemplateId), nil
}

// nodeTags mark nodes and their disks as the region's.
func (f *furnishing) nodeTags() []types.LaunchTemplateTagSpecificationRequest {
	var all []types.LaunchTemplateTagSpecificationRequest
	for _, kind := range []types.ResourceType{types.ResourceTypeInstance, types.ResourceTypeVolume, types.ResourceTypeNetworkInterface} {
		all = append(all, types.LaunchTemplateTagSpecificationRequest{ResourceType: kind, Tags: tagList(groupName(f.spec), f.spec.Tags)})
	}
	return all
}

// The tags by which EKS marks the instances of a node group.
const (
	clusterNameTag = "eks:cluster-name"
	groupNameTag   = "eks:nodegroup-name"
)

// countNodes is ready when as many instances run as are wanted, and none is on its way in or out.
func (f *furnishing) countNodes(ctx context.Context) (region.Condition, error) {
	all, err := f.at.instances(ctx, filter("tag:"+clusterNameTag, clusterName(f.spec)), filter("tag:"+groupNameTag, groupName(f.spec)),
		filter("instance-state-name", "pending", "running", "shutting-down", "stopping", "stopped"))
	if err != nil {
		return region.Condition{}, err
	}
	for _, i := range all {
		if i.State != nil && i.State.Name == types.InstanceStateNameRunning {
			f.running++
		}
	}
	wanted := f.spec.Nodes.Count
	now := region.Condition{State: "ACTIVE", Ready: f.running == wanted && len(all) == wanted}
	if !now.Ready {
		now.Reason = fmt.Sprintf("%d of %d nodes are running, of %d instances", f.running, wanted, len(all))
	}
	return now, nil
}

func (at *place) instances(ctx context.Context, filters ...types.Filter) ([]types.Instance, error) {
	all, err := every(ctx, ec2.NewDescribeInstancesPaginator(at.ec2, &ec2.DescribeInstancesInput{Filters: filters}), func(page *ec2.DescribeInstancesOutput) []types.Instance {
		var found []types.Instance
		for _, r := range page.Reservations {
			found = append(found, r.Instances...)
		}
		return found
	})
	return all, at.explain(err, "list the instances")
}
