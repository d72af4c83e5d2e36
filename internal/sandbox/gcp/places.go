package gcp

import (
	"hash/fnv"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/m3o/platform/internal/sandbox/world"
)

var (
	labelKey   = regexp.MustCompile(`^[a-z][-_a-z0-9]{0,62}$`)
	labelValue = regexp.MustCompile(`^[-_a-z0-9]{0,63}$`)
)

// placesCreated is when regions and zones came to be, as the API tells it of all of them.
const placesCreated = "1969-12-31T16:00:00.000-08:00"

// placeRoutes are the methods about what is there for everybody: regions, zones, machine types; and the project's quotas.
func placeRoutes() []route {
	add := func(path, api, permission string, handle func(*request) (any, error)) route {
		return route{service: serviceCompute, method: "GET", path: onCompute + path, operation: "compute." + api,
			permissions: []string{"compute." + permission}, handle: handle, names: []string{"region", "zone", "machineType"}}
	}
	return []route{
		add("", "projects.get", "projects.get", getComputeProject),
		add("/regions", "regions.list", "regions.list", listRegions),
		add("/regions/{region}", "regions.get", "regions.get", getRegion),
		add("/zones", "zones.list", "zones.list", listZones),
		add("/zones/{zone}", "zones.get", "zones.get", getZone),
		add("/zones/{zone}/machineTypes", "machineTypes.list", "machineTypes.list", listMachineTypes),
		add("/zones/{zone}/machineTypes/{machineType}", "machineTypes.get", "machineTypes.get", getMachineType),
		add("/aggregated/machineTypes", "machineTypes.aggregatedList", "machineTypes.list", listMachineTypesEverywhere),
	}
}

// placesOf are all places of a scope, as keys of aggregated lists.
func placesOf(scope string) []string {
	var places []string
	for _, r := range regions {
		switch scope {
		case regionS:
			places = append(places, regionS+"/"+r.Name)
		case zoneS:
			for _, zone := range r.zones() {
				places = append(places, zoneS+"/"+zone)
			}
		}
	}
	return places
}

// numberOf is the id of something that is there for everybody, always the same.
func numberOf(name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return strconv.Itoa(1000 + int(h.Sum32()%1_000_000))
}

// usage is what the project has of its quotas.
type usage struct {
	project map[string]int
	region  map[string]map[string]int
}

// usageOf counts what there is.
func usageOf(tx *world.Tx) (usage, error) {
	u := usage{project: map[string]int{}, region: map[string]map[string]int{}}
	for _, c := range collections {
		all, err := world.List[resource](tx, ref(c.name, ""))
		if err != nil {
			return u, err
		}
		for _, one := range all {
			place := strings.TrimPrefix(one.Scope, regionS+"/")
			u.add(c.quota, place, 1)
			if c.name == "addresses" {
				u.add("IN_USE_ADDRESSES", place, 1)
			}
		}
	}
	return u, u.addNodes(tx)
}

func (u usage) add(metric, place string, n int) {
	u.project[metric] += n
	if u.region[place] == nil {
		u.region[place] = map[string]int{}
	}
	u.region[place][metric] += n
}

// addNodes counts the clusters' instances.
func (u usage) addNodes(tx *world.Tx) error {
	all, err := world.List[cluster](tx, ref(kindCluster, ""))
	if err != nil {
		return err
	}
	for _, one := range all {
		f, err := loadFamily(tx, one.ID)
		if err != nil {
			return err
		}
		for _, p := range f.pools {
			of, _ := findMachine(p.Doc.M.GetConfig().GetMachineType())
			for range f.nodesOf(p.ID) {
				u.add(of.Quota, regionName(one.Location), of.CPUs)
				u.add("INSTANCES", regionName(one.Location), 1)
				u.add("SSD_TOTAL_GB", regionName(one.Location), int(p.Doc.M.GetConfig().GetDiskSizeGb()))
				u.project["CPUS_ALL_REGIONS"] += of.CPUs
			}
		}
	}
	return nil
}

func quotas(limits, used map[string]int) []document {
	var all []document
	for _, metric := range slices.Sorted(maps.Keys(limits)) {
		all = append(all, document{"metric": metric, "limit": limits[metric], "usage": used[metric]})
	}
	return all
}

func getComputeProject(r *request) (any, error) {
	var used usage
	err := r.View(func(tx *world.Tx) (err error) {
		used, err = usageOf(tx)
		return err
	})
	return document{"kind": "compute#project", "id": projectNumber, "name": ProjectID, "creationTimestamp": "2026-01-12T02:11:23.000-08:00",
		"selfLink": computeLink("projects/" + ProjectID), "quotas": quotas(projectLimits, used.project), "commonInstanceMetadata": document{"kind": "compute#metadata"},
		"defaultServiceAccount": defaultAccount, "xpnProjectStatus": "UNSPECIFIED_XPN_PROJECT_STATUS",
		"defaultNetworkTier": "PREMIUM", "vmDnsSetting": "ZONAL_ONLY", "cloudArmorTier": "CA_STANDARD"}, err
}

func (r region) shown(used map[string]int) document {
	path := "projects/" + ProjectID + "/regions/" + r.Name
	var zones []string
	for _, zone := range r.zones() {
		zones = append(zones, computeLink("projects/"+ProjectID+"/zones/"+zone))
	}
	return document{"kind": "compute#region", "id": numberOf(r.Name), "name": r.Name, "description": r.Name, "status": "UP", "selfLink": computeLink(path),
		"creationTimestamp": placesCreated, "zones": zones, "quotas": quotas(regionLimits, used), "supportsPzs": true}
}

func getRegion(r *request) (any, error) {
	if _, err := r.scope(); err != nil {
		return nil, err
	}
	var used usage
	err := r.View(func(tx *world.Tx) (err error) {
		used, err = usageOf(tx)
		return err
	})
	found, _ := findRegion(r.vars["region"])
	return found.shown(used.region[found.Name]), err
}

func listRegions(r *request) (any, error) {
	var used usage
	err := r.View(func(tx *world.Tx) (err error) {
		used, err = usageOf(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	var docs []document
	for _, one := range regions {
		docs = append(docs, one.shown(used.region[one.Name]))
	}
	return r.page("compute#regionList", "projects/"+ProjectID+"/regions", docs)
}

func zoneShown(of region, zone string) document {
	return document{"kind": "compute#zone", "id": numberOf(zone), "name": zone, "description": zone, "status": "UP", "creationTimestamp": placesCreated,
		"region": computeLink("projects/" + ProjectID + "/regions/" + of.Name), "selfLink": computeLink("projects/" + ProjectID + "/zones/" + zone),
		"availableCpuPlatforms": []string{"Intel Broadwell", "Intel Cascade Lake", "AMD Rome"}, "supportsPzs": true}
}

func getZone(r *request) (any, error) {
	if _, err := r.scope(); err != nil {
		return nil, err
	}
	of, _ := regionOfZone(r.vars["zone"])
	return zoneShown(of, r.vars["zone"]), nil
}

func listZones(r *request) (any, error) {
	var docs []document
	for _, one := range regions {
		for _, zone := range one.zones() {
			docs = append(docs, zoneShown(one, zone))
		}
	}
	return r.page("compute#zoneList", "projects/"+ProjectID+"/zones", docs)
}

func (m machineType) shown(zone string) document {
	return document{"kind": "compute#machineType", "id": numberOf(m.Name), "name": m.Name, "creationTimestamp": placesCreated, "zone": zone,
		"description": strconv.Itoa(m.CPUs) + " vCPUs, " + strconv.Itoa(m.MemoryMiB/1024) + " GB RAM", "guestCpus": m.CPUs, "memoryMb": m.MemoryMiB,
		"isSharedCpu": m.Shared, "architecture": "X86_64", "imageSpaceGb": 0, "maximumPersistentDisks": 128, "maximumPersistentDisksSizeGb": "263168",
		"selfLink": computeLink("projects/" + ProjectID + "/zones/" + zone + "/machineTypes/" + m.Name)}
}

func getMachineType(r *request) (any, error) {
	scope, err := r.scope()
	if err != nil {
		return nil, err
	}
	found, known := findMachine(r.vars["machineType"])
	if !known {
		return nil, noResource(pathOf(scope, "machineTypes", r.vars["machineType"]))
	}
	return found.shown(r.vars["zone"]), nil
}

func listMachineTypes(r *request) (any, error) {
	scope, err := r.scope()
	if err != nil {
		return nil, err
	}
	var docs []document
	for _, one := range machineTypes {
		docs = append(docs, one.shown(r.vars["zone"]))
	}
	return r.page("compute#machineTypeList", pathOf(scope, "machineTypes", ""), docs)
}

func listMachineTypesEverywhere(r *request) (any, error) {
	var docs []document
	for _, place := range placesOf(zoneS) {
		for _, one := range machineTypes {
			docs = append(docs, one.shown(strings.TrimPrefix(place, zoneS+"/")))
		}
	}
	return r.aggregated("compute#machineTypeAggregatedList", "machineTypes", placesOf(zoneS), docs)
}
