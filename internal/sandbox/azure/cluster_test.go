package azure_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/sandbox/azure"
	"github.com/m3o/platform/internal/sandbox/clusters"
)

func TestBrokenClustersAreRefused(t *testing.T) {
	s := with(t, azure.Config{CoreLimit: 8})
	s.network()
	good := clusterBody(poolProfile("nodes", 2))
	for _, c := range []struct {
		status          int
		code, old, with string
	}{
		{400, "K8sVersionNotSupported", `"1.34"`, `"1.12"`},
		{400, "InvalidParameter", `"dnsPrefix":"eu",`, ``},
		{400, "InvalidParameter", `"name":"nodes"`, `"name":"Nodes-1"`},
		{400, "InvalidParameter", `"mode":"System"`, `"mode":"User"`},
		{400, "InvalidParameter", `"count":2`, `"count":0`},
		{400, "InvalidParameter", `"count":2`, `"count":2.5`},
		{400, "InvalidParameter", subnet, subnet + "none"},
		{400, "BadRequest", "Standard_D2s_v5", "Standard_Imaginary"},
		{400, "ErrCode_InsufficientVCPUQuota", `"count":2`, `"count":5`},
		{400, "InvalidParameter", `"networkProfile":{`, `"apiServerAccessProfile":{"enablePrivateCluster":true},"networkProfile":{`},
		{400, "InvalidParameter", `"identity":{"type":"SystemAssigned"},`, ``},
		{400, "InvalidParameter", `"dnsPrefix":"eu"`, `"dnsPrefix":"eu","nodeResourceGroup":"` + strings.Repeat("n", 81) + `"`},
		{409, "NodeResourceGroupAlreadyExists", `"dnsPrefix":"eu"`, `"dnsPrefix":"eu","nodeResourceGroup":"RG"`},
		{400, "AvailabilityZoneNotSupported", `["1","2","3"]`, `["4"]`},
	} {
		body := strings.Replace(good, c.old, c.with, 1)
		if body == good {
			t.Fatalf("%q is not in the body", c.old)
		}
		s.refused(c.status, c.code, http.MethodPut, onAKS+"/eu", body)
	}
	elsewhere := strings.NewReplacer("westeurope", "westus", "Standard_D2s_v5", "Standard_NC6s_v3").Replace(good)
	s.refused(http.StatusConflict, "SkuNotAvailable", http.MethodPut, onAKS+"/eu", elsewhere)
	s.refused(http.StatusBadRequest, "InvalidParameter", http.MethodPut, onAKS+"/-eu", good)
	s.ask(http.StatusNotFound, http.MethodGet, onAKS+"/eu", "")
	s.ask(http.StatusNotFound, http.MethodGet, inSub+"/resourceGroups/MC_rg_eu_westeurope", "")
}

// TestOneChangeAtATime asks for more while the service is at work, and removes the cluster in the middle of it.
func TestOneChangeAtATime(t *testing.T) {
	s := openIn(t, t.TempDir(), 0.005, newConfig())
	s.network()
	begun := s.ask(http.StatusCreated, http.MethodPut, onAKS+"/eu", clusterBody(poolProfile("nodes", 2)))
	if begun.state() != "Creating" || !strings.Contains(begun.header.Get("Azure-AsyncOperation"), "api-version=2016-03-30") || begun.header.Get("Location") != "" {
		t.Errorf("it began as %s %v", begun.state(), begun.header)
	}
	s.refused(http.StatusPreconditionFailed, "PreconditionFailed", http.MethodPut, onAKS+"/eu", clusterBody(poolProfile("nodes", 2)), "If-None-Match", "*")
	a := s.refused(http.StatusConflict, "OperationNotAllowed", http.MethodPut, onAKS+"/eu", clusterBody(poolProfile("nodes", 2)))
	if !strings.Contains(a.at("error", "message"), "Another operation (Creating) is in progress") {
		t.Errorf("its words are %v", a.body)
	}
	s.refused(http.StatusConflict, "OperationNotAllowed", http.MethodPut, onAKS+"/eu/agentPools/more", `{"properties":`+poolProfile("more", 1)+`}`)
	gone := s.ask(http.StatusAccepted, http.MethodDelete, onAKS+"/eu", "")
	if gone.header.Get("Azure-AsyncOperation") == "" || gone.header.Get("Location") == "" {
		t.Errorf("its end has the headers %v", gone.header)
	}
	status := begun.header.Get("Azure-AsyncOperation")
	if o := s.ask(http.StatusOK, http.MethodGet, status[strings.Index(status, "/subscriptions/"):], ""); o.at("status") != "Canceled" || o.at("error", "code") == "" {
		t.Errorf("the creation that was preempted is %v", o.body)
	}
	s.ask(http.StatusAccepted, http.MethodDelete, onAKS+"/eu", "")
	s.until("", onAKS+"/eu")
	s.ask(http.StatusNoContent, http.MethodDelete, onAKS+"/eu", "")
	s.ask(http.StatusAccepted, http.MethodDelete, rg, "")
	s.until("", rg)
	s.checkLedger(true)
}

// TestPoolsScale has the cluster be Updating while one of its pools is Scaling.
func TestPoolsScale(t *testing.T) {
	s := openIn(t, t.TempDir(), 0.003, newConfig())
	s.cluster()
	pool := s.ask(http.StatusOK, http.MethodGet, onAKS+"/eu/agentPools/nodes", "")
	properties := pool.body["properties"].(map[string]any)
	properties["count"] = 4
	body := `{"properties":` + text(t, properties) + `}`
	s.refused(http.StatusPreconditionFailed, "PreconditionFailed", http.MethodPut, onAKS+"/eu/agentPools/nodes", body, "If-Match", "another")
	begun := s.ask(http.StatusOK, http.MethodPut, onAKS+"/eu/agentPools/nodes", body, "If-Match", pool.at("properties", "eTag"))
	if begun.state() != "Scaling" {
		t.Errorf("the pool is %s", begun.state())
	}
	if c := s.ask(http.StatusOK, http.MethodGet, onAKS+"/eu", ""); c.state() != "Updating" {
		t.Errorf("its cluster is %s", c.state())
	}
	s.until("Succeeded", onAKS+"/eu/agentPools/nodes")
	s.until("Succeeded", onAKS+"/eu")
	s.wantNodes(4)
	again := s.ask(http.StatusOK, http.MethodPut, onAKS+"/eu/agentPools/nodes", body)
	if again.state() != "Succeeded" {
		t.Errorf("asked again, it is %s", again.state())
	}
	// A PUT of the cluster that was read scales as well.
	cluster := s.ask(http.StatusOK, http.MethodGet, onAKS+"/eu", "")
	s.ask(http.StatusOK, http.MethodPut, onAKS+"/eu", strings.Replace(text(t, cluster.body), `"count":4`, `"count":1`, 1))
	s.until("Succeeded", onAKS+"/eu")
	s.wantNodes(1)
	s.refused(http.StatusBadRequest, "OperationNotAllowed", http.MethodDelete, onAKS+"/eu/agentPools/nodes", "")
	s.ask(http.StatusCreated, http.MethodPut, onAKS+"/eu/agentPools/more", `{"properties":{"count":1,"vmSize":"Standard_D4s_v5","mode":"User","nodeLabels":{"a":"b"},"vnetSubnetID":"`+subnet+`"}}`)
	s.until("Succeeded", onAKS+"/eu")
	s.wantNodes(2)
	s.ask(http.StatusAccepted, http.MethodDelete, onAKS+"/eu/agentPools/more", "")
	s.until("", onAKS+"/eu/agentPools/more")
	s.until("Succeeded", onAKS+"/eu")
	s.wantNodes(1)
	s.checkLedger(false)
}

// wantNodes checks how many nodes the real cluster has, and the scale sets.
func (s *sandbox) wantNodes(want int) {
	s.t.Helper()
	for _, w := range s.runner.Running() {
		if len(w.Nodes) != want {
			s.t.Errorf("the real cluster has %d nodes, want %d", len(w.Nodes), want)
		}
		for _, n := range w.Nodes {
			if n.Labels["kubernetes.azure.com/agentpool"] != n.Pool || n.Labels["topology.kubernetes.io/region"] != "westeurope" || n.MemoryMiB == 0 {
				s.t.Errorf("the node is %+v", n)
			}
		}
	}
	capacity := 0
	for _, item := range s.ask(http.StatusOK, http.MethodGet, inSub+"/providers/Microsoft.Compute/virtualMachineScaleSets", "").body["value"].([]any) {
		capacity += int(item.(map[string]any)["sku"].(map[string]any)["capacity"].(float64))
	}
	if capacity != want {
		s.t.Errorf("the scale sets have %d, want %d", capacity, want)
	}
}

func TestUpgradeGoesOneMinorAtATime(t *testing.T) {
	s := open(t)
	s.cluster()
	cluster := text(t, s.ask(http.StatusOK, http.MethodGet, onAKS+"/eu", "").body)
	to := func(version string) string {
		return strings.Replace(cluster, `"kubernetesVersion":"1.34"`, fmt.Sprintf(`"kubernetesVersion":%q`, version), 1)
	}
	s.refused(http.StatusConflict, "OperationNotAllowed", http.MethodPut, onAKS+"/eu", to("1.36"))
	profile := s.ask(http.StatusOK, http.MethodGet, onAKS+"/eu/upgradeProfiles/default", "")
	if !strings.Contains(text(t, profile.body), `"1.35.2"`) || strings.Contains(text(t, profile.body), `"1.36`) {
		t.Errorf("the upgrades are %v", profile.body)
	}
	s.ask(http.StatusOK, http.MethodPut, onAKS+"/eu", to("1.35"))
	a := s.until("Succeeded", onAKS+"/eu")
	if a.at("properties", "currentKubernetesVersion") != "1.35.2" || a.at("properties", "kubernetesVersion") != "1.35" {
		t.Errorf("it has %v", a.at("properties", "currentKubernetesVersion"))
	}
	s.refused(http.StatusConflict, "OperationNotAllowed", http.MethodPut, onAKS+"/eu", to("1.34"))
	s.refused(http.StatusBadRequest, "PropertyChangeNotAllowed", http.MethodPut, onAKS+"/eu", strings.Replace(to("1.35"), `"dnsPrefix":"eu"`, `"dnsPrefix":"us"`, 1))
}

// TestServicesAndClaimsShow has what runs in a cluster make a load balancer and a disk, which go with the cluster; a disk that a user made
// stays.
func TestServicesAndClaimsShow(t *testing.T) {
	s := open(t)
	s.runner.Made(clusters.Inventory{
		LoadBalancers: []clusters.LoadBalancer{{UID: "u1", Name: "a0123", Service: "shop/web", IP: "127.16.0.7", Ports: []clusters.Port{{Protocol: "tcp", Port: 80, NodePort: 31080}}}},
		Volumes:       []clusters.Volume{{UID: "u2", Name: "pvc-1", Claim: "shop/data", SizeGiB: 8}}})
	s.cluster()
	const nodes = inSub + "/resourceGroups/MC_rg_eu_westeurope/providers/"
	balancer := s.until("Succeeded", nodes+"Microsoft.Network/loadBalancers/kubernetes")
	if !strings.Contains(text(t, balancer.body), `"frontendPort":80`) {
		t.Errorf("the load balancer is %v", balancer.body)
	}
	address := s.until("Succeeded", nodes+"Microsoft.Network/publicIPAddresses/kubernetes-a0123")
	if address.at("properties", "ipAddress") != "127.16.0.7" || address.at("properties", "ipConfiguration", "id") == "" || address.at("tags", "managed-by") != "m3o" ||
		address.at("tags", "k8s-azure-service") != "shop/web" {
		t.Errorf("the address is %v", address.body)
	}
	disk := s.until("Succeeded", nodes+"Microsoft.Compute/disks/pvc-1")
	if disk.at("properties", "diskSizeGB") != "8" || disk.at("tags", "kubernetes.io-created-for-pv-name") != "pvc-1" ||
		disk.at("tags", "kubernetes.io-created-for-pvc-namespace") != "shop" || disk.at("tags", "kubernetes.io-created-for-pvc-name") != "data" {
		t.Errorf("the disk is %v", disk.body)
	}
	s.refused(http.StatusConflict, "OperationNotAllowed", http.MethodDelete, nodes+"Microsoft.Compute/disks/pvc-1", "")
	s.refused(http.StatusBadRequest, "PublicIPAddressCannotBeDeleted", http.MethodDelete, nodes+"Microsoft.Network/publicIPAddresses/kubernetes-a0123", "")
	s.ready(rg+"/providers/Microsoft.Compute/disks/own", `{`+location+`,"properties":{"creationData":{"createOption":"Empty"},"diskSizeGB":4}}`)
	s.ready(rg+"/providers/Microsoft.Compute/snapshots/kept", `{`+location+`,"properties":{"creationData":{"createOption":"Copy","sourceResourceId":"`+rg+`/providers/Microsoft.Compute/disks/own"}}}`)
	s.ask(http.StatusAccepted, http.MethodDelete, onAKS+"/eu", "")
	s.until("", onAKS+"/eu")
	for _, typ := range []string{"Microsoft.Network/loadBalancers", "Microsoft.Compute/virtualMachineScaleSets"} {
		if left := s.ask(http.StatusOK, http.MethodGet, inSub+"/providers/"+typ, "").body["value"].([]any); len(left) != 0 {
			t.Errorf("left are %v", left)
		}
	}
	s.ask(http.StatusOK, http.MethodGet, rg+"/providers/Microsoft.Compute/disks/own", "")
	s.ask(http.StatusAccepted, http.MethodDelete, rg, "")
	s.until("", rg)
	s.checkLedger(true)
}

// TestServiceGoesByItself removes the Service and the claim while the cluster lives on.
func TestServiceGoesByItself(t *testing.T) {
	s := open(t)
	s.runner.Made(clusters.Inventory{LoadBalancers: []clusters.LoadBalancer{{UID: "u1", Name: "a0123", Ports: []clusters.Port{{Protocol: "udp", Port: 53, NodePort: 31053}}}},
		Volumes: []clusters.Volume{{UID: "u2", Name: "pvc-1", SizeGiB: 8}}})
	s.cluster()
	const nodes = inSub + "/resourceGroups/MC_rg_eu_westeurope/providers/"
	s.until("Succeeded", nodes+"Microsoft.Network/loadBalancers/kubernetes")
	s.runner.Made(clusters.Inventory{})
	for _, path := range []string{"Microsoft.Network/loadBalancers/kubernetes", "Microsoft.Network/publicIPAddresses/kubernetes-a0123", "Microsoft.Compute/disks/pvc-1"} {
		s.until("", nodes+path)
	}
	s.checkLedger(false)
}

// TestLocalAccounts gives the cluster's own credentials where nobody disabled them, and has an outbound address where nobody brought one.
func TestLocalAccounts(t *testing.T) {
	s := open(t)
	s.ask(http.StatusCreated, http.MethodPut, rg, `{`+location+`}`)
	body := `{` + location + `,"identity":{"type":"SystemAssigned"},"properties":{"dnsPrefix":"eu","agentPoolProfiles":[{"name":"nodes","count":1,"vmSize":"Standard_B2s","mode":"System"}]}}`
	a := s.ready(onAKS+"/eu", body)
	if a.at("properties", "currentKubernetesVersion") != "1.36.2" || a.at("properties", "networkProfile", "outboundType") != "loadBalancer" || a.at("properties", "identityProfile", "kubeletidentity", "objectId") == "" {
		t.Errorf("the defaults are %v", a.body)
	}
	s.until("Succeeded", inSub+"/resourceGroups/MC_rg_eu_westeurope/providers/Microsoft.Network/loadBalancers/kubernetes")
	for _, who := range []string{"User", "Admin"} {
		given := s.ask(http.StatusOK, http.MethodPost, onAKS+"/eu/listCluster"+who+"Credential", "")
		one := given.body["kubeconfigs"].([]any)[0].(map[string]any)
		config, err := base64.StdEncoding.DecodeString(one["value"].(string))
		must(t, err)
		if one["name"] != "cluster"+who || !strings.Contains(string(config), "token-of-") || !strings.Contains(string(config), "cluster"+who+"_rg_eu") {
			t.Errorf("the kubeconfig is %s", config)
		}
	}
}

// TestApiServersKnowTheDirectorysTokens authenticates callers as an API server's webhook does.
func TestApiServersKnowTheDirectorysTokens(t *testing.T) {
	s := open(t)
	s.cluster()
	var id string
	for guid := range s.runner.Running() {
		id = guid
	}
	token := s.login(azure.KubernetesAudience + "/.default")
	user, groups, err := s.cloud.Authenticate(t.Context(), id, token)
	must(t, err)
	if user != object || fmt.Sprint(groups) != "[system:authenticated]" {
		t.Errorf("without a role it is %s in %v", user, groups)
	}
	s.ask(http.StatusCreated, http.MethodPut, onAKS+"/eu/providers/Microsoft.Authorization/roleAssignments/"+tenant,
		`{"properties":{"roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b","principalId":"`+object+`"}}`)
	for deadline := time.Now().Add(5 * time.Second); len(groups) < 2 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		_, groups, err = s.cloud.Authenticate(t.Context(), id, token)
		must(t, err)
	}
	if groups[0] != "system:masters" {
		t.Errorf("with the role it is in %v", groups)
	}
	for name, bad := range map[string]string{"for the Resource Manager": s.token, "nonsense": "nonsense", "": ""} {
		if _, _, err := s.cloud.Authenticate(t.Context(), id, bad); err == nil {
			t.Errorf("a token %s is taken", name)
		}
	}
	if _, _, err := s.cloud.Authenticate(t.Context(), "another", token); err == nil {
		t.Error("a cluster that is not there takes it")
	}
}
