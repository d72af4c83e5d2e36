package cri

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/m3o/platform/internal/kube/cri/image"
	"github.com/m3o/platform/internal/kube/tree"
)

// overlay is a stack of layers, writable if it has an upper folder.
type overlay struct {
	folders            []string
	upper, work, point string
}

// mountOverlay mounts the stack. It runs on the spawning thread, whose folder
// is that of the layers: so all names are short, and the longest stack fits
// into the one page that the kernel takes, however deep the runtime's folder is.
func (s *Server) mountOverlay(o overlay) error {
	options := []string{"userxattr", "lowerdir=" + strings.Join(o.folders, ":")}
	flags := uintptr(unix.MS_RDONLY)
	if o.upper != "" {
		upper, err := filepath.Rel(s.images.LayersDir(), o.upper)
		if err != nil {
			return fmt.Errorf("mount the container's file system: %w", err)
		}
		work, err := filepath.Rel(s.images.LayersDir(), o.work)
		if err != nil {
			return fmt.Errorf("mount the container's file system: %w", err)
		}
		options = append(options, "upperdir="+escape(upper), "workdir="+escape(work))
		flags = 0
	}
	err := s.spawner.Do(func() error {
		return unix.Mount("overlay", o.point, "overlay", flags, strings.Join(options, ","))
	})
	if err != nil {
		return fmt.Errorf("mount the container's file system: %w", err)
	}
	return nil
}

// escape protects the characters that mean something in overlay's options.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, ",", `\,`, ":", `\:`).Replace(path)
}

// probeOverlay mounts a small overlay to learn whether containers can run.
func (s *Server) probeOverlay() error {
	dir := filepath.Join(s.config.Root, "probe")
	if err := tree.Remove(dir); err != nil {
		return err
	}
	o := overlay{folders: (&image.Image{}).Folders(), upper: dir + "/upper", work: dir + "/work", point: dir + "/point"}
	for _, path := range []string{o.upper, o.work, o.point} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return fmt.Errorf("make the runtime's folder: %w", err)
		}
	}
	if err := s.mountOverlay(o); err != nil {
		return fmt.Errorf("this machine cannot run containers below %s: they need Linux 5.12 or later, and overlay mounts in user namespaces on a file system that is no overlay itself and supports user attributes: %w", s.config.Root, err)
	}
	if err := unmount(o.point); err != nil {
		return err
	}
	return tree.Remove(dir)
}

// unmount takes away all mounts at path; none is no error.
func unmount(path string) error {
	for {
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
}
