//go:build embedded

package workers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/build"
	"github.com/m3o/platform/internal/dev/engine"
	"github.com/m3o/platform/internal/image"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/source"
)

func TestMain(m *testing.M) {
	build.MaybeJail()
	os.Exit(m.Run())
}

// factory is a builder whose sources are in memory.
type factory struct {
	*build.Builder
	sources map[string][]byte
}

func (f *factory) BuildImage(ctx context.Context, in release.BuildInput) (release.Image, error) {
	open := func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(f.sources[in.Origin.Source])), nil
	}
	made, err := f.Build(ctx, build.Input{Service: in.Service, Source: in.Origin.Source, Package: in.Origin.Package, Open: open}, io.Discard)
	return release.Image{Reference: made.Reference, Found: made.Found}, err
}

func (f *factory) ResolveImage(ctx context.Context, in release.BuildInput) (release.Image, error) {
	reference, err := f.Resolve(ctx, in.Service, in.Origin.Image)
	return release.Image{Reference: reference, Found: true}, err
}

// source makes the source of a program and returns its digest.
func (f *factory) source(t *testing.T, text string) string {
	dir := t.TempDir()
	for name, content := range map[string]string{"go.mod": "module example.com/app\n\ngo 1.24\n", "main.go": "package main\n\nfunc main() { println(\"" + text + "\") }\n"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	var b bytes.Buffer
	stats, err := source.Pack(dir, &b, source.Limits{})
	must(t, err)
	f.sources[stats.Digest] = b.Bytes()
	return stats.Digest
}

func goroot(t *testing.T) string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	must(t, err)
	return strings.TrimSpace(string(out))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is a Temporal with the workers of the queue build, and one that runs BuildImage.
func site(t *testing.T, f *factory) client.Client {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	must(t, l.Close())
	logger := slog.New(slog.DiscardHandler)
	e, err := engine.Start(t.Context(), engine.Config{Dir: t.TempDir(), Port: port, Namespace: "default", Retention: 24 * time.Hour, Logger: logger})
	must(t, err)
	t.Cleanup(func() { _ = e.Stop() })
	c, err := client.Dial(client.Options{HostPort: e.Address, Logger: silent{}})
	must(t, err)
	t.Cleanup(c.Close)
	seat := Seat{Queue: queue.Build, Activities: BuildActivities{Builds: &activities.Builds{Builder: f}}, AtOnce: 200}
	builds := seat.worker(t.Context(), c, Options{Build: "test", Logger: logger}, func(err error) { t.Error(err) })
	must(t, builds.Start())
	t.Cleanup(builds.Stop)
	w := worker.New(c, queue.Flows, worker.Options{})
	for _, known := range flows() {
		if known.name == release.BuildWorkflow {
			w.RegisterWorkflowWithOptions(known.function, workflow.RegisterOptions{Name: known.name})
		}
	}
	must(t, w.Start())
	t.Cleanup(w.Stop)
	return c
}

// TestOneProjectDoesNotHoldUpAnothersBuilds: with the real builder and the real Temporal, one project asks for images of a registry
// that never answers, and for many builds; another asks last and is served soon.
func TestOneProjectDoesNotHoldUpAnothersBuilds(t *testing.T) {
	disk, err := image.NewRegistry(t.TempDir(), image.RegistryConfig{})
	must(t, err)
	server := httptest.NewServer(disk)
	t.Cleanup(server.Close)
	mute, err := net.Listen("tcp", "127.0.0.1:0") // its backlog takes connections
	must(t, err)
	t.Cleanup(func() { mute.Close() })
	builder, err := build.New(build.Config{Dir: t.TempDir(), GoRoot: goroot(t), Registry: strings.TrimPrefix(server.URL, "http://")})
	must(t, err)
	must(t, builder.Warm(t.Context()))
	f := &factory{Builder: builder, sources: map[string][]byte{}}
	var origins []release.Origin
	for i := range 40 {
		origins = append(origins, release.Origin{Image: fmt.Sprintf("%s/x%d:v1", mute.Addr(), i)})
	}
	for i := range 20 {
		origins = append(origins, release.Origin{Source: f.source(t, fmt.Sprint("noisy ", i)), Package: "."})
	}
	last := release.Origin{Source: f.source(t, "quiet"), Package: "."}

	c := site(t, f)
	ended := make(chan string, 100)
	start := func(project string, n int, o release.Origin) {
		in := release.BuildInput{Service: release.Key{Project: project, Name: fmt.Sprint("s", n)}, Number: 1, Origin: o}
		run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: in.Service.BuildID(1), TaskQueue: queue.Flows}, release.BuildWorkflow, in)
		if err != nil {
			t.Errorf("ask for %s: %v", in.Service, err)
			ended <- project
			return
		}
		go func() {
			if err := run.Get(t.Context(), nil); err != nil && t.Context().Err() == nil {
				t.Errorf("%s: %v", in.Service, err)
			}
			ended <- project
		}()
	}
	var asking sync.WaitGroup
	for i, o := range origins {
		asking.Go(func() { start("noisy", i, o) })
	}
	asking.Wait()
	start("quiet", 0, last)
	before := -len(ended) // on a busy machine some end while the others are being asked for
	for project := range ended {
		if project == "quiet" {
			break
		}
		before++
	}
	if before > 10 {
		t.Errorf("%d of 20 builds of another project that had not ended came before", before)
	}
	t.Logf("%d builds of another project came before", before)
}

func (f *factory) RemoveSources(context.Context, string) error { return nil }
