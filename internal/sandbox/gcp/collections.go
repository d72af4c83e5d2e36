package gcp

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/m3o/platform/internal/sandbox/world"
)

// The scopes of compute's collections.
const (
	global  = "global"
	regionS = "regions"
	zoneS   = "zones"
)

// collection is one kind of compute's resources in one scope.
type collection struct {
	// name is what paths call it, api what the ids of its methods do.
	name, api string
	kind      string // "compute#network"
	ledger    string // what ledger and faults call one of it
	scope     string
	// permission is what its permissions are called, for "compute.networks.get".
	permission string
	makes      time.Duration
	ends       time.Duration
	// quota is the project's limit for it.
	quota string
	// late says that the operation looks at the limit, not the request.
	late bool
	// shape is the official SDK's struct, which knows the fields.
	shape func() any
	// check says what is wrong with a new one, and fills in what was left out.
	check func(*request, *world.Tx, *resource) error
	// patch says what is wrong with a changed one; nil if it cannot be changed.
	patch func(*request, *world.Tx, *resource) error
	// show adds what the API shows and nobody stores.
	show func(*world.Tx, resource, document) error
	// implied are permissions that making and removing one needs beside its own.
	implied []string
	// made says that callers can make one: others only come from clusters.
	made bool
}

// collections are all that the sandbox has.
var collections = []collection{
	{name: "networks", api: "networks", kind: "compute#network", ledger: "network", scope: global, permission: "networks", quota: "NETWORKS", late: true,
		makes: 20 * time.Second, ends: 25 * time.Second, made: true, shape: func() any { return new(compute.Network) }, check: checkNetwork, show: showNetwork},
	{name: "subnetworks", api: "subnetworks", kind: "compute#subnetwork", ledger: "subnetwork", scope: regionS, permission: "subnetworks", quota: "SUBNETWORKS",
		makes: 15 * time.Second, ends: 20 * time.Second, made: true, shape: func() any { return new(compute.Subnetwork) }, check: checkSubnetwork,
		patch: patchSubnetwork, show: showSubnetwork, implied: []string{"compute.networks.updatePolicy"}},
	{name: "routers", api: "routers", kind: "compute#router", ledger: "router", scope: regionS, permission: "routers", quota: "ROUTERS",
		makes: 10 * time.Second, ends: 15 * time.Second, made: true, shape: func() any { return new(compute.Router) }, check: checkRouter, patch: checkRouter,
		implied: []string{"compute.networks.updatePolicy"}},
	{name: "addresses", api: "addresses", kind: "compute#address", ledger: "address", scope: regionS, permission: "addresses", quota: "STATIC_ADDRESSES",
		makes: 4 * time.Second, ends: 4 * time.Second, made: true, shape: func() any { return new(compute.Address) }, check: checkAddress, show: showAddress},
	{name: "firewalls", api: "firewalls", kind: "compute#firewall", ledger: "firewall", scope: global, permission: "firewalls", quota: "FIREWALLS",
		makes: 8 * time.Second, ends: 8 * time.Second, made: true, shape: func() any { return new(compute.Firewall) }, check: checkFirewall, patch: checkFirewall,
		implied: []string{"compute.networks.updatePolicy"}},
	{name: "disks", api: "disks", kind: "compute#disk", ledger: "disk", scope: zoneS, permission: "disks",
		makes: 3 * time.Second, ends: 3 * time.Second, made: true, shape: func() any { return new(compute.Disk) }, check: checkDisk},
	{name: "forwardingRules", api: "forwardingRules", kind: "compute#forwardingRule", ledger: "forwarding_rule", scope: regionS, permission: "forwardingRules",
		quota: "FORWARDING_RULES", ends: 10 * time.Second},
	{name: "targetPools", api: "targetPools", kind: "compute#targetPool", ledger: "target_pool", scope: regionS, permission: "targetPools",
		quota: "TARGET_POOLS", ends: 8 * time.Second},
	{name: "backendServices", api: "regionBackendServices", kind: "compute#backendService", ledger: "backend_service", scope: regionS,
		permission: "regionBackendServices", quota: "BACKEND_SERVICES", ends: 8 * time.Second},
	{name: "healthChecks", api: "regionHealthChecks", kind: "compute#healthCheck", ledger: "health_check", scope: regionS,
		permission: "regionHealthChecks", quota: "HEALTH_CHECKS", ends: 5 * time.Second},
	{name: "httpHealthChecks", api: "httpHealthChecks", kind: "compute#httpHealthCheck", ledger: "http_health_check", scope: global,
		permission: "httpHealthChecks", quota: "HEALTH_CHECKS", ends: 5 * time.Second},
	{name: "snapshots", api: "snapshots", kind: "compute#snapshot", ledger: "snapshot", scope: global, permission: "snapshots",
		quota: "SNAPSHOTS", ends: 5 * time.Second},
	{name: "networkEndpointGroups", api: "networkEndpointGroups", kind: "compute#networkEndpointGroup", ledger: "network_endpoint_group", scope: zoneS,
		permission: "networkEndpointGroups", ends: 5 * time.Second},
}

// collectionNamed finds a collection by the name in its paths. Names are not shared between scopes here.
func collectionNamed(name string) (*collection, bool) {
	i := slices.IndexFunc(collections, func(c collection) bool { return c.name == name })
	if i < 0 {
		return nil, false
	}
	return &collections[i], true
}

// listKind is what a list of it is called.
func (c collection) listKind(aggregated bool) string {
	if aggregated {
		return c.kind + "AggregatedList"
	}
	return c.kind + "List"
}

// under is the path of the collection, and the variable of a resource in it.
func (c collection) under() (path, variable string) {
	variable = strings.TrimSuffix(c.name, "s")
	if c.name == "addresses" {
		variable = "address"
	}
	switch c.scope {
	case regionS:
		return onCompute + "/regions/{region}/" + c.name, variable
	case zoneS:
		return onCompute + "/zones/{zone}/" + c.name, variable
	}
	return onCompute + "/global/" + c.name, variable
}

// computeRoutes is the API of compute, as far as the sandbox has it.
func computeRoutes() []route {
	all := slices.Concat(placeRoutes(), computeOperationRoutes(), instanceRoutes())
	for i := range collections {
		all = append(all, collections[i].routes()...)
	}
	return all
}

func (c *collection) routes() []route {
	path, variable := c.under()
	one := path + "/{" + variable + "}"
	var all []route
	add := func(method, path, verb string, permissions []string, handle func(*request) (any, error)) {
		all = append(all, route{service: serviceCompute, method: method, path: path, operation: "compute." + c.api + "." + verb, permissions: permissions,
			handle: handle, names: []string{variable}, collection: c})
	}
	may := func(verb string) string { return "compute." + c.permission + "." + verb }
	add("GET", path, "list", []string{may("list")}, listResources)
	add("GET", one, "get", []string{may("get")}, getResource)
	add("DELETE", one, "delete", append([]string{may("delete")}, c.implied...), deleteResource)
	if c.scope != global {
		add("GET", onCompute+"/aggregated/"+c.name, "aggregatedList", []string{may("list")}, listEverywhere)
		all[len(all)-1].operation = "compute." + c.name + ".aggregatedList" // regional backend services are listed with the global ones
	}
	if c.made {
		add("POST", path, "insert", append([]string{may("create")}, c.implied...), insertResource)
	}
	if c.patch != nil {
		add("PATCH", one, "patch", append([]string{may("update")}, c.implied...), patchResource)
	}
	if c.name == "subnetworks" {
		add("POST", one+"/setPrivateIpGoogleAccess", "setPrivateIpGoogleAccess", []string{may("setPrivateIpGoogleAccess")}, setPrivateAccess)
	}
	return all
}
