//go:build embedded

package dev

import (
	"slices"
	"testing"
)

// TestProcessesKnowWhereTracesGo: what runs in this process is given the settings, what runs as a child its environment.
func TestProcessesKnowWhereTracesGo(t *testing.T) {
	s := Config{DataDir: t.TempDir(), Traces: Traces{Platform: "http://here:4318/v1/traces", Regions: "http://there:4318/v1/traces"}}.locate()
	for _, want := range []string{"M3O_OTLP_ENDPOINT=http://here:4318/v1/traces", "M3O_REGION_OTLP_ENDPOINT=http://there:4318/v1/traces"} {
		if !slices.Contains(s.Environ(), want) {
			t.Errorf("the environment lacks %s", want)
		}
	}
	if s := (Config{DataDir: t.TempDir()}).locate(); s.Endpoint != "" || s.RegionTrace != "" {
		t.Errorf("by default traces go to %q and %q", s.Endpoint, s.RegionTrace)
	}
}
