package digitalocean

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/region"
)

// node is what a node has.
type node struct{ cpus, memory int } // memory in MiB

func (n node) String() string { return fmt.Sprintf("%d vCPUs and %d GiB", n.cpus, n.memory/1024) }

// What a region has whose file leaves it out: as many nodes as etcd and NATS need to outlive one, each large enough for the parts
// and services beside what DOKS itself takes.
var leastNode = node{cpus: 2, memory: 4096}

const defaultNodes = 3

// defaults are the newest version on offer, and the cheapest size that is large enough and to be had in the place now.
func (s survey) defaults(location string) region.Kubernetes {
	return region.Kubernetes{Version: latest(s.options.Versions), Nodes: region.Nodes{Count: defaultNodes, Size: s.cheapest(location, leastNode)}}
}

// cheapest is "" when the place has no size that large. In a place that is not known, every size is to be had.
func (s survey) cheapest(location string, least node) string {
	anywhere := !slices.ContainsFunc(s.options.Regions, func(r *godo.KubernetesRegion) bool { return r.Slug == location })
	fits := slices.DeleteFunc(slices.Clone(s.sizes), func(size godo.Size) bool {
		offered := slices.ContainsFunc(s.options.Sizes, func(o *godo.KubernetesNodeSize) bool { return o.Slug == size.Slug })
		return !offered || !size.Available || size.Vcpus < least.cpus || size.Memory < least.memory || !anywhere && !slices.Contains(size.Regions, location)
	})
	if len(fits) == 0 {
		return ""
	}
	return slices.MinFunc(fits, func(a, b godo.Size) int {
		return cmp.Or(cmp.Compare(a.PriceMonthly, b.PriceMonthly), cmp.Compare(a.Slug, b.Slug))
	}).Slug
}

// kubernetes is what a cluster has of what a platform file says of one; nothing of none.
func (c *cluster) kubernetes() region.Kubernetes {
	if c == nil {
		return region.Kubernetes{}
	}
	found := region.Kubernetes{Version: region.Minor(c.Version)}
	if pool := c.pool(poolName(region.ClusterSpec{Name: c.Name})); pool != nil {
		found.Nodes = region.Nodes{Count: pool.Count, Size: pool.Size}
	}
	return found
}
