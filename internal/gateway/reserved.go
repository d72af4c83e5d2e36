package gateway

import (
	"net/http"
	"strings"
)

// reserved are the names of headers and trailers that no caller can send to a service. Programs behind a proxy take what stands
// there for the proxy's word: who the caller is, where he is, or which request this is. Only what forward writes reaches a
// service under one of these names. Everything else passes as it came: Authorization and cookies, trace contexts, API keys,
// signatures of webhooks, go-micro's and gRPC's metadata, and whatever a service agrees on with its callers.
var reserved = []struct {
	why      string
	names    []string // whole names
	prefixes []string // what names begin with
}{
	{"the gateway's own, written by forward", []string{"forwarded"}, []string{"x-forwarded", "m3o-", "x-m3o-"}},
	{"address of the caller",
		[]string{"client-ip", "forwarded-for", "proxy-client-ip", "true-client-ip", "wl-proxy-client-ip", "x-client-ip", "x-cluster-client-ip", "x-proxyuser-ip", "x-real-ip"},
		[]string{"cf-", "fastly-", "x-appengine-", "x-azure-"}},
	{"identity of the caller, as proxies that log people in say it",
		[]string{"x-apigateway-api-userinfo", "x-endpoint-api-userinfo", "x-user", "x-username"},
		[]string{"remote-", "tailscale-", "x-amzn-oidc-", "x-anonymous-consumer", "x-auth-request-", "x-authenticated-", "x-authentik-", "x-consumer-",
			"x-credential-", "x-goog-authenticated-user-", "x-goog-iap-", "x-ms-client-principal", "x-pomerium-", "x-remote-", "x-token-user", "x-vouch-",
			"x-webauth-"}},
	{"certificate of the caller, as proxies that end TLS say it", nil,
		[]string{"client-cert", "ssl-client-", "x-amzn-mtls-", "x-arr-", "x-client-cert", "x-client-dn", "x-client-verify", "x-ssl-"}},
	{"identity of a service, as meshes and go-micro say it", nil, []string{"l5d-", "micro-from-", "x-envoy-", "x-istio-", "x-spiffe-"}},
	{"another request than this one", []string{"x-host", "x-rewrite-url"}, []string{"x-original-"}},
	{"a proxy, to programs that take headers for their environment", []string{"proxy"}, nil},
}

var (
	reservedNames    = map[string]bool{}
	reservedPrefixes []string
)

func init() {
	for _, rule := range reserved {
		for _, name := range rule.names {
			reservedNames[name] = true
		}
		reservedPrefixes = append(reservedPrefixes, rule.prefixes...)
	}
}

// passes reports whether a caller may send a header of that name to a service. Names of other characters than letters, digits,
// hyphens and dots never do: some programs take them for another name, most of all an underscore for a hyphen.
func passes(name string) bool {
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '-' && c != '.' {
			return false
		}
	}
	name = strings.ToLower(name)
	if reservedNames[name] {
		return false
	}
	for _, prefix := range reservedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return true
}

// scrub takes out what callers cannot say.
func scrub(h http.Header) {
	for name := range h {
		if !passes(name) {
			delete(h, name)
		}
	}
}
