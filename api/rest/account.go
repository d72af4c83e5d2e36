package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/event"
)

func (a *API) registerAccount() {
	typed(a, "whoami", http.MethodGet, "/v1/whoami", "Show who calls", account.Known, 200, a.whoami)
	typed(a, "login-by-code", http.MethodPost, "/v1/login", "Exchange the code of an invitation for a token", account.Anyone, 201, a.loginByCode,
		http.StatusUnauthorized, http.StatusConflict, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable)
	a.plain("logout", http.MethodPost, "/v1/logout", "Revoke the token that the request carries, or end the browser's session", account.Known, true, shape{status: http.StatusNoContent, about: "It is good no more."}, a.logout)
	typed(a, "list-audit", http.MethodGet, "/v1/audit", "List who changed what, newest first", account.ReadAudit, 200, a.listAudit)
}

// Whoami is who calls, and what the caller should know of the token.
type Whoami struct {
	account.Principal
	Warnings []string `json:"warnings,omitempty"`
}

func (a *API) whoami(ctx context.Context, _ *struct{}) (*Body[Whoami], error) {
	p := caller(ctx)
	return &Body[Whoami]{Whoami{Principal: p, Warnings: p.Warnings(time.Now())}}, nil
}

func (a *API) listAudit(ctx context.Context, in *Paging) (*Body[List[event.Audit]], error) {
	items, next, err := a.AuditLog.Audits(ctx, in.page())
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[List[event.Audit]]{List[event.Audit]{Items: items, Next: next}}, nil
}

// Nothing is an answer without a body.
type Nothing struct{}

// listed answers with a list that comes whole.
func listed[T any](ctx context.Context, items []T, err error) (*Body[List[T]], error) {
	if err != nil {
		return nil, problem(ctx, err)
	}
	if items == nil {
		items = []T{}
	}
	return &Body[List[T]]{List[T]{Items: items}}, nil
}

// answered answers with one thing.
func answered[T any](ctx context.Context, thing T, err error) (*Body[T], error) {
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[T]{thing}, nil
}

// done answers that it is.
func done(ctx context.Context, err error) (*Nothing, error) {
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Nothing{}, nil
}
