package source

import (
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// packed is a source as the builder has it: the files that are packed, without what else lies in their folders. Names are paths in the
// source, with slashes. Links are followed inside the source and never out of it.
type packed struct {
	root    *os.Root
	entries map[string]entry
	folders map[string][]string // the names in each folder
}

func newPacked(root *os.Root, entries []entry) *packed {
	p := &packed{root: root, entries: make(map[string]entry, len(entries)), folders: map[string][]string{".": nil}}
	for _, e := range entries {
		p.entries[e.name] = e
		p.addTo(path.Dir(e.name), e.name)
	}
	return p
}

// addTo puts a name into its folder, and the folder into its own when it is new.
func (p *packed) addTo(dir, name string) {
	_, known := p.folders[dir]
	p.folders[dir] = append(p.folders[dir], path.Base(name))
	if !known {
		p.addTo(path.Dir(dir), dir)
	}
}

// maxHops is how many links one name may lead through.
const maxHops = 40

// resolve follows the links in a name to where it leads in the source. Nothing lies below a link, so only the first one on the way
// need be looked for.
func (p *packed) resolve(name string) (string, bool) {
	name = path.Clean(name)
	for range maxHops {
		at, rest := "", ""
		for i := 0; i <= len(name) && at == ""; i++ {
			if i == len(name) || name[i] == '/' {
				if e, ok := p.entries[name[:i]]; ok && e.link != "" {
					at, rest = name[:i], name[i:]
				}
			}
		}
		if at == "" {
			return name, name == "." || !strings.HasPrefix(name, "../") && name != ".."
		}
		name = path.Join(path.Dir(at), p.entries[at].link, rest)
	}
	return "", false
}

func (p *packed) isFolder(name string) bool {
	name, ok := p.resolve(name)
	_, found := p.folders[name]
	return ok && found
}

func (p *packed) isFile(name string) bool {
	name, ok := p.resolve(name)
	_, found := p.entries[name]
	return ok && found
}

// open opens a packed file.
func (p *packed) open(name string) (io.ReadCloser, error) {
	real, ok := p.resolve(name)
	if _, found := p.entries[real]; !ok || !found {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return p.root.Open(real)
}

// read reads a packed file of at most limit bytes.
func (p *packed) read(name string, limit int64) ([]byte, error) {
	file, err := p.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readBounded(file, name, limit)
}

// readDir lists the files of a folder, and links as what they lead to. A link that leads to nothing counts as a file: opening it fails.
func (p *packed) readDir(dir string) ([]fs.FileInfo, error) {
	real, ok := p.resolve(dir)
	names, found := p.folders[real]
	if !ok || !found {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: fs.ErrNotExist}
	}
	infos := make([]fs.FileInfo, len(names))
	for i, name := range names {
		infos[i] = fileInfo{name: name, folder: p.isFolder(path.Join(real, name))}
	}
	return infos, nil
}

// fileInfo is what go/build wants to know of a file.
type fileInfo struct {
	name   string
	folder bool
}

func (f fileInfo) Name() string       { return f.name }
func (f fileInfo) Size() int64        { return 0 }
func (f fileInfo) ModTime() time.Time { return time.Time{} }
func (f fileInfo) IsDir() bool        { return f.folder }
func (f fileInfo) Sys() any           { return nil }
func (f fileInfo) Mode() fs.FileMode {
	if f.folder {
		return fs.ModeDir
	}
	return 0
}
