package azure

import (
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"

	"github.com/m3o/platform/internal/region"
)

// The ranges inside every cluster. Pods of an overlay and services are not routed outside it, so that all regions can have the same.
const (
	podRange     = "192.168.0.0/16"
	serviceRange = "172.16.0.0/16"
	dnsService   = "172.16.0.10"
)

// What a node has beside its size.
const (
	osDiskGB = 64
	maxPods  = 110
)

// body is the cluster as it is asked for. What Azure takes for granted is said where it depends on the version, costs money or is less
// safe.
func (p *Provider) body(spec region.ClusterSpec, n names, version string, zones []string) cluster {
	first := pool(spec, n, version, zones)
	properties := &armcontainerservice.ManagedClusterProperties{
		KubernetesVersion: &version, DNSPrefix: ptr(n.dnsPrefix), NodeResourceGroup: ptr(n.nodeGroup),
		// Nobody has a certificate that holds for years: whoever comes, comes with a token of Entra ID and a role of Azure.
		EnableRBAC: ptr(true), DisableLocalAccounts: ptr(true),
		AADProfile: &armcontainerservice.ManagedClusterAADProfile{Managed: ptr(true), EnableAzureRBAC: ptr(true)},
		IdentityProfile: map[string]*armcontainerservice.UserAssignedIdentity{"kubeletidentity": {ResourceID: ptr(n.identityID(n.nodesIdentity)),
			ClientID: ptr(spec.Principals[nodesClient]), ObjectID: ptr(spec.Principals[nodesObject])}},
		NetworkProfile: &armcontainerservice.NetworkProfile{
			NetworkPlugin: ptr(armcontainerservice.NetworkPluginAzure), NetworkPluginMode: ptr(armcontainerservice.NetworkPluginModeOverlay),
			NetworkDataplane: ptr(armcontainerservice.NetworkDataplaneCilium), NetworkPolicy: ptr(armcontainerservice.NetworkPolicyCilium),
			PodCidr: ptr(podRange), ServiceCidr: ptr(serviceRange), DNSServiceIP: ptr(dnsService),
			LoadBalancerSKU: ptr(armcontainerservice.LoadBalancerSKUStandard), OutboundType: ptr(armcontainerservice.OutboundTypeUserAssignedNATGateway)},
		OidcIssuerProfile: &armcontainerservice.ManagedClusterOIDCIssuerProfile{Enabled: ptr(true)},
		SecurityProfile: &armcontainerservice.ManagedClusterSecurityProfile{
			WorkloadIdentity: &armcontainerservice.ManagedClusterSecurityProfileWorkloadIdentity{Enabled: ptr(true)}},
		AutoUpgradeProfile: &armcontainerservice.ManagedClusterAutoUpgradeProfile{UpgradeChannel: ptr(armcontainerservice.UpgradeChannelPatch),
			NodeOSUpgradeChannel: ptr(armcontainerservice.NodeOSUpgradeChannelNodeImage)},
		SupportPlan:       ptr(armcontainerservice.KubernetesSupportPlanKubernetesOfficial),
		AgentPoolProfiles: []*nodePool{firstPool(first)},
	}
	if ranges := spec.Admitted(p.egress); len(ranges) > 0 {
		properties.APIServerAccessProfile = &armcontainerservice.ManagedClusterAPIServerAccessProfile{AuthorizedIPRanges: pointers(ranges)}
	}
	return cluster{
		Location: &spec.Location, Tags: marks(spec.Owner, spec.Tags), Properties: properties,
		// The paid tier: the free one has no promise of uptime, and an API server for ten nodes.
		SKU: &armcontainerservice.ManagedClusterSKU{Name: ptr(armcontainerservice.ManagedClusterSKUNameBase), Tier: ptr(armcontainerservice.ManagedClusterSKUTierStandard)},
		Identity: &armcontainerservice.ManagedClusterIdentity{Type: ptr(armcontainerservice.ResourceIdentityTypeUserAssigned),
			UserAssignedIdentities: map[string]*armcontainerservice.ManagedServiceIdentityUserAssignedIdentitiesValue{n.identityID(n.clusterIdentity): {}}},
	}
}

// pool is the node pool as it is asked for by itself.
func pool(spec region.ClusterSpec, n names, version string, zones []string) *armcontainerservice.ManagedClusterAgentPoolProfileProperties {
	return &armcontainerservice.ManagedClusterAgentPoolProfileProperties{
		Count: ptr(int32(spec.Nodes.Count)), VMSize: ptr(spec.Nodes.Size), OrchestratorVersion: &version, AvailabilityZones: pointers(zones),
		Mode: ptr(armcontainerservice.AgentPoolModeSystem), Type: ptr(armcontainerservice.AgentPoolTypeVirtualMachineScaleSets),
		OSType: ptr(armcontainerservice.OSTypeLinux), OSSKU: ptr(armcontainerservice.OSSKUUbuntu), OSDiskSizeGB: ptr[int32](osDiskGB),
		MaxPods: ptr[int32](maxPods), EnableNodePublicIP: ptr(false), VnetSubnetID: ptr(n.subnetID()), Tags: marks(spec.Owner, spec.Tags),
	}
}

// firstPool is the same as a part of the cluster.
func firstPool(p *armcontainerservice.ManagedClusterAgentPoolProfileProperties) *nodePool {
	return &nodePool{Name: ptr(poolName), Count: p.Count, VMSize: p.VMSize, OrchestratorVersion: p.OrchestratorVersion,
		AvailabilityZones: p.AvailabilityZones, Mode: p.Mode, Type: p.Type, OSType: p.OSType, OSSKU: p.OSSKU, OSDiskSizeGB: p.OSDiskSizeGB, MaxPods: p.MaxPods,
		EnableNodePublicIP: p.EnableNodePublicIP, VnetSubnetID: p.VnetSubnetID, Tags: p.Tags}
}

// writable is a cluster that was read, without what only Azure writes.
func writable(c cluster) cluster {
	c.ID, c.Name, c.Type, c.ETag, c.SystemData = nil, nil, nil, nil, nil
	properties := *c.Properties
	properties.ProvisioningState, properties.PowerState, properties.MaxAgentPools, properties.Fqdn, properties.AzurePortalFQDN = nil, nil, nil, nil, nil
	properties.PrivateFQDN, properties.ResourceUID, properties.CurrentKubernetesVersion = nil, nil, nil
	if issuer := properties.OidcIssuerProfile; issuer != nil {
		properties.OidcIssuerProfile = &armcontainerservice.ManagedClusterOIDCIssuerProfile{Enabled: issuer.Enabled}
	}
	properties.AgentPoolProfiles = nil
	for _, have := range c.Properties.AgentPoolProfiles {
		pool := *have
		pool.ETag, pool.ProvisioningState, pool.CurrentOrchestratorVersion, pool.NodeImageVersion, pool.PowerState = nil, nil, nil, nil, nil
		properties.AgentPoolProfiles = append(properties.AgentPoolProfiles, &pool)
	}
	if identity := c.Identity; identity != nil { // its ids are Azure's to write
		named := map[string]*armcontainerservice.ManagedServiceIdentityUserAssignedIdentitiesValue{}
		for id := range identity.UserAssignedIdentities {
			named[id] = &armcontainerservice.ManagedServiceIdentityUserAssignedIdentitiesValue{}
		}
		c.Identity = &armcontainerservice.ManagedClusterIdentity{Type: identity.Type, UserAssignedIdentities: named}
	}
	c.Properties = &properties
	return c
}

// writablePool is a pool that was read, without what only Azure writes.
func writablePool(p armcontainerservice.ManagedClusterAgentPoolProfileProperties) *armcontainerservice.ManagedClusterAgentPoolProfileProperties {
	p.ETag, p.ProvisioningState, p.CurrentOrchestratorVersion, p.NodeImageVersion, p.PowerState = nil, nil, nil, nil, nil
	return &p
}

func rangesOf(c *cluster) []string {
	var all []string
	if profile := c.Properties.APIServerAccessProfile; profile != nil {
		for _, text := range profile.AuthorizedIPRanges {
			all = append(all, of(text))
		}
	}
	return region.Ranges(all)
}
