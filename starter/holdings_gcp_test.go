package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/dev"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/sandboxtest"
	"github.com/m3o/platform/internal/telemetry"
)

// sandboxedCloud is a running sandbox's cloud, as `m3o dev` tells a worker of it.
func sandboxedCloud(t *testing.T, provider string) dev.SandboxCloud {
	t.Helper()
	at := sandboxtest.Start(t, sandbox.Config{TimeScale: 0.01})
	return dev.SandboxCloud{URL: at.Providers[provider], Credentials: at.Credentials(provider), CA: sandbox.AuthorityFile(at.Dir), Hour: 36 * time.Second}
}

// A worker of Google Cloud holds a project by the key in a file, and asks Google's token endpoint where the file says.
func TestAWorkerHoldsAGCPProject(t *testing.T) {
	var log bytes.Buffer
	signals, err := telemetry.Setup(t.Context(), telemetry.Settings{Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	settings := sandboxedGCP(sandboxedCloud(t, "gcp"))
	p, err := openGCP(&base{settings: config.Settings{Egress: "203.0.113.7/32"}, signals: signals}, settings)
	if err != nil {
		t.Fatal(err)
	}
	want := region.Spec{Platform: "micro", Name: "ew1", Provider: region.GCP, Location: "europe-west1"}
	if got, err := p.Preflight(t.Context(), want, nil); err != nil || len(got.Obstacles) > 0 || got.Kubernetes.Version == "" {
		t.Errorf("a region with everything left out: %+v, %v", got, err)
	}
	if strings.Contains(log.String(), "keys from a file") {
		t.Errorf("a sandbox's key is warned about: %s", log.String())
	}
}

// Clusters are accessed by the worker's token, so that it is renewed well before it ends, and not before it has to be.
func TestAGCPWorkersTokenIsRenewedInTime(t *testing.T) {
	var asked atomic.Int32
	life := []int{300, 3600} // seconds
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := min(int(asked.Add(1)), len(life))
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":%d}`, n, life[n-1])
	}))
	defer endpoint.Close()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := json.Marshal(map[string]string{"type": "service_account", "project_id": "acme-prod", "client_email": "a@b", "token_uri": endpoint.URL,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, key, 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, project, err := gcpIdentity(t.Context(), file)
	if err != nil || project != "acme-prod" {
		t.Fatal(project, err)
	}
	for _, want := range []string{"token-1", "token-2", "token-2"} { // the first one is about to end
		if got, err := tokens.Token(); err != nil || got.AccessToken != want {
			t.Errorf("got %v, %v, want %s", got, err, want)
		}
	}
}

func TestAGCPWorkersSettingsAreChecked(t *testing.T) {
	signals, err := telemetry.Setup(t.Context(), telemetry.Settings{Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(content string) string {
		name := filepath.Join(dir, fmt.Sprintf("%d.json", len(content)))
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const key = `{"type":"service_account","project_id":"%s","client_email":"a@b","private_key":"secret","token_uri":"http://127.0.0.1:1/token"}`
	good := file(fmt.Sprintf(key, "acme-prod"))
	for want, s := range map[string]gcpSettings{
		`M3O_GCP_LIMIT: "many"`:                 {CredentialsFile: good, Limit: "many"},
		"M3O_GCP_CREDENTIALS_FILE: open ":       {CredentialsFile: filepath.Join(dir, "none")},
		"is not the key of a service account":   {CredentialsFile: file(`{"type":"external_account","token_url":"https://example.com"}`)},
		"the key of a service account in JSON":  {CredentialsFile: file("nonsense")},
		`"" is not the id of a GCP project`:     {CredentialsFile: file(fmt.Sprintf(key, ""))},
		`"Acme" is not the id of a GCP project`: {CredentialsFile: good, Project: "Acme"},
		"is not the base URL of an API":         {CredentialsFile: good, URL: "nonsense"},
		"would send credentials in clear":       {CredentialsFile: good, URL: "http://example.com"},
	} {
		_, err := openGCP(&base{signals: signals}, s)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the key is in the error: %v", err)
		}
	}
	if _, err := openGCP(&base{signals: signals, settings: config.Settings{Egress: "nonsense"}}, gcpSettings{CredentialsFile: good}); err == nil || !strings.Contains(err.Error(), "M3O_EGRESS_CIDRS") {
		t.Errorf("got %v", err)
	}
	if _, err := openGCP(&base{signals: signals}, gcpSettings{CredentialsFile: good}); err != nil {
		t.Error(err)
	}
}

var aSetting = regexp.MustCompile(`\bM3O_[A-Z0-9_]+\b`)

// What deploy/workers/gcp tells a worker is what it reads.
func TestAGCPWorkerIsPlacedWithSettingsThatThereAre(t *testing.T) {
	rows, err := rowsOf([]string{queue.Cloud(region.GCP)})
	if err != nil {
		t.Fatal(err)
	}
	known := config.Describe(append(partsOf(rows), config.Everything)...)
	placed := os.DirFS("../deploy/workers/gcp")
	for _, name := range []string{"startup.sh", "worker.yaml", "README.md"} {
		data, err := fs.ReadFile(placed, name)
		if err != nil {
			t.Fatal(err)
		}
		found := aSetting.FindAllString(string(data), -1)
		for _, setting := range found {
			if !strings.Contains(known, "  "+setting+" ") {
				t.Errorf("%s: a worker of cloud-gcp reads no %s", name, setting)
			}
		}
		if len(found) == 0 {
			t.Errorf("%s tells no setting", name)
		}
	}
}

// A worker that is told no file acts as the machine that it is on.
func TestAGCPWorkerActsAsItsMachine(t *testing.T) {
	machine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		switch path := strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/"); {
		case r.Header.Get("Metadata-Flavor") != "Google":
			w.WriteHeader(http.StatusForbidden)
		case path == "project/project-id":
			_, _ = io.WriteString(w, "acme-prod")
		case path == "instance/service-accounts/default/token":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"of-the-machine","expires_in":3000,"token_type":"Bearer"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer machine.Close()
	for name, value := range map[string]string{"GCE_METADATA_HOST": strings.TrimPrefix(machine.URL, "http://"), "GOOGLE_APPLICATION_CREDENTIALS": "",
		"HOME": t.TempDir(), "CLOUDSDK_CONFIG": ""} {
		t.Setenv(name, value)
	}
	tokens, project, err := gcpIdentity(t.Context(), "")
	if err != nil || project != "acme-prod" {
		t.Fatal(project, err)
	}
	if got, err := tokens.Token(); err != nil || got.AccessToken != "of-the-machine" {
		t.Errorf("got %v, %v", got, err)
	}
}
