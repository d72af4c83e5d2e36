package rest

import (
	"cmp"
	"context"
	"net/http"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
)

// MemberPath names a role of a user in a project.
type MemberPath struct {
	ProjectPath
	UserPath
	Role account.Role `path:"role" maxLength:"32" doc:"owner, developer, viewer or billing."`
}

// ServiceAccountRequest asks for a service account.
type ServiceAccountRequest struct {
	Name string       `json:"name" maxLength:"63"`
	Role account.Role `json:"role,omitempty" maxLength:"32" doc:"developer when left out."`
}

// ServiceAccountPath names a service account of a project.
type ServiceAccountPath struct {
	ProjectPath
	Name string `path:"name" maxLength:"63" doc:"Name of the service account."`
}

func (a *API) registerMembers() {
	typed(a, "list-members", http.MethodGet, "/v1/projects/{project}/members", "List who has a role in a project", account.ReadProjects, 200, func(ctx context.Context, in *ProjectPath) (*Body[List[account.Member]], error) {
		items, err := a.Identity.Members(ctx, in.Project)
		return listed(ctx, items, err)
	})
	typed(a, "grant-project-role", http.MethodPut, "/v1/projects/{project}/members/{user}/roles/{role}", "Give a user a role in a project", account.WriteMembers, 204, func(ctx context.Context, in *MemberPath) (*Nothing, error) {
		return done(ctx, a.Identity.Grant(ctx, in.Project, in.User, in.Role, caller(ctx).Subject))
	})
	typed(a, "revoke-project-role", http.MethodDelete, "/v1/projects/{project}/members/{user}/roles/{role}", "Take a role in a project from a user", account.WriteMembers, 204, func(ctx context.Context, in *MemberPath) (*Nothing, error) {
		return done(ctx, a.Identity.Revoke(ctx, in.Project, in.User, in.Role, caller(ctx).Subject))
	})
	a.registerServiceAccounts("/v1/projects/{project}/service-accounts")
}

func (a *API) registerServiceAccounts(path string) {
	typed(a, "list-service-accounts", http.MethodGet, path, "List the service accounts of a project", account.ReadProjects, 200, func(ctx context.Context, in *ProjectPath) (*Body[List[account.ServiceAccount]], error) {
		items, err := a.Identity.ServiceAccounts(ctx, in.Project)
		return listed(ctx, items, err)
	})
	typed(a, "create-service-account", http.MethodPost, path, "Make a service account of a project", account.WriteMembers, 201, a.createServiceAccount)
	typed(a, "remove-service-account", http.MethodDelete, path+"/{name}", "Remove a service account with its tokens", account.WriteMembers, 204, func(ctx context.Context, in *ServiceAccountPath) (*Nothing, error) {
		return done(ctx, a.Identity.RemoveServiceAccount(ctx, in.Project, in.Name, caller(ctx).Subject))
	})
	typed(a, "list-service-account-tokens", http.MethodGet, path+"/{name}/tokens", "List the tokens of a service account", account.ReadProjects, 200, a.listServiceAccountTokens)
	typed(a, "create-service-account-token", http.MethodPost, path+"/{name}/tokens", "Make a token for a service account", account.WriteMembers, 201, a.createServiceAccountToken)
	typed(a, "revoke-service-account-token", http.MethodDelete, path+"/{name}/tokens/{token}", "Revoke a token of a service account", account.WriteMembers, 204, a.revokeServiceAccountToken)
}

func (a *API) createServiceAccount(ctx context.Context, in *struct {
	ProjectPath
	Body ServiceAccountRequest
}) (*Body[account.ServiceAccount], error) {
	wanted := account.ServiceAccount{Project: in.Project, Name: in.Body.Name, Role: cmp.Or(in.Body.Role, account.Developer), CreatedBy: caller(ctx).Subject}
	named(ctx, "/v1/projects/"+in.Project+"/service-accounts/"+in.Body.Name)
	made, err := a.Identity.CreateServiceAccount(ctx, wanted)
	return answered(ctx, made, err)
}

func (a *API) listServiceAccountTokens(ctx context.Context, in *ServiceAccountPath) (*Body[List[account.Token]], error) {
	owner, err := a.Identity.ServiceAccount(ctx, in.Project, in.Name)
	if err != nil {
		return nil, problem(ctx, err)
	}
	items, err := a.Identity.Tokens(ctx, owner.ID)
	return listed(ctx, items, err)
}

func (a *API) createServiceAccountToken(ctx context.Context, in *struct {
	ServiceAccountPath
	Body TokenRequest
}) (*Body[NewToken], error) {
	owner, err := a.Identity.ServiceAccount(ctx, in.Project, in.Name)
	if err != nil {
		return nil, problem(ctx, err)
	}
	if in.Body.Project != "" && in.Body.Project != owner.Project {
		return nil, problem(ctx, fault.Problems([]fault.Problem{{Field: "project", Message: "a service account acts in its own project alone: leave it out"}}))
	}
	in.Body.Project = ""
	return a.makeToken(ctx, in.Body, account.TokenSpec{Owner: owner.ID, Kind: account.Service}, owner.Project+"/"+owner.Name)
}

func (a *API) revokeServiceAccountToken(ctx context.Context, in *struct {
	ServiceAccountPath
	TokenPath
}) (*Nothing, error) {
	owner, err := a.Identity.ServiceAccount(ctx, in.Project, in.Name)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return done(ctx, a.Identity.RevokeToken(ctx, owner.ID, in.Token, caller(ctx).Subject))
}
