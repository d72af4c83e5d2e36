package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/event"
)

// Whoami is who the token stands for, and what its holder should know of it.
type Whoami struct {
	account.Principal
	Warnings []string `json:"warnings,omitempty"`
}

// NewToken is a token that was just made. Its secret is shown once.
type NewToken struct {
	Secret  string        `json:"secret"`
	Token   account.Token `json:"token"`
	Subject string        `json:"subject,omitempty"`
}

// TokenRequest asks for a token. What is left out is the API's default: every scope, every project, 90 days.
type TokenRequest struct {
	Name    string
	Scopes  []string
	Project string
	Life    time.Duration
}

func (t TokenRequest) body() any {
	body := struct {
		Name      string   `json:"name"`
		Scopes    []string `json:"scopes,omitempty"`
		Project   string   `json:"project,omitempty"`
		ExpiresIn string   `json:"expires_in,omitempty"`
	}{t.Name, t.Scopes, t.Project, ""}
	if t.Life != 0 {
		body.ExpiresIn = t.Life.String()
	}
	return body
}

// ProjectView is a project, and how far its removal is.
type ProjectView struct {
	account.Project
	Removal *account.Removal `json:"removal,omitempty"`
}

// WhoAmI tells who the token stands for.
func (c *Client) WhoAmI(ctx context.Context) (Whoami, error) {
	var w Whoami
	return w, c.look(ctx, "/v1/whoami", nil, &w)
}

// Login exchanges an invitation's code for a user's first token. A code is good once, so it is sent once: after a lost answer
// it is used, and only another invitation helps.
func (c *Client) Login(ctx context.Context, code, tokenName string) (NewToken, error) {
	once := &Client{Base: c.Base, HTTP: c.HTTP, Patience: time.Nanosecond, FirstContact: time.Nanosecond}
	var made NewToken
	return made, once.change(ctx, http.MethodPost, "/v1/login", nil, map[string]string{"code": code, "name": tokenName}, &made)
}

// Logout revokes the client's own token.
func (c *Client) Logout(ctx context.Context) error {
	return c.command(ctx, http.MethodPost, "/v1/logout", nil)
}

// Audit lists who changed what, newest first, at most so many entries.
func (c *Client) Audit(ctx context.Context, most int) ([]event.Audit, error) {
	return pages[event.Audit](ctx, c, "/v1/audit", url.Values{}, most)
}

// whole reads a list that comes in one piece.
func whole[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	var list struct {
		Items []T `json:"items"`
	}
	err := c.look(ctx, path, nil, &list)
	if list.Items == nil {
		list.Items = []T{}
	}
	return list.Items, err
}

// under joins a path of names.
func under(path string, names ...string) string {
	for _, name := range names {
		path += "/" + url.PathEscape(name)
	}
	return path
}

// Users lists the people of the platform.
func (c *Client) Users(ctx context.Context) ([]account.User, error) {
	return whole[account.User](ctx, c, "/v1/users")
}

// InviteUser makes a user, and a code for their first token.
func (c *Client) InviteUser(ctx context.Context, name, email string) (account.Invitation, error) {
	var i account.Invitation
	body := map[string]string{"name": name}
	if email != "" {
		body["email"] = email
	}
	return i, c.change(ctx, http.MethodPost, "/v1/users", nil, body, &i)
}

// InviteAgain makes a new code for a user that exists; the one before is void.
func (c *Client) InviteAgain(ctx context.Context, name string) (account.Invitation, error) {
	var i account.Invitation
	return i, c.change(ctx, http.MethodPost, under("/v1/users", name)+"/invitation", nil, nil, &i)
}

// SuspendUser keeps a user out; UnsuspendUser lets them in again.
func (c *Client) SuspendUser(ctx context.Context, name string) (account.User, error) {
	var u account.User
	return u, c.change(ctx, http.MethodPost, under("/v1/users", name)+"/suspend", nil, nil, &u)
}

// UnsuspendUser lets a user in again.
func (c *Client) UnsuspendUser(ctx context.Context, name string) (account.User, error) {
	var u account.User
	return u, c.change(ctx, http.MethodPost, under("/v1/users", name)+"/unsuspend", nil, nil, &u)
}

// RemoveUser removes a user with their tokens and roles.
func (c *Client) RemoveUser(ctx context.Context, name string) error {
	return c.command(ctx, http.MethodDelete, under("/v1/users", name), nil)
}

// Projects lists the projects that the caller may see.
func (c *Client) Projects(ctx context.Context) ([]account.Project, error) {
	return whole[account.Project](ctx, c, "/v1/projects")
}

// GetProject is one project, and how far its removal is.
func (c *Client) GetProject(ctx context.Context, name string) (ProjectView, error) {
	var p ProjectView
	return p, c.look(ctx, under("/v1/projects", name), nil, &p)
}

// CreateProject makes a project on a platform, which may be left out when there is one.
func (c *Client) CreateProject(ctx context.Context, name, platform string) (account.Project, error) {
	var p account.Project
	body := map[string]string{"name": name}
	if platform != "" {
		body["platform"] = platform
	}
	return p, c.change(ctx, http.MethodPost, "/v1/projects", nil, body, &p)
}

// DeleteProject begins to remove a project; with cascade its services go with it. It is over when GetProject says NotFound.
func (c *Client) DeleteProject(ctx context.Context, name string, cascade bool) error {
	query := url.Values{}
	if cascade {
		query.Set("cascade", "true")
	}
	var begun struct {
		ID string `json:"id"`
	}
	return c.change(ctx, http.MethodDelete, under("/v1/projects", name), query, nil, &begun)
}

// SuspendProject suspends a project for a reason.
func (c *Client) SuspendProject(ctx context.Context, name string, reason account.Reason, message string) (account.Project, error) {
	var p account.Project
	return p, c.change(ctx, http.MethodPut, under("/v1/projects", name, "suspensions", string(reason)), nil, map[string]string{"message": message}, &p)
}

// UnsuspendProject lifts one reason; others stay.
func (c *Client) UnsuspendProject(ctx context.Context, name string, reason account.Reason) (account.Project, error) {
	var p account.Project
	return p, c.change(ctx, http.MethodDelete, under("/v1/projects", name, "suspensions", string(reason)), nil, nil, &p)
}

// Members lists who has roles in a project.
func (c *Client) Members(ctx context.Context, project string) ([]account.Member, error) {
	return whole[account.Member](ctx, c, under("/v1/projects", project, "members"))
}

// GrantRole gives a user a role in a project, or on the platform where no project is named. Twice is once.
func (c *Client) GrantRole(ctx context.Context, project, user string, role account.Role) error {
	return c.command(ctx, http.MethodPut, rolePath(project, user, role), nil)
}

// RevokeRole takes it away.
func (c *Client) RevokeRole(ctx context.Context, project, user string, role account.Role) error {
	return c.command(ctx, http.MethodDelete, rolePath(project, user, role), nil)
}

func rolePath(project, user string, role account.Role) string {
	if project == "" {
		return under("/v1/users", user, "roles", string(role))
	}
	return under("/v1/projects", project, "members", user, "roles", string(role))
}

// TokenOwner says whose tokens are meant: a user, or a service account of a project. The zero value is the caller.
type TokenOwner struct{ User, Project, ServiceAccount string }

func (o TokenOwner) path() string {
	switch {
	case o.ServiceAccount != "":
		return under("/v1/projects", o.Project, "service-accounts", o.ServiceAccount, "tokens")
	case o.User != "":
		return under("/v1/users", o.User, "tokens")
	}
	return "/v1/tokens"
}

// Tokens lists an owner's tokens, without their secrets.
func (c *Client) Tokens(ctx context.Context, owner TokenOwner) ([]account.Token, error) {
	return whole[account.Token](ctx, c, owner.path())
}

// CreateToken makes a token for its owner.
func (c *Client) CreateToken(ctx context.Context, owner TokenOwner, t TokenRequest) (NewToken, error) {
	var made NewToken
	return made, c.change(ctx, http.MethodPost, owner.path(), nil, t.body(), &made)
}

// RevokeToken ends a token, by its name or id.
func (c *Client) RevokeToken(ctx context.Context, owner TokenOwner, token string) error {
	return c.command(ctx, http.MethodDelete, under(owner.path(), token), nil)
}

// ServiceAccounts lists the programs that act in a project.
func (c *Client) ServiceAccounts(ctx context.Context, project string) ([]account.ServiceAccount, error) {
	return whole[account.ServiceAccount](ctx, c, under("/v1/projects", project, "service-accounts"))
}

// CreateServiceAccount makes one, with its role in the project.
func (c *Client) CreateServiceAccount(ctx context.Context, project, name string, role account.Role) (account.ServiceAccount, error) {
	var a account.ServiceAccount
	body := map[string]string{"name": name, "role": string(role)}
	return a, c.change(ctx, http.MethodPost, under("/v1/projects", project, "service-accounts"), nil, body, &a)
}

// RemoveServiceAccount removes one, with its tokens.
func (c *Client) RemoveServiceAccount(ctx context.Context, project, name string) error {
	return c.command(ctx, http.MethodDelete, under("/v1/projects", project, "service-accounts", name), nil)
}
