package digitalocean

// route is one operation of the API.
type route struct {
	method, pattern string
	// operation is the official operationId.
	operation string
	handle    handler
}

// pathKinds are the parameters of paths that name a resource, in the order in which they are joined for faults to match.
var pathKinds = []struct{ parameter, kind string }{
	{"vpc_id", kindVPC},
	{"cluster_id", kindCluster},
	{"node_pool_id", kindPool},
	{"node_id", kindNode},
	{"lb_id", kindLoadBalancer},
	{"volume_id", kindVolume},
}

const (
	onClusters = "/v2/kubernetes/clusters"
	onCluster  = onClusters + "/{cluster_id}"
	onAlong    = onCluster + "/destroy_with_associated_resources"
	onPools    = onCluster + "/node_pools"
	onPool     = onPools + "/{node_pool_id}"
)

// routes is the API, as far as the sandbox has it.
var routes = []route{
	{"GET", "/v2/account", "account_get", getAccount},
	{"GET", "/v2/regions", "regions_list", listRegions},
	{"GET", "/v2/sizes", "sizes_list", listSizes},
	{"GET", "/v2/droplets", "droplets_list", listDroplets},

	{"GET", "/v2/vpcs", "vpcs_list", listVPCs},
	{"POST", "/v2/vpcs", "vpcs_create", createVPC},
	{"GET", "/v2/vpcs/{vpc_id}", "vpcs_get", getVPC},
	{"PUT", "/v2/vpcs/{vpc_id}", "vpcs_update", updateVPC},
	{"PATCH", "/v2/vpcs/{vpc_id}", "vpcs_patch", updateVPC},
	{"DELETE", "/v2/vpcs/{vpc_id}", "vpcs_delete", deleteVPC},
	{"GET", "/v2/vpcs/{vpc_id}/members", "vpcs_list_members", listMembers},

	{"GET", "/v2/kubernetes/options", "kubernetes_list_options", listOptions},
	{"GET", onClusters, "kubernetes_list_clusters", listClusters},
	{"POST", onClusters, "kubernetes_create_cluster", createCluster},
	{"GET", onCluster, "kubernetes_get_cluster", getCluster},
	{"PUT", onCluster, "kubernetes_update_cluster", updateCluster},
	{"DELETE", onCluster, "kubernetes_delete_cluster", deleteCluster},
	{"GET", onAlong, "kubernetes_list_associatedResources", listAlong},
	{"DELETE", onAlong + "/selective", "kubernetes_destroy_associatedResourcesSelective", deleteClusterSelective},
	{"DELETE", onAlong + "/dangerous", "kubernetes_destroy_associatedResourcesDangerous", deleteClusterDangerous},
	{"GET", onCluster + "/kubeconfig", "kubernetes_get_kubeconfig", getKubeconfig},
	{"GET", onCluster + "/credentials", "kubernetes_get_credentials", getCredentials},
	{"GET", onCluster + "/user", "kubernetes_get_clusterUser", getUser},
	{"GET", onCluster + "/upgrades", "kubernetes_get_availableUpgrades", listUpgrades},
	{"POST", onCluster + "/upgrade", "kubernetes_upgrade_cluster", upgradeCluster},

	{"GET", onPools, "kubernetes_list_nodePools", listPools},
	{"POST", onPools, "kubernetes_add_nodePool", createPool},
	{"GET", onPool, "kubernetes_get_nodePool", getPool},
	{"PUT", onPool, "kubernetes_update_nodePool", updatePool},
	{"DELETE", onPool, "kubernetes_delete_nodePool", deletePool},
	{"POST", onPool + "/recycle", "kubernetes_recycle_node_pool", recyclePool},
	{"DELETE", onPool + "/nodes/{node_id}", "kubernetes_delete_node", deleteNode},

	{"GET", "/v2/load_balancers", "loadBalancers_list", listLoadBalancers},
	{"GET", "/v2/load_balancers/{lb_id}", "loadBalancers_get", getLoadBalancer},
	{"DELETE", "/v2/load_balancers/{lb_id}", "loadBalancers_delete", deleteLoadBalancer},
	{"GET", "/v2/volumes", "volumes_list", listVolumes},
	{"POST", "/v2/volumes", "volumes_create", createVolume},
	{"GET", "/v2/volumes/{volume_id}", "volumes_get", getVolume},
	{"DELETE", "/v2/volumes/{volume_id}", "volumes_delete", deleteVolume},
}
