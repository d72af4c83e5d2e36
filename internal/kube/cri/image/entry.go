package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// entry is one entry of a layer's archive, with the open folder it goes to.
type entry struct {
	u      *unpacker
	parent int
	base   string
	name   string
	header *tar.Header
}

// make makes the file, folder or link. Devices are left out: an ordinary user
// cannot make them, and containers get theirs from the runtime.
func (e entry) make(content io.Reader) error {
	mode := uint32(e.header.Mode & 0o777)
	switch e.header.Typeflag {
	case tar.TypeDir:
		return e.folder(mode)
	case tar.TypeReg:
		return e.file(mode, content)
	case tar.TypeSymlink:
		return e.replacing(func() error { return unix.Symlinkat(e.header.Linkname, e.parent, e.base) })
	case tar.TypeLink:
		return e.link()
	case tar.TypeFifo:
		return e.replacing(func() error { return unix.Mknodat(e.parent, e.base, unix.S_IFIFO|mode, 0) })
	case tar.TypeChar, tar.TypeBlock, tar.TypeXGlobalHeader:
		return nil
	}
	return fmt.Errorf("unknown kind of entry %q", e.header.Typeflag)
}

// self is a path by which calls that know no folders reach the parent.
func (e entry) self() string {
	return filepath.Join("/proc/self/fd", strconv.Itoa(e.parent), e.base)
}

// kind is the type bits of what is there, or zero.
func (e entry) kind() (uint32, error) {
	var st unix.Stat_t
	err := unix.Fstatat(e.parent, e.base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	return st.Mode & unix.S_IFMT, err
}

// replacing calls create after removing what is there.
func (e entry) replacing(create func() error) error {
	kind, err := e.kind()
	if err != nil {
		return err
	}
	if kind != 0 {
		if err := os.RemoveAll(e.self()); err != nil {
			return err
		}
	}
	delete(e.u.whiteouts, e.name)
	return create()
}

// folder makes a folder that its owner can always enter and empty, so that it
// can be deleted again. One that comes after its own whiteout hides what lower
// layers have.
func (e entry) folder(mode uint32) error {
	kind, err := e.kind()
	if err != nil {
		return err
	}
	hidden := e.u.whiteouts[e.name]
	if kind != unix.S_IFDIR {
		if err := e.replacing(func() error { return unix.Mkdirat(e.parent, e.base, 0o755) }); err != nil {
			return err
		}
	}
	if hidden {
		if err := opaque(e.self()); err != nil {
			return err
		}
	}
	return unix.Fchmodat(e.parent, e.base, mode|0o700, 0)
}

func (e entry) file(mode uint32, content io.Reader) error {
	return e.replacing(func() error {
		const flags = unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC
		fd, err := unix.Openat(e.parent, e.base, flags, 0o600)
		if err != nil {
			return err
		}
		file := os.NewFile(uintptr(fd), e.name)
		defer file.Close()
		if _, err := io.Copy(file, content); err != nil {
			return err
		}
		if err := file.Chmod(os.FileMode(mode)); err != nil {
			return err
		}
		return e.touch()
	})
}

func (e entry) touch() error {
	at := e.header.ModTime
	if at.Before(time.Unix(0, 0)) {
		at = time.Unix(0, 0)
	}
	stamp := unix.NsecToTimespec(at.UnixNano())
	return unix.UtimesNanoAt(e.parent, e.base, []unix.Timespec{stamp, stamp}, unix.AT_SYMLINK_NOFOLLOW)
}

func (e entry) link() error {
	target := path.Clean("/" + e.header.Linkname)
	if target == e.name {
		return nil
	}
	from, err := e.u.openParent(path.Dir(target))
	if err != nil {
		return err
	}
	defer unix.Close(from)
	return e.replacing(func() error { return unix.Linkat(from, path.Base(target), e.parent, e.base, 0) })
}

// whiteout hides what lower layers have under a name, or everything that they
// have in the folder. What this layer itself has stays.
func (e entry) whiteout() error {
	if e.base == opaqueMarker {
		return opaque(filepath.Join("/proc/self/fd", strconv.Itoa(e.parent)))
	}
	hidden := strings.TrimPrefix(e.base, whiteoutPrefix)
	if strings.HasPrefix(hidden, whiteoutPrefix) {
		return nil // book-keeping of an older file system
	}
	if hidden == "" || hidden == "." || hidden == ".." {
		return fmt.Errorf("whiteout of nothing")
	}
	e.base, e.name = hidden, path.Join(path.Dir(e.name), hidden)
	kind, err := e.kind()
	if err != nil {
		return err
	}
	switch kind {
	case 0:
		e.u.whiteouts[e.name] = true
		return unix.Mknodat(e.parent, e.base, unix.S_IFCHR, 0)
	case unix.S_IFDIR:
		return opaque(e.self())
	}
	return nil
}

func opaque(dir string) error {
	if err := unix.Setxattr(dir, opaqueXattr, []byte("y"), 0); err != nil {
		return fmt.Errorf("mark the folder as opaque (the file system must support user attributes): %w", err)
	}
	return nil
}
