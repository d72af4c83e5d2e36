package aws

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/fleet"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Run moves resources through their states until ctx ends.
func (c *Cloud) Run(ctx context.Context) error {
	k := &keeper{Cloud: c}
	k.fleet = fleet.New(Name, c.World, c.Runner, k, c.Logger)
	return k.fleet.Run(ctx)
}

// keeper is what the cloud does for its clusters.
type keeper struct {
	*Cloud
	fleet *fleet.Fleet
}

// family is a cluster with all that it consists of.
type family struct {
	cluster    cluster
	nodegroups []nodegroup
	instances  []instance
	addons     []addon
}

func loadFamily(tx *world.Tx, key string) (*family, error) {
	c, err := world.Get[cluster](tx, ref(kindCluster, key))
	if err != nil {
		return nil, err
	}
	groups, err := within[nodegroup](tx, kindNodegroup, key, nil)
	if err != nil {
		return nil, err
	}
	instances, err := within(tx, kindInstance, c.Shown.VPC.ID, func(i instance) bool { return i.Cluster == key })
	if err != nil {
		return nil, err
	}
	addons, err := within[addon](tx, kindAddon, key, nil)
	return &family{c, groups, instances, addons}, err
}

// Clusters implements fleet.Keeper.
func (k *keeper) Clusters(ctx context.Context) (keys []string, unsettled bool, err error) {
	err = k.World.View(ctx, func(tx *world.Tx) error {
		if err := settle(tx, k.World.Clock.Now()); err != nil {
			return err
		}
		list, err := world.List[cluster](tx, ref(kindCluster, ""))
		if err != nil {
			return err
		}
		for _, c := range list {
			keys = append(keys, c.Key())
			unsettled = unsettled || c.Shown.Status != statusActive && c.Shown.Status != statusFailed
		}
		groups, err := world.List[nodegroup](tx, ref(kindNodegroup, ""))
		for _, n := range groups {
			unsettled = unsettled || n.Shown.Status != statusActive && n.Shown.Status != statusCreateFailed
		}
		addons, problem := world.List[addon](tx, ref(kindAddon, ""))
		for _, a := range addons {
			unsettled = unsettled || a.Shown.Status == statusCreating || a.Shown.Status == statusUpdating || a.Shown.Status == statusDeleting
		}
		return errors.Join(err, problem)
	})
	return keys, unsettled, err
}

// Turn implements fleet.Keeper.
func (k *keeper) Turn(ctx context.Context, key string) error {
	var f *family
	err := k.World.View(ctx, func(tx *world.Tx) (err error) {
		f, err = loadFamily(tx, key)
		return err
	})
	if err != nil {
		return ignoreMissing(err)
	}
	if f.cluster.Shown.Status == statusDeleting {
		return k.finishDeletion(ctx, f.cluster)
	}
	status, authority, err := k.run(ctx, f)
	if err != nil {
		return err
	}
	return k.World.View(ctx, func(tx *world.Tx) error {
		// Loaded again: a request may have changed it while we looked at the real one.
		f, err := loadFamily(tx, key)
		if err != nil || f.cluster.Shown.Status == statusDeleting {
			return ignoreMissing(err)
		}
		f.learn(status, authority)
		return f.advance(tx, k.Cloud, k.World.Clock.Now(), status)
	})
}

// run makes the real cluster as wanted, if there is to be one, and says how it is.
func (k *keeper) run(ctx context.Context, f *family) (clusters.Status, authority, error) {
	c := f.cluster
	if c.Shown.Status == statusFailed || c.Shown.Status == statusCreating && c.Transition.Spoiled() {
		return clusters.Status{}, authority{}, nil
	}
	if err := k.Runner.Apply(ctx, k.wanted(f)); err != nil {
		return clusters.Status{}, authority{}, fmt.Errorf("run the cluster %s: %w", c.Shown.Name, err)
	}
	status, err := k.Runner.Status(ctx, c.Real)
	if err != nil {
		return status, authority{}, fmt.Errorf("look at the cluster %s: %w", c.Shown.Name, err)
	}
	if !status.Ready {
		return status, authority{}, nil
	}
	k.fleet.Look(ctx, c.Key())
	if c.Shown.Authority.Data != "" {
		return status, c.Shown.Authority, nil
	}
	access, err := k.Runner.Access(ctx, c.Real)
	if errors.Is(err, clusters.ErrNotReady) {
		return status, authority{}, nil
	}
	return status, authorityOf(access), err
}

// wanted is what the real cluster should be.
func (k *keeper) wanted(f *family) clusters.Wanted {
	version := f.cluster.Shown.Version
	if f.cluster.Target != "" && !f.cluster.Transition.Spoiled() {
		version = f.cluster.Target
	}
	w := clusters.Wanted{ID: f.cluster.Real, Name: f.cluster.Shown.Name, Version: version, Place: f.cluster.Place, Tags: tagsOf(f.cluster.Shown.Tags).texts()}
	if k.Webhook != nil {
		w.Authenticator = k.Webhook(f.cluster.Real)
	}
	for _, n := range f.nodegroups {
		for _, i := range f.instances {
			if i.Nodegroup != n.Key() || !i.lives() || i.Transition.Spoiled() || n.Shown.Status == statusCreateFailed {
				continue
			}
			of, _ := findType(i.Type)
			w.Nodes = append(w.Nodes, clusters.Node{Name: i.Hostname, Pool: n.Shown.Name, CPU: of.cpus, MemoryMiB: of.memoryMiB, Labels: nodeLabels(n, i)})
		}
	}
	return w
}

// nodeLabels are those that EKS gives its nodes, and the node group's.
func nodeLabels(n nodegroup, i instance) map[string]string {
	labels := map[string]string{
		"eks.amazonaws.com/capacityType":    n.Shown.Capacity,
		"eks.amazonaws.com/nodegroup":       n.Shown.Name,
		"eks.amazonaws.com/nodegroup-image": i.Image,
		"node.kubernetes.io/instance-type":  i.Type,
		"topology.kubernetes.io/region":     i.Region,
		"topology.kubernetes.io/zone":       i.Placement.Zone,
	}
	for key, value := range n.Shown.Labels {
		labels[key] = value
	}
	return labels
}

// finishDeletion ends the real cluster, and the stored one when it is time.
func (k *keeper) finishDeletion(ctx context.Context, c cluster) error {
	if err := k.Runner.Remove(ctx, c.Real); err != nil {
		return fmt.Errorf("end the cluster %s: %w", c.Shown.Name, err)
	}
	if !c.Transition.IsDue(k.World.Clock.Now()) {
		return nil
	}
	return k.World.Update(ctx, func(tx *world.Tx) error {
		f, err := loadFamily(tx, c.Key())
		if err != nil {
			return ignoreMissing(err)
		}
		return f.end(tx, k.World.Clock.Now())
	})
}

// by is a line of the ledger about what a transition led to.
func by(t world.Transition, change, kind, id, name string, now time.Time) world.Effect {
	asked := t.RequestedAt
	return world.Effect{Provider: Name, Operation: t.Operation, Kind: change, Resource: kind, ID: id, Name: name, Key: t.Key, RequestedAt: &asked, ReadyAt: &now}
}

// end removes a cluster and all that goes with it. Load balancers and volumes that it made stay.
func (f *family) end(tx *world.Tx, now time.Time) error {
	c := f.cluster
	var problems []error
	for _, a := range f.addons {
		problems = append(problems, tx.Delete(ref(kindAddon, a.Key())), tx.Record(by(c.Transition, world.Deleted, kindAddon, a.Shown.ARN, a.title(), now)))
	}
	entries, err := within[entry](tx, kindEntry, c.Key(), nil)
	problems = append(problems, err)
	for _, e := range entries {
		problems = append(problems, tx.Delete(ref(kindEntry, e.Key())), tx.Record(by(c.Transition, world.Deleted, kindEntry, e.Shown.ARN, c.Shown.Name+"/"+e.Shown.Principal, now)))
	}
	associations, err := within[association](tx, kindAssociation, c.Key(), nil)
	problems = append(problems, err)
	for _, a := range associations {
		problems = append(problems, endAssociation(tx, c, a, by(c.Transition, world.Deleted, kindAssociation, a.ARN, "", now)))
	}
	updates, err := within[keptUpdate](tx, kindUpdate, c.Key(), nil)
	problems = append(problems, err)
	for _, u := range updates {
		problems = append(problems, tx.Delete(ref(kindUpdate, u.Update.ID)))
	}
	problems = append(problems, f.leave(tx, now))
	effect := by(c.Transition, world.Deleted, kindCluster, c.Shown.ARN, c.Shown.Name, now)
	effect.Tags, effect.Parent = tagsOf(c.Shown.Tags).texts(), c.Shown.VPC.ID
	return errors.Join(append(problems, tx.Delete(ref(kindCluster, c.Key())), tx.Record(effect))...)
}

// leave takes the control plane's network interfaces out of the subnets, with the cluster's security group unless something else has
// it, and lets go of the volumes.
func (f *family) leave(tx *world.Tx, now time.Time) error {
	c := f.cluster
	err := unhouse(tx, c.Key(), c.Shown.VPC.ID)
	g, problem := world.Get[group](tx, ref(kindGroup, c.Shown.VPC.ClusterGroup))
	if problem == nil {
		used, failed := groupInUse(tx, g)
		problem = failed
		if !used && failed == nil {
			problem = drop(tx, kindGroup, g, by(c.Transition, world.Deleted, kindGroup, g.ID, "", now))
		}
	}
	volumes, failed := within(tx, kindVolume, c.Region, func(v volume) bool { return v.Cluster == c.Key() })
	for _, v := range volumes {
		v.State, v.Attachments = "available", []mountPoint{}
		failed = errors.Join(failed, put(tx, kindVolume, v))
	}
	return errors.Join(err, ignoreMissing(problem), failed)
}
