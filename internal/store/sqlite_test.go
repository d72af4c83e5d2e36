//go:build !postgres

package store_test

import (
	"net/url"
	"path/filepath"
	"testing"
)

// database returns the URL of a new, empty database. The file's name has characters that mean something in URLs.
func database(t *testing.T) string {
	t.Helper()
	file := url.URL{Scheme: "sqlite", Path: filepath.Join(t.TempDir(), "it's a store?#%20.db")}
	return file.String()
}

func stopServers() {}
