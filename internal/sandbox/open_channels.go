package sandbox

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/m3o/platform/internal/sandbox/slack"
	"github.com/m3o/platform/internal/sandbox/smtp"
	"github.com/m3o/platform/internal/sandbox/twilio"
)

// The paths of the API, below Config.Hooks, at which providers call.
const (
	twilioReplies     = "/v1/hooks/twilio/sms"
	slackInteractions = "/v1/hooks/slack"
)

// checkHooks says why providers cannot call there.
func (c Config) checkHooks() error {
	if c.Hooks == "" {
		return nil
	}
	u, err := url.Parse(c.Hooks)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		return fmt.Errorf("hooks %q is no base URL such as http://127.0.0.1:8080", c.Hooks)
	}
	if address := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (address == nil || !address.IsLoopback()) {
		return fmt.Errorf("hooks %q is not on this machine's loopback: the sandbox calls nothing else", c.Hooks)
	}
	return nil
}

// hook is a path of the platform's API; "" if the sandbox does not know where that is.
func (e environment) hook(path string) string {
	if e.config.Hooks == "" {
		return ""
	}
	return strings.TrimSuffix(e.config.Hooks, "/") + path
}

// kept reads what a file has, and makes it the first time.
func kept[T any](path string, fresh func() (T, error)) (value T, err error) {
	data, err := os.ReadFile(path)
	if err == nil {
		if err := json.Unmarshal(data, &value); err != nil {
			return value, fmt.Errorf("%s: %w", path, err)
		}
		return value, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return value, err
	}
	if value, err = fresh(); err != nil {
		return value, err
	}
	if data, err = json.Marshal(value); err != nil {
		return value, err
	}
	return value, writeWhole(path, append(data, '\n'), 0o600)
}

// Secret is the file, beside a channel's credentials, that holds one of its secrets alone, as the platform's settings want them:
// "twilio.token" (signs callbacks, too), "slack.token", "slack.secret" (signs interactions), "smtp.password".
func Secret(dir, name string) string { return filepath.Join(dir, name) }

// ChannelAccounts are who the platform is at the channels. The secrets are in files: see Secret.
type ChannelAccounts struct{ TwilioSID, TwilioNumber, SMTPUser string }

// Channels are the accounts at the channels of a sandbox that has run on dir.
func Channels(dir string) (ChannelAccounts, error) {
	phone, err := credentialsIn[twilio.Credentials](CredentialsFile(dir, twilio.Name))
	if err != nil {
		return ChannelAccounts{}, err
	}
	mail, err := credentialsIn[smtp.Credentials](CredentialsFile(dir, smtp.Name))
	return ChannelAccounts{TwilioSID: phone.AccountSID, TwilioNumber: phone.Number, SMTPUser: mail.Username}, err
}

// keepSecrets writes secrets to files of their own.
func keepSecrets(dir string, secrets map[string]string) error {
	for name, secret := range secrets {
		if err := writeWhole(Secret(dir, name), []byte(secret+"\n"), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// credentialsIn reads a channel's credentials.
func credentialsIn[T any](path string) (value T, err error) {
	data, err := readStart(path, maxControlBody)
	if err == nil {
		err = json.Unmarshal(data, &value)
	}
	if err != nil {
		return value, fmt.Errorf("read the credentials in %s: %w", path, err)
	}
	return value, nil
}

func openTwilio(env environment) (Provider, error) {
	credentials, err := kept(env.credentials, twilio.NewCredentials)
	if err == nil {
		err = keepSecrets(env.config.Dir, map[string]string{"twilio.token": credentials.AuthToken})
	}
	if err != nil {
		return nil, err
	}
	return twilio.New(twilio.Config{World: env.world, Credentials: credentials, Webhook: env.hook(twilioReplies), Logger: env.config.Logger})
}

func twilioEnvironment(of account) (map[string]string, error) {
	credentials, err := credentialsIn[twilio.Credentials](of.credentials)
	return map[string]string{"TWILIO_ACCOUNT_SID": credentials.AccountSID, "TWILIO_AUTH_TOKEN": credentials.AuthToken,
		"TWILIO_NUMBER": credentials.Number, "TWILIO_URL": of.url}, err
}

func openSMTP(env environment) (Provider, error) {
	credentials, err := kept(env.credentials, smtp.NewCredentials)
	if err == nil {
		err = keepSecrets(env.config.Dir, map[string]string{"smtp.password": credentials.Password})
	}
	if err != nil {
		return nil, err
	}
	server, err := smtp.New(smtp.Config{World: env.world, Credentials: credentials, Logger: env.config.Logger})
	return mailServer{server}, err
}

// mailServer is the mail server as what answers at a port.
type mailServer struct{ *smtp.Cloud }

// Server implements speaker.
func (m mailServer) Server(secured *tls.Config) Server { return m.Cloud.Server(secured) }

func smtpEnvironment(of account) (map[string]string, error) {
	credentials, err := credentialsIn[smtp.Credentials](of.credentials)
	return map[string]string{"SMTP_SERVER": strings.TrimPrefix(of.url, "smtp://"), "SMTP_USERNAME": credentials.Username, "SMTP_PASSWORD": credentials.Password,
		"SSL_CERT_FILE": AuthorityFile(of.dir)}, err
}

func openSlack(env environment) (Provider, error) {
	credentials, err := kept(env.credentials, slack.NewCredentials)
	if err == nil {
		err = keepSecrets(env.config.Dir, map[string]string{"slack.token": credentials.BotToken, "slack.secret": credentials.SigningSecret})
	}
	if err != nil {
		return nil, err
	}
	return slack.New(slack.Config{World: env.world, Credentials: credentials, URL: env.url, RequestURL: env.hook(slackInteractions), Logger: env.config.Logger})
}

func slackEnvironment(of account) (map[string]string, error) {
	credentials, err := credentialsIn[slack.Credentials](of.credentials)
	return map[string]string{"SLACK_BOT_TOKEN": credentials.BotToken, "SLACK_SIGNING_SECRET": credentials.SigningSecret, "SLACK_API_URL": of.url + "/api/"}, err
}
