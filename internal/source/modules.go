package source

import (
	"cmp"
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/m3o/platform/internal/fault"
)

// maxGoFile bounds go.mod, go.work, go.sum and modules.txt files.
const maxGoFile = 16 << 20

// goModule is a module that lies in the source.
type goModule struct {
	dir  string // in the source
	path string // what its packages' import paths begin with
	file *modfile.File
}

func (m goModule) importPath(pkg string) string {
	if m.dir != "." {
		pkg = strings.TrimPrefix(strings.TrimPrefix(pkg, m.dir), "/")
	}
	return path.Join(m.path, pkg)
}

func (m goModule) name() string { return path.Join(m.dir, "go.mod") }

// moduleList is what the go command knows of modules when it builds a package.
type moduleList struct {
	main      goModule   // the package's
	mains     []goModule // the workspace's; without one the package's alone
	local     []goModule // the mains, and those of the source that take a required module's place
	workspace string     // path of the go.work in force; empty: none
	work      *modfile.WorkFile
	vendor    string // the vendor folder in force; empty: none
}

// modules finds the modules that the package is built with, and refuses what the builder cannot have.
func (g goTree) modules(pkg, toolchain string) (moduleList, error) {
	var l moduleList
	dir, err := g.moduleOf(pkg)
	if err != nil {
		return l, err
	}
	if l.main, err = g.readModule(dir, toolchain); err != nil {
		return l, err
	}
	if err := module.CheckImportPath(l.main.importPath(pkg)); err != nil && l.main.dir != pkg {
		return l, fault.New(fault.Invalid, "the folder %s cannot hold a package: %v", pkg, err)
	}
	l.mains = []goModule{l.main}
	if err := g.readWorkspace(&l, pkg, toolchain); err != nil {
		return l, err
	}
	if err := g.checkVendor(&l); err != nil {
		return l, err
	}
	l.local = l.mains
	if l.vendor != "" {
		return l, nil // what takes a module's place lies in there
	}
	return l, g.readReplaced(&l, pkg, toolchain)
}

// moduleOf is the folder of the module that the package belongs to: the nearest one upwards with a go.mod.
func (g goTree) moduleOf(pkg string) (string, error) {
	for dir := pkg; ; dir = path.Dir(dir) {
		name := path.Join(dir, "go.mod")
		if g.isFile(name) {
			return dir, nil
		}
		if left, ok := g.listing.why(name); ok && g.listing.onDisk(name) {
			return "", fault.New(fault.Invalid, "%s: %s", left, left.remedy())
		}
		if dir == "." {
			return "", fault.New(fault.Invalid, "the source has no go.mod for %s: make one with \"go mod init\", or send the folder that holds it", pkg)
		}
	}
}

// readModule reads the go.mod in the folder.
func (g goTree) readModule(dir, toolchain string) (goModule, error) {
	m := goModule{dir: dir}
	content, err := g.read(m.name(), maxGoFile)
	if err != nil {
		return m, unreadable(m.name(), err)
	}
	// Versions are the go command's to judge. A newer one's go.mod may hold what we do not know: its go line is read first.
	if lax, err := modfile.ParseLax(m.name(), content, anyVersion); err == nil && lax.Go != nil {
		if err := checkGoLine(m.name(), lax.Go.Version, toolchain); err != nil {
			return m, err
		}
	}
	if m.file, err = modfile.Parse(m.name(), content, anyVersion); err != nil {
		return m, fault.New(fault.Invalid, "%v", err)
	}
	if m.file.Module == nil {
		return m, fault.New(fault.Invalid, "%s names no module", m.name())
	}
	m.path = m.file.Module.Mod.Path
	return m, nil
}

func anyVersion(_, version string) (string, error) { return version, nil }

func unreadable(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.Invalid, "%s is not in the source", name)
	}
	return err
}

// checkGoLine holds a go line to the toolchain. A toolchain line is advice and does not count.
func checkGoLine(file, wanted, toolchain string) error {
	if !version.IsValid(toolchain) || !version.IsValid("go"+wanted) || version.Compare("go"+wanted, toolchain) <= 0 {
		return nil
	}
	return fault.New(fault.Invalid, "%s needs Go %s, and services are built with Go %s: set its go line to that or lower", file, wanted, strings.TrimPrefix(toolchain, "go"))
}

// readWorkspace reads the go.work in force: the nearest one from the package's folder upwards.
func (g goTree) readWorkspace(l *moduleList, pkg, toolchain string) error {
	name, found, err := g.workspaceOf(pkg)
	if err != nil || !found {
		return err
	}
	content, err := g.read(name, maxGoFile)
	if err != nil {
		return unreadable(name, err)
	}
	if l.work, err = modfile.ParseWork(name, content, anyVersion); err != nil {
		return fault.New(fault.Invalid, "%v", err)
	}
	if l.work.Go != nil {
		if err := checkGoLine(name, l.work.Go.Version, toolchain); err != nil {
			return err
		}
	}
	l.workspace, l.mains = name, nil
	used, outside := false, outsiders{listing: g.listing, pkg: pkg}
	for _, use := range l.work.Use {
		dir, ok := outside.inside(path.Dir(name), use.Path, fmt.Sprintf("%s uses %s", name, use.Path))
		if !ok {
			continue
		}
		if file := path.Join(dir, "go.mod"); !g.isFile(file) {
			return g.listing.missing(fmt.Sprintf("%s uses %s", name, use.Path), file)
		}
		m, err := g.readModule(dir, toolchain)
		if err != nil {
			return err
		}
		l.mains, used = append(l.mains, m), used || dir == l.main.dir
	}
	if err := outside.err(); err != nil {
		return err
	}
	if !used {
		return fault.New(fault.Invalid, "%s does not use the module of %s: add it with \"go work use ./%s\"", name, pkg, l.main.dir)
	}
	return nil
}

func (g goTree) workspaceOf(pkg string) (name string, found bool, err error) {
	for dir := pkg; ; dir = path.Dir(dir) {
		name := path.Join(dir, "go.work")
		if g.isFile(name) {
			return name, true, nil
		}
		if left, ok := g.listing.why(name); ok && g.listing.onDisk(name) && !left.meant() {
			_, line := left.line()
			return "", false, fault.New(fault.Invalid, "%s: %s, or the line %s to build without it", left, left.remedy(), line)
		}
		if dir == "." {
			return "", false, nil
		}
	}
}

// readReplaced finds the modules that lie in the source in place of required ones.
func (g goTree) readReplaced(l *moduleList, pkg, toolchain string) error {
	outside, mayNeed := outsiders{listing: g.listing, pkg: pkg}, l.mayNeed()
	replaced := func(file, dir string, replaces []*modfile.Replace) error {
		for _, r := range replaces {
			if !modfile.IsDirectoryPath(r.New.Path) || !mayNeed(r.Old.Path) {
				continue
			}
			says := fmt.Sprintf("%s replaces %s by %s", file, r.Old.Path, r.New.Path)
			at, ok := outside.inside(dir, r.New.Path, says)
			if !ok {
				continue
			}
			if name := path.Join(at, "go.mod"); !g.isFile(name) {
				return g.listing.missing(says, name)
			}
			m, err := g.readModule(at, toolchain)
			if err != nil {
				return err
			}
			m.path = r.Old.Path
			l.local = append(l.local, m)
		}
		return nil
	}
	for _, m := range l.mains {
		if err := replaced(m.name(), m.dir, m.file.Replace); err != nil {
			return err
		}
	}
	if l.work != nil {
		if err := replaced(l.workspace, path.Dir(l.workspace), l.work.Replace); err != nil {
			return err
		}
	}
	return outside.err()
}

// mayNeed tells the modules that can be part of a build: since Go 1.17 a go.mod requires all that are.
func (l *moduleList) mayNeed() func(module string) bool {
	required := map[string]bool{}
	for _, m := range l.mains {
		if m.file.Go == nil || version.Compare("go"+m.file.Go.Version, "go1.17") < 0 {
			return func(string) bool { return true }
		}
		for _, r := range m.file.Require {
			required[r.Mod.Path] = true
		}
	}
	return func(module string) bool { return required[module] }
}

// outsiders gathers what a source needs that lies outside of it.
type outsiders struct {
	listing *Listing
	pkg     string
	says    string // the first that does
	folders []string
	refused error
}

// inside is the folder in the source that a path leads to from the folder dir.
func (o *outsiders) inside(dir, target, says string) (string, bool) {
	target = filepath.ToSlash(target)
	if path.IsAbs(target) || filepath.IsAbs(filepath.FromSlash(target)) {
		if o.refused == nil {
			o.refused = fault.New(fault.Invalid, "%s, a path of one machine: write it from the folder of that file", says)
		}
		return "", false
	}
	clean := path.Join(dir, target)
	if !escapes(clean) {
		return clean, true
	}
	o.says = cmp.Or(o.says, says)
	o.folders = append(o.folders, clean)
	return "", false
}

func (o *outsiders) err() error {
	if o.refused != nil || len(o.folders) == 0 {
		return o.refused
	}
	says := o.says + ", which lies outside of the folder that is sent"
	if o.listing.at == "" {
		return fault.New(fault.Invalid, "%s", says)
	}
	all := []string{o.listing.at}
	for _, f := range o.folders {
		all = append(all, filepath.Join(o.listing.at, filepath.FromSlash(f)))
	}
	parent := common(all...)
	pkg, err := filepath.Rel(parent, filepath.Join(o.listing.at, filepath.FromSlash(o.pkg)))
	if err != nil {
		return fmt.Errorf("look at source: %w", err)
	}
	return &Outside{Parent: parent, Package: filepath.ToSlash(pkg), why: fault.New(fault.Invalid, "%s", says)}
}
