package gcp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// grants are the permissions that the account has; all of them if there is no role.
type grants struct {
	all         bool
	permissions map[string]bool
}

// parseRole reads a custom role, as gcloud iam roles create reads it.
func parseRole(data []byte) (grants, error) {
	if data == nil {
		return grants{all: true}, nil
	}
	var role struct {
		Title       string   `json:"title"`
		Description string   `json:"description"`
		Stage       string   `json:"stage"`
		Name        string   `json:"name"`
		Etag        string   `json:"etag"`
		Permissions []string `json:"includedPermissions"`
	}
	if len(data) > maxPolicyBytes {
		return grants{}, fmt.Errorf("the role has more than %d bytes", maxPolicyBytes)
	}
	if err := yaml.UnmarshalStrict(data, &role); err != nil {
		return grants{}, fmt.Errorf("it is not a custom role: %w", err)
	}
	if len(role.Permissions) == 0 {
		return grants{}, errors.New("the role has no includedPermissions")
	}
	g := grants{permissions: map[string]bool{}}
	for _, permission := range role.Permissions {
		// A custom role takes no wildcards, and a permission is service.resource.verb.
		if strings.Count(permission, ".") != 2 || strings.ContainsAny(permission, "* ") {
			return grants{}, fmt.Errorf("permission %q is not of the form service.resource.verb", permission)
		}
		g.permissions[permission] = true
	}
	return g, nil
}

func (g grants) has(permission string) bool { return g.all || g.permissions[permission] }

// inClusters are permissions of roles/container.admin that let their holder give itself all others in a cluster.
var inClusters = []string{"container.clusterRoleBindings.create", "container.clusterRoles.bind"}

// administers says whether the account may do everything inside clusters.
func (g grants) administers() bool {
	return !slices.ContainsFunc(inClusters, func(p string) bool { return !g.has(p) })
}

// firstPolicy is the project's before anybody changed it.
func (c *Cloud) firstPolicy() policy {
	role := "roles/owner"
	if !c.granted.all {
		role = "projects/" + ProjectID + "/roles/m3oWorker"
	}
	return policy{Serial: 1, Bindings: []binding{{Role: role, Members: []string{"serviceAccount:" + c.Account.Email()}}}}
}

// authorize says whether the caller has the permissions.
func (r *request) authorize(permissions ...string) error {
	for _, permission := range permissions {
		if !r.cloud.granted.has(permission) {
			return r.lacks(permission)
		}
	}
	return nil
}

// lacks is a service's answer to who lacks a permission.
func (r *request) lacks(permission string) error {
	resource := "projects/" + ProjectID
	refused := &refusal{status: http.StatusForbidden, code: "PERMISSION_DENIED", reason: "forbidden", info: "IAM_PERMISSION_DENIED",
		metadata: map[string]string{"permission": permission, "resource": resource},
		message:  fmt.Sprintf("Permission '%s' denied on resource '//cloudresourcemanager.googleapis.com/%s' (or it may not exist).", permission, resource)}
	switch r.route.service {
	case serviceCompute:
		if r.route.collection != nil && r.vars["project"] != "" {
			if scope, err := r.scope(); err == nil {
				resource = strings.TrimSuffix(pathOf(scope, r.route.collection.name, r.target()), "/")
			}
		}
		refused.info, refused.metadata = "", nil
		refused.message = fmt.Sprintf("Required '%s' permission for '%s'", permission, resource)
	case serviceContainer:
		refused.info, refused.metadata = "", nil
		refused.message = fmt.Sprintf("Required %q permission(s) for %q.", permission, resource)
	}
	return refused
}

// invalidDenied is GKE's answer about a service account that the caller may not give to nodes: 400, though it is a matter of permissions.
func invalidDenied(format string, args ...any) error {
	return &refusal{status: http.StatusBadRequest, code: "INVALID_ARGUMENT", reason: "badRequest", info: "SERVICE_ACCOUNT_ACCESS_DENIED",
		message: fmt.Sprintf(format, args...)}
}
