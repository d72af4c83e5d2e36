package digitalocean

import (
	"context"
	"slices"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/region"
)

// Owned lists what carries the owner's tag, what lies in its network, and what its clusters made: what a cluster makes
// (load balancers, volumes) carries only the cluster's own tag, so of a cluster that is gone the id must be known. A droplet
// that outlived its cluster keeps the network from being deleted, and so from this list.
func (p *Provider) Owned(ctx context.Context, owner region.Key, clusters ...string) ([]region.Resource, error) {
	o := inventory{provider: p, tags: []string{owner.Owner()}}
	for _, id := range clusters {
		o.tags = append(o.tags, clusterTag(id))
	}
	for _, look := range []func(context.Context) error{o.vpcs, o.clusters, o.loadBalancers, o.volumes} {
		if err := look(ctx); err != nil {
			return nil, err
		}
	}
	return o.found, nil
}

// clusterTag is what DigitalOcean marks a cluster with, and all that the cluster makes.
func clusterTag(id string) string { return "k8s:" + id }

// inventory gathers. Networks and clusters come first: they say by what else the rest is known.
type inventory struct {
	provider *Provider
	tags     []string
	networks []string
	found    []region.Resource
}

func (o *inventory) add(kind, id, name string) {
	o.found = append(o.found, region.Resource{Kind: kind, ID: id, Name: name})
}

func (o *inventory) tagged(tags []string) bool {
	return slices.ContainsFunc(tags, func(tag string) bool { return slices.Contains(o.tags, tag) })
}

func (o *inventory) vpcs(ctx context.Context) error {
	all, err := o.provider.vpcs(ctx)
	for _, v := range all {
		if v.Description == o.tags[0] {
			o.networks = append(o.networks, v.ID)
			o.add("vpc", v.ID, v.Name)
		}
	}
	return err
}

func (o *inventory) clusters(ctx context.Context) error {
	all, err := o.provider.clusters(ctx)
	for _, c := range all {
		if o.tagged(c.Tags) || slices.Contains(o.networks, c.VPC) {
			o.tags = append(o.tags, clusterTag(c.ID))
			o.add("kubernetes cluster", c.ID, c.Name)
		}
	}
	return err
}

func (o *inventory) loadBalancers(ctx context.Context) error {
	p := o.provider
	all, err := p.lists.loadBalancers.get(ctx, func(ctx context.Context) ([]godo.LoadBalancer, error) { return every(ctx, p.api.LoadBalancers.List) })
	for _, b := range all {
		if o.tagged(b.Tags) || o.tagged([]string{b.Tag}) || slices.Contains(o.networks, b.VPCUUID) {
			o.add("load balancer", b.ID, b.Name)
		}
	}
	return explain(err, "list the load balancers")
}

func (o *inventory) volumes(ctx context.Context) error {
	p := o.provider
	all, err := p.lists.volumes.get(ctx, func(ctx context.Context) ([]godo.Volume, error) {
		return every(ctx, func(ctx context.Context, page *godo.ListOptions) ([]godo.Volume, *godo.Response, error) {
			return p.api.Storage.ListVolumes(ctx, &godo.ListVolumeParams{ListOptions: page})
		})
	})
	for _, v := range all {
		if o.tagged(v.Tags) {
			o.add("volume", v.ID, v.Name)
		}
	}
	return explain(err, "list the volumes")
}
