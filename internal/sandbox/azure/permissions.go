package azure

import "slices"

// implied are the permissions that an operation needs beside its own, on the resources that its body names. From
// https://learn.microsoft.com/azure/role-based-access-control/permissions/networking and the pages beside it.
var implied = map[string][]string{
	"VirtualNetworks_CreateOrUpdate": {"Microsoft.Network/natGateways/join/action", "Microsoft.Network/networkSecurityGroups/join/action"},
	"Subnets_CreateOrUpdate":         {"Microsoft.Network/natGateways/join/action", "Microsoft.Network/networkSecurityGroups/join/action"},
	"NatGateways_CreateOrUpdate":     {"Microsoft.Network/publicIPAddresses/join/action"},
	"LoadBalancers_CreateOrUpdate":   {"Microsoft.Network/publicIPAddresses/join/action", "Microsoft.Network/virtualNetworks/subnets/join/action"},
	"NetworkInterfaces_CreateOrUpdate": {"Microsoft.Network/virtualNetworks/subnets/join/action", "Microsoft.Network/networkSecurityGroups/join/action",
		"Microsoft.Network/publicIPAddresses/join/action"},
	"ManagedClusters_CreateOrUpdate": {"Microsoft.Network/virtualNetworks/subnets/join/action", "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"},
	"AgentPools_CreateOrUpdate":      {"Microsoft.Network/virtualNetworks/subnets/join/action"},
}

// Permissions are those that an operation needs, by its official id: its own first, then those on what its body may name. It is empty
// for operations that need none, and for those that the sandbox does not have.
func Permissions(operation string) []string {
	i := slices.IndexFunc(routes, func(r *route) bool { return r.operation == operation })
	if i < 0 || routes[i].action == "" {
		return nil
	}
	return append([]string{routes[i].action}, implied[operation]...)
}
