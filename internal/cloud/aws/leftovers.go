package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// What clusters make, as resources are called.
const (
	kindBalancer  = "load balancer"
	kindTargets   = "target group"
	kindInterface = "network interface"
	kindGroup     = "security group"
	kindVolume    = "volume"
	kindSnapshot  = "snapshot"
)

// sweptAtOnce is how many things one step removes.
const sweptAtOnce = 5

// left is something that a cluster made in the account. Busy: it cannot be deleted now, and becomes free, or goes, by itself.
type left struct {
	region.Resource
	busy bool
}

// leftovers finds what clusters made: load balancers and their target groups, interfaces of pods, security groups, disks and
// snapshots. All but disks and snapshots lie in the region's VPC; those carry the cluster's name alone.
type leftovers struct {
	at    *place
	vpc   string   // "" when there is none
	names []string // of clusters whose disks are looked for
	all   bool     // everything that lies in the VPC, not only what a cluster of these names marked
	found []left
}

func (l *leftovers) add(kind, id, name string, busy bool) {
	l.found = append(l.found, left{region.Resource{Kind: kind, ID: id, Name: name}, busy})
}

// made reports whether tags mark something as made by one of the clusters.
func (l *leftovers) made(tags map[string]string) bool {
	return slices.ContainsFunc(l.names, func(name string) bool {
		_, inTree := tags[clusterTag(name)]
		return inTree || tags[controllerTag] == name || tags["cluster.k8s.amazonaws.com/name"] == name
	})
}

// look finds all of it, in the order in which it can be removed.
func (l *leftovers) look(ctx context.Context) error {
	for _, look := range []func(context.Context) error{l.balancers, l.targets, l.interfaces, l.groups, l.volumes, l.snapshots} {
		if err := look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// interfaces are those that the network plugin made for pods and, if it was killed, left.
func (l *leftovers) interfaces(ctx context.Context) error {
	if l.vpc == "" {
		return nil
	}
	all, err := l.at.interfaces(ctx, l.vpc)
	for _, i := range all {
		text := aws.ToString(i.Description)
		if l.all || strings.HasPrefix(text, "aws-K8S-") || l.made(tagsOf(i.TagSet)) {
			l.add(kindInterface, aws.ToString(i.NetworkInterfaceId), text, i.Status != types.NetworkInterfaceStatusAvailable)
		}
	}
	return err
}

// groups finds EKS's own security group of the cluster first: its rules name those of load balancers, which cannot go before it.
func (l *leftovers) groups(ctx context.Context) error {
	if l.vpc == "" {
		return nil
	}
	all, err := every(ctx, ec2.NewDescribeSecurityGroupsPaginator(l.at.ec2, &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{filter("vpc-id", l.vpc)}}),
		func(page *ec2.DescribeSecurityGroupsOutput) []types.SecurityGroup { return page.SecurityGroups })
	if err != nil {
		return l.at.explain(err, "list the security groups")
	}
	slices.SortStableFunc(all, func(a, b types.SecurityGroup) int { return rank(a) - rank(b) })
	for _, g := range all {
		if name := aws.ToString(g.GroupName); name != "default" && (l.all || l.made(tagsOf(g.Tags))) {
			l.add(kindGroup, aws.ToString(g.GroupId), name, false)
		}
	}
	return nil
}

func rank(g types.SecurityGroup) int {
	if strings.HasPrefix(aws.ToString(g.GroupName), "eks-cluster-sg-") {
		return 0
	}
	return 1
}

func (l *leftovers) byName() []types.Filter {
	var keys []string
	for _, name := range l.names {
		keys = append(keys, clusterTag(name))
	}
	return []types.Filter{filter("tag-key", keys...)}
}

func (l *leftovers) volumes(ctx context.Context) error {
	if len(l.names) == 0 {
		return nil
	}
	all, err := every(ctx, ec2.NewDescribeVolumesPaginator(l.at.ec2, &ec2.DescribeVolumesInput{Filters: l.byName()}),
		func(page *ec2.DescribeVolumesOutput) []types.Volume { return page.Volumes })
	for _, v := range all {
		if v.State != types.VolumeStateDeleted {
			l.add(kindVolume, aws.ToString(v.VolumeId), tagsOf(v.Tags)[nameTag], v.State != types.VolumeStateAvailable && v.State != types.VolumeStateError)
		}
	}
	return l.at.explain(err, "list the volumes")
}

func (l *leftovers) snapshots(ctx context.Context) error {
	if len(l.names) == 0 {
		return nil
	}
	all, err := every(ctx, ec2.NewDescribeSnapshotsPaginator(l.at.ec2, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}, Filters: l.byName()}),
		func(page *ec2.DescribeSnapshotsOutput) []types.Snapshot { return page.Snapshots })
	for _, s := range all {
		l.add(kindSnapshot, aws.ToString(s.SnapshotId), tagsOf(s.Tags)[nameTag], false)
	}
	return l.at.explain(err, "list the snapshots")
}

// sweep removes what outlived its cluster: it is gone when there is none. Most of it costs, and some keeps the network from being
// deleted. What else lies in the VPC may be somebody's, and stays.
func (at *place) sweep(ctx context.Context, spec region.ClusterSpec, stranger bool) (region.Removal, error) {
	vpc, err := at.vpc(ctx, spec.Owner)
	if err != nil {
		return region.Removal{}, err
	}
	l := leftovers{at: at}
	if vpc != nil {
		l.vpc = aws.ToString(vpc.VpcId)
	}
	if !stranger {
		l.names = []string{clusterName(spec)}
	}
	if err := l.look(ctx); err != nil {
		return region.Removal{}, err
	}
	if len(l.found) == 0 {
		return region.Removal{Gone: true}, nil
	}
	var names []string
	asked := 0
	for _, r := range l.found {
		names = append(names, r.String())
		if r.busy || asked == sweptAtOnce {
			continue
		}
		asked++
		err := at.remove(ctx, r.Resource)
		if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Conflict) { // what others of these still use waits for them
			return region.Removal{}, err
		}
	}
	return region.Removal{State: "the cluster left " + region.Some(names)}, nil
}

// remove removes what a cluster left.
func (at *place) remove(ctx context.Context, r region.Resource) (err error) {
	switch r.Kind {
	case kindBalancer, kindTargets:
		err = at.removeBalancing(ctx, r)
	case kindInterface:
		_, err = at.ec2.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: aws.String(r.ID)})
	case kindGroup:
		_, err = at.ec2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(r.ID)})
	case kindVolume:
		_, err = at.ec2.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: aws.String(r.ID)})
	case kindSnapshot:
		_, err = at.ec2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(r.ID)})
	default:
		return fault.New(fault.Failed, "this version cannot remove a %s", r.Kind)
	}
	return at.explain(err, fmt.Sprintf("delete the %s %s", r.Kind, r.ID))
}
