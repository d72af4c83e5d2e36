//go:build embedded

package dev

import (
	"os"
	"path/filepath"
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
