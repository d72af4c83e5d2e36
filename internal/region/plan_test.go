package region_test

import (
	"fmt"
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

func TestSuggestions(t *testing.T) {
	candidates := []string{"digitalocean", "aws", "gcp", "do", "count", "size"}
	for written, want := range map[string]string{
		"digitalocaen": "digitalocean", "digital-ocean": "digitalocean", "asw": "aws", "cuont": "count", "sise": "size", "kubernetes": "", "": "", "xyz": "",
	} {
		if want != "" {
			want = fmt.Sprintf(" (did you mean %q?)", want)
		}
		if got := region.DidYouMean(written, candidates); got != want {
			t.Errorf("%q suggests %q, want %q", written, got, want)
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

func TestRegionsThatFitOneByOneMustFitTogether(t *testing.T) {
	plan := region.Plan{Steps: []region.Step{{Region: region.Spec{Name: "a", Provider: region.DigitalOcean}}, {Region: region.Spec{Name: "b", Provider: region.DigitalOcean}},
		{Region: region.Spec{Name: "c", Provider: region.AWS}}, {Region: region.Spec{Name: "d", Provider: region.DigitalOcean}}}}
	cost := region.Cost{Amount: "1.00", Currency: "USD"}
	plan.Judge([]region.Preflight{{Adds: 3, Left: 5, Monthly: cost}, {Adds: 3, Left: 5}, {Adds: 3, Left: 5}, {Adds: 0, Left: 5}})
	for i, blocked := range []bool{false, true, false, false} {
		if got := len(plan.Steps[i].Obstacles) > 0; got != blocked {
			t.Errorf("region %s: obstacles %v", plan.Steps[i].Region.Name, plan.Steps[i].Obstacles)
		}
	}
	if o := plan.Steps[1].Obstacles; len(o) != 1 || o[0].Kind != "quota" || !strings.Contains(o[0].Message, "needs 6 more nodes, and the digitalocean account can have 5 more") {
		t.Errorf("the obstacle is %+v", o)
	}
	if plan.Steps[0].Monthly != cost {
		t.Error("the price is lost")
	}
}
