package gateway

import (
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// requestID is the header that names a request from end to end.
const requestID = "X-Request-Id"

const maxRequestID = 128

// identify takes the caller's request id if it is a sane one, or makes one.
func identify(r *http.Request) string {
	if id := r.Header.Get(requestID); id != "" && len(id) <= maxRequestID && sane(id) {
		return id
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

func sane(id string) bool {
	for _, c := range []byte(id) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte("-_.:/+=@", c) < 0 {
			return false
		}
	}
	return true
}

// forward tells the service who asked and by which name, in out, which holds nothing that the caller says about that. That is
// believed only when he is one of the trusted proxies.
func (g *Gateway) forward(in *http.Request, out http.Header, prefix string) {
	peer, _, err := net.SplitHostPort(in.RemoteAddr)
	if err != nil {
		peer = "unknown"
	}
	chain, proto, host := peer, "http", in.Host
	if g.trusted(peer) {
		if before := strings.Join(in.Header["X-Forwarded-For"], ", "); before != "" {
			chain = before + ", " + peer
		}
		if p := in.Header.Get("X-Forwarded-Proto"); p == "https" {
			proto = p
		}
		if h := in.Header.Get("X-Forwarded-Host"); h != "" {
			host = h
		}
	}
	out["X-Forwarded-For"] = []string{chain}
	out["X-Forwarded-Proto"] = []string{proto}
	out["X-Forwarded-Host"] = []string{host}
	if prefix != "" {
		out["X-Forwarded-Prefix"] = []string{prefix}
	}
	out["Forwarded"] = []string{forwarded(peer, host, proto)}
}

// forwarded writes our own element of RFC 7239, without those of the callers, whose form we would have to vouch for.
func forwarded(peer, host, proto string) string {
	if strings.Contains(peer, ":") {
		peer = `"[` + peer + `]"`
	}
	if strings.ContainsAny(host, `"\`) {
		return "for=" + peer + ";proto=" + proto
	}
	return "for=" + peer + `;host="` + host + `";proto=` + proto
}

func (g *Gateway) trusted(peer string) bool {
	if len(g.config.TrustedProxies) == 0 {
		return false
	}
	ip, err := netip.ParseAddr(peer)
	if err != nil {
		return false
	}
	for _, prefix := range g.config.TrustedProxies {
		if prefix.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}
