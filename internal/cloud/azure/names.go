package azure

import (
	"strings"

	"github.com/m3o/platform/internal/region"
)

// The limits of names, by Azure's "naming rules and restrictions". They differ by type.
const (
	groupLimit     = 90
	nodeGroupLimit = 80
	networkLimit   = 64
	gatewayLimit   = 80
	addressLimit   = 80
	identityLimit  = 128
	clusterLimit   = 63
	dnsPrefixLimit = 54
)

// poolName is the node pool's: lower-case letters and digits, at most 12.
const poolName = "nodes"

// subnetName is the nodes' subnet.
const subnetName = "nodes"

// names are what is made for a region is called, from its specs' name.
type names struct {
	subscription                   string
	group, nodeGroup               string
	network, gateway, address      string
	clusterIdentity, nodesIdentity string
	cluster, dnsPrefix             string
}

func (p *Provider) names(name string) names {
	return names{
		subscription:    p.subscription,
		group:           region.CutName(groupLimit, name),
		nodeGroup:       region.CutName(nodeGroupLimit, "nodes-"+name), // with "-nodes" it could be another region's group
		network:         region.CutName(networkLimit, name),
		gateway:         region.CutName(gatewayLimit, name+"-nat"),
		address:         region.CutName(addressLimit, name+"-nat"),
		clusterIdentity: region.CutName(identityLimit, name+"-cluster"),
		nodesIdentity:   region.CutName(identityLimit, name+"-nodes"),
		cluster:         region.CutName(clusterLimit, name),
		dnsPrefix:       region.CutName(dnsPrefixLimit, name),
	}
}

// The ids, as the Resource Manager builds them. AKS answers with other capitals in them, so ours are used wherever they are compared.

func (n names) groupID() string {
	return "/subscriptions/" + n.subscription + "/resourceGroups/" + n.group
}

func (n names) nodeGroupID() string {
	return "/subscriptions/" + n.subscription + "/resourceGroups/" + n.nodeGroup
}

func (n names) networkID() string {
	return n.groupID() + "/providers/Microsoft.Network/virtualNetworks/" + n.network
}

func (n names) subnetID() string { return n.networkID() + "/subnets/" + subnetName }

func (n names) gatewayID() string {
	return n.groupID() + "/providers/Microsoft.Network/natGateways/" + n.gateway
}

func (n names) addressID() string {
	return n.groupID() + "/providers/Microsoft.Network/publicIPAddresses/" + n.address
}

func (n names) identityID(name string) string {
	return n.groupID() + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + name
}

func (n names) clusterID() string {
	return n.groupID() + "/providers/Microsoft.ContainerService/managedClusters/" + n.cluster
}

// canonical writes an id as ours are: those of the region's own with our capitals, the others as they are.
func (n names) canonical(id string) string {
	for _, own := range []string{n.groupID(), n.nodeGroupID(), n.networkID(), n.clusterID()} {
		if strings.EqualFold(own, id) {
			return own
		}
	}
	return id
}

// ownerTag holds the owner's mark in one word.
const ownerTag = "m3o-owner"

// marks are the tags of what is made for a region.
func marks(owner region.Key, tags region.Tags) map[string]*string {
	made := map[string]*string{ownerTag: ptr(owner.Owner())}
	for key, value := range tags {
		made[key] = ptr(value)
	}
	return made
}

// owns reports whether tags mark something as the region's. Azure keeps the capitals of a tag's name and compares without them.
func owns(owner region.Key, tags map[string]*string) bool {
	for key, value := range tags {
		if strings.EqualFold(key, ownerTag) {
			return value != nil && *value == owner.Owner()
		}
	}
	return false
}

func ptr[T any](v T) *T { return &v }

// of is what a pointer points at, zero if at nothing: Azure's models are made of them.
func of[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
