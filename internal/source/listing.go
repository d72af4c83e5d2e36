package source

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Listing is a folder that is open as a source: the list of what is packed, which both Check and Pack look at.
type Listing struct {
	root    *os.Root
	at      string // where it lies on the developer's machine; empty when it was unpacked
	above   ignores
	entries []entry
	limits  Limits
}

// Open lists what of the place is packed. What it finds it also holds to the limits and to the rules for names, so that nothing is
// uploaded that would be refused on the other side. Ignore files above the place, up to the root of its repository, count too. The
// caller closes the folder.
func Open(at Place, limits Limits) (_ *Listing, err error) {
	root, err := openFolder(at.Root)
	if err != nil {
		return nil, err
	}
	f := &Listing{root: root, limits: limits.WithDefaults()}
	defer func() {
		if err != nil {
			root.Close()
		}
	}()
	if f.at, err = filepath.Abs(at.Root); err != nil {
		return nil, fmt.Errorf("look at source: %w", err)
	}
	if f.above, err = ignoresAbove(at.Root); err != nil {
		return nil, err
	}
	l := lister{root: root, named: at.Package}
	if f.entries, err = l.list(f.above); err != nil {
		return nil, err
	}
	return f, checkEntries(f.entries, f.limits)
}

// Close lets the folder go.
func (f *Listing) Close() error { return f.root.Close() }

// Pack writes the archive of the folder to w.
func (f *Listing) Pack(w io.Writer) (Stats, error) { return write(f.root, f.entries, w, f.limits) }

// Pack writes the archive of the folder dir to w.
func Pack(dir string, w io.Writer, limits Limits) (Stats, error) {
	f, err := Open(Place{Root: dir}, limits)
	if err != nil {
		return Stats{}, err
	}
	defer f.Close()
	return f.Pack(w)
}
