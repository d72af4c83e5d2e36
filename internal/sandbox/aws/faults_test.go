package aws_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/m3o/platform/internal/sandbox/aws"
	"github.com/m3o/platform/internal/sandbox/world"
)

// ask sends one request of each service that has words of its own.
func (a *account) ask(service string) error {
	ctx := a.t.Context()
	var err error
	switch service {
	case "DescribeVpcs":
		_, err = a.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
	case "CreateVpc":
		_, err = a.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String("10.1.0.0/16")})
	case "ListRoles":
		_, err = a.iam.ListRoles(ctx, &iam.ListRolesInput{})
	case "ListClusters":
		_, err = a.eks.ListClusters(ctx, &eks.ListClustersInput{})
	case "GetServiceQuota":
		_, err = a.quotas.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: sdk.String("ec2"), QuotaCode: sdk.String("L-1216C47A")})
	case "GetCallerIdentity":
		_, err = a.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	}
	return err
}

func TestFaultsAreInTheServicesWords(t *testing.T) {
	a := open(t)
	for _, c := range []struct{ operation, fault, code string }{
		{"DescribeVpcs", world.Throttle, "RequestLimitExceeded"}, {"ListRoles", world.Throttle, "Throttling"}, {"ListClusters", world.Throttle, "ThrottlingException"}, {"GetServiceQuota", world.Throttle, "TooManyRequestsException"},
		{"DescribeVpcs", world.Denied, "UnauthorizedOperation"}, {"ListRoles", world.Denied, "AccessDenied"}, {"ListClusters", world.Denied, "AccessDeniedException"},
		{"DescribeVpcs", world.ServerError, "InternalError"}, {"ListClusters", world.ServerError, "ServerException"}, {"CreateVpc", world.Quota, "VpcLimitExceeded"},
	} {
		a.fault(world.Fault{Operation: c.operation, Fault: c.fault})
		a.refused(a.ask(c.operation), c.code)
		a.must(a.ask(c.operation))
	}
}

func TestALostAnswerLosesNothing(t *testing.T) {
	a := open(t)
	for _, kind := range []string{world.LostBefore, world.Lost} {
		a.fault(world.Fault{Operation: "CreateVpc", Fault: kind})
		if err := a.ask("CreateVpc"); err == nil {
			t.Errorf("%s: there is an answer", kind)
		}
	}
	if made := a.effects("created", "vpc"); made != 1 {
		t.Errorf("%d VPCs were made, of which one answer was lost after and one before", made)
	}
}

func TestCredentialsAreChecked(t *testing.T) {
	a := open(t)
	for _, c := range []struct {
		keys  aws.Keys
		codes map[string]string
	}{
		{aws.Keys{AccessKey: "AKIANOBODY", Secret: keys.Secret}, map[string]string{"DescribeVpcs": "AuthFailure", "ListRoles": "InvalidClientTokenId", "GetCallerIdentity": "InvalidClientTokenId", "ListClusters": "UnrecognizedClientException", "GetServiceQuota": "UnrecognizedClientException"}},
		{aws.Keys{AccessKey: keys.AccessKey, Secret: "wrong"}, map[string]string{"DescribeVpcs": "AuthFailure", "ListRoles": "SignatureDoesNotMatch", "ListClusters": "InvalidSignatureException"}},
	} {
		a.as(c.keys)
		for operation, code := range c.codes {
			a.refused(a.ask(operation), code)
		}
	}
	a.as(keys)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+"/clusters", nil)
	a.must(err)
	answer, err := http.DefaultClient.Do(request)
	a.must(err)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a request without a signature is answered %s", answer.Status)
	}
}

// TestASignatureIsOfItsRequest: a signed request is good for nothing else.
func TestASignatureIsOfItsRequest(t *testing.T) {
	a := open(t)
	var copied http.Header
	client := &http.Client{Transport: watching(func(r *http.Request) { copied = r.Header.Clone() })}
	_, err := eks.NewFromConfig(a.config, func(o *eks.Options) { o.HTTPClient = client }).ListClusters(t.Context(), &eks.ListClustersInput{})
	a.must(err)
	for _, path := range []string{"/clusters?maxResults=1", "/clusters/other", "/addons/supported-versions"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+path, nil)
		a.must(err)
		request.Header = copied.Clone()
		answer, err := http.DefaultClient.Do(request)
		a.must(err)
		answer.Body.Close()
		if code := answer.Header.Get("X-Amzn-Errortype"); code != "InvalidSignatureException" {
			t.Errorf("%s with the signature of /clusters is answered %s %s", path, answer.Status, code)
		}
	}
}

type watching func(*http.Request)

func (w watching) RoundTrip(r *http.Request) (*http.Response, error) {
	w(r)
	return http.DefaultTransport.RoundTrip(r)
}

func TestARoleIsSeenLate(t *testing.T) {
	a := openOnScale(t, 0.05) // ten seconds are half of one
	n := a.makeNetworkOnly()
	role := a.makeRole("late", "eks.amazonaws.com", "AmazonEKSClusterPolicy")
	begun := time.Now()
	_, err := a.makeCluster(n, "late", role)
	a.refused(err, "InvalidParameterException", "could not be assumed", role)
	a.until("EKS sees it", func() bool {
		_, err := a.makeCluster(n, "late", role)
		return err == nil
	})
	if waited := time.Since(begun); waited < 300*time.Millisecond {
		t.Errorf("it is seen after %s", waited)
	}
	wrong := a.makeRole("wrong", "ec2.amazonaws.com")
	time.Sleep(700 * time.Millisecond)
	_, err = a.makeCluster(n, "another", wrong)
	a.refused(err, "InvalidParameterException", "trusted entity")
}

func TestRequestTokensMakeNothingTwice(t *testing.T) {
	a := open(t)
	n := a.anActiveCluster("once")
	role := "arn:aws:iam::" + keys.Account() + ":role/once-cluster"
	again, err := a.makeCluster(n, "once", role)
	a.must(err)
	if again.Cluster.Status != "ACTIVE" || a.effects("created", "cluster") != 1 {
		t.Errorf("the same token once more: %+v", again.Cluster)
	}
	_, err = a.eks.CreateCluster(t.Context(), &eks.CreateClusterInput{Name: sdk.String("once"), RoleArn: &role, ResourcesVpcConfig: &ekstypes.VpcConfigRequest{SubnetIds: n.subnets}, ClientRequestToken: sdk.String("other")})
	a.refused(err, "ResourceInUseException", "already exists")
	nat, err := a.ec2.CreateNatGateway(t.Context(), &ec2.CreateNatGatewayInput{SubnetId: &n.subnets[0], AllocationId: &n.address, ClientToken: sdk.String("once")})
	a.must(err)
	if *nat.NatGateway.NatGatewayId != n.nat {
		t.Error("the same token makes another NAT gateway")
	}
	_, err = a.ec2.CreateNatGateway(t.Context(), &ec2.CreateNatGatewayInput{SubnetId: &n.subnets[1], AllocationId: &n.address, ClientToken: sdk.String("once")})
	a.refused(err, "IdempotentParameterMismatch")
}

func TestLateAndStuckClusters(t *testing.T) {
	a := open(t)
	n := a.makeNetwork()
	role := a.makeRole("bad", "eks.amazonaws.com", "AmazonEKSClusterPolicy")
	a.fault(world.Fault{Operation: "CreateCluster", Match: "late", Fault: world.Late})
	a.fault(world.Fault{Operation: "CreateCluster", Match: "stuck", Fault: world.Stuck})
	for _, name := range []string{"late", "stuck"} {
		a.until("EKS sees the role", func() bool {
			_, err := a.makeCluster(n, name, role)
			return err == nil
		})
	}
	a.until("it fails", func() bool { return a.describe("late").Status == "FAILED" })
	if issues := a.describe("late").Health.Issues; len(issues) != 1 || !strings.Contains(*issues[0].Message, "could not be created") {
		t.Errorf("it does not say why: %+v", issues)
	}
	if got := a.describe("stuck").Status; got != "CREATING" {
		t.Errorf("the other is %s", got)
	}
	for _, name := range []string{"late", "stuck"} {
		_, err := a.eks.DeleteCluster(t.Context(), &eks.DeleteClusterInput{Name: &name})
		a.must(err)
	}
	a.until("both are gone", func() bool { return a.effects("deleted", "cluster") == 2 })
}

func TestNodesThatCannotJoinSayWhy(t *testing.T) {
	a := open(t)
	n := a.anActiveCluster("join")
	good := a.makeRole("join-nodes", "ec2.amazonaws.com", "AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly")
	a.until("EKS sees the role", func() bool { return a.nodegroup(n, "join", "no-network", good, 1) == nil })
	bad := a.makeRole("join-bad", "ec2.amazonaws.com")
	a.until("EKS sees the role", func() bool { return a.nodegroup(n, "join", "no-policy", bad, 1) == nil })
	a.must(a.nodegroup(n, "join", "too-many", good, 40))
	for name, words := range map[string]string{"no-network": "cni plugin not initialized", "no-policy": "AmazonEKSWorkerNodePolicy", "too-many": "vCPU limit of 64"} {
		a.until(name+" fails", func() bool { return a.nodegroupOf("join", name).Status == "CREATE_FAILED" })
		if issues := a.nodegroupOf("join", name).Health.Issues; len(issues) != 1 || !strings.Contains(*issues[0].Message, words) {
			t.Errorf("%s says %+v", name, issues)
		}
	}
}

func TestANATGatewayWithoutAWayOutFails(t *testing.T) {
	a := open(t)
	ctx := t.Context()
	v, err := a.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String("10.40.0.0/16")})
	a.must(err)
	s, err := a.ec2.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: v.Vpc.VpcId, CidrBlock: sdk.String("10.40.0.0/24")})
	a.must(err)
	address, err := a.ec2.AllocateAddress(ctx, &ec2.AllocateAddressInput{Domain: "vpc"})
	a.must(err)
	nat, err := a.ec2.CreateNatGateway(ctx, &ec2.CreateNatGatewayInput{SubnetId: s.Subnet.SubnetId, AllocationId: address.AllocationId})
	a.must(err)
	a.until("it fails", func() bool { return a.natState(*nat.NatGateway.NatGatewayId) == "failed" })
	got, err := a.ec2.DescribeNatGateways(ctx, &ec2.DescribeNatGatewaysInput{NatGatewayIds: []string{*nat.NatGateway.NatGatewayId}})
	a.must(err)
	if code := *got.NatGateways[0].FailureCode; code != "Gateway.NotAttached" {
		t.Errorf("it says %s", code)
	}
}

func TestPagesAndFilters(t *testing.T) {
	a := open(t)
	ctx := t.Context()
	v, err := a.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String("10.50.0.0/16")})
	a.must(err)
	for _, third := range []string{"0", "1", "2", "3", "4", "5", "6"} {
		_, err := a.ec2.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: v.Vpc.VpcId, CidrBlock: sdk.String("10.50." + third + ".0/24"), TagSpecifications: named("subnet", "part-"+third)})
		a.must(err)
	}
	pages, found := ec2.NewDescribeSubnetsPaginator(a.ec2, &ec2.DescribeSubnetsInput{MaxResults: sdk.Int32(5)}), 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		a.must(err)
		found += len(page.Subnets)
	}
	if found != 7 {
		t.Errorf("all pages have %d subnets", found)
	}
	filter := func(name string, values ...string) (int, error) {
		got, err := a.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: []ec2types.Filter{{Name: &name, Values: values}}})
		if err != nil {
			return 0, err
		}
		return len(got.Subnets), nil
	}
	for _, c := range []struct {
		name   string
		values []string
		want   int
	}{{"tag:Name", []string{"part-1", "part-2"}, 2}, {"tag:Name", []string{"part-*"}, 7}, {"tag:Name", []string{"part-?", "x"}, 7}, {"tag-key", []string{"Name"}, 7}, {"vpc-id", []string{"vpc-none"}, 0}, {"cidr-block", []string{"10.50.3.0/24"}, 1}} {
		if got, err := filter(c.name, c.values...); err != nil || got != c.want {
			t.Errorf("%s %v finds %d, %v, want %d", c.name, c.values, got, err, c.want)
		}
	}
	_, err = filter("colour", "blue")
	a.refused(err, "InvalidParameterValue", "colour")
	_, err = a.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{DryRun: sdk.Bool(true)})
	a.refused(err, "DryRunOperation")
}

// TestTheBudgetEnds: one more change than the bucket holds is refused.
func TestTheBudgetEnds(t *testing.T) {
	a := openOnScale(t, 10) // whatever refills a bucket takes ten times as long
	var err error
	for range 60 {
		if _, err = a.ec2.DeleteVpc(t.Context(), &ec2.DeleteVpcInput{VpcId: sdk.String("vpc-0")}); err != nil && strings.Contains(err.Error(), "RequestLimitExceeded") {
			break
		}
	}
	a.refused(err, "RequestLimitExceeded")
	a.must(a.ask("DescribeVpcs")) // of which there is another
}
