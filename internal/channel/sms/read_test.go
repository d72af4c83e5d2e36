package sms_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel/sms"
)

// calls is a callback as Twilio sends it.
func calls(to string, form url.Values, key string) alert.Callback {
	form.Set("AccountSid", account)
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write([]byte(to))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		mac.Write([]byte(name + form.Get(name)))
	}
	return alert.Callback{Channel: alert.SMS, URL: to, Body: form.Encode(), Headers: map[string]string{"X-Twilio-Signature": base64.StdEncoding.EncodeToString(mac.Sum(nil))}}
}

const (
	statusURL = hooks + sms.StatusPath + "?page=shop%2F12%2Ftrigger%2F1%2Fana"
	replyURL  = hooks + sms.ReplyPath
)

func read(t *testing.T, c alert.Callback) alert.Meaning {
	t.Helper()
	m, err := newTwilio(t).adapter.Read(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTwiliosReports(t *testing.T) {
	for status, want := range map[string]alert.Delivery{"queued": alert.Sent, "sent": alert.Sent, "delivered": alert.Delivered, "undelivered": alert.Failed, "failed": alert.Failed} {
		form := url.Values{"MessageSid": {"SM1"}, "MessageStatus": {status}}
		if want == alert.Failed {
			form.Set("ErrorCode", "30003")
		}
		m := read(t, calls(statusURL, form, token))
		if m.Kind != alert.MeansReceipt || m.Page != "shop/12/trigger/1/ana" || m.Receipt.State != want || m.Receipt.ID != "SM1" || m.Gone {
			t.Errorf("%s means %+v", status, m)
		}
		if want == alert.Failed && !strings.Contains(m.Receipt.Message, "off or out of reach (30003)") {
			t.Errorf("%s says %q", status, m.Receipt.Message)
		}
	}
	for _, code := range []string{"21610", "30005", "30006"} {
		if m := read(t, calls(statusURL, url.Values{"MessageSid": {"SM1"}, "MessageStatus": {"undelivered"}, "ErrorCode": {code}}, token)); !m.Gone {
			t.Errorf("%s: the contact stays verified", code)
		}
	}
}

func TestForgedCallbacksMeanNothing(t *testing.T) {
	good := calls(replyURL, url.Values{"From": {phone}, "Body": {"1a"}, "MessageSid": {"SM2"}}, token)
	forge := func(change func(*alert.Callback)) alert.Callback {
		c := good
		c.Headers = maps.Clone(good.Headers)
		change(&c)
		return c
	}
	for name, c := range map[string]alert.Callback{
		"another token":     calls(replyURL, url.Values{"From": {phone}, "Body": {"1a"}}, "another token"),
		"another body":      forge(func(c *alert.Callback) { c.Body = strings.Replace(c.Body, "1a", "1r", 1) }),
		"one field more":    forge(func(c *alert.Callback) { c.Body += "&OptOutType=STOP" }),
		"another path":      forge(func(c *alert.Callback) { c.URL = statusURL }),
		"another host":      forge(func(c *alert.Callback) { c.URL = "https://evil.example" + sms.ReplyPath }),
		"no signature":      forge(func(c *alert.Callback) { delete(c.Headers, "X-Twilio-Signature") }),
		"a hash of a body":  forge(func(c *alert.Callback) { c.URL += "?bodySHA256=0" }),
		"of nobody's":       forge(func(c *alert.Callback) { c.Body = strings.Replace(c.Body, "AC0", "AC1", 1) }),
		"a body of nothing": forge(func(c *alert.Callback) { c.Body = "%zz" }),
	} {
		if m := read(t, c); m.Kind != alert.Forged || m.Why == "" || m.Do != "" || m.From != "" {
			t.Errorf("%s means %+v", name, m)
		}
	}
	if m := read(t, good); m.Kind != alert.MeansCommand {
		t.Errorf("a good one means %+v", m)
	}
}

func TestReplies(t *testing.T) {
	for body, want := range map[string]alert.Meaning{
		"1a": {Code: 1, Do: alert.AcknowledgeUpdate}, " 12 A ": {Code: 12, Do: alert.AcknowledgeUpdate}, "ack 1": {Code: 1, Do: alert.AcknowledgeUpdate}, "Ack 7.": {Code: 7, Do: alert.AcknowledgeUpdate},
		"1r": {Code: 1, Do: alert.ResolveUpdate}, "resolve 2": {Code: 2, Do: alert.ResolveUpdate}, "#3e": {Code: 3, Do: alert.EscalateUpdate}, "1s": {Code: 1, Do: alert.SnoozeUpdate},
	} {
		m := read(t, calls(replyURL, url.Values{"From": {phone}, "Body": {body}}, token))
		if m.Kind != alert.MeansCommand || m.From != phone || m.Code != want.Code || m.Do != want.Do {
			t.Errorf("%q means %+v", body, m)
		}
	}
	for _, body := range []string{"stop", "STOP ", "Unsubscribe"} {
		if m := read(t, calls(replyURL, url.Values{"From": {phone}, "Body": {body}}, token)); m.Kind != alert.MeansStop || m.From != phone {
			t.Errorf("%q means %+v", body, m)
		}
	}
	for body, tried := range map[string]bool{"1b": true, "a": false, "what is this?": false, "I am on holiday until 3 December and read nothing": false, "": false, "0a": true, "1a 2a": true} {
		m := read(t, calls(replyURL, url.Values{"From": {phone}, "Body": {body}}, token))
		if m.Kind != alert.MeansNothing || (m.Text != "") != tried {
			t.Errorf("%q means %+v", body, m)
		}
	}
}

// FuzzParseReply reads any reply: it is a command with a code and one of four updates, or none.
func FuzzParseReply(f *testing.F) {
	for _, seed := range []string{"1a", "ack 1", "STOP", "999999999999a", "١a", "1\x00a", "#1r.", strings.Repeat("1", 100) + "a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, do, ok := sms.ParseReply(text)
		known := slices.Contains([]string{alert.AcknowledgeUpdate, alert.ResolveUpdate, alert.EscalateUpdate, alert.SnoozeUpdate}, do)
		if ok != known || ok && (code < 1 || code > 999_999) || !ok && (code != 0 || do != "") {
			t.Errorf("%q is %d %q %t", text, code, do, ok)
		}
	})
}

// FuzzRead reads any callback with any signature: without the token nobody makes one that means something.
func FuzzRead(f *testing.F) {
	f.Add(replyURL, "Body=1a&From=%2B1", "c2ln")
	f.Add(statusURL, "MessageStatus=delivered", "")
	f.Add("://", "%", "x")
	f.Fuzz(func(t *testing.T, to, body, signature string) {
		a, err := sms.New(sms.Config{Account: account, Token: token, From: from})
		if err != nil {
			t.Fatal(err)
		}
		m, err := a.Read(t.Context(), alert.Callback{URL: to, Body: body, Headers: map[string]string{"X-Twilio-Signature": signature}})
		if err != nil || m.Kind != alert.Forged {
			t.Errorf("%+v, %v", m, err)
		}
	})
}

// FuzzBody renders any title: what is sent is in the alphabet, and short.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{"disk full", "\xff\xfe", "€€€", strings.Repeat("^", 400), "\u202e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, title string) {
		body := sms.Body(paged(alert.PageTrigger, title), "abcdef")
		if n, plain := sms.Septets(body); n > sms.MaxBody || !plain || !strings.HasSuffix(body, " [abcdef]") {
			t.Errorf("%q takes %d septets, plain: %t", body, n, plain)
		}
	})
}
