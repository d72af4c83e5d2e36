package image

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/fault"
)

func TestWritersNeedThePassword(t *testing.T) {
	host := serve(t, t.TempDir(), RegistryConfig{Password: "open sesame"})
	img := randomImage(t)
	owner := Client{Own: host, Password: "open sesame"}
	ref, err := owner.Push(t.Context(), host+"/a", "v1", img)
	if err != nil {
		t.Fatal(err)
	}
	pull(t, ref) // by digest anybody may
	for what, c := range map[string]Client{"nobody": {}, "a wrong password": {Own: host, Password: "sesame"}, "another registry's owner": {Own: "127.0.0.1:1", Password: "open sesame"}} {
		if _, err := c.Push(t.Context(), host+"/a", "v1", randomImage(t)); !fault.Is(err, fault.Denied) {
			t.Errorf("%s pushes: %v", what, err)
		}
		if _, err := c.Resolve(t.Context(), host+"/a:v1", "amd64"); !fault.Is(err, fault.Denied) {
			t.Errorf("%s reads a tag: %v", what, err)
		}
	}
	for _, path := range []string{"/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/v1"} {
		if got := request(t, "GET", "http://"+host+path, "", nil).StatusCode; got != http.StatusUnauthorized {
			t.Errorf("%s = %d", path, got)
		}
	}
	for _, method := range []string{"PUT", "DELETE"} {
		if got := request(t, method, "http://"+host+"/v2/a/manifests/"+digest(t, img), "", nil).StatusCode; got != http.StatusUnauthorized {
			t.Errorf("%s by digest = %d", method, got)
		}
	}
	if got := digest(t, pull(t, ref)); got != digest(t, img) {
		t.Errorf("digest = %s", got)
	}
	if _, ok, err := owner.Has(t.Context(), host+"/a:v1"); !ok || err != nil {
		t.Errorf("the owner reads the tag: %v, %v", ok, err)
	}
}

// A registry elsewhere on the loopback, named by a stranger, does not learn the password.
func TestThePasswordGoesToItsRegistryAlone(t *testing.T) {
	var heard []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard = append(heard, r.Header.Get("Authorization"))
		http.Error(w, "no", http.StatusUnauthorized)
	}))
	defer other.Close()
	c := Client{Own: "127.0.0.1:5001", Password: "open sesame"}
	if _, err := c.Resolve(t.Context(), strings.TrimPrefix(other.URL, "http://")+"/x:v1", "amd64"); !fault.Is(err, fault.Denied) {
		t.Errorf("Resolve = %v", err)
	}
	for _, h := range heard {
		if h != "" {
			t.Errorf("it heard %q", h)
		}
	}
}
