//go:build embedded

package dev

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/store"
)

// TestStoreIsInTheDataDirectory opens one whose name has characters that mean something in URLs.
func TestStoreIsInTheDataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's #1? 50%25 a b")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), Config{DataDir: dir}.locate().Store)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "store.db")); err != nil {
		t.Error(err)
	}
}

// TestPodsReachTheRegistryAndOpenPorts, and nothing else on this machine.
func TestPodsReachTheRegistryAndOpenPorts(t *testing.T) {
	ports, err := NewPorts(100)
	if err != nil {
		t.Fatal(err)
	}
	for want, more := range map[string][]int{"5101": nil, "5101,5432,8025": {8025, 5432, 5101, 8025}} {
		args := (&run{Config: Config{Ports: ports, OpenPorts: more}}).sandboxArgs()
		at := slices.Index(args, "--open-ports")
		if at < 0 || at+1 == len(args) || args[at+1] != want {
			t.Errorf("with --open-port %v the sandbox is started with %s", more, strings.Join(args, " "))
		}
	}
}

// TestWhatObeysEverybodyStaysClosedToPods: neither Temporal nor its UI nor the sandbox asks who comes.
func TestWhatObeysEverybodyStaysClosedToPods(t *testing.T) {
	ports, err := NewPorts(100)
	if err != nil {
		t.Fatal(err)
	}
	for port, words := range map[int]string{ports.Temporal: "7333 (Temporal)", ports.UI: "8333 (Temporal UI)", ports.Sandbox: "9100 (sandbox, control routes)",
		ports.Sandbox + 1: "9101 (sandbox, digitalocean)", 0: "0 is not between", 70000: "70000 is not between"} {
		if err := ports.CheckOpen([]int{5432, port}); err == nil || !strings.Contains(err.Error(), "--open-port: "+words) {
			t.Errorf("--open-port %d: %v", port, err)
		}
	}
	if err := ports.CheckOpen(make([]int, 40)); err == nil {
		t.Error("forty ports can be opened")
	}
	if err := ports.CheckOpen([]int{5432, ports.API, ports.Registry}); err != nil {
		t.Error(err)
	}
}

// TestTracesToAClosedPortAreNoted: nobody else would say why none come.
func TestTracesToAClosedPortAreNoted(t *testing.T) {
	for endpoint, want := range map[string]int{"": 0, "http://host.m3o.internal:4318/v1/traces": 4318, "https://host.m3o.internal/v1/traces": 443,
		"http://collector.example:4318/v1/traces": 0, "http://host.m3o.internal:4319/v1/traces": 0} {
		if got := (Config{Traces: Traces{Regions: endpoint}, OpenPorts: []int{4319}}).closedTraces(); got != want {
			t.Errorf("%q: port %d is closed, not %d", endpoint, got, want)
		}
	}
}

// A cloud whose SDK insists on HTTPS is known by the sandbox's own authority.
func TestACloudOverHTTPSComesWithItsAuthority(t *testing.T) {
	plain, tls := NewSandboxCloud("/data/sandbox", "digitalocean", "http://127.0.0.1:9001", 0.01), NewSandboxCloud("/data/sandbox", "digitalocean", "https://127.0.0.1:9004", 0.01)
	if plain.CA != "" || tls.CA != "/data/sandbox/ca.pem" || tls.Credentials != "/data/sandbox/digitalocean.token" || tls.Hour != 36*time.Second {
		t.Errorf("plain %+v, over TLS %+v", plain, tls)
	}
}
