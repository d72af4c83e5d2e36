package build

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// root unpacks an image's whole root file system, and returns where it starts the program.
func root(t *testing.T, reference string) (dir, workingDir string, entrypoint []string) {
	t.Helper()
	ref, err := name.ParseReference(reference)
	must(err)
	img, err := remote.Image(ref)
	must(err)
	config, err := img.ConfigFile()
	must(err)
	dir = t.TempDir()
	for r := tar.NewReader(mutate.Extract(img)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return dir, config.Config.WorkingDir, config.Config.Entrypoint
		}
		must(err)
		file := filepath.Join(dir, h.Name)
		must(os.MkdirAll(filepath.Dir(file), 0o755))
		switch h.Typeflag {
		case tar.TypeDir:
			must(os.MkdirAll(file, 0o755))
		case tar.TypeSymlink:
			must(os.Symlink(h.Linkname, file))
		default:
			content, err := io.ReadAll(r)
			must(err)
			must(os.WriteFile(file, content, os.FileMode(h.Mode)))
		}
	}
}

// besides are the files in the working directory of an image, with its program.
func besides(t *testing.T, reference string) []string {
	t.Helper()
	dir, workingDir, _ := root(t, reference)
	var files []string
	must(filepath.WalkDir(filepath.Join(dir, workingDir), func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, strings.TrimPrefix(name, filepath.Join(dir, workingDir)+"/"))
		}
		return err
	}))
	return files
}

const readsFiles = `package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	inFolder, err := os.ReadFile("templates/index.html")
	program, _ := os.Executable()
	beside, err2 := os.ReadFile(filepath.Join(filepath.Dir(program), "templates/index.html"))
	fmt.Println(string(inFolder), err, string(beside), err2)
}
`

func TestAProgramReadsTheFilesOfItsFolder(t *testing.T) {
	in := input(map[string]string{"go.mod": gomod, "main.go": readsFiles, "templates/index.html": "<html>", "static/app.js": "js"})
	var log bytes.Buffer
	b := builder(t, nil)
	got, err := b.Build(t.Context(), in, &log)
	must(err)
	dir, workingDir, entrypoint := root(t, got.Reference)
	cmd := exec.Command(filepath.Join(dir, entrypoint[0]))
	cmd.Dir = filepath.Join(dir, workingDir)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "<html> <nil> <html> <nil>\n" {
		t.Errorf("the program says %q, %v", out, err)
	}
	if want := "2 files come along: templates (6 bytes), static (2 bytes)\n"; !strings.Contains(log.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, log.String())
	}
	elsewhere := in
	elsewhere.Service = release.Key{Project: "elsewhere", Name: "files"}
	if two, _ := build(t, builder(t, nil), elsewhere); digestOf(two) != digestOf(got) {
		t.Error("the same files make another image")
	}
}

func TestWhichFilesComeAlong(t *testing.T) {
	web := map[string]string{"go.mod": gomod, "main.go": print, "go.sum": "", "main_test.go": "package main\n", "testdata/x": "", "README.md": "", "m3o.yaml": "", ".gitignore": "nothing\n",
		"Makefile": "", ".env": "A=b", "static/vendor/jquery.js": "", "static/README.md": "", ".well-known/x": "", "config.yaml": "", "secret/key": "", "main": "an old program"}
	vendored := map[string]string{"go.mod": gomod, "main.go": print, "vendor/modules.txt": "", "vendor/x/data.txt": "", "schema.sql": ""}
	below := map[string]string{"go.mod": gomod, "cmd/api/main.go": print, "cmd/api/m3o.yaml": "", "templates/a.html": "", "cmd/other/main.go": print}
	for what, c := range map[string]struct {
		files map[string]string
		pkg   string
		build release.Build
		want  []string
	}{
		"all but Go's own":               {web, ".", release.Build{}, []string{".env", ".well-known/x", "config.yaml", "main", "secret/key", "static/README.md", "static/vendor/jquery.js"}},
		"without what is excluded":       {web, ".", release.Build{Exclude: []string{"/secret/", ".*", "README.md"}}, []string{"config.yaml", "main", "static/vendor/jquery.js"}},
		"only what is included":          {web, ".", release.Build{Include: []string{"static", "*.go", "!jquery*"}}, []string{"main", "main.go", "main_test.go", "static/README.md"}},
		"no vendored packages":           {vendored, ".", release.Build{}, []string{"main", "schema.sql"}},
		"nothing of a program alone":     {map[string]string{"go.mod": gomod, "main.go": print}, ".", release.Build{}, []string{"main"}},
		"the module's for a bare folder": {below, "./cmd/api", release.Build{}, []string{"main", "templates/a.html"}},
		"the package folder's before the module's": {map[string]string{"go.mod": gomod, "cmd/api/main.go": print, "cmd/api/a.txt": "", "templates/a.html": ""}, "cmd/api", release.Build{},
			[]string{"a.txt", "main"}},
		"what is included, wherever it is": {map[string]string{"go.mod": gomod, "cmd/api/main.go": print, "cmd/api/a.txt": "", "templates/a.html": "", "b.txt": ""}, "cmd/api",
			release.Build{Include: []string{"templates/"}}, []string{"main", "templates/a.html"}},
		"a folder of the program's name": {map[string]string{"go.mod": gomod, "main.go": print, "main/a.txt": ""}, ".", release.Build{}, []string{"main/a.txt", "main_"}},
	} {
		t.Run(what, func(t *testing.T) {
			in := input(c.files)
			in.Package, in.Build = c.pkg, c.build
			got, err := builder(t, nil).Build(t.Context(), in, io.Discard)
			must(err)
			if files := besides(t, got.Reference); !slices.Equal(files, c.want) {
				t.Errorf("the image holds %q, want %q", files, c.want)
			}
		})
	}
}

func TestLinksComeAlongWhenTheyStayInTheFolder(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{"go.mod": gomod, "cmd/api/main.go": print, "cmd/api/v1/a.txt": "one", "shared/b.txt": "two"} {
		must(os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755))
		must(os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644))
	}
	must(os.Symlink("v1/a.txt", filepath.Join(folder, "cmd/api/latest")))
	must(os.Symlink("../../shared", filepath.Join(folder, "cmd/api/shared")))
	in := packed(folder)
	in.Package = "cmd/api"
	var log bytes.Buffer
	got, err := builder(t, nil).Build(t.Context(), in, &log)
	must(err)
	if files := besides(t, got.Reference); !slices.Equal(files, []string{"latest", "main", "v1/a.txt"}) {
		t.Errorf("the image holds %q", files)
	}
	dir, workingDir, _ := root(t, got.Reference)
	if content, err := os.ReadFile(filepath.Join(dir, workingDir, "latest")); string(content) != "one" {
		t.Errorf("the link leads to %q, %v", content, err)
	}
	if want := "cmd/api/shared is left out: it leads out of the folder"; !strings.Contains(log.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, log.String())
	}
}

func TestFilesThatComeAlongAreBounded(t *testing.T) {
	files := map[string]string{"go.mod": gomod, "main.go": print, "static/app.js": "js"}
	for i := range 3 {
		files["web/videos/"+strings.Repeat("x", i+1)] = strings.Repeat("x", 1000)
	}
	for what, c := range map[string]struct {
		limits Limits
		build  release.Build
		want   string
	}{
		"too large": {Limits{FileBytes: 2500}, release.Build{}, "the files that would come along with the program have 3 kB, more than 2.5 kB; the largest are web/videos (3 kB), static (2 bytes): " +
			"say in m3o.yaml which the program does not read (exclude), or which alone it reads (include)"},
		"too many":     {Limits{Files: 3}, release.Build{}, "4 files would come along with the program, more than 3; most are in web/videos (3 files)"},
		"not excluded": {Limits{FileBytes: 2500}, release.Build{Exclude: []string{"web/"}}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			in := input(files)
			in.Build = c.build
			_, err := builder(t, func(config *Config) { config.Limits = c.limits }).Build(t.Context(), in, io.Discard)
			if c.want == "" && err != nil || c.want != "" && (!fault.Is(err, fault.Failed) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestTheSearchForFilesEndsWithTheBuild(t *testing.T) {
	dir := t.TempDir()
	must(os.WriteFile(filepath.Join(dir, "a.txt"), nil, 0o644))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fault.New(fault.Failed, "the build took longer than 10m"))
	if err := newSelection(dir, release.Build{}).folder(ctx, ".", true); !fault.Is(err, fault.Failed) {
		t.Errorf("it goes on, %v", err)
	}
}

// However a package is written, it is one build and one image.
func TestAPackageMakesOneImage(t *testing.T) {
	in := input(map[string]string{"go.mod": gomod, "cmd/api/main.go": print})
	var made []Result
	for _, pkg := range []string{"cmd/api", "./cmd/api"} {
		in.Package = pkg
		got, _ := build(t, builder(t, nil), in)
		made = append(made, got)
	}
	if made[0].Key != made[1].Key || digestOf(made[0]) != digestOf(made[1]) {
		t.Errorf("they are %+v", made)
	}
}

func TestTimeZonesAreThere(t *testing.T) {
	got, _ := build(t, builder(t, nil), input(map[string]string{"go.mod": gomod, "main.go": print}))
	dir, _, _ := root(t, got.Reference)
	for _, zone := range []string{"Europe/Berlin", "America/Argentina/Buenos_Aires", "UTC"} {
		if content, err := os.ReadFile(filepath.Join(dir, "usr/share/zoneinfo", zone)); !bytes.HasPrefix(content, []byte("TZif")) {
			t.Errorf("%s: %d bytes, %v", zone, len(content), err)
		}
	}
}

func TestWhatIsSaidAboutABuildIsHeard(t *testing.T) {
	files := map[string]string{"go.mod": gomod, "lib/lib.go": "package lib\n\nvar Name string\n",
		"main.go":  "package main\n\nimport (\n\t\"fmt\"\n\n\t\"example.com/app/lib\"\n)\n\nvar one, two, three string\n\nvar edition = \"basic\"\n\nfunc main() { fmt.Printf(\"%q %q %q %q %s\", one, two, three, lib.Name, edition) }\n",
		"extra.go": "//go:build extra && more\n\npackage main\n\nfunc init() { edition = \"extra\" }\n"}
	plain, program := build(t, builder(t, nil), input(files))
	if got := says(t, program); got != `"" "" "" "" basic` {
		t.Errorf("without a word it says %s", got)
	}
	in := input(files)
	in.Build = release.Build{Tags: []string{"more", "extra"}, Set: map[string]string{"main.one": `a 'quote' -extld=sh`, "main.two": `{proxy} {out} "x"`, "main.three": "$HOME=ü", "example.com/app/lib.Name": "shop"}}
	said, program := build(t, builder(t, nil), in)
	if got, want := says(t, program), `"a 'quote' -extld=sh" "{proxy} {out} \"x\"" "$HOME=ü" "shop" extra`; got != want {
		t.Errorf("it says %s, want %s", got, want)
	}
	if plain.Key == said.Key {
		t.Error("both are one build")
	}
	in.Build = release.Build{Set: maps.Clone(in.Build.Set)}
	in.Build.Set["-extld.sh"] = "x"
	if _, err := builder(t, nil).Build(t.Context(), in, io.Discard); !fault.Is(err, fault.Invalid) {
		t.Errorf("a variable that is a flag: %v", err)
	}
}
