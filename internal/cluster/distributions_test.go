package cluster

import (
	"fmt"
	"testing"

	"github.com/m3o/platform/internal/region"
)

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
