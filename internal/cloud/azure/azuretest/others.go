package azuretest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	"github.com/m3o/platform/internal/cloud/azure"
	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/region"
)

// What others do in the subscription, by the official SDK.

// SDK is the credential and the options with which the SDK's clients use the subscription.
func (a Account) SDK(t *testing.T) (azcore.TokenCredential, *arm.ClientOptions) {
	t.Helper()
	at, transport := azure.Endpoint{URL: a.URL}, a.Trusted(t)
	credential, err := a.Secret.Credential(at, transport)
	if err != nil {
		t.Fatal(err)
	}
	return credential, &arm.ClientOptions{ClientOptions: at.Options(transport), DisableRPRegistration: true}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// done waits for an operation of the sandbox, whose time is short.
func done[T any](t *testing.T, poller *runtime.Poller[T], err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return must[T](t)(poller.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Second}))
}

func ptr[T any](v T) *T { return &v }

// foreign makes something as another user of the subscription would: with our name, and without our tags.
func (a Account) foreign(t *testing.T, kind cloudtest.Kind, name string) {
	t.Helper()
	credential, options := a.SDK(t)
	id := a.Secret.Subscription
	var err error
	switch kind {
	case cloudtest.Network:
		_, err = must[*armresources.ResourceGroupsClient](t)(armresources.NewResourceGroupsClient(id, credential, options)).
			CreateOrUpdate(t.Context(), name, armresources.ResourceGroup{Location: ptr(Location)}, nil)
	case cloudtest.Identity:
		_, err = must[*armmsi.UserAssignedIdentitiesClient](t)(armmsi.NewUserAssignedIdentitiesClient(id, credential, options)).
			CreateOrUpdate(t.Context(), name, name+"-cluster", armmsi.Identity{Location: ptr(Location)}, nil)
	case cloudtest.Cluster:
		pool := &armcontainerservice.ManagedClusterAgentPoolProfile{Name: ptr("pool"), Count: ptr[int32](1), VMSize: ptr("Standard_D2s_v5"), Mode: ptr(armcontainerservice.AgentPoolModeSystem)}
		_, err = a.clusters(t).BeginCreateOrUpdate(t.Context(), name, name, armcontainerservice.ManagedCluster{Location: ptr(Location),
			Identity: &armcontainerservice.ManagedClusterIdentity{Type: ptr(armcontainerservice.ResourceIdentityTypeSystemAssigned)},
			Properties: &armcontainerservice.ManagedClusterProperties{DNSPrefix: ptr("somebodys"), NodeResourceGroup: ptr(name + "-somebodys"),
				AgentPoolProfiles: []*armcontainerservice.ManagedClusterAgentPoolProfile{pool}}}, nil)
	default:
		err = fmt.Errorf("nobody makes a %s", kind)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (a Account) clusters(t *testing.T) *armcontainerservice.ManagedClustersClient {
	t.Helper()
	credential, options := a.SDK(t)
	return must[*armcontainerservice.ManagedClustersClient](t)(armcontainerservice.NewManagedClustersClient(a.Secret.Subscription, credential, options))
}

// outlive makes a public address in the node group of the cluster, as a Service of the cluster would. If the group went with the
// cluster it is there again, as if Azure had failed to remove it.
func (a Account) outlive(t *testing.T, c region.Cluster) string {
	t.Helper()
	credential, options := a.SDK(t)
	group := "nodes-" + c.Name
	groups := must[*armresources.ResourceGroupsClient](t)(armresources.NewResourceGroupsClient(a.Secret.Subscription, credential, options))
	there := must[armresources.ResourceGroupsClientCheckExistenceResponse](t)(groups.CheckExistence(t.Context(), group, nil))
	if !there.Success {
		must[armresources.ResourceGroupsClientCreateOrUpdateResponse](t)(groups.CreateOrUpdate(t.Context(), group,
			armresources.ResourceGroup{Location: ptr(Location), ManagedBy: &c.ID}, nil))
	}
	addresses := must[*armnetwork.PublicIPAddressesClient](t)(armnetwork.NewPublicIPAddressesClient(a.Secret.Subscription, credential, options))
	poller, err := addresses.BeginCreateOrUpdate(t.Context(), group, "kubernetes-outlives", armnetwork.PublicIPAddress{Location: ptr(Location),
		SKU:        &armnetwork.PublicIPAddressSKU{Name: ptr(armnetwork.PublicIPAddressSKUNameStandard)},
		Properties: &armnetwork.PublicIPAddressPropertiesFormat{PublicIPAllocationMethod: ptr(armnetwork.IPAllocationMethodStatic)}}, nil)
	return *done(t, poller, err).ID
}

// upgrade has the cluster upgraded to the next version, as its upgrade channel does.
func (a Account) upgrade(t *testing.T, c region.Cluster) string {
	t.Helper()
	clusters := a.clusters(t)
	found := must[armcontainerservice.ManagedClustersClientGetResponse](t)(clusters.Get(t.Context(), c.Name, c.Name, nil)).ManagedCluster
	offered := must[armcontainerservice.ManagedClustersClientListKubernetesVersionsResponse](t)(clusters.ListKubernetesVersions(t.Context(), Location, nil))
	var to []string
	for _, v := range offered.Values {
		for patch := range v.PatchVersions {
			if !strings.HasPrefix(c.Version, *v.Version+".") && patch > c.Version { // of versions with two digits each
				to = append(to, patch)
			}
		}
	}
	if len(to) == 0 {
		t.Fatalf("there is no version to upgrade %s to", c.Version)
	}
	next := slices.Min(to)
	found.Properties.KubernetesVersion = &next
	for _, pool := range found.Properties.AgentPoolProfiles {
		pool.OrchestratorVersion = &next
	}
	if _, err := clusters.BeginCreateOrUpdate(t.Context(), c.Name, c.Name, found, nil); err != nil {
		t.Fatal(err)
	}
	return next
}
