package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
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
