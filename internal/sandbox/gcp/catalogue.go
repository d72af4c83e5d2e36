package gcp

import (
	"slices"
	"strings"
)

// The account that the sandbox has: one project.
const (
	// ProjectID names the project.
	ProjectID     = "m3o-sandbox"
	projectNumber = "512904718346"
)

// region is a place with zones, as the public list of regions and zones has them.
type region struct {
	Name  string
	Zones string // the letters of its zones
}

// regions are those of the US, Europe and Asia that most people use; source: cloud.google.com/compute/docs/regions-zones, August 2026.
var regions = []region{
	{"asia-east1", "abc"}, {"asia-east2", "abc"}, {"asia-northeast1", "abc"}, {"asia-northeast3", "abc"}, {"asia-south1", "abc"},
	{"asia-southeast1", "abc"}, {"asia-southeast2", "abc"}, {"australia-southeast1", "abc"}, {"europe-central2", "abc"},
	{"europe-north1", "abc"}, {"europe-southwest1", "abc"}, {"europe-west1", "bcd"}, {"europe-west2", "abc"}, {"europe-west3", "abc"},
	{"europe-west4", "abc"}, {"europe-west6", "abc"}, {"europe-west8", "abc"}, {"europe-west9", "abc"}, {"me-west1", "abc"},
	{"northamerica-northeast1", "abc"}, {"southamerica-east1", "abc"}, {"us-central1", "abcf"}, {"us-east1", "bcd"}, {"us-east4", "abc"},
	{"us-east5", "abc"}, {"us-south1", "abc"}, {"us-west1", "abc"}, {"us-west2", "abc"}, {"us-west3", "abc"}, {"us-west4", "abc"},
}

func (r region) zones() []string {
	zones := make([]string, 0, len(r.Zones))
	for _, letter := range r.Zones {
		zones = append(zones, r.Name+"-"+string(letter))
	}
	return zones
}

func findRegion(name string) (region, bool) {
	i := slices.IndexFunc(regions, func(r region) bool { return r.Name == name })
	if i < 0 {
		return region{}, false
	}
	return regions[i], true
}

// regionOfZone is the region of a zone that there is.
func regionOfZone(zone string) (region, bool) {
	cut := strings.LastIndexByte(zone, '-')
	if cut < 0 {
		return region{}, false
	}
	r, known := findRegion(zone[:cut])
	return r, known && slices.Contains(r.zones(), zone)
}

// machineType is a size of instances.
type machineType struct {
	Name      string
	CPUs      int
	MemoryMiB int
	Shared    bool
	// Quota is the metric that its CPUs count for.
	Quota string
}

// machineTypes are those of the general-purpose series; source: cloud.google.com/compute/docs/general-purpose-machines, August 2026.
var machineTypes = []machineType{
	{"e2-micro", 2, 1024, true, "CPUS"}, {"e2-small", 2, 2048, true, "CPUS"}, {"e2-medium", 2, 4096, true, "CPUS"},
	{"e2-standard-2", 2, 8192, false, "CPUS"}, {"e2-standard-4", 4, 16384, false, "CPUS"}, {"e2-standard-8", 8, 32768, false, "CPUS"},
	{"e2-standard-16", 16, 65536, false, "CPUS"}, {"e2-highmem-2", 2, 16384, false, "CPUS"}, {"e2-highmem-4", 4, 32768, false, "CPUS"},
	{"e2-highmem-8", 8, 65536, false, "CPUS"}, {"e2-highcpu-2", 2, 2048, false, "CPUS"}, {"e2-highcpu-4", 4, 4096, false, "CPUS"},
	{"e2-highcpu-8", 8, 8192, false, "CPUS"}, {"e2-highcpu-16", 16, 16384, false, "CPUS"},
	{"n1-standard-1", 1, 3840, false, "CPUS"}, {"n1-standard-2", 2, 7680, false, "CPUS"}, {"n1-standard-4", 4, 15360, false, "CPUS"},
	{"n2-standard-2", 2, 8192, false, "N2_CPUS"}, {"n2-standard-4", 4, 16384, false, "N2_CPUS"}, {"n2-standard-8", 8, 32768, false, "N2_CPUS"},
	{"n2-highmem-2", 2, 16384, false, "N2_CPUS"}, {"n2-highcpu-4", 4, 4096, false, "N2_CPUS"},
	{"n2d-standard-2", 2, 8192, false, "N2D_CPUS"}, {"n2d-standard-4", 4, 16384, false, "N2D_CPUS"}, {"n2d-standard-8", 8, 32768, false, "N2D_CPUS"},
	{"n4-standard-2", 2, 8192, false, "CPUS"}, {"n4-standard-4", 4, 16384, false, "CPUS"}, {"n4-standard-8", 8, 32768, false, "CPUS"},
	{"c3-standard-4", 4, 16384, false, "C3_CPUS"}, {"c3-standard-8", 8, 32768, false, "C3_CPUS"},
	{"t2d-standard-1", 1, 4096, false, "T2D_CPUS"}, {"t2d-standard-2", 2, 8192, false, "T2D_CPUS"}, {"t2d-standard-4", 4, 16384, false, "T2D_CPUS"},
}

func findMachine(name string) (machineType, bool) {
	i := slices.IndexFunc(machineTypes, func(m machineType) bool { return m.Name == name })
	if i < 0 {
		return machineType{}, false
	}
	return machineTypes[i], true
}

// Limits of a project that has been used for a while; regional ones count for each region. They are the console's defaults.
var (
	projectLimits = map[string]int{"NETWORKS": 15, "SUBNETWORKS": 275, "ROUTERS": 20, "FIREWALLS": 200, "ROUTES": 250,
		"FORWARDING_RULES": 75, "TARGET_POOLS": 150, "BACKEND_SERVICES": 75, "HEALTH_CHECKS": 75, "STATIC_ADDRESSES": 21, "IN_USE_ADDRESSES": 69,
		"SNAPSHOTS": 5000, "CPUS_ALL_REGIONS": 128}
	regionLimits = map[string]int{"CPUS": 72, "N2_CPUS": 72, "N2D_CPUS": 72, "C3_CPUS": 72, "T2D_CPUS": 72, "DISKS_TOTAL_GB": 20480,
		"SSD_TOTAL_GB": 10240, "IN_USE_ADDRESSES": 69, "STATIC_ADDRESSES": 21, "INSTANCES": 600, "INSTANCE_GROUPS": 700,
		"INSTANCE_GROUP_MANAGERS": 350, "FORWARDING_RULES": 75}
)

// versionSuffix makes a Kubernetes minor version a GKE version; the patch level is what the sandbox's clusters present.
const versionSuffix = ".0-gke.1000000"

// gkeVersion is the GKE version of a minor version: "1.34" -> "1.34.0-gke.1000000".
func gkeVersion(minor string) string { return minor + versionSuffix }

// minorOf is the minor version of a GKE version.
func minorOf(version string) string { return strings.TrimSuffix(version, versionSuffix) }

// resolveVersion finds the version that a request means: a whole one, one without its end, a minor one, "latest", or "-" and nothing
// for the default. offered is newest first.
func resolveVersion(asked string, offered []string) (string, bool) {
	switch asked {
	case "", "-":
		return gkeVersion(defaultVersion(offered)), true
	case "latest":
		return gkeVersion(offered[0]), true
	}
	for _, minor := range offered {
		full := gkeVersion(minor)
		if asked == full || strings.HasPrefix(full, asked+".") || strings.HasPrefix(full, asked+"-") {
			return full, true
		}
	}
	return "", false
}

// defaultVersion is that of the regular channel: the newest but one, as there.
func defaultVersion(offered []string) string { return offered[min(1, len(offered)-1)] }

// channelVersions are the minor versions of a release channel, newest first, and its default.
func channelVersions(channel string, offered []string) (versions []string, standard string) {
	skip := map[string]int{"RAPID": 0, "REGULAR": 1, "STABLE": 2, "EXTENDED": 1}[channel]
	standard = offered[min(skip, len(offered)-1)]
	if channel == "STABLE" {
		return offered[min(1, len(offered)-1):], standard
	}
	return offered, standard
}
