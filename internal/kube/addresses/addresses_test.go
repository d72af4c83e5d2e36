package addresses_test

import (
	"testing"

	"github.com/m3o/platform/internal/kube/addresses"
)

func TestNodesAndPods(t *testing.T) {
	if got := addresses.Node(254).String(); got != "10.244.254.1" {
		t.Errorf("node 254 has the address %s", got)
	}
	if got := addresses.Pod(7, 254).String(); got != "10.244.7.254" {
		t.Errorf("the last pod of node 7 has the address %s", got)
	}
}

// What lies in one of the cluster's networks is reached there, so it has to lie there.
func TestKnownAddressesLieInTheirNetworks(t *testing.T) {
	if !addresses.PodCIDR.Contains(addresses.Gateway) || !addresses.PodCIDR.Contains(addresses.Machine) {
		t.Errorf("%s and %s are not in %s", addresses.Gateway, addresses.Machine, addresses.PodCIDR)
	}
	if first := addresses.ServiceCIDR.Addr().Next(); addresses.APIService.Addr() != first {
		t.Errorf("the API server's Service is at %s, Kubernetes puts it at %s", addresses.APIService, first)
	}
	if !addresses.ServiceCIDR.Contains(addresses.DNSService) {
		t.Errorf("%s is not in %s", addresses.DNSService, addresses.ServiceCIDR)
	}
}
