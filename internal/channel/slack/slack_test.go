package slack_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel"
	"github.com/m3o/platform/internal/channel/channeltest"
	"github.com/m3o/platform/internal/channel/slack"
	"github.com/m3o/platform/internal/fault"
)

const (
	token  = "xoxb-test"
	member = "U0ANA1234"
	direct = "D0ANA1234"
)

// workspace is as much of Slack as an adapter calls.
type workspace struct {
	t       *testing.T
	server  *httptest.Server
	adapter *slack.Adapter

	mu       sync.Mutex
	messages []*message // oldest first
	calls    []string
	answer   func(http.ResponseWriter, *http.Request, string) bool
	lost     bool
}

type message struct {
	TS       string          `json:"ts"`
	Thread   string          `json:"thread_ts,omitempty"`
	Text     string          `json:"text"`
	Metadata json.RawMessage `json:"metadata,omitempty"`

	channel, blocks, clientID string
	broadcast                 bool
}

func newWorkspace(t *testing.T) *workspace {
	w := &workspace{t: t}
	w.server = httptest.NewServer(w)
	t.Cleanup(func() { w.server.CloseClientConnections(); w.server.Close() })
	a, err := slack.New(slack.Config{Token: token, URL: w.server.URL + "/api/"})
	if err != nil {
		t.Fatal(err)
	}
	w.adapter = a
	return w
}

func (w *workspace) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	method := strings.TrimPrefix(r.URL.Path, "/api/")
	if r.Form.Get("token") != token && r.Header.Get("Authorization") != "Bearer "+token {
		w.t.Errorf("%s is called without the token", method)
	}
	w.mu.Lock()
	w.calls = append(w.calls, method)
	answer, lost := w.answer, w.lost
	if method == "chat.postMessage" || method == "chat.update" {
		w.answer, w.lost = nil, false
	}
	w.mu.Unlock()
	if answer != nil && strings.HasPrefix(method, "chat.") && answer(rw, r, method) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(w.do(method, r.Form))
	if lost {
		panic(http.ErrAbortHandler)
	}
}

func (w *workspace) do(method string, f url.Values) map[string]any {
	at := f.Get("channel")
	if at == member {
		at = direct
	}
	switch method {
	case "chat.postMessage":
		m := &message{TS: fmt.Sprintf("17000000%02d.000100", len(w.messages)), Thread: f.Get("thread_ts"), Text: f.Get("text"), Metadata: json.RawMessage(f.Get("metadata")), channel: at, blocks: f.Get("blocks"),
			clientID: f.Get("client_msg_id"), broadcast: f.Get("reply_broadcast") == "true"}
		w.messages = append(w.messages, m)
		return map[string]any{"ok": true, "channel": at, "ts": m.TS}
	case "chat.update":
		for _, m := range w.messages {
			if m.channel == at && m.TS == f.Get("ts") {
				m.Text, m.blocks = f.Get("text"), f.Get("blocks")
				return map[string]any{"ok": true, "channel": at, "ts": m.TS}
			}
		}
		return map[string]any{"ok": false, "error": "message_not_found"}
	case "chat.postEphemeral":
		return map[string]any{"ok": true, "message_ts": "1700000099.000100"}
	case "conversations.open":
		return map[string]any{"ok": true, "channel": map[string]any{"id": direct}}
	case "conversations.history", "conversations.replies":
		found := []*message{}
		for _, m := range w.messages {
			if m.channel == at && (method == "conversations.history") == (m.Thread == "") {
				found = append(found, m)
			}
		}
		return map[string]any{"ok": true, "messages": found}
	}
	w.t.Errorf("nobody knows %s", method)
	return map[string]any{"ok": false, "error": "unknown_method"}
}

func (w *workspace) says(answer string) {
	w.answers(func(rw http.ResponseWriter, _ *http.Request, _ string) bool {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(answer))
		return true
	})
}

func (w *workspace) answers(how func(http.ResponseWriter, *http.Request, string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = how
}

func (w *workspace) Adapter() channel.Adapter { return w.adapter }

func (w *workspace) Contact() alert.Contact {
	return alert.Contact{ID: "con_1", Person: "ana", Channel: alert.Slack, Address: member, Status: alert.ContactVerified}
}

func (w *workspace) Sent() []channeltest.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	var sent []channeltest.Message
	for _, m := range w.messages {
		sent = append(sent, channeltest.Message{ID: m.TS, To: map[string]string{direct: member}[m.channel], Text: m.Text})
	}
	return sent
}

func (w *workspace) Next(trouble channeltest.Trouble) {
	switch trouble {
	case channeltest.Refused:
		w.says(`{"ok":false,"error":"invalid_blocks"}`)
	case channeltest.Gone:
		w.says(`{"ok":false,"error":"channel_not_found"}`)
	case channeltest.Busy:
		w.answers(func(rw http.ResponseWriter, _ *http.Request, _ string) bool {
			rw.Header().Set("Retry-After", "7")
			rw.WriteHeader(http.StatusTooManyRequests)
			return true
		})
	case channeltest.Silent:
		w.answers(func(_ http.ResponseWriter, r *http.Request, _ string) bool { <-r.Context().Done(); return true })
	case channeltest.Lost:
		w.mu.Lock()
		w.lost = true
		w.mu.Unlock()
	}
}

func TestConformance(t *testing.T) {
	channeltest.Run(t, func(t *testing.T) channeltest.Provider { return newWorkspace(t) })
}

func paged(kind alert.PageKind, to string) alert.Page {
	return alert.Page{Key: "shop/12/" + string(kind) + "/1/ana", Project: "shop", Alert: 12, Kind: kind, Contact: alert.Contact{ID: "con_1", Channel: alert.Slack, Address: to},
		Content: alert.Content{Title: "disk full <!channel> & {{more}}", Severity: alert.Critical, Status: alert.Open, Lines: []string{"db-1 <@U1>"}, Labels: map[string]string{"zone": "<!here>"}}}
}

// buttons are the names and values of a message's buttons.
func (m *message) buttons() (names, values []string) {
	var blocks []struct {
		Elements []struct {
			ActionID string `json:"action_id"`
			Value    string `json:"value"`
		} `json:"elements"`
	}
	_ = json.Unmarshal([]byte(m.blocks), &blocks)
	for _, b := range blocks {
		for _, e := range b.Elements {
			if e.ActionID != "" {
				names, values = append(names, e.ActionID), append(values, e.Value)
			}
		}
	}
	return names, values
}

func TestAMessageMentionsNobody(t *testing.T) {
	w := newWorkspace(t)
	if _, err := w.adapter.Send(t.Context(), paged(alert.PageTrigger, "C0OPS1234")); err != nil {
		t.Fatal(err)
	}
	m := w.messages[0]
	var blocks any
	if err := json.Unmarshal([]byte(m.blocks), &blocks); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{m.Text, fmt.Sprint(blocks)} {
		if strings.ContainsAny(text, "<>") || !strings.Contains(text, "&lt;!channel&gt; &amp; {{more}}") {
			t.Errorf("it reads %s", text)
		}
	}
	if !strings.Contains(fmt.Sprint(blocks), "db-1 &lt;@U1&gt;") || !strings.Contains(fmt.Sprint(blocks), "zone=&lt;!here&gt;") {
		t.Errorf("it reads %v", blocks)
	}
}

func TestAnAlertIsOneMessageWithItsThread(t *testing.T) {
	w := newWorkspace(t)
	first, err := w.adapter.Send(t.Context(), paged(alert.PageTrigger, "C0OPS1234"))
	if err != nil {
		t.Fatal(err)
	}
	names, values := w.messages[0].buttons()
	if !slices.Equal(names, []string{"Acknowledge", "Resolve", "Escalate", "Snooze"}) || values[0] != "shop/12/trigger/1/ana" {
		t.Errorf("its buttons are %v %v", names, values)
	}
	for _, kind := range []alert.PageKind{alert.PageAcknowledged, alert.PageResolved} {
		update := paged(kind, "C0OPS1234")
		update.Previous, update.Content.By = &first, "bob"
		if kind == alert.PageResolved {
			update.Content.Status = alert.Resolved
		}
		receipt, err := w.adapter.Send(t.Context(), update)
		if err != nil || receipt.ID != first.ID {
			t.Errorf("%s: %+v, %v", kind, receipt, err)
		}
	}
	if len(w.messages) != 3 || !strings.Contains(w.messages[0].Text, "resolved by bob") || w.messages[1].Thread != w.messages[0].TS || w.messages[2].Thread != w.messages[0].TS {
		t.Errorf("the channel reads %+v", w.messages)
	}
	if names, _ := w.messages[0].buttons(); len(names) != 0 {
		t.Errorf("what is over has the buttons %v", names)
	}
	again := paged(alert.PageTrigger, "C0OPS1234") // the next round calls them once more
	again.Key, again.Previous = "shop/12/trigger/4/ana", &first
	if receipt, err := w.adapter.Send(t.Context(), again); err != nil || receipt.ID == first.ID || !w.messages[3].broadcast || w.messages[3].Thread != w.messages[0].TS {
		t.Errorf("once more: %+v, %v", w.messages[3], err)
	}
}

func TestAMessageThatSomebodyRemovedIsPostedAnew(t *testing.T) {
	w := newWorkspace(t)
	update := paged(alert.PageResolved, "C0OPS1234")
	update.Previous = &alert.Receipt{Channel: alert.Slack, ID: "C0OPS1234/1600000000.000100"}
	if receipt, err := w.adapter.Send(t.Context(), update); err != nil || len(w.messages) != 1 || w.messages[0].Thread != "" || receipt.ID == update.Previous.ID {
		t.Errorf("%+v, %v: %+v", receipt, err, w.messages)
	}
}

func TestWhatSlackRefusesIsToldInWordsToActOn(t *testing.T) {
	for word, c := range map[string]struct {
		kind fault.Kind
		says string
	}{
		"ratelimited": {fault.Throttled, "no more messages"}, "channel_not_found": {fault.NotFound, "correct the contact"}, "is_archived": {fault.NotFound, "correct the contact"},
		"not_in_channel": {fault.Denied, "invite it"}, "invalid_auth": {fault.Denied, "M3O_SLACK_TOKEN_FILE"}, "token_revoked": {fault.Denied, "M3O_SLACK_TOKEN_FILE"},
		"missing_scope": {fault.Denied, "chat:write"}, "internal_error": {fault.Unavailable, "in trouble"}, "msg_too_long": {fault.Failed, "msg_too_long"}, "something_new": {fault.Failed, "something_new"},
	} {
		w := newWorkspace(t)
		w.says(`{"ok":false,"error":"` + word + `","needed":"chat:write","provided":"im:write"}`)
		if _, err := w.adapter.Send(t.Context(), paged(alert.PageTrigger, "C0OPS1234")); !fault.Is(err, c.kind) || !strings.Contains(fault.Message(err), c.says) || strings.Contains(err.Error(), token) {
			t.Errorf("%s is %s: %v", word, fault.Of(err), err)
		}
	}
	w := newWorkspace(t)
	w.Next(channeltest.Busy)
	if _, err := w.adapter.Send(t.Context(), paged(alert.PageTrigger, "C0OPS1234")); !fault.Is(err, fault.Throttled) || err.(*fault.Error).RetryAfter != 7*time.Second {
		t.Errorf("429: %v", err)
	}
	w.answers(func(rw http.ResponseWriter, _ *http.Request, _ string) bool {
		http.Error(rw, "<html>", http.StatusBadGateway)
		return true
	})
	if _, err := w.adapter.Send(t.Context(), paged(alert.PageTrigger, "C0OPS1234")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("502: %v", err)
	}
}

// Slack takes a message a second for each channel: what would wait for long is refused, so that another channel is used meanwhile.
func TestAChannelsTurnIsNotWaitedForLong(t *testing.T) {
	w := newWorkspace(t)
	var refused atomic.Int64
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			_, err := w.adapter.Send(t.Context(), paged(alert.PageTrigger, "C0OPS1234"))
			var f *fault.Error
			if errors.As(err, &f) && f.Kind == fault.Throttled && f.RetryAfter > 0 {
				refused.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := refused.Load(); n < 3 || n > 5 { // four at once, and two that wait
		t.Errorf("%d of 10 are refused", n)
	}
	if _, err := w.adapter.Send(t.Context(), paged(alert.PageTrigger, "C0DEV1234")); err != nil {
		t.Errorf("another channel waits for the first: %v", err)
	}
}

func TestTextToOneMemberInAChannel(t *testing.T) {
	w := newWorkspace(t)
	if _, err := w.adapter.Tell(t.Context(), alert.Text{Key: "callback/1", Channel: alert.Slack, To: member, In: "C0OPS1234", Text: "Nothing was done"}); err != nil || !slices.Equal(w.calls, []string{"chat.postEphemeral"}) {
		t.Errorf("%v: %v", w.calls, err)
	}
}

func pressed(payload string) alert.Callback {
	return alert.Callback{Channel: alert.Slack, Trusted: true, Body: url.Values{"payload": {payload}}.Encode()}
}

func TestButtons(t *testing.T) {
	w := newWorkspace(t)
	press := func(do, key string) string {
		return fmt.Sprintf(`{"type":"block_actions","user":{"id":%q},"channel":{"id":"C0OPS1234"},"actions":[{"action_id":%q,"value":%q}]}`, member, do, key)
	}
	for _, do := range []string{alert.AcknowledgeUpdate, alert.ResolveUpdate, alert.EscalateUpdate, alert.SnoozeUpdate} {
		m, err := w.adapter.Read(t.Context(), pressed(press(do, "shop/12/trigger/1/ana")))
		if err != nil || m.Kind != alert.MeansCommand || m.Do != do || m.From != member || m.In != "C0OPS1234" || m.Page != "shop/12/trigger/1/ana" {
			t.Errorf("%s means %+v, %v", do, m, err)
		}
	}
	for name, payload := range map[string]string{"another action": press("AddNote", "shop/12/trigger/1/ana"), "no key": press("Resolve", "x"), "no JSON": "{", "nothing": "", "another interaction": `{"type":"view_submission"}`,
		"nobody": `{"type":"block_actions","actions":[{"action_id":"Resolve","value":"shop/12/trigger/1/ana"}]}`} {
		if m, err := w.adapter.Read(t.Context(), pressed(payload)); err != nil || m.Kind != alert.MeansNothing || m.Do != "" {
			t.Errorf("%s means %+v, %v", name, m, err)
		}
	}
	c := pressed(press(alert.ResolveUpdate, "shop/12/trigger/1/ana"))
	c.Trusted = false
	if m, err := w.adapter.Read(t.Context(), c); err != nil || m.Kind != alert.Forged {
		t.Errorf("unverified means %+v, %v", m, err)
	}
}

// FuzzRead reads any verified body: it is a command for one of our updates about a page, or nothing.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"payload={}", "payload=%7B%22type%22%3A%22block_actions%22%7D", "%zz", "payload=[]", "payload=null"} {
		f.Add(seed)
	}
	a, err := slack.New(slack.Config{Token: token})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		m, err := a.Read(t.Context(), alert.Callback{Trusted: true, Body: body})
		if err != nil || m.Kind != alert.MeansNothing && m.Kind != alert.MeansCommand {
			t.Errorf("%+v, %v", m, err)
		}
	})
}
