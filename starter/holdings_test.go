package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/telemetry"
)

func TestBuildsCallTheirOwnRegistryAndListedOnesInside(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for what, c := range map[string]struct {
		settings config.Settings
		denied   bool
	}{
		"another":         {config.Settings{Registry: "127.0.0.1:1"}, true},
		"our own":         {config.Settings{Registry: host + "/images"}, false},
		"a listed one":    {config.Settings{InsideRegistries: "10.0.0.0/8, " + host}, false},
		"a developer's":   {config.Settings{InsideRegistries: "127.0.0.0/8,::1/128"}, false},
		"another network": {config.Settings{InsideRegistries: "10.0.0.0/8"}, true},
	} {
		transport, err := registries(c.settings)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := transport.RoundTrip(req)
		if err == nil {
			answer.Body.Close()
		}
		if fault.Is(err, fault.Denied) != c.denied || !c.denied && err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := registries(config.Settings{InsideRegistries: "http://x"}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "M3O_INSIDE_REGISTRIES") {
		t.Errorf("err = %v", err)
	}
}

func TestACloudsLimitsAreSettings(t *testing.T) {
	requests, period, err := limit("M3O_DIGITALOCEAN_LIMIT", "20000/30m", 5000, time.Hour)
	if err != nil || requests != 20000 || period != 30*time.Minute {
		t.Errorf("got %d in %s, %v", requests, period, err)
	}
	if requests, period, err = limit("M3O_DIGITALOCEAN_LIMIT", "", 5000, time.Hour); err != nil || requests != 5000 || period != time.Hour {
		t.Errorf("by default %d in %s, %v", requests, period, err)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	signals, err := telemetry.Setup(t.Context(), telemetry.Settings{Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]struct{ limit, workers string }{
		`M3O_DIGITALOCEAN_LIMIT: "many"`:                {limit: "many"},
		`M3O_DIGITALOCEAN_LIMIT: "0/1h"`:                {limit: "0/1h"},
		`M3O_DIGITALOCEAN_LIMIT: "5000/1ns"`:            {limit: "5000/1ns"},
		`M3O_WORKERS: "0" is no number`:                 {workers: "0"},
		`M3O_WORKERS: "two" is no number`:               {workers: "two"},
		"M3O_WORKERS: 200 workers leave each too small": {workers: "200"},
	} {
		b := &base{settings: config.Settings{Workers: c.workers}, signals: signals}
		if _, err := openDigitalOcean(b, digitalOceanSettings{TokenFile: token, Limit: c.limit}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
