package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/region"
)

// TestAzureIsReachedByItsSettings: the sandbox speaks HTTPS by an authority of its own.
func TestAzureIsReachedByItsSettings(t *testing.T) {
	at := sandboxedCloud(t, "azure")
	settings := sandboxedAzure(at)
	var log bytes.Buffer
	provider, err := openAzure(baseOf(t, &log, config.Settings{}), settings)
	if err != nil {
		t.Fatal(err)
	}
	want := region.Spec{Platform: "micro", Name: "asia", Provider: region.Azure, Location: "southeastasia"}
	if p, err := provider.Preflight(t.Context(), want, nil); err != nil || len(p.Obstacles) > 0 || p.Kubernetes.Nodes.Size == "" {
		t.Errorf("preflight: %+v, %v", p, err)
	}
	if strings.Contains(log.String(), "first try") {
		t.Errorf("the sandbox's secret is warned of: %s", log.String())
	}
	settings.CAFile = ""
	if provider, err = openAzure(baseOf(t, io.Discard, config.Settings{}), settings); err != nil {
		t.Fatal(err)
	}
	if _, err := provider.Preflight(t.Context(), want, nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an authority that nobody named is trusted: %v", err)
	}
}

func TestAzuresSettingsAreChecked(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret := `{"tenant_id":"9b2f4c1e-0000-4000-8000-000000000001","client_id":"c","client_secret":"hush"}`
	whole := func(change func(*azureSettings)) azureSettings {
		s := azureSettings{Subscription: "9b2f4c1e-0000-4000-8000-000000000002", CredentialsFile: file(secret)}
		change(&s)
		return s
	}
	for want, s := range map[string]azureSettings{
		"M3O_AZURE_SUBSCRIPTION is not set":               whole(func(s *azureSettings) { s.Subscription = "" }),
		`"mine" is not the id of an Azure subscription`:   whole(func(s *azureSettings) { s.Subscription = "mine" }),
		"M3O_AZURE_CREDENTIALS_FILE: tenant_id: is missi": whole(func(s *azureSettings) { s.CredentialsFile = file("{}") }),
		"M3O_AZURE_CREDENTIALS_FILE":                      whole(func(s *azureSettings) { s.CredentialsFile = "/there/is/none" }),
		"by https alone":                                  whole(func(s *azureSettings) { s.URL = "http://127.0.0.1:1" }),
		"M3O_AZURE_CA_FILE: ":                             whole(func(s *azureSettings) { s.CAFile = file("no certificate") }),
		`M3O_AZURE_LIMIT: "many"`:                         whole(func(s *azureSettings) { s.Limit = "many" }),
		`M3O_AZURE_SETTLE: "soon"`:                        whole(func(s *azureSettings) { s.Settle = "soon" }),
	} {
		_, err := openAzure(baseOf(t, io.Discard, config.Settings{}), s)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := openAzure(baseOf(t, io.Discard, config.Settings{Egress: "everywhere"}), whole(func(*azureSettings) {})); err == nil || !strings.Contains(err.Error(), "M3O_EGRESS_CIDRS") {
		t.Errorf("got %v", err)
	}
	var log bytes.Buffer
	if _, err := openAzure(baseOf(t, &log, config.Settings{}), whole(func(*azureSettings) {})); err != nil || !strings.Contains(log.String(), "first try") {
		t.Errorf("a secret in a file is not warned of: %v, %s", err, log.String())
	}
}
