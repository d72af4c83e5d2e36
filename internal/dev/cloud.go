//go:build embedded

package dev

import (
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox"
)

// NewSandboxCloud is the provider of that name of the sandbox with that directory and time scale, which answers at the URL.
func NewSandboxCloud(dir, name, url string, scale float64) SandboxCloud {
	cloud := SandboxCloud{URL: url, Credentials: sandbox.CredentialsFile(dir, name), Hour: max(time.Duration(float64(time.Hour)*scale), 100*time.Millisecond)}
	if strings.HasPrefix(url, "https://") {
		cloud.CA = sandbox.AuthorityFile(dir)
	}
	return cloud
}

// NewSandboxChannels are the channels of the sandbox with that directory, whose providers answer at the URLs.
func NewSandboxChannels(dir string, providers map[string]string) (SandboxChannels, error) {
	accounts, err := sandbox.Channels(dir)
	if err != nil {
		return SandboxChannels{}, err
	}
	return SandboxChannels{SMTP: strings.TrimPrefix(providers["smtp"], "smtp://"), SMTPUser: accounts.SMTPUser, SMTPPassword: sandbox.Secret(dir, "smtp.password"),
		SMTPCA: sandbox.AuthorityFile(dir), Twilio: providers["twilio"], TwilioAccount: accounts.TwilioSID, TwilioToken: sandbox.Secret(dir, "twilio.token"),
		TwilioFrom: accounts.TwilioNumber, Slack: providers["slack"] + "/api/", SlackToken: sandbox.Secret(dir, "slack.token")}, nil
}
