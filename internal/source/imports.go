package source

import (
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/m3o/platform/internal/fault"
)

// importCheck follows a program's imports through the modules of its source.
type importCheck struct {
	goTree
	list     moduleList
	local    map[string]string // folders of the modules in the source, by path
	required map[string]bool   // modules that the source's modules ask for
	replaced map[string]bool   // modules that something takes the place of
	sums     map[string]bool   // modules that a go.sum knows
	seen     map[string]bool
	queue    []importing
	notes    []string
	disk     fs.FS
	embeds   int // what the patterns may still cost
}

// importing is a package's folder and the file that imports it.
type importing struct{ dir, by, path string }

const (
	maxPackages = 20_000 // of one program that are looked at
	maxNotes    = 8
)

// checkImports says what the program imports or embeds that is not sent. The notes are of files that it may be built without.
func (g goTree) checkImports(list moduleList, pkg string) ([]string, error) {
	c := importCheck{goTree: g, list: list, seen: map[string]bool{}, queue: []importing{{dir: pkg}}, embeds: maxEmbedded,
		disk: listedOnce{g.listing.root.FS(), map[string][]fs.DirEntry{}}}
	c.readModules()
	c.architectures = []string{g.architectureOf(pkg)}
	var err error
	if c.sums, err = c.readSums(); err != nil {
		return nil, err
	}
	for len(c.queue) > 0 && len(c.seen) < maxPackages {
		next := c.queue[0]
		c.queue = c.queue[1:]
		if c.seen[next.dir] {
			continue
		}
		c.seen[next.dir] = true
		if err := c.look(next); err != nil {
			return nil, err
		}
	}
	return c.notes, nil
}

// architectureOf is the one that the program is built for.
func (g goTree) architectureOf(pkg string) string {
	for _, architecture := range g.architectures {
		g.architectures = []string{architecture}
		if g.isMain(pkg) {
			return architecture
		}
	}
	return g.architectures[0]
}

// look holds one package against what is sent, and notes what it imports. What is wrong with it and not with the upload, the compiler
// says better.
func (c *importCheck) look(p importing) error {
	found, err := c.importPackage(p.dir)
	left := c.leftOutOf(p.dir)
	var none *build.NoGoError
	switch {
	case errors.As(err, &none) && len(left) > 0:
		return fault.New(fault.Invalid, "%s imports %s, but %s: %s", p.by, p.path, left[0], left[0].remedy())
	case errors.As(err, &none) && len(found.IgnoredGoFiles)+len(found.CgoFiles) > 0:
		return fault.New(fault.Invalid, "%s imports %s, and no Go file in %s can be built for linux/%s without cgo", p.by, p.path, p.dir, c.architectures[0])
	case err != nil:
		return nil
	}
	for _, l := range left {
		c.note("%s, which go build takes here; %s", l, l.remedy())
	}
	if err := c.checkEmbeds(p.dir, found); err != nil {
		return err
	}
	for _, imported := range found.Imports {
		if err := c.follow(imported, inside(found.ImportPos[imported][0].Filename)); err != nil {
			return err
		}
	}
	return nil
}

func (c *importCheck) note(format string, args ...any) {
	if len(c.notes) < maxNotes {
		c.notes = append(c.notes, fmt.Sprintf(format, args...))
	}
}

// follow queues the package if it lies in the source, and otherwise holds it to what the source says of its module.
func (c *importCheck) follow(imported, by string) error {
	if module.CheckImportPath(imported) != nil {
		return nil // the compiler says so
	}
	dir, local := c.localDir(imported)
	switch {
	case local && c.isFolder(dir):
		c.queue = append(c.queue, importing{dir: dir, by: by, path: imported})
		return nil
	case local && c.listing.onDiskFolder(dir):
		if left := c.leftOutOf(dir); len(left) > 0 {
			return fault.New(fault.Invalid, "%s imports %s, but %s: %s", by, imported, left[0], left[0].remedy())
		}
		return c.listing.missing(by+" imports "+imported, dir)
	case c.list.vendor != "":
		return nil
	}
	required, ok := longest(imported, c.required)
	switch {
	case !ok && local:
		return fault.New(fault.Invalid, "%s imports %s, and there is no folder %s in the source", by, imported, dir)
	case !ok || c.sums[required] || c.replaced[required]:
		return nil
	}
	return c.noSum(required, imported, by)
}

// readModules notes the modules that an import may belong to.
func (c *importCheck) readModules() {
	c.local, c.required, c.replaced = map[string]string{}, map[string]bool{}, map[string]bool{}
	for _, m := range c.list.local {
		c.local[m.path] = m.dir
	}
	replaces := []*modfile.Replace{}
	if c.list.work != nil {
		replaces = c.list.work.Replace
	}
	for _, m := range c.list.mains {
		for _, r := range m.file.Require {
			c.required[r.Mod.Path] = true
		}
		replaces = slices.Concat(replaces, m.file.Replace)
	}
	for _, r := range replaces {
		c.replaced[r.Old.Path] = true
	}
}

// localDir is the folder that an import path leads to in the modules of the source. It is not ok in a module nested in one of them.
func (c *importCheck) localDir(imported string) (string, bool) {
	in, ok := longest(imported, c.local)
	if !ok {
		return "", false
	}
	top := c.local[in]
	dir := path.Join(top, strings.TrimPrefix(imported, in))
	for up := dir; up != top; up = path.Dir(up) {
		if c.isFile(path.Join(up, "go.mod")) {
			return "", false
		}
	}
	return dir, true
}

// longest is the longest of the module paths that the import path can belong to.
func longest[T any](imported string, modules map[string]T) (string, bool) {
	for p := imported; p != "."; p = path.Dir(p) {
		if _, ok := modules[p]; ok {
			return p, true
		}
	}
	return "", false
}

// sumFiles are where the checksums of the source's modules are.
func (c *importCheck) sumFiles() []string {
	var files []string
	if c.list.workspace != "" {
		files = append(files, path.Join(path.Dir(c.list.workspace), "go.work.sum"))
	}
	for _, m := range c.list.mains {
		files = append(files, path.Join(m.dir, "go.sum"))
	}
	return files
}

// readSums finds the modules whose files have a checksum.
func (c *importCheck) readSums() (map[string]bool, error) {
	known := map[string]bool{}
	for _, name := range c.sumFiles() {
		content, err := c.read(name, maxGoFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for line := range strings.Lines(string(content)) {
			if words := strings.Fields(line); len(words) == 3 && !strings.HasSuffix(words[1], "/go.mod") {
				known[words[0]] = true
			}
		}
	}
	return known, nil
}

// noSum says why the go command refuses a module without a checksum.
func (c *importCheck) noSum(required, imported, by string) error {
	says := fmt.Sprintf("%s imports %s, and no go.sum has a checksum of module %s", by, imported, required)
	for _, name := range c.sumFiles() {
		if left, ok := c.listing.why(name); ok && c.listing.exists(name) {
			return fault.New(fault.Invalid, "%s: %s; %s", says, left, left.remedy())
		}
	}
	return fault.New(fault.Invalid, "%s: run \"go mod tidy\"", says)
}
