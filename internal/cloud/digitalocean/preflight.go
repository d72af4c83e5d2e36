package digitalocean

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// The list price in cents of a load balancer a month, which the API does not tell: as it was remembered in November 2026, not compared with
// digitalocean.com/pricing. What sizes cost the API tells. The control plane is free without high availability.
const loadBalancerMonthly = 12_00

// Preflight asks the account for its limit, and the catalogue for version, place, size and price. What the region leaves out is
// filled in by the cluster that it has, else by defaults. What is refused for want of permission is an obstacle like the others.
func (p *Provider) Preflight(ctx context.Context, want region.Spec, have *region.Spec) (region.Preflight, error) {
	seen, err := p.survey(ctx, want.ClusterSpec(region.Net{}))
	if err == nil && want.CIDR != "" {
		seen.vpcs, err = p.vpcs(ctx)
	}
	if fault.Is(err, fault.Denied) {
		return region.Preflight{Obstacles: []region.Obstacle{region.NewObstacle(fault.Denied, "%s", fault.Message(err))}, Monthly: cost(0)}, nil
	}
	if err != nil {
		return region.Preflight{}, err
	}
	want.Kubernetes = want.Kubernetes.Or(seen.mine.kubernetes()).Or(seen.defaults(want.Location))
	answer := seen.judge(want, have)
	answer.Warnings = append(answer.Warnings, want.AccessWarnings(p.egress)...)
	return answer, nil
}

// survey is what an account says of itself and of what is on offer.
type survey struct {
	account *godo.Account
	options *godo.KubernetesOptions
	sizes   []godo.Size
	used    int      // droplets there are, or are on their way
	mine    *cluster // the region's own, if there is one that stays
	vpcs    []*godo.VPC
}

func (p *Provider) survey(ctx context.Context, spec region.ClusterSpec) (survey, error) {
	var s survey
	var err error
	if s.account, _, err = p.api.Account.Get(ctx); err != nil {
		return s, explain(err, "describe the account")
	}
	if s.options, err = p.options(ctx); err != nil {
		return s, err
	}
	if s.sizes, err = every(ctx, p.api.Sizes.List); err != nil {
		return s, explain(err, "list the sizes of nodes")
	}
	s.used, s.mine, err = p.droplets(ctx, spec)
	return s, err
}

func (p *Provider) options(ctx context.Context) (*godo.KubernetesOptions, error) {
	options, _, err := p.api.Kubernetes.GetOptions(ctx)
	if err != nil {
		return nil, explain(err, "list the Kubernetes options")
	}
	return options, nil
}

// droplets counts what the account's limit counts, and finds the cluster that the region has of it. The nodes of a cluster in the
// making are droplets only a little later, and a token need not be allowed to list droplets: nothing else here does.
func (p *Provider) droplets(ctx context.Context, spec region.ClusterSpec) (used int, mine *cluster, err error) {
	clusters, err := p.clusters(ctx)
	if err != nil {
		return 0, nil, err
	}
	nodes := 0
	for i, c := range clusters {
		nodes += c.wanted()
		if c.Name == clusterName(spec) && slices.Contains(c.Tags, spec.Owner.Owner()) && !c.leaving() {
			mine = &clusters[i]
		}
	}
	_, response, err := p.api.Droplets.List(ctx, &godo.ListOptions{Page: 1, PerPage: 1})
	err = explain(err, "count the droplets")
	switch {
	case fault.Is(err, fault.Denied) || fault.Is(err, fault.NotFound):
		return nodes, mine, nil
	case err != nil:
		return 0, nil, err
	case response.Meta == nil:
		return nodes, mine, nil
	}
	return max(nodes, response.Meta.Total), mine, nil
}

// droplets is the pool that nodes are drawn from: DigitalOcean limits them by account, not by place or size.
const droplets = "droplets"

func (s survey) judge(want region.Spec, have *region.Spec) region.Preflight {
	var found []region.Obstacle
	if s.account.Status == "locked" {
		found = append(found, region.NewObstacle(fault.Denied, "the DigitalOcean account is locked: %s", s.account.StatusMessage))
	}
	if v := want.Kubernetes.Version; v != "" && (have == nil || have.Kubernetes.Version != v) {
		if _, err := newest(s.options.Versions, v); err != nil {
			found = append(found, region.NewObstacle(fault.Invalid, "%s", fault.Message(err)))
		}
	}
	found = append(found, s.overlaps(want)...)
	more := s.more(want, have)
	elsewhere := s.place(want)
	size, problems := s.size(want, len(elsewhere) == 0)
	if more > 0 || have == nil || have.Location != want.Location || have.Kubernetes.Nodes.Size != want.Kubernetes.Nodes.Size {
		found = append(found, elsewhere...)
		found = append(found, problems...)
	}
	if limit := s.account.DropletLimit; more > 0 && s.used+more > limit {
		found = append(found, region.NewObstacle(fault.Quota, "%d more nodes exceed the DigitalOcean account's droplet limit of %d: %d droplets are there already; ask DigitalOcean for more", more, limit, s.used))
	}
	return region.Preflight{Kubernetes: want.Kubernetes, Obstacles: found, Monthly: monthly(want, size),
		Draws: []region.Draw{{Pool: droplets, Adds: max(0, more), Left: max(0, s.account.DropletLimit-s.used), Limit: s.account.DropletLimit}}}
}

// more is how many nodes are to be added: to what the region has by our books, or has already by an attempt whose answer was
// lost.
func (s survey) more(want region.Spec, have *region.Spec) int {
	had := s.mine.wanted()
	if have != nil {
		had = max(had, have.Kubernetes.Nodes.Count)
	}
	return want.Kubernetes.Nodes.Count - had
}

// overlaps says which network of the account keeps the region from its range. Whose it is does not matter, if it is not the region's own.
func (s survey) overlaps(want region.Spec) []region.Obstacle {
	wanted, err := netip.ParsePrefix(want.CIDR)
	if err != nil { // DigitalOcean chooses
		return nil
	}
	for _, v := range s.vpcs {
		if has, err := netip.ParsePrefix(v.IPRange); err == nil && has.Overlaps(wanted) && !describes(v, want.Key()) {
			return []region.Obstacle{region.NewObstacle(fault.Invalid, "cidr %s of region %s overlaps %s of the VPC %s (%s), which the DigitalOcean account has already: choose another", want.CIDR, want.Key(), v.IPRange, v.Name, v.ID)}
		}
	}
	return nil
}

func (s survey) place(want region.Spec) []region.Obstacle {
	var slugs []string
	for _, r := range s.options.Regions {
		slugs = append(slugs, r.Slug)
	}
	if slices.Contains(slugs, want.Location) {
		return nil
	}
	return []region.Obstacle{region.NewObstacle(fault.Invalid, "DigitalOcean has no Kubernetes in %q%s; it has it in %s", want.Location, fault.DidYouMean(want.Location, slugs), strings.Join(slugs, ", "))}
}

// size returns the node size that is wanted, nil when there is none such. Where it is to be had matters in a known place alone.
func (s survey) size(want region.Spec, known bool) (*godo.Size, []region.Obstacle) {
	slug := want.Kubernetes.Nodes.Size
	var slugs []string
	for _, o := range s.options.Sizes {
		slugs = append(slugs, o.Slug)
	}
	i := slices.IndexFunc(s.sizes, func(size godo.Size) bool { return size.Slug == slug })
	switch {
	case slug == "":
		return nil, []region.Obstacle{region.NewObstacle(fault.Invalid, "DigitalOcean has no nodes of %s or more in %s now: name a size in kubernetes.nodes.size", leastNode, want.Location)}
	case i < 0 || !slices.Contains(slugs, slug):
		return nil, []region.Obstacle{region.NewObstacle(fault.Invalid, "DigitalOcean has no nodes of size %q%s; it has %s", slug, fault.DidYouMean(slug, slugs), region.Some(slugs))}
	case known && (!s.sizes[i].Available || !slices.Contains(s.sizes[i].Regions, want.Location)):
		return &s.sizes[i], []region.Obstacle{region.NewObstacle(fault.Invalid, "DigitalOcean has no nodes of size %q in %s now; it has them in %s", slug, want.Location, strings.Join(s.sizes[i].Regions, ", "))}
	}
	return &s.sizes[i], nil
}

// monthly is the list price of the nodes, and of the load balancer before the entrypoints if there are any.
func monthly(want region.Spec, size *godo.Size) region.Cost {
	cents := int64(0)
	if size != nil {
		cents = int64(math.Round(size.PriceMonthly*100)) * int64(want.Kubernetes.Nodes.Count)
	}
	if len(want.Network) > 0 {
		cents += loadBalancerMonthly
	}
	return cost(cents)
}

func cost(cents int64) region.Cost {
	return region.Cost{Amount: fmt.Sprintf("%d.%02d", cents/100, cents%100), Currency: "USD"}
}
