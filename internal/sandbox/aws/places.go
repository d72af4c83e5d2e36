package aws

import (
	"slices"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
)

var placeOperations = []operation{
	{name: "DescribeRegions", takes: "Filter RegionName AllRegions", handle: describeRegions},
	{name: "DescribeAvailabilityZones", takes: "Filter ZoneName ZoneId AllAvailabilityZones", handle: describeZones},
	{name: "DescribeInstanceTypes", takes: "InstanceType" + paged, handle: describeTypes},
	{name: "DescribeInstanceTypeOfferings", takes: "LocationType" + paged, handle: describeOfferings},
	{name: "DescribeAccountAttributes", takes: "AttributeName", handle: describeAttributes},
}

// shown is what is listed without being a resource of the account: it has values that filters look at, and nothing else.
type shown struct {
	wire.Fields
	values map[string][]string
}

func (shown) ident() string { return "" }
func (shown) home() string  { return "" }
func (shown) place() string { return "" }
func (shown) marks() tags   { return nil }
func (s shown) attribute(name string) ([]string, bool) {
	got, known := s.values[name]
	return got, known || s.values == nil // of none there is nothing to be said
}

// list answers a list of such.
func (x *exchange) list(set string, rows []shown, byID bool) (any, error) {
	rows, err := sift(rows, x.filters())
	if err != nil {
		return nil, err
	}
	page, next, err := paginate(x, rows, byID)
	if err != nil {
		return nil, err
	}
	fields := make([]wire.Fields, 0, len(page))
	for _, row := range page {
		fields = append(fields, row.Fields)
	}
	return wire.Fields{set + ">item": fields, "nextToken": next}, nil
}

func describeRegions(x *exchange) (any, error) {
	everything, err := x.in.Flag("AllRegions", false)
	if err != nil {
		return nil, refuse("InvalidParameterValue", "%v", err)
	}
	named := x.in.Texts("RegionName")
	for _, name := range named {
		if _, known := findRegion(name); !known {
			return nil, refuse("InvalidParameterValue", "Invalid region names provided: [%.60s]", name)
		}
	}
	var rows []shown
	for _, r := range regions {
		if r.optIn && !everything || len(named) > 0 && !slices.Contains(named, r.name) {
			continue
		}
		status, endpoint := "opt-in-not-required", "ec2."+r.name+".amazonaws.com"
		if r.optIn {
			status = "not-opted-in"
		}
		rows = append(rows, shown{wire.Fields{"regionName": r.name, "regionEndpoint": endpoint, "optInStatus": status},
			map[string][]string{"endpoint": {endpoint}, "opt-in-status": {status}, "region-name": {r.name}}})
	}
	return x.list("regionInfo", rows, false)
}

func describeZones(x *exchange) (any, error) {
	where, _ := findRegion(x.region)
	names, ids := x.in.Texts("ZoneName"), x.in.Texts("ZoneId")
	for _, name := range names {
		if !slices.Contains(where.zoneNames(), name) {
			return nil, refuse("InvalidParameterValue", "Invalid availability zone: [%.60s]", name)
		}
	}
	var rows []shown
	for _, zone := range where.zoneNames() {
		id := where.zoneID(zone)
		if len(names) > 0 && !slices.Contains(names, zone) || len(ids) > 0 && !slices.Contains(ids, id) {
			continue
		}
		rows = append(rows, shown{
			wire.Fields{"zoneName": zone, "zoneId": id, "zoneState": "available", "regionName": x.region, "groupName": x.region,
				"networkBorderGroup": x.region, "zoneType": "availability-zone", "optInStatus": "opt-in-not-required", "messageSet>item": []string{}},
			map[string][]string{"zone-name": {zone}, "zone-id": {id}, "state": {"available"}, "region-name": {x.region}, "group-name": {x.region},
				"zone-type": {"availability-zone"}, "opt-in-status": {"opt-in-not-required"}, "message": nil, "parent-zone-id": nil, "parent-zone-name": nil}})
	}
	return x.list("availabilityZoneInfo", rows, false)
}

func describeTypes(x *exchange) (any, error) {
	named := x.in.Texts("InstanceType")
	for _, name := range named {
		if _, known := findType(name); !known {
			return nil, refuse("InvalidInstanceType", "The following supplied instance types do not exist: [%.60s]", name)
		}
	}
	var rows []shown
	for _, t := range instanceTypes {
		if len(named) == 0 || slices.Contains(named, t.name) {
			rows = append(rows, t.shown())
		}
	}
	return x.list("instanceTypeSet", rows, len(named) > 0)
}

// shown is the type as DescribeInstanceTypes shows it.
func (i instanceType) shown() shown {
	cores := max(1, i.cpus/2)
	if i.architecture == "arm64" {
		cores = i.cpus
	}
	return shown{
		wire.Fields{"instanceType": i.name, "currentGeneration": true, "freeTierEligible": i.name == "t3.small" || i.name == "t4g.small",
			"supportedUsageClasses>item": []string{"on-demand", "spot"}, "supportedRootDeviceTypes>item": []string{"ebs"},
			"supportedVirtualizationTypes>item": []string{"hvm"}, "bareMetal": false, "hypervisor": "nitro",
			"processorInfo":            wire.Fields{"supportedArchitectures>item": []string{i.architecture}},
			"vCpuInfo":                 wire.Fields{"defaultVCpus": i.cpus, "defaultCores": cores, "defaultThreadsPerCore": i.cpus / cores},
			"memoryInfo":               wire.Fields{"sizeInMiB": i.memoryMiB},
			"instanceStorageSupported": false,
			"networkInfo": wire.Fields{"maximumNetworkInterfaces": i.interfaces, "ipv4AddressesPerInterface": i.perInterface,
				"ipv6AddressesPerInterface": i.perInterface, "ipv6Supported": true, "enaSupport": "required"},
			"burstablePerformanceSupported": i.burstable, "hibernationSupported": false, "dedicatedHostsSupported": !i.burstable, "autoRecoverySupported": true,
			"supportedBootModes>item": []string{"uefi"}},
		map[string][]string{"instance-type": {i.name}, "current-generation": {"true"}, "bare-metal": {"false"}, "hypervisor": {"nitro"},
			"processor-info.supported-architecture": {i.architecture}, "vcpu-info.default-vcpus": {number(i.cpus)}, "memory-info.size-in-mib": {number(i.memoryMiB)},
			"supported-usage-class": {"on-demand", "spot"}, "burstable-performance-supported": {flag(i.burstable)}, "supported-virtualization-type": {"hvm"},
			"instance-storage-supported": {"false"}, "supported-root-device-type": {"ebs"}, "free-tier-eligible": {flag(i.name == "t3.small" || i.name == "t4g.small")}}}
}

func describeOfferings(x *exchange) (any, error) {
	where, _ := findRegion(x.region)
	by := x.in.Text("LocationType")
	if by == "" {
		by = "region"
	}
	var rows []shown
	add := func(t instanceType, location string) {
		rows = append(rows, shown{wire.Fields{"instanceType": t.name, "locationType": by, "location": location},
			map[string][]string{"instance-type": {t.name}, "location": {location}}})
	}
	for _, t := range instanceTypes {
		switch by {
		case "region":
			add(t, x.region)
		case "availability-zone", "availability-zone-id":
			for _, zone := range t.offeredIn(where) {
				if by == "availability-zone-id" {
					zone = where.zoneID(zone)
				}
				add(t, zone)
			}
		default:
			return nil, refuse("InvalidParameterValue", "Value (%.40s) for parameter locationType is invalid. Unknown location type.", by)
		}
	}
	return x.list("instanceTypeOfferingSet", rows, false)
}

func describeAttributes(x *exchange) (any, error) {
	values := map[string]string{"supported-platforms": "VPC", "default-vpc": "none", "max-instances": "20", "vpc-max-security-groups-per-interface": "5",
		"max-elastic-ips": number(maxAddresses), "vpc-max-elastic-ips": number(maxAddresses)}
	named := x.in.Texts("AttributeName")
	var rows []shown
	for _, name := range []string{"supported-platforms", "vpc-max-security-groups-per-interface", "max-elastic-ips", "max-instances", "vpc-max-elastic-ips", "default-vpc"} {
		if len(named) == 0 || slices.Contains(named, name) {
			rows = append(rows, shown{wire.Fields{"attributeName": name,
				"attributeValueSet>item": []wire.Fields{{"attributeValue": values[name]}}}, nil})
		}
	}
	return x.list("accountAttributeSet", rows, false)
}
