package main

import (
	"context"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel"
	"github.com/m3o/platform/internal/ticket"
	"github.com/m3o/platform/workers"
)

// pagesSettings are those of the channels. A channel without settings is not set up: what would go there goes by the next one.
type pagesSettings struct {
	SMTPServer       string `env:"M3O_SMTP_SERVER" say:"host:port of the mail server, with TLS unless it is on the loopback (465: from the first byte, else STARTTLS); empty: no email"`
	SMTPFrom         string `env:"M3O_SMTP_FROM" say:"sender of mails: M3O <alerts@example.com>"`
	SMTPUser         string `env:"M3O_SMTP_USER" say:"user at the mail server; empty: none"`
	SMTPPasswordFile string `env:"M3O_SMTP_PASSWORD_FILE" say:"file with the user's password"`

	TwilioAccount   string `env:"M3O_TWILIO_ACCOUNT" say:"SID of the account at Twilio, AC…; empty: no SMS"`
	TwilioTokenFile string `env:"M3O_TWILIO_TOKEN_FILE" say:"file with the account's auth token, which signs callbacks too"`
	TwilioFrom      string `env:"M3O_TWILIO_FROM" say:"number that SMS come from, +E.164, or a messaging service's SID, MG…"`
	TwilioURL       string `env:"M3O_TWILIO_URL" say:"base URL of the API; empty: the real one"`

	SlackTokenFile string `env:"M3O_SLACK_TOKEN_FILE" say:"file with the bot's token, xoxb-…; empty: no Slack"`
	SlackURL       string `env:"M3O_SLACK_URL" say:"base URL of the API, up to and with /api/; empty: the real one"`

	WebhookSecretFile string `env:"M3O_WEBHOOK_SECRET_FILE" say:"file with the secret that signs webhooks; empty: no webhooks"`
	WebhookAllow      string `env:"M3O_WEBHOOK_ALLOW" say:"what webhooks may call though it is inside our network, with commas: 10.1.2.3:8443 or 10.1.0.0/16; there without TLS, too"`
}

// openPages sets the channels up.
func openPages(_ context.Context, b *base) (workers.Activities, func() error, error) {
	signer, err := loadLinkSigner(b.settings.LinkKey)
	if err != nil {
		return nil, nil, err
	}
	set := channel.Set{CodeKey: signer.Derive("contact codes"), Adapters: map[alert.Channel]channel.Adapter{
		alert.Email:   channel.NotSetUp{Channel: alert.Email, Setting: "M3O_SMTP_SERVER"},
		alert.SMS:     channel.NotSetUp{Channel: alert.SMS, Setting: "M3O_TWILIO_ACCOUNT"},
		alert.Slack:   channel.NotSetUp{Channel: alert.Slack, Setting: "M3O_SLACK_TOKEN_FILE"},
		alert.Webhook: channel.NotSetUp{Channel: alert.Webhook, Setting: "M3O_WEBHOOK_SECRET_FILE"},
	}}
	return workers.PageActivities{Pages: &activities.Pages{Messenger: set}}, nothing, nil
}

// loadLinkSigner reads the key that signs links in mails.
func loadLinkSigner(path string) (*ticket.Signer, error) {
	if path == "" {
		return nil, misuse("M3O_LINK_KEY must be set: the file with the key that signs links in mails, which `m3o migrate` makes")
	}
	signer, err := ticket.Load(path)
	if err != nil {
		return nil, misuse("M3O_LINK_KEY (`m3o migrate` makes it): %v", err)
	}
	return signer, nil
}
