package image

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/inside"
)

// outside calls what lies outside the network that the platform runs in, and what is allowed inside. References are
// strangers': without it, whoever names an image has us call any address we can reach, and learns from our errors what is
// there. Addresses are looked at when they are dialled, after names were resolved, and so for redirects and for the
// places that registries send their callers to for tokens.
type outside struct {
	inside   inside.List
	proxyFor func(*http.Request) (proxy bool, err error)
	direct   http.RoundTripper
	proxied  http.RoundTripper
}

// Outside is a transport that calls what lies outside and what in lists. The environment's proxies are used, and are
// called wherever they are.
func Outside(in inside.List) http.RoundTripper {
	proxied := remote.DefaultTransport.(*http.Transport).Clone()
	proxied.MaxResponseHeaderBytes = maxHeaders
	direct := proxied.Clone()
	direct.Proxy = nil
	direct.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return in.Dial(ctx, network, address, refused)
	}
	return &outside{inside: in, direct: direct, proxied: proxied, proxyFor: func(req *http.Request) (bool, error) {
		proxy, err := proxied.Proxy(req)
		return proxy != nil, err
	}}
}

// RoundTrip implements http.RoundTripper.
func (o *outside) RoundTrip(req *http.Request) (*http.Response, error) {
	proxied, err := o.proxyFor(req)
	if err != nil {
		return nil, err
	}
	if !proxied {
		return o.direct.RoundTrip(req)
	}
	if err := checkBehindProxy(o.inside, req); err != nil {
		return nil, err
	}
	return o.proxied.RoundTrip(req)
}

// checkBehindProxy refuses what we know to be inside: it is the proxy that resolves and dials. A name that we cannot
// resolve is for the proxy to know.
func checkBehindProxy(in inside.List, req *http.Request) error {
	host, port := req.URL.Hostname(), req.URL.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[req.URL.Scheme]
	}
	address := net.JoinHostPort(host, port)
	if in.Names(address) {
		return nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(req.Context(), "ip", host)
	if err != nil {
		return nil
	}
	if slices.ContainsFunc(ips, func(ip netip.Addr) bool { return !in.Permits(ip) }) {
		return refused(address)
	}
	return nil
}

// refused names what was called and not the address it has, which is not for strangers to know.
func refused(address string) error {
	return fault.New(fault.Denied, "%s lies inside the platform's network, and images are not fetched from there; whoever runs the platform can allow it (M3O_INSIDE_REGISTRIES)", address)
}
