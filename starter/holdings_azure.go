package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/azure"
	"github.com/m3o/platform/internal/dev"
)

// azureSettings are Azure's own.
type azureSettings struct {
	Subscription    string `env:"M3O_AZURE_SUBSCRIPTION" say:"id of the subscription; empty: that of the credentials file"`
	CredentialsFile string `env:"M3O_AZURE_CREDENTIALS_FILE" say:"file with a service principal (JSON: tenant_id, client_id, client_secret, subscription_id), for a first try; empty: the machine's own identity"`
	URL             string `env:"M3O_AZURE_URL" say:"base URL of the Resource Manager and of the authority, by HTTPS; empty: the real ones"`
	CAFile          string `env:"M3O_AZURE_CA_FILE" say:"file with the authority (PEM) of that URL's certificate; empty: those that the machine trusts"`
	Limit           string `env:"M3O_AZURE_LIMIT" say:"reads that the identity may make, and in how long (default 90000/1h), counted in parts of 10s of an hour; writes, deletions and what AKS counts follow in proportion"`
	Settle          string `env:"M3O_AZURE_SETTLE" say:"how old a new role is when Azure's services are taken to see it (default 30s)"`
}

// sandboxedAzure are the settings of the subscription in the sandbox.
func sandboxedAzure(at dev.SandboxCloud) azureSettings {
	return azureSettings{URL: at.URL, CredentialsFile: at.Credentials, CAFile: at.CA, Limit: fmt.Sprintf("%d/%s", azure.Requests, at.Hour),
		Settle: (at.Hour / time.Duration(time.Hour/azure.Settle)).String()}
}

func openAzure(b *base, s azureSettings) (cloud.Provider, error) {
	egress, err := b.egress()
	if err != nil {
		return nil, err
	}
	requests, period, err := limit("M3O_AZURE_LIMIT", s.Limit, azure.Requests, azure.Period)
	if err != nil {
		return nil, err
	}
	settle, err := duration("M3O_AZURE_SETTLE", s.Settle, azure.Settle, 0)
	if err != nil {
		return nil, err
	}
	trusting, err := azureTransport(s.CAFile)
	if err != nil {
		return nil, err
	}
	limited, err := b.limitedOver(trusting, "Azure", azure.Limits(requests, period))
	if err != nil {
		return nil, err
	}
	b.warnOfStaticKeys("Azure", "M3O_AZURE_CREDENTIALS_FILE", s.CredentialsFile, s.URL, "a managed identity, or a workload identity")
	at := azure.Endpoint{URL: s.URL}
	credential, subscription, err := azureIdentity(s.CredentialsFile, at, b.signals.Transport(trusting))
	if err != nil {
		return nil, err
	}
	if subscription = cmp.Or(s.Subscription, subscription); subscription == "" {
		return nil, misuse("M3O_AZURE_SUBSCRIPTION is not set, and no credentials file names a subscription")
	}
	return azure.New(azure.Config{Subscription: subscription, Credential: credential, Endpoint: at, Transport: limited, Settle: settle, Egress: egress})
}

// azureIdentity is what the worker acts as: the service principal in a file, else what the Azure SDK finds by default.
func azureIdentity(file string, at azure.Endpoint, transport http.RoundTripper) (identity azcore.TokenCredential, subscription string, err error) {
	if file == "" {
		identity, err = azure.Ambient(at, transport)
		return identity, "", err
	}
	data, err := readSecret("M3O_AZURE_CREDENTIALS_FILE", file)
	if err != nil {
		return nil, "", err
	}
	secret, err := azure.ParseSecret([]byte(data))
	if err != nil {
		return nil, "", misuse("M3O_AZURE_CREDENTIALS_FILE: %v", err)
	}
	identity, err = secret.Credential(at, transport)
	return identity, secret.Subscription, err
}

// azureTransport trusts the authority in the file, and no other; without a file, those of the machine.
func azureTransport(file string) (http.RoundTripper, error) {
	if file == "" {
		return http.DefaultTransport, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, misuse("M3O_AZURE_CA_FILE: %v", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, misuse("M3O_AZURE_CA_FILE: %s has no certificate in PEM", file)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return transport, nil
}
