package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/control"
)

func TestALogLevelIsRefusedUnderTheNameItWasGiven(t *testing.T) {
	for word, want := range map[string]slog.Level{"": slog.LevelInfo, "debug": slog.LevelDebug, "WARN": slog.LevelWarn} {
		if got, err := logLevel("--log-level", word); err != nil || got != want {
			t.Errorf("%q is %v, %v", word, got, err)
		}
	}
	for _, name := range []string{"--log-level", "M3O_LOG_LEVEL"} {
		_, err := logLevel(name, "loud")
		var wrong *misuseError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), name+`: "loud"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHowTemporalIsReachedIsSet: every setting of it has its effect, and what is wrong is said under its name.
func TestHowTemporalIsReachedIsSet(t *testing.T) {
	for _, name := range []string{"CERT_FILE", "KEY_FILE", "CA_FILE", "SERVER_NAME", "API_KEY_FILE", "NAMESPACE"} {
		t.Setenv("M3O_TEMPORAL_"+name, name)
	}
	t.Setenv("M3O_TEMPORAL", "temporal:7233")
	for _, part := range []config.Part{config.API, config.Worker, config.Migrate} {
		at := temporalAt(config.Load(part))
		if at.Address != "temporal:7233" || at.Namespace != "NAMESPACE" || at.Security != (control.Security{CertFile: "CERT_FILE", KeyFile: "KEY_FILE", CAFile: "CA_FILE",
			ServerName: "SERVER_NAME", APIKeyFile: "API_KEY_FILE"}) {
			t.Errorf("%s reaches Temporal by %+v", part.Name, at)
		}
	}
	operator(t)
	for _, name := range []string{"CERT_FILE", "KEY_FILE", "CA_FILE", "SERVER_NAME", "API_KEY_FILE"} {
		t.Setenv("M3O_TEMPORAL_"+name, "")
	}
	t.Setenv("M3O_TEMPORAL", "temporal:7233")
	m3o("migrate").fails(t, exitFailed, "temporal:7233", "plaintext", "M3O_TEMPORAL_CERT_FILE", "M3O_TEMPORAL_API_KEY_FILE", "M3O_TEMPORAL_PLAINTEXT_ALLOW=yes")
	for value, allowed := range map[string]bool{"": false, "no": false, "yes": true} {
		t.Setenv("M3O_TEMPORAL_PLAINTEXT_ALLOW", value)
		if at := temporalAt(config.Load(config.API)); at.Plaintext != allowed {
			t.Errorf("M3O_TEMPORAL_PLAINTEXT_ALLOW=%s: allowed is %t", value, at.Plaintext)
		}
	}
	t.Setenv("M3O_TEMPORAL", "127.0.0.1:1")
	t.Setenv("M3O_TEMPORAL_CERT_FILE", "CERT_FILE")
	m3o("migrate").fails(t, exitFailed, "M3O_TEMPORAL_KEY_FILE must be set")
}
