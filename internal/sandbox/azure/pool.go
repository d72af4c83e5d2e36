package azure

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/world"
)

// scaling is the state of a pool whose number of nodes changes, upgrading of one that gets another version.
const (
	scaling   = "Scaling"
	upgrading = "Upgrading"
)

var poolName = regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`)

// nodeState is what the sandbox keeps of a node and of a scale set.
type nodeState struct {
	// Name is the node's in Kubernetes.
	Name string `json:"name,omitempty"`
	// Pool is the id of the pool that it belongs to.
	Pool string `json:"pool"`
	// Next is the number of the next instance of a scale set: they are not used twice.
	Next int `json:"next,omitempty"`
}

// working says that an operation works on a pool.
func (r *resource) working() bool { return r.busy() || r.State == scaling || r.State == upgrading }

// profile is a pool's properties, as the pool itself and its cluster show them.
func (r *resource) profile() map[string]any {
	p := clone(object(r.Body, "properties"))
	p["provisioningState"], p["eTag"] = r.State, r.Etag
	p["powerState"] = map[string]any{"code": "Running"}
	return p
}

func showPool(_ *world.Tx, one *resource, wire map[string]any) error {
	delete(wire, "location")
	wire["properties"] = one.profile()
	return nil
}

// newPool checks what was sent for a pool and fills in what the service does.
func (r *request) newPool(tx *world.Tx, cluster, old *resource, name string, sent map[string]any) (*resource, error) {
	if !poolName.MatchString(name) {
		return nil, badRequest("InvalidParameter", "The value of parameter agentPoolProfile.name is invalid: '%s' begins with a lower-case letter and has 1 to 12 lower-case letters and digits. "+
			"Please see https://aka.ms/aks-naming-rules for more details.", name)
	}
	one := &resource{GUID: uuid.NewString(), ID: cluster.ID + "/agentPools/" + name, Type: typePool, Name: name, CreatedAt: r.At, Sent: sent,
		Body: map[string]any{"properties": clone(sent)}}
	one.touch(r.At)
	p := one.properties()
	for _, property := range []string{"name", "provisioningState", "eTag", "powerState", "nodeImageVersion", "currentOrchestratorVersion"} {
		delete(p, property)
	}
	version := cluster.Cluster.Version
	if old != nil {
		version = text(old.properties(), "currentOrchestratorVersion")
	}
	if asked := text(p, "orchestratorVersion"); asked != "" {
		var err error
		if version, err = r.cloud.resolveVersion(asked); err != nil {
			return nil, err
		}
	}
	defaults(p, map[string]any{"count": float64(1), "osType": "Linux", "osSKU": "Ubuntu", "osDiskSizeGB": float64(128), "osDiskType": "Managed", "kubeletDiskType": "OS", "maxPods": float64(110),
		"type": "VirtualMachineScaleSets", "mode": "User", "enableAutoScaling": false, "enableFIPS": false, "scaleDownMode": "Delete", "orchestratorVersion": version,
		"upgradeSettings": map[string]any{"maxSurge": "10%"}, "enableNodePublicIP": false})
	if size, _ := number(p, "osDiskSizeGB"); size == 0 { // asks for the default
		p["osDiskSizeGB"] = float64(128)
	}
	p["currentOrchestratorVersion"], p["nodeImageVersion"] = version, "AKSUbuntu-2204gen2containerd-202611.15.0"
	return one, r.checkPool(tx, cluster, one)
}

// checkPool checks a pool's size, zones, subnet and count.
func (r *request) checkPool(tx *world.Tx, cluster, one *resource) error {
	p := one.properties()
	of, known := findSize(text(p, "vmSize"))
	if !known {
		return badRequest("BadRequest", "The VM size of %s is not allowed in your subscription in location '%s'. For more details, please visit https://aka.ms/cpu-quota",
			text(p, "vmSize"), cluster.Location)
	}
	if !of.isIn(cluster.Location) {
		return conflict("SkuNotAvailable", "The requested VM size for resource '%s' is currently not available in location '%s'. Please try another size or deploy to a different "+
			"location or different zone. See https://aka.ms/azureskunotavailable for details.", of.name, cluster.Location)
	}
	if text(p, "osType") != "Linux" || truth(p, "enableAutoScaling") {
		return badRequest("InvalidParameter", "agentPoolProfile %s: the sandbox has neither Windows nodes nor autoscaling.", one.Name)
	}
	for _, zone := range textsOf(p, "availabilityZones") {
		if !hasZones(cluster.Location) || !slices.Contains([]string{"1", "2", "3"}, zone) {
			return badRequest("AvailabilityZoneNotSupported", "Preflight validation check for resource(s) for container service %s failed. Message: The zone(s) '%s' for resource '%s' is not "+
				"supported. The supported zones for location '%s' are '%s'.", cluster.Name, zone, one.Name, cluster.Location, zonesText(cluster.Location))
		}
	}
	count, whole := number(p, "count")
	if !whole || count < 0 || count > maxNodes || count == 0 && text(p, "mode") == "System" {
		return badRequest("InvalidParameter", "The value of parameter agentPoolProfile.count is invalid: a pool has up to %d nodes, and one of mode System at least one.", maxNodes)
	}
	return r.checkPoolSubnet(tx, cluster, one)
}

func zonesText(place string) string {
	if hasZones(place) {
		return "1,2,3"
	}
	return ""
}

func (r *request) checkPoolSubnet(tx *world.Tx, cluster, one *resource) error {
	id := text(one.properties(), "vnetSubnetID")
	outbound := text(cluster.properties(), "networkProfile", "outboundType")
	if id == "" {
		if outbound == "userAssignedNATGateway" {
			return badRequest("InvalidParameter", "The outbound type userAssignedNATGateway needs agentPoolProfile.vnetSubnetID.")
		}
		return nil
	}
	subnet, err := find(tx, typeSubnet, id)
	if err != nil {
		return err
	}
	if subnet == nil {
		return badRequest("InvalidParameter", "The value of parameter agentPoolProfile.vnetSubnetID is invalid. Error details: the subnet %s does not exist.", id)
	}
	if outbound == "userAssignedNATGateway" && text(subnet.Body, "properties", "natGateway", "id") == "" {
		return badRequest("NatGatewayNotAssociatedWithSubnet", "The outbound type userAssignedNATGateway needs a NAT gateway on subnet %s.", id)
	}
	return nil
}

// newPools are the pools that are sent with a new cluster.
func (r *request) newPools(tx *world.Tx, cluster *resource, profiles []any) ([]*resource, error) {
	var pools []*resource
	isSystem := func(p *resource) bool { return text(p.properties(), "mode") == "System" }
	cores := 0
	for _, profile := range profiles {
		pool, err := r.newPool(tx, cluster, nil, text(profile, "name"), object(profile))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(pools, func(o *resource) bool { return o.Name == pool.Name }) {
			return nil, badRequest("InvalidParameter", "The agent pool name %s is used twice.", pool.Name)
		}
		count, _ := number(pool.properties(), "count")
		cores += count * coresOf(pool)
		pools = append(pools, pool)
	}
	if !slices.ContainsFunc(pools, isSystem) {
		return nil, badRequest("InvalidParameter", "Must define at least one system pool.")
	}
	return pools, r.room(tx, cluster.Location, cores)
}

func coresOf(pool *resource) int {
	of, _ := findSize(text(pool.properties(), "vmSize"))
	return of.cpus
}

// room says whether the subscription may have so many more virtual CPUs in a location.
func (r *request) room(tx *world.Tx, place string, more int) error {
	have, _, err := coresIn(tx, place)
	if err == nil && more > 0 && have+more > r.cloud.CoreLimit {
		return coreQuota(place, r.cloud.CoreLimit-have, more)
	}
	return err
}

func coreQuota(place string, left, asked int) *refusal {
	return badRequest("ErrCode_InsufficientVCPUQuota", "Insufficient regional vcpu quota left for location %s. left regional vcpu quota %d, requested quota %d. If you want to increase the quota, "+
		"please follow this instruction: https://learn.microsoft.com/en-us/azure/quotas/view-quotas. Surge nodes would also consume vcpu quota.", place, left, asked)
}

// quotaRefusal is how an injected limit of the subscription shows.
func (r *request) quotaRefusal() error {
	kind := r.route.kind
	switch {
	case r.route.isAKS():
		return coreQuota("the region", 0, 2)
	case kind != nil && kind.typ == typeAddress:
		return addressQuota(0)
	case kind != nil:
		return badRequest("ResourceCountExceedsLimitDueToTemplate", "Cannot create more than 0 resources of type %s for this subscription in this region.", kind.typ)
	}
	return conflict("ResourceGroupQuotaExceeded", "Creating the resource group '%s' would exceed the quota of '980' resource groups of the subscription.", r.params["resourcegroupname"])
}

// addPool writes a new pool down with its scale set and its nodes, which are on their way as the pool is.
func (r *request) addPool(tx *world.Tx, cluster, pool *resource) error {
	if err := add(tx, pool, r.asked()); err != nil {
		return err
	}
	set := r.newScaleSet(cluster, pool)
	count, _ := number(pool.properties(), "count")
	if err := add(tx, set, r.asked()); err != nil {
		return err
	}
	return r.addNodes(tx, cluster, pool, set, count, pool.Work)
}

// addNodes adds nodes to a pool's scale set.
func (r *request) addNodes(tx *world.Tx, cluster, pool, set *resource, count int, work world.Transition) error {
	for range count {
		number := set.Node.Next
		set.Node.Next++
		zones := textsOf(pool.properties(), "availabilityZones")
		n := &resource{GUID: uuid.NewString(), ID: fmt.Sprintf("%s/virtualMachines/%d", set.ID, number), Type: typeScaleSetVM, Name: fmt.Sprintf("%s_%d", set.Name, number),
			Location: cluster.Location, State: creating, CreatedAt: r.At, ManagedBy: cluster.GUID, Work: work,
			Body: map[string]any{"sku": map[string]any{"name": text(pool.properties(), "vmSize"), "tier": "Standard"}},
			Node: &nodeState{Pool: pool.ID, Name: set.Name + base36(number)}}
		if len(zones) > 0 {
			n.Body["zones"] = []any{zones[number%len(zones)]}
		}
		n.touch(r.At)
		if err := add(tx, n, r.asked()); err != nil {
			return err
		}
	}
	return put(tx, set)
}

// base36 is a scale set instance's number as computer names have it: six digits of base 36.
func base36(n int) string {
	digits := strconv.FormatInt(int64(n), 36)
	return strings.Repeat("0", max(0, 6-len(digits))) + digits
}

// nodesOf lists a pool's nodes, oldest first.
func nodesOf(tx *world.Tx, cluster, pool *resource) ([]*resource, error) {
	return children(tx, typeScaleSetVM, scaleSetID(cluster, pool))
}

// changePools finds what a PUT of a cluster changes of its pools, checked and ready to be carried out.
func (r *request) changePools(tx *world.Tx, cluster *resource, profiles []any) ([]func() error, error) {
	var changes []func() error
	for _, profile := range profiles {
		name := text(profile, "name")
		old, err := find(tx, typePool, cluster.ID+"/agentPools/"+name)
		if err != nil {
			return nil, err
		}
		pool, err := r.newPool(tx, cluster, old, name, object(profile))
		if err != nil {
			return nil, err
		}
		change, err := r.poolChange(tx, cluster, old, pool)
		if err != nil {
			return nil, err
		}
		if change != nil {
			changes = append(changes, change)
		}
	}
	return changes, nil
}

// poolChange checks what it takes to make a pool what was sent, and returns what carries it out: nil when it is that already.
func (r *request) poolChange(tx *world.Tx, cluster, old, sent *resource) (func() error, error) {
	count, _ := number(sent.properties(), "count")
	if old == nil {
		if err := r.room(tx, cluster.Location, count*coresOf(sent)); err != nil {
			return nil, err
		}
		return func() error {
			sent.State = creating
			if err := r.begin(tx, sent, verbMake, poolCreation); err != nil {
				return err
			}
			return r.addPool(tx, cluster, sent)
		}, nil
	}
	if old.working() {
		return nil, inProgressRefusal(old.Name + " - " + old.State)
	}
	if !strings.EqualFold(text(old.properties(), "vmSize"), text(sent.properties(), "vmSize")) {
		return nil, badRequest("PropertyChangeNotAllowed", "Changing property 'properties.vmSize' is not allowed.")
	}
	had, _ := number(old.properties(), "count")
	if had == count && old.State == succeeded && same(old.properties(), sent.properties()) {
		return nil, nil
	}
	if err := r.room(tx, cluster.Location, (count-had)*coresOf(sent)); err != nil {
		return nil, err
	}
	state, takes := updating, poolChange
	switch {
	case had != count:
		state, takes = scaling, poolScaling
	case text(old.properties(), "orchestratorVersion") != text(sent.properties(), "orchestratorVersion"):
		state, takes = upgrading, poolCreation
	}
	return func() error {
		old.Body, old.Sent, old.State = sent.Body, sent.Sent, state
		if err := r.begin(tx, old, verbChange, takes); err != nil {
			return err
		}
		old.touch(r.At)
		return errors.Join(put(tx, old), tx.Record(old.effect(world.Updated, r.asked())), r.scale(tx, cluster, old, count))
	}, nil
}

// scale makes a pool have count nodes: the newest go first.
func (r *request) scale(tx *world.Tx, cluster, pool *resource, count int) error {
	all, err := nodesOf(tx, cluster, pool)
	if err != nil {
		return err
	}
	staying := slices.DeleteFunc(slices.Clone(all), func(n *resource) bool { return n.State == deleting })
	if more := count - len(staying); more > 0 {
		set, err := get(tx, typeScaleSet, scaleSetID(cluster, pool))
		if err != nil {
			return err
		}
		return r.addNodes(tx, cluster, pool, set, more, pool.Work)
	}
	for _, n := range staying[count:] {
		n.State, n.Work = deleting, pool.Work
		if err := put(tx, n); err != nil {
			return err
		}
	}
	return nil
}

// clusterOfPool is the cluster of the path, when it takes changes of its pools.
func (r *request) clusterOfPool(tx *world.Tx) (*resource, error) {
	if _, err := r.group(tx); err != nil {
		return nil, err
	}
	cluster, err := r.parent(tx, typeCluster)
	if err == nil && cluster.busy() {
		return nil, inProgressRefusal(cluster.State)
	}
	return cluster, err
}

func putPool(r *request) (reply, error) {
	body, err := r.decode()
	if err != nil {
		return reply{}, err
	}
	var answer reply
	err = r.Commit(func(tx *world.Tx) error {
		cluster, err := r.clusterOfPool(tx)
		if err != nil {
			return err
		}
		old, err := find(tx, typePool, r.id())
		if err != nil {
			return err
		}
		if err := r.checkConditions(old); err != nil {
			return err
		}
		sent, err := r.newPool(tx, cluster, old, r.params["childname"], object(body, "properties"))
		if err != nil {
			return err
		}
		change, err := r.poolChange(tx, cluster, old, sent)
		if err != nil {
			return err
		}
		answer, err = r.carryOut(tx, cluster, old, sent, change)
		return err
	})
	return answer, err
}

// carryOut makes a change of a pool, during which its cluster is updating as well.
func (r *request) carryOut(tx *world.Tx, cluster, old, sent *resource, change func() error) (reply, error) {
	one, status := old, http.StatusOK
	if old == nil {
		one, status = sent, http.StatusCreated
	}
	if change == nil {
		return r.show(tx, one, status)
	}
	if err := change(); err != nil {
		return reply{}, err
	}
	cluster.State, cluster.Operation = updating, ""
	cluster.touch(r.At)
	if err := errors.Join(put(tx, cluster), r.tellBegun(tx, one)); err != nil {
		return reply{}, err
	}
	return r.show(tx, one, status)
}

func deletePool(r *request) (reply, error) {
	status := http.StatusNoContent
	err := r.Commit(func(tx *world.Tx) error {
		cluster, err := r.clusterOfPool(tx)
		if err != nil {
			return err
		}
		one, err := find(tx, typePool, r.id())
		if err != nil || one == nil {
			return err
		}
		if err := r.checkConditions(one); err != nil {
			return err
		}
		if one.working() {
			return inProgressRefusal(one.Name + " - " + one.State)
		}
		if err := r.checkLast(tx, cluster, one); err != nil {
			return err
		}
		status = http.StatusAccepted
		one.State = deleting
		if err := r.begin(tx, one, verbDelete, poolDeletion); err != nil {
			return err
		}
		_, err = r.carryOut(tx, cluster, one, nil, func() error { return r.endPool(tx, cluster, one) })
		return err
	})
	return reply{status: status}, err
}

func (r *request) endPool(tx *world.Tx, cluster, one *resource) error {
	one.touch(r.At)
	return errors.Join(put(tx, one), tx.Record(one.effect(world.Updated, r.asked())), r.scale(tx, cluster, one, 0))
}

// checkLast keeps the last system pool.
func (r *request) checkLast(tx *world.Tx, cluster, one *resource) error {
	pools, err := children(tx, typePool, cluster.key())
	for _, other := range pools {
		if other.key() != one.key() && text(other.properties(), "mode") == "System" {
			return nil
		}
	}
	if err == nil && text(one.properties(), "mode") == "System" {
		err = badRequest("OperationNotAllowed", "There has to be at least one system agent pool. Agent pool %s cannot be deleted.", one.Name)
	}
	return err
}

// scaleSetID is the id of a pool's scale set.
func scaleSetID(cluster, pool *resource) string {
	return fmt.Sprintf("%s%s", cluster.Cluster.NodeGroup, inType(typeScaleSet, fmt.Sprintf("aks-%s-%s-vmss", pool.Name, cluster.Cluster.Number)))
}

// due is a short name of what turns ask all the time.
func (r *resource) due(now time.Time) bool { return r.Work.IsDue(now) }
