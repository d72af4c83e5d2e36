package client

import (
	"context"
	"net/url"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/event"
)

// Whoami is who the token stands for, and what its holder should know of it.
type Whoami struct {
	account.Principal
	Warnings []string `json:"warnings,omitempty"`
}

// WhoAmI tells who the token stands for.
func (c *Client) WhoAmI(ctx context.Context) (Whoami, error) {
	var who Whoami
	return who, c.look(ctx, "/v1/whoami", nil, &who)
}

// Audit lists who changed what, newest first, at most so many entries.
func (c *Client) Audit(ctx context.Context, most int) ([]event.Audit, error) {
	return pages[event.Audit](ctx, c, "/v1/audit", url.Values{}, most)
}
