package azure

import (
	"fmt"
	"strings"

	"github.com/m3o/platform/internal/region"
)

// List prices in US dollars, pay as you go, Linux, without traffic, of East US, as they were remembered in November 2026: nobody has compared
// them with azure.microsoft.com/pricing. Other locations are up to 60 % dearer. Azure's own list (prices.azure.com) is another service, which
// workers need not reach.
const (
	hoursMonthly   = 730
	controlHourly  = 0.10  // an AKS cluster of the Standard tier
	gatewayHourly  = 0.045 // a NAT gateway, without what goes through it
	addressHourly  = 0.005 // a Standard static public address
	balancerHourly = 0.025 // a Standard load balancer with up to five rules
	osDiskMonthly  = 9.28  // a Premium SSD of 64 GiB (P6)
	cpuHourly      = 0.048 // a vCPU with 4 GiB in sizes that the table below does not have
)

// machineHourly are the sizes that regions usually have.
var machineHourly = map[string]float64{
	"standard_b2s": 0.0416, "standard_b2ms": 0.0832, "standard_b4ms": 0.166,
	"standard_d2s_v3": 0.096, "standard_d4s_v3": 0.192, "standard_d8s_v3": 0.384,
	"standard_d2s_v4": 0.096, "standard_d4s_v4": 0.192, "standard_d8s_v4": 0.384,
	"standard_d2s_v5": 0.096, "standard_d4s_v5": 0.192, "standard_d8s_v5": 0.384, "standard_d16s_v5": 0.768,
	"standard_d2as_v5": 0.086, "standard_d4as_v5": 0.172, "standard_d8as_v5": 0.344,
	"standard_d2s_v6": 0.101, "standard_d4s_v6": 0.202, "standard_d8s_v6": 0.403,
	"standard_e2s_v5": 0.126, "standard_e4s_v5": 0.252, "standard_e8s_v5": 0.504,
	"standard_f2s_v2": 0.085, "standard_f4s_v2": 0.169, "standard_f8s_v2": 0.338,
}

// monthly is the list price of the region: control plane, way out, nodes with their disks, and the load balancer and address before
// the entrypoints if there are any. known is false when the size has no price of its own.
func monthly(want region.Spec, of *size) (c region.Cost, known bool) {
	hourly, known := machineHourly[strings.ToLower(want.Kubernetes.Nodes.Size)]
	if !known && of != nil {
		hourly = cpuHourly * float64(of.cpus())
	}
	total := (controlHourly + gatewayHourly + addressHourly) * hoursMonthly
	total += float64(want.Kubernetes.Nodes.Count) * (hourly*hoursMonthly + osDiskMonthly)
	if len(want.Network) > 0 {
		total += (balancerHourly + addressHourly) * hoursMonthly
	}
	return cost(total), known
}

func cost(dollars float64) region.Cost {
	return region.Cost{Amount: fmt.Sprintf("%.2f", dollars), Currency: "USD"}
}
