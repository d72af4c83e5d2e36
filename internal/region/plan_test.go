package region_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/region"
)

func spec(name string, nodes int) region.Spec {
	return region.Spec{Platform: "micro", Domain: "micro.mu", Name: name, Provider: region.DigitalOcean, Location: "lon1",
		Kubernetes: region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: nodes, Size: "s-2vcpu-4gb"}},
		Resource:   []region.Part{region.Etcd, region.NATS}, Network: []region.Part{region.API}}
}

func there(s region.Spec, status region.Status) region.Region {
	return region.Region{Spec: s, Status: status, Version: 7, Network: region.Net{ID: "n-1"}, Cluster: region.Cluster{ID: "c-1"}}
}

// lines are the steps as a user would read them.
func lines(steps []region.Step) string {
	out := make([]string, len(steps))
	for i, s := range steps {
		out[i] = string(s.Action) + " " + s.Region.Name
		if len(s.Changes) > 0 {
			out[i] += " (" + strings.Join(s.Changes, ", ") + ")"
		}
	}
	return strings.Join(out, "; ")
}

func TestComparedWithWhatThereIs(t *testing.T) {
	other := spec("fra1", 1)
	other.Platform = "other"
	reordered := spec("lon1", 1)
	reordered.Resource = []region.Part{region.NATS, region.Etcd}
	for name, c := range map[string]struct {
		wanted  []region.Spec
		have    []region.Region
		destroy bool
		want    string
	}{
		"nothing there":            {[]region.Spec{spec("nyc3", 1), spec("lon1", 1)}, nil, false, "create lon1; create nyc3"},
		"all is as wanted":         {[]region.Spec{spec("lon1", 1)}, []region.Region{there(spec("lon1", 1), region.Ready)}, false, ""},
		"degraded is as wanted":    {[]region.Spec{spec("lon1", 1)}, []region.Region{there(spec("lon1", 1), region.Degraded)}, false, ""},
		"order means nothing":      {[]region.Spec{reordered}, []region.Region{there(spec("lon1", 1), region.Ready)}, false, ""},
		"grown":                    {[]region.Spec{spec("lon1", 3)}, []region.Region{there(spec("lon1", 1), region.Ready)}, false, "change lon1 (kubernetes.nodes.count: 1 -> 3)"},
		"left out of the file":     {[]region.Spec{spec("lon1", 1)}, []region.Region{there(spec("lon1", 1), region.Ready), there(spec("sgp1", 1), region.Ready)}, false, "delete sgp1"},
		"another platform's":       {[]region.Spec{spec("lon1", 1)}, []region.Region{there(spec("lon1", 1), region.Ready), there(other, region.Ready)}, false, ""},
		"failed before":            {[]region.Spec{spec("lon1", 1)}, []region.Region{there(spec("lon1", 1), region.Failed)}, false, "change lon1 (status: failed -> ready)"},
		"gone before":              {[]region.Spec{spec("lon1", 1)}, []region.Region{there(spec("lon1", 1), region.Deleted)}, false, "create lon1"},
		"destroy":                  {[]region.Spec{spec("lon1", 1), spec("nyc3", 1)}, []region.Region{there(spec("lon1", 1), region.Ready)}, true, "delete lon1"},
		"destroy spares others":    {[]region.Spec{spec("lon1", 1)}, []region.Region{there(spec("lon1", 1), region.Ready), there(spec("sgp1", 1), region.Ready)}, true, "delete lon1"},
		"destroy what is gone":     {[]region.Spec{spec("lon1", 1)}, []region.Region{there(spec("lon1", 1), region.Deleted)}, true, ""},
		"destroy what half exists": {[]region.Spec{spec("lon1", 1)}, []region.Region{there(spec("lon1", 1), region.Failed)}, true, "delete lon1"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lines(region.Compare(c.wanted, c.have, c.destroy)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestWhatCannotBeChangedStandsInTheWay(t *testing.T) {
	moved := spec("lon1", 1)
	moved.Location, moved.Kubernetes.Version, moved.Kubernetes.Nodes.Size = "nyc3", "1.35", "s-4vcpu-8gb"
	steps := region.Compare([]region.Spec{moved}, []region.Region{there(spec("lon1", 1), region.Ready)}, false)
	if len(steps) != 1 || !(region.Plan{Steps: steps}).Blocked() {
		t.Fatalf("%+v is not blocked", steps)
	}
	var fields []string
	for _, o := range steps[0].Obstacles {
		field, _, _ := strings.Cut(o.Message, " ")
		fields = append(fields, field)
	}
	if want := []string{"region", "kubernetes.version", "kubernetes.nodes.size"}; !slices.Equal(fields, want) {
		t.Errorf("obstacles are about %v, want %v", fields, want)
	}
	if steps[0].Before == nil || steps[0].Before.Location != "lon1" {
		t.Errorf("a change says what was before: %+v", steps[0].Before)
	}
}

// A region whose failed bootstrap was removed has nothing to keep: what is wrong in the file can be corrected, and the cloud
// is asked as for a new one.
func TestWhatWasRemovedAgainCanBeAskedForOtherwise(t *testing.T) {
	moved := spec("lon1", 1)
	moved.Location, moved.Kubernetes.Version, moved.Kubernetes.Nodes.Size = "nyc3", "1.35", "s-4vcpu-8gb"
	gone := region.Region{Spec: spec("lon1", 1), Status: region.Failed, Version: 7}
	steps := region.Compare([]region.Spec{moved}, []region.Region{gone}, false)
	if len(steps) != 1 || len(steps[0].Obstacles) > 0 || steps[0].Before != nil {
		t.Errorf("nothing is there, and yet: %+v", steps)
	}
	gone.Network.ID = "n-1"
	steps = region.Compare([]region.Spec{moved}, []region.Region{gone}, false)
	if len(steps) != 1 || len(steps[0].Obstacles) != 1 || !strings.HasPrefix(steps[0].Obstacles[0].Message, "region cannot be changed") {
		t.Errorf("the network is where it is, and yet: %+v", steps)
	}
}

func TestDriftIsAChange(t *testing.T) {
	r := there(spec("lon1", 1), region.Ready)
	_, r.Message = region.Inspection{Healthy: true, Drift: []string{"deployment gateway: replicas 1, wanted 2"}}.Verdict()
	if got := lines(region.Compare([]region.Spec{r.Spec}, []region.Region{r}, false)); !strings.Contains(got, "change lon1 (drift: deployment gateway: replicas 1, wanted 2") {
		t.Errorf("the plan is %q", got)
	}
	r.Status = region.Degraded
	if got := r.Drift(); got != "" {
		t.Errorf("a region that is not well has drifted: %q", got)
	}
}

func TestAPlansBasisMovesWithTheWorld(t *testing.T) {
	wanted, have := []region.Spec{spec("lon1", 1)}, []region.Region{there(spec("lon1", 1), region.Ready), there(spec("nyc3", 1), region.Ready)}
	basis := region.Fingerprint(wanted, have, false)
	swapped := []region.Region{have[1], have[0]}
	if region.Fingerprint(wanted, swapped, false) != basis {
		t.Error("the order in which regions are listed moves the basis")
	}
	newer := slices.Clone(have)
	newer[1].Version++
	failed := slices.Clone(have)
	failed[0].Status = region.Failed
	for name, other := range map[string]string{
		"a newer record": region.Fingerprint(wanted, newer, false), "another status": region.Fingerprint(wanted, failed, false),
		"a region less": region.Fingerprint(wanted, have[:1], false), "another wish": region.Fingerprint([]region.Spec{spec("lon1", 2)}, have, false),
		"destroy": region.Fingerprint(wanted, have, true),
	} {
		if other == basis {
			t.Errorf("%s leaves the basis as it was", name)
		}
	}
}

func TestNamesInTheCloud(t *testing.T) {
	s := spec("lon1", 3)
	n, c := s.NetworkSpec(), s.ClusterSpec(region.Net{ID: "net-1"})
	if n.Name != "m3o-micro-lon1" || c.Name != n.Name || c.Network.ID != "net-1" || c.Nodes.Count != 3 {
		t.Errorf("network %+v, cluster %+v", n, c)
	}
	for _, tags := range []region.Tags{n.Tags, s.IdentitySpec(region.Net{}).Tags, c.Tags, s.TrustSpec(region.Cluster{}, region.Identity{}).Tags} {
		if owner, ok := tags.Owner(); !ok || owner != s.Key() {
			t.Errorf("tags %v do not name the owner", tags)
		}
	}
	k := s.Key()
	ids := []string{k.OperateID(), k.BootstrapID(1), k.BootstrapID(2), k.TeardownID(1), region.PlanID("x"), region.ApplyID("x")}
	if slices.Sort(ids); len(slices.Compact(ids)) != 6 {
		t.Errorf("ids collide: %v", ids)
	}
}

func TestWhereServicesGo(t *testing.T) {
	for status, want := range map[region.Status]bool{region.Ready: true, region.Updating: true, region.Degraded: true, region.Creating: false,
		region.Failed: false, region.Deleting: false, region.Deleted: false, region.Planned: false, region.Draining: false} {
		if status.Takes() != want {
			t.Errorf("a region that is %s takes services: %t", status, !want)
		}
	}
}

// What the file leaves out stays as it was applied, whatever the provider's defaults are by now.
func TestWhatIsLeftOutStaysAsItIs(t *testing.T) {
	left := spec("lon1", 0)
	left.Kubernetes = region.Kubernetes{}
	have := there(spec("lon1", 3), region.Ready)
	have.Cluster.Version = "1.34.1-do.0"
	if got := lines(region.Compare([]region.Spec{left}, []region.Region{have}, false)); got != "" {
		t.Errorf("a region as it was applied: the plan is to %s", got)
	}
	left.Kubernetes.Nodes.Count = 5
	steps := region.Compare([]region.Spec{left}, []region.Region{have}, false)
	if lines(steps) != "change lon1 (kubernetes.nodes.count: 3 -> 5)" || steps[0].Region.Kubernetes != (region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 5, Size: "s-2vcpu-4gb"}}) {
		t.Errorf("of more nodes the plan is %+v", steps)
	}
	for _, status := range []region.Status{region.Planned, region.Creating} { // it is on its way: what was ordered is what there will be
		started := region.Region{Spec: spec("lon1", 5), Status: status, Version: 2}
		for _, step := range region.Compare([]region.Spec{left}, []region.Region{started}, false) {
			if step.Region.Kubernetes != started.Spec.Kubernetes {
				t.Errorf("a region that is %s is to be %+v", status, step.Region.Kubernetes)
			}
		}
	}
}

func TestDefaultsFillInWhatIsLeftOutOfANewRegion(t *testing.T) {
	defaults := region.Kubernetes{Version: "1.35", Nodes: region.Nodes{Count: 3, Size: "s-2vcpu-4gb"}}
	left, gone := spec("lon1", 0), region.Region{Spec: spec("lon1", 9), Status: region.Failed, Version: 7}
	left.Kubernetes = region.Kubernetes{Nodes: region.Nodes{Count: 4}}
	want := region.Kubernetes{Version: "1.35", Nodes: region.Nodes{Count: 4, Size: "s-2vcpu-4gb"}}
	for name, have := range map[string][]region.Region{"new": nil, "removed after it failed": {gone}} {
		plan := region.Plan{Steps: region.Compare([]region.Spec{left}, have, false)}
		plan.Judge([]region.Preflight{{Kubernetes: defaults}})
		if got := plan.Steps[0].Region.Kubernetes; got != want || plan.Blocked() {
			t.Errorf("%s: planned %+v, obstacles %v", name, got, plan.Steps[0].Obstacles)
		}
	}
	plan := region.Plan{Steps: region.Compare([]region.Spec{left}, nil, false)}
	plan.Judge([]region.Preflight{{Kubernetes: region.Kubernetes{Version: "1.35"}}})
	if o := plan.Steps[0].Obstacles; len(o) != 1 || o[0].Message != "kubernetes.nodes.size is left out, and digitalocean has no default for it: write it" {
		t.Errorf("without a default for the size: %+v", o)
	}
}

// upgraded is a region of version 1.34 whose cloud upgraded the cluster, and found out.
func upgraded(t *testing.T, drift ...string) region.Region {
	t.Helper()
	r := there(spec("lon1", 1), region.Ready)
	r.Cluster.Version = "1.34.1-do.0"
	if r.Saw(region.Inspection{Healthy: true, Version: "1.34.1"}) || r.Cluster.Version != "1.34.1-do.0" {
		t.Errorf("the version that was recorded is news: %+v", r)
	}
	if !r.Saw(region.Inspection{Healthy: true, Version: "1.34.5"}) || r.Cluster.Version != "1.34.5" || r.Message != "" {
		t.Errorf("another patch is not recorded: %+v", r)
	}
	words := r.Spec.Kubernetes.Upgraded("1.35.2")
	if !r.Saw(region.Inspection{Healthy: true, Version: "1.35.2", Drift: append([]string{words}, drift...)}) || r.Cluster.Version != "1.35.2" {
		t.Errorf("another version is not recorded: %+v", r)
	}
	return r
}

func TestAClusterThatTheCloudUpgradedHasDrifted(t *testing.T) {
	r := upgraded(t)
	if r.Drift() != "kubernetes.version 1.35.2, wanted 1.34" {
		t.Errorf("it drifted: %q", r.Drift())
	}
	plan := region.Plan{Steps: region.Compare([]region.Spec{spec("lon1", 1)}, []region.Region{r}, false)}
	if lines(plan.Steps) != "change lon1 (kubernetes.version: 1.35 -> 1.34)" || !plan.Blocked() ||
		plan.Steps[0].Obstacles[0].Message != `kubernetes.version: the cluster runs 1.35.2 by now and cannot go back to 1.34: write "1.35", or leave it out` {
		t.Errorf("the file that asks for 1.34 plans %+v", plan.Steps)
	}
	left, written, other := spec("lon1", 1), spec("lon1", 1), spec("lon1", 1)
	left.Kubernetes, written.Kubernetes.Version, other.Kubernetes.Version = region.Kubernetes{}, "1.35", "1.36"
	for name, wanted := range map[string]region.Spec{"left out": left, "written": written} {
		steps := region.Compare([]region.Spec{wanted}, []region.Region{r}, false)
		if lines(steps) != "change lon1 (kubernetes.version: 1.34 -> 1.35)" || len(steps[0].Obstacles) > 0 {
			t.Errorf("the version is %s: %+v", name, steps)
		}
		applied := r
		applied.Spec, applied.Message = steps[0].Region, ""
		if got := lines(region.Compare([]region.Spec{wanted}, []region.Region{applied}, false)); got != "" {
			t.Errorf("the version is %s and was applied; the plan is to %s", name, got)
		}
	}
	if steps := region.Compare([]region.Spec{other}, []region.Region{r}, false); len(steps[0].Obstacles) != 1 {
		t.Errorf("a version that the cluster does not run: %+v", steps)
	}
	more := upgraded(t, "deployment gateway: replicas 1, wanted 2")
	if got := lines(region.Compare([]region.Spec{written}, []region.Region{more}, false)); got != "change lon1 (kubernetes.version: 1.34 -> 1.35, drift: deployment gateway: replicas 1, wanted 2 -> as applied)" {
		t.Errorf("the plan is to %s", got)
	}
}

func TestWhatIsAllowedIsAChangeInPlace(t *testing.T) {
	allowed := spec("lon1", 1)
	allowed.Unenforced = region.Allow
	steps := region.Compare([]region.Spec{allowed}, []region.Region{there(spec("lon1", 1), region.Ready)}, false)
	if lines(steps) != "change lon1 (unenforced: none -> allow)" || len(steps[0].Obstacles) > 0 {
		t.Errorf("the plan is %+v", steps)
	}
}

func TestRegionsThatFitOneByOneMustFitTogether(t *testing.T) {
	plan := region.Plan{Steps: []region.Step{{Region: spec("a", 3)}, {Region: spec("b", 3)}, {Region: spec("c", 3)}, {Region: spec("d", 3)}}}
	plan.Steps[2].Region.Provider = region.AWS
	cost := region.Cost{Amount: "1.00", Currency: "USD"}
	of := func(adds int) []region.Draw { return []region.Draw{{Pool: "droplets", Adds: adds, Left: 5}} }
	plan.Judge([]region.Preflight{{Draws: of(3), Monthly: cost}, {Draws: of(3)}, {Draws: of(3)}, {Draws: of(0)}})
	for i, blocked := range []bool{false, true, false, false} {
		if got := len(plan.Steps[i].Obstacles) > 0; got != blocked {
			t.Errorf("region %s: obstacles %v", plan.Steps[i].Region.Name, plan.Steps[i].Obstacles)
		}
	}
	if o := plan.Steps[1].Obstacles; len(o) != 1 || o[0].Kind != "quota" || !strings.Contains(o[0].Message, "needs 6 more droplets, and the digitalocean account can have 5 more") {
		t.Errorf("the obstacle is %+v", o)
	}
	if plan.Steps[0].Monthly != cost {
		t.Error("the price is lost")
	}
}

// A region may draw on several limits of an account, and two regions of one account on different ones.
func TestLimitsAreCountedPoolByPool(t *testing.T) {
	const westeurope, eastus, addresses = "vCPUs of the family standardDSv5 in westeurope", "vCPUs of the family standardDSv5 in eastus", "public addresses"
	plan := region.Plan{Steps: []region.Step{{Region: spec("a", 3)}, {Region: spec("b", 3)}, {Region: spec("c", 3)}}}
	plan.Judge([]region.Preflight{
		{Draws: []region.Draw{{Pool: westeurope, Adds: 6, Left: 10}, {Pool: addresses, Adds: 2, Left: 5}}},
		{Draws: []region.Draw{{Pool: eastus, Adds: 6, Left: 10}, {Pool: addresses, Adds: 2, Left: 5}}},
		{Draws: []region.Draw{{Pool: westeurope, Adds: 6, Left: 10}, {Pool: addresses, Adds: 2, Left: 5}}},
	})
	if a, b := plan.Steps[0].Obstacles, plan.Steps[1].Obstacles; len(a)+len(b) > 0 {
		t.Errorf("two regions that draw on different limits are in each other's way: %v %v", a, b)
	}
	c := plan.Steps[2].Obstacles
	if len(c) != 2 || !strings.Contains(c[0].Message, "needs 12 more "+westeurope+", and the digitalocean account can have 10 more") ||
		!strings.Contains(c[1].Message, "needs 6 more public addresses, and the digitalocean account can have 5 more") {
		t.Errorf("the third region: %+v", c)
	}
}
