package azure

import (
	"fmt"
	"strings"

	"github.com/m3o/platform/internal/region"
)

// List prices in US dollars, pay as you go, Linux, without traffic, of East US, as they were remembered in November 2026: nobody has compared
// them with azure.microsoft.com/pricing. Azure's own list (prices.azure.com) is another service, which
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

// dearer is what machines and disks cost in a location beside East US, by what a D2s does there, remembered like the prices. The control
// plane, gateways, addresses and load balancers are taken to cost the same everywhere.
var dearer = map[string]float64{
	"eastus": 1, "eastus2": 1, "westus2": 1, "westus3": 1, "northcentralus": 1, "centralus": 1.15, "southcentralus": 1.18, "westcentralus": 1.15, "westus": 1.20,
	"canadacentral": 1.11, "canadaeast": 1.11, "mexicocentral": 1.10, "brazilsouth": 1.59, "northeurope": 1.11, "westeurope": 1.20, "uksouth": 1.16, "ukwest": 1.18,
	"francecentral": 1.17, "germanywestcentral": 1.20, "swedencentral": 1.06, "norwayeast": 1.20, "switzerlandnorth": 1.32, "italynorth": 1.17, "polandcentral": 1.20,
	"spaincentral": 1.16, "uaenorth": 1.22, "qatarcentral": 1.20, "israelcentral": 1.20, "southafricanorth": 1.24, "centralindia": 1.05, "southindia": 1.20,
	"southeastasia": 1.25, "eastasia": 1.38, "japaneast": 1.29, "japanwest": 1.33, "koreacentral": 1.23, "australiaeast": 1.25, "australiasoutheast": 1.25,
}

// dearerElsewhere is of locations that the table lacks.
const dearerElsewhere = 1.25

// monthly is the list price of the region: control plane, way out, nodes with their disks, and the load balancer and address before
// the entrypoints if there are any. guesses say what it is reckoned by where the size or the location has no price of its own.
func monthly(want region.Spec, of *size) (c region.Cost, guesses []string) {
	hourly, known := machineHourly[strings.ToLower(want.Kubernetes.Nodes.Size)]
	if !known && of != nil {
		hourly = cpuHourly * float64(of.cpus())
		guesses = append(guesses, fmt.Sprintf("there is no price on record for %s: it is reckoned by its vCPUs", of.Name))
	}
	factor, known := dearer[want.Location]
	if !known {
		factor = dearerElsewhere
		guesses = append(guesses, fmt.Sprintf("there are no prices on record for %s: nodes are reckoned at %g times what they cost in eastus", want.Location, factor))
	}
	total := (controlHourly + gatewayHourly + addressHourly) * hoursMonthly
	total += float64(want.Kubernetes.Nodes.Count) * (hourly*hoursMonthly + osDiskMonthly) * factor
	if len(want.Network) > 0 {
		total += (balancerHourly + addressHourly) * hoursMonthly
	}
	return cost(total), guesses
}

func cost(dollars float64) region.Cost {
	return region.Cost{Amount: fmt.Sprintf("%.2f", dollars), Currency: "USD"}
}
