package activities

import (
	"context"
	"fmt"

	"github.com/m3o/platform/internal/alert"
)

// Channels send pages: email, SMS, Slack and webhooks.
type Channels interface {
	Send(context.Context, alert.Page) (alert.Receipt, error)
}

// Pages sends pages to people and targets. It knows no database: whether a page may be sent is decided before.
type Pages struct{ Channels Channels }

// SendPage sends the page by its contact's channel, and returns the provider's receipt. The page's key goes with it: where the provider
// knows keys, sending twice is once.
func (a *Pages) SendPage(ctx context.Context, p alert.Page) (alert.Receipt, error) {
	receipt, err := a.Channels.Send(ctx, p)
	if err != nil {
		return alert.Receipt{}, fail(fmt.Errorf("send page %s by %s: %w", p.Key, p.Contact.Channel, err))
	}
	return receipt, nil
}
