package aws

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/m3o/platform/internal/region"
)

// A Service of type LoadBalancer becomes a network load balancer, since the gateway's has the annotation for one: what EKS makes
// without it, and without the AWS Load Balancer Controller, is a classic one, of another API, which is neither listed nor swept here.

// balancers lists those in the VPC.
func (l *leftovers) balancers(ctx context.Context) error {
	if l.vpc == "" {
		return nil
	}
	all, err := every(ctx, elasticloadbalancingv2.NewDescribeLoadBalancersPaginator(l.at.elb, &elasticloadbalancingv2.DescribeLoadBalancersInput{}),
		func(page *elasticloadbalancingv2.DescribeLoadBalancersOutput) []types.LoadBalancer {
			return page.LoadBalancers
		})
	if err != nil {
		return l.at.explain(err, "list the load balancers")
	}
	all = slices.DeleteFunc(all, func(b types.LoadBalancer) bool { return aws.ToString(b.VpcId) != l.vpc })
	var arns []string
	for _, b := range all {
		arns = append(arns, aws.ToString(b.LoadBalancerArn))
	}
	tags, err := l.tagsOf(ctx, arns)
	for _, b := range all {
		if arn := aws.ToString(b.LoadBalancerArn); l.all || l.made(tags[arn]) {
			l.add(kindBalancer, arn, aws.ToString(b.LoadBalancerName), false)
		}
	}
	return err
}

// targets lists the target groups of the VPC.
func (l *leftovers) targets(ctx context.Context) error {
	if l.vpc == "" {
		return nil
	}
	all, err := every(ctx, elasticloadbalancingv2.NewDescribeTargetGroupsPaginator(l.at.elb, &elasticloadbalancingv2.DescribeTargetGroupsInput{}),
		func(page *elasticloadbalancingv2.DescribeTargetGroupsOutput) []types.TargetGroup {
			return page.TargetGroups
		})
	if err != nil {
		return l.at.explain(err, "list the target groups")
	}
	all = slices.DeleteFunc(all, func(g types.TargetGroup) bool { return aws.ToString(g.VpcId) != l.vpc })
	var arns []string
	for _, g := range all {
		arns = append(arns, aws.ToString(g.TargetGroupArn))
	}
	tags, err := l.tagsOf(ctx, arns)
	for _, g := range all {
		if arn := aws.ToString(g.TargetGroupArn); l.all || l.made(tags[arn]) {
			l.add(kindTargets, arn, aws.ToString(g.TargetGroupName), false)
		}
	}
	return err
}

// taggedAtOnce is of how many things one call tells the tags.
const taggedAtOnce = 20

// tagsOf are the tags of load balancers or target groups, by their ARNs.
func (l *leftovers) tagsOf(ctx context.Context, arns []string) (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	for some := range slices.Chunk(arns, taggedAtOnce) {
		found, err := l.at.elb.DescribeTags(ctx, &elasticloadbalancingv2.DescribeTagsInput{ResourceArns: some})
		if err != nil {
			return all, l.at.explain(err, "list the tags of load balancers")
		}
		for _, d := range found.TagDescriptions {
			tags := map[string]string{}
			for _, t := range d.Tags {
				tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
			}
			all[aws.ToString(d.ResourceArn)] = tags
		}
	}
	return all, nil
}

func (at *place) removeBalancing(ctx context.Context, r region.Resource) error {
	if r.Kind == kindBalancer {
		_, err := at.elb.DeleteLoadBalancer(ctx, &elasticloadbalancingv2.DeleteLoadBalancerInput{LoadBalancerArn: aws.String(r.ID)})
		return err
	}
	_, err := at.elb.DeleteTargetGroup(ctx, &elasticloadbalancingv2.DeleteTargetGroupInput{TargetGroupArn: aws.String(r.ID)})
	return err
}
