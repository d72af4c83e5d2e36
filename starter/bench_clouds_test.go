//go:build embedded && bench

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/sandboxtest"
	"github.com/m3o/platform/internal/sandbox/world"
)

var (
	cloudFigures = flag.String("clouds", "at-once,reconcile,idle", "which figures of the clouds are taken, separated by commas")
	cloudScale   = flag.Float64("scale", 0.2, "how much of their time the clouds take in the figure at-once; the slowest path is to be 120 s at least")
	many         = flag.String("regions", "10,100,1000", "how many regions are reconciled")
)

// terraform is what Terraform spends on a resource that is as it should be.
const terraform = 1070 * time.Microsecond

// TestCloudFigures measures what regions on several clouds cost, over simulated clusters, and prints tables that can be taken again. It
// fails when something does not work, never because it was slow: the goals stand beside the figures.
func TestCloudFigures(t *testing.T) {
	for name, take := range map[string]func(*testing.T){"at-once": cloudsAtOnce, "reconcile": reconcileMany, "idle": idleCalls} {
		if slices.Contains(strings.Split(*cloudFigures, ","), name) {
			t.Run(name, take)
		}
	}
}

func say(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }

// paths are what a region takes one after the other on each cloud, by the last words of the ledger's kinds: what stands in two paths needs
// both. The cloud imposes them: what is asked for in another order is refused, or (AWS's nodes without a way out) never works.
var paths = map[region.Provider][][]string{
	region.AWS:          {{"role", "cluster", "nodegroup", "addon"}, {"natgateway", "nodegroup", "addon"}},
	region.GCP:          {{"network", "subnetwork", "cluster"}, {"service_account", "cluster"}},
	region.Azure:        {{"publicIPAddresses", "natGateways", "virtualNetworks", "roleAssignments", "managedClusters"}, {"userAssignedIdentities", "roleAssignments", "managedClusters"}},
	region.DigitalOcean: {{"vpc", "kubernetes_cluster"}},
}

// cloudsAtOnce applies a region on each cloud in one plan, and compares what it takes with the longest path of its cloud: what it took
// beyond that is ours.
func cloudsAtOnce(t *testing.T) {
	s := newSimulated(t, ground{limit: 2 * time.Hour, scale: *cloudScale, poll: "500ms"})
	plan := s.planned(simulatedFile(cloudsHere(), 1), false)
	began := time.Now()
	s.ask(http.MethodPost, s.api+"/v1/plans/"+plan.ID+"/apply", nil, nil)
	ended := map[region.Provider]time.Time{}
	for len(ended) < len(cloudsHere()) {
		for _, l := range s.regions() {
			if l.Status == region.Failed {
				t.Fatalf("%s: %s", l.Name, l.Message)
			}
			if _, known := ended[l.Provider]; isReady(l) && !known {
				ended[l.Provider] = time.Now()
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	lines, err := sandboxtest.Effects(s.control)
	s.must("read the ledger", err)
	say("\n%d clouds at once, time scale %g, asked every 500 ms (goal: all of it <= 1.03 of the slowest path)\n\n| cloud | wall s | path s | ratio | ours s | path |\n|---|---|---|---|---|---|", len(ended), *cloudScale)
	var wall, slowest time.Duration
	for _, p := range cloudsHere() {
		took := ended[p].Sub(began)
		least, steps := longestPath(t, lines, p)
		wall, slowest = max(wall, took), max(slowest, least)
		say("| %s | %.2f | %.2f | %.3f | %.2f | %s |", p, took.Seconds(), least.Seconds(), float64(took)/float64(least), (took - least).Seconds(), steps)
	}
	say("| **all** | %.2f | %.2f | %.3f | %.2f | |", wall.Seconds(), slowest.Seconds(), float64(wall)/float64(slowest), (wall - slowest).Seconds())
}

// longestPath is how long a cloud took for a region at least, by its ledger, and for what.
func longestPath(t *testing.T, lines []world.Effect, p region.Provider) (longest time.Duration, steps string) {
	took := map[string]time.Duration{}
	for _, e := range lines {
		if e.Provider == string(p) && e.Kind != world.Deleted && e.RequestedAt != nil && e.ReadyAt != nil {
			kind := path.Base(e.Resource)
			took[kind] = max(took[kind], e.ReadyAt.Sub(*e.RequestedAt))
		}
	}
	for _, kinds := range paths[p] {
		var sum time.Duration
		var words []string
		for _, kind := range kinds {
			if took[kind] == 0 {
				t.Fatalf("the ledger of %s does not say how long a %s took: %v", p, kind, took)
			}
			sum += took[kind]
			words = append(words, fmt.Sprintf("%s %.1f", kind, took[kind].Seconds()))
		}
		if sum > longest {
			longest, steps = sum, strings.Join(words, ", ")
		}
	}
	return longest, steps
}

// reconcileMany goes through regions that are as wanted, by all the calls of a bootstrap and an inspection.
func reconcileMany(t *testing.T) {
	say("\nA reconcile that changes nothing: regions with etcd and NATS, simulated API servers (goal: linear, <= %.2f ms of CPU for a resource)\n\n"+
		"| cloud | regions | resources | CPU ms | ms a resource | wall s | CPU ms with new connections | ms a resource |\n|---|---|---|---|---|---|---|---|", ms(terraform))
	for _, text := range strings.Split(*many, ",") {
		var n int
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatalf("-regions: %q is not a number", text)
		}
		reconcileSome(t, region.DigitalOcean, n)
	}
	for _, p := range cloudsHere() {
		if p != region.DigitalOcean {
			reconcileSome(t, p, elsewhere)
		}
	}
}

// elsewhere is how many regions the quotas of the other sandbox accounts have room for, AWS's in two locations.
const elsewhere = 10

// sizes are of the nodes there.
var sizes = map[region.Provider]string{region.AWS: "t3.large", region.GCP: "e2-standard-2", region.Azure: "Standard_D2s_v5", region.DigitalOcean: "s-2vcpu-4gb"}

func reconcileSome(t *testing.T, provider region.Provider, n int) {
	runner := clusterstest.New(n + 1)
	defer runner.ServeAPIs()()
	p := newBarePlatform(t, ground{limit: time.Hour, runner: runner, nodes: 2 * n})
	specs := manySpecs(provider, region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 1, Size: sizes[provider]}}, n)
	p.reconcile(task{Provider: provider, Specs: specs, Make: true, Passes: 1})
	var accounts sandboxtest.Accounts
	_, err := accounts.Read(p.control)
	p.must("read the ledger", err)
	resources := len(accounts.Left()) + runner.Objects()
	passes := p.reconcile(task{Provider: provider, Specs: specs, Passes: 3})
	warm := min(passes[1].CPU, passes[2].CPU)
	say("| %s | %d | %d | %.0f | %.3f | %.2f | %.0f | %.3f |", provider, n, resources, ms(warm), ms(warm)/float64(resources), passes[1].Wall.Seconds(), ms(passes[0].CPU), ms(passes[0].CPU)/float64(resources))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// idleCalls counts what a region costs that is as wanted: it is inspected every ten minutes, over credentials that are renewed as often.
func idleCalls(t *testing.T) {
	const inspections = 6
	s := newSimulated(t, ground{limit: 20 * time.Minute})
	s.apply(simulatedFile(cloudsHere(), 1), false)
	s.settle(5*time.Minute, isReady)
	say("\nCalls for an idle region in an hour, at most: %d inspections, each with new credentials (tokens of GCP and Azure serve an account for an hour)\n\n| cloud | calls to the cloud | operations | calls to the API server |\n|---|---|---|---|", inspections)
	for _, p := range cloudsHere() {
		var r region.Region
		s.ask(http.MethodGet, s.api+"/v1/regions/"+string(p)+"-1", nil, &r)
		before, began := s.runner.Calls(), time.Now()
		s.reconcile(task{Provider: p, Specs: []region.Spec{r.Spec}, Passes: 1, Inspect: true})
		asked := s.requests(p, began)
		say("| %s | %d | %s | %d |", p, inspections*len(asked), strings.Join(asked, ", "), inspections*(s.runner.Calls()-before))
	}
}

// requests are the operations that a cloud was asked for since then.
func (s *simulated) requests(p region.Provider, since time.Time) (names []string) {
	s.t.Helper()
	resp, err := http.Get(s.control + "/_sandbox/requests?n=2000")
	s.must("list the requests", err)
	defer resp.Body.Close()
	var list struct{ Requests []world.Request }
	s.must("list the requests", json.NewDecoder(resp.Body).Decode(&list))
	for _, r := range list.Requests {
		if r.Provider == string(p) && r.At.After(since) {
			names = append(names, r.Operation)
		}
	}
	return names
}
