package aws

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/m3o/platform/internal/fault"
)

// account serves one handler as all services.
func account(t *testing.T, handler http.HandlerFunc) *Provider {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	p, err := New(Config{Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "verysecret", ""), URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The codes and words are the services' own, as their models, their users and the SDK's tests tell them.
func TestAnswersHaveAKind(t *testing.T) {
	for _, c := range []struct {
		status      int
		code, words string
		want        fault.Kind
	}{
		{503, "RequestLimitExceeded", "Request limit exceeded.", fault.Throttled},
		{401, "AuthFailure", "AWS was not able to validate the provided access credentials", fault.Denied},
		{403, "UnauthorizedOperation", "You are not authorized to perform this operation. Encoded authorization failure message: abc", fault.Denied},
		{400, "RequestExpired", "Request has expired.", fault.Denied},
		{400, "VpcLimitExceeded", "The maximum number of VPCs has been reached.", fault.Quota},
		{400, "AddressLimitExceeded", "The maximum number of addresses has been reached.", fault.Quota},
		{400, "VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of 32 allows", fault.Quota},
		{500, "InsufficientInstanceCapacity", "We currently do not have sufficient m5.large capacity", fault.Quota},
		{400, "InvalidVpcID.NotFound", "The vpc ID 'vpc-1' does not exist", fault.NotFound},
		{400, "NatGatewayNotFound", "The NAT gateway nat-1 was not found", fault.NotFound},
		{400, "InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.", fault.Exists},
		{400, "InvalidSubnet.Conflict", "The CIDR '10.0.0.0/18' conflicts with another subnet", fault.Exists},
		{400, "Resource.AlreadyAssociated", "resource igw-1 is already attached to network vpc-1", fault.Exists},
		{400, "DependencyViolation", "The vpc 'vpc-1' has dependencies and cannot be deleted.", fault.Conflict},
		{400, "VolumeInUse", "Volume vol-1 is currently attached to i-1", fault.Conflict},
		{400, "InvalidParameterValue", "Value (x) for parameter y is invalid.", fault.Invalid},
		{500, "InternalError", "An internal error has occurred", fault.Unavailable},
		{503, "Unavailable", "The server is overloaded", fault.Unavailable},
	} {
		p := account(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte("<Response><Errors><Error><Code>" + c.code + "</Code><Message>" + c.words + "</Message></Error></Errors><RequestID>req-1</RequestID></Response>"))
		})
		at := p.in("eu-west-1")
		_, err := at.ec2.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
		checkKind(t, at.explain(err, "create the VPC m3o-micro-euw1"), c.code, c.want)
	}
}

func TestAnswersOfEKSHaveAKind(t *testing.T) {
	for _, c := range []struct {
		status      int
		code, words string
		want        fault.Kind
	}{
		{409, "ResourceInUseException", "Cluster already exists with name: x", fault.Conflict},
		{404, "ResourceNotFoundException", "No cluster found for name: x.", fault.NotFound},
		{400, "ResourceLimitExceededException", "Cluster limit exceeded for account.", fault.Quota},
		{400, "InvalidParameterException", "The role with name x-cluster could not be assumed because it does not exist or the trusted entity is not correct.", fault.Conflict},
		{400, "InvalidParameterException", "unsupported Kubernetes version 1.99", fault.Invalid},
		{400, "InvalidRequestException", "Cluster is not in ACTIVE state", fault.Conflict},
		{400, "InvalidRequestException", "Failed to validate if SLR: AWSServiceRoleForAmazonEKSNodegroup already exists due to missing permissions for 'iam:GetRole'", fault.Denied},
		{400, "InvalidRequestException", "You are not authorized to launch instances with this launch template. Encoded authorization failure message: abc", fault.Denied},
		{403, "AccessDeniedException", "User: x is not authorized to perform: eks:CreateCluster", fault.Denied},
		{403, "ExpiredTokenException", "The security token included in the request is expired", fault.Denied},
		{429, "ThrottlingException", "Rate exceeded", fault.Throttled},
		{500, "ServerException", "", fault.Unavailable},
		{503, "ServiceUnavailableException", "", fault.Unavailable},
		{400, "UnsupportedAvailabilityZoneException", "Cannot create cluster because us-east-1e does not currently have sufficient capacity", fault.Invalid},
	} {
		p := account(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-Errortype", c.code)
			w.Header().Set("X-Amzn-Requestid", "req-1")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(`{"message":"` + c.words + `"}`))
		})
		at := p.in("eu-west-1")
		_, err := at.eks.DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String("x")})
		checkKind(t, at.explain(err, "find the cluster m3o-micro-euw1"), c.code+" "+c.words, c.want)
	}
}

func TestAnswersOfIAMHaveAKind(t *testing.T) {
	for code, want := range map[string]fault.Kind{"EntityAlreadyExists": fault.Exists, "NoSuchEntity": fault.NotFound, "DeleteConflict": fault.Conflict, "LimitExceeded": fault.Quota,
		"Throttling": fault.Throttled, "InvalidClientTokenId": fault.Denied, "AccessDenied": fault.Denied, "ConcurrentModification": fault.Conflict, "MalformedPolicyDocument": fault.Invalid} {
		p := account(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-Requestid", "req-1")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte("<ErrorResponse><Error><Type>Sender</Type><Code>" + code + "</Code><Message>as IAM says it</Message></Error><RequestId>req-1</RequestId></ErrorResponse>"))
		})
		at := p.in("eu-west-1")
		_, err := at.iam.GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("x")})
		checkKind(t, at.explain(err, "find the role x"), code, want)
	}
}

func checkKind(t *testing.T, err error, code string, want fault.Kind) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != want {
		t.Errorf("%s: got %v (kind %s), want kind %s", code, err, fault.Of(err), want)
		return
	}
	name, _, _ := strings.Cut(code, " ")
	if !strings.Contains(f.Message, name) || !strings.Contains(f.Message, "req-1") || !strings.Contains(f.Message, "eu-west-1") || strings.Contains(f.Message, "abc") {
		t.Errorf("%s: the message is %q", code, f.Message)
	}
	if strings.Contains(err.Error(), "verysecret") {
		t.Errorf("%s: the error has the secret in it: %v", code, err)
	}
	if want == fault.Throttled && f.RetryAfter != pauseAfterThrottling {
		t.Errorf("%s: come back after %s?", code, f.RetryAfter)
	}
}

func TestQuotasAreNamedWithTheirLocation(t *testing.T) {
	p := account(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte("<Response><Errors><Error><Code>VpcLimitExceeded</Code><Message>no more</Message></Error></Errors><RequestID>req-1</RequestID></Response>"))
	})
	at := p.in("eu-west-1")
	_, err := at.ec2.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
	if text := fault.Message(at.explain(err, "create the VPC x")); !strings.Contains(text, "ask for quota L-F678F1CE (VPCs per Region) in eu-west-1") {
		t.Errorf("the message is %q", text)
	}
}

// noIdentity is a machine without a role.
type noIdentity struct{}

func (noIdentity) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{}, errors.New("no EC2 IMDS role found")
}

func TestAMachineWithoutIdentityIsDenied(t *testing.T) {
	p, err := New(Config{Credentials: noIdentity{}, URL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Owned(t.Context(), clusterless.Key(), "eu-west-1")
	if !fault.Is(err, fault.Denied) || !strings.Contains(fault.Message(err), "no AWS credentials") {
		t.Errorf("got %v", err)
	}
	answer, err := p.Preflight(t.Context(), clusterless, nil)
	if err != nil || len(answer.Obstacles) != 1 || answer.Obstacles[0].Kind != string(fault.Denied) {
		t.Errorf("preflight says %+v, %v", answer, err)
	}
}

func TestAnAnswerThatIsCutIsUnavailable(t *testing.T) {
	p := account(t, func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	at := p.in("eu-west-1")
	_, err := at.ec2.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
	if err := at.explain(err, "create the VPC x"); !fault.Is(err, fault.Unavailable) || !unanswered(err) {
		t.Errorf("got %v (kind %s)", err, fault.Of(err))
	}
}

func TestCallsAreNotRepeated(t *testing.T) {
	calls := 0
	p := account(t, func(w http.ResponseWriter, _ *http.Request) { calls++; w.WriteHeader(http.StatusServiceUnavailable) })
	begin := time.Now()
	if _, err := p.in("eu-west-1").zones(t.Context()); err == nil || calls != 1 || time.Since(begin) > 5*time.Second {
		t.Errorf("%d calls in %s: %v", calls, time.Since(begin), err)
	}
}
