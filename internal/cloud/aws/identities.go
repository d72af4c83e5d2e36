package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// principal is one role of a region: who assumes it, and what it may do.
type principal struct {
	name     string // as Identity.Principals calls it, and the end of the role's name
	assumes  string // the service
	actions  string // of its trust policy
	policies []string
	purpose  string
}

// The names of the principals.
const (
	clusterRole = "cluster"
	nodeRole    = "nodes"
	cniRole     = "cni"
	diskRole    = "ebs"
)

const (
	assume     = `"sts:AssumeRole"`
	assumeTags = `["sts:AssumeRole", "sts:TagSession"]` // as EKS Pod Identity wants it
)

// principals are a region's roles. Nodes may join, pull images and ask for the credentials of their pods, and no more: addresses of
// pods and disks are the business of the CNI's and the disk driver's own roles, by EKS Pod Identity. Whatever runs on a node
// could otherwise act on every interface of the account.
var principals = []principal{
	{name: clusterRole, assumes: "eks.amazonaws.com", actions: assume, policies: []string{"AmazonEKSClusterPolicy"}, purpose: "the control plane"},
	{name: nodeRole, assumes: "ec2.amazonaws.com", actions: assume, policies: []string{"AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"}, purpose: "nodes"},
	{name: cniRole, assumes: "pods.eks.amazonaws.com", actions: assumeTags, policies: []string{"AmazonEKS_CNI_Policy"}, purpose: "addresses of pods"},
	{name: diskRole, assumes: "pods.eks.amazonaws.com", actions: assumeTags, policies: []string{"service-role/AmazonEBSCSIDriverPolicy"}, purpose: "disks"},
}

// roleNameLimit is IAM's.
const roleNameLimit = 64

func (w principal) roleName(name string) string {
	return region.CutName(roleNameLimit, name+"-"+w.name)
}

func (w principal) trust() string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":%s}]}`, w.assumes, w.actions)
}

// EnsureIdentity takes one step towards the roles of the cluster, its nodes, its network plugin and its disk driver. That IAM lists
// a role does not mean that EKS has heard of it, and nothing tells that: it is ready when they have some age, and if that was too
// soon EnsureCluster is a Conflict.
func (p *Provider) EnsureIdentity(ctx context.Context, spec region.IdentitySpec, _ string) (region.Identity, error) {
	at := p.in(spec.Location)
	arns := map[string]string{}
	var newest time.Time
	for _, w := range principals {
		role, err := at.ensureRole(ctx, w, spec)
		if err != nil {
			return region.Identity{}, unlisted(err)
		}
		arns[w.name] = aws.ToString(role.Arn)
		if made := aws.ToTime(role.CreateDate); made.After(newest) {
			newest = made
		}
	}
	if time.Since(newest) < p.settle {
		return region.Identity{Principals: arns, Condition: region.Condition{State: "the roles were made just now"}}, nil
	}
	return region.Identity{Principals: arns, Condition: region.Condition{Ready: true, State: "listed"}}, nil
}

// ensureRole makes one role, and attaches its policies: at most five calls.
func (at *place) ensureRole(ctx context.Context, w principal, spec region.IdentitySpec) (*types.Role, error) {
	name := w.roleName(spec.Name)
	role, err := at.role(ctx, name, spec.Owner)
	if err != nil {
		return nil, err
	}
	var attached []string
	if role == nil {
		role, err = at.createRole(ctx, w, spec)
	} else {
		attached, err = at.attached(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	for _, policy := range w.policies {
		arn := at.managedPolicy(policy)
		if slices.Contains(attached, arn) {
			continue
		}
		if _, err := at.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String(name), PolicyArn: aws.String(arn)}); err != nil {
			return nil, at.explain(err, "attach the policy "+policy+" to the role "+name)
		}
	}
	return role, nil
}

func (at *place) createRole(ctx context.Context, w principal, spec region.IdentitySpec) (*types.Role, error) {
	name := w.roleName(spec.Name)
	var tags []types.Tag
	for _, key := range slices.Sorted(maps.Keys(spec.Tags)) {
		tags = append(tags, types.Tag{Key: aws.String(key), Value: aws.String(spec.Tags[key])})
	}
	made, err := at.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(name), AssumeRolePolicyDocument: aws.String(w.trust()),
		Description: aws.String("M3O region " + spec.Owner.String() + ": " + w.purpose), Tags: tags})
	err = at.explain(err, "create the role "+name)
	if fault.Is(err, fault.Exists) { // made since we looked, or not listed yet
		return nil, fault.Wrap(fault.Conflict, err, "the role %s was made just now", name)
	}
	if err != nil {
		return nil, err
	}
	return made.Role, nil
}

// role returns nil when there is none of that name, and an Exists fault when there is one that is not ours.
func (at *place) role(ctx context.Context, name string, owner region.Key) (*types.Role, error) {
	found, err := at.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(name)})
	err = at.explain(err, "find the role "+name)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case !isOwn(roleTags(found.Role), owner):
		return nil, notOurs("role", name, "")
	}
	return found.Role, nil
}

func roleTags(role *types.Role) map[string]string {
	all := map[string]string{}
	for _, t := range role.Tags {
		all[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return all
}

// attached are the ARNs of a role's policies.
func (at *place) attached(ctx context.Context, name string) ([]string, error) {
	all, err := every(ctx, iam.NewListAttachedRolePoliciesPaginator(at.iam, &iam.ListAttachedRolePoliciesInput{RoleName: aws.String(name)}),
		func(page *iam.ListAttachedRolePoliciesOutput) []types.AttachedPolicy { return page.AttachedPolicies })
	var arns []string
	for _, p := range all {
		arns = append(arns, aws.ToString(p.PolicyArn))
	}
	return arns, at.explain(err, "list the policies of the role "+name)
}

// rolesAtOnce is how many roles one step removes, each by up to four calls.
const rolesAtOnce = 2

// DeleteIdentity takes one step towards the roles' end, their policies first. Roles of that name that are not ours stay.
func (p *Provider) DeleteIdentity(ctx context.Context, spec region.IdentitySpec, _ string) (region.Removal, error) {
	at := p.in(spec.Location)
	removed := 0
	for _, w := range principals {
		name := w.roleName(spec.Name)
		role, err := at.role(ctx, name, spec.Owner)
		if fault.Is(err, fault.Exists) || err == nil && role == nil {
			continue
		}
		if err != nil {
			return region.Removal{}, err
		}
		if removed == rolesAtOnce {
			return region.Removal{State: "roles are being deleted"}, nil
		}
		removed++
		if err := at.deleteRole(ctx, name); err != nil {
			return region.Removal{}, err
		}
	}
	return region.Removal{Gone: true}, nil
}

func (at *place) deleteRole(ctx context.Context, name string) error {
	attached, err := at.attached(ctx, name)
	if err != nil {
		return unlessGone(err)
	}
	for _, arn := range attached {
		_, err := at.iam.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: aws.String(name), PolicyArn: aws.String(arn)})
		if err := unlessGone(at.explain(err, "detach the policy "+arn+" from the role "+name)); err != nil {
			return err
		}
	}
	_, err = at.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String(name)})
	return unlessGone(at.explain(err, "delete the role "+name))
}
