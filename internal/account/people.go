package account

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// Status is where a user is.
//
//	state     | event             | next
//	(none)    | invited           | invited
//	invited   | logs in by a code | active
//	active    | suspended         | suspended
//	suspended | unsuspended       | active
//	any       | removed           | (none)
type Status string

// The statuses of a user. Only an active one's tokens are good.
const (
	Invited   Status = "invited"
	Active    Status = "active"
	Suspended Status = "suspended"
)

// User is a person.
type User struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Email     string    `json:"email,omitempty"`
	Status    Status    `json:"status" enum:"invited,active,suspended"`
	Platform  []Role    `json:"platform_roles,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by,omitempty"`
}

// ServiceAccount is a program that acts in one project.
type ServiceAccount struct {
	ID        string    `json:"id"`
	Project   string    `json:"project"`
	Name      string    `json:"name"`
	Role      Role      `json:"role"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
}

// Member is a user or a service account with its roles in a project.
type Member struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Kind  Kind   `json:"kind" enum:"user,service"`
	Roles []Role `json:"roles"`
}

// Invitation is a one-time code for a user, to hand over.
type Invitation struct {
	User      User      `json:"user"`
	Code      string    `json:"code" doc:"Shown once. m3o login --code takes it."`
	ExpiresAt time.Time `json:"expires_at"`
}

// Token is a token as lists show it: without its secret.
type Token struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Prefix    Prefix    `json:"prefix"`
	Scopes    []string  `json:"scopes"`
	Project   string    `json:"project,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	ExpiresAt time.Time `json:"expires_at,omitzero" doc:"Left out when it does not expire."`
	LastUsed  time.Time `json:"last_used_at,omitzero" doc:"To five minutes; left out when it was never used."`
}

// How long tokens and invitations are good.
const (
	TokenLife      = 90 * 24 * time.Hour
	MaxTokenLife   = 365 * 24 * time.Hour
	InvitationLife = 7 * 24 * time.Hour
	MaxTokens      = 100 // of one owner
	MaxScopes      = 50
)

// TokenSpec asks for a token. Owner is the id of a user or a service account.
type TokenSpec struct {
	Owner   string
	Kind    Kind
	Name    string
	Scopes  []string
	Project string
	Life    time.Duration
	By      string
}

var (
	userName  = regexp.MustCompile(`^[a-z0-9]([-._a-z0-9]{0,61}[a-z0-9])?$`)
	tokenName = regexp.MustCompile(`^[A-Za-z0-9]([-._@A-Za-z0-9 ]{0,61}[A-Za-z0-9])?$`)
	email     = regexp.MustCompile(`^[^\s@"<>,;]{1,64}@[^\s@"<>,;]{1,190}$`)
)

// Rules of names, in words.
const (
	UserNameRule  = "must have 1 to 63 lower-case letters, digits, dots, hyphens and underscores, beginning and ending with a letter or a digit"
	TokenNameRule = "must have 1 to 63 letters, digits, spaces and any of . - _ @, beginning and ending with a letter or a digit"
)

// CheckUser reports what is wrong with what a user is to be.
func CheckUser(name, mail string) error {
	var c fault.Checker
	c.Check(userName.MatchString(name), "name", "%.80q %s", name, UserNameRule)
	c.Check(mail == "" || email.MatchString(mail), "email", "%.80q is not an address of the form name@host", mail)
	return c.Err()
}

// WithDefaults fills in what was left out.
func (t TokenSpec) WithDefaults() TokenSpec {
	if len(t.Scopes) == 0 {
		t.Scopes = []string{All}
	}
	if t.Life == 0 {
		t.Life = TokenLife
	}
	return t
}

// Validate says everything that is wrong with the request, at once.
func (t TokenSpec) Validate() error {
	var c fault.Checker
	c.Check(tokenName.MatchString(t.Name), "name", "%.80q %s", t.Name, TokenNameRule)
	c.Check(len(t.Scopes) <= MaxScopes, "scopes", "%d are more than %d", len(t.Scopes), MaxScopes)
	for i, s := range t.Scopes[:min(len(t.Scopes), MaxScopes)] {
		c.Check(IsScope(s), fmt.Sprintf("scopes[%d]", i), "%.80q is neither *, a permission such as services:read, nor all of a noun such as services:*", s)
	}
	c.Check(t.Life >= time.Minute && t.Life <= MaxTokenLife, "expires_in", "%s is not between %s and %s", t.Life, time.Minute, MaxTokenLife)
	return c.Err()
}

// IsScope reports whether a token can be limited to it.
func IsScope(scope string) bool {
	noun, all := strings.CutSuffix(scope, ":*")
	return scope == All || slices.ContainsFunc(scopes, func(p Permission) bool {
		return string(p) == scope || all && strings.HasPrefix(string(p), noun+":")
	})
}

// CheckProjectRole and CheckPlatformRole report whether a role is one.
func CheckProjectRole(r Role) error  { return checkRole(r, ProjectRoles(), "a project") }
func CheckPlatformRole(r Role) error { return checkRole(r, PlatformRoles(), "the platform") }

func checkRole(r Role, roles []Role, where string) error {
	var c fault.Checker
	names := make([]string, len(roles))
	for i, role := range roles {
		names[i] = string(role)
	}
	c.Check(slices.Contains(roles, r), "role", "%.80q is no role in %s; there are %s", r, where, strings.Join(names, ", "))
	return c.Err()
}
