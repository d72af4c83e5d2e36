package gateway

import (
	"net/http"
	"regexp"
	"strings"
)

// hostCookie begins the names of cookies that browsers take only with the path "/".
const hostCookie = "__host-"

// refresh is what stands before the URL in a Refresh header: "5; url=".
var refresh = regexp.MustCompile(`(?i)^\s*[0-9.]*\s*[;,]\s*(?:url\s*=\s*)?["']?`)

// relocate puts the prefix, which the service does not see, before what its answer's header says of its own places: redirects and the
// paths of cookies. Where a service did so itself, because it reads X-Forwarded-Prefix, nothing changes. Bodies pass as they are.
func (c *call) relocate(h http.Header, host string) {
	if c.prefix == "" {
		return
	}
	for i, value := range h["Location"] {
		h["Location"][i] = c.redirect(value, host)
	}
	for i, value := range h["Content-Location"] {
		h["Content-Location"][i] = c.within(value, host)
	}
	for i, value := range h["Refresh"] {
		if at := refresh.FindStringIndex(value); at != nil {
			target := strings.TrimRight(value[at[1]:], `"' `)
			h["Refresh"][i] = value[:at[1]] + c.within(target, host) + value[at[1]+len(target):]
		}
	}
	for i, value := range h["Set-Cookie"] {
		h["Set-Cookie"][i] = c.cookie(value)
	}
}

// redirect is where the caller is sent. To whoever reads a page, one that leads to the page itself would lead nowhere: there a path of the
// service's own begins as the prefix does, as "/docs/" of a service with the name "docs".
func (c *call) redirect(reference, host string) string {
	site, path := splitReference(reference)
	if to, _, _ := strings.Cut(path, "#"); c.reads != "" && to == c.reads && c.ours(site, host) {
		return site + c.prefix + path
	}
	return c.within(reference, host)
}

// within is a reference to a place of the service as the caller has to write it. References that are relative, and those to other
// hosts than the one that the caller used, are right as they are.
func (c *call) within(reference, host string) string {
	site, path := splitReference(reference)
	switch {
	case site == "" && !strings.HasPrefix(path, "/"), !c.ours(site, host), c.covers(path):
		return reference
	case site != "" && !strings.HasPrefix(path, "/"): // it has no path
		path = "/" + path
	}
	return site + c.prefix + path
}

// ours reports whether a site, "" for none, is where the caller or the service is.
func (c *call) ours(site, host string) bool {
	return site == "" || sameHost(site, host) || sameHost(site, c.host)
}

// covers reports whether the path has the prefix.
func (c *call) covers(path string) bool {
	rest, ok := strings.CutPrefix(path, c.prefix)
	return ok && (rest == "" || strings.IndexByte("/?#", rest[0]) >= 0)
}

// splitReference takes scheme and host off a reference that has them: "http://host/path", "//host/path".
func splitReference(reference string) (site, path string) {
	start := 0
	switch {
	case strings.HasPrefix(reference, "//"):
		start = len("//")
	case len(reference) > 7 && strings.EqualFold(reference[:7], "http://"):
		start = len("http://")
	case len(reference) > 8 && strings.EqualFold(reference[:8], "https://"):
		start = len("https://")
	default:
		return "", reference
	}
	if end := strings.IndexAny(reference[start:], "/?#"); end >= 0 {
		return reference[:start+end], reference[start+end:]
	}
	return reference, ""
}

// sameHost reports whether the site is on the host. Ports that go without saying may be left out on either side.
func sameHost(site, host string) bool {
	scheme, name, _ := strings.Cut(site, "//")
	port := ":80"
	if strings.EqualFold(scheme, "https:") {
		port = ":443"
	}
	return host != "" && strings.EqualFold(strings.TrimSuffix(name, port), strings.TrimSuffix(host, port))
}

// cookie is a cookie that the browser sends back to this service alone, as far as the service wanted that. Without a path browsers take
// the folder of the URL, which is right but for the prefix itself without a slash: its folder holds all services.
func (c *call) cookie(line string) string {
	if len(line) > len(hostCookie) && strings.EqualFold(line[:len(hostCookie)], hostCookie) {
		return line
	}
	parts, at, path := strings.Split(line, ";"), 0, ""
	for i, part := range parts[1:] {
		if name, value, _ := strings.Cut(part, "="); strings.EqualFold(strings.TrimSpace(name), "path") {
			at, path = i+1, strings.TrimSpace(value) // the last one counts
		}
	}
	switch {
	case !strings.HasPrefix(path, "/") && c.bare:
		return line + "; Path=" + c.prefix
	case !strings.HasPrefix(path, "/"), c.covers(path):
		return line
	case path == "/":
		path = "" // "/hello" covers "/hello" and all below it, "/hello/" only what is below
	}
	parts[at] = " Path=" + c.prefix + path
	return strings.Join(parts, ";")
}
