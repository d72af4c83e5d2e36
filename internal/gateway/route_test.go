package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/region"
)

func FuzzTarget(f *testing.F) {
	for _, seed := range []string{"/hello/world", "/hello", "/", "", "*", "//hello", "/hello//x", "/hello%2Fworld", "/hello/a%2Fb", "/../hello", "/hello/../x", "/-/healthz", "/hello/%", "/héllo/", "/till--shop/x", "/till---shop/", "/a--b--c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.ParseRequestURI(raw)
		if err != nil {
			return
		}
		r := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}
		to := targetOf(r)
		key, ok := to.service()
		if !ok {
			return
		}
		prefix, rest := to.prefix, to.path
		if !region.IsLabel(key.Name) || key.Project != "" && !region.IsLabel(key.Project) || prefix != "/"+to.segment || !strings.HasPrefix(rest, "/") {
			t.Fatalf("%q: service %+v, prefix %q, rest %q", raw, key, prefix, rest)
		}
		if key.Project == "" && prefix != "/"+key.Name || key.Project != "" && prefix != "/"+key.Name+"--"+key.Project {
			t.Fatalf("%q: the prefix %q is read as %+v", raw, prefix, key)
		}
		if whole := u.EscapedPath(); prefix+rest != whole && prefix != whole {
			t.Fatalf("%q: %q and %q are not the whole of %q", raw, prefix, rest, whole)
		}
		out := *u
		if !setPath(&out, rest) {
			t.Fatalf("%q: the rest %q cannot be sent on", raw, rest)
		}
		if got := out.EscapedPath(); got != rest {
			t.Fatalf("%q: the service would see %q, not %q", raw, got, rest)
		}
	})
}

func FuzzProjectOf(f *testing.F) {
	for _, seed := range []string{"shop.api.example.com", "api.example.com", "SHOP.api.m3o.localhost:8000", "[::1]:80", "a.b.api.example.com", ".api.example.com", "x.api.", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		for _, domain := range []string{"example.com", ""} {
			project, ok := projectOf(host, domain)
			if ok && project != "" && !region.IsLabel(project) {
				t.Errorf("%q names the project %q", host, project)
			}
		}
	})
}

func FuzzRequestID(f *testing.F) {
	f.Add("abc")
	f.Add("a\r\nb")
	f.Fuzz(func(t *testing.T, id string) {
		r := &http.Request{Header: http.Header{requestID: {id}}}
		if got := identify(r); got == "" || len(got) > maxRequestID || !sane(got) || (got != id && sane(id) && id != "" && len(id) <= maxRequestID) {
			t.Errorf("%q becomes %q", id, got)
		}
	})
}

func TestTrustedProxiesAreBelieved(t *testing.T) {
	in := &http.Request{RemoteAddr: "10.1.2.3:4000", Host: "lon1.internal", Header: http.Header{
		"X-Forwarded-For": {"9.9.9.9"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"api.example.com"}}}
	for prefix, want := range map[string][3]string{
		"10.0.0.0/8":     {"9.9.9.9, 10.1.2.3", "https", "api.example.com"},
		"192.168.0.0/16": {"10.1.2.3", "http", "lon1.internal"},
	} {
		g := &Gateway{config: Config{TrustedProxies: prefixes(t, prefix)}}
		out := http.Header{}
		g.forward(in, out, "/hello")
		got := [3]string{out.Get("X-Forwarded-For"), out.Get("X-Forwarded-Proto"), out.Get("X-Forwarded-Host")}
		if got != want {
			t.Errorf("%s: got %v, want %v", prefix, got, want)
		}
	}
}
