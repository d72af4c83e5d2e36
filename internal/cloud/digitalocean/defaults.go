package digitalocean

import (
	"context"
	"slices"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// The first VPC of a location becomes its default: whatever names no network is put there, and it cannot be deleted until
// another is made the default. So ours must not be it. An account in which nobody used the location yet gets the VPC
// default-<location>, which DigitalOcean itself would have made with the first droplet. It costs nothing, is nobody's region's
// and stays.

func defaultName(location string) string { return "default-" + location }

// ensureDefault makes the location have a default VPC.
func (p *Provider) ensureDefault(ctx context.Context, all []*godo.VPC, location string) error {
	if slices.ContainsFunc(all, func(v *godo.VPC) bool { return v.Default && v.RegionSlug == location }) {
		return nil
	}
	return p.replaceDefault(ctx, all, location)
}

// replaceDefault makes a VPC that is nobody's region's the location's default, which it takes from the one that was.
func (p *Provider) replaceDefault(ctx context.Context, all []*godo.VPC, location string) error {
	fit := func(all []*godo.VPC) (*godo.VPC, error) { return fitForDefault(all, location) }
	next, err := fit(all)
	if err == nil && next == nil {
		next, err = p.createVPC(ctx, godo.VPCCreateRequest{Name: defaultName(location), RegionSlug: location}, fit)
	}
	if err != nil || next.Default {
		return err
	}
	_, _, err = p.api.VPCs.Set(ctx, next.ID, godo.VPCSetDefault())
	return explain(err, "make the VPC "+next.Name+" the default of "+location)
}

// fitForDefault returns the VPC that can be the location's default: what DigitalOcean would have made, else any that is
// nobody's region's; nil when there is none yet, and an Exists fault when there cannot be one.
func fitForDefault(all []*godo.VPC, location string) (*godo.VPC, error) {
	var found, taken *godo.VPC
	for _, v := range all {
		fits := v.RegionSlug == location && !region.IsOwner(v.Description)
		switch {
		case fits && v.Name == defaultName(location):
			return v, nil
		case fits && found == nil:
			found = v
		case v.Name == defaultName(location):
			taken = v
		}
	}
	if found == nil && taken != nil {
		return nil, fault.New(fault.Exists, "%s needs a default VPC that is no region's, and the name for it is taken: the DigitalOcean account has a VPC %s (%s) in %s with the description %q; rename it, or make a VPC in %s",
			location, taken.Name, taken.ID, taken.RegionSlug, taken.Description, location)
	}
	return found, nil
}
