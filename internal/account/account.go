// Package account defines who calls: principals, their permissions, and the projects everything belongs to.
//
// Handlers see a Principal, never a token. The package holds rules and types; tokens are checked by the API and kept,
// hashed, in the store. It imports nothing but the standard library and may be imported by everything.
package account

import (
	"slices"
	"strings"
)

// DefaultProject is the project of whoever names none.
const DefaultProject = "default"

// Kind says what a principal is.
type Kind string

// The kinds of principal.
const (
	User    Kind = "user"
	Machine Kind = "machine"
)

// Permission is what one route demands, "<noun>:<verb>".
type Permission string

// The permissions. A route without one does not pass the tests.
const (
	ReadRegions    Permission = "regions:read"
	WriteRegions   Permission = "regions:write"
	InspectRegions Permission = "regions:inspect" // kubeconfigs that look and do not touch, in every project's part of a cluster
	AccessRegions  Permission = "regions:access"  // kubeconfigs that may do everything
	ReadServices   Permission = "services:read"
	WriteServices  Permission = "services:write"
	CallServices   Permission = "services:call"
	ReadEvents     Permission = "events:read"
	ReadAudit      Permission = "audit:read"
	ReadMetrics    Permission = "metrics:read"
	DecodePayloads Permission = "payloads:decode" // the codec endpoint of the Temporal UI
	Anyone         Permission = "anyone"          // health alone
)

// platformWide are the permissions for what belongs to no project. Whoever acts in one project alone holds none of them,
// whatever his scopes say.
var platformWide = []Permission{ReadRegions, WriteRegions, InspectRegions, AccessRegions, ReadAudit, ReadMetrics, DecodePayloads}

// PlatformWide reports whether the permission is for what belongs to no project.
func (p Permission) PlatformWide() bool { return slices.Contains(platformWide, p) }

// All is the scope that holds every permission.
const All = "*"

// Principal is who calls: a subject with scopes in one project. An empty project means every project.
type Principal struct {
	Subject string   `json:"subject"`
	Kind    Kind     `json:"kind"`
	Project string   `json:"project,omitempty"`
	Scopes  []string `json:"scopes"`
}

// May reports whether the principal's scopes hold the permission. A scope is a permission, "<noun>:*", or All.
func (p Principal) May(need Permission) bool {
	if need.PlatformWide() && p.Project != "" {
		return false
	}
	if need == InspectRegions && p.May(AccessRegions) {
		return true // who may do everything may look
	}
	noun, _, _ := strings.Cut(string(need), ":")
	return slices.ContainsFunc(p.Scopes, func(scope string) bool {
		return scope == All || scope == string(need) || scope == noun+":*"
	})
}

// In reports whether the principal may act in the project.
func (p Principal) In(project string) bool { return p.Project == "" || p.Project == project }
