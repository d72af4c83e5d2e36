package gcp

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/api/compute/v1"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// What a cluster's controllers make in the project carries no label of the cluster, but for disks. Load balancers are found by their
// firewall rules, which lie in the region's network and are named after them: a rule is removed last, when all that it leads to
// is gone.
//
//	firewall rule k8s-fw-NAME              forwarding rule, address and target pool NAME
//	firewall rule k8s-HASH-node-http-hc    legacy health check k8s-HASH-node of the target pools
//	firewall rule k8s2-NAME                forwarding rule with the backend service k8s2-NAME
//	firewall rule k8s2-NAME-fw             regional health check k8s2-NAME of the backend services
//	firewall rule gke-CLUSTER-HASH-…       nothing: GKE's own, for nodes
//	disk with goog-k8s-cluster-name        a volume of the cluster of that name, in goog-k8s-cluster-location

// The labels of a cluster's disks.
const (
	clusterNameLabel     = "goog-k8s-cluster-name"
	clusterLocationLabel = "goog-k8s-cluster-location"
)

// leftover is something that a cluster made. Those of a lower phase are removed first.
type leftover struct {
	region.Resource
	phase  int
	delete func(context.Context) (*compute.Operation, error)
}

// The phases of a removal.
const (
	entrances = iota // forwarding rules and addresses, and disks, which nothing keeps
	backends         // target pools and backend services
	checks           // health checks
	firewalls
)

// leftovers looks for what a region's cluster made.
type leftovers struct {
	provider *Provider
	location string
	network  string // the region's own network, "" when there is none
	cluster  string
	found    []leftover

	balancers, services    map[string]bool // names that firewall rules tell
	legacyChecks, l4Checks map[string]bool
}

// find lists everything that a cluster of the name made. network says whether the region's own network is there.
func (p *Provider) leftovers(ctx context.Context, name, location string, network bool) ([]leftover, error) {
	l := &leftovers{provider: p, location: location, cluster: clusterName(name),
		balancers: map[string]bool{}, services: map[string]bool{}, legacyChecks: map[string]bool{}, l4Checks: map[string]bool{}}
	looks := []func(context.Context) error{l.disks}
	if network { // nothing of the others can be without it
		l.network = networkName(name)
		looks = append(looks, l.firewalls, l.forwardingRules, l.addresses, l.targetPools, l.backendServices, l.legacyHealthChecks, l.healthChecks)
	}
	for i, look := range looks {
		if i >= 2 && !l.anyFirewall() {
			break
		}
		if err := look(ctx); err != nil {
			return nil, err
		}
	}
	return l.found, nil
}

func (l *leftovers) anyFirewall() bool {
	return slices.ContainsFunc(l.found, func(f leftover) bool { return f.phase == firewalls })
}

func (l *leftovers) add(phase int, kind string, id uint64, name string, remove func(context.Context) (*compute.Operation, error)) {
	l.found = append(l.found, leftover{region.Resource{Kind: kind, ID: fmt.Sprint(id), Name: name}, phase, remove})
}

func (l *leftovers) disks(ctx context.Context) error {
	api := l.provider.compute.Disks
	all, err := every(func(page string) ([]*compute.Disk, string, error) {
		list, err := api.AggregatedList(l.provider.project).Filter("labels." + clusterNameLabel + "=" + l.cluster).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		var some []*compute.Disk
		for _, scope := range list.Items {
			some = append(some, scope.Disks...)
		}
		return some, list.NextPageToken, nil
	})
	for _, d := range all {
		zone := last(d.Zone)
		// A node's own disk carries the labels, too, and goes with it; a volume outlives every node.
		if zone == "" || d.Labels[clusterNameLabel] != l.cluster || !l.here(d.Labels[clusterLocationLabel], zone) {
			continue
		}
		l.add(entrances, "disk", d.Id, d.Name, func(ctx context.Context) (*compute.Operation, error) {
			return api.Delete(l.provider.project, zone, d.Name).Context(ctx).Do()
		})
	}
	return explain(err, "list the disks")
}

// here reports whether a disk is of a cluster in the place: older drivers label it with the cluster's name alone.
func (l *leftovers) here(location, zone string) bool {
	return location == l.location || location == "" && regionOf(zone) == l.location
}

func (l *leftovers) firewalls(ctx context.Context) error {
	api := l.provider.compute.Firewalls
	all, err := every(func(page string) ([]*compute.Firewall, string, error) {
		list, err := api.List(l.provider.project).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.NextPageToken, nil
	})
	for _, f := range all {
		if last(f.Network) != l.network || !l.learn(f.Name) {
			continue
		}
		l.add(firewalls, "firewall rule", f.Id, f.Name, func(ctx context.Context) (*compute.Operation, error) {
			return api.Delete(l.provider.project, f.Name).Context(ctx).Do()
		})
	}
	return explain(err, "list the firewall rules")
}

// learn takes from the name of a firewall rule in the region's network what it is for, and reports whether a controller made it.
func (l *leftovers) learn(name string) bool {
	switch {
	case strings.HasPrefix(name, "k8s-fw-"):
		l.balancers[strings.TrimPrefix(name, "k8s-fw-")] = true
	case strings.HasPrefix(name, "k8s-") && strings.HasSuffix(name, "-http-hc"):
		l.legacyChecks[strings.TrimSuffix(name, "-http-hc")] = true
	case strings.HasPrefix(name, "k8s2-") && strings.HasSuffix(name, "-fw"):
		l.l4Checks[strings.TrimSuffix(name, "-fw")] = true
	case strings.HasPrefix(name, "k8s2-"):
		l.services[name] = true
	default:
		return strings.HasPrefix(name, "gke-"+l.cluster+"-")
	}
	return true
}

func (l *leftovers) forwardingRules(ctx context.Context) error {
	api := l.provider.compute.ForwardingRules
	all, err := every(func(page string) ([]*compute.ForwardingRule, string, error) {
		list, err := api.List(l.provider.project, l.location).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.NextPageToken, nil
	})
	for _, f := range all {
		if !l.balancers[f.Name] && !l.services[last(f.BackendService)] {
			continue
		}
		l.add(entrances, "forwarding rule", f.Id, f.Name, func(ctx context.Context) (*compute.Operation, error) {
			return api.Delete(l.provider.project, l.location, f.Name).Context(ctx).Do()
		})
	}
	return explain(err, "list the forwarding rules in "+l.location)
}

func (l *leftovers) addresses(ctx context.Context) error {
	all, err := l.provider.addresses(ctx, l.location)
	for _, a := range all {
		if !l.balancers[a.Name] {
			continue
		}
		l.add(entrances, "address", a.Id, a.Name, func(ctx context.Context) (*compute.Operation, error) {
			return l.provider.compute.Addresses.Delete(l.provider.project, l.location, a.Name).Context(ctx).Do()
		})
	}
	return err
}

func (p *Provider) addresses(ctx context.Context, location string) ([]*compute.Address, error) {
	all, err := every(func(page string) ([]*compute.Address, string, error) {
		list, err := p.compute.Addresses.List(p.project, location).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.NextPageToken, nil
	})
	return all, explain(err, "list the addresses in "+location)
}

func (l *leftovers) targetPools(ctx context.Context) error {
	api := l.provider.compute.TargetPools
	all, err := every(func(page string) ([]*compute.TargetPool, string, error) {
		list, err := api.List(l.provider.project, l.location).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.NextPageToken, nil
	})
	for _, t := range all {
		if !l.balancers[t.Name] {
			continue
		}
		l.add(backends, "target pool", t.Id, t.Name, func(ctx context.Context) (*compute.Operation, error) {
			return api.Delete(l.provider.project, l.location, t.Name).Context(ctx).Do()
		})
	}
	return explain(err, "list the target pools in "+l.location)
}

func (l *leftovers) backendServices(ctx context.Context) error {
	api := l.provider.compute.RegionBackendServices
	all, err := every(func(page string) ([]*compute.BackendService, string, error) {
		list, err := api.List(l.provider.project, l.location).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.NextPageToken, nil
	})
	for _, b := range all {
		if !l.services[b.Name] {
			continue
		}
		l.add(backends, "backend service", b.Id, b.Name, func(ctx context.Context) (*compute.Operation, error) {
			return api.Delete(l.provider.project, l.location, b.Name).Context(ctx).Do()
		})
	}
	return explain(err, "list the backend services in "+l.location)
}

func (l *leftovers) legacyHealthChecks(ctx context.Context) error {
	api := l.provider.compute.HttpHealthChecks
	all, err := every(func(page string) ([]*compute.HttpHealthCheck, string, error) {
		list, err := api.List(l.provider.project).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.NextPageToken, nil
	})
	for _, h := range all {
		if !l.legacyChecks[h.Name] && !l.balancers[h.Name] { // a Service with local traffic has a check of its own
			continue
		}
		l.add(checks, "health check", h.Id, h.Name, func(ctx context.Context) (*compute.Operation, error) {
			return api.Delete(l.provider.project, h.Name).Context(ctx).Do()
		})
	}
	return explain(err, "list the legacy health checks")
}

func (l *leftovers) healthChecks(ctx context.Context) error {
	if len(l.l4Checks) == 0 && len(l.services) == 0 {
		return nil
	}
	api := l.provider.compute.RegionHealthChecks
	all, err := every(func(page string) ([]*compute.HealthCheck, string, error) {
		list, err := api.List(l.provider.project, l.location).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.NextPageToken, nil
	})
	for _, h := range all {
		if !l.l4Checks[h.Name] && !l.services[h.Name] {
			continue
		}
		l.add(checks, "health check", h.Id, h.Name, func(ctx context.Context) (*compute.Operation, error) {
			return api.Delete(l.provider.project, l.location, h.Name).Context(ctx).Do()
		})
	}
	return explain(err, "list the health checks in "+l.location)
}

// sweptAtOnce is how many things one step removes.
const sweptAtOnce = 5

// sweep removes what a cluster that is gone left: it is gone when there is nothing. Costly or not, it would keep the network.
func (p *Provider) sweep(ctx context.Context, spec region.ClusterSpec) (region.Removal, error) {
	network, there, err := found(p.compute.Networks.Get(p.project, networkName(spec.Name)).Context(ctx).Do())
	if err != nil {
		return region.Removal{}, explain(err, "describe the network "+networkName(spec.Name))
	}
	left, err := p.leftovers(ctx, spec.Name, spec.Location, there && describes(network.Description, spec.Owner))
	if err != nil || len(left) == 0 {
		return region.Removal{Gone: err == nil}, err
	}
	slices.SortStableFunc(left, func(a, b leftover) int { return a.phase - b.phase })
	var named []string
	for i, one := range left {
		named = append(named, one.String())
		if i >= sweptAtOnce || one.phase != left[0].phase {
			continue
		}
		_, err := one.delete(ctx)
		err = explain(err, "delete the "+one.Kind+" "+one.Name)
		if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Conflict) { // in use, or on its way
			return region.Removal{}, err
		}
	}
	return region.Removal{State: "the cluster left " + region.Some(named)}, nil
}
