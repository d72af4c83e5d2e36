package channel_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel"
	"github.com/m3o/platform/internal/fault"
)

// silent is a provider that never answers; it keeps what it was told.
type silent struct{ told []alert.Text }

func (s *silent) Send(ctx context.Context, _ alert.Page) (alert.Receipt, error) {
	<-ctx.Done()
	return alert.Receipt{}, ctx.Err()
}

func (s *silent) Tell(_ context.Context, t alert.Text) (alert.Receipt, error) {
	s.told = append(s.told, t)
	return alert.Receipt{Channel: t.Channel, ID: "1", State: alert.Sent}, nil
}

// A channel without settings fails for good and says which is missing, so that the next channel is used.
func TestAChannelThatIsNotSetUpSaysSo(t *testing.T) {
	set := channel.Set{Adapters: map[alert.Channel]channel.Adapter{alert.SMS: channel.NotSetUp{Channel: alert.SMS, Setting: "M3O_TWILIO_ACCOUNT"}}}
	_, err := set.Send(t.Context(), alert.Page{Contact: alert.Contact{Channel: alert.SMS}})
	if !fault.Is(err, fault.Failed) || !strings.Contains(fault.Message(err), "not set up: M3O_TWILIO_ACCOUNT") {
		t.Errorf("it says %v", err)
	}
	if _, err := set.Read(t.Context(), alert.Callback{Channel: alert.SMS}); !fault.Is(err, fault.Failed) {
		t.Errorf("a callback: %v", err)
	}
	if _, err := set.Send(t.Context(), alert.Page{Contact: alert.Contact{Channel: "pigeon"}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("no channel: %v", err)
	}
}

func TestASilentChannelIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := channel.Set{Adapters: map[alert.Channel]channel.Adapter{alert.Slack: &silent{}}}
		began := time.Now()
		_, err := set.Send(t.Context(), alert.Page{Contact: alert.Contact{Channel: alert.Slack}})
		if took := time.Since(began); !fault.Is(err, fault.Unavailable) || took != channel.Deadline || !strings.Contains(fault.Message(err), "slack did not answer within 8s") {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

// A code is the same however often its sending is tried, another for each sending, and in no answer.
func TestACodeFollowsFromItsSending(t *testing.T) {
	s := &silent{}
	set := channel.Set{CodeKey: []byte("a key of this process"), Adapters: map[alert.Channel]channel.Adapter{alert.Email: s}}
	contact := alert.Contact{ID: "con_1", Channel: alert.Email, Address: "ana@example.com"}
	var hashes []string
	for _, key := range []string{"contact/con_1/1", "contact/con_1/1", "contact/con_1/2"} {
		sent, err := set.SendCode(t.Context(), alert.CodeRequest{Key: key, Contact: contact})
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, sent.Hash)
	}
	if s.told[0].Text != s.told[1].Text || s.told[0].Text == s.told[2].Text || s.told[0].To != contact.Address || s.told[0].Key != "contact/con_1/1" {
		t.Errorf("told were %+v", s.told)
	}
	code := regexp.MustCompile(`[0-9A-Z]{4,}[0-9A-Z -]*`).FindString(s.told[0].Text)
	code = strings.TrimSpace(strings.SplitN(code, " is ", 2)[0])
	if !alert.IsCode(code, hashes[0]) || !alert.IsCode(code, hashes[1]) || alert.IsCode(code, hashes[2]) || strings.Contains(strings.Join(hashes, " "), code) {
		t.Errorf("code %q of %q, hashes %v", code, s.told[0].Text, hashes)
	}
}

func TestLine(t *testing.T) {
	for text, want := range map[string]string{"a\r\nb": "a b", " a\t\tb ": "a b", "a\x00b\x1b[31m": "ab[31m", "a\u202eb\u2066c": "abc", "\xff\xfea": "a", "höher 磁盘": "höher 磁盘", "0123456789abcdef": "012345678…"} {
		if got := channel.Line(text, 10); got != want {
			t.Errorf("Line(%q) = %q, not %q", text, got, want)
		}
	}
}

// FuzzLine cleans any text: one line, short, and the same when it is cleaned again.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{"a\r\nb", "\u2028", "\x85", "\u202e", "😀", strings.Repeat(" a", 100)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line := channel.Line(text, 40)
		if strings.ContainsAny(line, "\r\n\x00\u2028\u2029\u202e") || len([]rune(line)) > 40 || channel.Line(line, 40) != line {
			t.Errorf("%q is %q", text, line)
		}
	})
}

func TestHeadlines(t *testing.T) {
	for want, p := range map[string]alert.Page{
		"CRITICAL #12: disk full":         {Kind: alert.PageTrigger, Alert: 12, Content: alert.Content{Title: "disk full", Severity: alert.Critical}},
		"DRILL: ERROR #12: disk full":     {Kind: alert.PageTrigger, Alert: 12, Content: alert.Content{Title: "disk full", Severity: alert.Error, Drill: true}},
		"#12 acknowledged by ana: full":   {Kind: alert.PageAcknowledged, Alert: 12, Content: alert.Content{Title: "full", By: "ana"}},
		"#12 resolved: full":              {Kind: alert.PageResolved, Alert: 12, Content: alert.Content{Title: "full", Status: alert.Resolved}},
		"#12 closed by bob: full":         {Kind: alert.PageResolved, Alert: 12, Content: alert.Content{Title: "full", Status: alert.Closed, By: "bob"}},
		"a silence of shop ends at 10:00": {Kind: alert.PageNotice, Content: alert.Content{Title: "a silence of shop ends at 10:00"}},
	} {
		if got := channel.Headline(p); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
