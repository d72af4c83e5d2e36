package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/image"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/source"
)

// Config is what a Builder needs.
type Config struct {
	Dir             string // work folders and caches; one Builder's own
	GoRoot          string // the toolchain
	Registry        string // where images go: "host:port" or "host/prefix"
	Client          image.Client
	Arch            string // GOARCH of the regions' nodes; by default this machine's
	Modules         Modules
	Limits          Limits
	AtOnce          int // builds at one time, of all projects; 3: a build uses every core, more only make each slower
	Source          source.Limits
	AllowUnconfined bool // build without a jail where none can be made
}

// Modules says where modules come from, in the words of the go command's environment.
type Modules struct {
	Proxy   string // GOPROXY: http, https and file URLs; "direct" and "off" are passed over, as builds reach nothing else
	SumDB   string // GOSUMDB; sum.golang.org by default, "off" for none
	NoSumDB string // GONOSUMDB
}

// Limits bound one build. A zero means the default.
type Limits struct {
	Time      time.Duration // 10 minutes
	Memory    int64         // of all processes of a build; 4 GiB
	Processes int           // and threads; 512
	Disk      int64         // of the work folder, and of one written file; 2 GiB
	Cache     int64         // of a project's caches, which are emptied when they are over; 8 GiB
	Download  int64         // modules fetched in one build; 2 GiB
	Program   int64         // size of the program; 512 MiB
	Files     int           // that come along with the program; 10,000
	FileBytes int64         // their size; 256 MiB
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		value *int64
		to    int64
	}{{&l.Memory, 4 << 30}, {&l.Disk, 2 << 30}, {&l.Cache, 8 << 30}, {&l.Download, 2 << 30}, {&l.Program, 512 << 20}, {&l.FileBytes, 256 << 20}} {
		if *d.value <= 0 {
			*d.value = d.to
		}
	}
	if l.Time <= 0 {
		l.Time = 10 * time.Minute
	}
	if l.Processes <= 0 {
		l.Processes = 512
	}
	if l.Files <= 0 {
		l.Files = 10_000
	}
	return l
}

// Input is one build.
type Input struct {
	Service release.Key // whose image it is: the repository's path and the caches' owner
	Source  string      // digest
	Package string      // main package in the source, "." by default
	Build   release.Build
	Open    func(context.Context) (io.ReadCloser, error)
}

// Result is an image in the registry.
type Result struct {
	Reference string // by digest
	Key       string // of the build
	Found     bool   // an equal build was there
}

// Builder builds. It may build several sources at one time, and shares that time between projects.
type Builder struct {
	config   Config
	version  string // of the toolchain, "go1.26.8"
	zones    map[string][]byte
	warming  chan struct{} // one place: for whoever makes what builds share
	compiles *places
	resolves *places
	waits    time.Duration // for a registry to say what an image is
}

const (
	buildsAtOnce = 3
	// Resolving costs nothing but the wait for a registry that may never answer.
	resolvesAtOnce = 64
	resolveTime    = 15 * time.Second
)

// New makes a builder, and removes what builds that were killed have left in its folder.
func New(config Config) (*Builder, error) {
	config.Limits = config.Limits.withDefaults()
	config.Source = config.Source.WithDefaults()
	if config.Arch == "" {
		config.Arch = runtime.GOARCH
	}
	if config.Modules.SumDB == "" {
		config.Modules.SumDB = "sum.golang.org"
	}
	version, err := toolchainVersion(config.GoRoot)
	if err != nil {
		return nil, err
	}
	zoned, err := readZones(config.GoRoot)
	if err != nil {
		return nil, err
	}
	b := &Builder{config: config, version: version, zones: zoned, warming: make(chan struct{}, 1),
		compiles: newPlaces("a free builder", cmp.Or(config.AtOnce, buildsAtOnce)), resolves: newPlaces("its turn to ask a registry", resolvesAtOnce),
		waits: resolveTime}
	for _, dir := range []string{b.path("work"), b.path("cache")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make builder folder: %w", err)
		}
	}
	return b, b.sweep()
}

// toolchainVersion reads it from the toolchain, without running it.
func toolchainVersion(goroot string) (string, error) {
	content, err := os.ReadFile(filepath.Join(goroot, "VERSION"))
	version, _, _ := strings.Cut(string(content), "\n")
	if err != nil || !strings.HasPrefix(version, "go") {
		return "", fault.New(fault.Failed, "there is no Go toolchain in %q; builds need one", goroot)
	}
	if _, err := os.Stat(filepath.Join(goroot, "bin", "go")); err != nil {
		return "", fault.New(fault.Failed, "the Go toolchain in %q has no go command", goroot)
	}
	return version, nil
}

func (b *Builder) path(parts ...string) string {
	return filepath.Join(append([]string{b.config.Dir}, parts...)...)
}

// Describe says what the builder is.
func (b *Builder) Describe() release.Builder {
	return release.Builder{Arch: b.config.Arch, Go: b.version}
}

// Build makes the image of the input's program, or finds it. What the go command says goes to log. Building again after a
// kill is safe: nothing of an unfinished build is ever found. A builder that has no place free for the project says Throttled and
// when to come back; it has done nothing then, and written nothing to log.
func (b *Builder) Build(ctx context.Context, in Input, log io.Writer) (Result, error) {
	if err := in.validate(); err != nil {
		return Result{}, err
	}
	in.Package = path.Clean(in.Package) // "." for none
	key := Key(in.Source, in.Package, in.Build, b.version, b.config.Arch)
	repository, tag := b.config.Registry+"/"+in.Service.Project+"/"+in.Service.Name, image.BuildTag+key
	reference, found, err := b.config.Client.Has(ctx, repository+":"+tag)
	if err != nil {
		return Result{}, err
	}
	if found {
		fmt.Fprintf(log, "found %s: the same source was built before\n", reference)
		return Result{Reference: reference, Key: key, Found: true}, nil
	}
	done, err := b.compiles.take(in.Service, key)
	if err != nil {
		return Result{}, err
	}
	defer done()
	ctx, cancel := context.WithTimeoutCause(ctx, b.config.Limits.Time,
		fault.New(fault.Failed, "the build took longer than %s", b.config.Limits.Time))
	defer cancel()
	reference, err = b.make(ctx, in, repository, tag, log)
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(log, "the build was broken off")
		return Result{}, err
	case err != nil:
		fmt.Fprintf(log, "failed: %s\n", fault.Message(err))
		return Result{}, err
	}
	fmt.Fprintf(log, "pushed %s\n", reference)
	return Result{Reference: reference, Key: key}, nil
}

// Resolve returns the reference of an image that exists by digest. One of our own registry must be the service's project's. It
// is tried once: a registry that does not answer holds nothing up but this call. A builder that asks too many already says
// Throttled and when to come back.
func (b *Builder) Resolve(ctx context.Context, service release.Key, reference string) (string, error) {
	if err := image.CheckOwner(b.config.Registry, service.Project, reference); err != nil {
		return "", err
	}
	done, err := b.resolves.take(service, reference)
	if err != nil {
		return "", err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, b.waits)
	defer cancel()
	return b.config.Client.Resolve(ctx, reference, b.config.Arch)
}

func (in Input) validate() error {
	request := release.Request{Service: in.Service, Origin: release.Origin{Source: in.Source, Package: in.Package, Build: in.Build}}
	return request.Validate()
}

// make builds in a work folder of its own, which is gone afterwards.
func (b *Builder) make(ctx context.Context, in Input, repository, tag string, log io.Writer) (reference string, err error) {
	w, err := b.newWork()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, w.remove()) }()
	fmt.Fprintf(log, "building %s of %.19s with %s\n", in.Package, in.Source, b.version)
	if err := b.unpack(ctx, in, w); err != nil {
		return "", err
	}
	caches, err := b.caches(ctx, in.Service.Project, log)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, caches.release()) }()
	files, err := b.beside(ctx, w, in, log)
	if err != nil {
		return "", err
	}
	program, err := b.compile(ctx, in, w, caches, log)
	if err != nil {
		return "", err
	}
	img, err := image.FromBinary(w.scratch, program, b.config.Arch, image.Config{
		Path: programPath(files), Dir: workDir, Surrounds: b.zones, Files: files,
		Labels: map[string]string{
			"org.opencontainers.image.revision": in.Source,
			"dev.m3o.package":                   in.Package,
			"dev.m3o.go":                        b.version,
		},
	})
	if err != nil {
		return "", err
	}
	return b.config.Client.Push(ctx, repository, tag, img)
}

func (b *Builder) unpack(ctx context.Context, in Input, w *work) error {
	r, err := in.Open(ctx)
	if err != nil {
		return err
	}
	_, err = source.Unpack(ctx, r, w.source, in.Source, b.config.Source)
	if err := errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("unpack source: %w", err)
	}
	program, err := source.CheckGo(w.source, source.Wanted{Package: in.Package, Tags: in.Build.Tags, Architectures: []string{b.config.Arch}, Go: b.version})
	w.workspace = program.Workspace
	return err
}
