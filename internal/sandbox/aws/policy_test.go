package aws_test

import (
	"os"
	"path/filepath"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/m3o/platform/internal/sandbox/aws"
)

// under opens an account whose user has a policy.
func under(t *testing.T, policy string) *account {
	t.Helper()
	return open(t, func(c *aws.Config) { c.Policy = []byte(policy) })
}

func TestWhatThePolicyDoesNotNameIsDenied(t *testing.T) {
	a := under(t, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["ec2:*","eks:*","iam:*Role*","iam:SimulatePrincipalPolicy"],"Resource":"*"},
		{"Effect":"Deny","Action":"iam:PassRole","Resource":"*"},
		{"Effect":"Deny","Action":"ec2:DeleteVpc","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/keep":"yes"}}}]}`)
	ctx := t.Context()
	n := a.makeNetwork()
	role := a.makeRole("c", "eks.amazonaws.com")
	_, err := a.makeCluster(n, "c", role)
	a.refused(err, "AccessDeniedException", "iam:PassRole", role, "explicit deny")
	_, err = a.quotas.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: sdk.String("ec2"), QuotaCode: sdk.String("L-1216C47A")})
	a.refused(err, "AccessDeniedException", "servicequotas:GetServiceQuota")
	kept, err := a.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String("10.30.0.0/16"),
		TagSpecifications: named("vpc", "kept", ec2types.Tag{Key: sdk.String("keep"), Value: sdk.String("yes")})})
	a.must(err)
	_, err = a.ec2.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: kept.Vpc.VpcId})
	a.refused(err, "UnauthorizedOperation", "ec2:DeleteVpc", "explicit deny")
	who, err := a.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}) // for which nobody needs a permission
	a.must(err)
	said, err := a.iam.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: who.Arn, ActionNames: []string{"ec2:CreateVpc", "servicequotas:GetServiceQuota", "iam:PassRole"}})
	a.must(err)
	for i, want := range []iamtypes.PolicyEvaluationDecisionType{"allowed", "implicitDeny", "explicitDeny"} {
		if got := said.EvaluationResults[i]; got.EvalDecision != want {
			t.Errorf("%s is said to be %s", *got.EvalActionName, got.EvalDecision)
		}
	}
}

func TestConditionsSeeWhatIsAskedFor(t *testing.T) {
	a := under(t, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"ec2:CreateVpc","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"ours"}}},
		{"Effect":"Allow","Action":"ec2:CreateTags","Resource":"*","Condition":{"StringEquals":{"ec2:CreateAction":["CreateVpc"]}}},
		{"Effect":"Allow","Action":["iam:CreateRole","iam:SimulatePrincipalPolicy"],"Resource":"*"},
		{"Effect":"Allow","Action":"iam:AttachRolePolicy","Resource":"arn:aws:iam::*:role/m3o-*","Condition":{"ArnLike":{"iam:PolicyARN":"arn:*:iam::aws:policy/AmazonEKS*"}}}]}`)
	ctx := t.Context()
	make := func(team string) error {
		_, err := a.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String("10.30.0.0/16"), TagSpecifications: named("vpc", "x", ec2types.Tag{Key: sdk.String("team"), Value: &team})})
		return err
	}
	a.refused(make("theirs"), "UnauthorizedOperation", "because no identity-based policy allows the ec2:CreateVpc action")
	a.must(make("ours"))
	a.makeRole("m3o-one", "eks.amazonaws.com", "AmazonEKSClusterPolicy")
	document := trustOf("eks.amazonaws.com")
	_, err := a.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: sdk.String("another"), AssumeRolePolicyDocument: &document})
	a.must(err)
	attach := func(role, policy string) error {
		_, err := a.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &role, PolicyArn: sdk.String("arn:aws:iam::aws:policy/" + policy)})
		return err
	}
	a.refused(attach("another", "AmazonEKSClusterPolicy"), "AccessDenied", "iam:AttachRolePolicy")
	a.refused(attach("m3o-one", "AmazonSSMManagedInstanceCore"), "AccessDenied")
	said, err := a.iam.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: sdk.String("arn:aws:iam::" + keys.Account() + ":user/m3o"), ActionNames: []string{"ec2:CreateVpc"}})
	a.must(err)
	if got := said.EvaluationResults[0]; got.EvalDecision != "implicitDeny" || len(got.MissingContextValues) != 1 || got.MissingContextValues[0] != "aws:RequestTag/team" {
		t.Errorf("without the tag it is said to be %+v", got)
	}
}

// TestTheWorkersPolicyIsEnforced reads the document that workers are given: what their adapter never asks for is denied.
func TestTheWorkersPolicyIsEnforced(t *testing.T) {
	document, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "workers", "aws", "policy.json"))
	if err != nil {
		t.Fatal(err)
	}
	a := under(t, string(document))
	ctx := t.Context()
	_, err = a.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
	a.must(err)
	_, err = a.eks.ListClusters(ctx, &eks.ListClustersInput{})
	a.refused(err, "AccessDeniedException", "eks:ListClusters")
	_, err = a.iam.ListRoles(ctx, &iam.ListRolesInput{})
	a.refused(err, "AccessDenied", "iam:ListRoles")
}

func TestAPolicyThatIsNoneIsRefused(t *testing.T) {
	for _, document := range []string{"", "{}", `{"Statement":[{"Effect":"Maybe","Action":"*"}]}`, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateLessThan":{"a":"b"}}}}`} {
		if _, err := aws.New(aws.Config{Account: "123456789012", AccessKey: "k", Secret: "s", Versions: []string{"1.34"}, Policy: []byte(document)}); err == nil {
			t.Errorf("%q is taken", document)
		}
	}
}
