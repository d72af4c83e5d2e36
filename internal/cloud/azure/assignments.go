package azure

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/google/uuid"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// The built-in roles that are given, which have the same ids everywhere.
const (
	networkContributor   = "4d97b98b-1d4f-4787-a291-c67834d212e7" // Network Contributor
	identityOperator     = "f1a07417-d97a-45cb-824c-7a7467783830" // Managed Identity Operator
	clusterAdministrator = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b" // Azure Kubernetes Service RBAC Cluster Admin
)

// grant is a role that a principal is to have at a scope.
type grant struct {
	scope string // a resource's id
	role  string
	to    principal
	why   string
}

// assignmentSpace makes our names of assignments differ from everybody's.
var assignmentSpace = uuid.MustParse("5f0f9d8c-5f0a-4b0e-9b7d-2c5b4b9d1a3e")

// name is the assignment's, a UUID that equal grants share. A principal that was made anew has another, since Azure changes none.
func (g grant) name() string {
	return uuid.NewSHA1(assignmentSpace, []byte(strings.ToLower(g.scope+"|"+g.role+"|"+g.to.ID))).String()
}

// granted is how far an assignment is.
type granted struct {
	since time.Time // when it was made; zero: long ago
	waits string    // why it cannot be made yet: the directory is told of new principals late
}

// grant makes the assignment if it is not there.
func (p *Provider) grant(ctx context.Context, owner region.Key, g grant) (granted, error) {
	found, err := p.assignments.Get(ctx, g.scope, g.name(), nil)
	err = explain(err, "look at the role assignment "+g.name())
	if !fault.Is(err, fault.NotFound) {
		return madeAt(found.Properties), err
	}
	properties := &armauthorization.RoleAssignmentProperties{PrincipalID: &g.to.ID, Description: ptr(owner.Owner() + " " + g.why),
		RoleDefinitionID: ptr("/subscriptions/" + p.subscription + "/providers/Microsoft.Authorization/roleDefinitions/" + g.role)}
	if g.to.Application { // then Azure need not look it up in the directory
		properties.PrincipalType = ptr(armauthorization.PrincipalTypeServicePrincipal)
	}
	made, err := p.assignments.Create(ctx, g.scope, g.name(), armauthorization.RoleAssignmentCreateParameters{Properties: properties}, nil)
	err = explain(err, fmt.Sprintf("give a role at %s (%s)", g.scope, g.why))
	switch {
	case fault.Is(err, fault.Exists): // made since we looked, or under another name
		return granted{}, nil
	case fault.Is(err, fault.Conflict):
		return granted{waits: fault.Message(err)}, nil
	}
	return madeAt(made.Properties), err
}

func madeAt(a *armauthorization.RoleAssignmentProperties) granted {
	if a == nil {
		return granted{}
	}
	return granted{since: of(a.CreatedOn)}
}

// atOnce is how many things one step removes.
const atOnce = 5

// revoke removes assignments of ours in the region's group, or below it, at the scopes that are meant.
func (p *Provider) revoke(ctx context.Context, owner region.Key, n names, meant func(scope string) bool) (region.Removal, error) {
	all, err := every(ctx, p.assignments.NewListForResourceGroupPager(n.group, nil),
		func(page armauthorization.RoleAssignmentsClientListForResourceGroupResponse) []*armauthorization.RoleAssignment {
			return page.Value
		})
	err = explain(err, "list the role assignments in "+n.group)
	if fault.Is(err, fault.NotFound) { // with the group they are gone as well
		return region.Removal{Gone: true}, nil
	}
	if err != nil {
		return region.Removal{}, err
	}
	var left []*armauthorization.RoleAssignment
	for _, a := range all {
		if assigned(owner, a) && meant(strings.ToLower(of(a.Properties.Scope))) {
			left = append(left, a)
		}
	}
	for _, a := range left[:min(len(left), atOnce)] {
		_, err := p.assignments.DeleteByID(ctx, of(a.ID), nil)
		err = explain(err, "delete the role assignment "+of(a.Name))
		if err != nil && !fault.Is(err, fault.NotFound) {
			return region.Removal{}, err
		}
	}
	if len(left) > atOnce {
		return region.Removal{State: fmt.Sprintf("%d role assignments are left", len(left)-atOnce)}, nil
	}
	return region.Removal{Gone: true}, nil
}

// assigned reports whether an assignment was made for the region.
func assigned(owner region.Key, a *armauthorization.RoleAssignment) bool {
	if a.Properties == nil {
		return false
	}
	found, marked := region.ParseOwner(of(a.Properties.Description))
	return marked && found == owner
}

// Roles are the ids of the built-in roles that the adapter gives: a worker need be allowed to assign no others.
func Roles() []string { return []string{networkContributor, identityOperator, clusterAdministrator} }
