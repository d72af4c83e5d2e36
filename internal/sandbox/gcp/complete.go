package gcp

//lint:file-ignore SA1019 Fields that are deprecated are still what stock clients send and read.

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/m3o/platform/internal/sandbox/world"
)

// complete says what is wrong with a new cluster, and fills in what was left out, as GKE does.
func (r *request) complete(tx *world.Tx, m *containerpb.Cluster, location string) error {
	for key, value := range m.ResourceLabels {
		if err := checkLabel("cluster.resource_labels", key, value); err != nil {
			return err
		}
	}
	if m.GetAutopilot().GetEnabled() {
		return invalid("The sandbox has no Autopilot clusters.")
	}
	if err := completeLocations(m, location); err != nil {
		return err
	}
	if err := completeNetwork(tx, m, location); err != nil {
		return err
	}
	if pool := m.GetWorkloadIdentityConfig().GetWorkloadPool(); pool != "" && pool != ProjectID+".svc.id.goog" {
		return invalid("Workload Identity pool %q is not the project's: use %s.svc.id.goog.", pool, ProjectID)
	}
	completeDefaults(m)
	return completeEndpoints(m)
}

// completeLocations are the zones of the nodes.
func completeLocations(m *containerpb.Cluster, location string) error {
	if len(m.Locations) == 0 {
		m.Locations = []string{location}
		if of, isRegion := findRegion(location); isRegion {
			m.Locations = of.zones()[:3]
		}
	}
	return checkZones("cluster.locations", m.Locations, regionName(location))
}

func checkZones(field string, zones []string, of string) error {
	for i, zone := range zones {
		in, known := regionOfZone(zone)
		if !known || in.Name != of {
			return invalid("%s: %q is not a zone of %s.", field, zone, of)
		}
		if slices.Contains(zones[:i], zone) {
			return invalid("%s: %q is listed twice.", field, zone)
		}
	}
	return nil
}

// completeNetwork finds network, subnetwork and the ranges of pods and services.
func completeNetwork(tx *world.Tx, m *containerpb.Cluster, location string) error {
	network, err := referByName(tx, m.Network, global, "networks", "default")
	if err != nil {
		return err
	}
	subnetwork, err := referByName(tx, m.Subnetwork, regionS+"/"+regionName(location), "subnetworks", "default")
	if err != nil {
		return err
	}
	if subnetwork.Doc.text("network") != network.link() {
		return invalid("Subnetwork %q is not in network %q.", subnetwork.Name, network.Name)
	}
	if err := completeRanges(tx, m, subnetwork); err != nil {
		return err
	}
	m.Network, m.Subnetwork = network.Name, subnetwork.Name
	if m.NetworkConfig == nil {
		m.NetworkConfig = &containerpb.NetworkConfig{}
	}
	m.NetworkConfig.Network, m.NetworkConfig.Subnetwork = network.path(), subnetwork.path()
	return servicesFree(tx, m)
}

// completeRanges finds the ranges of pods and services, by the names of the subnetwork's, or where none is named among those that GKE
// keeps itself.
func completeRanges(tx *world.Tx, m *containerpb.Cluster, subnetwork resource) error {
	if m.IpAllocationPolicy == nil {
		m.IpAllocationPolicy = &containerpb.IPAllocationPolicy{UseIpAliases: true}
	}
	policy := m.IpAllocationPolicy
	if !policy.UseIpAliases {
		return invalid("The sandbox has only VPC-native clusters: set ip_allocation_policy.use_ip_aliases.")
	}
	ranges, err := rangesOf(subnetwork.Doc)
	if err != nil {
		return err
	}
	managed, err := freePods(tx)
	if err != nil {
		return err
	}
	for _, one := range []struct {
		what, name, managed string
		block               []*string
	}{
		{"Pod", policy.ClusterSecondaryRangeName, managed, []*string{&policy.ClusterIpv4CidrBlock, &policy.ClusterIpv4Cidr, &m.ClusterIpv4Cidr}},
		{"Services", policy.ServicesSecondaryRangeName, managedServices, []*string{&policy.ServicesIpv4CidrBlock, &policy.ServicesIpv4Cidr, &m.ServicesIpv4Cidr}},
	} {
		text := one.managed
		if one.name != "" {
			found, there := ranges[one.name]
			if !there {
				return invalid("%s secondary range %q not found in subnet %q.", one.what, one.name, subnetwork.Name)
			}
			text = found.String()
		}
		for _, block := range one.block {
			*block = text
		}
	}
	policy.NodeIpv4CidrBlock, policy.NodeIpv4Cidr = "", "" // output, for a subnetwork that GKE makes
	policy.StackType = containerpb.StackType_IPV4
	return nil
}

// managedServices is the range that GKE gives services for which none is named. All clusters share it.
const managedServices = "34.118.224.0/20"

// freePods is the first range for pods that no cluster has.
func freePods(tx *world.Tx) (string, error) {
	all, err := world.List[cluster](tx, ref(kindCluster, ""))
	taken := map[string]bool{}
	for _, one := range all {
		taken[one.Doc.M.ClusterIpv4Cidr] = true
	}
	for second := 64; second < 128; second += 4 {
		if text := fmt.Sprintf("10.%d.0.0/14", second); !taken[text] {
			return text, err
		}
	}
	return "", errors.Join(err, invalid("No range for pods is free in the network: name a secondary range."))
}

// servicesFree says whether the range for services is another cluster's: those cannot be shared.
func servicesFree(tx *world.Tx, m *containerpb.Cluster) error {
	if m.IpAllocationPolicy.ServicesSecondaryRangeName == "" {
		return nil
	}
	all, err := world.List[cluster](tx, ref(kindCluster, ""))
	if err != nil {
		return err
	}
	for _, one := range all {
		if one.Doc.M.GetNetworkConfig().GetSubnetwork() == m.NetworkConfig.Subnetwork &&
			one.Doc.M.GetIpAllocationPolicy().GetServicesSecondaryRangeName() == m.IpAllocationPolicy.ServicesSecondaryRangeName {
			return invalid("Services range %q in network %q, subnetwork %q is already used by another cluster.",
				m.IpAllocationPolicy.ServicesSecondaryRangeName, m.Network, m.Subnetwork)
		}
	}
	return nil
}

// referByName finds what a cluster names by its name or its path.
func referByName(tx *world.Tx, text, scope, collection, standard string) (resource, error) {
	path, ok := linkPath(text)
	if !ok {
		name := text
		if name == "" {
			name = standard
		}
		path = pathOf(scope, collection, name)
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	if path != pathOf(scope, collection, name) {
		return resource{}, invalid("%q is not a path of %s.", text, pathOf(scope, collection, "NAME"))
	}
	found, err := world.Get[resource](tx, key(scope, collection, name))
	if isNotFound(err) {
		return found, invalid("Project %q has no %s named %q.", ProjectID, strings.TrimSuffix(collection, "s"), name)
	}
	if err == nil && found.Busy != "" {
		return found, notReady(path)
	}
	return found, err
}

// completeDefaults fills in what the console would.
func completeDefaults(m *containerpb.Cluster) {
	if m.ReleaseChannel.GetChannel() == containerpb.ReleaseChannel_UNSPECIFIED {
		m.ReleaseChannel = &containerpb.ReleaseChannel{Channel: containerpb.ReleaseChannel_REGULAR}
	}
	if m.AddonsConfig == nil {
		m.AddonsConfig = &containerpb.AddonsConfig{}
	}
	if m.AddonsConfig.GcePersistentDiskCsiDriverConfig == nil {
		m.AddonsConfig.GcePersistentDiskCsiDriverConfig = &containerpb.GcePersistentDiskCsiDriverConfig{Enabled: true}
	}
	if m.ShieldedNodes == nil {
		m.ShieldedNodes = &containerpb.ShieldedNodes{Enabled: true}
	}
	if m.DefaultMaxPodsConstraint == nil {
		m.DefaultMaxPodsConstraint = &containerpb.MaxPodsConstraint{MaxPodsPerNode: 110}
	}
	if m.LoggingService == "" {
		m.LoggingService = "logging.googleapis.com/kubernetes"
	}
	if m.MonitoringService == "" {
		m.MonitoringService = "monitoring.googleapis.com/kubernetes"
	}
	m.DatabaseEncryption = &containerpb.DatabaseEncryption{State: containerpb.DatabaseEncryption_DECRYPTED}
	m.LegacyAbac = &containerpb.LegacyAbac{}
}

// completeEndpoints makes the two ways in which access to the control plane is written say the same.
func completeEndpoints(m *containerpb.Cluster) error {
	if m.ControlPlaneEndpointsConfig == nil {
		m.ControlPlaneEndpointsConfig = &containerpb.ControlPlaneEndpointsConfig{}
	}
	ends := m.ControlPlaneEndpointsConfig
	if ends.IpEndpointsConfig == nil {
		ends.IpEndpointsConfig = &containerpb.ControlPlaneEndpointsConfig_IPEndpointsConfig{}
	}
	by := ends.IpEndpointsConfig
	if by.Enabled == nil {
		by.Enabled = proto.Bool(true)
	}
	if by.EnablePublicEndpoint == nil {
		by.EnablePublicEndpoint = proto.Bool(!m.GetPrivateClusterConfig().GetEnablePrivateEndpoint())
	}
	if by.AuthorizedNetworksConfig == nil {
		by.AuthorizedNetworksConfig = m.MasterAuthorizedNetworksConfig
	}
	if err := checkAuthorized(by.AuthorizedNetworksConfig); err != nil {
		return err
	}
	if by.AuthorizedNetworksConfig == nil {
		by.AuthorizedNetworksConfig = &containerpb.MasterAuthorizedNetworksConfig{}
	}
	m.MasterAuthorizedNetworksConfig = proto.CloneOf(by.AuthorizedNetworksConfig)
	if m.PrivateClusterConfig == nil {
		m.PrivateClusterConfig = &containerpb.PrivateClusterConfig{EnablePrivateNodes: m.NetworkConfig.GetDefaultEnablePrivateNodes()}
	}
	if m.NetworkConfig.DefaultEnablePrivateNodes == nil {
		m.NetworkConfig.DefaultEnablePrivateNodes = proto.Bool(m.PrivateClusterConfig.EnablePrivateNodes)
	}
	return nil
}

// maxAuthorized is how many ranges may reach a control plane.
const maxAuthorized = 100

// checkAuthorized says what is wrong with the ranges that may reach the control plane.
func checkAuthorized(config *containerpb.MasterAuthorizedNetworksConfig) error {
	if len(config.GetCidrBlocks()) > 0 && !config.GetEnabled() {
		return invalid("Master authorized networks must be enabled to have CIDR blocks.")
	}
	if n := len(config.GetCidrBlocks()); n > maxAuthorized {
		return invalid("Too many authorized networks: %d, at most %d.", n, maxAuthorized)
	}
	seen := map[string]bool{}
	for _, block := range config.GetCidrBlocks() {
		if _, err := anyRange(block.GetCidrBlock()); err != nil {
			return invalid("Invalid authorized network %q: %v.", block.GetCidrBlock(), err)
		}
		if seen[block.GetCidrBlock()] {
			return invalid("Authorized network %q is listed twice.", block.GetCidrBlock())
		}
		seen[block.GetCidrBlock()] = true
	}
	return nil
}

// roomFor says whether the region may have these nodes, beside those that there are.
func (r *request) roomFor(tx *world.Tx, location string, pools []pool, more []node) error {
	used, err := usageOf(tx)
	if err != nil {
		return err
	}
	need := map[string]int{}
	for _, n := range more {
		for _, p := range pools {
			if p.ID == n.Pool {
				of, _ := findMachine(p.Doc.M.GetConfig().GetMachineType())
				need[of.Quota] += of.CPUs
			}
		}
	}
	for metric, n := range need {
		if left := regionLimits[metric] - used.region[regionName(location)][metric]; n > left {
			return shortOf(metric, n, left, regionLimits[metric])
		}
		if left := projectLimits["CPUS_ALL_REGIONS"] - used.project["CPUS_ALL_REGIONS"]; n > left {
			return shortOf("CPUS_ALL_REGIONS", n, left, projectLimits["CPUS_ALL_REGIONS"])
		}
	}
	return nil
}

// shortOf is GKE's answer when the project has not enough quota for the nodes.
func shortOf(metric string, need, left, limit int) error {
	return &refusal{status: 403, code: "PERMISSION_DENIED", reason: "forbidden", info: "GCE_QUOTA_EXCEEDED", message: fmt.Sprintf(
		"Insufficient regional quota to satisfy request: resource %q: request requires '%d.0' and is short '%d.0'. project has a quota of '%d.0' with '%d.0' available. "+
			"View and manage quotas at https://console.cloud.google.com/iam-admin/quotas?usage=USED&project=%s.", metric, need, max(0, need-left), limit, max(0, left), ProjectID)}
}
