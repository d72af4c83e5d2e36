package aws

import (
	"cmp"
	"errors"
	"reflect"
	"time"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

// learn takes over what only the real cluster knows.
func (f *family) learn(status clusters.Status, ca authority) {
	f.cluster.Shown.Endpoint = cmp.Or(status.Endpoint, f.cluster.Shown.Endpoint)
	f.cluster.Shown.Authority.Data = cmp.Or(ca.Data, f.cluster.Shown.Authority.Data)
}

// advance moves a cluster and all that it consists of on, as far as the time and the real cluster allow. It is a function of what is
// stored, the time and the status alone, so a sandbox that was killed goes on where it was.
func (f *family) advance(tx *world.Tx, cloud *Cloud, now time.Time, status clusters.Status) error {
	var problems []error
	var staying []nodegroup
	for _, n := range f.nodegroups {
		gone, err := f.advanceNodegroup(tx, cloud, n, now, status)
		problems = append(problems, err)
		if !gone {
			staying = append(staying, n)
		}
	}
	f.nodegroups = staying
	for _, a := range f.addons {
		problems = append(problems, f.advanceAddon(tx, a, now, status))
	}
	return errors.Join(append(problems, f.advanceCluster(tx, now, status))...)
}

func (f *family) advanceCluster(tx *world.Tx, now time.Time, status clusters.Status) error {
	before, err := world.Get[cluster](tx, ref(kindCluster, f.cluster.Key()))
	if err != nil {
		return err
	}
	c := f.cluster
	ended, failed := false, ""
	switch c.Shown.Status {
	case statusCreating:
		f.finishCluster(&c, now, status)
	case statusUpdating:
		ended, failed = f.finishUpdate(&c, now, status)
	}
	if reflect.DeepEqual(before, c) {
		return nil
	}
	if ended {
		err = endUpdate(tx, before.Update, failed)
	}
	if before.Shown.Status != c.Shown.Status {
		effect := by(c.Transition, world.Updated, kindCluster, c.Shown.ARN, c.Shown.Name, now)
		effect.State, effect.Tags, effect.Parent = c.Shown.Status, tagsOf(c.Shown.Tags).texts(), c.Shown.VPC.ID
		err = errors.Join(err, tx.Record(effect))
	}
	return errors.Join(err, putCluster(tx, c))
}

// finishCluster ends a cluster's creation if it is time. Endpoint and issuer are told when it is active.
func (f *family) finishCluster(c *cluster, now time.Time, status clusters.Status) {
	switch {
	case status.Failed != "" && !c.Transition.Spoiled():
		c.Shown.Status, c.Shown.Health = statusFailed, ill("InternalFailure", status.Failed)
	case !c.Transition.IsDue(now):
	case c.Transition.Fail != "":
		c.Shown.Status, c.Shown.Health = statusFailed, ill("InternalFailure", c.Transition.Fail)
	case status.AllReady(c.Shown.Version, nil) && c.Shown.Authority.Data != "":
		c.Shown.Status = statusActive
		c.Shown.Identity = &identity{OIDC: issuer{URL: "https://oidc.eks." + c.Region + ".amazonaws.com/id/" + issuerID(c.Real)}}
	}
	if c.Shown.Status != statusActive {
		c.Shown.Endpoint = ""
	}
}

// finishUpdate ends an update if it is time.
func (f *family) finishUpdate(c *cluster, now time.Time, status clusters.Status) (ended bool, failed string) {
	version := cmp.Or(c.Target, c.Shown.Version)
	switch {
	case !c.Transition.IsDue(now):
		return false, ""
	case c.Transition.Fail != "":
		failed = c.Transition.Fail
	case !status.AllReady(version, nil):
		return false, ""
	default:
		c.Shown.Version = version
		if c.Access != nil {
			c.Shown.VPC.vpcAccess = *c.Access
		}
	}
	c.Shown.Status, c.Target, c.Access, c.Update = statusActive, "", nil, ""
	return true, failed
}

// issuerID is the part of the issuer's address that is the cluster's own.
func issuerID(real string) string {
	id := hexHash([]byte(real))[:32]
	upper := []byte(id)
	for i, b := range upper {
		if b >= 'a' && b <= 'f' {
			upper[i] = b - 'a' + 'A'
		}
	}
	return string(upper)
}

// advanceNodegroup moves a node group on, and says whether it has gone.
func (f *family) advanceNodegroup(tx *world.Tx, cloud *Cloud, n nodegroup, now time.Time, status clusters.Status) (gone bool, err error) {
	before := n
	ours := 0
	ready := true
	for _, i := range f.instances {
		if i.Nodegroup != n.Key() {
			continue
		}
		switch {
		case i.State == shuttingDown:
			ready = false
		case i.lives():
			ours++
			ready = ready && status.Nodes[i.Hostname] && !i.Transition.Spoiled()
			err = errors.Join(err, f.boot(tx, i, now, status))
		}
	}
	ready = ready && ours == *n.Shown.Scaling.Desired
	switch n.Shown.Status {
	case statusDeleting:
		if n.Transition.IsDue(now) {
			return true, errors.Join(err, f.endNodegroup(tx, cloud, n, now))
		}
	case statusCreating:
		problem, failed := f.whyNotJoined(tx, n)
		err = errors.Join(err, failed)
		n.finishCreation(now, ready, problem)
	case statusUpdating:
		err = errors.Join(err, n.finishUpdate(tx, now, ready))
	case statusActive, statusDegraded:
		n.Shown.Status, n.Shown.Health = statusActive, healthy
		if !ready {
			n.Shown.Status, n.Shown.Health = statusDegraded, n.ailment()
		}
	}
	if reflect.DeepEqual(before, n) {
		return false, err
	}
	if before.Shown.Status != n.Shown.Status {
		effect := by(n.Transition, world.Updated, kindNodegroup, n.Shown.ARN, n.title(), now)
		effect.State, effect.Parent = n.Shown.Status, f.cluster.Shown.ARN
		err = errors.Join(err, tx.Record(effect))
	}
	return false, errors.Join(err, putNodegroup(tx, n))
}

// boot makes a machine run when its node has joined.
func (f *family) boot(tx *world.Tx, i instance, now time.Time, status clusters.Status) error {
	if i.State != pending || !status.Nodes[i.Hostname] {
		return nil
	}
	i.State = running
	return errors.Join(put(tx, kindInstance, i), tx.Record(i.effect(world.Updated, running.Name, i.Transition, now)))
}

// ailment is what is wrong with a node group that does not have all of its nodes.
func (n nodegroup) ailment() health {
	if n.Short != "" {
		return ill("AsgInstanceLaunchFailures", "Could not launch On-Demand Instances. VcpuLimitExceeded - "+n.Short+" Launching EC2 instance failed.", n.Shown.Resources.Groups[0].Name)
	}
	return ill("NodeCreationFailure", "Unhealthy nodes in the kubernetes cluster")
}

// whyNotJoined says why the machines of a node group cannot become nodes, "" if they can: a role without its policies, no network for
// pods, no way out of a subnet.
func (f *family) whyNotJoined(tx *world.Tx, n nodegroup) (string, error) {
	r, err := roleByARN(tx, n.Shown.Role)
	if err != nil && !isNotFound(err) {
		return "", err
	}
	if !r.has("AmazonEKSWorkerNodePolicy") && !r.has("AmazonEKSWorkerNodeMinimalPolicy") {
		return "Instances failed to join the kubernetes cluster: the node role lacks AmazonEKSWorkerNodePolicy", nil
	}
	if !r.has("AmazonEC2ContainerRegistryPullOnly") && !r.has("AmazonEC2ContainerRegistryReadOnly") {
		return "Instances failed to join the kubernetes cluster: the node role may not pull images", nil
	}
	for _, id := range n.Shown.Subnets {
		s, err := world.Get[subnet](tx, ref(kindSubnet, id))
		if err != nil {
			return "", ignoreMissing(err)
		}
		out, err := wayOut(tx, s)
		if err != nil || !out {
			return "Instances failed to join the kubernetes cluster: subnet " + id + " has no route to the internet", err
		}
	}
	return f.noPodNetwork(tx)
}

// noPodNetwork says why nodes stay not ready for want of the add-on that makes the pods' network.
func (f *family) noPodNetwork(tx *world.Tx) (string, error) {
	for _, a := range f.addons {
		if a.Shown.Name != "vpc-cni" || a.Shown.Status == statusDeleting || a.Shown.Status == statusCreateFailed {
			continue
		}
		permitted, err := a.permitted(tx, f.nodegroups)
		if err != nil || permitted {
			return "", err
		}
		return "Unhealthy nodes in the kubernetes cluster: the add-on vpc-cni has no role with AmazonEKS_CNI_Policy", nil
	}
	return "Unhealthy nodes in the kubernetes cluster: container runtime network not ready: cni plugin not initialized", nil
}

func (r role) has(policy string) bool {
	for _, arn := range r.Attached {
		if arn == "arn:aws:iam::aws:policy/"+policy {
			return true
		}
	}
	return false
}

func (n *nodegroup) finishCreation(now time.Time, ready bool, problem string) {
	switch {
	case !n.Transition.IsDue(now):
	case n.Transition.Fail != "":
		n.Shown.Status, n.Shown.Health = statusCreateFailed, ill("NodeCreationFailure", n.Transition.Fail)
	case n.Short != "":
		n.Shown.Status, n.Shown.Health = statusCreateFailed, n.ailment()
	case problem != "":
		n.Shown.Status, n.Shown.Health = statusCreateFailed, ill("NodeCreationFailure", problem)
	case ready:
		n.Shown.Status, n.Shown.Health = statusActive, healthy
	}
}

func (n *nodegroup) finishUpdate(tx *world.Tx, now time.Time, ready bool) error {
	failed := n.Transition.Fail
	switch {
	case !n.Transition.IsDue(now):
		return nil
	case failed == "" && n.Short != "":
		failed = n.Short
	case failed == "" && !ready:
		return nil
	}
	n.Shown.Status, n.Shown.Health = statusActive, healthy
	if failed != "" {
		n.Shown.Status, n.Shown.Health = statusDegraded, n.ailment()
	} else if n.Target != "" {
		n.Shown.Version, n.Shown.Release = n.Target, releaseOf(n.Target)
	}
	id := n.Update
	n.Update, n.Target = "", ""
	return endUpdate(tx, id, failed)
}

// endNodegroup removes a node group. As happens there, an interface that the pods' network had made for a node stays behind.
func (f *family) endNodegroup(tx *world.Tx, cloud *Cloud, n nodegroup, now time.Time) error {
	effect := by(n.Transition, world.Deleted, kindNodegroup, n.Shown.ARN, n.title(), now)
	effect.Tags, effect.Parent = tagsOf(n.Shown.Tags).texts(), f.cluster.Shown.ARN
	return errors.Join(tx.Delete(ref(kindNodegroup, n.Key())), tx.Record(effect), f.strand(tx, cloud, n))
}

// strand leaves an interface of the first machine of a node group behind, available and nobody's. From here on it is a resource of its own,
// which somebody has to delete: the ledger has it, unlike those that come and go with what they are for.
func (f *family) strand(tx *world.Tx, cloud *Cloud, n nodegroup) error {
	for _, i := range f.instances {
		if i.Nodegroup != n.Key() {
			continue
		}
		s, err := world.Get[subnet](tx, ref(kindSubnet, i.Subnet))
		if err != nil {
			return ignoreMissing(err)
		}
		left, err := cloud.newInterface(tx, s, "aws-K8S-"+i.ID)
		left.Groups = i.Groups
		left.Tags = tags{{"cluster.k8s.amazonaws.com/name", f.cluster.Shown.Name}, {"node.k8s.amazonaws.com/instance_id", i.ID}}
		return errors.Join(err, put(tx, kindInterface, left), tx.Record(world.Effect{Provider: Name, Kind: world.Created, Resource: kindInterface, ID: left.ID,
			Tags: left.Tags.texts(), Parent: left.VPC}))
	}
	return nil
}

// advanceAddon moves an add-on on. Those that are Deployments never run without nodes.
func (f *family) advanceAddon(tx *world.Tx, a addon, now time.Time, status clusters.Status) error {
	before := a
	kind, _ := findAddon(a.Shown.Name)
	runs := !kind.replicas
	for _, ready := range status.Nodes {
		runs = runs || ready
	}
	var err error
	switch a.Shown.Status {
	case statusDeleting:
		if a.Transition.IsDue(now) {
			return f.endAddon(tx, a, now)
		}
	case statusCreating:
		a.finishCreation(now, runs)
	case statusUpdating:
		if a.Transition.IsDue(now) {
			err = endUpdate(tx, a.Update, a.Transition.Fail)
			a.Update, a.Shown.Status = "", statusActive
		}
	case statusActive, statusDegraded:
		a.Shown.Status, a.Shown.Health = statusActive, healthy
		if !runs {
			a.Shown.Status, a.Shown.Health = statusDegraded, shortOfReplicas
		}
	}
	if reflect.DeepEqual(before, a) {
		return err
	}
	if before.Shown.Status != a.Shown.Status {
		effect := by(a.Transition, world.Updated, kindAddon, a.Shown.ARN, a.title(), now)
		effect.State, effect.Parent = a.Shown.Status, f.cluster.Shown.ARN
		err = errors.Join(err, tx.Record(effect))
	}
	return errors.Join(err, putAddon(tx, a))
}

var shortOfReplicas = ill("InsufficientNumberOfReplicas", "The add-on is unhealthy because it doesn't have the desired number of replicas.")

func (a *addon) finishCreation(now time.Time, runs bool) {
	switch {
	case !a.Transition.IsDue(now):
	case a.Transition.Fail != "":
		a.Shown.Status, a.Shown.Health = statusCreateFailed, ill("InternalFailure", a.Transition.Fail)
	case runs:
		a.Shown.Status, a.Shown.Health = statusActive, healthy
	default:
		a.Shown.Status, a.Shown.Health = statusDegraded, shortOfReplicas
	}
}

func (f *family) endAddon(tx *world.Tx, a addon, now time.Time) error {
	own, err := within(tx, kindAssociation, a.Cluster, func(o association) bool { return o.Owner == a.Shown.ARN })
	for _, one := range own {
		err = errors.Join(err, endAssociation(tx, f.cluster, one, by(a.Transition, world.Deleted, kindAssociation, one.ARN, "", now)))
	}
	return errors.Join(err, tx.Delete(ref(kindAddon, a.Key())), tx.Record(by(a.Transition, world.Deleted, kindAddon, a.Shown.ARN, a.title(), now)))
}
