package sandbox

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAuthorityStays: who trusts a directory's authority trusts every sandbox that runs there, also after a kill while it was made.
func TestAuthorityStays(t *testing.T) {
	dir := t.TempDir()
	if _, err := openAuthority(dir); err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadFile(AuthorityFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "ca.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key is for others: %v %v", info.Mode(), err)
	}
	client := trusting(t, dir)
	for range 2 {
		authority, err := openAuthority(dir)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := authority.server()
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
		server.StartTLS()
		for _, url := range []string{server.URL, strings.Replace(server.URL, "127.0.0.1", "localhost", 1)} {
			answer, err := client.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
		}
		server.Close()
	}
	if now, err := os.ReadFile(AuthorityFile(dir)); err != nil || !bytes.Equal(now, made) {
		t.Errorf("the certificate is another one: %v", err)
	}
	if err := os.Remove(AuthorityFile(dir)); err != nil { // as a kill after the key leaves it
		t.Fatal(err)
	}
	if _, err := openAuthority(dir); err != nil {
		t.Error(err)
	}
}

func TestForeignAuthorityIsRefused(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	for _, d := range []string{dir, other} {
		if _, err := openAuthority(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(AuthorityFile(other), AuthorityFile(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := openAuthority(dir); err == nil || !strings.Contains(err.Error(), "does not belong to ca.key") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(AuthorityFile(dir), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openAuthority(dir); err == nil || !strings.Contains(err.Error(), "is not a PEM certificate") {
		t.Errorf("got %v", err)
	}
}
