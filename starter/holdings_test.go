package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/fault"
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
