package rest

import (
	"context"
	"net/http"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/event"
)

func (a *API) registerAccount() {
	typed(a, "whoami", http.MethodGet, "/v1/whoami", "Show who calls", account.ReadServices, 200, a.whoami)
	typed(a, "list-audit", http.MethodGet, "/v1/audit", "List who changed what, newest first", account.ReadAudit, 200, a.listAudit)
}

func (a *API) whoami(ctx context.Context, _ *struct{}) (*Body[account.Principal], error) {
	return &Body[account.Principal]{caller(ctx)}, nil
}

func (a *API) listAudit(ctx context.Context, in *Paging) (*Body[List[event.Audit]], error) {
	items, next, err := a.Accounts.Audits(ctx, in.page())
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[List[event.Audit]]{List[event.Audit]{Items: items, Next: next}}, nil
}
