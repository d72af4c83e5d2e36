package image

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/inside"
)

// inner is a server inside that counts its callers.
func inner(t *testing.T) (host string, calls *atomic.Int64) {
	t.Helper()
	calls = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), calls
}

func allowing(t *testing.T, list string) Client {
	t.Helper()
	in, err := inside.Parse(list)
	if err != nil {
		t.Fatal(err)
	}
	return Client{Transport: Outside(in)}
}

func TestAnImageDoesNotLeadInside(t *testing.T) {
	host, calls := inner(t)
	_, port, _ := strings.Cut(host, ":")
	for _, registry := range []string{host, "localhost:" + port, "[::1]:" + port, "0.0.0.0:" + port, "169.254.169.254", "10.0.0.1:" + port, "192.168.1.1"} {
		_, err := allowing(t, "").Resolve(t.Context(), registry+"/a:v1", "amd64")
		if !fault.Is(err, fault.Denied) || !strings.Contains(fault.Message(err), "inside the platform's network") {
			t.Errorf("%s: %v", registry, err)
		}
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("%d calls came through", n)
	}
}

func TestWhatIsListedMayBeInside(t *testing.T) {
	host := serve(t, t.TempDir(), RegistryConfig{})
	_, port, _ := strings.Cut(host, ":")
	if _, err := (Client{}).Push(t.Context(), host+"/a", "v1", randomImage(t)); err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{host, "127.0.0.1", "127.0.0.0/8", "registry.example, " + host, "10.0.0.0/8,127.0.0.0/8"} {
		if _, err := allowing(t, list).Resolve(t.Context(), host+"/a:v1", "amd64"); fault.Is(err, fault.Denied) || fault.Is(err, fault.Unavailable) {
			t.Errorf("%q: %v", list, err)
		}
	}
	for _, list := range []string{"127.0.0.1:1", "10.0.0.0/8", "localhost:" + port} {
		if _, err := allowing(t, list).Resolve(t.Context(), host+"/a:v1", "amd64"); !fault.Is(err, fault.Denied) {
			t.Errorf("%q: %v", list, err)
		}
	}
	for _, list := range []string{"http://localhost:5000", "10.0.0.0/33", "a b"} {
		if _, err := inside.Parse(list); !fault.Is(err, fault.Invalid) {
			t.Errorf("inside.Parse(%q) = %v", list, err)
		}
	}
}

// A registry that may be called sends its callers on.
func TestARegistryDoesNotLeadInside(t *testing.T) {
	at, calls := inner(t)
	_, port, _ := strings.Cut(at, ":")
	victim := "localhost:" + port // the library itself refuses realms that are written as such addresses
	for what, answer := range map[string]http.HandlerFunc{
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" {
				return
			}
			http.Redirect(w, r, "http://"+victim+r.URL.Path, http.StatusTemporaryRedirect)
		},
		"a place for tokens": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="x"`, victim))
			w.WriteHeader(http.StatusUnauthorized)
		},
	} {
		server := httptest.NewServer(answer)
		defer server.Close()
		host := strings.TrimPrefix(server.URL, "http://")
		if _, err := allowing(t, host).Resolve(t.Context(), host+"/a:v1", "amd64"); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), victim) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("%d calls came through", n)
	}
}

func TestAProxyIsUsedAndDoesNotLeadInside(t *testing.T) {
	victim, _ := inner(t)
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = append(asked, r.URL.Host) }))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := Outside(inside.List{}).(*outside)
	transport.proxyFor = func(*http.Request) (bool, error) { return true, nil }
	transport.proxied = &http.Transport{Proxy: http.ProxyURL(at)}
	client := http.Client{Transport: transport}
	if _, err := client.Get("http://registry.invalid/v2/"); err != nil {
		t.Errorf("through the proxy: %v", err)
	}
	if _, err := client.Get("http://" + victim + "/v2/"); !fault.Is(err, fault.Denied) {
		t.Errorf("through the proxy to the inside: %v", err)
	}
	if len(asked) != 1 || asked[0] != "registry.invalid" {
		t.Errorf("the proxy was asked for %q", asked)
	}
}

func TestInsideAddresses(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "127.1.2.3", "::1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "fe80::1", "fd00::1", "0.0.0.0", "::",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "224.0.0.1", "ff02::1", "255.255.255.255", "100.100.100.200", "168.63.129.16", "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1%eth0"} {
		if (inside.List{}).Permits(netip.MustParseAddr(ip)) {
			t.Errorf("%s is permitted", ip)
		}
	}
	for _, ip := range []string{"1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"} {
		if !(inside.List{}).Permits(netip.MustParseAddr(ip)) {
			t.Errorf("%s is refused", ip)
		}
	}
}
