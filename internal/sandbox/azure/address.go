package azure

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/m3o/platform/internal/sandbox/world"
)

// addressLimit is the subscription's quota of public addresses in each location.
const addressLimit = 1000

// addressRanges are those that public addresses are drawn from: for documentation, so that nobody has them.
var addressRanges = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("192.0.2.0/24")}

func completeAddress(r *request, tx *world.Tx, one, old *resource) error {
	p := one.properties()
	defaults(one.Body, map[string]any{"sku": map[string]any{"name": "Basic"}})
	sku := object(one.Body, "sku")
	defaults(sku, map[string]any{"tier": "Regional"})
	defaults(p, map[string]any{"publicIPAddressVersion": "IPv4", "publicIPAllocationMethod": "Dynamic", "idleTimeoutInMinutes": float64(4), "ipTags": []any{}})
	for _, derived := range []string{"ipAddress", "ipConfiguration", "natGateway"} {
		delete(p, derived)
	}
	if text(sku, "name") == "Standard" && text(p, "publicIPAllocationMethod") != "Static" {
		return badRequest("StandardSkuPublicIPAddressesMustBeStatic", "Standard sku publicIp %s must have AllocationMethod set to Static.", one.ID)
	}
	if old != nil {
		if address := text(old.Body, "properties", "ipAddress"); address != "" {
			p["ipAddress"] = address
		}
		return keepGUID(p, old)
	}
	count, err := countIn(tx, typeAddress, one.Location)
	if err != nil {
		return err
	}
	if count >= addressLimit {
		return addressQuota(addressLimit)
	}
	if text(p, "publicIPAllocationMethod") == "Static" {
		address, err := freeAddress(tx)
		if err != nil {
			return err
		}
		p["ipAddress"] = address
	}
	return keepGUID(p, nil)
}

func addressQuota(limit int) *refusal {
	return badRequest("PublicIPCountLimitReached", "Cannot create more than %d public IP addresses for this subscription in this region.", limit)
}

// countIn counts the resources of a type in a location.
func countIn(tx *world.Tx, typ, location string) (int, error) {
	all, err := list(tx, typ)
	n := 0
	for _, one := range all {
		if one.Location == location {
			n++
		}
	}
	return n, err
}

// freeAddress is the first public address that nobody has.
func freeAddress(tx *world.Tx) (string, error) {
	all, err := list(tx, typeAddress)
	if err != nil {
		return "", err
	}
	taken := map[string]bool{}
	for _, one := range all {
		taken[text(one.Body, "properties", "ipAddress")] = true
	}
	for _, prefix := range addressRanges {
		for a := prefix.Addr().Next(); prefix.Contains(a.Next()); a = a.Next() {
			if !taken[a.String()] {
				return a.String(), nil
			}
		}
	}
	return "", refuse(http.StatusConflict, "PublicIPAddressAllocationFailed", "No public IP address is available in the region. (The sandbox has %d in all.)", len(all))
}

func guardAddress(tx *world.Tx, one *resource) error {
	users, err := inUse(tx, one, typeNAT, typeBalancer, typeInterface)
	if err != nil || len(users) == 0 {
		return err
	}
	return badRequest("PublicIPAddressCannotBeDeleted", "Public IP address %s can not be deleted since it is still allocated to resource %s. "+
		"In order to delete the public IP, disassociate/detach the Public IP address from the resource.", one.ID, users[0])
}

func showAddress(tx *world.Tx, one *resource, wire map[string]any) error {
	p := wire["properties"].(map[string]any)
	gateways, err := inUse(tx, one, typeNAT)
	if err != nil {
		return err
	}
	if len(gateways) > 0 {
		p["natGateway"] = map[string]any{"id": gateways[0]}
	}
	balancers, err := mentioning(tx, typeBalancer, one.ID)
	for _, b := range balancers {
		for _, front := range items(b.Body, "properties", "frontendIPConfigurations") {
			if strings.EqualFold(text(front, "properties", "publicIPAddress", "id"), one.ID) {
				p["ipConfiguration"] = map[string]any{"id": text(front, "id")}
			}
		}
	}
	return err
}
