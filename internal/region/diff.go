package region

import (
	"cmp"
	"fmt"
	"slices"
)

// Differences lists what changes from one spec to the other ("kubernetes.nodes.count: 1 -> 3"), and which of the changed
// fields cannot be changed in place.
func Differences(from, to Spec) (changes, fixed []string) {
	type field struct {
		name     string
		from, to any
		fixed    bool
	}
	for _, f := range []field{
		{"provider", from.Provider, to.Provider, true},
		{"region", from.Location, to.Location, true},
		{"domain", from.Domain, to.Domain, false},
		{"kubernetes.version", from.Kubernetes.Version, to.Kubernetes.Version, true},
		{"kubernetes.nodes.size", from.Kubernetes.Nodes.Size, to.Kubernetes.Nodes.Size, true},
		{"kubernetes.nodes.count", from.Kubernetes.Nodes.Count, to.Kubernetes.Nodes.Count, false},
		{"control", set(from.Control), set(to.Control), false},
		{"resource", set(from.Resource), set(to.Resource), false},
		{"network", set(from.Network), set(to.Network), false},
		{"unenforced", cmp.Or(from.Unenforced, "none"), cmp.Or(to.Unenforced, "none"), false},
		{"cidr", cmp.Or(from.CIDR, "the cloud's choice"), cmp.Or(to.CIDR, "the cloud's choice"), true},
		{"nat", cmp.Or(from.NAT, SingleNAT), cmp.Or(to.NAT, SingleNAT), true},
		{"access_cidrs", admitted(from.Access), admitted(to.Access), false},
	} {
		before, after := fmt.Sprint(f.from), fmt.Sprint(f.to)
		if before == after {
			continue
		}
		changes = append(changes, f.name+": "+before+" -> "+after)
		if f.fixed {
			fixed = append(fixed, f.name)
		}
	}
	return changes, fixed
}

// set is the parts in one order: their order in the file means nothing.
func set(parts []Part) []Part {
	sorted := slices.Clone(parts)
	slices.Sort(sorted)
	return sorted
}
