package dev

import (
	"context"
	"time"

	"github.com/m3o/platform/internal/config"
)

// Process is one process of the platform: what runs, and how it is called when it runs by itself.
type Process struct {
	Name     string
	Args     []string
	Parts    []config.Part             // whose settings it is given
	Cloud    *Cloud                    // the cloud that it works on; nil: none
	Channels func(SandboxChannels) any // its own settings (config.Part.Own) that lead to the sandbox's channels; nil: it reaches nobody
	Run      func(context.Context, config.Settings) error
}

// Cloud is a provider as its sandbox has it.
type Cloud struct {
	Name string                 // in the sandbox's table of providers
	Own  func(SandboxCloud) any // the provider's own settings (config.Part.Own) that lead to its sandbox
}

// SandboxCloud is a provider's sandbox that runs.
type SandboxCloud struct {
	URL         string
	Credentials string        // a file, in the form that the provider's own clients read
	CA          string        // a file with the authority of its certificate (PEM); empty: it speaks plain HTTP
	Hour        time.Duration // how long an hour of the cloud takes: limits are counted in it
}

// SandboxChannels are the ways to reach people that the sandbox has. Tokens and passwords are names of files.
type SandboxChannels struct {
	SMTP, SMTPUser, SMTPPassword, SMTPCA           string // SMTP is host:port
	Twilio, TwilioAccount, TwilioToken, TwilioFrom string // Twilio is the API's base URL
	Slack, SlackToken                              string // Slack is the API's base URL
	WebhookSecret                                  string // not the sandbox's: ours, that webhooks are signed with
}
