package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/m3o/platform/internal/gateway/registry"
)

// How endpoints are spoken to.
const (
	dialTimeout = time.Second
	// Node.js and others close a connection that was idle for 5 s. A request sent at that moment is lost, and if it is not
	// one that may be repeated, lost for good: so we let go first.
	idleTimeout  = 4 * time.Second
	idlePerHost  = 512
	maxHeaders   = 256 << 10
	pingAfter    = 15 * time.Second
	pingTimeout  = 10 * time.Second
	expectWait   = time.Second
	ejectionTime = time.Second
)

// Options of a table.
type Options struct {
	// AllowLoopback lets endpoints have loopback addresses. In a cluster such an address is the gateway itself.
	AllowLoopback bool
}

// Endpoint is one address of a service, with its connections and what is known of its health.
type Endpoint struct {
	registry.Instance
	options  Options
	inFlight atomic.Int64
	ejected  atomic.Int64 // until when, in Unix nanoseconds; 0: it takes requests
	http1    *http.Transport
	http2    *http.Transport
}

func newEndpoint(i registry.Instance, options Options) *Endpoint {
	e := &Endpoint{Instance: i, options: options}
	e.http1, e.http2 = e.transport(), e.transport()
	e.http2.Protocols = new(http.Protocols)
	e.http2.Protocols.SetUnencryptedHTTP2(true)
	e.http2.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
	return e
}

func (e *Endpoint) transport() *http.Transport {
	return &http.Transport{
		DialContext:            e.dial,
		MaxIdleConns:           idlePerHost,
		MaxIdleConnsPerHost:    idlePerHost,
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  expectWait,
		MaxResponseHeaderBytes: maxHeaders,
		DisableCompression:     true, // bodies pass as they are
	}
}

// dialError is a failure before a byte was sent.
type dialError struct{ err error }

func (d *dialError) Error() string { return d.err.Error() }
func (d *dialError) Unwrap() error { return d.err }

func (e *Endpoint) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAlive: pingAfter, Control: e.control}
	conn, err := d.DialContext(ctx, network, e.Address)
	if err != nil {
		return nil, &dialError{err}
	}
	return conn, nil
}

// control refuses addresses that no service has, after names are resolved: whoever can write to the registry must not
// reach the gateway's own ports or the cloud's metadata service through us.
func (e *Endpoint) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	ip := to.Addr().Unmap()
	if ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() || (ip.IsLoopback() && !e.options.AllowLoopback) {
		return fmt.Errorf("address %s is not one a service can have", ip)
	}
	return nil
}

// send sends a request; its URL's host is set here.
func (e *Endpoint) send(r *http.Request, http2 bool) (*http.Response, error) {
	r.URL.Scheme, r.URL.Host = "http", e.Address
	if http2 || e.HTTP2 {
		return e.http2.RoundTrip(r)
	}
	return e.http1.RoundTrip(r)
}

// retire closes what is idle, when the endpoint has gone from the table.
func (e *Endpoint) retire() {
	e.http1.CloseIdleConnections()
	e.http2.CloseIdleConnections()
}

// eject leaves the endpoint out for a moment.
func (e *Endpoint) eject(now time.Time) { e.ejected.Store(now.Add(ejectionTime).UnixNano()) }

func (e *Endpoint) available() bool {
	until := e.ejected.Load()
	return until == 0 || time.Now().UnixNano() >= until
}

// Probe asks whether the endpoint answers: with a connection when path is empty, else with a GET that must be answered
// with 2xx or 3xx.
func (e *Endpoint) Probe(ctx context.Context, path string) error {
	if path == "" {
		conn, err := e.dial(ctx, "tcp", e.Address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.Address+path, nil)
	if err != nil {
		return fmt.Errorf("health path: %w", err)
	}
	r.Header.Set("User-Agent", "m3o-gateway")
	r.Header.Set("X-Forwarded-Proto", "https") // it may send whoever comes without TLS elsewhere
	resp, err := e.send(r, false)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		return errors.New("GET " + path + " answered " + resp.Status)
	}
	return nil
}

// Probe asks an address that is not in the table, as Endpoint.Probe does.
func (t *Table) Probe(ctx context.Context, address, path string) error {
	e := newEndpoint(registry.Instance{Address: address}, t.options)
	defer e.retire()
	return e.Probe(ctx, path)
}

// pick chooses among the endpoints that have not been tried: of two at random the one with less to do. Those that refused
// a connection a moment ago are taken only when there are no others.
func pick(endpoints, tried []*Endpoint) *Endpoint {
	if len(endpoints) == 1 && len(tried) == 0 {
		return endpoints[0]
	}
	n := len(endpoints)
	if n == 0 {
		return nil
	}
	a, b := endpoints[rand.IntN(n)], endpoints[rand.IntN(n)]
	if len(tried) == 0 && a.available() && b.available() {
		return lighter(a, b)
	}
	var best, spare *Endpoint
	for start, i := rand.IntN(n), 0; i < n; i++ {
		e := endpoints[(start+i)%n]
		switch {
		case slices.Contains(tried, e):
		case e.available():
			best = lighter(best, e)
		default:
			spare = lighter(spare, e)
		}
	}
	if best != nil {
		return best
	}
	return spare
}

func lighter(a, b *Endpoint) *Endpoint {
	if a == nil || (b != nil && b.inFlight.Load() < a.inFlight.Load()) {
		return b
	}
	return a
}
