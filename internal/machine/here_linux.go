package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// overlay is the type of overlay file systems, as statfs tells it.
const overlay = 0x794c7630

func room(path string) (Space, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return Space{}, fmt.Errorf("look at the file system of %s: %w", path, err)
	}
	return Space{Free: s.Bavail * uint64(s.Bsize), Layered: s.Type == overlay}, nil
}

// isolate runs a program that does nothing in the namespaces of a node, as an ordinary user.
func isolate(ctx context.Context) error {
	probe := exec.CommandContext(ctx, "true")
	probe.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC |
			syscall.CLONE_NEWUTS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	if err := probe.Run(); err != nil {
		return fmt.Errorf("start a program in them: %w", err)
	}
	return nil
}
