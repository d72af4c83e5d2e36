package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/client/apitest"
	"github.com/m3o/platform/internal/release"
)

// monorepo is a folder with a workspace, in which two services share a library and a name.
func monorepo(t *testing.T) {
	t.Helper()
	write(t, "mono/go.work", "go 1.24\n\nuse (\n\t./services/api\n\t./other/api\n\t./lib\n)\n")
	write(t, "mono/lib/go.mod", "module example.com/lib\n\ngo 1.24\n")
	write(t, "mono/lib/lib.go", "package lib\n")
	for _, folder := range []string{"services", "other"} {
		write(t, "mono/"+folder+"/api/go.mod", "module example.com/"+folder+"\n\ngo 1.24\n")
		write(t, "mono/"+folder+"/api/main.go", "package main\n\nimport _ \"example.com/lib\"\n\nfunc main() {}\n")
	}
}

func originOf(t *testing.T, w *apitest.World, name string, number int) release.Origin {
	t.Helper()
	r, err := w.Store.Release(t.Context(), release.Key{Project: "default", Name: name}, number)
	if err != nil {
		t.Fatal(err)
	}
	return r.Origin
}

func TestAFolderOfAWorkspaceIsSentWithIt(t *testing.T) {
	w := twoRegions(t)
	monorepo(t)
	m3o("run", "mono/services/api").must(t).says(t, "Sends mono, which package ./services/api belongs to.\n", "Packed 7 files")
	if got := originOf(t, w, "api", 1); got.Package != "services/api" || got.Module != "example.com/services" {
		t.Errorf("%+v", got)
	}
	t.Chdir("mono/services/api")
	m3o("run", ".", "--name", "again").must(t).says(t, "Sends ../.., which package")
	if got := originOf(t, w, "again", 1); got.Source != originOf(t, w, "api", 1).Source {
		t.Error("the same source is another one from inside")
	}
}

func TestAServiceIsNotReplacedByAnotherOfTheSameFolderName(t *testing.T) {
	w := twoRegions(t)
	monorepo(t)
	m3o("run", "mono/services/api").must(t)
	m3o("run", "mono/other/api").fails(t, exitFailed, `service "api" runs example.com/services, and this is example.com/other: name the service that it is to be; --name api replaces the other one`)
	m3o("run", "mono/services/api").must(t)
	m3o("run", "mono/other/api", "--name", "api").must(t)
	m3o("rollback", "api").must(t)
	m3o("run", "mono/other/api").fails(t, exitFailed, `service "api" runs example.com/services`)
	write(t, "mono/other/api/m3o.yaml", "name: api\n")
	m3o("run", "mono/other/api").must(t)
	m3o("kill", "api", "--yes").must(t)
	m3o("run", "mono/services/api").must(t)
	m3o("run", "--image", "registry.example.com/hello:1", "--name", "hello").must(t)
	m3o("run", program(t, "hello")).fails(t, exitFailed, `service "hello" runs the image registry.example.com/hello:1, and this is`)
	if n := len(w.Orders()); n != 8 {
		t.Errorf("ordered: %v", w.Orders())
	}
}

func TestTheOnlyProgramBelowIsTakenWithItsManifest(t *testing.T) {
	w := twoRegions(t)
	write(t, "shop/go.mod", "module example.com/shop\n\ngo 1.24\n")
	write(t, "shop/lib.go", "package shop\n")
	write(t, "shop/cmd/server/main.go", "package main\n\nfunc main() {}\n")
	m3o("run", "shop").must(t).says(t, "Builds ./cmd/server, the only main package in shop.\n")
	if got := originOf(t, w, "shop", 1); got.Package != "cmd/server" || got.Module != "example.com/shop/cmd/server" {
		t.Errorf("%+v", got)
	}
	write(t, "shop/cmd/server/m3o.yaml", "name: store\nreplicas: 3\n")
	m3o("run", "shop").must(t)
	originOf(t, w, "store", 1)
	write(t, "shop/m3o.yaml", "name: market\npackage: ./cmd/server\n")
	m3o("run", "shop").must(t).says(t, "shop/cmd/server/m3o.yaml counts, as it is beside the package; shop/m3o.yaml does not.")
	m3o("run", "shop", "--package", "./cmd/server").must(t)
	originOf(t, w, "store", 3)
	os.Remove("shop/cmd/server/m3o.yaml")
	m3o("run", "shop", "--package", "cmd/server").must(t)
	m3o("run", "shop/cmd/server").must(t) // a folder of its own does not hear what the one above says
	originOf(t, w, "market", 1)
	originOf(t, w, "server", 1)
	write(t, "shop/cmd/tool/main.go", "package main\n\nfunc main() {}\n")
	os.Remove("shop/m3o.yaml")
	m3o("run", "shop", "--name", "new").fails(t, exitFailed, "m3o: shop: no main package in ., which is package shop: found main packages in ./cmd/server, ./cmd/tool; name one with --package\n")
}

// What was found once is found again with all that it says, though nobody names it.
func TestTheManifestOfAKeptPackageCounts(t *testing.T) {
	w := twoRegions(t)
	write(t, "shop/go.mod", "module example.com/shop\n\ngo 1.24\n")
	write(t, "shop/cmd/server/main.go", "//go:build prod\n\npackage main\n\nfunc main() {}\n")
	write(t, "shop/cmd/tool/main.go", "package main\n\nfunc main() {}\n")
	write(t, "shop/cmd/server/m3o.yaml", "replicas: 3\nbuild: {tags: [prod]}\n")
	m3o("run", "shop", "--package", "cmd/server").must(t)
	m3o("run", "shop").must(t)
	r, err := w.Store.Release(t.Context(), release.Key{Project: "default", Name: "shop"}, 2)
	if err != nil || r.Origin.Package != "cmd/server" || r.Spec.Replicas != 3 || len(r.Origin.Build.Tags) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	os.RemoveAll("shop/cmd/server")
	write(t, "shop/cmd/tool/m3o.yaml", "name: tool\nbuild: {tags: [extra]}\n")
	write(t, "shop/cmd/tool/extra.go", "//go:build extra\n\npackage main\n\nimport _ \"example.com/shop/gone\"\n")
	m3o("run", "shop").fails(t, exitFailed, "cmd/tool/extra.go imports example.com/shop/gone")
}

func TestAManifestUnderAnotherNameIsRefused(t *testing.T) {
	twoRegions(t)
	for _, name := range []string{"m3o.yml", "M3O.yaml", ".m3o.yml"} {
		write(t, program(t, "hello")+"/"+name, "replicas: 3\n")
		m3o("run", "hello").fails(t, exitFailed, "m3o: hello/"+name+" is not read: name it m3o.yaml\n")
		os.Remove("hello/" + name)
	}
	write(t, "hello/cmd/x/main.go", "package main\n\nfunc main() {}\n")
	write(t, "hello/cmd/x/m3o.yml", "replicas: 3\n")
	m3o("run", "hello", "--package", "cmd/x").fails(t, exitFailed, "hello/cmd/x/m3o.yml is not read")
}

func TestASourceThatWouldNotBuildIsRefusedBeforeTheUpload(t *testing.T) {
	w := twoRegions(t)
	w.AddBuilder(release.Builder{Arch: "amd64", Go: "go1.25.3"})
	w.AddBuilder(release.Builder{Arch: "arm64", Go: "go1.26.8"})
	write(t, "repo/services/api/main.go", "package main\n\nimport _ \"example.com/l\"\n\nfunc main() {}\n")
	write(t, "repo/shared/go.mod", "module example.com/l\n")
	write(t, "repo/shared/l.go", "package l\n")
	replace := "module example.com/api\n\ngo 1.24\n\nrequire example.com/l v1.0.0\n\nreplace example.com/l => ../../shared\n"
	write(t, "repo/services/api/go.mod", replace)
	write(t, "new/go.mod", "module new\n\ngo 1.27.0\n")
	write(t, "new/main.go", "package main\n\nfunc main() {}\n")
	write(t, "dist/go.mod", "module dist\n\ngo 1.26.8\n")
	write(t, "dist/.gitignore", "/web\n")
	write(t, "dist/main.go", "package main\n\nimport _ \"embed\"\n\n//go:embed web/index.html\nvar page string\n\nfunc main() {}\n")
	write(t, "dist/web/index.html", "hello\n")
	for name, c := range map[string]struct{ run, says string }{
		"neighbours":   {"repo/services/api", "m3o: repo/services/api: go.mod replaces example.com/l by ../../shared, which lies outside of the folder that is sent: run the folder that holds both: m3o run repo --package ./services/api --name api\n"},
		"a newer Go":   {"new", "m3o: new: go.mod needs Go 1.27.0, and services are built with Go 1.26.8: set its go line to that or lower\n"},
		"ignore files": {"dist", "m3o: dist: main.go embeds web/index.html, but line 1 of .gitignore, \"/web\", leaves out web/: to send it, add the line !/web/ to .m3oignore\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if c := m3o("run", c.run).fails(t, exitFailed, c.says); strings.Contains(c.errs, "Packed") {
				t.Error("it was packed all the same")
			}
		})
	}
	m3o("run", "repo/services/api", "--name", "till").fails(t, exitFailed, "m3o run repo --package ./services/api --name till\n")
	if len(w.Orders()) != 0 {
		t.Errorf("ordered: %v", w.Orders())
	}
	m3o("run", "repo", "--package", "./services/api", "--name", "api").must(t) // what the answer said
	t.Chdir("repo/services/api")
	m3o("run", ".").fails(t, exitFailed, "m3o run ../.. --package ./services/api --name api")
	t.Chdir(filepath.Join("..", "..", "..", "dist"))
	write(t, ".m3oignore", "!/web/\n")
	m3o("run", ".").must(t)
}
