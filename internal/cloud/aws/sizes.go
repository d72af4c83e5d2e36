package aws

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// size is what a node has.
type size struct {
	name          string
	cpus          int
	memory        int // in MiB
	architectures []types.ArchitectureType
}

func (s size) String() string { return fmt.Sprintf("%d vCPUs and %d GiB", s.cpus, s.memory/1024) }

func sizeOf(t types.InstanceTypeInfo) size {
	s := size{name: string(t.InstanceType)}
	if t.VCpuInfo != nil {
		s.cpus = int(aws.ToInt32(t.VCpuInfo.DefaultVCpus))
	}
	if t.MemoryInfo != nil {
		s.memory = int(aws.ToInt64(t.MemoryInfo.SizeInMiB))
	}
	if t.ProcessorInfo != nil {
		s.architectures = t.ProcessorInfo.SupportedArchitectures
	}
	return s
}

// size describes an instance type; one that does not exist is Invalid.
func (at *place) size(ctx context.Context, name string) (size, error) {
	found, err := at.ec2.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{types.InstanceType(name)}})
	if err != nil {
		return size{}, at.explain(err, fmt.Sprintf("describe the instance type %q", name))
	}
	if len(found.InstanceTypes) == 0 {
		return size{}, fault.New(fault.Invalid, "AWS has no instance type %q in %s", name, at.location)
	}
	return sizeOf(found.InstanceTypes[0]), nil
}

// zonesOf are the zones of the location that have an instance type.
func (at *place) zonesOf(ctx context.Context, name string) ([]string, error) {
	offered, err := at.offerings(ctx, types.LocationTypeAvailabilityZone, filter("instance-type", name))
	var zones []string
	for _, o := range offered {
		zones = append(zones, aws.ToString(o.Location))
	}
	slices.Sort(zones)
	return zones, err
}

// sizeNames are the instance types that the location has.
func (at *place) sizeNames(ctx context.Context) ([]string, error) {
	offered, err := at.offerings(ctx, types.LocationTypeRegion)
	var names []string
	for _, o := range offered {
		names = append(names, string(o.InstanceType))
	}
	slices.Sort(names)
	return names, err
}

func (at *place) offerings(ctx context.Context, by types.LocationType, filters ...types.Filter) ([]types.InstanceTypeOffering, error) {
	all, err := every(ctx, ec2.NewDescribeInstanceTypeOfferingsPaginator(at.ec2, &ec2.DescribeInstanceTypeOfferingsInput{LocationType: by, Filters: filters}),
		func(page *ec2.DescribeInstanceTypeOfferingsOutput) []types.InstanceTypeOffering {
			return page.InstanceTypeOfferings
		})
	return all, at.explain(err, "list the instance types that are offered")
}

// some of the sizes that are offered, with the one that was probably meant.
func suggest(name string, offered []string) string {
	return fmt.Sprintf("%s; it has %s", fault.DidYouMean(name, offered), region.Some(offered))
}
