package sandbox_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/slack-go/slack"

	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/inbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

// secret is one that the sandbox keeps in a file of its own.
func secret(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(sandbox.Secret(dir, name))
	must(t, err)
	return strings.TrimSpace(string(data))
}

// mailTo sends a mail by STARTTLS, with the sandbox's authority and credentials.
func (s *started) mailTo(dir, to string) error {
	s.t.Helper()
	ca, err := os.ReadFile(sandbox.AuthorityFile(dir))
	must(s.t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	c, err := smtp.DialStartTLS(strings.TrimPrefix(s.endpoints.Providers["smtp"], "smtp://"), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
	must(s.t, err)
	defer c.Close()
	must(s.t, c.Auth(sasl.NewPlainClient("", "m3o", secret(s.t, dir, "smtp.password"))))
	return c.SendMail("alerts@example.com", []string{to}, strings.NewReader("Subject: disk full\r\n\r\nopen http://127.0.0.1:8080/v1/alerts/links/x <script>\r\n"))
}

func (s *started) received(to string) (found []inbox.Message) {
	s.t.Helper()
	var answer struct{ Messages []inbox.Message }
	must(s.t, json.Unmarshal(s.ask(http.MethodGet, "/_sandbox/inbox?to="+url.QueryEscape(to), nil, http.StatusOK), &answer))
	return answer.Messages
}

// TestWhatPeopleReceivedIsInTheInbox: by mail and Slack, after a restart as well, and pressing a button calls the platform.
func TestWhatPeopleReceivedIsInTheInbox(t *testing.T) {
	pressed := 0
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/hooks/slack" && r.Header.Get("X-Slack-Signature") != "" {
			pressed++
		}
	}))
	defer api.Close()
	config := inMemory(t)
	config.Hooks = api.URL
	s := start(t, config)
	must(t, s.mailTo(config.Dir, "ana@example.com"))
	bot := slack.New(secret(t, config.Dir, "slack.token"), slack.OptionAPIURL(s.endpoints.Providers["slack"]+"/api/"))
	button := slack.NewButtonBlockElement("Acknowledge", "1", slack.NewTextBlockObject(slack.PlainTextType, "Acknowledge", false, false))
	_, _, err := bot.PostMessage("U0000000ANA", slack.MsgOptionBlocks(slack.NewActionBlock("m3o", button)))
	must(t, err)
	s.stop()
	s = start(t, config)
	got := s.received("ana")
	if len(got) != 2 || got[0].Channel != inbox.Email || got[0].Subject != "disk full" || got[1].Channel != inbox.Slack {
		t.Fatalf("ana has %+v", got)
	}
	if other := s.received("bob"); len(other) != 0 {
		t.Errorf("bob has %+v", other)
	}
	s.ask(http.MethodPost, "/_sandbox/inbox/"+got[1].ID+"/press", map[string]string{"button": "Acknowledge"}, http.StatusOK)
	if pressed != 1 {
		t.Errorf("the platform was called %d times", pressed)
	}
	for path, body := range map[string]map[string]string{"/press": {"button": "Explode"}, "/reply": {"text": "1a"}} {
		s.ask(http.MethodPost, "/_sandbox/inbox/"+got[1].ID+path, body, http.StatusBadRequest)
	}
	s.ask(http.MethodPost, "/_sandbox/inbox/none/reply", map[string]string{"text": "1a"}, http.StatusNotFound)
	s.page(got[1].ID)
}

// page reads the page, and presses a button as a browser does; another site's page cannot.
func (s *started) page(id string) {
	s.t.Helper()
	page := string(s.ask(http.MethodGet, "/inbox", nil, http.StatusOK))
	for _, want := range []string{`href="http://127.0.0.1:8080/v1/alerts/links/x"`, "&lt;script&gt;", `action="/inbox/` + id + `/press"`, ">ana <", "Acknowledge"} {
		if !strings.Contains(page, want) {
			s.t.Errorf("the page has no %q", want)
		}
	}
	for origin, want := range map[string]int{s.endpoints.Control: http.StatusSeeOther, "http://127.0.0.1:1": http.StatusForbidden} {
		request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.endpoints.Control+"/inbox/"+id+"/press", strings.NewReader("button=Acknowledge"))
		must(s.t, err)
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", origin)
		answer, err := http.DefaultTransport.RoundTrip(request)
		must(s.t, err)
		_, err = io.Copy(io.Discard, answer.Body)
		must(s.t, err)
		must(s.t, answer.Body.Close())
		if answer.StatusCode != want {
			s.t.Errorf("a form of %s is answered %d, want %d", origin, answer.StatusCode, want)
		}
	}
}

// TestPeopleCanBeAdded: tests bring their own.
func TestPeopleCanBeAdded(t *testing.T) {
	s := start(t, inMemory(t))
	s.ask(http.MethodPost, "/_sandbox/people", inbox.Person{Name: "dora", Email: "dora@example.org", Phone: "+447700900104"}, http.StatusCreated)
	s.ask(http.MethodPost, "/_sandbox/people", inbox.Person{Name: "Dora!", Email: "dora@example.org", Phone: "+447700900104"}, http.StatusBadRequest)
	if people := string(s.ask(http.MethodGet, "/_sandbox/people", nil, http.StatusOK)); !strings.Contains(people, "dora@example.org") || !strings.Contains(people, "ana") {
		t.Errorf("people are %s", people)
	}
}

// TestChannelsHaveFaultsOfTheirOwn: and clouds do not.
func TestChannelsHaveFaultsOfTheirOwn(t *testing.T) {
	s := start(t, inMemory(t))
	s.ask(http.MethodPost, "/_sandbox/faults", world.Fault{Provider: "smtp", Operation: "DATA", Fault: world.Busy}, http.StatusCreated)
	s.ask(http.MethodPost, "/_sandbox/faults", world.Fault{Provider: "twilio", Operation: "CreateMessage", Fault: world.OptedOut}, http.StatusCreated)
	s.ask(http.MethodPost, "/_sandbox/faults", world.Fault{Provider: "twilio", Operation: "CreateMessage", Fault: world.Stuck}, http.StatusBadRequest)
	s.ask(http.MethodPost, "/_sandbox/faults", world.Fault{Provider: "digitalocean", Operation: "vpcs_create", Fault: world.OptedOut}, http.StatusBadRequest)
}

// TestHooksAreOnTheLoopback: providers call this machine and no other.
func TestHooksAreOnTheLoopback(t *testing.T) {
	for _, hooks := range []string{"https://api.example.com", "http://192.0.2.1:8080", "127.0.0.1:8080", "http://127.0.0.1:8080/v1"} {
		config := inMemory(t)
		config.Hooks = hooks
		if err := sandbox.Run(t.Context(), config); err == nil || !strings.Contains(err.Error(), "hooks") {
			t.Errorf("%s: %v", hooks, err)
		}
	}
}
