package activities

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/activity"

	"github.com/m3o/platform/internal/alert"
)

// Messenger sends by email, SMS, Slack and webhooks, and reads what their providers call back with. What it sends under a key it sends once,
// as far as the provider can tell; see internal/channel.
type Messenger interface {
	Send(ctx context.Context, p alert.Page) (alert.Receipt, error)
	SendCode(ctx context.Context, r alert.CodeRequest) (alert.CodeSent, error)
	SendText(ctx context.Context, t alert.Text) (alert.Receipt, error)
	Read(ctx context.Context, c alert.Callback) (alert.Meaning, error)
}

// Pages sends messages to people. It holds the channels' credentials and no database.
type Pages struct{ Messenger Messenger }

// SendPage brings a page to its contact, in seconds. Its key goes along to the provider, so a repetition finds what was sent.
func (a *Pages) SendPage(ctx context.Context, p alert.Page) (alert.Receipt, error) {
	p.Again = p.Again || activity.GetInfo(ctx).Attempt > 1
	receipt, err := a.Messenger.Send(ctx, p)
	if err != nil {
		return alert.Receipt{}, failUsers(fmt.Errorf("page %s by %s: %w", p.Key, p.Contact.Channel, err))
	}
	return receipt, nil
}

// SendCode sends a contact the code that verifies it. A repetition sends the same code.
func (a *Pages) SendCode(ctx context.Context, r alert.CodeRequest) (alert.CodeSent, error) {
	sent, err := a.Messenger.SendCode(ctx, r)
	if err != nil {
		return alert.CodeSent{}, failUsers(fmt.Errorf("send a code to contact %s: %w", r.Contact.ID, err))
	}
	return sent, nil
}

// SendText sends plain text, such as what came of a reply. A repetition finds what was sent.
func (a *Pages) SendText(ctx context.Context, t alert.Text) (alert.Receipt, error) {
	t.Again = t.Again || activity.GetInfo(ctx).Attempt > 1
	receipt, err := a.Messenger.SendText(ctx, t)
	if err != nil {
		return alert.Receipt{}, failUsers(fmt.Errorf("send text %s by %s: %w", t.Key, t.Channel, err))
	}
	return receipt, nil
}

// ReadCallback tells what a provider's callback says. It only reads.
func (a *Pages) ReadCallback(ctx context.Context, c alert.Callback) (alert.Meaning, error) {
	meaning, err := a.Messenger.Read(ctx, c)
	if err != nil {
		return alert.Meaning{}, fail(fmt.Errorf("read callback %d of %s: %w", c.Seq, c.Channel, err))
	}
	return meaning, nil
}
