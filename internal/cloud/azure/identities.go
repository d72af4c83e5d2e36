package azure

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// The principals of a region: the identities' ids, and of the nodes' also what AKS wants to be told of it.
const (
	clusterPrincipal = "cluster"
	nodesPrincipal   = "nodes"
	nodesClient      = "nodes-client"
	nodesObject      = "nodes-object"
)

// EnsureIdentity takes one step towards two managed identities, the control plane's and the kubelets', and what the first may do: use
// the nodes' subnet, and give the second to nodes. AKS itself gives it the node group. It is ready when AKS sees those roles, which nothing
// tells: so when they are old enough.
func (p *Provider) EnsureIdentity(ctx context.Context, spec region.IdentitySpec, _ string) (region.Identity, error) {
	n := p.names(spec.Name)
	control, err := p.ensureIdentity(ctx, spec, n, n.clusterIdentity)
	if err != nil {
		return region.Identity{}, err
	}
	nodes, err := p.ensureIdentity(ctx, spec, n, n.nodesIdentity)
	if err != nil {
		return region.Identity{}, err
	}
	made := region.Identity{Principals: map[string]string{clusterPrincipal: n.identityID(n.clusterIdentity), nodesPrincipal: n.identityID(n.nodesIdentity),
		nodesClient: of(nodes.ClientID), nodesObject: of(nodes.PrincipalID)}}
	var youngest time.Time
	actsAs := principal{ID: of(control.PrincipalID), Application: true}
	for _, g := range []grant{
		{scope: n.subnetID(), role: networkContributor, to: actsAs, why: "the cluster uses its nodes' subnet"},
		{scope: n.identityID(n.nodesIdentity), role: identityOperator, to: actsAs, why: "the cluster gives nodes their identity"},
	} {
		given, err := p.grant(ctx, spec.Owner, g)
		switch {
		case err != nil:
			return region.Identity{}, err
		case given.waits != "":
			made.Condition = region.Condition{State: "PrincipalNotFound", Reason: given.waits}
			return made, nil
		case given.since.After(youngest):
			youngest = given.since
		}
	}
	if left := p.settle - time.Since(youngest); left > 0 {
		made.Condition = region.Condition{State: "Settling", Reason: "Azure's services see new roles only after a while; another " + left.Round(time.Second).String()}
		return made, nil
	}
	made.Condition = region.Condition{Ready: true, State: "Succeeded"}
	return made, nil
}

// ensureIdentity returns what the directory knows the identity as, made if there is none: that is done with the answer.
func (p *Provider) ensureIdentity(ctx context.Context, spec region.IdentitySpec, n names, name string) (*armmsi.UserAssignedIdentityProperties, error) {
	found, err := p.identity(ctx, spec, n, name)
	if err != nil {
		return nil, err
	}
	if found == nil {
		made, err := p.identities.CreateOrUpdate(ctx, n.group, name, armmsi.Identity{Location: &spec.Location, Tags: marks(spec.Owner, spec.Tags)}, nil)
		if err != nil {
			return nil, explain(err, "create the managed identity "+name)
		}
		found = &made.Identity
	}
	if found.Properties == nil || of(found.Properties.PrincipalID) == "" || of(found.Properties.ClientID) == "" {
		return nil, fault.New(fault.Conflict, "the managed identity %s has no principal yet", name)
	}
	return found.Properties, nil
}

// identity returns nil when there is none of that name, and an Exists fault when there is one that is not ours.
func (p *Provider) identity(ctx context.Context, spec region.IdentitySpec, n names, name string) (*armmsi.Identity, error) {
	found, err := p.identities.Get(ctx, n.group, name, nil)
	return ours(&found.Identity, found.Tags, err, "managed identity", n.identityID(name), spec.Owner)
}

// DeleteIdentity removes what the region's principals may do, and then the two identities.
func (p *Provider) DeleteIdentity(ctx context.Context, spec region.IdentitySpec, _ string) (region.Removal, error) {
	n := p.names(spec.Name)
	now, err := p.revoke(ctx, spec.Owner, n, func(string) bool { return true })
	if err != nil || !now.Gone {
		return now, err
	}
	for _, name := range []string{n.clusterIdentity, n.nodesIdentity} {
		found, err := p.identity(ctx, spec, n, name)
		if fault.Is(err, fault.Exists) || err == nil && found == nil {
			continue
		}
		if err == nil {
			_, err = p.identities.Delete(ctx, n.group, name, nil)
			err = explain(err, "delete the managed identity "+name)
		}
		if err != nil && !fault.Is(err, fault.NotFound) {
			return region.Removal{}, err
		}
	}
	return region.Removal{Gone: true}, nil
}
