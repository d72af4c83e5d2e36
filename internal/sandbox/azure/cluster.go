package azure

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/fleet"
	"github.com/m3o/platform/internal/sandbox/world"
)

// How long the Kubernetes service takes, before the time scale: what users see, as nothing is promised.
const (
	clusterCreation = 5 * time.Minute
	clusterChange   = 60 * time.Second
	clusterUpgrade  = 6 * time.Minute
	clusterDeletion = 4 * time.Minute
	poolCreation    = 3 * time.Minute
	poolScaling     = 2 * time.Minute
	poolChange      = 30 * time.Second
	poolDeletion    = 2 * time.Minute

	defaultCoreLimit = 100
	maxPools         = 100
	maxNodes         = 1000
	// groupNameLimit is how long the name of a node resource group can be.
	groupNameLimit = 80
)

// clusterState is what the sandbox keeps of a managed cluster beside its body.
type clusterState struct {
	// Place is where the runner keeps it.
	Place string `json:"place"`
	// Version is the full version that it has, Target that of an upgrade under way.
	Version string `json:"version"`
	Target  string `json:"target,omitempty"`
	// NodeGroup is the id of its node resource group.
	NodeGroup string `json:"node_group"`
	// Number is in the names of what is in that.
	Number string `json:"number"`
	// Code and Message say why it failed.
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

var clusterName = regexp.MustCompile(`^[a-zA-Z0-9]$|^[a-zA-Z0-9][-_a-zA-Z0-9]{0,61}[a-zA-Z0-9]$`)

// derived are the properties of a cluster that it says and nobody sets.
var derived = []string{"provisioningState", "powerState", "fqdn", "azurePortalFQDN", "privateFQDN", "currentKubernetesVersion", "maxAgentPools", "resourceUID", "agentPoolProfiles"}

func showCluster(tx *world.Tx, one *resource, wire map[string]any) error {
	p := wire["properties"].(map[string]any)
	c := one.Cluster
	p["powerState"] = map[string]any{"code": "Running"}
	p["currentKubernetesVersion"], p["maxAgentPools"], p["resourceUID"] = c.Version, maxPools, strings.ReplaceAll(one.GUID, "-", "")[:24]
	prefix := text(p, "dnsPrefix") + "-" + one.GUID[:8]
	p["fqdn"] = prefix + ".hcp." + one.Location + ".azmk8s.io"
	p["azurePortalFQDN"] = prefix + ".portal.hcp." + one.Location + ".azmk8s.io"
	wire["eTag"] = one.Etag
	wire["systemData"] = map[string]any{"createdAt": one.CreatedAt.Format(time.RFC3339Nano), "createdByType": "Application",
		"lastModifiedAt": one.ChangedAt.Format(time.RFC3339Nano), "lastModifiedByType": "Application"}
	pools, err := children(tx, typePool, one.key())
	profiles := []any{}
	for _, pool := range pools {
		profile := pool.profile()
		profile["name"] = pool.Name
		profiles = append(profiles, profile)
	}
	p["agentPoolProfiles"] = profiles
	return err
}

// inProgressRefusal is how the service refuses while another operation is under way.
func inProgressRefusal(what string) *refusal {
	return conflict("OperationNotAllowed", "Operation is not allowed: Another operation (%s) is in progress, please wait for it to finish before starting a new operation. "+
		"See https://aka.ms/aks-pending-operation for more details", what)
}

func putCluster(r *request) (reply, error) {
	body, err := r.decode()
	if err != nil {
		return reply{}, err
	}
	if !clusterName.MatchString(r.params["name"]) {
		return reply{}, badRequest("InvalidParameter", "The value of parameter name is invalid. Error details: managed cluster name '%s' has 1 to 63 letters, digits, "+
			"underscores and hyphens, and begins and ends with a letter or digit. Please see https://aka.ms/aks-naming-rules for more details.", r.params["name"])
	}
	var answer reply
	err = r.Commit(func(tx *world.Tx) error {
		group, err := r.liveGroup(tx)
		if err != nil {
			return err
		}
		old, err := r.replaced(tx, body)
		switch {
		case err != nil:
			return err
		case old == nil:
			answer, err = r.createCluster(tx, group, body)
		case old.busy():
			return inProgressRefusal(old.State)
		default:
			answer, err = r.changeCluster(tx, old, body)
		}
		return err
	})
	return answer, err
}

func (r *request) createCluster(tx *world.Tx, group *resource, body map[string]any) (reply, error) {
	one := &resource{GUID: uuid.NewString(), ID: idIn(r.cloud.Account.Subscription, group.Name, typeCluster, r.params["name"]), Type: typeCluster, Name: r.params["name"],
		CreatedAt: r.At, Sent: body, Body: withoutReadOnly(body), State: creating, Cluster: &clusterState{}}
	one.Location, _ = placeOf(text(body, "location"))
	delete(one.Body, "location")
	one.touch(r.At)
	profiles := items(one.properties(), "agentPoolProfiles")
	if err := r.completeCluster(tx, one); err != nil {
		return reply{}, err
	}
	pools, err := r.newPools(tx, one, profiles)
	if err != nil {
		return reply{}, err
	}
	if one.Cluster.Place, err = r.freePlace(tx); err != nil {
		return reply{}, err
	}
	if err := r.begin(tx, one, verbMake, clusterCreation); err != nil {
		return reply{}, err
	}
	if err := r.makeNodeGroup(tx, one); err != nil {
		return reply{}, err
	}
	if err := add(tx, one, r.asked()); err != nil {
		return reply{}, err
	}
	for _, pool := range pools {
		pool.Work, pool.State = one.Work, creating
		if err := r.addPool(tx, one, pool); err != nil {
			return reply{}, err
		}
	}
	if err := r.tellBegun(tx, one); err != nil {
		return reply{}, err
	}
	return r.show(tx, one, http.StatusCreated)
}

// completeCluster checks a new cluster and fills in what the service does.
func (r *request) completeCluster(tx *world.Tx, one *resource) error {
	p := one.properties()
	for _, property := range derived {
		delete(p, property)
	}
	c := one.Cluster
	version, err := r.cloud.resolveVersion(text(p, "kubernetesVersion"))
	if err != nil {
		return err
	}
	c.Version, c.Number = version, number8(one.GUID)
	if text(p, "kubernetesVersion") == "" {
		p["kubernetesVersion"] = version
	}
	if text(p, "dnsPrefix") == "" && text(p, "fqdnSubdomain") == "" {
		return badRequest("InvalidParameter", "Required parameter dnsPrefix is missing (null).")
	}
	if text(one.Body, "identity", "type") == "" && object(p, "servicePrincipalProfile") == nil {
		return badRequest("InvalidParameter", "The credentials in ServicePrincipalProfile were invalid. Please see https://aka.ms/aks-sp-help for more details.")
	}
	if truth(p, "apiServerAccessProfile", "enablePrivateCluster") {
		return badRequest("InvalidParameter", "apiServerAccessProfile.enablePrivateCluster: the sandbox has no private clusters.")
	}
	if err := r.nameNodeGroup(tx, one); err != nil {
		return err
	}
	if err := r.completeIdentities(tx, one); err != nil {
		return err
	}
	defaultCluster(r, one)
	return nil
}

// defaultCluster fills in what a new cluster leaves out.
func defaultCluster(r *request, one *resource) {
	p := one.properties()
	defaults(one.Body, map[string]any{"sku": map[string]any{"name": "Base", "tier": "Free"}})
	defaults(p, map[string]any{"enableRBAC": true, "supportPlan": "KubernetesOfficial", "disableLocalAccounts": false, "networkProfile": map[string]any{},
		"securityProfile": map[string]any{}, "oidcIssuerProfile": map[string]any{"enabled": false}, "servicePrincipalProfile": map[string]any{"clientId": "msi"}})
	n := object(p, "networkProfile")
	defaults(n, map[string]any{"networkPlugin": "azure", "loadBalancerSku": "standard", "outboundType": "loadBalancer", "serviceCidr": "10.0.0.0/16",
		"dnsServiceIP": "10.0.0.10", "networkDataplane": "azure", "networkPolicy": "none", "ipFamilies": []any{"IPv4"}})
	defaults(n, map[string]any{"serviceCidrs": []any{n["serviceCidr"]}})
	if pods := text(n, "podCidr"); pods != "" {
		defaults(n, map[string]any{"podCidrs": []any{pods}})
	}
	p["storageProfile"] = map[string]any{"diskCSIDriver": map[string]any{"enabled": true}, "fileCSIDriver": map[string]any{"enabled": true}, "snapshotController": map[string]any{"enabled": true}}
	if aad := object(p, "aadProfile"); aad != nil {
		defaults(aad, map[string]any{"tenantID": r.cloud.Account.Tenant, "enableAzureRBAC": false, "adminGroupObjectIDs": nil})
	}
	if issuer := object(p, "oidcIssuerProfile"); truth(issuer, "enabled") {
		issuer["issuerURL"] = fmt.Sprintf("https://%s.oic.prod-aks.azure.com/%s/%s/", one.Location, r.cloud.Account.Tenant, one.GUID)
	}
}

// nameNodeGroup finds the name of the node resource group, which must be free.
func (r *request) nameNodeGroup(tx *world.Tx, one *resource) error {
	p := one.properties()
	name := text(p, "nodeResourceGroup")
	if name == "" {
		name = fmt.Sprintf("MC_%s_%s_%s", r.params["resourcegroupname"], one.Name, one.Location)
		name = strings.TrimRight(name[:min(len(name), groupNameLimit)], ".")
	}
	if len(name) > groupNameLimit || !groupName.MatchString(name) {
		return badRequest("InvalidParameter", "The value of parameter nodeResourceGroup is invalid: '%s' has more than %d characters or others than resource groups have.", name, groupNameLimit)
	}
	there, err := find(tx, typeGroup, r.groupID(name))
	if err != nil {
		return err
	}
	if there != nil {
		return conflict("NodeResourceGroupAlreadyExists", "The node resource group '%s' already exists. Please use a different name for the node resource group.", name)
	}
	p["nodeResourceGroup"], one.Cluster.NodeGroup = name, r.groupID(name)
	return nil
}

// changeCluster brings a cluster to what a PUT says: its version, its settings, and the counts of its pools. A body that changes
// nothing begins nothing.
func (r *request) changeCluster(tx *world.Tx, one *resource, body map[string]any) (reply, error) {
	sent := withoutReadOnly(body)
	delete(sent, "location")
	p := object(sent, "properties")
	profiles := items(p, "agentPoolProfiles")
	for _, property := range derived {
		delete(p, property)
	}
	merged := clone(one.Body)
	for key, value := range sent {
		if key != "properties" {
			merged[key] = value
		}
	}
	kept := object(merged, "properties")
	for key, value := range p {
		kept[key] = value
	}
	takes := clusterChange
	target, err := r.upgradeTarget(one, text(p, "kubernetesVersion"))
	if err != nil {
		return reply{}, err
	}
	if target != "" {
		takes = clusterUpgrade
	}
	changed := target != "" || !same(merged, one.Body) || one.State == failed
	pools, err := r.changePools(tx, one, profiles)
	if err != nil {
		return reply{}, err
	}
	if !changed && len(pools) == 0 {
		return r.show(tx, one, http.StatusOK)
	}
	if err := r.checkFixed(one.Body, merged); err != nil {
		return reply{}, err
	}
	one.Body, one.Sent, one.Cluster.Target = merged, body, target
	if err := r.completeIdentities(tx, one); err != nil {
		return reply{}, err
	}
	if err := r.beginChange(tx, one, takes); err != nil {
		return reply{}, err
	}
	for _, apply := range pools {
		if err := apply(); err != nil {
			return reply{}, err
		}
	}
	return r.show(tx, one, http.StatusOK)
}

// beginChange makes a cluster be at work, and tells the caller by what operation.
func (r *request) beginChange(tx *world.Tx, one *resource, takes time.Duration) error {
	one.State = updating
	if err := r.begin(tx, one, verbChange, takes); err != nil {
		return err
	}
	one.touch(r.At)
	return errors.Join(put(tx, one), tx.Record(one.effect(world.Updated, r.asked())), r.tellBegun(tx, one))
}

// fixed are the properties that cannot change once a cluster is there.
var fixed = []string{"dnsPrefix", "fqdnSubdomain", "nodeResourceGroup", "enableRBAC", "diskEncryptionSetID"}

func (r *request) checkFixed(old, changed map[string]any) error {
	for _, property := range fixed {
		if !same(map[string]any{"": at(old, "properties", property)}, map[string]any{"": at(changed, "properties", property)}) {
			return badRequest("PropertyChangeNotAllowed", "Changing property 'properties.%s' is not allowed.", property)
		}
	}
	return nil
}

// patchCluster changes a cluster's tags.
func patchCluster(r *request) (reply, error) {
	body, err := r.decode()
	if err != nil {
		return reply{}, err
	}
	var answer reply
	err = r.Commit(func(tx *world.Tx) error {
		one, err := r.existing(tx)
		if err != nil {
			return err
		}
		if one.busy() {
			return inProgressRefusal(one.State)
		}
		if !same(object(one.Body["tags"]), object(body, "tags")) {
			one.Body["tags"] = object(body, "tags")
			if err := r.beginChange(tx, one, clusterChange/4); err != nil {
				return err
			}
		}
		answer, err = r.show(tx, one, http.StatusOK)
		return err
	})
	return answer, err
}

// deleteCluster begins a cluster's end. It is accepted whatever the cluster is doing, and preempts it.
func deleteCluster(r *request) (reply, error) {
	status := http.StatusNoContent
	err := r.Commit(func(tx *world.Tx) error {
		if _, err := r.group(tx); err != nil {
			return err
		}
		one, err := find(tx, typeCluster, r.id())
		if err != nil || one == nil {
			return err
		}
		if err := r.checkConditions(one); err != nil {
			return err
		}
		status = http.StatusAccepted
		if one.State != deleting {
			if err := r.beginClusterEnd(tx, one); err != nil {
				return err
			}
		}
		return r.tellBegun(tx, one)
	})
	return reply{status: status}, err
}

// beginClusterEnd ends whatever works on a cluster, and begins its end.
func (r *request) beginClusterEnd(tx *world.Tx, one *resource) error {
	if err := cancelWork(tx, one, r.At); err != nil {
		return err
	}
	one.State = deleting
	if err := r.begin(tx, one, verbDelete, clusterDeletion); err != nil {
		return err
	}
	one.touch(r.At)
	pools, err := children(tx, typePool, one.key())
	if err != nil {
		return err
	}
	for _, pool := range pools {
		if err := cancelWork(tx, pool, r.At); err != nil {
			return err
		}
		pool.State, pool.Work = deleting, one.Work
		if err := put(tx, pool); err != nil {
			return err
		}
	}
	return errors.Join(put(tx, one), tx.Record(one.effect(world.Updated, r.asked())))
}

// cancelWork ends the operation on a resource, if one is under way.
func cancelWork(tx *world.Tx, one *resource, now time.Time) error {
	if one.Operation == "" {
		return nil
	}
	o, err := world.Get[operation](tx, ref(kindOperation, one.Operation))
	one.Operation = ""
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return o.end(tx, now, canceled, "OperationPreempted", "The operation has been preempted by another one.")
}

// freePlace finds where the runner can keep one more cluster.
func (r *request) freePlace(tx *world.Tx) (string, error) {
	places := r.cloud.Runner.Places()
	place, found, err := fleet.FreePlace(tx, places)
	if err != nil || found {
		return place, err
	}
	return "", badRequest("QuotaExceeded", "Maximum number of managed clusters (%d) in the subscription was reached. (The sandbox has room for no more.)", len(places))
}

// number8 is the number that is in the names of a cluster's node resources.
func number8(guid string) string {
	n := 0
	for _, c := range guid {
		n = (n*31 + int(c)) % 90_000_000
	}
	return fmt.Sprint(10_000_000 + n)
}
