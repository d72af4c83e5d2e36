package rest

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
)

// TokenRequest asks for a token.
type TokenRequest struct {
	Name      string   `json:"name" maxLength:"63" doc:"Given once by each owner."`
	Scopes    []string `json:"scopes,omitempty" maxItems:"50" doc:"What it may do at most: permissions such as services:read, services:*, or *, which is the default."`
	Project   string   `json:"project,omitempty" maxLength:"63" doc:"The only project that it acts in; every one of its owner when left out."`
	ExpiresIn string   `json:"expires_in,omitempty" maxLength:"32" doc:"A duration such as 720h; 2160h (90 days) when left out, 8760h at most, and no longer than the token that asks unless that holds every scope."`
}

// TokenPath names a token of its owner.
type TokenPath struct {
	Token string `path:"token" maxLength:"63" doc:"Name or id of the token."`
}

func (a *API) registerTokens() {
	typed(a, "list-tokens", http.MethodGet, "/v1/tokens", "List the caller's tokens", account.ReadTokens, 200, func(ctx context.Context, _ *struct{}) (*Body[List[account.Token]], error) {
		items, err := a.Identity.Tokens(ctx, caller(ctx).ID)
		return listed(ctx, items, err)
	})
	typed(a, "create-token", http.MethodPost, "/v1/tokens", "Make a token for the caller", account.WriteTokens, 201, func(ctx context.Context, in *struct{ Body TokenRequest }) (*Body[NewToken], error) {
		p := caller(ctx)
		return a.makeToken(ctx, in.Body, account.TokenSpec{Owner: p.ID, Kind: p.Kind}, p.Subject)
	}, http.StatusNotFound, http.StatusConflict)
	typed(a, "revoke-token", http.MethodDelete, "/v1/tokens/{token}", "Revoke a token of the caller", account.WriteTokens, 204, func(ctx context.Context, in *TokenPath) (*Nothing, error) {
		return done(ctx, a.Identity.RevokeToken(ctx, caller(ctx).ID, in.Token, caller(ctx).Subject))
	})
}

// makeToken makes a token for an owner. What a token makes is no wider than itself.
func (a *API) makeToken(ctx context.Context, in TokenRequest, spec account.TokenSpec, owner string) (*Body[NewToken], error) {
	p := caller(ctx)
	spec.Name, spec.Scopes, spec.Project, spec.By = in.Name, in.Scopes, in.Project, p.Subject
	if len(spec.Scopes) == 0 {
		spec.Scopes = p.Scopes
	}
	if spec.Project == "" && spec.Owner == p.ID && p.Kind == account.Person {
		spec.Project = p.Project
	}
	if in.ExpiresIn != "" {
		life, err := time.ParseDuration(in.ExpiresIn)
		if err != nil || life <= 0 {
			return nil, problem(ctx, fault.Problems([]fault.Problem{{Field: "expires_in", Message: fmt.Sprintf("%.32q is not a duration above 0, such as 720h", in.ExpiresIn)}}))
		}
		spec.Life = life
	}
	spec = spec.WithDefaults()
	if err := outlived(p, &spec, in.ExpiresIn != "", time.Now()); err != nil {
		return nil, problem(ctx, err)
	}
	if err := spec.Validate(); err != nil {
		return nil, problem(ctx, err)
	}
	if err := narrower(p, spec); err != nil {
		return nil, problem(ctx, err)
	}
	named(ctx, "/v1/tokens/"+owner+"/"+spec.Name)
	secret := account.NewSecret(account.PrefixOf(spec.Kind))
	token, err := a.Identity.CreateToken(ctx, spec, account.Hash(secret))
	return answered(ctx, NewToken{Secret: secret, Token: token, Subject: owner}, err)
}

// outlived has a token that is made by one of narrower scopes end no later than that one: else who was given it for an hour
// would keep it for a year. A life that was asked for is refused, one that was not is cut short.
func outlived(p account.Principal, spec *account.TokenSpec, asked bool, now time.Time) error {
	ends := p.Token.ExpiresAt
	left := ends.Sub(now)
	if account.Covers(p.Scopes, account.All) || ends.IsZero() || spec.Life <= left {
		return nil
	}
	if asked {
		return fault.New(fault.Denied, "the token that asks does not hold every scope and expires at %s: it makes none that is good for longer", ends.UTC().Format(time.RFC3339))
	}
	spec.Life = left
	return nil
}

// narrower says why a caller may not make such a token: it would be wider than the token that asks for it.
func narrower(p account.Principal, spec account.TokenSpec) error {
	if p.Kind == account.Person && p.Project != "" && spec.Owner == p.ID && spec.Project != p.Project {
		return fault.New(fault.Denied, "the token that asks acts in project %q alone: it makes none for another", p.Project)
	}
	if spec.Owner == p.ID && spec.Project != "" && spec.Project != p.Project && len(p.Platform) == 0 && len(p.Projects[spec.Project]) == 0 {
		return fault.New(fault.Denied, "%s may not act in project %q", p.Subject, shorten(spec.Project, maxProject)) // whether there is one, strangers are not told
	}
	for _, scope := range spec.Scopes {
		if !account.Covers(p.Scopes, scope) {
			return fault.New(fault.Denied, "the token that asks does not hold the scope %q: it makes none that does", scope)
		}
	}
	return nil
}
