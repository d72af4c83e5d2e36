package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// clusterNameLimit is EKS's.
const clusterNameLimit = 100

func clusterName(spec region.ClusterSpec) string { return region.CutName(clusterNameLimit, spec.Name) }

// EnsureCluster takes one step towards the EKS cluster of the spec's name and owner, with its add-ons and its node group: the
// control plane; then what nodes need to take pods, the network's way out, and the nodes; then the add-ons that run on them. Its version is AWS's to change:
// EKS upgrades control planes whose version is supported no more.
func (p *Provider) EnsureCluster(ctx context.Context, spec region.ClusterSpec, _ string) (region.Cluster, error) {
	made, err := p.ensureCluster(ctx, spec)
	return made, unlisted(err)
}

func (p *Provider) ensureCluster(ctx context.Context, spec region.ClusterSpec) (region.Cluster, error) {
	at := p.in(spec.Location)
	c, err := at.cluster(ctx, clusterName(spec), spec.Owner)
	if err != nil {
		return region.Cluster{}, err
	}
	if c == nil {
		c, err = p.createCluster(ctx, at, spec)
		if err != nil {
			return region.Cluster{}, err
		}
		return told(c, 0, stateOf(c)), nil
	}
	switch {
	case c.Status == types.ClusterStatusDeleting:
		return region.Cluster{}, fault.New(fault.Conflict, "the cluster %s is still being deleted", clusterName(spec))
	case c.Status != types.ClusterStatusActive:
		return told(c, 0, stateOf(c)), nil
	}
	if vpc := aws.ToString(c.ResourcesVpcConfig.VpcId); spec.Network.ID != "" && vpc != spec.Network.ID {
		return region.Cluster{}, fault.New(fault.Failed, "the cluster %s is in the VPC %s, not in %s: remove the region first", clusterName(spec), vpc, spec.Network.ID)
	}
	changed, err := p.openTo(ctx, at, spec, c)
	if err != nil {
		return region.Cluster{}, err
	}
	if changed {
		return told(c, 0, region.Condition{State: string(types.ClusterStatusUpdating)}), nil
	}
	f := furnishing{at: at, spec: spec, cluster: c}
	condition, err := f.furnish(ctx)
	if err != nil {
		return region.Cluster{}, err
	}
	return told(c, f.running, condition), nil
}

// told is a cluster as the platform sees it. EKS tells the minor version alone.
func told(c *types.Cluster, nodes int, condition region.Condition) region.Cluster {
	made := region.Cluster{ID: aws.ToString(c.Arn), Name: aws.ToString(c.Name), Endpoint: aws.ToString(c.Endpoint), Version: aws.ToString(c.Version),
		Nodes: nodes, Condition: condition}
	if c.Identity != nil && c.Identity.Oidc != nil {
		made.Issuer = aws.ToString(c.Identity.Oidc.Issuer)
	}
	return made
}

// stateOf is how far the control plane is.
func stateOf(c *types.Cluster) region.Condition {
	now := region.Condition{State: string(c.Status), Broken: c.Status == types.ClusterStatusFailed}
	if c.Health != nil {
		var issues []string
		for _, i := range c.Health.Issues {
			issues = append(issues, string(i.Code)+": "+aws.ToString(i.Message))
		}
		now.Reason = strings.Join(issues, "; ")
	}
	if now.Broken {
		now.Reason = cmp.Or(now.Reason, "EKS could not make the cluster and does not say why; ask AWS's support about "+aws.ToString(c.Arn))
	}
	return now
}

// cluster returns nil when there is none of that name, and an Exists fault when there is one that is not ours.
func (at *place) cluster(ctx context.Context, name string, owner region.Key) (*types.Cluster, error) {
	found, err := at.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: aws.String(name)})
	err = at.explain(err, "find the cluster "+name)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case !isOwn(found.Cluster.Tags, owner):
		return nil, notOurs("cluster", name, "")
	case found.Cluster.ResourcesVpcConfig == nil:
		found.Cluster.ResourcesVpcConfig = &types.VpcConfigResponse{}
	}
	return found.Cluster, nil
}

// createCluster asks for the control plane. Where EKS has no place for it in one of the zones, it says in which it has.
func (p *Provider) createCluster(ctx context.Context, at *place, spec region.ClusterSpec) (*types.Cluster, error) {
	role, err := rolePrincipal(spec.Principals, clusterRole, spec.Name)
	if err != nil {
		return nil, err
	}
	allowed, err := p.allowed(spec)
	if err != nil {
		return nil, err
	}
	request := &eks.CreateClusterInput{Name: aws.String(clusterName(spec)), Version: aws.String(spec.Version), RoleArn: aws.String(role), Tags: spec.Tags,
		ResourcesVpcConfig: &types.VpcConfigRequest{SubnetIds: subnetsIn(spec.Network, nil), EndpointPublicAccess: aws.Bool(true), EndpointPrivateAccess: aws.Bool(true), PublicAccessCidrs: allowed},
		// Access by entries alone, and none for whoever made it: EnsureTrust gives it to the worker that is there now.
		AccessConfig: &types.CreateAccessConfigRequest{AuthenticationMode: types.AuthenticationModeApi, BootstrapClusterCreatorAdminPermissions: aws.Bool(false)},
		// Otherwise EKS puts add-ons of its own there, which nobody keeps up to date.
		BootstrapSelfManagedAddons: aws.Bool(false),
		UpgradePolicy:              &types.UpgradePolicyRequest{SupportType: types.SupportTypeStandard}} // extended support costs six times as much
	made, err := at.askForCluster(ctx, request, spec.Network.ID)
	var elsewhere *types.UnsupportedAvailabilityZoneException
	if errors.As(err, &elsewhere) && len(elsewhere.ValidZones) > 0 {
		request.ResourcesVpcConfig.SubnetIds, request.ClientRequestToken = subnetsIn(spec.Network, elsewhere.ValidZones), nil
		made, err = at.askForCluster(ctx, request, spec.Network.ID)
	}
	return made, err
}

func (at *place) askForCluster(ctx context.Context, request *eks.CreateClusterInput, network string) (*types.Cluster, error) {
	request.ClientRequestToken = token(network, request)
	name := aws.ToString(request.Name)
	made, err := at.eks.CreateCluster(ctx, request)
	err = at.explain(err, "create the cluster "+name)
	if fault.Is(err, fault.Invalid) && strings.Contains(strings.ToLower(fault.Message(err)), "version") {
		return nil, at.notOffered(ctx, aws.ToString(request.Version), err)
	}
	if err != nil {
		return nil, err // one that was made since we looked is a Conflict: the next step finds it
	}
	return made.Cluster, nil
}

// notOffered says which versions there are, where that is what is wrong.
func (at *place) notOffered(ctx context.Context, version string, refusal error) error {
	offered, err := at.versions(ctx)
	if err != nil || offered.has(version) {
		return refusal
	}
	return fault.Wrap(fault.Invalid, refusal, "%s", offered.refuse(version))
}

func rolePrincipal(principals map[string]string, name, of string) (string, error) {
	if principals[name] == "" {
		return "", fault.New(fault.Invalid, "the identity of %s has no role %q: apply the region again", of, name)
	}
	return principals[name], nil
}

// subnetsIn are the ids of a network's subnets in some of its zones; nil: in all.
func subnetsIn(network region.Net, zones []string) []string {
	var ids []string
	for _, s := range network.Subnets {
		if zones == nil || slices.Contains(zones, s.Zone) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// allowed are the ranges that reach the API server from outside, in EKS's words: all, unless the spec restricts them.
func (p *Provider) allowed(spec region.ClusterSpec) ([]string, error) {
	all := spec.Admitted(p.egress)
	if all == nil {
		return []string{everywhere}, nil
	}
	for _, text := range all {
		if cidr, err := netip.ParsePrefix(text); err != nil || !cidr.Addr().Is4() {
			return nil, fault.New(fault.Invalid, "access_cidrs: %q is not a range of IPv4 addresses, which is all that EKS takes", text)
		}
	}
	return all, nil
}

// openTo has the API server reached from where it is to be, and reports whether that changed.
func (p *Provider) openTo(ctx context.Context, at *place, spec region.ClusterSpec, c *types.Cluster) (changed bool, err error) {
	want, err := p.allowed(spec)
	if err != nil {
		return false, err
	}
	have := slices.Sorted(slices.Values(c.ResourcesVpcConfig.PublicAccessCidrs))
	if slices.Equal(want, have) && c.ResourcesVpcConfig.EndpointPublicAccess && c.ResourcesVpcConfig.EndpointPrivateAccess {
		return false, nil
	}
	request := &eks.UpdateClusterConfigInput{Name: c.Name, ResourcesVpcConfig: &types.VpcConfigRequest{PublicAccessCidrs: want,
		EndpointPublicAccess: aws.Bool(true), EndpointPrivateAccess: aws.Bool(true)}}
	request.ClientRequestToken = token(fmt.Sprint(aws.ToString(c.Arn), aws.ToTime(c.CreatedAt).UnixNano(), have), request)
	_, err = at.eks.UpdateClusterConfig(ctx, request)
	return true, at.explain(err, "open the API server of "+clusterName(spec)+" to "+strings.Join(want, ", "))
}
