package gcp

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/m3o/platform/internal/region"
)

// List prices on demand in US dollars, without traffic, of us-central1, as they were remembered in November 2026: nobody has compared them
// with cloud.google.com/compute/all-pricing, /kubernetes-engine/pricing and /vpc/network-pricing. GCP's price API needs another permission and
// a page per SKU; for the estimate of a plan a table does.
const (
	hours = 730 // a month's, as GCP counts

	clusterHour = 0.10   // the management of a cluster
	natHour     = 0.0014 // Cloud NAT, a node, at most of natNodes
	natNodes    = 32
	addressHour = 0.005 // the address of the NAT
	ruleHour    = 0.025 // a forwarding rule: the load balancer before the entrypoints
	diskMonth   = 0.10  // a GB of a balanced persistent disk
)

// rates are what a family costs an hour.
type rates struct{ cpu, gigabyte float64 }

var familyRates = map[string]rates{
	"e2":  {0.021811, 0.002923},
	"n1":  {0.031611, 0.004237},
	"n2":  {0.031611, 0.004237},
	"n2d": {0.027502, 0.003686},
	"t2d": {0.027502, 0.003686},
	"c2":  {0.03398, 0.00455},
	"c2d": {0.029563, 0.003959},
	"c3":  {0.03398, 0.00456},
	"n4":  {0.03087, 0.00353},
}

// sharedRates are of types whose CPUs are shared.
var sharedRates = map[string]float64{"e2-micro": 0.008376, "e2-small": 0.016751, "e2-medium": 0.033503}

// dearer is by how much a place costs more than us-central1, remembered like the prices. Places that are not listed are counted as the most
// usual elsewhere.
var dearer = map[string]float64{
	"us-central1": 1, "us-east1": 1, "us-east4": 1.126, "us-east5": 1, "us-west1": 1, "us-west2": 1.201, "us-west3": 1.201, "us-west4": 1.126, "us-south1": 1.18,
	"northamerica-northeast1": 1.101, "northamerica-northeast2": 1.101, "southamerica-east1": 1.587,
	"europe-west1": 1.1, "europe-west2": 1.288, "europe-west3": 1.288, "europe-west4": 1.101, "europe-west6": 1.4, "europe-west9": 1.16, "europe-north1": 1.101,
	"europe-central2": 1.288, "europe-southwest1": 1.18, "asia-east1": 1.158, "asia-east2": 1.399, "asia-northeast1": 1.283, "asia-northeast2": 1.283,
	"asia-northeast3": 1.283, "asia-south1": 1.201, "asia-southeast1": 1.234, "asia-southeast2": 1.345, "australia-southeast1": 1.419, "me-west1": 1.1,
	"me-central1": 1.15, "africa-south1": 1.308,
}

const dearerElsewhere = 1.2

// hourly is what a machine costs an hour; known says whether the table has its family.
func (m machine) hourly() (price float64, known bool) {
	if price, known = sharedRates[m.name]; known {
		return price, true
	}
	family, _, _ := strings.Cut(m.name, "-")
	r, known := familyRates[family]
	return float64(m.cpus)*r.cpu + float64(m.memory)/1024*r.gigabyte, known
}

// monthly is the list price of the nodes with their disks, the cluster, the way out, and the load balancer if there is one.
func (s survey) monthly(want region.Spec) (region.Cost, bool) {
	hourly, known := s.machine.hourly()
	factor, listed := dearer[want.Location]
	if !listed {
		factor = dearerElsewhere
	}
	count := float64(want.Kubernetes.Nodes.Count)
	sum := count*(hourly*hours+diskSize*diskMonth)*factor + hours*(clusterHour+addressHour+natHour*min(count, natNodes))
	if len(want.Network) > 0 {
		sum += hours * ruleHour
	}
	return cost(sum), known
}

func cost(dollars float64) region.Cost {
	cents := int64(math.Round(dollars * 100))
	return region.Cost{Amount: strconv.FormatInt(cents/100, 10) + fmt.Sprintf(".%02d", cents%100), Currency: "USD"}
}
