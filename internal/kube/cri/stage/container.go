package stage

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// become builds the container's file tree, enters it, gives up what the
// container may not have, and executes its command. It returns only on failure.
func (c Container) become() error {
	adjustOOM(c.OOMScoreAdj)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("separate the mounts: %w", err)
	}
	kernel, err := c.takeKernel()
	if err != nil {
		return err
	}
	volumes, err := c.takeVolumes()
	if err != nil {
		return err
	}
	if err := enter(c.Rootfs); err != nil {
		return err
	}
	unix.Umask(0)
	if err := c.furnish(kernel, volumes); err != nil {
		return err
	}
	unix.Umask(0o022)
	return c.Command.execute()
}

// adjustOOM lets the kernel end containers before the node, where it can: an
// ordinary user may raise the score and never lower it.
func adjustOOM(score int) {
	os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(score)), 0o644)
}

// kernelTree is a mount that shows the kernel, with its place.
type kernelTree struct {
	path string
	tree tree
}

// takeKernel makes /proc, /sys, /dev and what is in it.
func (c Container) takeKernel() ([]kernelTree, error) {
	const quiet = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	makers := []struct {
		path string
		make func() (tree, error)
	}{
		{"/proc", func() (tree, error) {
			if c.Proc != "" {
				return clone(c.Proc)
			}
			return fresh("proc", quiet)
		}},
		{"/sys", func() (tree, error) { return clone(c.Sys) }},
		{"/dev", func() (tree, error) {
			return fresh("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, "mode", "0755", "size", "65536k")
		}},
		{"/dev/pts", func() (tree, error) { return clone(c.Pts) }},
		{"/dev/shm", func() (tree, error) { return clone(c.Shm) }},
		{"/dev/mqueue", func() (tree, error) { return clone(c.Mqueue) }},
	}
	var trees []kernelTree
	for _, maker := range makers {
		t, err := maker.make()
		if err != nil {
			return nil, err
		}
		trees = append(trees, kernelTree{maker.path, t})
	}
	for _, name := range devices {
		t, err := clone("/dev/" + name)
		if err != nil {
			return nil, err
		}
		trees = append(trees, kernelTree{"/dev/" + name, t})
	}
	return trees, nil
}

func (c Container) takeVolumes() ([]tree, error) {
	var trees []tree
	for _, m := range c.Mounts {
		t, err := m.take()
		if err != nil {
			return nil, err
		}
		trees = append(trees, t)
	}
	return trees, nil
}

// enter makes rootfs the root of this mount namespace and lets go of the
// node's files. The second bind gives a mount that may be pivoted upon even
// where the first was inherited from a namespace with more rights.
func enter(rootfs string) error {
	if err := unix.Mount(rootfs, rootfs, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind the root: %w", err)
	}
	if err := unix.Chdir(rootfs); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the node's files: %w", err)
	}
	return unix.Chdir("/")
}

// furnish attaches everything to the new root.
func (c Container) furnish(kernel []kernelTree, volumes []tree) error {
	if err := c.attachKernel(kernel); err != nil {
		return err
	}
	for i, m := range c.Mounts {
		if err := m.put(volumes[i]); err != nil {
			return err
		}
	}
	if err := c.makeDir(); err != nil {
		return err
	}
	for _, path := range c.ReadOnlyPaths {
		if err := protect(path); err != nil {
			return err
		}
	}
	for _, path := range c.MaskedPaths {
		if err := mask(path); err != nil {
			return err
		}
	}
	if !c.ReadOnlyRoot {
		return nil
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &attr); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	return nil
}

func (c Container) attachKernel(trees []kernelTree) error {
	for _, t := range trees {
		dir, err := t.tree.isDir()
		if err != nil {
			return err
		}
		if dir {
			err = plainDir(t.path)
		} else {
			err = makeTarget(t.path, false)
		}
		if err != nil {
			return err
		}
		if err := t.tree.attach(t.path, false); err != nil {
			return err
		}
	}
	links := [][2]string{
		{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"}, {"pts/ptmx", "/dev/ptmx"},
	}
	for _, link := range links {
		if err := os.Symlink(link[0], link[1]); err != nil {
			return err
		}
	}
	return c.attachConsole()
}

func (c Container) attachConsole() error {
	if !c.TTY {
		return nil
	}
	path, err := terminal(0)
	if err != nil {
		return fmt.Errorf("find the terminal: %w", err)
	}
	t, err := clone(path)
	if err != nil {
		return err
	}
	if err := makeTarget("/dev/console", false); err != nil {
		return err
	}
	return t.attach("/dev/console", false)
}

// makeDir makes the working directory, as other runtimes do. A volume that
// is read-only may make that impossible; entering it then says so.
func (c Container) makeDir() error {
	if c.Command.Dir == "" || slices.Contains([]string{"/", "."}, c.Command.Dir) {
		return nil
	}
	if err := makeTarget(c.Command.Dir, true); err != nil {
		return fmt.Errorf("make the working directory: %w", err)
	}
	return nil
}
