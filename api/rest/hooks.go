package rest

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/time/rate"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel/slack"
	"github.com/m3o/platform/internal/channel/sms"
	"github.com/m3o/platform/internal/fault"
)

// maxHook bounds what a provider calls back with.
const maxHook = 64 << 10

// How many callbacks one address sends: what Twilio sends is stored before anybody can verify it.
const (
	hooksPerSecond = 50
	hooksAtOnce    = 200
	hookAddresses  = 10_000 // that are told apart
)

// hookLimits are the limits of callbacks by who sends them, and of what is told of them. The zero value is ready to use.
type hookLimits struct {
	mu       sync.Mutex
	from     map[netip.Prefix]*rate.Limiter
	reported map[alert.Channel]*rate.Sometimes
}

// reportOf is when what strangers do to a channel's hook is told.
func (h *hookLimits) reportOf(c alert.Channel) *rate.Sometimes {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reported == nil {
		h.reported = map[alert.Channel]*rate.Sometimes{}
	}
	if h.reported[c] == nil {
		h.reported[c] = &rate.Sometimes{First: 1, Interval: time.Minute}
	}
	return h.reported[c]
}

func (h *hookLimits) take(address string) error {
	who := neighbours(address)
	h.mu.Lock()
	if h.from == nil || len(h.from) >= hookAddresses {
		h.from = map[netip.Prefix]*rate.Limiter{}
	}
	limit := h.from[who]
	if limit == nil {
		limit = rate.NewLimiter(hooksPerSecond, hooksAtOnce)
		h.from[who] = limit
	}
	h.mu.Unlock()
	if !limit.Allow() {
		return &fault.Error{Kind: fault.Throttled, Message: "too many callbacks from there", RetryAfter: time.Second}
	}
	return nil
}

func (a *API) registerHooks() {
	form := map[string]*huma.Schema{"application/x-www-form-urlencoded": {Type: huma.TypeObject, Description: "What the provider sends."}}
	refuses := []int{http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable}
	kept := shape{takes: form, status: http.StatusNoContent, about: "It is kept. It has an effect once its signature is verified.", refuses: refuses}
	a.plain("twilio-status", http.MethodPost, sms.StatusPath, "Take Twilio's report of a message", account.Anyone, false, kept, a.twilioHook)
	a.plain("twilio-reply", http.MethodPost, sms.ReplyPath, "Take a reply by SMS from Twilio", account.Anyone, false, kept, a.twilioHook)
	a.plain("slack-interaction", http.MethodPost, slack.HookPath, "Take a button that was pressed in Slack", account.Anyone, false,
		shape{takes: form, about: "It is kept, and has an effect at once.", refuses: refuses}, a.slackHook)
}

// twilioHook keeps what Twilio calls back with, as it came: the token that it signs with is the workers' of pages.
func (a *API) twilioHook(w http.ResponseWriter, r *http.Request) {
	signature := r.Header.Get("X-Twilio-Signature")
	body, err := a.hookBody(w, r)
	if err == nil && (signature == "" || len(signature) > 100) {
		err = fault.New(fault.Denied, "the request is not signed by Twilio")
	}
	if err == nil {
		c := alert.Callback{Channel: alert.SMS, URL: a.calledURL(r), Headers: map[string]string{"X-Twilio-Signature": signature}, Body: string(body)}
		err = a.keepCallback(r, c, sms.Signed(c.URL, c.Body), signature)
	}
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// slackHook keeps a button that was pressed. Who cannot have sent it as Slack is refused; what was sent before has no further effect.
func (a *API) slackHook(w http.ResponseWriter, r *http.Request) {
	body, err := a.hookBody(w, r)
	if err == nil && a.SlackSecret == "" {
		err = fault.New(fault.Denied, "Slack is not set up: M3O_SLACK_SIGNING_SECRET_FILE is missing")
	}
	if err == nil {
		err = slack.Verify(r.Header, body, a.SlackSecret)
	}
	if err != nil {
		if fault.Is(err, fault.Denied) {
			a.report(r, alert.Slack, "a request to Slack's hook was refused: "+fault.Message(err))
		}
		writeProblem(w, r, err)
		return
	}
	c := alert.Callback{Channel: alert.Slack, URL: a.calledURL(r), Body: string(body), Trusted: true}
	if err := a.keepCallback(r, c, r.Header.Get("X-Slack-Request-Timestamp"), c.Body); err != nil {
		writeProblem(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// report tells operators of a callback that was forged, or came before, as often as is worth reading.
func (a *API) report(r *http.Request, c alert.Channel, why string) {
	a.hooks.reportOf(c).Do(func() {
		slog.WarnContext(r.Context(), why, "from", here(r.Context()).from)
		if err := a.Callbacks.ReportForged(context.WithoutCancel(r.Context()), c, 0, why); err != nil {
			slog.WarnContext(r.Context(), "a forged request is not among the events", "error", err)
		}
	})
}

func (a *API) hookBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := a.hooks.take(here(r.Context()).from); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHook))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, &huma.ErrorModel{Status: http.StatusRequestEntityTooLarge, Title: http.StatusText(http.StatusRequestEntityTooLarge),
			Detail: "a callback has at most 64 KiB", Type: "urn:m3o:problem:large"}
	}
	if err != nil {
		return nil, late(err, fault.Wrap(fault.Invalid, err, "the body cannot be read"))
	}
	return body, nil
}

// keepCallback stores a callback once, by what was signed: the same in other bytes is the same. What its provider does not vouch for yet
// comes with its signature, so that a forged one keeps no other from being stored.
func (a *API) keepCallback(r *http.Request, c alert.Callback, signed ...string) error {
	sum := sha256.New()
	for _, part := range signed {
		_, _ = io.WriteString(sum, part+"\x00") // to a hash
	}
	fresh, err := a.Callbacks.AppendCallback(r.Context(), c, sum.Sum(nil))
	if err == nil && !fresh {
		a.report(r, c.Channel, "a callback came before, and has no further effect")
	}
	return err
}

// calledURL is the URL of a request as its sender wrote it: proxies in front may have changed scheme and host.
func (a *API) calledURL(r *http.Request) string {
	base := strings.TrimRight(a.PublicURL, "/")
	if base == "" {
		base = "http://" + r.Host
	}
	return base + r.URL.RequestURI()
}
