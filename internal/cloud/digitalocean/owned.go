package digitalocean

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// marks are the tags of what is made for a region. DigitalOcean's are bare words, so that the owner is one of them, and keys and
// values are joined.
func marks(owner region.Key, tags region.Tags) []string {
	words := []string{owner.Owner()}
	for key, value := range tags {
		words = append(words, key+":"+value)
	}
	slices.Sort(words[1:])
	return words
}

// Owned lists what carries the owner's tag, what lies in its network, and what its clusters made: what a cluster makes
// (load balancers, volumes) carries only the cluster's own tag, so of a cluster that is gone the id must be known. A droplet
// that outlived its cluster keeps the network from being deleted, and so from this list.
func (p *Provider) Owned(ctx context.Context, owner region.Key, _ string, clusters ...string) ([]region.Resource, error) {
	o := inventory{provider: p, owner: owner, tags: []string{owner.Owner()}}
	for _, id := range clusters {
		if id != "" {
			o.tags = append(o.tags, clusterTag(id))
		}
	}
	for _, look := range []func(context.Context) error{o.vpcs, o.clusters, o.loadBalancers, o.volumes} {
		if err := look(ctx); err != nil {
			return nil, err
		}
	}
	return o.found, nil
}

// What clusters make, as resources are called.
const (
	kindBalancer = "load balancer"
	kindVolume   = "volume"
)

// clusterTag is what DigitalOcean marks a cluster with, and all that the cluster makes.
func clusterTag(id string) string { return "k8s:" + id }

// inventory gathers. Networks and clusters come first: they say by what else the rest is known.
type inventory struct {
	provider *Provider
	owner    region.Key
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
		if describes(v, o.owner) {
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
			o.add(kindBalancer, b.ID, b.Name)
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
			o.add(kindVolume, v.ID, v.Name)
		}
	}
	return explain(err, "list the volumes")
}

// sweptAtOnce is how many things one step removes.
const sweptAtOnce = 5

// sweepCluster removes load balancers and volumes that outlived their cluster: it is gone when there are none. A load balancer
// keeps the network from being deleted; both cost. They are known by the cluster's own tag alone: what else lies in the
// network may be somebody's.
func (p *Provider) sweepCluster(ctx context.Context, id string) (region.Removal, error) {
	left := inventory{provider: p, tags: []string{clusterTag(id)}}
	if id == "" {
		return region.Removal{Gone: true}, nil
	}
	if err := errors.Join(left.loadBalancers(ctx), left.volumes(ctx)); err != nil {
		return region.Removal{}, err
	}
	for _, r := range left.found[:min(len(left.found), sweptAtOnce)] {
		if err := p.remove(ctx, r); err != nil && !fault.Is(err, fault.NotFound) {
			return region.Removal{}, err
		}
	}
	if len(left.found) > 0 {
		return region.Removal{State: fmt.Sprintf("the cluster left %v", left.found)}, nil
	}
	return region.Removal{Gone: true}, nil
}

// remove removes what a cluster left.
func (p *Provider) remove(ctx context.Context, r region.Resource) error {
	deleted := p.api.LoadBalancers.Delete
	if r.Kind == kindVolume {
		deleted = p.api.Storage.DeleteVolume
	}
	_, err := deleted(ctx, r.ID)
	return explain(err, "delete the "+r.Kind+" "+r.Name)
}
