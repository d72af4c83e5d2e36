package gcp

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/api/compute/v1"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// families have quotas of their own; every other family is counted as CPUS.
var families = []string{"n2", "n2d", "c2", "c2d", "c3", "c3d", "t2d", "t2a", "n4", "n4a", "n4d", "c4", "c4a", "c4d", "m1", "m2", "m3", "a2", "g2", "h3"}

// cpuMetric is the quota that a machine type's CPUs count against.
func cpuMetric(machine string) string {
	family, _, _ := strings.Cut(machine, "-")
	if slices.Contains(families, family) {
		return strings.ToUpper(family) + "_CPUS"
	}
	return "CPUS"
}

// draws are what the region takes out of the project's quotas. One that the project does not tell is no limit.
func (s survey) draws(want region.Spec, have *region.Spec, more int) []region.Draw {
	var draws []region.Draw
	draw := func(quotas []*compute.Quota, metric, where string, adds int) {
		for _, q := range quotas {
			if q.Metric == metric {
				draws = append(draws, region.Draw{Pool: metric + where, Adds: adds, Left: max(0, int(q.Limit-q.Usage)), Limit: int(q.Limit)})
			}
		}
	}
	here := " in " + want.Location
	more = max(0, more)
	draw(s.region.Quotas, cpuMetric(s.want.Nodes.Size), here, more*s.machine.cpus)
	draw(s.project.Quotas, "CPUS_ALL_REGIONS", "", more*s.machine.cpus)
	draw(s.region.Quotas, "INSTANCES", here, more)
	draw(s.region.Quotas, diskOf(s.want.Nodes.Size).metric, here, more*diskSize)
	balancers, networks := 0, 0
	if have == nil && s.mine == nil && len(want.Network) > 0 {
		balancers = 1
	}
	if have == nil && !s.network {
		networks = 1
	}
	draw(s.region.Quotas, "IN_USE_ADDRESSES", here, balancers)
	draw(s.region.Quotas, "STATIC_ADDRESSES", here, networks)
	draw(s.project.Quotas, "NETWORKS", "", networks)
	draw(s.project.Quotas, "SUBNETWORKS", "", networks)
	draw(s.project.Quotas, "ROUTERS", "", networks)
	return draws
}

// exceeded is one obstacle about all quotas that are too small.
func exceeded(draws []region.Draw, more int) []region.Obstacle {
	var short []string
	for _, d := range draws {
		if d.Adds > d.Left {
			short = append(short, fmt.Sprintf("%d %s where the limit leaves %d", d.Adds, d.Pool, d.Left))
		}
	}
	if len(short) == 0 {
		return nil
	}
	what := "the region needs"
	if more > 0 {
		what = fmt.Sprintf("the region with %d more nodes needs", more)
	}
	return []region.Obstacle{region.NewObstacle(fault.Quota, "%s %s%s", what, strings.Join(short, ", and "), moreQuota)}
}
