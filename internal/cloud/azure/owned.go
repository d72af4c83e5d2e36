package azure

import (
	"context"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Owned lists the resource groups that are the region's, what lies in them, what carries the owner's tag elsewhere, and the role
// assignments with its mark. What a cluster makes lies in its node group, which is known by its name and by the cluster that manages it:
// so the clusters' ids add nothing. A subscription is looked through in all locations at once.
func (p *Provider) Owned(ctx context.Context, owner region.Key, _ string, _ ...string) ([]region.Resource, error) {
	n := p.names(owner.ResourceName())
	o := inventory{provider: p, owner: owner, names: n, seen: map[string]bool{}}
	for _, look := range []func(context.Context) error{o.groups, o.inGroups, o.elsewhere, o.assignments} {
		if err := look(ctx); err != nil {
			return nil, err
		}
	}
	return o.found, nil
}

// inventory gathers. Groups come first: they say where the rest is.
type inventory struct {
	provider *Provider
	owner    region.Key
	names    names
	mine     []string // names of groups
	seen     map[string]bool
	found    []region.Resource
}

func (o *inventory) add(kind, id, name string) {
	id = o.names.canonical(id)
	if key := strings.ToLower(id); !o.seen[key] {
		o.seen[key] = true
		o.found = append(o.found, region.Resource{Kind: kind, ID: id, Name: name})
	}
}

// tagged is the filter of what carries the owner's mark.
func (o *inventory) tagged() *string {
	return ptr(fmt.Sprintf("tagName eq '%s' and tagValue eq '%s'", ownerTag, o.owner.Owner()))
}

func (o *inventory) groups(ctx context.Context) error {
	all, err := every(ctx, o.provider.groups.NewListPager(&armresources.ResourceGroupsClientListOptions{Filter: o.tagged()}),
		func(page armresources.ResourceGroupsClientListResponse) []*armresources.ResourceGroup {
			return page.Value
		})
	if err != nil {
		return explain(err, "list the resource groups")
	}
	for _, g := range all {
		o.mine = append(o.mine, of(g.Name))
		o.add("resource group", of(g.ID), of(g.Name))
	}
	left, err := o.provider.nodeGroup(ctx, o.owner, o.names)
	if err == nil && left != nil {
		o.add("resource group", of(left.ID), of(left.Name))
		o.mine = append(o.mine, of(left.Name))
	}
	return err
}

func (o *inventory) inGroups(ctx context.Context) error {
	been := map[string]bool{}
	for _, name := range o.mine {
		if been[strings.ToLower(name)] {
			continue
		}
		been[strings.ToLower(name)] = true
		all, err := o.provider.listGroup(ctx, name)
		if err != nil {
			return err
		}
		for _, r := range all {
			o.add(kindOfType(of(r.Type)), of(r.ID), of(r.Name))
		}
	}
	return nil
}

func (o *inventory) elsewhere(ctx context.Context) error {
	all, err := every(ctx, o.provider.resources.NewListPager(&armresources.ClientListOptions{Filter: o.tagged()}),
		func(page armresources.ClientListResponse) []*armresources.GenericResourceExpanded { return page.Value })
	for _, r := range all {
		o.add(kindOfType(of(r.Type)), of(r.ID), of(r.Name))
	}
	return explain(err, "list the resources with the region's tag")
}

func (o *inventory) assignments(ctx context.Context) error {
	all, err := every(ctx, o.provider.assignments.NewListForSubscriptionPager(nil),
		func(page armauthorization.RoleAssignmentsClientListForSubscriptionResponse) []*armauthorization.RoleAssignment {
			return page.Value
		})
	for _, a := range all {
		if assigned(o.owner, a) {
			o.add("role assignment", of(a.ID), of(a.Name))
		}
	}
	return explain(err, "list the role assignments")
}

// kindOfType is a resource's type in words: "virtual networks" of "Microsoft.Network/virtualNetworks".
func kindOfType(full string) string {
	_, name, found := strings.Cut(full, "/")
	if !found {
		return full
	}
	var words strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' && i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z' {
			words.WriteByte(' ')
		}
		words.WriteRune(r)
	}
	return strings.ToLower(words.String())
}

// nodeGroup is the group of the region's cluster's nodes, nil if there is none. AKS says in it whose it is, and tags it as its cluster is.
func (p *Provider) nodeGroup(ctx context.Context, owner region.Key, n names) (*armresources.ResourceGroup, error) {
	found, err := p.group(ctx, n.nodeGroup)
	if err != nil || found == nil || !owns(owner, found.Tags) && !strings.EqualFold(of(found.ManagedBy), n.clusterID()) {
		return nil, err
	}
	return found, nil
}

// listGroup lists what is in a resource group: nothing if there is none.
func (p *Provider) listGroup(ctx context.Context, name string) ([]*armresources.GenericResourceExpanded, error) {
	all, err := every(ctx, p.resources.NewListByResourceGroupPager(name, nil),
		func(page armresources.ClientListByResourceGroupResponse) []*armresources.GenericResourceExpanded {
			return page.Value
		})
	err = explain(err, "list what is in the resource group "+name)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return all, err
}
