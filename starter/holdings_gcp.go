package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"golang.org/x/oauth2/jwt"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/gcp"
	"github.com/m3o/platform/internal/dev"
)

// gcpSettings are Google Cloud's own.
type gcpSettings struct {
	Project         string `env:"M3O_GCP_PROJECT" say:"id of the project; empty: that of the credentials"`
	CredentialsFile string `env:"M3O_GCP_CREDENTIALS_FILE" say:"file with a service account's key (JSON), for a first try; empty: the machine's own service account"`
	URL             string `env:"M3O_GCP_URL" say:"base URL of all APIs at once; empty: the real ones"`
	Limit           string `env:"M3O_GCP_LIMIT" say:"requests that the project may make to Compute Engine, and in how long (default 90000/1h), counted in sixtieths; the other APIs follow in proportion"`
}

// sandboxedGCP are the settings of a project in the sandbox.
func sandboxedGCP(at dev.SandboxCloud) gcpSettings {
	return gcpSettings{URL: at.URL, CredentialsFile: at.Credentials, Limit: fmt.Sprintf("%d/%s", gcp.Requests, at.Hour)}
}

func openGCP(b *base, s gcpSettings) (cloud.Provider, error) {
	egress, err := b.egress()
	if err != nil {
		return nil, err
	}
	requests, period, err := limit("M3O_GCP_LIMIT", s.Limit, gcp.Requests, gcp.Period)
	if err != nil {
		return nil, err
	}
	limited, err := b.limited("GCP", gcp.Limits(requests, period))
	if err != nil {
		return nil, err
	}
	b.warnOfStaticKeys("GCP", "M3O_GCP_CREDENTIALS_FILE", s.CredentialsFile, s.URL, "a service account, or Workload Identity")
	caller := &http.Client{Transport: b.signals.Transport(http.DefaultTransport), Timeout: 15 * time.Second}
	tokens, project, err := gcpIdentity(context.WithValue(context.Background(), oauth2.HTTPClient, caller), s.CredentialsFile)
	if err != nil {
		return nil, err
	}
	return gcp.New(gcp.Config{Project: cmp.Or(s.Project, project), Tokens: tokens, URL: s.URL, Transport: limited, Egress: egress})
}

// gcpIdentity is what the worker acts as, and the project that it is of: the key in a file, else the machine's service account or what
// else Google's libraries find by default. A file can be nothing but a service account's key: other kinds say from where a token is
// to be had, and from whom. The context is for as long as the worker runs.
func gcpIdentity(ctx context.Context, file string) (tokens oauth2.TokenSource, project string, err error) {
	if file == "" {
		found, err := google.FindDefaultCredentialsWithParams(ctx, google.CredentialsParams{Scopes: []string{gcp.Scope}, EarlyTokenRefresh: gcp.TokenMargin})
		if err != nil {
			return nil, "", misuse("this machine has no Google Cloud identity: give it a service account, or set M3O_GCP_CREDENTIALS_FILE: %v", err)
		}
		return found.TokenSource, found.ProjectID, nil
	}
	data, err := readSecret("M3O_GCP_CREDENTIALS_FILE", file)
	if err != nil {
		return nil, "", err
	}
	key, err := google.JWTConfigFromJSON([]byte(data), gcp.Scope)
	if err != nil {
		return nil, "", misuse("M3O_GCP_CREDENTIALS_FILE: %s is not the key of a service account in JSON, as `gcloud iam service-accounts keys create` writes it", file)
	}
	var of struct {
		Project string `json:"project_id"`
	}
	if err := json.Unmarshal([]byte(data), &of); err != nil {
		return nil, "", misuse("M3O_GCP_CREDENTIALS_FILE: %s names no project", file)
	}
	return oauth2.ReuseTokenSourceWithExpiry(nil, anew{ctx, key}, gcp.TokenMargin), of.Project, nil
}

// anew asks for a new token every time: the library's own source keeps one until it is about to end.
type anew struct {
	ctx context.Context // for as long as the worker runs
	key *jwt.Config
}

func (a anew) Token() (*oauth2.Token, error) { return a.key.TokenSource(a.ctx).Token() }
