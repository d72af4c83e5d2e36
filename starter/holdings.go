package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/blob"
	"github.com/m3o/platform/internal/build"
	"github.com/m3o/platform/internal/cloud/digitalocean"
	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/image"
	"github.com/m3o/platform/internal/rate"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/source"
	"github.com/m3o/platform/internal/telemetry"
	"github.com/m3o/platform/workers"
)

// digitalOceanHoldings hold that cloud's identity, and no other.
func (b *base) digitalOceanHoldings() (workers.CloudHoldings, error) {
	token, err := readSecret("M3O_DIGITALOCEAN_TOKEN_FILE", b.settings.DigitalOceanTokenFile)
	if err != nil {
		return workers.CloudHoldings{}, err
	}
	poll, err := b.poll()
	if err != nil {
		return workers.CloudHoldings{}, err
	}
	requests, period, err := limit("M3O_DIGITALOCEAN_LIMIT", b.settings.DigitalOceanLimit, digitalocean.Requests, digitalocean.Period)
	if err != nil {
		return workers.CloudHoldings{}, err
	}
	limited, err := b.limited("DigitalOcean", digitalocean.Limits(requests, period))
	if err != nil {
		return workers.CloudHoldings{}, err
	}
	provider, err := digitalocean.New(digitalocean.Config{Token: token, BaseURL: b.settings.DigitalOceanURL, Transport: limited, Serve: min(poll, time.Second)})
	if err != nil {
		return workers.CloudHoldings{}, err
	}
	patience, err := duration("M3O_CLUSTER_LIMIT", b.settings.Patience, time.Hour, time.Second)
	if err != nil {
		return workers.CloudHoldings{}, err
	}
	keys, err := loadTicketKeys(b.settings)
	if err != nil {
		return workers.CloudHoldings{}, err
	}
	if err := telemetry.CheckEndpoint(b.settings.RegionTrace); err != nil {
		return workers.CloudHoldings{}, misuse("M3O_REGION_OTLP_ENDPOINT: %v", err)
	}
	connections := &activities.Connections{Cloud: provider, Transport: b.signals.Transport}
	wanted := cluster.Parts{Images: b.images(), Gateway: cluster.Gateway{Keys: keys, Traces: b.settings.RegionTrace}}
	return workers.CloudHoldings{
		Networks: &activities.Networks{Cloud: provider, Poll: poll}, Clusters: &activities.Clusters{Cloud: provider, Poll: poll, Limit: patience, Gone: connections.Forget},
		Accounts: &activities.Accounts{Cloud: provider, Wanted: wanted, Poll: poll}, Kubeconfigs: &activities.Kubeconfigs{Access: connections},
		Parts:    &activities.Parts{Connections: connections, Poll: look, Wanted: wanted},
		Services: &activities.Services{Connections: connections, Poll: look},
	}, nil
}

// limited carries calls to a cloud, no more of them than this worker's share of what the cloud allows.
func (b *base) limited(provider string, limits []rate.Limit) (http.RoundTripper, error) {
	workers, err := count("M3O_WORKERS", b.settings.Workers, 1)
	if err != nil {
		return nil, err
	}
	limited, err := rate.New(b.signals.Transport(http.DefaultTransport), rate.Options{Provider: provider, Limits: limits, Workers: workers, Logger: b.signals.Logger})
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
		b.signals.Logger.WarnContext(ctx, "services may not compile here", "error", err)
	}
}

func (b *base) buildHoldings(ctx context.Context) (*activities.Builds, error) {
	blobs, err := blob.OpenFolder(b.settings.Blobs, blob.Limits{})
	if err != nil {
		return nil, fmt.Errorf("M3O_BLOBS: %w", err)
	}
	s := b.settings
	client, err := registryClient(s)
	if err != nil {
		return nil, err
	}
	builder, err := build.New(build.Config{Dir: s.BuildDir, GoRoot: s.GoRoot, Registry: s.Registry, Client: client, AllowUnconfined: s.Unjailed == yes,
		Modules: build.Modules{Proxy: s.Modules, SumDB: s.SumDB, NoSumDB: s.NoSumDB}})
	if err != nil {
		return nil, err
	}
	go b.readyBuilder(ctx, builder)
	return &activities.Builds{Builder: imageBuilder{builder, client, blobs}}, nil
}

// imageBuilder builds from uploaded sources, and keeps the logs.
type imageBuilder struct {
	builder *build.Builder
	client  image.Client
	blobs   blob.Store
}

func (i imageBuilder) BuildImage(ctx context.Context, in release.BuildInput) (release.Image, error) {
	name, err := source.BlobName(in.Origin.Source)
	if err != nil {
		return release.Image{}, err
	}
	log, err := i.blobs.Append(ctx, in.LogName())
	if err != nil {
		return release.Image{}, err
	}
	defer log.Close()
	result, err := i.builder.Build(ctx, build.Input{Service: in.Service, Source: in.Origin.Source, Package: in.Origin.Package,
		Open: func(ctx context.Context) (io.ReadCloser, error) { return i.blobs.Get(ctx, name, 0, -1) }}, log)
	return release.Image{Reference: result.Reference, Found: result.Found}, err
}

func (i imageBuilder) ResolveImage(ctx context.Context, reference string) (release.Image, error) {
	resolved, err := i.client.Resolve(ctx, reference, runtime.GOARCH)
	return release.Image{Reference: resolved, Found: true}, err
}
