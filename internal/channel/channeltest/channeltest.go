// Package channeltest is the one suite that every channel's adapter passes, over a server of its provider's protocol on the loopback.
//
// Tests alone use it. What is the provider's own, its errors and its callbacks, is tested beside the adapter.
package channeltest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel"
	"github.com/m3o/platform/internal/fault"
)

// Trouble is what becomes of the next request to the provider.
type Trouble string

// The troubles.
const (
	Refused Trouble = "refused" // for good
	Gone    Trouble = "gone"    // for good: there is no such address
	Busy    Trouble = "busy"    // for now
	Silent  Trouble = "silent"  // no answer, ever
	Lost    Trouble = "lost"    // the message is taken, and the answer lost
)

// Message is what the provider took.
type Message struct {
	ID   string // by which the provider, or whoever receives, takes a second copy for the same message; unique for each where it finds none
	To   string
	Text string // as the person reads it, with the provider's escapes
}

// Provider is the other side of an adapter.
type Provider interface {
	Adapter() channel.Adapter
	Contact() alert.Contact
	Sent() []Message
	Next(Trouble)
}

// hostile is text that does something where it is not escaped.
const hostile = "disk full\r\nBcc: all@example.com\r\n\r\n<!channel> <@U0EVERYONE> {{.Secret}} <script>alert(1)</script> \x00\u202egnp.exe & more"

// page is a page of the provider's contact.
func page(p Provider, title string) alert.Page {
	return alert.Page{Key: "shop/12/trigger/1/ana", Project: "shop", Alert: 12, Kind: alert.PageTrigger, Contact: p.Contact(), Code: 1,
		Content: alert.Content{Title: title, Severity: alert.Critical, Status: alert.Open, Firing: 3, Lines: []string{"db-1 " + title, "db-2"}, More: 1,
			Labels: map[string]string{"service": "shop", "text": title}, At: time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)}}
}

// Run holds what start makes to the rules of channels.
func Run(t *testing.T, start func(*testing.T) Provider) {
	for name, rule := range map[string]func(*testing.T, Provider){
		"a page arrives once": arrives, "a drill says so first": drills, "hostile text is text": escapes, "an update arrives": updates, "text arrives": tells,
		"a lost answer makes no second message": loses, "what is refused for good is permanent": refuses, "what is busy is not": waits, "silence ends": ends,
		"long text is cut": cuts,
	} {
		t.Run(name, func(t *testing.T) { rule(t, start(t)) })
	}
}

func arrives(t *testing.T, p Provider) {
	receipt, err := p.Adapter().Send(t.Context(), page(p, "disk full"))
	if err != nil {
		t.Fatal(err)
	}
	if receipt.Channel != p.Contact().Channel || receipt.ID == "" || receipt.State != alert.Sent && receipt.State != alert.Delivered || receipt.At.IsZero() {
		t.Errorf("the receipt is %+v", receipt)
	}
	sent := p.Sent()
	if len(sent) != 1 || sent[0].To != p.Contact().Address || !strings.Contains(sent[0].Text, "disk full") || !strings.Contains(sent[0].Text, "12") {
		t.Errorf("sent is %+v", sent)
	}
}

func drills(t *testing.T, p Provider) {
	drill := page(p, "disk full")
	drill.Content.Drill = true
	if _, err := p.Adapter().Send(t.Context(), drill); err != nil {
		t.Fatal(err)
	}
	text := strings.ToLower(p.Sent()[0].Text)
	if at := strings.Index(text, "drill"); at < 0 || at > strings.Index(text, "disk full") && p.Contact().Channel != alert.Webhook {
		t.Errorf("it does not say first that it is a drill: %s", text)
	}
}

func escapes(t *testing.T, p Provider) {
	if _, err := p.Adapter().Send(t.Context(), page(p, hostile)); err != nil {
		t.Fatal(err)
	}
	sent := p.Sent()
	if len(sent) != 1 || sent[0].To != p.Contact().Address {
		t.Fatalf("sent is %+v", sent)
	}
	for _, never := range []string{"\r\nBcc:", "\nBcc:", "\x00", "\u202e"} {
		if strings.Contains(sent[0].Text, never) {
			t.Errorf("it holds %q: %s", never, sent[0].Text)
		}
	}
	if !strings.Contains(sent[0].Text, "{{.Secret}}") {
		t.Errorf("a template was executed: %s", sent[0].Text)
	}
}

func updates(t *testing.T, p Provider) {
	a := p.Adapter()
	first, err := a.Send(t.Context(), page(p, "disk full"))
	if err != nil {
		t.Fatal(err)
	}
	for kind, word := range map[alert.PageKind]string{alert.PageAcknowledged: "acknowledged", alert.PageResolved: "resolved"} {
		update := page(p, "disk full")
		update.Key, update.Kind, update.Previous, update.Content.By = "shop/12/"+string(kind)+"/1/ana", kind, &first, "bob"
		if _, err := a.Send(t.Context(), update); err != nil {
			t.Fatal(err)
		}
		sent := p.Sent()
		if last := sent[len(sent)-1].Text; !strings.Contains(last, word) || !strings.Contains(last, "bob") {
			t.Errorf("%s reads %s", kind, last)
		}
	}
}

func tells(t *testing.T, p Provider) {
	receipt, err := p.Adapter().Tell(t.Context(), alert.Text{Key: "contact/con_1/1", Channel: p.Contact().Channel, To: p.Contact().Address, Subject: "A code", Text: "123456 is your code."})
	if sent := p.Sent(); err != nil || receipt.ID == "" || len(sent) != 1 || !strings.Contains(sent[0].Text, "123456 is your code.") {
		t.Errorf("told %+v, %v; sent is %+v", receipt, err, sent)
	}
}

// loses: the answer is lost, so the same page is sent again; whoever receives it has one.
func loses(t *testing.T, p Provider) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	p.Next(Lost)
	if receipt, err := p.Adapter().Send(ctx, page(p, "disk full")); err == nil {
		t.Fatalf("the answer was lost, and a receipt is %+v", receipt)
	} else if fault.Of(err).Permanent() {
		t.Fatalf("a lost answer is permanent: %v", err)
	}
	again := page(p, "disk full")
	again.Again = true
	receipt, err := p.Adapter().Send(t.Context(), again)
	if err != nil || receipt.ID == "" {
		t.Fatalf("again: %+v, %v", receipt, err)
	}
	copies := map[string]bool{}
	for _, m := range p.Sent() {
		copies[m.ID] = true
	}
	if len(copies) != 1 {
		t.Errorf("the person has %d messages: %+v", len(copies), p.Sent())
	}
	other := page(p, "disk full") // the next round says the same
	other.Key, other.Again = "shop/12/trigger/2/ana", true
	if _, err := p.Adapter().Send(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	for _, m := range p.Sent() {
		copies[m.ID] = true
	}
	if len(copies) != 2 {
		t.Errorf("a page of its own is taken for another one: %+v", p.Sent())
	}
}

func refuses(t *testing.T, p Provider) {
	for trouble, want := range map[Trouble]fault.Kind{Refused: fault.Failed, Gone: fault.NotFound} {
		p.Next(trouble)
		_, err := p.Adapter().Send(t.Context(), page(p, "disk full"))
		if !fault.Is(err, want) || !want.Permanent() || fault.Message(err) == "" {
			t.Errorf("%s is %s: %v", trouble, fault.Of(err), err)
		}
		if c := p.Contact(); c.Channel != alert.Slack && strings.Contains(fault.Message(err), c.Address) { // who reads a project's alerts reads it
			t.Errorf("%s tells the address: %s", trouble, fault.Message(err))
		}
	}
	if sent := p.Sent(); len(sent) != 0 {
		t.Errorf("sent is %+v", sent)
	}
}

func waits(t *testing.T, p Provider) {
	p.Next(Busy)
	if _, err := p.Adapter().Send(t.Context(), page(p, "disk full")); err == nil || fault.Of(err).Permanent() || fault.Of(err) == fault.Unknown {
		t.Errorf("busy is %s: %v", fault.Of(err), err)
	}
	if _, err := p.Adapter().Send(t.Context(), page(p, "disk full")); err != nil || len(p.Sent()) != 1 {
		t.Errorf("afterwards: %v; sent is %+v", err, p.Sent())
	}
}

func ends(t *testing.T, p Provider) {
	p.Next(Silent)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := p.Adapter().Send(ctx, page(p, "disk full"))
	if took := time.Since(began); err == nil || fault.Of(err).Permanent() || took > 2*time.Second || errors.Is(t.Context().Err(), context.Canceled) {
		t.Errorf("silence ends after %s with %v", took, err)
	}
}

func cuts(t *testing.T, p Provider) {
	long := page(p, strings.Repeat("<&> disk full ", 2000))
	for range 100 {
		long.Content.Lines = append(long.Content.Lines, strings.Repeat("<&>", 1000))
	}
	for i := range 64 {
		long.Content.Labels["label"+string(rune('a'+i%26))+string(rune('a'+i/26))] = strings.Repeat("&", 256)
	}
	if _, err := p.Adapter().Send(t.Context(), long); err != nil || len(p.Sent()) != 1 {
		t.Errorf("a long page: %v", err)
	}
}
