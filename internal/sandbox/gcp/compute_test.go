package gcp_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/api/compute/v1"

	"github.com/m3o/platform/internal/sandbox/gcp"
	"github.com/m3o/platform/internal/sandbox/world"
)

func TestNetworkIsMadeAndRemovedByOperations(t *testing.T) {
	p := open(t, t.TempDir(), 0.01, gcp.Config{})
	o, err := p.compute.Networks.Insert("m3o-sandbox", network("n")).Do()
	must(t, err)
	if o.Status == "DONE" || o.OperationType != "insert" || !strings.HasSuffix(o.TargetLink, "/compute/v1/projects/m3o-sandbox/global/networks/n") || o.TargetId == 0 {
		t.Errorf("the operation is %+v", o)
	}
	_, err = p.compute.Subnetworks.Insert("m3o-sandbox", place, subnetwork("n", "n")).Do()
	refused(t, err, http.StatusBadRequest, "resourceNotReady", "projects/m3o-sandbox/global/networks/n' is not ready")
	_, err = p.compute.Networks.Delete("m3o-sandbox", "n").Do()
	refused(t, err, http.StatusBadRequest, "resourceNotReady", "is not ready")
	ended := p.done(o, nil)
	equal(t, "progress", ended.Progress, 100)
	if last := p.ledger()[len(p.ledger())-1]; last.Kind != world.Updated || last.Resource != "network" || last.ReadyAt == nil || !last.ReadyAt.After(*last.RequestedAt) {
		t.Errorf("the ledger does not say how long it took: %+v", last)
	}
	_, err = p.compute.Networks.Insert("m3o-sandbox", network("n")).Do()
	refused(t, err, http.StatusConflict, "alreadyExists", "The resource 'projects/m3o-sandbox/global/networks/n' already exists")
	p.done(p.compute.Subnetworks.Insert("m3o-sandbox", place, subnetwork("s", "n")).Do())
	found, err := p.compute.Networks.Get("m3o-sandbox", "n").Do()
	must(t, err)
	if found.Id != o.TargetId || found.Description != "of the test" || found.Mtu != 1460 || len(found.Subnetworks) != 1 || found.RoutingConfig.RoutingMode != "REGIONAL" {
		t.Errorf("the network is %+v", found)
	}
	_, err = p.compute.Networks.Delete("m3o-sandbox", "n").Do()
	refused(t, err, http.StatusBadRequest, "resourceInUseByAnotherResource", "is already being used by 'projects/m3o-sandbox/regions/europe-west1/subnetworks/s'")
	p.done(p.compute.Subnetworks.Delete("m3o-sandbox", place, "s").Do())
	p.done(p.compute.Networks.Delete("m3o-sandbox", "n").Do())
	_, err = p.compute.Networks.Get("m3o-sandbox", "n").Do()
	refused(t, err, http.StatusNotFound, "notFound", "The resource 'projects/m3o-sandbox/global/networks/n' was not found")
	if left := p.balanced(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestSameRequestIDIsTheSameOperation(t *testing.T) {
	p := newProject(t)
	const id = "0b1e6a5c-5b0a-4c57-9f7e-0d1a8f6f9f10"
	first, err := p.compute.Networks.Insert("m3o-sandbox", network("n")).RequestId(id).Do()
	must(t, err)
	second, err := p.compute.Networks.Insert("m3o-sandbox", network("n")).RequestId(id).Do()
	must(t, err)
	equal(t, "the second operation", second.Name, first.Name)
	equal(t, "its request", second.ClientOperationId, id)
	for _, wrong := range []string{"x", "00000000-0000-0000-0000-000000000000"} {
		_, err = p.compute.Networks.Insert("m3o-sandbox", network("n")).RequestId(wrong).Do()
		refused(t, err, http.StatusBadRequest, "invalid", "requestId")
	}
	p.done(second, nil)
	equal(t, "networks made", p.balanced()["network"], 1)
}

func TestRangesOfANetworkDoNotOverlap(t *testing.T) {
	p := newProject(t)
	p.networks("n")
	other := subnetwork("other", "n")
	_, err := p.compute.Subnetworks.Insert("m3o-sandbox", place, other).Do()
	refused(t, err, http.StatusBadRequest, "invalid", "conflicts with existing subnetwork 'n' in region 'europe-west1'")
	other.IpCidrRange, other.SecondaryIpRanges = "10.21.0.1/20", nil
	_, err = p.compute.Subnetworks.Insert("m3o-sandbox", place, other).Do()
	refused(t, err, http.StatusBadRequest, "invalid", "host bits")
	other.IpCidrRange = "10.21.0.0/20"
	p.done(p.compute.Subnetworks.Insert("m3o-sandbox", place, other).Do())
	p.done(p.compute.Networks.Insert("m3o-sandbox", network("second")).Do())
	p.done(p.compute.Subnetworks.Insert("m3o-sandbox", place, subnetwork("same-ranges", "second")).Do())
}

func TestRouterUsesAddresses(t *testing.T) {
	p := newProject(t)
	p.networks("n")
	p.done(p.compute.Addresses.Insert("m3o-sandbox", place, &compute.Address{Name: "a", Labels: map[string]string{"k": "v"}}).Do())
	reserved, err := p.compute.Addresses.Get("m3o-sandbox", place, "a").Do()
	must(t, err)
	if reserved.Status != "RESERVED" || reserved.Address == "" || reserved.Labels["k"] != "v" {
		t.Errorf("the address is %+v", reserved)
	}
	nat := &compute.RouterNat{Name: "nat", NatIpAllocateOption: "MANUAL_ONLY", NatIps: []string{reserved.SelfLink}, SourceSubnetworkIpRangesToNat: "ALL_SUBNETWORKS_ALL_IP_RANGES"}
	router := &compute.Router{Name: "r", Network: "global/networks/n", Nats: []*compute.RouterNat{nat}}
	p.done(p.compute.Routers.Insert("m3o-sandbox", place, router).Do())
	reserved, err = p.compute.Addresses.Get("m3o-sandbox", place, "a").Do()
	must(t, err)
	if reserved.Status != "IN_USE" || len(reserved.Users) != 1 || !strings.HasSuffix(reserved.Users[0], "/regions/europe-west1/routers/r") {
		t.Errorf("the address is %+v", reserved)
	}
	_, err = p.compute.Addresses.Delete("m3o-sandbox", place, "a").Do()
	refused(t, err, http.StatusBadRequest, "resourceInUseByAnotherResource", "routers/r")
	p.done(p.compute.Routers.Patch("m3o-sandbox", place, "r", &compute.Router{Nats: []*compute.RouterNat{}, ForceSendFields: []string{"Nats"}}).Do())
	p.done(p.compute.Addresses.Delete("m3o-sandbox", place, "a").Do())
	nat.NatIps = nil
	_, err = p.compute.Routers.Patch("m3o-sandbox", place, "r", &compute.Router{Nats: []*compute.RouterNat{nat}}).Do()
	refused(t, err, http.StatusBadRequest, "invalid", "NAT IPs must be specified")
}

func TestListsAreFilteredAndPaged(t *testing.T) {
	p := open(t, t.TempDir(), 0.001, gcp.Config{NewAccount: true})
	for _, name := range []string{"n-1", "n-2", "n-3", "other"} {
		p.done(p.compute.Networks.Insert("m3o-sandbox", network(name)).Do())
	}
	for expression, want := range map[string]int{"": 4, "name eq n-.*": 3, `name="n-1"`: 1, "name = n-* AND name != n-3": 2, "(name ne n-1) (name ne other)": 2,
		"description:test": 0, "description:*test*": 4, "routingConfig.routingMode=REGIONAL": 4, "labels.x:*": 0} {
		found, err := p.compute.Networks.List("m3o-sandbox").Filter(expression).Do()
		must(t, err)
		equal(t, "networks for "+expression, len(found.Items), want)
	}
	_, err := p.compute.Networks.List("m3o-sandbox").Filter("name ~ x").Do()
	refused(t, err, http.StatusBadRequest, "invalid", "Invalid list filter expression")
	var names []string
	must(t, p.compute.Networks.List("m3o-sandbox").MaxResults(3).Pages(p.ctx, func(page *compute.NetworkList) error {
		for _, n := range page.Items {
			names = append(names, n.Name)
		}
		if len(page.Items) > 3 {
			t.Errorf("a page has %d", len(page.Items))
		}
		return nil
	}))
	if !slices.Equal(names, []string{"n-1", "n-2", "n-3", "other"}) {
		t.Errorf("the pages have %v", names)
	}
	_, err = p.compute.Networks.List("m3o-sandbox").PageToken("nonsense").Do()
	refused(t, err, http.StatusBadRequest, "invalid", "page token")
	everywhere, err := p.compute.MachineTypes.AggregatedList("m3o-sandbox").Filter("name=e2-standard-2").Do()
	must(t, err)
	if types := everywhere.Items["zones/europe-west1-b"].MachineTypes; len(types) != 1 || types[0].GuestCpus != 2 || types[0].MemoryMb != 8192 {
		t.Errorf("the machine types of a zone are %+v", types)
	}
}

func TestPlacesAndQuotas(t *testing.T) {
	p := newProject(t)
	p.running("c")
	found, err := p.compute.Regions.Get("m3o-sandbox", place).Do()
	must(t, err)
	used := map[string]float64{}
	for _, q := range found.Quotas {
		used[q.Metric] = q.Usage
		if q.Limit < q.Usage {
			t.Errorf("%s: %v of %v", q.Metric, q.Usage, q.Limit)
		}
	}
	if used["CPUS"] != 4 || used["INSTANCES"] != 2 || len(found.Zones) != 3 {
		t.Errorf("the region is %+v, used %v", found, used)
	}
	_, err = p.compute.Regions.Get("m3o-sandbox", "atlantis").Do()
	refused(t, err, http.StatusNotFound, "notFound", "projects/m3o-sandbox/regions/atlantis")
	_, err = p.compute.Subnetworks.Insert("m3o-sandbox", "atlantis", subnetwork("s", "c")).Do()
	refused(t, err, http.StatusBadRequest, "invalid", "Unknown region")
	whole, err := p.compute.Projects.Get("m3o-sandbox").Do()
	must(t, err)
	for _, q := range whole.Quotas {
		if q.Metric == "NETWORKS" && q.Usage != 2 { // default is one
			t.Errorf("networks: %v of %v", q.Usage, q.Limit)
		}
	}
	for i := range 13 {
		p.done(p.compute.Networks.Insert("m3o-sandbox", network("more-"+string(rune('a'+i)))).Do())
	}
	full := p.ended(p.compute.Networks.Insert("m3o-sandbox", network("too-many")).Do())
	if full.Error == nil || full.Error.Errors[0].Code != "QUOTA_EXCEEDED" || full.Error.Errors[0].Message != "Quota 'NETWORKS' exceeded.  Limit: 15.0 globally." {
		t.Errorf("one network too many ended as %+v", full)
	}
	for i := range 21 {
		p.done(p.compute.Addresses.Insert("m3o-sandbox", place, &compute.Address{Name: "a-" + string(rune('a'+i))}).Do())
	}
	_, err = p.compute.Addresses.Insert("m3o-sandbox", place, &compute.Address{Name: "too-many"}).Do()
	refused(t, err, http.StatusForbidden, "quotaExceeded", "Quota 'STATIC_ADDRESSES' exceeded.  Limit: 21.0 in region europe-west1.")
	p.done(p.compute.Addresses.Insert("m3o-sandbox", "us-east1", &compute.Address{Name: "elsewhere"}).Do())
}

func TestUnknownFieldsAndMethodsAreNamed(t *testing.T) {
	p := newProject(t)
	status, text := p.ask("POST", "/compute/v1/projects/m3o-sandbox/global/networks", `{"name":"n","autoCreateSubnetworks":false,"colour":"red"}`)
	if status != http.StatusBadRequest || !strings.Contains(text, `Unknown name \"colour\": Cannot find field`) {
		t.Errorf("%d: %s", status, text)
	}
	status, text = p.ask("POST", "/v1/"+parent+"/clusters", `{"cluster":{"name":"n","colour":"red"}}`)
	if status != http.StatusBadRequest || !strings.Contains(text, "colour") {
		t.Errorf("%d: %s", status, text)
	}
	status, text = p.ask("GET", "/compute/v1/projects/m3o-sandbox/global/sslCertificates", "")
	if status != http.StatusNotFound || !strings.Contains(text, "The sandbox does not have this method") {
		t.Errorf("%d: %s", status, text)
	}
	status, text = p.ask("GET", "/v1/projects/another/locations/europe-west1/clusters", "")
	if status != http.StatusForbidden || !strings.Contains(text, "Permission denied on resource project another") {
		t.Errorf("%d: %s", status, text)
	}
}

func TestWhatIsAnsweredIsInTheLedger(t *testing.T) {
	p := newProject(t)
	p.networks("n")
	p.done(p.compute.Subnetworks.Delete("m3o-sandbox", place, "n").Do())
	for { // until it is told that there is no such network any more
		if _, err := p.compute.Networks.Delete("m3o-sandbox", "n").Do(); err != nil && strings.Contains(err.Error(), "was not found") {
			break
		}
	}
	if left := p.balanced(); len(left) > 0 {
		t.Errorf("by the ledger there are %v", left)
	}
}
