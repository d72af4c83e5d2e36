package build

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/m3o/platform/internal/fault"
)

// goproxy serves one module, example.com/dep v1.0.0, as a GOPROXY would, and remembers what was asked.
type goproxy struct {
	http.Handler
	folder string
	sum    string // go.sum lines
	mu     sync.Mutex
	asked  []string
}

func newGoproxy(t *testing.T) *goproxy {
	t.Helper()
	g := &goproxy{folder: t.TempDir()}
	versions := filepath.Join(g.folder, "example.com/dep/@v")
	must(os.MkdirAll(versions, 0o755))
	mod := "module example.com/dep\n\ngo 1.24\n"
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for file, content := range map[string]string{"go.mod": mod, "dep.go": "package dep\n\nfunc Text() string { return \"from the proxy\" }\n"} {
		w, err := z.Create("example.com/dep@v1.0.0/" + file)
		must(err)
		_, err = w.Write([]byte(content))
		must(err)
	}
	must(z.Close())
	for file, content := range map[string]string{"list": "v1.0.0\n", "v1.0.0.info": `{"Version":"v1.0.0"}`, "v1.0.0.mod": mod, "v1.0.0.zip": b.String()} {
		must(os.WriteFile(filepath.Join(versions, file), []byte(content), 0o644))
	}
	zipSum, err := dirhash.HashZip(filepath.Join(versions, "v1.0.0.zip"), dirhash.Hash1)
	must(err)
	modSum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return os.Open(filepath.Join(versions, "v1.0.0.mod")) })
	must(err)
	g.sum = fmt.Sprintf("example.com/dep v1.0.0 %s\nexample.com/dep v1.0.0/go.mod %s\n", zipSum, modSum)
	g.Handler = http.FileServer(http.Dir(g.folder))
	return g
}

func (g *goproxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.asked = append(g.asked, r.Host+r.URL.Path)
	g.mu.Unlock()
	g.Handler.ServeHTTP(w, r)
}

func (g *goproxy) start(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return server.URL
}

func (g *goproxy) input(project string) Input {
	in := input(map[string]string{"go.mod": gomod + "\nrequire example.com/dep v1.0.0\n", "go.sum": g.sum,
		"main.go": "package main\n\nimport (\n\t\"fmt\"\n\n\t\"example.com/dep\"\n)\n\nfunc main() { fmt.Println(dep.Text()) }\n"})
	in.Service.Project = project
	return in
}

func TestModulesComeFromTheConfiguredProxies(t *testing.T) {
	g := newGoproxy(t)
	url := g.start(t)
	empty := httptest.NewServer(http.NotFoundHandler())
	defer empty.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }))
	defer broken.Close()
	for i, proxy := range []string{url, url + "/,direct", empty.URL + "," + url, broken.URL + "|" + url, "file://" + g.folder} {
		b := builder(t, func(c *Config) { c.Modules = Modules{Proxy: proxy} })
		_, program := build(t, b, g.input(fmt.Sprintf("p%d", i)))
		if got := says(t, program); got != "from the proxy\n" {
			t.Errorf("%s: the program says %q", proxy, got)
		}
	}
	if !slices.ContainsFunc(g.asked, func(s string) bool { return strings.HasSuffix(s, "/example.com/dep/@v/v1.0.0.zip") }) {
		t.Errorf("the proxy was asked for %q", g.asked)
	}
}

func TestWithoutAProxyNothingIsFetched(t *testing.T) {
	g := newGoproxy(t)
	for _, proxy := range []string{"", "off", "direct"} {
		b := builder(t, func(c *Config) { c.Modules = Modules{Proxy: proxy} })
		_, err := b.Build(t.Context(), g.input("offline"), &bytes.Buffer{})
		if !fault.Is(err, fault.Failed) || !strings.Contains(err.Error(), "the module example.com/dep@v1.0.0 cannot be fetched: no module proxy is configured") {
			t.Errorf("%q: %v", proxy, err)
		}
	}
}

func TestAModuleThatAProxyRefusesFailsAtOnce(t *testing.T) {
	answering := func(status int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "the wording of a stranger", status) }))
		t.Cleanup(server.Close)
		return strings.Replace(server.URL, "http://", "http://user:pass"+"word@", 1) + "/secret-path"
	}
	hostOf := func(proxy string) string { return strings.Split(strings.Split(proxy, "@")[1], "/")[0] }
	missing, forbidden, away := answering(404), answering(403), answering(503)
	g := newGoproxy(t)
	refused := "the module example.com/dep@v1.0.0 cannot be fetched: "
	for what, c := range map[string]struct {
		proxy string
		kind  fault.Kind
		want  []string
	}{
		"not found":                   {missing, fault.Failed, []string{refused + hostOf(missing) + " answered 404 Not Found. ", "`go mod vendor`"}},
		"forbidden":                   {forbidden, fault.Failed, []string{refused + hostOf(forbidden) + " answered 403 Forbidden. "}},
		"unauthorized":                {answering(401), fault.Failed, []string{" answered 401 Unauthorized. "}},
		"gone":                        {answering(410), fault.Failed, []string{" answered 410 Gone. "}},
		"a number of its own":         {answering(499), fault.Failed, []string{" answered 499. "}},
		"by one after another":        {missing + "," + forbidden + "," + g.start(t), fault.Failed, []string{refused + hostOf(missing) + " answered 404 Not Found, " + hostOf(forbidden) + " answered 403 Forbidden. "}},
		"too often":                   {answering(429), fault.Unavailable, []string{"modules cannot be fetched: ", " answered 429 Too Many Requests"}},
		"too slowly":                  {answering(408), fault.Unavailable, []string{" answered 408 Request Timeout"}},
		"by one, and another is away": {away + "|" + missing, fault.Unavailable, []string{"modules cannot be fetched: " + hostOf(away) + " answered 503 Service Unavailable"}},
	} {
		t.Run(what, func(t *testing.T) {
			var log bytes.Buffer
			b := builder(t, func(config *Config) { config.Modules = Modules{Proxy: c.proxy} })
			_, err := b.Build(t.Context(), g.input("refused"), &log)
			if !fault.Is(err, c.kind) || fault.Output(err) != "" {
				t.Errorf("Build = %v (%s, %q)", err, fault.Of(err), fault.Output(err))
			}
			for _, want := range c.want {
				if !strings.Contains(fault.Message(err), want) {
					t.Errorf("%q does not say %q", fault.Message(err), want)
				}
			}
			for _, secret := range []string{"password", "secret-path", "stranger", "127.0.0.1:1/", "http://"} {
				if all := err.Error() + log.String(); strings.Contains(all, secret) {
					t.Errorf("%q got out: %s", secret, all)
				}
			}
			if c.kind == fault.Failed && strings.Contains(log.String(), "does not compile") {
				t.Errorf("the log blames the source:\n%s", log.String())
			}
		})
	}
}

func TestModulesAreCalledAsTheirImportersCallThem(t *testing.T) {
	for name, want := range map[string]string{
		"github.com/!azure/x/@v/v1.2.3.zip":                "github.com/Azure/x@v1.2.3",
		"example.com/m/@v/v1.0.0+incompatible.info":        "example.com/m@v1.0.0+incompatible",
		"example.com/m/@v/list":                            "example.com/m",
		"example.com/m/@latest":                            "example.com/m",
		"sumdb/sum.golang.org/lookup/example.com/m@v1.0.0": "example.com/m@v1.0.0",
	} {
		if got := moduleIn(name); got != want {
			t.Errorf("%s is about %s, want %s", name, got, want)
		}
	}
}

// What fails for another reason is not laid on a module that was looked for and is not there.
func TestARefusalIsToldOnlyWhenTheBuildEndedForIt(t *testing.T) {
	p, err := newModuleProxy(Modules{}, 1)
	must(err)
	p.refuse(refusedModule{"example.com/m/@v/v1.0.0.zip", "x answered 404 Not Found"})
	if err := p.refusal("main.go:3: undefined: x\n"); err != nil {
		t.Errorf("it is told: %v", err)
	}
	if err := p.refusal("reading example.com/m/@v/v1.0.0.zip: 404 Not Found\n"); err == nil {
		t.Error("it is not told")
	}
}

func TestABrokenProxyIsWorthAnotherTry(t *testing.T) {
	g := newGoproxy(t)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) }))
	defer broken.Close()
	secret := strings.Replace(broken.URL, "http://", "http://user:pass"+"word@", 1)
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, proxy := range []string{secret, strings.Replace(gone.URL, "http://", "http://user:pass"+"word@", 1)} {
		var log bytes.Buffer
		b := builder(t, func(c *Config) { c.Modules = Modules{Proxy: proxy + "," + g.start(t)} })
		_, err := b.Build(t.Context(), g.input("broken"), &log)
		if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "modules cannot be fetched") {
			t.Errorf("Build = %v", err)
		}
		if strings.Contains(err.Error()+log.String(), "password") {
			t.Errorf("the password got out: %v\n%s", err, log.String())
		}
	}
}

func TestAModuleThatBreaksOffIsWorthAnotherTry(t *testing.T) {
	g := newGoproxy(t)
	files := g.Handler
	g.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, ".zip") {
			files.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Length", "1000000")
		fmt.Fprint(w, "PK")
	})
	b := builder(t, func(c *Config) { c.Modules = Modules{Proxy: g.start(t)} })
	_, err := b.Build(t.Context(), g.input("cut"), &bytes.Buffer{})
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "broke off: unexpected EOF") {
		t.Errorf("Build = %v", err)
	}
}

// passed asks a module proxy before the upstream for a module, and returns what came and the proxy once the asker is served.
func passed(t *testing.T, ctx context.Context, stall time.Duration, upstream http.HandlerFunc) (string, *moduleProxy) {
	t.Helper()
	far := httptest.NewServer(upstream)
	defer far.Close()
	p, err := newModuleProxy(Modules{Proxy: far.URL}, 1<<20)
	must(err)
	p.stall = stall
	served := make(chan struct{})
	near := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(served)
		p.ServeHTTP(w, r)
	}))
	defer near.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, near.URL+"/example.com/dep/@v/v1.0.0.zip", nil)
	must(err)
	var got []byte
	if answer, err := http.DefaultClient.Do(req); err == nil {
		got, _ = io.ReadAll(answer.Body)
		must(answer.Body.Close())
	}
	<-served
	return string(got), p
}

// dribble sends a byte n times, with a pause before each.
func dribble(w http.ResponseWriter, r *http.Request, n int, pause time.Duration) {
	for range n {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(pause):
		}
		fmt.Fprint(w, "x")
		must(http.NewResponseController(w).Flush())
	}
}

func TestASlowProxyIsWaitedForAndASilentOneIsNot(t *testing.T) {
	got, p := passed(t, t.Context(), 500*time.Millisecond, func(w http.ResponseWriter, r *http.Request) { dribble(w, r, 20, 50*time.Millisecond) })
	if got != strings.Repeat("x", 20) || p.failure() != nil {
		t.Errorf("of a slow proxy came %q, %v", got, p.failure())
	}
	if p.client.Timeout != 0 {
		t.Errorf("a body may take %s in all", p.client.Timeout)
	}
	_, p = passed(t, t.Context(), 100*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		dribble(w, r, 1, 0)
		dribble(w, r, 1, time.Minute)
	})
	if err := p.failure(); err == nil || !strings.Contains(err.Error(), "nothing came for 100ms") {
		t.Errorf("of a silent proxy it is said: %v", err)
	}
}

func TestWhatTheGoCommandAbandonsIsNoFailure(t *testing.T) {
	for name, bytes := range map[string]int{"before the answer": 0, "in the body": 1} {
		ctx, cancel := context.WithCancel(t.Context())
		_, p := passed(t, ctx, time.Minute, func(w http.ResponseWriter, r *http.Request) {
			dribble(w, r, bytes, 0)
			time.AfterFunc(50*time.Millisecond, cancel)
			dribble(w, r, 1, time.Minute)
		})
		if err := p.failure(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}

func TestAModuleThatWasChangedIsRefused(t *testing.T) {
	g := newGoproxy(t)
	other := newGoproxy(t)
	g.sum = strings.Replace(g.sum, "h1:", "h1:AAAA", 1)[:len("example.com/dep v1.0.0 h1:")] + strings.Repeat("A", 43) + "=\n" + strings.SplitAfter(g.sum, "\n")[1]
	b := builder(t, func(c *Config) { c.Modules = Modules{Proxy: other.start(t)} })
	if _, err := b.Build(t.Context(), g.input("changed"), &bytes.Buffer{}); !fault.Is(err, fault.Failed) || !strings.Contains(fault.Output(err), "checksum mismatch") {
		t.Errorf("Build = %v", err)
	}
}

func TestTooManyModulesAreRefused(t *testing.T) {
	g := newGoproxy(t)
	b := builder(t, func(c *Config) { c.Modules, c.Limits.Download = Modules{Proxy: g.start(t)}, 50 })
	if _, err := b.Build(t.Context(), g.input("many"), &bytes.Buffer{}); !fault.Is(err, fault.Failed) || !strings.Contains(err.Error(), "too many modules") {
		t.Errorf("Build = %v", err)
	}
}

func TestTheProxyAnswersForModulesAlone(t *testing.T) {
	g := newGoproxy(t)
	g.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "asked for "+r.URL.Path) })
	p, err := newModuleProxy(Modules{Proxy: g.start(t) + "/base", SumDB: "sum.example.com+key"}, 1<<20)
	must(err)
	for _, c := range []struct {
		method, target string
		status         int
		want           string
	}{
		{"GET", "/example.com/dep/@v/list", 200, "asked for /base/example.com/dep/@v/list"},
		{"GET", "/example.com/dep/@latest", 200, "/@latest"},
		{"GET", "/sumdb/sum.example.com/supported", 200, ""},
		{"GET", "/sumdb/sum.example.com/lookup/x@v1.0.0", 200, "asked for /base/sumdb/sum.example.com/lookup/x@v1.0.0"},
		{"GET", "/sumdb/other.example.com/lookup/x@v1.0.0", 404, ""},
		{"GET", "/admin", 404, ""}, {"GET", "/", 404, ""},
		{"POST", "/example.com/dep/@v/list", 405, ""}, {"CONNECT", "/example.com/dep/@v/list", 405, ""},
		{"GET", "/x/@v/../../../admin", 400, ""}, {"GET", "/x/@v/%2e%2e/%2e%2e/%2e%2e/admin", 400, ""}, {"GET", "/x/@v/list?go-get=1", 400, ""},
		{"GET", "/" + strings.Repeat("x", 3000) + "/@v/list", 400, ""},
	} {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(c.method, "http://elsewhere.example.com"+c.target, nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %.60s = %d %q, want %d %q", c.method, c.target, w.Code, w.Body.String(), c.status, c.want)
		}
	}
	for _, asked := range g.asked {
		if !strings.Contains(asked, "/base/") {
			t.Errorf("the proxy was asked for %s", asked)
		}
	}
	if _, err := newModuleProxy(Modules{Proxy: "ftp://x"}, 1); !fault.Is(err, fault.Invalid) {
		t.Errorf("a proxy over FTP: %v", err)
	}
}
