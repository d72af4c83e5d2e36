package gateway

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/release"
)

// TestPlacesOfAServiceAreWrittenAsItsCallerReachesThem: what an answer's header says of the service's own places has the prefix, which
// the service does not see.
func TestPlacesOfAServiceAreWrittenAsItsCallerReachesThem(t *testing.T) {
	c := &call{target: target{prefix: "/hello"}, host: "api.example.com"}
	for _, name := range []string{"Location", "Content-Location"} {
		for was, want := range map[string]string{
			"/docs/":                          "/hello/docs/",
			"/":                               "/hello/",
			"/a?next=/b#c":                    "/hello/a?next=/b#c",
			"/hello/docs/":                    "/hello/docs/", // by a service that reads X-Forwarded-Prefix
			"/hello":                          "/hello",
			"/hello?x=1":                      "/hello?x=1",
			"/hello-2/":                       "/hello/hello-2/",
			"docs/":                           "docs/",
			"../x":                            "../x",
			"?page=2":                         "?page=2",
			"":                                "",
			"http://10.0.0.1:8080/home":       "http://10.0.0.1:8080/hello/home",
			"HTTP://10.0.0.1:8080":            "HTTP://10.0.0.1:8080/hello/",
			"http://10.0.0.1:8080?x=1":        "http://10.0.0.1:8080/hello/?x=1",
			"http://10.0.0.1:8080/hello/home": "http://10.0.0.1:8080/hello/home",
			"//10.0.0.1:8080/home":            "//10.0.0.1:8080/hello/home",
			"https://API.example.com/home":    "https://API.example.com/hello/home",
			"http://api.example.com:80/home":  "http://api.example.com:80/hello/home",
			"http://api.example.com:81/home":  "http://api.example.com:81/home",
			"https://elsewhere.com/home":      "https://elsewhere.com/home",
			"//elsewhere.com/home":            "//elsewhere.com/home",
			"http://ada@api.example.com/":     "http://ada@api.example.com/",
			"mailto:ada@example.com":          "mailto:ada@example.com",
			`/\elsewhere.com`:                 `/hello/\elsewhere.com`,
		} {
			h := http.Header{name: {was}}
			if c.relocate(h, "10.0.0.1:8080"); h.Get(name) != want {
				t.Errorf("%s: %q becomes %q, not %q", name, was, h.Get(name), want)
			}
		}
	}
	for was, want := range map[string]string{
		"5": "5", "0;url=/docs/": "0;url=/hello/docs/", `5; URL='/docs/'`: `5; URL='/hello/docs/'`, "5; /docs/": "5; /hello/docs/",
		"5; url=docs/": "5; url=docs/", "1;url=https://elsewhere.com/": "1;url=https://elsewhere.com/", `3; url="/hello"`: `3; url="/hello"`,
	} {
		h := http.Header{"Refresh": {was}}
		if c.relocate(h, "10.0.0.1:8080"); h.Get("Refresh") != want {
			t.Errorf("Refresh: %q becomes %q, not %q", was, h.Get("Refresh"), want)
		}
	}
	none := &call{}
	if h := (http.Header{"Location": {"/docs/"}}); true {
		if none.relocate(h, "10.0.0.1:8080"); h.Get("Location") != "/docs/" {
			t.Errorf("where no prefix was taken off, %q", h.Get("Location"))
		}
	}
}

func TestCookiesGoBackToTheirServiceAlone(t *testing.T) {
	for _, c := range []struct {
		was  string
		bare bool
		want string
	}{
		{"s=1; Path=/", false, "s=1; Path=/hello"},
		{"s=1; path=/admin; HttpOnly", false, "s=1; Path=/hello/admin; HttpOnly"},
		{"s=1;Path=/hello/admin", false, "s=1;Path=/hello/admin"},
		{"s=1; Path=/hello", false, "s=1; Path=/hello"},
		{"s=1; Path=/x; Path=/y", false, "s=1; Path=/x; Path=/hello/y"},
		{"s=1; Secure", false, "s=1; Secure"},
		{"s=1; Path=relative", false, "s=1; Path=relative"},
		{"s=1; Secure", true, "s=1; Secure; Path=/hello"},
		{"s=1; Path=", true, "s=1; Path=; Path=/hello"},
		{"__Host-s=1; Path=/; Secure", false, "__Host-s=1; Path=/; Secure"},
		{"path=/; Path=/", false, "path=/; Path=/hello"},
		{"s=1; Domain=example.com; Path=/", false, "s=1; Domain=example.com; Path=/hello"},
	} {
		h := http.Header{"Set-Cookie": {"other=2", c.was}}
		(&call{target: target{prefix: "/hello", bare: c.bare}}).relocate(h, "x")
		if got := h["Set-Cookie"][1]; got != c.want {
			t.Errorf("%q becomes %q, not %q", c.was, got, c.want)
		}
	}
}

// TestABrowserStaysWithTheService follows redirects and keeps cookies as a browser does, in every form of URL.
func TestABrowserStaysWithTheService(t *testing.T) {
	till := release.Key{Project: "shop", Name: "till"}
	mux := http.NewServeMux()
	mux.HandleFunc("/docs/", func(rw http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie("s")
		if err == nil {
			_, _ = rw.Write([]byte("docs " + cookie.Value))
		}
	})
	mux.HandleFunc("/login", func(rw http.ResponseWriter, r *http.Request) {
		http.SetCookie(rw, &http.Cookie{Name: "s", Value: "ada", Path: "/"})
		to := "/docs/"
		if r.URL.Query().Has("absolute") {
			to = "http://" + r.Host + to
		}
		http.Redirect(rw, r, to, http.StatusSeeOther)
	})
	w := newWorld(t, nil)
	for _, key := range []release.Key{greet, till} {
		w.service(key, release.Public)
		w.run(key, 1, address(program(t, mux.ServeHTTP)), public)
	}
	w.awaitReady()
	for _, base := range []string{"/hello", "/till--shop"} {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		browser := http.Client{Jar: jar}
		for _, path := range []string{"/login", "/login?absolute", "/docs"} {
			resp, err := browser.Get(w.url + base + path)
			if err != nil {
				t.Fatal(err)
			}
			body := make([]byte, 100)
			n, _ := resp.Body.Read(body)
			_ = resp.Body.Close()
			if string(body[:n]) != "docs ada" || resp.Request.URL.Path != base+"/docs/" {
				t.Errorf("%s%s leads to %s, which says %s %q", base, path, resp.Request.URL, resp.Status, body[:n])
			}
		}
		for _, other := range []string{"/hello", "/till--shop"} {
			u, _ := url.Parse(w.url + other + "/x")
			if sent := slices.ContainsFunc(jar.Cookies(u), func(c *http.Cookie) bool { return c.Name == "s" }); sent != (other == base) {
				t.Errorf("the cookie of %s is sent to %s: %t", base, other, sent)
			}
		}
	}
}

// TestAServiceMayHaveAPathOfItsOwnName: a redirect from its root to there goes on, instead of to the root for ever.
func TestAServiceMayHaveAPathOfItsOwnName(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/{$}", http.RedirectHandler("/hello/?lang=en#top", http.StatusFound))
	mux.HandleFunc("POST /{$}", func(rw http.ResponseWriter, r *http.Request) { // it reads the prefix, and sends back to its form
		http.Redirect(rw, r, r.Header.Get("X-Forwarded-Prefix")+"/form", http.StatusSeeOther)
	})
	mux.HandleFunc("/hello/", func(rw http.ResponseWriter, r *http.Request) { _, _ = rw.Write([]byte("hello " + r.URL.RawQuery)) })
	w := serving(t, mux.ServeHTTP, nil)
	for _, path := range []string{"/hello", "/hello/", "/hello/?lang=en"} {
		resp, err := http.Get(w.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 100)
		n, _ := resp.Body.Read(body)
		_ = resp.Body.Close()
		if string(body[:n]) != "hello lang=en" || resp.Request.URL.Path != "/hello/hello/" {
			t.Errorf("%s leads to %s, which says %s %q", path, resp.Request.URL, resp.Status, body[:n])
		}
	}
	r, _ := http.NewRequest(http.MethodPost, w.url+"/hello/", nil)
	if got := w.do(r, ""); got.header.Get("Location") != "/hello/form" {
		t.Errorf("a form leads to %q", got.header.Get("Location"))
	}
}

func FuzzPlaces(f *testing.F) {
	for _, seed := range []string{"/docs/", "//x/y", "http://api.example.com/", "HTTPS://x", "/hello", "5;url=/x", "s=1; Path=/", "", ";", "http://", "//"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c := &call{target: target{prefix: "/hello"}, host: "api.example.com"}
		once := c.within(value, "10.0.0.1")
		if c.within(once, "10.0.0.1") != once {
			t.Errorf("%q becomes %q and then another", value, once)
		}
		if removed := strings.Replace(once, "/hello", "", 1); once != value && removed != value && strings.Replace(once, "/hello/", "", 1) != value {
			t.Errorf("%q becomes %q, which differs in more than the prefix", value, once)
		}
		if again := c.cookie(c.cookie(value)); again != c.cookie(value) {
			t.Errorf("the cookie %q becomes %q and then %q", value, c.cookie(value), again)
		}
	})
}
