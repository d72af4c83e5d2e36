//go:build embedded

package dev

import (
	"context"
	"os"
	"os/exec"
	"syscall"

	"github.com/m3o/platform/internal/fault"
)

// confines says whether this machine lets an ordinary user make user namespaces, which the built-in clusters live in.
func confines(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	probe := exec.CommandContext(ctx, self, "version")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	if err := probe.Run(); err != nil {
		return fault.Wrap(fault.Failed, err, "this machine refuses user namespaces, which the built-in clusters need. Allow them "+
			"(Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0), or bring clusters of your own: m3o dev --kubeconfig FILE takes one context per region")
	}
	return nil
}
