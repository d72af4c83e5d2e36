package digitalocean

import (
	"context"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// EnsureNetwork returns the VPC of the spec's name and owner, made if there is none. DigitalOcean picks its addresses.
func (p *Provider) EnsureNetwork(ctx context.Context, spec region.NetworkSpec) (region.Net, error) {
	found, err := p.findNetwork(ctx, spec)
	if err != nil || found != nil {
		return networkOf(found), err
	}
	made, _, err := p.api.VPCs.Create(ctx, &godo.VPCCreateRequest{Name: spec.Name, RegionSlug: spec.Location, Description: spec.Owner.Owner()})
	err = explain(err, "create the VPC "+spec.Name)
	if fault.Is(err, fault.Exists) {
		// It was made since we looked: by our own lost attempt, or by somebody else.
		if found, again := p.findNetwork(ctx, spec); again != nil || found != nil {
			return networkOf(found), again
		}
	}
	return networkOf(made), err
}

// DeleteNetwork removes the VPC of the spec's name and owner. What is not ours stays.
func (p *Provider) DeleteNetwork(ctx context.Context, spec region.NetworkSpec) error {
	found, err := p.findNetwork(ctx, spec)
	if fault.Is(err, fault.Exists) || err == nil && found == nil {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = p.api.VPCs.Delete(ctx, found.ID)
	err = explain(err, "delete the VPC "+spec.Name)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil
	case inhabited(err):
		return fault.Wrap(fault.Conflict, err, "%s", fault.Message(err))
	}
	return err
}

// findNetwork returns nil when there is none of that name, and an Exists fault when there is one that is not ours.
func (p *Provider) findNetwork(ctx context.Context, spec region.NetworkSpec) (*godo.VPC, error) {
	all, err := every(ctx, p.api.VPCs.List)
	if err != nil {
		return nil, explain(err, "list the VPCs")
	}
	for _, v := range all {
		switch {
		case v.Name != spec.Name:
		case v.Description != spec.Owner.Owner():
			return nil, fault.New(fault.Exists, "the DigitalOcean account has a VPC %s (%s) that is not this region's: its description is not %q; rename it, or give the region another name",
				v.Name, v.ID, spec.Owner.Owner())
		case v.RegionSlug != spec.Location:
			return nil, fault.New(fault.Failed, "the VPC %s (%s) of this region is in %s, not in %s: remove the region first", v.Name, v.ID, v.RegionSlug, spec.Location)
		default:
			return v, nil
		}
	}
	return nil, nil
}

func networkOf(v *godo.VPC) region.Net {
	if v == nil {
		return region.Net{}
	}
	return region.Net{ID: v.ID, Name: v.Name, CIDR: v.IPRange}
}
