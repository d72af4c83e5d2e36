//go:build contract

package contract

import (
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
)

// azureMake makes a value of a type of the SDK, to read into.
type azureMake func() any

func azureType[T any]() azureMake { return func() any { return new(T) } }

// azureBodies are what an operation's bodies are in the SDK, and what statuses it takes for success.
type azureBodies struct {
	request, answer azureMake
	statuses        []int
	version         string
	// open says that it is one of the authority's, whose errors have another form.
	open bool
	// hand says why there is no model of the SDK's.
	hand string
}

func (m azureBodies) how() string {
	switch {
	case m.hand != "":
		return "hand (" + m.hand + ")"
	case m.request != nil && m.answer != nil:
		return "round trip of both bodies"
	case m.answer != nil:
		return "round trip of the answer"
	}
	return "status and headers: it has no body"
}

const (
	azureResources  = "2021-04-01"
	azureNetwork    = "2024-05-01"
	azureIdentity   = "2024-11-30"
	azureRoles      = "2022-04-01"
	azureKubernetes = "2025-02-01"
)

// What the models that no module of ours has look like, from the official descriptions.
type (
	azureUsages struct {
		Value []struct {
			Unit         string `json:"unit"`
			CurrentValue int    `json:"currentValue"`
			Limit        int    `json:"limit"`
			Name         struct {
				Value          string `json:"value"`
				LocalizedValue string `json:"localizedValue"`
			} `json:"name"`
		} `json:"value"`
		NextLink *string `json:"nextLink,omitempty"`
	}
	azurePair struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	azureSKUs struct {
		Value []struct {
			ResourceType string   `json:"resourceType"`
			Name         string   `json:"name"`
			Tier         string   `json:"tier"`
			Size         string   `json:"size"`
			Family       string   `json:"family"`
			Locations    []string `json:"locations"`
			LocationInfo []struct {
				Location    string   `json:"location"`
				Zones       []string `json:"zones"`
				ZoneDetails []any    `json:"zoneDetails"`
			} `json:"locationInfo"`
			Capabilities []azurePair `json:"capabilities"`
			Restrictions []any       `json:"restrictions"`
		} `json:"value"`
		NextLink *string `json:"nextLink,omitempty"`
	}
	azurePlaces struct {
		Value []struct {
			ID                  string `json:"id"`
			Name                string `json:"name"`
			Type                string `json:"type"`
			DisplayName         string `json:"displayName"`
			RegionalDisplayName string `json:"regionalDisplayName"`
			Metadata            struct {
				RegionType       string `json:"regionType"`
				RegionCategory   string `json:"regionCategory"`
				Geography        string `json:"geography"`
				GeographyGroup   string `json:"geographyGroup"`
				Longitude        string `json:"longitude"`
				Latitude         string `json:"latitude"`
				PhysicalLocation string `json:"physicalLocation"`
				PairedRegion     []struct {
					Name string `json:"name"`
					ID   string `json:"id"`
				} `json:"pairedRegion"`
			} `json:"metadata"`
			Zones []struct {
				LogicalZone  string `json:"logicalZone"`
				PhysicalZone string `json:"physicalZone"`
			} `json:"availabilityZoneMappings,omitempty"`
		} `json:"value"`
	}
	azureStatus struct {
		ID        string      `json:"id,omitempty"`
		Name      string      `json:"name,omitempty"`
		Status    string      `json:"status"`
		StartTime string      `json:"startTime,omitempty"`
		EndTime   string      `json:"endTime,omitempty"`
		Error     *azureFault `json:"error,omitempty"`
	}
	azureFault struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	azureToken struct {
		TokenType    string `json:"token_type"`
		ExpiresIn    int    `json:"expires_in"`
		ExtExpiresIn int    `json:"ext_expires_in"`
		AccessToken  string `json:"access_token"`
	}
)

const azureNoModule = "no module of the SDK's is required that has the model"

// azureModels is every operation that our adapter calls.
var azureModels = map[string]azureBodies{
	"OpenIDConfiguration_Get": {statuses: []int{200}, open: true, hand: "read by azidentity"},
	"Token_Issue":             {answer: azureType[azureToken](), statuses: []int{200}, open: true, hand: "RFC 6749 and azidentity"},

	"ResourceGroups_Get":            {answer: azureType[armresources.ResourceGroup](), statuses: []int{200}, version: azureResources},
	"ResourceGroups_CreateOrUpdate": {request: azureType[armresources.ResourceGroup](), answer: azureType[armresources.ResourceGroup](), statuses: []int{200, 201}, version: azureResources},
	"ResourceGroups_Delete":         {statuses: []int{200, 202}, version: azureResources},
	"ResourceGroups_List":           {answer: azureType[armresources.ResourceGroupListResult](), statuses: []int{200}, version: azureResources},
	"Resources_List":                {answer: azureType[armresources.ResourceListResult](), statuses: []int{200}, version: azureResources},
	"Resources_ListByResourceGroup": {answer: azureType[armresources.ResourceListResult](), statuses: []int{200}, version: azureResources},
	"Providers_Get":                 {answer: azureType[armresources.Provider](), statuses: []int{200}, version: azureResources},
	"Subscriptions_ListLocations":   {answer: azureType[azurePlaces](), statuses: []int{200}, hand: azureNoModule},

	"PublicIPAddresses_Get":            {answer: azureType[armnetwork.PublicIPAddress](), statuses: []int{200}, version: azureNetwork},
	"PublicIPAddresses_CreateOrUpdate": {request: azureType[armnetwork.PublicIPAddress](), answer: azureType[armnetwork.PublicIPAddress](), statuses: []int{200, 201}, version: azureNetwork},
	"NatGateways_Get":                  {answer: azureType[armnetwork.NatGateway](), statuses: []int{200}, version: azureNetwork},
	"NatGateways_CreateOrUpdate":       {request: azureType[armnetwork.NatGateway](), answer: azureType[armnetwork.NatGateway](), statuses: []int{200, 201, 202}, version: azureNetwork},
	"VirtualNetworks_Get":              {answer: azureType[armnetwork.VirtualNetwork](), statuses: []int{200}, version: azureNetwork},
	"VirtualNetworks_CreateOrUpdate":   {request: azureType[armnetwork.VirtualNetwork](), answer: azureType[armnetwork.VirtualNetwork](), statuses: []int{200, 201}, version: azureNetwork},
	"Usages_List":                      {answer: azureType[armnetwork.UsagesListResult](), statuses: []int{200}, version: azureNetwork},
	"NetworkOperations_Get":            {answer: azureType[azureStatus](), statuses: []int{200}, hand: "the Resource Manager's description of asynchronous operations"},

	"UserAssignedIdentities_Get":            {answer: azureType[armmsi.Identity](), statuses: []int{200}, version: azureIdentity},
	"UserAssignedIdentities_CreateOrUpdate": {request: azureType[armmsi.Identity](), answer: azureType[armmsi.Identity](), statuses: []int{200, 201}, version: azureIdentity},
	"UserAssignedIdentities_Delete":         {statuses: []int{200, 204}, version: azureIdentity},

	"RoleAssignments_Get":                  {answer: azureType[armauthorization.RoleAssignment](), statuses: []int{200}, version: azureRoles},
	"RoleAssignments_Create":               {request: azureType[armauthorization.RoleAssignmentCreateParameters](), answer: azureType[armauthorization.RoleAssignment](), statuses: []int{200, 201}, version: azureRoles},
	"RoleAssignments_Delete":               {answer: azureType[armauthorization.RoleAssignment](), statuses: []int{200, 204}, version: azureRoles},
	"RoleAssignments_ListForResourceGroup": {answer: azureType[armauthorization.RoleAssignmentListResult](), statuses: []int{200}, version: azureRoles},
	"RoleAssignments_ListForSubscription":  {answer: azureType[armauthorization.RoleAssignmentListResult](), statuses: []int{200}, version: azureRoles},
	"Permissions_List":                     {answer: azureType[armauthorization.PermissionGetResult](), statuses: []int{200}, version: azureRoles},

	"ManagedClusters_Get":                        {answer: azureType[armcontainerservice.ManagedCluster](), statuses: []int{200}, version: azureKubernetes},
	"ManagedClusters_CreateOrUpdate":             {request: azureType[armcontainerservice.ManagedCluster](), answer: azureType[armcontainerservice.ManagedCluster](), statuses: []int{200, 201}, version: azureKubernetes},
	"ManagedClusters_Delete":                     {statuses: []int{202, 204}, version: azureKubernetes},
	"ManagedClusters_ListClusterUserCredentials": {answer: azureType[armcontainerservice.CredentialResults](), statuses: []int{200}, version: azureKubernetes},
	"ManagedClusters_ListKubernetesVersions":     {answer: azureType[armcontainerservice.KubernetesVersionListResult](), statuses: []int{200}, version: azureKubernetes},
	"AgentPools_Get":                             {answer: azureType[armcontainerservice.AgentPool](), statuses: []int{200}, version: azureKubernetes},
	"AgentPools_CreateOrUpdate":                  {request: azureType[armcontainerservice.AgentPool](), answer: azureType[armcontainerservice.AgentPool](), statuses: []int{200, 201}, version: azureKubernetes},
	"ContainerServiceOperations_Get":             {answer: azureType[azureStatus](), statuses: []int{200}, hand: "the Resource Manager's description of asynchronous operations"},

	"ResourceSkus_List": {answer: azureType[azureSKUs](), statuses: []int{200}, hand: azureNoModule},
	"Usage_List":        {answer: azureType[azureUsages](), statuses: []int{200}, hand: azureNoModule},
}
