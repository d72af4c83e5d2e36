package aws

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/m3o/platform/internal/region"
)

// versions are the minor versions of Kubernetes that EKS offers for new clusters, newest first.
type versions []string

// versions lists those in standard support: the others cost six times as much.
func (at *place) versions(ctx context.Context) (versions, error) {
	all, err := every(ctx, eks.NewDescribeClusterVersionsPaginator(at.eks, &eks.DescribeClusterVersionsInput{VersionStatus: types.VersionStatusStandardSupport}),
		func(page *eks.DescribeClusterVersionsOutput) []types.ClusterVersionInformation {
			return page.ClusterVersions
		})
	if err != nil {
		return nil, at.explain(err, "list the versions of Kubernetes")
	}
	var offered versions
	for _, v := range all {
		if minor := region.Minor(aws.ToString(v.ClusterVersion)); minor != "" && !slices.Contains(offered, minor) {
			offered = append(offered, minor)
		}
	}
	slices.SortFunc(offered, func(a, b string) int { return slices.Compare(numbers(b), numbers(a)) })
	return offered, nil
}

func (v versions) has(minor string) bool { return slices.Contains(v, minor) }

// latest is the newest, "" when there is none.
func (v versions) latest() string {
	if len(v) == 0 {
		return ""
	}
	return v[0]
}

func (v versions) refuse(minor string) string {
	return fmt.Sprintf("EKS does not offer Kubernetes %s in standard support; it offers %s", minor, strings.Join(v, ", "))
}

// numbers are those in a version, in order: "1.34" is 1, 34.
func numbers(version string) []int {
	var list []int
	for digits := range strings.SplitSeq(version, ".") {
		if n, err := strconv.Atoi(digits); err == nil {
			list = append(list, n)
		}
	}
	return list
}
