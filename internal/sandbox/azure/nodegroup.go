package azure

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

// A cluster's nodes are in a resource group of their own, with what its controllers make: the scale sets, their security group, the
// load balancer "kubernetes" with a public address for each Service of that type, and disks for claims. All of it goes with the cluster.

const balancerName = "kubernetes"

// inNodeGroup makes a resource of the cluster's in its node resource group.
func (one *resource) inNodeGroup(typ, name string, now time.Time) *resource {
	made := &resource{GUID: uuid.NewString(), ID: one.Cluster.NodeGroup + inType(typ, name), Type: typ, Name: name, Location: one.Location, State: succeeded,
		ManagedBy: one.GUID, CreatedAt: now, Body: map[string]any{"properties": map[string]any{}}}
	if tags := object(one.Body["tags"]); len(tags) > 0 {
		made.Body["tags"] = clone(tags)
	}
	made.touch(now)
	return made
}

// tag adds a tag, beside those of the cluster.
func (r *resource) tag(key, value string) {
	tags := clone(object(r.Body["tags"]))
	tags[key] = value
	r.Body["tags"] = tags
}

// makeNodeGroup makes the node resource group and what is in it from the start.
func (r *request) makeNodeGroup(tx *world.Tx, one *resource) error {
	group := &resource{GUID: uuid.NewString(), ID: one.Cluster.NodeGroup, Type: typeGroup, Name: lastOf(one.Cluster.NodeGroup), Location: one.Location, State: succeeded,
		ManagedBy: one.GUID, CreatedAt: r.At, Body: map[string]any{"managedBy": one.ID}}
	tags := clone(object(one.Body["tags"]))
	tags["aks-managed-cluster-name"], tags["aks-managed-cluster-rg"] = one.Name, r.params["resourcegroupname"]
	group.Body["tags"] = tags
	group.touch(r.At)
	if err := add(tx, group, r.asked()); err != nil {
		return err
	}
	nsg := one.inNodeGroup(typeNSG, "aks-agentpool-"+one.Cluster.Number+"-nsg", r.At)
	nsg.Body["properties"] = map[string]any{"securityRules": []any{}, "resourceGuid": nsg.GUID}
	if err := add(tx, nsg, r.asked()); err != nil {
		return err
	}
	if kubelet := text(one.properties(), "identityProfile", "kubeletidentity", "resourceId"); kubelet == "" {
		if err := r.makeKubelet(tx, one); err != nil {
			return err
		}
	}
	if text(one.properties(), "networkProfile", "outboundType") != "loadBalancer" {
		return nil
	}
	address, err := newAddress(tx, one, uuid.NewString(), "", r.At)
	if err != nil {
		return err
	}
	return errors.Join(add(tx, address, r.asked()), add(tx, one.newBalancer([]*resource{address}, nil, r.At), r.asked()))
}

// makeKubelet makes the identity that nodes act as when the caller brings none.
func (r *request) makeKubelet(tx *world.Tx, one *resource) error {
	kubelet := one.inNodeGroup(typeIdentity, one.Name+"-agentpool", r.At)
	client := uuid.NewString()
	kubelet.Body["properties"] = map[string]any{"tenantId": r.cloud.Account.Tenant, "principalId": kubelet.GUID, "clientId": client}
	one.properties()["identityProfile"] = map[string]any{"kubeletidentity": map[string]any{"resourceId": kubelet.ID, "clientId": client, "objectId": kubelet.GUID}}
	return add(tx, kubelet, r.asked())
}

// newAddress is a public address in the node group, with the one that the load balancer has in the real cluster, or a free one.
func newAddress(tx *world.Tx, one *resource, name, ip string, now time.Time) (*resource, error) {
	a := one.inNodeGroup(typeAddress, name, now)
	if ip == "" {
		var err error
		if ip, err = freeAddress(tx); err != nil {
			return nil, err
		}
	}
	a.Body["sku"] = map[string]any{"name": "Standard", "tier": "Regional"}
	a.Body["properties"] = map[string]any{"publicIPAddressVersion": "IPv4", "publicIPAllocationMethod": "Static", "idleTimeoutInMinutes": 4, "ipTags": []any{},
		"ipAddress": ip, "resourceGuid": a.GUID}
	return a, nil
}

// newBalancer is the load balancer of a cluster: a frontend for each address, and a rule for each port of a Service.
func (one *resource) newBalancer(addresses []*resource, services []clusters.LoadBalancer, now time.Time) *resource {
	b := one.inNodeGroup(typeBalancer, balancerName, now)
	b.Body["sku"] = map[string]any{"name": "Standard", "tier": "Regional"}
	part := func(list, name string, properties map[string]any) map[string]any {
		properties["provisioningState"] = succeeded
		return map[string]any{"name": name, "id": b.ID + "/" + list + "/" + name, "type": typeBalancer + "/" + list, "properties": properties}
	}
	fronts, rules, probes := []any{}, []any{}, []any{}
	for _, a := range addresses {
		front := strings.TrimPrefix(a.Name, balancerName+"-")
		fronts = append(fronts, part("frontendIPConfigurations", front, map[string]any{"privateIPAllocationMethod": "Dynamic", "publicIPAddress": map[string]any{"id": a.ID}}))
	}
	pool := b.ID + "/backendAddressPools/" + balancerName
	for _, s := range services {
		for _, p := range s.Ports {
			protocol := strings.ToUpper(p.Protocol[:1]) + p.Protocol[1:]
			name := s.Name + "-" + strings.ToUpper(p.Protocol) + "-" + base10(p.Port)
			probes = append(probes, part("probes", name, map[string]any{"protocol": "Tcp", "port": p.NodePort, "intervalInSeconds": 5, "numberOfProbes": 2}))
			rules = append(rules, part("loadBalancingRules", name, map[string]any{"protocol": protocol, "frontendPort": p.Port, "backendPort": p.Port, "enableFloatingIP": true,
				"idleTimeoutInMinutes": 4, "loadDistribution": "Default", "enableTcpReset": true, "disableOutboundSnat": true,
				"frontendIPConfiguration": map[string]any{"id": b.ID + "/frontendIPConfigurations/" + s.Name}, "backendAddressPool": map[string]any{"id": pool},
				"probe": map[string]any{"id": b.ID + "/probes/" + name}}))
		}
	}
	b.Body["properties"] = map[string]any{"frontendIPConfigurations": fronts, "loadBalancingRules": rules, "probes": probes, "inboundNatRules": []any{}, "outboundRules": []any{},
		"backendAddressPools": []any{part("backendAddressPools", balancerName, map[string]any{})}, "resourceGuid": b.GUID}
	return b
}

// newScaleSet is the scale set of a pool.
func (r *request) newScaleSet(cluster, pool *resource) *resource {
	set := cluster.inNodeGroup(typeScaleSet, lastOf(scaleSetID(cluster, pool)), r.At)
	p := pool.properties()
	tags := object(set.Body["tags"])
	if tags == nil {
		tags = map[string]any{}
	}
	for key, value := range object(p, "tags") {
		tags[key] = value
	}
	tags["aks-managed-poolName"], tags["aks-managed-orchestrator"] = pool.Name, "Kubernetes:"+cluster.Cluster.Version
	set.Body["tags"] = tags
	if zones := items(p, "availabilityZones"); len(zones) > 0 {
		set.Body["zones"] = zones
	}
	configuration := map[string]any{"primary": true, "privateIPAddressVersion": "IPv4"}
	if subnet := text(p, "vnetSubnetID"); subnet != "" {
		configuration["subnet"] = map[string]any{"id": subnet}
	}
	set.Body["sku"] = map[string]any{"name": text(p, "vmSize"), "tier": "Standard"}
	set.Body["properties"] = map[string]any{"singlePlacementGroup": false, "orchestrationMode": "Uniform", "upgradePolicy": map[string]any{"mode": "Manual"}, "uniqueId": set.GUID,
		"virtualMachineProfile": map[string]any{
			"osProfile": map[string]any{"computerNamePrefix": set.Name, "adminUsername": "azureuser"},
			"networkProfile": map[string]any{"networkInterfaceConfigurations": []any{map[string]any{"name": set.Name, "properties": map[string]any{"primary": true,
				"networkSecurityGroup": map[string]any{"id": cluster.Cluster.NodeGroup + inType(typeNSG, "aks-agentpool-"+cluster.Cluster.Number+"-nsg")},
				"ipConfigurations":     []any{map[string]any{"name": "ipconfig1", "properties": configuration}}}}}}}}
	set.Node = &nodeState{Pool: pool.ID}
	return set
}

func showScaleSet(tx *world.Tx, one *resource, wire map[string]any) error {
	nodes, err := children(tx, typeScaleSetVM, one.key())
	sku := clone(object(one.Body, "sku"))
	sku["capacity"] = len(nodes)
	wire["sku"] = sku
	return err
}

func showScaleSetVM(_ *world.Tx, one *resource, wire map[string]any) error {
	p := wire["properties"].(map[string]any)
	p["osProfile"] = map[string]any{"computerName": one.Node.Name}
	p["vmId"], p["latestModelApplied"] = one.GUID, true
	wire["instanceId"] = lastOf(one.ID)
	return nil
}

// belongings makes what is stored of a cluster's load balancers and disks what was found in it.
func (c *Cloud) belongings(ctx context.Context, id string, found clusters.Inventory) error {
	return c.World.View(ctx, func(tx *world.Tx) error {
		one, err := clusterByGUID(tx, id)
		if err != nil || one == nil || one.State == deleting {
			return err
		}
		group, err := find(tx, typeGroup, one.Cluster.NodeGroup)
		if err != nil || group == nil || group.State == deleting {
			return err // somebody removed it
		}
		now := c.World.Clock.Now()
		return errors.Join(reconcileDisks(tx, one, found.Volumes, now), reconcileBalancer(tx, one, found.LoadBalancers, now))
	})
}

// managed are the resources of a type that a cluster's controllers made in its node group, by a beginning of their names.
func managed(tx *world.Tx, one *resource, typ, prefix string) ([]*resource, error) {
	all, err := children(tx, typ, one.Cluster.NodeGroup)
	return slices.DeleteFunc(all, func(r *resource) bool { return r.ManagedBy != one.GUID || !strings.HasPrefix(r.Name, prefix) }), err
}

func reconcileDisks(tx *world.Tx, one *resource, volumes []clusters.Volume, now time.Time) error {
	have, err := managed(tx, one, typeDisk, "")
	if err != nil {
		return err
	}
	for _, v := range volumes {
		if slices.ContainsFunc(have, func(d *resource) bool { return d.Name == v.Name }) {
			continue
		}
		if err := add(tx, newDisk(one, v, now), world.Effect{}); err != nil {
			return err
		}
	}
	for _, d := range have {
		if !slices.ContainsFunc(volumes, func(v clusters.Volume) bool { return v.Name == d.Name }) {
			if err := remove(tx, d, world.Effect{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// newDisk is the disk of a claim, as the CSI driver makes and tags it.
func newDisk(one *resource, v clusters.Volume, now time.Time) *resource {
	d := one.inNodeGroup(typeDisk, v.Name, now)
	d.Body["sku"] = map[string]any{"name": "StandardSSD_LRS", "tier": "Standard"}
	namespace, claim, _ := strings.Cut(v.Claim, "/")
	d.Body["tags"] = map[string]any{"k8s-azure-created-by": "kubernetes-azure-dd", "kubernetes.io-created-for-pv-name": v.Name,
		"kubernetes.io-created-for-pvc-name": claim, "kubernetes.io-created-for-pvc-namespace": namespace}
	d.Body["properties"] = map[string]any{"creationData": map[string]any{"createOption": "Empty"}, "diskSizeGB": v.SizeGiB, "diskSizeBytes": v.SizeGiB << 30,
		"diskState": "Attached", "timeCreated": now.Format(time.RFC3339Nano), "uniqueId": d.GUID}
	return d
}

func reconcileBalancer(tx *world.Tx, one *resource, services []clusters.LoadBalancer, now time.Time) error {
	have, err := managed(tx, one, typeAddress, balancerName+"-")
	if err != nil {
		return err
	}
	serving := map[string]bool{}
	for _, s := range services {
		name := balancerName + "-" + s.Name
		serving[name] = true
		i := slices.IndexFunc(have, func(a *resource) bool { return a.Name == name })
		switch {
		case i < 0:
			address, err := newAddress(tx, one, name, s.IP, now)
			if err == nil {
				address.tag("k8s-azure-cluster-name", balancerName)
				address.tag("k8s-azure-service", s.Service)
				err = add(tx, address, world.Effect{})
			}
			if err != nil {
				return err
			}
		case s.IP != "" && text(have[i].properties(), "ipAddress") != s.IP:
			have[i].properties()["ipAddress"] = s.IP
			if err := put(tx, have[i]); err != nil {
				return err
			}
		}
	}
	for _, a := range have {
		if !serving[a.Name] {
			if err := remove(tx, a, world.Effect{}); err != nil {
				return err
			}
		}
	}
	return writeBalancer(tx, one, services, now)
}

// writeBalancer makes the load balancer that the addresses want, or none.
func writeBalancer(tx *world.Tx, one *resource, services []clusters.LoadBalancer, now time.Time) error {
	addresses, err := managed(tx, one, typeAddress, "")
	if err != nil {
		return err
	}
	wanted := one.newBalancer(addresses, services, now)
	old, err := find(tx, typeBalancer, wanted.ID)
	if err != nil {
		return err
	}
	switch {
	case old == nil && len(addresses) == 0:
		return nil
	case old == nil:
		return add(tx, wanted, world.Effect{})
	case len(addresses) == 0:
		return remove(tx, old, world.Effect{})
	}
	wanted.properties()["resourceGuid"] = old.properties()["resourceGuid"]
	if sameJSON(wanted.properties(), old.properties()) {
		return nil
	}
	old.Body["properties"] = wanted.properties()
	old.touch(now)
	return put(tx, old)
}
