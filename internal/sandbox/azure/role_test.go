package azure_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/sandbox/azure"
	"github.com/m3o/platform/internal/sandbox/world"
)

const (
	assignments = "/providers/Microsoft.Authorization/roleAssignments/"
	networker   = "/providers/Microsoft.Authorization/roleDefinitions/4d97b98b-1d4f-4787-a291-c67834d212e7"
	one         = "00000000-0000-4000-8000-000000000001"
	two         = "00000000-0000-4000-8000-000000000002"
)

func assignment(principal, typ string) string {
	return `{"properties":{"roleDefinitionId":"` + networker + `","principalId":"` + principal + `","principalType":"` + typ + `","description":"m3o:micro:eu"}}`
}

// TestDirectoryIsLate assigns a role to an identity that was just made: it is known after a while, sooner to who says what it is.
func TestDirectoryIsLate(t *testing.T) {
	s := openIn(t, t.TempDir(), 0.01, newConfig())
	s.ask(http.StatusCreated, http.MethodPut, rg, `{`+location+`}`)
	identity := s.ask(http.StatusCreated, http.MethodPut, onID+"/control", `{`+location+`}`)
	principal := identity.at("properties", "principalId")
	s.refused(http.StatusBadRequest, "PrincipalNotFound", http.MethodPut, rg+assignments+one, assignment(principal, "ServicePrincipal"))
	s.eventually("PrincipalNotFound", http.MethodPut, rg+assignments+one, assignment(principal, "ServicePrincipal"))
	for _, e := range made[[]world.Effect](t)(s.world.Effects(t.Context(), 0))[1:] { // the group is there at once
		if e.ReadyAt == nil || !e.ReadyAt.After(*e.RequestedAt) {
			t.Errorf("the ledger does not say when others see it: %+v", e)
		}
	}
	s.refused(http.StatusBadRequest, "PrincipalNotFound", http.MethodPut, onID+"/control"+assignments+two, assignment(principal, ""))
	s.eventually("PrincipalNotFound", http.MethodPut, onID+"/control"+assignments+two, assignment(principal, ""))
	s.refused(http.StatusBadRequest, "PrincipalNotFound", http.MethodPut, rg+assignments+two, assignment(subscription, "ServicePrincipal"))
	again := s.ask(http.StatusOK, http.MethodPut, onID+"/control", `{`+location+`}`)
	if again.at("properties", "principalId") != principal || again.at("properties", "clientId") == "" {
		t.Errorf("asked again it is %v", again.body)
	}
}

func TestRoleAssignments(t *testing.T) {
	s := open(t)
	s.ask(http.StatusCreated, http.MethodPut, rg, `{`+location+`}`)
	made := s.ask(http.StatusCreated, http.MethodPut, rg+assignments+one, assignment(object, "ServicePrincipal"))
	if made.at("id") != rg+assignments+one || made.at("properties", "scope") != rg || made.at("properties", "description") != "m3o:micro:eu" {
		t.Errorf("it is %v", made.body)
	}
	s.ask(http.StatusOK, http.MethodPut, rg+assignments+one, assignment(object, "ServicePrincipal"))
	a := s.refused(http.StatusConflict, "RoleAssignmentExists", http.MethodPut, rg+assignments+two, assignment(object, "ServicePrincipal"))
	if !strings.Contains(a.at("error", "message"), strings.ReplaceAll(one, "-", "")) {
		t.Errorf("it does not say which: %v", a.body)
	}
	s.refused(http.StatusBadRequest, "RoleAssignmentUpdateNotPermitted", http.MethodPut, rg+assignments+one, assignment(client, "ServicePrincipal"))
	s.refused(http.StatusBadRequest, "InvalidRoleAssignmentId", http.MethodPut, rg+assignments+"nonsense", assignment(object, "ServicePrincipal"))
	s.refused(http.StatusBadRequest, "RoleDefinitionDoesNotExist", http.MethodPut, rg+assignments+two, strings.Replace(assignment(object, ""), "4d97b98b", "00000000", 1))
	s.refused(http.StatusNotFound, "ResourceNotFound", http.MethodPut, onNet+"/virtualNetworks/none"+assignments+two, assignment(object, ""))
	s.ask(http.StatusCreated, http.MethodPut, inSub+assignments+two, assignment(object, "ServicePrincipal"))
	count := func(path string) int {
		return len(s.ask(http.StatusOK, http.MethodGet, path, "").body["value"].([]any))
	}
	list := strings.TrimSuffix(assignments, "/")
	if n, m, k := count(inSub+list), count(rg+list), count(inSub+list+"?$filter=atScope()"); n != 2 || m != 2 || k != 1 {
		t.Errorf("listed are %d, %d, %d", n, m, k)
	}
	if n := count(inSub + list + "?$filter=principalId%20eq%20'" + client + "'"); n != 0 {
		t.Errorf("another has %d", n)
	}
	s.ask(http.StatusOK, http.MethodDelete, inSub+assignments+two, "")
	s.ask(http.StatusNoContent, http.MethodDelete, inSub+assignments+two, "")
	s.refused(http.StatusNotFound, "RoleAssignmentNotFound", http.MethodGet, inSub+assignments+two, "")
	s.ask(http.StatusAccepted, http.MethodDelete, rg, "") // takes its own along
	s.until("", rg)
	s.checkLedger(true)
	if found := s.ask(http.StatusOK, http.MethodGet, inSub+"/providers/Microsoft.Authorization/roleDefinitions?$filter=roleName%20eq%20'network%20contributor'", "").body["value"].([]any); len(found) != 1 {
		t.Errorf("the role by name is %v", found)
	}
}

// TestClusterNeedsItsRoles makes a cluster with identities that nobody gave any right.
func TestClusterNeedsItsRoles(t *testing.T) {
	s := open(t)
	s.network()
	control := s.ask(http.StatusCreated, http.MethodPut, onID+"/control", `{`+location+`}`)
	s.ask(http.StatusCreated, http.MethodPut, onID+"/kubelet", `{`+location+`}`)
	body := strings.Replace(clusterBody(poolProfile("nodes", 1)), `{"type":"SystemAssigned"}`, `{"type":"UserAssigned","userAssignedIdentities":{"`+onID+`/control":{}}}`, 1)
	body = strings.Replace(body, `"dnsPrefix"`, `"identityProfile":{"kubeletidentity":{"resourceId":"`+onID+`/kubelet"}},"dnsPrefix"`, 1)
	s.refused(http.StatusBadRequest, "CustomKubeletIdentityMissingPermissionError", http.MethodPut, onAKS+"/eu", body)
	operator := strings.Replace(assignment(control.at("properties", "principalId"), "ServicePrincipal"), "4d97b98b-1d4f-4787-a291-c67834d212e7", "f1a07417-d97a-45cb-824c-7a7467783830", 1)
	s.eventually("PrincipalNotFound", http.MethodPut, onID+"/kubelet"+assignments+one, operator)
	s.eventually("CustomKubeletIdentityMissingPermissionError", http.MethodPut, onAKS+"/eu", body)
	begun := s.ask(http.StatusConflict, http.MethodPut, onAKS+"/eu", body)
	if begun.code() != "OperationNotAllowed" {
		t.Errorf("it is %v", begun.body)
	}
	failed := s.until("Failed", onAKS+"/eu")
	if failed.at("properties", "nodeResourceGroup") == "" {
		t.Errorf("it is %v", failed.body)
	}
	// Once it may join the subnet, a PUT mends it.
	s.ask(http.StatusCreated, http.MethodPut, subnet+assignments+two, assignment(control.at("properties", "principalId"), "ServicePrincipal"))
	s.ask(http.StatusOK, http.MethodPut, onAKS+"/eu", body)
	s.until("Succeeded", onAKS+"/eu")
}

const reader = `{"Name":"reader","IsCustom":true,"Actions":["*/read","Microsoft.Network/*/write","Microsoft.ContainerService/managedClusters/*"],"NotActions":["Microsoft.Network/natGateways/write"],
	"DataActions":["Microsoft.ContainerService/managedClusters/*"],"AssignableScopes":["/subscriptions/x"]}`

// TestPolicyIsEnforced gives the account a role of its own.
func TestPolicyIsEnforced(t *testing.T) {
	s := with(t, azure.Config{Policy: []byte(reader)})
	a := s.refused(http.StatusForbidden, "AuthorizationFailed", http.MethodPut, rg, `{`+location+`}`)
	for _, words := range []string{client, object, "'Microsoft.Resources/subscriptions/resourceGroups/write'", rg} {
		if !strings.Contains(a.at("error", "message"), words) {
			t.Errorf("the denial does not name %s: %v", words, a.body)
		}
	}
	s.refused(http.StatusForbidden, "AuthorizationFailed", http.MethodPut, onNet+"/natGateways/nat", `{`+location+`}`)
	s.refused(http.StatusNotFound, "ResourceGroupNotFound", http.MethodGet, rg, "")
	linked := s.refused(http.StatusForbidden, "LinkedAuthorizationFailed", http.MethodPut, onNet+"/virtualNetworks/vnet", vnetBody)
	if !strings.Contains(linked.at("error", "message"), "'Microsoft.Network/natGateways/join/action' on the linked scope(s) '"+onNet+"/natGateways/nat'") {
		t.Errorf("the denial is %v", linked.body)
	}
	told := s.ask(http.StatusOK, http.MethodGet, inSub+"/providers/Microsoft.Authorization/permissions", "")
	if !strings.Contains(text(t, told.body), `"notActions":["Microsoft.Network/natGateways/write"]`) || !strings.Contains(text(t, told.body), `"notDataActions":[]`) {
		t.Errorf("the permissions are %v", told.body)
	}
	for _, bad := range []string{"", "{}", `{"Actions":[""]}`, `{"Actions":["a b"]}`, `[]`} {
		if _, err := azure.New(azure.Config{World: s.world, Runner: s.runner, Versions: []string{"1.34"}, Logger: s.cloud.Logger, Policy: []byte(bad), Account: s.cloud.Account}); err == nil {
			t.Errorf("the policy %q is taken", bad)
		}
	}
}

func TestOperationsHavePermissions(t *testing.T) {
	s := open(t)
	for _, operation := range s.cloud.Operations() {
		all := azure.Permissions(operation)
		switch operation {
		case "Metadata_Endpoints", "InstanceDiscovery_Get", "OpenIDConfiguration_Get", "Keys_List", "Token_Issue", "Subscriptions_List", "Tenants_List":
			if len(all) != 0 {
				t.Errorf("%s needs %v", operation, all)
			}
		default:
			if len(all) == 0 {
				t.Errorf("%s needs nothing", operation)
			}
		}
	}
	if got := strings.Join(azure.Permissions("ManagedClusters_CreateOrUpdate"), " "); got != "Microsoft.ContainerService/managedClusters/write Microsoft.Network/virtualNetworks/subnets/join/action "+
		"Microsoft.ManagedIdentity/userAssignedIdentities/assign/action" {
		t.Errorf("a cluster needs %s", got)
	}
}
