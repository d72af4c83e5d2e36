package azure_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/sandbox/world"
)

func TestPutTwiceChangesNothing(t *testing.T) {
	s := open(t)
	s.network()
	before := made[[]world.Effect](t)(s.world.Effects(t.Context(), 0))
	for path, body := range map[string]string{rg: `{` + location + `,"tags":{"m3o-owner":"m3o:micro:eu"}}`, onNet + "/virtualNetworks/vnet": vnetBody} {
		a := s.ask(http.StatusOK, http.MethodPut, path, body)
		if a.state() != "Succeeded" || a.header.Get("Azure-AsyncOperation") != "" {
			t.Errorf("%s: %v %v", path, a.state(), a.header)
		}
	}
	// What was read and is sent back changes nothing either.
	for _, path := range []string{onNet + "/virtualNetworks/vnet", onNet + "/natGateways/nat", onNet + "/publicIPAddresses/pip", subnet} {
		read := s.ask(http.StatusOK, http.MethodGet, path, "")
		again := s.ask(http.StatusOK, http.MethodPut, path, text(t, read.body))
		if again.state() != "Succeeded" || again.at("etag") != read.at("etag") {
			t.Errorf("%s sent back: %v", path, again.body)
		}
	}
	if after := made[[]world.Effect](t)(s.world.Effects(t.Context(), 0)); len(after) != len(before) {
		t.Errorf("it changed %+v", after[len(before):])
	}
}

func TestUnknownKeysAreKept(t *testing.T) {
	s := open(t)
	s.ask(http.StatusCreated, http.MethodPut, rg, `{`+location+`}`)
	s.ready(onNet+"/networkSecurityGroups/nsg", `{`+location+`,"surprise":{"a":[1,"b"]},"properties":{"flushConnection":true,"new":"thing"}}`)
	a := s.ask(http.StatusOK, http.MethodGet, onNet+"/networkSecurityGroups/nsg", "")
	if text(t, a.body["surprise"]) != `{"a":[1,"b"]}` || a.at("properties", "new") != "thing" || a.at("properties", "flushConnection") != "true" {
		t.Errorf("it is %v", a.body)
	}
}

func TestNetworkInUseStays(t *testing.T) {
	s := open(t)
	s.network()
	s.refused(http.StatusBadRequest, "PublicIPAddressCannotBeDeleted", http.MethodDelete, onNet+"/publicIPAddresses/pip", "")
	s.refused(http.StatusBadRequest, "CannotDeleteNatGatewayAssociatedToSubnet", http.MethodDelete, onNet+"/natGateways/nat", "")
	s.ready(onNet+"/networkSecurityGroups/nsg", `{`+location+`}`)
	s.ready(subnet, `{"properties":{"addressPrefix":"10.20.0.0/17","natGateway":{"id":"`+onNet+`/natGateways/nat"},"networkSecurityGroup":{"id":"`+onNet+`/networkSecurityGroups/nsg"}}}`)
	s.refused(http.StatusBadRequest, "InUseNetworkSecurityGroupCannotBeDeleted", http.MethodDelete, onNet+"/networkSecurityGroups/nsg", "")
	s.ready(onAKS+"/eu", clusterBody(poolProfile("nodes", 1)))
	for _, path := range []string{subnet, onNet + "/virtualNetworks/vnet"} {
		a := s.refused(http.StatusBadRequest, "InUseSubnetCannotBeDeleted", http.MethodDelete, path, "")
		if !strings.Contains(a.at("error", "message"), "aks-nodes-") {
			t.Errorf("it does not say by what: %v", a.body)
		}
	}
	withoutSubnet := strings.Replace(vnetBody, `"name":"nodes"`, `"name":"others"`, 1)
	s.refused(http.StatusBadRequest, "InUseSubnetCannotBeDeleted", http.MethodPut, onNet+"/virtualNetworks/vnet", strings.Replace(withoutSubnet, "10.20.0.0/17", "10.20.128.0/17", 1))
	s.ask(http.StatusAccepted, http.MethodDelete, onAKS+"/eu", "")
	s.until("", onAKS+"/eu")
	for _, path := range []string{onNet + "/virtualNetworks/vnet", onNet + "/natGateways/nat", onNet + "/publicIPAddresses/pip", onNet + "/networkSecurityGroups/nsg"} {
		a := s.ask(http.StatusAccepted, http.MethodDelete, path, "")
		if a.header.Get("Location") == "" || a.header.Get("Azure-AsyncOperation") == "" {
			t.Errorf("%s: headers %v", path, a.header)
		}
		s.until("", path)
		s.ask(http.StatusNoContent, http.MethodDelete, path, "")
	}
}

// TestBrokenNetworksAreRefused says what is wrong with what was sent, and makes nothing.
func TestBrokenNetworksAreRefused(t *testing.T) {
	s := open(t)
	s.network()
	vnet := func(space, subnets string) string {
		return fmt.Sprintf(`{%s,"properties":{"addressSpace":{"addressPrefixes":[%s]},"subnets":[%s]}}`, location, space, subnets)
	}
	sub := func(name, prefix string) string {
		return fmt.Sprintf(`{"name":%q,"properties":{"addressPrefix":%q}}`, name, prefix)
	}
	for _, c := range []struct{ code, path, body string }{
		{"InvalidCIDRNotation", "/virtualNetworks/v", vnet(`"10.1.2.3/16"`, "")},
		{"InvalidRequestFormat", "/virtualNetworks/v", vnet("", "")},
		{"NetcfgSubnetRangeOutsideVnet", "/virtualNetworks/v", vnet(`"10.1.0.0/16"`, sub("a", "10.2.0.0/24"))},
		{"NetcfgSubnetRangesOverlap", "/virtualNetworks/v", vnet(`"10.1.0.0/16"`, sub("a", "10.1.0.0/17")+","+sub("b", "10.1.1.0/24"))},
		{"InvalidResourceReference", "/virtualNetworks/v/subnets/s", `{"properties":{"addressPrefix":"10.1.0.0/24","natGateway":{"id":"` + onNet + `/natGateways/none"}}}`},
		{"InvalidResourceReference", "/natGateways/n", `{` + location + `,"sku":{"name":"Standard"},"properties":{"publicIpAddresses":[{"id":"` + onNet + `/publicIPAddresses/none"}]}}`},
		{"StandardSkuPublicIPAddressesMustBeStatic", "/publicIPAddresses/p", `{` + location + `,"sku":{"name":"Standard"},"properties":{"publicIPAllocationMethod":"Dynamic"}}`},
		{"LocationRequired", "/publicIPAddresses/p", `{}`},
		{"LocationNotAvailableForResourceType", "/publicIPAddresses/p", `{"location":"atlantis"}`},
		{"InvalidRequestContent", "/publicIPAddresses/p", `{"location":`},
		{"InvalidRequestContent", "/publicIPAddresses/p", `null`},
	} {
		path := onNet + c.path
		if strings.Contains(path, "/subnets/") {
			path = onNet + "/virtualNetworks/vnet/subnets/s"
			c.body = strings.Replace(c.body, "10.1.0.0/24", "10.20.128.0/24", 1)
		}
		s.refused(http.StatusBadRequest, c.code, http.MethodPut, path, c.body)
		s.ask(http.StatusNotFound, http.MethodGet, path, "")
	}
	s.refused(http.StatusConflict, "InvalidResourceLocation", http.MethodPut, onNet+"/publicIPAddresses/pip", `{"location":"eastus"}`)
	s.refused(http.StatusConflict, "InvalidResourceGroupLocation", http.MethodPut, rg, `{"location":"eastus"}`)
	s.refused(http.StatusBadRequest, "InvalidResourceGroupName", http.MethodPut, inSub+"/resourceGroups/ends.", `{`+location+`}`)
	s.refused(http.StatusNotFound, "ResourceGroupNotFound", http.MethodPut, inSub+"/resourceGroups/none/providers/Microsoft.Network/natGateways/n", `{`+location+`}`)
	s.refused(http.StatusNotFound, "ParentResourceNotFound", http.MethodPut, onNet+"/virtualNetworks/none/subnets/s", `{"properties":{"addressPrefix":"10.1.0.0/24"}}`)
}

// TestBusyResourcesAreLeftAlone asks for changes while others are under way.
func TestBusyResourcesAreLeftAlone(t *testing.T) {
	s := openIn(t, t.TempDir(), 0.1, newConfig())
	s.ask(http.StatusCreated, http.MethodPut, rg, `{`+location+`}`)
	const body = `{` + location + `,"sku":{"name":"Standard"},"properties":{"publicIPAllocationMethod":"Static"}}`
	begun := s.ask(http.StatusCreated, http.MethodPut, onNet+"/publicIPAddresses/pip", body)
	if begun.state() != "Updating" || begun.header.Get("Retry-After") == "" || !strings.Contains(begun.header.Get("Azure-AsyncOperation"), "/locations/westeurope/operations/") {
		t.Errorf("it began as %v %v", begun.body, begun.header)
	}
	changed := s.refused(http.StatusTooManyRequests, "RetryableErrorDueToAnotherOperation", http.MethodPut, onNet+"/publicIPAddresses/pip", strings.Replace(body, "Static", "Static\",\"idleTimeoutInMinutes\":5,\"a\":\"", 1))
	if changed.header.Get("Retry-After") == "" {
		t.Error("nothing says when to come back")
	}
	s.refused(http.StatusTooManyRequests, "ReferencedResourceNotProvisioned", http.MethodPut, onNet+"/natGateways/nat",
		`{`+location+`,"sku":{"name":"Standard"},"properties":{"publicIpAddresses":[{"id":"`+onNet+`/publicIPAddresses/pip"}]}}`)
	s.until("Succeeded", onNet+"/publicIPAddresses/pip")
}

// TestConditionsHold sends If-Match and If-None-Match.
func TestConditionsHold(t *testing.T) {
	s := open(t)
	s.network()
	read := s.ask(http.StatusOK, http.MethodGet, onNet+"/natGateways/nat", "")
	s.refused(http.StatusPreconditionFailed, "PreconditionFailed", http.MethodPut, onNet+"/natGateways/nat", text(t, read.body), "If-None-Match", "*")
	s.refused(http.StatusPreconditionFailed, "PreconditionFailed", http.MethodPut, onNet+"/natGateways/nat", text(t, read.body), "If-Match", "another")
	s.ask(http.StatusOK, http.MethodPut, onNet+"/natGateways/nat", text(t, read.body), "If-Match", read.at("etag"))
}

// TestCaseDoesNotMatter finds resources however their ids are written, and shows the ids as they were made.
func TestCaseDoesNotMatter(t *testing.T) {
	s := open(t)
	s.network()
	a := s.ask(http.StatusOK, http.MethodGet, strings.ToUpper(onNet)+"/VIRTUALNETWORKS/VNET", "")
	if a.at("id") != onNet+"/virtualNetworks/vnet" || a.at("name") != "vnet" || a.at("type") != "Microsoft.Network/virtualNetworks" {
		t.Errorf("it is %v", a.body)
	}
	s.ask(http.StatusOK, http.MethodGet, inSub+"//resourcegroups/RG", "")
	moved := s.ask(http.StatusOK, http.MethodPut, strings.ToLower(onNet)+"/natgateways/NAT", `{"location":"West Europe","sku":{"name":"Standard"},"properties":{"publicIpAddresses":[{"id":"`+strings.ToUpper(onNet)+`/publicIPAddresses/PIP"}]}}`)
	if moved.at("id") != onNet+"/natGateways/nat" {
		t.Errorf("it is %v", moved.body)
	}
}

// TestListsComeInPages filters by tag, and follows the links.
func TestListsComeInPages(t *testing.T) {
	s := open(t)
	for i := range 5 {
		s.ask(http.StatusCreated, http.MethodPut, fmt.Sprintf("%s/resourceGroups/g%d", inSub, i), fmt.Sprintf(`{%s,"tags":{"Owner":"o%d"}}`, location, i%2))
	}
	var names []string
	for path := inSub + "/resourceGroups?$top=2"; path != ""; {
		a := s.ask(http.StatusOK, http.MethodGet, path, "")
		for _, item := range a.body["value"].([]any) {
			names = append(names, item.(map[string]any)["name"].(string))
		}
		path = strings.TrimPrefix(a.at("nextLink"), s.url)
	}
	if fmt.Sprint(names) != "[g0 g1 g2 g3 g4]" {
		t.Errorf("listed are %v", names)
	}
	filtered := s.ask(http.StatusOK, http.MethodGet, inSub+"/resourceGroups?$filter=tagName%20eq%20'owner'%20and%20tagValue%20eq%20'o1'", "")
	if n := len(filtered.body["value"].([]any)); n != 2 {
		t.Errorf("%d have the tag: %v", n, filtered.body)
	}
	s.refused(http.StatusBadRequest, "InvalidFilterInQueryString", http.MethodGet, inSub+"/resourceGroups?$filter=name%20gt%201", "")
	s.refused(http.StatusBadRequest, "InvalidSkipToken", http.MethodGet, inSub+"/resourceGroups?$skiptoken=-", "")
}

// TestResourcesAreListedAcrossTypes is what proves that nothing is left.
func TestResourcesAreListedAcrossTypes(t *testing.T) {
	s := open(t)
	s.cluster()
	count := func(path string) int {
		return len(s.ask(http.StatusOK, http.MethodGet, path, "").body["value"].([]any))
	}
	for path, want := range map[string]int{onNet + "/virtualNetworks/vnet/subnets": 1, onAKS + "/eu/agentPools": 1, onAKS: 1, inSub + "/providers/Microsoft.ContainerService/managedClusters": 1,
		inSub + "/resourceGroups/MC_rg_eu_westeurope/providers/Microsoft.Compute/virtualMachineScaleSets/aks-nodes-" + s.number() + "-vmss/virtualMachines": 2} {
		if n := count(path); n != want {
			t.Errorf("%d at %s, want %d", n, path, want)
		}
	}
	s.refused(http.StatusNotFound, "ParentResourceNotFound", http.MethodGet, onAKS+"/none/agentPools", "")
	if n := count(rg + "/resources"); n != 4 {
		t.Errorf("%d in the group: %v", n, s.ask(http.StatusOK, http.MethodGet, rg+"/resources", "").body)
	}
	if n := count(inSub + "/resources?$filter=resourceType%20eq%20'Microsoft.ContainerService/managedClusters'"); n != 1 {
		t.Errorf("%d clusters", n)
	}
	if n := count(inSub + "/resources?$filter=resourceGroup%20eq%20'mc_rg_eu_westeurope'%20and%20location%20eq%20'westeurope'"); n != 3 {
		t.Errorf("%d by the name of the node group", n)
	}
	if a := s.ask(http.StatusOK, http.MethodGet, inSub+"/resources?$filter=tagName%20eq%20'managed-by'", ""); strings.Contains(text(t, a.body), `"tags"`) || !strings.Contains(text(t, a.body), "managedClusters") {
		t.Errorf("by tag: %v", a.body)
	}
	if n := count(inSub + "/resourceGroups/MC_rg_eu_westeurope/resources"); n != 3 { // a scale set, its security group, the kubelet's identity
		t.Errorf("%d in the node group: %v", n, s.ask(http.StatusOK, http.MethodGet, inSub+"/resourceGroups/MC_rg_eu_westeurope/resources", "").body)
	}
}

// number is the one in the names of the cluster's node resources.
func (s *sandbox) number() string {
	s.t.Helper()
	set := s.ask(http.StatusOK, http.MethodGet, inSub+"/providers/Microsoft.Compute/virtualMachineScaleSets", "").body["value"].([]any)[0].(map[string]any)["name"].(string)
	return strings.Split(set, "-")[2]
}
