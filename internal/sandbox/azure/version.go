package azure

import (
	"net/http"
	"slices"
	"strings"
)

// providers are the registered resource providers and the versions of their APIs that the sandbox answers alike: those of the Go SDK's
// modules, of Debian's azure-cli 2.45, and others of those years. Keys are in lower case.
var providers = map[string][]string{
	"microsoft.resources": {"2025-04-01", "2024-11-01", "2024-07-01", "2024-03-01", "2023-07-01", "2022-12-01", "2022-09-01", "2021-04-01", "2021-01-01", "2020-10-01", "2020-06-01",
		"2020-01-01", "2019-11-01", "2019-10-01", "2019-08-01", "2019-07-01", "2019-06-01", "2018-06-01", "2018-05-01", "2016-06-01", "2016-09-01"},
	"microsoft.network": {"2024-10-01", "2024-07-01", "2024-05-01", "2024-03-01", "2024-01-01", "2023-11-01", "2023-09-01", "2023-06-01", "2023-05-01", "2023-04-01", "2023-02-01",
		"2022-11-01", "2022-09-01", "2022-07-01", "2022-05-01", "2022-01-01", "2021-12-01", "2021-08-01", "2021-05-01", "2021-03-01", "2021-02-01", "2020-11-01",
		"2020-08-01", "2020-07-01", "2020-06-01", "2020-05-01", "2018-11-01", "2018-10-01"},
	"microsoft.managedidentity": {"2024-11-30", "2023-07-31-preview", "2023-01-31", "2022-01-31-preview", "2018-11-30"},
	"microsoft.authorization": {"2022-05-01-preview", "2022-04-01", "2020-10-01", "2020-10-01-preview", "2020-08-01-preview", "2020-04-01-preview", "2018-09-01-preview",
		"2018-07-01", "2018-01-01-preview", "2015-07-01"},
	"microsoft.containerservice": {"2025-05-01", "2025-04-01", "2025-03-01", "2025-02-01", "2025-01-01", "2024-10-01", "2024-09-01", "2024-08-01", "2024-07-01", "2024-06-01", "2024-05-01",
		"2024-02-01", "2024-01-01", "2023-11-01", "2023-10-01", "2023-09-01", "2023-08-01", "2023-07-01", "2023-06-01", "2023-05-01", "2023-04-01", "2023-03-01",
		"2023-02-01", "2023-01-01", "2022-11-01", "2022-09-01", "2022-07-01", "2022-04-01", "2022-01-01", "2019-04-30", "2019-04-01", "2017-08-31", "2016-03-30"},
	"microsoft.storage": {"2024-01-01", "2023-05-01", "2023-01-01", "2022-09-01", "2021-09-01"},
	"microsoft.compute": {"2024-11-01", "2024-07-01", "2024-03-02", "2024-03-01", "2023-10-02", "2023-09-01", "2023-07-01", "2023-04-02", "2023-03-01", "2023-01-02", "2022-11-01",
		"2022-08-01", "2022-07-02", "2022-03-02", "2022-03-01", "2021-12-01", "2021-11-01", "2021-07-01", "2021-04-01", "2020-12-01", "2019-04-01", "2017-09-01"},
}

// typesOf lists a provider's types, as its registration tells them.
var typesOf = map[string][]string{
	"microsoft.resources":        {"resourceGroups", "subscriptions", "providers"},
	"microsoft.network":          {"virtualNetworks", "virtualNetworks/subnets", "natGateways", "publicIPAddresses", "networkSecurityGroups", "loadBalancers", "networkInterfaces", "locations/usages"},
	"microsoft.managedidentity":  {"userAssignedIdentities", "userAssignedIdentities/federatedIdentityCredentials"},
	"microsoft.authorization":    {"roleAssignments", "roleDefinitions", "permissions"},
	"microsoft.containerservice": {"managedClusters", "managedClusters/agentPools", "locations/kubernetesVersions", "locations/operations"},
	"microsoft.compute":          {"disks", "snapshots", "virtualMachineScaleSets", "skus", "locations/usages"},
}

// canonical are the namespaces as they are written. The last one's are registered, as AKS wants it, and the sandbox has nothing of it.
var canonical = []string{resources, network, managedIdentity, authorization, containerService, compute, "Microsoft.Storage"}

// provided is the provider and type that a request is about: those of the last "providers" in the path, else the resource manager itself.
func provided(path string) (provider, typ string) {
	s := split(strings.ToLower(path))
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == "providers" && i+2 < len(s) {
			return s[i+1], s[i+2]
		}
	}
	return "microsoft.resources", "resourcegroups"
}

// supported are the versions for a request's path.
func (r *request) supported() []string {
	provider, _ := provided(r.http.URL.Path)
	return providers[provider]
}

// checkVersion checks the api-version.
func (r *request) checkVersion() error {
	if r.version == "" {
		return arm(http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	}
	if r.route == unknown {
		return nil // refused for that
	}
	versions := r.supported()
	if slices.Contains(versions, strings.ToLower(r.version)) {
		return nil
	}
	provider, typ := provided(r.http.URL.Path)
	if provider == "microsoft.resources" {
		return arm(http.StatusBadRequest, "InvalidApiVersionParameter", "The api-version '%s' is invalid. The supported versions are '%s'.", r.version, strings.Join(versions, ","))
	}
	return arm(http.StatusBadRequest, "NoRegisteredProviderFound", "No registered resource provider found for API version '%s' for type '%s'. "+
		"The supported api-versions are '%s'. The supported locations are '%s'.", r.version, typ, strings.Join(versions, ", "), strings.Join(locationNames(), ", "))
}
