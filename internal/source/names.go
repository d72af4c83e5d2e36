package source

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/m3o/platform/internal/fault"
)

const (
	maxPath    = 1024
	maxSegment = 255
	maxDepth   = 64
)

// nameBytes is how long names may be on average; with the limit of files it bounds them all.
const nameBytes = 256

// names remembers the files and folders of a source and refuses what would collide: on some machine if not on ours.
// Folders count as files do: each takes an inode.
type names struct {
	limits  Limits
	bytes   int
	files   map[string]bool
	folders map[string]bool
	folded  map[string]string // name without its case -> name
}

func newNames(limits Limits) *names {
	return &names{limits: limits, files: map[string]bool{}, folders: map[string]bool{}, folded: map[string]string{}}
}

// add takes the name of a file or link, or says what is wrong with it.
func (n *names) add(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if n.files[name] || n.folders[name] {
		return fault.New(fault.Invalid, "%q is in the source twice", name)
	}
	if err := n.take(name); err != nil {
		return err
	}
	n.files[name] = true
	return n.addFolder(path.Dir(name))
}

// addFolder takes a folder and those it lies in. Nothing lies below a file or a link.
func (n *names) addFolder(dir string) error {
	for ; dir != "." && !n.folders[dir]; dir = path.Dir(dir) {
		if n.files[dir] {
			return fault.New(fault.Invalid, "%q is in the source as a file or link and as a folder", dir)
		}
		if err := n.take(dir); err != nil {
			return err
		}
		n.folders[dir] = true
	}
	return nil
}

// take counts a new name, and holds it against the others.
func (n *names) take(name string) error {
	if len(n.files)+len(n.folders) >= n.limits.Files {
		return tooMany(n.limits)
	}
	if n.bytes += len(name); n.bytes > n.limits.Files*nameBytes {
		return fault.New(fault.Invalid, "the names in the source are longer than %s together", size(int64(n.limits.Files*nameBytes)))
	}
	return n.fold(name)
}

func (n *names) fold(name string) error {
	folded := foldCase(name)
	if other, ok := n.folded[folded]; ok && other != name {
		return fault.New(fault.Invalid, "%q and %q differ in upper and lower case only", other, name)
	}
	n.folded[folded] = name
	return nil
}

// foldCase maps every letter to the least of those it is equal to without regard to case.
func foldCase(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
			least = min(least, o)
		}
		return least
	}, s)
}

func checkName(name string) error {
	bad := func(why string) error { return fault.New(fault.Invalid, "the name %.200q in the source %s", name, why) }
	switch {
	case len(name) > maxPath:
		return bad("is too long")
	case !utf8.ValidString(name):
		return bad("is not UTF-8")
	case strings.ContainsFunc(name, unicode.IsControl) || strings.Contains(name, `\`):
		return bad("holds a control character or a backslash")
	case strings.HasPrefix(name, "/"):
		return bad("is absolute")
	}
	segments := strings.Split(name, "/")
	if len(segments) > maxDepth {
		return bad("lies too deep")
	}
	for _, s := range segments {
		switch {
		case s == "" || s == "." || s == "..":
			return bad("leaves the source or is not clean")
		case len(s) > maxSegment:
			return bad("is too long")
		}
	}
	return nil
}

// checkLink refuses links that leave the source. Steps up are allowed at the beginning of the target alone: there they
// go through real folders, as nothing lies below a link, and so where they lead can be counted. Behind another link it
// could not.
func checkLink(name, target string) error {
	bad := func(why string) error {
		return fault.New(fault.Invalid, "the link %.200q -> %.200q %s", name, target, why)
	}
	if target == "" || len(target) > maxPath || !utf8.ValidString(target) || strings.ContainsFunc(target, unicode.IsControl) {
		return bad("has a target that is no path")
	}
	if strings.HasPrefix(target, "/") || strings.Contains(target, `\`) {
		return bad("leaves the source")
	}
	room, down := strings.Count(name, "/"), false
	for s := range strings.SplitSeq(target, "/") {
		switch {
		case s != "..":
			down = down || s != "." && s != ""
		case down:
			return bad("goes up after it went down")
		default:
			room--
		}
	}
	if room < 0 {
		return bad("leaves the source")
	}
	return nil
}
