package rest_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/telemetry"
)

// TestTroubleIsLoggedInItsTrace: who is told that the log says what went wrong must be able to find the line.
func TestTroubleIsLoggedInItsTrace(t *testing.T) {
	var lines bytes.Buffer
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	_, err := telemetry.Setup(t.Context(), telemetry.Settings{Log: &lines})
	must(t, err)
	s := newSite(t)
	s.commands.failing["DeployService"] = errors.New("the reason")
	r := s.do("POST", "/v1/services/hello/releases", `{"image": "x"}`, as("admin"), header{"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
	if got := lines.String(); r.status != 500 || !strings.Contains(got, "the reason") || !strings.Contains(got, "trace_id=0af7651916cd43dd8448eb211c80319c") {
		t.Errorf("answered %d, logged %s", r.status, got)
	}
}
