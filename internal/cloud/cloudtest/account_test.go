package cloudtest_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// account is a cloud in memory that wants things in an order, as EKS does. Its time goes by with its calls: each is a tick.
type account struct {
	mu      sync.Mutex
	now     int
	serial  int
	things  []*thing
	effects []cloudtest.Effect
	breaks  []broken
}

type broken struct {
	call string
	way  cloudtest.Way
}

// thing is something in the account. It is pending until it is due, and then active, or gone.
type thing struct {
	kind, name, id string
	region         string
	owner          region.Tags
	cluster        string   // the name of the cluster that made it, or that it is a part of
	uses           []string // ids
	due            int
	leaving, fails bool
	version        string
	count          int
}

// takes is how many ticks something takes to become active. What is not listed is so at once.
var takes = map[string]int{"nat": 4, "role": 3, "cluster": 6, "addon": 2, "nodes": 4, "trust": 1}

// ends is how many ticks something takes to be gone.
var ends = map[string]int{"nat": 3, "cluster": 4, "addon": 1, "nodes": 3}

const never = 1 << 30

var offered = []string{"1.34.2", "1.35.1"}

// The account's own words for what goes wrong.
type refusal struct{ code, words string }

func (r refusal) Error() string { return r.code + ": " + r.words }

func refuse(code, format string, args ...any) error {
	return refusal{code, fmt.Sprintf(format, args...)}
}

// call is a request to the account, over a wire.
func (a *account) call(ctx context.Context, c caller, name string, do func() error) error {
	passage := cloudtest.Passes
	if c.wire != nil {
		passage = c.wire(name)
	}
	switch {
	case passage == cloudtest.CutBefore:
		return refuse("Cut", "the connection ended")
	case passage == cloudtest.Refused:
		return refuse("Throttling", "too many requests")
	case passage == cloudtest.Expired || !c.valid:
		return refuse("ExpiredToken", "the security token is not valid")
	}
	if err := a.misbehave(ctx, name); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now++
	a.advance()
	if err := do(); err != nil {
		return err
	}
	if passage == cloudtest.CutAfter {
		return refuse("Cut", "the connection ended")
	}
	return nil
}

func (a *account) misbehave(ctx context.Context, name string) error {
	a.mu.Lock()
	i := slices.IndexFunc(a.breaks, func(b broken) bool { return b.call == name && b.way != cloudtest.Late && b.way != cloudtest.Stuck })
	if i < 0 {
		a.mu.Unlock()
		return nil
	}
	way := a.breaks[i].way
	a.breaks = slices.Delete(a.breaks, i, i+1)
	a.mu.Unlock()
	switch way {
	case cloudtest.Throttled:
		return refuse("Throttling", "too many requests")
	case cloudtest.Denied:
		return refuse("AccessDenied", "not authorized to perform: %s", name)
	case cloudtest.Quota:
		return refuse("LimitExceeded", "the limit of the account is reached")
	case cloudtest.LostBefore:
		return refuse("Cut", "the connection ended")
	case cloudtest.Slow:
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Second):
			return nil
		}
	}
	return refuse("InternalFailure", "internal error")
}

// spoiled takes an order to spoil what the call makes.
func (a *account) spoiled(name string, way cloudtest.Way) bool {
	i := slices.Index(a.breaks, broken{name, way})
	if i >= 0 {
		a.breaks = slices.Delete(a.breaks, i, i+1)
	}
	return i >= 0
}

func (a *account) advance() {
	a.things = slices.DeleteFunc(a.things, func(t *thing) bool {
		gone := t.leaving && a.now >= t.due
		if gone {
			a.note("deleted", t)
		}
		return gone
	})
}

func (a *account) note(change string, t *thing) {
	kind := cloudtest.Kind(t.kind)
	if t.kind == "vpc" {
		kind = cloudtest.Network
	}
	a.effects = append(a.effects, cloudtest.Effect{Change: change, Kind: kind, Name: t.name})
}

func (a *account) state(t *thing) string {
	switch {
	case t.leaving:
		return "DELETING"
	case a.now < t.due:
		return "CREATING"
	case t.fails:
		return "FAILED"
	}
	return "ACTIVE"
}

// create makes a thing, if its name is free and all that it uses is there and active.
func (a *account) create(t thing) error {
	if slices.ContainsFunc(a.things, func(o *thing) bool { return o.kind == t.kind && o.name == t.name }) {
		return refuse("AlreadyExists", "%s %s already exists", t.kind, t.name)
	}
	for _, id := range t.uses {
		i := slices.IndexFunc(a.things, func(o *thing) bool { return o.id == id })
		switch {
		case i < 0:
			return refuse("NotFound", "%s %s uses %q, which does not exist", t.kind, t.name, id)
		case a.state(a.things[i]) != "ACTIVE" && a.things[i].kind == "role":
			return refuse("InvalidParameter", "the role %s could not be assumed", a.things[i].name)
		case a.state(a.things[i]) != "ACTIVE":
			return refuse("ResourceInUse", "%s %s is %s", a.things[i].kind, a.things[i].name, a.state(a.things[i]))
		}
	}
	a.serial++
	made := t
	made.id, made.due = fmt.Sprintf("%s-%04d", t.kind, a.serial), a.now+takes[t.kind]
	if a.spoiled("create "+t.kind, cloudtest.Stuck) {
		made.due = never
	}
	made.fails = a.spoiled("create "+t.kind, cloudtest.Late)
	a.things = append(a.things, &made)
	a.note("created", &made)
	return nil
}

// remove begins the end of a thing that nothing uses.
func (a *account) remove(id string) error {
	i := slices.IndexFunc(a.things, func(t *thing) bool { return t.id == id })
	if i < 0 {
		return refuse("NotFound", "%s does not exist", id)
	}
	one := a.things[i]
	for _, o := range a.things {
		if slices.Contains(o.uses, id) {
			return refuse("DependencyViolation", "%s %s has a dependent %s %s", one.kind, one.name, o.kind, o.name)
		}
	}
	if one.leaving || a.now < one.due && one.due != never {
		return refuse("ResourceInUse", "%s %s is %s", one.kind, one.name, a.state(one))
	}
	one.leaving, one.due = true, a.now+ends[one.kind]
	a.advance()
	return nil
}

// harness is the account as the suite wants it, with the provider or a broken copy of it.
func (a *account) harness(mutant string) cloudtest.Harness {
	spec := region.Spec{Platform: "micro", Domain: "micro.mu", Name: "there-1", Provider: region.AWS, Location: "there-1",
		Kubernetes: region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 2, Size: "large"}}}
	return cloudtest.Harness{
		Provider: newStaged(a, caller{valid: true}, mutant), Stranger: newStaged(a, caller{}, mutant), Region: spec,
		Kinds: []cloudtest.Kind{cloudtest.Network, cloudtest.Identity, cloudtest.Cluster},
		Wired: func(_ *testing.T, w cloudtest.Wire) providerOf {
			return newStaged(a, caller{valid: true, wire: w}, mutant)
		},
		Break: a.breakOnce, Effects: a.happened, Foreign: a.foreign, Outlive: a.outlive, Upgrade: a.upgrade,
		Within: 3 * time.Second, Poll: 100 * time.Microsecond,
	}
}

// names are the account's calls.
var names = map[cloudtest.Call]string{
	cloudtest.ListNetworks: "list vpc", cloudtest.CreateNetwork: "create vpc", cloudtest.ListClusters: "list cluster", cloudtest.CreateCluster: "create cluster",
	cloudtest.ScaleCluster: "scale nodes", cloudtest.DeleteCluster: "delete addon", cloudtest.GiveAccess: "sign", cloudtest.DescribeLimit: "limits",
}

func (a *account) breakOnce(_ *testing.T, b cloudtest.Breakage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.breaks = append(a.breaks, broken{names[b.Call], b.Way})
}

func (a *account) happened(*testing.T) []cloudtest.Effect {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.effects)
}

func (a *account) foreign(t *testing.T, kind cloudtest.Kind, name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	strange := map[cloudtest.Kind]thing{cloudtest.Network: {kind: "vpc", name: name}, cloudtest.Identity: {kind: "role", name: name + "-cluster"},
		cloudtest.Cluster: {kind: "cluster", name: name, version: offered[0]}}[kind]
	strange.owner = region.Tags{"managed-by": "somebody"}
	if err := a.create(strange); err != nil {
		t.Fatal(err)
	}
}

// outlive makes a load balancer in the cluster's network, as a Service of the cluster would: marked with the cluster's name alone.
func (a *account) outlive(t *testing.T, c region.Cluster) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.things, func(o *thing) bool { return o.kind == "subnet" && o.owner["m3o-region"] != "" })
	if i < 0 {
		t.Fatal("there is no subnet")
	}
	if err := a.create(thing{kind: "balancer", name: fmt.Sprintf("lb-%d", a.serial), cluster: c.Name, uses: []string{a.things[i].id}}); err != nil {
		t.Fatal(err)
	}
	return a.things[len(a.things)-1].id
}

func (a *account) upgrade(t *testing.T, c region.Cluster) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range a.things {
		if one.id == c.ID {
			one.version, one.due = offered[1], a.now+5
			return one.version
		}
	}
	t.Fatalf("there is no cluster %s", c.ID)
	return ""
}

// explain gives the account's refusals their kinds, in its words.
func explain(err error, what string) error {
	r, ok := err.(refusal)
	if !ok {
		return err
	}
	kind := map[string]fault.Kind{"Cut": fault.Unavailable, "InternalFailure": fault.Unavailable, "Throttling": fault.Throttled, "ExpiredToken": fault.Denied,
		"AccessDenied": fault.Denied, "LimitExceeded": fault.Quota, "AlreadyExists": fault.Exists, "NotFound": fault.NotFound, "ResourceInUse": fault.Conflict,
		"InvalidParameter": fault.Conflict, "DependencyViolation": fault.Conflict}[r.code]
	f := fault.Wrap(kind, err, "the cloud refused to %s: %s", what, r.words)
	if kind == fault.Throttled {
		f.RetryAfter = time.Millisecond
	}
	return f
}
