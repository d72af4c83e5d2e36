package digitalocean

import (
	"slices"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/region"
)

// The control plane's firewall lets in the addresses on its list, and by itself the cluster's own nodes. It is off unless the region
// restricts access.

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
	return allowed != nil && slices.Equal(region.Ranges(f.Allowed), allowed)
}
