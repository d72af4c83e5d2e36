package awstest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/region"
)

// SDK are the official clients, as another user of the account has them.
type SDK struct {
	EC2 *ec2.Client
	EKS *eks.Client
	IAM *iam.Client
}

// SDK makes clients in the harness's location.
func (a Account) SDK(t *testing.T) SDK {
	t.Helper()
	config := aws.Config{Region: Location, Credentials: a.credentials(t), BaseEndpoint: aws.String(a.URL)}
	return SDK{EC2: ec2.NewFromConfig(config), EKS: eks.NewFromConfig(config), IAM: iam.NewFromConfig(config)}
}

func named(kind types.ResourceType, name string, tags ...string) []types.TagSpecification {
	list := []types.Tag{{Key: aws.String("Name"), Value: aws.String(name)}}
	for i := 0; i+1 < len(tags); i += 2 {
		list = append(list, types.Tag{Key: aws.String(tags[i]), Value: aws.String(tags[i+1])})
	}
	return []types.TagSpecification{{ResourceType: kind, Tags: list}}
}

// foreign makes something with the SDK, as another user of the account would.
func (a Account) foreign(t *testing.T, kind cloudtest.Kind, name string) {
	t.Helper()
	var err error
	switch kind {
	case cloudtest.Network:
		_, err = a.SDK(t).EC2.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("192.168.0.0/16"), TagSpecifications: named(types.ResourceTypeVpc, name)})
	case cloudtest.Identity:
		a.foreignRole(t, name+"-cluster")
	case cloudtest.Cluster:
		a.foreignCluster(t, name)
	default:
		err = fmt.Errorf("nobody makes a %s", kind)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (a Account) foreignRole(t *testing.T, name string) string {
	t.Helper()
	made, err := a.SDK(t).IAM.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String(name), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"eks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(made.Role.Arn)
}

// foreignCluster makes a cluster in a network of its own.
func (a Account) foreignCluster(t *testing.T, name string) {
	t.Helper()
	sdk := a.SDK(t)
	vpc, err := sdk.EC2.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("192.168.0.0/16"), TagSpecifications: named(types.ResourceTypeVpc, "somebody's")})
	if err != nil {
		t.Fatal(err)
	}
	var subnets []string
	for i, zone := range []string{"a", "b"} {
		made, err := sdk.EC2.CreateSubnet(t.Context(), &ec2.CreateSubnetInput{VpcId: vpc.Vpc.VpcId, AvailabilityZone: aws.String(Location + zone),
			CidrBlock: aws.String(fmt.Sprintf("192.168.%d.0/24", i)), TagSpecifications: named(types.ResourceTypeSubnet, "somebody's "+zone)})
		if err != nil {
			t.Fatal(err)
		}
		subnets = append(subnets, aws.ToString(made.Subnet.SubnetId))
	}
	for _, attribute := range []*ec2.ModifyVpcAttributeInput{{EnableDnsSupport: on()}, {EnableDnsHostnames: on()}} {
		attribute.VpcId = vpc.Vpc.VpcId
		if _, err := sdk.EC2.ModifyVpcAttribute(t.Context(), attribute); err != nil {
			t.Fatal(err)
		}
	}
	role := a.foreignRole(t, "somebody")
	if _, err := sdk.IAM.AttachRolePolicy(t.Context(), &iam.AttachRolePolicyInput{RoleName: aws.String("somebody"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AmazonEKSClusterPolicy")}); err != nil {
		t.Fatal(err)
	}
	a.createCluster(t, name, role, subnets)
}

func on() *types.AttributeBooleanValue { return &types.AttributeBooleanValue{Value: aws.Bool(true)} }

// outlive makes a volume with the tag that all volumes of the cluster have. The sandbox knows its clusters' own by other means, so this
// one stays.
func (a Account) outlive(t *testing.T, c region.Cluster) string {
	t.Helper()
	made, err := a.SDK(t).EC2.CreateVolume(t.Context(), &ec2.CreateVolumeInput{AvailabilityZone: aws.String(Location + "a"), Size: aws.Int32(5), VolumeType: types.VolumeTypeGp3,
		TagSpecifications: named(types.ResourceTypeVolume, c.Name+"-dynamic-pvc-outlives", "kubernetes.io/cluster/"+c.Name, "owned", "ebs.csi.aws.com/cluster", "true")})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(made.VolumeId)
}

// dropLeases removes what steps left that were not told what came of their requests, as if its time was over.
func (a Account) dropLeases(t *testing.T) {
	t.Helper()
	client := a.SDK(t).EC2
	all, err := client.DescribeLaunchTemplates(t.Context(), &ec2.DescribeLaunchTemplatesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all.LaunchTemplates {
		if !strings.HasSuffix(aws.ToString(l.LaunchTemplateName), leaseSuffix) {
			continue
		}
		if _, err := client.DeleteLaunchTemplate(t.Context(), &ec2.DeleteLaunchTemplateInput{LaunchTemplateId: l.LaunchTemplateId}); err != nil {
			t.Fatal(err)
		}
	}
}

// upgrade has the cluster upgraded to the next minor version, as EKS does when its version is supported no more.
func (a Account) upgrade(t *testing.T, c region.Cluster) string {
	t.Helper()
	client := a.SDK(t).EKS
	offered, err := client.DescribeClusterVersions(t.Context(), &eks.DescribeClusterVersionsInput{})
	if err != nil {
		t.Fatal(err)
	}
	next := ""
	for _, v := range offered.ClusterVersions {
		if minor := aws.ToString(v.ClusterVersion); strings.Compare(minor, c.Version) > 0 && (next == "" || minor < next) {
			next = minor
		}
	}
	if _, err := client.UpdateClusterVersion(t.Context(), &eks.UpdateClusterVersionInput{Name: aws.String(c.Name), Version: aws.String(next)}); err != nil {
		t.Fatal(err)
	}
	return next
}
