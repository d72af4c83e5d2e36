package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// addon is one of EKS's add-ons. AWS picks its version by the cluster's.
type addon struct {
	name          string
	configuration string
	account       string // the service account that acts in the AWS account, by EKS Pod Identity
	role          string // as which of the region's principals
}

// Nodes take no pods without the first ones, and the others never become active without nodes.
var (
	firstAddons = []addon{
		{name: "vpc-cni", configuration: `{"enableNetworkPolicy":"true"}`, account: "aws-node", role: cniRole},
		{name: "kube-proxy"},
		{name: "eks-pod-identity-agent"},
	}
	lastAddons = []addon{
		{name: "coredns"},
		{name: "aws-ebs-csi-driver", configuration: `{"defaultStorageClass":{"enabled":true}}`, account: "ebs-csi-controller-sa", role: diskRole},
	}
)

// furnishing is a step towards a cluster that takes pods, once its control plane is there.
type furnishing struct {
	at      *place
	spec    region.ClusterSpec
	cluster *types.Cluster
	there   []string // names of add-ons
	running int      // nodes
}

// life tells this cluster from a later one of the same name, for idempotency tokens.
func (f *furnishing) life() string {
	return fmt.Sprint(aws.ToString(f.cluster.Arn), aws.ToTime(f.cluster.CreatedAt).UnixNano())
}

func (f *furnishing) furnish(ctx context.Context) (region.Condition, error) {
	there, err := every(ctx, eks.NewListAddonsPaginator(f.at.eks, &eks.ListAddonsInput{ClusterName: f.cluster.Name}), func(page *eks.ListAddonsOutput) []string { return page.Addons })
	if err != nil {
		return region.Condition{}, f.at.explain(err, "list the add-ons of "+clusterName(f.spec))
	}
	f.there = there
	if err := f.createAddons(ctx, firstAddons); err != nil {
		return region.Condition{}, err
	}
	nodes, err := f.growNodes(ctx)
	if err != nil || !nodes.Ready {
		return nodes, err
	}
	if err := f.createAddons(ctx, lastAddons); err != nil {
		return region.Condition{}, err
	}
	addons, err := f.addons(ctx)
	if err != nil || !addons.Ready {
		return addons, err
	}
	return f.countNodes(ctx)
}

// createAddons makes those that are not there.
func (f *furnishing) createAddons(ctx context.Context, wanted []addon) error {
	for _, a := range wanted {
		if slices.Contains(f.there, a.name) {
			continue
		}
		request := &eks.CreateAddonInput{ClusterName: f.cluster.Name, AddonName: aws.String(a.name), Tags: f.spec.Tags, ResolveConflicts: types.ResolveConflictsOverwrite}
		if a.configuration != "" {
			request.ConfigurationValues = aws.String(a.configuration)
		}
		if a.role != "" {
			role, err := rolePrincipal(f.spec.Principals, a.role, f.spec.Name)
			if err != nil {
				return err
			}
			request.PodIdentityAssociations = []types.AddonPodIdentityAssociations{{ServiceAccount: aws.String(a.account), RoleArn: aws.String(role)}}
		}
		request.ClientRequestToken = token(f.life(), request)
		_, err := f.at.eks.CreateAddon(ctx, request)
		err = f.at.explain(err, "create the add-on "+a.name)
		if err != nil {
			return err // one that was made since we looked is a Conflict: the next step finds it
		}
	}
	return nil
}

// addons says whether all of them are active, and if not what is the matter with the first that is not.
func (f *furnishing) addons(ctx context.Context) (region.Condition, error) {
	for _, a := range slices.Concat(firstAddons, lastAddons) {
		found, err := f.at.eks.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: f.cluster.Name, AddonName: aws.String(a.name)})
		err = f.at.explain(err, "describe the add-on "+a.name)
		if fault.Is(err, fault.NotFound) {
			return region.Condition{State: "the add-on " + a.name + " is not listed yet"}, nil
		}
		if err != nil {
			return region.Condition{}, err
		}
		if found.Addon.Status != types.AddonStatusActive {
			return stateOfAddon(a, found.Addon), nil
		}
	}
	return region.Condition{Ready: true, State: string(types.AddonStatusActive)}, nil
}

func stateOfAddon(a addon, found *types.Addon) region.Condition {
	now := region.Condition{State: "the add-on " + a.name + " is " + string(found.Status), Broken: found.Status == types.AddonStatusCreateFailed}
	if found.Health != nil {
		var issues []string
		for _, i := range found.Health.Issues {
			issues = append(issues, string(i.Code)+": "+aws.ToString(i.Message))
		}
		now.Reason = strings.Join(issues, "; ")
	}
	if now.Broken && now.Reason == "" {
		now.Reason = "EKS does not say why: delete the add-on and apply again"
	}
	return now
}
