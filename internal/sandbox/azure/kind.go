package azure

import (
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

// Namespaces of providers.
const (
	resources        = "Microsoft.Resources"
	network          = "Microsoft.Network"
	managedIdentity  = "Microsoft.ManagedIdentity"
	authorization    = "Microsoft.Authorization"
	containerService = "Microsoft.ContainerService"
	compute          = "Microsoft.Compute"
)

// Types of resources.
const (
	typeGroup       = resources + "/resourceGroups"
	typeVNet        = network + "/virtualNetworks"
	typeSubnet      = typeVNet + "/subnets"
	typeNAT         = network + "/natGateways"
	typeAddress     = network + "/publicIPAddresses"
	typeNSG         = network + "/networkSecurityGroups"
	typeBalancer    = network + "/loadBalancers"
	typeInterface   = network + "/networkInterfaces"
	typeIdentity    = managedIdentity + "/userAssignedIdentities"
	typeFederation  = typeIdentity + "/federatedIdentityCredentials"
	typeAssignment  = authorization + "/roleAssignments"
	typeCluster     = containerService + "/managedClusters"
	typePool        = typeCluster + "/agentPools"
	typeDisk        = compute + "/disks"
	typeSnapshot    = compute + "/snapshots"
	typeScaleSet    = compute + "/virtualMachineScaleSets"
	typeScaleSetVM  = typeScaleSet + "/virtualMachines"
	kindOperation   = "operations"
	kindEnded       = "operations/ended"
	maxListed       = 1000
	maxOperations   = 5000
	pollNetwork     = 10 * time.Second
	pollCompute     = 5 * time.Second
	pollGroup       = 15 * time.Second
	replicationTime = 45 * time.Second
)

// kind is what a type of resource is like.
type kind struct {
	typ string
	// group is the name of its operations: VirtualNetworks of VirtualNetworks_Get.
	group string
	// list, listAll and update are the names of those operations: of a group's or parent's, of the subscription's, and of a PATCH.
	// "" is for none.
	list, listAll, update string
	// children are the types of what lives in it.
	children []string
	// nowhere says that it has no location of its own, stateless that it has no provisioning state.
	nowhere, stateless bool
	// make, change and end are how long those take; 0 is answered at once.
	make, change, end time.Duration
	// complete checks a body and fills in what the provider does. old is nil for a new one.
	complete func(r *request, tx *world.Tx, one, old *resource) error
	// guard says why it cannot be deleted now.
	guard func(tx *world.Tx, one *resource) error
	// show adds what is not kept but follows from others.
	show func(tx *world.Tx, one *resource, wire map[string]any) error
	// readOnly types are not made by callers, custom ones have handlers of their own for PUT, PATCH and DELETE.
	readOnly, custom bool
	// created is the status that answers a PUT of a new one: 201, or 202 where there is nothing to show yet.
	created int
}

// kinds is the table of types. It is filled in by init, as its functions look things up in it.
var kinds []*kind

func init() {
	kinds = []*kind{
		{typ: typeVNet, group: "VirtualNetworks", list: "List", listAll: "ListAll", update: "UpdateTags", children: []string{typeSubnet},
			make: 5 * time.Second, change: 4 * time.Second, end: 11 * time.Second, complete: completeVNet, guard: guardVNet, show: showVNet},
		{typ: typeSubnet, group: "Subnets", list: "List", nowhere: true,
			make: 4 * time.Second, change: 4 * time.Second, end: 11 * time.Second, complete: completeSubnet, guard: guardSubnet, show: showSubnet},
		{typ: typeNAT, group: "NatGateways", list: "List", listAll: "ListAll", update: "UpdateTags",
			make: 11 * time.Second, change: 11 * time.Second, end: 11 * time.Second, complete: completeNAT, guard: guardNAT, show: showNAT},
		{typ: typeAddress, group: "PublicIPAddresses", list: "List", listAll: "ListAll", update: "UpdateTags",
			make: 3 * time.Second, change: 3 * time.Second, end: 11 * time.Second, complete: completeAddress, guard: guardAddress, show: showAddress},
		{typ: typeNSG, group: "NetworkSecurityGroups", list: "List", listAll: "ListAll", update: "UpdateTags",
			make: 4 * time.Second, change: 4 * time.Second, end: 11 * time.Second, complete: completeNSG, guard: guardNSG, show: showNSG},
		{typ: typeBalancer, group: "LoadBalancers", list: "List", listAll: "ListAll", update: "UpdateTags",
			make: 3 * time.Second, change: 3 * time.Second, end: 11 * time.Second, complete: completeBalancer, guard: guardManaged},
		{typ: typeInterface, group: "NetworkInterfaces", list: "List", listAll: "ListAll", update: "UpdateTags",
			make: 3 * time.Second, change: 3 * time.Second, end: 11 * time.Second, complete: completeInterface, guard: guardManaged},
		{typ: typeIdentity, group: "UserAssignedIdentities", list: "ListByResourceGroup", listAll: "ListBySubscription", update: "Update",
			children: []string{typeFederation}, stateless: true, complete: completeIdentity},
		{typ: typeFederation, group: "FederatedIdentityCredentials", list: "List", nowhere: true, stateless: true, complete: completeFederation},
		{typ: typeAssignment, group: "RoleAssignments", nowhere: true, stateless: true, custom: true},
		{typ: typeCluster, group: "ManagedClusters", list: "ListByResourceGroup", listAll: "List", update: "UpdateTags",
			children: []string{typePool}, custom: true, show: showCluster},
		{typ: typePool, group: "AgentPools", list: "List", nowhere: true, custom: true, show: showPool},
		{typ: typeDisk, group: "Disks", list: "ListByResourceGroup", listAll: "List", update: "Update",
			make: 2 * time.Second, change: 2 * time.Second, end: 3 * time.Second, complete: completeDisk, guard: guardDisk, created: 202},
		{typ: typeSnapshot, group: "Snapshots", list: "ListByResourceGroup", listAll: "List", update: "Update",
			make: 2 * time.Second, change: 2 * time.Second, end: 3 * time.Second, complete: completeSnapshot, created: 202},
		{typ: typeScaleSet, group: "VirtualMachineScaleSets", list: "List", listAll: "ListAll", children: []string{typeScaleSetVM}, readOnly: true, show: showScaleSet},
		{typ: typeScaleSetVM, group: "VirtualMachineScaleSetVMs", list: "List", readOnly: true, show: showScaleSetVM},
	}
	byType = map[string]*kind{}
	for _, k := range kinds {
		byType[k.typ] = k
	}
	routes = compileRoutes()
}

var byType map[string]*kind

func kindOf(typ string) *kind { return byType[typ] }

// namespace is the provider of a type.
func namespace(typ string) string {
	name, _, _ := strings.Cut(typ, "/")
	return name
}

// parentType is the type that a type's resources live in, "" for those that live in a resource group.
func parentType(typ string) string {
	if strings.Count(typ, "/") < 2 {
		return ""
	}
	return typ[:strings.LastIndexByte(typ, '/')]
}

// poll is how soon an operation on a type is asked about again.
func (k *kind) poll() time.Duration {
	switch namespace(k.typ) {
	case network:
		return pollNetwork
	case compute:
		return pollCompute
	}
	return 0
}
