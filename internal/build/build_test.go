package build

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/image"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/source"
)

// dir is one builder folder for most tests, so that the standard library is compiled once.
var dir string

func TestMain(m *testing.M) {
	MaybeJail()
	if len(os.Args) > 2 && os.Args[1] == childArg {
		child(os.Args[2:])
	}
	var err error
	dir, err = os.MkdirTemp("", "builder-")
	must(err)
	code := m.Run()
	must(os.RemoveAll(dir))
	os.Exit(code)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func goroot() string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	must(err)
	return strings.TrimSpace(string(out))
}

func registry(t *testing.T) string {
	t.Helper()
	r, err := image.NewRegistry(t.TempDir(), image.RegistryConfig{})
	must(err)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func builder(t *testing.T, change func(*Config)) *Builder {
	t.Helper()
	config := Config{Dir: dir, GoRoot: goroot(), Registry: registry(t), AtOnce: 100}
	if change != nil {
		change(&config)
	}
	b, err := New(config)
	must(err)
	return b
}

// input packs a source of the files.
func input(files map[string]string) Input {
	folder, err := os.MkdirTemp("", "source-")
	must(err)
	defer os.RemoveAll(folder)
	for name, content := range files {
		file := filepath.Join(folder, name)
		must(os.MkdirAll(filepath.Dir(file), 0o755))
		must(os.WriteFile(file, []byte(content), 0o755))
	}
	return packed(folder)
}

func packed(folder string) Input {
	var b bytes.Buffer
	stats, err := source.Pack(folder, &b, source.Limits{})
	must(err)
	return Input{
		Service: release.Key{Project: "default", Name: "hello"}, Source: stats.Digest,
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil },
	}
}

const (
	gomod = "module example.com/app\n\ngo 1.24\n"
	print = "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"it runs\") }\n"
)

// build expects success and returns the program that the image holds.
func build(t *testing.T, b *Builder, in Input) (Result, []byte) {
	t.Helper()
	var log bytes.Buffer
	got, err := b.Build(t.Context(), in, &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	return got, programIn(t, got.Reference)
}

func programIn(t *testing.T, reference string) []byte {
	t.Helper()
	ref, err := name.ParseReference(reference)
	must(err)
	img, err := remote.Image(ref)
	must(err)
	layers, err := img.Layers()
	if err != nil || len(layers) < 2 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	return fileIn(layers[len(layers)-1], "app/main")
}

// says runs the program.
func says(t *testing.T, program []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "app")
	must(os.WriteFile(file, program, 0o755))
	out, err := exec.Command(file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestTheSameSourceMakesTheSameImage(t *testing.T) {
	files := map[string]string{"go.mod": gomod, "main.go": print}
	one, program := build(t, builder(t, nil), input(files))
	if got := says(t, program); got != "it runs\n" {
		t.Errorf("the program says %q", got)
	}
	elsewhere := input(files)
	elsewhere.Service = release.Key{Project: "another", Name: "service"} // other caches, another repository and registry
	b := builder(t, nil)
	two, _ := build(t, b, elsewhere)
	if digestOf(one) != digestOf(two) || one.Key != two.Key || one.Found || two.Found {
		t.Errorf("%+v and %+v", one, two)
	}
	again, _ := build(t, b, elsewhere)
	if !again.Found || again.Reference != two.Reference {
		t.Errorf("the second time: %+v", again)
	}
	files["main.go"] += "// changed\n"
	changed := input(files)
	changed.Service = elsewhere.Service
	if other, _ := build(t, b, changed); other.Found || other.Key == two.Key {
		t.Errorf("a changed source: %+v", other)
	}
}

func TestManyBuildsAtOnce(t *testing.T) {
	b := builder(t, nil)
	var wg sync.WaitGroup
	for i := range 6 {
		in := input(map[string]string{"go.mod": gomod, "main.go": strings.Replace(print, "it runs", fmt.Sprint("number ", i/2), 1)})
		in.Service.Project = fmt.Sprintf("many%d", i%3) // two builds share caches, and two have the same source
		wg.Go(func() {
			var log bytes.Buffer
			got, err := b.Build(context.Background(), in, &log)
			if err != nil {
				t.Errorf("%v\n%s", err, log.String())
				return
			}
			if said := says(t, programIn(t, got.Reference)); said != fmt.Sprintf("number %d\n", i/2) {
				t.Errorf("build %d says %q", i, said)
			}
		})
	}
	wg.Wait()
}

func digestOf(r Result) string { return r.Reference[strings.Index(r.Reference, "@"):] }

func TestKeysDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range []struct {
		source, pkg string
		build       release.Build
		version     string
		arch        string
	}{
		{"a", ".", release.Build{}, "go1", "amd64"}, {"b", ".", release.Build{}, "go1", "amd64"}, {"a", "x", release.Build{}, "go1", "amd64"},
		{"a", ".", release.Build{}, "go2", "amd64"}, {"a", ".", release.Build{}, "go1", "arm64"},
		{"a", ".", release.Build{Tags: []string{"x"}}, "go1", "amd64"}, {"a", ".", release.Build{Set: map[string]string{"main.a": "x"}}, "go1", "amd64"},
		{"a", ".", release.Build{Set: map[string]string{"main.a": "y"}}, "go1", "amd64"},
		{"a", ".", release.Build{Include: []string{"x"}}, "go1", "amd64"}, {"a", ".", release.Build{Exclude: []string{"x"}}, "go1", "amd64"},
	} {
		key := Key(k.source, k.pkg, k.build, k.version, k.arch)
		if seen[key] {
			t.Errorf("%+v has the key of another build", k)
		}
		seen[key] = true
	}
	if Key("a", "./x", release.Build{Tags: []string{"b", "a", "b"}}, "go1", "amd64") != Key("a", "x", release.Build{Tags: []string{"a", "b"}}, "go1", "amd64") {
		t.Error("one build has two keys")
	}
}

func TestTheExamplesAreBuilt(t *testing.T) {
	b := builder(t, func(c *Config) { c.Modules.Proxy = "off" })
	for folder, pkg := range map[string]string{"hello": ".", "fixedport": "", "vendored": "./cmd/server"} {
		in := packed("../../deploy/examples/" + folder)
		in.Package = pkg
		build(t, b, in)
		started := time.Now()
		in = packed("../../deploy/examples/" + folder)
		in.Package, in.Service.Name = pkg, "again" // not found under this name: built, with warm caches
		if got, _ := build(t, b, in); got.Found {
			t.Error("it was found")
		}
		t.Logf("%s with warm caches: %s", folder, time.Since(started))
	}
}

func TestOtherLayoutsAreBuilt(t *testing.T) {
	b := builder(t, nil)
	lib := "package lib\n\nfunc Text() string { return \"from the library\" }\n"
	use := "package main\n\nimport (\n\t\"fmt\"\n\t\"example.com/lib\"\n)\n\nfunc main() { fmt.Println(lib.Text()) }\n"
	for what, c := range map[string]struct {
		files map[string]string
		pkg   string
		want  string
	}{
		"a package in a folder": {map[string]string{"go.mod": gomod, "lib.go": "package app\n", "cmd/a/main.go": print}, "./cmd/a", "it runs\n"},
		"a nested module":       {map[string]string{"readme": "x", "services/a/go.mod": gomod, "services/a/main.go": print}, "services/a", "it runs\n"},
		"a workspace": {map[string]string{"go.work": "go 1.24\n\nuse ./a\nuse ./lib\n", "a/go.mod": "module example.com/a\n\ngo 1.24\n", "a/main.go": use,
			"lib/go.mod": "module example.com/lib\n\ngo 1.24\n", "lib/lib.go": lib}, "a", "from the library\n"},
		"a workspace below": {map[string]string{"deep/go.work": "go 1.24\n\nuse ./a+b/_x\nuse ./lib\n", "deep/a+b/_x/go.mod": "module example.com/a\n\ngo 1.24\n", "deep/a+b/_x/main.go": use,
			"deep/lib/go.mod": "module example.com/lib\n\ngo 1.24\n", "deep/lib/lib.go": lib}, "deep/a+b/_x", "from the library\n"},
		"a replaced module": {map[string]string{"go.mod": "module example.com/a\n\ngo 1.24\n\nrequire example.com/lib v1.0.0\n\nreplace example.com/lib => ./lib\n",
			"main.go": use, "lib/go.mod": "module example.com/lib\n\ngo 1.24\n", "lib/lib.go": lib}, ".", "from the library\n"},
		"a toolchain line that names another Go": {map[string]string{"go.mod": gomod + "\ntoolchain go1.99.0\n", "main.go": print}, ".", "it runs\n"},
	} {
		t.Run(what, func(t *testing.T) {
			in := input(c.files)
			in.Package = c.pkg
			if _, program := build(t, b, in); says(t, program) != c.want {
				t.Errorf("the program does not say %q", c.want)
			}
		})
	}
}

func TestWhatCannotBeBuiltSaysWhy(t *testing.T) {
	b := builder(t, nil)
	for what, c := range map[string]struct {
		files map[string]string
		pkg   string
		kind  fault.Kind
		want  []string
	}{
		"a mistake": {map[string]string{"go.mod": gomod, "main.go": "package main\n\nfunc main() { fmt.Println(undefined) }\n"}, ".", fault.Failed,
			[]string{"the source does not compile:\n", "main.go:3:15: undefined: fmt"}},
		"a mistake in another package": {map[string]string{"go.mod": gomod, "main.go": "package main\n\nimport _ \"example.com/app/x\"\n\nfunc main() {}\n", "x/x.go": "package x\n\nvar x int = \"text\"\n"}, ".", fault.Failed,
			[]string{"x/x.go:3:13: cannot use \"text\""}},
		"no main function":            {map[string]string{"go.mod": gomod, "main.go": "package main\n"}, ".", fault.Failed, []string{"function main is undeclared"}},
		"a package that is not there": {map[string]string{"go.mod": gomod, "main.go": "package main\n\nimport _ \"example.com/app/none\"\n\nfunc main() {}\n"}, ".", fault.Invalid, []string{"main.go imports example.com/app/none"}},
		"a newer Go":                  {map[string]string{"go.mod": "module x\n\ngo 1.99\n", "main.go": print}, ".", fault.Invalid, []string{"go.mod needs Go 1.99, and services are built with Go 1."}},
		"no main package":             {map[string]string{"go.mod": gomod, "x.go": "package x\n", "cmd/a/main.go": print}, ".", fault.Invalid, []string{"found main packages in ./cmd/a"}},
		"no module":                   {map[string]string{"main.go": print}, ".", fault.Invalid, []string{"no go.mod"}},
		"cgo":                         {map[string]string{"go.mod": gomod, "main.go": "package main\n\n// #cgo LDFLAGS: -evil\nimport \"C\"\n\nfunc main() {}\n"}, ".", fault.Invalid, []string{"without cgo"}},
		"a package outside":           {map[string]string{"go.mod": gomod, "main.go": print}, "../x", fault.Invalid, []string{"is not a folder inside the source"}},
	} {
		t.Run(what, func(t *testing.T) {
			in := input(c.files)
			in.Package = c.pkg
			var log bytes.Buffer
			_, err := b.Build(t.Context(), in, &log)
			if !fault.Is(err, c.kind) {
				t.Fatalf("%v (%s), want %s", err, fault.Of(err), c.kind)
			}
			said := fault.WithOutput(fault.Message(err), fault.Output(err))
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("%q does not say %q", said, want)
				}
				cause := strings.HasSuffix(want, ":\n")
				if c.kind == fault.Failed && !cause && strings.Contains(err.Error(), want) {
					t.Errorf("what goes into our logs says %q: %v", want, err)
				}
				if c.kind == fault.Failed && !cause && !strings.Contains(log.String(), want) {
					t.Errorf("the log does not say %q:\n%s", want, log.String())
				}
			}
		})
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "work", "*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestWhatTheGoCommandSaysHasACauseAndNoPlacesOfTheBuild(t *testing.T) {
	for said, want := range map[string][2]string{
		"main.go:8:2: missing go.sum entry for module providing package rsc.io/quote; to add:\n": {"run `go mod tidy`", "main.go:8:2: missing"},
		"go: inconsistent vendoring in /source:\n\tx@v1: is explicitly required\n":               {"run `go mod vendor`", "inconsistent vendoring in the source:"},
		"verifying x@v1: checksum mismatch\n":                                                    {"a module is not the one that go.sum names", "verifying x@v1"},
		"../../caches/modules/example.com/x@v1.0.0/x.go:3:2: undefined: y\n":                     {"the source does not compile", "\nexample.com/x@v1.0.0/x.go:3:2"},
		"a.go:1:1: x@v1: reading http://127.0.0.1:4711/x/@v/v1.zip: 403 Forbidden":               {"the source does not compile", ": reading x/@v/v1.zip: 403"},
		"/source/cmd/api/main.go:3: found source/x and ../source/y of /data/source/z\n":          {"the source does not compile", "\ncmd/api/main.go:3: found source/x and y of /data/source/z\n"},
	} {
		log := bytes.NewBufferString("\n")
		out := &output{log: log}
		out.hide(jailed)
		for _, b := range []byte(said) { // however it comes
			if n, err := out.Write([]byte{b}); n != 1 || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
		}
		must(out.end())
		if cause := causeOf(out.summary()); !strings.Contains(cause, want[0]) || !strings.Contains(log.String(), want[1]) {
			t.Errorf("%q has the cause %q, and the log %q", said, cause, log.String())
		}
	}
}

func TestAnErrorOfAThousandLinesIsShort(t *testing.T) {
	var main strings.Builder
	main.WriteString("package main\n\nfunc main() {\n")
	for i := range 1000 {
		fmt.Fprintf(&main, "\tundefined%d(%q)\n", i, strings.Repeat("x", 1000))
	}
	main.WriteString("}\n")
	_, err := builder(t, nil).Build(t.Context(), input(map[string]string{"go.mod": gomod, "main.go": main.String()}), io.Discard)
	said := fault.WithOutput(fault.Message(err), fault.Output(err))
	if !fault.Is(err, fault.Failed) || len(said) > (maxLines+2)*maxLine || !strings.Contains(said, "undefined0") {
		t.Errorf("%d bytes: %s", len(said), said)
	}
}

func TestAnotherSourceThanAnnouncedIsRefused(t *testing.T) {
	in, other := input(map[string]string{"go.mod": gomod, "main.go": print}), input(map[string]string{"go.mod": gomod, "main.go": print + "\n"})
	in.Open = other.Open
	if _, err := builder(t, nil).Build(t.Context(), in, io.Discard); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "digest") {
		t.Errorf("Build = %v", err)
	}
}

func TestAToolchainMustBeThere(t *testing.T) {
	if _, err := New(Config{Dir: t.TempDir(), GoRoot: t.TempDir()}); !fault.Is(err, fault.Failed) || !strings.Contains(err.Error(), "no Go toolchain") {
		t.Errorf("New = %v", err)
	}
}

// Nothing that a source holds is heard as a setting of the go command, and nothing of it is run.
func TestASourceSetsNoFlags(t *testing.T) {
	evil := "#!/bin/sh\necho evil >&2\nexit 1\n"
	flags := "GOFLAGS=-toolexec=/source/evil\nCGO_ENABLED=1\nGOPROXY=http://192.0.2.1\n"
	files := map[string]string{"go.mod": gomod, "evil": evil, "go.env": flags, ".config/go/env": flags, ".env": flags,
		"main.go": "//go:generate ./evil\npackage main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"it runs\") }\n"}
	var log bytes.Buffer
	if _, err := builder(t, nil).Build(t.Context(), input(files), &log); err != nil || strings.Contains(log.String(), "evil") {
		t.Errorf("%v\n%s", err, log.String())
	}
}

func TestASourceIsCheckedForTheBuildersArchitecture(t *testing.T) {
	in := input(map[string]string{"go.mod": gomod, "main_amd64.go": "package main\n\nfunc main() {}\n"})
	b := builder(t, func(c *Config) { c.Arch = "arm64" })
	if _, err := b.Build(t.Context(), in, io.Discard); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "built for linux/arm64 without cgo") {
		t.Errorf("Build = %v", err)
	}
}
