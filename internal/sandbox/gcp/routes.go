package gcp

import (
	"net/http"
	"slices"
	"strings"
)

// The services.
const (
	serviceContainer = "container"
	serviceCompute   = "compute"
	serviceIAM       = "iam"
	serviceProjects  = "cloudresourcemanager"
	serviceUsage     = "serviceusage"
	serviceOAuth     = "oauth2"
)

// route is one method of a service.
type route struct {
	service string
	method  string
	// path has variables in braces. What follows a colon is a custom verb.
	path string
	// operation is the official id of the method.
	operation string
	// permissions are those that the caller needs on the project.
	permissions []string
	handle      func(*request) (any, error)
	// names are the variables that name a resource, for faults to match.
	names []string
	// collection is what a method of compute is about.
	collection *collection
	// open says that no token is asked for.
	open bool
}

const (
	onLocation = "/v1/projects/{project}/locations/{location}"
	onCluster  = onLocation + "/clusters/{cluster}"
	onPool     = onCluster + "/nodePools/{pool}"
	onProject  = "/v1/projects/{project}"
	onAccount  = onProject + "/serviceAccounts/{account}"
	onServices = onProject + "/services"
	onCompute  = "/compute/v1/projects/{project}"
)

// containerRoutes is the API of GKE, as far as the sandbox has it.
func containerRoutes() []route {
	const at = "container.projects.locations."
	var all []route
	add := func(method, path, operation, permission string, handle func(*request) (any, error)) {
		all = append(all, route{service: serviceContainer, method: method, path: path, operation: at + operation, permissions: []string{permission},
			handle: handle, names: []string{"cluster", "pool", "operation"}})
	}
	add("GET", onLocation+"/serverConfig", "getServerConfig", "container.clusters.list", getServerConfig)
	add("GET", onLocation+"/clusters", "clusters.list", "container.clusters.list", listClusters)
	add("POST", onLocation+"/clusters", "clusters.create", "container.clusters.create", createCluster)
	add("GET", onCluster, "clusters.get", "container.clusters.get", getCluster)
	add("PUT", onCluster, "clusters.update", "container.clusters.update", updateCluster)
	add("DELETE", onCluster, "clusters.delete", "container.clusters.delete", deleteCluster)
	add("POST", onCluster+":setResourceLabels", "clusters.setResourceLabels", "container.clusters.update", setResourceLabels)
	add("POST", onCluster+":updateMaster", "clusters.updateMaster", "container.clusters.update", updateMaster)
	add("GET", onCluster+"/nodePools", "clusters.nodePools.list", "container.clusters.get", listPools)
	add("POST", onCluster+"/nodePools", "clusters.nodePools.create", "container.clusters.update", createPool)
	add("GET", onPool, "clusters.nodePools.get", "container.clusters.get", getPool)
	add("DELETE", onPool, "clusters.nodePools.delete", "container.clusters.update", deletePool)
	add("POST", onPool+":setSize", "clusters.nodePools.setSize", "container.clusters.update", setPoolSize)
	add("GET", onLocation+"/operations", "operations.list", "container.operations.list", listClusterOperations)
	add("GET", onLocation+"/operations/{operation}", "operations.get", "container.operations.get", getClusterOperation)
	add("POST", onLocation+"/operations/{operation}:cancel", "operations.cancel", "container.clusters.update", cancelClusterOperation)
	return all
}

// otherRoutes are those of IAM, the project's policy, its services, and of tokens.
func otherRoutes() []route {
	return []route{
		{service: serviceIAM, method: "GET", path: onProject + "/serviceAccounts", operation: "iam.projects.serviceAccounts.list",
			permissions: []string{"iam.serviceAccounts.list"}, handle: listAccounts},
		{service: serviceIAM, method: "POST", path: onProject + "/serviceAccounts", operation: "iam.projects.serviceAccounts.create",
			permissions: []string{"iam.serviceAccounts.create"}, handle: createAccount},
		{service: serviceIAM, method: "GET", path: onAccount, operation: "iam.projects.serviceAccounts.get",
			permissions: []string{"iam.serviceAccounts.get"}, handle: getAccount, names: []string{"account"}},
		{service: serviceIAM, method: "DELETE", path: onAccount, operation: "iam.projects.serviceAccounts.delete",
			permissions: []string{"iam.serviceAccounts.delete"}, handle: deleteAccount, names: []string{"account"}},
		{service: serviceProjects, method: "GET", path: onProject, operation: "cloudresourcemanager.projects.get",
			permissions: []string{"resourcemanager.projects.get"}, handle: getProject},
		{service: serviceProjects, method: "POST", path: onProject + ":getIamPolicy", operation: "cloudresourcemanager.projects.getIamPolicy",
			permissions: []string{"resourcemanager.projects.getIamPolicy"}, handle: getIamPolicy},
		{service: serviceProjects, method: "POST", path: onProject + ":setIamPolicy", operation: "cloudresourcemanager.projects.setIamPolicy",
			permissions: []string{"resourcemanager.projects.setIamPolicy"}, handle: setIamPolicy},
		{service: serviceProjects, method: "POST", path: onProject + ":testIamPermissions", operation: "cloudresourcemanager.projects.testIamPermissions",
			handle: testIamPermissions},
		{service: serviceUsage, method: "GET", path: onServices, operation: "serviceusage.services.list",
			permissions: []string{"serviceusage.services.list"}, handle: listServices},
		{service: serviceUsage, method: "GET", path: onServices + ":batchGet", operation: "serviceusage.services.batchGet",
			permissions: []string{"serviceusage.services.get"}, handle: batchGetServices},
		{service: serviceUsage, method: "POST", path: onServices + ":batchEnable", operation: "serviceusage.services.batchEnable",
			permissions: []string{"serviceusage.services.enable"}, handle: batchEnableServices},
		{service: serviceUsage, method: "GET", path: onServices + "/{service}", operation: "serviceusage.services.get",
			permissions: []string{"serviceusage.services.get"}, handle: getService, names: []string{"service"}},
		{service: serviceUsage, method: "GET", path: "/v1/operations/{operation}", operation: "serviceusage.operations.get", handle: getServiceOperation},
		{service: serviceOAuth, method: "POST", path: "/token", operation: "oauth2.token", handle: issueToken, open: true},
		{service: serviceOAuth, method: "GET", path: "/tokeninfo", operation: "oauth2.tokeninfo", handle: tokenInfo, open: true},
		{service: serviceOAuth, method: "POST", path: "/tokeninfo", operation: "oauth2.tokeninfo", handle: tokenInfo, open: true},
	}
}

// table is all methods.
func (c *Cloud) table() []route {
	return slices.Concat(containerRoutes(), computeRoutes(), otherRoutes())
}

// match finds the method for a path, and its variables.
func (c *Cloud) match(method, path string) (route, map[string]string) {
	asked := segments(path)
	var nearest route
	for _, r := range c.routes {
		vars, fits := matchSegments(segments(r.path), asked)
		if fits && r.method == method {
			return r, vars
		}
		if len(asked) > 2 && strings.HasPrefix(r.path, "/"+asked[0]+"/") && nearest.service == "" {
			nearest.service = r.service
		}
	}
	nearest.operation = "unknown"
	if nearest.service == "" {
		nearest.service = serviceProjects
	}
	return nearest, nil
}

// segments are the parts of a path; the custom verb at its end is one of its own.
func segments(path string) []string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	last := parts[len(parts)-1]
	// The address of a service account has no colon, and no name has.
	if name, verb, found := strings.Cut(last, ":"); found {
		parts = append(parts[:len(parts)-1], name, ":"+verb)
	}
	return parts
}

func matchSegments(pattern, asked []string) (map[string]string, bool) {
	if len(pattern) != len(asked) {
		return nil, false
	}
	vars := map[string]string{}
	for i, p := range pattern {
		switch {
		case strings.HasPrefix(p, "{"):
			if asked[i] == "" || strings.HasPrefix(asked[i], ":") {
				return nil, false
			}
			vars[strings.Trim(p, "{}")] = asked[i]
		case p != asked[i]:
			return nil, false
		}
	}
	return vars, true
}

// checkProject refuses other projects than ours. Without words about whether there is such a project, as there.
func (r *request) checkProject() error {
	project, given := r.vars["project"]
	if !given || project == ProjectID || project == projectNumber || project == "-" && r.route.service == serviceIAM {
		return nil
	}
	if r.route.service == serviceCompute && r.Request.Method == http.MethodGet {
		return noResource("projects/" + project)
	}
	return denied("Permission denied on resource project %s.", project)
}
