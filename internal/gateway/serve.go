package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/gateway/upstream"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/ticket"
)

// statusGone is what we count for a caller who left before the answer; nobody ever sees it.
const statusGone = 499

// maxListed bounds how many services an answer lists.
const maxListed = 100

var errIdle = errors.New("the exchange stood still for too long")

// call is one request on its way through the gateway. What is done for it has it in its context.
type call struct {
	target
	attempt   upstream.Attempt
	id        string
	host      string // that the caller used
	reads     string // path and query that the caller asked for, if he only reads
	ticket    *ticket.Ticket
	key       release.Key
	known     bool // the service exists
	status    int
	began     time.Time
	idle      idle
	cancel    context.CancelCauseFunc
	body      *patientBody
	flow      flow
	answering atomic.Bool // the answer has begun
}

type callKey struct{}

// callOf is the call that a request on its way to an instance belongs to.
func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.inFlight.Add(1)
	g.metrics.inFlight.Inc()
	defer g.metrics.inFlight.Dec()
	defer g.inFlight.Add(-1)
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		// What nobody reads of a body the server reads itself, before it answers and once we are done: not for ever.
		g.hurry(w)
		defer g.hurry(w)
	}
	c := &call{id: identify(r), began: time.Now()}
	if g.draining.Load() && r.ProtoMajor == 1 {
		// The caller's connection is closed after this answer, and not while the next request is on its way to us.
		w.Header().Set("Connection", "close")
	}
	if strings.HasPrefix(r.URL.Path, "/-/") {
		w.Header()[requestID] = []string{c.id}
		g.control.ServeHTTP(w, r)
		return
	}
	defer g.finish(c)
	if p := g.admit(c, r); p != nil {
		g.refuse(w, r, c, *p)
		return
	}
	g.send(w, r, c)
}

// hurry gives the caller time to send what is missing of the body. Where somebody reads it, patientBody takes over.
func (g *Gateway) hurry(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(g.config.BodyWait)) // a writer that cannot has no slow senders
}

// finish counts the call, also when the answer broke off and the server is about to hear of it by a panic.
func (g *Gateway) finish(c *call) {
	c.idle.stop()
	if c.cancel != nil {
		g.running.end(c)
		c.cancel(nil)
	}
	c.attempt.Done()
	key := otherServices
	if c.known {
		key = c.key
	}
	g.metrics.of(key).observe(c.status, time.Since(c.began))
	if n := c.attempt.Retries(); n > 0 {
		g.metrics.retries.Add(float64(n))
	}
}

func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, c *call, p problem) {
	p.RequestID, c.status = c.id, p.Status
	if c.body != nil {
		c.body.closing(w.Header())
	}
	w.Header()[requestID] = []string{c.id}
	p.write(w, r)
}

// admit decides whether the request goes on: which service it is for, whether that exists, and whether the caller may.
func (g *Gateway) admit(c *call, r *http.Request) *problem {
	if r.Method == http.MethodConnect {
		return refusal(http.StatusMethodNotAllowed, "CONNECT is not served here: call /<service>/<path>")
	}
	if p := g.recognise(c, r); p != nil {
		return p
	}
	c.target = targetOf(r)
	named, ok := c.service()
	project, p := g.project(c, r, named.Project)
	if p != nil {
		return p
	}
	if g.mirror.Suspended(project) {
		return suspended(project)
	}
	c.key = release.Key{Project: project, Name: named.Name}
	if !ok {
		c.key.Name = c.segment
		return g.unknown(c)
	}
	route, complete := g.table.Find(c.key)
	if route == nil && !complete {
		p := refusal(http.StatusServiceUnavailable, "this gateway does not know its services yet")
		p.RetryAfter = time.Second
		return p
	}
	if route == nil {
		return g.unknown(c)
	}
	c.known, c.attempt.Route = true, route
	return g.allow(c, r, route)
}

func refusal(status int, format string, args ...any) *problem {
	p := newProblem(status, fmt.Sprintf(format, args...))
	return &p
}

// suspended refuses what is for a project that is suspended. Why, its members are told by the API.
func suspended(project string) *problem {
	return refusal(http.StatusForbidden, "the project %q is suspended: `m3o project list` says why", project)
}

// recognise checks the ticket if the request carries one. Other bearer tokens are between the caller and the service.
func (g *Gateway) recognise(c *call, r *http.Request) *problem {
	token, ok := bearer(r)
	if !ok || !ticket.Looks(token) {
		return nil
	}
	t, err := g.verifier.Verify(token)
	if err != nil {
		return refusal(http.StatusUnauthorized, "%s", fault.Message(err))
	}
	c.ticket = &t
	return nil
}

func bearer(r *http.Request) (string, bool) {
	header := r.Header.Get("Authorization")
	if len(header) < 7 || !strings.EqualFold(header[:7], "bearer ") {
		return "", false
	}
	return strings.TrimSpace(header[7:]), true
}

// project is the one that the URL names, in its path or its host, else that of the caller's ticket, else the default one. A ticket of
// one project is not good for URLs of another.
func (g *Gateway) project(c *call, r *http.Request, inPath string) (string, *problem) {
	inHost, ok := projectOf(r.Host, g.config.Domain)
	if !ok {
		return "", refusal(http.StatusNotFound, "the host %q names no project", r.Host)
	}
	if inPath != "" && inHost != "" && inPath != inHost {
		return "", refusal(http.StatusNotFound, "the host names the project %q, the path the project %q", inHost, shorten(inPath))
	}
	project, caller := cmp.Or(inPath, inHost), ""
	if c.ticket != nil {
		caller = c.ticket.Project
	}
	if project != "" && caller != "" && project != caller {
		return "", refusal(http.StatusForbidden, "the ticket is for the project %q, the URL leads to the project %q", caller, shorten(project))
	}
	return cmp.Or(project, caller, g.config.DefaultProject), nil
}

// allow checks access to a service that exists, and what is announced of the body.
func (g *Gateway) allow(c *call, r *http.Request, route *upstream.Route) *problem {
	c.attempt.Preflight = route.Access != release.Public && route.Preflight == release.Public && isPreflight(r)
	if route.Access != release.Public && !c.attempt.Preflight {
		if c.ticket == nil {
			return refusal(http.StatusUnauthorized, "the service %q wants a ticket: call it with `m3o call`, or send one as a bearer token", c.key.Name)
		}
		if !c.ticket.May(ticket.Call, c.key.Project, c.key.Name) {
			return refusal(http.StatusForbidden, "the ticket does not permit calls to the service %q of the project %q", c.key.Name, c.key.Project)
		}
	}
	if limit := g.maxBody(route); r.ContentLength > limit && !isGRPC(r) {
		return c.tooLarge(limit)
	}
	return nil
}

// asOther are the headers by which a request becomes something else than its method says: a connection for anything, or another method
// where the service's framework takes them so.
var asOther = []string{"Upgrade", "X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// isPreflight reports whether a browser asks if it may send another request, as CORS has it. A preflight has no body, and asks for
// nothing else.
func isPreflight(r *http.Request) bool {
	other := slices.ContainsFunc(asOther, func(name string) bool { return r.Header.Get(name) != "" })
	return r.Method == http.MethodOptions && r.ContentLength == 0 && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != "" && !other
}

// tooLarge refuses a body, and says what would let it pass.
func (c *call) tooLarge(limit int64) *problem {
	return refusal(http.StatusRequestEntityTooLarge,
		"the body is larger than the %d bytes that the service %q takes: its setting \"max_body\" (in m3o.yaml, or m3o run --max-body) allows more", limit, c.key.Name)
}

func (g *Gateway) maxBody(route *upstream.Route) int64 {
	return min(cmp.Or(route.MaxBody, g.config.DefaultMaxBody), g.config.MaxBody)
}

func (g *Gateway) timeout(route *upstream.Route) time.Duration {
	return min(cmp.Or(route.Timeout, g.config.DefaultTimeout), g.config.MaxTimeout)
}

// unknown says that there is no such service, and which there are, as far as the caller may call them.
func (g *Gateway) unknown(c *call) *problem {
	names := []string{}
	for _, route := range g.table.List(c.key.Project) {
		visible := route.Access == release.Public || (c.ticket != nil && c.ticket.May(ticket.Call, c.key.Project, route.Service.Name))
		if visible && len(names) < maxListed {
			names = append(names, route.Service.Name)
		}
	}
	there := "there is none that you may call"
	if len(names) > 0 {
		there = "there is: " + strings.Join(names, ", ")
	}
	p := refusal(http.StatusNotFound, "the project %q has no service %q here; %s", c.key.Project, shorten(c.key.Name), there)
	p.Services = &names
	return p
}

func shorten(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// send passes the request on within its limits.
func (g *Gateway) send(w http.ResponseWriter, r *http.Request, c *call) {
	grpc := isGRPC(r)
	c.attempt.Table, c.attempt.HTTP2, c.attempt.Wait = g.table, grpc, g.config.EndpointWait
	ctx, cancel := context.WithCancelCause(r.Context())
	c.cancel = cancel
	g.running.begin(c)
	control := http.NewResponseController(w)
	c.idle.start(g.timeout(c.attempt.Route), func() {
		c.cancel(errIdle)
		if c.answering.Load() { // it may be the caller who takes nothing
			_ = control.SetWriteDeadline(time.Now()) // a connection that was upgraded is not the server's any more
		}
	})
	out := r.WithContext(context.WithValue(ctx, callKey{}, c))
	if r.ContentLength != 0 {
		c.body = &patientBody{ReadCloser: r.Body, control: control, idle: &c.idle}
		if !grpc { // of which a stream has any number of messages
			c.body.ReadCloser = http.MaxBytesReader(w, r.Body, g.maxBody(c.attempt.Route))
		}
		if r.ProtoMajor == 1 {
			// Without this the server drops what is left of the body when the answer begins, and so would break a
			// service that answers while it reads.
			_ = control.EnableFullDuplex() // it fails only on servers other than ours
			c.body.patience = g.config.BodyWait
		}
		defer c.body.end()
		out.Body = c.body
	}
	g.proxy.ServeHTTP(w, out)
}

// patientBody gives the caller time to send each piece of a body, but not for ever, until the answer begins: from then
// on the two are in a conversation whose pace is theirs. HTTP/2 has limits of its own for streams that stand still.
type patientBody struct {
	io.ReadCloser
	control  *http.ResponseController
	idle     *idle
	patience time.Duration // 0: no limit
	over     atomic.Bool   // the exchange is
	reading  sync.Mutex    // held by Read
	came     http.Header   // trailers as the caller sends them, whose values come with the end
	passed   http.Header   // those that the service gets
	mu       sync.Mutex
	open     bool // the answer has begun
	late     bool // a piece did not come in time
	whole    bool // it was read to its end
}

func (b *patientBody) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.over.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	b.arm()
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.idle.moved()
	}
	if err != nil {
		b.disarm()
	}
	if errors.Is(err, io.EOF) {
		for name := range b.passed {
			b.passed[name] = b.came[name]
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.late = b.late || errors.Is(err, os.ErrDeadlineExceeded)
	b.whole = b.whole || errors.Is(err, io.EOF)
	return n, err
}

// trailers names the trailers that are passed on, before the body is read.
func (b *patientBody) trailers(came, passed http.Header) { b.came, b.passed = came, passed }

// end stops the transport, should it still read when the exchange is over: else the server would stop it, and lift the limit
// to do so, before it reads what is left. Behind a whole body it is the server that reads, and must not be disturbed.
func (b *patientBody) end() {
	if b.complete() || b.patience == 0 {
		return
	}
	b.over.Store(true)
	_ = b.control.SetReadDeadline(time.Now())
	b.reading.Lock()
	defer b.reading.Unlock()
	_ = b.control.SetReadDeadline(time.Now().Add(b.patience))
}

func (b *patientBody) complete() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.whole
}

// closing has the connection closed behind an answer that begins before the body has ended. The server would take the
// connection for free when the body does not come, and what comes late for another request.
func (b *patientBody) closing(h http.Header) {
	if b.patience > 0 && !b.complete() {
		h.Set("Connection", "close")
	}
}

// tooLate reports whether the caller was given up. The server then cancels the request's context, as if he had gone.
func (b *patientBody) tooLate() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.late
}

func (b *patientBody) arm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.patience > 0 && !b.open {
		_ = b.control.SetReadDeadline(time.Now().Add(b.patience)) // a writer that cannot has no slow readers either
	}
}

func (b *patientBody) disarm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.patience > 0 && !b.open {
		b.open = true
		_ = b.control.SetReadDeadline(time.Time{})
	}
}

// explain turns a failure to get an answer into what the caller is told; false when there is nobody to tell.
func (c *call) explain(ctx context.Context, err error) (*problem, bool) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return c.tooLarge(tooLarge.Limit), true
	case errors.Is(context.Cause(ctx), errIdle):
		return refusal(http.StatusGatewayTimeout,
			"the exchange with the service %q stood still for %s: its setting \"timeout\" (in m3o.yaml, or m3o run --timeout) allows more", c.key.Name, c.idle.limit), true
	case errors.Is(context.Cause(ctx), errSuspended):
		return suspended(c.key.Project), true
	case c.body.tooLate():
		return refusal(http.StatusRequestTimeout, "the body did not come in time"), true
	case ctx.Err() != nil:
		return nil, false
	case errors.Is(err, upstream.ErrNoEndpoint), upstream.Unreached(err):
		p := refusal(http.StatusServiceUnavailable, "no instance of the service takes requests just now")
		p.RetryAfter = time.Second
		return p, true
	}
	return refusal(http.StatusBadGateway, "the service broke off before it answered"), true
}
