package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/blob"
	"github.com/m3o/platform/internal/build"
	"github.com/m3o/platform/internal/cloud/digitalocean"
	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/fault"
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
	provider, err := digitalocean.New(digitalocean.Config{Token: token, BaseURL: b.settings.DigitalOceanURL,
		Transport: b.signals.Transport(http.DefaultTransport)})
	if err != nil {
		return workers.CloudHoldings{}, err
	}
	poll, err := b.poll()
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
		Networks: &activities.Networks{Cloud: provider, Poll: poll}, Clusters: &activities.Clusters{Cloud: provider, Poll: poll, Limit: patience},
		Accounts: &activities.Accounts{Cloud: provider, Wanted: wanted, Poll: poll}, Kubeconfigs: &activities.Kubeconfigs{Cloud: provider},
		Parts:    &activities.Parts{Connections: connections, Poll: look, Wanted: wanted},
		Services: &activities.Services{Connections: connections, Poll: look},
	}, nil
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
		b.signals.Logger.WarnContext(ctx, "services may not compile here", "error", err, "output", fault.Output(err)) // of our own source
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
	return &activities.Builds{Builder: imageBuilder{builder, blobs}}, nil
}

// imageBuilder builds from uploaded sources, and keeps the logs.
type imageBuilder struct {
	builder *build.Builder
	blobs   blob.Store
}

func (i imageBuilder) BuildImage(ctx context.Context, in release.BuildInput) (release.Image, error) {
	name, err := source.BlobName(in.Service.Project, in.Origin.Source)
	if err != nil {
		return release.Image{}, err
	}
	log := &lateLog{open: func() (io.WriteCloser, error) { return i.blobs.Append(ctx, in.LogName()) }}
	result, err := i.builder.Build(ctx, build.Input{Service: in.Service, Source: in.Origin.Source, Package: in.Origin.Package,
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
