package aws_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/m3o/platform/deploy/workers"
	"github.com/m3o/platform/internal/cloud/aws"
	"github.com/m3o/platform/internal/cloud/aws/awstest"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/sandboxtest"
	"github.com/m3o/platform/internal/sandbox/world"
)

func TestARegionLiesInThreeZones(t *testing.T) {
	t.Parallel()
	p := newAccount(t, sandbox.Config{}).Provider(t)
	spec := awstest.Region()
	spec.CIDR = "10.20.0.0/16"
	b := awstest.Build(t, p, spec)
	if len(b.Network.Zones) != 3 || len(b.Network.Subnets) != 6 || len(b.Network.Egress) != 1 {
		t.Errorf("the network is %+v", b.Network)
	}
	for i, s := range b.Network.Subnets {
		if s.ID == "" || s.Public != (i >= 3) || s.Zone != b.Network.Zones[i%3] || !strings.HasPrefix(s.CIDR, "10.20.") {
			t.Errorf("subnet %d is %+v", i, s)
		}
	}
	if slices.Contains(b.Network.Zones, zoneWithoutEKS) {
		t.Errorf("%s is among the zones, where EKS has no place: %v", zoneWithoutEKS, b.Network.Zones)
	}
	b.Remove(t, p)
}

// zoneWithoutEKS is use1-az3 in the sandbox's account.
const zoneWithoutEKS = "us-east-1c"

func TestEachZoneCanHaveItsOwnWayOut(t *testing.T) {
	t.Parallel()
	p := newAccount(t, sandbox.Config{}).Provider(t)
	spec := awstest.Region()
	spec.NAT = region.PerZoneNAT
	b := awstest.Build(t, p, spec)
	if len(b.Network.Egress) != 3 {
		t.Errorf("nodes are seen by %v", b.Network.Egress)
	}
	b.Remove(t, p)
}

// sequence notes the operations that are asked for, in order.
type sequence struct {
	mu  sync.Mutex
	all []string
}

func (s *sequence) RoundTrip(request *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.all = append(s.all, awstest.Operation(request))
	s.mu.Unlock()
	return http.DefaultTransport.RoundTrip(request)
}

// A control plane needs no way out, and is made while the NAT gateway is. Nodes do not join without: they are asked for when they have one.
func TestAControlPlaneDoesNotWaitForTheWayOut(t *testing.T) {
	t.Parallel()
	account, seen := newAccount(t, sandbox.Config{TimeScale: 5 * sandboxScale}), &sequence{}
	account.Transport = seen
	p := account.Provider(t)
	b := awstest.Build(t, p, awstest.Region())
	if !strings.Contains(b.Network.State, "pending") {
		t.Errorf("the network was ready when it was %q", b.Network.State)
	}
	seen.mu.Lock()
	var order []string
	for _, operation := range seen.all {
		if slices.Contains([]string{"ec2:CreateRoute", "eks:CreateCluster", "eks:CreateNodegroup"}, operation) {
			order = append(order, operation)
		}
	}
	seen.mu.Unlock()
	if want := []string{"ec2:CreateRoute", "eks:CreateCluster", "ec2:CreateRoute", "eks:CreateNodegroup"}; !slices.Equal(order, want) {
		t.Errorf("asked for were %v, want %v", order, want)
	}
	took := map[string]bool{}
	lines, err := sandboxtest.Effects(account.Control)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range lines {
		took[e.Resource] = took[e.Resource] || e.Kind == world.Created && e.ReadyAt != nil && e.ReadyAt.After(*e.RequestedAt)
	}
	if !took["natgateway"] || !took["role"] {
		t.Errorf("the ledger does not say how long NAT gateways and roles took: %v", took)
	}
	deleteNATs(t, account)
	awstest.Until(t, func() (bool, error) {
		now, err := p.EnsureNetwork(t.Context(), b.Spec.NetworkSpec(), "")
		if now.Ready && now.State != "available" {
			t.Errorf("with nodes in it the network is ready when it is %q", now.State)
		}
		return now.Ready, err
	})
	b.Remove(t, p)
}

// deleteNATs deletes the NAT gateways of the account, as somebody might by hand.
func deleteNATs(t *testing.T, account awstest.Account) {
	t.Helper()
	held, err := aws.FromFile(account.Credentials)
	if err != nil {
		t.Fatal(err)
	}
	client := ec2.NewFromConfig(sdk.Config{Credentials: held, Region: awstest.Location, BaseEndpoint: &account.URL})
	all, err := client.DescribeNatGateways(t.Context(), &ec2.DescribeNatGatewaysInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range all.NatGateways {
		if _, err := client.DeleteNatGateway(t.Context(), &ec2.DeleteNatGatewayInput{NatGatewayId: g.NatGatewayId}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheAccessListConverges(t *testing.T) {
	t.Parallel()
	account := newAccount(t, sandbox.Config{})
	account.Egress = []string{"198.51.100.7/32"}
	p := account.Provider(t)
	b := awstest.Build(t, p, awstest.Region())
	if open := account.OpenTo(t, b.Cluster.Name); !slices.Equal(open, []string{"0.0.0.0/0"}) {
		t.Errorf("without a list it is open to %v", open)
	}
	b.Spec.Access = []string{"203.0.113.0/24"}
	b.Converge(t, p)
	want := []string{"198.51.100.7/32", "203.0.113.0/24", b.Network.Egress[0] + "/32"}
	slices.Sort(want)
	open := account.OpenTo(t, b.Cluster.Name)
	slices.Sort(open)
	if !slices.Equal(open, want) {
		t.Errorf("it is open to %v, want %v", open, want)
	}
	b.Spec.Access = nil
	b.Converge(t, p)
	if open := account.OpenTo(t, b.Cluster.Name); !slices.Equal(open, []string{"0.0.0.0/0"}) {
		t.Errorf("without a list again it is open to %v", open)
	}
}

func TestWhatIsMisspeltIsNamed(t *testing.T) {
	t.Parallel()
	p := newAccount(t, sandbox.Config{}).Provider(t)
	for want, change := range map[string]func(*region.Spec){
		`did you mean "us-east-1"?`:             func(s *region.Spec) { s.Location = "us-est-1" },
		`did you mean "t3.large"?`:              func(s *region.Spec) { s.Kubernetes.Nodes.Size = "t3.larg" },
		"has not enabled the Region af-south-1": func(s *region.Spec) { s.Location = "af-south-1" },
	} {
		spec := awstest.Region()
		change(&spec)
		answer, err := p.Preflight(t.Context(), spec, nil)
		if err != nil || len(answer.Obstacles) != 1 || !strings.Contains(answer.Obstacles[0].Message, want) {
			t.Errorf("want %q, got %+v, %v", want, answer.Obstacles, err)
		}
	}
}

func TestWorkersThatMayBeShutOutAreWarnedOf(t *testing.T) {
	t.Parallel()
	account := newAccount(t, sandbox.Config{})
	spec := awstest.Region()
	warned := func() bool {
		answer, err := account.Provider(t).Preflight(t.Context(), spec, nil)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(answer.Warnings, func(text string) bool { return strings.Contains(text, "M3O_EGRESS_CIDRS") })
	}
	if warned() {
		t.Error("warned of a list that is not there")
	}
	spec.Access = []string{"203.0.113.0/24"}
	if !warned() {
		t.Error("not warned")
	}
	account.Egress = []string{"198.51.100.7/32"}
	if warned() {
		t.Error("warned although it is known where the workers are")
	}
}

func TestAPlanDrawsFromTheQuotasOfItsLocation(t *testing.T) {
	t.Parallel()
	p := newAccount(t, sandbox.Config{}).Provider(t)
	spec := awstest.Region()
	spec.NAT = region.PerZoneNAT
	answer, err := p.Preflight(t.Context(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	adds := map[string]int{}
	for _, d := range answer.Draws {
		if !strings.HasSuffix(d.Pool, " in us-east-1") {
			t.Errorf("the pool %q does not say where", d.Pool)
		}
		for _, code := range []string{"L-1216C47A", "L-F678F1CE", "L-0263D0A3", "L-FE5A380F"} {
			if strings.Contains(d.Pool, code) {
				adds[code] = d.Adds
			}
		}
	}
	if adds["L-1216C47A"] != 4 || adds["L-F678F1CE"] != 1 || adds["L-0263D0A3"] != 3 || adds["L-FE5A380F"] != 1 {
		t.Errorf("two nodes of two vCPUs in three zones draw %v: %+v", adds, answer.Draws)
	}
}

// TestTheWorkersPolicyIsEnough: with its policy enforced, a region lives, and nothing is said to be lacking.
func TestTheWorkersPolicyIsEnough(t *testing.T) {
	t.Parallel()
	p := newAccount(t, sandbox.Config{Policies: workerpolicy.All()}).Provider(t)
	spec := awstest.Region()
	answer, err := p.Preflight(t.Context(), spec, nil)
	if err != nil || len(answer.Obstacles)+len(answer.Warnings) > 0 {
		t.Fatalf("preflight says %+v, %v", answer, err)
	}
	b := awstest.Build(t, p, spec)
	b.Spec.Kubernetes.Nodes.Count, b.Spec.Access = 3, []string{"203.0.113.0/24"}
	b.Converge(t, p)
	b.Remove(t, p)
}

// asRole has the account's user appear as a role that a machine assumed. STS tells such a role without its path.
type asRole struct {
	asked []string // about whose permissions
	omits string   // an action that IAM's answers leave out
}

const workersRole = "arn:aws:iam::111122223333:role/platform/m3o-worker"

func (a *asRole) RoundTrip(r *http.Request) (*http.Response, error) {
	var data []byte
	if r.Body != nil {
		var err error
		if data, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(data))
	}
	form, _ := url.ParseQuery(string(data)) // EKS's requests are no forms
	answer := ""
	switch {
	case form.Get("Action") == "GetCallerIdentity":
		answer = `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::111122223333:assumed-role/m3o-worker/i-0abc</Arn><Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`
	case form.Get("Action") == "GetRole" && form.Get("RoleName") == "m3o-worker":
		answer = `<GetRoleResponse><GetRoleResult><Role><RoleName>m3o-worker</RoleName><Path>/platform/</Path><Arn>` + workersRole + `</Arn></Role></GetRoleResult></GetRoleResponse>`
	case form.Get("Action") == "SimulatePrincipalPolicy":
		a.asked = append(a.asked, form.Get("PolicySourceArn"))
		answer = a.allowing(form)
	default:
		return http.DefaultTransport.RoundTrip(r)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/xml"}}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

// allowing is IAM's answer that all actions are allowed.
func (a *asRole) allowing(form url.Values) string {
	results := ""
	for i := 1; form.Has(fmt.Sprintf("ActionNames.member.%d", i)); i++ {
		if action := form.Get(fmt.Sprintf("ActionNames.member.%d", i)); action != a.omits {
			results += "<member><EvalActionName>" + action + "</EvalActionName><EvalDecision>allowed</EvalDecision></member>"
		}
	}
	return "<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult><EvaluationResults>" + results +
		"</EvaluationResults><IsTruncated>false</IsTruncated></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
}

// TestWhatIAMDoesNotAnswerIsNotKnown: neither allowed, nor denied.
func TestWhatIAMDoesNotAnswerIsNotKnown(t *testing.T) {
	t.Parallel()
	for omitted, named := range map[string]string{"ec2:CreateVpc": "ec2:CreateVpc", "iam:PassRole": "iam:PassRole to ec2.amazonaws.com, iam:PassRole to eks.amazonaws.com, iam:PassRole to pods.eks.amazonaws.com"} {
		account := newAccount(t, sandbox.Config{})
		account.Transport = &asRole{omits: omitted}
		answer, err := account.Provider(t).Preflight(t.Context(), awstest.Region(), nil)
		want := "whether the worker " + workersRole + " has the permission " + named + " is not known: IAM did not say"
		if err != nil || len(answer.Obstacles) > 0 || !slices.Equal(answer.Warnings, []string{want}) {
			t.Errorf("without an answer about %s: %+v, %q, %v", omitted, answer.Obstacles, answer.Warnings, err)
		}
	}
}

// TestRolesArePassedToEachServiceThatAssumesThem: a policy may allow some of them alone.
func TestRolesArePassedToEachServiceThatAssumesThem(t *testing.T) {
	t.Parallel()
	before, after, _ := bytes.Cut(workerpolicy.Of("aws"), []byte(`"iam:PassedToService"`))
	for _, service := range []string{"ec2.amazonaws.com", "eks.amazonaws.com", "pods.eks.amazonaws.com"} {
		others := bytes.Replace(after, []byte(`"`+service+`"`), []byte(`"other.amazonaws.com"`), 1)
		policy := slices.Concat(before, []byte(`"iam:PassedToService"`), others)
		p := newAccount(t, sandbox.Config{Policies: map[string][]byte{"aws": policy}}).Provider(t)
		answer, err := p.Preflight(t.Context(), awstest.Region(), nil)
		if err != nil || len(answer.Obstacles) != 1 || !strings.Contains(answer.Obstacles[0].Message, "lacks the permission iam:PassRole to "+service+" in the AWS account") {
			t.Errorf("roles cannot be passed to %s: %+v, %v", service, answer.Obstacles, err)
		}
	}
}

// noQuota is Service Quotas without one quota.
type noQuota struct{ code string }

func (q noQuota) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("X-Amz-Target") == "ServiceQuotasV20190624.GetServiceQuota" {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if r.Body = io.NopCloser(bytes.NewReader(data)); strings.Contains(string(data), q.code) {
			words := `{"__type":"NoSuchResourceException","Message":"The request failed because the specified service quota does not exist."}`
			return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, Body: io.NopCloser(strings.NewReader(words)), Request: r}, nil
		}
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestAQuotaThatAWSDoesNotListIsWarnedOf, and the plan can be made all the same.
func TestAQuotaThatAWSDoesNotListIsWarnedOf(t *testing.T) {
	t.Parallel()
	account := newAccount(t, sandbox.Config{})
	account.Transport = noQuota{"L-1216C47A"}
	p, spec := account.Provider(t), awstest.Region()
	answer, err := p.Preflight(t.Context(), spec, nil)
	if err != nil || len(answer.Obstacles) > 0 || len(answer.Warnings) != 1 || !strings.Contains(answer.Warnings[0], "how large the quota L-1216C47A (running on-demand standard instances, in vCPUs) is in us-east-1: whether there is room for 4 more") {
		t.Errorf("the preflight says %+v, %q, %v", answer.Obstacles, answer.Warnings, err)
	}
	if len(answer.Draws) != 3 || slices.ContainsFunc(answer.Draws, func(d region.Draw) bool { return strings.Contains(d.Pool, "L-1216C47A") }) {
		t.Errorf("the plan draws %+v, of quotas that are known alone", answer.Draws)
	}
	if same, err := p.Preflight(t.Context(), spec, &spec); err != nil || len(same.Warnings) > 0 {
		t.Errorf("no node is added, and the warnings are %q, %v", same.Warnings, err)
	}
}

// TestAnAssumedRoleIsAskedAboutByItsOwnARN: IAM simulates the policies of roles, not of sessions, and knows a role by its whole path.
func TestAnAssumedRoleIsAskedAboutByItsOwnARN(t *testing.T) {
	t.Parallel()
	account, seen := newAccount(t, sandbox.Config{}), &asRole{}
	account.Transport = seen
	answer, err := account.Provider(t).Preflight(t.Context(), awstest.Region(), nil)
	if err != nil || len(answer.Obstacles)+len(answer.Warnings) > 0 {
		t.Errorf("preflight says %+v, %+v, %v", answer.Obstacles, answer.Warnings, err)
	}
	if len(seen.asked) == 0 || slices.ContainsFunc(seen.asked, func(arn string) bool { return arn != workersRole }) {
		t.Errorf("IAM was asked about %q, want %s", seen.asked, workersRole)
	}
}

// without is the policy without one permission.
func without(t *testing.T, permission string) []byte {
	t.Helper()
	var document map[string]any
	if err := json.Unmarshal(workerpolicy.Of("aws"), &document); err != nil {
		t.Fatal(err)
	}
	found := false
	var statements []any
	for _, s := range document["Statement"].([]any) {
		one := s.(map[string]any)
		actions := slices.DeleteFunc(one["Action"].([]any), func(a any) bool { found = found || a == permission; return a == permission })
		if one["Action"] = actions; len(actions) > 0 {
			statements = append(statements, one)
		}
	}
	document["Statement"] = statements
	data, err := json.Marshal(document)
	if err != nil || !found {
		t.Fatalf("%s is not in the policy: %v", permission, err)
	}
	return data
}

func TestAMissingPermissionIsNamedBeforeAnythingIsMade(t *testing.T) {
	t.Parallel()
	for _, permission := range []string{"iam:PassRole", "ec2:CreateNatGateway", "eks:CreateAddon", "iam:AttachRolePolicy", "eks:CreateAccessEntry", "ec2:RunInstances", "ec2:DeleteVpc"} {
		p := newAccount(t, sandbox.Config{Policies: map[string][]byte{"aws": without(t, permission)}}).Provider(t)
		answer, err := p.Preflight(t.Context(), awstest.Region(), nil)
		if err != nil || len(answer.Obstacles) != 1 || answer.Obstacles[0].Kind != string(fault.Denied) || !strings.Contains(answer.Obstacles[0].Message, permission) {
			t.Errorf("without %s: %+v, %+v, %v", permission, answer.Obstacles, answer.Warnings, err)
		}
	}
	p := newAccount(t, sandbox.Config{Policies: map[string][]byte{"aws": without(t, "iam:SimulatePrincipalPolicy")}}).Provider(t)
	answer, err := p.Preflight(t.Context(), awstest.Region(), nil)
	if err != nil || len(answer.Obstacles) > 0 || !strings.Contains(fmt.Sprint(answer.Warnings), "iam:SimulatePrincipalPolicy") {
		t.Errorf("who may not ask is not warned: %+v, %v", answer, err)
	}
}

// TestNodeGroupsAreRefusedToWhoCannotSeeTheirLinkedRole, as EKS does: "Failed to validate if SLR: AWSServiceRoleForAmazonEKSNodegroup already
// exists due to missing permissions for 'iam:GetRole'".
func TestNodeGroupsAreRefusedToWhoCannotSeeTheirLinkedRole(t *testing.T) {
	t.Parallel()
	blind := bytes.ReplaceAll(workerpolicy.Of("aws"), []byte(`"arn:*:iam::*:role/aws-service-role/eks-nodegroup.amazonaws.com/*"`), []byte(`"arn:*:iam::*:role/other"`))
	p := newAccount(t, sandbox.Config{Policies: map[string][]byte{"aws": blind}}).Provider(t)
	answer, err := p.Preflight(t.Context(), awstest.Region(), nil)
	if err != nil || len(answer.Obstacles) != 1 || !strings.Contains(answer.Obstacles[0].Message, "iam:GetRole") {
		t.Errorf("the preflight says %+v, %v", answer.Obstacles, err)
	}
}

// TestAHolderThatDiedIsReplaced: a step made the lease, and died before it made anything, or was not told whether it did.
func TestAHolderThatDiedIsReplaced(t *testing.T) {
	for _, way := range []string{"lost-before", "5xx"} {
		t.Run(way, func(t *testing.T) { replacesAHolder(t, way) })
	}
}

func replacesAHolder(t *testing.T, way string) {
	t.Parallel()
	account := newAccount(t, sandbox.Config{})
	spec := awstest.Region()
	account.Fault(t, "CreateVpc", way, 0)
	p := account.Provider(t)
	if _, err := p.EnsureNetwork(t.Context(), spec.NetworkSpec(), ""); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("nobody knows what came of it: %v", err)
	}
	if now, err := p.EnsureNetwork(t.Context(), spec.NetworkSpec(), ""); err != nil || now.Ready || !strings.Contains(now.State, "lease") {
		t.Errorf("nobody knows what became of it yet: %+v, %v", now, err)
	}
	awstest.Until(t, func() (bool, error) {
		now, err := p.EnsureNetwork(t.Context(), spec.NetworkSpec(), "")
		return now.Ready, err
	})
	awstest.Until(t, func() (bool, error) {
		now, err := p.DeleteNetwork(t.Context(), spec.NetworkSpec(), "")
		return now.Gone, err
	})
	if left, err := p.Owned(t.Context(), spec.Key(), spec.Location); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestNodesThatAQuotaKeepsAwayAreAFaultOfIt: the limit was lowered, or used up, since the plan was made.
func TestNodesThatAQuotaKeepsAwayAreAFaultOfIt(t *testing.T) {
	t.Parallel()
	p := newAccount(t, sandbox.Config{VCPULimit: 6}).Provider(t)
	b := awstest.Build(t, p, awstest.Region())
	b.Spec.Kubernetes.Nodes.Count = 5
	awstest.Until(t, func() (bool, error) {
		now, err := p.EnsureCluster(t.Context(), b.ClusterSpec(), "")
		if now.Ready {
			t.Fatal("five nodes of two vCPUs fit into six")
		}
		if !fault.Is(err, fault.Quota) {
			return false, err
		}
		if text := fault.Message(err); !strings.Contains(text, "L-1216C47A") || !strings.Contains(text, "us-east-1") {
			t.Errorf("the message is %q", text)
		}
		return true, nil
	})
	b.Spec.Kubernetes.Nodes.Count = 3
	b.Converge(t, p)
	b.Remove(t, p)
}
