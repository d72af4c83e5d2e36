package stage

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const quietMount = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// become prepares the pod's namespaces and turns into the pause program. It
// returns only on failure.
func (s Sandbox) become(conn *os.File) error {
	if s.Hostname != "" {
		if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
			return fmt.Errorf("set host name %q: %w", s.Hostname, err)
		}
	}
	if err := s.setSysctls(); err != nil {
		return err
	}
	if err := s.mount(); err != nil {
		return err
	}
	// Ignored, SIGCHLD lets the kernel reap the pod's orphans by itself; that
	// survives the execution of the pause program.
	signal.Ignore(syscall.SIGCHLD)
	if s.Pause != "" {
		syscall.Exec(s.Pause, []string{"/pause"}, nil)
	}
	return s.wait(conn)
}

// wait is the pause program for machines where the small one does not run.
func (s Sandbox) wait(conn *os.File) error {
	if err := conn.Close(); err != nil {
		return err
	}
	for {
		syscall.Pause()
	}
}

// setSysctls writes the pod's kernel settings. The two defaults let a pod that
// is not root listen on small ports and ping, as other runtimes do.
func (s Sandbox) setSysctls() error {
	if s.OwnNetwork {
		writeSysctl("net.ipv4.ip_unprivileged_port_start", "0")
		writeSysctl("net.ipv4.ping_group_range", "0 0")
	}
	for name, value := range s.Sysctls {
		if err := s.checkSysctl(name); err != nil {
			return err
		}
		if err := writeSysctl(name, value); err != nil {
			return fmt.Errorf("sysctl %s cannot be set by an unprivileged node: %w", name, err)
		}
	}
	return nil
}

// checkSysctl refuses settings that are not of a namespace of the pod.
func (s Sandbox) checkSysctl(name string) error {
	ipc := []string{"kernel.sem", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"}
	switch {
	case strings.Contains(name, ".."):
		return fmt.Errorf("sysctl %q is not a name", name)
	case strings.HasPrefix(name, "net.") && s.OwnNetwork:
		return nil
	case (slices.Contains(ipc, name) || strings.HasPrefix(name, "fs.mqueue.")) && s.OwnIPC:
		return nil
	}
	return fmt.Errorf("sysctl %q does not belong to a namespace of this pod", name)
}

func writeSysctl(name, value string) error {
	path := name
	if !strings.Contains(name, "/") {
		path = strings.ReplaceAll(name, ".", "/")
	}
	return os.WriteFile(filepath.Join("/proc/sys", filepath.Clean("/"+path)), []byte(value), 0o644)
}

// mount makes the file systems that show the pod's own namespaces.
func (s Sandbox) mount() error {
	if err := mountSys(filepath.Join(s.Dir, "sys")); err != nil {
		return err
	}
	if s.OwnIPC {
		if err := unix.Mount("mqueue", filepath.Join(s.Dir, "mqueue"), "mqueue", quietMount, ""); err != nil {
			return fmt.Errorf("mount mqueue: %w", err)
		}
	}
	if s.MountProc {
		return mountProc(filepath.Join(s.Dir, "proc"))
	}
	return nil
}

// mountSys shows the pod's network devices. A kernel that finds the node's own
// /sys covered in part refuses a new one: the node's is bound then.
func mountSys(target string) error {
	if unix.Mount("sysfs", target, "sysfs", quietMount|unix.MS_RDONLY, "") == nil {
		return nil
	}
	if err := unix.Mount("/sys", target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind /sys: %w", err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("make /sys read-only: %w", err)
	}
	return nil
}

func mountProc(target string) error {
	if err := unix.Mount("proc", target, "proc", quietMount, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	return nil
}
