package source

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// entry is one file or link of a source.
type entry struct {
	name string
	link string // target, for a link
	size int64
	exec bool
}

func openFolder(dir string) (*os.Root, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Invalid, "there is no folder %s", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("look at source: %w", err)
	}
	if !info.IsDir() {
		return nil, fault.New(fault.Invalid, "%s is not a folder", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open source: %w", err)
	}
	return root, nil
}

// list returns what belongs to the source, sorted by name.
func (l *lister) list(above ignores) ([]entry, error) {
	if err := l.folder(".", above); err != nil {
		return nil, err
	}
	slices.SortFunc(l.entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return l.entries, nil
}

// lister walks a folder.
type lister struct {
	root    *os.Root
	whole   bool   // ignore files do not count: what was unpacked is the source
	named   string // a folder that is packed although it is ignored, or one that it lies in
	entries []entry
}

// maxListed bounds the walk itself; it is far above what may be packed, so that offenders can be named by their size.
const maxListed = 2_000_000

func (l *lister) folder(dir string, outer ignores) error {
	chain, err := l.ignores(dir, outer)
	if err != nil {
		return err
	}
	found, err := fs.ReadDir(l.root.FS(), dir)
	if err != nil {
		return fmt.Errorf("read source folder %s: %w", dir, err)
	}
	for _, d := range found {
		name := path.Join(dir, d.Name())
		if l.skips(chain, name, d.IsDir()) {
			continue
		}
		if d.IsDir() {
			err = l.folder(name, chain)
		} else {
			err = l.add(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) ignores(dir string, outer ignores) (ignores, error) {
	if l.whole {
		return nil, nil
	}
	return readIgnores(l.root, dir, outer)
}

func (l *lister) skips(chain ignores, name string, isDir bool) bool {
	leadsToNamed := isDir && (name == l.named || strings.HasPrefix(l.named, name+"/"))
	return !l.whole && chain.match(name, isDir) && (always[path.Base(name)] || !leadsToNamed)
}

// readRegular reads a file up to limit. Links do not count as files here, as they do not for git.
func readRegular(root *os.Root, name string, limit int64) (string, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fs.ErrNotExist
	}
	if info.Size() > limit {
		return "", fault.New(fault.Invalid, "%s is larger than %s", name, size(limit))
	}
	content, err := root.ReadFile(name)
	return string(content), err
}

// add takes a file or a link. Sockets, pipes and devices are passed over, as git does.
func (l *lister) add(name string) error {
	if len(l.entries) >= maxListed {
		return fault.New(fault.Invalid, "the source has more than %d files", maxListed)
	}
	info, err := l.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone since the folder was read
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", name, err)
	}
	switch {
	case info.Mode().IsRegular():
		l.entries = append(l.entries, entry{name: name, size: info.Size(), exec: info.Mode()&0o100 != 0})
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := l.root.Readlink(name)
		if err != nil {
			return fmt.Errorf("read link %s: %w", name, err)
		}
		l.entries = append(l.entries, entry{name: name, link: target})
	}
	return nil
}

func checkEntries(entries []entry, limits Limits) error {
	if len(entries) == 0 {
		return fault.New(fault.Invalid, "the folder holds no files that are not ignored, here or by the ignore files above it")
	}
	total := int64(0)
	for _, e := range entries {
		total += e.size
	}
	switch {
	case len(entries) > limits.Files:
		return fault.New(fault.Invalid, "the source has %d files, more than %d; most are in %s", len(entries), limits.Files,
			offenders(entries, func(entry) int64 { return 1 }, countFiles))
	case total > limits.Unpacked:
		return fault.New(fault.Invalid, "the source has %s, more than %s; the largest are %s", size(total), size(limits.Unpacked),
			offenders(entries, func(e entry) int64 { return e.size }, size))
	}
	return checkNames(entries, limits)
}

func checkNames(entries []entry, limits Limits) error {
	names := newNames(limits)
	for _, e := range entries {
		err := names.add(e.name)
		if err == nil && e.link != "" {
			err = checkLink(e.name, e.link)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func countFiles(n int64) string { return fmt.Sprintf("%d files", n) }

// offenders names the heaviest parts of the source, and what helps.
func offenders(entries []entry, weight func(entry) int64, text func(int64) string) string {
	return heaviestParts(entries, weight, text) + ": add what is not needed to .gitignore"
}

// heaviestParts names the three heaviest parts. A folder stands for its content unless one thing in it is nearly all of it.
func heaviestParts(entries []entry, weight func(entry) int64, text func(int64) string) string {
	below := map[string]int64{}
	children := map[string]map[string]bool{}
	for _, e := range entries {
		for name := e.name; name != "."; name = path.Dir(name) {
			below[name] += weight(e)
			parent := path.Dir(name)
			if children[parent] == nil {
				children[parent] = map[string]bool{}
			}
			children[parent][name] = true
		}
	}
	heaviest := func(dir string) []string {
		return slices.SortedFunc(maps.Keys(children[dir]), func(a, b string) int {
			return cmp.Or(cmp.Compare(below[b], below[a]), strings.Compare(a, b))
		})
	}
	var out []string
	for _, name := range heaviest(".")[:min(3, len(children["."]))] {
		for len(children[name]) > 0 && below[heaviest(name)[0]]*10 >= below[name]*9 && len(children[heaviest(name)[0]]) > 0 {
			name = heaviest(name)[0]
		}
		out = append(out, fmt.Sprintf("%s (%s)", name, text(below[name])))
	}
	return strings.Join(out, ", ")
}

func write(root *os.Root, entries []entry, w io.Writer, limits Limits) (Stats, error) {
	packed := &capped{w: w, limit: limits.Packed}
	zip, err := gzip.NewWriterLevel(packed, gzip.BestSpeed)
	if err != nil {
		return Stats{}, err
	}
	hash := sha256.New()
	plain := &capped{w: io.MultiWriter(zip, hash), limit: limits.Unpacked}
	archive := tar.NewWriter(plain)
	for _, e := range entries {
		if err := writeEntry(root, archive, e); err != nil {
			return Stats{}, explainFull(err, entries, limits, packed, plain)
		}
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		return Stats{}, explainFull(err, entries, limits, packed, plain)
	}
	return Stats{Digest: "sha256:" + hex.EncodeToString(hash.Sum(nil)), Files: len(entries), Packed: packed.n, Unpacked: plain.n}, nil
}

func writeEntry(root *os.Root, archive *tar.Writer, e entry) (err error) {
	header := &tar.Header{Name: e.name, Typeflag: tar.TypeReg, Size: e.size, Mode: 0o644, ModTime: time.Unix(0, 0)}
	switch {
	case e.link != "":
		header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, e.link, 0o777
	case e.exec:
		header.Mode = 0o755
	}
	if err := archive.WriteHeader(header); err != nil || e.link != "" {
		return err
	}
	file, err := root.Open(e.name)
	if err != nil {
		return fmt.Errorf("read source: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	n, err := io.Copy(archive, io.LimitReader(file, e.size))
	if err == nil && n != e.size {
		return fault.New(fault.Conflict, "%s changed while it was packed; try again", e.name)
	}
	return err
}

// explainFull puts the words of the limit that was hit in place of the writer's error.
func explainFull(err error, entries []entry, limits Limits, packed, plain *capped) error {
	largest := offenders(entries, func(e entry) int64 { return e.size }, size)
	switch {
	case packed.full:
		return fault.New(fault.Invalid, "the source is larger than %s when packed; the largest are %s", size(limits.Packed), largest)
	case plain.full:
		return fault.New(fault.Invalid, "the source is larger than %s; the largest are %s", size(limits.Unpacked), largest)
	}
	return fmt.Errorf("pack source: %w", err)
}

// capped is a writer that takes no more than limit bytes.
type capped struct {
	w     io.Writer
	n     int64
	limit int64
	full  bool
}

func (c *capped) Write(p []byte) (int, error) {
	if c.n+int64(len(p)) > c.limit {
		c.full = true
		return 0, io.ErrShortWrite
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
