package azure_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/azure"
)

// done waits for one of the SDK's pollers.
func done[T any](t *testing.T) func(*runtime.Poller[T], error) T {
	return func(poller *runtime.Poller[T], err error) T {
		t.Helper()
		must(t, err)
		return made[T](t)(poller.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: 20 * time.Millisecond}))
	}
}

// TestRegionLivesThroughTheSDK makes and removes what a region is, with the official clients and their own pollers.
func TestRegionLivesThroughTheSDK(t *testing.T) {
	s := open(t)
	credential, options := s.credential(), s.arm()
	groups := made[*armresources.ResourceGroupsClient](t)(armresources.NewResourceGroupsClient(subscription, credential, options))
	network := made[*armnetwork.ClientFactory](t)(armnetwork.NewClientFactory(subscription, credential, options))
	identities := made[*armmsi.UserAssignedIdentitiesClient](t)(armmsi.NewUserAssignedIdentitiesClient(subscription, credential, options))
	aks := made[*armcontainerservice.ClientFactory](t)(armcontainerservice.NewClientFactory(subscription, credential, options))
	made[armresources.ResourceGroupsClientCreateOrUpdateResponse](t)(groups.CreateOrUpdate(t.Context(), "rg", armresources.ResourceGroup{Location: ptr("West Europe")}, nil))

	address := done[armnetwork.PublicIPAddressesClientCreateOrUpdateResponse](t)(network.NewPublicIPAddressesClient().BeginCreateOrUpdate(t.Context(), "rg", "pip", armnetwork.PublicIPAddress{
		Location: ptr("westeurope"), SKU: &armnetwork.PublicIPAddressSKU{Name: ptr(armnetwork.PublicIPAddressSKUNameStandard)},
		Properties: &armnetwork.PublicIPAddressPropertiesFormat{PublicIPAllocationMethod: ptr(armnetwork.IPAllocationMethodStatic)}}, nil))
	if address.Properties.IPAddress == nil || *address.Properties.ProvisioningState != armnetwork.ProvisioningStateSucceeded {
		t.Errorf("the address is %+v", address.Properties)
	}
	nat := done[armnetwork.NatGatewaysClientCreateOrUpdateResponse](t)(network.NewNatGatewaysClient().BeginCreateOrUpdate(t.Context(), "rg", "nat", armnetwork.NatGateway{Location: ptr("westeurope"),
		SKU:        &armnetwork.NatGatewaySKU{Name: ptr(armnetwork.NatGatewaySKUNameStandard)},
		Properties: &armnetwork.NatGatewayPropertiesFormat{PublicIPAddresses: []*armnetwork.SubResource{{ID: address.ID}}}}, nil))
	vnet := done[armnetwork.VirtualNetworksClientCreateOrUpdateResponse](t)(network.NewVirtualNetworksClient().BeginCreateOrUpdate(t.Context(), "rg", "vnet", armnetwork.VirtualNetwork{Location: ptr("westeurope"),
		Properties: &armnetwork.VirtualNetworkPropertiesFormat{AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: []*string{ptr("10.20.0.0/16")}},
			Subnets: []*armnetwork.Subnet{{Name: ptr("nodes"), Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: ptr("10.20.0.0/17"), NatGateway: &armnetwork.SubResource{ID: nat.ID}}}}}}, nil))
	subnet := *vnet.Properties.Subnets[0].ID
	control := made[armmsi.UserAssignedIdentitiesClientCreateOrUpdateResponse](t)(identities.CreateOrUpdate(t.Context(), "rg", "control", armmsi.Identity{Location: ptr("westeurope")}, nil))
	kubelet := made[armmsi.UserAssignedIdentitiesClientCreateOrUpdateResponse](t)(identities.CreateOrUpdate(t.Context(), "rg", "kubelet", armmsi.Identity{Location: ptr("westeurope")}, nil))
	s.grant(t, subnet, "4d97b98b-1d4f-4787-a291-c67834d212e7", *control.Properties.PrincipalID)
	s.grant(t, *kubelet.ID, "f1a07417-d97a-45cb-824c-7a7467783830", *control.Properties.PrincipalID)

	body := armcontainerservice.ManagedCluster{Location: ptr("westeurope"), Identity: &armcontainerservice.ManagedClusterIdentity{Type: ptr(armcontainerservice.ResourceIdentityTypeUserAssigned),
		UserAssignedIdentities: map[string]*armcontainerservice.ManagedServiceIdentityUserAssignedIdentitiesValue{*control.ID: {}}},
		Properties: &armcontainerservice.ManagedClusterProperties{DNSPrefix: ptr("eu"), KubernetesVersion: ptr("1.34"), DisableLocalAccounts: ptr(true),
			AADProfile:      &armcontainerservice.ManagedClusterAADProfile{Managed: ptr(true), EnableAzureRBAC: ptr(true)},
			IdentityProfile: map[string]*armcontainerservice.UserAssignedIdentity{"kubeletidentity": {ResourceID: kubelet.ID}},
			NetworkProfile:  &armcontainerservice.NetworkProfile{NetworkPlugin: ptr(armcontainerservice.NetworkPluginAzure), OutboundType: ptr(armcontainerservice.OutboundTypeUserAssignedNATGateway)},
			AgentPoolProfiles: []*armcontainerservice.ManagedClusterAgentPoolProfile{{Name: ptr("nodes"), Count: ptr[int32](2), VMSize: ptr("Standard_D2s_v5"),
				Mode: ptr(armcontainerservice.AgentPoolModeSystem), VnetSubnetID: &subnet}}}}
	time.Sleep(60 * time.Millisecond) // until the roles are known everywhere
	cluster := done[armcontainerservice.ManagedClustersClientCreateOrUpdateResponse](t)(aks.NewManagedClustersClient().BeginCreateOrUpdate(t.Context(), "rg", "eu", body, nil))
	if p := cluster.Properties; *p.ProvisioningState != "Succeeded" || *p.CurrentKubernetesVersion != "1.34.2" || *p.NodeResourceGroup != "MC_rg_eu_westeurope" ||
		*p.PowerState.Code != armcontainerservice.CodeRunning || !strings.Contains(*cluster.ID, "/resourcegroups/rg/") {
		t.Errorf("the cluster is %s %+v", *cluster.ID, p)
	}
	pool := cluster.Properties.AgentPoolProfiles[0]
	scaled := done[armcontainerservice.AgentPoolsClientCreateOrUpdateResponse](t)(aks.NewAgentPoolsClient().BeginCreateOrUpdate(t.Context(), "rg", "eu", "nodes", armcontainerservice.AgentPool{
		Properties: &armcontainerservice.ManagedClusterAgentPoolProfileProperties{Count: ptr[int32](3), VMSize: pool.VMSize, Mode: pool.Mode, VnetSubnetID: &subnet}},
		&armcontainerservice.AgentPoolsClientBeginCreateOrUpdateOptions{IfMatch: pool.ETag}))
	if *scaled.Properties.Count != 3 || *scaled.Properties.ProvisioningState != "Succeeded" {
		t.Errorf("the pool is %+v", scaled.Properties)
	}
	given := made[armcontainerservice.ManagedClustersClientListClusterUserCredentialsResponse](t)(aks.NewManagedClustersClient().ListClusterUserCredentials(t.Context(), "rg", "eu", nil))
	if text := string(given.Kubeconfigs[0].Value); !strings.Contains(text, "https://127.0.0.1:6443") || !strings.Contains(text, "kubelogin") || strings.Contains(text, "token-of") {
		t.Errorf("the kubeconfig is %s", text)
	}
	_, err := aks.NewManagedClustersClient().ListClusterAdminCredentials(t.Context(), "rg", "eu", nil)
	if err == nil || !strings.Contains(err.Error(), "disable local accounts") {
		t.Errorf("an administrator's certificate: %v", err)
	}
	s.checkLedger(false)
	done[armcontainerservice.ManagedClustersClientDeleteResponse](t)(aks.NewManagedClustersClient().BeginDelete(t.Context(), "rg", "eu", nil))
	if len(s.runner.Running()) != 0 {
		t.Error("the real cluster still runs")
	}
	s.ask(http.StatusNotFound, http.MethodGet, inSub+"/resourceGroups/MC_rg_eu_westeurope", "")
	done[armresources.ResourceGroupsClientDeleteResponse](t)(groups.BeginDelete(t.Context(), "rg", nil))
	s.ask(http.StatusNotFound, http.MethodGet, rg, "")
	s.checkLedger(true)
}

// grant assigns a role, as soon as the directory knows the principal.
func (s *sandbox) grant(t *testing.T, scope, role, principal string) {
	t.Helper()
	roles := made[*armauthorization.RoleAssignmentsClient](t)(armauthorization.NewRoleAssignmentsClient(subscription, s.credential(), s.arm()))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, err := roles.Create(t.Context(), scope, uuid.NewString(), armauthorization.RoleAssignmentCreateParameters{Properties: &armauthorization.RoleAssignmentProperties{
			RoleDefinitionID: ptr(inSub + "/providers/Microsoft.Authorization/roleDefinitions/" + role), PrincipalID: &principal,
			PrincipalType: ptr(armauthorization.PrincipalTypeServicePrincipal)}}, nil)
		if err == nil {
			return
		}
		if codeOf(err) != "PrincipalNotFound" || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestClusterTakesItsGroupAlong removes the resource group at once, cluster and all.
func TestClusterTakesItsGroupAlong(t *testing.T) {
	s := open(t)
	s.cluster()
	deleted := s.ask(http.StatusAccepted, http.MethodDelete, rg, "")
	where := strings.TrimPrefix(deleted.header.Get("Location"), s.url)
	if where == "" || deleted.header.Get("Retry-After") == "" {
		t.Errorf("the answer's headers are %v", deleted.header)
	}
	s.refused(http.StatusConflict, "ResourceGroupBeingDeleted", http.MethodPut, rg, `{`+location+`}`)
	s.refused(http.StatusConflict, "ResourceGroupBeingDeleted", http.MethodPut, onNet+"/virtualNetworks/other", vnetBody)
	if a := s.ask(http.StatusOK, http.MethodGet, onAKS+"/eu", ""); a.state() != "Deleting" {
		t.Errorf("the cluster is %s", a.state())
	}
	s.ask(http.StatusAccepted, http.MethodGet, where, "")
	s.until("", rg)
	s.ask(http.StatusOK, http.MethodGet, where, "")
	s.ask(http.StatusNotFound, http.MethodGet, inSub+"/resourceGroups/MC_rg_eu_westeurope", "")
	s.checkLedger(true)
}

// TestKilledWhileAtWork stops the sandbox at once while a cluster is made, and goes on with another one on the same state.
func TestKilledWhileAtWork(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir, 0.002, azure.Config{})
	s.network()
	begun := s.ask(http.StatusCreated, http.MethodPut, onAKS+"/eu", clusterBody(poolProfile("nodes", 2)))
	s.stop()
	s = openIn(t, dir, 0.002, azure.Config{})
	s.until("Succeeded", onAKS+"/eu")
	status := begun.header.Get("Azure-AsyncOperation")
	status = status[strings.Index(status, "/subscriptions/"):]
	if a := s.ask(http.StatusOK, http.MethodGet, status, ""); a.at("status") != "Succeeded" || a.at("startTime") == "" || a.at("endTime") == "" {
		t.Errorf("the operation is %v", a.body)
	}
	s.ask(http.StatusAccepted, http.MethodDelete, rg, "")
	s.stop()
	s = openIn(t, dir, 0.002, azure.Config{})
	s.until("", rg)
	s.checkLedger(true)
}
