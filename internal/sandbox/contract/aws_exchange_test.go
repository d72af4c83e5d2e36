//go:build contract

package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/m3o/platform/internal/cloud/aws/awstest"
	"github.com/m3o/platform/internal/sandbox/aws"
	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/world"
)

// awsExchange sends requests as they are written, signed by the SDK.
type awsExchange struct {
	t       *testing.T
	account awstest.Account
	keys    aws.Keys
	client  *http.Client
}

// TestAWS sends every operation of the sandbox by hand, good requests and bad ones, and has both directions checked.
func TestAWS(t *testing.T) {
	check := newAWSChecker(t, slices.Concat(awsDeviations, youngerElements))
	runner := clusterstest.New(20)
	runner.Made(clusters.Inventory{
		LoadBalancers: []clusters.LoadBalancer{{UID: "u", Name: "a0123456789", IP: "127.0.0.9", Service: "shop/web", Ports: []clusters.Port{{Protocol: "tcp", Port: 80, NodePort: 30080}}}},
		Volumes:       []clusters.Volume{{UID: "v", Name: "pvc-1", Claim: "shop/data", SizeGiB: 5}}})
	e := &awsExchange{t: t, account: newAWSAccount(t, runner), client: &http.Client{Transport: check, Timeout: 10 * time.Second}}
	data, err := os.ReadFile(e.account.Credentials)
	must(t, err)
	e.keys, err = aws.ReadKeys(data)
	must(t, err)
	n := e.network()
	e.places()
	e.machines(n)
	e.identities()
	e.cluster(n)
	e.balancers()
	e.removal(n)
	check.finish(nil)
	var seen []string
	for operation := range check.seen {
		_, name, _ := strings.Cut(operation, ":")
		seen = append(seen, name)
	}
	for _, name := range awsOperationNames(t) {
		if !slices.Contains(seen, name) && name != "DescribeClusterVersions" {
			t.Errorf("%s was not sent", name)
		}
	}
	for operation, codes := range check.codes {
		if codes[http.StatusOK] == 0 {
			t.Errorf("%s was never answered with success: %v", operation, codes)
		}
	}
}

func awsOperationNames(t *testing.T) []string {
	t.Helper()
	w, err := world.Open(t.TempDir(), world.Clock{Scale: 1})
	must(t, err)
	defer func() { must(t, w.Close()) }()
	cloud, err := aws.New(aws.Config{World: w, Runner: clusterstest.New(1), Versions: []string{"1.34"}, Account: "123456789012", AccessKey: "k", Secret: "s"})
	must(t, err)
	return cloud.Operations()
}

// send signs a request for a service and sends it. It wants success, or one of the statuses.
func (e *awsExchange) send(scope, method, path, body string, header map[string]string, want ...int) string {
	e.t.Helper()
	request, err := http.NewRequestWithContext(e.t.Context(), method, e.account.URL+path, strings.NewReader(body))
	must(e.t, err)
	for name, value := range header {
		request.Header.Set(name, value)
	}
	sum := sha256.Sum256([]byte(body))
	must(e.t, signer.NewSigner().SignHTTP(e.t.Context(), sdk.Credentials{AccessKeyID: e.keys.AccessKey, SecretAccessKey: e.keys.Secret}, request, hex.EncodeToString(sum[:]), scope, "us-east-1", time.Now()))
	answer, err := e.client.Do(request)
	must(e.t, err)
	text, err := io.ReadAll(answer.Body)
	must(e.t, err)
	must(e.t, answer.Body.Close())
	if len(want) == 0 {
		want = []int{http.StatusOK}
	}
	if !slices.Contains(want, answer.StatusCode) {
		e.t.Errorf("%s %s %s %s: %d, want %v: %s", scope, method, path, body, answer.StatusCode, want, text)
	}
	return string(text)
}

// form sends a request of the query protocols. Parameters are "Name=value", values unescaped.
func (e *awsExchange) form(scope, action string, parameters ...string) string {
	e.t.Helper()
	return e.formWants(200, scope, action, parameters...)
}

func (e *awsExchange) formWants(status int, scope, action string, parameters ...string) string {
	e.t.Helper()
	values := url.Values{"Action": {action}, "Version": {map[string]string{"ec2": "2016-11-15", "iam": "2010-05-08", "sts": "2011-06-15", "elasticloadbalancing": "2015-12-01"}[scope]}}
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		values.Set(name, value)
	}
	return e.send(scope, "POST", "/", values.Encode(), map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, status)
}

// rest sends a request of EKS.
func (e *awsExchange) rest(method, path, body string, want ...int) string {
	e.t.Helper()
	return e.send("eks", method, path, body, map[string]string{"Content-Type": "application/json"}, want...)
}

// element is the text of the first element of that name.
func (e *awsExchange) element(text, name string) string {
	e.t.Helper()
	found := regexp.MustCompile(`<` + name + `>([^<]*)</`).FindStringSubmatch(text)
	if found == nil {
		e.t.Fatalf("there is no %s in %s", name, text)
	}
	return found[1]
}

// member is the text of the first member of that name.
func (e *awsExchange) member(text, name string) string {
	e.t.Helper()
	found := regexp.MustCompile(`"` + name + `":"([^"]*)"`).FindStringSubmatch(text)
	if found == nil {
		e.t.Fatalf("there is no %s in %s", name, text)
	}
	return found[1]
}

// until repeats a request until its answer has the words.
func (e *awsExchange) until(words string, ask func() string) string {
	e.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(30 * time.Millisecond) {
		if text := ask(); strings.Contains(text, words) {
			return text
		}
	}
	e.t.Fatalf("no answer says %s", words)
	return ""
}

// awsNetwork are the ids of a network.
type awsNetwork struct {
	vpc, gateway, address, nat, table, association, group, template string
	subnets                                                         []string
}

func (e *awsExchange) network() awsNetwork {
	e.t.Helper()
	var n awsNetwork
	tag := func(kind string) []string {
		return []string{"TagSpecification.1.ResourceType=" + kind, "TagSpecification.1.Tag.1.Key=Name", "TagSpecification.1.Tag.1.Value=net"}
	}
	n.vpc = e.element(e.form("ec2", "CreateVpc", append(tag("vpc"), "CidrBlock=10.20.0.0/16")...), "vpcId")
	e.formWants(400, "ec2", "CreateVpc", "CidrBlock=10.20.0.0/8")
	e.formWants(412, "ec2", "CreateVpc", "CidrBlock=10.20.0.0/16", "DryRun=true")
	e.form("ec2", "ModifyVpcAttribute", "VpcId="+n.vpc, "EnableDnsHostnames.Value=true")
	e.form("ec2", "DescribeVpcAttribute", "VpcId="+n.vpc, "Attribute=enableDnsSupport")
	e.form("ec2", "DescribeVpcs", "Filter.1.Name=tag:Name", "Filter.1.Value.1=n*")
	e.formWants(400, "ec2", "DescribeVpcs", "VpcId.1=vpc-0")
	for i, cidr := range []string{"10.20.192.0/20", "10.20.0.0/18", "10.20.64.0/18"} {
		role := "kubernetes.io/role/internal-elb"
		if i == 0 {
			role = "kubernetes.io/role/elb"
		}
		n.subnets = append(n.subnets, e.element(e.form("ec2", "CreateSubnet", "VpcId="+n.vpc, "CidrBlock="+cidr, "AvailabilityZone=us-east-1"+string("aab"[i]),
			"TagSpecification.1.ResourceType=subnet", "TagSpecification.1.Tag.1.Key="+role, "TagSpecification.1.Tag.1.Value=1"), "subnetId"))
	}
	e.form("ec2", "ModifySubnetAttribute", "SubnetId="+n.subnets[0], "MapPublicIpOnLaunch.Value=true")
	e.form("ec2", "DescribeSubnets", "MaxResults=5")
	n.gateway = e.element(e.form("ec2", "CreateInternetGateway", tag("internet-gateway")...), "internetGatewayId")
	e.form("ec2", "AttachInternetGateway", "InternetGatewayId="+n.gateway, "VpcId="+n.vpc)
	e.form("ec2", "DescribeInternetGateways")
	n.address = e.element(e.form("ec2", "AllocateAddress", append(tag("elastic-ip"), "Domain=vpc")...), "allocationId")
	e.form("ec2", "DescribeAddresses")
	e.form("ec2", "DescribeAddressesAttribute", "AllocationId.1="+n.address, "Attribute=domain-name")
	n.nat = e.element(e.form("ec2", "CreateNatGateway", "SubnetId="+n.subnets[0], "AllocationId="+n.address, "ClientToken=t", "ConnectivityType=public"), "natGatewayId")
	e.until("<state>available</state>", func() string { return e.form("ec2", "DescribeNatGateways", "NatGatewayId.1="+n.nat) })
	n.table = e.element(e.form("ec2", "CreateRouteTable", "VpcId="+n.vpc), "routeTableId")
	e.form("ec2", "CreateRoute", "RouteTableId="+n.table, "DestinationCidrBlock=0.0.0.0/0", "GatewayId="+n.gateway)
	e.form("ec2", "ReplaceRoute", "RouteTableId="+n.table, "DestinationCidrBlock=0.0.0.0/0", "NatGatewayId="+n.nat)
	e.form("ec2", "CreateRoute", "RouteTableId="+n.table, "DestinationCidrBlock=192.0.2.0/24", "NatGatewayId="+n.nat)
	e.form("ec2", "DeleteRoute", "RouteTableId="+n.table, "DestinationCidrBlock=192.0.2.0/24")
	for _, s := range n.subnets[1:] {
		n.association = e.element(e.form("ec2", "AssociateRouteTable", "RouteTableId="+n.table, "SubnetId="+s), "associationId")
	}
	e.form("ec2", "DescribeRouteTables")
	e.form("ec2", "DescribeNetworkAcls")
	e.form("ec2", "DescribeNetworkInterfaces")
	n.group = e.element(e.form("ec2", "CreateSecurityGroup", "GroupName=web", "GroupDescription=web", "VpcId="+n.vpc), "groupId")
	rule := []string{"GroupId=" + n.group, "IpPermissions.1.IpProtocol=tcp", "IpPermissions.1.FromPort=443", "IpPermissions.1.ToPort=443", "IpPermissions.1.IpRanges.1.CidrIp=192.0.2.0/24"}
	for _, action := range []string{"AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress"} {
		e.form("ec2", action, rule...)
	}
	e.form("ec2", "DescribeSecurityGroups")
	e.form("ec2", "DescribeSecurityGroupRules", "Filter.1.Name=group-id", "Filter.1.Value.1="+n.group)
	for _, action := range []string{"RevokeSecurityGroupIngress", "RevokeSecurityGroupEgress"} {
		e.form("ec2", action, rule...)
	}
	return n
}

func (e *awsExchange) places() {
	e.t.Helper()
	e.form("ec2", "DescribeRegions", "AllRegions=true")
	e.form("ec2", "DescribeAvailabilityZones", "Filter.1.Name=state", "Filter.1.Value.1=available")
	e.form("ec2", "DescribeInstanceTypes", "InstanceType.1=t3.large")
	e.form("ec2", "DescribeInstanceTypeOfferings", "LocationType=availability-zone")
	e.form("ec2", "DescribeAccountAttributes")
	e.form("sts", "GetCallerIdentity")
	for name, body := range map[string]string{"GetServiceQuota": `{"ServiceCode":"ec2","QuotaCode":"L-1216C47A"}`, "GetAWSDefaultServiceQuota": `{"ServiceCode":"vpc","QuotaCode":"L-F678F1CE"}`,
		"ListServiceQuotas": `{"ServiceCode":"eks"}`} {
		e.send("servicequotas", "POST", "/", body, map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "ServiceQuotasV20190624." + name})
	}
	e.send("servicequotas", "POST", "/", `{"ServiceCode":"ec2","QuotaCode":"L-00000000"}`, map[string]string{"X-Amz-Target": "ServiceQuotasV20190624.GetServiceQuota"}, 400)
}

func (e *awsExchange) machines(n awsNetwork) {
	e.t.Helper()
	v := e.element(e.form("ec2", "CreateVolume", "AvailabilityZone=us-east-1a", "Size=1", "VolumeType=gp3"), "volumeId")
	s := e.element(e.form("ec2", "CreateSnapshot", "VolumeId="+v), "snapshotId")
	e.form("ec2", "DescribeVolumes")
	e.form("ec2", "DescribeSnapshots", "Owner.1=self")
	e.form("ec2", "CreateTags", "ResourceId.1="+v, "Tag.1.Key=k", "Tag.1.Value=v")
	e.form("ec2", "DescribeTags", "Filter.1.Name=resource-id", "Filter.1.Value.1="+v)
	e.form("ec2", "DeleteTags", "ResourceId.1="+v, "Tag.1.Key=k")
	e.form("ec2", "DeleteSnapshot", "SnapshotId="+s)
	e.form("ec2", "DeleteVolume", "VolumeId="+v)
	t := e.element(e.form("ec2", "CreateLaunchTemplate", "LaunchTemplateName=nodes", "LaunchTemplateData.MetadataOptions.HttpTokens=required"), "launchTemplateId")
	e.form("ec2", "DescribeLaunchTemplates")
	e.form("ec2", "DeleteLaunchTemplate", "LaunchTemplateId="+t)
	e.formWants(400, "ec2", "DeleteLaunchTemplate", "LaunchTemplateId="+t)
}

func trust(service string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
}

func (e *awsExchange) identities() {
	e.t.Helper()
	for name, service := range map[string]string{"c-cluster": "eks.amazonaws.com", "c-nodes": "ec2.amazonaws.com", "c-pods": "pods.eks.amazonaws.com"} {
		e.form("iam", "CreateRole", "RoleName="+name, "AssumeRolePolicyDocument="+trust(service), "Tags.member.1.Key=k", "Tags.member.1.Value=v")
	}
	for _, policy := range []string{"AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"} {
		e.form("iam", "AttachRolePolicy", "RoleName=c-nodes", "PolicyArn=arn:aws:iam::aws:policy/"+policy)
	}
	e.form("iam", "AttachRolePolicy", "RoleName=c-pods", "PolicyArn=arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy")
	e.formWants(409, "iam", "DeleteRole", "RoleName=c-pods")
	e.form("iam", "DetachRolePolicy", "RoleName=c-pods", "PolicyArn=arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy")
	e.formWants(409, "iam", "CreateRole", "RoleName=c-nodes", "AssumeRolePolicyDocument="+trust("ec2.amazonaws.com"))
	e.formWants(404, "iam", "GetRole", "RoleName=none")
	e.form("iam", "PutRolePolicy", "RoleName=c-pods", "PolicyName=p", `PolicyDocument={"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`)
	for _, action := range []string{"GetRole", "ListRoleTags", "ListAttachedRolePolicies", "ListRolePolicies", "ListInstanceProfilesForRole"} {
		e.form("iam", action, "RoleName=c-pods")
	}
	e.form("iam", "GetRolePolicy", "RoleName=c-pods", "PolicyName=p")
	e.form("iam", "DeleteRolePolicy", "RoleName=c-pods", "PolicyName=p")
	e.form("iam", "ListRoles", "MaxItems=1")
	e.form("iam", "TagRole", "RoleName=c-pods", "Tags.member.1.Key=a", "Tags.member.1.Value=b")
	e.form("iam", "UntagRole", "RoleName=c-pods", "TagKeys.member.1=a")
	e.form("iam", "UpdateAssumeRolePolicy", "RoleName=c-pods", "PolicyDocument="+trust("pods.eks.amazonaws.com"))
	user := e.element(e.form("iam", "GetUser"), "Arn")
	e.form("iam", "SimulatePrincipalPolicy", "PolicySourceArn="+user, "ActionNames.member.1=ec2:CreateVpc")
	o := e.element(e.form("iam", "CreateOpenIDConnectProvider", "Url=https://oidc.eks.us-east-1.amazonaws.com/id/A", "ClientIDList.member.1=sts.amazonaws.com"), "OpenIDConnectProviderArn")
	e.form("iam", "TagOpenIDConnectProvider", "OpenIDConnectProviderArn="+o, "Tags.member.1.Key=a", "Tags.member.1.Value=b")
	for _, action := range []string{"GetOpenIDConnectProvider", "ListOpenIDConnectProviderTags", "DeleteOpenIDConnectProvider"} {
		e.form("iam", action, "OpenIDConnectProviderArn="+o)
	}
	e.form("iam", "ListOpenIDConnectProviders")
}

const onCluster = "/clusters/c"

func (e *awsExchange) cluster(n awsNetwork) {
	e.t.Helper()
	role := func(name string) string { return "arn:aws:iam::" + e.keys.Account() + ":role/" + name }
	subnets := `["` + strings.Join(n.subnets, `","`) + `"]`
	e.rest("GET", onCluster, "", 404)
	create := `{"name":"c","version":"1.36","roleArn":"` + role("c-cluster") + `","resourcesVpcConfig":{"subnetIds":` + subnets + `},"accessConfig":{"authenticationMode":"API"},"clientRequestToken":"t","tags":{"k":"v"}}`
	e.until(`"CREATING"`, func() string { return e.rest("POST", "/clusters", create, 200, 400) })
	e.rest("POST", "/clusters", strings.Replace(create, `"t"`, `"u"`, 1), 409)
	active := func() string { return e.rest("GET", onCluster, "") }
	e.until(`"ACTIVE"`, active)
	arn := e.member(active(), "arn")
	e.rest("GET", "/clusters?maxResults=1", "")
	e.rest("GET", "/cluster-versions", "")
	e.rest("GET", "/addons/supported-versions?addonName=coredns", "")
	e.rest("POST", "/tags/"+url.PathEscape(arn), `{"tags":{"a":"b"}}`)
	e.rest("GET", "/tags/"+url.PathEscape(arn), "")
	e.rest("DELETE", "/tags/"+url.PathEscape(arn)+"?tagKeys=a", "")
	update := e.member(e.rest("POST", onCluster+"/update-config", `{"resourcesVpcConfig":{"publicAccessCidrs":["198.51.100.0/24"]}}`), "id")
	e.rest("POST", onCluster+"/update-config", `{"resourcesVpcConfig":{"publicAccessCidrs":["198.51.100.0/24"]}}`, 409)
	e.until("Successful", func() string { return e.rest("GET", onCluster+"/updates/"+update, "") })
	e.rest("GET", onCluster+"/updates", "")
	e.until(`"ACTIVE"`, active)
	e.rest("POST", onCluster+"/updates", `{"version":"1.37"}`)
	e.until(`"ACTIVE"`, active)
	for _, name := range []string{"vpc-cni", "coredns"} {
		e.rest("POST", onCluster+"/addons", `{"addonName":"`+name+`","tags":{"k":"v"}}`)
	}
	e.rest("POST", onCluster+"/addons", `{"addonName":"coredns"}`, 409)
	e.rest("GET", onCluster+"/addons", "")
	e.until(`"ACTIVE"`, func() string { return e.rest("GET", onCluster+"/addons/vpc-cni", "") })
	e.rest("POST", onCluster+"/addons/vpc-cni/update", `{"configurationValues":"{}"}`)
	group := `{"nodegroupName":"main","subnets":["` + n.subnets[1] + `"],"nodeRole":"` + role("c-nodes") + `","instanceTypes":["t3.large"],"scalingConfig":{"minSize":1,"maxSize":1,"desiredSize":1}}`
	e.rest("POST", onCluster+"/node-groups", group)
	e.rest("POST", onCluster+"/node-groups", group, 409)
	e.rest("GET", onCluster+"/node-groups", "")
	ready := func() string { return e.rest("GET", onCluster+"/node-groups/main", "") }
	e.until(`"status":"ACTIVE"`, ready)
	e.rest("POST", onCluster+"/node-groups/main/update-config", `{"scalingConfig":{"maxSize":2,"desiredSize":2}}`)
	e.until(`"status":"ACTIVE"`, ready)
	e.rest("POST", onCluster+"/node-groups/main/update-version", `{}`)
	e.until(`"status":"ACTIVE"`, ready)
	e.form("ec2", "DescribeInstances", "Filter.1.Name=tag:eks:nodegroup-name", "Filter.1.Value.1=main")
	e.entries(role("c-nodes"), role("c-pods"))
}

func (e *awsExchange) entries(principal, pods string) {
	e.t.Helper()
	const policy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
	on := onCluster + "/access-entries"
	entry := on + "/" + url.PathEscape(principal)
	e.rest("POST", on, `{"principalArn":"`+principal+`","type":"STANDARD"}`)
	e.rest("POST", on, `{"principalArn":"`+principal+`"}`, 409)
	e.rest("GET", on, "")
	e.rest("GET", entry, "")
	e.rest("POST", entry+"/access-policies", `{"policyArn":"`+policy+`","accessScope":{"type":"cluster"}}`)
	e.rest("GET", entry+"/access-policies", "")
	e.rest("GET", "/access-policies", "")
	e.rest("DELETE", entry+"/access-policies/"+url.PathEscape(policy), "")
	e.rest("DELETE", entry, "")
	e.rest("GET", entry, "", 404)
	on = onCluster + "/pod-identity-associations"
	made := e.until("associationId", func() string {
		return e.rest("POST", on, `{"namespace":"shop","serviceAccount":"web","roleArn":"`+pods+`","tags":{"k":"v"}}`, 200, 400)
	})
	association := on + "/" + e.member(made, "associationId")
	e.rest("POST", on, `{"namespace":"shop","serviceAccount":"web","roleArn":"`+pods+`"}`, 409)
	e.rest("GET", on+"?namespace=shop", "")
	e.rest("GET", association, "")
	e.rest("POST", association, `{"roleArn":"`+pods+`"}`)
	e.rest("DELETE", association, "")
}

func (e *awsExchange) balancers() {
	e.t.Helper()
	made := e.until("<LoadBalancerArn>", func() string { return e.form("elasticloadbalancing", "DescribeLoadBalancers") })
	arn := e.element(made, "LoadBalancerArn")
	e.form("elasticloadbalancing", "DescribeTags", "ResourceArns.member.1="+arn)
	e.form("elasticloadbalancing", "DescribeListeners", "LoadBalancerArn="+arn)
	target := e.element(e.form("elasticloadbalancing", "DescribeTargetGroups", "LoadBalancerArn="+arn), "TargetGroupArn")
	e.formWants(400, "elasticloadbalancing", "DeleteTargetGroup", "TargetGroupArn="+target)
	e.formWants(400, "elasticloadbalancing", "DescribeLoadBalancers", "Names.member.1=none")
}

func (e *awsExchange) removal(n awsNetwork) {
	e.t.Helper()
	e.rest("DELETE", onCluster, "", 409)
	e.rest("DELETE", onCluster+"/addons/coredns", "")
	e.rest("DELETE", onCluster+"/node-groups/main", "")
	e.until("No node group", func() string { return e.rest("GET", onCluster+"/node-groups/main", "", 200, 404) })
	e.rest("DELETE", onCluster, "")
	e.until("No cluster", func() string { return e.rest("GET", onCluster, "", 200, 404) })
	balancers := e.form("elasticloadbalancing", "DescribeLoadBalancers")
	target := e.element(e.form("elasticloadbalancing", "DescribeTargetGroups"), "TargetGroupArn")
	e.form("elasticloadbalancing", "DeleteLoadBalancer", "LoadBalancerArn="+e.element(balancers, "LoadBalancerArn"))
	e.form("elasticloadbalancing", "DeleteTargetGroup", "TargetGroupArn="+target)
	left := e.form("ec2", "DescribeNetworkInterfaces", "Filter.1.Name=status", "Filter.1.Value.1=available")
	e.form("ec2", "DeleteNetworkInterface", "NetworkInterfaceId="+e.element(left, "networkInterfaceId"))
	e.formWants(400, "ec2", "DeleteVpc", "VpcId="+n.vpc)
	e.form("ec2", "DeleteNatGateway", "NatGatewayId="+n.nat)
	e.until("<state>deleted</state>", func() string { return e.form("ec2", "DescribeNatGateways", "NatGatewayId.1="+n.nat) })
	e.form("ec2", "ReleaseAddress", "AllocationId="+n.address)
	e.form("ec2", "DisassociateRouteTable", "AssociationId="+n.association)
	for _, s := range n.subnets {
		e.until("<return>true", func() string {
			return e.send("ec2", "POST", "/", "Action=DeleteSubnet&Version=2016-11-15&SubnetId="+s, nil, 200, 400)
		})
	}
	e.form("ec2", "DeleteRouteTable", "RouteTableId="+n.table)
	groups := e.form("ec2", "DescribeSecurityGroups", "Filter.1.Name=tag-key", "Filter.1.Value.1=kubernetes.io/cluster/c")
	for _, match := range regexp.MustCompile(`<securityGroupInfo>.*`).FindAllString(groups, -1) {
		for _, id := range regexp.MustCompile(`<item><groupId>(sg-[0-9a-f]+)</groupId><groupName>`).FindAllStringSubmatch(match, -1) {
			e.form("ec2", "DeleteSecurityGroup", "GroupId="+id[1])
		}
	}
	e.form("ec2", "DeleteSecurityGroup", "GroupId="+n.group)
	e.form("ec2", "DetachInternetGateway", "InternetGatewayId="+n.gateway, "VpcId="+n.vpc)
	e.form("ec2", "DeleteInternetGateway", "InternetGatewayId="+n.gateway)
	e.form("ec2", "DeleteVpc", "VpcId="+n.vpc)
	for _, name := range []string{"c-cluster", "c-pods"} {
		e.form("iam", "DeleteRole", "RoleName="+name)
	}
}
