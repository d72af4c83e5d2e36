package azure

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/m3o/platform/internal/sandbox/world"
)

// patches are the patch releases of each minor version on offer, newest first.
var patches = []string{"2", "1"}

func (c *Cloud) fullVersions() []string {
	var all []string
	for _, minor := range c.Versions {
		for _, patch := range patches {
			all = append(all, minor+"."+patch)
		}
	}
	return all
}

func minorOf(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(len(parts), 2)], ".")
}

func minorNumber(version string) int {
	_, minor, _ := strings.Cut(minorOf(version), ".")
	n, err := strconv.Atoi(minor)
	if err != nil {
		return -1
	}
	return n
}

// defaultVersion is the one that a cluster gets whose caller does not say: the newest minor but one.
func (c *Cloud) defaultVersion() string { return c.Versions[min(1, len(c.Versions)-1)] }

// resolveVersion finds the full version for a minor or a full one.
func (c *Cloud) resolveVersion(asked string) (string, error) {
	if asked == "" {
		asked = c.defaultVersion()
	}
	if slices.Contains(c.Versions, asked) {
		return asked + "." + patches[0], nil
	}
	if slices.Contains(c.fullVersions(), asked) {
		return asked, nil
	}
	return "", badRequest("K8sVersionNotSupported", "Managed cluster is on version %s, which is not supported in this region. Please use [az aks get-versions] command to get the "+
		"supported version list in this region. For more information, please check https://aka.ms/supported-version-list", asked)
}

// upgradeTarget is the version that a cluster is to be brought to, "" if it has it. A minor version that it has asks for nothing.
func (r *request) upgradeTarget(one *resource, asked string) (string, error) {
	have := one.Cluster.Version
	if asked == "" || asked == have || asked == minorOf(have) {
		return "", nil
	}
	target, err := r.cloud.resolveVersion(asked)
	if err != nil {
		return "", err
	}
	if !slices.Contains(r.cloud.upgrades(have), target) {
		return "", conflict("OperationNotAllowed", "Upgrading Kubernetes version %s to %s is not allowed. Available upgrades: [%s]. Please see https://aka.ms/aks-supported-k8s-ver "+
			"for version details.", have, target, strings.Join(r.cloud.upgrades(have), " "))
	}
	return target, nil
}

// upgrades are the versions that one can be brought to: newer patches of its minor version, and the next minor version.
func (c *Cloud) upgrades(from string) []string {
	var to []string
	for _, v := range c.fullVersions() {
		step := minorNumber(v) - minorNumber(from)
		if step == 1 || step == 0 && v > from {
			to = append(to, v)
		}
	}
	slices.Reverse(to)
	return to
}

func listKubernetesVersions(r *request) (reply, error) {
	if _, known := placeOf(r.params["location"]); !known {
		return reply{}, r.noLocation("locations/kubernetesVersions")
	}
	values := []any{}
	for _, minor := range r.cloud.Versions {
		one := map[string]any{"version": minor, "capabilities": map[string]any{"supportPlan": []any{"KubernetesOfficial", "AKSLongTermSupport"}}, "patchVersions": map[string]any{}}
		if minor == r.cloud.defaultVersion() {
			one["isDefault"] = true
		}
		for _, patch := range patches {
			full := minor + "." + patch
			one["patchVersions"].(map[string]any)[full] = map[string]any{"upgrades": anys(r.cloud.upgrades(full))}
		}
		values = append(values, one)
	}
	return reply{status: http.StatusOK, body: map[string]any{"values": values}}, nil
}

// listOrchestrators is the older form of the list, which azure-cli asks for.
func listOrchestrators(r *request) (reply, error) {
	place, known := placeOf(r.params["location"])
	if !known {
		return reply{}, r.noLocation("locations/orchestrators")
	}
	all := []any{}
	for _, full := range r.cloud.fullVersions() {
		one := map[string]any{"orchestratorType": "Kubernetes", "orchestratorVersion": full, "upgrades": r.upgradeItems(full)}
		if full == r.cloud.defaultVersion()+"."+patches[0] {
			one["default"] = true
		}
		all = append(all, one)
	}
	return reply{status: http.StatusOK, body: map[string]any{"id": fmt.Sprintf("/subscriptions/%s/providers/Microsoft.ContainerService/locations/%s/orchestrators", r.cloud.Account.Subscription, place),
		"name": "default", "type": "Microsoft.ContainerService/locations/orchestrators", "properties": map[string]any{"orchestrators": all}}}, nil
}

func (r *request) upgradeItems(from string) []any {
	all := []any{}
	for _, v := range r.cloud.upgrades(from) {
		all = append(all, map[string]any{"kubernetesVersion": v, "orchestratorVersion": v, "orchestratorType": "Kubernetes"})
	}
	return all
}

func getUpgradeProfile(r *request) (reply, error) {
	var body map[string]any
	err := r.View(func(tx *world.Tx) error {
		one, err := r.existing(tx)
		if err != nil {
			return err
		}
		pools, err := children(tx, typePool, one.key())
		var profiles []any
		for _, pool := range pools {
			version := text(pool.Body, "properties", "currentOrchestratorVersion")
			profiles = append(profiles, map[string]any{"kubernetesVersion": version, "name": pool.Name, "osType": "Linux", "upgrades": r.kubernetesUpgrades(version)})
		}
		body = map[string]any{"id": one.ID + "/upgradeprofiles/default", "name": "default", "type": typeCluster + "/upgradeprofiles", "properties": map[string]any{
			"controlPlaneProfile": map[string]any{"kubernetesVersion": one.Cluster.Version, "name": "", "osType": "Linux", "upgrades": r.kubernetesUpgrades(one.Cluster.Version)},
			"agentPoolProfiles":   profiles}}
		return err
	})
	return reply{status: http.StatusOK, body: body}, err
}

func (r *request) kubernetesUpgrades(from string) []any {
	all := []any{}
	for _, v := range r.cloud.upgrades(from) {
		all = append(all, map[string]any{"kubernetesVersion": v})
	}
	return all
}
