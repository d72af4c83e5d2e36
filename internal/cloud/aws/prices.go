package aws

import (
	"fmt"
	"math"

	"github.com/m3o/platform/internal/region"
)

// List prices in US dollars, on demand, without traffic, of us-east-1, as they were remembered in November 2026: nobody has compared them
// with aws.amazon.com/{eks,ec2,vpc,ebs,elasticloadbalancing}/pricing. They are for an estimate beforehand; the bill is AWS's.
const (
	hoursMonthly      = 730
	clusterHourly     = 0.10 // a control plane in standard support
	natHourly         = 0.045
	addressHourly     = 0.005 // a public IPv4 address
	balancerHourly    = 0.0225
	diskMonthly       = 0.08 // a GiB of gp3
	estimateCPU       = 0.0255
	estimateMemory    = 0.0056 // a GiB
	balancerAddresses = 3      // one in each zone
)

// hourly are the prices of instance types with Linux.
var hourly = map[string]float64{
	"t3.medium": 0.0416, "t3.large": 0.0832, "t3.xlarge": 0.1664, "t3.2xlarge": 0.3328,
	"t3a.medium": 0.0376, "t3a.large": 0.0752, "t3a.xlarge": 0.1504, "t3a.2xlarge": 0.3008,
	"t4g.medium": 0.0336, "t4g.large": 0.0672, "t4g.xlarge": 0.1344, "t4g.2xlarge": 0.2688,
	"m5.large": 0.096, "m5.xlarge": 0.192, "m5.2xlarge": 0.384, "m5.4xlarge": 0.768,
	"m6i.large": 0.096, "m6i.xlarge": 0.192, "m6i.2xlarge": 0.384, "m6i.4xlarge": 0.768,
	"m6g.large": 0.077, "m6g.xlarge": 0.154, "m6g.2xlarge": 0.308, "m6g.4xlarge": 0.616,
	"m7i.large": 0.1008, "m7i.xlarge": 0.2016, "m7i.2xlarge": 0.4032, "m7i.4xlarge": 0.8064,
	"m7g.large": 0.0816, "m7g.xlarge": 0.1632, "m7g.2xlarge": 0.3264, "m7g.4xlarge": 0.6528,
	"c5.large": 0.085, "c5.xlarge": 0.17, "c5.2xlarge": 0.34, "c5.4xlarge": 0.68,
	"c6i.large": 0.085, "c6i.xlarge": 0.17, "c6i.2xlarge": 0.34, "c6i.4xlarge": 0.68,
	"c7g.large": 0.0725, "c7g.xlarge": 0.145, "c7g.2xlarge": 0.29, "c7g.4xlarge": 0.58,
	"r5.large": 0.126, "r5.xlarge": 0.252, "r5.2xlarge": 0.504, "r5.4xlarge": 1.008,
	"r6i.large": 0.126, "r6i.xlarge": 0.252, "r6i.2xlarge": 0.504, "r6i.4xlarge": 1.008,
}

// dearer is what a location costs beside us-east-1, by what an m5.large does there, remembered like the prices. EKS's own is the same everywhere.
var dearer = map[string]float64{
	"us-east-1": 1, "us-east-2": 1, "us-west-2": 1, "us-west-1": 1.17, "ca-central-1": 1.11, "eu-west-1": 1.11, "eu-west-2": 1.16, "eu-west-3": 1.17,
	"eu-central-1": 1.20, "eu-north-1": 1.06, "eu-south-1": 1.17, "ap-southeast-1": 1.25, "ap-southeast-2": 1.25, "ap-northeast-1": 1.29, "ap-northeast-2": 1.23,
	"ap-northeast-3": 1.29, "ap-south-1": 1.05, "ap-east-1": 1.38, "sa-east-1": 1.59, "me-south-1": 1.22, "af-south-1": 1.32,
}

// usualFactor is of locations that the table lacks.
const usualFactor = 1.25

// monthly is the list price of the control plane, the nodes with their disks, the ways out, and the load balancer before the entrypoints
// if there are any. estimated says that the table lacks the size or the location.
func monthly(want region.Spec, node size, exits int) (cost region.Cost, estimated bool) {
	factor, known := dearer[want.Location]
	if !known {
		factor, estimated = usualFactor, true
	}
	each, listed := hourly[node.name]
	if !listed {
		each, estimated = estimateCPU*float64(node.cpus)+estimateMemory*float64(node.memory)/1024, true
	}
	sum := (each*hoursMonthly + nodeDisk*diskMonthly) * float64(want.Kubernetes.Nodes.Count)
	sum += (natHourly + addressHourly) * hoursMonthly * float64(exits)
	if len(want.Network) > 0 {
		sum += (balancerHourly + balancerAddresses*addressHourly) * hoursMonthly
	}
	cents := int64(math.Round((sum*factor + clusterHourly*hoursMonthly) * 100))
	return region.Cost{Amount: fmt.Sprintf("%d.%02d", cents/100, cents%100), Currency: "USD"}, estimated
}
