package node

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// nonRoot is who nodes and pods are on the machine when a cluster is run by root,
// as the builders of images are.
const nonRoot = 65532

// Owner is who a node, and every user of its pods, is on the machine: the caller,
// or, as root gives up being root there, another. What the cluster makes for its
// nodes to write to belongs to them.
func Owner() (uid, gid int, another bool) {
	if os.Geteuid() == 0 && mapped("/proc/self/uid_map") && mapped("/proc/self/gid_map") {
		return nonRoot, nonRoot, true
	}
	return os.Geteuid(), os.Getegid(), false
}

// mapped says whether the other user is there in this process' own user
// namespace.
func mapped(file string) bool {
	content, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(content)) {
		var inside, outside, size int64
		if n, err := fmt.Sscan(line, &inside, &outside, &size); n == 3 && err == nil && inside <= nonRoot && nonRoot < inside+size {
			return true
		}
	}
	return false
}

// Give makes the nodes' user the owner of a file or folder. A link is given
// itself, not what it leads to.
func Give(path string) error {
	uid, gid, another := Owner()
	if !another {
		return nil
	}
	if err := os.Lchown(path, uid, gid); err != nil {
		return fmt.Errorf("give a file to the nodes' user: %w", err)
	}
	return nil
}

// become sets who the process will be, as its own user zero.
func become(attributes *syscall.SysProcAttr) {
	uid, gid, another := Owner()
	attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
	attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
	if another {
		attributes.Credential = &syscall.Credential{}
		attributes.GidMappingsEnableSetgroups = true // so that root's other groups can be given up
	}
}
