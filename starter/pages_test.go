package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel/link"
	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/ticket"
	"github.com/m3o/platform/workers"
)

// pagesOf opens the queue pages with settings; secrets are files of the folder.
func pagesOf(t *testing.T, own pagesSettings) (workers.PageActivities, error) {
	t.Helper()
	s := config.Settings{LinkKey: filepath.Join(t.TempDir(), "link.key"), PublicURL: "https://api.example.com"}
	if err := makeKeys(s); err != nil {
		t.Fatal(err)
	}
	signals, err := openSignals(t.Context(), s, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeSignals(context.Background(), signals) })
	held, _, err := openPages(t.Context(), &base{settings: s.With(own), signals: signals})
	if err != nil {
		return workers.PageActivities{}, err
	}
	return held.(workers.PageActivities), nil
}

func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each channel without settings says which one is missing, and fails for good: the next one is used.
func TestAWorkerWithoutChannelsSaysWhatIsMissing(t *testing.T) {
	held, err := pagesOf(t, pagesSettings{})
	if err != nil {
		t.Fatal(err)
	}
	for c, setting := range map[alert.Channel]string{alert.Email: "M3O_SMTP_SERVER", alert.SMS: "M3O_TWILIO_ACCOUNT", alert.Slack: "M3O_SLACK_TOKEN_FILE", alert.Webhook: "M3O_WEBHOOK_SECRET_FILE"} {
		_, err := held.Pages.Messenger.Send(t.Context(), alert.Page{Contact: alert.Contact{Channel: c}})
		if !fault.Is(err, fault.Failed) || !strings.Contains(fault.Message(err), setting) {
			t.Errorf("%s: %v", c, err)
		}
	}
}

func TestSettingsOfChannelsAreChecked(t *testing.T) {
	secret := secretFile(t, "0123456789abcdef0123")
	for name, c := range map[string]struct {
		own  pagesSettings
		says string
	}{
		"a server without a port":  {pagesSettings{SMTPServer: "mail.example.com", SMTPFrom: "a@example.com"}, "M3O_SMTP_*: server"},
		"a user without password":  {pagesSettings{SMTPServer: "mail.example.com:587", SMTPFrom: "a@example.com", SMTPUser: "a"}, "M3O_SMTP_PASSWORD_FILE"},
		"no authorities":           {pagesSettings{SMTPServer: "mail.example.com:587", SMTPFrom: "a@example.com", SMTPCAFile: secret}, "M3O_SMTP_CA_FILE"},
		"no number":                {pagesSettings{TwilioAccount: "AC1", TwilioTokenFile: secret, TwilioFrom: "0171"}, "M3O_TWILIO_*: from"},
		"no token":                 {pagesSettings{TwilioAccount: "AC1", TwilioFrom: "+14155550100"}, "M3O_TWILIO_TOKEN_FILE"},
		"a URL without a slash":    {pagesSettings{SlackTokenFile: secret, SlackURL: "https://slack.com/api"}, "M3O_SLACK_*: url"},
		"a short secret":           {pagesSettings{WebhookSecretFile: secretFile(t, "short")}, "M3O_WEBHOOK_*"},
		"no list of what is ours":  {pagesSettings{WebhookSecretFile: secret, WebhookAllow: "http://10.0.0.1/"}, "M3O_WEBHOOK_ALLOW"},
		"a secret that is nowhere": {pagesSettings{SlackTokenFile: "/nowhere"}, "M3O_SLACK_TOKEN_FILE"},
	} {
		if _, err := pagesOf(t, c.own); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is set up sends with its settings: here a webhook that is allowed on the loopback.
func TestAWorkerSendsBySettings(t *testing.T) {
	var key string
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { key = r.Header.Get("Idempotency-Key") }))
	defer receiver.Close()
	held, err := pagesOf(t, pagesSettings{WebhookSecretFile: secretFile(t, "0123456789abcdef0123"), WebhookAllow: "127.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	page := alert.Page{Key: "shop/1/trigger/1/hook", Kind: alert.PageTrigger, Contact: alert.Contact{Channel: alert.Webhook, Address: receiver.URL}}
	if receipt, err := held.Pages.Messenger.Send(t.Context(), page); err != nil || receipt.ID != page.Key || key != page.Key {
		t.Errorf("%+v, %v; the key is %q", receipt, err, key)
	}
}

// The API knows links by the public half of the key that `m3o migrate` makes.
func TestTheAPIKnowsTheWorkersLinks(t *testing.T) {
	dir := t.TempDir()
	s := config.Settings{LinkKey: filepath.Join(dir, "link.key"), LinkKeys: filepath.Join(dir, "links.json"), SlackSecretFile: secretFile(t, "signing")}
	if err := makeKeys(s); err != nil {
		t.Fatal(err)
	}
	signer, err := ticket.Load(s.LinkKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := link.Signer{Key: signer, URL: "https://api.example.com/"}.Make(link.Link{Project: "shop", Alert: 1, Person: "ana", Do: alert.ResolveUpdate}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	keys, slackSecret, err := loadCallers(s)
	if err != nil || slackSecret != "signing" {
		t.Fatalf("%q, %v", slackSecret, err)
	}
	token, ok := strings.CutPrefix(made, "https://api.example.com"+link.Path)
	if got, err := link.Verify(keys, token, time.Now()); !ok || err != nil || got.Person != "ana" || got.Alert != 1 || got.Do != alert.ResolveUpdate {
		t.Errorf("%s is %+v, %v", made, got, err)
	}
	if err := makeKeys(config.Settings{LinkKeys: s.LinkKeys}); err == nil || !strings.Contains(err.Error(), "M3O_LINK_KEY must be set, too") {
		t.Errorf("a public half without its key: %v", err)
	}
}
