package gateway

import (
	"context"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/release"
)

// claims are headers in which a stranger says who he is, where he is, or what he asks for.
var claims = []string{
	"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token", "X-Forwarded-Client-Cert",
	"X-Forwarded-Ssl", "X-Forwarded-Scheme", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded",
	"True-Client-IP", "CF-Connecting-IP", "Cf-Connecting-Ipv6", "Cf-Access-Jwt-Assertion", "Fastly-Client-IP", "X-Real-IP", "X-Client-IP", "Client-IP",
	"X-Cluster-Client-IP", "X-ProxyUser-Ip", "X-Azure-ClientIP", "X-Appengine-User-Ip", "Wl-Proxy-Client-Ip", "Forwarded-For",
	"X-Original-URL", "X-Original-Host", "X-Original-Uri", "X-Original-Forwarded-For", "X-Rewrite-URL", "X-Host",
	"Remote-User", "Remote-Groups", "X-Remote-User", "X-Remote-Group", "X-Remote-Extra-Scopes", "X-Webauth-User", "X-Auth-Request-User", "X-Auth-Request-Email",
	"X-Authenticated-User", "X-Authentik-Username", "X-Consumer-Username", "X-Credential-Identifier", "X-Goog-Authenticated-User-Email",
	"X-Goog-Iap-Jwt-Assertion", "X-Amzn-Oidc-Data", "X-Ms-Client-Principal", "X-Ms-Client-Principal-Name", "X-Pomerium-Claim-Email", "Tailscale-User-Login", "X-User",
	"Client-Cert", "Client-Cert-Chain", "X-Client-Cert", "X-Client-Dn", "X-SSL-Client-Cert", "Ssl-Client-Verify", "X-ARR-ClientCert", "X-Amzn-Mtls-Clientcert",
	"X-Envoy-Original-Path", "X-Envoy-Internal", "L5d-Client-Id", "Micro-From-Service", "X-Spiffe-Id", "M3o-Service", "M3o-User", "X-M3o-Project", "Proxy",
	"X_Forwarded_User", "X_Real_Ip", "Remote_User", "X-Forwarded_For", "Content_Length", "user_id",
}

// agreed are headers that services and their callers may well need.
var agreed = []string{
	"Authorization", "Cookie", "Accept", "Content-Type", "Origin", "Referer", "User-Agent", "X-User-Agent", "X-Api-Key", "X-Csrf-Token", "X-Requested-With",
	"Idempotency-Key", "If-None-Match", "Traceparent", "Tracestate", "Baggage", "X-B3-Traceid", "X-Amzn-Trace-Id", "X-Correlation-Id", "X-Hub-Signature-256",
	"Stripe-Signature", "X-Http-Method-Override", "Micro-Service", "Micro-Endpoint", "Micro-Id", "Grpc-Timeout", "X-Client-Info", "X-Client-Version", "Via",
	"Sec-Fetch-Site", "X-Original", "X-Confirm", "Clientele",
}

// TestStrangersClaimsDoNotReachServices: what a service sees of the caller and of the request is the gateway's word, whatever is
// sent, and however the gateway is told to drop what it writes itself.
func TestStrangersClaimsDoNotReachServices(t *testing.T) {
	w := newWorld(t, nil)
	seen := make(chan http.Header, 1)
	w.service(greet, release.Public)
	w.run(greet, 1, address(program(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header })), public)
	w.awaitReady()
	for _, connection := range []string{"", "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded, X-Request-Id, X-Forwarded-Prefix, close"} {
		r, _ := http.NewRequest(http.MethodGet, w.url+"/hello/", nil)
		for _, name := range append(claims, "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix", "Forwarded") {
			r.Header[name] = []string{"a stranger's"}
		}
		for _, name := range agreed {
			r.Header.Set(name, "agreed")
		}
		if connection != "" {
			r.Header.Set("Connection", connection)
		}
		if got := w.do(r, ""); got.status != http.StatusOK {
			t.Fatalf("got %+v", got)
		}
		in := <-seen
		for name, values := range in {
			if strings.Contains(strings.Join(values, " "), "stranger") {
				t.Errorf("with Connection: %s the service sees %s: %s", connection, name, values)
			}
		}
		for _, name := range agreed {
			if in.Get(name) != "agreed" {
				t.Errorf("with Connection: %s the service sees %s: %q", connection, name, in.Get(name))
			}
		}
		for name, want := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http",
			"X-Forwarded-Host": strings.TrimPrefix(w.url, "http://"), "X-Forwarded-Prefix": "/hello"} {
			if got := in[name]; len(got) != 1 || got[0] != want {
				t.Errorf("with Connection: %s the service sees %s: %q, not %q", connection, name, got, want)
			}
		}
		if len(in.Get("X-Request-Id")) == 0 || !strings.HasPrefix(in.Get("Forwarded"), "for=127.0.0.1;") {
			t.Errorf("with Connection: %s the service sees %v", connection, in)
		}
	}
}

// TestTrailersMakeNoClaims: some programs merge them into the header.
func TestTrailersMakeNoClaims(t *testing.T) {
	w := newWorld(t, nil)
	seen := make(chan []string, 1)
	w.service(greet, release.Public)
	w.run(greet, 1, address(program(t, func(_ http.ResponseWriter, r *http.Request) {
		var names []string
		for name := range r.Trailer {
			names = append(names, name)
		}
		seen <- names
	})), public)
	w.awaitReady()
	r, _ := http.NewRequest(http.MethodPost, w.url+"/hello/", strings.NewReader("body"))
	r.ContentLength = -1
	r.Trailer = http.Header{"X-Forwarded-User": {"a stranger's"}, "X-Checksum": {"1"}}
	if got := w.do(r, ""); got.status != http.StatusOK {
		t.Fatalf("got %+v", got)
	}
	if names := <-seen; len(names) != 1 || names[0] != "X-Checksum" {
		t.Errorf("the service sees the trailers %v", names)
	}
}

// FuzzClaims: whatever a header is called, a service does not take it for one that the gateway vouches for.
func FuzzClaims(f *testing.F) {
	for _, name := range append(append([]string{}, claims...), agreed...) {
		f.Add(name)
	}
	f.Add("X-FORWARDED-USER")
	f.Add("x-forwarded-\u212aey")
	claimed := map[string]bool{}
	for _, name := range claims {
		claimed[environment(name)] = true
	}
	g := &Gateway{}
	f.Fuzz(func(t *testing.T, name string) {
		in := (&http.Request{Method: http.MethodGet, RemoteAddr: "10.1.2.3:4000", Host: "here", Header: http.Header{name: {"a stranger's"}}}).WithContext(context.WithValue(t.Context(), callKey{},
			&call{id: "id", target: target{path: "/", prefix: "/hello"}}))
		out := &httputil.ProxyRequest{In: in, Out: in.Clone(in.Context())}
		out.In.URL, out.Out.URL = &url.URL{}, &url.URL{}
		g.rewrite(out)
		for _, ours := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "Forwarded", requestID} {
			if values := out.Out.Header[ours]; len(values) != 1 || strings.Contains(values[0], "stranger") {
				t.Errorf("%q makes %s: %q", name, ours, values)
			}
			claimed[environment(ours)] = true
		}
		for sent, values := range out.Out.Header {
			if values[0] == "a stranger's" && (claimed[environment(sent)] || strings.ContainsRune(sent, '_') || strings.HasPrefix(environment(sent), "HTTP_X_FORWARDED")) {
				t.Errorf("%q reaches the service as %q", name, sent)
			}
		}
	})
}

// environment is what a program that takes headers for its environment reads.
func environment(name string) string {
	return "HTTP_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}
