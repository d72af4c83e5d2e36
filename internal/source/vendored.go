package source

import (
	"errors"
	"go/version"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/m3o/platform/internal/fault"
)

// vendorList is what a modules.txt says.
type vendorList struct {
	workspace bool // it was made by go work vendor
	versions  map[string]string
	explicit  map[module.Version]bool
	packages  []string // import paths, each once
}

// parseVendorList reads a modules.txt. As the go command does, it passes over lines that it does not understand.
func parseVendorList(content string) vendorList {
	l := vendorList{versions: map[string]string{}, explicit: map[module.Version]bool{}}
	var in module.Version
	known, first := map[string]bool{}, true
	for line := range strings.Lines(content) {
		line = strings.TrimRight(line, "\r\n")
		notes, noted := strings.CutPrefix(line, "## ")
		words := strings.Fields(line)
		switch {
		case noted:
			for note := range strings.SplitSeq(notes, ";") {
				l.workspace = l.workspace || first && strings.TrimSpace(note) == "workspace"
				if in.Path != "" && strings.TrimSpace(note) == "explicit" {
					l.explicit[in] = true
				}
			}
		case strings.HasPrefix(line, "# "):
			in = module.Version{}
			if len(words) >= 3 && semver.IsValid(words[2]) {
				in = module.Version{Path: words[1], Version: words[2]}
				l.versions[in.Path] = in.Version
			} else if len(words) >= 3 && words[2] == "=>" {
				in = module.Version{Path: words[1]}
			}
		case in.Path != "" && len(words) == 1 && module.CheckImportPath(words[0]) == nil && !known[words[0]]:
			known[words[0]], l.packages = true, append(l.packages, words[0])
		}
		first = false
	}
	return l
}

// checkVendor finds the vendor folder in force, and says what it lacks.
func (g goTree) checkVendor(l *moduleList) error {
	at, language := l.main.dir, "1.16"
	if l.main.file.Go != nil {
		language = l.main.file.Go.Version
	}
	if l.workspace != "" {
		at, language = path.Dir(l.workspace), ""
		if l.work.Go != nil {
			language = l.work.Go.Version
		}
	} else if l.main.file.Go == nil {
		return nil // as before Go 1.14
	}
	dir := path.Join(at, "vendor")
	if !g.isFolder(dir) || version.Compare("go"+language, "go1.14") < 0 {
		return nil
	}
	name := path.Join(dir, "modules.txt")
	content, err := g.read(name, maxGoFile)
	if errors.Is(err, fs.ErrNotExist) {
		if left, ok := g.listing.why(name); ok {
			return partlyLeftOut(dir, left)
		}
		l.vendor = dir // in force all the same
		return nil
	}
	if err != nil {
		return err
	}
	list := parseVendorList(string(content))
	if list.workspace != (l.workspace != "") {
		return nil
	}
	l.vendor = dir
	if err := g.checkVendored(dir, list); err != nil {
		return err
	}
	return checkRequired(l, list)
}

// checkVendored says which of the vendored packages are not sent.
func (g goTree) checkVendored(dir string, list vendorList) error {
	for _, p := range list.packages {
		folder := path.Join(dir, p)
		if left := g.leftOutOf(folder); len(left) > 0 {
			return partlyLeftOut(dir, left[0])
		}
		if left, ok := g.listing.why(folder); ok {
			return partlyLeftOut(dir, left)
		}
		if !g.isFolder(folder) {
			return fault.New(fault.Invalid, "%s lists the package %s, and there is no %s: run \"go mod vendor\"", path.Join(dir, "modules.txt"), p, folder)
		}
	}
	return nil
}

func partlyLeftOut(dir string, left leftOut) error {
	remedy, folder := left.remedy(), "/"+quotePattern(dir)+"/"
	if left.file.dir == "." || left.file.below != "" {
		remedy = "add the line !" + folder + "** to .m3oignore to send it"
	}
	return fault.New(fault.Invalid, "%s is left out in part: %s; %s, or the line %s to send none of it", dir, left, remedy, folder)
}

// checkRequired holds a module's requirements to what was vendored, as the go command does first of all.
func checkRequired(l *moduleList, list vendorList) error {
	if l.workspace != "" {
		return nil
	}
	for _, r := range l.main.file.Require {
		if list.explicit[r.Mod] {
			continue
		}
		has := "does not"
		if v, ok := list.versions[r.Mod.Path]; ok && v != r.Mod.Version {
			has = "has " + v
		}
		return fault.New(fault.Invalid, "inconsistent vendoring: %s requires %s %s, and %s %s: run \"go mod vendor\"",
			l.main.name(), r.Mod.Path, r.Mod.Version, path.Join(l.vendor, "modules.txt"), has)
	}
	return nil
}
