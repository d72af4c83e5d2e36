//go:build embedded

package dev

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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

// TestPodsAreKeptFromTemporal: neither it nor its UI asks who comes.
func TestPodsAreKeptFromTemporal(t *testing.T) {
	ports, err := NewPorts(100)
	if err != nil {
		t.Fatal(err)
	}
	args := (&run{Config: Config{Ports: ports}}).sandboxArgs()
	at := slices.Index(args, "--closed-ports")
	if at < 0 || at+1 == len(args) || args[at+1] != "7333,8333" {
		t.Errorf("the sandbox is started with %s", strings.Join(args, " "))
	}
}
