package slack

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"github.com/m3o/platform/internal/sandbox/inbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

// workspace is a sandbox workspace with the official community client, and the app that Slack calls.
type workspace struct {
	*slack.Client
	t     *testing.T
	world *world.World
	cloud *Cloud
	url   string

	mu      sync.Mutex
	pressed []slack.InteractionCallback
	status  int
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ServeHTTP is the app: it takes interactions, and checks each with the client's verifier.
func (s *workspace) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	verifier, err := slack.NewSecretsVerifier(r.Header, "signing-secret")
	if err == nil {
		_, _ = verifier.Write(body)
		err = verifier.Ensure()
	}
	form, parsing := url.ParseQuery(string(body))
	r.Form = form
	r.PostForm = form
	pressed, reading := slack.InteractionCallbackParse(r)
	if err := errors.Join(err, parsing, reading); err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pressed = append(s.pressed, pressed)
	w.WriteHeader(s.status)
}

func newWorkspace(t *testing.T, scale float64) *workspace {
	t.Helper()
	s := &workspace{t: t, status: http.StatusOK}
	hooks := httptest.NewServer(s)
	t.Cleanup(hooks.Close)
	w, err := world.Open(t.TempDir(), world.Clock{Scale: scale})
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()) })
	s.world = w
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	s.cloud, err = New(Config{World: w, Credentials: Credentials{BotToken: "xoxb-1", SigningSecret: "signing-secret"}, URL: server.URL, RequestURL: hooks.URL + "/v1/hooks/slack",
		Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	handler, s.url = s.cloud, server.URL
	s.Client = slack.New("xoxb-1", slack.OptionAPIURL(server.URL+"/api/"))
	return s
}

func (s *workspace) inbox(to string) (found []inbox.Message) {
	s.t.Helper()
	must(s.t, s.world.View(s.t.Context(), func(tx *world.Tx) (err error) {
		found, err = inbox.Last(tx, to, 10)
		return err
	}))
	return found
}

func (s *workspace) fault(f world.Fault) {
	s.t.Helper()
	f.Provider = Name
	must(s.t, f.Validate(s.cloud.Operations(), s.cloud.Faults()))
	must(s.t, s.world.Update(s.t.Context(), func(tx *world.Tx) error {
		_, err := tx.AddFault(f)
		return err
	}))
}

// failed checks that the API said so.
func failed(t *testing.T, err error, want string) {
	t.Helper()
	var told slack.SlackErrorResponse
	if !errors.As(err, &told) || told.Err != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

var (
	button = slack.NewButtonBlockElement("Acknowledge", "platform/7", slack.NewTextBlockObject(slack.PlainTextType, "Acknowledge", false, false))
	page   = []slack.MsgOption{slack.MsgOptionText("disk full", true), slack.MsgOptionBlocks(
		slack.NewSectionBlock(slack.NewTextBlockObject(slack.MarkdownType, "*disk full* &lt;!channel&gt; <https://grafana.example.com/d/1|dashboard>", false, true), nil, nil),
		slack.NewActionBlock("m3o", button)),
		slack.MsgOptionMetadata(slack.SlackMetadata{EventType: "m3o_page", EventPayload: map[string]any{"key": "platform/7/trigger/1/ana"}})}
)

func TestAMessageIsPostedAndReplaced(t *testing.T) {
	s := newWorkspace(t, 0.01)
	member, err := s.GetUserByEmail("ana@example.com")
	must(t, err)
	at, ts, err := s.PostMessage(member.ID, page...)
	must(t, err)
	got := s.inbox("ana")
	if len(got) != 1 || got[0].Text != "*disk full* <!channel> dashboard" || got[0].Key != "platform/7/trigger/1/ana" || len(got[0].Mentions) != 0 ||
		len(got[0].Buttons) != 1 || got[0].Links[0] != (inbox.Link{Label: "dashboard", URL: "https://grafana.example.com/d/1"}) {
		t.Fatalf("ana has %+v", got)
	}
	_, _, _, err = s.UpdateMessage(at, ts, slack.MsgOptionText("resolved", true))
	must(t, err)
	_, _, err = s.PostMessage(at, slack.MsgOptionText("it is over", true), slack.MsgOptionTS(ts))
	must(t, err)
	got = s.inbox("ana")
	if len(got) != 2 || got[0].Text != "resolved" || got[0].Edits != 1 || len(got[0].Buttons) != 0 || got[1].Thread != got[0].ID {
		t.Errorf("ana has %+v", got)
	}
	found, err := s.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: at, IncludeAllMetadata: true})
	must(t, err)
	if len(found.Messages) != 1 || found.Messages[0].Metadata.EventPayload["key"] != "platform/7/trigger/1/ana" {
		t.Errorf("the history has %+v", found.Messages)
	}
	thread, _, _, err := s.GetConversationReplies(&slack.GetConversationRepliesParameters{ChannelID: at, Timestamp: ts})
	must(t, err)
	if len(thread) != 2 {
		t.Errorf("the thread has %d", len(thread))
	}
	effects, err := s.world.Effects(t.Context(), 0)
	must(t, err)
	if len(effects) != 3 || effects[0].Kind != world.Sent || effects[0].Key != "platform/7/trigger/1/ana" || effects[1].Kind != world.Updated {
		t.Errorf("the ledger has %+v", effects)
	}
}

// TestMentionsAreSeen: a label that was not escaped wakes the whole channel, and the inbox says so.
func TestMentionsAreSeen(t *testing.T) {
	s := newWorkspace(t, 0.01)
	_, _, err := s.PostMessage("#ops", slack.MsgOptionText("host <!channel>", false))
	must(t, err)
	if got := s.inbox("#ops"); len(got) != 1 || len(got[0].Mentions) != 1 || got[0].Mentions[0] != "@channel" {
		t.Errorf("the channel has %+v", got)
	}
}

func TestAPressedButtonCallsTheApp(t *testing.T) {
	s := newWorkspace(t, 0.01)
	_, ts, err := s.PostMessage("U0000000ANA", page...)
	must(t, err)
	m := s.inbox("ana")[0]
	bob := inbox.Person{Name: "bob"}
	must(t, s.cloud.Press(t.Context(), m, m.Buttons[0], bob))
	if len(s.pressed) != 1 {
		t.Fatalf("the app was called %d times", len(s.pressed))
	}
	p := s.pressed[0]
	if a := p.ActionCallback.BlockActions; p.Type != slack.InteractionTypeBlockActions || p.User.ID != bob.Member() || len(a) != 1 || a[0].ActionID != "Acknowledge" ||
		a[0].Value != "platform/7" || p.Container.MessageTs != ts || p.Message.Metadata.EventPayload["key"] != "platform/7/trigger/1/ana" {
		t.Errorf("the app was told %+v", p)
	}
	if got := s.inbox("ana")[0].Actions; len(got) != 1 || got[0].Text != "Acknowledge" || got[0].Result != "taken (200)" {
		t.Errorf("the inbox says %+v", got)
	}
	must(t, slack.PostWebhook(p.ResponseURL, &slack.WebhookMessage{Text: "it is over", ReplaceOriginal: true}))
	if got := s.inbox("ana")[0]; got.Text != "it is over" {
		t.Errorf("the answer shows %+v", got)
	}
	if slack.PostWebhook(p.ResponseURL+"x", &slack.WebhookMessage{Text: "forged"}) == nil {
		t.Error("a forged address takes answers")
	}
	s.status = http.StatusForbidden
	must(t, s.cloud.Press(t.Context(), m, m.Buttons[0], bob))
	if got := s.inbox("ana")[0].Actions; got[1].Result != "the app refused (403)" {
		t.Errorf("the inbox says %+v", got)
	}
}

func TestWhatSlackRefuses(t *testing.T) {
	s := newWorkspace(t, 0.01)
	_, _, err := s.PostMessage("U000NOBODY", page...)
	failed(t, err, "channel_not_found")
	_, _, err = s.PostMessage("#ops")
	failed(t, err, "no_text")
	_, _, _, err = s.UpdateMessage("C00000OPS0", "1.000001", page...)
	failed(t, err, "message_not_found")
	_, err = s.GetUserByEmail("nobody@example.com")
	failed(t, err, "users_not_found")
	_, err = s.GetUserInfo("U000NOBODY")
	failed(t, err, "user_not_found")
	_, err = slack.New("wrong", slack.OptionAPIURL(s.url+"/api/")).AuthTest()
	failed(t, err, "invalid_auth")
	_, err = s.PostEphemeral("C00000OPS0", "U000NOBODY", page...)
	failed(t, err, "user_not_in_channel")
	if len(s.inbox("")) != 0 {
		t.Error("something was posted")
	}
}

func TestOneMessageASecondInAChannel(t *testing.T) {
	s := newWorkspace(t, 1)
	var limited *slack.RateLimitedError
	for n := range 6 {
		if _, _, err := s.PostMessage("#ops", page...); err != nil && (!errors.As(err, &limited) || limited.RetryAfter < time.Second || n < 4) {
			t.Fatalf("message %d: %v", n, err)
		}
	}
	if limited == nil {
		t.Error("nothing was limited")
	}
	_, _, err := s.PostMessage("#alerts", page...)
	must(t, err)
}

func TestFaults(t *testing.T) {
	s := newWorkspace(t, 0.01)
	post := func() error {
		_, _, err := s.PostMessage("U0000000ANA", page...)
		return err
	}
	s.fault(world.Fault{Operation: "chat.postMessage", Match: "ana", Fault: world.Throttle})
	var limited *slack.RateLimitedError
	if err := post(); !errors.As(err, &limited) {
		t.Errorf("throttle: %v", err)
	}
	s.fault(world.Fault{Operation: "chat.postMessage", Fault: world.ServerError, Status: 503})
	var status slack.StatusCodeError
	if err := post(); !errors.As(err, &status) || status.Code != 503 {
		t.Errorf("5xx: %v", err)
	}
	s.fault(world.Fault{Operation: "chat.postMessage", Fault: world.Denied})
	failed(t, post(), "account_inactive")
	s.fault(world.Fault{Operation: "chat.postMessage", Fault: world.Undeliverable})
	failed(t, post(), "channel_not_found")
	s.fault(world.Fault{Operation: "chat.postMessage", Fault: world.Dropped})
	must(t, post())
	if got := s.inbox(""); len(got) != 0 {
		t.Errorf("ana has %+v", got)
	}
	s.fault(world.Fault{Operation: "chat.postMessage", Fault: world.Lost})
	if post() == nil || len(s.inbox("ana")) != 1 {
		t.Error("an answer that was lost is there, or its message is not")
	}
}

// TestTheSameClientIDIsOneMessage: a sender that did not hear the answer sends again.
func TestTheSameClientIDIsOneMessage(t *testing.T) {
	s := newWorkspace(t, 0.01)
	for range 2 {
		answer, err := http.PostForm(s.url+"/api/chat.postMessage", url.Values{"token": {"xoxb-1"}, "channel": {"#ops"}, "text": {"disk full"}, "client_msg_id": {"1"}})
		must(t, err)
		body, err := io.ReadAll(answer.Body)
		must(t, errors.Join(err, answer.Body.Close()))
		if !strings.Contains(string(body), `"ok":true`) {
			t.Errorf("the answer is %s", body)
		}
	}
	if got := s.inbox("#ops"); len(got) != 1 {
		t.Errorf("%d messages", len(got))
	}
}
