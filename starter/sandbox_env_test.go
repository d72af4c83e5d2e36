//go:build embedded

package main

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// sandboxOf runs the sandbox clouds on the user's data directory, without clusters, until stop is called.
func sandboxOf(t *testing.T, dir string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- sandbox.Run(ctx, sandbox.Config{Dir: filepath.Join(dir, "sandbox"), BasePort: sandbox.AnyPort, TimeScale: 0.001,
			Clusters: clusterstest.New(1), Logger: slog.New(slog.DiscardHandler), Ready: func(sandbox.Endpoints) { close(ready) }})
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestSandboxEnvLeadsClientsToTheSandbox: what is printed, taken by a shell, is what a client needs.
func TestSandboxEnvLeadsClientsToTheSandbox(t *testing.T) {
	user(t)
	if err := os.Mkdir(defaultDataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	m3o("sandbox", "env", "digitalocean").fails(t, exitFailed, "no sandbox runs on", filepath.Join(defaultDataDir, "sandbox"), "m3o dev")
	stop := sandboxOf(t, defaultDataDir)
	m3o("sandbox", "env", "nowhere").fails(t, exitFailed, `provider "nowhere" is none of the sandbox's: digitalocean`)
	shell := exec.Command("sh", "-c", m3o("sandbox", "env", "digitalocean").must(t).out+`echo "$DIGITALOCEAN_API_URL $DIGITALOCEAN_TOKEN $DIGITALOCEAN_ACCESS_TOKEN $DIGITALOCEAN_END_POINT"`)
	out, err := shell.Output()
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Fields(string(out))
	if len(said) != 4 || said[1] != said[2] || said[3] != said[0]+"/v2/" {
		t.Fatalf("the shell has %q", out)
	}
	client, err := godo.New(nil, godo.SetBaseURL(said[0]), godo.SetRequestHeaders(map[string]string{"Authorization": "Bearer " + said[1]}))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.Account.Get(t.Context()); err != nil {
		t.Error(err)
	}
	stop()
	m3o("sandbox", "env", "digitalocean").fails(t, exitFailed, "no sandbox runs on")
	if left, err := os.ReadDir("."); err != nil || len(left) != 1 {
		t.Errorf("outside of the data directory there is %v, %v", left, err)
	}
}

func TestWordsOfAShell(t *testing.T) {
	for _, text := range []string{"", "plain", `it's $HOME "and" \n`, "two\nlines"} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellQuoted(text)).Output()
		if err != nil || string(out) != text {
			t.Errorf("%q became %q, %v", text, out, err)
		}
	}
}
