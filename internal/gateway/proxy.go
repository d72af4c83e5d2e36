package gateway

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/propagation"
)

// copyBuffer is what one answer is copied with.
const copyBuffer = 32 << 10

type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte  { return *b.pool.Get().(*[]byte) }
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

func newBuffers() *buffers {
	b := &buffers{}
	b.pool.New = func() any { p := make([]byte, copyBuffer); return &p }
	return b
}

type roundTripper struct{}

// RoundTrip sends the request as the call it belongs to says.
func (roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	return callOf(r.Context()).attempt.RoundTrip(r)
}

func (g *Gateway) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{Rewrite: g.rewrite, ModifyResponse: answered, ErrorHandler: g.failed, Transport: roundTripper{},
		BufferPool: newBuffers(), ErrorLog: slog.NewLogLogger(g.config.Logger.Handler(), slog.LevelDebug)}
}

// rewrite makes the request that the service sees. Hop-by-hop headers are gone by now.
func (g *Gateway) rewrite(p *httputil.ProxyRequest) {
	c := callOf(p.In.Context())
	setPath(p.Out.URL, c.target.path)
	p.Out.URL.RawQuery = p.In.URL.RawQuery // the service reads it, not we
	h := p.Out.Header
	scrub(h)
	scrub(p.Out.Trailer)
	if c.body != nil && len(p.Out.Trailer) > 0 {
		p.Out.ContentLength = -1 // in HTTP/1.1 only bodies in chunks have trailers
		c.body.trailers(p.In.Trailer, p.Out.Trailer)
	}
	g.forward(p.In, h, c.prefix)
	c.host = h["X-Forwarded-Host"][0]
	if p.In.Method == http.MethodGet || p.In.Method == http.MethodHead {
		c.reads = p.In.URL.RequestURI()
	}
	h[requestID] = []string{c.id}
	if c.ticket != nil {
		delete(h, "Authorization")
	}
	if upgrade := h.Get("Upgrade"); upgrade != "" && !strings.EqualFold(upgrade, "websocket") {
		// A connection turned into HTTP/2 would carry requests past us.
		if strings.Contains(strings.ToLower(upgrade), "h2c") {
			delete(h, "Upgrade")
			delete(h, "Connection")
			delete(h, "Http2-Settings")
		}
	}
	if g.config.Tracer != nil {
		propagators.Inject(p.In.Context(), propagation.HeaderCarrier(h))
	}
}

// answered notes that the answer has begun, and follows what comes of it.
func answered(r *http.Response) error {
	c := callOf(r.Request.Context())
	c.status = r.StatusCode
	if c.body != nil {
		c.body.disarm()
		if r.StatusCode != http.StatusSwitchingProtocols {
			c.body.closing(r.Header)
		}
	}
	c.answering.Store(true)
	c.idle.moved()
	if both, upgraded := r.Body.(io.ReadWriteCloser); upgraded {
		r.Body = &conversation{both, &c.idle}
	} else {
		c.flow = flow{r.Body, &c.idle}
		r.Body = &c.flow
	}
	c.relocate(r.Header, r.Request.Host)
	r.Header[requestID] = []string{c.id}
	return nil
}

func (g *Gateway) failed(w http.ResponseWriter, r *http.Request, err error) {
	c := callOf(r.Context())
	p, present := c.explain(r.Context(), err)
	if !present {
		// Returning would say 200 to a caller who is still there after all, as at the end of a drain.
		c.status = statusGone
		panic(http.ErrAbortHandler)
	}
	if p.Status >= http.StatusInternalServerError {
		g.config.Logger.WarnContext(r.Context(), "request failed", "service", c.key.String(), "status", p.Status, "request_id", c.id, "error", err.Error())
	}
	g.refuse(w, r, c, *p)
}
