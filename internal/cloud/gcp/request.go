package gcp

import (
	"context"
	"slices"
	"strings"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/m3o/platform/internal/region"
)

// diskSize is that of every node's boot disk, in GB.
const diskSize = 50

// disk is a type of boot disk, and the quota that it counts against.
type disk struct{ kind, metric string }

// diskOf is the balanced boot disk that machines of a type take: the newest families take no persistent disks.
func diskOf(machine string) disk {
	family, _, _ := strings.Cut(machine, "-")
	if slices.Contains([]string{"n4", "n4a", "n4d", "c4", "c4a", "c4d", "m4", "x4"}, family) {
		return disk{"hyperdisk-balanced", "HDB_TOTAL_GB"}
	}
	return disk{"pd-balanced", "SSD_TOTAL_GB"}
}

// clusterRequest asks for a regional cluster with private nodes. What GKE takes for granted and depends on its version or costs
// money is said outright.
func (p *Provider) clusterRequest(ctx context.Context, spec region.ClusterSpec) (*containerpb.CreateClusterRequest, error) {
	offered, err := p.versions(ctx, spec.Location)
	if err != nil {
		return nil, err
	}
	version, err := offered.newest(spec.Version)
	if err != nil {
		return nil, err
	}
	machine, err := p.machine(ctx, spec.Location, spec.Nodes.Size)
	if err != nil {
		return nil, err
	}
	zones, err := machine.spread(spec.Location)
	if err != nil {
		return nil, err
	}
	c := &containerpb.Cluster{
		Name: clusterName(spec.Name), Description: describe(spec.Owner), ResourceLabels: labels(spec.Tags),
		Locations: zones, InitialClusterVersion: version, ReleaseChannel: &containerpb.ReleaseChannel{Channel: channel},
		ShieldedNodes:          &containerpb.ShieldedNodes{Enabled: true},
		WorkloadIdentityConfig: &containerpb.WorkloadIdentityConfig{WorkloadPool: p.project + ".svc.id.goog"},
		AddonsConfig: &containerpb.AddonsConfig{
			GcePersistentDiskCsiDriverConfig: &containerpb.GcePersistentDiskCsiDriverConfig{Enabled: true}},
		LoggingConfig: &containerpb.LoggingConfig{ComponentConfig: &containerpb.LoggingComponentConfig{
			EnableComponents: []containerpb.LoggingComponentConfig_Component{containerpb.LoggingComponentConfig_SYSTEM_COMPONENTS}}},
		MonitoringConfig: &containerpb.MonitoringConfig{ComponentConfig: &containerpb.MonitoringComponentConfig{
			EnableComponents: []containerpb.MonitoringComponentConfig_Component{containerpb.MonitoringComponentConfig_SYSTEM_COMPONENTS}},
			ManagedPrometheusConfig: &containerpb.ManagedPrometheusConfig{Enabled: false}},
	}
	p.connect(c, spec)
	shares := share(zones, spec.Nodes.Count)
	for _, zone := range zones {
		if shares[zone] > 0 {
			c.NodePools = append(c.NodePools, nodePool(spec, zone, shares[zone]))
		}
	}
	return &containerpb.CreateClusterRequest{Parent: p.locationPath(spec.Location), Cluster: c}, nil
}

// connect puts a cluster into the region's network: nodes without addresses of their own, pods and services in its ranges, eBPF
// in the data path, which enforces NetworkPolicy, and an API server that is reached from outside.
func (p *Provider) connect(c *containerpb.Cluster, spec region.ClusterSpec) {
	yes := true
	c.Network, c.Subnetwork = p.networkPath(spec.Name), p.regionalPath(spec.Location, "subnetworks", spec.Name)
	c.IpAllocationPolicy = &containerpb.IPAllocationPolicy{UseIpAliases: true, ClusterSecondaryRangeName: podRange, ServicesSecondaryRangeName: serviceRange}
	c.DefaultMaxPodsConstraint = &containerpb.MaxPodsConstraint{MaxPodsPerNode: podsPerNode}
	c.NetworkConfig = &containerpb.NetworkConfig{DatapathProvider: containerpb.DatapathProvider_ADVANCED_DATAPATH, DefaultEnablePrivateNodes: &yes}
	c.ControlPlaneEndpointsConfig = &containerpb.ControlPlaneEndpointsConfig{
		IpEndpointsConfig: &containerpb.ControlPlaneEndpointsConfig_IPEndpointsConfig{Enabled: &yes, EnablePublicEndpoint: &yes,
			AuthorizedNetworksConfig: p.accessList(spec)}}
}

// nodePool is the pool of a zone.
func nodePool(spec region.ClusterSpec, zone string, count int) *containerpb.NodePool {
	return &containerpb.NodePool{
		Name: poolName(zone), Locations: []string{zone}, InitialNodeCount: int32(count),
		Management: &containerpb.NodeManagement{AutoUpgrade: true, AutoRepair: true},
		Config: &containerpb.NodeConfig{
			MachineType: spec.Nodes.Size, DiskType: diskOf(spec.Nodes.Size).kind, DiskSizeGb: diskSize, ImageType: "COS_CONTAINERD",
			ServiceAccount: spec.Principals[nodesPrincipal], OauthScopes: []string{Scope}, // what nodes may do is the account's roles' to say
			Metadata: map[string]string{"disable-legacy-endpoints": "true"}, ResourceLabels: labels(spec.Tags),
			WorkloadMetadataConfig: &containerpb.WorkloadMetadataConfig{Mode: containerpb.WorkloadMetadataConfig_GKE_METADATA},
			ShieldedInstanceConfig: &containerpb.ShieldedInstanceConfig{EnableSecureBoot: true, EnableIntegrityMonitoring: true},
		},
	}
}

// accessList is who reaches the API server from outside: everybody, or the spec's ranges, the region's own way out, and the workers
// of this cloud. Google's own public addresses, behind which are other customers' machines, are not let in.
func (p *Provider) accessList(spec region.ClusterSpec) *containerpb.MasterAuthorizedNetworksConfig {
	if len(spec.Access) == 0 {
		return &containerpb.MasterAuthorizedNetworksConfig{Enabled: false}
	}
	no := false
	config := &containerpb.MasterAuthorizedNetworksConfig{Enabled: true, GcpPublicCidrsAccessEnabled: &no}
	for _, cidr := range spec.Admitted(p.egress) {
		config.CidrBlocks = append(config.CidrBlocks, &containerpb.MasterAuthorizedNetworksConfig_CidrBlock{CidrBlock: cidr})
	}
	return config
}

// sameAccess reports whether a cluster lets in whom it is to let in.
func sameAccess(c *containerpb.Cluster, want *containerpb.MasterAuthorizedNetworksConfig) bool {
	have := c.GetControlPlaneEndpointsConfig().GetIpEndpointsConfig().GetAuthorizedNetworksConfig()
	return have.GetEnabled() == want.GetEnabled() && (!want.GetEnabled() || slices.Equal(blocks(have), blocks(want)))
}

func blocks(config *containerpb.MasterAuthorizedNetworksConfig) []string {
	var all []string
	for _, b := range config.GetCidrBlocks() {
		all = append(all, b.GetCidrBlock())
	}
	slices.Sort(all)
	return all
}
