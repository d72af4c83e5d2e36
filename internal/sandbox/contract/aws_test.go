//go:build contract

package contract

import (
	"slices"
	"testing"
	"time"

	"github.com/m3o/platform/internal/cloud/aws/awstest"
	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/sandboxtest"
)

// awsDeviations are where the official SDK or the sandbox differ from the models of 2024, and why that is right.
var awsDeviations = []deviation{
	{"eks:GET /cluster-versions", "request", "", "DescribeClusterVersions is younger than the models; the SDK of today has it"},
	{"ec2:Describe*", "answer", "/internetGatewaySet/*/attachmentSet/*/state", "EC2 says available of a gateway, as its user guide has it"},
	{"ec2:Describe*", "answer", "/networkInterfaceSet/*/interfaceType", "EC2 says nat_gateway, and the models natGateway"},
	{"ec2:Describe*", "answer", "/securityGroupInfo/*/securityGroupArn", "the element is younger than the models; the SDK of today has it"},
	{"ec2:DeleteSecurityGroup", "answer", "", "that it answers with the group's id is younger than the models; the SDK of today has it"},
}

// youngerElements are in answers to what our adapter does not ask for.
var youngerElements = []deviation{
	{"ec2:CreateSecurityGroup", "answer", "/securityGroupArn", "the element is younger than the models; the SDK of today has it"},
}

// faultDeviations are what the suite orders or sends although the real one would not.
var faultDeviations = []deviation{
	{"eks:UpdateNodegroupConfig", "answer", "!ResourceLimitExceededException", "an ordered fault: the real one accepts, and tells of the quota by the node group's health"},
	{"ec2:DescribeInstanceTypes", "request", "/InstanceTypes/*", "the suite asks for a type that there is not"},
}

const awsScale = 0.002

// newAWSAccount is the account of a sandbox of its own.
func newAWSAccount(t *testing.T, runner clusters.Runner) awstest.Account {
	t.Helper()
	at := sandboxtest.Start(t, sandbox.Config{TimeScale: awsScale, Clusters: runner})
	return awstest.Account{URL: at.Providers["aws"], Control: at.Control, Credentials: at.Credentials("aws"), Hour: time.Duration(awsScale * float64(time.Hour))}
}

// TestAWSAdapter runs the adapter's conformance suite through the check, lost answers and all.
func TestAWSAdapter(t *testing.T) {
	check := newAWSChecker(t, slices.Concat(awsDeviations, faultDeviations))
	t.Run("conformance", func(t *testing.T) {
		cloudtest.Run(t, func(t *testing.T) cloudtest.Harness {
			account := newAWSAccount(t, clusterstest.New(20))
			account.Transport = check
			return account.Harness(t)
		})
	})
	if len(check.seen) < 40 {
		t.Errorf("the suite used only %d operations", len(check.seen))
	}
	check.finish(nil)
}
