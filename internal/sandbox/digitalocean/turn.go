package digitalocean

import (
	"context"
	"fmt"
	"strings"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

// keeper is the cloud as its fleet sees it.
type keeper struct{ *Cloud }

// Clusters implements fleet.Keeper.
func (k keeper) Clusters(ctx context.Context) (ids []string, unsettled bool, err error) {
	var all []cluster
	var nodes []node
	err = k.World.View(ctx, func(tx *world.Tx) error {
		all, err = world.List[cluster](tx, ref(kindCluster, ""))
		if err == nil {
			nodes, err = world.List[node](tx, ref(kindNode, ""))
		}
		return err
	})
	hopeless := map[string]bool{}
	for _, one := range all {
		ids = append(ids, one.ID)
		hopeless[one.ID] = one.State == failed
		unsettled = unsettled || one.State != running && one.State != failed
	}
	for _, n := range nodes {
		unsettled = unsettled || n.State != running && !hopeless[n.Cluster]
	}
	return ids, unsettled, err
}

// Turn implements fleet.Keeper.
func (k keeper) Turn(ctx context.Context, id string) error { return k.turn(ctx, id) }

// turn has one look at one cluster: the real one is made as wanted, and the stored one moves on.
func (c *Cloud) turn(ctx context.Context, id string) error {
	var f *family
	err := c.World.View(ctx, func(tx *world.Tx) (err error) {
		f, err = loadFamily(tx, id)
		return err
	})
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if f.cluster.State == deleting {
		return c.finishDeletion(ctx, f.cluster)
	}
	status, err := c.run(ctx, f)
	if err != nil {
		return err
	}
	return c.World.View(ctx, func(tx *world.Tx) error {
		// Loaded again: a request may have changed it while we looked at the real one.
		f, err := loadFamily(tx, id)
		if isNotFound(err) || err == nil && f.cluster.State == deleting {
			return nil
		}
		if err != nil {
			return err
		}
		return f.advance(tx, c.World.Clock.Now(), status)
	})
}

// run makes the real cluster as wanted, if there is to be one, and says how it is.
func (c *Cloud) run(ctx context.Context, f *family) (clusters.Status, error) {
	one := f.cluster
	if one.State == failed || one.State == provisioning && one.Transition.Spoiled() {
		return clusters.Status{}, nil
	}
	if err := c.Runner.Apply(ctx, f.wanted()); err != nil {
		return clusters.Status{}, fmt.Errorf("run the cluster %s: %w", one.Name, err)
	}
	status, err := c.Runner.Status(ctx, one.ID)
	if err != nil {
		return status, fmt.Errorf("look at the cluster %s: %w", one.Name, err)
	}
	if status.Ready {
		c.fleet.Look(ctx, one.ID)
	}
	return status, nil
}

// finishDeletion ends the real cluster, and the stored one when it is time.
func (c *Cloud) finishDeletion(ctx context.Context, one cluster) error {
	if err := c.Runner.Remove(ctx, one.ID); err != nil {
		return fmt.Errorf("end the cluster %s: %w", one.Name, err)
	}
	if !one.Transition.IsDue(c.World.Clock.Now()) {
		return nil
	}
	return c.World.Update(ctx, func(tx *world.Tx) error {
		f, err := loadFamily(tx, one.ID)
		if err != nil {
			return err
		}
		return f.end(tx, c.World.Clock.Now())
	})
}

// wanted is what the real cluster should be.
func (f *family) wanted() clusters.Wanted {
	version := f.cluster.Version
	if f.cluster.Target != "" && !f.cluster.Transition.Spoiled() {
		version = f.cluster.Target
	}
	w := clusters.Wanted{ID: f.cluster.ID, Name: f.cluster.Name, Version: minorOf(version), Place: f.cluster.Place, Tags: f.cluster.Tags}
	for _, p := range f.pools {
		of, _ := findSize(p.Size)
		for _, n := range f.nodesOf(p.ID) {
			if n.leaving() || n.Transition.Spoiled() {
				continue
			}
			w.Nodes = append(w.Nodes, clusters.Node{Name: n.Name, Pool: p.Name, CPU: of.CPUs, MemoryMiB: of.MemoryMiB,
				Labels: f.labels(p, n, version)})
		}
	}
	return w
}

// labels are those that DOKS gives its nodes, and the pool's.
func (f *family) labels(p pool, n node, version string) map[string]string {
	labels := map[string]string{
		"doks.digitalocean.com/node-id":      n.ID,
		"doks.digitalocean.com/node-pool":    p.Name,
		"doks.digitalocean.com/node-pool-id": p.ID,
		"doks.digitalocean.com/version":      strings.ReplaceAll(version, "+", "-"),
		"node.kubernetes.io/instance-type":   p.Size,
		"topology.kubernetes.io/region":      f.cluster.Region,
	}
	for key, value := range p.Labels {
		labels[key] = value
	}
	return labels
}
