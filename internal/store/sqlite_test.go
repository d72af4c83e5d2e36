//go:build !postgres

package store_test

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/store"
)

// database returns the URL of a new, empty database. The file's name has characters that mean something in URLs.
func database(t *testing.T) string {
	t.Helper()
	file := url.URL{Scheme: "sqlite", Path: filepath.Join(t.TempDir(), "it's a store?#%20.db")}
	return file.String()
}

func stopServers() {}

func TestFilesThatCannotBeADatabaseAreNamed(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	must(t, os.WriteFile(text, []byte("this is no database, and long enough to be seen as none: 0123456789 0123456789 0123456789"), 0o600))
	for _, path := range []string{text, filepath.Join(dir, "missing", "store.db")} {
		_, err := store.Open(t.Context(), "sqlite://"+path)
		wantFault(t, err, fault.Failed, path)
	}
}

func TestTheFileIsItsOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, "sqlite://"+path)
	must(t, s.Migrate(t.Context()))
	for _, name := range []string{path, path + "-wal"} {
		info, err := os.Stat(name)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", name, info.Mode().Perm())
		}
	}
}
