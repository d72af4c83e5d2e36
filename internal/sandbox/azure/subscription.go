package azure

import (
	"net/http"
	"strings"
)

func (c *Cloud) subscription() map[string]any {
	id := c.Account.Subscription
	return map[string]any{"id": "/subscriptions/" + id, "authorizationSource": "RoleBased", "managedByTenants": []any{}, "subscriptionId": id, "tenantId": c.Account.Tenant,
		"displayName": "M3O sandbox", "state": "Enabled",
		"subscriptionPolicies": map[string]any{"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off"}}
}

func listSubscriptions(r *request) (reply, error) {
	return reply{status: http.StatusOK, body: map[string]any{"value": []any{r.cloud.subscription()}, "count": map[string]any{"type": "Total", "value": 1}}}, nil
}

func getSubscription(r *request) (reply, error) {
	return reply{status: http.StatusOK, body: r.cloud.subscription()}, nil
}

func listTenants(r *request) (reply, error) {
	id := r.cloud.Account.Tenant
	return reply{status: http.StatusOK, body: map[string]any{"value": []any{map[string]any{"id": "/tenants/" + id, "tenantId": id, "countryCode": "DE",
		"displayName": "M3O sandbox", "domains": []any{"m3o.example"}, "tenantCategory": "Home", "defaultDomain": "m3o.example", "tenantType": "AAD"}}}}, nil
}

func listLocations(r *request) (reply, error) {
	prefix := "/subscriptions/" + r.cloud.Account.Subscription + "/locations/"
	var all []any
	for _, l := range locations {
		one := map[string]any{"id": prefix + l.name, "name": l.name, "type": "Region", "displayName": l.display, "regionalDisplayName": "(" + l.group + ") " + l.display,
			"metadata": map[string]any{"regionType": "Physical", "regionCategory": "Recommended", "geography": l.geography, "geographyGroup": l.group,
				"longitude": l.longitude, "latitude": l.latitude, "physicalLocation": l.physical,
				"pairedRegion": []any{map[string]any{"name": l.paired, "id": prefix + l.paired}}}}
		if l.zones {
			var zones []any
			for _, z := range []string{"1", "2", "3"} {
				zones = append(zones, map[string]any{"logicalZone": z, "physicalZone": l.name + "-az" + z})
			}
			one["availabilityZoneMappings"] = zones
		}
		all = append(all, one)
	}
	return reply{status: http.StatusOK, body: map[string]any{"value": all}}, nil
}

// provider is a resource provider's registration. All are registered, as on a subscription that was used before.
func (c *Cloud) provider(name string) map[string]any {
	var types []any
	for _, t := range typesOf[strings.ToLower(name)] {
		var places []any
		for _, l := range locations {
			places = append(places, l.display)
		}
		types = append(types, map[string]any{"resourceType": t, "locations": places, "apiVersions": anys(providers[strings.ToLower(name)]), "capabilities": "SupportsTags, SupportsLocation"})
	}
	return map[string]any{"id": "/subscriptions/" + c.Account.Subscription + "/providers/" + name, "namespace": name, "registrationPolicy": "RegistrationRequired",
		"resourceTypes": types, "registrationState": "Registered"}
}

func listProviders(r *request) (reply, error) {
	var all []any
	for _, name := range canonical {
		all = append(all, r.cloud.provider(name))
	}
	return r.page(all)
}

func getProvider(r *request) (reply, error) {
	name, known := fold(canonical, r.params["provider"])
	if !known {
		return reply{}, arm(http.StatusNotFound, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", r.params["provider"])
	}
	return reply{status: http.StatusOK, body: r.cloud.provider(name)}, nil
}
