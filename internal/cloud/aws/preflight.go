package aws

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Preflight asks the account who the worker is and what it may do, the location for versions, sizes and zones, and Service Quotas for
// room. What the region leaves out is filled in by the cluster that it has, else by defaults. What is refused for want of permission
// is an obstacle like the others.
func (p *Provider) Preflight(ctx context.Context, want region.Spec, have *region.Spec) (region.Preflight, error) {
	answer, err := p.preflight(ctx, want, have)
	if fault.Is(err, fault.Denied) {
		cost, _ := monthly(want, size{name: want.Kubernetes.Nodes.Size}, 1)
		return region.Preflight{Kubernetes: want.Kubernetes, Obstacles: []region.Obstacle{region.NewObstacle(fault.Denied, "%s", fault.Message(err))}, Monthly: cost}, nil
	}
	return answer, err
}

func (p *Provider) preflight(ctx context.Context, want region.Spec, have *region.Spec) (region.Preflight, error) {
	_, homeName := partition(want.Location)
	home := p.in(homeName)
	me, err := home.worker(ctx)
	if err != nil {
		return region.Preflight{}, err
	}
	elsewhere, err := home.place(ctx, want.Location)
	if err != nil {
		return region.Preflight{}, err
	}
	if elsewhere != nil { // there is nobody there to ask for more
		cost, _ := monthly(want, size{name: want.Kubernetes.Nodes.Size}, 1)
		return region.Preflight{Kubernetes: want.Kubernetes, Obstacles: []region.Obstacle{*elsewhere}, Monthly: cost}, nil
	}
	s, err := p.in(want.Location).survey(ctx, &want, me)
	if err != nil {
		return region.Preflight{}, err
	}
	answer := s.judge(want, have)
	answer.Warnings = append(answer.Warnings, want.AccessWarnings(p.egress)...)
	answer.Obstacles = append(answer.Obstacles, p.unopened(want, exits(want, s.zones))...)
	return answer, nil
}

// maxAllowed is how many ranges EKS lets reach an API server.
const maxAllowed = 40

// unopened says why EKS would not restrict its API server as is wanted.
func (p *Provider) unopened(want region.Spec, exits int) []region.Obstacle {
	all, err := p.allowed(want.ClusterSpec(region.Net{}))
	if err != nil {
		return []region.Obstacle{region.NewObstacle(fault.Invalid, "%s", fault.Message(err))}
	}
	var found []region.Obstacle
	if len(want.Access) > 0 && len(all)+exits > maxAllowed {
		found = append(found, region.NewObstacle(fault.Invalid, "access_cidrs, the workers' ranges and the region's own addresses are %d ranges, and EKS takes %d", len(all)+exits, maxAllowed))
	}
	for _, cidr := range all {
		if netip.MustParsePrefix(cidr).Addr().IsPrivate() {
			found = append(found, region.NewObstacle(fault.Invalid, "access_cidrs: %s is private, and EKS takes public ranges alone: nodes reach their API server inside the VPC anyway", cidr))
		}
	}
	return found
}

// place says why a location cannot have a region, nil when it can.
func (at *place) place(ctx context.Context, location string) (*region.Obstacle, error) {
	all, err := at.ec2.DescribeRegions(ctx, &ec2.DescribeRegionsInput{AllRegions: aws.Bool(true)})
	if err != nil {
		return nil, at.explain(err, "list the Regions")
	}
	var names []string
	for _, r := range all.Regions {
		open := aws.ToString(r.OptInStatus) != "not-opted-in"
		if aws.ToString(r.RegionName) == location {
			if open {
				return nil, nil
			}
			o := region.NewObstacle(fault.Invalid, "the AWS account has not enabled the Region %s: enable it, and ask again when that is done", location)
			return &o, nil
		}
		if open {
			names = append(names, aws.ToString(r.RegionName))
		}
	}
	slices.Sort(names)
	o := region.NewObstacle(fault.Invalid, "AWS has no Region %q%s; the account can use %s", location, fault.DidYouMean(location, names), strings.Join(names, ", "))
	return &o, nil
}

// survey is what an account says of itself and of what is on offer.
type survey struct {
	at       *place
	lacking  []string // permissions
	unsure   string   // why those are not known
	versions versions
	size     size
	refusal  string   // why there is no such size
	zones    []string // of the network
	offers   []string // zones that have the size
	rooms    []room
	had      int // nodes of the region's own group
}

// survey fills in what want leaves out of Kubernetes.
func (at *place) survey(ctx context.Context, want *region.Spec, me string) (*survey, error) {
	s := &survey{at: at}
	var err error
	if s.versions, err = at.versions(ctx); err != nil {
		return nil, err
	}
	mine, err := at.mine(ctx, *want)
	if err != nil {
		return nil, err
	}
	s.had = mine.Nodes.Count
	usual, err := at.defaults(ctx, s.versions)
	if err != nil {
		return nil, err
	}
	want.Kubernetes = want.Kubernetes.Or(mine).Or(usual)
	if err := s.describeSize(ctx, want.Kubernetes.Nodes.Size); err != nil {
		return nil, err
	}
	if s.zones, err = at.zones(ctx); err != nil {
		return nil, err
	}
	if s.lacking, s.unsure, err = at.lacking(ctx, *want, me); err != nil {
		return nil, err
	}
	return s, s.measure(ctx, *want)
}

// mine is what the region's own cluster has; nothing of none.
func (at *place) mine(ctx context.Context, want region.Spec) (region.Kubernetes, error) {
	spec := want.ClusterSpec(region.Net{})
	c, err := at.cluster(ctx, clusterName(spec), spec.Owner)
	if fault.Is(err, fault.Exists) || err == nil && (c == nil || c.Status == "DELETING") {
		return region.Kubernetes{}, nil
	}
	if err != nil {
		return region.Kubernetes{}, err
	}
	found := region.Kubernetes{Version: region.Minor(aws.ToString(c.Version))}
	group, err := at.eks.DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{ClusterName: c.Name, NodegroupName: aws.String(groupName(spec))})
	err = at.explain(err, "find the node group "+groupName(spec))
	if fault.Is(err, fault.NotFound) {
		return found, nil
	}
	if err != nil {
		return found, err
	}
	if group.Nodegroup.ScalingConfig != nil {
		found.Nodes.Count = int(aws.ToInt32(group.Nodegroup.ScalingConfig.DesiredSize))
	}
	if len(group.Nodegroup.InstanceTypes) > 0 {
		found.Nodes.Size = group.Nodegroup.InstanceTypes[0]
	}
	return found, nil
}

// describeSize finds out what a size has, and where it is to be had; where there is none such, which there are.
func (s *survey) describeSize(ctx context.Context, name string) error {
	if name == "" {
		s.refusal = fmt.Sprintf("AWS has none of %s in %s: name a size in kubernetes.nodes.size", strings.Join(defaultSizes, ", "), s.at.location)
		return nil
	}
	var err error
	s.size, err = s.at.size(ctx, name)
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.NotFound) {
		names, err := s.at.sizeNames(ctx)
		s.refusal = fmt.Sprintf("AWS has no nodes of size %q in %s%s", name, s.at.location, suggest(name, names))
		return err
	}
	if err != nil {
		return err
	}
	if _, err := s.size.image(); err != nil {
		s.refusal = fault.Message(err)
		return nil
	}
	s.offers, err = s.at.zonesOf(ctx, name)
	return err
}

// judge says what stands in the way, what the region costs, and what it draws.
func (s *survey) judge(want region.Spec, have *region.Spec) region.Preflight {
	var found []region.Obstacle
	add := func(kind fault.Kind, format string, args ...any) {
		found = append(found, region.NewObstacle(kind, format, args...))
	}
	if len(s.lacking) > 0 {
		add(fault.Denied, "the worker lacks the permission %s in the AWS account: give it the policy of deploy/workers/aws", strings.Join(s.lacking, ", "))
	}
	if v := want.Kubernetes.Version; v != "" && (have == nil || have.Kubernetes.Version != v) && !s.versions.has(v) {
		add(fault.Invalid, "%s", s.versions.refuse(v))
	}
	more := s.more(want, have)
	moved := more > 0 || have == nil || have.Kubernetes.Nodes.Size != want.Kubernetes.Nodes.Size
	reached := slices.ContainsFunc(s.zones, func(zone string) bool { return slices.Contains(s.offers, zone) })
	switch {
	case moved && s.refusal != "":
		add(fault.Invalid, "%s", s.refusal)
	case moved && !reached:
		add(fault.Invalid, "AWS has no nodes of size %q in the zones %s, in which the region would be; it has them in %s", s.size.name, strings.Join(s.zones, ", "), strings.Join(s.offers, ", "))
	}
	answer := region.Preflight{Kubernetes: want.Kubernetes}
	for _, r := range s.rooms {
		adds := r.adds(more)
		if !r.known {
			if adds > 0 {
				answer.Warnings = append(answer.Warnings, fmt.Sprintf("AWS does not say how large the quota %s is in %s: whether there is room for %d more is known only when they are made", r.quota, s.at.location, adds))
			}
			continue
		}
		answer.Draws = append(answer.Draws, region.Draw{Pool: r.quota.pool(s.at.location), Adds: adds, Left: max(0, r.limit-r.used), Limit: r.limit})
		if adds > 0 && r.used+adds > r.limit {
			add(fault.Quota, "%d more exceed the limit of %d that the AWS account has in %s for %s: %d are used; ask for quota %s in %s", adds, r.limit, s.at.location, r.quota.name, r.used, r.quota, s.at.location)
		}
	}
	if s.unsure != "" {
		answer.Warnings = append(answer.Warnings, s.unsure)
	}
	cost, estimated := monthly(want, s.size, exits(want, s.zones))
	if estimated {
		answer.Warnings = append(answer.Warnings, fmt.Sprintf("the price is estimated: there is none on record for nodes of size %q in %s", want.Kubernetes.Nodes.Size, want.Location))
	}
	answer.Obstacles, answer.Monthly = found, cost
	return answer
}

// exits is how many NAT gateways the region has.
func exits(want region.Spec, zones []string) int {
	if want.NAT == region.PerZoneNAT {
		return len(zones)
	}
	return 1
}

// more is how many nodes are to be added: to what the region has by our books, or has already by an attempt whose answer was lost.
func (s *survey) more(want region.Spec, have *region.Spec) int {
	had := s.had
	if have != nil {
		had = max(had, have.Kubernetes.Nodes.Count)
	}
	return max(0, want.Kubernetes.Nodes.Count-had)
}
