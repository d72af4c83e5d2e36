package aws

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/m3o/platform/internal/region"
)

// What a region has whose file leaves it out: the newest version in standard support, and as many nodes as etcd and NATS need to
// outlive one. The size is the first of these that the location has: 2 vCPUs and 8 GiB, of which EKS's own pods take a part, and
// at least 29 pods (the network plugin gives each an address of the VPC, and smaller sizes take 17).
const defaultNodes = 3

var defaultSizes = []string{"t3.large", "t3a.large", "m5.large", "m6i.large", "m7i.large"}

func (at *place) defaults(ctx context.Context, offered versions) (region.Kubernetes, error) {
	there, err := at.offerings(ctx, types.LocationTypeRegion, filter("instance-type", defaultSizes...))
	if err != nil {
		return region.Kubernetes{}, err
	}
	found := region.Kubernetes{Version: offered.latest(), Nodes: region.Nodes{Count: defaultNodes}}
	for _, name := range defaultSizes {
		if slices.ContainsFunc(there, func(o types.InstanceTypeOffering) bool { return string(o.InstanceType) == name }) {
			found.Nodes.Size = name
			break
		}
	}
	return found, nil
}
