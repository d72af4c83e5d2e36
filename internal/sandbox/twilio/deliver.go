package twilio

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/hooks"
	"github.com/m3o/platform/internal/sandbox/inbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

// deliver moves messages on when they are due.
func (c *Cloud) deliver(ctx context.Context) error {
	changed := c.World.Watch(ctx)
	for ctx.Err() == nil {
		next, err := c.deliverDue(ctx)
		if err != nil {
			return fmt.Errorf("deliver messages: %w", err)
		}
		timer := time.NewTimer(max(time.Millisecond, next.Sub(c.World.Clock.Now())))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

// deliverDue moves on what is due now, and says when to look again.
func (c *Cloud) deliverDue(ctx context.Context) (next time.Time, err error) {
	now := c.World.Clock.Now()
	next = now.Add(time.Hour)
	var due []transit
	err = c.World.View(ctx, func(tx *world.Tx) error {
		all, err := world.List[transit](tx, ref(kindTransit, ""))
		for _, t := range all {
			if !t.Due.After(now) {
				due = append(due, t)
			} else if t.Due.Before(next) {
				next = t.Due
			}
		}
		return err
	})
	for _, t := range due {
		if err == nil {
			err = c.World.Update(ctx, func(tx *world.Tx) error { return c.advance(tx, t, now) })
		}
	}
	return next, err
}

// advance gives a message its next status.
//
//	status  event                                       next status
//	queued  the carrier takes it                        sent
//	sent    it arrives                                  delivered
//	sent    the fault undeliverable                     undelivered
//	sent    the fault dropped                           sent, for ever
func (c *Cloud) advance(tx *world.Tx, t transit, now time.Time) error {
	m, err := world.Get[message](tx, ref(kindMessage, t.SID))
	if err != nil {
		return err
	}
	m.Status, m.UpdatedAt = t.Status, now
	var next *transit
	switch m.Status {
	case sent:
		m.SentAt = now
		next, err = c.afterSent(tx, m, t, now)
	case undelivered:
		m.ErrorCode = unreachable
	case delivered:
		if t.Fault != world.LateReceipt { // it has arrived before
			err = m.arrive(tx, now)
		}
	}
	if err != nil {
		return err
	}
	if next == nil {
		err = tx.Delete(ref(kindTransit, t.SID))
	} else {
		err = tx.Put(ref(kindTransit, t.SID), world.Meta{}, next)
	}
	for _, do := range []func() error{
		func() error { return putMessage(tx, m) },
		func() error { return tx.Record(m.effect(world.Updated, "CreateMessage")) },
		func() error { return c.tellStatus(tx, m, now) },
	} {
		if err == nil {
			err = do()
		}
	}
	return err
}

// afterSent is what becomes of a message that the carrier has; nil: nothing more.
func (c *Cloud) afterSent(tx *world.Tx, m message, t transit, now time.Time) (*transit, error) {
	next := transit{SID: m.SID, Status: delivered, Fault: t.Fault, Due: c.World.Clock.Due(now, delivering, m.SID)}
	switch t.Fault {
	case world.Dropped:
		return nil, nil
	case world.Undeliverable:
		next.Status = undelivered
	case world.LateReceipt:
		next.Due = now.Add(t.Wait)
		return &next, m.arrive(tx, now)
	}
	return &next, nil
}

// tellStatus calls back where the sender of a message wants to hear of its status.
func (c *Cloud) tellStatus(tx *world.Tx, m message, now time.Time) error {
	if m.Callback == "" {
		return nil
	}
	form := url.Values{"MessageSid": {m.SID}, "SmsSid": {m.SID}, "MessageStatus": {m.Status}, "SmsStatus": {m.Status},
		"AccountSid": {c.Credentials.AccountSID}, "From": {m.From}, "To": {m.To}, "ApiVersion": {apiVersion}}
	if m.ErrorCode != 0 {
		form.Set("ErrorCode", strconv.Itoa(m.ErrorCode))
	}
	return hooks.Enqueue(tx, c.call(m.SID+"-"+m.Status, m.Callback, form, now))
}

// call is a request of Twilio's, signed. As there, the fragment of the URL says how often it is tried (#rc=3&rp=all): otherwise again
// once where nobody answered.
func (c *Cloud) call(id, to string, form url.Values, now time.Time) hooks.Call {
	at, fragment, _ := strings.Cut(to, "#")
	overrides, _ := url.ParseQuery(fragment)
	again, err := strconv.Atoi(overrides.Get("rc"))
	if err != nil || again < 0 || again > 5 {
		again = 1
	}
	return hooks.Call{ID: id, Provider: Name, URL: at, Body: form.Encode(), Due: now, Tries: 1 + again, Insist: overrides.Get("rp") == "all",
		Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8", "User-Agent": "TwilioProxy/1.1",
			"X-Twilio-Signature": Signature(c.Credentials.AuthToken, at, form), "I-Twilio-Idempotency-Token": id}}
}

// Signature is Twilio's of a request: the account's token keys HMAC-SHA1 of the URL, and of the form's names and values in the order of
// names.
func Signature(token, to string, form url.Values) string {
	mac := hmac.New(sha1.New, []byte(token))
	mac.Write([]byte(to))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		mac.Write([]byte(name + form.Get(name)))
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Reply implements inbox.Replier: the recipient of a message writes back, and Twilio posts it to the number's webhook. STOP and START are
// heeded by Twilio itself, too.
func (c *Cloud) Reply(ctx context.Context, to inbox.Message, text string) error {
	sid, err := newSID()
	if err != nil {
		return err
	}
	now := c.World.Clock.Now()
	m := message{SID: sid, From: to.To, To: c.Credentials.Number, Body: text, Direction: "inbound", Status: received, CreatedAt: now, UpdatedAt: now, SentAt: now}
	return c.World.Update(ctx, func(tx *world.Tx) error {
		result := ""
		if c.Webhook == "" {
			result = "the number has no webhook: start the sandbox with --hooks"
		}
		if err := inbox.Act(tx, to.ID, inbox.Action{At: now, Text: text, Result: result}); err != nil {
			return err
		}
		if err := putMessage(tx, m); err != nil {
			return err
		}
		if err := c.heed(tx, m); err != nil || c.Webhook == "" {
			return err
		}
		form := url.Values{"MessageSid": {sid}, "SmsSid": {sid}, "SmsMessageSid": {sid}, "AccountSid": {c.Credentials.AccountSID}, "From": {m.From}, "To": {m.To},
			"Body": {text}, "NumMedia": {"0"}, "NumSegments": {segments(text)}, "SmsStatus": {received}, "ApiVersion": {apiVersion}}
		call := c.call(sid, c.Webhook, form, now)
		call.Message = to.ID
		return hooks.Enqueue(tx, call)
	})
}

// heed opts a sender out or in by the words that carriers want heeded.
func (c *Cloud) heed(tx *world.Tx, m message) error {
	out := ref(kindOptOut, m.From)
	switch strings.ToUpper(strings.TrimSpace(m.Body)) {
	case "STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT":
		return tx.Put(out, world.Meta{Name: m.From}, map[string]string{"number": m.From})
	case "START", "YES", "UNSTOP":
		if name, err := tx.NameOf(out); err != nil || name == "" {
			return err
		}
		return tx.Delete(out)
	}
	return nil
}

// settle tells the inbox how the platform took a reply.
func settle(tx *world.Tx, call hooks.Call, status int, problem error) error {
	if call.Message == "" {
		return nil
	}
	result := fmt.Sprintf("taken (%d)", status)
	if problem != nil {
		result = "did not arrive: " + problem.Error()
	} else if status >= 300 {
		result = fmt.Sprintf("refused (%d)", status)
	}
	return inbox.Settle(tx, call.Message, result)
}
