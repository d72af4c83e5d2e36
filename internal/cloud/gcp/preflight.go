package gcp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/container/apiv1/containerpb"
	"google.golang.org/api/cloudresourcemanager/v1"
	"google.golang.org/api/compute/v1"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Preflight asks the project what the worker's identity may do and which services are enabled; if that is as it should be, for place,
// version, size and quotas. What is refused for want of permission is an obstacle like the others.
func (p *Provider) Preflight(ctx context.Context, want region.Spec, have *region.Spec) (region.Preflight, error) {
	answer := region.Preflight{Kubernetes: want.Kubernetes, Monthly: cost(0), Warnings: want.AccessWarnings(p.egress)}
	obstacles, err := p.standing(ctx)
	if err == nil && len(obstacles) == 0 {
		var seen survey
		if seen, err = p.survey(ctx, want); err == nil {
			answer = seen.judge(want, have)
			answer.Warnings = append(answer.Warnings, want.AccessWarnings(p.egress)...)
			return answer, nil
		}
	}
	if fault.Is(err, fault.Denied) {
		obstacles, err = append(obstacles, region.NewObstacle(fault.Denied, "%s", fault.Message(err))), nil
	}
	answer.Obstacles = obstacles
	return answer, err
}

// standing says what keeps the worker's identity from anything at all: permissions, and services that are not enabled.
func (p *Provider) standing(ctx context.Context) ([]region.Obstacle, error) {
	var missing []string
	for some := range slices.Chunk(allPermissions(), permissionsAtOnce) {
		held, err := p.projects.Projects.TestIamPermissions(p.project, &cloudresourcemanager.TestIamPermissionsRequest{Permissions: some}).Context(ctx).Do()
		if err != nil {
			return nil, explain(err, "test the permissions in the project "+p.project)
		}
		missing = append(missing, slices.DeleteFunc(slices.Clone(some), func(permission string) bool { return slices.Contains(held.Permissions, permission) })...)
	}
	if len(missing) > 0 {
		return []region.Obstacle{region.NewObstacle(fault.Denied, "the worker's service account lacks in the GCP project %s: %s; grant it the role of deploy/workers/gcp/policy.json", p.project, strings.Join(missing, ", "))}, nil
	}
	var names []string
	for _, s := range services {
		names = append(names, "projects/"+p.project+"/services/"+string(s))
	}
	list, err := p.services.Services.BatchGet("projects/" + p.project).Names(names...).Context(ctx).Do()
	if err != nil {
		return nil, explain(err, "list the services of the project "+p.project)
	}
	var disabled []string
	for _, s := range list.Services {
		if s.State != "ENABLED" {
			disabled = append(disabled, last(s.Name))
		}
	}
	if len(disabled) > 0 {
		return []region.Obstacle{region.NewObstacle(fault.Denied, "the GCP project %s has not enabled %s; run `gcloud services enable %s --project %s`",
			p.project, strings.Join(disabled, ", "), strings.Join(disabled, " "), p.project)}, nil
	}
	return nil, nil
}

// permissionsAtOnce is how many permissions one request tests.
const permissionsAtOnce = 100

// survey is what a project says of itself, of a place, and of what is on offer there.
type survey struct {
	project  *compute.Project
	region   *compute.Region // nil for a place that is none
	regions  []string        // all, where it is none
	versions versions
	machine  machine
	machines []string             // all of a zone, where the wanted one is not to be had
	mine     *containerpb.Cluster // the region's own, if there is one that stays
	nodes    nodes                // its nodes
	network  bool                 // the region's own is there
	want     region.Kubernetes    // with what was left out
}

func (p *Provider) survey(ctx context.Context, want region.Spec) (s survey, err error) {
	if s.project, err = p.compute.Projects.Get(p.project).Context(ctx).Do(); err != nil {
		return s, explain(err, "describe the project "+p.project)
	}
	there := false
	if s.region, there, err = found(p.compute.Regions.Get(p.project, want.Location).Context(ctx).Do()); err != nil {
		return s, explain(err, "describe the region "+want.Location)
	}
	if !there {
		s.regions, err = p.regions(ctx)
		s.want = want.Kubernetes.Or(region.Kubernetes{Nodes: defaultNodes})
		return s, err
	}
	if s.versions, err = p.versions(ctx, want.Location); err != nil {
		return s, err
	}
	if err = p.surveyOwn(ctx, want, &s); err != nil {
		return s, err
	}
	s.want = want.Kubernetes.Or(s.kubernetes()).Or(region.Kubernetes{Version: region.Minor(s.versions.usual), Nodes: defaultNodes})
	if s.machine, err = p.machine(ctx, want.Location, s.want.Nodes.Size); err != nil {
		return s, err
	}
	if len(s.machine.zones) == 0 && len(s.region.Zones) > 0 {
		s.machines, err = p.machines(ctx, last(s.region.Zones[0]))
	}
	return s, err
}

// surveyOwn looks at what the region has already: a lost answer does not make it need everything twice.
func (p *Provider) surveyOwn(ctx context.Context, want region.Spec, s *survey) error {
	c, err := p.findCluster(ctx, want.ClusterSpec(region.Net{}))
	switch {
	case fault.Is(err, fault.Exists) || err == nil && (c == nil || c.GetStatus() == containerpb.Cluster_STOPPING):
	case err != nil:
		return err
	default:
		s.mine = c
		if s.nodes, err = p.nodes(ctx, c); err != nil {
			return err
		}
	}
	network, there, err := found(p.compute.Networks.Get(p.project, networkName(want.Key().ResourceName())).Context(ctx).Do())
	if err != nil {
		return explain(err, "describe the region's network")
	}
	s.network = there && describes(network.Description, want.Key())
	return nil
}

func (p *Provider) regions(ctx context.Context) ([]string, error) {
	names, err := every(func(page string) ([]string, string, error) {
		list, err := p.compute.Regions.List(p.project).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		var some []string
		for _, r := range list.Items {
			some = append(some, r.Name)
		}
		return some, list.NextPageToken, nil
	})
	return names, explain(err, "list the regions")
}

// What a region has whose file leaves it out: as many nodes as etcd and NATS need to outlive one, each large enough for the parts
// and services beside what GKE itself takes, of the family that every region has.
var defaultNodes = region.Nodes{Count: 3, Size: "e2-standard-2"}

// kubernetes is what the region's cluster has of what a platform file says of one; nothing of none.
func (s survey) kubernetes() region.Kubernetes {
	if s.mine == nil {
		return region.Kubernetes{}
	}
	found := region.Kubernetes{Version: region.Minor(s.mine.GetCurrentMasterVersion()), Nodes: region.Nodes{Count: s.nodes.wanted}}
	for _, np := range s.mine.GetNodePools() {
		if strings.HasPrefix(np.GetName(), poolPrefix) {
			found.Nodes.Size = np.GetConfig().GetMachineType()
		}
	}
	return found
}

func (s survey) judge(want region.Spec, have *region.Spec) region.Preflight {
	want.Kubernetes = s.want
	answer := region.Preflight{Kubernetes: s.want, Monthly: cost(0)}
	if s.region == nil {
		answer.Obstacles = []region.Obstacle{region.NewObstacle(fault.Invalid, "GCP has no region %q%s; it has %s", want.Location, fault.DidYouMean(want.Location, s.regions), region.Some(s.regions))}
		return answer
	}
	if s.region.Status == "DOWN" {
		answer.Obstacles = append(answer.Obstacles, region.NewObstacle(fault.Invalid, "the GCP region %s is down", want.Location))
	}
	if v := s.want.Version; v != "" && (have == nil || have.Kubernetes.Version != v) && (s.mine == nil || region.Minor(s.mine.GetCurrentMasterVersion()) != v) {
		if _, err := s.versions.newest(v); err != nil {
			answer.Obstacles = append(answer.Obstacles, region.NewObstacle(fault.Invalid, "%s", fault.Message(err)))
		}
	}
	more := s.more(want, have)
	if more > 0 || have == nil || have.Location != want.Location || have.Kubernetes.Nodes.Size != s.want.Nodes.Size {
		answer.Obstacles = append(answer.Obstacles, s.size(want.Location)...)
	}
	answer.Obstacles = append(answer.Obstacles, s.room(want)...)
	draws := s.draws(want, have, more)
	answer.Draws = draws
	answer.Obstacles = append(answer.Obstacles, exceeded(draws, more)...)
	monthly, known := s.monthly(want)
	answer.Monthly = monthly
	if !known && len(s.machine.zones) > 0 {
		answer.Warnings = append(answer.Warnings, fmt.Sprintf("the price of machines of type %s is in no table of this version: the estimate leaves them out", s.machine.name))
	}
	return answer
}

// more is how many nodes are to be added: to what the region has by our books, or has already by an attempt whose answer was
// lost.
func (s survey) more(want region.Spec, have *region.Spec) int {
	had := 0
	if s.mine != nil {
		had = s.nodes.wanted
		if had == 0 { // in the making: its groups are not there yet
			for _, np := range s.mine.GetNodePools() {
				had += int(np.GetInitialNodeCount())
			}
		}
	}
	if have != nil {
		had = max(had, have.Kubernetes.Nodes.Count)
	}
	return want.Kubernetes.Nodes.Count - had
}

func (s survey) size(location string) []region.Obstacle {
	if len(s.machine.zones) > 0 {
		return nil
	}
	return []region.Obstacle{region.NewObstacle(fault.Invalid, "GCP has no machines of type %q in %s%s; it has %s", s.machine.name, location,
		fault.DidYouMean(s.machine.name, s.machines), region.Some(s.machines))}
}

// room checks what the region's range and access list can hold.
func (s survey) room(want region.Spec) []region.Obstacle {
	var found []region.Obstacle
	parts, err := divide(want.CIDR)
	switch {
	case err != nil:
		found = append(found, region.NewObstacle(fault.Invalid, "%s", fault.Message(err)))
	case want.Kubernetes.Nodes.Count > parts.mostNodes():
		found = append(found, region.NewObstacle(fault.Invalid, "cidr: %s has addresses for the pods of %d nodes, and %d are wanted: write a larger range", cmp.Or(want.CIDR, defaultCIDR), parts.mostNodes(), want.Kubernetes.Nodes.Count))
	}
	if n := len(want.Access); n > mostAccess {
		found = append(found, region.NewObstacle(fault.Invalid, "access_cidrs: GKE takes %d ranges with the region's and the workers' own, and there are %d", mostAccess, n))
	}
	return found
}

// mostAccess is how many ranges GKE lets into an API server.
const mostAccess = 100
