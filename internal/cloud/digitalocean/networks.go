package digitalocean

import (
	"context"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// networkNameLimit: the API's description names no limit for a VPC's name; what the cluster's takes, it takes.
const networkNameLimit = clusterNameLimit

func networkName(spec region.NetworkSpec) string { return region.CutName(networkNameLimit, spec.Name) }

// EnsureNetwork returns the VPC of the spec's name and owner, made if there is none: it is ready at once, and all there is of
// a network. Without a range in the spec DigitalOcean picks one. It is never the first of its location: that one becomes the default, in which
// everything lands that names no network.
func (p *Provider) EnsureNetwork(ctx context.Context, spec region.NetworkSpec, _ string) (region.Net, error) {
	all, err := p.vpcs(ctx)
	if err != nil {
		return region.Net{}, err
	}
	ours := func(all []*godo.VPC) (*godo.VPC, error) { return vpcOf(all, spec) }
	found, err := ours(all)
	if err != nil || found != nil {
		return networkOf(found), err
	}
	if err := p.ensureDefault(ctx, all, spec.Location); err != nil {
		return region.Net{}, err
	}
	request := godo.VPCCreateRequest{Name: networkName(spec), RegionSlug: spec.Location, Description: spec.Owner.Owner(), IPRange: spec.CIDR}
	made, err := p.createVPC(ctx, request, ours)
	return networkOf(made), err
}

// DeleteNetwork removes the VPC of the spec's name and owner. What is not ours stays. If it has become its location's default,
// which cannot be deleted, another is made that first.
func (p *Provider) DeleteNetwork(ctx context.Context, spec region.NetworkSpec, _ string) (region.Removal, error) {
	all, err := p.vpcs(ctx)
	if err != nil {
		return region.Removal{}, err
	}
	found, err := vpcOf(all, spec)
	if fault.Is(err, fault.Exists) || err == nil && found == nil {
		return region.Removal{Gone: true}, nil
	}
	if err != nil {
		return region.Removal{}, err
	}
	if found.Default {
		if err := p.replaceDefault(ctx, all, spec.Location); err != nil {
			return region.Removal{}, err
		}
	}
	_, err = p.api.VPCs.Delete(ctx, found.ID)
	err = explain(err, "delete the VPC "+networkName(spec))
	switch {
	case err == nil || fault.Is(err, fault.NotFound):
		return region.Removal{Gone: true}, nil
	case undeletableYet(err):
		return region.Removal{}, fault.Wrap(fault.Conflict, err, "%s", fault.Message(err))
	}
	return region.Removal{}, err
}

func (p *Provider) vpcs(ctx context.Context) ([]*godo.VPC, error) {
	all, err := p.lists.vpcs.get(ctx, func(ctx context.Context) ([]*godo.VPC, error) { return every(ctx, p.api.VPCs.List) })
	return all, explain(err, "list the VPCs")
}

// createVPC makes a VPC that was not there. find looks for it, should it have been made since: by our own lost attempt, or by
// somebody else.
func (p *Provider) createVPC(ctx context.Context, request godo.VPCCreateRequest, find func([]*godo.VPC) (*godo.VPC, error)) (*godo.VPC, error) {
	made, _, err := p.api.VPCs.Create(ctx, &request)
	err = explain(err, "create the VPC "+request.Name)
	if !fault.Is(err, fault.Exists) {
		return made, err
	}
	all, again := p.vpcs(ctx)
	if again != nil {
		return nil, again
	}
	if found, again := find(all); again != nil || found != nil {
		return found, again
	}
	return nil, err
}

// vpcOf returns nil when there is none of the spec's name, and an Exists fault when there is one that is not ours.
func vpcOf(all []*godo.VPC, spec region.NetworkSpec) (*godo.VPC, error) {
	for _, v := range all {
		switch {
		case v.Name != networkName(spec):
		case !describes(v, spec.Owner):
			return nil, fault.New(fault.Exists, "the DigitalOcean account has a VPC %s (%s) that is not this region's: its description does not begin with %q; rename it, or give the region another name",
				v.Name, v.ID, spec.Owner.Owner())
		case v.RegionSlug != spec.Location:
			return nil, fault.New(fault.Failed, "the VPC %s (%s) of this region is in %s, not in %s: remove the region first", v.Name, v.ID, v.RegionSlug, spec.Location)
		default:
			return v, nil
		}
	}
	return nil, nil
}

// describes reports whether a VPC's description marks it as the region's. People may add words of their own.
func describes(v *godo.VPC, owner region.Key) bool {
	of, marked := region.ParseOwner(v.Description)
	return marked && of == owner
}

func networkOf(v *godo.VPC) region.Net {
	if v == nil {
		return region.Net{}
	}
	return region.Net{ID: v.ID, Name: v.Name, CIDR: v.IPRange, Condition: region.Condition{Ready: true, State: "available"}}
}
