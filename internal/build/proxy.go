package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/module"

	"github.com/m3o/platform/internal/fault"
)

// moduleProxy is all the network a build has: it answers the module proxy protocol out of the configured proxies, and the
// checksum database's out of that one. It fetches what it names itself, so a build cannot reach any other address, nor
// see the credentials that a proxy's URL may hold.
type moduleProxy struct {
	upstreams []upstream
	sumdb     string // name of the checksum database, "" for none
	client    *http.Client
	stall     time.Duration // how long a proxy may send nothing
	left      atomic.Int64  // bytes that may still be fetched
	mu        sync.Mutex
	failed    error
	refused   []refusedModule
}

// refusedModule is a file of a module that no configured proxy gives, now or later.
type refusedModule struct {
	name   string // as the go command asked for it, "example.com/m/@v/v1.0.0.zip"
	reason string // "proxy.example.com answered 404 Not Found"
}

// upstream is one entry of GOPROXY. After a comma the next one is asked when a module is not there; after a bar, when
// anything went wrong.
type upstream struct {
	base   string
	onward bool
}

// A proxy may have to fetch a module itself before it answers. How long a body takes is not limited, for that is a matter
// of the module's size and the line; that the build ends in time is.
const (
	answerTime  = 2 * time.Minute
	stallTime   = time.Minute
	maxPathname = 2000
)

func newModuleProxy(modules Modules, download int64) (*moduleProxy, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.RegisterProtocol("file", http.NewFileTransport(http.Dir("/")))
	transport.MaxIdleConnsPerHost = 16
	transport.ResponseHeaderTimeout = answerTime
	p := &moduleProxy{client: &http.Client{Transport: transport, CheckRedirect: sameKind}, stall: stallTime}
	p.left.Store(download)
	// GOSUMDB is "name", "name+key" or "name+key URL".
	if name, _, _ := strings.Cut(modules.SumDB, " "); name != "off" {
		p.sumdb, _, _ = strings.Cut(name, "+")
	}
	for rest := modules.Proxy; rest != ""; {
		entry, onward := rest, false
		if i := strings.IndexAny(rest, ",|"); i >= 0 {
			entry, onward, rest = rest[:i], rest[i] == '|', rest[i+1:]
		} else {
			rest = ""
		}
		entry = strings.TrimSpace(entry)
		if entry == "" || entry == "direct" || entry == "off" {
			continue
		}
		u, err := url.Parse(entry)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "file" {
			return nil, fault.New(fault.Invalid, "a module proxy is not an http, https or file URL")
		}
		p.upstreams = append(p.upstreams, upstream{base: strings.TrimSuffix(u.String(), "/"), onward: onward})
	}
	return p, nil
}

// sameKind keeps a proxy from sending us to files.
func sameKind(req *http.Request, via []*http.Request) error {
	if len(via) >= 5 {
		return errors.New("too many redirections")
	}
	if req.URL.Scheme != "https" && req.URL.Scheme != via[0].URL.Scheme {
		return fmt.Errorf("a redirection from %s to %s", via[0].URL.Scheme, req.URL.Scheme)
	}
	return nil
}

// failure is what kept modules from being fetched, if it was not that there are none.
func (p *moduleProxy) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

func (p *moduleProxy) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil || fault.Of(err) != fault.Unknown { // the first is what the others follow from
		p.failed = err
	}
}

// ServeHTTP answers the go command.
func (p *moduleProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "modules can only be read", http.StatusMethodNotAllowed)
	case len(name) > maxPathname || path.Clean(name) != name || r.URL.RawQuery != "":
		http.Error(w, "this is not the name of a module", http.StatusBadRequest)
	case strings.HasPrefix(name, "/sumdb/"):
		p.serveSum(w, r)
	case strings.Contains(name, "/@v/") || strings.HasSuffix(name, "/@latest"):
		p.serve(w, r, p.upstreams)
	default:
		http.Error(w, "this is not the name of a module", http.StatusNotFound)
	}
}

func (p *moduleProxy) serveSum(w http.ResponseWriter, r *http.Request) {
	prefix := "/sumdb/" + p.sumdb
	switch {
	case p.sumdb == "" || !strings.HasPrefix(r.URL.Path, prefix+"/"):
		http.Error(w, "this checksum database is not used here", http.StatusNotFound)
	case r.URL.Path == prefix+"/supported":
		w.WriteHeader(http.StatusOK)
	default:
		// The database itself last: proxies are nearer, and its answers are signed wherever they come from.
		p.serve(w, r, append(p.upstreams[:len(p.upstreams):len(p.upstreams)], upstream{base: "https://" + p.sumdb}))
	}
}

// serve passes on the first answer that one of the upstreams has. Otherwise the build ends: for good when every answer was a refusal.
func (p *moduleProxy) serve(w http.ResponseWriter, r *http.Request, upstreams []upstream) {
	status, reasons, broken := http.StatusNotFound, []string(nil), error(nil)
	for _, u := range upstreams {
		name := r.URL.EscapedPath()
		if u.base == "https://"+p.sumdb {
			name = strings.TrimPrefix(name, "/sumdb/"+p.sumdb)
		}
		answer, err := p.fetch(r, u.base+name)
		if err == nil && answer.StatusCode == http.StatusOK {
			p.pass(w, answer)
			return
		}
		if r.Context().Err() != nil {
			return // the go command has gone, which says nothing of the proxy
		}
		missing := false
		if err == nil {
			answer.Body.Close()
			said := fmt.Sprintf("%s answered %s", host(u.base), statusOf(answer.StatusCode))
			if missing = answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusGone; refuses(answer.StatusCode) {
				status, reasons = answer.StatusCode, append(reasons, said)
			} else {
				err = errors.New(said)
			}
		}
		broken = cmp.Or(broken, err)
		if !missing && !u.onward && !strings.HasPrefix(r.URL.Path, "/sumdb/") {
			break
		}
	}
	if broken != nil {
		p.fail(broken)
		http.Error(w, "a module proxy cannot be reached", http.StatusBadGateway)
		return
	}
	if len(upstreams) == 0 {
		reasons = []string{"no module proxy is configured"}
	}
	p.refuse(refusedModule{strings.TrimPrefix(r.URL.EscapedPath(), "/"), strings.Join(reasons, ", ")})
	http.Error(w, "no configured module proxy has it", status)
}

// refuses reports the answers that stay the same when the same is asked for again.
func refuses(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// statusOf is a status in the standard's words: those of a stranger's proxy are not passed on.
func statusOf(code int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
}

func (p *moduleProxy) refuse(r refusedModule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = append(p.refused, r)
}

// refusal is the module that the go command ended for, as it says, because no proxy gives it; nil when that is not why.
func (p *moduleProxy) refusal(said string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.refused {
		if !strings.Contains(said, r.name+": ") {
			continue
		}
		return fault.New(fault.Failed, "the module %s cannot be fetched: %s. Correct its name or version in go.mod, or, if it is private, send it along with the "+
			"source: `go mod vendor`", moduleIn(r.name), r.reason)
	}
	return nil
}

// moduleIn is the module and version that a file of a proxy is about: "example.com/m@v1.0.0".
func moduleIn(name string) string {
	name, file, _ := strings.Cut(name, "/@")
	if at := strings.Index(name, "/lookup/"); at >= 0 { // of the checksum database
		name = name[at+len("/lookup/"):]
	}
	escaped, version, _ := strings.Cut(name, "@")
	if v, ok := strings.CutPrefix(file, "v/"); ok && v != "list" {
		version = strings.TrimSuffix(v, path.Ext(v))
	}
	if plain, err := module.UnescapePath(escaped); err == nil {
		escaped = plain
	}
	if version == "" {
		return escaped
	}
	return escaped + "@" + version
}

func (p *moduleProxy) fetch(r *http.Request, target string) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		cancel(nil)
		return nil, errors.New("a module's address cannot be made")
	}
	answer, err := p.client.Do(req)
	if err != nil {
		cancel(nil)
		var refused *url.Error
		if errors.As(err, &refused) {
			err = refused.Err // without the URL, which may hold a password
		}
		return nil, fmt.Errorf("%s: %w", host(target), err)
	}
	answer.Body = &watchedBody{ReadCloser: answer.Body, proxy: p, from: host(target), asker: r.Context(), ctx: ctx, cancel: cancel}
	return answer, nil
}

// watchedBody is what an upstream sends. It ends when nothing comes for a while; that, and any other break, is a failure
// of the upstream's, unless the asker has gone.
type watchedBody struct {
	io.ReadCloser
	proxy      *moduleProxy
	from       string
	asker, ctx context.Context
	cancel     context.CancelCauseFunc
}

// Read waits no longer than the stall. The time that the go command takes to read is not the upstream's.
func (b *watchedBody) Read(data []byte) (int, error) {
	timer := time.AfterFunc(b.proxy.stall, func() { b.cancel(fmt.Errorf("nothing came for %s", b.proxy.stall)) })
	n, err := b.ReadCloser.Read(data)
	timer.Stop()
	if err != nil && err != io.EOF && b.asker.Err() == nil {
		if cause := context.Cause(b.ctx); cause != nil {
			err = cause
		}
		b.proxy.fail(fmt.Errorf("%s broke off: %w", b.from, err))
	}
	return n, err
}

func (b *watchedBody) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}

func host(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return "module proxy"
	}
	if u.Scheme == "file" {
		return "the module folder"
	}
	return u.Host
}

func (p *moduleProxy) pass(w http.ResponseWriter, answer *http.Response) {
	defer answer.Body.Close()
	if kind := answer.Header.Get("Content-Type"); kind != "" {
		w.Header().Set("Content-Type", kind)
	}
	budget := p.left.Load()
	n, err := io.Copy(w, io.LimitReader(answer.Body, budget+1))
	if left := p.left.Add(-n); left < 0 {
		p.fail(fault.New(fault.Failed, "the build fetches too many modules"))
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the go command sees a cut answer, not a short one
	}
}
