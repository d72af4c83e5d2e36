package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/m3o/platform/internal/kube/addresses"
)

// privateFolders are the machine's folders in which a kubelet or a runtime writes
// at fixed names. The node gets empty ones of its own.
var privateFolders = []string{"/var/lib", "/var/log", "/run"}

// Probe does what every node does to its mounts; it runs in a process started
// like a node.
func Probe() error {
	return isolateMounts("")
}

// isolateMounts makes the mounts this process' own, with its own processes in
// /proc and private folders, below which keep, a directory, stays visible.
func isolateMounts(keep string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount the node's own /proc: %w", err)
	}
	for _, folder := range privateFolders {
		if err := hide(folder, keep); err != nil {
			return err
		}
	}
	return nil
}

// hide puts an empty folder over folder, and keep back into it if it was there.
func hide(folder, keep string) error {
	// /run may be a symbolic link, or a link may lead to it.
	real, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return fmt.Errorf("hide %s: %w", folder, err)
	}
	inside := strings.HasPrefix(keep, real+"/")
	var kept *os.File
	if inside {
		if kept, err = os.Open(keep); err != nil {
			return fmt.Errorf("keep the cluster's directory: %w", err)
		}
		defer kept.Close()
	}
	if err := unix.Mount("tmpfs", real, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mount the node's own %s: %w", folder, err)
	}
	if inside {
		return bindFile(kept, keep)
	}
	return nil
}

func bindFile(source *os.File, target string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("keep the cluster's directory: %w", err)
	}
	from := fmt.Sprintf("/proc/self/fd/%d", source.Fd())
	if err := unix.Mount(from, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keep the cluster's directory: %w", err)
	}
	return nil
}

// mountOwn puts the folders that the node keeps where the kubelet looks for them.
func mountOwn(config Config) error {
	for source, target := range config.mounts() {
		for _, folder := range []string{source, target} {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return fmt.Errorf("make the node's folders: %w", err)
			}
		}
		if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount the node's %s: %w", target, err)
		}
	}
	return nil
}

// resolverFile is where the machine's /etc/resolv.conf really is, which may be in
// a folder that isolateMounts hides.
func resolverFile() string {
	const system = "/etc/resolv.conf"
	real, err := filepath.EvalSymlinks(system)
	if err != nil {
		return system
	}
	return real
}

// useResolver makes this process, and what it pulls images with, resolve names by
// the cluster's DNS: the machine's resolver may be at an address that only the
// machine's own network has.
func useResolver(config Config, target string) error {
	content := []byte("nameserver " + addresses.DNSService.String() + "\n")
	if err := os.WriteFile(config.resolver(), content, 0o644); err != nil {
		return fmt.Errorf("write the node's resolv.conf: %w", err)
	}
	if _, err := os.Stat(target); err != nil {
		// It was in a folder hidden by now, which is ours to write.
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return fmt.Errorf("set the node's resolv.conf: %w", err)
		}
		if err := os.WriteFile(target, content, 0o644); err != nil {
			return fmt.Errorf("set the node's resolv.conf: %w", err)
		}
		return nil
	}
	if err := unix.Mount(config.resolver(), target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("set the node's resolv.conf: %w", err)
	}
	return nil
}
