package rest

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// peer is the address that a connection comes from: a caller's, or a proxy's.
func peer(r *http.Request) string {
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return from
}

// trusts reports whether what the address says of others is believed.
func (a *API) trusts(address string) bool {
	ip, err := netip.ParseAddr(strings.TrimSpace(address))
	return err == nil && slices.ContainsFunc(a.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) })
}

// from is where a request comes from: the last address on its way that is no proxy of ours. What lies before that in
// X-Forwarded-For anybody may have written.
func (a *API) from(r *http.Request) string {
	from := peer(r)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && a.trusts(from); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		from = hop.Unmap().String()
	}
	return from
}

// secure reports whether people reach the API over https, whoever ends the TLS: as it was configured, as a proxy of ours says,
// or as we see it.
func (a *API) secure(r *http.Request) bool {
	if r.TLS != nil || strings.HasPrefix(a.PublicURL, "https://") {
		return true
	}
	return a.trusts(peer(r)) && r.Header.Get("X-Forwarded-Proto") == "https"
}
