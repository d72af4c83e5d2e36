// Package hosts keeps web pages away from servers that trust whoever reaches them. A page can make its own name stand for an
// address of this machine and then call what listens there as its own origin (DNS rebinding); what gives it away is the Host of
// its requests. A page of another origin is given away by what browsers say of its requests.
//
// It is not about who calls: that is the handler's. Servers on the loopback and the API use it. It imports the standard library
// alone.
package hosts

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Guard says by which names a server is called.
type Guard struct {
	// Names are those beside localhost, what ends in .localhost, and the loopback's addresses.
	Names []string
	// Addresses allows every IP address: no page has the address of a server of ours for its origin.
	Addresses bool
	// Origins are other origins whose pages may change something: "http://127.0.0.1:8233".
	Origins []string
}

var name = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Parse reads names with commas between them.
func Parse(text string) ([]string, error) {
	var names []string
	for part := range strings.SplitSeq(text, ",") {
		part = strings.ToLower(strings.TrimSpace(part))
		if part == "" {
			continue
		}
		if len(part) > 253 || !name.MatchString(part) {
			return nil, fmt.Errorf("%q is not the name of a host, such as api.example.com, without scheme and port", part)
		}
		names = append(names, part)
	}
	return names, nil
}

// Handler answers what is asked of one of the guard's names, and refuses the rest.
func (g Guard) Handler(next http.Handler) (http.Handler, error) {
	origins := http.NewCrossOriginProtection()
	for _, origin := range g.Origins {
		if err := origins.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.named(r.Host) {
			refuse(w, http.StatusMisdirectedRequest, fmt.Sprintf("nothing here is called %q; this server is called %s", r.Host, g))
			return
		}
		if err := origins.Check(r); err != nil {
			refuse(w, http.StatusForbidden, fmt.Sprintf("a page of %q changes nothing here", r.Header.Get("Origin")))
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}

// named reports whether the Host of a request is ours.
func (g Guard) named(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err == nil {
		return g.Addresses || address.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(g.Names, host)
}

// String lists the names.
func (g Guard) String() string {
	names := append(slices.Clone(g.Names), "localhost", "127.0.0.1")
	if g.Addresses {
		names = append(names, "its other addresses")
	}
	return strings.Join(names, ", ")
}

// refuse answers with a problem document (RFC 9457).
func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail}) // a caller who went away
}
