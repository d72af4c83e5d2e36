package azure_test

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/m3o/platform/internal/cloud/azure"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

const subscription = "11111111-2222-3333-4444-555555555555"

// nobody has a token for everything.
type nobody struct{}

func (nobody) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "t", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// offline is a subscription that nobody answers for.
func offline(t *testing.T, egress ...string) *azure.Provider {
	t.Helper()
	p, err := azure.New(azure.Config{Subscription: subscription, Credential: nobody{}, Egress: egress,
		Transport: refusing(func(*http.Request) { t.Error("somebody was called") })})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type refusing func(*http.Request)

func (f refusing) RoundTrip(r *http.Request) (*http.Response, error) {
	f(r)
	return nil, http.ErrServerClosed
}

func TestWhatASubscriptionNeeds(t *testing.T) {
	for want, c := range map[string]azure.Config{
		"is not the id of an Azure subscription": {Subscription: "mine", Credential: nobody{}},
		"has no credential":                      {Subscription: subscription},
		"by https alone":                         {Subscription: subscription, Credential: nobody{}, Endpoint: azure.Endpoint{URL: "http://127.0.0.1:9004"}},
		"not where Azure's API can be":           {Subscription: subscription, Credential: nobody{}, Endpoint: azure.Endpoint{URL: "https://a.example/path"}},
		"is not an address range":                {Subscription: subscription, Credential: nobody{}, Egress: []string{"here"}},
	} {
		if _, err := azure.New(c); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestACredentialsFileIsReadWhole(t *testing.T) {
	s, err := azure.ParseSecret([]byte(`{"tenant_id":"t","client_id":"c","client_secret":"s","subscription_id":"` + subscription + `"}`))
	if err != nil || s != (azure.Secret{Tenant: "t", Client: "c", Secret: "s", Subscription: subscription}) {
		t.Errorf("got %+v, %v", s, err)
	}
	_, err = azure.ParseSecret([]byte(`{"client_id":"c","subscription_id":"mine"}`))
	for _, field := range []string{"tenant_id: is missing", "client_secret: is missing", `subscription_id: "mine"`} {
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("got %v, want %s", err, field)
		}
	}
	if _, err := azure.ParseSecret([]byte(`{"client_secret": hush}`)); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v", err)
	}
}

// Microsoft's "Naming rules and restrictions for Azure resources".
func TestNamesKeepToAzuresRules(t *testing.T) {
	p := offline(t)
	rules := map[string]string{"group": `^[-\w._()]{1,89}[-\w_()]$`, "nodeGroup": `^[-\w._()]{1,79}[-\w_()]$`, "network": `^[a-zA-Z0-9][-\w.]{0,62}\w$`,
		"gateway": `^[a-zA-Z0-9][-\w.]{0,78}\w$`, "address": `^[a-zA-Z0-9][-\w.]{0,78}\w$`, "identity": `^[a-zA-Z0-9][-\w]{2,127}$`, "nodes": `^[a-zA-Z0-9][-\w]{2,127}$`,
		"cluster": `^[a-zA-Z0-9][-\w]{0,61}[a-zA-Z0-9]$`, "dns": `^[a-zA-Z0-9]([-a-zA-Z0-9]{0,52}[a-zA-Z0-9])?$`}
	long := region.Key{Platform: strings.Repeat("p", 20) + "-" + strings.Repeat("p", 19), Name: strings.Repeat("r", 39) + "a"}
	other := long
	other.Name = other.Name[:39] + "b"
	short, a, b := p.Named("m3o-micro-asia"), p.Named(long.ResourceName()), p.Named(other.ResourceName())
	for what, rule := range rules {
		for _, named := range []map[string]string{short, a, b} {
			if !regexp.MustCompile(rule).MatchString(named[what]) {
				t.Errorf("%q cannot name the %s", named[what], what)
			}
		}
		if a[what] == b[what] {
			t.Errorf("two regions share the %s %s", what, a[what])
		}
	}
	taken := map[string]string{}
	for _, name := range []string{"asia", "asia-nodes", "nodes-asia", "asia-cluster"} { // groups have one space of names
		named := p.Named(region.Key{Platform: "micro", Name: name}.ResourceName())
		for _, group := range []string{named["group"], named["nodeGroup"]} {
			if other := taken[group]; other != "" {
				t.Errorf("the group %s is both %s's and %s's", group, other, name)
			}
			taken[group] = name
		}
	}
	if short["group"] != "m3o-micro-asia" || short["cluster"] != "m3o-micro-asia" {
		t.Errorf("short names are cut: %v", short)
	}
}

// TestATokenGoesToTheResourceManagerAlone: hints lie in histories, and a step sends its token to the address in one.
func TestATokenGoesToTheResourceManagerAlone(t *testing.T) {
	p := offline(t)
	for operation, want := range map[string]bool{
		"https://management.azure.com/subscriptions/s/providers/Microsoft.ContainerService/locations/l/operations/o?api-version=1&t=2": true,
		"https://MANAGEMENT.azure.com/subscriptions/s/operationresults/o":                                                              true,
		"https://elsewhere.example/subscriptions/s/operationresults/o":                                                                 false,
		"http://management.azure.com/subscriptions/s/operationresults/o":                                                               false,
		"https://management.azure.com@elsewhere.example/":                                                                              false,
		"https://user@management.azure.com/":                                                                                           false,
		"https://management.azure.com:8443/":                                                                                           false,
		"":                                                                                                                             false,
		"{\"nonsense\": \x00\xff":                                                                                                      false,
		"https://management.azure.com/" + strings.Repeat("a", 9<<10):                                                                   false,
	} {
		if got := p.IsOurs(operation); got != want {
			t.Errorf("%q: %t", operation[:min(len(operation), 80)], got)
		}
	}
}

func TestWhoReachesTheAPIServer(t *testing.T) {
	network := region.Net{Egress: []string{"20.1.2.3"}}
	p := offline(t, "203.0.113.8/29")
	if got := p.Ranges(region.ClusterSpec{Network: network}); len(got) > 0 {
		t.Errorf("nothing is restricted, and %v are let in", got)
	}
	got := p.Ranges(region.ClusterSpec{Network: network, Access: []string{"198.51.100.7", "192.0.2.0/24", "192.0.2.0/24"}})
	if want := []string{"192.0.2.0/24", "198.51.100.7/32", "20.1.2.3/32", "203.0.113.8/29"}; !slices.Equal(got, want) {
		t.Errorf("let in are %v, want %v: those of the file, the region's nodes and the workers", got, want)
	}
}

func TestActionsMatchAsInAzure(t *testing.T) {
	for pattern, want := range map[string]bool{"*": true, "Microsoft.Network/*": true, "microsoft.network/virtualnetworks/WRITE": true, "Microsoft.Network/*/write": true,
		"*/write": true, "Microsoft.Network/virtualNetworks/*": true, "Microsoft.Network/*/read": false, "Microsoft.Compute/*": false, "*/read": false,
		"Microsoft.Network/virtualNetworks": false, "": false, "*/virtual*/*": true, "Microsoft.Network/virtualNetworks/*/write": true, "*/virtual*/subnets/*": false} {
		if got := azure.MatchesAction(pattern, "Microsoft.Network/virtualNetworks/write"); got != want {
			t.Errorf("%q: %t", pattern, got)
		}
	}
}

func TestANetworkThatAzureCannotHave(t *testing.T) {
	p := offline(t)
	spec := region.NetworkSpec{Owner: region.Key{Platform: "micro", Name: "asia"}, Name: "m3o-micro-asia", Location: "southeastasia"}
	for cidr, want := range map[string]string{"10.0.0.0/24": "cidr: \"10.0.0.0/24\"", "fd00::/16": "cidr", "ten": "cidr"} {
		spec.CIDR = cidr
		if _, err := p.EnsureNetwork(t.Context(), spec, ""); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", cidr, err)
		}
	}
	spec.CIDR, spec.NAT = "", region.PerZoneNAT
	if _, err := p.EnsureNetwork(t.Context(), spec, ""); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "nat: \"per-zone\"") {
		t.Errorf("a NAT gateway in each zone: %v", err)
	}
}

func TestLimitsAreThoseOfTheResourceManager(t *testing.T) {
	limits := azure.Limits(azure.Requests, azure.Period)
	counts := func(method, path string) (names []string) {
		r, err := http.NewRequest(method, "https://management.azure.com"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range limits {
			if l.Counts(r) {
				names = append(names, l.Name)
			}
		}
		return names
	}
	group := "/subscriptions/s/resourceGroups/g"
	for path, want := range map[string][]string{
		"GET " + group:    {"250 reads in 10s"},
		"PUT " + group:    {"200 writes in 20s"},
		"DELETE " + group: {"200 deletions in 20s"},
		"POST " + group + "/providers/Microsoft.ContainerService/managedClusters/c/listClusterUserCredential": {"200 writes in 20s", "60 other requests to AKS in 1m0s"},
		"POST /tenant/oauth2/v2.0/token": nil,
	} {
		method, path, _ := strings.Cut(path, " ")
		if got := counts(method, path); !slices.Equal(got, want) {
			t.Errorf("%s %s counts as %v, want %v", method, path, got, want)
		}
	}
	if shorter := azure.Limits(azure.Requests, time.Minute); shorter[0].Requests != 250 || shorter[0].Per != time.Minute/360 {
		t.Errorf("in a sandbox whose hour is a minute: %+v", shorter[0])
	}
}

func TestAPriceGoesByTheLocation(t *testing.T) {
	of := func(location string) region.Preflight {
		return azure.Judged(region.Spec{Location: location, Kubernetes: region.Kubernetes{Nodes: region.Nodes{Count: 2, Size: "Standard_D2s_v5"}}})
	}
	// Control plane 73.00, way out 36.50, and two nodes at 70.08 with disks at 9.28, times what the location's factor is.
	for location, want := range map[string]string{"eastus": "268.22", "southeastasia": "307.90", "brazilsouth": "361.86", "atlantis": "307.90"} {
		got := of(location)
		if got.Monthly != (region.Cost{Amount: want, Currency: "USD"}) {
			t.Errorf("in %s two nodes cost %+v, want %s", location, got.Monthly, want)
		}
		if warned := len(got.Warnings) == 1 && strings.Contains(got.Warnings[0], "no prices on record for atlantis"); warned != (location == "atlantis") || len(got.Warnings) > 1 {
			t.Errorf("in %s the warnings are %q", location, got.Warnings)
		}
	}
}

func TestAWorkerThatItsTokenDoesNotNameIsGivenNothing(t *testing.T) {
	p := offline(t)
	spec := region.Spec{Platform: "micro", Name: "asia"}.TrustSpec(region.Cluster{}, region.Identity{})
	if _, err := p.EnsureTrust(t.Context(), spec, ""); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "claim oid") {
		t.Errorf("got %v", err)
	}
}

// scripted answers as the Resource Manager does, by method and the end of the path.
type scripted map[string]string

func (s scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	for call, body := range s {
		method, end, _ := strings.Cut(call, " ")
		if r.Method == method && strings.HasSuffix(r.URL.Path, end) {
			status := http.StatusOK
			if method == http.MethodDelete {
				status = http.StatusAccepted
			}
			answer := answered(status, body, http.Header{"Content-Type": {"application/json"}, "Location": {"https://management.azure.com/subscriptions/s/operationresults/next"}})
			answer.Request = r
			return answer, nil
		}
	}
	answer := answered(http.StatusNotFound, `{"error":{"code":"ResourceNotFound","message":"The Resource was not found."}}`, nil)
	answer.Request = r
	return answer, nil
}

// TestADeletionThatAzureGaveUpIsRepeated, and says why.
func TestADeletionThatAzureGaveUpIsRepeated(t *testing.T) {
	tags := `"tags":{"m3o-owner":"m3o:micro:asia"},"location":"southeastasia"`
	gaveUp := `{"status":"Failed","error":{"code":"OperationNotAllowed","message":"Load balancer kubernetes is in use."}}`
	p, err := azure.New(azure.Config{Subscription: subscription, Credential: nobody{}, Transport: scripted{
		"GET /managedClusters/m3o-micro-asia":    `{` + tags + `,"properties":{"provisioningState":"Failed"}}`,
		"DELETE /managedClusters/m3o-micro-asia": ``,
		"GET /locations/l/operations/o":          gaveUp,
	}})
	if err != nil {
		t.Fatal(err)
	}
	spec := region.Spec{Platform: "micro", Name: "asia", Location: "southeastasia"}
	operation := "https://management.azure.com/subscriptions/s/providers/Microsoft.ContainerService/locations/l/operations/o"
	now, err := p.DeleteCluster(t.Context(), spec.ClusterSpec(region.Net{}), operation)
	if err != nil || now.Gone || !strings.Contains(now.State, "after Azure gave up the one before: Load balancer kubernetes is in use.") || !strings.HasSuffix(now.Operation, "/next") {
		t.Errorf("the cluster: %+v, %v", now, err)
	}
	p, err = azure.New(azure.Config{Subscription: subscription, Credential: nobody{}, Transport: scripted{
		"GET /resourcegroups/m3o-micro-asia":    `{` + tags + `,"properties":{"provisioningState":"Succeeded"}}`,
		"GET /m3o-micro-asia/resources":         `{"value":[]}`,
		"DELETE /resourcegroups/m3o-micro-asia": ``,
		"GET /locations/l/operations/o":         gaveUp,
	}})
	if err != nil {
		t.Fatal(err)
	}
	now, err = p.DeleteNetwork(t.Context(), spec.NetworkSpec(), operation)
	if err != nil || now.Gone || !strings.Contains(now.State, "after Azure gave up the one before: Load balancer kubernetes is in use.") {
		t.Errorf("the group: %+v, %v", now, err)
	}
}

// TestAClusterThatSomebodyStoppedSaysSo: Azure does not start it by itself.
func TestAClusterThatSomebodyStoppedSaysSo(t *testing.T) {
	p, err := azure.New(azure.Config{Subscription: subscription, Credential: nobody{}, Transport: scripted{
		"GET /managedClusters/m3o-micro-asia": `{"tags":{"m3o-owner":"m3o:micro:asia"},"properties":{"provisioningState":"Succeeded","powerState":{"code":"Stopped"}}}`}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.EnsureCluster(t.Context(), region.Spec{Platform: "micro", Name: "asia"}.ClusterSpec(region.Net{}), "")
	if err != nil || !c.Broken || c.Ready || !strings.Contains(c.Reason, "az aks start -g m3o-micro-asia -n m3o-micro-asia") {
		t.Errorf("it is %+v, %v", c, err)
	}
}
