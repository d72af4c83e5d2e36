package gateway

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/m3o/platform/internal/region"
)

// localDomain is the domain of entrypoints on one machine; names under .localhost lead there without any DNS.
const localDomain = "m3o.localhost"

// serviceHeader names the service of a gRPC call, whose path has no room for it.
const serviceHeader = "M3o-Service"

// splitPath takes the service off a path as it was sent. What is left for the service begins with a slash.
func splitPath(escaped string) (service, rest string, ok bool) {
	path, ok := strings.CutPrefix(escaped, "/")
	if !ok {
		return "", "", false
	}
	service, rest, _ = strings.Cut(path, "/")
	return service, "/" + rest, region.IsLabel(service)
}

// target says which service a request is for and what path the service sees.
func target(r *http.Request) (service, prefix, rest string, ok bool) {
	if name := r.Header.Get(serviceHeader); name != "" && isGRPC(r) {
		return name, "", r.URL.EscapedPath(), region.IsLabel(name)
	}
	service, rest, ok = splitPath(r.URL.EscapedPath())
	return service, "/" + service, rest, ok
}

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
