package digitalocean

import (
	"net/netip"
	"slices"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/region"
)

// The control plane's firewall lets in the addresses on its list, and by itself the cluster's own nodes. It is off unless the region
// restricts access.

// firewall is what restricts the API server of the spec's cluster: to whom the operator lists, the addresses that the region's network
// is seen by, and those of the workers. nil restricts nothing.
func (p *Provider) firewall(spec region.ClusterSpec) []string {
	if spec.Access == nil {
		return nil
	}
	allowed := slices.Concat(spec.Access, p.egress)
	for _, address := range spec.Network.Egress {
		allowed = append(allowed, address+"/32")
	}
	return normal(allowed)
}

// normal is a list of ranges as it can be compared: sorted, each once, single addresses as ranges.
func normal(ranges []string) []string {
	all := []string{}
	for _, text := range ranges {
		if address, err := netip.ParseAddr(text); err == nil {
			text = netip.PrefixFrom(address, address.BitLen()).String()
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// firewallRequest is the firewall in the API's words.
func firewallRequest(allowed []string) *godo.KubernetesControlPlaneFirewall {
	return &godo.KubernetesControlPlaneFirewall{Enabled: godo.PtrTo(allowed != nil), AllowedAddresses: append([]string{}, allowed...)}
}

// controlPlaneFirewall is the part of a cluster that says who reaches its API server.
type controlPlaneFirewall struct {
	Enabled bool     `json:"enabled"`
	Allowed []string `json:"allowed_addresses"`
}

// isAs reports whether it lets in whom it should. One that is off has a list, or none, that does not matter.
func (f *controlPlaneFirewall) isAs(allowed []string) bool {
	if f == nil || !f.Enabled {
		return allowed == nil
	}
	return allowed != nil && slices.Equal(normal(f.Allowed), allowed)
}
