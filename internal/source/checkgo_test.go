package source

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
)

const mainFile = "package main\n\nfunc main() {}\n"

func imports(path string) string {
	return "package main\n\nimport _ \"" + path + "\"\n\nfunc main() {}\n"
}

func embedding(pattern string) string {
	return "package main\n\nimport \"embed\"\n\n//go:embed " + pattern + "\nvar _ embed.FS\n\nfunc main() {}\n"
}

// checked is what the check of a folder says, as m3o run asks it.
func checked(t *testing.T, dir string, w Wanted) (*Listing, Program, error) {
	t.Helper()
	place, err := Locate(dir, w.Package)
	if err != nil {
		return nil, Program{}, err
	}
	l, err := Open(place, Limits{})
	if err != nil {
		return nil, Program{}, err
	}
	t.Cleanup(func() { l.Close() })
	w.Package = place.Package
	p, err := l.Check(w)
	return l, p, err
}

// builds reports whether the go command finds all of the package in the folder, with the builder's environment.
func builds(t *testing.T, dir, pkg, workspace string) error {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}} {{.EmbedFiles}}", ".")
	cmd.Dir = filepath.Join(dir, pkg)
	if workspace == "" {
		workspace = "off"
	} else {
		workspace = filepath.Join(dir, workspace)
	}
	cmd.Env = append(os.Environ(), "GOWORK="+workspace, "GOFLAGS=", "GOPROXY=off", "GOTOOLCHAIN=local", "GO111MODULE=on", "CGO_ENABLED=0", "GOOS=linux")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return errors.New(string(out))
	}
	return nil
}

// unpacked is the folder as the builder has it.
func unpacked(t *testing.T, l *Listing) string {
	t.Helper()
	var b bytes.Buffer
	stats, err := l.Pack(&b)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if _, err := Unpack(t.Context(), &b, out, stats.Digest, Limits{}); err != nil {
		t.Fatal(err)
	}
	return out
}

const aModule = "module example.com/m\n\ngo 1.24\n"

// What the check lets through the go command finds whole on the other side, and the builder's check says the same.
func TestWhatIsSentBuildsThereAsHere(t *testing.T) {
	work := map[string]string{"go.work": "go 1.24\n\nuse (\n\t./services/api\n\t./lib\n)\n", "lib/go.mod": "module example.com/lib\n\ngo 1.24\n",
		"lib/lib.go": "package lib\n", "services/api/go.mod": aModule, "services/api/main.go": imports("example.com/lib")}
	for name, c := range map[string]struct {
		files  map[string]string
		run    string
		wanted Wanted
		pkg    string
		path   string
	}{
		"a module":                        {map[string]string{"go.mod": aModule, "main.go": mainFile}, "", Wanted{}, ".", "example.com/m"},
		"no go line":                      {map[string]string{"go.mod": "module m\n", "main.go": imports("m/hi"), "hi/hi.go": "package hi\n"}, "", Wanted{}, ".", "m"},
		"a newer toolchain line":          {map[string]string{"go.mod": aModule + "toolchain go1.99.0\n", "main.go": mainFile}, "", Wanted{Go: "go1.24.0"}, ".", "example.com/m"},
		"new words in go.mod":             {map[string]string{"go.mod": "module m\n\ngo 1.25\n\ngodebug default=go1.24\nignore ./web\ntool example.com/x/y\nretract v1.0.0\n", "main.go": mainFile, "web/x.go": "package broken {\n"}, "", Wanted{}, ".", "m"},
		"one program below":               {map[string]string{"go.mod": aModule, "lib.go": "package m\n", "cmd/server/main.go": mainFile}, "", Wanted{Choose: true}, "cmd/server", "example.com/m/cmd/server"},
		"the top before others":           {map[string]string{"go.mod": aModule, "main.go": mainFile, "cmd/tool/main.go": mainFile}, "", Wanted{Choose: true}, ".", "example.com/m"},
		"a folder of a module":            {map[string]string{"go.mod": aModule, "lib/lib.go": "package lib\n", "cmd/api/main.go": imports("example.com/m/lib")}, "cmd/api", Wanted{}, "cmd/api", "example.com/m/cmd/api"},
		"names that Go takes":             {map[string]string{"go.mod": aModule, "_test-like/a+b/.x/main.go": mainFile}, "", Wanted{Package: "_test-like/a+b/.x"}, "_test-like/a+b/.x", "example.com/m/_test-like/a+b/.x"},
		"a module in a odd place":         {map[string]string{"go.work": "go 1.24\n\nuse \"./ünï ~\"\n", "ünï ~/go.mod": aModule, "ünï ~/main.go": mainFile}, "ünï ~", Wanted{}, "ünï ~", "example.com/m"},
		"a workspace":                     {work, "", Wanted{Package: "./services/api"}, "services/api", "example.com/m"},
		"a folder of a workspace":         {work, "services/api", Wanted{}, "services/api", "example.com/m"},
		"a workspace below":               {prefixed("deep/ws/", work), "", Wanted{Package: "deep/ws/services/api"}, "deep/ws/services/api", "example.com/m"},
		"a workspace left out of uploads": {map[string]string{"go.work": "go 1.24\n\nuse ./a\n", ".gitignore": "go.work\n", ".m3oignore": "/go.work\n", "a/go.mod": aModule, "a/main.go": mainFile}, "a", Wanted{}, "a", "example.com/m"},
		"a module below":                  {map[string]string{"a/go.mod": aModule + "\nrequire example.com/l v1.0.0\n\nreplace example.com/l => ../l\n", "a/main.go": imports("example.com/l/x"), "l/go.mod": "module example.com/l\n", "l/x/x.go": "package x\n"}, "", Wanted{Choose: true}, "a", "example.com/m"},
		"a replace nobody needs":          {map[string]string{"go.mod": aModule + "\nreplace example.com/l => ../../nowhere\n", "main.go": mainFile}, "", Wanted{}, ".", "example.com/m"},
		"tags":                            {map[string]string{"go.mod": aModule, "main.go": "//go:build prod\n\n" + mainFile, "dev.go": "//go:build !prod\n\npackage dev\n"}, "", Wanted{Tags: []string{"prod"}}, ".", "example.com/m"},
		"embeds":                          {map[string]string{"go.mod": aModule, "main.go": embedding("all:static templates/*.html"), "static/.x/_y": "x", "static/node_modules/a b.js": "", "templates/ü.html": ""}, "", Wanted{}, ".", "example.com/m"},
		"an ignore file undone":           {map[string]string{"go.mod": aModule, ".gitignore": "/dist/\n", ".m3oignore": "!/dist/\n", "main.go": embedding("dist/index.html"), "dist/index.html": "x"}, "", Wanted{}, ".", "example.com/m"},
		"a named ignored folder":          {map[string]string{"go.mod": aModule, ".gitignore": "# the program\napi\n", "cmd/api/main.go": mainFile}, "", Wanted{Package: "cmd/api"}, "cmd/api", "example.com/m/cmd/api"},
		"files ignored for tests":         {map[string]string{"go.mod": aModule, ".gitignore": "*_gen.go\n", "main.go": mainFile, "x_gen.go": "//go:build ignore\n\npackage main\n"}, "", Wanted{}, ".", "example.com/m"},
		"vendor":                          {vendored("v1.0.0", true), "", Wanted{}, ".", "example.com/m"},
		"no vendor at all":                {with(vendored("v1.0.0", true), ".m3oignore", "/vendor/\n", "go.mod", aModule, "main.go", mainFile), "", Wanted{}, ".", "example.com/m"},
		"a vendor folder undone":          {with(vendored("v1.0.0", true), ".gitignore", "vendor/*/\n", ".m3oignore", "!/vendor/**\n"), "", Wanted{}, ".", "example.com/m"},
		"replaced and vendored": {with(vendored("v1.0.0", true), "go.mod", aModule+"\nrequire example.com/q v1.0.0\n\nreplace example.com/q => ../q\n",
			"vendor/modules.txt", "# example.com/q v1.0.0 => ../q\n## explicit; go 1.24\nexample.com/q\n# example.com/q => ../q\n"), "", Wanted{}, ".", "example.com/m"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, c.files)
			l, got, err := checked(t, filepath.Join(dir, c.run), c.wanted)
			if err != nil || got.Package != c.pkg || got.ImportPath != c.path || len(got.Notes) > 0 {
				t.Fatalf("%+v, %v", got, err)
			}
			out := unpacked(t, l)
			c.wanted.Package, c.wanted.Choose = got.Package, false
			if there, err := CheckGo(out, c.wanted); err != nil || there.Workspace != got.Workspace || there.ImportPath != got.ImportPath {
				t.Errorf("the builder finds %+v, %v", there, err)
			}
			if len(c.wanted.Tags) == 0 {
				if err := builds(t, out, got.Package, got.Workspace); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func prefixed(prefix string, files map[string]string) map[string]string {
	moved := map[string]string{}
	for name, content := range files {
		moved[prefix+name] = content
	}
	return moved
}

func with(files map[string]string, more ...string) map[string]string {
	for i := 0; i < len(more); i += 2 {
		files[more[i]] = more[i+1]
	}
	return files
}

// vendored is a module that vendors another at v1.0.0 and asks for one at the version.
func vendored(version string, whole bool) map[string]string {
	files := map[string]string{"go.mod": aModule + "\nrequire example.com/q " + version + "\n", "main.go": imports("example.com/q"),
		"vendor/modules.txt": "# example.com/q v1.0.0\n## explicit; go 1.24\nexample.com/q\n"}
	if whole {
		files["vendor/example.com/q/q.go"] = "package q\n"
	}
	return files
}

// What the builder would not have is said before the upload: what, the line that leaves it out, and what to do.
func TestWhatWouldNotBuildThereIsSaidBeforeTheUpload(t *testing.T) {
	for name, c := range map[string]struct {
		files  map[string]string
		wanted Wanted
		want   string
	}{
		"no module": {map[string]string{"main.go": mainFile}, Wanted{}, `the source has no go.mod for .: make one with "go mod init"`},
		"a newer Go": {map[string]string{"go.mod": "module m\n\ngo 1.99.1\n\nfrobnicate x\n", "main.go": mainFile}, Wanted{Go: "go1.26.8"},
			"go.mod needs Go 1.99.1, and services are built with Go 1.26.8: set its go line to that or lower"},
		"a newer Go in the workspace": {map[string]string{"go.work": "go 1.99\n\nuse ./a\n", "a/go.mod": aModule, "a/main.go": mainFile}, Wanted{Package: "a", Go: "go1.26.8"},
			"go.work needs Go 1.99, and services are built with Go 1.26.8"},
		"go.mod is broken":   {map[string]string{"go.mod": "module m\n\nfrobnicate x\n", "main.go": mainFile}, Wanted{}, "go.mod:3: unknown directive: frobnicate"},
		"a name Go refuses":  {map[string]string{"go.mod": aModule, "ünï/main.go": mainFile}, Wanted{Package: "ünï"}, `the folder ünï cannot hold a package: malformed import path "example.com/m/ünï": invalid char 'ü'`},
		"several programs":   {map[string]string{"go.mod": aModule, "cmd/a/main.go": mainFile, "cmd/b/main.go": mainFile}, Wanted{Choose: true}, "no main package in .: found main packages in ./cmd/a, ./cmd/b; name one with --package"},
		"cgo":                {map[string]string{"go.mod": aModule, "main.go": imports("C")}, Wanted{}, "no Go file in . can be built for linux/amd64 or linux/arm64 without cgo"},
		"cgo below":          {map[string]string{"go.mod": aModule, "main.go": imports("example.com/m/c"), "c/c.go": "package c\n\nimport \"C\"\n"}, Wanted{}, "main.go imports example.com/m/c, and no Go file in c can be built for linux/amd64 without cgo"},
		"an ignored module":  {map[string]string{".gitignore": "*.mod\n", "go.mod": aModule, "main.go": mainFile}, Wanted{}, `line 1 of .gitignore, "*.mod", leaves out go.mod: to send it, add the line !/go.mod to .m3oignore`},
		"an ignored program": {map[string]string{"go.mod": aModule, ".gitignore": "\n\n/cmd/*/main.go\n", "cmd/api/main.go": mainFile}, Wanted{Package: "cmd/api"}, `there is no main package in cmd/api, as line 3 of .gitignore, "/cmd/*/main.go", leaves out cmd/api/main.go: to send it, add the line !/cmd/api/main.go to .m3oignore`},
		"an ignored embed": {map[string]string{"go.mod": aModule, ".gitignore": "/dist/\n", "main.go": embedding("dist/index.html"), "dist/index.html": "x"}, Wanted{},
			`main.go embeds dist/index.html, but line 1 of .gitignore, "/dist/", leaves out dist/: to send it, add the line !/dist/ to .m3oignore`},
		"an embed to be made": {map[string]string{"go.mod": aModule, ".gitignore": "/dist/\n", "main.go": embedding("dist/index.html")}, Wanted{},
			`main.go embeds dist/index.html, and there is no dist/index.html here; besides, line 1 of .gitignore, "/dist/", leaves out dist/`},
		"no embed": {map[string]string{"go.mod": aModule, "main.go": embedding("dist/*.html")}, Wanted{}, "main.go embeds dist/*.html, and there is no dist/*.html in the source"},
		"ignored by .m3oignore": {map[string]string{"go.mod": aModule, "web/.m3oignore": "/out\n", "main.go": embedding("web/out"), "web/out/[1].html": "x"}, Wanted{},
			`line 1 of web/.m3oignore, "/out", leaves out web/out/: to send it, add the line !/out/ to web/.m3oignore`},
		"generated code": {map[string]string{"go.mod": aModule, ".gitignore": "*.gen.go\n", "main.go": imports("example.com/m/gen"), "gen/x.gen.go": "package gen\n"}, Wanted{},
			`main.go imports example.com/m/gen, but line 1 of .gitignore, "*.gen.go", leaves out gen/x.gen.go: to send it, add the line !/gen/x.gen.go to .m3oignore`},
		"an ignored package": {map[string]string{"go.mod": aModule, "internal/.gitignore": "api\n", "main.go": imports("example.com/m/internal/api"), "internal/api/x.go": "package api\n"}, Wanted{},
			`line 1 of internal/.gitignore, "api", leaves out internal/api/: to send it, add the line !/api/ to internal/.m3oignore`},
		"no package": {map[string]string{"go.mod": aModule, "main.go": imports("example.com/m/gone")}, Wanted{}, "main.go imports example.com/m/gone, and there is no folder gone in the source"},
		"an ignored replacement": {map[string]string{"go.mod": aModule + "\nrequire example.com/l v1.0.0\n\nreplace example.com/l => ./l\n", "main.go": imports("example.com/l"), ".gitignore": "l/\n", "l/go.mod": "module example.com/l\n", "l/l.go": "package l\n"}, Wanted{},
			`go.mod replaces example.com/l by ./l, but line 1 of .gitignore, "l/", leaves out l/`},
		"a replacement of one machine": {map[string]string{"go.mod": aModule + "\nrequire example.com/l v1.0.0\n\nreplace example.com/l => /home/me/l\n", "main.go": mainFile}, Wanted{},
			"go.mod replaces example.com/l by /home/me/l, a path of one machine"},
		"no checksums": {map[string]string{"go.mod": aModule + "\nrequire example.com/q v1.0.0\n", "main.go": imports("example.com/q/x")}, Wanted{},
			`main.go imports example.com/q/x, and no go.sum has a checksum of module example.com/q: run "go mod tidy"`},
		"ignored checksums": {map[string]string{"go.mod": aModule + "\nrequire example.com/q v1.0.0\n", "go.sum": "x\n", ".gitignore": "*.sum\n", "main.go": imports("example.com/q")}, Wanted{},
			`line 1 of .gitignore, "*.sum", leaves out go.sum`},
		"a stale vendor folder": {vendored("v1.1.0", true), Wanted{}, `inconsistent vendoring: go.mod requires example.com/q v1.1.0, and vendor/modules.txt has v1.0.0: run "go mod vendor"`},
		"half a vendor folder": {with(vendored("v1.0.0", true), ".gitignore", "vendor/*/\n"), Wanted{},
			`vendor is left out in part: line 1 of .gitignore, "vendor/*/", leaves out vendor/example.com/; add the line !/vendor/** to .m3oignore to send it, or the line /vendor/ to send none of it`},
		"a vendored file":            {with(vendored("v1.0.0", true), ".gitignore", "q.go\n"), Wanted{}, `vendor is left out in part: line 1 of .gitignore, "q.go", leaves out vendor/example.com/q/q.go`},
		"a vendor folder without":    {with(vendored("v1.0.0", true), ".gitignore", "*.txt\n"), Wanted{}, `leaves out vendor/modules.txt`},
		"a vendor folder with holes": {vendored("v1.0.0", false), Wanted{}, `and there is no vendor/example.com/q: run "go mod vendor"`},
		"a workspace without it":     {map[string]string{"go.work": "go 1.24\n\nuse ./b\n", "b/go.mod": "module b\n", "a/go.mod": aModule, "a/main.go": mainFile}, Wanted{Package: "a"}, `go.work does not use the module of a: add it with "go work use ./a"`},
		"an ignored workspace":       {map[string]string{"go.work": "go 1.24\n\nuse ./a\n", ".gitignore": "go.work\n", "a/go.mod": aModule, "a/main.go": mainFile}, Wanted{Package: "a"}, `line 1 of .gitignore, "go.work", leaves out go.work: to send it, add the line !/go.work to .m3oignore, or the line /go.work to build without it`},
		"a workspace with holes":     {map[string]string{"go.work": "go 1.24\n\nuse ./a\nuse ./b\n", "a/go.mod": aModule, "a/main.go": mainFile}, Wanted{Package: "a"}, `go.work uses ./b, and there is no b/go.mod in the source`},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := checked(t, tree(t, c.files), c.wanted)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
}

// What leaves the module or the workspace is sent with the folder that holds all of it; the answer names it.
func TestASourceThatNeedsItsNeighboursNamesTheFolderToRun(t *testing.T) {
	files := map[string]string{"services/api/go.mod": aModule + "\nrequire example.com/l v1.0.0\n\nreplace example.com/l => ../../shared\n", "services/api/cmd/x/main.go": imports("example.com/l"),
		"shared/go.mod": "module example.com/l\n", "shared/l.go": "package l\n",
		"ws/go.work": "go 1.24\n\nuse ./a\nuse ../shared\n", "ws/a/go.mod": "module a\n\ngo 1.24\n", "ws/a/main.go": imports("example.com/l")}
	dir := tree(t, files)
	for run, c := range map[string]struct{ says, pkg string }{
		"services/api/cmd/x": {"go.mod replaces example.com/l by ../../shared, which lies outside of the folder that is sent", "services/api/cmd/x"},
		"ws/a":               {"go.work uses ../shared, which lies outside of the folder that is sent", "ws/a"},
	} {
		_, _, err := checked(t, filepath.Join(dir, run), Wanted{})
		var outside *Outside
		if !errors.As(err, &outside) || outside.Parent != dir || outside.Package != c.pkg || err.Error() != c.says || !fault.Is(err, fault.Invalid) {
			t.Fatalf("%s: %v: %+v", run, err, outside)
		}
		l, got, err := checked(t, outside.Parent, Wanted{Package: outside.Package})
		if err != nil {
			t.Fatalf("%s: what was said does not work: %v", run, err)
		}
		if err := builds(t, unpacked(t, l), got.Package, got.Workspace); err != nil {
			t.Error(err)
		}
	}
	if _, err := CheckGo(filepath.Join(dir, "services/api"), Wanted{Package: "cmd/x"}); err == nil || strings.Contains(err.Error(), dir) {
		t.Errorf("the builder says %v", err)
	}
}

// What a program can be built without, although it is part of it here, is told and refuses nothing.
func TestFilesThatMayBeMissedAreNoted(t *testing.T) {
	dir := tree(t, map[string]string{"go.mod": aModule, ".gitignore": "local.go\n*.map\n", "main.go": embedding("static"), "local.go": "package main\n", "static/a.js": "", "static/a.map": ""})
	_, got, err := checked(t, dir, Wanted{})
	want := []string{`line 1 of .gitignore, "local.go", leaves out local.go, which go build takes here; to send it, add the line !/local.go to .m3oignore`,
		`line 2 of .gitignore, "*.map", leaves out static/a.map, which main.go embeds here; to send it, add the line !/static/a.map to .m3oignore`}
	if err != nil || strings.Join(got.Notes, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q, %v", got.Notes, err)
	}
}

// Links count as what they lead to inside the source, for Go files as for folders.
func TestLinksInASource(t *testing.T) {
	dir := tree(t, map[string]string{"go.mod": aModule, "shared/real.txt": mainFile, "lib/l.go": "package lib\n", "cmd/x/x.go": imports("example.com/m/alias")})
	os.MkdirAll(filepath.Join(dir, "cmd/y"), 0o755)
	os.Symlink("../../shared/real.txt", filepath.Join(dir, "cmd/y/main.go"))
	os.Symlink("lib", filepath.Join(dir, "alias"))
	os.Symlink("cmd/y", filepath.Join(dir, "short"))
	for pkg, want := range map[string]string{"cmd/y": "cmd/y", "cmd/x": "cmd/x", "short": "cmd/y"} {
		l, got, err := checked(t, dir, Wanted{Package: pkg})
		if err != nil || got.Package != want {
			t.Errorf("%s: %+v, %v", pkg, got, err)
			continue
		}
		if err := builds(t, unpacked(t, l), got.Package, ""); err != nil {
			t.Error(err)
		}
	}
	ws := tree(t, map[string]string{"shared.work": "go 1.24\n\nuse ./a\n", "a/go.mod": aModule, "a/main.go": mainFile})
	os.Symlink("shared.work", filepath.Join(ws, "go.work"))
	if _, got, err := checked(t, filepath.Join(ws, "a"), Wanted{}); err != nil || got.Workspace != "go.work" {
		t.Errorf("a linked go.work: %+v, %v", got, err)
	}
	out := tree(t, map[string]string{"main.go": mainFile, "go.mod": aModule})
	os.Symlink(out, filepath.Join(dir, "away"))
	if _, err := Locate(dir, "away"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "leaves") {
		t.Errorf("a link that leaves: %v", err)
	}
}

// What a source says costs no more than its size: builders check the sources of strangers.
func TestACheckEndsSoonWhateverASourceSays(t *testing.T) {
	var list, mod, code strings.Builder
	list.WriteString("# example.com/q v1.0.0\n## explicit\n")
	mod.WriteString("module m\n\ngo 1.24\n")
	code.WriteString("package main\n\nimport (\n\t\"embed\"\n")
	for i := range 150_000 {
		fmt.Fprintf(&list, "a%x\n", i)
	}
	for i := range 20_000 {
		fmt.Fprintf(&mod, "require a%x/x v1.0.0\nreplace a%x/x => b%x/x v1.0.0\n", i, i, i)
		fmt.Fprintf(&code, "\t_ \"b%x/x/y\"\n", i)
	}
	code.WriteString(")\n\n")
	for i := range 3_000 {
		fmt.Fprintf(&code, "//go:embed *%x\n", i)
	}
	code.WriteString("var _ embed.FS\n\nfunc main() {}\n")
	if got := parseVendorList(list.String()); len(got.packages) != 150_000 {
		t.Errorf("%d packages", len(got.packages))
	}
	files := map[string]string{"go.mod": mod.String(), "main.go": code.String()}
	for i := range 3_000 { // each pattern takes one: an embed that takes nothing ends the check
		files[fmt.Sprintf("f%x", i)] = ""
	}
	dir := tree(t, files)
	began := time.Now()
	if _, err := CheckGo(dir, Wanted{}); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}

// FuzzVendorList feeds any modules.txt.
func FuzzVendorList(f *testing.F) {
	f.Add("## workspace\n# example.com/q v1.0.0\n## explicit; go 1.24\nexample.com/q\n# a => ../b\n")
	f.Add("# x\n# \n## \n\r\n#\nexample.com/a b\n# a v1 =>\n")
	f.Fuzz(func(t *testing.T, content string) {
		l := parseVendorList(content)
		for _, p := range l.packages {
			if strings.HasPrefix(p, "/") || strings.Contains(p, "..") {
				t.Errorf("%q is taken for a package", p)
			}
		}
	})
}

// FuzzCheckGo feeds any go.mod, go.work and Go file: the check ends, and names nothing outside of the source.
func FuzzCheckGo(f *testing.F) {
	f.Add("module m\n\ngo 1.24\n\nreplace a => ../b\nrequire a v1.0.0\n", "go 1.24\nuse ./\n", imports("m/x"))
	f.Add("module \"\n", "use ../..\n", embedding("all:../x *"))
	f.Fuzz(func(t *testing.T, mod, work, code string) {
		dir := tree(t, map[string]string{"go.mod": mod, "go.work": work, "main.go": code})
		if _, err := CheckGo(dir, Wanted{Go: "go1.26.8"}); err != nil && strings.Contains(err.Error(), dir) {
			t.Errorf("%v", err)
		}
	})
}
