package main

import (
	"context"
	"crypto/x509"
	"net/http"
	"os"
	"time"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel"
	"github.com/m3o/platform/internal/channel/email"
	"github.com/m3o/platform/internal/channel/link"
	"github.com/m3o/platform/internal/channel/slack"
	"github.com/m3o/platform/internal/channel/sms"
	"github.com/m3o/platform/internal/channel/webhook"
	"github.com/m3o/platform/internal/dev"
	"github.com/m3o/platform/internal/inside"
	"github.com/m3o/platform/internal/ticket"
	"github.com/m3o/platform/workers"
)

// pagesSettings are those of the channels. A channel without settings is not set up: what would go there goes by the next one.
type pagesSettings struct {
	SMTPServer       string `env:"M3O_SMTP_SERVER" say:"host:port of the mail server, with TLS unless it is on the loopback (465: from the first byte, else STARTTLS); empty: no email"`
	SMTPFrom         string `env:"M3O_SMTP_FROM" say:"sender of mails: M3O <alerts@example.com>"`
	SMTPUser         string `env:"M3O_SMTP_USER" say:"user at the mail server; empty: none"`
	SMTPPasswordFile string `env:"M3O_SMTP_PASSWORD_FILE" say:"file with the user's password"`

	SMTPCAFile string `env:"M3O_SMTP_CA_FILE" say:"file with the authorities that sign its certificate (default: the system's); with it, TLS on the loopback too"`

	TwilioAccount   string `env:"M3O_TWILIO_ACCOUNT" say:"SID of the account at Twilio, AC…; empty: no SMS"`
	TwilioTokenFile string `env:"M3O_TWILIO_TOKEN_FILE" say:"file with the account's auth token, which signs callbacks too"`
	TwilioFrom      string `env:"M3O_TWILIO_FROM" say:"number that SMS come from, +E.164, or a messaging service's SID, MG…"`
	TwilioURL       string `env:"M3O_TWILIO_URL" say:"base URL of the API; empty: the real one"`

	SlackTokenFile string `env:"M3O_SLACK_TOKEN_FILE" say:"file with the bot's token, xoxb-…; empty: no Slack"`
	SlackURL       string `env:"M3O_SLACK_URL" say:"base URL of the API, up to and with /api/; empty: the real one"`

	WebhookSecretFile string `env:"M3O_WEBHOOK_SECRET_FILE" say:"file with the secret that signs webhooks; empty: no webhooks"`
	WebhookAllow      string `env:"M3O_WEBHOOK_ALLOW" say:"what webhooks may call though it is inside our network, with commas: 10.1.2.3:8443 or 10.1.0.0/16; there without TLS, too"`
}

// sandboxedPages are the settings that lead to the sandbox's inbox. Webhooks reach this machine, where the developer's own services are.
func sandboxedPages(at dev.SandboxChannels) any {
	return pagesSettings{SMTPServer: at.SMTP, SMTPFrom: "M3O <alerts@m3o.localhost>", SMTPUser: at.SMTPUser, SMTPPasswordFile: at.SMTPPassword, SMTPCAFile: at.SMTPCA,
		TwilioAccount: at.TwilioAccount, TwilioTokenFile: at.TwilioToken, TwilioFrom: at.TwilioFrom, TwilioURL: at.Twilio,
		SlackTokenFile: at.SlackToken, SlackURL: at.Slack, WebhookSecretFile: at.WebhookSecret, WebhookAllow: "127.0.0.0/8"}
}

// openPages sets the channels up.
func openPages(_ context.Context, b *base) (workers.Activities, func() error, error) {
	var own pagesSettings
	b.settings.Own(&own)
	signer, err := loadLinkSigner(b.settings.LinkKey)
	if err != nil {
		return nil, nil, err
	}
	set := channel.Set{CodeKey: signer.Derive("contact codes"), Adapters: map[alert.Channel]channel.Adapter{}}
	open := map[alert.Channel]func(pagesSettings) (channel.Adapter, error){
		alert.Email: func(s pagesSettings) (channel.Adapter, error) { return b.openEmail(s, signer) },
		alert.SMS:   b.openSMS, alert.Slack: b.openSlack, alert.Webhook: b.openWebhook,
	}
	for _, c := range alert.Channels {
		if set.Adapters[c], err = open[c](own); err != nil {
			return nil, nil, err
		}
	}
	return workers.PageActivities{Pages: &activities.Pages{Messenger: set}}, nothing, nil
}

func (b *base) openEmail(s pagesSettings, signer *ticket.Signer) (channel.Adapter, error) {
	if s.SMTPServer == "" {
		return channel.NotSetUp{Channel: alert.Email, Setting: "M3O_SMTP_SERVER"}, nil
	}
	c := email.Config{Server: s.SMTPServer, From: s.SMTPFrom, User: s.SMTPUser}
	if s.SMTPUser != "" {
		password, err := readSecret("M3O_SMTP_PASSWORD_FILE", s.SMTPPasswordFile)
		if err != nil {
			return nil, err
		}
		c.Password = password
	}
	if s.SMTPCAFile != "" {
		pem, err := os.ReadFile(s.SMTPCAFile)
		if c.Roots = x509.NewCertPool(); err != nil || !c.Roots.AppendCertsFromPEM(pem) {
			return nil, misuse("M3O_SMTP_CA_FILE: %s holds no certificate in PEM form", s.SMTPCAFile)
		}
	}
	if b.settings.PublicURL != "" { // without it nobody would reach what a link names
		links := link.Signer{Key: signer, URL: b.settings.PublicURL}
		c.Links = func(p alert.Page, do string, at time.Time) (string, error) {
			return links.Make(link.Link{Project: p.Project, Alert: p.Alert, Person: p.Contact.Person, Address: p.Contact.Address, Do: do}, at)
		}
	}
	return adapter("M3O_SMTP_*", c, email.New)
}

func (b *base) openSMS(s pagesSettings) (channel.Adapter, error) {
	if s.TwilioAccount == "" {
		return channel.NotSetUp{Channel: alert.SMS, Setting: "M3O_TWILIO_ACCOUNT"}, nil
	}
	token, err := readSecret("M3O_TWILIO_TOKEN_FILE", s.TwilioTokenFile)
	if err != nil {
		return nil, err
	}
	return adapter("M3O_TWILIO_*", sms.Config{Account: s.TwilioAccount, Token: token, From: s.TwilioFrom, BaseURL: s.TwilioURL, Hooks: b.settings.PublicURL,
		Transport: b.signals.Transport(http.DefaultTransport)}, sms.New)
}

func (b *base) openSlack(s pagesSettings) (channel.Adapter, error) {
	if s.SlackTokenFile == "" {
		return channel.NotSetUp{Channel: alert.Slack, Setting: "M3O_SLACK_TOKEN_FILE"}, nil
	}
	token, err := readSecret("M3O_SLACK_TOKEN_FILE", s.SlackTokenFile)
	if err != nil {
		return nil, err
	}
	return adapter("M3O_SLACK_*", slack.Config{Token: token, URL: s.SlackURL, Transport: b.signals.Transport(http.DefaultTransport)}, slack.New)
}

func (b *base) openWebhook(s pagesSettings) (channel.Adapter, error) {
	if s.WebhookSecretFile == "" {
		return channel.NotSetUp{Channel: alert.Webhook, Setting: "M3O_WEBHOOK_SECRET_FILE"}, nil
	}
	key, err := readSecret("M3O_WEBHOOK_SECRET_FILE", s.WebhookSecretFile)
	if err != nil {
		return nil, err
	}
	allowed, err := inside.Parse(s.WebhookAllow)
	if err != nil {
		return nil, misuse("M3O_WEBHOOK_ALLOW: %v", err)
	}
	return adapter("M3O_WEBHOOK_*", webhook.Config{Secret: key, Allow: allowed, Transport: b.signals.TransportToHosts}, webhook.New)
}

// adapter opens a channel with the settings of that name.
func adapter[C any, A channel.Adapter](settings string, c C, open func(C) (A, error)) (channel.Adapter, error) {
	a, err := open(c)
	if err != nil {
		return nil, misuse("%s: %v", settings, err)
	}
	return a, nil
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
