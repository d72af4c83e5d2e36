package digitalocean

import (
	"errors"
	"slices"
	"time"

	"github.com/m3o/platform/internal/sandbox/fleet"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Name is the provider's name in ledger, faults and state.
const Name = "digitalocean"

// Kinds of resources.
const (
	kindVPC          = "vpc"
	kindCluster      = "kubernetes_cluster"
	kindPool         = "kubernetes_node_pool"
	kindNode         = "kubernetes_node"
	kindLoadBalancer = "load_balancer"
	kindVolume       = "volume"
)

// States of clusters and nodes.
const (
	provisioning = "provisioning"
	running      = "running"
	degraded     = "degraded"
	failed       = "error"
	upgrading    = "upgrading"
	draining     = "draining"
	deleting     = "deleting"
)

// vpc is a VPC as it is kept.
type vpc struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Region      string    `json:"region"`
	IPRange     string    `json:"ip_range"`
	Default     bool      `json:"default"`
	CreatedAt   time.Time `json:"created_at"`
}

// cluster is a cluster as it is kept.
type cluster struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Region  string   `json:"region"`
	Version string   `json:"version"`
	VPC     string   `json:"vpc_uuid"`
	Tags    []string `json:"tags"`
	State   string   `json:"state"`
	Message string   `json:"message"`
	// Target is the version of an upgrade under way.
	Target string `json:"target,omitempty"`
	// Place is where the runner keeps it.
	Place             string           `json:"place"`
	Endpoint          string           `json:"endpoint"`
	MaintenancePolicy *maintenance     `json:"maintenance_policy"`
	AutoUpgrade       bool             `json:"auto_upgrade"`
	SurgeUpgrade      bool             `json:"surge_upgrade"`
	HA                bool             `json:"ha"`
	Plugins           plugins          `json:"plugins"`
	CreatedAt         time.Time        `json:"created_at"`
	UpdatedAt         time.Time        `json:"updated_at"`
	Transition        world.Transition `json:"transition"`
	// Along lists the load balancers and volumes that go with it.
	Along []string `json:"along,omitempty"`
}

// pool is a node pool as it is kept.
type pool struct {
	ID        string            `json:"id"`
	Cluster   string            `json:"cluster"`
	Name      string            `json:"name"`
	Size      string            `json:"size"`
	Tags      []string          `json:"tags"`
	Labels    map[string]string `json:"labels"`
	CreatedAt time.Time         `json:"created_at"`
	// Deleting says that it goes when its last node has gone.
	Deleting   bool             `json:"deleting,omitempty"`
	Transition world.Transition `json:"transition"`
}

// node is a worker as it is kept.
type node struct {
	ID        string `json:"id"`
	Cluster   string `json:"cluster"`
	Pool      string `json:"pool"`
	Name      string `json:"name"`
	DropletID int    `json:"droplet_id"`
	// Address is its Droplet's in the VPC.
	Address    string           `json:"address,omitempty"`
	State      string           `json:"state"`
	Message    string           `json:"message"`
	CreatedAt  time.Time        `json:"created_at"`
	UpdatedAt  time.Time        `json:"updated_at"`
	Transition world.Transition `json:"transition"`
}

// leaving says that the node is on its way out.
func (n node) leaving() bool { return n.State == draining || n.State == deleting }

// belonging is a load balancer or a volume that something in a cluster asked for, or a volume that a caller did: then Cluster
// is empty, and Description and Tags are the caller's.
type belonging struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"`
	Name      string    `json:"name"`
	Cluster   string    `json:"cluster"`
	Region    string    `json:"region"`
	VPC       string    `json:"vpc_uuid"`
	IP        string    `json:"ip,omitempty"`
	Ports     []port    `json:"ports,omitempty"`
	SizeGiB   int       `json:"size_gigabytes,omitempty"`
	CreatedAt time.Time `json:"created_at"`

	Description string   `json:"description,omitempty"`
	Tags        []string `json:"tags,omitempty"`
}

type port struct {
	Protocol string `json:"protocol"`
	Entry    int    `json:"entry"`
	Target   int    `json:"target"`
}

// family is a cluster with its pools and nodes.
type family struct {
	cluster cluster
	pools   []pool
	nodes   []node
}

func ref(kind, id string) world.Ref { return world.Ref{Provider: Name, Kind: kind, ID: id} }

func loadFamily(tx *world.Tx, id string) (*family, error) {
	c, pools, nodes, err := fleet.Load[cluster, pool, node](tx, ref(kindCluster, id), ref(kindPool, id), ref(kindNode, id))
	if err != nil {
		return nil, err
	}
	return &family{cluster: c, pools: pools, nodes: nodes}, nil
}

func (f *family) nodesOf(poolID string) []node {
	var nodes []node
	for _, n := range f.nodes {
		if n.Pool == poolID {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// poolByID returns a pool that is not on its way out.
func (f *family) poolByID(id string) (*pool, bool) {
	i := slices.IndexFunc(f.pools, func(p pool) bool { return p.ID == id && !p.Deleting })
	if i < 0 {
		return nil, false
	}
	return &f.pools[i], true
}

func putVPC(tx *world.Tx, v vpc) error {
	return tx.Put(ref(kindVPC, v.ID), world.Meta{Name: v.Name}, v)
}

func putCluster(tx *world.Tx, c cluster) error {
	return tx.Put(ref(kindCluster, c.ID), world.Meta{Name: c.Name, Parent: c.VPC}, c)
}

func putPool(tx *world.Tx, p pool) error {
	return tx.Put(ref(kindPool, p.ID), world.Meta{Name: p.Name, Parent: p.Cluster}, p)
}

func putNode(tx *world.Tx, n node) error {
	return tx.Put(ref(kindNode, n.ID), world.Meta{Name: n.Name, Parent: n.Cluster}, n)
}

func putBelonging(tx *world.Tx, b belonging) error {
	return tx.Put(ref(b.Kind, b.ID), world.Meta{Name: b.Name, Parent: b.Cluster}, b)
}

// isNotFound says that a resource is not there.
func isNotFound(err error) bool { return errors.Is(err, world.ErrNotFound) }
