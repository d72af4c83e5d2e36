package gcp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/container/apiv1/containerpb"
	"google.golang.org/api/compute/v1"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// A pool of a regional cluster has the same number of nodes in each of its zones. So that a region can have any number of nodes,
// each zone has a pool of its own: "nodes-b" in europe-west1-b.
const poolPrefix = "nodes-"

func poolName(zone string) string { return poolPrefix + zone[strings.LastIndex(zone, "-")+1:] }

// nodes are what was found of a cluster's nodes. GKE does not tell how many a pool has after it was resized: the instance groups do.
type nodes struct {
	pools   []pool
	wanted  int // of all pools, as they are now
	running int
	settled bool     // nothing is at work on a pool
	failed  string   // the first pool that GKE has given up on
	waits   []string // why not all run, in GKE's words
}

type pool struct {
	name, zone string
	wanted     int
}

func (n nodes) reason(count int) string {
	counted := fmt.Sprintf("%d of %d nodes are running", n.running, count)
	return joined(append([]string{counted}, n.waits...))
}

func joined(all []string) string { return strings.Join(all, "; ") }

// nodes looks at the pools that we made. Others are the operator's own.
func (p *Provider) nodes(ctx context.Context, c *containerpb.Cluster) (nodes, error) {
	n := nodes{settled: true}
	for _, np := range c.GetNodePools() {
		if !strings.HasPrefix(np.GetName(), poolPrefix) || len(np.GetLocations()) != 1 {
			continue
		}
		one := pool{name: np.GetName(), zone: np.GetLocations()[0]}
		switch np.GetStatus() {
		case containerpb.NodePool_RUNNING, containerpb.NodePool_RUNNING_WITH_ERROR:
		case containerpb.NodePool_ERROR:
			n.failed, n.settled = cmp.Or(n.failed, np.GetName()), false
		default:
			n.settled = false
		}
		if said := words(np.GetConditions()); said != "" || np.GetStatus() != containerpb.NodePool_RUNNING {
			n.waits = append(n.waits, strings.TrimSpace("node pool "+np.GetName()+" is "+np.GetStatus().String()+" "+said))
		}
		for _, group := range np.GetInstanceGroupUrls() {
			wanted, running, err := p.group(ctx, group)
			if err != nil {
				return nodes{}, err
			}
			one.wanted, n.running = one.wanted+wanted, n.running+running
		}
		n.wanted += one.wanted
		n.pools = append(n.pools, one)
	}
	return n, nil
}

// group is how many nodes an instance group is to have, and how many run. One that is gone has none.
func (p *Provider) group(ctx context.Context, link string) (wanted, running int, err error) {
	parts := strings.Split(link, "/") // …/zones/europe-west1-b/instanceGroupManagers/gke-…-grp
	if len(parts) < 4 {
		return 0, 0, fault.New(fault.Failed, "GKE calls an instance group %q, which names no zone", link)
	}
	zone, name := parts[len(parts)-3], parts[len(parts)-1]
	manager, there, err := found(p.compute.InstanceGroupManagers.Get(p.project, zone, name).Context(ctx).Do())
	if err != nil || !there {
		return 0, 0, explain(err, "describe the instance group "+name)
	}
	return int(manager.TargetSize), steady(manager), nil
}

// steady is how many instances of a group run and stay.
func steady(m *compute.InstanceGroupManager) int {
	if m.CurrentActions == nil {
		return 0
	}
	return int(m.CurrentActions.None)
}

// resize asks for the next change of a pool that brings the nodes to the number that is wanted, if there is one. It adds before it
// removes: pods find a place.
func (p *Provider) resize(ctx context.Context, spec region.ClusterSpec, c *containerpb.Cluster, found nodes) (*containerpb.Operation, error) {
	shares := share(c.GetLocations(), spec.Nodes.Count)
	for _, zone := range c.GetLocations() {
		if shares[zone] > 0 && !slices.ContainsFunc(found.pools, func(one pool) bool { return one.name == poolName(zone) }) {
			op, err := p.containers.CreateNodePool(ctx, &containerpb.CreateNodePoolRequest{Parent: p.clusterPath(spec), NodePool: nodePool(spec, zone, shares[zone])})
			return op, busy(explain(err, "create the node pool "+poolName(zone)+" of the cluster "+c.GetName()))
		}
	}
	larger := func(one pool) bool { return shares[one.zone] > one.wanted }
	smaller := func(one pool) bool { return shares[one.zone] < one.wanted && shares[one.zone] > 0 }
	for _, differs := range []func(pool) bool{larger, smaller} {
		if i := slices.IndexFunc(found.pools, differs); i >= 0 {
			one, size := found.pools[i], shares[found.pools[i].zone]
			op, err := p.containers.SetNodePoolSize(ctx, &containerpb.SetNodePoolSizeRequest{Name: p.clusterPath(spec) + "/nodePools/" + one.name, NodeCount: int32(size)})
			return op, busy(explain(err, fmt.Sprintf("give the node pool %s of the cluster %s %d nodes", one.name, c.GetName(), size)))
		}
	}
	if i := slices.IndexFunc(found.pools, func(one pool) bool { return shares[one.zone] == 0 }); i >= 0 {
		one := found.pools[i]
		op, err := p.containers.DeleteNodePool(ctx, &containerpb.DeleteNodePoolRequest{Name: p.clusterPath(spec) + "/nodePools/" + one.name})
		return op, busy(explain(err, "delete the node pool "+one.name+" of the cluster "+c.GetName()))
	}
	return nil, nil
}

// fresh is how long a pool's failure is told before the pool is replaced: whoever waits for it hears of it, and whoever asks anew later,
// with more quota, gets a new one.
const fresh = 2 * time.Minute

// replace has a pool that GKE has given up on made anew, once its failure is no news any more. Until then the cluster is broken, for
// the reason that the pool's last operation tells.
func (p *Provider) replace(ctx context.Context, spec region.ClusterSpec, found nodes, now region.Cluster) (region.Cluster, error) {
	list, err := p.containers.ListOperations(ctx, &containerpb.ListOperationsRequest{Parent: p.locationPath(spec.Location)})
	if err != nil {
		return region.Cluster{}, explain(err, "list the operations on clusters in "+spec.Location)
	}
	about := []string{"clusters/" + now.Name, "nodePools/" + found.failed}
	for _, op := range list.GetOperations() {
		ended, err := time.Parse(time.RFC3339, op.GetEndTime())
		ofCluster := strings.HasSuffix(op.GetTargetLink(), "/clusters/"+now.Name) || strings.Contains(op.GetTargetLink(), "/clusters/"+now.Name+"/")
		why := explainStatus(op.GetError(), "make the node pool "+found.failed)
		if err == nil && ofCluster && slices.Contains(about, kindAndName(op.GetTargetLink())) && why != nil && time.Since(ended) < fresh {
			now.Broken, now.Reason = true, fault.Message(why)
			return now, nil
		}
	}
	op, err := p.containers.DeleteNodePool(ctx, &containerpb.DeleteNodePoolRequest{Name: p.clusterPath(spec) + "/nodePools/" + found.failed})
	if err := busy(explain(err, "replace the node pool "+found.failed+" of the cluster "+now.Name)); err != nil {
		return region.Cluster{}, err
	}
	now.State, now.Operation = op.GetOperationType().String(), containerHint+op.GetName()
	return now, nil
}

// busy: a pool that was made or removed since we looked is another attempt's work.
func busy(err error) error {
	if fault.Is(err, fault.Exists) || fault.Is(err, fault.NotFound) {
		return fault.Wrap(fault.Conflict, err, "%s", fault.Message(err))
	}
	return err
}

// reasonOf says what an operation works at.
func reasonOf(op *containerpb.Operation) string {
	return joined(slices.DeleteFunc([]string{op.GetDetail(), kindAndName(op.GetTargetLink())}, func(s string) bool { return s == "" }))
}
