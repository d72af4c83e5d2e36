package rest

import (
	"context"
	"net/http"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
)

// UserRequest invites a person.
type UserRequest struct {
	Name  string `json:"name" maxLength:"63"`
	Email string `json:"email,omitempty" maxLength:"254"`
}

// UserPath names a user.
type UserPath struct {
	User string `path:"user" maxLength:"63" doc:"Name of the user."`
}

// UserRolePath names a role of a user.
type UserRolePath struct {
	UserPath
	Role account.Role `path:"role" maxLength:"32" doc:"operator, finance, on-call or auditor."`
}

// UserTokenPath names a token of a user.
type UserTokenPath struct {
	UserPath
	TokenPath
}

func (a *API) registerUsers() {
	typed(a, "list-users", http.MethodGet, "/v1/users", "List the users", account.ReadUsers, 200, func(ctx context.Context, _ *struct{}) (*Body[List[account.User]], error) {
		items, err := a.Identity.Users(ctx)
		return listed(ctx, items, err)
	})
	typed(a, "invite-user", http.MethodPost, "/v1/users", "Invite a user: make a code to hand over", account.WriteUsers, 201, a.inviteUser, http.StatusConflict)
	typed(a, "renew-invitation", http.MethodPost, "/v1/users/{user}/invitation", "Make a new code for a user; the one before is void", account.WriteUsers, 201, a.renewInvitation, http.StatusConflict)
	typed(a, "suspend-user", http.MethodPost, "/v1/users/{user}/suspend", "Suspend a user", account.WriteUsers, 200, a.moveUser(account.Suspended), http.StatusConflict)
	typed(a, "unsuspend-user", http.MethodPost, "/v1/users/{user}/unsuspend", "Make a suspended user active again", account.WriteUsers, 200, a.moveUser(account.Active), http.StatusConflict)
	typed(a, "remove-user", http.MethodDelete, "/v1/users/{user}", "Remove a user with tokens, sessions and roles", account.WriteUsers, 204, func(ctx context.Context, in *UserPath) (*Nothing, error) {
		return done(ctx, a.Identity.RemoveUser(ctx, in.User, caller(ctx).Subject))
	}, http.StatusConflict)
	typed(a, "list-user-tokens", http.MethodGet, "/v1/users/{user}/tokens", "List a user's tokens", account.ReadUsers, 200, a.listUserTokens)
	typed(a, "revoke-user-token", http.MethodDelete, "/v1/users/{user}/tokens/{token}", "Revoke a token of a user", account.WriteUsers, 204, a.revokeUserToken)
	typed(a, "grant-platform-role", http.MethodPut, "/v1/users/{user}/roles/{role}", "Give a user a role on the platform", account.WriteRoles, 204, func(ctx context.Context, in *UserRolePath) (*Nothing, error) {
		return done(ctx, a.Identity.Grant(ctx, "", in.User, in.Role, caller(ctx).Subject))
	}, http.StatusConflict)
	typed(a, "revoke-platform-role", http.MethodDelete, "/v1/users/{user}/roles/{role}", "Take a role on the platform from a user", account.WriteRoles, 204, func(ctx context.Context, in *UserRolePath) (*Nothing, error) {
		return done(ctx, a.Identity.Revoke(ctx, "", in.User, in.Role, caller(ctx).Subject))
	}, http.StatusConflict)
}

// mayInvite says why a caller may not hand out an invitation: its code makes a token of every scope.
func mayInvite(p account.Principal) error {
	if account.Covers(p.Scopes, account.All) {
		return nil
	}
	return fault.New(fault.Denied, "an invitation makes a token with the scope %q, which the token that asks does not hold: invite with one that does", account.All)
}

func (a *API) inviteUser(ctx context.Context, in *struct{ Body UserRequest }) (*Body[account.Invitation], error) {
	if err := mayInvite(caller(ctx)); err != nil {
		return nil, problem(ctx, err)
	}
	if err := account.CheckUser(in.Body.Name, in.Body.Email); err != nil {
		return nil, problem(ctx, err)
	}
	named(ctx, "/v1/users/"+in.Body.Name)
	code := account.NewSecret(account.InviteCode)
	user, expires, err := a.Identity.InviteUser(ctx, in.Body.Name, in.Body.Email, account.Hash(code), caller(ctx).Subject)
	return answered(ctx, account.Invitation{User: user, Code: code, ExpiresAt: expires}, err)
}

func (a *API) renewInvitation(ctx context.Context, in *UserPath) (*Body[account.Invitation], error) {
	if err := mayInvite(caller(ctx)); err != nil {
		return nil, problem(ctx, err)
	}
	code := account.NewSecret(account.InviteCode)
	user, expires, err := a.Identity.RenewInvitation(ctx, in.User, account.Hash(code), caller(ctx).Subject)
	return answered(ctx, account.Invitation{User: user, Code: code, ExpiresAt: expires}, err)
}

func (a *API) moveUser(to account.Status) func(context.Context, *UserPath) (*Body[account.User], error) {
	return func(ctx context.Context, in *UserPath) (*Body[account.User], error) {
		user, err := a.Identity.MoveUser(ctx, in.User, to, caller(ctx).Subject)
		return answered(ctx, user, err)
	}
}

func (a *API) listUserTokens(ctx context.Context, in *UserPath) (*Body[List[account.Token]], error) {
	user, err := a.Identity.UserNamed(ctx, in.User)
	if err != nil {
		return nil, problem(ctx, err)
	}
	items, err := a.Identity.Tokens(ctx, user.ID)
	return listed(ctx, items, err)
}

func (a *API) revokeUserToken(ctx context.Context, in *UserTokenPath) (*Nothing, error) {
	user, err := a.Identity.UserNamed(ctx, in.User)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return done(ctx, a.Identity.RevokeToken(ctx, user.ID, in.Token, caller(ctx).Subject))
}
