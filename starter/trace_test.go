//go:build embedded

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/dev"
	"github.com/m3o/platform/internal/dev/engine"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// hush is what no span may tell.
const hush = "tell-nobody"

// hushToken is the administrator's.
func hushToken() string { return account.Secret(account.PersonToken, []byte(hush)) }

// watchedPlatform is the API and its workers as the commands run them, over a sandbox cloud, with their spans kept.
type watchedPlatform struct {
	t        *testing.T
	ctx      context.Context
	settings config.Settings
	api      string
	control  string // of the sandbox
	spans    *tracetest.SpanRecorder
}

func newWatchedPlatform(t *testing.T) *watchedPlatform {
	t.Helper()
	p := newBarePlatform(t, ground{limit: 4 * time.Minute, runner: clusterstest.New(3)})
	p.serve(p.settings)
	return p
}

// ground is what a platform under test stands on.
type ground struct {
	limit  time.Duration // how long the test has
	runner *clusterstest.Runner
	scale  float64 // how much of their time the clouds take; 0: next to nothing
	poll   string  // how often they are asked; "": every 50 ms
	nodes  int     // that DigitalOcean's account may have; 0: as many as an account has
}

// newBarePlatform is what the platform's processes need, without them: Temporal, the clouds with the clusters of the runner, keys, an
// administrator. All of it ends with the test.
func newBarePlatform(t *testing.T, on ground) *watchedPlatform {
	t.Helper()
	on.scale, on.poll = cmp.Or(on.scale, 0.001), cmp.Or(on.poll, "50ms")
	ctx, cancel := context.WithTimeout(context.Background(), on.limit)
	t.Cleanup(cancel)
	p := &watchedPlatform{t: t, ctx: ctx, spans: tracetest.NewSpanRecorder()}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	s := p.within(dir)
	s.Poll = on.poll
	s = p.sandbox(at("sandbox"), on, s)
	_, port, _ := net.SplitHostPort(p.free())
	var number int
	_, err := fmt.Sscan(port, &number)
	p.must("read a port", err)
	e, err := engine.Start(ctx, engine.Config{Dir: at("temporal"), Port: number, Namespace: control.Namespace, Retention: 24 * time.Hour, Logger: slog.New(slog.DiscardHandler)})
	p.must("start Temporal", err)
	t.Cleanup(func() { _ = e.Stop() })
	s.Temporal, p.api = e.Address, "http://"+s.Listen
	p.must("make keys", makeKeys(s))
	p.settings = s
	p.admit(s)
	return p
}

// within are the settings of a platform whose files are in dir, but for what leads to Temporal and to the sandbox.
func (p *watchedPlatform) within(dir string) config.Settings {
	at := func(name string) string { return filepath.Join(dir, name) }
	listen := p.free()
	return config.Settings{Store: "sqlite://" + at("store.db"), PayloadKeys: at("payload.keys"), TicketKey: at("ticket.key"), TicketKeys: at("ticket.public.json"),
		LinkKey: at("link.key"), LinkKeys: at("link.public.json"), Blobs: at("blobs"), Listen: listen, PublicURL: "http://" + listen,
		WorkerBuild: "dev", LogLevel: "error", ImageGateway: "registry/m3o@sha256:" + strings.Repeat("a", 64)}
}

// serve runs the processes until the test ends.
func (p *watchedPlatform) serve(s config.Settings) {
	p.serveQueues(s, queue.Flows, queue.Cloud(region.DigitalOcean))
}

// serveQueues runs the API, and a worker of the queues, until the test ends.
func (p *watchedPlatform) serveQueues(s config.Settings, names ...string) {
	signals, err := openSignals(p.ctx, s, "test")
	p.must("watch", err)
	signals.Traces().(*sdktrace.TracerProvider).RegisterSpanProcessor(p.spans)
	for name, run := range map[string]func(context.Context) error{
		"api": func(ctx context.Context) error { return runAPI(ctx, s, signals) },
		"worker": func(ctx context.Context) error {
			return runWorker(ctx, s, p.rows(names...), signals)
		},
	} {
		p.background(name, run)
	}
	p.until("the API is ready", func() bool {
		r, err := http.Get(p.api + "/readyz")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

func (p *watchedPlatform) rows(names ...string) []row {
	rows, err := rowsOf(names)
	p.must("find queues", err)
	return rows
}

// background runs something until the test ends.
func (p *watchedPlatform) background(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(p.ctx)
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	p.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			p.t.Errorf("%s: %v", name, err)
		}
	})
}

// sandbox runs the clouds, and returns the settings with those that lead to each.
func (p *watchedPlatform) sandbox(dir string, on ground, s config.Settings) config.Settings {
	ready := make(chan sandbox.Endpoints, 1)
	c := sandbox.Config{Dir: dir, Hooks: s.PublicURL, BasePort: sandbox.AnyPort, TimeScale: on.scale, Clusters: on.runner, LeaseTimeout: -1, DropletLimit: on.nodes, Policies: workerPolicies(),
		Logger: slog.New(slog.DiscardHandler), Ready: func(e sandbox.Endpoints) { ready <- e }}
	p.background("sandbox", func(ctx context.Context) error { return sandbox.Run(ctx, c) })
	select {
	case e := <-ready:
		p.control = e.Control
		s = p.channels(dir, e.Providers, s)
		for _, r := range queues {
			if r.sandbox != nil && e.Providers[r.sandbox.Name] != "" {
				s = s.With(r.sandbox.Own(dev.NewSandboxCloud(dir, r.sandbox.Name, e.Providers[r.sandbox.Name], on.scale)))
			}
		}
	case <-p.ctx.Done():
		p.t.Fatal("the sandbox does not start")
	}
	return s
}

// channels returns the settings with those that lead to the sandbox's ways to reach people.
func (p *watchedPlatform) channels(dir string, providers map[string]string, s config.Settings) config.Settings {
	p.t.Helper()
	at, err := dev.NewSandboxChannels(dir, providers)
	p.must("find the sandbox's channels", err)
	for _, r := range queues {
		if r.channels != nil {
			s = s.With(r.channels(at))
		}
	}
	return s
}

func (p *watchedPlatform) admit(s config.Settings) {
	db, err := openStore(p.ctx, s)
	p.must("open the store", err)
	p.must("let the administrator in", db.Bootstrap(p.ctx, account.Hash(hushToken()), "admin.token"))
	p.must("close the store", db.Close())
}

func (p *watchedPlatform) free() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	p.must("find a port", err)
	p.must("give it back", l.Close())
	return l.Addr().String()
}

func (p *watchedPlatform) must(what string, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

func (p *watchedPlatform) until(what string, so func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if so() {
			return
		}
	}
	p.t.Fatalf("%s: does not happen", what)
}

// ask sends a request of a trace of its own, which it returns, and reads the answer.
func (p *watchedPlatform) ask(method, url string, body, answer any) trace.TraceID {
	p.t.Helper()
	return p.askAs(hushToken(), method, url, body, answer)
}

// askAs is ask by whoever holds the token.
func (p *watchedPlatform) askAs(token, method, url string, body, answer any) trace.TraceID {
	p.t.Helper()
	id, err := p.tryAs(token, method, url, body, answer)
	p.must("ask", err)
	return id
}

// tryAs is askAs of what may be refused.
func (p *watchedPlatform) tryAs(token, method, url string, body, answer any) (trace.TraceID, error) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.ctx, method, url, nil)
	p.must("make the request", err)
	if body != nil {
		data, err := json.Marshal(body)
		p.must("write the request", err)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
		r.Header.Set("Content-Type", "application/json")
	}
	_, span := sdktrace.NewTracerProvider().Tracer("caller").Start(p.ctx, "caller")
	otel.GetTextMapPropagator().Inject(trace.ContextWithSpan(p.ctx, span), propagation.HeaderCarrier(r.Header))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Baggage", "secret="+hush)
	resp, err := http.DefaultClient.Do(r)
	p.must("send the request", err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	p.must("read the answer", err)
	if resp.StatusCode >= 300 {
		return trace.TraceID{}, fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, text)
	}
	if answer != nil {
		p.must("understand the answer", json.Unmarshal(text, answer))
	}
	return span.SpanContext().TraceID(), nil
}

func (p *watchedPlatform) status(url string) string {
	var it struct{ Status string }
	p.ask(http.MethodGet, p.api+url, nil, &it)
	return it.Status
}

// of are the spans of a trace that have begun: those of workflows end with them.
func (p *watchedPlatform) of(id trace.TraceID) []sdktrace.ReadWriteSpan {
	return slices.DeleteFunc(p.spans.Started(), func(s sdktrace.ReadWriteSpan) bool { return s.SpanContext().TraceID() != id })
}

// goneThrough checks that a span of the last name comes from the first through those in between, and that there is each of
// them once; the request that came in and the last one, which may go out more than once, excepted.
func (p *watchedPlatform) goneThrough(id trace.TraceID, names ...string) {
	p.t.Helper()
	spans := p.of(id)
	byID, count := map[trace.SpanID]sdktrace.ReadWriteSpan{}, map[string]int{}
	for _, s := range spans {
		byID[s.SpanContext().SpanID()] = s
		count[s.Name()]++
	}
	for _, name := range names[:len(names)-1] {
		if count[name] != 1 {
			p.t.Errorf("%d spans of %s in one trace, of %v", count[name], name, count)
		}
	}
	var longest []string
	for _, s := range spans {
		path := []string{}
		for known := true; known; s, known = byID[s.Parent().SpanID()] {
			path = append(path, s.Name())
		}
		slices.Reverse(path)
		if slices.Equal(path, names) {
			return
		}
		if len(path) > len(longest) && slices.Contains(path, names[len(names)-2]) {
			longest = path
		}
	}
	p.t.Errorf("nothing went through\n%s, but\n%s", strings.Join(names, "\n"), strings.Join(longest, "\n"))
}

// TestCommandsAreTraced: from the request to the last call, each in the trace of the command that asked for it.
func TestCommandsAreTraced(t *testing.T) {
	p := newWatchedPlatform(t)
	for name, part := range map[string]func(){"a region": p.region, "releases": p.releases} {
		t.Run(name, func(t *testing.T) { p.t = t; part() })
	}
	p.t = t
	p.discreet()
}

const oneRegion = `platforms:
- name: micro
  domain: micro.mu
  regions:
  - name: lon1
    provider: do
    region: lon1
    kubernetes: {version: "1.34", nodes: {count: 1, size: s-2vcpu-4gb}}
    resource: [etcd, nats]
    network: [api]
    unenforced: allow
`

// region: one is ordered, waits for quota, and is taken down again. Both commands reach the cloud, by an owner that lives on.
func (p *watchedPlatform) region() {
	p.ask(http.MethodPost, p.control+"/_sandbox/faults", map[string]any{"provider": "digitalocean", "operation": "kubernetes_create_cluster", "fault": "quota", "times": 1}, nil)
	var plan struct{ ID string }
	p.ask(http.MethodPost, p.api+"/v1/plans", map[string]any{"file": oneRegion}, &plan)
	applied := p.ask(http.MethodPost, p.api+"/v1/plans/"+plan.ID+"/apply?ticket="+hush, nil, nil)
	p.until("the region waits", func() bool { return p.regionStatus() == "failed" })
	removed := p.ask(http.MethodDelete, p.api+"/v1/regions/lon1?ticket="+hush, nil, nil)
	p.until("the region is gone", func() bool { return p.regionStatus() == "" })
	p.goneThrough(applied, "POST /v1/plans/{id}/apply", "StartWorkflow:ApplyPlan", "RunWorkflow:ApplyPlan", "StartActivity:OrderRegion", "RunActivity:OrderRegion", "UpdateWithStartWorkflow:Apply",
		"StartChildWorkflow:BootstrapRegion", "RunWorkflow:BootstrapRegion", "StartActivity:EnsureNetwork", "RunActivity:EnsureNetwork", "HTTP POST")
	p.goneThrough(applied, "POST /v1/plans/{id}/apply", "StartWorkflow:ApplyPlan", "RunWorkflow:ApplyPlan", "StartActivity:OrderRegion", "RunActivity:OrderRegion", "UpdateWithStartWorkflow:Apply",
		"HandleUpdate:Apply")
	p.goneThrough(removed, "DELETE /v1/regions/{name}", "UpdateWithStartWorkflow:Remove", "HandleUpdate:Remove")
	p.goneThrough(removed, "DELETE /v1/regions/{name}", "UpdateWithStartWorkflow:Remove", "StartChildWorkflow:TeardownRegion", "RunWorkflow:TeardownRegion", "StartActivity:DeleteNetwork",
		"RunActivity:DeleteNetwork", "HTTP GET")
}

func (p *watchedPlatform) regionStatus() string {
	var list struct{ Items []struct{ Status string } }
	p.ask(http.MethodGet, p.api+"/v1/regions", nil, &list)
	if len(list.Items) == 0 {
		return ""
	}
	return list.Items[0].Status
}

// releases: each is brought out in the trace of its own command, by the same run of the service's owner.
func (p *watchedPlatform) releases() {
	for number := 1; number <= 2; number++ {
		deployed := p.ask(http.MethodPost, p.api+"/v1/services/hello/releases?ticket="+hush, map[string]any{"image": "registry.example/hello:v1"}, nil)
		p.until("the release has failed", func() bool { return p.status(fmt.Sprintf("/v1/services/hello/releases/%d", number)) == "failed" }) // there is no region
		p.goneThrough(deployed, "POST /v1/services/{name}/releases", "UpdateWithStartWorkflow:Deploy", "HandleUpdate:Deploy", "StartActivity:AllocateRelease", "RunActivity:AllocateRelease")
		p.goneThrough(deployed, "POST /v1/services/{name}/releases", "UpdateWithStartWorkflow:Deploy", "StartChildWorkflow:DeployRelease", "RunWorkflow:DeployRelease", "StartActivity:ListPlaces",
			"RunActivity:ListPlaces")
	}
}

// discreet: no span tells a secret that went by.
func (p *watchedPlatform) discreet() {
	for _, s := range p.spans.Started() {
		for _, a := range s.Attributes() {
			if strings.Contains(a.Value.String(), hush) || strings.Contains(a.Value.String(), hushToken()) {
				p.t.Errorf("%s tells %s", s.Name(), a.Key)
			}
		}
	}
}
