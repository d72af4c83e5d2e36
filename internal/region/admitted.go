package region

import (
	"net/netip"
	"slices"
)

// Admitted are the ranges that reach the cluster's API server from outside, as Ranges has them: those that the operator lists, the
// addresses of the region's network, by which its nodes are seen, and the workers' own ranges. nil when the spec restricts nothing, which an
// empty list does not mean.
func (s ClusterSpec) Admitted(workers []string) []string {
	if s.Access == nil {
		return nil
	}
	return Ranges(slices.Concat(s.Access, s.Network.Egress, workers))
}

// Ranges are ranges and addresses as they can be compared: sorted, each once, an address as a range of one. What is neither stays as it
// is written.
func Ranges(written []string) []string {
	all := make([]string, len(written))
	for i, text := range written {
		all[i] = text
		if prefix, err := netip.ParsePrefix(text); err == nil {
			all[i] = prefix.Masked().String()
		} else if address, err := netip.ParseAddr(text); err == nil {
			all[i] = netip.PrefixFrom(address, address.BitLen()).String()
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// AccessWarnings says what the operator should know of access_cidrs: workers whose ranges nobody told may have locked themselves out.
func (s Spec) AccessWarnings(workers []string) []string {
	if s.Access == nil || len(workers) > 0 {
		return nil
	}
	return []string{"access_cidrs restricts who reaches the API server, and M3O_EGRESS_CIDRS does not say by which addresses the workers of " + string(s.Provider) +
		" are seen: they reach it only if access_cidrs has those"}
}
