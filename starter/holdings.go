package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/blob"
	"github.com/m3o/platform/internal/build"
	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/digitalocean"
	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/gatecall"
	"github.com/m3o/platform/internal/rate"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/source"
	"github.com/m3o/platform/internal/store"
	"github.com/m3o/platform/internal/telemetry"
	"github.com/m3o/platform/internal/ticket"
	"github.com/m3o/platform/internal/watch"
	"github.com/m3o/platform/workers"
)

// digitalOceanSettings are DigitalOcean's own.
type digitalOceanSettings struct {
	TokenFile string `env:"M3O_DIGITALOCEAN_TOKEN_FILE" say:"file with the API token"`
	URL       string `env:"M3O_DIGITALOCEAN_URL" say:"base URL of the API; empty: the real one"`
	Limit     string `env:"M3O_DIGITALOCEAN_LIMIT" say:"requests that the token may make, and in how long (default 5000/1h); a twentieth of them in a sixtieth of that"`
}

func openDigitalOcean(b *base, s digitalOceanSettings) (cloud.Provider, error) {
	token, err := readSecret("M3O_DIGITALOCEAN_TOKEN_FILE", s.TokenFile)
	if err != nil {
		return nil, err
	}
	poll, err := b.poll()
	if err != nil {
		return nil, err
	}
	requests, period, err := limit("M3O_DIGITALOCEAN_LIMIT", s.Limit, digitalocean.Requests, digitalocean.Period)
	if err != nil {
		return nil, err
	}
	limited, err := b.limited("DigitalOcean", digitalocean.Limits(requests, period))
	if err != nil {
		return nil, err
	}
	egress, err := b.egress()
	if err != nil {
		return nil, err
	}
	return digitalocean.New(digitalocean.Config{Token: token, BaseURL: s.URL, Transport: limited, Egress: egress, Serve: min(poll, time.Second)})
}

// cloudActivities hold that cloud's identity, and no other.
func (b *base) cloudActivities(provider cloud.Provider) (workers.CloudActivities, error) {
	var none workers.CloudActivities
	poll, err := b.poll()
	if err != nil {
		return none, err
	}
	patience, err := duration("M3O_CLUSTER_LIMIT", b.settings.Patience, time.Hour, time.Second)
	if err != nil {
		return none, err
	}
	keys, err := loadTicketKeys(b.settings)
	if err != nil {
		return none, err
	}
	if err := telemetry.CheckEndpoint(b.settings.RegionTrace); err != nil {
		return none, misuse("M3O_REGION_OTLP_ENDPOINT: %v", err)
	}
	connections := &activities.Connections{Cloud: provider, Transport: b.signals.Transport}
	wanted := cluster.Parts{Images: b.images(), Gateway: cluster.Gateway{Keys: keys, Traces: b.settings.RegionTrace}}
	return workers.CloudActivities{
		Networks: &activities.Networks{Cloud: provider, Poll: poll}, Identities: &activities.Identities{Cloud: provider, Poll: poll},
		Clusters: &activities.Clusters{Cloud: provider, Poll: poll, Limit: patience, Gone: connections.Forget},
		Accounts: &activities.Accounts{Cloud: provider, Wanted: wanted, Poll: poll}, Kubeconfigs: &activities.Kubeconfigs{Access: connections},
		Parts:    &activities.Parts{Connections: connections, Account: provider, Poll: look, Wanted: wanted},
		Services: &activities.Services{Connections: connections, Poll: look},
	}, nil
}

// limited carries calls to a cloud, no more of them than this worker's share of what the cloud allows.
func (b *base) limited(provider string, limits []rate.Limit) (http.RoundTripper, error) {
	return b.limitedOver(http.DefaultTransport, provider, limits)
}

// limitedOver is limited, over a transport of the cloud's own.
func (b *base) limitedOver(next http.RoundTripper, provider string, limits []rate.Limit) (http.RoundTripper, error) {
	workers, err := count("M3O_WORKERS", b.settings.Workers, 1)
	if err != nil {
		return nil, err
	}
	limited, err := rate.New(b.signals.Transport(next), rate.Options{Provider: provider, Limits: limits, Workers: workers, Logger: b.signals.Logger})
	if err != nil {
		return nil, misuse("M3O_WORKERS: %v", err)
	}
	b.signals.Registry.Unregister(limited) // of a worker that was started before in this process
	if err := b.signals.Registry.Register(limited); err != nil {
		return nil, fmt.Errorf("count the calls to %s: %w", provider, err)
	}
	return limited, nil
}

// limit reads a setting like "5000/1h": so many requests in so long.
func limit(variable, text string, requests int, period time.Duration) (int, time.Duration, error) {
	if text == "" {
		return requests, period, nil
	}
	number, duration, _ := strings.Cut(text, "/")
	requests, err := strconv.Atoi(number)
	period, wrong := time.ParseDuration(duration)
	if err != nil || wrong != nil || requests < 1 || period < 100*time.Millisecond {
		return 0, 0, misuse("%s: %q is no number of requests in a period of at least 100ms, like 5000/1h", variable, text)
	}
	return requests, period, nil
}

// count reads a setting that is a number of at least 1.
func count(variable, text string, otherwise int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, misuse("%s: %q is no number of at least 1", variable, text)
	}
	return n, nil
}

// poll is how often a cloud is asked about what is on its way: often enough to lose no time, seldom enough for its limits.
func (b *base) poll() (time.Duration, error) {
	return duration("M3O_POLL", b.settings.Poll, 5*time.Second, 50*time.Millisecond)
}

// duration reads a setting, with a default and a least value.
func duration(variable, text string, otherwise, least time.Duration) (time.Duration, error) {
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least {
		return 0, misuse("%s: %q is no duration of at least %s", variable, text, least)
	}
	return d, nil
}

func (b *base) images() map[region.Part]string {
	images := map[region.Part]string{}
	for part, reference := range map[region.Part]string{region.Etcd: b.settings.ImageEtcd, region.NATS: b.settings.ImageNATS,
		region.CockroachDB: b.settings.ImageCockroach, region.API: b.settings.ImageGateway} {
		if reference != "" {
			images[part] = reference
		}
	}
	return images
}

// look is how often a worker looks at our own things on their way; clouds are asked less often.
const look = 250 * time.Millisecond

func openFlows(ctx context.Context, b *base) (workers.Activities, func() error, error) {
	db, err := openStore(ctx, b.settings)
	if err != nil {
		return nil, nil, err
	}
	signer, err := loadSigner(b.settings)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	flows := control.NewFlows(b.temporal, b.codec.Converters())
	go b.own(ctx, db, flows)
	watched, err := b.watch(ctx, db, permits{signer})
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	checked := b.check(ctx, db)
	relayed, err := b.relay(ctx, db, flows)
	if err != nil {
		watched()
		checked()
		return nil, nil, errors.Join(err, db.Close())
	}
	outside := &http.Client{Transport: b.signals.Transport(http.DefaultTransport), Timeout: 10 * time.Second}
	return workers.FlowActivities{
		Regions: &activities.Regions{Records: db, Plans: db}, Traffic: &activities.Traffic{Records: db, Poll: time.Second},
		Releases: &activities.Releases{Records: db}, Projects: &activities.Projects{Records: db, Services: flows, Alerts: db, Closer: flows, Regions: flows, Poll: time.Second}, Gateways: &activities.Gateways{Caller: &gatecall.Caller{HTTP: outside, Permits: permits{signer}}, Poll: look},
		Operators: &activities.Operators{Regions: flows, Services: flows, Projects: flows, List: db}, Flows: &activities.Flows{Awaiter: flows},
		Contacts: &activities.Contacts{Records: db}, Notices: &activities.Notices{Rules: db}, Alerts: &activities.Alerts{Records: db, Pages: db, Rules: db},
		Callbacks: &activities.Callbacks{Alerts: db, Contacts: db, Flows: flows},
	}, func() error { relayed(); watched(); checked(); return db.Close() }, nil
}

// watch looks at the regions' gateways until ctx ends, in turn with the other workers of flows. What it returns waits for its end.
func (b *base) watch(ctx context.Context, db *store.Store, permits permits) (wait func(), err error) {
	metrics := watch.NewMetrics()
	for _, c := range metrics.Collectors() {
		b.signals.Registry.Unregister(c) // of a worker that was started before in this process
		if err := b.signals.Registry.Register(c); err != nil {
			return nil, fmt.Errorf("count looks at regions: %w", err)
		}
	}
	// No traces: a look every few seconds belongs to no request.
	w := watch.Watcher{Truth: db, Records: db, Leases: db, Gateways: &watch.Gateways{Caller: &gatecall.Caller{HTTP: &http.Client{}, Permits: permits}}, Metrics: metrics, Logger: b.signals.Logger}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	return func() { stop(); <-done }, nil
}

// permits signs what the platform itself asks of gateways.
type permits struct{ signer *ticket.Signer }

func (p permits) Permit(in region.Key, scope string) (string, error) {
	return p.signer.Sign(ticket.Grant{Subject: "m3o", Regions: []string{in.String()}, Scopes: []string{scope}})
}

// yes is what a setting says that allows something.
const yes = "yes"

// readyBuilder says early whether builds can be confined here, and compiles the standard library before anybody waits.
func (b *base) readyBuilder(ctx context.Context, builder *build.Builder) {
	err := builder.CheckJail(ctx)
	if err != nil && ctx.Err() == nil && b.settings.Unjailed == yes {
		b.signals.Logger.WarnContext(ctx, "services are compiled without a jail here, as was allowed", "error", err)
		err = nil
	}
	if err == nil {
		err = builder.Warm(ctx)
	}
	if err != nil && ctx.Err() == nil {
		b.signals.Logger.WarnContext(ctx, "services may not compile here", "error", err, "output", fault.Output(err)) // of our own source
	}
}

func openBuild(ctx context.Context, b *base) (workers.Activities, func() error, error) {
	blobs, err := blob.OpenFolder(b.settings.Blobs, blob.Limits{})
	if err != nil {
		return nil, nil, fmt.Errorf("M3O_BLOBS: %w", err)
	}
	s := b.settings
	client, err := registryClient(s)
	if err != nil {
		return nil, nil, err
	}
	builder, err := build.New(build.Config{Dir: s.BuildDir, GoRoot: s.GoRoot, Registry: s.Registry, Client: client, AllowUnconfined: s.Unjailed == yes,
		Modules: build.Modules{Proxy: s.Modules, SumDB: s.SumDB, NoSumDB: s.NoSumDB}})
	if err != nil {
		return nil, nil, err
	}
	if err := describeBuilder(ctx, blobs, builder.Describe()); err != nil {
		return nil, nil, err
	}
	go b.readyBuilder(ctx, builder)
	return workers.BuildActivities{Builds: &activities.Builds{Builder: imageBuilder{builder, blobs}}}, nothing, nil
}

// describeBuilder leaves for the API what the builder is: whoever uploads asks before.
func describeBuilder(ctx context.Context, blobs blob.Store, b release.Builder) error {
	content, err := json.Marshal(b)
	if err == nil {
		_, err = blobs.Put(ctx, b.BlobName(), bytes.NewReader(content))
	}
	if err != nil {
		return fmt.Errorf("say what the builder is: %w", err)
	}
	return nil
}

// imageBuilder builds from uploaded sources, and keeps the logs.
type imageBuilder struct {
	builder *build.Builder
	blobs   *blob.Folder
}

func (i imageBuilder) BuildImage(ctx context.Context, in release.BuildInput) (release.Image, error) {
	name, err := source.BlobName(in.Service.Project, in.Origin.Source)
	if err != nil {
		return release.Image{}, err
	}
	log := &lateLog{open: func() (io.WriteCloser, error) { return i.blobs.Append(ctx, in.LogName()) }}
	result, err := i.builder.Build(ctx, build.Input{Service: in.Service, Source: in.Origin.Source, Package: in.Origin.Package, Build: in.Origin.Build,
		Open: func(ctx context.Context) (io.ReadCloser, error) { return i.blobs.Get(ctx, name, 0, -1) }}, log)
	if err := errors.Join(err, log.close()); err != nil {
		return release.Image{}, err
	}
	return release.Image{Reference: result.Reference, Found: result.Found}, nil
}

func (i imageBuilder) ResolveImage(ctx context.Context, in release.BuildInput) (release.Image, error) {
	resolved, err := i.builder.Resolve(ctx, in.Service, in.Origin.Image)
	return release.Image{Reference: resolved, Found: true}, err
}

// RemoveSources removes what lies under the project's name, whenever it was put there, and its caches.
func (i imageBuilder) RemoveSources(ctx context.Context, project string) error {
	err := i.builder.RemoveCaches(ctx, project)
	for _, folder := range []string{source.Folder, release.LogFolder} {
		_, failed := i.blobs.Collect(ctx, folder+"/"+project, time.Now().Add(time.Hour), func(string) bool { return false })
		err = errors.Join(err, failed)
	}
	return err
}

// lateLog opens a log when there is something to write: a build that is turned away for now, however often, leaves no trace in it.
type lateLog struct {
	open func() (io.WriteCloser, error)
	log  io.WriteCloser
}

func (l *lateLog) Write(p []byte) (int, error) {
	if l.log == nil {
		log, err := l.open()
		if err != nil {
			return 0, err
		}
		l.log = log
	}
	return l.log.Write(p)
}

func (l *lateLog) close() error {
	if l.log == nil {
		return nil
	}
	return l.log.Close()
}
