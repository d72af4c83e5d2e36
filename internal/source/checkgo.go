package source

import (
	"cmp"
	"errors"
	"fmt"
	"go/build"
	"io"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/fault"
)

// Wanted is the program that is to be built of a source.
type Wanted struct {
	Package string // folder of its main package in the source; "." by default
	// Choose takes, where that folder holds no main package, the only one below it.
	Choose        bool
	Tags          []string // build tags
	Architectures []string // by Go's names; it must be built for one of them; any that we have if none is named
	Go            string   // of the toolchain, "go1.26.8"; unknown when empty
}

// Program is a main package that a source holds.
type Program struct {
	Package    string // its folder in the source
	ImportPath string
	Workspace  string // the go.work in force, a path in the source; empty: none
	// Notes say, for a person, what go build takes here and is not sent, although the program may well build without.
	Notes []string
}

// knownArchitectures are those that sources are built for; a builder builds for one of them.
var knownArchitectures = []string{"amd64", "arm64"}

// Check says whether what is packed of the folder holds the program, and all of the source that go build needs to make it, for Linux
// without cgo. It reads go.mod files and the heads of Go files alone and runs nothing, so it is safe on strangers' sources. A source that
// needs folders outside of it is an Outside.
func (f *Listing) Check(w Wanted) (Program, error) {
	pkg, err := cleanPackage(w.Package)
	if err != nil {
		return Program{}, err
	}
	if len(w.Architectures) == 0 {
		w.Architectures = knownArchitectures
	}
	tree := goTree{listing: f, packed: newPacked(f.root, f.entries), architectures: w.Architectures, tags: w.Tags}
	if !tree.isFolder(pkg) {
		return Program{}, tree.noFolder(pkg)
	}
	if w.Choose {
		pkg = tree.choose(pkg)
	}
	if err := tree.checkMain(pkg); err != nil {
		return Program{}, err
	}
	list, err := tree.modules(pkg, w.Go)
	if err != nil {
		return Program{}, err
	}
	notes, err := tree.checkImports(list, pkg)
	if err != nil {
		return Program{}, err
	}
	return Program{Package: pkg, ImportPath: list.main.importPath(pkg), Workspace: list.workspace, Notes: notes}, nil
}

// CheckGo is Check for a source that was unpacked into the folder dir: all in it counts.
func CheckGo(dir string, w Wanted) (Program, error) {
	root, err := openFolder(dir)
	if err != nil {
		return Program{}, err
	}
	defer root.Close()
	l := lister{root: root, whole: true}
	entries, err := l.list(nil)
	if err != nil {
		return Program{}, err
	}
	return (&Listing{root: root, entries: entries}).Check(w)
}

func cleanPackage(pkg string) (string, error) {
	if pkg == "" {
		return ".", nil
	}
	if clean := path.Clean(pkg); filepath.IsLocal(clean) && !strings.Contains(pkg, `\`) {
		return clean, nil
	}
	return "", fault.New(fault.Invalid, "the package %q is not a folder inside the source", pkg)
}

// goTree looks at the packages of a source as the go command would.
type goTree struct {
	*packed
	listing       *Listing
	architectures []string
	tags          []string
}

func (g goTree) noFolder(pkg string) error {
	if left, ok := g.listing.why(pkg); ok && g.listing.exists(pkg) {
		return fault.New(fault.Invalid, "%s: %s", left, left.remedy())
	}
	if left := g.leftOutOf(pkg); len(left) > 0 {
		return noMain(pkg, left[0])
	}
	return fault.New(fault.Invalid, "there is no folder %s in the source%s", pkg, g.foundInstead())
}

func noMain(pkg string, left leftOut) error {
	return fault.New(fault.Invalid, "there is no main package in %s, as %s: %s", pkg, left, left.remedy())
}

// What to do where no other folder of the source holds a program.
const (
	nameAnother = ": name the folder of a program, a Go package main"
	pureGo      = ": services are built for Linux, from Go alone"
)

// checkMain says why the folder holds no main package.
func (g goTree) checkMain(pkg string) error {
	found, err := g.importPackage(pkg)
	if left := g.leftOutOf(pkg); len(left) > 0 && (err != nil || found.Name != "main") {
		return noMain(pkg, left[0])
	}
	var none *build.NoGoError
	var several *build.MultiplePackageError
	switch {
	case errors.As(err, &several):
		return fault.New(fault.Invalid, "%s holds two packages, %s and %s, and a folder can hold one: move one of them", pkg, several.Packages[0], several.Packages[1])
	case errors.As(err, &none) && len(found.CgoFiles)+len(found.IgnoredGoFiles) > 0:
		return fault.New(fault.Invalid, "no Go file in %s can be built for linux/%s without cgo%s", pkg,
			strings.Join(g.architectures, " or linux/"), cmp.Or(g.foundInstead(), pureGo))
	case errors.As(err, &none):
		return fault.New(fault.Invalid, "no main package in %s%s", pkg, cmp.Or(g.foundInstead(), nameAnother))
	case err != nil:
		return fault.New(fault.Invalid, "%s", plainPaths(err.Error()))
	case found.Name != "main":
		return fault.New(fault.Invalid, "no main package in %s, which is package %s%s", pkg, found.Name, cmp.Or(g.foundInstead(), nameAnother))
	}
	return nil
}

// virtual stands for the source's folder in the paths that go/build sees.
const virtual = "/source"

func inside(name string) string {
	return path.Clean(strings.TrimPrefix(strings.TrimPrefix(name, virtual), "/"))
}

func plainPaths(text string) string { return strings.ReplaceAll(text, virtual+"/", "") }

// importPackage reads the head of the package's files, as the go command would choose them for our images: for the first
// architecture that makes a program of them, else for the first one.
func (g goTree) importPackage(pkg string) (*build.Package, error) {
	var first *build.Package
	var problem error
	for i, architecture := range g.architectures {
		found, err := g.context(architecture).ImportDir(path.Join(virtual, pkg), 0)
		if err == nil && found.Name == "main" {
			return found, nil
		}
		if i == 0 {
			first, problem = found, err
		}
	}
	return first, problem
}

func (g goTree) context(architecture string) *build.Context {
	c := build.Default
	c.GOOS, c.GOARCH, c.CgoEnabled, c.GOPATH, c.BuildTags = "linux", architecture, false, "", g.tags
	c.IsDir = func(name string) bool { return g.isFolder(inside(name)) }
	c.OpenFile = func(name string) (io.ReadCloser, error) { return g.open(inside(name)) }
	c.ReadDir = func(name string) ([]fs.FileInfo, error) { return g.readDir(inside(name)) }
	return &c
}

// leftOutOf are the Go files of a package's folder that go build takes here and that are not packed.
func (g goTree) leftOutOf(dir string) []leftOut {
	if g.listing.at == "" {
		return nil
	}
	entries, err := fs.ReadDir(g.listing.root.FS(), dir)
	if err != nil {
		return nil
	}
	here := g.context(g.architectures[0])
	here.OpenFile = func(name string) (io.ReadCloser, error) { return g.listing.root.Open(inside(name)) }
	var left []leftOut
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || e.IsDir() || g.isFile(name) {
			continue
		}
		if taken, err := here.MatchFile(path.Join(virtual, dir), e.Name()); err != nil || !taken {
			continue
		}
		if l, ok := g.listing.why(name); ok {
			left = append(left, l)
		}
	}
	return left
}

func (g goTree) isMain(pkg string) bool {
	found, err := g.importPackage(pkg)
	return err == nil && found.Name == "main"
}

const (
	maxNamed   = 8      // main packages named in an error
	maxVisited = 20_000 // folders looked at to find them
)

// choose is the package itself if it is a main package, else the only one below it, else the package itself.
func (g goTree) choose(pkg string) string {
	if g.isMain(pkg) {
		return pkg
	}
	if below := g.mains(pkg, 2); len(below) == 1 {
		return below[0]
	}
	return pkg
}

// mains are the main packages in the folder dir and below it, so many at most, by name.
func (g goTree) mains(dir string, most int) []string {
	var found []string
	for i, name := range slices.Sorted(maps.Keys(g.folders)) {
		if i >= maxVisited || len(found) == most {
			break
		}
		below, ok := strings.CutPrefix(name, dir+"/")
		if dir == "." || name == dir {
			below, ok = name, true
		}
		if ok && (below == "." || name == dir || !slices.ContainsFunc(strings.Split(below, "/"), skipped)) && g.isMain(name) {
			found = append(found, name)
		}
	}
	return found
}

// foundInstead names the main packages that there are.
func (g goTree) foundInstead() string {
	found := g.mains(".", maxNamed)
	if len(found) == 0 {
		return ""
	}
	for i, name := range found {
		if name != "." {
			found[i] = "./" + name
		}
	}
	return fmt.Sprintf(": found main packages in %s; name one with --package", strings.Join(found, ", "))
}

// skipped reports the folders that the go command does not look into either.
func skipped(name string) bool {
	return name == "vendor" || name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}
