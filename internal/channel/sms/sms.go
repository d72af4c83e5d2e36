// Package sms is the channel that sends SMS through Twilio, and reads what Twilio calls back with: reports of delivery, and replies.
//
// Twilio has no idempotency keys. Each body ends with a mark that follows from the message's key; who tries again lists what went to the
// number and finds the earlier try by it. Twilio signs callbacks with the account's full token, so they are verified here, where it is.
package sms

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/twilio/twilio-go/client"
	twilio "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// StatusPath and ReplyPath are where the API takes Twilio's callbacks.
const (
	StatusPath = "/v1/hooks/twilio/status"
	ReplyPath  = "/v1/hooks/twilio/sms"
)

// Config is an account at Twilio.
type Config struct {
	Account   string            // AC…
	Token     string            // of the account: authenticates calls, and signs callbacks
	From      string            // a number, +E.164, or a messaging service, MG…
	BaseURL   string            // of the API; empty: Twilio's
	Hooks     string            // how Twilio reaches our API, https://api.example.com; empty: it does not, so that no delivery is confirmed
	Transport http.RoundTripper // nil: the default one
}

// Adapter implements channel.Adapter and channel.Reader. It is safe for concurrent use.
type Adapter struct {
	Config
	base      *url.URL
	validator client.RequestValidator
}

// New checks the configuration.
func New(c Config) (*Adapter, error) {
	c.BaseURL = cmp.Or(c.BaseURL, "https://api.twilio.com")
	base, err := url.Parse(c.BaseURL)
	var check fault.Checker
	check.Check(strings.HasPrefix(c.Account, "AC"), "account", "%.40q is no SID such as AC…", c.Account)
	check.Check(c.Token != "", "token", "is missing")
	check.Check(strings.HasPrefix(c.From, "+") || strings.HasPrefix(c.From, "MG"), "from", "%.40q is no number such as +14155550100, and no service such as MG…", c.From)
	check.Check(err == nil && base.Host != "" && (base.Scheme == "https" || base.Scheme == "http"), "url", "%.80q is no URL such as https://api.twilio.com", c.BaseURL)
	if err := check.Err(); err != nil {
		return nil, err
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	return &Adapter{Config: c, base: base, validator: client.NewRequestValidator(c.Token)}, nil
}

// Send implements channel.Adapter.
func (a *Adapter) Send(ctx context.Context, p alert.Page) (alert.Receipt, error) {
	body := Body(p, mark(p.Key+" "+p.Contact.ID))
	return a.send(ctx, message{to: p.Contact.Address, body: body, page: p.Key, again: p.Again})
}

// Tell implements channel.Adapter.
func (a *Adapter) Tell(ctx context.Context, t alert.Text) (alert.Receipt, error) {
	body := fit(plain(t.Text), " ["+mark(t.Key)+"]")
	return a.send(ctx, message{to: t.To, body: body, again: t.Again})
}

// mark tells a message apart from others to the same number.
func mark(key string) string {
	sum := sha256.Sum256([]byte(key))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:6])
}

type message struct {
	to, body string
	page     string // the page's key: Twilio calls back for it
	again    bool
}

func (a *Adapter) send(ctx context.Context, m message) (alert.Receipt, error) {
	call := &call{ctx: ctx, base: a.base, next: a.Transport}
	api := twilio.NewApiServiceWithClient(a.client(call))
	if m.again {
		page, err := api.PageMessage(new(twilio.ListMessageParams).SetTo(m.to).SetPageSize(50), "", "")
		if err != nil {
			return alert.Receipt{}, call.classify(err, m.to)
		}
		for _, sent := range page.Messages {
			if sent.Body != nil && *sent.Body == m.body && sent.Direction != nil && strings.HasPrefix(*sent.Direction, "outbound") {
				return a.receipt(sent), nil
			}
		}
	}
	params := new(twilio.CreateMessageParams).SetTo(m.to).SetBody(m.body)
	if strings.HasPrefix(a.From, "MG") {
		params.SetMessagingServiceSid(a.From)
	} else {
		params.SetFrom(a.From)
	}
	if a.Hooks != "" && m.page != "" {
		params.SetStatusCallback(strings.TrimSuffix(a.Hooks, "/") + StatusPath + "?" + url.Values{"page": {m.page}}.Encode())
	}
	sent, err := api.CreateMessage(params)
	if err != nil {
		return alert.Receipt{}, call.classify(err, m.to)
	}
	return a.receipt(*sent), nil
}

func (a *Adapter) receipt(m twilio.ApiV2010Message) alert.Receipt {
	r := alert.Receipt{Channel: alert.SMS, State: alert.Sent, Confirm: a.Hooks != "", At: time.Now().UTC()}
	if m.Sid != nil {
		r.ID = *m.Sid
	}
	if m.Status != nil {
		code := 0
		if m.ErrorCode != nil {
			code = *m.ErrorCode
		}
		r.State, r.Message = state(*m.Status, code)
	}
	return r
}

// client is Twilio's own, for one call with its context.
func (a *Adapter) client(c *call) *client.Client {
	own := &client.Client{Credentials: client.NewCredentials(a.Account, a.Token), HTTPClient: &http.Client{Transport: c,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	own.SetAccountSid(a.Account)
	return own
}
