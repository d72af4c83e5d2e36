package azure

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/m3o/platform/internal/sandbox/world"
)

// location is a region of Azure. Those without zones have none for virtual machines.
type location struct {
	name, display, geography, group, paired, physical, latitude, longitude string
	zones                                                                  bool
}

// locations are some of the public cloud's, as az account list-locations has them.
var locations = []location{
	{"eastus", "East US", "United States", "US", "westus", "Virginia", "37.3719", "-79.8164", true},
	{"eastus2", "East US 2", "United States", "US", "centralus", "Virginia", "36.6681", "-78.3889", true},
	{"centralus", "Central US", "United States", "US", "eastus2", "Iowa", "41.5908", "-93.6208", true},
	{"southcentralus", "South Central US", "United States", "US", "northcentralus", "Texas", "29.4167", "-98.5", true},
	{"northcentralus", "North Central US", "United States", "US", "southcentralus", "Illinois", "41.8819", "-87.6278", false},
	{"westus", "West US", "United States", "US", "eastus", "California", "37.783", "-122.417", false},
	{"westus2", "West US 2", "United States", "US", "westcentralus", "Washington", "47.233", "-119.852", true},
	{"westus3", "West US 3", "United States", "US", "eastus", "Phoenix", "33.448376", "-112.074036", true},
	{"canadacentral", "Canada Central", "Canada", "Canada", "canadaeast", "Toronto", "43.653", "-79.383", true},
	{"brazilsouth", "Brazil South", "Brazil", "South America", "southcentralus", "Sao Paulo State", "-23.55", "-46.633", true},
	{"northeurope", "North Europe", "Europe", "Europe", "westeurope", "Ireland", "53.3478", "-6.2597", true},
	{"westeurope", "West Europe", "Europe", "Europe", "northeurope", "Netherlands", "52.3667", "4.9", true},
	{"uksouth", "UK South", "United Kingdom", "UK", "ukwest", "London", "50.941", "-0.799", true},
	{"ukwest", "UK West", "United Kingdom", "UK", "uksouth", "Cardiff", "53.427", "-3.084", false},
	{"francecentral", "France Central", "France", "Europe", "francesouth", "Paris", "46.3772", "2.373", true},
	{"germanywestcentral", "Germany West Central", "Germany", "Europe", "germanynorth", "Frankfurt", "50.110924", "8.682127", true},
	{"swedencentral", "Sweden Central", "Sweden", "Europe", "swedensouth", "Gävle", "60.67488", "17.14127", true},
	{"switzerlandnorth", "Switzerland North", "Switzerland", "Europe", "switzerlandwest", "Zurich", "47.451542", "8.564572", true},
	{"uaenorth", "UAE North", "UAE", "Middle East", "uaecentral", "Dubai", "25.266666", "55.316666", true},
	{"southafricanorth", "South Africa North", "South Africa", "Africa", "southafricawest", "Johannesburg", "-25.73134", "28.21837", true},
	{"centralindia", "Central India", "India", "Asia Pacific", "southindia", "Pune", "18.5822", "73.9197", true},
	{"southeastasia", "Southeast Asia", "Asia Pacific", "Asia Pacific", "eastasia", "Singapore", "1.283", "103.833", true},
	{"eastasia", "East Asia", "Asia Pacific", "Asia Pacific", "southeastasia", "Hong Kong", "22.267", "114.188", true},
	{"japaneast", "Japan East", "Japan", "Asia Pacific", "japanwest", "Tokyo, Saitama", "35.68", "139.77", true},
	{"koreacentral", "Korea Central", "Korea", "Asia Pacific", "koreasouth", "Seoul", "37.5665", "126.978", true},
	{"australiaeast", "Australia East", "Australia", "Asia Pacific", "australiasoutheast", "New South Wales", "-33.86", "151.2094", true},
}

// placeOf finds a location by any of the ways to write it: "eastus", "East US", "EastUS".
func placeOf(text string) (string, bool) {
	name := strings.ToLower(strings.ReplaceAll(text, " ", ""))
	return name, slices.ContainsFunc(locations, func(l location) bool { return l.name == name })
}

func hasZones(name string) bool {
	i := slices.IndexFunc(locations, func(l location) bool { return l.name == name })
	return i >= 0 && locations[i].zones
}

func locationNames() []string {
	var names []string
	for _, l := range locations {
		names = append(names, l.name)
	}
	return names
}

// checkLocation checks the location of a PUT, which can only be what it was.
func (r *request) checkLocation(body map[string]any, old *resource) error {
	sent := text(body, "location")
	if sent == "" {
		return arm(http.StatusBadRequest, "LocationRequired", "The location property is required for this definition.")
	}
	name, known := placeOf(sent)
	if !known {
		return arm(http.StatusBadRequest, "LocationNotAvailableForResourceType", "The provided location '%s' is not available for resource type '%s'. "+
			"List of available regions for the resource type is '%s'.", sent, r.route.kind.typ, strings.Join(locationNames(), ","))
	}
	if old != nil && old.Location != name {
		return arm(http.StatusConflict, "InvalidResourceLocation", "The resource '%s' already exists in location '%s' in resource group '%s'. "+
			"A resource with the same name cannot be created in location '%s'. Please select a new resource name.", old.Name, old.Location, r.params["resourcegroupname"], name)
	}
	return nil
}

// size is a size of virtual machines.
type size struct {
	name, family string
	cpus         int
	memoryGB     float64
	// elsewhere are the locations that do not have it, unzoned those where it is in no zone.
	elsewhere []string
	arm64     bool
}

// sizes are some of those that AKS takes, from
// https://learn.microsoft.com/azure/virtual-machines/sizes/overview.
var sizes = []size{
	{name: "Standard_B2s", family: "standardBSFamily", cpus: 2, memoryGB: 4},
	{name: "Standard_B2ms", family: "standardBSFamily", cpus: 2, memoryGB: 8},
	{name: "Standard_B4ms", family: "standardBSFamily", cpus: 4, memoryGB: 16},
	{name: "Standard_D2s_v3", family: "standardDSv3Family", cpus: 2, memoryGB: 8},
	{name: "Standard_D4s_v3", family: "standardDSv3Family", cpus: 4, memoryGB: 16},
	{name: "Standard_DS2_v2", family: "standardDSv2Family", cpus: 2, memoryGB: 7},
	{name: "Standard_DS3_v2", family: "standardDSv2Family", cpus: 4, memoryGB: 14},
	{name: "Standard_D2s_v5", family: "standardDSv5Family", cpus: 2, memoryGB: 8},
	{name: "Standard_D4s_v5", family: "standardDSv5Family", cpus: 4, memoryGB: 16},
	{name: "Standard_D8s_v5", family: "standardDSv5Family", cpus: 8, memoryGB: 32},
	{name: "Standard_D16s_v5", family: "standardDSv5Family", cpus: 16, memoryGB: 64},
	{name: "Standard_D2as_v5", family: "standardDASv5Family", cpus: 2, memoryGB: 8},
	{name: "Standard_D4as_v5", family: "standardDASv5Family", cpus: 4, memoryGB: 16},
	{name: "Standard_D8as_v5", family: "standardDASv5Family", cpus: 8, memoryGB: 32},
	{name: "Standard_D2ps_v5", family: "standardDPSv5Family", cpus: 2, memoryGB: 8, arm64: true, elsewhere: []string{"brazilsouth", "uaenorth", "southafricanorth"}},
	{name: "Standard_D4ps_v5", family: "standardDPSv5Family", cpus: 4, memoryGB: 16, arm64: true, elsewhere: []string{"brazilsouth", "uaenorth", "southafricanorth"}},
	{name: "Standard_E2s_v5", family: "standardESv5Family", cpus: 2, memoryGB: 16},
	{name: "Standard_E4s_v5", family: "standardESv5Family", cpus: 4, memoryGB: 32},
	{name: "Standard_E8s_v5", family: "standardESv5Family", cpus: 8, memoryGB: 64},
	{name: "Standard_F2s_v2", family: "standardFSv2Family", cpus: 2, memoryGB: 4},
	{name: "Standard_F4s_v2", family: "standardFSv2Family", cpus: 4, memoryGB: 8},
	{name: "Standard_F8s_v2", family: "standardFSv2Family", cpus: 8, memoryGB: 16},
	{name: "Standard_NC6s_v3", family: "standardNCSv3Family", cpus: 6, memoryGB: 112, elsewhere: []string{"westus", "northcentralus", "ukwest", "brazilsouth"}},
}

func findSize(name string) (size, bool) {
	i := slices.IndexFunc(sizes, func(s size) bool { return strings.EqualFold(s.name, name) })
	if i < 0 {
		return size{}, false
	}
	return sizes[i], true
}

// isIn says whether a location has the size.
func (s size) isIn(name string) bool { return !slices.Contains(s.elsewhere, name) }

// listSKUs lists what virtual machines and disks there are, in one location or everywhere.
func listSKUs(r *request) (reply, error) {
	only := ""
	if filter := r.http.URL.Query().Get("$filter"); filter != "" {
		name, found := strings.CutPrefix(filter, "location eq '")
		if !found {
			return reply{}, badRequest("BadRequest", "The filter '%s' is not supported.", filter)
		}
		only, _ = placeOf(strings.TrimSuffix(name, "'"))
	}
	var all []any
	for _, l := range locations {
		if only != "" && l.name != only {
			continue
		}
		for _, s := range sizes {
			if s.isIn(l.name) {
				all = append(all, s.sku(l))
			}
		}
	}
	return reply{status: http.StatusOK, body: map[string]any{"value": append([]any{}, all...)}}, nil
}

func (s size) sku(l location) map[string]any {
	zones := []any{}
	if l.zones {
		zones = []any{"1", "2", "3"}
	}
	architecture := "x64"
	if s.arm64 {
		architecture = "Arm64"
	}
	var capabilities []any
	for _, c := range [][2]string{{"MaxResourceVolumeMB", "0"}, {"OSVhdSizeMB", "1047552"}, {"vCPUs", strconv.Itoa(s.cpus)}, {"MemoryPreservingMaintenanceSupported", "True"},
		{"HyperVGenerations", "V1,V2"}, {"MemoryGB", strconv.FormatFloat(s.memoryGB, 'f', -1, 64)}, {"MaxDataDiskCount", strconv.Itoa(2 * s.cpus)},
		{"CpuArchitectureType", architecture}, {"LowPriorityCapable", "True"}, {"PremiumIO", "True"}, {"VMDeploymentTypes", "IaaS"}, {"vCPUsAvailable", strconv.Itoa(s.cpus)},
		{"AcceleratedNetworkingEnabled", "True"}, {"EphemeralOSDiskSupported", "False"}, {"EncryptionAtHostSupported", "True"}} {
		capabilities = append(capabilities, map[string]any{"name": c[0], "value": c[1]})
	}
	return map[string]any{"resourceType": "virtualMachines", "name": s.name, "tier": "Standard", "size": strings.TrimPrefix(s.name, "Standard_"), "family": s.family,
		"locations": []any{l.name}, "locationInfo": []any{map[string]any{"location": l.name, "zones": zones, "zoneDetails": []any{}}},
		"capabilities": capabilities, "restrictions": []any{}}
}

// coresIn counts the virtual CPUs that nodes have in a location, in all and by family.
func coresIn(tx *world.Tx, place string) (total int, families map[string]int, err error) {
	families = map[string]int{}
	nodes, err := list(tx, typeScaleSetVM)
	for _, n := range nodes {
		if s, known := findSize(text(n.Body, "sku", "name")); known && n.Location == place {
			total += s.cpus
			families[s.family] += s.cpus
		}
	}
	return total, families, err
}

func usage(value, words string, current, limit int) map[string]any {
	return map[string]any{"unit": "Count", "currentValue": current, "limit": limit, "name": map[string]any{"value": value, "localizedValue": words}}
}

func listComputeUsages(r *request) (reply, error) {
	place, known := placeOf(r.params["location"])
	if !known {
		return reply{}, r.noLocation("locations/usages")
	}
	var all []any
	err := r.View(func(tx *world.Tx) error {
		total, families, err := coresIn(tx, place)
		sets, setsErr := countIn(tx, typeScaleSet, place)
		all = append(all, usage("availabilitySets", "Availability Sets", 0, 2500), usage("cores", "Total Regional vCPUs", total, r.cloud.CoreLimit),
			usage("virtualMachines", "Virtual Machines", 0, 25000), usage("virtualMachineScaleSets", "Virtual Machine Scale Sets", sets, 2500))
		var names []string
		for _, s := range sizes {
			names = append(names, s.family)
		}
		for _, family := range slices.Compact(sorted(names)) {
			all = append(all, usage(family, family+" vCPUs", families[family], r.cloud.CoreLimit))
		}
		if err == nil {
			err = setsErr
		}
		return err
	})
	if err != nil {
		return reply{}, err
	}
	return r.page(all)
}

func listNetworkUsages(r *request) (reply, error) {
	place, known := placeOf(r.params["location"])
	if !known {
		return reply{}, r.noLocation("locations/usages")
	}
	var all []any
	err := r.View(func(tx *world.Tx) error {
		for _, one := range []struct {
			typ, value, words string
			limit             int
		}{
			{typeVNet, "VirtualNetworks", "Virtual Networks", 1000}, {typeNSG, "NetworkSecurityGroups", "Network Security Groups", 5000},
			{typeAddress, "PublicIPAddresses", "Public IP Addresses", addressLimit}, {typeAddress, "StandardSkuPublicIpAddresses", "Public IPv4 Addresses - Standard", addressLimit},
			{typeInterface, "NetworkInterfaces", "Network Interfaces", 65536}, {typeBalancer, "StandardSkuLoadBalancers", "Standard Sku Load Balancers", 1000},
			{typeNAT, "NatGateways", "Nat Gateways", 1000},
		} {
			n, err := countIn(tx, one.typ, place)
			if err != nil {
				return err
			}
			item := usage(one.value, one.words, n, one.limit)
			item["id"] = "/subscriptions/" + r.cloud.Account.Subscription + "/providers/Microsoft.Network/locations/" + place + "/usages/" + one.value
			all = append(all, item)
		}
		return nil
	})
	if err != nil {
		return reply{}, err
	}
	return r.page(all)
}

// noLocation is how a provider is not found in a location.
func (r *request) noLocation(typ string) *refusal {
	return arm(http.StatusBadRequest, "NoRegisteredProviderFound", "No registered resource provider found for location '%s' and API version '%s' for type '%s'. "+
		"The supported api-versions are '%s'. The supported locations are '%s'.", r.params["location"], r.version, typ,
		strings.Join(r.supported(), ", "), strings.Join(locationNames(), ", "))
}
