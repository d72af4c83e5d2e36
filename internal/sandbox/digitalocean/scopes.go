package digitalocean

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// scopes are what a token with custom scopes needs for an operation, as the official description says. An operation that the sandbox
// does not have needs nothing: it is not found.
var scopes = map[string][]string{
	"account_get":   {"account:read"},
	"regions_list":  {"regions:read"},
	"sizes_list":    {"sizes:read", "regions:read"},
	"droplets_list": {"droplet:read"},

	"vpcs_list":         {"vpc:read"},
	"vpcs_create":       {"vpc:create"},
	"vpcs_get":          {"vpc:read"},
	"vpcs_update":       {"vpc:update"},
	"vpcs_patch":        {"vpc:update"},
	"vpcs_delete":       {"vpc:delete"},
	"vpcs_list_members": {"vpc:read"},

	"kubernetes_list_options":                         {"kubernetes:read"},
	"kubernetes_list_clusters":                        {"kubernetes:read"},
	"kubernetes_create_cluster":                       {"kubernetes:create"},
	"kubernetes_get_cluster":                          {"kubernetes:read"},
	"kubernetes_update_cluster":                       {"kubernetes:update"},
	"kubernetes_delete_cluster":                       {"kubernetes:delete"},
	"kubernetes_list_associatedResources":             {"kubernetes:read"},
	"kubernetes_destroy_associatedResourcesSelective": {"kubernetes:delete"},
	"kubernetes_destroy_associatedResourcesDangerous": {"kubernetes:delete"},
	"kubernetes_get_kubeconfig":                       {"kubernetes:access_cluster"},
	"kubernetes_get_credentials":                      {"kubernetes:access_cluster"},
	"kubernetes_get_clusterUser":                      {"kubernetes:read"},
	"kubernetes_get_availableUpgrades":                {"kubernetes:read"},
	"kubernetes_upgrade_cluster":                      {"kubernetes:update"},

	"kubernetes_list_nodePools":    {"kubernetes:read"},
	"kubernetes_add_nodePool":      {"kubernetes:update"},
	"kubernetes_get_nodePool":      {"kubernetes:read"},
	"kubernetes_update_nodePool":   {"kubernetes:update"},
	"kubernetes_delete_nodePool":   {"kubernetes:update"},
	"kubernetes_recycle_node_pool": {"kubernetes:delete"},
	"kubernetes_delete_node":       {"kubernetes:update"},

	"loadBalancers_list":   {"load_balancer:read"},
	"loadBalancers_get":    {"load_balancer:read"},
	"loadBalancers_delete": {"load_balancer:delete"},
	"volumes_list":         {"block_storage:read"},
	"volumes_create":       {"block_storage:create"},
	"volumes_get":          {"block_storage:read"},
	"volumes_delete":       {"block_storage:delete"},
}

// Scopes lists what a token needs for an operation, by its official id.
func Scopes(operation string) []string { return scopes[operation] }

var scopeForm = regexp.MustCompile(`^[a-z_]+:[a-z_]+$`)

// grants are what the account's token may do; nil is everything.
type grants map[string]bool

// readPolicy reads a token's scopes: {"scopes": ["vpc:read", …]}. No document allows everything, as a token with full access.
func readPolicy(document []byte) (grants, error) {
	if document == nil {
		return nil, nil
	}
	var policy struct {
		Scopes []string `json:"scopes"`
	}
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&policy); err != nil {
		return nil, fmt.Errorf(`the policy is {"scopes": [...]}: %w`, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the policy has more than one document")
	}
	granted := grants{}
	for _, scope := range policy.Scopes {
		if !scopeForm.MatchString(scope) {
			return nil, fmt.Errorf(`the policy's scope %q is not of the form "vpc:read"`, scope)
		}
		granted[scope] = true
	}
	return granted, nil
}

// refuses is the refusal of an operation for which a scope is missing.
func (g grants) refuses(operation string) error {
	if g == nil {
		return nil
	}
	for _, scope := range scopes[operation] {
		if !g[scope] {
			return forbidden("You are missing the required permission " + scope + ".")
		}
	}
	return nil
}
