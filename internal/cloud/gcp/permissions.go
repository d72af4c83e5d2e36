package gcp

import "slices"

// permissions are what each operation of this package needs, by its method's id in the discovery documents: its own permission, and
// those that it implies, on what it uses. The role of deploy/workers/gcp is their union. The descriptions of the methods name most
// of them, IAM's reference of permissions the rest.
var permissions = map[string][]string{
	"compute.networks.get":                                    {"compute.networks.get"},
	"compute.networks.list":                                   {"compute.networks.list"},
	"compute.networks.insert":                                 {"compute.networks.create"},
	"compute.networks.delete":                                 {"compute.networks.delete"},
	"compute.subnetworks.get":                                 {"compute.subnetworks.get"},
	"compute.subnetworks.list":                                {"compute.subnetworks.list"},
	"compute.subnetworks.insert":                              {"compute.subnetworks.create", "compute.networks.updatePolicy"},
	"compute.subnetworks.delete":                              {"compute.subnetworks.delete", "compute.networks.updatePolicy"},
	"compute.subnetworks.setPrivateIpGoogleAccess":            {"compute.subnetworks.setPrivateIpGoogleAccess"},
	"compute.addresses.get":                                   {"compute.addresses.get"},
	"compute.addresses.list":                                  {"compute.addresses.list"},
	"compute.addresses.insert":                                {"compute.addresses.create"},
	"compute.addresses.delete":                                {"compute.addresses.delete"},
	"compute.routers.get":                                     {"compute.routers.get"},
	"compute.routers.list":                                    {"compute.routers.list"},
	"compute.routers.insert":                                  {"compute.routers.create", "compute.networks.updatePolicy", "compute.addresses.use"},
	"compute.routers.patch":                                   {"compute.routers.update", "compute.addresses.use"},
	"compute.routers.delete":                                  {"compute.routers.delete", "compute.networks.updatePolicy"},
	"compute.globalOperations.get":                            {"compute.globalOperations.get"},
	"compute.globalOperations.list":                           {"compute.globalOperations.list"},
	"compute.regionOperations.get":                            {"compute.regionOperations.get"},
	"compute.regionOperations.list":                           {"compute.regionOperations.list"},
	"compute.projects.get":                                    {"compute.projects.get"},
	"compute.regions.get":                                     {"compute.regions.get"},
	"compute.regions.list":                                    {"compute.regions.list"},
	"compute.machineTypes.aggregatedList":                     {"compute.machineTypes.list"},
	"compute.machineTypes.list":                               {"compute.machineTypes.list"},
	"compute.instanceGroupManagers.get":                       {"compute.instanceGroupManagers.get"},
	"compute.firewalls.list":                                  {"compute.firewalls.list"},
	"compute.firewalls.delete":                                {"compute.firewalls.delete", "compute.networks.updatePolicy"},
	"compute.forwardingRules.list":                            {"compute.forwardingRules.list"},
	"compute.forwardingRules.delete":                          {"compute.forwardingRules.delete"},
	"compute.targetPools.list":                                {"compute.targetPools.list"},
	"compute.targetPools.delete":                              {"compute.targetPools.delete"},
	"compute.regionBackendServices.list":                      {"compute.regionBackendServices.list"},
	"compute.regionBackendServices.delete":                    {"compute.regionBackendServices.delete"},
	"compute.regionHealthChecks.list":                         {"compute.regionHealthChecks.list"},
	"compute.regionHealthChecks.delete":                       {"compute.regionHealthChecks.delete"},
	"compute.httpHealthChecks.list":                           {"compute.httpHealthChecks.list"},
	"compute.httpHealthChecks.delete":                         {"compute.httpHealthChecks.delete"},
	"compute.disks.aggregatedList":                            {"compute.disks.list"},
	"compute.disks.delete":                                    {"compute.disks.delete"},
	"container.projects.locations.getServerConfig":            {"container.clusters.list"},
	"container.projects.locations.clusters.get":               {"container.clusters.get"},
	"container.projects.locations.clusters.list":              {"container.clusters.list"},
	"container.projects.locations.clusters.create":            {"container.clusters.create", "iam.serviceAccounts.actAs", "compute.networks.get", "compute.subnetworks.get", "compute.subnetworks.use"},
	"container.projects.locations.clusters.update":            {"container.clusters.update"},
	"container.projects.locations.clusters.delete":            {"container.clusters.delete"},
	"container.projects.locations.operations.get":             {"container.operations.get"},
	"container.projects.locations.operations.list":            {"container.operations.list"},
	"container.projects.locations.operations.cancel":          {"container.operations.get", "container.clusters.update"},
	"container.projects.locations.clusters.nodePools.create":  {"container.clusters.update", "iam.serviceAccounts.actAs"},
	"container.projects.locations.clusters.nodePools.setSize": {"container.clusters.update"},
	"container.projects.locations.clusters.nodePools.delete":  {"container.clusters.update"},
	"iam.projects.serviceAccounts.get":                        {"iam.serviceAccounts.get"},
	"iam.projects.serviceAccounts.list":                       {"iam.serviceAccounts.list"},
	"iam.projects.serviceAccounts.create":                     {"iam.serviceAccounts.create"},
	"iam.projects.serviceAccounts.delete":                     {"iam.serviceAccounts.delete"},
	"cloudresourcemanager.projects.getIamPolicy":              {"resourcemanager.projects.getIamPolicy"},
	"cloudresourcemanager.projects.setIamPolicy":              {"resourcemanager.projects.setIamPolicy"},
	"cloudresourcemanager.projects.testIamPermissions":        {},
	"serviceusage.services.batchGet":                          {"serviceusage.services.get"},
}

// inside are the permissions by which the API servers of clusters let the worker do its work there (internal/cluster): they ask IAM
// what no role of Kubernetes says. By resource, the verbs.
var inside = map[string][]string{
	"clusterRoleBindings":    {"create", "delete", "get", "list", "update"},
	"clusterRoles":           {"bind", "create", "delete", "escalate", "get", "list", "update"},
	"configMaps":             {"create", "delete", "get", "list", "update"},
	"daemonSets":             {"get", "list"},
	"deployments":            {"create", "delete", "get", "list", "update"},
	"events":                 {"list"},
	"jobs":                   {"create", "delete", "get", "list", "update"},
	"namespaces":             {"create", "delete", "get", "list", "update"},
	"networkPolicies":        {"create", "delete", "get", "list", "update"},
	"nodes":                  {"get", "list"},
	"persistentVolumeClaims": {"create", "delete", "get", "list", "update"},
	"podDisruptionBudgets":   {"create", "delete", "get", "list", "update"},
	"pods":                   {"delete", "get", "getLogs", "list"},
	"resourceQuotas":         {"create", "delete", "get", "list", "update"},
	"roleBindings":           {"create", "delete", "get", "list", "update"},
	"roles":                  {"bind", "create", "delete", "escalate", "get", "list", "update"},
	"secrets":                {"create", "delete", "get", "list", "update"},
	"serviceAccounts":        {"create", "createToken", "delete", "get", "list", "update"},
	"services":               {"create", "delete", "get", "list", "update"},
	"statefulSets":           {"create", "delete", "get", "list", "update"},
	"storageClasses":         {"create", "get", "list", "update"},
}

// Permissions are what this package needs for an operation, by its method's id in the discovery documents ("compute.networks.insert");
// false for one that it never calls.
func Permissions(operation string) ([]string, bool) {
	needed, known := permissions[operation]
	return needed, known
}

// allPermissions are what the worker's identity needs in its project, in order.
func allPermissions() []string {
	var all []string
	for _, needed := range permissions {
		all = append(all, needed...)
	}
	all = append(all, Inside()...)
	slices.Sort(all)
	return slices.Compact(all)
}

// Inside are the permissions that the worker needs in the clusters of its project, in order.
func Inside() []string {
	var all []string
	for resource, verbs := range inside {
		for _, verb := range verbs {
			all = append(all, "container."+resource+"."+verb)
		}
	}
	slices.Sort(all)
	return all
}
