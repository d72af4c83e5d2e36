package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/ticket"
)

func prefixes(t testing.TB, words ...string) []netip.Prefix {
	t.Helper()
	var all []netip.Prefix
	for _, w := range words {
		p, err := netip.ParsePrefix(w)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// How the benchmark measures: a closed loop of callers against each side in turn, and the median of the rounds' ratios,
// since on a shared machine the figures of one round mean little.
const (
	benchRounds  = 11
	benchCallers = 16
	benchCalls   = 4000 // of one side in one round
)

// BenchmarkProxy compares the gateway, with its table, tickets, limits and metrics on, with a bare httputil.ReverseProxy in
// front of the same program. All of them run in this process, over loopback TCP.
func BenchmarkProxy(b *testing.B) {
	w := newWorld(b, func(c *Config) { c.Logger = slog.New(slog.DiscardHandler) })
	up := program(b, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, strings.Repeat("x", 512)) })
	vault := release.Key{Project: "default", Name: "vault"}
	w.service(greet, release.Public)
	w.run(greet, 1, address(up), public)
	w.service(vault, release.ByKey)
	w.run(vault, 1, address(up), nil)
	for i := range 500 { // a table of some size
		w.service(release.Key{Project: "default", Name: fmt.Sprint("other-", i)}, release.ByKey)
	}
	w.awaitReady()
	bare, pooled := bareProxy(b, up.URL, nil), bareProxy(b, up.URL, newBuffers())
	token, err := w.signer.Sign(ticket.Grant{Subject: "ada", Project: "default", Regions: []string{"micro/lon1"}, Scopes: []string{"call:default/*"}, For: ticket.MaxLife})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ name, url, token, peer string }{
		{"public", w.url + "/hello/path", "", bare},
		{"ticket", w.url + "/vault/path", token, bare},
		{"public-against-a-peer-with-buffer-pool", w.url + "/hello/path", "", pooled},
	} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				compare(b, c.url, c.token, c.peer+"/path")
			}
		})
	}
}

func compare(b *testing.B, url, token, bare string) {
	var ratios, ours, theirs, cpu []float64
	for round := range benchRounds + 1 {
		one, oneCPU := drive(b, bare, "")
		two, twoCPU := drive(b, url, token)
		if round == 0 {
			continue // connections are made, pools are filled
		}
		ratios, ours, theirs, cpu = append(ratios, two/one), append(ours, two), append(theirs, one), append(cpu, twoCPU/oneCPU)
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("unknown")
	}
	b.Logf("gateway %.0f/s, bare ReverseProxy %.0f/s: median ratio %.2f (goal 0.85), CPU per request %.2fx, rounds %.2f, load %s",
		median(ours), median(theirs), median(ratios), median(cpu), ratios, strings.TrimSpace(string(load)))
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(cpu), "cpu-ratio")
	b.ReportMetric(median(ours), "req/s")
}

func median(v []float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	return sorted[len(sorted)/2]
}

// drive makes its calls as fast as they go, and returns how many per second and the CPU seconds they took.
func drive(b *testing.B, url, token string) (perSecond, cpu float64) {
	transport := &http.Transport{MaxIdleConnsPerHost: benchCallers, DisableCompression: true}
	defer transport.CloseIdleConnections()
	var wait sync.WaitGroup
	before, began := processor(b), time.Now()
	for range benchCallers {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for range benchCalls / benchCallers {
				r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
				if err != nil {
					b.Error(err)
					return
				}
				if token != "" {
					r.Header.Set("Authorization", "Bearer "+token)
				}
				resp, err := transport.RoundTrip(r)
				if err != nil {
					b.Error(err)
					return
				}
				n, err := io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if err != nil || n != 512 || resp.StatusCode != http.StatusOK {
					b.Errorf("got %s, %d bytes, %v", resp.Status, n, err)
					return
				}
			}
		}()
	}
	wait.Wait()
	return benchCalls / time.Since(began).Seconds(), (processor(b) - before) / benchCalls
}

// processor is the CPU time that this process has used, in seconds.
func processor(b *testing.B) float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func bareProxy(b *testing.B, to string, pool httputil.BufferPool) string {
	target, err := url.Parse(to)
	if err != nil {
		b.Fatal(err)
	}
	// Its transport keeps as many connections as ours: with the default of two it would mostly make new ones.
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target); p.SetXForwarded() }, BufferPool: pool,
		Transport: &http.Transport{MaxIdleConns: 512, MaxIdleConnsPerHost: 512, DisableCompression: true}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: proxy}
	go func() { _ = server.Serve(listener) }()
	b.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String()
}
