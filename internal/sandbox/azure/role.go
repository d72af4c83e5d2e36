package azure

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/world"
)

// grantTime is how long it takes, before the time scale, until what a role assignment allows is allowed everywhere. Azure promises ten
// minutes at most; half a minute is what one sees.
const grantTime = 30 * time.Second

// believedSooner is by how much sooner the directory is taken to know a principal whose type the caller says.
const believedSooner = 3

// role is a built-in role definition.
type role struct {
	id, name string
	permission
}

// roles are some of the built-in ones: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles.
var roles = []role{
	{"8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner", permission{Actions: []string{"*"}}},
	{"b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor", permission{Actions: []string{"*"},
		NotActions: []string{"Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write", "Microsoft.Authorization/elevateAccess/Action"}}},
	{"acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader", permission{Actions: []string{"*/read"}}},
	{"18d7d88d-d35e-4fb5-a5c3-7773c20a72d9", "User Access Administrator", permission{Actions: []string{"*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"}}},
	{"4d97b98b-1d4f-4787-a291-c67834d212e7", "Network Contributor", permission{Actions: []string{"Microsoft.Authorization/*/read", "Microsoft.Insights/alertRules/*",
		"Microsoft.Network/*", "Microsoft.ResourceHealth/availabilityStatuses/read", "Microsoft.Resources/deployments/*", "Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Support/*"}}},
	{"f1a07417-d97a-45cb-824c-7a7467783830", "Managed Identity Operator", permission{Actions: []string{"Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
		"Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action", "Microsoft.Authorization/*/read", "Microsoft.Insights/alertRules/*",
		"Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Resources/deployments/*", "Microsoft.Support/*"}}},
	{"e40ec5ca-96e0-45a2-b4ff-59039f2c2b59", "Managed Identity Contributor", permission{Actions: []string{"Microsoft.ManagedIdentity/userAssignedIdentities/*"}}},
	{"b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b", "Azure Kubernetes Service RBAC Cluster Admin", permission{
		Actions: []string{"Microsoft.Authorization/*/read", "Microsoft.Resources/subscriptions/operationresults/read", "Microsoft.Resources/subscriptions/read",
			"Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action"},
		DataActions: []string{"Microsoft.ContainerService/managedClusters/*"}}},
	{"3498e952-d568-435e-9b2c-8d77e338d7f7", "Azure Kubernetes Service RBAC Admin", permission{
		Actions:        []string{"Microsoft.ContainerService/managedClusters/listClusterUserCredential/action"},
		DataActions:    []string{"Microsoft.ContainerService/managedClusters/*"},
		NotDataActions: []string{"Microsoft.ContainerService/managedClusters/resourcequotas/write", "Microsoft.ContainerService/managedClusters/namespaces/write"}}},
	{"4abbcc35-e782-43d8-92c5-2d3f1bd2253f", "Azure Kubernetes Service Cluster User Role", permission{
		Actions: []string{"Microsoft.ContainerService/managedClusters/listClusterUserCredential/action", "Microsoft.ContainerService/managedClusters/read"}}},
	{"0ab0b1a8-8aac-4efd-b8c2-3ee1fb270be8", "Azure Kubernetes Service Cluster Admin Role", permission{
		Actions: []string{"Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action", "Microsoft.ContainerService/managedClusters/accessProfiles/listCredential/action",
			"Microsoft.ContainerService/managedClusters/read", "Microsoft.ContainerService/managedClusters/runcommand/action"}}},
	{"7f951dda-4ed3-4680-a7ca-43fe172d538d", "AcrPull", permission{Actions: []string{"Microsoft.ContainerRegistry/registries/pull/read"}}},
}

func roleByID(id string) (role, bool) {
	for _, r := range roles {
		if strings.EqualFold(lastOf(id), r.id) {
			return r, true
		}
	}
	return role{}, false
}

func (d role) wire(subscription string) map[string]any {
	lists := func(values []string) []any { return anys(values) }
	return map[string]any{"id": "/subscriptions/" + subscription + "/providers/Microsoft.Authorization/roleDefinitions/" + d.id, "name": d.id,
		"type": "Microsoft.Authorization/roleDefinitions", "properties": map[string]any{"roleName": d.name, "type": "BuiltInRole", "description": d.name + ".",
			"assignableScopes": []any{"/"}, "permissions": []any{map[string]any{"actions": lists(d.Actions), "notActions": lists(d.NotActions), "dataActions": lists(d.DataActions),
				"notDataActions": lists(d.NotDataActions)}},
			"createdOn": "2015-02-02T21:55:09.8806423Z", "updatedOn": "2023-11-07T15:55:06.2711892Z", "createdBy": nil, "updatedBy": nil}}
}

var roleTerm = regexp.MustCompile(`(?i)^(?:atScopeAndBelow\(\) and |atScope\(\) and )?(?:roleName eq '([^']*)'|type eq '([^']*)')$`)

func listRoles(r *request) (reply, error) {
	var all []any
	filter := r.http.URL.Query().Get("$filter")
	term := roleTerm.FindStringSubmatch(filter)
	if filter != "" && term == nil && !strings.EqualFold(filter, "atScopeAndBelow()") {
		return reply{}, badRequest("BadRequestFormat", "The filter '%s' is not supported.", filter)
	}
	for _, d := range roles {
		if term == nil || strings.EqualFold(term[1], d.name) || strings.EqualFold(term[2], "BuiltInRole") {
			all = append(all, d.wire(r.cloud.Account.Subscription))
		}
	}
	return r.page(all)
}

func getRole(r *request) (reply, error) {
	d, known := roleByID(r.params["name"])
	if !known {
		return reply{}, refuse(http.StatusNotFound, "RoleDefinitionDoesNotExist", "The specified role definition with ID '%s' does not exist.", r.params["name"])
	}
	return reply{status: http.StatusOK, body: d.wire(r.cloud.Account.Subscription)}, nil
}

// assignmentID is the id of the role assignment of the path, as answers have it.
func (r *request) assignmentID() string {
	return strings.TrimSuffix(r.params["scope"], "/") + "/providers/Microsoft.Authorization/roleAssignments/" + r.params["name"]
}

func putAssignment(r *request) (reply, error) {
	body, err := r.decode()
	if err != nil {
		return reply{}, err
	}
	if _, err := uuid.Parse(r.params["name"]); err != nil {
		return reply{}, badRequest("InvalidRoleAssignmentId", "The role assignment ID '%s' is not valid. The role assignment ID must be a GUID.", r.params["name"])
	}
	var answer reply
	err = r.Commit(func(tx *world.Tx) error {
		if err := r.checkScope(tx); err != nil {
			return err
		}
		p := object(body, "properties")
		definition, known := roleByID(text(p, "roleDefinitionId"))
		if !known {
			return badRequest("RoleDefinitionDoesNotExist", "The specified role definition with ID '%s' does not exist.", lastOf(text(p, "roleDefinitionId")))
		}
		old, err := find(tx, typeAssignment, r.assignmentID())
		if err != nil {
			return err
		}
		if old != nil {
			answer, err = r.assignedAlready(old, p)
			return err
		}
		answer, err = r.assign(tx, p, definition)
		return err
	})
	return answer, err
}

// checkScope checks that what a role is assigned for is there.
func (r *request) checkScope(tx *world.Tx) error {
	scope := r.params["scope"]
	s := split(scope)
	switch {
	case len(s) <= 2:
		return nil
	case len(s) == 4:
		group, err := find(tx, typeGroup, scope)
		if err == nil && group == nil {
			err = groupNotFound(s[3])
		} else if err == nil && group.State == deleting {
			err = groupBeingDeleted(group.Name)
		}
		return err
	}
	typ, known := fold(knownTypes(), typeOf(scope))
	if !known {
		return arm(http.StatusNotFound, "InvalidResourceType", "The resource type '%s' could not be found.", typeOf(scope))
	}
	one, err := find(tx, typ, scope)
	if err == nil && one == nil {
		err = resourceNotFound(typ, lastOf(scope), s[3])
	}
	return err
}

func knownTypes() []string {
	var types []string
	for _, k := range kinds {
		types = append(types, k.typ)
	}
	return types
}

// assignedAlready answers a repeated PUT: who and where cannot change.
func (r *request) assignedAlready(old *resource, p map[string]any) (reply, error) {
	have := old.properties()
	if text(have, "principalId") != strings.ToLower(text(p, "principalId")) || !strings.EqualFold(lastOf(text(have, "roleDefinitionId")), lastOf(text(p, "roleDefinitionId"))) {
		return reply{}, badRequest("RoleAssignmentUpdateNotPermitted", "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.")
	}
	return reply{status: http.StatusOK, body: old.assignment()}, nil
}

func (r *request) assign(tx *world.Tx, p map[string]any, definition role) (reply, error) {
	principal := strings.ToLower(text(p, "principalId"))
	if err := r.knowsPrincipal(tx, principal, text(p, "principalType")); err != nil {
		return reply{}, err
	}
	scope := strings.TrimSuffix(r.params["scope"], "/")
	all, err := mentioning(tx, typeAssignment, principal)
	if err != nil {
		return reply{}, err
	}
	for _, other := range all {
		o := other.properties()
		if text(o, "principalId") == principal && strings.EqualFold(lastOf(text(o, "roleDefinitionId")), definition.id) && strings.EqualFold(text(o, "scope"), scope) {
			return reply{}, conflict("RoleAssignmentExists", "The role assignment already exists. The ID of the existing role assignment is %s.", strings.ReplaceAll(other.Name, "-", ""))
		}
	}
	now := r.At.Format(time.RFC3339Nano)
	properties := clone(p)
	for key, value := range map[string]any{"roleDefinitionId": "/subscriptions/" + r.cloud.Account.Subscription + "/providers/Microsoft.Authorization/roleDefinitions/" + definition.id,
		"principalId": principal, "principalType": "ServicePrincipal", "scope": scope, "createdOn": now, "updatedOn": now, "createdBy": r.cloud.Account.Object, "updatedBy": r.cloud.Account.Object} {
		properties[key] = value
	}
	defaults(properties, map[string]any{"condition": nil, "conditionVersion": nil, "delegatedManagedIdentityResourceId": nil, "description": nil})
	one := &resource{GUID: uuid.NewString(), ID: r.assignmentID(), Type: typeAssignment, Name: r.params["name"], State: succeeded, CreatedAt: r.At, Body: map[string]any{"properties": properties}}
	one.touch(r.At)
	why, spread := r.asked(), r.At.Add(r.cloud.World.Clock.Scaled(grantTime))
	why.ReadyAt = &spread
	return reply{status: http.StatusCreated, body: one.assignment()}, add(tx, one, why)
}

// knowsPrincipal says whether the directory knows a principal already: what was just made is not everywhere yet. A caller who says that
// it is a service principal is believed sooner, as there the check is less strict.
func (r *request) knowsPrincipal(tx *world.Tx, principal, typ string) error {
	if principal == r.cloud.Account.Object {
		return nil
	}
	identity, err := identityOf(tx, principal)
	if err != nil {
		return err
	}
	after := replicationTime
	if strings.EqualFold(typ, "ServicePrincipal") {
		after /= believedSooner
	}
	if identity != nil && !r.At.Before(identity.CreatedAt.Add(r.cloud.World.Clock.Scaled(after))) {
		return nil
	}
	return badRequest("PrincipalNotFound", "Principal %s does not exist in the directory %s. Check that you have the correct principal ID. If you are creating this principal and then "+
		"immediately assigning a role, this error might be related to a replication delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, "+
		"User, or Group.  See https://aka.ms/docs-principaltype", strings.ReplaceAll(principal, "-", ""), r.cloud.Account.Tenant)
}

func (r *resource) assignment() map[string]any {
	return map[string]any{"id": r.ID, "name": r.Name, "type": typeAssignment, "properties": r.properties()}
}

func getAssignment(r *request) (reply, error) {
	var one *resource
	err := r.View(func(tx *world.Tx) (err error) {
		one, err = find(tx, typeAssignment, r.assignmentID())
		return err
	})
	if err == nil && one == nil {
		err = refuse(http.StatusNotFound, "RoleAssignmentNotFound", "The role assignment '%s' is not found.", r.params["name"])
	}
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: one.assignment()}, nil
}

// deleteAssignment removes a role assignment and answers with it; one that is gone is fine.
func deleteAssignment(r *request) (reply, error) {
	answer := reply{status: http.StatusNoContent}
	err := r.Commit(func(tx *world.Tx) error {
		one, err := find(tx, typeAssignment, r.assignmentID())
		if err != nil || one == nil {
			return err
		}
		answer = reply{status: http.StatusOK, body: one.assignment()}
		return remove(tx, one, r.asked())
	})
	return answer, err
}

var principalTerm = regexp.MustCompile(`(?i)^(?:principalId eq|assignedTo\() ?'?([0-9a-f-]+)'?\)?$`)

// listAssignments lists those at a scope, above it and below; the filter atScope() leaves out those below.
func listAssignments(r *request) (reply, error) {
	scope, _, _ := strings.Cut("/"+strings.Join(split(strings.ToLower(r.http.URL.Path)), "/"), "/providers/microsoft.authorization/roleassignments")
	principal, below := "", true
	if filter := r.http.URL.Query().Get("$filter"); filter != "" {
		for _, term := range strings.Split(filter, " and ") {
			switch found := principalTerm.FindStringSubmatch(term); {
			case strings.EqualFold(term, "atScope()"):
				below = false
			case found != nil:
				principal = strings.ToLower(found[1])
			default:
				return reply{}, badRequest("UnsupportedQuery", "The filter '%s' is not supported. Supported filters are either 'atScope()' or 'principalId eq '{value}' or assignedTo('{value}')'.", filter)
			}
		}
	}
	var wires []any
	err := r.View(func(tx *world.Tx) error {
		if len(split(scope)) >= 4 {
			if group, err := find(tx, typeGroup, groupKey(scope)); err != nil || group == nil {
				return errors.Join(err, groupNotFound(split(scope)[3]))
			}
		}
		all, err := list(tx, typeAssignment)
		for _, one := range all {
			at := strings.ToLower(text(one.properties(), "scope"))
			if (contains(at, scope) || below && contains(scope, at)) && (principal == "" || text(one.properties(), "principalId") == principal) {
				wires = append(wires, one.assignment())
			}
		}
		return err
	})
	if err != nil {
		return reply{}, err
	}
	return r.page(wires)
}

// contains says whether a scope is another one or lies in it.
func contains(outer, inner string) bool { return outer == inner || strings.HasPrefix(inner, outer+"/") }

// principalMay says whether a principal has an action, or a data action, at a scope by its role assignments, as far as they have
// spread.
func (c *Cloud) principalMay(tx *world.Tx, principal, action, scope string, now time.Time, data bool) (bool, error) {
	all, err := mentioning(tx, typeAssignment, principal)
	for _, one := range all {
		p := one.properties()
		if text(p, "principalId") != strings.ToLower(principal) || !contains(strings.ToLower(text(p, "scope")), strings.ToLower(scope)) ||
			now.Before(one.CreatedAt.Add(c.World.Clock.Scaled(grantTime))) {
			continue
		}
		definition, known := roleByID(text(p, "roleDefinitionId"))
		allowed := &policy{[]permission{definition.permission}}
		if known && (!data && allowed.mayDo(action) || data && allowed.mayTouch(action)) {
			return true, nil
		}
	}
	return false, err
}

const (
	joinSubnet     = "Microsoft.Network/virtualNetworks/subnets/join/action"
	assignIdentity = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
)

// completeIdentities checks a cluster's identities and fills in what the directory knows of them.
func (r *request) completeIdentities(tx *world.Tx, one *resource) error {
	principal := ""
	assigned := map[string]any{}
	for id := range object(one.Body, "identity", "userAssignedIdentities") {
		identity, err := r.identity(tx, id)
		if err != nil {
			return err
		}
		p := identity.properties()
		principal = text(p, "principalId")
		assigned[id] = map[string]any{"principalId": principal, "clientId": text(p, "clientId")}
	}
	if identity := object(one.Body, "identity"); identity != nil {
		if len(assigned) > 0 {
			identity["userAssignedIdentities"] = assigned
		} else if text(identity, "type") == "SystemAssigned" {
			defaults(identity, map[string]any{"principalId": one.GUID, "tenantId": r.cloud.Account.Tenant})
		}
	}
	kubelet := object(one.properties(), "identityProfile", "kubeletidentity")
	id := text(kubelet, "resourceId")
	if id == "" || contains(strings.ToLower(one.Cluster.NodeGroup), strings.ToLower(id)) {
		return nil // the cluster's own
	}
	identity, err := r.identity(tx, id)
	if err != nil {
		return err
	}
	kubelet["clientId"], kubelet["objectId"] = text(identity.properties(), "clientId"), text(identity.properties(), "principalId")
	if principal == "" {
		return badRequest("CustomKubeletIdentityOnlySupportedOnUserAssignedMSICluster", "Custom kubelet identity is only supported on a cluster with a user assigned managed identity.")
	}
	allowed, err := r.cloud.principalMay(tx, principal, assignIdentity, id, r.At, false)
	if err == nil && !allowed {
		err = badRequest("CustomKubeletIdentityMissingPermissionError", "The cluster user assigned identity must be given permission to assign kubelet identity %s. "+
			"Check access result not allowed for action %s.", id, assignIdentity)
	}
	return err
}

func (r *request) identity(tx *world.Tx, id string) (*resource, error) {
	identity, err := find(tx, typeIdentity, id)
	if err == nil && identity == nil {
		err = badRequest("InvalidResourceReference", "The managed identity %s does not exist.", id)
	}
	return identity, err
}

// unreachableSubnet says why nodes cannot join their subnets: the cluster's own identity has no right to, which shows only when they do.
func (c *Cloud) unreachableSubnet(tx *world.Tx, f *family, now time.Time) (code, message string, err error) {
	for _, identity := range object(f.cluster.Body, "identity", "userAssignedIdentities") {
		principal := text(identity, "principalId")
		for _, pool := range f.pools {
			subnet := text(pool.properties(), "vnetSubnetID")
			if subnet == "" {
				continue
			}
			allowed, err := c.principalMay(tx, principal, joinSubnet, subnet, now, false)
			if err != nil {
				return "", "", err
			}
			if !allowed {
				return "LinkedAuthorizationFailed", fmt.Sprintf("Reconcile VMSS agent pool %s failed: the client with object id '%s' does not have permission to perform action '%s' "+
					"on the linked scope '%s'.", pool.Name, principal, joinSubnet, subnet), nil
			}
		}
	}
	return "", "", nil
}
