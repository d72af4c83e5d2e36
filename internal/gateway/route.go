package gateway

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// localDomain is the domain of entrypoints on one machine; names under .localhost lead there without any DNS.
const localDomain = "m3o.localhost"

// serviceHeader names the service of a gRPC call, whose path has no room for it.
const serviceHeader = "M3o-Service"

// target is what a request asks for.
type target struct {
	segment string // how it names the service: "till", or "till--shop"
	prefix  string // taken off the path, "" when nothing was
	path    string // what the service sees, escaped
	bare    bool   // the path was the prefix alone, without a slash
}

// targetOf reads the target from the path as it was sent, or from the metadata of a gRPC call. What is left of the path for the service
// begins with a slash.
func targetOf(r *http.Request) target {
	escaped := r.URL.EscapedPath()
	if name := r.Header.Get(serviceHeader); name != "" && isGRPC(r) {
		return target{segment: name, path: escaped}
	}
	segment, rest, slash := strings.Cut(strings.TrimPrefix(escaped, "/"), "/")
	if !strings.HasPrefix(escaped, "/") {
		segment = ""
	}
	return target{segment: segment, prefix: "/" + segment, path: "/" + rest, bare: !slash}
}

// service is the service that the target names, without a project where it names none; false where there can be no such service.
func (t target) service() (release.Key, bool) { return release.ParseSegment(t.segment) }

// projectOf reads the project from a host <project>.api.<domain>. Other hosts name none; a host that names one in a way
// no project can be called is refused.
func projectOf(host, domain string) (project string, ok bool) {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	for _, d := range []string{domain, localDomain} {
		name, found := strings.CutSuffix(host, ".api."+d)
		if found && d != "" {
			return name, region.IsLabel(name)
		}
	}
	return "", true
}

// setPath gives a URL the path as it was sent, and its decoded form.
func setPath(u *url.URL, escaped string) bool {
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return false
	}
	u.Path, u.RawPath = path, escaped // without RawPath some characters would be escaped that were not
	return true
}
