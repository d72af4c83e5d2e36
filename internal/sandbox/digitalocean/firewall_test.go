package digitalocean_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/digitalocean/godo"
)

func TestControlPlaneFirewallIsKept(t *testing.T) {
	c := newCloud(t)
	on, off := true, false
	request := clusterRequest("lon1", 1)
	for _, list := range [][]string{{"198.51.100.0"}, {"198.51.100.0/24", "203.0.113.7"}} {
		request.Name += "x"
		request.ControlPlaneFirewall = &godo.KubernetesControlPlaneFirewall{Enabled: &on, AllowedAddresses: list}
		made, _, err := c.Kubernetes.Create(c.ctx, request)
		must(t, err)
		if wall := c.get(made.ID).ControlPlaneFirewall; wall == nil || !*wall.Enabled || !slices.Equal(wall.AllowedAddresses, list) {
			t.Errorf("the firewall is %+v, want %v", wall, list)
		}
		_, _, err = c.Kubernetes.Update(c.ctx, made.ID, &godo.KubernetesClusterUpdateRequest{Name: made.Name,
			ControlPlaneFirewall: &godo.KubernetesControlPlaneFirewall{Enabled: &off}})
		must(t, err)
		if wall := c.get(made.ID).ControlPlaneFirewall; wall == nil || *wall.Enabled {
			t.Errorf("the firewall is still %+v", wall)
		}
	}
	for _, list := range [][]string{{"somewhere"}, {"2001:db8::/32"}, {"198.51.100.0/33"}, {}} {
		request.Name += "y"
		request.ControlPlaneFirewall = &godo.KubernetesControlPlaneFirewall{Enabled: &on, AllowedAddresses: list}
		_, _, err := c.Kubernetes.Create(c.ctx, request)
		refused(t, err, http.StatusUnprocessableEntity, "control_plane_firewall.allowed_addresses")
	}
}
