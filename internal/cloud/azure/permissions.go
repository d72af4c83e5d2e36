package azure

import (
	"net/http"
	"slices"
	"strings"
)

// Operation is one request that the adapter makes, and all that Azure wants the caller to be permitted for it.
type Operation struct {
	Name        string // Azure's operationId
	Method      string
	Path        string   // with {} for one segment, and a leading {scope} for any resource
	Permissions []string // actions of a role, see "Azure resource provider operations"
}

// What a request implies beside itself: a network's parts are joined, an identity is assigned, a cluster's nodes join the subnet.
const (
	joinSubnet     = "Microsoft.Network/virtualNetworks/subnets/join/action"
	joinGateway    = "Microsoft.Network/natGateways/join/action"
	joinAddress    = "Microsoft.Network/publicIPAddresses/join/action"
	assignIdentity = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
)

// Operations are all requests that the adapter makes. The role in deploy/workers/azure is their union.
var Operations = []Operation{
	{"ResourceGroups_Get", http.MethodGet, "/subscriptions/{}/resourceGroups/{}", []string{"Microsoft.Resources/subscriptions/resourceGroups/read"}},
	{"ResourceGroups_List", http.MethodGet, "/subscriptions/{}/resourceGroups", []string{"Microsoft.Resources/subscriptions/resourceGroups/read"}},
	{"ResourceGroups_CreateOrUpdate", http.MethodPut, "/subscriptions/{}/resourceGroups/{}", []string{"Microsoft.Resources/subscriptions/resourceGroups/write"}},
	// A group is removed with what is in it, each by its own permission: the network, and what AKS may leave in a node group.
	{"ResourceGroups_Delete", http.MethodDelete, "/subscriptions/{}/resourceGroups/{}", []string{"Microsoft.Resources/subscriptions/resourceGroups/delete",
		"Microsoft.Network/virtualNetworks/delete", "Microsoft.Network/natGateways/delete", "Microsoft.Network/publicIPAddresses/delete",
		"Microsoft.Network/loadBalancers/delete", "Microsoft.Network/networkSecurityGroups/delete", "Microsoft.Network/networkInterfaces/delete",
		"Microsoft.Compute/virtualMachineScaleSets/delete", "Microsoft.Compute/disks/delete", "Microsoft.Compute/snapshots/delete"}},
	{"Resources_ListByResourceGroup", http.MethodGet, "/subscriptions/{}/resourceGroups/{}/resources", []string{"Microsoft.Resources/subscriptions/resourceGroups/resources/read"}},
	{"Resources_List", http.MethodGet, "/subscriptions/{}/resources", []string{"Microsoft.Resources/subscriptions/resources/read"}},
	{"Subscriptions_ListLocations", http.MethodGet, "/subscriptions/{}/locations", []string{"Microsoft.Resources/subscriptions/locations/read"}},
	{"Providers_Get", http.MethodGet, "/subscriptions/{}/providers/{}", []string{"Microsoft.Resources/subscriptions/providers/read"}},
	{"Permissions_ListForSubscription", http.MethodGet, "/subscriptions/{}/providers/Microsoft.Authorization/permissions", []string{"Microsoft.Authorization/permissions/read"}},

	{"PublicIPAddresses_Get", http.MethodGet, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Network/publicIPAddresses/{}", []string{"Microsoft.Network/publicIPAddresses/read"}},
	{"PublicIPAddresses_CreateOrUpdate", http.MethodPut, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Network/publicIPAddresses/{}", []string{"Microsoft.Network/publicIPAddresses/write"}},
	{"NatGateways_Get", http.MethodGet, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Network/natGateways/{}", []string{"Microsoft.Network/natGateways/read"}},
	{"NatGateways_CreateOrUpdate", http.MethodPut, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Network/natGateways/{}", []string{"Microsoft.Network/natGateways/write", joinAddress}},
	{"VirtualNetworks_Get", http.MethodGet, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Network/virtualNetworks/{}", []string{"Microsoft.Network/virtualNetworks/read"}},
	{"VirtualNetworks_CreateOrUpdate", http.MethodPut, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Network/virtualNetworks/{}",
		[]string{"Microsoft.Network/virtualNetworks/write", "Microsoft.Network/virtualNetworks/subnets/write", joinGateway}},
	{"Usages_List", http.MethodGet, "/subscriptions/{}/providers/Microsoft.Network/locations/{}/usages", []string{"Microsoft.Network/locations/usages/read"}},

	{"UserAssignedIdentities_Get", http.MethodGet, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{}", []string{"Microsoft.ManagedIdentity/userAssignedIdentities/read"}},
	{"UserAssignedIdentities_CreateOrUpdate", http.MethodPut, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{}", []string{"Microsoft.ManagedIdentity/userAssignedIdentities/write"}},
	{"UserAssignedIdentities_Delete", http.MethodDelete, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{}", []string{"Microsoft.ManagedIdentity/userAssignedIdentities/delete"}},

	{"RoleAssignments_Get", http.MethodGet, "{scope}/providers/Microsoft.Authorization/roleAssignments/{}", []string{"Microsoft.Authorization/roleAssignments/read"}},
	{"RoleAssignments_Create", http.MethodPut, "{scope}/providers/Microsoft.Authorization/roleAssignments/{}", []string{"Microsoft.Authorization/roleAssignments/write"}},
	{"RoleAssignments_DeleteById", http.MethodDelete, "{scope}/providers/Microsoft.Authorization/roleAssignments/{}", []string{"Microsoft.Authorization/roleAssignments/delete"}},
	{"RoleAssignments_ListForResourceGroup", http.MethodGet, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Authorization/roleAssignments", []string{"Microsoft.Authorization/roleAssignments/read"}},
	{"RoleAssignments_ListForSubscription", http.MethodGet, "/subscriptions/{}/providers/Microsoft.Authorization/roleAssignments", []string{"Microsoft.Authorization/roleAssignments/read"}},

	{"ManagedClusters_Get", http.MethodGet, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ContainerService/managedClusters/{}", []string{"Microsoft.ContainerService/managedClusters/read"}},
	{"ManagedClusters_CreateOrUpdate", http.MethodPut, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ContainerService/managedClusters/{}",
		[]string{"Microsoft.ContainerService/managedClusters/write", joinSubnet, assignIdentity}},
	{"ManagedClusters_Delete", http.MethodDelete, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ContainerService/managedClusters/{}", []string{"Microsoft.ContainerService/managedClusters/delete"}},
	{"ManagedClusters_ListClusterUserCredentials", http.MethodPost, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ContainerService/managedClusters/{}/listClusterUserCredential",
		[]string{"Microsoft.ContainerService/managedClusters/listClusterUserCredential/action"}},
	{"ManagedClusters_ListKubernetesVersions", http.MethodGet, "/subscriptions/{}/providers/Microsoft.ContainerService/locations/{}/kubernetesVersions", []string{"Microsoft.ContainerService/locations/kubernetesVersions/read"}},
	{"AgentPools_Get", http.MethodGet, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ContainerService/managedClusters/{}/agentPools/{}", []string{"Microsoft.ContainerService/managedClusters/agentPools/read"}},
	{"AgentPools_CreateOrUpdate", http.MethodPut, "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ContainerService/managedClusters/{}/agentPools/{}",
		[]string{"Microsoft.ContainerService/managedClusters/agentPools/write", joinSubnet}},
	{"OperationStatus_Get", http.MethodGet, "/subscriptions/{}/providers/Microsoft.ContainerService/locations/{}/operations/{}", []string{"Microsoft.ContainerService/locations/operations/read"}},
	{"NetworkOperations_Get", http.MethodGet, "/subscriptions/{}/providers/Microsoft.Network/locations/{}/operations/{}", []string{"Microsoft.Network/locations/operations/read"}},
	{"GroupOperations_Get", http.MethodGet, "/subscriptions/{}/operationresults/{}", []string{"Microsoft.Resources/subscriptions/operationresults/read"}},

	{"Usage_List", http.MethodGet, "/subscriptions/{}/providers/Microsoft.Compute/locations/{}/usages", []string{"Microsoft.Compute/locations/usages/read"}},
	{"ResourceSkus_List", http.MethodGet, "/subscriptions/{}/providers/Microsoft.Compute/skus", []string{"Microsoft.Compute/skus/read"}},
}

// Permissions is the union of what the operations want, sorted: what a worker's role must allow.
func Permissions() []string {
	var all []string
	for _, o := range Operations {
		all = append(all, o.Permissions...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// OperationOf is the operation that a request is, nil for what is none of the adapter's (requests for tokens are none).
func OperationOf(method, path string) *Operation {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	for i, o := range Operations {
		if o.Method == method && matchesPath(strings.Split(strings.Trim(o.Path, "/"), "/"), segments) {
			return &Operations[i]
		}
	}
	return nil
}

// matchesPath compares segment by segment, without regard to capitals, as the Resource Manager does.
func matchesPath(pattern, segments []string) bool {
	if pattern[0] == "{scope}" {
		pattern = pattern[1:]
		if len(segments) <= len(pattern) {
			return false
		}
		segments = segments[len(segments)-len(pattern):]
	}
	return len(pattern) == len(segments) && slices.EqualFunc(pattern, segments, func(want, got string) bool {
		return want == "{}" && got != "" || strings.EqualFold(want, got)
	})
}
