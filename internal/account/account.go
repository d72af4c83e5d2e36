// Package account defines who calls and what they may do: people, service accounts, projects, roles, tokens, and the one
// table that says which role holds which permission.
//
// Handlers see a Principal, never a token. The package holds types and pure rules: rows are internal/store's, routes
// api/rest's, what takes time (removing a project) a workflow's. It imports nothing of the project but fault, and may be
// imported by everything.
//
// Words: a person is a User, a program a ServiceAccount; both are members of projects by roles. A Principal is one of them
// as a token presents it. A permission is held in a project, or on the platform, which is every project and what belongs
// to none.
package account

import (
	"slices"
	"strings"
	"time"
)

// DefaultProject is the project of whoever names none.
const DefaultProject = "default"

// PlatformProject is the reserved project of the platform's own alerts. No service runs in it.
const PlatformProject = "platform"

// Kind says what a principal is.
type Kind string

// The kinds of principal.
const (
	Person  Kind = "user"
	Service Kind = "service" // a service account
)

// All is the scope that holds every permission.
const All = "*"

// Principal is who calls: a user or a service account, with the roles it has now and the limits of the token it presented.
type Principal struct {
	ID      string   `json:"id"`
	Subject string   `json:"subject" doc:"Name of the user, or project/name of the service account."`
	Kind    Kind     `json:"kind" enum:"user,service"`
	Project string   `json:"project,omitempty" doc:"The only project that the token acts in; empty: every one in which its owner has a role."`
	Scopes  []string `json:"scopes" doc:"What the token may do at most: permissions, <noun>:*, or *."`

	Platform []Role            `json:"platform_roles,omitempty" doc:"Roles on the platform, which hold in every project."`
	Projects map[string][]Role `json:"projects,omitempty" doc:"Roles by project."`
	Token    TokenRef          `json:"token"`
}

// TokenRef is the token that a principal presented, without its secret.
type TokenRef struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	ExpiresAt time.Time `json:"expires_at,omitzero" doc:"Left out when the token does not expire."`
}

// May reports whether the principal holds the permission in the project; without a project, on the platform.
func (p Principal) May(need Permission, project string) bool {
	switch {
	case need == Known:
		return true
	case need == InspectRegions && p.May(AccessRegions, project): // who may do everything may look
		return true
	case p.Project != "" && project != p.Project && !need.Own():
		return false
	case need.PlatformWide() && project != "", !Covers(p.Scopes, string(need)):
		return false
	case need.Own():
		return true
	}
	holds := func(r Role) bool { return r.Holds(need) }
	return slices.ContainsFunc(p.Platform, holds) || project != "" && slices.ContainsFunc(p.Projects[project], holds)
}

// Within names the projects in which the principal holds the permission. All is true when it holds it in every one.
func (p Principal) Within(need Permission) (projects []string, all bool) {
	if p.Project == "" && p.May(need, "") {
		return nil, true
	}
	if p.Project != "" && p.May(need, p.Project) {
		return []string{p.Project}, false
	}
	for project := range p.Projects {
		if p.May(need, project) {
			projects = append(projects, project)
		}
	}
	slices.Sort(projects)
	return projects, false
}

// Home is the project of a request that names none.
func (p Principal) Home() string {
	if p.Project != "" {
		return p.Project
	}
	return DefaultProject
}

// expiresSoon is when a token that ends is worth a word.
const expiresSoon = 7 * 24 * time.Hour

// Warnings are what the principal should know of its token.
func (p Principal) Warnings(now time.Time) []string {
	switch at := p.Token.ExpiresAt; {
	case at.IsZero():
		return []string{"the token " + p.Token.Name + " does not expire: whoever finds it may use it for ever. Make one of your own (m3o token create), and keep this one out of reach"}
	case at.Sub(now) < expiresSoon:
		return []string{"the token " + p.Token.Name + " expires at " + at.UTC().Format(time.RFC3339)}
	}
	return nil
}

// Covers reports whether the scopes hold what another scope, or a permission, names.
func Covers(scopes []string, wanted string) bool {
	noun, _, _ := strings.Cut(wanted, ":")
	return slices.ContainsFunc(scopes, func(scope string) bool {
		return scope == All || scope == wanted || wanted != All && scope == noun+":*"
	})
}
