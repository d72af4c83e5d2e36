package aws

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// EnsureTrust lets the worker that asks administer the cluster: an access entry for its role or user, with EKS's policy for that. A
// worker of another identity gets another. Workloads act by EKS Pod Identity, which is the add-ons' business, so there is nothing in
// the account that trusts the cluster's issuer.
func (p *Provider) EnsureTrust(ctx context.Context, spec region.TrustSpec, _ string) (region.Condition, error) {
	at := p.in(spec.Location)
	me, err := at.worker(ctx)
	if err != nil {
		return region.Condition{}, err
	}
	cluster := region.CutName(clusterNameLimit, spec.Name)
	_, err = at.eks.DescribeAccessEntry(ctx, &eks.DescribeAccessEntryInput{ClusterName: aws.String(cluster), PrincipalArn: aws.String(me)})
	err = at.explain(err, "find the access entry of "+me+" in "+cluster)
	if fault.Is(err, fault.NotFound) {
		request := &eks.CreateAccessEntryInput{ClusterName: aws.String(cluster), PrincipalArn: aws.String(me), Type: aws.String("STANDARD"), Tags: spec.Tags}
		request.ClientRequestToken = token(spec.Cluster.ID, request)
		_, err = at.eks.CreateAccessEntry(ctx, request)
		err = at.explain(err, "create the access entry of "+me+" in "+cluster)
	}
	if err != nil {
		return region.Condition{}, unlisted(err)
	}
	if err := at.admit(ctx, cluster, me); err != nil {
		return region.Condition{}, unlisted(err)
	}
	return region.Condition{Ready: true, State: "associated"}, nil
}

// admit gives a principal with an access entry the administrator's policy.
func (at *place) admit(ctx context.Context, cluster, principal string) error {
	policy := administrator(at.location)
	all, err := every(ctx, eks.NewListAssociatedAccessPoliciesPaginator(at.eks, &eks.ListAssociatedAccessPoliciesInput{ClusterName: aws.String(cluster), PrincipalArn: aws.String(principal)}),
		func(page *eks.ListAssociatedAccessPoliciesOutput) []types.AssociatedAccessPolicy {
			return page.AssociatedAccessPolicies
		})
	if err != nil {
		return at.explain(err, "list the access policies of "+principal+" in "+cluster)
	}
	if slices.ContainsFunc(all, func(a types.AssociatedAccessPolicy) bool { return aws.ToString(a.PolicyArn) == policy }) {
		return nil
	}
	_, err = at.eks.AssociateAccessPolicy(ctx, &eks.AssociateAccessPolicyInput{ClusterName: aws.String(cluster), PrincipalArn: aws.String(principal), PolicyArn: aws.String(policy),
		AccessScope: &types.AccessScope{Type: types.AccessScopeTypeCluster}})
	return at.explain(err, "let "+principal+" administer "+cluster)
}

func administrator(location string) string {
	of, _ := partition(location)
	return "arn:" + of + ":eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
}

// DeleteTrust is done at once: access entries go with their cluster.
func (p *Provider) DeleteTrust(context.Context, region.TrustSpec, string) (region.Removal, error) {
	return region.Removal{Gone: true}, nil
}

// worker is the ARN of the role or user that this process acts as. Who has assumed a role is told by the role's name alone, without
// its path, which an access entry wants.
func (at *place) worker(ctx context.Context) (string, error) {
	me, err := at.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", at.explain(err, "say who the worker is")
	}
	arn := aws.ToString(me.Arn)
	role, assumed := assumedRole(arn)
	switch {
	case strings.HasSuffix(arn, ":root"):
		return "", fault.New(fault.Denied, "the worker acts as the AWS account's root user, whom EKS lets into no cluster: give it a role of its own, as deploy/workers/aws says")
	case !assumed:
		return arn, nil
	}
	found, err := at.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(role)})
	if err != nil {
		return "", at.explain(err, "find the worker's own role "+role)
	}
	return aws.ToString(found.Role.Arn), nil
}

// assumedRole is the name of the role in "arn:aws:sts::111122223333:assumed-role/NAME/SESSION".
func assumedRole(arn string) (name string, assumed bool) {
	_, path, assumed := strings.Cut(arn, ":assumed-role/")
	name, _, _ = strings.Cut(path, "/")
	return name, assumed && strings.Contains(arn, ":sts:")
}
