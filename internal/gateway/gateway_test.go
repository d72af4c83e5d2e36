package gateway

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/ticket"
)

func TestPublicServiceIsServedWithoutItsPrefix(t *testing.T) {
	w := newWorld(t, nil)
	seen := make(chan *http.Request, 10)
	up := program(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r })
	w.service(greet, release.Public)
	w.run(greet, 1, address(up), map[string]string{"m3o.dev/access": "public"})
	w.awaitReady()

	r, _ := http.NewRequest(http.MethodGet, w.url+"/hello/a%2Fb/c?x=1;y&z", nil)
	r.Header.Set("X-Forwarded-For", "6.6.6.6")
	r.Header.Set("Forwarded", "for=6.6.6.6")
	r.Header.Set("Connection", "X-Secret")
	r.Header.Set("X-Secret", "hop by hop")
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	r.Header.Set("X-Request-Id", "my-request.1")
	got := w.do(r, "some-other-token")
	if got.status != http.StatusOK || got.header.Get("X-Request-Id") != "my-request.1" {
		t.Fatalf("got %+v", got)
	}
	in := <-seen
	for name, want := range map[string]string{"X-Forwarded-Prefix": "/hello", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http",
		"X-Secret": "", "X-Request-Id": "my-request.1", "Authorization": "Bearer some-other-token",
		"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"} {
		if in.Header.Get(name) != want {
			t.Errorf("the service sees %s: %q, not %q", name, in.Header.Get(name), want)
		}
	}
	if in.RequestURI != "/a%2Fb/c?x=1;y&z" || in.Host != strings.TrimPrefix(w.url, "http://") {
		t.Errorf("the service sees %s at %s", in.RequestURI, in.Host)
	}
	if f := in.Header.Get("Forwarded"); strings.Contains(f, "6.6.6.6") || !strings.Contains(f, "for=127.0.0.1") {
		t.Errorf("the service sees Forwarded: %s", f)
	}
	if got := w.get("/hello", ""); got.status != http.StatusOK {
		t.Errorf("without a slash: %+v", got)
	}
	if in := <-seen; in.RequestURI != "/" || len(in.Header.Get("X-Request-Id")) != 32 {
		t.Errorf("the service sees %s, request id %q", in.RequestURI, in.Header.Get("X-Request-Id"))
	}
}

func TestKeyServiceWantsATicket(t *testing.T) {
	w := newWorld(t, nil)
	seen := make(chan http.Header, 10)
	up := program(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header })
	w.service(greet, release.ByKey)
	w.run(greet, 1, address(up), nil)
	w.awaitReady()

	for name, c := range map[string]struct {
		token string
		want  int
	}{
		"none":          {"", http.StatusUnauthorized},
		"not a ticket":  {"abc", http.StatusUnauthorized},
		"forged":        {w.ticket("default", "call:default/hello") + "x", http.StatusUnauthorized},
		"other service": {w.ticket("default", "call:default/other"), http.StatusForbidden},
		"other verb":    {w.ticket("default", "logs:default/hello"), http.StatusForbidden},
		"the service":   {w.ticket("default", "call:default/hello"), http.StatusOK},
		"the project":   {w.ticket("default", "call:default/*"), http.StatusOK},
		"everything":    {w.ticket("", "call:*/*"), http.StatusOK},
	} {
		got := w.get("/hello/", c.token)
		if got.status != c.want {
			t.Errorf("%s: got %d %s, want %d", name, got.status, got.body, c.want)
		}
		if c.want != http.StatusOK && got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: answered with %s", name, got.header.Get("Content-Type"))
		}
	}
	close(seen)
	for header := range seen {
		if header.Get("Authorization") != "" {
			t.Errorf("the service sees the ticket")
		}
	}
}

func TestTicketForAnotherRegionOrBadTicketIsRefusedEvenByPublicServices(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.Public)
	w.run(greet, 1, address(hello(t, "hi")), map[string]string{"m3o.dev/access": "public"})
	w.awaitReady()
	for _, region := range []string{"micro/nyc3", "other/lon1", ticket.EveryRegionOf("other")} { // of the name, but another platform's
		elsewhere, err := w.signer.Sign(ticket.Grant{Subject: "ada", Project: "default", Regions: []string{region}, Scopes: []string{"call:default/*"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := w.get("/hello/", elsewhere); got.status != http.StatusUnauthorized || !strings.Contains(got.body, "another region") {
			t.Errorf("%s: got %+v", region, got)
		}
	}
}

func TestProjectComesFromTheURLThenTheTicket(t *testing.T) {
	w := newWorld(t, nil)
	for _, project := range []string{"default", "shop", "blog"} {
		key := release.Key{Project: project, Name: "hello"}
		w.service(key, release.Public)
		w.run(key, 1, address(hello(t, project)), map[string]string{"m3o.dev/access": "public"})
	}
	w.awaitReady()
	blog := w.ticket("blog", "call:blog/*")
	for _, c := range []struct{ host, path, token, want string }{
		{"", "/hello/", "", "default /"}, {"api.example.com", "/hello/", "", "default /"}, {"1.2.3.4:80", "/hello/", "", "default /"},
		{"shop.api.example.com", "/hello/", "", "shop /"}, {"SHOP.api.m3o.localhost:8000", "/hello/", "", "shop /"},
		{"", "/hello/", blog, "blog /"}, {"blog.api.example.com", "/hello/", blog, "blog /"},
		{"shop.api.example.com", "/hello/", blog, `\"blog\", the URL leads to the project \"shop\"`},
		{"", "/hello--shop/a", "", "shop /a"}, {"", "/hello--blog", blog, "blog /"}, {"", "/hello--default/", "", "default /"},
		{"shop.api.example.com", "/hello--shop/", "", "shop /"}, {"", "/hello--shop/", w.ticket("", "call:*/*"), "shop /"},
		{"shop.api.example.com", "/hello--blog/", "", `the host names the project \"shop\", the path the project \"blog\"`},
		{"", "/hello--shop/", blog, `\"blog\", the URL leads to the project \"shop\"`},
		{"", "/hello--nope/", "", `the project \"nope\" has no service \"hello\"`},
		{"", "/hello---shop/", "", `has no service \"hello---shop\"`}, {"", "/hello--shop--blog/", "", "has no service"},
	} {
		r, _ := http.NewRequest(http.MethodGet, w.url+c.path, nil)
		if c.host != "" {
			r.Host = c.host
		}
		if got := w.do(r, c.token); got.body != c.want && (got.status < 400 || !strings.Contains(got.body, c.want)) {
			t.Errorf("host %q, path %s: got %+v, want %q", c.host, c.path, got, c.want)
		}
	}
	r, _ := http.NewRequest(http.MethodGet, w.url+"/hello/", nil)
	r.Host = "a.b.api.example.com"
	if got := w.do(r, ""); got.status != http.StatusNotFound {
		t.Errorf("a host with a project that cannot be: %+v", got)
	}
}

func TestUnknownServiceIsToldWhatThereIs(t *testing.T) {
	w := newWorld(t, nil)
	for name, access := range map[string]release.Access{"hello": release.Public, "maps": release.Public, "vault": release.ByKey, "bank": release.ByKey} {
		w.service(release.Key{Project: "default", Name: name}, access)
	}
	w.service(release.Key{Project: "shop", Name: "till"}, release.Public)
	w.awaitReady()
	for _, c := range []struct {
		path, token string
		want        []string
	}{
		{"/nope/x", "", []string{"hello", "maps"}},
		{"/", "", []string{"hello", "maps"}},
		{"/%2e%2e/etc", "", []string{"hello", "maps"}},
		{"/nope/", w.ticket("default", "call:default/vault"), []string{"hello", "maps", "vault"}},
		{"/nope/", w.ticket("shop", "call:shop/*"), []string{"till"}},
		{"/nope/", w.ticket("empty", "call:empty/*"), []string{}},
	} {
		got := w.get(c.path, c.token)
		var p struct {
			Status   int      `json:"status"`
			Detail   string   `json:"detail"`
			ID       string   `json:"request_id"`
			Services []string `json:"services"`
		}
		if err := json.Unmarshal([]byte(got.body), &p); err != nil {
			t.Fatalf("%s: %s: %v", c.path, got.body, err)
		}
		if got.status != http.StatusNotFound || p.Status != http.StatusNotFound || !slices.Equal(p.Services, c.want) || p.Services == nil || p.ID == "" {
			t.Errorf("%s: got %+v, want services %v", c.path, p, c.want)
		}
	}
}

func TestStricterAccessHoldsWhileTwoReleasesRun(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.Public)
	w.run(greet, 1, address(hello(t, "one")), map[string]string{"m3o.dev/access": "public"})
	w.awaitReady()
	if got := w.get("/hello/", ""); got.status != http.StatusOK {
		t.Fatalf("got %+v", got)
	}
	two := w.run(greet, 2, address(hello(t, "two")), map[string]string{"m3o.dev/access": "key"})
	w.eventually("the key is demanded", func() bool { return w.get("/hello/", "").status == http.StatusUnauthorized })
	two.remove()
	w.eventually("it is public again", func() bool { return w.get("/hello/", "").status == http.StatusOK })
}
