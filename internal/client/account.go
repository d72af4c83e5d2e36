package client

import (
	"context"
	"net/url"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/event"
)

// WhoAmI tells who the token stands for.
func (c *Client) WhoAmI(ctx context.Context) (account.Principal, error) {
	var p account.Principal
	return p, c.look(ctx, "/v1/whoami", nil, &p)
}

// Audit lists who changed what, newest first, at most so many entries.
func (c *Client) Audit(ctx context.Context, most int) ([]event.Audit, error) {
	return pages[event.Audit](ctx, c, "/v1/audit", url.Values{}, most)
}
