package workflows_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// world is everything outside of the workflows: a cloud account, clusters, gateways, the builder and the database, kept in
// memory. It remembers every call in order, and fails the calls that it is told to.
type world struct {
	mu      sync.Mutex
	calls   []string
	failing map[string][]error
	during  map[string]func() // what happens while a call is at work
	after   map[string]func() // what happens before its answer is heard

	obstacles []region.Obstacle
	warnings  []string
	defaults  region.Kubernetes // the provider's, for what a region leaves out
	engine    string            // what enforces NetworkPolicy in clusters; "" is nothing
	version   string            // what the cloud upgraded clusters to
	asked     []activities.PreflightInput
	networks  map[string]bool
	acting    map[string]bool // regions with an identity
	trusted   map[string]bool // regions whose cluster is trusted
	clusters  map[string]region.ClusterSpec
	gaveUp    region.Condition // what the cloud says of every cluster, if anything
	removed   string           // the id by which the last cluster was removed
	volumes   []string         // ids of the clusters that made them, and that they outlive
	running   map[string]int   // "lon1/default/hello" -> release
	broken    string           // what InspectParts finds
	drift     []string         // likewise, until parts are applied again

	regions  map[region.Key]region.Region
	told     []string // statuses of regions as they were recorded: "lon1 creating"
	stale    int      // records that the database ignored as older
	plans    map[string]region.Plan
	wanted   map[string][]region.Spec
	releases map[int]release.Release
	byKey    map[string]int
	services map[release.Key]release.Service
	project  account.Project   // the one there is, for the workflows of projects
	marks    map[string]string // what regions know of it: "lon1" -> "suspended 2"
	heard    []string          // statuses of services and releases as they were recorded
	busy     int               // how often AwaitReleases still finds a release on its way
	answers  map[string]any
	atWork   map[string]bool // workflows that run, of those that nobody here runs
}

func newWorld() *world {
	return &world{engine: "daemonset kube-system/cilium", failing: map[string][]error{}, during: map[string]func(){}, after: map[string]func(){}, networks: map[string]bool{}, acting: map[string]bool{}, trusted: map[string]bool{},
		clusters: map[string]region.ClusterSpec{}, running: map[string]int{},
		regions: map[region.Key]region.Region{}, plans: map[string]region.Plan{}, wanted: map[string][]region.Spec{}, releases: map[int]release.Release{},
		byKey: map[string]int{}, services: map[release.Key]release.Service{}, answers: map[string]any{}, atWork: map[string]bool{},
		project: account.Project{Name: hello.Project, Platform: "micro", Status: account.ProjectActive}, marks: map[string]string{}}
}

// fails makes the next calls of that name fail: fails("EnsureCluster lon1", 2, err).
func (w *world) fails(call string, times int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failing[call] = append(w.failing[call], slices.Repeat([]error{err}, times)...)
}

// later makes a call fail as unavailable until about that much of the workflow's time has gone by; a minute at most, for the
// test environment asks ten times only.
func (w *world) later(call string, d time.Duration) {
	for step := 500 * time.Millisecond; d > 0; step = min(2*step, 10*time.Second) {
		notYet := fault.New(fault.Throttled, "not yet") // with a time of its own, which the clock of tests skips
		notYet.RetryAfter = step
		w.fails(call, 1, notYet)
		d -= step
	}
}

func (w *world) call(name, subject string) error {
	w.mu.Lock()
	do := w.during[name+" "+subject]
	w.mu.Unlock()
	if do != nil {
		do()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := name + " " + subject
	w.calls = append(w.calls, key)
	if list := w.failing[key]; len(list) > 0 {
		w.failing[key] = list[1:]
		return list[0]
	}
	return nil
}

// did lists the calls whose names begin with one of the prefixes, in order.
func (w *world) did(prefixes ...string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, c := range w.calls {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(c, p) }) {
			out = append(out, c)
		}
	}
	return strings.Join(out, ", ")
}

// refused is what an activity's fail makes of a fault; for the stand-ins of activities that need a real cluster.
func refused(err error) error {
	if err == nil {
		return nil
	}
	kind := fault.Of(err)
	return temporal.NewApplicationErrorWithOptions(fault.Message(err), string(kind), temporal.ApplicationErrorOptions{NonRetryable: kind.Permanent(), Cause: err})
}

// The cloud.

func (w *world) EnsureNetwork(_ context.Context, s region.NetworkSpec, _ string) (region.Net, error) {
	if err := w.call("EnsureNetwork", s.Owner.Name); err != nil {
		return region.Net{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.networks[s.Owner.Name] = true
	return region.Net{ID: "net-" + s.Owner.Name, Name: s.Name, CIDR: "10.0.0.0/20", Condition: region.Condition{Ready: true}}, nil
}

func (w *world) DeleteNetwork(_ context.Context, s region.NetworkSpec, _ string) (region.Removal, error) {
	if err := w.call("DeleteNetwork", s.Owner.Name); err != nil {
		return region.Removal{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, lives := w.clusters[s.Owner.Name]; lives {
		return region.Removal{}, fault.New(fault.Conflict, "a cluster lives in it")
	}
	delete(w.networks, s.Owner.Name)
	return region.Removal{Gone: true}, nil
}

func (w *world) EnsureIdentity(_ context.Context, s region.IdentitySpec, _ string) (region.Identity, error) {
	if err := w.call("EnsureIdentity", s.Owner.Name); err != nil {
		return region.Identity{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.Network.ID == "" || !w.networks[s.Owner.Name] {
		return region.Identity{}, fault.New(fault.Invalid, "an identity for a network %+v that is not there", s.Network)
	}
	w.acting[s.Owner.Name] = true
	return region.Identity{Principals: map[string]string{"nodes": "role-" + s.Owner.Name}, Condition: region.Condition{Ready: true}}, nil
}

func (w *world) DeleteIdentity(_ context.Context, s region.IdentitySpec, _ string) (region.Removal, error) {
	if err := w.call("DeleteIdentity", s.Owner.Name); err != nil {
		return region.Removal{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, lives := w.clusters[s.Owner.Name]; lives {
		return region.Removal{}, fault.New(fault.Failed, "a cluster acts by it")
	}
	delete(w.acting, s.Owner.Name)
	return region.Removal{Gone: true}, nil
}

func (w *world) EnsureTrust(_ context.Context, s region.TrustSpec, _ string) (region.Condition, error) {
	if err := w.call("EnsureTrust", s.Owner.Name); err != nil {
		return region.Condition{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.Cluster.ID == "" || s.Principals["nodes"] != "role-"+s.Owner.Name {
		return region.Condition{}, fault.New(fault.Invalid, "trust in %+v by %v", s.Cluster, s.Principals)
	}
	w.trusted[s.Owner.Name] = true
	return region.Condition{Ready: true}, nil
}

func (w *world) DeleteTrust(_ context.Context, s region.TrustSpec, _ string) (region.Removal, error) {
	if err := w.call("DeleteTrust", s.Owner.Name); err != nil {
		return region.Removal{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, lives := w.clusters[s.Owner.Name]; lives {
		return region.Removal{}, fault.New(fault.Failed, "a cluster is trusted that still needs it")
	}
	delete(w.trusted, s.Owner.Name)
	return region.Removal{Gone: true}, nil
}

// EnsureCluster makes a cluster that is ready when it is asked for once more.
func (w *world) EnsureCluster(_ context.Context, s region.ClusterSpec, _ string) (region.Cluster, error) {
	if err := w.call("EnsureCluster", s.Owner.Name); err != nil {
		return region.Cluster{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.Principals["nodes"] != "role-"+s.Owner.Name {
		return region.Cluster{}, fault.New(fault.Invalid, "a cluster that acts as %v", s.Principals)
	}
	before, found := w.clusters[s.Owner.Name]
	if w.gaveUp.Broken {
		return region.Cluster{ID: "k8s-" + s.Owner.Name, Name: s.Name, Condition: w.gaveUp}, nil
	}
	w.clusters[s.Owner.Name] = s
	if !found || before.Nodes != s.Nodes {
		return region.Cluster{ID: "k8s-" + s.Owner.Name, Name: s.Name, Condition: region.Condition{State: "provisioning"}}, nil
	}
	return ready(s), nil
}

func ready(s region.ClusterSpec) region.Cluster {
	return region.Cluster{ID: "k8s-" + s.Owner.Name, Name: s.Name, Nodes: s.Nodes.Count, Version: s.Version,
		Condition: region.Condition{State: "running", Ready: true}}
}

func (w *world) DeleteCluster(_ context.Context, s region.ClusterSpec, _ string) (region.Removal, error) {
	if err := w.call("DeleteCluster", s.Owner.Name); err != nil {
		return region.Removal{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.clusters, s.Owner.Name)
	w.removed = s.ID
	return region.Removal{Gone: true}, nil
}

func (w *world) Access(_ context.Context, s region.ClusterSpec) (cloud.Access, error) {
	return cloud.Access{Kubeconfig: []byte("kubeconfig of " + s.Name)}, w.call("Access", s.Owner.Name)
}

func (w *world) Kubeconfig(_ context.Context, s region.Spec, in region.Access) ([]byte, error) {
	return []byte("kubeconfig of " + in.By), w.call("Access", s.Name)
}

func (w *world) Preflight(_ context.Context, want region.Spec, have *region.Spec) (region.Preflight, error) {
	if err := w.call("Preflight", want.Name); err != nil {
		return region.Preflight{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, activities.PreflightInput{Want: want, Have: have})
	return region.Preflight{Kubernetes: want.Kubernetes.Or(w.defaults), Obstacles: w.obstacles, Warnings: w.warnings, Monthly: region.Cost{Amount: "36.00", Currency: "USD"}}, nil
}

func (w *world) Owned(_ context.Context, owner region.Key, _ string, had ...string) ([]region.Resource, error) {
	if err := w.call("Sweep", owner.Name); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var left []region.Resource
	if w.networks[owner.Name] {
		left = append(left, region.Resource{Kind: "vpc", ID: "net-" + owner.Name, Name: owner.Name})
	}
	if _, lives := w.clusters[owner.Name]; lives {
		left = append(left, region.Resource{Kind: "kubernetes cluster", ID: "k8s-" + owner.Name, Name: owner.Name})
	}
	if w.acting[owner.Name] || w.trusted[owner.Name] {
		left = append(left, region.Resource{Kind: "role", ID: "role-" + owner.Name, Name: owner.Name})
	}
	for _, volume := range w.volumes {
		if slices.Contains(had, volume) {
			left = append(left, region.Resource{Kind: "volume", ID: "vol-1", Name: "of " + volume})
		}
	}
	return left, nil
}

// Stand-ins for the activities that need a cluster or a gateway; they bear the real ones' names.

type parts struct{ w *world }

func (p parts) VerifyCluster(_ context.Context, s region.Spec) (region.Verified, error) {
	if err := p.w.call("VerifyCluster", s.Name); err != nil {
		return region.Verified{}, refused(err)
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	switch {
	case p.w.engine != "":
		return region.Verified{StorageClass: "standard", NetworkPolicy: region.Enforced, Engine: p.w.engine}, nil
	case s.Unenforced == region.Allow:
		return region.Verified{StorageClass: "standard", NetworkPolicy: region.Unenforced}, nil
	}
	return region.Verified{}, refused(fault.New(fault.Failed, "it took longer than 3m0s; last seen: nothing in the cluster enforces NetworkPolicy"))
}

func (p parts) ApplyParts(_ context.Context, s region.Spec) error {
	p.w.mu.Lock()
	p.w.drift = nil
	p.w.mu.Unlock()
	return refused(p.w.call("ApplyParts", s.Name))
}

func (p parts) AwaitParts(_ context.Context, s region.Spec) (region.Endpoints, error) {
	return region.Endpoints{API: "http://" + s.Name + ".example/"}, refused(p.w.call("AwaitParts", s.Name))
}

func (p parts) InspectParts(_ context.Context, s region.Spec) (region.Inspection, error) {
	err := p.w.call("InspectParts", s.Name)
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.w.broken != "" {
		return region.Inspection{Problems: []string{p.w.broken}}, refused(err)
	}
	found := region.Inspection{Healthy: true, Drift: p.w.drift, Version: p.w.version}
	if upgraded := s.Kubernetes.Upgraded(p.w.version); upgraded != "" {
		found.Drift = append([]string{upgraded}, found.Drift...)
	}
	return found, refused(err)
}

type gateways struct{ w *world }

func (s gateways) CheckGateway(_ context.Context, r region.Region) error {
	return refused(s.w.call("CheckGateway", r.Spec.Name))
}

func (s gateways) VerifyRelease(_ context.Context, p release.Placement) error {
	return refused(s.w.call("VerifyRelease", fmt.Sprintf("%s/%d", p.Region.Name, p.Release.Number)))
}

type services struct{ w *world }

func (s services) ApplyService(_ context.Context, p release.Placement) error {
	if err := s.w.call("ApplyService", fmt.Sprintf("%s/%d", p.Region.Name, p.Release.Number)); err != nil {
		return refused(err)
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.running[p.Region.Name+"/"+p.Release.Service.String()] = p.Release.Number
	return nil
}

func (s services) AwaitService(_ context.Context, p release.Placement) error {
	return refused(s.w.call("AwaitService", fmt.Sprintf("%s/%d", p.Region.Name, p.Release.Number)))
}

func (s services) DeleteService(_ context.Context, in activities.ServiceIn) error {
	if err := s.w.call("DeleteService", in.Region.Name); err != nil {
		return refused(err)
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	delete(s.w.running, in.Region.Name+"/"+in.Service.String())
	return nil
}

// The builder.

func (w *world) BuildImage(_ context.Context, in release.BuildInput) (release.Image, error) {
	return release.Image{Reference: fmt.Sprintf("registry/%s@sha256:%d", in.Service.Name, in.Number)}, w.call("BuildImage", fmt.Sprint(in.Number))
}

func (w *world) ResolveImage(_ context.Context, in release.BuildInput) (release.Image, error) {
	return release.Image{Reference: in.Origin.Image + "@sha256:0"}, w.call("ResolveImage", in.Origin.Image)
}

// The database.

func (w *world) RecordRegion(_ context.Context, r region.Region) error {
	if err := w.call("RecordRegion", r.Spec.Name); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if old, known := w.regions[r.Spec.Key()]; known && r.Version <= old.Version {
		w.stale++
		return nil
	}
	w.regions[r.Spec.Key()] = r
	if line := r.Spec.Name + " " + string(r.Status); len(w.told) == 0 || w.told[len(w.told)-1] != line {
		w.told = append(w.told, line)
	}
	return nil
}

func (w *world) Region(_ context.Context, key region.Key) (region.Region, error) {
	if err := w.call("Region", key.Name); err != nil {
		return region.Region{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r, found := w.regions[key]
	if !found {
		return region.Region{}, fault.New(fault.NotFound, "there is no region %s", key)
	}
	return r, nil
}

func (w *world) Regions(_ context.Context, platform string, includeDeleted bool) ([]region.Region, error) {
	if err := w.call("Regions", platform); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []region.Region{}
	for _, r := range w.regions {
		if (platform == "" || r.Spec.Platform == platform) && (includeDeleted || r.Status != region.Deleted) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b region.Region) int { return strings.Compare(a.Spec.Key().String(), b.Spec.Key().String()) })
	return out, nil
}

func (w *world) SavePlan(_ context.Context, p region.Plan, wanted []region.Spec) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plans[p.ID], w.wanted[p.ID] = p, wanted
	return nil
}

func (w *world) Plan(_ context.Context, id string) (region.Plan, []region.Spec, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, found := w.plans[id]
	if !found {
		return p, nil, fault.New(fault.NotFound, "no plan %s", id)
	}
	return p, w.wanted[id], nil
}

func (w *world) MovePlan(_ context.Context, id string, from, to region.PlanStatus) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.plans[id]
	if p.Status != from {
		return fault.New(fault.Conflict, "plan %s is %s", id, p.Status)
	}
	p.Status = to
	w.plans[id] = p
	return nil
}

func (w *world) AllocateRelease(_ context.Context, in release.Allocation) (release.Release, error) {
	req, key := in.Request, in.RequestKey
	if err := w.call("AllocateRelease", key); err != nil {
		return release.Release{}, err
	}
	if then := w.after["AllocateRelease "+key]; then != nil {
		defer then()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if number, known := w.byKey[key]; known {
		return w.releases[number], nil
	}
	r := release.Release{Service: req.Service, Number: len(w.releases) + 1, Follows: in.Follows, Status: release.Pending, By: req.By}
	if back := in.RollsBack; back != 0 {
		r.RollsBack, r.Origin, r.Image, r.Spec = back, w.releases[back].Origin, w.releases[back].Image, w.releases[back].Spec
	} else {
		var followed *release.Release
		if before, known := w.releases[in.Follows]; known {
			followed = &before
		}
		var err error
		if r.Spec, r.Origin, r.InFile, err = req.Over(followed); err != nil {
			return release.Release{}, err
		}
	}
	w.releases[r.Number], w.byKey[key] = r, r.Number
	return r, nil
}

func (w *world) RecordRelease(_ context.Context, r release.Release) error {
	if err := w.call("RecordRelease", fmt.Sprint(r.Number)); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.releases[r.Number]; r.Version <= old.Version {
		w.stale++
		return nil
	}
	w.releases[r.Number] = r
	w.hear(fmt.Sprintf("release %d %s", r.Number, r.Status))
	return nil
}

func (w *world) RecordService(_ context.Context, s release.Service) error {
	if err := w.call("RecordService", s.Key.Name); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if old, known := w.services[s.Key]; known && s.Version <= old.Version {
		return nil // a command and the loop may record at once: the later one counts
	}
	w.services[s.Key] = s
	w.hear(fmt.Sprintf("service %s", s.Status))
	return nil
}

func (w *world) hear(line string) {
	if !slices.Contains(w.heard[max(0, len(w.heard)-1):], line) {
		w.heard = append(w.heard, line)
	}
}

func (w *world) ServiceHistory(_ context.Context, key release.Key) (release.Service, []release.Release, error) {
	if err := w.call("ServiceHistory", key.Name); err != nil {
		return release.Service{}, nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []release.Release
	for _, n := range slices.Sorted(maps.Keys(w.releases)) {
		if r := w.releases[n]; r.Service == key {
			all = append(all, r)
		}
	}
	return w.services[key], all, nil
}

func (w *world) PlacesOf(ctx context.Context, _ string) ([]region.Region, error) {
	return w.Regions(ctx, "", false)
}

func (w *world) ServicesOn(context.Context, string) ([]release.Service, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []release.Service
	for _, s := range w.services {
		out = append(out, s)
	}
	return out, nil
}

func (w *world) RunningReleases(_ context.Context, in region.Key) ([]release.Release, error) {
	if err := w.call("RunningReleases", in.Name); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy > 0 {
		w.busy--
		return []release.Release{{Service: hello, Number: 1}}, nil
	}
	return nil, nil
}

// Other workflows.

func (w *world) ApplyRegion(_ context.Context, id string, in region.ApplyInput) (region.Accepted, error) {
	return region.Accepted{Operation: 1}, w.call("ApplyRegion", id)
}

func (w *world) RemoveRegion(_ context.Context, id string, _ region.Key, _ region.RemoveInput) (region.Accepted, error) {
	return region.Accepted{Operation: 1}, w.call("RemoveRegion", id)
}

func (w *world) RegionReady(_ context.Context, key release.Key, fact release.RegionFact) error {
	return w.call("RegionReady", key.Name+" "+strings.TrimPrefix(fact.Region, "micro/"))
}

func (w *world) RegionRemoved(_ context.Context, key release.Key, fact release.RegionFact) error {
	return w.call("RegionRemoved", key.Name+" "+strings.TrimPrefix(fact.Region, "micro/"))
}

func (w *world) AwaitWorkflow(_ context.Context, id string) (json.RawMessage, error) {
	if err := w.call("AwaitWorkflow", id); err != nil {
		return nil, err
	}
	return json.Marshal(w.answers[id])
}

func (w *world) WorkflowRuns(_ context.Context, id string) (bool, error) {
	if err := w.call("WorkflowRuns", id); err != nil {
		return false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.atWork[id], nil
}
