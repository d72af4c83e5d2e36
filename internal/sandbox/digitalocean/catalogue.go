package digitalocean

import (
	"fmt"
	"slices"
	"strings"
)

// region is a data centre, as in the regions list of August 2026's API description and the public availability matrix.
type region struct {
	Slug       string `json:"slug"`
	Name       string `json:"name"`
	Kubernetes bool   `json:"-"`
	Available  bool   `json:"-"`
}

var regions = []region{
	{"nyc1", "New York 1", true, true},
	{"sfo1", "San Francisco 1", false, false},
	{"nyc2", "New York 2", false, true},
	{"ams2", "Amsterdam 2", false, false},
	{"sgp1", "Singapore 1", true, true},
	{"lon1", "London 1", true, true},
	{"nyc3", "New York 3", true, true},
	{"ams3", "Amsterdam 3", true, true},
	{"fra1", "Frankfurt 1", true, true},
	{"tor1", "Toronto 1", true, true},
	{"sfo2", "San Francisco 2", true, true},
	{"blr1", "Bangalore 1", true, true},
	{"sfo3", "San Francisco 3", true, true},
	{"syd1", "Sydney 1", true, true},
	{"atl1", "Atlanta 1", true, true},
	{"ric1", "Richmond 1", true, true},
}

var regionFeatures = []string{"backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"}

// size is a Droplet size. Prices are the public price list's, in US dollars.
type size struct {
	Slug        string
	Description string
	MemoryMiB   int
	CPUs        int
	DiskGiB     int
	TransferTB  float64
	Monthly     float64
	Hourly      float64
	Kubernetes  bool
}

var sizes = []size{
	{"s-1vcpu-512mb-10gb", "Basic", 512, 1, 10, 0.5, 4, 0.00595, false},
	{"s-1vcpu-1gb", "Basic", 1024, 1, 25, 1, 6, 0.00893, false},
	{"s-1vcpu-1gb-amd", "Basic AMD", 1024, 1, 25, 1, 7, 0.01042, false},
	{"s-1vcpu-1gb-intel", "Basic Intel", 1024, 1, 25, 1, 7, 0.01042, false},
	{"s-1vcpu-2gb", "Basic", 2048, 1, 50, 2, 12, 0.01786, true},
	{"s-1vcpu-2gb-amd", "Basic AMD", 2048, 1, 50, 2, 14, 0.02083, true},
	{"s-1vcpu-2gb-intel", "Basic Intel", 2048, 1, 50, 2, 14, 0.02083, true},
	{"s-2vcpu-2gb", "Basic", 2048, 2, 60, 3, 18, 0.02679, true},
	{"s-2vcpu-2gb-amd", "Basic AMD", 2048, 2, 60, 3, 21, 0.03125, true},
	{"s-2vcpu-2gb-intel", "Basic Intel", 2048, 2, 60, 3, 21, 0.03125, true},
	{"s-2vcpu-4gb", "Basic", 4096, 2, 80, 4, 24, 0.03571, true},
	{"s-2vcpu-4gb-amd", "Basic AMD", 4096, 2, 80, 4, 28, 0.04167, true},
	{"s-2vcpu-4gb-intel", "Basic Intel", 4096, 2, 80, 4, 28, 0.04167, true},
	{"c-2", "CPU-Optimized", 4096, 2, 25, 4, 42, 0.0625, true},
	{"s-4vcpu-8gb", "Basic", 8192, 4, 160, 5, 48, 0.07143, true},
	{"s-4vcpu-8gb-amd", "Basic AMD", 8192, 4, 160, 5, 56, 0.08333, true},
	{"s-4vcpu-8gb-intel", "Basic Intel", 8192, 4, 160, 5, 56, 0.08333, true},
	{"g-2vcpu-8gb", "General Purpose", 8192, 2, 25, 4, 63, 0.09375, true},
	{"c-4", "CPU-Optimized", 8192, 4, 50, 5, 84, 0.125, true},
	{"m-2vcpu-16gb", "Memory-Optimized", 16384, 2, 50, 4, 84, 0.125, true},
	{"s-8vcpu-16gb", "Basic", 16384, 8, 320, 6, 96, 0.14286, true},
	{"s-8vcpu-16gb-amd", "Basic AMD", 16384, 8, 320, 6, 112, 0.16667, true},
	{"s-8vcpu-16gb-intel", "Basic Intel", 16384, 8, 320, 6, 112, 0.16667, true},
	{"g-4vcpu-16gb", "General Purpose", 16384, 4, 50, 5, 126, 0.1875, true},
	{"so-2vcpu-16gb", "Storage-Optimized", 16384, 2, 300, 4, 131, 0.19494, true},
	{"c-8", "CPU-Optimized", 16384, 8, 100, 6, 168, 0.25, true},
	{"m-4vcpu-32gb", "Memory-Optimized", 32768, 4, 100, 6, 168, 0.25, true},
	{"g-8vcpu-32gb", "General Purpose", 32768, 8, 100, 6, 252, 0.375, true},
	{"c-16", "CPU-Optimized", 32768, 16, 200, 7, 336, 0.5, true},
	{"m-8vcpu-64gb", "Memory-Optimized", 65536, 8, 200, 7, 336, 0.5, true},
	{"g-16vcpu-64gb", "General Purpose", 65536, 16, 200, 7, 504, 0.75, true},
}

func findRegion(slug string) (region, bool) {
	i := slices.IndexFunc(regions, func(r region) bool { return r.Slug == slug })
	if i < 0 {
		return region{}, false
	}
	return regions[i], true
}

func findSize(slug string) (size, bool) {
	i := slices.IndexFunc(sizes, func(s size) bool { return s.Slug == slug })
	if i < 0 {
		return size{}, false
	}
	return sizes[i], true
}

// slugSuffix makes a Kubernetes minor version a DOKS version: the patch level and the DOKS release are part of the slug.
const slugSuffix = ".1-do.0"

// versionSlug is the DOKS version of a minor version: "1.34" -> "1.34.1-do.0".
func versionSlug(minor string) string { return minor + slugSuffix }

// minorOf is the minor version of a DOKS version.
func minorOf(slug string) string { return strings.TrimSuffix(slug, slugSuffix) }

// resolveVersion finds the version that a request means: a slug, a minor version, or "latest". offered is newest first.
func resolveVersion(asked string, offered []string) (string, bool) {
	if asked == "latest" && len(offered) > 0 {
		return versionSlug(offered[0]), true
	}
	for _, minor := range offered {
		if asked == minor || asked == versionSlug(minor) {
			return versionSlug(minor), true
		}
	}
	return "", false
}

// minorNumber is the 34 of "1.34", for comparisons; -1 if it is no such thing.
func minorNumber(minor string) int {
	var major, number int
	if n, err := fmt.Sscanf(minor, "%d.%d", &major, &number); err != nil || n != 2 || major != 1 {
		return -1
	}
	return number
}
