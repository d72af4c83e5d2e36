package node

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// firstTree is the descriptor of the first tree that a node is handed.
const firstTree = 3

// trees are the folders of the cluster's directory that a node uses.
func (c Config) trees() []string { return []string{c.Dir, c.VolumesDir, c.SocketDir} }

// handTrees gives a node that is not the caller's user, and so may not walk to the
// cluster's folders, those that it uses as open mounts. The caller closes them
// once the process has been started.
func handTrees(cmd *exec.Cmd, config Config) error {
	for _, path := range config.trees() {
		fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return fmt.Errorf("open %s for node %s: %w", path, config.Name, err)
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(fd), path))
		cmd.Args = append(cmd.Args, "--tree", path)
	}
	return nil
}

func closeTrees(cmd *exec.Cmd) error {
	var problems []error
	for _, file := range cmd.ExtraFiles {
		problems = append(problems, file.Close())
	}
	return errors.Join(problems...)
}

// attachTrees puts the trees that this node was handed where they are on the
// machine. What is mounted below them stays the node's own.
func attachTrees(paths []string) error {
	for i, path := range paths {
		if err := clearWay(path); err != nil {
			return err
		}
		if err := unix.MoveMount(firstTree+i, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("attach %s: %w", path, err)
		}
		if err := unix.Mount("", path, "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
			return fmt.Errorf("make the mounts below %s private: %w", path, err)
		}
		if err := unix.Close(firstTree + i); err != nil {
			return fmt.Errorf("attach %s: %w", path, err)
		}
	}
	return nil
}

// clearWay makes path a folder that this process can enter: over the first folder
// on the way that it may not enter comes an empty one of its own.
func clearWay(path string) error {
	for end := 1; end < len(path); end++ {
		if path[end] != '/' {
			continue
		}
		if err := unix.Access(path[:end], unix.X_OK); !errors.Is(err, unix.EACCES) {
			continue
		}
		if err := unix.Mount("tmpfs", path[:end], "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
			return fmt.Errorf("cover %s, which is not the node's to enter: %w", path[:end], err)
		}
		break
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("make the way to %s: %w", filepath.Base(strings.TrimSuffix(path, "/")), err)
	}
	return nil
}
