package awstest

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
)

// createCluster makes one with the SDK. EKS learns of a new role a while after it was made.
func (a Account) createCluster(t *testing.T, name, role string, subnets []string) {
	t.Helper()
	client := a.SDK(t).EKS
	request := &eks.CreateClusterInput{Name: aws.String(name), RoleArn: aws.String(role), ResourcesVpcConfig: &types.VpcConfigRequest{SubnetIds: subnets}}
	var unready *types.InvalidParameterException
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		_, err := client.CreateCluster(t.Context(), request)
		if err == nil {
			return
		}
		if !errors.As(err, &unready) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// OpenTo is where a cluster's API server is reached from.
func (a Account) OpenTo(t *testing.T, cluster string) []string {
	t.Helper()
	found, err := a.SDK(t).EKS.DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String(cluster)})
	if err != nil {
		t.Fatal(err)
	}
	return found.Cluster.ResourcesVpcConfig.PublicAccessCidrs
}
