package cloudtest_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

type providerOf = cloud.Provider

// caller is who asks: over which wire, and whether the credentials are valid.
type caller struct {
	wire  func(string) passage
	valid bool
}

// staged is a provider of several stages: a control plane, add-ons, a node group, and add-ons that need nodes; a network with a
// way out that takes its time; roles, and trust in the cluster's issuer. It is written as an adapter of EKS would be.
type staged struct {
	account *account
	caller  caller
	mutant  string          // how this copy is broken; none if empty
	made    map[string]bool // only a mutant remembers
}

func newStaged(a *account, c caller, mutant string) cloud.Provider {
	return &staged{account: a, caller: c, mutant: mutant, made: map[string]bool{}}
}

func (s *staged) is(mutant string) bool { return s.mutant == mutant }

// want is something that is to be there once what comes before it is active.
type want struct {
	thing
	after []*want // what it uses
}

// The layers of a region, in the order in which they are made; removed in the opposite one.

func networkOf(spec region.NetworkSpec) []*want {
	vpc := &want{thing: thing{kind: "vpc", name: spec.Name}}
	inner := &want{thing: thing{kind: "subnet", name: spec.Name + "-inner"}, after: []*want{vpc}}
	outer := &want{thing: thing{kind: "subnet", name: spec.Name + "-outer"}, after: []*want{vpc}}
	nat := &want{thing: thing{kind: "nat", name: spec.Name}, after: []*want{outer}}
	route := &want{thing: thing{kind: "route", name: spec.Name}, after: []*want{nat, inner}}
	return owned(spec.Owner, vpc, inner, outer, nat, route)
}

func identityOf(spec region.IdentitySpec) []*want {
	return owned(spec.Owner, &want{thing: thing{kind: "role", name: spec.Name + "-cluster"}}, &want{thing: thing{kind: "role", name: spec.Name + "-nodes"}})
}

func clusterOf(spec region.ClusterSpec, version string) []*want {
	cluster := &want{thing: thing{kind: "cluster", name: spec.Name, version: version, uses: []string{spec.Network.ID, spec.Principals["cluster"]}}}
	cni := &want{thing: thing{kind: "addon", name: spec.Name + "-cni", cluster: spec.Name}, after: []*want{cluster}}
	nodes := &want{thing: thing{kind: "nodes", name: spec.Name, cluster: spec.Name, count: spec.Nodes.Count, uses: []string{spec.Principals["nodes"]}}, after: []*want{cluster, cni}}
	dns := &want{thing: thing{kind: "addon", name: spec.Name + "-dns", cluster: spec.Name}, after: []*want{cluster, nodes}}
	return owned(spec.Owner, cluster, cni, nodes, dns)
}

func trustOf(spec region.TrustSpec) []*want {
	return owned(spec.Owner, &want{thing: thing{kind: "trust", name: spec.Name}})
}

func owned(owner region.Key, all ...*want) []*want {
	for _, w := range all {
		w.owner, w.region = owner.Tags(), "there-1"
	}
	return all
}

func (s *staged) list(ctx context.Context, kind string) (found []thing, states map[string]string, err error) {
	states = map[string]string{}
	err = s.account.call(ctx, s.caller, "list "+kind, func() error {
		for _, t := range s.account.things {
			if t.kind == kind {
				found = append(found, *t)
				states[t.id] = s.account.state(t)
			}
		}
		return nil
	})
	return found, states, explain(err, "list "+kind)
}

// find returns the thing that is wanted with its state, nil when there is none, an Exists fault when it is not ours.
func (s *staged) find(ctx context.Context, w *want) (*thing, string, error) {
	all, states, err := s.list(ctx, w.kind)
	if err != nil {
		return nil, "", err
	}
	i := slices.IndexFunc(all, func(t thing) bool { return t.name == w.name })
	if i < 0 {
		return nil, "", nil
	}
	ours, _ := w.owner.Owner()
	if owner, marked := all[i].owner.Owner(); (!marked || owner != ours) && !s.is("takes what is not its own") {
		return nil, "", fault.New(fault.Exists, "the account has a %s %s that is not this region's", w.kind, w.name)
	}
	return &all[i], states[all[i].id], nil
}

func (s *staged) create(ctx context.Context, w *want) error {
	err := s.account.call(ctx, s.caller, "create "+w.kind, func() error { return s.account.create(w.thing) })
	s.made[w.kind+w.name] = err == nil
	return explain(err, "create the "+w.kind+" "+w.name)
}

// grow takes one step: it makes what is missing until something is not active yet. found are the ids of what is there.
func (s *staged) grow(ctx context.Context, operation string, wants []*want) (now region.Condition, found map[string]thing, err error) {
	found = map[string]thing{}
	for _, w := range wants {
		for _, before := range w.after {
			w.uses = append(w.uses, found[before.kind+before.name].id)
		}
		have, state, err := s.seen(ctx, operation, w)
		if err != nil {
			return now, found, err
		}
		if have == nil {
			err := s.create(ctx, w)
			if fault.Is(err, fault.Exists) && !s.is("takes an answer that was lost for another's") { // made since we looked
				return region.Condition{State: "CREATING", Operation: w.kind + " " + w.name}, found, nil
			}
			if err != nil {
				return now, found, err
			}
			if have, state, err = s.find(ctx, w); err != nil || have == nil {
				return region.Condition{State: "CREATING"}, found, err
			}
		}
		found[w.kind+w.name] = *have
		switch {
		case state == "FAILED" && !s.is("calls what failed busy"):
			return region.Condition{Broken: true, State: state, Reason: w.kind + " " + w.name + " could not be created; ask the cloud's support"}, found, nil
		case state == "DELETING":
			return now, found, fault.New(fault.Conflict, "the %s %s is still being deleted", w.kind, w.name)
		case state != "ACTIVE" && s.is("is ready too early"):
		case state != "ACTIVE" && s.is("waits inside a step"):
			for n := 0; n < 100 && state != "ACTIVE" && err == nil; n++ {
				_, state, err = s.find(ctx, w)
			}
		case state != "ACTIVE":
			return region.Condition{State: state, Reason: w.kind + " " + w.name, Operation: w.kind + " " + w.name}, found, nil
		}
	}
	return region.Condition{Ready: true, State: "ACTIVE"}, found, nil
}

// seen is find, but for mutants that do not look.
func (s *staged) seen(ctx context.Context, operation string, w *want) (*thing, string, error) {
	have, state, err := s.find(ctx, w)
	switch {
	case s.is("remembers instead of looking") && !s.made[w.kind+w.name]:
		return nil, "", nil
	case s.is("needs its hint") && err == nil && have != nil && state == "CREATING" && operation != w.kind+" "+w.name:
		return nil, "", fault.New(fault.Failed, "nobody knows of an operation %q", operation)
	}
	return have, state, err
}

// shrink takes one step: it removes from the last thing to the first, until something is not gone yet.
func (s *staged) shrink(ctx context.Context, wants []*want) (region.Removal, error) {
	for _, w := range slices.Backward(wants) {
		have, state, err := s.find(ctx, w)
		switch {
		case fault.Is(err, fault.Exists) || err == nil && have == nil:
			continue
		case err != nil:
			return region.Removal{}, err
		case state == "DELETING":
			return region.Removal{State: w.kind + " " + w.name + " is " + state}, nil
		}
		if err := s.delete(ctx, *have); err != nil {
			return region.Removal{}, err
		}
		if ends[w.kind] > 0 && !s.is("calls gone what is going") {
			return region.Removal{State: w.kind + " " + w.name + " was asked to go"}, nil
		}
	}
	return region.Removal{Gone: true}, nil
}

func (s *staged) delete(ctx context.Context, t thing) error {
	err := explain(s.account.call(ctx, s.caller, "delete "+t.kind, func() error { return s.account.remove(t.id) }), "delete the "+t.kind+" "+t.name)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

func (s *staged) EnsureNetwork(ctx context.Context, spec region.NetworkSpec, operation string) (region.Net, error) {
	if s.is("cuts names off") {
		spec.Name = spec.Name[:min(len(spec.Name), 63)]
	}
	if s.is("names by region alone") {
		spec.Name = "m3o-" + spec.Owner.Name
	}
	now, found, err := s.grow(ctx, operation, networkOf(spec))
	if err != nil {
		return region.Net{}, err
	}
	made := region.Net{ID: found["vpc"+spec.Name].id, Name: spec.Name, CIDR: "10.0.0.0/16", Zones: []string{"there-1a"}, Egress: []string{"203.0.113.7"}, Condition: now}
	for name, public := range map[string]bool{"-inner": false, "-outer": true} {
		made.Subnets = append(made.Subnets, region.Subnet{ID: found["subnet"+spec.Name+name].id, Zone: "there-1a", Public: public})
	}
	return made, nil
}

func (s *staged) DeleteNetwork(ctx context.Context, spec region.NetworkSpec, _ string) (region.Removal, error) {
	return s.shrink(ctx, networkOf(spec))
}

func (s *staged) EnsureIdentity(ctx context.Context, spec region.IdentitySpec, operation string) (region.Identity, error) {
	now, found, err := s.grow(ctx, operation, identityOf(spec))
	if err != nil {
		return region.Identity{}, err
	}
	return region.Identity{Condition: now, Principals: map[string]string{"cluster": found["role"+spec.Name+"-cluster"].id, "nodes": found["role"+spec.Name+"-nodes"].id}}, nil
}

func (s *staged) DeleteIdentity(ctx context.Context, spec region.IdentitySpec, _ string) (region.Removal, error) {
	if s.is("keeps its roles") {
		return region.Removal{Gone: true}, nil
	}
	return s.shrink(ctx, identityOf(spec))
}

func (s *staged) EnsureTrust(ctx context.Context, spec region.TrustSpec, operation string) (region.Condition, error) {
	now, _, err := s.grow(ctx, operation, trustOf(spec))
	return now, err
}

func (s *staged) DeleteTrust(ctx context.Context, spec region.TrustSpec, _ string) (region.Removal, error) {
	return s.shrink(ctx, trustOf(spec))
}

func (s *staged) EnsureCluster(ctx context.Context, spec region.ClusterSpec, operation string) (region.Cluster, error) {
	i := slices.IndexFunc(offered, func(v string) bool { return strings.HasPrefix(v, spec.Version+".") })
	if i < 0 {
		return region.Cluster{}, fault.New(fault.Invalid, "the cloud does not offer Kubernetes %s; it offers %v", spec.Version, offered)
	}
	now, found, err := s.grow(ctx, operation, clusterOf(spec, offered[i]))
	if err != nil {
		return region.Cluster{}, err
	}
	nodes := found["nodes"+spec.Name]
	if now.Ready && nodes.count != spec.Nodes.Count {
		err := s.account.call(ctx, s.caller, "scale nodes", func() error {
			return s.account.change(nodes.id, func(t *thing) { t.count, t.due = spec.Nodes.Count, s.account.now+4 })
		})
		if err != nil {
			return region.Cluster{}, explain(err, "scale the node group")
		}
		now = region.Condition{State: "UPDATING"}
	}
	if c := found["cluster"+spec.Name]; s.is("fights the cloud's version") && c.version != offered[i] && now.Ready {
		_ = s.account.change(c.id, func(t *thing) { t.version = offered[i] })
	}
	return told(found["cluster"+spec.Name], now, nodes.count), nil
}

func told(c thing, now region.Condition, nodes int) region.Cluster {
	if !now.Ready {
		nodes = 0
	}
	return region.Cluster{ID: c.id, Name: c.name, Endpoint: "https://" + c.id + ".example", Issuer: "https://issuer.example/" + c.id, Version: c.version, Nodes: nodes, Condition: now}
}

// change changes a thing; its callers hold the account's lock, or are mutants.
func (a *account) change(id string, how func(*thing)) error {
	for _, t := range a.things {
		if t.id == id {
			how(t)
			a.note("updated", t)
			return nil
		}
	}
	return refuse("NotFound", "%s does not exist", id)
}

func (s *staged) findCluster(ctx context.Context, spec region.ClusterSpec) (region.Cluster, error) {
	have, state, err := s.find(ctx, clusterOf(spec, "")[0])
	if fault.Is(err, fault.Exists) || err == nil && have == nil {
		return region.Cluster{}, fault.New(fault.NotFound, "the account has no cluster %s", spec.Name)
	}
	if err != nil {
		return region.Cluster{}, err
	}
	return told(*have, region.Condition{State: state, Ready: state == "ACTIVE", Broken: state == "FAILED"}, 0), nil
}

func (s *staged) DeleteCluster(ctx context.Context, spec region.ClusterSpec, _ string) (region.Removal, error) {
	now, err := s.shrink(ctx, clusterOf(spec, ""))
	if err != nil || !now.Gone || s.is("forgets what its cluster left") {
		return now, err
	}
	all, _, err := s.list(ctx, "balancer")
	for _, b := range all {
		if b.cluster == spec.Name && err == nil {
			now = region.Removal{State: "the cluster left the load balancer " + b.name}
			err = s.delete(ctx, b)
		}
	}
	return now, err
}

func (s *staged) Access(ctx context.Context, spec region.ClusterSpec) (cloud.Access, error) {
	c, err := s.findCluster(ctx, spec)
	if err == nil {
		err = explain(s.account.call(ctx, s.caller, "sign", func() error { return nil }), "sign a token for the cluster")
	}
	if err != nil {
		return cloud.Access{}, err
	}
	config := fmt.Sprintf("clusters: [{cluster: {server: %q}}]\nusers: [{name: m3o}]\n", c.Endpoint)
	return cloud.Access{Kubeconfig: []byte(config), Expires: time.Now().Add(15 * time.Minute)}, nil
}

const nodeLimit = 20

func (s *staged) Preflight(ctx context.Context, want region.Spec, have *region.Spec) (region.Preflight, error) {
	want.Kubernetes = want.Kubernetes.Or(region.Kubernetes{Version: region.Minor(offered[len(offered)-1]), Nodes: region.Nodes{Count: 1, Size: "large"}})
	used := 0
	err := explain(s.account.call(ctx, s.caller, "limits", func() error {
		for _, t := range s.account.things {
			used += t.count
		}
		return nil
	}), "describe the limits")
	cost := region.Cost{Amount: fmt.Sprintf("%d.00", 50*want.Kubernetes.Nodes.Count), Currency: "USD"}
	if fault.Is(err, fault.Denied) {
		return region.Preflight{Kubernetes: want.Kubernetes, Monthly: cost, Obstacles: []region.Obstacle{{Kind: "denied", Message: fault.Message(err)}}}, nil
	}
	if err != nil {
		return region.Preflight{}, err
	}
	answer := region.Preflight{Kubernetes: want.Kubernetes, Monthly: cost}
	obstacle := func(found bool, kind fault.Kind, words string) {
		if found {
			answer.Obstacles = append(answer.Obstacles, region.Obstacle{Kind: string(kind), Message: words})
		}
	}
	more := want.Kubernetes.Nodes.Count
	if have != nil {
		more -= have.Kubernetes.Nodes.Count
	}
	obstacle(want.Location != "there-1", fault.Invalid, "there is no location "+want.Location)
	obstacle(!slices.ContainsFunc(offered, func(v string) bool { return strings.HasPrefix(v, want.Kubernetes.Version+".") }), fault.Invalid, "there is no version "+want.Kubernetes.Version)
	obstacle(want.Kubernetes.Nodes.Size != "large", fault.Invalid, "there is no size "+want.Kubernetes.Nodes.Size)
	if more > 0 {
		answer.Draws = []region.Draw{{Pool: "nodes", Adds: more, Left: nodeLimit - used}}
	}
	obstacle(more > 0 && used+more > nodeLimit, fault.Quota, "the limit of nodes is reached")
	return answer, nil
}

func (s *staged) Owned(ctx context.Context, owner region.Key, _ string, _ ...string) ([]region.Resource, error) {
	var all []region.Resource
	err := s.account.call(ctx, s.caller, "list all", func() error {
		for _, t := range s.account.things {
			of, marked := t.owner.Owner()
			if marked && of == owner || t.kind == "balancer" && t.cluster == owner.ResourceName() {
				all = append(all, region.Resource{Kind: t.kind, ID: t.id, Name: t.name})
			}
		}
		return nil
	})
	return all, explain(err, "list what is there")
}
