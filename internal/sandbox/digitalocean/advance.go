package digitalocean

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

// advance moves a cluster and its nodes on, as far as the time and the real cluster allow. It is a function of what is
// stored, the time and the status alone, so a sandbox that was killed goes on where it was.
func (f *family) advance(tx *world.Tx, now time.Time, status clusters.Status) error {
	err := f.advanceNodes(tx, now, status)
	before := f.cluster
	effect := f.advanceCluster(now, status)
	if status.Endpoint != "" {
		f.cluster.Endpoint = status.Endpoint
	}
	if before.State == f.cluster.State && before.Message == f.cluster.Message && before.Endpoint == f.cluster.Endpoint {
		return err
	}
	f.cluster.UpdatedAt = now
	err = errors.Join(err, putCluster(tx, f.cluster))
	if before.State != f.cluster.State {
		err = errors.Join(err, tx.Record(effect))
	}
	return err
}

// advanceCluster changes the cluster's state if it is time, and returns the line that tells of it.
func (f *family) advanceCluster(now time.Time, status clusters.Status) world.Effect {
	c := &f.cluster
	before := c.State
	switch before {
	case provisioning:
		f.finishProvisioning(now, status)
	case upgrading:
		f.finishUpgrade(now, status)
	case running, degraded:
		c.State, c.Message = running, f.ailment(now, status)
		if c.Message != "" {
			c.State = degraded
		}
	}
	effect := world.Effect{Provider: Name, Operation: c.Transition.Operation, Kind: world.Updated, Resource: kindCluster, ID: c.ID,
		Name: c.Name, Tags: c.Tags, Key: c.Transition.Key, State: c.State, Parent: c.VPC}
	// Getting well again is no answer to a request.
	if c.State == running && before != degraded {
		asked := c.Transition.RequestedAt
		effect.RequestedAt, effect.ReadyAt = &asked, &now
	}
	return effect
}

func (f *family) finishProvisioning(now time.Time, status clusters.Status) {
	c := &f.cluster
	switch {
	case status.Failed != "" && !c.Transition.Spoiled():
		c.State, c.Message = failed, status.Failed
	case !c.Transition.IsDue(now):
	case c.Transition.Fail != "":
		c.State, c.Message = failed, c.Transition.Fail
	case f.complete(c.Version, status):
		c.State, c.Message = running, ""
	default:
		c.Message = status.Trouble
	}
}

func (f *family) finishUpgrade(now time.Time, status clusters.Status) {
	c := &f.cluster
	switch {
	case !c.Transition.IsDue(now):
	case c.Transition.Fail != "":
		c.State, c.Message, c.Target = failed, c.Transition.Fail, ""
	case f.complete(c.Target, status):
		c.State, c.Message, c.Version, c.Target = running, "", c.Target, ""
	default:
		c.Message = cmp.Or(f.ailment(now, status), "the control plane is still of version "+status.Version)
	}
}

// complete says that the real cluster has the version and all nodes that are to stay.
func (f *family) complete(slug string, status clusters.Status) bool {
	var names []string
	for _, n := range f.nodes {
		if !n.leaving() && !(n.State == provisioning && n.Transition.Operation != f.cluster.Transition.Operation) {
			names = append(names, n.Name)
		}
	}
	return status.AllReady(minorOf(slug), names)
}

// ailment says what is wrong with a cluster that should be running, "" if nothing is.
func (f *family) ailment(now time.Time, status clusters.Status) string {
	if !status.Alive || !status.Ready {
		if why := cmp.Or(status.Failed, status.Trouble); why != "" {
			return "the control plane is not responding: " + why
		}
		return "the control plane is not responding"
	}
	for _, n := range f.nodes {
		if n.State == running && !status.Nodes[n.Name] {
			return fmt.Sprintf("node %s is not ready", n.Name)
		}
		if n.State == provisioning && n.Transition.Fail != "" && n.Transition.IsDue(now) {
			return fmt.Sprintf("node %s: %s", n.Name, n.Transition.Fail)
		}
	}
	return ""
}

// advanceNodes makes new nodes run and lets leaving ones go, and then pools that are to go and have none left.
func (f *family) advanceNodes(tx *world.Tx, now time.Time, status clusters.Status) error {
	var problems []error
	var staying []node
	for _, n := range f.nodes {
		gone := n.leaving() && n.Transition.IsDue(now) && !status.Nodes[n.Name]
		if gone {
			problems = append(problems, tx.Delete(ref(kindNode, n.ID)), tx.Record(n.effect(world.Deleted, "", now)))
			continue
		}
		if n.arrive(now, status) {
			problems = append(problems, putNode(tx, n), tx.Record(n.effect(world.Updated, n.State, now)))
		}
		staying = append(staying, n)
	}
	f.nodes = staying
	return errors.Join(append(problems, f.dropPools(tx, now))...)
}

// arrive makes a node run if it is time, and says whether it did.
func (n *node) arrive(now time.Time, status clusters.Status) bool {
	if n.State != provisioning || !n.Transition.IsDue(now) {
		return false
	}
	if n.Transition.Fail != "" {
		changed := n.Message != n.Transition.Fail
		n.Message = n.Transition.Fail
		return changed
	}
	if !status.Nodes[n.Name] {
		return false
	}
	n.State, n.Message, n.UpdatedAt = running, "", now
	return true
}

func (n node) effect(kind, state string, now time.Time) world.Effect {
	asked := n.Transition.RequestedAt
	return world.Effect{Provider: Name, Operation: n.Transition.Operation, Kind: kind, Resource: kindNode, ID: n.ID, Name: n.Name,
		Key: n.Transition.Key, Parent: n.Pool, State: state, RequestedAt: &asked, ReadyAt: &now}
}

func (p pool) effect(now time.Time) world.Effect {
	asked := p.Transition.RequestedAt
	return world.Effect{Provider: Name, Operation: p.Transition.Operation, Kind: world.Deleted, Resource: kindPool, ID: p.ID, Name: p.Name,
		Tags: p.Tags, Key: p.Transition.Key, Parent: p.Cluster, RequestedAt: &asked, ReadyAt: &now}
}

func (f *family) dropPools(tx *world.Tx, now time.Time) error {
	var problems []error
	var staying []pool
	for _, p := range f.pools {
		if !p.Deleting || len(f.nodesOf(p.ID)) > 0 {
			staying = append(staying, p)
			continue
		}
		problems = append(problems, tx.Delete(ref(kindPool, p.ID)), tx.Record(p.effect(now)))
	}
	f.pools = staying
	return errors.Join(problems...)
}

// end removes a cluster and all it consists of, with the belongings that were to go along.
func (f *family) end(tx *world.Tx, now time.Time) error {
	c := f.cluster
	why := c.Transition
	var problems []error
	for _, n := range f.nodes {
		n.Transition = why
		problems = append(problems, tx.Delete(ref(kindNode, n.ID)), tx.Record(n.effect(world.Deleted, "", now)))
	}
	for _, p := range f.pools {
		p.Transition = why
		problems = append(problems, tx.Delete(ref(kindPool, p.ID)), tx.Record(p.effect(now)))
	}
	for _, id := range c.Along {
		problems = append(problems, dropBelonging(tx, id, why))
	}
	asked := why.RequestedAt
	return errors.Join(append(problems, tx.Delete(ref(kindCluster, c.ID)), tx.Record(world.Effect{
		Provider: Name, Operation: why.Operation, Kind: world.Deleted, Resource: kindCluster, ID: c.ID, Name: c.Name, Tags: c.Tags,
		Key: why.Key, Parent: c.VPC, RequestedAt: &asked, ReadyAt: &now}))...)
}
