package digitalocean_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/cloud/digitalocean"
	"github.com/m3o/platform/internal/cloud/digitalocean/digitaloceantest"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// letIn asks the API whom a cluster's API server lets in: nil is everybody.
func letIn(t *testing.T, at digitaloceantest.Account) []string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at.URL+"/v2/kubernetes/clusters", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+at.Token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var list struct {
		Clusters []godo.KubernetesCluster `json:"kubernetes_clusters"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil || len(list.Clusters) != 1 {
		t.Fatalf("clusters: %+v, %v", list.Clusters, err)
	}
	wall := list.Clusters[0].ControlPlaneFirewall
	if wall == nil || !*wall.Enabled {
		return nil
	}
	return wall.AllowedAddresses
}

// TestWhoReachesTheAPIServerChangesInPlace follows a region whose operator changes his mind, while the cluster stays the one it is.
func TestWhoReachesTheAPIServerChangesInPlace(t *testing.T) {
	at := accountInUse(t)
	p, err := digitalocean.New(digitalocean.Config{Token: at.Token, BaseURL: at.URL, Egress: []string{"203.0.113.7/32"}})
	if err != nil {
		t.Fatal(err)
	}
	want := at.Harness(t).Region
	want.CIDR = "10.20.0.0/16"
	network, err := p.EnsureNetwork(t.Context(), want.NetworkSpec(), "")
	if err != nil || network.CIDR != want.CIDR {
		t.Fatalf("the network is %+v, %v", network, err)
	}
	ensure := func(access, egress []string) region.Cluster {
		t.Helper()
		want.Access, network.Egress = access, egress
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			made, err := p.EnsureCluster(t.Context(), want.ClusterSpec(network), "")
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("%+v, %v", made, err)
			}
			if made.Ready {
				return made
			}
		}
	}
	var first region.Cluster
	for _, c := range []struct{ access, egress, want []string }{
		{[]string{"198.51.100.0/24"}, nil, []string{"198.51.100.0/24", "203.0.113.7/32"}},
		{[]string{"198.51.100.0/24", "192.0.2.0/24"}, []string{"192.0.2.9"}, []string{"192.0.2.0/24", "192.0.2.9/32", "198.51.100.0/24", "203.0.113.7/32"}},
		{[]string{}, nil, []string{"203.0.113.7/32"}},
		{nil, nil, nil},
	} {
		made := ensure(c.access, c.egress)
		if got := letIn(t, at); !slices.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("access %v: let in are %v, want %v", c.access, got, c.want)
		}
		before := updates(t, at)
		if again := ensure(c.access, c.egress); first.ID != "" && again.ID != first.ID || made.ID != again.ID {
			t.Errorf("access %v: the cluster is %s, and was %s", c.access, again.ID, first.ID)
		}
		if after := updates(t, at); after != before {
			t.Errorf("access %v: it is asked for again: %d updates, then %d", c.access, before, after)
		}
		first = made
	}
}

// updates counts the cluster's updates in the ledger.
func updates(t *testing.T, at digitaloceantest.Account) int {
	t.Helper()
	answer, err := http.Get(at.Control + "/_sandbox/effects?provider=digitalocean")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	n := 0
	for decoder := json.NewDecoder(answer.Body); decoder.More(); {
		var e struct{ Operation string }
		if err := decoder.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.Operation == "kubernetes_update_cluster" {
			n++
		}
	}
	return n
}

// TestWorkersThatDoNotKnowTheirAddressesAreWarnedAbout: a region that nobody restricted, or whose workers know them, is not.
func TestWorkersThatDoNotKnowTheirAddressesAreWarnedAbout(t *testing.T) {
	at := accountInUse(t)
	for _, c := range []struct {
		egress, access []string
		warned         bool
	}{{nil, []string{"198.51.100.0/24"}, true}, {nil, nil, false}, {[]string{"203.0.113.7/32"}, []string{"198.51.100.0/24"}, false}} {
		p, err := digitalocean.New(digitalocean.Config{Token: at.Token, BaseURL: at.URL, Egress: c.egress})
		if err != nil {
			t.Fatal(err)
		}
		want := at.Harness(t).Region
		want.Access = c.access
		got, err := p.Preflight(t.Context(), want, nil)
		if err != nil || len(got.Obstacles) > 0 || (len(got.Warnings) == 1 && strings.Contains(got.Warnings[0], "M3O_EGRESS_CIDRS")) != c.warned || len(got.Warnings) > 1 {
			t.Errorf("egress %v, access %v: %+v, %v", c.egress, c.access, got, err)
		}
	}
}

// TestRangeThatOverlapsIsNamed: before anything is made by the preflight, and if it came since, by the cloud.
func TestRangeThatOverlapsIsNamed(t *testing.T) {
	at := accountInUse(t)
	p, err := digitalocean.New(digitalocean.Config{Token: at.Token, BaseURL: at.URL})
	if err != nil {
		t.Fatal(err)
	}
	want := at.Harness(t).Region
	want.CIDR = "10.100.0.0/16" // where the defaults are
	got, err := p.Preflight(t.Context(), want, nil)
	if err != nil || len(got.Obstacles) != 1 || !strings.Contains(got.Obstacles[0].Message, "10.100.0.0/20 of the VPC default-nyc1") {
		t.Errorf("the preflight says %+v, %v", got.Obstacles, err)
	}
	if _, err := p.EnsureNetwork(t.Context(), want.NetworkSpec(), ""); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "overlaps with another VPC network in your account") {
		t.Errorf("the network: %v", err)
	}
}
