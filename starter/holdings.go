package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"time"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/blob"
	"github.com/m3o/platform/internal/build"
	"github.com/m3o/platform/internal/cloud/digitalocean"
	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/image"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/source"
	"github.com/m3o/platform/internal/ticket"
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
	signer, err := ticket.LoadOrCreate(b.settings.TicketKey)
	if err != nil {
		return workers.CloudHoldings{}, fmt.Errorf("M3O_TICKET_KEY: %w", err)
	}
	connections := &activities.Connections{Cloud: provider}
	return workers.CloudHoldings{
		Networks: &activities.Networks{Cloud: provider}, Clusters: &activities.Clusters{Cloud: provider, Poll: poll},
		Accounts: &activities.Accounts{Cloud: provider}, Kubeconfigs: &activities.Kubeconfigs{Cloud: provider},
		Parts:    &activities.Parts{Connections: connections, Poll: look, Wanted: cluster.Parts{Images: b.images(), Gateway: cluster.Gateway{Keys: signer.Document()}}},
		Services: &activities.Services{Connections: connections, Poll: look},
	}, nil
}

// poll is how often a cloud is asked about what is on its way: often enough to lose no time, seldom enough for its limits.
func (b *base) poll() (time.Duration, error) {
	if b.settings.Poll == "" {
		return 5 * time.Second, nil
	}
	d, err := time.ParseDuration(b.settings.Poll)
	if err != nil || d < 50*time.Millisecond {
		return 0, misuse("M3O_POLL: %q is no duration of at least 50ms", b.settings.Poll)
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

func (b *base) buildHoldings() (*activities.Builds, error) {
	blobs, err := blob.OpenFolder(b.settings.Blobs, blob.Limits{})
	if err != nil {
		return nil, fmt.Errorf("M3O_BLOBS: %w", err)
	}
	s := b.settings
	builder, err := build.New(build.Config{Dir: s.BuildDir, GoRoot: s.GoRoot, Registry: s.Registry, AllowUnconfined: s.Unjailed == "yes",
		Modules: build.Modules{Proxy: s.Modules, SumDB: s.SumDB, NoSumDB: s.NoSumDB}})
	if err != nil {
		return nil, err
	}
	return &activities.Builds{Builder: imageBuilder{builder, blobs}}, nil
}

// imageBuilder builds from uploaded sources, and keeps the logs.
type imageBuilder struct {
	builder *build.Builder
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
	resolved, err := image.Client{}.Resolve(ctx, reference, runtime.GOARCH)
	return release.Image{Reference: resolved, Found: true}, err
}
