package image

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/m3o/platform/internal/fault"
)

// Inside lists what callers may reach although it lies inside the network that the platform runs in.
type Inside struct {
	hosts    []string // "host" or "host:port"
	networks []netip.Prefix
}

// ParseInside reads a list of hosts ("registry.example", "localhost:5000") and networks ("10.1.0.0/16") with commas between.
func ParseInside(list string) (Inside, error) {
	var in Inside
	for item := range strings.SplitSeq(list, ",") {
		item = strings.ToLower(strings.TrimSpace(item))
		if network, err := netip.ParsePrefix(item); err == nil {
			in.networks = append(in.networks, network.Masked())
			continue
		}
		if strings.ContainsAny(item, "/@ ") {
			return Inside{}, fault.New(fault.Invalid, "%q is neither HOST, HOST:PORT nor a network like 10.1.0.0/16", item)
		}
		if item != "" {
			in.hosts = append(in.hosts, item)
		}
	}
	return in, nil
}

// names reports whether the list names what is called, whatever address that has.
func (in Inside) names(address string) bool {
	address = strings.ToLower(address)
	host, _, err := net.SplitHostPort(address)
	return slices.Contains(in.hosts, address) || err == nil && slices.Contains(in.hosts, host)
}

// permits reports whether the address lies outside, or in a network of the list.
func (in Inside) permits(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	holds := func(network netip.Prefix) bool { return network.Contains(ip) }
	if slices.ContainsFunc(in.networks, holds) {
		return true
	}
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !slices.ContainsFunc(special, holds)
}

// special are networks that no public registry is in, beside those that netip knows of: a provider's own, and ways to
// write an inner IPv4 address as one of IPv6.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),    // between a provider and its customers; some clouds' metadata
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's machines' own services
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

// outside calls what lies outside the network that the platform runs in, and what is allowed inside. References are
// strangers': without it, whoever names an image has us call any address we can reach, and learns from our errors what is
// there. Addresses are looked at when they are dialled, after names were resolved, and so for redirects and for the
// places that registries send their callers to for tokens.
type outside struct {
	inside   Inside
	proxyFor func(*http.Request) (proxy bool, err error)
	direct   http.RoundTripper
	proxied  http.RoundTripper
}

// Outside is a transport that calls what lies outside and what in lists. The environment's proxies are used, and are
// called wherever they are.
func Outside(in Inside) http.RoundTripper {
	proxied := remote.DefaultTransport.(*http.Transport).Clone()
	proxied.MaxResponseHeaderBytes = maxHeaders
	direct := proxied.Clone()
	direct.Proxy, direct.DialContext = nil, in.dial
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
	if err := o.inside.checkBehindProxy(req); err != nil {
		return nil, err
	}
	return o.proxied.RoundTrip(req)
}

// checkBehindProxy refuses what we know to be inside: it is the proxy that resolves and dials. A name that we cannot
// resolve is for the proxy to know.
func (in Inside) checkBehindProxy(req *http.Request) error {
	host, port := req.URL.Hostname(), req.URL.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[req.URL.Scheme]
	}
	address := net.JoinHostPort(host, port)
	if in.names(address) {
		return nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(req.Context(), "ip", host)
	if err != nil {
		return nil
	}
	if slices.ContainsFunc(ips, func(ip netip.Addr) bool { return !in.permits(ip) }) {
		return refused(address)
	}
	return nil
}

const dialTime = 30 * time.Second

// dial connects as a net.Dialer does, but for addresses that are not permitted.
func (in Inside) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTime, KeepAlive: dialTime}
	if in.names(address) {
		return dialer.DialContext(ctx, network, address)
	}
	dialer.Control = func(_, resolved string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(resolved)
		if err != nil || !in.permits(at.Addr()) {
			return errors.Join(refused(address), err)
		}
		return nil
	}
	return dialer.DialContext(ctx, network, address)
}

// refused names what was called and not the address it has, which is not for strangers to know.
func refused(address string) error {
	return fault.New(fault.Denied, "%s lies inside the platform's network, and images are not fetched from there; whoever runs the platform can allow it (M3O_INSIDE_REGISTRIES)", address)
}
