package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Load balancers and volumes are made by what runs in a cluster. They go with the Service or the volume, but not with the cluster: then
// they stay, and cost, until somebody deletes them.

// Belongings implements fleet.Keeper.
func (k *keeper) Belongings(ctx context.Context, key string, found clusters.Inventory) error {
	return k.World.View(ctx, func(tx *world.Tx) error {
		c, err := world.Get[cluster](tx, ref(kindCluster, key))
		if err != nil || c.Shown.Status == statusDeleting {
			return ignoreMissing(err)
		}
		m := maker{cloud: k.Cloud, tx: tx, cluster: c, now: k.World.Clock.Now()}
		return errors.Join(m.balancers(found.LoadBalancers), m.volumes(found.Volumes))
	})
}

// maker makes and removes what a cluster's contents ask for.
type maker struct {
	cloud   *Cloud
	tx      *world.Tx
	cluster cluster
	now     time.Time
}

func (m maker) balancers(wanted []clusters.LoadBalancer) error {
	have, err := within[balancer](m.tx, kindBalancer, m.cluster.Key(), nil)
	if err != nil {
		return err
	}
	for _, w := range wanted {
		i := slices.IndexFunc(have, func(b balancer) bool { return b.UID == w.UID })
		if i < 0 {
			err = errors.Join(err, m.makeBalancer(w))
		} else if have[i].IP != w.IP {
			have[i].IP = w.IP
			err = errors.Join(err, put(m.tx, kindBalancer, have[i]))
		}
	}
	for _, b := range have {
		if !slices.ContainsFunc(wanted, func(w clusters.LoadBalancer) bool { return w.UID == b.UID }) {
			err = errors.Join(err, m.endBalancer(b))
		}
	}
	return err
}

// owned are the tags that say whose a thing of the cluster's is.
func (m maker) owned(more ...tag) tags {
	return append(tags{{"kubernetes.io/cluster/" + m.cluster.Shown.Name, "owned"}}, more...)
}

// makeBalancer makes a network load balancer in the public subnets, as the cloud controller does, with its target groups, its network
// interfaces and a security group.
func (m maker) makeBalancer(w clusters.LoadBalancer) error {
	public, err := m.publicSubnets()
	if err != nil {
		return err
	}
	if len(public) == 0 {
		return fmt.Errorf("the load balancer %s: %w", w.Name, errors.New("no subnet is tagged kubernetes.io/role/elb, and a load balancer cannot do without"))
	}
	suffix := hexHash([]byte(m.cluster.Real + w.UID))[:16]
	where := "arn:aws:elasticloadbalancing:" + m.cluster.Region + ":" + m.cloud.Account + ":"
	b := balancer{ARN: where + "loadbalancer/net/" + w.Name + "/" + suffix, Name: w.Name, Suffix: suffix, Region: m.cluster.Region, VPC: m.cluster.Shown.VPC.ID,
		State: "provisioning", Created: m.now, Subnets: public, Tags: m.owned(tag{"kubernetes.io/service-name", w.Service}), Cluster: m.cluster.Key(), UID: w.UID, IP: w.IP}
	group, err := m.makeGroup(w)
	if err != nil {
		return err
	}
	b.Groups = []string{group.ID}
	for _, p := range w.Ports {
		protocol := strings.ToUpper(p.Protocol)
		name := "k8s-" + hexHash([]byte(w.UID + number(p.Port)))[:28]
		t := targetGroup{ARN: where + "targetgroup/" + name + "/" + hexHash([]byte(suffix + name))[:16], Name: name, Region: b.Region, VPC: b.VPC, Protocol: protocol, Port: p.NodePort,
			Balancer: b.ARN, Cluster: b.Cluster, Tags: m.owned()}
		b.Ports = append(b.Ports, balancerPort{protocol, p.Port, p.NodePort, t.ARN, hexHash([]byte(t.ARN))[:16]})
		err = errors.Join(err, put(m.tx, kindTargetGroup, t), m.record(world.Created, kindTargetGroup, t.ARN, t.Name))
	}
	for _, s := range public {
		i, failed := m.cloud.newInterface(m.tx, s, "ELB net/"+w.Name+"/"+suffix)
		if failed != nil {
			return failed
		}
		i.Type, i.Requester, i.Managed, i.Status, i.Of, i.Groups = "network_load_balancer", "amazon-elb", true, "in-use", b.ARN, []groupName{{group.ID, group.Name}}
		i.Association = &interfaceAssociation{Owner: "amazon", IP: publicIP(i.ID)}
		err = errors.Join(err, put(m.tx, kindInterface, i))
	}
	due := m.cloud.World.Clock.Due(m.now, balancerCreation, b.ARN)
	return errors.Join(err, put(m.tx, kindBalancer, b), start(m.tx, kindBalancer, b.ARN, "active", world.Transition{RequestedAt: m.now, Due: due}),
		m.record(world.Created, kindBalancer, b.ARN, b.Name))
}

func (m maker) record(change, kind, id, name string) error {
	return m.tx.Record(world.Effect{Provider: Name, Kind: change, Resource: kind, ID: id, Name: name, Parent: m.cluster.Shown.ARN})
}

// publicSubnets are those of the VPC that are marked for load balancers, one in each zone.
func (m maker) publicSubnets() ([]subnet, error) {
	zones := map[string]bool{}
	return within(m.tx, kindSubnet, m.cluster.Shown.VPC.ID, func(s subnet) bool {
		_, marked := s.Tags.get("kubernetes.io/role/elb")
		first := marked && !zones[s.Zone]
		zones[s.Zone] = zones[s.Zone] || first
		return first
	})
}

// makeGroup makes the security group of a load balancer.
func (m maker) makeGroup(w clusters.LoadBalancer) (group, error) {
	v, err := world.Get[vpc](m.tx, ref(kindVPC, m.cluster.Shown.VPC.ID))
	if err != nil {
		return group{}, err
	}
	g := newGroup(m.cloud.Account, v, "k8s-elb-"+w.Name, "Security group for Kubernetes ELB "+w.Name, m.owned(tag{"KubernetesCluster", m.cluster.Shown.Name}))
	for _, p := range w.Ports {
		g.Rules = append(g.Rules, rule{ID: newID("sgr"), Group: g.ID, Owner: g.Owner, Protocol: strings.ToLower(p.Protocol), From: p.Port, To: p.Port, CIDR: "0.0.0.0/0", Tags: tags{}})
	}
	return g, errors.Join(put(m.tx, kindGroup, g), m.record(world.Created, kindGroup, g.ID, g.ID))
}

// endBalancer removes a load balancer whose Service is gone, with what was made along with it.
func (m maker) endBalancer(b balancer) error {
	due := m.cloud.World.Clock.Due(m.now, interfacesStay, b.ARN)
	err := b.end(m.tx, world.Effect{}, world.Transition{RequestedAt: m.now, Due: due})
	for _, p := range b.Ports {
		t, failed := world.Get[targetGroup](m.tx, ref(kindTargetGroup, p.TargetGroup))
		if failed == nil {
			failed = drop(m.tx, kindTargetGroup, t, world.Effect{})
		}
		err = errors.Join(err, ignoreMissing(failed))
	}
	// The controller waits for the interfaces to let go of the group; here they do at once.
	err = errors.Join(err, unhouse(m.tx, b.ARN, b.VPC))
	for _, id := range b.Groups {
		g, failed := world.Get[group](m.tx, ref(kindGroup, id))
		if failed == nil {
			failed = drop(m.tx, kindGroup, g, world.Effect{})
		}
		err = errors.Join(err, ignoreMissing(failed))
	}
	return err
}

func (m maker) volumes(wanted []clusters.Volume) error {
	have, err := within(m.tx, kindVolume, m.cluster.Region, func(v volume) bool { return v.Cluster == m.cluster.Key() })
	if err != nil {
		return err
	}
	named := func(v volume) string {
		name, _ := v.Tags.get("CSIVolumeName")
		return name
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(have, func(v volume) bool { return named(v) == w.Name }) {
			err = errors.Join(err, m.makeVolume(w))
		}
	}
	for _, v := range have {
		if !slices.ContainsFunc(wanted, func(w clusters.Volume) bool { return w.Name == named(v) }) {
			err = errors.Join(err, drop(m.tx, kindVolume, v, world.Effect{}))
		}
	}
	return err
}

// makeVolume makes a volume with the tags that the CSI driver's add-on gives it, attached to a node.
func (m maker) makeVolume(w clusters.Volume) error {
	name := m.cluster.Shown.Name
	nodes, err := within(m.tx, kindInstance, m.cluster.Shown.VPC.ID, func(i instance) bool { return i.Cluster == m.cluster.Key() && i.lives() })
	if err != nil {
		return err
	}
	where, _ := findRegion(m.cluster.Region)
	v := newVolume(m.cluster.Region, where.zoneNames()[0], max(1, w.SizeGiB), m.now, m.owned(tag{"Name", name + "-dynamic-" + w.Name}, tag{"CSIVolumeName", w.Name},
		tag{"KubernetesCluster", name}, tag{"ebs.csi.aws.com/cluster", "true"}, tag{"kubernetes.io/created-for/pv/name", w.Name}))
	if namespace, claim, has := strings.Cut(w.Claim, "/"); has {
		v.Tags = append(v.Tags, tag{"kubernetes.io/created-for/pvc/name", claim}, tag{"kubernetes.io/created-for/pvc/namespace", namespace})
	}
	v.Cluster, v.State = m.cluster.Key(), "available"
	if len(nodes) > 0 {
		v.Zone, v.State = cmp.Or(nodes[0].Placement.Zone, v.Zone), "in-use"
		v.Attachments = []mountPoint{{Volume: v.ID, Instance: nodes[0].ID, Device: "/dev/xvdaa", State: "attached", At: m.now}}
	}
	return errors.Join(put(m.tx, kindVolume, v), m.record(world.Created, kindVolume, v.ID, v.Tags.name(v.ID)))
}
