package azure

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/world"
)

// States of resources. Microsoft.Network calls Updating what others call Creating.
const (
	creating  = "Creating"
	updating  = "Updating"
	deleting  = "Deleting"
	succeeded = "Succeeded"
	failed    = "Failed"
	canceled  = "Canceled"
)

// resource is anything that has an id, as it is kept.
type resource struct {
	// GUID tells apart those that had the same id one after the other. The ledger knows resources by it.
	GUID string `json:"guid"`
	// ID is the id as answers have it, in the case of whoever made it.
	ID       string `json:"id"`
	Type     string `json:"type"`
	Name     string `json:"name"`
	Location string `json:"location,omitempty"`
	State    string `json:"state"`
	// Body is what was sent, completed by what the provider adds and keeps: properties, tags, sku, zones, identity and whatever else.
	Body map[string]any `json:"body"`
	// Sent is the last body that was asked for, by which a repeated request is known.
	Sent map[string]any `json:"sent,omitempty"`
	Etag string         `json:"etag"`
	// ManagedBy is the GUID of the cluster that made it, "" for what a caller did.
	ManagedBy string    `json:"managed_by,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	ChangedAt time.Time `json:"changed_at"`
	// Operation is the id of the operation that works on it.
	Operation string           `json:"operation,omitempty"`
	Work      world.Transition `json:"work"`
	// Cluster is what only a managed cluster has, Node what only a node.
	Cluster *clusterState `json:"cluster,omitempty"`
	Node    *nodeState    `json:"node,omitempty"`
}

// key is the id without regard to case, by which it is found.
func (r *resource) key() string { return strings.ToLower(r.ID) }

// busy says that an operation works on it.
func (r *resource) busy() bool {
	return r.State == creating || r.State == updating || r.State == deleting
}

// properties are never nil.
func (r *resource) properties() map[string]any {
	p, _ := r.Body["properties"].(map[string]any)
	if p == nil {
		p = map[string]any{}
		if r.Body == nil {
			r.Body = map[string]any{}
		}
		r.Body["properties"] = p
	}
	return p
}

// tags are the resource's, as the ledger has them.
func (r *resource) tags() []string {
	var tags []string
	for key, value := range stringsOf(r.Body["tags"]) {
		tags = append(tags, key+"="+value)
	}
	return sorted(tags)
}

// ref is where a resource is kept.
func ref(typ, key string) world.Ref {
	return world.Ref{Provider: Name, Kind: typ, ID: strings.ToLower(key)}
}

func get(tx *world.Tx, typ, key string) (*resource, error) {
	r, err := world.Get[resource](tx, ref(typ, key))
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// find is get, with nil for what is not there.
func find(tx *world.Tx, typ, key string) (*resource, error) {
	r, err := get(tx, typ, key)
	if isNotFound(err) {
		return nil, nil
	}
	return r, err
}

func list(tx *world.Tx, typ string) ([]*resource, error) {
	all, err := world.List[*resource](tx, ref(typ, ""))
	return all, err
}

// mentioning lists the resources of a type in which the text is somewhere.
func mentioning(tx *world.Tx, typ, text string) ([]*resource, error) {
	return world.Mentioning[*resource](tx, ref(typ, ""), text)
}

// children lists the resources of a type in a parent: those of a resource group, or of another resource.
func children(tx *world.Tx, typ, parent string) ([]*resource, error) {
	return world.Children[*resource](tx, ref(typ, parent))
}

func put(tx *world.Tx, r *resource) error {
	return tx.Put(ref(r.Type, r.ID), world.Meta{Name: r.Name, Parent: parentKey(r.ID)}, r)
}

// add writes a new resource down, with its line in the ledger.
func add(tx *world.Tx, r *resource, why world.Effect) error {
	if err := put(tx, r); err != nil {
		return err
	}
	return tx.Record(r.effect(world.Created, why))
}

// remove drops a resource and what lives in it, with their lines in the ledger.
func remove(tx *world.Tx, r *resource, why world.Effect) error {
	inner := []string{typeAssignment}
	if kind := kindOf(r.Type); kind != nil {
		inner = append(inner, kind.children...)
	}
	for _, child := range inner {
		inside, err := children(tx, child, r.key())
		if err != nil {
			return err
		}
		for _, one := range inside {
			if err := remove(tx, one, why); err != nil {
				return err
			}
		}
	}
	if err := tx.Delete(ref(r.Type, r.ID)); err != nil {
		return err
	}
	return tx.Record(r.effect(world.Deleted, why))
}

// effect is the ledger's line of what happened to a resource; why has the operation, the key and the times.
func (r *resource) effect(kind string, why world.Effect) world.Effect {
	why.Provider, why.Kind, why.Resource, why.ID, why.Tags = Name, kind, r.Type, r.GUID, r.tags()
	why.Name, why.Parent = localName(r.ID), parentKey(r.ID)
	if kind != world.Deleted {
		why.State = r.State
	}
	return why
}

// because is the cause of what a transition brings about, for the ledger.
func because(t world.Transition, now time.Time) world.Effect {
	asked := t.RequestedAt
	return world.Effect{Operation: t.Operation, Key: t.Key, RequestedAt: &asked, ReadyAt: &now}
}

// asked is the cause of what a request brings about at once, for the ledger.
func (r *request) asked() world.Effect { return r.Effect("", "", "", "") }

// groupKey is the key of the resource group that an id lies in, "" for none.
func groupKey(id string) string {
	s := split(strings.ToLower(id))
	if len(s) < 4 || s[0] != "subscriptions" || s[2] != "resourcegroups" {
		return ""
	}
	return "/" + strings.Join(s[:4], "/")
}

// parentKey is the key of what a resource lives in: another resource, a resource group, or the subscription.
func parentKey(id string) string {
	s := split(strings.ToLower(id))
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == "providers" && i+3 < len(s) {
			if len(s)-i > 4 {
				return "/" + strings.Join(s[:len(s)-2], "/")
			}
			return "/" + strings.Join(s[:i], "/")
		}
	}
	return "/" + strings.Join(s[:max(0, len(s)-2)], "/")
}

// localName is a resource's name, with the names of what it lives in: "vnet/subnet".
func localName(id string) string {
	s := split(id)
	for i := len(s) - 1; i >= 0; i-- {
		if strings.EqualFold(s[i], "providers") {
			var names []string
			for j := i + 3; j < len(s); j += 2 {
				names = append(names, s[j])
			}
			return strings.Join(names, "/")
		}
	}
	if len(s) == 0 {
		return ""
	}
	return s[len(s)-1]
}

// idIn is the id of a resource in a group, in the canonical case of its type.
func idIn(subscription, group, typ string, names ...string) string {
	id := fmt.Sprintf("/subscriptions/%s/resourceGroups/%s", subscription, group)
	if strings.HasPrefix(typ, containerService) {
		id = fmt.Sprintf("/subscriptions/%s/resourcegroups/%s", subscription, group) // as that provider writes it
	}
	return id + inType(typ, names...)
}

// inType is the part of an id that begins with its provider.
func inType(typ string, names ...string) string {
	parts := strings.Split(typ, "/")
	id := "/providers/" + parts[0]
	for i, part := range parts[1:] {
		id += "/" + part
		if i < len(names) {
			id += "/" + names[i]
		}
	}
	return id
}

// touch marks a change.
func (r *resource) touch(now time.Time) {
	r.ChangedAt, r.Etag = now, uuid.NewString()
}

// wire is the resource as its provider shows it.
func (r *resource) wire(tx *world.Tx) (map[string]any, error) {
	w := clone(r.Body)
	w["id"], w["name"], w["type"] = r.ID, r.Name, r.Type
	if r.Location != "" {
		w["location"] = r.Location
	}
	kind := kindOf(r.Type)
	if kind == nil {
		return w, nil
	}
	p, _ := w["properties"].(map[string]any)
	if p == nil {
		p = map[string]any{}
	}
	if !kind.stateless {
		p["provisioningState"] = r.State
	}
	if strings.HasPrefix(r.Type, network) {
		w["etag"] = `W/"` + r.Etag + `"`
	}
	w["properties"] = p
	if kind.show != nil {
		return w, kind.show(tx, r, w)
	}
	return w, nil
}

// clone copies a body deeply.
func clone(body map[string]any) map[string]any {
	copied := maps.Clone(body)
	if copied == nil {
		copied = map[string]any{}
	}
	for key, value := range copied {
		copied[key] = cloneValue(value)
	}
	return copied
}

func cloneValue(value any) any {
	switch v := value.(type) {
	case map[string]any:
		return clone(v)
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = cloneValue(item)
		}
		return items
	}
	return value
}
