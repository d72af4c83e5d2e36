package gcp

//lint:file-ignore SA1019 Fields that are deprecated are still what stock clients send and read.

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/m3o/platform/internal/sandbox/world"
)

// hex8 is eight digits that depend on a text alone.
func hex8(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:8]
}

func randomHex(length int) (string, error) {
	data := make([]byte, length/2)
	if _, err := rand.Read(data); err != nil {
		return "", fmt.Errorf("draw an id: %w", err)
	}
	return hex.EncodeToString(data), nil
}

// randomSuffix is the end of a node's name.
func randomSuffix() (string, error) {
	const alphabet = "0123456789bcdfghjklmnpqrstvwxz"
	name := make([]byte, 4)
	for i := range name {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			return "", fmt.Errorf("draw a name: %w", err)
		}
		name[i] = alphabet[n.Int64()]
	}
	return string(name), nil
}

// anyRange reads an address range of any kind.
func anyRange(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return prefix, errors.New("it is not a CIDR range")
	}
	if prefix.Masked() != prefix {
		return prefix, errors.New("its host bits are not zero")
	}
	return prefix, nil
}

// groupName is the name of the managed instance group of a pool in a zone, without its end.
func (f *family) groupName(p pool, zone string) string {
	base := f.cluster.Name + "-" + p.Name
	return "gke-" + strings.TrimRight(base[:min(len(base), 42)], "-") + "-" + hex8(p.ID+zone)
}

func (f *family) zonesOf(p pool) []string {
	if len(p.Doc.M.Locations) > 0 {
		return p.Doc.M.Locations
	}
	return f.cluster.Doc.M.Locations
}

// shownPool is a pool as the API shows it.
func (f *family) shownPool(p pool) *containerpb.NodePool {
	m := proto.CloneOf(p.Doc.M)
	m.Name, m.Version, m.StatusMessage = p.Name, p.Version, p.Message
	m.Status = containerpb.NodePool_Status(containerpb.NodePool_Status_value[p.State])
	if p.Message != "" {
		m.Conditions = []*containerpb.StatusCondition{conditionOf(p.Message)}
	}
	m.Locations = f.zonesOf(p)
	m.SelfLink = "https://container.googleapis.com/v1/" + f.cluster.path() + "/nodePools/" + p.Name
	for _, zone := range m.Locations {
		m.InstanceGroupUrls = append(m.InstanceGroupUrls, computeLink(pathOf(zoneS+"/"+zone, "instanceGroupManagers", f.groupName(p, zone)+"-grp")))
	}
	m.PodIpv4CidrSize = podCIDRSize(m.MaxPodsConstraint.GetMaxPodsPerNode())
	m.Etag = hex8(fmt.Sprint(p.State, p.Version, len(f.nodesOf(p.ID))))
	return m
}

// podCIDRSize is the length of the range of a node's pods: twice as many addresses as pods.
func podCIDRSize(pods int64) int32 {
	size := int32(32)
	for n := int64(1); n < 2*pods; n *= 2 {
		size--
	}
	return size
}

// addPool adds a pool with its nodes to the family. It writes nothing.
func (r *request) addPool(tx *world.Tx, f *family, m *containerpb.NodePool, o operation) error {
	if err := r.completePool(tx, f, m); err != nil {
		return err
	}
	count := int(m.InitialNodeCount)
	p := pool{ID: uuid.NewString(), Cluster: f.cluster.ID, Name: m.Name, Doc: message[*containerpb.NodePool]{m}, State: stateProvisioning,
		Version: f.cluster.Version, Born: o.Name, Created: r.At}
	f.pools = append(f.pools, p)
	for _, zone := range f.zonesOf(p) {
		if err := r.addNodes(tx, f, p, zone, count, o); err != nil {
			return err
		}
	}
	return nil
}

// completePool says what is wrong with a new pool, and fills in what was left out.
func (r *request) completePool(tx *world.Tx, f *family, m *containerpb.NodePool) error {
	if !clusterName.MatchString(m.Name) {
		return invalid("Invalid value for field \"node_pool.name\": %q. Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,38}[a-z0-9])?)'.", m.Name)
	}
	if _, taken := f.poolNamed(m.Name); taken {
		return exists("Already exists: %s/nodePools/%s.", f.cluster.path(), m.Name)
	}
	if m.InitialNodeCount < 0 || m.InitialNodeCount > maxNodesPerPool {
		return invalid("node_pool.initial_node_count must be between 0 and %d.", maxNodesPerPool)
	}
	if err := checkZones("node_pool.locations", m.Locations, regionName(f.cluster.Location)); err != nil {
		return err
	}
	if m.GetAutoscaling().GetEnabled() {
		return invalid("The sandbox does not scale node pools by itself: leave out node_pool.autoscaling.")
	}
	if m.Config == nil {
		m.Config = &containerpb.NodeConfig{}
	}
	if err := r.completeConfig(tx, f, m.Config, cmp.Or(slices.Concat(m.Locations, f.cluster.Doc.M.Locations)...)); err != nil {
		return err
	}
	if m.Management == nil {
		m.Management = &containerpb.NodeManagement{AutoUpgrade: true, AutoRepair: true}
	}
	if m.UpgradeSettings == nil {
		m.UpgradeSettings = &containerpb.NodePool_UpgradeSettings{MaxSurge: 1, Strategy: containerpb.NodePoolUpdateStrategy_SURGE.Enum()}
	}
	if m.NetworkConfig == nil {
		m.NetworkConfig = &containerpb.NodeNetworkConfig{}
	}
	of := f.cluster.Doc.M
	m.NetworkConfig.PodRange = cmp.Or(m.NetworkConfig.PodRange, of.IpAllocationPolicy.GetClusterSecondaryRangeName())
	m.NetworkConfig.PodIpv4CidrBlock = cmp.Or(m.NetworkConfig.PodIpv4CidrBlock, of.IpAllocationPolicy.GetClusterIpv4CidrBlock())
	if m.NetworkConfig.EnablePrivateNodes == nil {
		m.NetworkConfig.EnablePrivateNodes = proto.Bool(of.NetworkConfig.GetDefaultEnablePrivateNodes())
	}
	if m.MaxPodsConstraint == nil {
		m.MaxPodsConstraint = proto.CloneOf(f.cluster.Doc.M.DefaultMaxPodsConstraint)
	}
	return nil
}

// completeConfig is about what nodes are like.
func (r *request) completeConfig(tx *world.Tx, f *family, m *containerpb.NodeConfig, zone string) error {
	m.MachineType = cmp.Or(m.MachineType, "e2-medium")
	if _, known := findMachine(m.MachineType); !known {
		return invalid("Machine type with name %q does not exist in zone %q.", m.MachineType, zone)
	}
	if m.DiskSizeGb == 0 {
		m.DiskSizeGb = 100
	}
	if m.DiskSizeGb < 10 || m.DiskSizeGb > 65536 {
		return invalid("node_config.disk_size_gb must be between 10 and 65536.")
	}
	m.DiskType = cmp.Or(m.DiskType, "pd-balanced")
	m.ImageType = cmp.Or(m.ImageType, "COS_CONTAINERD")
	if len(m.Taints) > 0 {
		return invalid("The sandbox's nodes have no taints: leave out node_config.taints.")
	}
	for key, value := range m.ResourceLabels {
		if err := checkLabel("node_config.resource_labels", key, value); err != nil {
			return err
		}
	}
	if m.ShieldedInstanceConfig == nil {
		m.ShieldedInstanceConfig = &containerpb.ShieldedInstanceConfig{EnableIntegrityMonitoring: true}
	}
	if m.Metadata == nil {
		m.Metadata = map[string]string{}
	}
	m.Metadata["disable-legacy-endpoints"] = "true"
	return r.mayActAs(tx, m.ServiceAccount)
}

// mayActAs says whether the caller may give nodes the service account.
func (r *request) mayActAs(tx *world.Tx, email string) error {
	if email == "" || email == "default" {
		email = defaultAccount
	}
	account, err := world.Get[serviceAccount](tx, ref(kindAccount, email))
	if isNotFound(err) || err == nil && !account.visible(r.At) {
		return invalid("Service account %q does not exist.", email)
	}
	if err != nil {
		return err
	}
	if r.authorize("iam.serviceAccounts.actAs") != nil {
		return invalidDenied("The user does not have access to service account %q. Ask a project owner to grant you the iam.serviceAccountUser role on the service account.", email)
	}
	return nil
}

// addNodes adds nodes of a pool in a zone to the family. It writes nothing.
func (r *request) addNodes(tx *world.Tx, f *family, p pool, zone string, count int, o operation) error {
	if count == 0 {
		return nil
	}
	free, err := addressesFor(tx, f)
	if err != nil {
		return err
	}
	for range count {
		address, err := free.take()
		if err != nil {
			return err
		}
		suffix, err := randomSuffix()
		if err != nil {
			return err
		}
		id, err := newID()
		if err != nil {
			return err
		}
		n := node{ID: id, Cluster: f.cluster.ID, Pool: p.ID, Name: f.groupName(p, zone) + "-" + suffix, Zone: zone, Address: address, Created: r.At,
			Operation: o.Name, Spoiled: o.Transition.Spoiled()}
		if slices.ContainsFunc(f.nodes, func(other node) bool { return other.Name == n.Name }) {
			return fmt.Errorf("two nodes drew the name %s", n.Name)
		}
		f.nodes = append(f.nodes, n)
	}
	return nil
}

func (r *request) poolEffect(kind string, p pool) world.Effect {
	effect := r.Effect(kind, kindPool, p.ID, p.Name)
	effect.Parent, effect.State = p.Cluster, strings.ToLower(p.State)
	return effect
}

func (r *request) recordNode(tx *world.Tx, n node) error {
	effect := r.Effect(world.Created, kindNode, n.ID, n.Name)
	effect.Parent = n.Pool
	return errors.Join(putNode(tx, n), tx.Record(effect))
}

// pool is the pool of the path.
func (f *family) pathPool(r *request) (*pool, error) {
	p, found := f.poolNamed(r.vars["pool"])
	if !found {
		return nil, notFound("Not found: %s/nodePools/%s.", f.cluster.path(), r.vars["pool"])
	}
	return p, nil
}

func listPools(r *request) (any, error) {
	answer := &containerpb.ListNodePoolsResponse{}
	err := r.View(func(tx *world.Tx) error {
		f, err := r.family(tx)
		if err == nil {
			answer.NodePools = f.shown().NodePools
		}
		return err
	})
	return answer, err
}

func getPool(r *request) (any, error) {
	var shown *containerpb.NodePool
	err := r.View(func(tx *world.Tx) error {
		f, err := r.family(tx)
		if err != nil {
			return err
		}
		p, err := f.pathPool(r)
		if err == nil {
			shown = f.shownPool(*p)
		}
		return err
	})
	return shown, err
}

func createPool(r *request) (any, error) {
	var asked containerpb.CreateNodePoolRequest
	if err := r.decodeProto(&asked); err != nil {
		return nil, err
	}
	if asked.NodePool == nil {
		return nil, invalid("NodePool must be specified.")
	}
	return r.onCluster(containerpb.Operation_CREATE_NODE_POOL, poolCreation, func(tx *world.Tx, f *family, o *operation) error {
		before := len(f.nodes)
		if err := r.addPool(tx, f, asked.NodePool, *o); err != nil {
			return err
		}
		if err := r.roomFor(tx, f.cluster.Location, f.pools, f.nodes[before:]); err != nil {
			return err
		}
		p := f.pools[len(f.pools)-1]
		o.Target += "/nodePools/" + p.Name
		err := errors.Join(putPool(tx, p), tx.Record(r.poolEffect(world.Created, p)))
		for _, n := range f.nodes[before:] {
			err = errors.Join(err, r.recordNode(tx, n))
		}
		return err
	})
}

func deletePool(r *request) (any, error) {
	return r.onCluster(containerpb.Operation_DELETE_NODE_POOL, poolDeletion, func(tx *world.Tx, f *family, o *operation) error {
		p, err := f.pathPool(r)
		if err != nil {
			return err
		}
		o.Target += "/nodePools/" + p.Name
		p.State = stateStopping
		for _, n := range f.nodesOf(p.ID) {
			n.Leaving = true
			err = errors.Join(err, putNode(tx, n))
		}
		return errors.Join(err, putPool(tx, *p), tx.Record(r.poolEffect(world.Updated, *p)))
	})
}

// setPoolSize has every zone of a pool have so many nodes.
func setPoolSize(r *request) (any, error) {
	var asked containerpb.SetNodePoolSizeRequest
	if err := r.decodeProto(&asked); err != nil {
		return nil, err
	}
	if asked.NodeCount < 0 || asked.NodeCount > maxNodesPerPool {
		return nil, invalid("node_count must be between 0 and %d.", maxNodesPerPool)
	}
	return r.onCluster(containerpb.Operation_SET_NODE_POOL_SIZE, poolResize, func(tx *world.Tx, f *family, o *operation) error {
		p, err := f.pathPool(r)
		if err != nil {
			return err
		}
		o.Target += "/nodePools/" + p.Name
		resized := *p
		before := len(f.nodes)
		for _, zone := range f.zonesOf(resized) {
			if err := r.resizeZone(tx, f, resized, zone, int(asked.NodeCount), *o); err != nil {
				return err
			}
		}
		if err := r.roomFor(tx, f.cluster.Location, f.pools, f.nodes[before:]); err != nil {
			return err
		}
		for _, n := range f.nodes[before:] {
			err = errors.Join(err, r.recordNode(tx, n))
		}
		resized.State = stateReconciling
		return errors.Join(err, putPool(tx, resized), tx.Record(r.poolEffect(world.Updated, resized)))
	})
}

// resizeZone adds nodes to a zone, or has the youngest leave.
func (r *request) resizeZone(tx *world.Tx, f *family, p pool, zone string, want int, o operation) error {
	have := slices.DeleteFunc(f.nodesOf(p.ID), func(n node) bool { return n.Zone != zone })
	if want >= len(have) {
		return r.addNodes(tx, f, p, zone, want-len(have), o)
	}
	var err error
	for _, n := range have[want:] {
		n.Leaving = true
		err = errors.Join(err, putNode(tx, n))
	}
	return err
}

// addresses hands out the free addresses of a subnetwork, lowest first.
type addresses struct {
	network netip.Prefix
	taken   map[string]bool
	next    netip.Addr
}

// addressesFor looks at what is taken in the family's subnetwork, by the family itself too, which need not be stored yet.
func addressesFor(tx *world.Tx, f *family) (*addresses, error) {
	subnetwork, err := referByName(tx, f.cluster.Doc.M.GetNetworkConfig().GetSubnetwork(), regionS+"/"+regionName(f.cluster.Location), "subnetworks", "")
	if err != nil {
		return nil, err
	}
	prefix, err := netip.ParsePrefix(subnetwork.Doc.text("ipCidrRange"))
	if err != nil {
		return nil, fmt.Errorf("the range of subnetwork %s: %w", subnetwork.Name, err)
	}
	// The first two are the network's own and its gateway's.
	a := &addresses{network: prefix, taken: map[string]bool{}, next: prefix.Addr().Next().Next()}
	all, err := world.List[node](tx, ref(kindNode, ""))
	for _, n := range slices.Concat(all, f.nodes) {
		a.taken[n.Address] = true
	}
	return a, err
}

// take returns a free address. The last two of a subnetwork are reserved.
func (a *addresses) take() (string, error) {
	for ; a.network.Contains(a.next.Next().Next()); a.next = a.next.Next() {
		if text := a.next.String(); !a.taken[text] {
			a.taken[text] = true
			return text, nil
		}
	}
	return "", &refusal{status: 403, code: "PERMISSION_DENIED", reason: "forbidden", info: "IP_SPACE_EXHAUSTED",
		message: fmt.Sprintf("IP space of subnetwork range '%s' is exhausted: quota of addresses exceeded.", a.network)}
}
