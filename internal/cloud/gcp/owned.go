package gcp

import (
	"context"
	"fmt"
	"slices"

	"cloud.google.com/go/container/apiv1/containerpb"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/iam/v1"

	"github.com/m3o/platform/internal/region"
)

// Owned lists what carries the owner's mark, what lies in its network, its nodes' roles in the project, and what its cluster made.
// That is found by the cluster's name, which follows from the owner, so that no ids are needed.
func (p *Provider) Owned(ctx context.Context, owner region.Key, location string, _ ...string) ([]region.Resource, error) {
	o := inventory{provider: p, owner: owner, location: location}
	for _, look := range []func(context.Context) error{o.networks, o.subnetworks, o.routers, o.addresses, o.clusters, o.accounts, o.roles, o.left} {
		if err := look(ctx); err != nil {
			return nil, err
		}
	}
	return o.found, nil
}

// inventory gathers. Networks come first: they say by what else the rest is known.
type inventory struct {
	provider *Provider
	owner    region.Key
	location string
	network  []string // names
	found    []region.Resource
	// A cluster, or a service account, of the region's name is somebody else's.
	foreignCluster, foreignAccount bool
}

func (o *inventory) add(kind, id, name string) {
	o.found = append(o.found, region.Resource{Kind: kind, ID: id, Name: name})
}

func (o *inventory) networks(ctx context.Context) error {
	p := o.provider
	all, err := every(func(page string) ([]*compute.Network, string, error) {
		list, err := p.compute.Networks.List(p.project).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.NextPageToken, nil
	})
	for _, n := range all {
		if describes(n.Description, o.owner) {
			o.network = append(o.network, n.Name)
			o.add("network", fmt.Sprint(n.Id), n.Name)
		}
	}
	return explain(err, "list the networks")
}

func (o *inventory) subnetworks(ctx context.Context) error {
	p := o.provider
	all, err := every(func(page string) ([]*compute.Subnetwork, string, error) {
		list, err := p.compute.Subnetworks.List(p.project, o.location).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.NextPageToken, nil
	})
	for _, s := range all {
		if describes(s.Description, o.owner) || slices.Contains(o.network, last(s.Network)) {
			o.add("subnetwork", fmt.Sprint(s.Id), s.Name)
		}
	}
	return explain(err, "list the subnetworks in "+o.location)
}

func (o *inventory) routers(ctx context.Context) error {
	p := o.provider
	all, err := every(func(page string) ([]*compute.Router, string, error) {
		list, err := p.compute.Routers.List(p.project, o.location).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.NextPageToken, nil
	})
	for _, r := range all {
		if describes(r.Description, o.owner) || slices.Contains(o.network, last(r.Network)) {
			o.add("router", fmt.Sprint(r.Id), r.Name)
		}
	}
	return explain(err, "list the routers in "+o.location)
}

func (o *inventory) addresses(ctx context.Context) error {
	all, err := o.provider.addresses(ctx, o.location)
	for _, a := range all {
		if describes(a.Description, o.owner) {
			o.add("address", fmt.Sprint(a.Id), a.Name)
		}
	}
	return err
}

func (o *inventory) clusters(ctx context.Context) error {
	p := o.provider
	list, err := p.containers.ListClusters(ctx, &containerpb.ListClustersRequest{Parent: p.locationPath(o.location)})
	for _, c := range list.GetClusters() {
		switch {
		case labelled(c.GetResourceLabels(), o.owner), slices.Contains(o.network, last(c.GetNetwork())):
			o.add("kubernetes cluster", c.GetId(), c.GetName())
		case c.GetName() == clusterName(o.owner.ResourceName()):
			o.foreignCluster = true
		}
	}
	return explain(err, "list the clusters in "+o.location)
}

func (o *inventory) accounts(ctx context.Context) error {
	p := o.provider
	all, err := every(func(page string) ([]*iam.ServiceAccount, string, error) {
		list, err := p.iam.Projects.ServiceAccounts.List("projects/" + p.project).PageSize(100).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		return list.Accounts, list.NextPageToken, nil
	})
	for _, a := range all {
		switch {
		case describes(a.Description, o.owner):
			o.add("service account", a.UniqueId, a.Email)
		case a.Email == p.accountEmail(o.owner.ResourceName()):
			o.foreignAccount = true
		}
	}
	return explain(err, "list the service accounts")
}

func (o *inventory) roles(ctx context.Context) error {
	policy, err := o.provider.policy(ctx)
	if err != nil || o.foreignAccount {
		return err
	}
	email := o.provider.accountEmail(o.owner.ResourceName())
	for _, role := range policy.roles(email) {
		o.add("role", role+" of "+email, role)
	}
	return nil
}

func (o *inventory) left(ctx context.Context) error {
	if o.foreignCluster {
		return nil
	}
	name := o.owner.ResourceName()
	found, err := o.provider.leftovers(ctx, name, o.location, slices.Contains(o.network, networkName(name)))
	for _, one := range found {
		o.found = append(o.found, one.Resource)
	}
	return err
}
