package aws

import (
	"fmt"
	"slices"
	"strings"
)

// regionRow is a region with the zones that it gives to the account.
type regionRow struct {
	name, code string // the code begins the ids of its zones
	zones      string // the letters of its zones' names
	optIn      bool   // regions that an account has to enable; the sandbox's has none of them enabled
}

// regions are those that EKS has been offered in for long, from the AWS General Reference, "Amazon EKS endpoints and quotas", and the
// zones that an account usually sees there (2026-11).
var regions = []regionRow{
	{"us-east-1", "use1", "abcdef", false}, {"us-east-2", "use2", "abc", false}, {"us-west-1", "usw1", "ac", false}, {"us-west-2", "usw2", "abcd", false},
	{"ca-central-1", "cac1", "abd", false}, {"sa-east-1", "sae1", "abc", false},
	{"eu-west-1", "euw1", "abc", false}, {"eu-west-2", "euw2", "abc", false}, {"eu-west-3", "euw3", "abc", false},
	{"eu-central-1", "euc1", "abc", false}, {"eu-north-1", "eun1", "abc", false},
	{"ap-northeast-1", "apne1", "acd", false}, {"ap-northeast-2", "apne2", "abcd", false}, {"ap-northeast-3", "apne3", "abc", false},
	{"ap-south-1", "aps1", "abc", false}, {"ap-southeast-1", "apse1", "abc", false}, {"ap-southeast-2", "apse2", "abc", false},
	{"af-south-1", "afs1", "abc", true}, {"ap-east-1", "ape1", "abc", true}, {"eu-south-1", "eus1", "abc", true}, {"me-south-1", "mes1", "abc", true},
}

func findRegion(name string) (regionRow, bool) {
	i := slices.IndexFunc(regions, func(r regionRow) bool { return r.name == name })
	if i < 0 {
		return regionRow{}, false
	}
	return regions[i], true
}

// zoneNames are the names of a region's zones.
func (r regionRow) zoneNames() []string {
	var names []string
	for _, letter := range r.zones {
		names = append(names, r.name+string(letter))
	}
	return names
}

// zoneID is the id of a zone, which does not depend on the account as its name does.
func (r regionRow) zoneID(zone string) string {
	return fmt.Sprintf("%s-az%d", r.code, 1+slices.Index(r.zoneNames(), zone))
}

// withoutEKS are zones, by their ids, that cannot have a cluster's control plane: the EKS user guide, "VPC and subnet
// requirements".
var withoutEKS = []string{"use1-az3", "usw1-az2", "cac1-az3"}

// privateSuffix ends the names of instances.
func (r regionRow) privateSuffix() string {
	if r.name == "us-east-1" {
		return "ec2.internal"
	}
	return r.name + ".compute.internal"
}

// instanceType is one that EC2 has. Source: the EC2 user guide's tables of instance types (2026-11).
type instanceType struct {
	name         string
	cpus         int
	memoryMiB    int
	architecture string
	interfaces   int
	perInterface int // addresses of each
	burstable    bool
}

var instanceTypes = []instanceType{
	{"t3.small", 2, 2048, "x86_64", 3, 4, true}, {"t3.medium", 2, 4096, "x86_64", 3, 6, true}, {"t3.large", 2, 8192, "x86_64", 3, 12, true}, {"t3.xlarge", 4, 16384, "x86_64", 4, 15, true},
	{"t3a.medium", 2, 4096, "x86_64", 3, 6, true}, {"t3a.large", 2, 8192, "x86_64", 3, 12, true},
	{"t4g.small", 2, 2048, "arm64", 3, 4, true}, {"t4g.medium", 2, 4096, "arm64", 3, 6, true}, {"t4g.large", 2, 8192, "arm64", 3, 12, true}, {"t4g.xlarge", 4, 16384, "arm64", 4, 15, true},
	{"m5.large", 2, 8192, "x86_64", 3, 10, false}, {"m5.xlarge", 4, 16384, "x86_64", 4, 15, false}, {"m5.2xlarge", 8, 32768, "x86_64", 4, 15, false},
	{"m6i.large", 2, 8192, "x86_64", 3, 10, false}, {"m6i.xlarge", 4, 16384, "x86_64", 4, 15, false}, {"m6i.2xlarge", 8, 32768, "x86_64", 4, 15, false},
	{"m6g.large", 2, 8192, "arm64", 3, 10, false}, {"m6g.xlarge", 4, 16384, "arm64", 4, 15, false},
	{"m7i.large", 2, 8192, "x86_64", 3, 10, false}, {"m7i.xlarge", 4, 16384, "x86_64", 4, 15, false},
	{"m7g.medium", 1, 4096, "arm64", 2, 4, false}, {"m7g.large", 2, 8192, "arm64", 3, 10, false}, {"m7g.xlarge", 4, 16384, "arm64", 4, 15, false},
	{"c6i.large", 2, 4096, "x86_64", 3, 10, false}, {"c6i.xlarge", 4, 8192, "x86_64", 4, 15, false}, {"c7g.large", 2, 4096, "arm64", 3, 10, false}, {"c7g.xlarge", 4, 8192, "arm64", 4, 15, false},
	{"r6i.large", 2, 16384, "x86_64", 3, 10, false}, {"r7g.large", 2, 16384, "arm64", 3, 10, false},
}

func findType(name string) (instanceType, bool) {
	i := slices.IndexFunc(instanceTypes, func(t instanceType) bool { return t.name == name })
	if i < 0 {
		return instanceType{}, false
	}
	return instanceTypes[i], true
}

// offeredIn says which zones of a region have a type: the newest families miss the last zone of the largest regions.
func (i instanceType) offeredIn(r regionRow) []string {
	zones := r.zoneNames()
	if len(zones) > 3 && strings.Contains(i.name, "7") {
		return zones[:len(zones)-1]
	}
	return zones
}

// quota is a limit of the account, per region.
type quota struct {
	service, code, name string
	value               float64
	adjustable          bool
}

// Codes of quotas.
const (
	quotaVCPUs     = "L-1216C47A"
	quotaVPCs      = "L-F678F1CE"
	quotaAddresses = "L-0263D0A3"
	quotaNATs      = "L-FE5A380F"
	quotaGateways  = "L-A4707A72"
	quotaClusters  = "L-1194D53C"
)

// quotas are the default values of the AWS General Reference, "Service endpoints and quotas" (2026-11), but for the vCPUs, which new
// accounts have few of.
func (c *Cloud) quotas() []quota {
	return []quota{
		{"ec2", quotaVCPUs, "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", float64(c.VCPULimit), true},
		{"ec2", quotaAddresses, "EC2-VPC Elastic IPs", maxAddresses, true},
		{"vpc", quotaVPCs, "VPCs per Region", maxVPCs, true},
		{"vpc", quotaNATs, "NAT gateways per Availability Zone", maxNATs, true},
		{"vpc", quotaGateways, "Internet gateways per Region", maxVPCs, true},
		{"vpc", "L-407747CB", "Subnets per VPC", maxSubnets, true},
		{"vpc", "L-E79EC296", "VPC security groups per Region", 2500, true},
		{"eks", quotaClusters, "Clusters", maxClusters, true},
		{"eks", "L-6D54EA21", "Managed node groups per cluster", maxNodegroups, true},
		{"eks", "L-BD136A63", "Nodes per managed node group", maxNodes, true},
		{"elasticloadbalancing", "L-69A177A2", "Network Load Balancers per Region", 50, true},
		{"iam", "L-FE177D64", "Roles per account", maxRoles, true},
	}
}
