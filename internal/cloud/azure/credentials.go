package azure

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/m3o/platform/internal/cloud/outbound"
	"github.com/m3o/platform/internal/fault"
)

// Endpoint is where Azure is: its Resource Manager and the authority that gives tokens, both at one URL. The zero value is Azure's public
// cloud.
type Endpoint struct{ URL string }

func (e Endpoint) check() error {
	if e.URL == "" {
		return nil
	}
	at, err := url.Parse(e.URL)
	if err != nil || at.Scheme != "https" || at.Host == "" || at.User != nil || strings.Trim(at.Path, "/") != "" || at.RawQuery != "" {
		return fault.New(fault.Invalid, "%q is not where Azure's API can be: it must be a URL like https://host:port, since Azure's SDK sends tokens by https alone", e.URL)
	}
	return nil
}

// audience is what tokens for the Resource Manager are made out to, wherever it is.
const audience = "https://management.core.windows.net/"

func (e Endpoint) cloud() cloud.Configuration {
	if e.URL == "" {
		return cloud.AzurePublic
	}
	at := strings.TrimRight(e.URL, "/")
	return cloud.Configuration{ActiveDirectoryAuthorityHost: at + "/",
		Services: map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: at, Audience: audience}}}
}

// Options are those of every client of an Azure SDK: where Azure is, and that a call is made once.
func (e Endpoint) Options(transport http.RoundTripper) policy.ClientOptions {
	return policy.ClientOptions{Cloud: e.cloud(), Transport: outbound.Client(callTimeout, transport), Retry: policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{ApplicationID: "m3o"}}
}

// Secret is a service principal with a client secret: for a first try. A secret is kept in a file and does not end by itself, so a
// managed identity is better.
type Secret struct {
	Tenant       string `json:"tenant_id"`
	Client       string `json:"client_id"`
	Secret       string `json:"client_secret"`
	Subscription string `json:"subscription_id"` // may be left out
}

// ParseSecret reads a service principal from the JSON of a credentials file.
func ParseSecret(data []byte) (Secret, error) {
	var s Secret
	if err := json.Unmarshal(data, &s); err != nil { // the error may quote the secret
		return Secret{}, fault.New(fault.Invalid, "the Azure credentials are not a JSON object with tenant_id, client_id and client_secret")
	}
	var c fault.Checker
	c.Check(s.Tenant != "", "tenant_id", "is missing")
	c.Check(s.Client != "", "client_id", "is missing")
	c.Check(s.Secret != "", "client_secret", "is missing")
	c.Check(s.Subscription == "" || subscriptionID.MatchString(s.Subscription), "subscription_id", "%q is not the id of a subscription", s.Subscription)
	return s, c.Err()
}

// Credential is the service principal as the SDKs want it. Its tokens are kept in memory alone.
func (s Secret) Credential(at Endpoint, transport http.RoundTripper) (azcore.TokenCredential, error) {
	if err := at.check(); err != nil {
		return nil, err
	}
	made, err := azidentity.NewClientSecretCredential(s.Tenant, s.Client, s.Secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: at.Options(transport), DisableInstanceDiscovery: at.URL != ""})
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the Azure credentials cannot be used: tenant_id must be a tenant's id or domain")
	}
	return made, nil
}

// Ambient is the identity that the process has where it runs: a workload identity of its pod, a managed identity of its machine, or
// what the environment or a developer's tools say.
func Ambient(at Endpoint, transport http.RoundTripper) (azcore.TokenCredential, error) {
	if err := at.check(); err != nil {
		return nil, err
	}
	made, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
		ClientOptions: at.Options(transport), DisableInstanceDiscovery: at.URL != ""})
	if err != nil {
		return nil, fault.Wrap(fault.Denied, err, "the process has no Azure identity: run it with a managed identity, or name a file in M3O_AZURE_CREDENTIALS_FILE")
	}
	return made, nil
}

// token is an access token. For the Resource Manager it is the one that the SDK's clients have, too.
func (p *Provider) token(ctx context.Context, wanted policy.TokenRequestOptions, what string) (azcore.AccessToken, error) {
	token, err := p.credential.GetToken(ctx, wanted)
	if err != nil && ctx.Err() != nil {
		return token, ctx.Err()
	}
	return token, explain(err, what)
}

// principal is who a token is of.
type principal struct {
	ID string // the object's in the directory
	// Application says that it is no person.
	Application bool
}

// me is whose credential the provider has. Its token names it; Azure checks the token, we only read it.
func (p *Provider) me(ctx context.Context) (principal, error) {
	token, err := p.token(ctx, policy.TokenRequestOptions{Scopes: []string{audience + "/.default"}, EnableCAE: true}, "say who the worker is")
	if err != nil {
		return principal{}, err
	}
	var claims struct {
		Object string `json:"oid"`
		Kind   string `json:"idtyp"`
		Scopes string `json:"scp"` // only people delegate
	}
	parts := strings.Split(token.Token, ".")
	if len(parts) == 3 {
		if data, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			_ = json.Unmarshal(data, &claims) // what it does not say is found out below
		}
	}
	if claims.Object == "" {
		return principal{}, fault.New(fault.Denied, "the token that Azure gave the worker does not name its principal (claim oid): the worker cannot be given access to clusters")
	}
	return principal{ID: claims.Object, Application: claims.Kind == "app" || claims.Kind == "" && claims.Scopes == ""}, nil
}
