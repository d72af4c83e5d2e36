package aws

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// DeleteCluster takes one step towards the end of the node groups, the cluster and all that goes with it, the launch template, and what
// the cluster left. One of that name that is not ours stays, with all that is its own.
func (p *Provider) DeleteCluster(ctx context.Context, spec region.ClusterSpec, _ string) (region.Removal, error) {
	at := p.in(spec.Location)
	name := clusterName(spec)
	c, err := at.cluster(ctx, name, spec.Owner)
	switch {
	case fault.Is(err, fault.Exists), err == nil && c == nil:
		return at.removeLeftovers(ctx, spec, err != nil)
	case err != nil:
		return region.Removal{}, err
	case c.Status == types.ClusterStatusDeleting:
		return region.Removal{State: "the cluster is " + string(c.Status)}, nil
	}
	if state, err := at.removeNodes(ctx, name); err != nil || state != "" {
		return region.Removal{State: state}, err
	}
	_, err = at.eks.DeleteCluster(ctx, &eks.DeleteClusterInput{Name: aws.String(name)})
	if err := unlessGone(at.explain(err, "delete the cluster "+name)); err != nil {
		return region.Removal{}, err
	}
	return region.Removal{State: "the deletion of the cluster was requested"}, nil
}

// removeNodes asks for the end of all node groups, and returns what is to be waited for, "" when there is none.
func (at *place) removeNodes(ctx context.Context, cluster string) (state string, err error) {
	groups, err := every(ctx, eks.NewListNodegroupsPaginator(at.eks, &eks.ListNodegroupsInput{ClusterName: aws.String(cluster)}),
		func(page *eks.ListNodegroupsOutput) []string { return page.Nodegroups })
	if err != nil {
		return "", unlessGone(at.explain(err, "list the node groups of "+cluster))
	}
	for _, name := range groups[:min(len(groups), sweptAtOnce)] {
		found, err := at.eks.DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{ClusterName: aws.String(cluster), NodegroupName: aws.String(name)})
		err = at.explain(err, "describe the node group "+name)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return "", err
		}
		now := stateOfGroup(found.Nodegroup)
		state = strings.TrimSpace(now.State + " " + now.Reason)
		if found.Nodegroup.Status == types.NodegroupStatusDeleting {
			continue
		}
		_, err = at.eks.DeleteNodegroup(ctx, &eks.DeleteNodegroupInput{ClusterName: aws.String(cluster), NodegroupName: aws.String(name)})
		if err := unlessGone(at.explain(err, "delete the node group "+name)); err != nil {
			return "", err
		}
		state = "the deletion of the node group " + name + " was requested"
	}
	if len(groups) > 0 && state == "" {
		state = "the node groups are gone"
	}
	return state, nil
}

// removeLeftovers removes what is there without the cluster: the launch template, and what the cluster left. Beside a stranger's
// cluster of the same name what is marked with the name alone may be the stranger's.
func (at *place) removeLeftovers(ctx context.Context, spec region.ClusterSpec, stranger bool) (region.Removal, error) {
	name := templateName(spec)
	template, err := at.launchTemplate(ctx, name)
	if err != nil {
		return region.Removal{}, err
	}
	if template != nil && isOwn(tagsOf(template.Tags), spec.Owner) {
		return region.Removal{State: "the launch template of the nodes was deleted"}, at.deleteLaunchTemplate(ctx, aws.ToString(template.LaunchTemplateId), name)
	}
	return at.sweep(ctx, spec, stranger)
}
