package azure

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// leaving is the provisioning state of what is being deleted.
const leaving = "Deleting"

// group returns nil when there is no resource group of that name.
func (p *Provider) group(ctx context.Context, name string) (*armresources.ResourceGroup, error) {
	found, err := p.groups.Get(ctx, name, nil)
	err = explain(err, "look at the resource group "+name)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &found.ResourceGroup, nil
}

func groupState(g *armresources.ResourceGroup) string {
	if g == nil || g.Properties == nil {
		return ""
	}
	return of(g.Properties.ProvisioningState)
}

// ensureGroup makes the region's resource group, in which everything of the region is, if there is none.
func (p *Provider) ensureGroup(ctx context.Context, spec region.NetworkSpec, n names) error {
	found, err := p.group(ctx, n.group)
	switch {
	case err != nil:
		return err
	case found == nil:
		_, err := p.groups.CreateOrUpdate(ctx, n.group, armresources.ResourceGroup{Location: &spec.Location, Tags: marks(spec.Owner, spec.Tags)}, nil)
		return explain(err, "create the resource group "+n.group)
	case !owns(spec.Owner, found.Tags):
		return foreign("resource group", n.groupID(), spec.Owner)
	case groupState(found) == leaving:
		return fault.New(fault.Conflict, "the resource group %s is still being deleted", n.group)
	case place(of(found.Location)) != place(spec.Location):
		return fault.New(fault.Failed, "the resource group %s of this region is in %s, not in %s: remove the region first", n.group, of(found.Location), spec.Location)
	}
	return nil
}

// foreign is what a thing of our name, but with another owner, is for whoever wants it.
func foreign(kind, id string, owner region.Key) error {
	return fault.New(fault.Exists, "the Azure subscription has a %s %s that is not this region's: it lacks the tag %s=%s; delete or rename it, or give the region another name",
		kind, id, ownerTag, owner.Owner())
}

// deleteGroup asks for the end of a resource group and everything in it.
func (p *Provider) deleteGroup(ctx context.Context, name string) (region.Removal, error) {
	ctx, kept := watched(ctx)
	_, err := p.groups.BeginDelete(ctx, name, nil)
	err = explain(err, "delete the resource group "+name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return region.Removal{}, err
	}
	return region.Removal{State: "the deletion of the resource group " + name + " was requested", Operation: kept.operation()}, nil
}
