//go:build clients

package clients

import (
	"os"
	"testing"

	"github.com/m3o/platform/internal/cloud/digitalocean/digitaloceantest"
)

// useDigitalOcean has python3-digitalocean, which Debian has, read the account.
func useDigitalOcean(t *testing.T, s *sandboxed) {
	h := digitaloceantest.Open(t, s.at.Providers[s.cloud], s.at.Control, s.credentials()).Harness(t)
	region := build(t, h.Provider, h.Region)
	region.expose(t, h.Provider)
	script, err := os.ReadFile("testdata/digitalocean.py")
	must(t, err)
	what := "python3-digitalocean: account, regions, sizes, droplets, VPCs, load balancers, volumes, clusters"
	for _, python := range s.find("python3", what, "-c", "import digitalocean") {
		python.run(what, says("account active", "vpc "+region.network.Name+" 10.20.0.0/16", "load balancer active tcp 8080", "droplet active s-2vcpu-4gb",
			"cluster "+region.cluster.Name+" running"), "-c", string(script))
	}
}
