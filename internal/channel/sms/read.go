package sms

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel"
)

// Read implements channel.Reader. What Twilio's signature does not cover, or covers wrongly, is forged.
func (a *Adapter) Read(_ context.Context, c alert.Callback) (alert.Meaning, error) {
	called, err := url.Parse(c.URL)
	if err != nil || called.Query().Has("bodySHA256") { // then the form's fields would not be signed
		return alert.Meaning{Kind: alert.Forged, Why: "its address is none that Twilio was given"}, nil
	}
	if !a.validator.ValidateBody(c.URL, []byte(c.Body), c.Headers["X-Twilio-Signature"]) {
		return alert.Meaning{Kind: alert.Forged, Why: "its signature is not Twilio's"}, nil
	}
	form, err := url.ParseQuery(c.Body)
	if err != nil {
		return alert.Meaning{Kind: alert.Forged, Why: "it is no form"}, nil
	}
	if account := form.Get("AccountSid"); account != a.Account {
		return alert.Meaning{Kind: alert.Forged, Why: "it is of another account"}, nil
	}
	switch called.Path {
	case StatusPath:
		return report(called.Query().Get("page"), form), nil
	case ReplyPath:
		return reply(form), nil
	}
	return alert.Meaning{Kind: alert.MeansNothing, Why: "nothing is expected at that address"}, nil
}

// Signed is what Twilio's signature of a callback covers: its address, then each field of the form with its first value, in order. Other
// bytes that say the same have the same signature.
func Signed(called, body string) string {
	form, err := url.ParseQuery(body)
	if err != nil {
		return called + body // nobody signs that
	}
	var b strings.Builder
	b.WriteString(called)
	for _, field := range slices.Sorted(maps.Keys(form)) {
		b.WriteString(field + form.Get(field))
	}
	return b.String()
}

func report(page string, form url.Values) alert.Meaning {
	code, _ := strconv.Atoi(form.Get("ErrorCode")) // 0: none
	r := alert.Receipt{Channel: alert.SMS, ID: form.Get("MessageSid"), Confirm: true}
	if r.State, r.Message = state(form.Get("MessageStatus"), code); r.ID == "" || page == "" {
		return alert.Meaning{Kind: alert.MeansNothing, Why: "it reports no page"}
	}
	return alert.Meaning{Kind: alert.MeansReceipt, Receipt: &r, Page: page, Gone: code == codeUnsubscribed || code == 30005 || code == 30006}
}

// state is what Twilio's word for a message's status, and its code of an error, mean for a page.
func state(status string, code int) (alert.Delivery, string) {
	switch status {
	case "delivered", "read":
		return alert.Delivered, ""
	case "undelivered", "failed", "canceled":
		return alert.Failed, explain(status, code)
	}
	return alert.Sent, "" // accepted, scheduled, queued, sending, sent
}

// explain puts the commonest reasons in words.
func explain(status string, code int) string {
	words := map[int]string{codeQueueOverflow: "Twilio's queue is full", 30002: "the account at Twilio is suspended", 30003: "the phone is off or out of reach",
		30004: "the phone blocks our messages", 30005: "there is no such number", 30006: "it is a landline, or its carrier is not reachable",
		codeFiltered: "the carrier filtered it", 30008: "the carrier does not say why", codeUnsubscribed: "its person has replied STOP"}
	if text := words[code]; text != "" {
		return fmt.Sprintf("%s: %s (%d)", status, text, code)
	}
	if code != 0 {
		return fmt.Sprintf("%s (Twilio %d)", status, code)
	}
	return status
}

// stops are what carriers take for the wish to get no more messages.
var stops = map[string]bool{"stop": true, "stopall": true, "unsubscribe": true, "cancel": true, "end": true, "quit": true, "revoke": true, "optout": true}

// MaxReply bounds what is read of a reply.
const MaxReply = 64

func reply(form url.Values) alert.Meaning {
	from, text := form.Get("From"), strings.ToLower(strings.TrimSpace(form.Get("Body")))
	if stops[text] || form.Get("OptOutType") == "STOP" {
		return alert.Meaning{Kind: alert.MeansStop, From: from}
	}
	if form.Get("OptOutType") != "" {
		return alert.Meaning{Kind: alert.MeansNothing, From: from, Why: "Twilio answers it"}
	}
	if code, do, ok := ParseReply(text); ok {
		return alert.Meaning{Kind: alert.MeansCommand, From: from, Code: code, Do: do}
	}
	m := alert.Meaning{Kind: alert.MeansNothing, From: from, Why: "it is no reply to a page"}
	if len(text) <= 20 && strings.ContainsAny(text, "0123456789") { // a person who tried, no program that says it is away
		m.Text = channel.Line(text, 20)
	}
	return m
}

var (
	letterLast = regexp.MustCompile(`^\s*#?(\d{1,6})\s*([ares])[.!]?\s*$`)
	wordFirst  = regexp.MustCompile(`^\s*(ack|acknowledge|a|resolve|r|close|escalate|esc|e|snooze|s)\s*#?(\d{1,6})[.!]?\s*$`)
)

// ParseReply reads a reply to a page: its code with a letter ("1a"), or a word with the code ("ack 1").
func ParseReply(text string) (code int, do string, ok bool) {
	if len(text) > MaxReply {
		return 0, "", false
	}
	text = strings.ToLower(text)
	digits, word := "", ""
	if m := letterLast.FindStringSubmatch(text); m != nil {
		digits, word = m[1], m[2]
	} else if m := wordFirst.FindStringSubmatch(text); m != nil {
		digits, word = m[2], m[1]
	} else {
		return 0, "", false
	}
	code, err := strconv.Atoi(digits)
	if err != nil || code == 0 {
		return 0, "", false
	}
	switch word[0] {
	case 'a':
		do = alert.AcknowledgeUpdate
	case 'r', 'c':
		do = alert.ResolveUpdate
	case 'e':
		do = alert.EscalateUpdate
	case 's':
		do = alert.SnoozeUpdate
	}
	return code, do, true
}
