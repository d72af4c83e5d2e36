package cluster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Every provider that a platform file may name has a row, and what has none is refused in words.
func TestEveryProviderHasADistribution(t *testing.T) {
	for _, provider := range region.Providers() {
		if of, err := distributionOf(provider); err != nil || of.name == "" || of.storage == "" || len(of.engines) == 0 {
			t.Errorf("%s: %+v, %v", provider, of, err)
		}
	}
	if _, err := distributionOf("acme"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), `"acme"`) {
		t.Errorf("a provider without a row: %v", err)
	}
	if err := new(Client).ApplyParts(t.Context(), region.Spec{Platform: "micro", Name: "lon1", Provider: "acme"}, Parts{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("parts for a provider without a row: %v", err)
	}
}

// The gateway's load balancer is annotated as each cloud wants it.
func TestTheLoadBalancerIsTheClouds(t *testing.T) {
	for provider, want := range map[region.Provider]string{
		region.DigitalOcean: "map[service.beta.kubernetes.io/do-loadbalancer-name:m3o-micro-lon1]",
		region.AWS:          "map[service.beta.kubernetes.io/aws-load-balancer-type:nlb]",
		region.GCP:          "map[]", region.Azure: "map[]",
	} {
		service := gatewayService(region.Spec{Platform: "micro", Name: "lon1", Provider: provider}, nil)
		if got := fmt.Sprint(service.Annotations); got != want {
			t.Errorf("%s: %s, want %s", provider, got, want)
		}
	}
}
