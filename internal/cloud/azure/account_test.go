package azure_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/goccy/go-yaml"

	"github.com/m3o/platform/deploy/workers"
	"github.com/m3o/platform/internal/cloud/azure"
	"github.com/m3o/platform/internal/cloud/azure/azuretest"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/rate"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox"
)

// life is one region of a subscription, made and removed step by step.
type life struct {
	azuretest.Account
	provider *azure.Provider
	region   region.Spec
	network  region.Net
	identity region.Identity
	cluster  region.Cluster
}

func newLife(t *testing.T, a azuretest.Account) *life {
	t.Helper()
	return &life{Account: a, provider: a.Provider(t), region: region.Spec{Platform: "micro", Domain: "micro.mu", Name: "asia", Provider: region.Azure, Location: azuretest.Location,
		Kubernetes: region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 1, Size: "Standard_D2s_v5"}}, CIDR: "10.20.0.0/16", Network: []region.Part{region.API}}}
}

func (l *life) clusterSpec() region.ClusterSpec {
	spec := l.region.ClusterSpec(l.network)
	spec.Principals, spec.ID = l.identity.Principals, l.cluster.ID
	return spec
}

const patience = 40 * time.Second

// until takes steps until one says that it is done, or fails.
func until(t *testing.T, what string, step func(operation string) (region.Condition, error)) region.Condition {
	t.Helper()
	var now region.Condition
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		next, err := step(now.Operation)
		if fault.Is(err, fault.Conflict) {
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if now = next; now.Ready || now.Broken {
			return now
		}
	}
	t.Fatalf("%s: not within %s: %+v", what, patience, now)
	return now
}

func (l *life) makeNetwork(t *testing.T) {
	t.Helper()
	until(t, "network", func(operation string) (c region.Condition, err error) {
		l.network, err = l.provider.EnsureNetwork(t.Context(), l.region.NetworkSpec(), operation)
		return l.network.Condition, err
	})
}

func (l *life) makeCluster(t *testing.T) region.Condition {
	t.Helper()
	until(t, "identity", func(operation string) (c region.Condition, err error) {
		l.identity, err = l.provider.EnsureIdentity(t.Context(), l.region.IdentitySpec(l.network), operation)
		return l.identity.Condition, err
	})
	return until(t, "cluster", func(operation string) (c region.Condition, err error) {
		l.cluster, err = l.provider.EnsureCluster(t.Context(), l.clusterSpec(), operation)
		return l.cluster.Condition, err
	})
}

func (l *life) build(t *testing.T) {
	t.Helper()
	l.makeNetwork(t)
	if now := l.makeCluster(t); !now.Ready {
		t.Fatalf("the cluster is %+v", now)
	}
	until(t, "trust", func(operation string) (region.Condition, error) {
		return l.provider.EnsureTrust(t.Context(), l.region.TrustSpec(l.cluster, l.identity), operation)
	})
}

func gone(now region.Removal, err error) (region.Condition, error) {
	return region.Condition{Ready: now.Gone, State: now.State, Operation: now.Operation}, err
}

func (l *life) remove(t *testing.T) {
	t.Helper()
	until(t, "remove the cluster", func(operation string) (region.Condition, error) {
		return gone(l.provider.DeleteCluster(t.Context(), l.clusterSpec(), operation))
	})
	until(t, "remove the trust", func(operation string) (region.Condition, error) {
		return gone(l.provider.DeleteTrust(t.Context(), l.region.TrustSpec(l.cluster, l.identity), operation))
	})
	until(t, "remove the identity", func(operation string) (region.Condition, error) {
		return gone(l.provider.DeleteIdentity(t.Context(), l.region.IdentitySpec(l.network), operation))
	})
	until(t, "remove the network", func(operation string) (region.Condition, error) {
		return gone(l.provider.DeleteNetwork(t.Context(), l.region.NetworkSpec(), operation))
	})
	if left, err := l.provider.Owned(t.Context(), l.region.Key(), l.region.Location, l.cluster.ID); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// recorder keeps which operations were asked for.
type recorder struct {
	mu   sync.Mutex
	seen map[string]bool
	next http.RoundTripper
	t    *testing.T
}

func (r *recorder) over(next http.RoundTripper) http.RoundTripper {
	r.next = next
	return r
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := azure.OperationOf(request.Method, request.URL.Path); o != nil {
		r.seen[o.Name] = true
	} else if strings.HasPrefix(request.URL.Path, "/subscriptions/") {
		r.t.Errorf("%s %s is none of the operations that the role is made from", request.Method, request.URL.Path)
	}
	return r.next.RoundTrip(request)
}

// TestARegionLivesByTheWorkersRole and asks for nothing that the role was not made for; what the role was made for is asked for.
func TestARegionLivesByTheWorkersRole(t *testing.T) {
	r := &recorder{seen: map[string]bool{}, t: t}
	a := newAccount(t, sandbox.Config{Policies: map[string][]byte{"azure": workerpolicy.Of("azure")}})
	a.Transport = r.over
	l := newLife(t, a)
	if p, err := l.provider.Preflight(t.Context(), l.region, nil); err != nil || len(p.Obstacles) > 0 {
		t.Fatalf("preflight: %+v, %v", p, err)
	}
	l.build(t)
	l.region.Kubernetes.Nodes.Count, l.region.Access = 2, []string{"192.0.2.0/24"}
	l.build(t)
	if _, err := l.provider.Access(t.Context(), l.clusterSpec()); err != nil {
		t.Error(err)
	}
	first, err := l.provider.DeleteCluster(t.Context(), l.clusterSpec(), "")
	if err != nil || first.Operation == "" {
		t.Errorf("delete the cluster: %+v, %v", first, err)
	}
	l.remove(t)
	l.failing(t)
	for _, o := range azure.Operations {
		if !r.seen[o.Name] && o.Name != "NetworkOperations_Get" && o.Name != "GroupOperations_Get" { // asked only when a network or a group fails
			t.Errorf("%s is in the role, and nothing needs it", o.Name)
		}
	}
}

// failing has a cluster fail, so that Azure is asked why, and removes it.
func (l *life) failing(t *testing.T) {
	t.Helper()
	l.Fault(t, "ManagedClusters_CreateOrUpdate", "late", 0)
	l.makeNetwork(t)
	now := l.makeCluster(t)
	if !now.Broken || now.State != "Failed" || now.Reason == "" || strings.Contains(now.Reason, "activity log") {
		t.Errorf("a cluster that failed is %+v, and should say why in Azure's words", now)
	}
	lost, err := l.provider.EnsureCluster(t.Context(), l.clusterSpec(), "")
	if err != nil || !lost.Broken || !strings.Contains(lost.Reason, "activity log") {
		t.Errorf("without the hint it is %+v, %v, and should say where the reason is", lost, err)
	}
	l.remove(t)
}

func TestWhoReachesAnAPIServerIsChangedInPlace(t *testing.T) {
	a := newAccount(t, sandbox.Config{})
	a.Egress = []string{"203.0.113.8/29"}
	l := newLife(t, a)
	l.region.Access = []string{"192.0.2.0/24"}
	l.build(t)
	credential, options := a.SDK(t)
	clusters, err := armcontainerservice.NewManagedClustersClient(a.Secret.Subscription, credential, options)
	if err != nil {
		t.Fatal(err)
	}
	ranges := func() (all []string) {
		found, err := clusters.Get(t.Context(), l.cluster.Name, l.cluster.Name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if p := found.Properties.APIServerAccessProfile; p != nil {
			for _, one := range p.AuthorizedIPRanges {
				all = append(all, *one)
			}
		}
		slices.Sort(all)
		return all
	}
	if len(l.network.Egress) != 1 {
		t.Fatalf("the nodes are seen by %v", l.network.Egress)
	}
	with := func(more ...string) []string {
		all := append([]string{"203.0.113.8/29", l.network.Egress[0] + "/32"}, more...)
		slices.Sort(all)
		return all
	}
	if got := ranges(); !slices.Equal(got, with("192.0.2.0/24")) {
		t.Errorf("let in are %v", got)
	}
	for _, access := range [][]string{{"198.51.100.0/24", "192.0.2.0/24"}, {"198.51.100.0/24"}, nil} {
		l.region.Access = access
		first, err := l.provider.EnsureCluster(t.Context(), l.clusterSpec(), "")
		if err != nil || first.Ready {
			t.Errorf("asked for %v, it is %+v, %v", access, first, err)
		}
		l.build(t)
		want := with(access...)
		if access == nil {
			want = nil
		}
		if got := ranges(); !slices.Equal(got, want) {
			t.Errorf("with access_cidrs %v let in are %v", access, got)
		}
	}
	l.remove(t)
}

// TestFewerNodesMendAClusterThatCouldNotHaveMore: the limit that was too small for many does for the number before.
func TestFewerNodesMendAClusterThatCouldNotHaveMore(t *testing.T) {
	l := newLife(t, newAccount(t, sandbox.Config{}))
	l.build(t)
	l.Fault(t, "AgentPools_CreateOrUpdate", "late", 0)
	l.region.Kubernetes.Nodes.Count = 3
	if now := l.makeCluster(t); !now.Broken || now.Reason == "" || !strings.Contains(now.Reason, "az aks update -g m3o-micro-asia -n m3o-micro-asia") {
		t.Errorf("the cluster is %+v", now)
	}
	l.region.Kubernetes.Nodes.Count = 1
	if now := l.makeCluster(t); !now.Ready || l.cluster.Nodes != 1 {
		t.Errorf("with fewer nodes the cluster is %+v", l.cluster)
	}
	l.remove(t)
}

func TestAKubeconfigHoldsAnEntraTokenOfAWorker(t *testing.T) {
	l := newLife(t, newAccount(t, sandbox.Config{}))
	l.build(t)
	access, err := l.provider.Access(t.Context(), l.clusterSpec())
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Users []struct {
			User map[string]any
		}
		Clusters []struct {
			Cluster map[string]any
		}
	}
	if err := yaml.Unmarshal(access.Kubeconfig, &config); err != nil || len(config.Users) != 1 || len(config.Clusters) != 1 {
		t.Fatalf("the kubeconfig is not whole: %v", err)
	}
	token, _ := config.Users[0].User["token"].(string)
	if len(config.Users[0].User) != 1 || strings.Count(token, ".") != 2 || config.Clusters[0].Cluster["certificate-authority-data"] == "" {
		t.Error("it has something else than a token and an authority")
	}
	var claims struct {
		Audience any   `json:"aud"`
		Expires  int64 `json:"exp"`
	}
	data, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err == nil {
		err = json.Unmarshal(data, &claims)
	}
	if err != nil || !strings.Contains(fmt.Sprint(claims.Audience), "6dae42f8-4368-4678-94ff-3960e28e3630") {
		t.Errorf("the token is for %v, %v", claims.Audience, err)
	}
	if late := access.Expires.Sub(time.Unix(claims.Expires, 0)); late > 2*time.Second {
		t.Errorf("it is said to hold %s longer than it does", late)
	}
}

func TestARegionsRangeIsDividedAndKept(t *testing.T) {
	l := newLife(t, newAccount(t, sandbox.Config{}))
	l.makeNetwork(t)
	if l.network.CIDR != "10.20.0.0/16" || len(l.network.Subnets) != 1 || l.network.Subnets[0].CIDR != "10.20.0.0/17" || len(l.network.Zones) != 3 || len(l.network.Egress) != 1 {
		t.Errorf("the network is %+v", l.network)
	}
	other := l.region.NetworkSpec()
	other.CIDR = "10.30.0.0/16"
	if _, err := l.provider.EnsureNetwork(t.Context(), other, ""); !fault.Is(err, fault.Failed) || !strings.Contains(err.Error(), "10.20.0.0/16") {
		t.Errorf("another range: %v", err)
	}
	other = l.region.NetworkSpec()
	other.Location = "westeurope"
	if _, err := l.provider.EnsureNetwork(t.Context(), other, ""); !fault.Is(err, fault.Failed) || !strings.Contains(err.Error(), "is in southeastasia, not in westeurope") {
		t.Errorf("another location: %v", err)
	}
	other = l.region.NetworkSpec()
	other.CIDR = ""
	if n, err := l.provider.EnsureNetwork(t.Context(), other, ""); err != nil || n.CIDR != "10.20.0.0/16" {
		t.Errorf("no range asked for: %+v, %v", n, err)
	}
}

// virtualNetworks is the SDK's client.
func (l *life) virtualNetworks(t *testing.T) *armnetwork.VirtualNetworksClient {
	t.Helper()
	credential, options := l.SDK(t)
	c, err := armnetwork.NewVirtualNetworksClient(l.Secret.Subscription, credential, options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheWayOutIsBroughtBack(t *testing.T) {
	l := newLife(t, newAccount(t, sandbox.Config{}))
	l.makeNetwork(t)
	networks := l.virtualNetworks(t)
	for what, change := range map[string]func(*armnetwork.VirtualNetwork){
		"its gateway taken away": func(v *armnetwork.VirtualNetwork) { v.Properties.Subnets[0].Properties.NatGateway = nil },
		"its subnet taken away":  func(v *armnetwork.VirtualNetwork) { v.Properties.Subnets = []*armnetwork.Subnet{} },
	} {
		found, err := networks.Get(t.Context(), l.network.Name, l.network.Name, nil)
		if err != nil {
			t.Fatal(err)
		}
		change(&found.VirtualNetwork)
		if _, err := networks.BeginCreateOrUpdate(t.Context(), l.network.Name, l.network.Name, found.VirtualNetwork, nil); err != nil {
			t.Fatal(err)
		}
		l.makeNetwork(t)
		found, err = networks.Get(t.Context(), l.network.Name, l.network.Name, nil)
		if err != nil || len(found.Properties.Subnets) != 1 || found.Properties.Subnets[0].Properties.NatGateway == nil || *found.Properties.Subnets[0].Properties.AddressPrefix != "10.20.0.0/17" {
			t.Errorf("%s: it is %+v, %v", what, found.Properties, err)
		}
	}
}

func TestWhatSomebodyPutIntoTheGroupKeepsIt(t *testing.T) {
	l := newLife(t, newAccount(t, sandbox.Config{}))
	l.makeNetwork(t)
	credential, options := l.SDK(t)
	addresses, err := armnetwork.NewPublicIPAddressesClient(l.Secret.Subscription, credential, options)
	if err != nil {
		t.Fatal(err)
	}
	at, standard, static := azuretest.Location, armnetwork.PublicIPAddressSKUNameStandard, armnetwork.IPAllocationMethodStatic
	if _, err := addresses.BeginCreateOrUpdate(t.Context(), l.network.Name, "somebodys", armnetwork.PublicIPAddress{Location: &at, SKU: &armnetwork.PublicIPAddressSKU{Name: &standard},
		Properties: &armnetwork.PublicIPAddressPropertiesFormat{PublicIPAllocationMethod: &static}}, nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		now, err := l.provider.DeleteNetwork(t.Context(), l.region.NetworkSpec(), "")
		if err != nil || now.Gone || !strings.Contains(now.State, "publicIPAddresses/somebodys") {
			t.Errorf("it is %+v, %v", now, err)
		}
	}
	if owned, err := l.provider.Owned(t.Context(), l.region.Key(), l.region.Location); err != nil || !slices.ContainsFunc(owned, func(r region.Resource) bool { return r.Name == "somebodys" }) {
		t.Errorf("what lies in the group is not listed: %v, %v", owned, err)
	}
	until(t, "remove what is somebody's", func(string) (region.Condition, error) {
		_, err := addresses.BeginDelete(t.Context(), l.network.Name, "somebodys", nil)
		_, look := addresses.Get(t.Context(), l.network.Name, "somebodys", nil)
		return region.Condition{Ready: look != nil}, err
	})
	l.remove(t)
}

func TestALackingPermissionIsNamed(t *testing.T) {
	var r role
	if err := json.Unmarshal(workerpolicy.Of("azure"), &r); err != nil {
		t.Fatal(err)
	}
	lacks := []string{"Microsoft.Network/virtualNetworks/subnets/join/action", "Microsoft.ContainerService/managedClusters/write"}
	r.Actions = slices.DeleteFunc(r.Actions, func(action string) bool { return slices.Contains(lacks, action) })
	policy, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	l := newLife(t, newAccount(t, sandbox.Config{Policies: map[string][]byte{"azure": policy}}))
	p, err := l.provider.Preflight(t.Context(), l.region, nil)
	if err != nil || len(p.Obstacles) != 1 || p.Obstacles[0].Kind != "denied" {
		t.Fatalf("got %+v, %v", p, err)
	}
	for _, action := range append(lacks, "deploy/workers/azure") {
		if !strings.Contains(p.Obstacles[0].Message, action) {
			t.Errorf("%s is not in %q", action, p.Obstacles[0].Message)
		}
	}
	l.makeNetwork(t) // it may
	if _, err := l.provider.EnsureCluster(t.Context(), l.clusterSpec(), ""); !fault.Is(err, fault.Denied) {
		t.Errorf("make a cluster without the permission: %v", err)
	}
}

func TestPreflightSaysWhatALocationLacks(t *testing.T) {
	l := newLife(t, newAccount(t, sandbox.Config{}))
	ask := func(change func(*region.Spec)) region.Preflight {
		t.Helper()
		want := l.region
		change(&want)
		p, err := l.provider.Preflight(t.Context(), want, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for want, change := range map[string]func(*region.Spec){
		`no location "southeastasi" for this subscription (did you mean "southeastasia"?)`: func(r *region.Spec) { r.Location = "southeastasi" },
		`(did you mean "Standard_D2s_v5"?)`:                                                func(r *region.Spec) { r.Kubernetes.Nodes.Size = "Standard_D2s_v55" },
		`AKS does not offer Kubernetes 1.12 in southeastasia; it offers`:                   func(r *region.Spec) { r.Kubernetes.Version = "1.12" },
	} {
		if p := ask(change); len(p.Obstacles) != 1 || !strings.Contains(p.Obstacles[0].Message, want) {
			t.Errorf("got %+v, want %s", p.Obstacles, want)
		}
	}
	fine := ask(func(*region.Spec) {})
	var pools []string
	for _, d := range fine.Draws {
		pools = append(pools, d.Pool)
	}
	for _, pool := range []string{"vCPUs of the family standardDSv5Family in southeastasia", "vCPUs in total in southeastasia", "public IP addresses in southeastasia"} {
		if !slices.Contains(pools, pool) {
			t.Errorf("a region draws on %v, not on %s", pools, pool)
		}
	}
	if len(fine.Warnings) > 0 {
		t.Errorf("nothing is restricted, and there are warnings: %v", fine.Warnings)
	}
	// Control plane 73.00, way out 36.50, one node 87.60 and its disk 11.60, load balancer with its address 21.90.
	if fine.Monthly != (region.Cost{Amount: "230.60", Currency: "USD"}) {
		t.Errorf("it costs %+v", fine.Monthly)
	}
	restricted := func(r *region.Spec) { r.Access = []string{"192.0.2.0/24"} }
	if p := ask(restricted); len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "M3O_EGRESS_CIDRS") {
		t.Errorf("warnings: %v", p.Warnings)
	}
	l.Egress = []string{"203.0.113.8/29"}
	l.provider = l.Provider(t)
	if p := ask(restricted); len(p.Warnings) > 0 {
		t.Errorf("the workers' ranges are known, and there are warnings: %v", p.Warnings)
	}
}

// TestAWorkerWithinItsLimitsIsNotRefused whatever it does.
func TestAWorkerWithinItsLimitsIsNotRefused(t *testing.T) {
	a := newAccount(t, sandbox.Config{TimeScale: 0.02})
	hour := time.Duration(float64(azure.Period) * a.Scale)
	a.Transport = func(next http.RoundTripper) http.RoundTripper {
		limited, err := rate.New(next, rate.Options{Provider: "Azure", Limits: azure.Limits(azure.Requests, hour)})
		if err != nil {
			t.Fatal(err)
		}
		return limited
	}
	p := a.Provider(t)
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
	defer stop()
	var callers sync.WaitGroup
	var mu sync.Mutex
	answered := 0
	for i := range 8 {
		callers.Go(func() {
			spec := region.Spec{Platform: "micro", Name: "asia" + string(rune('a'+i)), Location: azuretest.Location}
			for ctx.Err() == nil {
				now, err := p.DeleteNetwork(ctx, spec.NetworkSpec(), "")
				mu.Lock()
				if now.Gone {
					answered++
				}
				if err != nil && strings.Contains(err.Error(), "Azure refused") {
					t.Errorf("it was refused: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	if answered < 30 {
		t.Errorf("only %d calls were answered in three seconds", answered)
	}
}

// TestTheAmbientIdentityIsWhatTheSDKFinds: here in the environment, on a machine of Azure's its managed identity.
func TestTheAmbientIdentityIsWhatTheSDKFinds(t *testing.T) {
	a := newAccount(t, sandbox.Config{})
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential") // no other address is asked
	provider := func() *azure.Provider {
		at, transport := azure.Endpoint{URL: a.URL}, a.Trusted(t)
		credential, err := azure.Ambient(at, transport)
		if err != nil {
			t.Fatal(err)
		}
		p, err := azure.New(azure.Config{Subscription: a.Secret.Subscription, Credential: credential, Endpoint: at, Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if _, err := provider().Owned(t.Context(), region.Key{Platform: "micro", Name: "asia"}, azuretest.Location); !fault.Is(err, fault.Denied) || !strings.Contains(fault.Message(err), "M3O_AZURE_CREDENTIALS_FILE") {
		t.Errorf("without an identity: %v (kind %s)", err, fault.Of(err))
	}
	for name, value := range map[string]string{"AZURE_TENANT_ID": a.Secret.Tenant, "AZURE_CLIENT_ID": a.Secret.Client, "AZURE_CLIENT_SECRET": a.Secret.Secret} {
		t.Setenv(name, value)
	}
	if owned, err := provider().Owned(t.Context(), region.Key{Platform: "micro", Name: "asia"}, azuretest.Location); err != nil || len(owned) > 0 {
		t.Errorf("with one: %v, %v", owned, err)
	}
}

// TestAnotherGroupOfThatNameIsLeftAlone: a node group is the region's by its tags, or by the cluster that manages it.
func TestAnotherGroupOfThatNameIsLeftAlone(t *testing.T) {
	l := newLife(t, newAccount(t, sandbox.Config{}))
	credential, options := l.SDK(t)
	groups, err := armresources.NewResourceGroupsClient(l.Secret.Subscription, credential, options)
	if err != nil {
		t.Fatal(err)
	}
	at := azuretest.Location
	if _, err := groups.CreateOrUpdate(t.Context(), "nodes-m3o-micro-asia", armresources.ResourceGroup{Location: &at}, nil); err != nil {
		t.Fatal(err)
	}
	l.remove(t)
	if _, err := groups.Get(t.Context(), "nodes-m3o-micro-asia", nil); err != nil {
		t.Errorf("it is not there any more: %v", err)
	}
}
