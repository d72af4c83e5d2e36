package gcp_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/container/apiv1/containerpb"
	"google.golang.org/api/compute/v1"

	workerpolicy "github.com/m3o/platform/deploy/workers"
	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/gcp"
	"github.com/m3o/platform/internal/cloud/gcp/gcptest"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// operated is a region that an operator has, and the project that it is in.
type operated struct {
	gcptest.Account
	t        *testing.T
	provider cloud.Provider
	spec     region.Spec
	network  region.Net
	identity region.Identity
	cluster  region.Cluster
	called   map[string]int // operations, and how often they were called
	bears    bool           // it goes on after failures that are told, as an operator does who starts it again
	forgets  bool           // it hands on no hints
	told     []string       // the failures
	patience time.Duration  // how long anything may take; 0: as long as clusters that are only numbers
}

func (o *operated) clusterSpec() region.ClusterSpec {
	spec := o.spec.ClusterSpec(o.network)
	spec.Principals, spec.ID = o.identity.Principals, o.cluster.ID
	return spec
}

// until takes steps until they say that it is done.
func (o *operated) until(what string, step func(hint string) (done bool, next, state string, err error)) {
	o.t.Helper()
	hint, state, deadline := "", "", time.Now().Add(max(20*time.Second, o.patience))
	for time.Now().Before(deadline) {
		done, next, now, err := step(hint)
		switch {
		case err == nil && done:
			return
		case err != nil && o.bears && fault.Of(err) != fault.Conflict:
			o.told = append(o.told, fault.Message(err))
		case err != nil && !fault.Is(err, fault.Conflict):
			o.t.Fatalf("%s: %v (kind %s)", what, err, fault.Of(err))
		}
		hint, state = next, now
		if o.forgets {
			hint = ""
		}
		time.Sleep(30 * time.Millisecond)
	}
	o.t.Fatalf("%s: it is still %s", what, state)
}

func (o *operated) makeNetwork() {
	o.t.Helper()
	o.until("make the network", func(hint string) (bool, string, string, error) {
		made, err := o.provider.EnsureNetwork(o.t.Context(), o.spec.NetworkSpec(), hint)
		o.network = made
		return made.Ready, made.Operation, made.State, err
	})
}

func (o *operated) makeCluster() {
	o.t.Helper()
	o.until("make the cluster", func(hint string) (bool, string, string, error) {
		made, err := o.provider.EnsureCluster(o.t.Context(), o.clusterSpec(), hint)
		if err == nil {
			o.cluster = made
		}
		if made.Broken {
			o.t.Fatalf("it is broken: %+v", made)
		}
		return made.Ready, made.Operation, made.State + " " + made.Reason, err
	})
}

func (o *operated) makeIdentity() {
	o.t.Helper()
	o.until("make the identity", func(hint string) (bool, string, string, error) {
		made, err := o.provider.EnsureIdentity(o.t.Context(), o.spec.IdentitySpec(o.network), hint)
		o.identity = made
		return made.Ready, made.Operation, made.State, err
	})
}

func (o *operated) build() {
	o.t.Helper()
	o.makeNetwork()
	o.makeIdentity()
	o.makeCluster()
}

func (o *operated) remove() {
	o.t.Helper()
	gone := func(what string, step func(string) (region.Removal, error)) {
		o.t.Helper()
		o.until("remove the "+what, func(hint string) (bool, string, string, error) {
			now, err := step(hint)
			return now.Gone, now.Operation, now.State, err
		})
	}
	gone("cluster", func(hint string) (region.Removal, error) {
		return o.provider.DeleteCluster(o.t.Context(), o.clusterSpec(), hint)
	})
	gone("identity", func(hint string) (region.Removal, error) {
		return o.provider.DeleteIdentity(o.t.Context(), o.spec.IdentitySpec(o.network), hint)
	})
	gone("network", func(hint string) (region.Removal, error) {
		return o.provider.DeleteNetwork(o.t.Context(), o.spec.NetworkSpec(), hint)
	})
	if left := o.owned(); len(left) > 0 {
		o.t.Errorf("left are %v", left)
	}
}

// owned are the kinds of what is the region's, each once.
func (o *operated) owned() []string {
	o.t.Helper()
	all, err := o.provider.Owned(o.t.Context(), o.spec.Key(), o.spec.Location, o.cluster.ID)
	if err != nil {
		o.t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, r := range all {
		kinds[r.Kind] = true
	}
	return slices.Sorted(maps.Keys(kinds))
}

// note remembers what was called.
func (o *operated) note() {
	for _, r := range o.Requests(o.t) {
		o.called[r.Operation]++
		if r.Status == 403 {
			o.t.Errorf("%s was denied", r.Operation)
		}
	}
}

// onlyReal are operations that nothing here provokes, with the reason. Answers from memory test them.
var onlyReal = map[string]string{
	"compute.regionBackendServices.delete": "the sandbox's clusters make load balancers with target pools",
	"compute.regionHealthChecks.list":      "likewise",
	"compute.regionHealthChecks.delete":    "likewise",
}

// A region lives through everything that the adapter can do to it, with no more than the worker's role, and needs all of that.
func TestTheWorkersRoleIsEnoughAndNoMore(t *testing.T) {
	runner := clusterstest.New(20)
	account := newAccount(t, sandbox.Config{Clusters: runner, Policies: map[string][]byte{"gcp": workerpolicy.Of("gcp")}})
	account.Egress = []string{"198.51.100.7/32"}
	o := &operated{Account: account, t: t, provider: account.Provider(t), spec: gcptest.Region, called: map[string]int{}}
	for _, stage := range []struct {
		name string
		run  func(*operated, *clusterstest.Runner)
	}{
		{"a plan is looked at", (*operated).plans},
		{"it is built", func(o *operated, _ *clusterstest.Runner) { o.build() }},
		{"it has any number of nodes", (*operated).resizes},
		{"who reaches its API server is changed", (*operated).restricts},
		{"what was changed by hand is brought back", (*operated).drifts},
		{"its load balancers and disks go with it", (*operated).leaves},
		{"its creation is given up", (*operated).givesUp},
	} {
		t.Run(stage.name, func(t *testing.T) {
			o.t = t
			stage.run(o, runner)
			o.note()
		})
	}
	o.t = t
	var held []string
	for operation := range o.called {
		needed, known := gcp.Permissions(operation)
		if !known && !strings.HasPrefix(operation, "oauth2.") {
			t.Errorf("%s is in no table", operation)
		}
		held = append(held, needed...)
	}
	for operation, why := range onlyReal {
		if o.called[operation] > 0 {
			t.Errorf("%s is called after all: it is not true that %s", operation, why)
		}
		needed, _ := gcp.Permissions(operation)
		held = append(held, needed...)
	}
	held = append(held, gcp.Inside()...)
	slices.Sort(held)
	var role struct {
		Permissions []string `json:"includedPermissions"`
	}
	if err := json.Unmarshal(workerpolicy.Of("gcp"), &role); err != nil {
		t.Fatal(err)
	}
	for _, permission := range role.Permissions {
		if !slices.Contains(held, permission) {
			t.Errorf("the role has %s, and nothing that was called needs it", permission)
		}
	}
}

func (o *operated) plans(*clusterstest.Runner) {
	for name, c := range map[string]struct {
		change func(*region.Spec)
		words  string
	}{
		"another region": {func(s *region.Spec) { s.Location = "europe-west11" }, `no region "europe-west11" (did you mean "europe-west1"?)`},
		"another size":   {func(s *region.Spec) { s.Kubernetes.Nodes.Size = "e2-standard-3" }, `no machines of type "e2-standard-3" in europe-west1 (did you mean "e2-standard-`},
		"a small range":  {func(s *region.Spec) { s.CIDR, s.Kubernetes.Nodes.Count = "10.20.0.0/20", 16 }, "10.20.0.0/20 has addresses for the pods of 15 nodes"},
	} {
		spec := o.spec
		c.change(&spec)
		got, err := o.provider.Preflight(o.t.Context(), spec, nil)
		if err != nil || len(got.Obstacles) == 0 || !strings.Contains(got.Obstacles[0].Message, c.words) {
			o.t.Errorf("%s: got %+v, %v", name, got.Obstacles, err)
		}
	}
}

func (o *operated) resizes(*clusterstest.Runner) {
	for _, count := range []int{5, 4, 1, 3} {
		o.spec.Kubernetes.Nodes.Count = count
		o.makeCluster()
		if o.cluster.Nodes != count {
			o.t.Errorf("it is ready with %d nodes, want %d", o.cluster.Nodes, count)
		}
	}
}

func (o *operated) restricts(*clusterstest.Runner) {
	blocks := func() string {
		c, err := o.Containers(o.t).GetCluster(o.t.Context(), &containerpb.GetClusterRequest{Name: "projects/" + o.Project + "/locations/" + o.spec.Location + "/clusters/" + o.cluster.Name})
		if err != nil {
			o.t.Fatal(err)
		}
		config := c.GetControlPlaneEndpointsConfig().GetIpEndpointsConfig().GetAuthorizedNetworksConfig()
		var all []string
		for _, b := range config.GetCidrBlocks() {
			all = append(all, b.GetCidrBlock())
		}
		slices.Sort(all)
		if !config.GetEnabled() {
			return "everybody"
		}
		return strings.Join(all, " ")
	}
	if got := blocks(); got != "everybody" {
		o.t.Errorf("first it lets in %s", got)
	}
	o.spec.Access = []string{"192.0.2.0/24"}
	o.makeCluster()
	want := []string{"192.0.2.0/24", "198.51.100.7/32", o.network.Egress[0] + "/32"}
	slices.Sort(want)
	if got := blocks(); got != strings.Join(want, " ") {
		o.t.Errorf("it lets in %s, want %s", got, want)
	}
	o.spec.Access = nil
	o.makeCluster()
	if got := blocks(); got != "everybody" {
		o.t.Errorf("in the end it lets in %s", got)
	}
}

func (o *operated) drifts(*clusterstest.Runner) {
	name, project, at, api := o.network.Name, o.Project, o.spec.Location, o.Compute(o.t)
	_, err := api.Routers.Patch(project, at, name, &compute.Router{ForceSendFields: []string{"Nats"}}).Context(o.t.Context()).Do()
	if err != nil {
		o.t.Fatal(err)
	}
	_, err = api.Subnetworks.SetPrivateIpGoogleAccess(project, at, name, &compute.SubnetworksSetPrivateIpGoogleAccessRequest{ForceSendFields: []string{"PrivateIpGoogleAccess"}}).Context(o.t.Context()).Do()
	if err != nil {
		o.t.Fatal(err)
	}
	o.makeNetwork()
	router, err := api.Routers.Get(project, at, name).Context(o.t.Context()).Do()
	if err != nil || len(router.Nats) != 1 {
		o.t.Errorf("the router has %+v, %v", router, err)
	}
	subnetwork, err := api.Subnetworks.Get(project, at, name).Context(o.t.Context()).Do()
	if err != nil || !subnetwork.PrivateIpGoogleAccess {
		o.t.Errorf("the subnetwork is %+v, %v", subnetwork, err)
	}
}

func (o *operated) leaves(runner *clusterstest.Runner) {
	runner.Made(clusters.Inventory{
		LoadBalancers: []clusters.LoadBalancer{{UID: "0e8f1c2d-0000-4000-8000-000000000001", Name: "a0e8f1c2d000040008000000000000001", IP: "127.0.1.1", Service: "m3o-network/api",
			Ports: []clusters.Port{{Protocol: "tcp", Port: 443, NodePort: 30443}}}},
		Volumes: []clusters.Volume{{UID: "1", Name: "pvc-1", Claim: "m3o-resource/data-etcd-0", SizeGiB: 10}},
	})
	want := []string{"disk", "firewall rule", "forwarding rule", "health check", "target pool"}
	o.until("be seen", func(string) (bool, string, string, error) {
		have := o.owned()
		missing := slices.ContainsFunc(want, func(kind string) bool { return !slices.Contains(have, kind) })
		return !missing, "", strings.Join(have, ", "), nil
	})
	o.remove()
	runner.Made(clusters.Inventory{})
}

// givesUp removes a region whose cluster is still being made.
func (o *operated) givesUp(*clusterstest.Runner) {
	o.spec.Name, o.cluster = "ew1-two", region.Cluster{}
	o.makeNetwork()
	o.makeIdentity()
	o.until("begin the cluster", func(string) (bool, string, string, error) {
		begun, err := o.provider.EnsureCluster(o.t.Context(), o.clusterSpec(), "")
		return begun.ID != "", "", begun.State, err
	})
	o.remove()
}
