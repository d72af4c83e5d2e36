package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/telemetry"
)

// baseOf is what a worker with these settings is opened on; it logs there.
func baseOf(t *testing.T, log io.Writer, told config.Settings) *base {
	t.Helper()
	signals, err := telemetry.Setup(t.Context(), telemetry.Settings{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return &base{settings: told, signals: signals}
}

func TestAWSIsReachedByItsSettings(t *testing.T) {
	at := sandboxedCloud(t, "aws")
	var log bytes.Buffer
	settings := awsSettings{URL: at.URL, CredentialsFile: at.Credentials, Hour: at.Hour.String()}
	provider, err := openAWS(baseOf(t, &log, config.Settings{}), settings)
	if err != nil {
		t.Fatal(err)
	}
	want := region.Spec{Platform: "micro", Name: "use1", Provider: region.AWS, Location: "us-east-1", Access: []string{"203.0.113.0/24"}}
	p, err := provider.Preflight(t.Context(), want, nil)
	if err != nil || len(p.Obstacles) > 0 || p.Kubernetes.Nodes.Size == "" || !strings.Contains(strings.Join(p.Warnings, ""), "M3O_EGRESS_CIDRS") {
		t.Errorf("preflight: %+v, %v", p, err)
	}
	if strings.Contains(log.String(), "first try") {
		t.Errorf("the sandbox's keys are warned of: %s", log.String())
	}
	if provider, err = openAWS(baseOf(t, io.Discard, config.Settings{Egress: "198.51.100.7/32"}), settings); err != nil {
		t.Fatal(err)
	}
	if p, err := provider.Preflight(t.Context(), want, nil); err != nil || len(p.Warnings) > 0 {
		t.Errorf("it is known where the workers are: %+v, %v", p, err)
	}
}

func TestWhatIsWrongWithAWSsSettingsIsNamed(t *testing.T) {
	keys, none := filepath.Join(t.TempDir(), "credentials"), filepath.Join(t.TempDir(), "empty")
	for file, text := range map[string]string{keys: "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = verysecret\n", none: "[other]\naws_access_key_id = AKIAEXAMPLE\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for want, settings := range map[string]awsSettings{
		"M3O_AWS_HOUR":                       {CredentialsFile: keys, Hour: "soon"},
		"M3O_AWS_CREDENTIALS_FILE: the file": {CredentialsFile: filepath.Join(t.TempDir(), "absent")},
		"no profile default":                 {CredentialsFile: none},
		`"ftp://x" is not the base URL`:      {CredentialsFile: keys, URL: "ftp://x"},
	} {
		_, err := openAWS(baseOf(t, io.Discard, config.Settings{}), settings)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "verysecret") {
			t.Errorf("want %q, got %v (kind %s)", want, err, fault.Of(err))
		}
	}
	var log bytes.Buffer
	if _, err := openAWS(baseOf(t, &log, config.Settings{}), awsSettings{CredentialsFile: keys}); err != nil || !strings.Contains(log.String(), "M3O_AWS_CREDENTIALS_FILE") {
		t.Errorf("keys in a file are not warned of: %q, %v", log.String(), err)
	}
}
