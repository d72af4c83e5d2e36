package azure

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// maxPolicy bounds a role definition.
const maxPolicy = 64 << 10

// permission is one entry of a role definition's permissions.
type permission struct {
	Actions        []string `json:"actions"`
	NotActions     []string `json:"notActions"`
	DataActions    []string `json:"dataActions"`
	NotDataActions []string `json:"notDataActions"`
}

// policy is what the account's role allows.
type policy struct{ permissions []permission }

// everything is the policy of an account without one: the role Owner, which has no data actions.
var everything = policy{[]permission{{Actions: []string{"*"}, NotActions: []string{}, DataActions: []string{}, NotDataActions: []string{}}}}

// parsePolicy reads a role definition in either of Azure's forms: that which `az role definition create` takes, with Actions at the
// top, or the Resource Manager's, with properties.permissions.
func parsePolicy(data []byte) (*policy, error) {
	if len(data) > maxPolicy {
		return nil, fmt.Errorf("the role definition has more than %d bytes", maxPolicy)
	}
	var file struct {
		permission
		Properties struct {
			Permissions []permission `json:"permissions"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("the role definition is not JSON: %w", err)
	}
	found := file.Properties.Permissions
	if len(file.Actions)+len(file.DataActions) > 0 {
		found = append(found, file.permission)
	}
	if len(found) == 0 {
		return nil, errors.New("the role definition has neither Actions nor properties.permissions")
	}
	for i := range found {
		for _, list := range []*[]string{&found[i].Actions, &found[i].NotActions, &found[i].DataActions, &found[i].NotDataActions} {
			if *list == nil {
				*list = []string{} // answers have lists, not null
			}
			for _, action := range *list {
				if action == "" || strings.ContainsAny(action, " \t\n") {
					return nil, fmt.Errorf("the role definition has the action %q", action)
				}
			}
		}
	}
	return &policy{found}, nil
}

func (p *policy) mayDo(action string) bool {
	for _, one := range p.permissions {
		if matchesAny(one.Actions, action) && !matchesAny(one.NotActions, action) {
			return true
		}
	}
	return false
}

func (p *policy) mayTouch(dataAction string) bool {
	for _, one := range p.permissions {
		if matchesAny(one.DataActions, dataAction) && !matchesAny(one.NotDataActions, dataAction) {
			return true
		}
	}
	return false
}

func matchesAny(patterns []string, action string) bool {
	for _, p := range patterns {
		p, action := strings.ToLower(p), strings.ToLower(action)
		// Roles say "userAssignedIdentities/*/assign/action" of "userAssignedIdentities/assign/action": there a whole segment may be none.
		if matches(p, action) || matches(strings.ReplaceAll(p, "/*/", "/"), action) {
			return true
		}
	}
	return false
}

// matches says whether an action fits a pattern, in which "*" stands for anything.
func matches(pattern, action string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == action
	}
	rest, ok := strings.CutPrefix(action, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// rights are what the account may do: its policy, or everything.
func (c *Cloud) rights() *policy {
	if c.policy == nil {
		return &everything
	}
	return c.policy
}

// authorize judges a request by the account's policy, with the permissions on what its body names.
func (r *request) authorize() error {
	if r.route.action == "" {
		return nil
	}
	rights := r.cloud.rights()
	if !rights.mayDo(r.route.action) {
		return r.denied(r.route.action, r.scope())
	}
	if len(implied[r.Operation]) == 0 || len(r.body) == 0 {
		return nil
	}
	var body map[string]any
	if json.Unmarshal(r.body, &body) != nil {
		return nil // the handler says what is wrong with it
	}
	named := idsIn(body, nil)
	for _, action := range implied[r.Operation] {
		for _, id := range named {
			if strings.EqualFold(typeOf(id), linkedType(action)) && !rights.mayDo(action) {
				return r.linkedDenied(action, id)
			}
		}
	}
	return nil
}

func (r *request) denied(action, scope string) *refusal {
	return arm(http.StatusForbidden, "AuthorizationFailed", "The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. "+
		"If access was recently granted, please refresh your credentials.", r.cloud.Account.Client, r.cloud.Account.Object, action, scope)
}

func (r *request) linkedDenied(action, id string) *refusal {
	return arm(http.StatusForbidden, "LinkedAuthorizationFailed", "The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, it does not have permission "+
		"to perform action(s) '%s' on the linked scope(s) '%s' (respectively) or the linked scope(s) are invalid.",
		r.cloud.Account.Client, r.cloud.Account.Object, r.route.action, r.scope(), action, id)
}

// idsIn collects the resource ids in a body, its keys among them.
func idsIn(value any, found []string) []string {
	switch v := value.(type) {
	case string:
		if strings.HasPrefix(strings.ToLower(v), "/subscriptions/") {
			found = append(found, v)
		}
	case map[string]any:
		for key, item := range v {
			found = idsIn(item, idsIn(key, found))
		}
	case []any:
		for _, item := range v {
			found = idsIn(item, found)
		}
	}
	return found
}

// typeOf is the type of the resource with an id, "" for what is none.
func typeOf(id string) string {
	s := split(id)
	for i := len(s) - 1; i >= 0; i-- {
		if strings.EqualFold(s[i], "providers") && i+3 < len(s) {
			typ := s[i+1]
			for j := i + 2; j < len(s); j += 2 {
				typ += "/" + s[j]
			}
			return typ
		}
	}
	return ""
}

// linkedType is the type that a permission such as ".../subnets/join/action" is about.
func linkedType(action string) string {
	parts := strings.Split(action, "/")
	return strings.Join(parts[:max(0, len(parts)-2)], "/")
}

// getPermissions tells what the account may do in a scope, which is the same in all.
func getPermissions(r *request) (reply, error) {
	var all []any
	for _, p := range r.cloud.rights().permissions {
		all = append(all, p)
	}
	return r.page(all)
}
