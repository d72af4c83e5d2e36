package sms_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel"
	"github.com/m3o/platform/internal/channel/channeltest"
	"github.com/m3o/platform/internal/channel/sms"
	"github.com/m3o/platform/internal/fault"
)

const (
	account = "AC00000000000000000000000000000001"
	token   = "0123456789abcdef0123456789abcdef"
	from    = "+14155550100"
	phone   = "+14155550123"
	hooks   = "https://api.example.com"
)

// twilio is as much of Twilio as an adapter calls.
type twilio struct {
	t       *testing.T
	server  *httptest.Server
	adapter *sms.Adapter

	mu       sync.Mutex
	messages []map[string]any // newest first
	calls    []url.Values
	answer   func(http.ResponseWriter, *http.Request) bool // whether it answered in place of the API
	lost     bool
}

func newTwilio(t *testing.T) *twilio {
	w := &twilio{t: t}
	w.server = httptest.NewServer(w)
	t.Cleanup(func() { w.server.CloseClientConnections(); w.server.Close() })
	a, err := sms.New(sms.Config{Account: account, Token: token, From: from, BaseURL: w.server.URL, Hooks: hooks})
	if err != nil {
		t.Fatal(err)
	}
	w.adapter = a
	return w
}

func (w *twilio) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if user != account || password != token || r.URL.Path != "/2010-04-01/Accounts/"+account+"/Messages.json" {
		w.t.Errorf("called %s as %s", r.URL, user)
	}
	_ = r.ParseForm()
	w.mu.Lock()
	answer, lost := w.answer, w.lost
	w.answer, w.lost = nil, false
	w.mu.Unlock()
	if answer != nil && answer(rw, r) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	rw.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodGet {
		var found []map[string]any
		for _, m := range w.messages {
			if m["to"] == r.FormValue("To") {
				found = append(found, m)
			}
		}
		_ = json.NewEncoder(rw).Encode(map[string]any{"messages": found, "page": 0, "page_size": 50})
		return
	}
	w.calls = append(w.calls, r.PostForm)
	m := map[string]any{"sid": fmt.Sprintf("SM%032d", len(w.messages)+1), "to": r.FormValue("To"), "from": r.FormValue("From"), "body": r.FormValue("Body"), "status": "queued", "direction": "outbound-api"}
	w.messages = append([]map[string]any{m}, w.messages...)
	if lost {
		panic(http.ErrAbortHandler)
	}
	rw.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(rw).Encode(m)
}

// says has the next call answered with an error of Twilio's.
func (w *twilio) says(status, code int, message string) {
	w.answers(func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.Header().Set("Content-Type", "application/json")
		if status == http.StatusTooManyRequests {
			rw.Header().Set("Retry-After", "7")
		}
		rw.WriteHeader(status)
		_ = json.NewEncoder(rw).Encode(map[string]any{"code": code, "message": message, "status": status, "more_info": "https://www.twilio.com/docs/errors"})
		return true
	})
}

func (w *twilio) answers(how func(http.ResponseWriter, *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = how
}

func (w *twilio) Adapter() channel.Adapter { return w.adapter }

func (w *twilio) Contact() alert.Contact {
	return alert.Contact{ID: "con_1", Person: "ana", Channel: alert.SMS, Address: phone, Status: alert.ContactVerified}
}

func (w *twilio) Sent() []channeltest.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	var sent []channeltest.Message
	for i := len(w.messages) - 1; i >= 0; i-- {
		m := w.messages[i]
		sent = append(sent, channeltest.Message{ID: m["sid"].(string), To: m["to"].(string), Text: m["body"].(string)})
	}
	return sent
}

func (w *twilio) Next(trouble channeltest.Trouble) {
	switch trouble {
	case channeltest.Refused:
		w.says(400, 21617, "The concatenated message body exceeds the 1600 character limit")
	case channeltest.Gone:
		w.says(400, 21211, "The 'To' number is not a valid phone number.")
	case channeltest.Busy:
		w.says(429, 20429, "Too Many Requests")
	case channeltest.Silent:
		w.answers(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
	case channeltest.Lost:
		w.mu.Lock()
		w.lost = true
		w.mu.Unlock()
	}
}

func TestConformance(t *testing.T) {
	channeltest.Run(t, func(t *testing.T) channeltest.Provider { return newTwilio(t) })
}

func paged(kind alert.PageKind, title string) alert.Page {
	return alert.Page{Key: "shop/12/trigger/1/ana", Project: "shop", Alert: 12, Kind: kind, Code: 3, Contact: alert.Contact{ID: "con_1", Channel: alert.SMS, Address: phone},
		Content: alert.Content{Title: title, Severity: alert.Critical, Firing: 2}}
}

func TestAnSMSSaysHowToReply(t *testing.T) {
	w := newTwilio(t)
	receipt, err := w.adapter.Send(t.Context(), paged(alert.PageTrigger, "disk full"))
	if err != nil || !receipt.Confirm || receipt.State != alert.Sent {
		t.Fatalf("%+v, %v", receipt, err)
	}
	if body := w.Sent()[0].Text; !strings.HasPrefix(body, "CRITICAL #12: disk full (2 firing). Reply 3a to acknowledge, 3r to resolve [") {
		t.Errorf("it reads %q", body)
	}
	if got := w.calls[0].Get("StatusCallback"); got != hooks+sms.StatusPath+"?page=shop%2F12%2Ftrigger%2F1%2Fana" {
		t.Errorf("Twilio reports to %s", got)
	}
}

// A character outside of the alphabet would make each part hold 70 instead of 153.
func TestAnSMSIsShortAndPlain(t *testing.T) {
	for _, title := range []string{"“höher” – naïve … 磁盘已满 😀", strings.Repeat("long ", 200), strings.Repeat("[{€}]", 100), ""} {
		body := sms.Body(paged(alert.PageTrigger, title), "abcdef")
		if n, plain := sms.Septets(body); n > sms.MaxBody || !plain {
			t.Errorf("%q takes %d septets, plain: %t", body, n, plain)
		}
		if !strings.HasSuffix(body, "Reply 3a to acknowledge, 3r to resolve [abcdef]") {
			t.Errorf("%q does not say how to reply", body)
		}
	}
}

func TestWhatTwilioRefusesIsToldInWordsToActOn(t *testing.T) {
	for _, c := range []struct {
		status, code int
		kind         fault.Kind
		says         string
	}{
		{400, 21211, fault.NotFound, "correct the contact"},
		{400, 21614, fault.NotFound, "takes no SMS"},
		{400, 21610, fault.NotFound, "has replied STOP"},
		{401, 20003, fault.Denied, "M3O_TWILIO_TOKEN_FILE"},
		{400, 21408, fault.Denied, "console"},
		{400, 21608, fault.Denied, "console"},
		{400, 21606, fault.Denied, "M3O_TWILIO_FROM"},
		{429, 20429, fault.Throttled, "no more requests"},
		{503, 20503, fault.Unavailable, "in trouble"},
		{400, 99999, fault.Failed, "something new"},
	} {
		w := newTwilio(t)
		w.says(c.status, c.code, "something new about "+phone)
		_, err := w.adapter.Send(t.Context(), paged(alert.PageTrigger, "disk full"))
		if !fault.Is(err, c.kind) || !strings.Contains(fault.Message(err), c.says) || strings.Contains(fault.Message(err), phone) {
			t.Errorf("%d is %s: %s", c.code, fault.Of(err), fault.Message(err))
		}
		if c.kind == fault.Throttled && err.(*fault.Error).RetryAfter != 7*time.Second {
			t.Errorf("it says to come back in %s", err.(*fault.Error).RetryAfter)
		}
	}
	w := newTwilio(t)
	w.answers(func(rw http.ResponseWriter, _ *http.Request) bool {
		http.Error(rw, "<html>bad gateway", http.StatusBadGateway)
		return true
	})
	if _, err := w.adapter.Send(t.Context(), paged(alert.PageTrigger, "disk full")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a proxy's error: %v", err)
	}
	w.answers(func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.Header().Set("Location", "https://example.com/")
		rw.WriteHeader(307)
		return true
	})
	if _, err := w.adapter.Send(t.Context(), paged(alert.PageTrigger, "disk full")); err == nil {
		t.Error("a redirect is followed")
	}
	w.server.Close()
	if _, err := w.adapter.Send(t.Context(), paged(alert.PageTrigger, "disk full")); !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), token) {
		t.Errorf("nobody listens: %v", err)
	}
}
