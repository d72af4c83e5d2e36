package aws

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Name is the provider's name in ledger, faults and state.
const Name = "aws"

// userName is whose the account's credentials are.
const userName = "m3o"

// Kinds of resources, by the names that AWS' tagging has for them.
const (
	kindVPC         = "vpc"
	kindSubnet      = "subnet"
	kindGateway     = "internet-gateway"
	kindAddress     = "elastic-ip"
	kindNAT         = "natgateway"
	kindRouteTable  = "route-table"
	kindGroup       = "security-group"
	kindACL         = "network-acl"
	kindInterface   = "network-interface"
	kindVolume      = "volume"
	kindSnapshot    = "snapshot"
	kindInstance    = "instance"
	kindTemplate    = "launch-template"
	kindRole        = "role"
	kindOIDC        = "oidc-provider"
	kindBalancer    = "loadbalancer"
	kindTargetGroup = "targetgroup"
	kindCluster     = "cluster"
	kindNodegroup   = "nodegroup"
	kindAddon       = "addon"
	kindEntry       = "access-entry"
	kindAssociation = "podidentityassociation"
	kindUpdate      = "update"
	kindUnderway    = "underway"
)

// prefixes tell the kind of a resource by its id.
var prefixes = map[string]string{"vpc": kindVPC, "subnet": kindSubnet, "igw": kindGateway, "eipalloc": kindAddress, "nat": kindNAT,
	"rtb": kindRouteTable, "sg": kindGroup, "acl": kindACL, "eni": kindInterface, "vol": kindVolume, "snap": kindSnapshot, "i": kindInstance, "lt": kindTemplate}

func ref(kind, id string) world.Ref { return world.Ref{Provider: Name, Kind: kind, ID: id} }

// tag is one tag, as EC2 writes it; IAM and load balancing write other letters.
type tag struct {
	Key   string `xml:"key"`
	Value string `xml:"value!"`
}

// tags are a resource's, in the order in which they were given.
type tags []tag

// get is the value of a tag.
func (t tags) get(key string) (string, bool) {
	i := slices.IndexFunc(t, func(one tag) bool { return one.Key == key })
	if i < 0 {
		return "", false
	}
	return t[i].Value, true
}

// name is the tag Name, or what else the resource is called by.
func (t tags) name(id string) string {
	name, _ := t.get("Name")
	return cmp.Or(name, id)
}

// set returns the tags with one of them changed or added.
func (t tags) set(key, value string) tags {
	t = slices.DeleteFunc(slices.Clone(t), func(one tag) bool { return one.Key == key })
	return append(t, tag{key, value})
}

// without returns the tags without one of them.
func (t tags) without(key string) tags {
	return slices.DeleteFunc(slices.Clone(t), func(one tag) bool { return one.Key == key })
}

// texts are the tags as the ledger has them.
func (t tags) texts() []string {
	texts := make([]string, 0, len(t))
	for _, one := range t {
		texts = append(texts, one.Key+"="+one.Value)
	}
	return texts
}

func tagsOf(m map[string]string) tags {
	t := tags{}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		t = append(t, tag{key, m[key]})
	}
	return t
}

// upper are the tags as the services other than EC2 write them.
func (t tags) upper() []wire.Fields {
	list := make([]wire.Fields, 0, len(t))
	for _, one := range t {
		list = append(list, wire.Fields{"Key": one.Key, "Value!": one.Value})
	}
	return list
}

// underway is a change that ends by itself when it is time: nothing but the clock has to be asked.
type underway struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// To is the state that the resource comes to.
	To         string           `json:"to"`
	Transition world.Transition `json:"transition"`
}

// start notes that a resource is on its way to a state.
func start(tx *world.Tx, kind, id, to string, t world.Transition) error {
	return tx.Put(ref(kindUnderway, id), world.Meta{Name: id}, underway{ID: id, Kind: kind, To: to, Transition: t})
}

// finishers take resources to the state that they were on the way to.
var finishers = map[string]func(*world.Tx, underway, time.Time) error{
	kindVPC:      finishVPC,
	kindSubnet:   finishSubnet,
	kindNAT:      finishNAT,
	kindVolume:   finishVolume,
	kindSnapshot: finishSnapshot,
	kindBalancer: finishBalancer,
	kindInstance: finishInstance,
}

// settle does everything that is due. It runs before whatever looks at the state, so that a sandbox that was killed, or that
// nobody asked anything, is where the clock says.
func settle(tx *world.Tx, now time.Time) error {
	all, err := world.List[underway](tx, ref(kindUnderway, ""))
	if err != nil {
		return err
	}
	for _, u := range all {
		if !u.Transition.IsDue(now) {
			continue
		}
		if err := tx.Delete(ref(kindUnderway, u.ID)); err != nil {
			return err
		}
		err := finishers[u.Kind](tx, u, now)
		if err != nil && !isNotFound(err) { // what was removed meanwhile has nowhere to go
			return err
		}
	}
	return nil
}

// forgetUnderway drops the change that a resource is in, if any: another takes its place.
func forgetUnderway(tx *world.Tx, id string) error {
	if err := tx.Delete(ref(kindUnderway, id)); !isNotFound(err) {
		return err
	}
	return nil
}

// all lists a kind, and those of them that are wanted.
func all[T any](tx *world.Tx, kind string, wanted func(T) bool) ([]T, error) {
	list, err := world.List[T](tx, ref(kind, ""))
	return slices.DeleteFunc(list, func(one T) bool { return !wanted(one) }), err
}

// within lists what is in a parent, and those of them that are wanted; nil wants all.
func within[T any](tx *world.Tx, kind, parent string, wanted func(T) bool) ([]T, error) {
	list, err := world.Children[T](tx, ref(kind, parent))
	if wanted == nil {
		return list, err
	}
	return slices.DeleteFunc(list, func(one T) bool { return !wanted(one) }), err
}

// change loads a resource, changes it and writes it back where it was.
func change[T resource](tx *world.Tx, kind, id string, how func(*T)) error {
	one, err := world.Get[T](tx, ref(kind, id))
	if err != nil {
		return err
	}
	how(&one)
	return put(tx, kind, one)
}

// resource is what EC2's resources have in common.
type resource interface {
	// ident is its id, home what it lives in (a VPC, or the region), place its region.
	ident() string
	home() string
	place() string
	marks() tags
	// attribute are the values that a filter of that name looks at; false if there is no such filter.
	attribute(filter string) ([]string, bool)
}

// nameOf is what people and faults call a resource.
func nameOf(one resource) string {
	if named, has := one.(interface{ called() string }); has {
		return named.called()
	}
	return one.marks().name(one.ident())
}

func put(tx *world.Tx, kind string, one resource) error {
	return tx.Put(ref(kind, one.ident()), world.Meta{Name: nameOf(one), Parent: one.home()}, one)
}

// drop removes a resource and says so in the ledger, as an effect of the request or, with an empty one, of nobody's.
func drop(tx *world.Tx, kind string, one resource, effect world.Effect) error {
	effect.Provider, effect.Kind, effect.Resource, effect.ID = Name, world.Deleted, kind, one.ident()
	effect.Name, effect.Tags, effect.Parent = nameOf(one), one.marks().texts(), one.home()
	return errors.Join(forgetUnderway(tx, one.ident()), tx.Delete(ref(kind, one.ident())), tx.Record(effect))
}
