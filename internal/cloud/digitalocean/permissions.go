package digitalocean

import (
	"maps"
	"slices"
)

// permissions are the scopes that a token needs for each operation that this package calls, by its official id, as the API's description
// lists them. deploy/workers/digitalocean/policy.json is their union.
var permissions = map[string][]string{
	"account_get":               {"account:read"},
	"droplets_list":             {"droplet:read"},
	"kubernetes_add_nodePool":   {"kubernetes:update"},
	"kubernetes_create_cluster": {"kubernetes:create"},
	"kubernetes_destroy_associatedResourcesDangerous": {"kubernetes:delete"},
	"kubernetes_get_kubeconfig":                       {"kubernetes:access_cluster"},
	"kubernetes_list_clusters":                        {"kubernetes:read"},
	"kubernetes_list_options":                         {"kubernetes:read"},
	"kubernetes_update_cluster":                       {"kubernetes:update"},
	"kubernetes_update_nodePool":                      {"kubernetes:update"},
	"loadBalancers_delete":                            {"load_balancer:delete"},
	"loadBalancers_list":                              {"load_balancer:read"},
	"sizes_list":                                      {"sizes:read", "regions:read"},
	"volumes_delete":                                  {"block_storage:delete"},
	"volumes_list":                                    {"block_storage:read"},
	"vpcs_create":                                     {"vpc:create"},
	"vpcs_delete":                                     {"vpc:delete"},
	"vpcs_list":                                       {"vpc:read"},
	"vpcs_patch":                                      {"vpc:update"},
}

// Permissions lists what a worker's token needs, by operation: see permissions.
func Permissions() map[string][]string { return maps.Clone(permissions) }

// allPermissions is the union, sorted.
func allPermissions() []string {
	all := slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Values(permissions))...)))
	return slices.Compact(all)
}
