package source

import (
	"errors"
	"fmt"
	"go/build"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/fault"
)

// knownArchitectures are those that sources are built for, by Go's names; a builder builds for one of them.
var knownArchitectures = []string{"amd64", "arm64"}

// CheckGo says whether the folder dir holds, at pkg ("." or a folder in it), the main package of a Go module that can be
// built for Linux without cgo, on one of the architectures, or on any we have if none is named: who uploads does not know
// the builder's. It reads the files' heads alone and runs nothing, so it is safe on strangers' sources.
func CheckGo(dir, pkg string, architectures ...string) error {
	root, err := openFolder(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	pkg, err = cleanPackage(pkg)
	if err != nil {
		return err
	}
	tree := goTree{root: root, architectures: architectures}
	if len(architectures) == 0 {
		tree.architectures = knownArchitectures
	}
	if info, err := root.Stat(pkg); err != nil || !info.IsDir() {
		return fault.New(fault.Invalid, "there is no folder %s in the source%s", pkg, tree.foundInstead())
	}
	if err := tree.checkMain(pkg); err != nil {
		return err
	}
	return requireModule(root.FS(), pkg)
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

// requireModule says whether pkg belongs to a module: a folder with a go.mod, pkg's own or one upwards.
func requireModule(tree fs.FS, pkg string) error {
	for dir := pkg; ; dir = path.Dir(dir) {
		if info, err := fs.Stat(tree, path.Join(dir, "go.mod")); err == nil && info.Mode().IsRegular() {
			return nil
		}
		if dir == "." {
			return fault.New(fault.Invalid, "the source has no go.mod for %s: make one with \"go mod init\", or send the folder that holds it", pkg)
		}
	}
}

// goTree looks at packages through an os.Root, so that no link leads out of the source.
type goTree struct {
	root          *os.Root
	architectures []string
}

func (g goTree) checkMain(pkg string) error {
	found, err := g.importPackage(pkg)
	var none *build.NoGoError
	var several *build.MultiplePackageError
	switch {
	case errors.As(err, &several):
		return fault.New(fault.Invalid, "%s holds two packages, %s and %s", pkg, several.Packages[0], several.Packages[1])
	case errors.As(err, &none) && len(found.CgoFiles)+len(found.IgnoredGoFiles) > 0:
		return fault.New(fault.Invalid, "no Go file in %s can be built for linux/%s without cgo%s", pkg,
			strings.Join(g.architectures, " or linux/"), g.foundInstead())
	case errors.As(err, &none):
		return fault.New(fault.Invalid, "no main package in %s%s", pkg, g.foundInstead())
	case err != nil:
		return fault.New(fault.Invalid, "%s", strings.ReplaceAll(err.Error(), virtual+"/", ""))
	case found.Name != "main":
		return fault.New(fault.Invalid, "no main package in %s, which is package %s%s", pkg, found.Name, g.foundInstead())
	}
	return nil
}

// virtual stands for the source's folder in the paths that go/build sees.
const virtual = "/source"

// importPackage reads the head of the package's files, as the go command would choose them for our images: for the first
// architecture that makes a program of them, else for the first one.
func (g goTree) importPackage(pkg string) (*build.Package, error) {
	var first *build.Package
	var problem error
	for i, architecture := range g.architectures {
		found, err := g.importFor(architecture, pkg)
		if err == nil && found.Name == "main" {
			return found, nil
		}
		if i == 0 {
			first, problem = found, err
		}
	}
	return first, problem
}

func (g goTree) importFor(architecture, pkg string) (*build.Package, error) {
	inside := func(name string) string {
		return path.Clean(strings.TrimPrefix(strings.TrimPrefix(name, virtual), "/"))
	}
	buildContext := build.Default
	buildContext.GOOS, buildContext.GOARCH, buildContext.CgoEnabled, buildContext.GOPATH = "linux", architecture, false, ""
	buildContext.IsDir = func(name string) bool {
		info, err := g.root.Stat(inside(name))
		return err == nil && info.IsDir()
	}
	buildContext.OpenFile = func(name string) (io.ReadCloser, error) { return g.root.Open(inside(name)) }
	buildContext.ReadDir = func(name string) ([]fs.FileInfo, error) { return g.readDir(inside(name)) }
	return buildContext.ImportDir(path.Join(virtual, pkg), 0)
}

// readDir lists the regular files; a link or a pipe under a Go file's name is not opened.
func (g goTree) readDir(dir string) ([]fs.FileInfo, error) {
	entries, err := fs.ReadDir(g.root.FS(), dir)
	if err != nil {
		return nil, err
	}
	var infos []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			infos = append(infos, info)
		}
	}
	return infos, nil
}

func (g goTree) isMain(pkg string) bool {
	found, err := g.importPackage(pkg)
	return err == nil && found.Name == "main"
}

const (
	maxNamed   = 8      // main packages named in an error
	maxVisited = 20_000 // folders looked at to find them
)

// foundInstead names the main packages that there are.
func (g goTree) foundInstead() string {
	var found []string
	visited := 0
	err := fs.WalkDir(g.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if visited++; visited > maxVisited || len(found) == maxNamed {
			return fs.SkipAll
		}
		if name != "." && skipped(d.Name()) {
			return fs.SkipDir
		}
		if g.isMain(name) {
			found = append(found, "./"+strings.TrimPrefix(name, "."))
		}
		return nil
	})
	if err != nil || len(found) == 0 {
		return ""
	}
	slices.Sort(found)
	return fmt.Sprintf(": found main packages in %s; name one with --package", strings.Join(found, ", "))
}

// skipped reports the folders that the go command does not look into either.
func skipped(name string) bool {
	return name == "vendor" || name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}
