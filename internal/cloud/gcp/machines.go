package gcp

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/api/compute/v1"

	"github.com/m3o/platform/internal/fault"
)

var machineName = regexp.MustCompile(`^[a-z][-a-z0-9]{0,62}$`)

// machine is a machine type, and the zones of a region that have it.
type machine struct {
	name   string
	cpus   int
	memory int // MiB
	zones  []string
}

// machine returns the machine type of that name, with no zones where the region does not have it.
func (p *Provider) machine(ctx context.Context, location, name string) (machine, error) {
	m := machine{name: name}
	if !machineName.MatchString(name) { // it becomes a part of a filter
		return m, nil
	}
	scopes, err := every(func(page string) ([]*compute.MachineType, string, error) {
		list, err := p.compute.MachineTypes.AggregatedList(p.project).Filter("name=" + name).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		var here []*compute.MachineType
		for scope, some := range list.Items {
			if zone := last(scope); regionOf(zone) == location {
				for _, t := range some.MachineTypes {
					t.Zone = zone // in the answer it may be a link
					here = append(here, t)
				}
			}
		}
		return here, list.NextPageToken, nil
	})
	if err != nil {
		return m, explain(err, "describe the machine type "+name)
	}
	for _, t := range scopes {
		if t.Name == name && !slices.Contains(m.zones, t.Zone) {
			m.cpus, m.memory = int(t.GuestCpus), int(t.MemoryMb)
			m.zones = append(m.zones, t.Zone)
		}
	}
	slices.Sort(m.zones)
	return m, nil
}

// machines lists the names of all that a zone has.
func (p *Provider) machines(ctx context.Context, zone string) ([]string, error) {
	return every(func(page string) ([]string, string, error) {
		list, err := p.compute.MachineTypes.List(p.project, zone).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", explain(err, "list the machine types of "+zone)
		}
		var names []string
		for _, t := range list.Items {
			names = append(names, t.Name)
		}
		return names, list.NextPageToken, nil
	})
}

// regionOf is the region of a zone: "europe-west1" of "europe-west1-b".
func regionOf(zone string) string {
	i := strings.LastIndex(zone, "-")
	if i < 0 {
		return ""
	}
	return zone[:i]
}

// mostZones is over how many zones nodes are spread, as etcd and NATS need it to outlive one.
const mostZones = 3

// spread are the zones of a new cluster.
func (m machine) spread(location string) ([]string, error) {
	if len(m.zones) == 0 {
		return nil, fault.New(fault.Invalid, "GCP has no machines of type %q in %s", m.name, location)
	}
	return m.zones[:min(len(m.zones), mostZones)], nil
}

// share is how many of so many nodes each zone has: as many each, the first ones one more.
func share(zones []string, count int) map[string]int {
	zones = slices.Sorted(slices.Values(zones))
	zones = zones[:min(len(zones), mostZones)]
	shares := map[string]int{}
	for i := range count {
		if len(zones) > 0 {
			shares[zones[i%len(zones)]]++
		}
	}
	return shares
}
