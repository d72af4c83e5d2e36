package azure

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// What a region has whose file leaves it out: as many nodes as etcd and NATS need to outlive one, of the first size that is offered.
const defaultNodes = 3

var defaultSizes = []string{"Standard_D2s_v5", "Standard_D2as_v5", "Standard_D2s_v6", "Standard_D2s_v4", "Standard_D2s_v3", "Standard_B2ms"}

// Preflight asks the subscription whether it may do what a region needs, what its location offers, and what is left of its limits.
// What is refused for want of a permission is an obstacle like the others.
func (p *Provider) Preflight(ctx context.Context, want region.Spec, have *region.Spec) (region.Preflight, error) {
	s, err := p.survey(ctx, want)
	if fault.Is(err, fault.Denied) {
		return region.Preflight{Kubernetes: want.Kubernetes, Monthly: cost(0), Obstacles: []region.Obstacle{region.NewObstacle(fault.Denied, "%s", fault.Message(err))}}, nil
	}
	if err != nil {
		return region.Preflight{}, err
	}
	want.Kubernetes = want.Kubernetes.Or(kubernetes(s.mine)).Or(s.defaults())
	return s.judge(want, have), nil
}

// survey is what a subscription says of itself, and what a location offers.
type survey struct {
	egress       []string // the workers' ranges
	missing      []string
	unregistered []string
	places       []string
	known        bool // the location is one of them; nothing of it was asked otherwise
	versions     offer
	sizes        []size
	cores        map[string]usage
	networks     map[string]usage
	mine         *cluster // the region's own, if there is one that stays
}

func (p *Provider) survey(ctx context.Context, want region.Spec) (s survey, err error) {
	s.egress = p.egress
	roles, err := p.permissions(ctx)
	if err != nil {
		return s, err
	}
	for _, action := range Permissions() {
		if !allows(roles, action) {
			s.missing = append(s.missing, action)
		}
	}
	if len(s.missing) > 0 { // what follows would only be refused
		return s, fault.New(fault.Denied,
			"the worker's identity lacks %s in the subscription %s: give it the role in deploy/workers/azure; a role that was just given takes some minutes",
			strings.Join(s.missing, ", "), p.subscription)
	}
	if s.unregistered, err = p.unregistered(ctx); err != nil {
		return s, err
	}
	all, err := p.locations(ctx)
	if err != nil {
		return s, err
	}
	for _, l := range all {
		s.places = append(s.places, l.Name)
	}
	if s.known = slices.Contains(s.places, want.Location); !s.known {
		return s, nil
	}
	if err := p.surveyPlace(ctx, want.Location, &s); err != nil {
		return s, err
	}
	s.mine, err = p.cluster(ctx, want.Key(), p.names(want.ClusterSpec(region.Net{}).Name))
	if fault.Is(err, fault.Exists) {
		s.mine, err = nil, nil // EnsureCluster says so, and by then it may be gone
	}
	if s.mine != nil && of(s.mine.Properties.ProvisioningState) == leaving {
		s.mine = nil
	}
	return s, err
}

func (p *Provider) surveyPlace(ctx context.Context, at string, s *survey) (err error) {
	if s.versions, err = p.offered(ctx, at); err != nil {
		return err
	}
	if s.sizes, err = p.sizes(ctx, at); err != nil {
		return err
	}
	if s.cores, err = p.cores(ctx, at); err != nil {
		return err
	}
	s.networks, err = p.networkLimits(ctx, at)
	return err
}

// defaults are for what neither the file nor a cluster says.
func (s survey) defaults() region.Kubernetes {
	chosen := region.Kubernetes{Version: s.versions.byDefault(), Nodes: region.Nodes{Count: defaultNodes}}
	for _, name := range defaultSizes {
		if i := s.sizeOf(name); i >= 0 && s.sizes[i].refused() == "" {
			chosen.Nodes.Size = name
			break
		}
	}
	return chosen
}

func (s survey) sizeOf(name string) int {
	return slices.IndexFunc(s.sizes, func(o size) bool { return strings.EqualFold(o.Name, name) })
}

func (s survey) judge(want region.Spec, have *region.Spec) region.Preflight {
	answer := region.Preflight{Kubernetes: want.Kubernetes}
	for _, namespace := range s.unregistered {
		answer.Obstacles = append(answer.Obstacles, region.NewObstacle("unsupported", "the subscription does not use %s yet: az provider register --namespace %s", namespace, namespace))
	}
	answer.Warnings = append(answer.Warnings, want.AccessWarnings(s.egress)...)
	var chosen *size
	if s.known {
		chosen = s.judgePlace(want, have, &answer)
	} else {
		answer.Obstacles = append(answer.Obstacles, region.NewObstacle(fault.Invalid, "Azure has no location %q for this subscription%s; it has %s",
			want.Location, fault.DidYouMean(want.Location, s.places), region.Some(s.places)))
	}
	price, guesses := monthly(want, chosen)
	if answer.Monthly = price; s.known {
		answer.Warnings = append(answer.Warnings, guesses...)
	}
	return answer
}

// judgePlace looks at what the location offers, and returns the size that was asked for, nil if there is none.
func (s survey) judgePlace(want region.Spec, have *region.Spec, answer *region.Preflight) (chosen *size) {
	k := want.Kubernetes
	if k.Version != "" && (have == nil || have.Kubernetes.Version != k.Version) {
		if _, err := s.versions.newest(k.Version, want.Location); err != nil {
			answer.Obstacles = append(answer.Obstacles, region.NewObstacle(fault.Invalid, "%s", fault.Message(err)))
		}
	}
	i := s.sizeOf(k.Nodes.Size)
	if i >= 0 {
		chosen = &s.sizes[i]
	}
	more := s.more(want, have)
	if more > 0 || have == nil || have.Kubernetes.Nodes.Size != k.Nodes.Size {
		answer.Obstacles = append(answer.Obstacles, s.judgeSize(k.Nodes.Size, want.Location, chosen)...)
	}
	answer.Draws = s.draws(want, have, chosen, more)
	var short []string
	for _, d := range answer.Draws {
		if d.Adds > d.Left {
			short = append(short, fmt.Sprintf("%d more %s are needed and the limit leaves %d", d.Adds, d.Pool, d.Left))
		}
	}
	if len(short) > 0 {
		answer.Obstacles = append(answer.Obstacles, region.NewObstacle(fault.Quota, "%s: ask for a higher limit in the portal's Quotas page, or by `az quota update`", strings.Join(short, "; ")))
	}
	return chosen
}

// judgeSize: a node pool of the system mode needs two vCPUs and 4 GiB at least.
func (s survey) judgeSize(name, at string, chosen *size) []region.Obstacle {
	var offered []string
	for _, o := range s.sizes {
		if o.refused() == "" {
			offered = append(offered, o.Name)
		}
	}
	switch {
	case name == "":
		return []region.Obstacle{region.NewObstacle(fault.Invalid, "none of the usual sizes can be had in %s: name a size in kubernetes.nodes.size", at)}
	case chosen == nil:
		return []region.Obstacle{region.NewObstacle(fault.Invalid, "Azure has no machines of size %q in %s%s; it has %s", name, at, fault.DidYouMean(name, offered), region.Some(offered))}
	case chosen.refused() != "":
		return []region.Obstacle{region.NewObstacle(fault.Invalid, "this subscription cannot have machines of size %q in %s (%s): choose another size, or ask Azure for access to it", name, at, chosen.refused())}
	case chosen.cpus() < 2 || chosen.capability("MemoryGB") < 4:
		return []region.Obstacle{region.NewObstacle(fault.Invalid, "machines of size %q are too small for AKS: it needs 2 vCPUs and 4 GiB at least", name)}
	}
	return nil
}

// more is how many nodes are to be added: to what the region has by our books, or has already by an attempt whose answer was
// lost.
func (s survey) more(want region.Spec, have *region.Spec) int {
	had := kubernetes(s.mine).Nodes.Count
	if have != nil {
		had = max(had, have.Kubernetes.Nodes.Count)
	}
	return max(0, want.Kubernetes.Nodes.Count-had)
}

// draws are what the region takes out of the limits of its location: machines by their family and in total, and addresses for the way
// out and the load balancer. A limit that Azure does not list is none.
func (s survey) draws(want region.Spec, have *region.Spec, chosen *size, more int) []region.Draw {
	var all []region.Draw
	add := func(found map[string]usage, key, pool string, adds int) {
		if u, listed := found[strings.ToLower(key)]; listed {
			all = append(all, region.Draw{Pool: pool, Adds: adds, Left: u.left(), Limit: u.limit})
		}
	}
	if chosen != nil {
		add(s.cores, chosen.Family, fmt.Sprintf("vCPUs of the family %s in %s", chosen.Family, want.Location), more*chosen.cpus())
		add(s.cores, "cores", "vCPUs in total in "+want.Location, more*chosen.cpus())
	}
	addresses := 0
	if s.mine == nil && have == nil {
		addresses = s.addresses(want)
	}
	add(s.networks, "PublicIPAddresses", "public IP addresses in "+want.Location, addresses)
	return all
}

func (s survey) addresses(want region.Spec) int {
	if len(want.Network) > 0 {
		return 2
	}
	return 1
}
