package azure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

// keeper is the cloud as its fleet sees it. Clusters go by their GUIDs, as ids are used again.
type keeper struct{ *Cloud }

// Clusters lists the clusters, and ends what is due of everything else.
func (k keeper) Clusters(ctx context.Context) (guids []string, unsettled bool, err error) {
	err = k.World.View(ctx, func(tx *world.Tx) error {
		if err := k.settle(tx); err != nil {
			return err
		}
		pending, err := world.List[operation](tx, ref(kindOperation, ""))
		if err != nil {
			return err
		}
		for _, o := range pending {
			unsettled = unsettled || !o.Work.Stuck
		}
		all, err := list(tx, typeCluster)
		for _, one := range all {
			guids = append(guids, one.GUID)
		}
		return err
	})
	return guids, unsettled, err
}

// Belongings takes over what was found in a cluster.
func (k keeper) Belongings(ctx context.Context, id string, found clusters.Inventory) error {
	return k.belongings(ctx, id, found)
}

func clusterByGUID(tx *world.Tx, guid string) (*resource, error) {
	all, err := mentioning(tx, typeCluster, guid)
	for _, one := range all {
		if one.GUID == guid {
			return one, nil
		}
	}
	return nil, err
}

// family is a cluster with its pools and their nodes.
type family struct {
	cluster *resource
	pools   []*resource
	nodes   map[string][]*resource // by the pool's key
}

// loadFamily reads a family, nil if the cluster has gone.
func loadFamily(tx *world.Tx, guid string) (*family, error) {
	cluster, err := clusterByGUID(tx, guid)
	if err != nil || cluster == nil {
		return nil, err
	}
	f := &family{cluster: cluster, nodes: map[string][]*resource{}}
	if f.pools, err = children(tx, typePool, cluster.key()); err != nil {
		return nil, err
	}
	for _, pool := range f.pools {
		if f.nodes[pool.key()], err = nodesOf(tx, cluster, pool); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Turn has one look at one cluster: the real one is made as wanted, and the stored one moves on.
func (k keeper) Turn(ctx context.Context, guid string) error {
	var f *family
	err := k.World.View(ctx, func(tx *world.Tx) (err error) {
		f, err = loadFamily(tx, guid)
		return err
	})
	if err != nil || f == nil {
		return err
	}
	if f.cluster.State == deleting {
		return k.finishDeletion(ctx, f.cluster)
	}
	status, err := k.run(ctx, f)
	if err != nil {
		return err
	}
	return k.World.View(ctx, func(tx *world.Tx) error {
		// Loaded again: a request may have changed it while we looked at the real one.
		f, err := loadFamily(tx, guid)
		if err != nil || f == nil || f.cluster.State == deleting {
			return err
		}
		return f.advance(k.Cloud, tx, k.World.Clock.Now(), status)
	})
}

// run makes the real cluster as wanted, if there is to be one, and says how it is.
func (k keeper) run(ctx context.Context, f *family) (clusters.Status, error) {
	one := f.cluster
	if one.State == failed && one.Cluster.Message != "" || one.State == creating && one.Work.Spoiled() {
		return clusters.Status{}, nil
	}
	if err := k.Runner.Apply(ctx, f.wanted(k.Webhook)); err != nil {
		return clusters.Status{}, fmt.Errorf("run the cluster %s: %w", one.Name, err)
	}
	status, err := k.Runner.Status(ctx, one.GUID)
	if err != nil {
		return status, fmt.Errorf("look at the cluster %s: %w", one.Name, err)
	}
	if status.Ready {
		k.fleet.Look(ctx, one.GUID)
	}
	return status, nil
}

// wanted is what the real cluster should be.
func (f *family) wanted(webhook func(string) string) clusters.Wanted {
	one := f.cluster
	version := one.Cluster.Version
	if one.Cluster.Target != "" && !one.Work.Spoiled() {
		version = one.Cluster.Target
	}
	w := clusters.Wanted{ID: one.GUID, Name: one.Name, Version: minorOf(version), Place: one.Cluster.Place, Tags: one.ownerTags()}
	if webhook != nil {
		w.Authenticator = webhook(one.GUID)
	}
	for _, pool := range f.pools {
		of, _ := findSize(text(pool.properties(), "vmSize"))
		for _, n := range f.nodes[pool.key()] {
			if n.State == deleting || n.Work.Spoiled() {
				continue
			}
			w.Nodes = append(w.Nodes, clusters.Node{Name: n.Node.Name, Pool: pool.Name, CPU: of.cpus, MemoryMiB: int(of.memoryGB * 1024), Labels: f.labels(pool, n)})
		}
	}
	return w
}

// ownerTags are a cluster's tags, and the owner in one word, by which the runner knows it.
func (r *resource) ownerTags() []string {
	tags := stringsOf(r.Body["tags"])
	all := r.tags()
	if tags["managed-by"] == "m3o" {
		all = append(all, "m3o:"+tags["m3o-platform"]+":"+tags["m3o-region"])
	}
	return all
}

// labels are those that AKS gives its nodes, and the pool's.
func (f *family) labels(pool, n *resource) map[string]string {
	p := pool.properties()
	zone := f.cluster.Location + "-"
	if zones := textsOf(n.Body, "zones"); len(zones) > 0 {
		zone += zones[0]
	} else {
		zone = "0"
	}
	size := text(p, "vmSize")
	labels := map[string]string{
		"agentpool": pool.Name, "kubernetes.azure.com/agentpool": pool.Name, "kubernetes.azure.com/cluster": lastOf(f.cluster.Cluster.NodeGroup),
		"kubernetes.azure.com/mode": strings.ToLower(text(p, "mode")), "kubernetes.azure.com/os-sku": text(p, "osSKU"), "kubernetes.azure.com/role": "agent",
		"node.kubernetes.io/instance-type": size, "topology.kubernetes.io/region": f.cluster.Location, "topology.kubernetes.io/zone": zone,
	}
	maps.Copy(labels, stringsOf(p["nodeLabels"]))
	return labels
}

// finishDeletion ends the real cluster, and the stored one with its node resource group when it is time.
func (k keeper) finishDeletion(ctx context.Context, one *resource) error {
	if err := k.Runner.Remove(ctx, one.GUID); err != nil {
		return fmt.Errorf("end the cluster %s: %w", one.Name, err)
	}
	if !one.due(k.World.Clock.Now()) {
		return nil
	}
	return k.World.Update(ctx, func(tx *world.Tx) error {
		now := k.World.Clock.Now()
		current, err := clusterByGUID(tx, one.GUID)
		if err != nil || current == nil {
			return err
		}
		why := because(current.Work, now)
		group, err := find(tx, typeGroup, current.Cluster.NodeGroup)
		if err != nil {
			return err
		}
		if group != nil {
			if err := removeGroup(tx, group, why); err != nil {
				return err
			}
		}
		return errors.Join(remove(tx, current, why), endOperation(tx, current.Operation, now, succeeded, "", ""))
	})
}

// endOperation ends the operation of that id, if it is still in progress.
func endOperation(tx *world.Tx, id string, now time.Time, status, code, message string) error {
	if id == "" {
		return nil
	}
	o, err := world.Get[operation](tx, ref(kindOperation, id))
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return o.end(tx, now, status, code, message)
}

// advance moves a cluster, its pools and nodes on, as far as the time and the real cluster allow. It is a function of what is stored,
// the time and the status alone, so a sandbox that was killed goes on where it was.
func (f *family) advance(c *Cloud, tx *world.Tx, now time.Time, status clusters.Status) error {
	for _, pool := range f.pools {
		if err := f.advanceNodes(tx, pool, now, status); err != nil {
			return err
		}
	}
	if err := f.advancePools(tx, now); err != nil {
		return err
	}
	one := f.cluster
	switch {
	case one.State == creating:
		return f.finishCreation(c, tx, now, status)
	case one.State == updating && one.Operation != "":
		return f.finishChange(tx, now, status)
	case one.State == updating && !f.poolsWork():
		one.State = succeeded
		one.touch(now)
		return errors.Join(put(tx, one), tx.Record(one.effect(world.Updated, world.Effect{})))
	}
	return nil
}

func (f *family) poolsWork() bool {
	for _, pool := range f.pools {
		if pool.working() {
			return true
		}
	}
	return false
}

// advanceNodes makes a pool's new nodes run and lets leaving ones go.
func (f *family) advanceNodes(tx *world.Tx, pool *resource, now time.Time, status clusters.Status) error {
	var staying []*resource
	for _, n := range f.nodes[pool.key()] {
		switch {
		case n.State == deleting && n.due(now) && !status.Nodes[n.Node.Name]:
			if err := remove(tx, n, because(n.Work, now)); err != nil {
				return err
			}
			continue
		case n.State == creating && n.due(now) && n.Work.Fail == "" && status.Nodes[n.Node.Name]:
			n.State = succeeded
			n.touch(now)
			if err := errors.Join(put(tx, n), tx.Record(n.effect(world.Updated, because(n.Work, now)))); err != nil {
				return err
			}
		}
		staying = append(staying, n)
	}
	f.nodes[pool.key()] = staying
	return nil
}

// settled says that a pool has exactly the nodes that it is to have, and that they run.
func (f *family) settled(pool *resource) bool {
	count, _ := number(pool.properties(), "count")
	nodes := f.nodes[pool.key()]
	for _, n := range nodes {
		if n.State != succeeded {
			return false
		}
	}
	return len(nodes) == count
}

// advancePools ends the operations of pools.
func (f *family) advancePools(tx *world.Tx, now time.Time) error {
	var problems []error
	var staying []*resource
	for _, pool := range f.pools {
		ends := pool.Operation != "" && pool.working() && pool.due(now)
		switch {
		case ends && pool.Work.Fail != "":
			problems = append(problems, f.settle(tx, pool, now, failed))
		case ends && pool.State == deleting && len(f.nodes[pool.key()]) == 0:
			problems = append(problems, f.dropPool(tx, pool, now))
			continue
		case ends && pool.State != deleting && f.settled(pool):
			if pool.State == upgrading {
				pool.properties()["currentOrchestratorVersion"] = pool.properties()["orchestratorVersion"]
			}
			problems = append(problems, f.settle(tx, pool, now, succeeded))
		}
		staying = append(staying, pool)
	}
	f.pools = staying
	return errors.Join(problems...)
}

// settle brings a cluster or a pool to the state in which its operation ended.
func (f *family) settle(tx *world.Tx, one *resource, now time.Time, state string) error {
	id, code, message := one.Operation, "", ""
	one.State, one.Operation = state, ""
	one.touch(now)
	why := because(one.Work, now)
	if state == failed {
		why.ReadyAt = nil
		code, message = cmp.Or(failureCode(one), "InternalOperationError"), failureMessage(one)
	}
	return errors.Join(put(tx, one), tx.Record(one.effect(world.Updated, why)), endOperation(tx, id, now, state, code, message))
}

func failureMessage(one *resource) string {
	if one.Cluster != nil && one.Cluster.Message != "" {
		return one.Cluster.Message
	}
	return one.Work.Fail
}

// failureCode is the code of a failure that has one of its own.
func failureCode(one *resource) string {
	if one.Cluster == nil {
		return ""
	}
	return one.Cluster.Code
}

func (f *family) dropPool(tx *world.Tx, pool *resource, now time.Time) error {
	set, err := find(tx, typeScaleSet, scaleSetID(f.cluster, pool))
	if err != nil {
		return err
	}
	why := because(pool.Work, now)
	if set != nil {
		err = remove(tx, set, why)
	}
	return errors.Join(err, remove(tx, pool, why), endOperation(tx, pool.Operation, now, succeeded, "", ""))
}

// finishCreation ends the making of a cluster, with its pools.
func (f *family) finishCreation(c *Cloud, tx *world.Tx, now time.Time, status clusters.Status) error {
	one := f.cluster
	var names []string
	settled := true
	for _, pool := range f.pools {
		settled = settled && f.settled(pool)
		for _, n := range f.nodes[pool.key()] {
			names = append(names, n.Node.Name)
		}
	}
	state := ""
	switch {
	case one.Work.Stuck:
		return nil
	case status.Failed != "" && !one.Work.Spoiled():
		one.Cluster.Message, state = status.Failed, failed
	case !one.due(now):
		return nil
	case one.Work.Fail != "":
		one.Cluster.Message, state = one.Work.Fail, failed
	default:
		code, message, err := c.unreachableSubnet(tx, f, now)
		if err != nil {
			return err
		}
		if code != "" {
			one.Cluster.Code, one.Cluster.Message, state = code, message, failed
		} else if settled && status.AllReady(minorOf(one.Cluster.Version), names) {
			state = succeeded
		}
	}
	if state == "" {
		return nil
	}
	for _, pool := range f.pools {
		pool.State = state
		pool.touch(now)
		if err := errors.Join(put(tx, pool), tx.Record(pool.effect(world.Updated, because(pool.Work, now)))); err != nil {
			return err
		}
	}
	return f.settle(tx, one, now, state)
}

// finishChange ends an update or an upgrade of a cluster.
func (f *family) finishChange(tx *world.Tx, now time.Time, status clusters.Status) error {
	one := f.cluster
	c := one.Cluster
	switch {
	case !one.due(now) || f.poolsWork():
		return nil
	case one.Work.Fail != "":
		c.Target = ""
		return f.settle(tx, one, now, failed)
	case c.Target != "" && !status.AllReady(minorOf(c.Target), nil):
		return nil
	case c.Target != "":
		c.Version, c.Target = c.Target, ""
	}
	c.Code, c.Message = "", ""
	return f.settle(tx, one, now, succeeded)
}
