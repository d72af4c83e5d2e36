package sandbox

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/sandbox/aws"
	"github.com/m3o/platform/internal/sandbox/azure"
	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/digitalocean"
	"github.com/m3o/platform/internal/sandbox/gcp"
	"github.com/m3o/platform/internal/sandbox/slack"
	"github.com/m3o/platform/internal/sandbox/smtp"
	"github.com/m3o/platform/internal/sandbox/twilio"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Provider is one provider's wire protocol over the world. It is either an http.Handler, which answers at its port, or a speaker of
// another protocol.
type Provider interface {
	// Name is what ledger and faults call it.
	Name() string
	// Operations are the official names of its operations, which faults can be about.
	Operations() []string
	// Run moves its resources through their states until ctx ends.
	Run(ctx context.Context) error
}

// speaker is a Provider whose protocol is not HTTP.
type speaker interface {
	// Server is what answers at its port, with the certificate of the sandbox's authority for it.
	Server(secured *tls.Config) Server
}

// Server answers at a port until it is shut down or closed. What http.Server says of these methods holds.
type Server interface {
	Serve(net.Listener) error
	Shutdown(ctx context.Context) error
	Close() error
}

// misbehaver is a Provider with faults of its own, in place of those of clouds.
type misbehaver interface{ Faults() []string }

// Authenticator is a Provider whose clusters' API servers ask it whose a bearer token is.
type Authenticator interface {
	// Authenticate says who a token is of, as the cloud would for that cluster, by the id that the cluster's runner knows it by. An
	// error means that nobody is let in; its words are in the cluster's log, so the token is not in them.
	Authenticate(ctx context.Context, cluster, token string) (user string, groups []string, err error)
}

// environment is what a provider is made from.
type environment struct {
	config   Config
	world    *world.World
	runner   clusters.Runner
	versions []string
	// url is the provider's own base URL, control that of the control routes. Both are other ones after a restart with AnyPort.
	url, control string
	// credentials is the file in which the provider keeps the account's credentials, and makes them the first time.
	credentials string
	// policy is what the credentials are allowed, in the provider's own format; nil allows everything.
	policy []byte
}

// webhook is the URL at which the API server of one of the named provider's clusters asks whose a token is, for clusters.Wanted.
func (e environment) webhook(provider string) func(cluster string) string {
	return func(cluster string) string {
		return e.control + "/_sandbox/clusters/" + url.PathEscape(provider) + "/" + url.PathEscape(cluster) + "/tokenreview"
	}
}

// row is one provider: its name, as the platform's file has it, where it listens, where its credentials are, and what answers there.
type row struct {
	name        string
	offset      int    // of its port from the base port, for ever the same one
	credentials string // a file's name in the sandbox's directory
	scheme      string // of its base URL: "http" if empty, "https" by the directory's authority, or that of another protocol
	open        func(environment) (Provider, error)
	// environment is what a stock client needs in its environment to use the account. Files that it needs are made below the sandbox's
	// directory. It is called in another process than the sandbox's.
	environment func(account) (map[string]string, error)
}

// account is a provider's account as a client finds it: the sandbox's directory, the file with the credentials, the base URL.
type account struct{ dir, credentials, url string }

// providers is the table of clouds, and of the channels by which people are reached. The ports that cannot be opened to pods, faults, the ledger and `m3o dev` follow from it.
var providers = []row{
	{name: digitalocean.Name, offset: 1, credentials: "digitalocean.token", open: openDigitalOcean, environment: digitalOceanEnvironment},
	{name: aws.Name, offset: 2, credentials: "aws.credentials", open: openAWS, environment: awsEnvironment},
	{name: gcp.Name, offset: 3, credentials: "gcp.json", open: openGCP, environment: gcpEnvironment},
	{name: azure.Name, offset: 4, credentials: "azure.json", scheme: "https", open: openAzure, environment: azureEnvironment},
	// 5 is free.
	{name: slack.Name, offset: 6, credentials: "slack.json", open: openSlack, environment: slackEnvironment},
	{name: twilio.Name, offset: 7, credentials: "twilio.json", open: openTwilio, environment: twilioEnvironment},
	{name: smtp.Name, offset: 8, credentials: "smtp.json", scheme: "smtp", open: openSMTP, environment: smtpEnvironment},
}

// Ports are where a sandbox of that base port listens, by what answers there.
func Ports(base int) map[string]int {
	ports := map[string]int{"control routes": base}
	for _, p := range providers {
		ports[p.name] = base + p.offset
	}
	return ports
}

// CredentialsFile is where a sandbox's directory has the credentials of a provider's account, in the form that the provider's own
// clients read; "" if the sandbox has no such provider. The sandbox makes it at its first start.
func CredentialsFile(dir, provider string) string {
	i := slices.IndexFunc(providers, func(r row) bool { return r.name == provider })
	if i < 0 {
		return ""
	}
	return filepath.Join(dir, providers[i].credentials)
}

func openDigitalOcean(env environment) (Provider, error) {
	token, err := keptToken(env.credentials, "dop_v1_")
	if err != nil {
		return nil, err
	}
	return digitalocean.New(digitalocean.Config{World: env.world, Runner: env.runner, Versions: env.versions, Token: token,
		DropletLimit: env.config.DropletLimit, NewAccount: env.config.NewAccount, Policy: env.policy, Logger: env.config.Logger})
}

func digitalOceanEnvironment(of account) (map[string]string, error) {
	token, err := readStart(of.credentials, maxControlBody)
	if err != nil {
		return nil, fmt.Errorf("read the token: %w", err)
	}
	return digitalocean.Environment(strings.TrimSpace(string(token)), of.url), nil
}
