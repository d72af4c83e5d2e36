package gcp

//lint:file-ignore SA1019 Fields that are deprecated are still what stock clients send and read.

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/m3o/platform/internal/sandbox/fleet"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Name is the provider's name in ledger, faults and state.
const Name = "gcp"

// Kinds of resources beside compute's collections.
const (
	kindCluster   = "cluster"
	kindPool      = "node_pool"
	kindNode      = "instance"
	kindAccount   = "service_account"
	kindPolicy    = "iam_policy"
	kindService   = "service"
	kindOperation = "operation"
)

// document is a compute resource as the API shows it.
type document map[string]any

func (d document) text(field string) string {
	text, _ := d[field].(string)
	return text
}

func (d document) list(field string) []any {
	list, _ := d[field].([]any)
	return list
}

func (d document) clone() document { return maps.Clone(d) }

// resource is one of compute's as it is kept.
type resource struct {
	Collection string    `json:"collection"`
	Scope      string    `json:"scope"` // "global", "regions/europe-west1", "zones/europe-west1-b"
	Name       string    `json:"name"`
	ID         string    `json:"id"`
	Doc        document  `json:"doc"`
	CreatedAt  time.Time `json:"created_at"`
	// Busy is the operation that makes, changes or removes it.
	Busy string `json:"busy,omitempty"`
	// Fresh says that it is still being made.
	Fresh bool `json:"fresh,omitempty"`
	// Cluster is the id of the cluster that it was made for, if any. It goes with it if it is GKE's own; what was made because of a
	// Service or a claim stays.
	Cluster string `json:"cluster,omitempty"`
	GKE     bool   `json:"gke,omitempty"`
	// UID is the Service's or the volume's.
	UID string `json:"uid,omitempty"`
}

// path is what the API calls the resource in its messages.
func (r resource) path() string { return pathOf(r.Scope, r.Collection, r.Name) }

func (r resource) link() string { return computeLink(r.path()) }

func pathOf(scope, collection, name string) string {
	return "projects/" + ProjectID + "/" + scope + "/" + collection + "/" + name
}

// computeLink is the selfLink of a path. The API answers with this host whatever host it was asked at.
func computeLink(path string) string { return "https://www.googleapis.com/compute/v1/" + path }

// key is where a resource is kept.
func key(scope, collection, name string) world.Ref { return ref(collection, scope+"/"+name) }

func (r resource) key() world.Ref { return key(r.Scope, r.Collection, r.Name) }

func putResource(tx *world.Tx, r resource) error {
	return tx.Put(r.key(), world.Meta{Name: r.Name, Parent: r.Scope}, r)
}

// operation is a long-running operation of any service as it is kept.
type operation struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Service string `json:"service"`
	// Scope is as a resource's for compute, the location for container.
	Scope string `json:"scope"`
	// Type is in the service's words: "insert", "CREATE_CLUSTER".
	Type string `json:"type"`
	// Target is the path of what it is about, TargetID its number; Kind and Key where that is kept.
	Target   string `json:"target"`
	TargetID string `json:"target_id"`
	Kind     string `json:"kind"`
	Key      string `json:"key"`
	// Request is the caller's request id.
	Request string `json:"request,omitempty"`
	User    string `json:"user"`
	Detail  string `json:"detail,omitempty"`
	// Pending is what the resource becomes when it ends.
	Pending    document         `json:"pending,omitempty"`
	Services   []string         `json:"services,omitempty"`
	Transition world.Transition `json:"transition"`
	EndedAt    time.Time        `json:"ended_at"`
	Done       bool             `json:"done,omitempty"`
	// Refused says why it fails when it is due, of itself and not by a fault.
	Refused     string `json:"refused,omitempty"`
	RefusedCode string `json:"refused_code,omitempty"`
	// ErrorCode and ErrorMessage say why it failed.
	ErrorCode    string `json:"error_code,omitempty"`
	ErrorMessage string `json:"error_message,omitempty"`
	Cancelled    bool   `json:"cancelled,omitempty"`
}

const (
	pendingOperations = "pending"
	doneOperations    = "done"
)

func putOperation(tx *world.Tx, o operation) error {
	parent := pendingOperations
	if o.Done {
		parent = doneOperations
	}
	return tx.Put(ref(kindOperation, o.Name), world.Meta{Name: o.Name, Parent: parent}, o)
}

// status is in what state it is.
func (o operation) status(now time.Time) string {
	switch {
	case o.Done:
		return "DONE"
	case now.Before(o.Transition.RequestedAt.Add(o.Transition.Due.Sub(o.Transition.RequestedAt) / 20)):
		return "PENDING"
	}
	return "RUNNING"
}

// progress is between 0 and 100.
func (o operation) progress(now time.Time) int {
	if o.Done {
		return 100
	}
	whole := o.Transition.Due.Sub(o.Transition.RequestedAt)
	if whole <= 0 {
		return 99
	}
	return min(99, max(0, int(100*now.Sub(o.Transition.RequestedAt)/whole)))
}

// message is a message of the container API in its JSON form.
type message[T proto.Message] struct{ M T }

// MarshalJSON implements json.Marshaler.
func (m message[T]) MarshalJSON() ([]byte, error) { return protojson.Marshal(m.M) }

// UnmarshalJSON implements json.Unmarshaler.
func (m *message[T]) UnmarshalJSON(data []byte) error {
	var zero T
	m.M = zero.ProtoReflect().New().Interface().(T)
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, m.M)
}

// cluster is a cluster as it is kept. Doc has what the caller and the cloud decided; what changes by itself is beside it.
type cluster struct {
	ID       string                        `json:"id"`
	Name     string                        `json:"name"`
	Location string                        `json:"location"`
	Number   string                        `json:"number"`
	Doc      message[*containerpb.Cluster] `json:"doc"`
	State    string                        `json:"state"`
	Message  string                        `json:"message,omitempty"`
	Version  string                        `json:"version"`
	// Target is the version of an upgrade under way.
	Target   string    `json:"target,omitempty"`
	Place    string    `json:"place"`
	Endpoint string    `json:"endpoint,omitempty"`
	CA       string    `json:"ca,omitempty"` // PEM
	Created  time.Time `json:"created_at"`
	// Operation is the one under way, Born the one that made it.
	Operation string `json:"operation,omitempty"`
	Born      string `json:"born"`
	// Lacking is the service account of nodes that lacks what nodes need, if one does.
	Lacking string `json:"lacking,omitempty"`
}

func (c cluster) path() string {
	return "projects/" + ProjectID + "/" + c.where() + "/clusters/" + c.Name
}

// where is the part of a link that says where a cluster is: old links of zonal clusters say zones.
func (c cluster) where() string {
	if _, isZone := regionOfZone(c.Location); isZone {
		return "zones/" + c.Location
	}
	return "locations/" + c.Location
}

// hash is the part of the names of what GKE makes for a cluster.
func (c cluster) hash() string { return c.ID[:8] }

// pool is a node pool as it is kept.
type pool struct {
	ID      string                         `json:"id"`
	Cluster string                         `json:"cluster"`
	Name    string                         `json:"name"`
	Doc     message[*containerpb.NodePool] `json:"doc"`
	State   string                         `json:"state"`
	Message string                         `json:"message,omitempty"`
	Version string                         `json:"version"`
	Born    string                         `json:"born"`
	Created time.Time                      `json:"created_at"`
}

// node is a worker, and its instance.
type node struct {
	ID      string `json:"id"`
	Cluster string `json:"cluster"`
	Pool    string `json:"pool"` // the pool's id
	Name    string `json:"name"`
	Zone    string `json:"zone"`
	Address string `json:"address"`
	// Leaving says that it goes when the operation that wants that ends.
	Leaving bool      `json:"leaving,omitempty"`
	Running bool      `json:"running,omitempty"`
	Created time.Time `json:"created_at"`
	// Operation is the one that made it.
	Operation string `json:"operation"`
	// Spoiled says that a fault keeps it from ever running.
	Spoiled bool `json:"spoiled,omitempty"`
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

func (f *family) poolNamed(name string) (*pool, bool) {
	for i := range f.pools {
		if f.pools[i].Name == name {
			return &f.pools[i], true
		}
	}
	return nil, false
}

func putCluster(tx *world.Tx, c cluster) error {
	return tx.Put(ref(kindCluster, c.ID), world.Meta{Name: c.Name, Parent: c.Location}, c)
}

func putPool(tx *world.Tx, p pool) error {
	return tx.Put(ref(kindPool, p.ID), world.Meta{Name: p.Name, Parent: p.Cluster}, p)
}

func putNode(tx *world.Tx, n node) error {
	return tx.Put(ref(kindNode, n.ID), world.Meta{Name: n.Name, Parent: n.Cluster}, n)
}

// asDocument is the JSON form of a value.
func asDocument(value any) (document, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("write a document: %w", err)
	}
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("read a document: %w", err)
	}
	return doc, nil
}
