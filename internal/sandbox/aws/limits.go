package aws

import (
	"strings"

	"github.com/m3o/platform/internal/sandbox/budget"
)

// The budgets of requests, per region. EC2: the EC2 developer guide, "Request throttling for the Amazon EC2 API", token buckets of
// categories of actions. EKS, IAM and load balancing publish no numbers for all of their operations; these are what users meet.
var (
	ec2Reads       = budget.Bucket{Burst: 100, PerSecond: 20}
	ec2Unfiltered  = budget.Bucket{Burst: 50, PerSecond: 10}
	ec2Changes     = budget.Bucket{Burst: 50, PerSecond: 5}
	eksReads       = budget.Bucket{Burst: 100, PerSecond: 20}
	eksChanges     = budget.Bucket{Burst: 20, PerSecond: 5}
	iamRequests    = budget.Bucket{Burst: 100, PerSecond: 15}
	stsRequests    = budget.Bucket{Burst: 600, PerSecond: 600}
	balancingReads = budget.Bucket{Burst: 40, PerSecond: 10}
	balancingOther = budget.Bucket{Burst: 20, PerSecond: 3}
	quotaRequests  = budget.Bucket{Burst: 20, PerSecond: 10}
)

// throttled uses up one token of the budget that the request belongs to, or says that there is none.
func (x *exchange) throttled() bool {
	class, bucket := x.budget()
	region := x.region
	if x.service.scope == "iam" {
		region = "" // which has none
	}
	return x.cloud.budgets.Take(strings.Join([]string{x.service.scope, class, region}, "/"), bucket).Wait > 0
}

// budget is the class of requests that this one belongs to, and their bucket.
func (x *exchange) budget() (string, budget.Bucket) {
	changes := x.operation.changes()
	switch x.service.scope {
	case "ec2":
		switch {
		case changes:
			return "changes", ec2Changes
		case x.isUnfiltered():
			return "unfiltered", ec2Unfiltered
		}
		return "reads", ec2Reads
	case "eks":
		if changes {
			return "changes", eksChanges
		}
		return "reads", eksReads
	case "iam":
		return "all", iamRequests
	case "sts":
		return "all", stsRequests
	case "elasticloadbalancing":
		if changes {
			return "changes", balancingOther
		}
		return "reads", balancingReads
	}
	return "all", quotaRequests
}

// isUnfiltered says that a list is asked for without a filter, ids or pages: those have a budget of their own.
func (x *exchange) isUnfiltered() bool {
	for _, name := range x.in.Names() {
		if name != "Action" && name != "Version" && name != "DryRun" {
			return false
		}
	}
	return true
}

// overQuota is what a service says when the account has as much as it may have of what the request makes.
func (x *exchange) overQuota() error {
	switch x.service.scope {
	case "eks":
		return refuse("ResourceLimitExceededException", "You have reached a limit of your account for %s: request an increase through the Service Quotas console.",
			map[bool]string{true: "clusters", false: "nodes and node groups"}[x.operation.name == "CreateCluster"])
	case "iam":
		return refuseAs(409, "LimitExceeded", "Cannot exceed quota for %s: %d", map[bool]string{true: "RolesPerAccount", false: "entities"}[x.operation.name == "CreateRole"], maxRoles)
	case "elasticloadbalancing":
		return refuse("TooManyLoadBalancers", "The maximum number of load balancers has been reached.")
	case "ec2":
		for _, row := range []struct{ operation, code, message string }{
			{"CreateVpc", "VpcLimitExceeded", "The maximum number of VPCs has been reached."},
			{"CreateSubnet", "SubnetLimitExceeded", "The maximum number of subnets has been reached."},
			{"CreateInternetGateway", "InternetGatewayLimitExceeded", "The maximum number of internet gateways has been reached."},
			{"AllocateAddress", "AddressLimitExceeded", "The maximum number of addresses has been reached."},
			{"CreateNatGateway", "NatGatewayLimitExceeded", "The maximum number of NAT gateways in the Availability Zone has been reached."},
			{"CreateRouteTable", "RouteTableLimitExceeded", "The maximum number of route tables has been reached."},
			{"CreateRoute", "RouteLimitExceeded", "The maximum number of routes has been reached."},
			{"CreateSecurityGroup", "SecurityGroupLimitExceeded", "The maximum number of security groups has been reached."},
			{"CreateVolume", "VolumeLimitExceeded", "Maximum number of volumes exceeded."},
		} {
			if row.operation == x.operation.name {
				return refuse(row.code, "%s", row.message)
			}
		}
	}
	return refuse("ResourceLimitExceeded", "You have reached a limit of your account.")
}
