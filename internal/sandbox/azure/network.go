package azure

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/world"
)

// reference checks that a resource that another one names is there, in its location, and done.
func (r *request) reference(tx *world.Tx, one *resource, typ, id string) (*resource, error) {
	named, err := find(tx, typ, id)
	if err != nil {
		return nil, err
	}
	if named == nil {
		return nil, badRequest("InvalidResourceReference", "Resource %s referenced by resource %s was not found. "+
			"Please make sure that the referenced resource exists, and that both resources are in the same region.", id, one.ID)
	}
	if named.busy() || named.State == failed {
		refused := refuse(http.StatusTooManyRequests, "ReferencedResourceNotProvisioned",
			"Cannot proceed with operation because resource %s used by resource %s is not in Succeeded state. Resource is in %s state.", named.ID, one.ID, named.State)
		refused.retryAfter = r.cloud.World.Clock.Scaled(busyFor)
		return nil, refused
	}
	return named, nil
}

// inUse lists the ids of the resources of some types that mention one, except those inside it.
func inUse(tx *world.Tx, one *resource, types ...string) ([]string, error) {
	var users []string
	for _, typ := range types {
		all, err := mentioning(tx, typ, one.key())
		if err != nil {
			return nil, err
		}
		for _, other := range all {
			if mentions(other.Body, one.key()) {
				users = append(users, other.ID)
			}
		}
	}
	return users, nil
}

func ids(values []string) []any {
	list := []any{}
	for _, v := range values {
		list = append(list, map[string]any{"id": v})
	}
	return list
}

func prefixes(texts []string, id string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil || p != p.Masked() {
			return nil, badRequest("InvalidCIDRNotation", "The address prefix %s in resource %s has an invalid CIDR notation. For the given prefix length, "+
				"the address prefix should be %s.", text, id, p.Masked())
		}
		all = append(all, p)
	}
	return all, nil
}

func completeVNet(r *request, tx *world.Tx, one, old *resource) error {
	p := one.properties()
	ranges := textsOf(p, "addressSpace", "addressPrefixes")
	if len(ranges) == 0 {
		return badRequest("InvalidRequestFormat", "Cannot parse the request: the address space of %s is required.", one.ID)
	}
	if _, err := prefixes(ranges, one.ID); err != nil {
		return err
	}
	guid := uuid.NewString()
	if old != nil {
		guid = text(old.Body, "properties", "resourceGuid")
	}
	defaults(p, map[string]any{"enableDdosProtection": false, "virtualNetworkPeerings": []any{}})
	p["resourceGuid"] = guid
	subnets, sent := p["subnets"].([]any)
	delete(p, "subnets")
	if !sent {
		return nil // left as they are
	}
	return r.replaceSubnets(tx, one, subnets)
}

// replaceSubnets makes a network have exactly the subnets that were sent with it.
func (r *request) replaceSubnets(tx *world.Tx, vnet *resource, sent []any) error {
	have, err := children(tx, typeSubnet, vnet.key())
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, item := range sent {
		body := object(item)
		name := text(body, "name")
		if name == "" {
			return badRequest("InvalidRequestFormat", "Cannot parse the request: a subnet of %s has no name.", vnet.ID)
		}
		one := &resource{GUID: uuid.NewString(), ID: vnet.ID + "/subnets/" + name, Type: typeSubnet, Name: name, CreatedAt: r.At}
		wanted[one.key()] = true
		old, effect := map[string]any(nil), world.Created
		if i := slices.IndexFunc(have, func(s *resource) bool { return s.key() == one.key() }); i >= 0 {
			one, old, effect = have[i], have[i].Body, world.Updated
		}
		one.Sent, one.Body, one.State = body, withoutReadOnly(body), succeeded
		if err := r.completeSubnetIn(tx, vnet, one); err != nil {
			return err
		}
		if old != nil && same(old, one.Body) {
			continue
		}
		r.changed = true
		one.touch(r.At)
		if err := errors.Join(put(tx, one), tx.Record(one.effect(effect, r.asked()))); err != nil {
			return err
		}
	}
	for _, s := range have {
		if wanted[s.key()] {
			continue
		}
		r.changed = true
		if err := guardSubnet(tx, s); err != nil {
			return err
		}
		if err := remove(tx, s, r.asked()); err != nil {
			return err
		}
	}
	return nil
}

func showVNet(tx *world.Tx, one *resource, wire map[string]any) error {
	subnets := []any{}
	all, err := children(tx, typeSubnet, one.key())
	for _, s := range all {
		if err != nil {
			return err
		}
		var w map[string]any
		w, err = s.wire(tx)
		subnets = append(subnets, w)
	}
	wire["properties"].(map[string]any)["subnets"] = subnets
	return err
}

func guardVNet(tx *world.Tx, one *resource) error {
	all, err := children(tx, typeSubnet, one.key())
	for _, s := range all {
		if err == nil {
			err = guardSubnet(tx, s)
		}
	}
	return err
}

func completeSubnet(r *request, tx *world.Tx, one, _ *resource) error {
	vnet, err := r.parent(tx, typeVNet)
	if err != nil {
		return err
	}
	if vnet.busy() {
		return busy(vnet.ID, r.cloud.World.Clock.Scaled(busyFor))
	}
	return r.completeSubnetIn(tx, vnet, one)
}

func (r *request) completeSubnetIn(tx *world.Tx, vnet, one *resource) error {
	p := one.properties()
	if err := checkSubnetRange(tx, vnet, one); err != nil {
		return err
	}
	for property, typ := range map[string]string{"natGateway": typeNAT, "networkSecurityGroup": typeNSG} {
		if id := text(p, property, "id"); id != "" {
			if _, err := r.reference(tx, one, typ, id); err != nil {
				return err
			}
		}
	}
	defaults(p, map[string]any{"delegations": []any{}, "privateEndpointNetworkPolicies": "Disabled", "privateLinkServiceNetworkPolicies": "Enabled"})
	for _, derived := range []string{"ipConfigurations", "purpose"} {
		delete(p, derived)
	}
	return nil
}

// checkSubnetRange checks that a subnet lies in its network and beside the others.
func checkSubnetRange(tx *world.Tx, vnet, one *resource) error {
	own, err := subnetRanges(one)
	if err != nil {
		return err
	}
	if len(own) == 0 {
		return badRequest("InvalidRequestFormat", "Cannot parse the request: the address prefix of subnet %s is required.", one.Name)
	}
	space, err := prefixes(textsOf(vnet.properties(), "addressSpace", "addressPrefixes"), vnet.ID)
	if err != nil {
		return err
	}
	for _, p := range own {
		if !slices.ContainsFunc(space, func(s netip.Prefix) bool { return s.Bits() <= p.Bits() && s.Contains(p.Addr()) }) {
			return badRequest("NetcfgSubnetRangeOutsideVnet", "Subnet '%s' is not valid because its IP address range is outside the IP address range of virtual network '%s'.",
				one.Name, vnet.Name)
		}
	}
	others, err := children(tx, typeSubnet, vnet.key())
	if err != nil {
		return err
	}
	for _, other := range others {
		if other.key() == one.key() {
			continue
		}
		theirs, err := subnetRanges(other)
		if err != nil {
			return err
		}
		for _, a := range own {
			if slices.ContainsFunc(theirs, a.Overlaps) {
				return badRequest("NetcfgSubnetRangesOverlap", "Subnet '%s' is not valid because its IP address range overlaps with that of an existing subnet in virtual network '%s'.",
					one.Name, vnet.Name)
			}
		}
	}
	return nil
}

func subnetRanges(one *resource) ([]netip.Prefix, error) {
	p := one.properties()
	texts := textsOf(p, "addressPrefixes")
	if single := text(p, "addressPrefix"); single != "" {
		texts = []string{single}
	}
	return prefixes(texts, one.ID)
}

// subnetUsers are those that have addresses in a subnet.
func subnetUsers(tx *world.Tx, one *resource) ([]string, error) {
	return inUse(tx, one, typeScaleSet, typeInterface, typeBalancer, typePool)
}

func guardSubnet(tx *world.Tx, one *resource) error {
	users, err := subnetUsers(tx, one)
	if err != nil || len(users) == 0 {
		return err
	}
	return badRequest("InUseSubnetCannotBeDeleted", "Subnet %s is in use by %s and cannot be deleted. In order to delete the subnet, delete all the resources "+
		"within the subnet. See aka.ms/deletesubnet.", one.Name, strings.Join(users[:min(len(users), 5)], ", "))
}

func showSubnet(tx *world.Tx, one *resource, wire map[string]any) error {
	delete(wire, "location")
	sets, err := inUse(tx, one, typeScaleSet)
	if len(sets) == 0 {
		return err
	}
	var configurations []any
	for _, set := range sets {
		configurations = append(configurations, map[string]any{"id": set + "/virtualMachines/0/networkInterfaces/" + lastOf(set) + "/ipConfigurations/ipconfig1"})
	}
	wire["properties"].(map[string]any)["ipConfigurations"] = configurations
	return err
}

func completeNAT(r *request, tx *world.Tx, one, old *resource) error {
	if text(one.Body, "sku", "name") != "Standard" {
		return badRequest("InvalidRequestFormat", "Cannot parse the request: the SKU name of NAT gateway %s must be Standard.", one.Name)
	}
	p := one.properties()
	for _, item := range items(p, "publicIpAddresses") {
		address, err := r.reference(tx, one, typeAddress, text(item, "id"))
		if err != nil {
			return err
		}
		if text(address.Body, "sku", "name") != "Standard" {
			return badRequest("NatGatewayPublicIpAddressHasInvalidSku", "Public IP address %s referenced by NAT gateway %s must have the SKU Standard.", address.ID, one.ID)
		}
	}
	defaults(p, map[string]any{"idleTimeoutInMinutes": float64(4)})
	delete(p, "subnets")
	return keepGUID(p, old)
}

// keepGUID keeps the resourceGuid of what is changed, and makes one for what is new.
func keepGUID(p map[string]any, old *resource) error {
	p["resourceGuid"] = uuid.NewString()
	if old != nil {
		p["resourceGuid"] = text(old.Body, "properties", "resourceGuid")
	}
	return nil
}

func guardNAT(tx *world.Tx, one *resource) error {
	subnets, err := inUse(tx, one, typeSubnet)
	if err != nil || len(subnets) == 0 {
		return err
	}
	return badRequest("CannotDeleteNatGatewayAssociatedToSubnet", "NAT Gateway %s is still configured on %d subnets. Remove NAT Gateway from all referenced subnets "+
		"and then delete NAT Gateway.", one.ID, len(subnets))
}

func showNAT(tx *world.Tx, one *resource, wire map[string]any) error {
	subnets, err := inUse(tx, one, typeSubnet)
	if len(subnets) > 0 {
		wire["properties"].(map[string]any)["subnets"] = ids(subnets)
	}
	return err
}

func completeNSG(_ *request, _ *world.Tx, one, old *resource) error {
	p := one.properties()
	defaults(p, map[string]any{"securityRules": []any{}})
	for _, item := range items(p, "securityRules") {
		rule := object(item)
		name := text(rule, "name")
		if name == "" || object(rule, "properties") == nil {
			return badRequest("InvalidRequestFormat", "Cannot parse the request: a security rule of %s has no name or no properties.", one.ID)
		}
		rule["id"], rule["type"] = one.ID+"/securityRules/"+name, typeNSG+"/securityRules"
		rule["properties"].(map[string]any)["provisioningState"] = succeeded
	}
	delete(p, "defaultSecurityRules")
	delete(p, "subnets")
	return keepGUID(p, old)
}

func guardNSG(tx *world.Tx, one *resource) error {
	users, err := inUse(tx, one, typeSubnet, typeInterface, typeScaleSet)
	if err != nil || len(users) == 0 {
		return err
	}
	return badRequest("InUseNetworkSecurityGroupCannotBeDeleted", "Network security group %s cannot be deleted because it is in use by the following resources: %s. "+
		"In order to delete the Network security group, remove the association with the resource(s).", one.ID, strings.Join(users, ", "))
}

func showNSG(tx *world.Tx, one *resource, wire map[string]any) error {
	p := wire["properties"].(map[string]any)
	var rules []any
	for i, rule := range []struct{ name, direction, access, from, to string }{
		{"AllowVnetInBound", "Inbound", "Allow", "VirtualNetwork", "VirtualNetwork"},
		{"AllowAzureLoadBalancerInBound", "Inbound", "Allow", "AzureLoadBalancer", "*"},
		{"DenyAllInBound", "Inbound", "Deny", "*", "*"},
		{"AllowVnetOutBound", "Outbound", "Allow", "VirtualNetwork", "VirtualNetwork"},
		{"AllowInternetOutBound", "Outbound", "Allow", "*", "Internet"},
		{"DenyAllOutBound", "Outbound", "Deny", "*", "*"},
	} {
		priority := []int{65000, 65001, 65500}[i%3]
		rules = append(rules, map[string]any{"id": one.ID + "/defaultSecurityRules/" + rule.name, "name": rule.name, "type": typeNSG + "/defaultSecurityRules",
			"properties": map[string]any{"provisioningState": succeeded, "protocol": "*", "sourcePortRange": "*", "destinationPortRange": "*",
				"sourceAddressPrefix": rule.from, "destinationAddressPrefix": rule.to, "access": rule.access, "priority": priority, "direction": rule.direction}})
	}
	p["defaultSecurityRules"] = rules
	subnets, err := inUse(tx, one, typeSubnet)
	if len(subnets) > 0 {
		p["subnets"] = ids(subnets)
	}
	return err
}

func completeBalancer(r *request, tx *world.Tx, one, old *resource) error {
	p := one.properties()
	for _, list := range []string{"frontendIPConfigurations", "backendAddressPools", "loadBalancingRules", "probes"} {
		defaults(p, map[string]any{list: []any{}})
		for _, item := range items(p, list) {
			part := object(item)
			if text(part, "name") == "" {
				return badRequest("InvalidRequestFormat", "Cannot parse the request: an entry of %s of %s has no name.", list, one.ID)
			}
			part["id"], part["type"] = fmt.Sprintf("%s/%s/%s", one.ID, list, text(part, "name")), typeBalancer+"/"+list
			if address := text(part, "properties", "publicIPAddress", "id"); address != "" {
				if _, err := r.reference(tx, one, typeAddress, address); err != nil {
					return err
				}
			}
		}
	}
	defaults(one.Body, map[string]any{"sku": map[string]any{"name": "Standard", "tier": "Regional"}})
	return keepGUID(p, old)
}

func completeInterface(r *request, tx *world.Tx, one, old *resource) error {
	p := one.properties()
	if len(items(p, "ipConfigurations")) == 0 {
		return badRequest("InvalidRequestFormat", "Cannot parse the request: network interface %s needs an IP configuration.", one.ID)
	}
	for _, item := range items(p, "ipConfigurations") {
		part := object(item)
		part["id"], part["type"] = one.ID+"/ipConfigurations/"+text(part, "name"), typeInterface+"/ipConfigurations"
		if _, err := r.reference(tx, one, typeSubnet, text(part, "properties", "subnet", "id")); err != nil {
			return err
		}
	}
	return keepGUID(p, old)
}

// guardManaged protects what a cluster that lives still has.
func guardManaged(tx *world.Tx, one *resource) error {
	if one.ManagedBy == "" {
		return nil
	}
	users, err := inUse(tx, one, typeScaleSet)
	if err != nil || len(users) == 0 {
		return err
	}
	return badRequest("LoadBalancerInUseByVirtualMachineScaleSet", "Cannot delete load balancer %s since its child resources are in use by virtual machine scale set %s.", one.ID, users[0])
}
