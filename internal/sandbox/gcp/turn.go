package gcp

//lint:file-ignore SA1019 Fields that are deprecated are still what stock clients send and read.

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Turn implements fleet.Keeper: the real cluster is made as wanted, and the stored one moves on.
func (c *Cloud) Turn(ctx context.Context, id string) error {
	var f *family
	err := c.view(ctx, func(tx *world.Tx) (err error) {
		f, err = loadFamily(tx, id)
		return err
	})
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if f.cluster.State == stateStopping {
		return c.finishDeletion(ctx, f.cluster)
	}
	spoiled, err := c.spoiled(ctx, f.cluster)
	if err != nil {
		return err
	}
	status, ca, err := c.run(ctx, f, spoiled)
	if err != nil {
		return err
	}
	return c.view(ctx, func(tx *world.Tx) error {
		// Loaded again: a request may have changed it while we looked at the real one.
		f, err := loadFamily(tx, id)
		if isNotFound(err) || err == nil && f.cluster.State == stateStopping {
			return nil
		}
		if err != nil {
			return err
		}
		if ca != "" {
			f.cluster.CA = ca
		}
		return f.advance(tx, c.World.Clock.Now(), status)
	})
}

// spoiled says that a fault keeps the cluster from ever being made.
func (c *Cloud) spoiled(ctx context.Context, one cluster) (spoiled bool, err error) {
	if one.State == stateError {
		return true, nil
	}
	if one.State != stateProvisioning {
		return false, nil
	}
	err = c.view(ctx, func(tx *world.Tx) error {
		o, err := world.Get[operation](tx, ref(kindOperation, one.Operation))
		spoiled = o.Transition.Spoiled() || o.Cancelled
		return err
	})
	return spoiled, err
}

// run makes the real cluster as wanted, if there is to be one, and says how it is, and who signs its certificates.
func (c *Cloud) run(ctx context.Context, f *family, spoiled bool) (status clusters.Status, ca string, err error) {
	one := f.cluster
	if spoiled {
		return status, "", nil
	}
	if err := c.Runner.Apply(ctx, c.wanted(f)); err != nil {
		return status, "", fmt.Errorf("run the cluster %s: %w", one.Name, err)
	}
	if status, err = c.Runner.Status(ctx, one.ID); err != nil {
		return status, "", fmt.Errorf("look at the cluster %s: %w", one.Name, err)
	}
	if !status.Ready {
		return status, "", nil
	}
	c.fleet.Look(ctx, one.ID)
	if one.CA != "" {
		return status, "", nil
	}
	access, err := c.Runner.Access(ctx, one.ID)
	if err != nil && !errors.Is(err, clusters.ErrNotReady) {
		return status, "", fmt.Errorf("read the authority of the cluster %s: %w", one.Name, err)
	}
	return status, string(access.CA), nil
}

// finishDeletion ends the real cluster, and the stored one when it is time.
func (c *Cloud) finishDeletion(ctx context.Context, one cluster) error {
	if err := c.Runner.Remove(ctx, one.ID); err != nil {
		return fmt.Errorf("end the cluster %s: %w", one.Name, err)
	}
	return c.World.Update(ctx, func(tx *world.Tx) error {
		f, err := loadFamily(tx, one.ID)
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		o, err := world.Get[operation](tx, ref(kindOperation, f.cluster.Operation))
		if err != nil || !o.Transition.IsDue(c.World.Clock.Now()) {
			return err
		}
		return f.gone(tx, o, c.World.Clock.Now())
	})
}

// wanted is what the real cluster should be.
func (c *Cloud) wanted(f *family) clusters.Wanted {
	one := f.cluster
	w := clusters.Wanted{ID: one.ID, Name: one.Name, Version: minorOf(cmp.Or(one.Target, one.Version)), Place: one.Place,
		Tags: labelTags(one.Doc.M.ResourceLabels), Authenticator: c.Authenticator(one.ID)}
	for _, p := range f.pools {
		of, _ := findMachine(p.Doc.M.GetConfig().GetMachineType())
		for _, n := range f.nodesOf(p.ID) {
			if !n.Leaving && !n.Spoiled {
				w.Nodes = append(w.Nodes, clusters.Node{Name: n.Name, Pool: p.Name, CPU: of.CPUs, MemoryMiB: of.MemoryMiB, Labels: f.labels(p, n)})
			}
		}
	}
	return w
}

// labels are those that GKE gives its nodes, and the pool's.
func (f *family) labels(p pool, n node) map[string]string {
	config := p.Doc.M.GetConfig()
	labels := map[string]string{
		"cloud.google.com/gke-nodepool":        p.Name,
		"cloud.google.com/gke-os-distribution": "cos",
		"cloud.google.com/machine-family":      strings.SplitN(config.GetMachineType(), "-", 2)[0],
		"node.kubernetes.io/instance-type":     config.GetMachineType(),
		"topology.gke.io/zone":                 n.Zone,
		"topology.kubernetes.io/region":        regionName(f.cluster.Location),
		"topology.kubernetes.io/zone":          n.Zone,
	}
	for key, value := range config.GetLabels() {
		labels[key] = value
	}
	return labels
}

// advance moves a cluster on, as far as the time and the real one allow. It is a function of what is stored, the time and the
// status alone, so a sandbox that was killed goes on where it was.
func (f *family) advance(tx *world.Tx, now time.Time, status clusters.Status) error {
	before, err := world.Get[cluster](tx, ref(kindCluster, f.cluster.ID))
	if err != nil {
		return err
	}
	if status.Endpoint != "" {
		f.cluster.Endpoint = strings.TrimPrefix(status.Endpoint, "https://")
	}
	var o operation
	if f.cluster.Operation != "" {
		if o, err = world.Get[operation](tx, ref(kindOperation, f.cluster.Operation)); err != nil {
			return err
		}
		err = f.step(tx, o, now, status)
	} else if f.cluster.State != stateError {
		f.cluster.State, f.cluster.Message = stateRunning, f.ailment(status)
		if f.cluster.Message != "" {
			f.cluster.State = stateDegraded
		}
	}
	if lacking, policyErr := f.lacking(tx); policyErr != nil {
		err = errors.Join(err, policyErr)
	} else {
		f.cluster.Lacking = lacking
	}
	c := f.cluster
	if before.State == c.State && before.Message == c.Message && before.Endpoint == c.Endpoint && before.CA == c.CA && before.Operation == c.Operation &&
		before.Lacking == c.Lacking {
		return err
	}
	err = errors.Join(err, putCluster(tx, c))
	if before.State != c.State {
		err = errors.Join(err, tx.Record(c.became(before.State, o, now)))
	}
	return err
}

// nodeRoles are the predefined roles that have what nodes need.
var nodeRoles = []string{"roles/container.defaultNodeServiceAccount", "roles/container.nodeServiceAccount", "roles/editor", "roles/owner"}

// lacking is the first service account of the nodes that has none of them.
func (f *family) lacking(tx *world.Tx) (string, error) {
	p, err := world.Get[policy](tx, ref(kindPolicy, ProjectID))
	if err != nil {
		return "", err
	}
	for _, of := range f.pools {
		email := cmp.Or(of.Doc.M.GetConfig().GetServiceAccount(), defaultAccount)
		if !slices.ContainsFunc(p.Bindings, func(b binding) bool {
			return slices.Contains(nodeRoles, b.Role) && slices.Contains(b.Members, "serviceAccount:"+email)
		}) {
			return email, nil
		}
	}
	return "", nil
}

// became is the line of the ledger that tells of another state.
func (c cluster) became(before string, o operation, now time.Time) world.Effect {
	effect := world.Effect{Provider: Name, Operation: o.Transition.Operation, Kind: world.Updated, Resource: kindCluster, ID: c.ID, Name: c.Name,
		Tags: labelTags(c.Doc.M.ResourceLabels), Key: o.Transition.Key, State: strings.ToLower(c.State), Parent: c.Doc.M.GetNetworkConfig().GetNetwork()}
	// Getting well again is no answer to a request.
	if c.State == stateRunning && before != stateDegraded && o.Name != "" {
		asked := o.Transition.RequestedAt
		effect.RequestedAt, effect.ReadyAt = &asked, &now
	}
	return effect
}

// step ends the cluster's operation if it is time.
func (f *family) step(tx *world.Tx, o operation, now time.Time, status clusters.Status) error {
	creating := o.Type == containerpb.Operation_CREATE_CLUSTER.String()
	switch {
	case o.Cancelled:
		return f.fail(tx, o, now, "CANCELLED", "The operation was cancelled.")
	case creating && status.Failed != "" && !o.Transition.Spoiled():
		return f.fail(tx, o, now, "INTERNAL", status.Failed)
	case !o.Transition.IsDue(now):
		return nil
	case o.Transition.Fail != "":
		return f.fail(tx, o, now, "UNAVAILABLE", o.Transition.Fail)
	case !f.complete(status):
		if creating {
			f.cluster.Message = status.Trouble
		}
		return nil
	}
	return f.succeed(tx, o, now)
}

// complete says that the real cluster has the version and all nodes that are to stay, and no other.
func (f *family) complete(status clusters.Status) bool {
	var names []string
	for _, n := range f.nodes {
		if n.Leaving && status.Nodes[n.Name] {
			return false
		}
		if !n.Leaving && !n.Spoiled {
			names = append(names, n.Name)
		}
	}
	return status.AllReady(minorOf(cmp.Or(f.cluster.Target, f.cluster.Version)), names)
}

// fail ends an operation badly. A cluster that could not be made is of no use; of any other change it is the pool that failed.
func (f *family) fail(tx *world.Tx, o operation, now time.Time, code, words string) error {
	f.cluster.Operation, f.cluster.Target = "", ""
	f.cluster.State = stateRunning
	if o.Type == containerpb.Operation_CREATE_CLUSTER.String() {
		f.cluster.State, f.cluster.Message = stateError, words
	}
	var problems []error
	for _, p := range f.pools {
		switch {
		case p.Born == o.Name && p.State == stateProvisioning:
			p.State, p.Message = stateError, words
		case p.State == stateReconciling:
			p.State, p.Message = "RUNNING_WITH_ERROR", words
		default:
			continue
		}
		problems = append(problems, putPool(tx, p))
	}
	return errors.Join(append(problems, o.end(tx, now, code, words))...)
}

// succeed ends an operation well.
func (f *family) succeed(tx *world.Tx, o operation, now time.Time) error {
	c := &f.cluster
	c.Operation, c.State, c.Message = "", stateRunning, ""
	if c.Target != "" {
		c.Version, c.Target = c.Target, ""
	}
	var problems []error
	if o.Pending != nil {
		data, err := json.Marshal(o.Pending)
		if err == nil {
			err = json.Unmarshal(data, &c.Doc)
		}
		problems = append(problems, err)
	}
	for _, n := range f.nodes {
		switch {
		case n.Leaving:
			problems = append(problems, tx.Delete(ref(kindNode, n.ID)), tx.Record(n.left(o, now)))
		case !n.Running && !n.Spoiled:
			n.Running = true
			problems = append(problems, putNode(tx, n))
		}
	}
	for _, p := range f.pools {
		switch p.State {
		case stateStopping:
			problems = append(problems, tx.Delete(ref(kindPool, p.ID)), tx.Record(p.left(o, now)))
		case stateProvisioning, stateReconciling:
			p.State, p.Message = stateRunning, ""
			problems = append(problems, putPool(tx, p))
		}
	}
	return errors.Join(append(problems, o.end(tx, now, "", ""))...)
}

// ailment says what is wrong with a cluster that should be running, "" if nothing is.
func (f *family) ailment(status clusters.Status) string {
	if !status.Alive || !status.Ready {
		if why := cmp.Or(status.Failed, status.Trouble); why != "" {
			return "The control plane is not responding: " + why
		}
		return "The control plane is not responding."
	}
	for _, n := range f.nodes {
		if n.Running && !n.Leaving && !status.Nodes[n.Name] {
			return fmt.Sprintf("Node %s is not ready.", n.Name)
		}
	}
	return ""
}

func (n node) left(o operation, now time.Time) world.Effect {
	asked := o.Transition.RequestedAt
	return world.Effect{Provider: Name, Operation: o.Transition.Operation, Kind: world.Deleted, Resource: kindNode, ID: n.ID, Name: n.Name,
		Key: o.Transition.Key, Parent: n.Pool, RequestedAt: &asked, ReadyAt: &now}
}

func (p pool) left(o operation, now time.Time) world.Effect {
	asked := o.Transition.RequestedAt
	return world.Effect{Provider: Name, Operation: o.Transition.Operation, Kind: world.Deleted, Resource: kindPool, ID: p.ID, Name: p.Name,
		Key: o.Transition.Key, Parent: p.Cluster, RequestedAt: &asked, ReadyAt: &now}
}

// gone removes a cluster and all it consists of. What its contents made stays.
func (f *family) gone(tx *world.Tx, o operation, now time.Time) error {
	c := f.cluster
	var problems []error
	for _, n := range f.nodes {
		problems = append(problems, tx.Delete(ref(kindNode, n.ID)), tx.Record(n.left(o, now)))
	}
	for _, p := range f.pools {
		problems = append(problems, tx.Delete(ref(kindPool, p.ID)), tx.Record(p.left(o, now)))
	}
	rules, err := world.List[resource](tx, ref("firewalls", ""))
	problems = append(problems, err)
	asked := o.Transition.RequestedAt
	for _, rule := range rules {
		if rule.Cluster == c.ID && rule.GKE {
			problems = append(problems, tx.Delete(rule.key()), tx.Record(world.Effect{Provider: Name, Operation: o.Transition.Operation, Kind: world.Deleted,
				Resource: "firewall", ID: rule.ID, Name: rule.Name, Key: o.Transition.Key, Parent: c.ID, RequestedAt: &asked, ReadyAt: &now}))
		}
	}
	return errors.Join(append(problems, o.end(tx, now, "", ""), tx.Delete(ref(kindCluster, c.ID)), tx.Record(world.Effect{
		Provider: Name, Operation: o.Transition.Operation, Kind: world.Deleted, Resource: kindCluster, ID: c.ID, Name: c.Name,
		Tags: labelTags(c.Doc.M.ResourceLabels), Key: o.Transition.Key, Parent: c.Doc.M.GetNetworkConfig().GetNetwork(), RequestedAt: &asked, ReadyAt: &now}))...)
}
