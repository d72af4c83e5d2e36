package azure

import "strings"

// routes is the API, as far as the sandbox has it; compileRoutes makes it.
var routes []*route

const (
	onSubscription = "/subscriptions/{subscriptionId}"
	onGroup        = onSubscription + "/resourceGroups/{resourceGroupName}"
	readGroups     = "Microsoft.Resources/subscriptions/resourceGroups/read"
	onLocation     = "/locations/{location}"
)

// authorityRoutes are the directory's, and the metadata of the cloud. None needs a token.
func authorityRoutes() []*route {
	return []*route{
		{method: "GET", pattern: "/metadata/endpoints", operation: "Metadata_Endpoints", handle: cloudMetadata, open: true},
		{method: "GET", pattern: "/common/discovery/instance", operation: "InstanceDiscovery_Get", handle: instanceDiscovery, open: true},
		{method: "GET", pattern: "/{tenant}/v2.0/.well-known/openid-configuration", operation: "OpenIDConfiguration_Get", handle: openIDConfiguration, open: true},
		// azure-cli asks a host that it knows whether an authority is real, unless that calls itself "adfs".
		{method: "GET", pattern: "/{tenant}/.well-known/openid-configuration", operation: "OpenIDConfiguration_Get", handle: openIDConfiguration, open: true},
		{method: "GET", pattern: "/{tenant}/discovery/v2.0/keys", operation: "Keys_List", handle: signingKeys, open: true},
		{method: "POST", pattern: "/{tenant}/oauth2/v2.0/token", operation: "Token_Issue", handle: issueToken, open: true},
	}
}

// managerRoutes are the Resource Manager's own.
func managerRoutes() []*route {
	return []*route{
		{method: "GET", pattern: "/subscriptions", operation: "Subscriptions_List", handle: listSubscriptions},
		{method: "GET", pattern: "/tenants", operation: "Tenants_List", handle: listTenants},
		{method: "GET", pattern: onSubscription, operation: "Subscriptions_Get", action: "Microsoft.Resources/subscriptions/read", handle: getSubscription},
		{method: "GET", pattern: onSubscription + "/locations", operation: "Subscriptions_ListLocations", action: "Microsoft.Resources/subscriptions/locations/read", handle: listLocations},
		{method: "GET", pattern: onSubscription + "/providers", operation: "Providers_List", action: "Microsoft.Resources/subscriptions/providers/read", handle: listProviders},
		{method: "GET", pattern: onSubscription + "/providers/{provider}", operation: "Providers_Get", action: "Microsoft.Resources/subscriptions/providers/read", handle: getProvider},
		{method: "POST", pattern: onSubscription + "/providers/{provider}/register", operation: "Providers_Register", action: "Microsoft.Resources/subscriptions/providers/register/action", handle: getProvider},
		{method: "GET", pattern: onSubscription + "/operationresults/{operationId}", operation: "OperationResults_Get", action: "Microsoft.Resources/subscriptions/operationresults/read", handle: getResult},

		{method: "GET", pattern: onSubscription + "/resourceGroups", operation: "ResourceGroups_List", action: readGroups, handle: listGroups},
		{method: "PUT", pattern: onGroup, operation: "ResourceGroups_CreateOrUpdate", action: "Microsoft.Resources/subscriptions/resourceGroups/write", handle: putGroup},
		{method: "PATCH", pattern: onGroup, operation: "ResourceGroups_Update", action: "Microsoft.Resources/subscriptions/resourceGroups/write", handle: patchGroup},
		{method: "GET", pattern: onGroup, operation: "ResourceGroups_Get", action: readGroups, handle: getGroup},
		{method: "HEAD", pattern: onGroup, operation: "ResourceGroups_CheckExistence", action: readGroups, handle: headGroup},
		{method: "DELETE", pattern: onGroup, operation: "ResourceGroups_Delete", action: "Microsoft.Resources/subscriptions/resourceGroups/delete", handle: deleteGroup},
		{method: "GET", pattern: onGroup + "/resources", operation: "Resources_ListByResourceGroup", action: "Microsoft.Resources/subscriptions/resourceGroups/resources/read", handle: listResources},
		{method: "GET", pattern: onSubscription + "/resources", operation: "Resources_List", action: "Microsoft.Resources/subscriptions/resources/read", handle: listResources},
	}
}

// scopedRoutes are those of Microsoft.Authorization, at any scope.
func scopedRoutes() []*route {
	const base = "/{scope}/providers/Microsoft.Authorization"
	k := kindOf(typeAssignment)
	list := func(scope, what string) *route {
		return &route{method: "GET", pattern: scope + "/providers/Microsoft.Authorization/roleAssignments", operation: "RoleAssignments_ListFor" + what,
			action: "Microsoft.Authorization/roleAssignments/read", handle: listAssignments, kind: k}
	}
	return []*route{
		list(onSubscription, "Subscription"), list(onGroup, "ResourceGroup"), list("/{scope}", "Scope"),
		{method: "PUT", pattern: base + "/roleAssignments/{name}", operation: "RoleAssignments_Create", action: "Microsoft.Authorization/roleAssignments/write", handle: putAssignment, kind: k},
		{method: "GET", pattern: base + "/roleAssignments/{name}", operation: "RoleAssignments_Get", action: "Microsoft.Authorization/roleAssignments/read", handle: getAssignment, kind: k},
		{method: "DELETE", pattern: base + "/roleAssignments/{name}", operation: "RoleAssignments_Delete", action: "Microsoft.Authorization/roleAssignments/delete", handle: deleteAssignment, kind: k},
		{method: "GET", pattern: base + "/roleDefinitions", operation: "RoleDefinitions_List", action: "Microsoft.Authorization/roleDefinitions/read", handle: listRoles},
		{method: "GET", pattern: base + "/roleDefinitions/{name}", operation: "RoleDefinitions_Get", action: "Microsoft.Authorization/roleDefinitions/read", handle: getRole},
		{method: "GET", pattern: base + "/permissions", operation: "Permissions_List", action: "Microsoft.Authorization/permissions/read", handle: getPermissions},
	}
}

// providerRoutes are those of providers that are about no resource.
func providerRoutes() []*route {
	at := func(namespace, path string) string { return onSubscription + "/providers/" + namespace + path }
	var all []*route
	for _, p := range []struct{ namespace, status, operation string }{
		{network, "operations", "NetworkOperations_Get"}, {containerService, "operations", "ContainerServiceOperations_Get"}, {compute, "DiskOperations", "DiskOperations_Get"},
	} {
		all = append(all, &route{method: "GET", pattern: at(p.namespace, onLocation+"/"+p.status+"/{operationId}"), operation: p.operation,
			action: p.namespace + "/locations/" + p.status + "/read", handle: getOperation})
		if p.namespace != compute {
			all = append(all, &route{method: "GET", pattern: at(p.namespace, onLocation+"/operationResults/{operationId}"), operation: strings.Replace(p.operation, "Operations", "OperationResults", 1),
				action: p.namespace + "/locations/operationResults/read", handle: getResult})
		}
	}
	onCluster := onGroup + inType(typeCluster, "{name}")
	k := kindOf(typeCluster)
	return append(all,
		&route{method: "GET", pattern: at(network, onLocation+"/usages"), operation: "Usages_List", action: "Microsoft.Network/locations/usages/read", handle: listNetworkUsages},
		&route{method: "GET", pattern: at(compute, onLocation+"/usages"), operation: "Usage_List", action: "Microsoft.Compute/locations/usages/read", handle: listComputeUsages},
		&route{method: "GET", pattern: at(compute, "/skus"), operation: "ResourceSkus_List", action: "Microsoft.Compute/skus/read", handle: listSKUs},
		&route{method: "GET", pattern: at(containerService, onLocation+"/kubernetesVersions"), operation: "ManagedClusters_ListKubernetesVersions",
			action: "Microsoft.ContainerService/locations/kubernetesVersions/read", handle: listKubernetesVersions},
		&route{method: "GET", pattern: at(containerService, onLocation+"/orchestrators"), operation: "ContainerServices_ListOrchestrators",
			action: "Microsoft.ContainerService/locations/orchestrators/read", handle: listOrchestrators},
		&route{method: "GET", pattern: onCluster + "/upgradeProfiles/default", operation: "ManagedClusters_GetUpgradeProfile",
			action: "Microsoft.ContainerService/managedClusters/upgradeProfiles/read", handle: getUpgradeProfile, kind: k},
		&route{method: "POST", pattern: onCluster + "/listClusterUserCredential", operation: "ManagedClusters_ListClusterUserCredentials",
			action: "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action", handle: listUserCredentials, kind: k},
		&route{method: "POST", pattern: onCluster + "/listClusterAdminCredential", operation: "ManagedClusters_ListClusterAdminCredentials",
			action: "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action", handle: listAdminCredentials, kind: k},
	)
}

// kindRoutes are those that every type has, by the table of types.
func (k *kind) routes() []*route {
	if k.typ == typeAssignment {
		return nil // its scopes are any
	}
	names := []string{"{name}"}
	if parentType(k.typ) != "" {
		names = append(names, "{childName}")
	}
	on := onGroup + inType(k.typ, names...)
	inside := onGroup + inType(k.typ, names[:len(names)-1]...)
	make := func(method, pattern, operation, verb string, handle handler) *route {
		return &route{method: method, pattern: pattern, operation: k.group + "_" + operation, action: k.typ + "/" + verb, handle: handle, kind: k}
	}
	all := []*route{make("GET", on, "Get", "read", getResource)}
	if k.list != "" {
		all = append(all, make("GET", inside, k.list, "read", listInside))
	}
	if k.listAll != "" {
		all = append(all, make("GET", onSubscription+inType(k.typ), k.listAll, "read", listAll))
	}
	if k.readOnly {
		return all
	}
	write, change, end := putResource, patchResource, deleteResource
	switch k.typ {
	case typeCluster:
		write, change, end = putCluster, patchCluster, deleteCluster
	case typePool:
		write, end = putPool, deletePool
	}
	if k.update != "" {
		all = append(all, make("PATCH", on, k.update, "write", change))
	}
	return append(all, make("PUT", on, "CreateOrUpdate", "write", write), make("DELETE", on, "Delete", "delete", end))
}

func compileRoutes() []*route {
	all := append(authorityRoutes(), managerRoutes()...)
	all = append(all, providerRoutes()...)
	for _, k := range kinds {
		all = append(all, k.routes()...)
	}
	all = append(all, scopedRoutes()...)
	for _, r := range all {
		r.compile()
	}
	return all
}
