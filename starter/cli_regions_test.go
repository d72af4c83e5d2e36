package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/client/apitest"
	"github.com/m3o/platform/internal/region"
)

// appliedJSON is what scripts read of apply and destroy.
type appliedJSON struct {
	Plan    struct{ Steps []struct{ Action string } }
	Regions []struct {
		Name, Provider, Region, Status string
		Endpoints                      struct{ API string }
	}
}

func TestApplyBringsUpRegionsAndWaits(t *testing.T) {
	w := apitest.New(t)
	w.Step = 350 * time.Millisecond
	at(t, w)
	write(t, "platform.yaml", apitest.File("lon1", "nyc3"))
	plan := m3o("plan", "-f", "platform.yaml").must(t)
	for _, word := range []string{"create", "lon1", "nyc3", "digitalocean", "36.10 USD", "2 to create", "72.20 USD a month"} {
		if !strings.Contains(plan.out, word) {
			t.Errorf("plan does not say %q: %s", word, plan.out)
		}
	}
	c := m3o("apply", "-f", "platform.yaml", "--yes", "--json").must(t)
	got := answer[appliedJSON](t, c)
	if len(got.Plan.Steps) != 2 || len(got.Regions) != 2 {
		t.Fatalf("%+v", got)
	}
	for i, name := range []string{"lon1", "nyc3"} {
		r := got.Regions[i]
		if r.Name != name || r.Status != "ready" || r.Provider != "digitalocean" || r.Region != name || !strings.HasSuffix(r.Endpoints.API, "/") {
			t.Errorf("region %d: %+v", i, r)
		}
	}
	for _, word := range []string{"creating", "cluster", "ready"} {
		if !strings.Contains(c.errs, word) {
			t.Errorf("progress does not show %q: %s", word, c.errs)
		}
	}
	if again := m3o("plan", "-f", "platform.yaml").must(t); again.out != "no changes\n" {
		t.Errorf("plan after apply prints %q", again.out)
	}
	if again := m3o("apply", "-f", "platform.yaml", "--yes").must(t); !strings.HasPrefix(again.out, "no changes\n") {
		t.Errorf("apply after apply prints %q", again.out)
	}
	if orders := w.Orders(); !slices.Equal(orders, []string{"create lon1", "create nyc3"}) {
		t.Errorf("ordered: %v", orders)
	}
}

// What a file leaves out is shown as it is going to be, and applying the file again changes nothing.
func TestAPlanShowsWhatTheFileLeavesOut(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	write(t, "platform.yaml", strings.ReplaceAll(apitest.File("lon1"), `kubernetes: {version: "1.34", nodes: {count: 1, size: s-2vcpu-4gb}}, `, ""))
	plan := m3o("plan", "-f", "platform.yaml").must(t)
	for _, word := range []string{"1 x s-2vcpu-4gb", "1.34"} {
		if !strings.Contains(plan.out, word) {
			t.Errorf("plan does not say %q: %s", word, plan.out)
		}
	}
	m3o("apply", "-f", "platform.yaml", "--yes").must(t)
	if again := m3o("plan", "-f", "platform.yaml").must(t); again.out != "no changes\n" {
		t.Errorf("plan after apply prints %q", again.out)
	}
	w.Obstacle = func(region.Spec) *region.Obstacle {
		return &region.Obstacle{Kind: "denied", Message: "the token may not look"}
	}
	w.Defaults = region.Kubernetes{}
	write(t, "platform.yaml", strings.ReplaceAll(apitest.File("nyc3"), `kubernetes: {version: "1.34", nodes: {count: 1, size: s-2vcpu-4gb}}, `, ""))
	if c := m3o("plan", "-f", "platform.yaml"); c.code != exitFailed || strings.Contains(c.out, "0 x") {
		t.Errorf("of what nobody could say the plan prints %s", c.out)
	}
}

// The range that a plan finds is shown, and so is what the cloud wants the operator to know; a script reads both.
func TestAPlanShowsRangesAndWarnings(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	w.Warnings = []string{"M3O_EGRESS_CIDRS is not set"}
	write(t, "platform.yaml", apitest.File("lon1", "nyc3"))
	plan := m3o("plan", "-f", "platform.yaml").must(t)
	for _, word := range []string{"10.1.0.0/16", "10.2.0.0/16", "Warning, lon1: M3O_EGRESS_CIDRS is not set", "Warning, nyc3: "} {
		if !strings.Contains(plan.out, word) {
			t.Errorf("plan does not say %q: %s", word, plan.out)
		}
	}
	got := answer[region.Plan](t, m3o("plan", "-f", "platform.yaml", "--json").must(t))
	if len(got.Steps) != 2 || got.Steps[0].Region.CIDR != "10.1.0.0/16" || !slices.Equal(got.Steps[1].Warnings, w.Warnings) {
		t.Errorf("JSON says %+v", got)
	}
}

func TestRegionShowSaysHowItIsReached(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	spec := apitest.Spec("lon1")
	spec.CIDR, spec.NAT, spec.Access = "10.7.0.0/16", region.SingleNAT, []string{"203.0.113.0/24", "198.51.100.0/24"}
	w.AddRegion(region.Region{Spec: spec, Status: region.Ready, Network: region.Net{Name: "m3o-micro-lon1", Egress: []string{"192.0.2.7"}}})
	shown := m3o("region", "show", "lon1").must(t)
	for _, word := range []string{"m3o-micro-lon1 (10.7.0.0/16)", "nat", "single", "192.0.2.7", "203.0.113.0/24, 198.51.100.0/24"} {
		if !strings.Contains(shown.out, word) {
			t.Errorf("it does not show %q: %s", word, shown.out)
		}
	}
}

// A cloud whose worker is away says so wherever its regions are shown, and since when; others say nothing.
func TestRegionsSayThatNobodyWorksOnTheirCloud(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	away := apitest.Spec("lon1")
	away.Name, away.Provider = "use1", region.AWS
	w.AddRegion(region.Region{Spec: away, Status: region.Creating, Message: region.AtStep + "cluster"})
	w.AddRegion(region.Region{Spec: apitest.Spec("lon1"), Status: region.Ready})
	since := time.Now().Add(-3 * time.Minute)
	w.Unserved = map[region.Provider]*region.Unserved{region.AWS: {Queue: "cloud-aws", Since: since}}
	words := "nobody serves cloud-aws, since " + since.UTC().Format(time.DateTime) + " UTC: start its worker (m3o worker --queues cloud-aws)"
	if shown := m3o("region", "show", "use1").must(t); !strings.Contains(shown.out, words+" (3m") {
		t.Errorf("it does not show %q: %s", words, shown.out)
	}
	list := m3o("region", "list").must(t).out
	if !strings.Contains(list, "cluster; "+words) || strings.Count(list, "nobody") != 1 {
		t.Errorf("the list says %s", list)
	}
	type line struct {
		Name     string
		Unserved *region.Unserved
	}
	for _, l := range answer[[]line](t, m3o("region", "list", "--json").must(t)) {
		if (l.Unserved != nil) != (l.Name == "use1") {
			t.Errorf("JSON says %+v", l)
		}
	}
	if got := answer[line](t, m3o("region", "show", "use1", "--json").must(t)); got.Unserved == nil || !got.Unserved.Since.Equal(since) {
		t.Errorf("JSON shows %+v", got)
	}
}

func TestRegionShowSaysWhatKeepsProjectsApart(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	for name, c := range map[string]struct {
		verified region.Verified
		words    string
	}{
		"lon1": {region.Verified{StorageClass: "do-block-storage", NetworkPolicy: region.Enforced, Engine: "daemonset kube-system/cilium"}, "enforced by daemonset kube-system/cilium"},
		"nyc3": {region.Verified{StorageClass: "standard", NetworkPolicy: region.Unenforced}, "NOT enforced: the pods of all projects reach each other"},
	} {
		w.AddRegion(region.Region{Spec: apitest.Spec(name), Status: region.Ready, Verified: c.verified})
		shown := m3o("region", "show", name).must(t)
		if !strings.Contains(shown.out, "network policy") || !strings.Contains(shown.out, c.words) || !strings.Contains(shown.out, c.verified.StorageClass) {
			t.Errorf("%s: %s", name, shown.out)
		}
		got := answer[struct {
			Verified struct {
				NetworkPolicy string `json:"network_policy"`
			}
		}](t, m3o("region", "show", name, "--json").must(t))
		if got.Verified.NetworkPolicy != string(c.verified.NetworkPolicy) {
			t.Errorf("%s: JSON says %+v", name, got)
		}
	}
}

func TestARepeatedApplyWaitsForWhatIsUnderWay(t *testing.T) {
	w := apitest.New(t)
	w.Step = 60 * time.Millisecond
	at(t, w)
	write(t, "platform.yaml", apitest.File("lon1"))
	w.AddRegion(region.Region{Spec: apitest.Spec("lon1"), Status: region.Creating})
	w.BringUp(apitest.Spec("lon1"))
	c := m3o("apply", "-f", "platform.yaml", "--yes", "--json").must(t)
	if got := answer[appliedJSON](t, c); len(got.Plan.Steps) != 0 || len(got.Regions) != 1 || got.Regions[0].Status != "ready" {
		t.Errorf("%+v", got)
	}
	if len(w.Orders()) != 0 {
		t.Errorf("ordered again: %v", w.Orders())
	}
}

func TestApplyOfARegionOnItsWayOutMakesItAgain(t *testing.T) {
	w := apitest.New(t)
	w.Step = 30 * time.Millisecond
	at(t, w)
	write(t, "platform.yaml", apitest.File("lon1"))
	w.AddRegion(region.Region{Spec: apitest.Spec("lon1"), Status: region.Deleting})
	w.TearDown(apitest.Spec("lon1").Key())
	c := m3o("apply", "-f", "platform.yaml", "--yes", "--json").must(t)
	if got := answer[appliedJSON](t, c); len(got.Regions) != 1 || got.Regions[0].Status != "ready" {
		t.Errorf("%+v", got)
	}
}

func TestAChangeWaitsForTheChangeNotForWhatWas(t *testing.T) {
	w := apitest.New(t)
	w.Step = 80 * time.Millisecond
	at(t, w)
	w.AddRegion(region.Region{Spec: apitest.Spec("lon1"), Status: region.Ready})
	write(t, "platform.yaml", strings.ReplaceAll(apitest.File("lon1"), "count: 1", "count: 3"))
	m3o("apply", "-f", "platform.yaml", "--yes").must(t)
	r, err := w.Store.RegionNamed(t.Context(), "lon1")
	if err != nil || r.Spec.Kubernetes.Nodes.Count != 3 || r.Status != region.Ready {
		t.Errorf("after apply: %+v %v", r, err)
	}
}

func TestAFailedRegionFailsTheCommandWhenItsRemainsAreGone(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	w.Bootstrap = func(s region.Spec) error {
		if s.Name == "nyc3" {
			return errors.New("m3o-micro-nyc3 never came up")
		}
		return nil
	}
	write(t, "platform.yaml", apitest.File("lon1", "nyc3"))
	c := m3o("apply", "-f", "platform.yaml", "--yes", "--json").fails(t, exitFailed, "region nyc3 failed", "m3o-micro-nyc3 never came up", "Everything that was built is removed")
	got := answer[appliedJSON](t, c)
	if got.Regions[0].Status != "ready" || got.Regions[1].Status != "failed" {
		t.Errorf("%+v", got.Regions)
	}
	w.Bootstrap = nil
	m3o("region", "retry", "nyc3").must(t)
	m3o("region", "retry", "nyc3").fails(t, exitFailed, "nothing to retry")
}

func TestObstaclesBlockPlanAndApply(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	w.Obstacle = func(region.Spec) *region.Obstacle {
		return &region.Obstacle{Kind: "quota", Message: "3 of 3 clusters are in use"}
	}
	write(t, "platform.yaml", apitest.File("lon1"))
	m3o("plan", "-f", "platform.yaml").fails(t, exitFailed, "lon1: 3 of 3 clusters are in use (quota)")
	c := m3o("apply", "-f", "platform.yaml", "--yes", "--json").fails(t, exitFailed, "3 of 3 clusters are in use")
	if got := answer[appliedJSON](t, c); len(got.Plan.Steps) != 1 {
		t.Errorf("%+v", got)
	}
	if len(w.Orders()) != 0 {
		t.Errorf("ordered: %v", w.Orders())
	}
}

func TestAPlanThatTheWorldOvertookIsMadeAgain(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	write(t, "platform.yaml", apitest.File("lon1"))
	var moves atomic.Int32
	w.Obstacle = func(region.Spec) *region.Obstacle {
		if moves.Add(1) <= 2 { // something else happens just after the plan was made
			go func() {
				time.Sleep(2 * time.Millisecond)
				w.AddRegion(region.Region{Spec: region.Spec{Platform: "other", Name: "ams3", Provider: region.DigitalOcean}, Status: region.Creating})
			}()
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	}
	c := m3o("apply", "-f", "platform.yaml", "--yes").must(t)
	if !strings.Contains(c.errs, "planning again") || !slices.Equal(w.Orders(), []string{"create lon1"}) {
		t.Errorf("%s\nordered: %v", c.errs, w.Orders())
	}
}

func TestDestroyWaitsUntilRegionsAreGone(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	write(t, "platform.yaml", apitest.File("lon1", "nyc3"))
	m3o("apply", "-f", "platform.yaml", "--yes").must(t)
	got := answer[appliedJSON](t, m3o("destroy", "-f", "platform.yaml", "--yes", "--json").must(t))
	if len(got.Regions) != 2 || got.Regions[0].Status != "deleted" || got.Regions[1].Status != "deleted" {
		t.Errorf("%+v", got.Regions)
	}
	if list := answer[[]client.RegionLine](t, m3o("region", "list", "--json").must(t)); len(list) != 0 {
		t.Errorf("left: %+v", list)
	}
	if c := m3o("destroy", "-f", "platform.yaml", "--yes").must(t); c.out != "no changes\n" {
		t.Errorf("%q", c.out)
	}
}

func TestARepeatedDestroyOrdersNothingTwice(t *testing.T) {
	w := apitest.New(t)
	w.Step = 50 * time.Millisecond
	at(t, w)
	write(t, "platform.yaml", apitest.File("lon1"))
	w.AddRegion(region.Region{Spec: apitest.Spec("lon1"), Status: region.Deleting})
	w.TearDown(apitest.Spec("lon1").Key())
	got := answer[appliedJSON](t, m3o("destroy", "-f", "platform.yaml", "--yes", "--json").must(t))
	if len(w.Orders()) != 0 || len(got.Regions) != 1 || got.Regions[0].Status != "deleted" {
		t.Errorf("ordered %v: %+v", w.Orders(), got)
	}
}

func TestNothingIsChangedUnlessItIsConfirmed(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	write(t, "platform.yaml", apitest.File("lon1"))
	m3o("apply", "-f", "platform.yaml").fails(t, exitMisused, "--yes")
	if c := typing(t, t.Context(), "no\n", nil, "apply", "-f", "platform.yaml"); c.code != exitFailed || !strings.Contains(c.errs, "Nothing is changed") {
		t.Errorf("%+v", c)
	}
	if c := typing(t, t.Context(), "", nil, "apply", "-f", "platform.yaml"); c.code != exitFailed {
		t.Errorf("%+v", c)
	}
	if len(w.Orders()) != 0 {
		t.Errorf("ordered: %v", w.Orders())
	}
	typing(t, t.Context(), "yes\n", nil, "apply", "-f", "platform.yaml").must(t)
	m3o("region", "teardown", "lon1").fails(t, exitMisused, "--yes")
	typing(t, t.Context(), "y\n", nil, "region", "teardown", "lon1").must(t)
	if !slices.Equal(w.Orders(), []string{"create lon1", "delete lon1"}) {
		t.Errorf("ordered: %v", w.Orders())
	}
}

func TestCtrlCLeavesAndTheWorkGoesOn(t *testing.T) {
	w := apitest.New(t)
	w.Step = 100 * time.Millisecond
	at(t, w)
	write(t, "platform.yaml", apitest.File("lon1"))
	ctx, cancel := context.WithCancel(t.Context())
	var errs buffer
	go func() {
		for !strings.Contains(errs.String(), "creating") {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	if c := typing(t, ctx, "", &errs, "apply", "-f", "platform.yaml", "--yes"); c.code != exitFailed {
		t.Errorf("exit %d", c.code)
	}
	if !strings.Contains(errs.String(), "m3o region list") || !strings.Contains(errs.String(), "goes on") {
		t.Errorf("said: %s", errs.String())
	}
	m3o("apply", "-f", "platform.yaml", "--yes").must(t)
	if !slices.Equal(w.Orders(), []string{"create lon1"}) {
		t.Errorf("ordered: %v", w.Orders())
	}
}

func TestBadPlatformFilesAreRefusedByName(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	for name, c := range map[string]struct {
		file  string
		words []string
	}{
		"provider":   {strings.ReplaceAll(apitest.File("lon1"), "provider: do", "provider: doo"), []string{"platforms[0].regions[0].provider", `did you mean "do"`}},
		"field":      {strings.ReplaceAll(apitest.File("lon1"), "resource:", "resuorce:"), []string{`did you mean "resource"`}},
		"duplicates": {apitest.File("lon1", "lon1"), []string{"names two regions"}},
		"two things": {strings.ReplaceAll(apitest.File("Lon1"), "count: 1", "count: 0"), []string{"3 things are wrong", "\n  platforms[0].regions[0].name", "\n  platforms[0].regions[0].kubernetes.nodes.count"}},
		"bomb":       {"a: &a [x, x]\nb: &b [*a, *a]\nplatforms: [*b, *b]\n", []string{"anchors"}},
		"no YAML":    {"platforms: [", []string{"not YAML"}},
		"too large":  {strings.Repeat("#", region.MaxFileBytes+1), []string{"larger than"}},
	} {
		write(t, "bad.yaml", c.file)
		t.Run(name, func(t *testing.T) {
			for _, command := range []string{"plan", "apply", "destroy"} {
				m3o(command, "-f", "bad.yaml").fails(t, exitFailed, append(c.words, "bad.yaml")...)
			}
		})
	}
	m3o("plan", "-f", "missing.yaml").fails(t, exitFailed, "missing.yaml")
	m3o("plan").fails(t, exitMisused, "-f platform.yaml")
}

func TestRegionListShowAndKubeconfig(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	if c := m3o("region", "list", "--json").must(t); strings.TrimSpace(c.out) != "[]" {
		t.Errorf("no regions print %q", c.out)
	}
	w.AddRegion(region.Region{Spec: apitest.Spec("lon1"), Status: region.Ready, Cluster: region.Cluster{ID: "c1", Nodes: 1}})
	list := answer[[]map[string]any](t, m3o("region", "list", "--json").must(t))
	if len(list) != 1 || list[0]["name"] != "lon1" || list[0]["provider"] != "digitalocean" || list[0]["region"] != "lon1" || list[0]["status"] != "ready" ||
		list[0]["endpoints"].(map[string]any)["api"] == "" {
		t.Errorf("%v", list)
	}
	if c := m3o("region", "list").must(t); !strings.Contains(c.out, "NAME") || !strings.Contains(c.out, "lon1") {
		t.Errorf("%s", c.out)
	}
	if c := m3o("region", "show", "lon1").must(t); !strings.Contains(c.out, "micro/lon1") || !strings.Contains(c.out, "1 of 1 ready") {
		t.Errorf("%s", c.out)
	}
	m3o("region", "show", "lon2").fails(t, exitFailed, `did you mean "lon1"`)
	if c := m3o("region", "kubeconfig", "lon1").must(t); c.out != apitest.Kubeconfig {
		t.Errorf("%q", c.out)
	}
	m3o("region", "kubeconfig", "lon1", "--for", "5m").fails(t, exitFailed, "for: 5m0s is not between 10m and 24h")
	m3o("region", "kubeconfig", "lon1", "--role", "root").fails(t, exitFailed, "role")
	m3o("region", "kubeconfig", "lon1", "--for", "24h", "--role", "view").must(t)
	write(t, "lon1.yaml", "older and open to all")
	m3o("region", "kubeconfig", "lon1", "--output", "lon1.yaml").must(t)
	info, err := os.Stat("lon1.yaml")
	data, _ := os.ReadFile("lon1.yaml")
	if err != nil || info.Mode().Perm() != 0o600 || string(data) != apitest.Kubeconfig {
		t.Errorf("%v %v %q", info.Mode(), err, data)
	}
}

func TestRegionsOfTheSameNameAreToldApart(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	other := apitest.Spec("lon1")
	other.Platform = "other"
	w.AddRegion(region.Region{Spec: other, Status: region.Ready})
	w.AddRegion(region.Region{Spec: apitest.Spec("lon1"), Status: region.Ready})
	m3o("region", "show", "lon1").fails(t, exitFailed, "names several regions")
	if c := m3o("region", "show", "other/lon1").must(t); !strings.Contains(c.out, "other/lon1") {
		t.Error(c.out)
	}
	write(t, "platform.yaml", apitest.File("lon1"))
	m3o("destroy", "-f", "platform.yaml", "--yes").must(t)
	left := answer[[]client.RegionLine](t, m3o("region", "list", "--json").must(t))
	if len(left) != 1 || left[0].Platform != "other" {
		t.Errorf("%+v", left)
	}
}

func TestPlansAddUpExactly(t *testing.T) {
	step := func(amount, currency string) region.Step {
		return region.Step{Monthly: region.Cost{Amount: amount, Currency: currency}}
	}
	for _, c := range []struct {
		steps []region.Step
		want  string
	}{
		{nil, ""},
		{[]region.Step{step("0.10", "USD"), step("0.20", "USD")}, "Estimate from list prices: 0.30 USD a month, without traffic."},
		{[]region.Step{step("36.00", "USD"), step("", "")}, "Estimate from list prices: 36.00 USD a month, without traffic."},
		{[]region.Step{step("1.00", "USD"), step("1.00", "EUR")}, ""},
	} {
		if got := total(region.Plan{Steps: c.steps}); got != c.want {
			t.Errorf("%v: %q, not %q", c.steps, got, c.want)
		}
	}
}

// EKS tells the minor version alone, until the cluster itself was asked.
func TestAVersionIsNotToldTwice(t *testing.T) {
	for runs, want := range map[string]string{"": "1.34", "1.34": "1.34", "1.34.2": "1.34 (1.34.2)"} {
		shown := regionFacts(client.RegionDetails{Region: region.Region{Spec: region.Spec{Kubernetes: region.Kubernetes{Version: "1.34"}}, Cluster: region.Cluster{Version: runs}}}, region.Progress{})
		if i := slices.IndexFunc(shown, func(fact []string) bool { return fact[0] == "kubernetes" }); i < 0 || shown[i][1] != want {
			t.Errorf("a cluster that runs %q is shown as %v, want %q", runs, shown[i], want)
		}
	}
}
