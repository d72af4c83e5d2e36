package channel

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// Adapter carries messages by one channel.
//
// Sending is idempotent by the message's key as far as the channel allows: an adapter whose provider has no idempotency keys looks for what
// an earlier try sent before it sends. A receipt says that the provider took the message, never that somebody read it. Errors are faults:
// a permanent kind means that this contact or channel cannot carry the message, and its text is for whoever looks after the alert. NotFound
// is about the address: it takes no messages (any more), so the contact is to be verified again before it is used.
type Adapter interface {
	// Send brings a page to its contact. Where Previous is set, and the channel can, that message is brought up to date.
	Send(ctx context.Context, p alert.Page) (alert.Receipt, error)
	// Tell brings plain text to an address.
	Tell(ctx context.Context, t alert.Text) (alert.Receipt, error)
}

// Reader tells what a provider's callback says, once it is sure that it is the provider's.
type Reader interface {
	Read(ctx context.Context, c alert.Callback) (alert.Meaning, error)
}

// Deadline bounds one try to send by any channel: a provider that is silent for longer is passed over for the next one.
const Deadline = 8 * time.Second

// Set is the channels of this process.
type Set struct {
	Adapters map[alert.Channel]Adapter // all of alert.Channels; NotSetUp where there are no settings
	CodeKey  []byte                    // what codes are derived from
}

// NotSetUp is the adapter of a channel without settings. Setting names the first one that is missing.
type NotSetUp struct {
	Channel alert.Channel
	Setting string
}

// Send refuses for good, so that the next channel is used.
func (n NotSetUp) Send(context.Context, alert.Page) (alert.Receipt, error) {
	return alert.Receipt{}, n.refuse()
}

// Tell refuses likewise.
func (n NotSetUp) Tell(context.Context, alert.Text) (alert.Receipt, error) {
	return alert.Receipt{}, n.refuse()
}

func (n NotSetUp) refuse() error {
	return fault.New(fault.Failed, "%s is not set up: %s is missing where the queue pages is served", n.Channel, n.Setting)
}

// Send brings a page to its contact by the contact's channel.
func (s Set) Send(ctx context.Context, p alert.Page) (alert.Receipt, error) {
	return s.within(ctx, p.Contact.Channel, func(ctx context.Context, a Adapter) (alert.Receipt, error) { return a.Send(ctx, p) })
}

// SendText brings plain text to an address.
func (s Set) SendText(ctx context.Context, t alert.Text) (alert.Receipt, error) {
	return s.within(ctx, t.Channel, func(ctx context.Context, a Adapter) (alert.Receipt, error) { return a.Tell(ctx, t) })
}

// SendCode sends the code of the request, which follows from its key.
func (s Set) SendCode(ctx context.Context, r alert.CodeRequest) (alert.CodeSent, error) {
	code := s.code(r)
	receipt, err := s.SendText(ctx, alert.Text{Key: r.Key, Channel: r.Contact.Channel, To: r.Contact.Address, Subject: "Your M3O code",
		Text: fmt.Sprintf("%s is your M3O code. Whoever has it can be sent alerts here; enter it where you added this contact.", code)})
	if err != nil {
		return alert.CodeSent{}, err
	}
	return alert.CodeSent{Hash: alert.HashCode(code), Receipt: receipt}, nil
}

// code is one that nobody without the key can foresee.
func (s Set) code(r alert.CodeRequest) string {
	mac := hmac.New(sha256.New, s.CodeKey)
	fmt.Fprintf(mac, "%s\n%s\n%s", r.Key, r.Contact.ID, r.Contact.Address)
	return alert.CodeOf(mac.Sum(nil))
}

// Read tells what a callback says.
func (s Set) Read(ctx context.Context, c alert.Callback) (alert.Meaning, error) {
	r, ok := s.Adapters[c.Channel].(Reader)
	if !ok {
		return alert.Meaning{}, fault.New(fault.Failed, "nobody here reads callbacks of %s: it is not set up", c.Channel)
	}
	return r.Read(ctx, c)
}

// within sends within the deadline. What was not answered by then may have been sent: another try finds it.
func (s Set) within(ctx context.Context, c alert.Channel, send func(context.Context, Adapter) (alert.Receipt, error)) (alert.Receipt, error) {
	a, ok := s.Adapters[c]
	if !ok {
		return alert.Receipt{}, fault.New(fault.Invalid, "%.40q is no channel", c)
	}
	limited, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	receipt, err := send(limited, a)
	if err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		return alert.Receipt{}, fault.Wrap(fault.Unavailable, err, "%s did not answer within %s", c, Deadline)
	}
	return receipt, err
}
