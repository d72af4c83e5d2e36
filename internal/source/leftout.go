package source

import (
	"fmt"
	"path"
	"strings"

	"github.com/m3o/platform/internal/fault"
)

// leftOut is a file that lies in a developer's folder and is not packed, and why.
type leftOut struct {
	name string // the file, or the outermost folder that it is left out with: that one ends in a slash
	file ignoreFile
	rule rule
}

// onDisk reports whether the developer's folder holds the file, packed or not.
func (f *Listing) onDisk(name string) bool {
	info, err := f.root.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// onDiskFolder is onDisk for a folder.
func (f *Listing) onDiskFolder(name string) bool {
	info, err := f.root.Stat(name)
	return err == nil && info.IsDir()
}

// why finds what leaves the path out of the source, or would if it were there. Not ok: no ignore file does.
func (f *Listing) why(name string) (leftOut, bool) {
	if f.at == "" {
		return leftOut{}, false
	}
	chain, parts := f.above, strings.Split(path.Clean(name), "/")
	for i := range parts {
		var err error
		if chain, err = readIgnores(f.root, path.Join(".", path.Join(parts[:i]...)), chain); err != nil {
			return leftOut{}, false
		}
		at, isDir := path.Join(parts[:i+1]...), i+1 < len(parts)
		if info, err := f.root.Lstat(at); err == nil {
			isDir = info.IsDir()
		}
		if always[parts[i]] {
			return leftOut{}, false
		}
		if file, line := chain.deciding(at, isDir); file >= 0 && !chain[file].rules[line].negated {
			if isDir {
				at += "/"
			}
			return leftOut{name: at, file: chain[file], rule: chain[file].rules[line]}, true
		}
	}
	return leftOut{}, false
}

// String names the line and what it leaves out.
func (l leftOut) String() string {
	return fmt.Sprintf("line %d of %s, %q, leaves out %s", l.rule.line, l.file.name, strings.TrimSpace(l.rule.text), l.name)
}

// remedy is how it comes along.
func (l leftOut) remedy() string {
	file, line := l.line()
	return fmt.Sprintf("to send it, add the line !%s to %s", line, file)
}

// line is the pattern of it in the .m3oignore file that is heard after the file that leaves it out.
func (l leftOut) line() (file, pattern string) {
	dir, below := l.file.dir, l.name
	if l.file.below != "" { // above the source: an ignore file at its top is heard after that one
		dir = "."
	}
	if dir != "." {
		below = strings.TrimPrefix(below, dir+"/")
	}
	return path.Join(dir, ".m3oignore"), "/" + quotePattern(below)
}

// meant reports whether a line for uploads alone leaves it out.
func (l leftOut) meant() bool { return path.Base(l.file.name) == ".m3oignore" }

// quotePattern writes a name as a pattern that matches it alone.
func quotePattern(name string) string {
	quoted := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
	if strings.HasSuffix(quoted, " ") {
		quoted = quoted[:len(quoted)-1] + `\ `
	}
	return quoted
}

// missing says why the source lacks the path that something in it asks for.
func (f *Listing) missing(asks, name string) error {
	left, ok := f.why(name)
	switch {
	case !ok:
		return fault.New(fault.Invalid, "%s, and there is no %s in the source", asks, name)
	case f.exists(name):
		return fault.New(fault.Invalid, "%s, but %s: %s", asks, left, left.remedy())
	}
	return fault.New(fault.Invalid, "%s, and there is no %s here; besides, %s: %s", asks, name, left, left.remedy())
}

func (f *Listing) exists(name string) bool {
	_, err := f.root.Lstat(name)
	return err == nil
}
