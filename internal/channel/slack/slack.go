// Package slack is the channel that posts to Slack, and reads the buttons that are pressed there.
//
// An alert is one message for each contact: posted with buttons, brought up to date in place, with what happens since in its thread. Text
// of strangers is escaped, so that it mentions nobody. Each message carries its key as metadata, by which an earlier try is found.
package slack

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"
	"golang.org/x/time/rate"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel"
	"github.com/m3o/platform/internal/fault"
)

// metadataType is the type of our messages' metadata.
const metadataType = "m3o_page"

// Config is an app in a workspace.
type Config struct {
	Token     string            // of the bot, xoxb-…: chat:write, chat:write.public, im:write, and the history scopes to find earlier tries
	URL       string            // of the API, with /api/ at its end; empty: Slack's
	Transport http.RoundTripper // nil: the default one
}

// Adapter implements channel.Adapter and channel.Reader. It is safe for concurrent use.
type Adapter struct {
	client *slack.Client
	url    string

	mu     sync.Mutex
	limits map[string]*rate.Limiter // by channel
}

// New checks the configuration.
func New(c Config) (*Adapter, error) {
	c.URL = cmp.Or(c.URL, slack.APIURL)
	u, err := url.Parse(c.URL)
	var check fault.Checker
	check.Check(c.Token != "" && !strings.ContainsAny(c.Token, " \r\n"), "token", "is missing, or more than one word")
	check.Check(err == nil && u.Host != "" && strings.HasSuffix(c.URL, "/"), "url", "%.80q is no URL that ends in a slash, as https://slack.com/api/", c.URL)
	if err := check.Err(); err != nil {
		return nil, err
	}
	return &Adapter{url: c.URL, limits: map[string]*rate.Limiter{},
		client: slack.New(c.Token, slack.OptionAPIURL(c.URL), slack.OptionHTTPClient(&http.Client{Transport: c.Transport}))}, nil
}

// Send implements channel.Adapter.
func (a *Adapter) Send(ctx context.Context, p alert.Page) (alert.Receipt, error) {
	to, thread := p.Contact.Address, ""
	if p.Previous != nil {
		if at, ts, ok := strings.Cut(p.Previous.ID, "/"); ok {
			to, thread = at, ts
		}
	}
	if thread == "" {
		return a.post(ctx, posting{to: to, key: p.Key, text: channel.Headline(p), blocks: blocks(p), again: p.Again})
	}
	if p.Kind == alert.PageTrigger { // somebody is called once more: what is edited in place calls nobody
		return a.post(ctx, posting{to: to, thread: thread, broadcast: true, key: p.Key, text: channel.Headline(p), blocks: blocks(p), again: p.Again})
	}
	if err := a.turn(ctx, to); err != nil {
		return alert.Receipt{}, err
	}
	_, _, _, err := a.client.UpdateMessageContext(ctx, to, thread, slack.MsgOptionText(channel.Headline(p), true), slack.MsgOptionBlocks(blocks(p)...))
	if err != nil && said(err) != "message_not_found" {
		return alert.Receipt{}, classify(err, to)
	}
	if p.Kind == alert.PageUpdate { // nobody is called; a message that somebody removed stays so
		return receipt(to, thread), nil
	}
	if err != nil {
		thread = "" // somebody removed it
	}
	receipt, err := a.post(ctx, posting{to: to, thread: thread, key: p.Key, text: channel.Headline(p), again: p.Again})
	if err == nil && thread != "" {
		receipt.ID = p.Previous.ID // the message that further pages bring up to date
	}
	return receipt, err
}

// Tell implements channel.Adapter.
func (a *Adapter) Tell(ctx context.Context, t alert.Text) (alert.Receipt, error) {
	if t.In == "" {
		return a.post(ctx, posting{to: t.To, key: t.Key, text: channel.Line(t.Text, 1000), again: t.Again})
	}
	ts, err := a.client.PostEphemeralContext(ctx, t.In, t.To, slack.MsgOptionText(channel.Line(t.Text, 1000), true))
	if err != nil {
		return alert.Receipt{}, classify(err, t.In)
	}
	return receipt(t.In, ts), nil
}

type posting struct {
	to, thread string
	broadcast  bool // a reply in the thread that the channel sees, too
	key, text  string
	blocks     []slack.Block
	again      bool
}

func (a *Adapter) post(ctx context.Context, p posting) (alert.Receipt, error) {
	if p.again {
		if found, err := a.find(ctx, p); err != nil || found.ID != "" {
			return found, err
		}
	}
	if err := a.turn(ctx, p.to); err != nil {
		return alert.Receipt{}, err
	}
	options := []slack.MsgOption{slack.MsgOptionText(p.text, true), slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
		slack.MsgOptionMetadata(slack.SlackMetadata{EventType: metadataType, EventPayload: map[string]any{"key": p.key}}),
		slack.UnsafeMsgOptionEndpoint(a.url+"chat.postMessage", func(v url.Values) { v.Set("client_msg_id", messageID(p)) })}
	if len(p.blocks) > 0 {
		options = append(options, slack.MsgOptionBlocks(p.blocks...))
	}
	if p.thread != "" {
		options = append(options, slack.MsgOptionTS(p.thread))
	}
	if p.broadcast {
		options = append(options, slack.MsgOptionBroadcast())
	}
	at, ts, _, err := a.client.SendMessageContext(ctx, p.to, options...)
	if err != nil {
		return alert.Receipt{}, classify(err, p.to)
	}
	return receipt(cmp.Or(at, p.to), ts), nil
}

// messageID is a UUID that follows from the key: Slack takes a message with the same one once, for a while.
func messageID(p posting) string {
	sum := sha256.Sum256([]byte(p.to + "\n" + p.thread + "\n" + p.key))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	text := hex.EncodeToString(sum[:16])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

func receipt(at, ts string) alert.Receipt {
	return alert.Receipt{Channel: alert.Slack, ID: at + "/" + ts, State: alert.Delivered, At: time.Now().UTC()}
}

// recent is how many messages are looked through for an earlier try.
const recent = 50

// find looks for an earlier try of a posting. Its receipt is empty when there is none, or no way to look: a channel is looked into by its id.
func (a *Adapter) find(ctx context.Context, p posting) (alert.Receipt, error) {
	at := p.to
	switch {
	case strings.HasPrefix(at, "#"):
		return alert.Receipt{}, nil
	case strings.HasPrefix(at, "U"), strings.HasPrefix(at, "W"):
		direct, _, _, err := a.client.OpenConversationContext(ctx, &slack.OpenConversationParameters{Users: []string{at}})
		if err != nil {
			return alert.Receipt{}, classify(err, at)
		}
		at = direct.ID
	}
	messages, err := a.messages(ctx, at, p.thread)
	if said(err) == "missing_scope" { // the app may not read there: what client_msg_id does not catch is sent twice
		return alert.Receipt{}, nil
	}
	if err != nil {
		return alert.Receipt{}, classify(err, at)
	}
	for _, m := range messages {
		if m.Metadata.EventType == metadataType && m.Metadata.EventPayload["key"] == p.key {
			return receipt(at, m.Timestamp), nil
		}
	}
	return alert.Receipt{}, nil
}

func (a *Adapter) messages(ctx context.Context, at, thread string) ([]slack.Message, error) {
	if thread == "" {
		history, err := a.client.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{ChannelID: at, Limit: recent, IncludeAllMetadata: true})
		if err != nil {
			return nil, err
		}
		return history.Messages, nil
	}
	replies, _, _, err := a.client.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{ChannelID: at, Timestamp: thread, Limit: recent, IncludeAllMetadata: true})
	return replies, err
}

// Slack takes about one message a second for each channel, and a few at once.
const (
	perSecond = 1
	burst     = 4
	patience  = 2 * time.Second
	channels  = 10_000 // that are remembered
)

// turn waits for the channel's turn. Where that takes long it is refused, so that another channel can be used meanwhile.
func (a *Adapter) turn(ctx context.Context, to string) error {
	a.mu.Lock()
	if len(a.limits) >= channels {
		clear(a.limits)
	}
	limit := a.limits[to]
	if limit == nil {
		limit = rate.NewLimiter(perSecond, burst)
		a.limits[to] = limit
	}
	a.mu.Unlock()
	turn := limit.Reserve()
	wait := turn.Delay()
	if wait > patience {
		turn.Cancel()
		return &fault.Error{Kind: fault.Throttled, Message: fmt.Sprintf("Slack takes one message a second for %s, and there are more", to), RetryAfter: wait}
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		turn.Cancel()
		return fault.Wrap(fault.Unavailable, ctx.Err(), "Slack is busy with earlier messages to %s", to)
	}
}

// said is Slack's word for an error, empty for one that is not Slack's.
func said(err error) string {
	var told slack.SlackErrorResponse
	if errors.As(err, &told) {
		return told.Err
	}
	return ""
}
