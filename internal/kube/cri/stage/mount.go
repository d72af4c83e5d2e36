package stage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// tree is a mount that is attached nowhere yet. It is made while the node's
// files can be named, and attached once the container's root is the root: a
// path of the image, with whatever links it has, then cannot lead outside.
type tree int

// clone makes a tree of what is mounted at path, or of a folder or file there.
func clone(path string) (tree, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return 0, fmt.Errorf("take %s: %w", path, err)
	}
	return tree(fd), nil
}

// fresh makes a tree of a new file system.
func fresh(kind string, attrs int, options ...string) (tree, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("new %s: %w", kind, err)
	}
	defer unix.Close(fs)
	for i := 0; i+1 < len(options); i += 2 {
		if err := unix.FsconfigSetString(fs, options[i], options[i+1]); err != nil {
			return 0, fmt.Errorf("new %s: %s: %w", kind, options[i], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return 0, fmt.Errorf("new %s: %w", kind, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return 0, fmt.Errorf("new %s: %w", kind, err)
	}
	return tree(fd), nil
}

// set changes attributes and propagation, of all mounts below too if asked.
func (t tree) set(attrs uint64, propagation uint64, recursive bool) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Attr_set: attrs, Propagation: propagation}
	return unix.MountSetattr(int(t), "", flags, &attr)
}

// attach puts the tree at an existing path. The last part of the path is
// followed if it is a link only if asked.
func (t tree) attach(path string, follow bool) error {
	flags := unix.MOVE_MOUNT_F_EMPTY_PATH
	if follow {
		flags |= unix.MOVE_MOUNT_T_SYMLINKS
	}
	if err := unix.MoveMount(int(t), "", unix.AT_FDCWD, path, flags); err != nil {
		return fmt.Errorf("mount %s: %w", path, err)
	}
	return unix.Close(int(t))
}

// isDir reports whether the tree's root is a folder.
func (t tree) isDir() (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(t), &st); err != nil {
		return false, err
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

// take makes the tree of one of the container's volumes.
func (m Mount) take() (tree, error) {
	t, err := clone(m.Source)
	if err != nil {
		return 0, err
	}
	if !m.Follow {
		if err := t.set(0, unix.MS_PRIVATE, true); err != nil {
			return 0, fmt.Errorf("make %s private: %w", m.Source, err)
		}
	}
	var attrs uint64
	for attr, wanted := range map[uint64]bool{
		unix.MOUNT_ATTR_RDONLY: m.ReadOnly, unix.MOUNT_ATTR_NOEXEC: m.NoExec,
		unix.MOUNT_ATTR_NODEV: m.NoDev, unix.MOUNT_ATTR_NOSUID: m.NoSuid,
	} {
		if wanted {
			attrs |= attr
		}
	}
	if attrs == 0 {
		return t, nil
	}
	if err := t.set(attrs, 0, m.Recursive); err != nil {
		return 0, fmt.Errorf("set the flags of %s: %w", m.Source, err)
	}
	return t, nil
}

// put attaches the volume, making its target first.
func (m Mount) put(t tree) error {
	dir, err := t.isDir()
	if err != nil {
		return err
	}
	if err := makeTarget(m.Target, dir); err != nil {
		return fmt.Errorf("make the mount point %s: %w", m.Target, err)
	}
	return t.attach(m.Target, true)
}

// maxLinks is how many links in a row are followed, as the kernel's limit.
const maxLinks = 40

// makeTarget makes a folder or an empty file to mount upon, with all above it,
// unless it is there. Links that lead nowhere yet are followed, and what they
// name is made.
func makeTarget(path string, dir bool) error { return makeAt(path, dir, maxLinks) }

func makeAt(path string, dir bool, links int) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	parent := filepath.Dir(path)
	if err := makeAt(parent, true, links); err != nil {
		return err
	}
	if target, err := os.Readlink(path); err == nil {
		if links == 0 {
			return unix.ELOOP
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(parent, target)
		}
		return makeAt(target, dir, links-1)
	}
	if dir {
		return os.Mkdir(path, 0o755)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return file.Close()
}

// plainDir makes sure that path is a folder and not a link to one, so that
// what is mounted there is found there.
func plainDir(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return os.MkdirAll(path, 0o755)
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("the image has %s, but not as a folder", path)
	}
	return nil
}

// mask hides a path if it exists.
func mask(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	var t tree
	if info.IsDir() {
		t, err = fresh("tmpfs", unix.MOUNT_ATTR_RDONLY, "size", "0", "nr_inodes", "2")
	} else {
		t, err = clone("/dev/null")
	}
	if err != nil {
		return fmt.Errorf("mask %s: %w", path, err)
	}
	return t.attach(path, true)
}

// protect makes a path read-only if it exists.
func protect(path string) error {
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	t, err := clone(path)
	if err != nil {
		return err
	}
	if err := t.set(unix.MOUNT_ATTR_RDONLY, 0, true); err != nil {
		return fmt.Errorf("make %s read-only: %w", path, err)
	}
	return t.attach(path, true)
}

// terminal is the path, below the container's devpts, of the terminal that
// file descriptor fd has open.
func terminal(fd int) (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", err
	}
	return "/dev/pts/" + strconv.Itoa(int(unix.Minor(st.Rdev))), nil
}
