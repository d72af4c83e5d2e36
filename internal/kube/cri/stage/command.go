package stage

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// DefaultPath is where commands are looked for when nobody says otherwise: the
// PATH of a container whose image and pod set none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const maxFiles = 1 << 20

// execute becomes the command. It returns only on failure.
func (c Command) execute() error {
	dir := c.Dir
	if dir == "" {
		dir = "/"
	}
	if err := unix.Chdir(dir); err != nil {
		return fmt.Errorf("enter the working directory %s: %w", dir, err)
	}
	if err := setLimits(); err != nil {
		return err
	}
	file, err := c.lookup()
	if err != nil {
		return err
	}
	if err := c.restrict(); err != nil {
		return err
	}
	err = syscall.Exec(file, c.Args, c.Env)
	return fmt.Errorf("exec: %q: %w", file, err)
}

// setLimits gives every container the same limits, whatever the node's shell
// had: as many open files as allowed, no core files.
func setLimits() error {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	files.Cur = min(files.Max, maxFiles)
	files.Max = files.Cur
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("set the limit of open files: %w", err)
	}
	return syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
}

// candidates are the files that the command may mean, in the order of PATH.
func (c Command) candidates() []string {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return nil
	}
	if strings.Contains(c.Args[0], "/") {
		return c.Args[:1]
	}
	var files []string
	for _, dir := range strings.Split(c.searchPath(), ":") {
		if dir != "" {
			files = append(files, path.Join(dir, c.Args[0]))
		}
	}
	return files
}

func (c Command) searchPath() string {
	for _, pair := range c.Env {
		if value, ok := strings.CutPrefix(pair, "PATH="); ok {
			return value
		}
	}
	return DefaultPath
}

func (c Command) lookup() (string, error) {
	var denied error
	for _, file := range c.candidates() {
		info, err := os.Stat(file)
		switch {
		case err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0:
			return file, nil
		case err == nil || errors.Is(err, os.ErrPermission):
			denied = fmt.Errorf("exec: %q: permission denied", file)
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", c.notFound()
}

func (c Command) notFound() error {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return errors.New("no command: neither the container nor the image names one")
	}
	if strings.Contains(c.Args[0], "/") {
		return fmt.Errorf("exec: %q: no such file or directory", c.Args[0])
	}
	return fmt.Errorf("exec: %q: executable file not found in $PATH", c.Args[0])
}

// restrict leaves the capabilities of the bounding set. What is left counts in
// the container's user namespace only.
func (c Command) restrict() error {
	if err := hide(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	for capability := uintptr(0); capability < 64; capability++ {
		if c.Capabilities&(1<<capability) == 0 {
			unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0) // EINVAL past the kernel's last
		}
	}
	header, data := c.capabilitySets()
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	for capability := uintptr(0); capability < 64; capability++ {
		if c.Ambient&(1<<capability) != 0 {
			if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, capability, 0, 0); err != nil {
				return fmt.Errorf("raise ambient capability %d: %w", capability, err)
			}
		}
	}
	if !c.NoNewPrivileges {
		return nil
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// hide keeps the container's other processes from looking into this one until
// it has executed the command: they could get hold of the runtime's program.
func hide() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide the process: %w", err)
	}
	return nil
}

func (c Command) capabilitySets() (unix.CapUserHeader, [2]unix.CapUserData) {
	var data [2]unix.CapUserData
	for i := range data {
		held, ambient := uint32(c.Capabilities>>(32*i)), uint32(c.Ambient>>(32*i))
		data[i] = unix.CapUserData{Effective: held, Permitted: held, Inheritable: ambient}
	}
	return unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, data
}

// pointers makes the zero-ended array of strings that execve wants.
func pointers(list []string) ([]*byte, error) {
	array, err := syscall.SlicePtrFromStrings(list)
	if err != nil {
		return nil, fmt.Errorf("a word of the command holds a zero byte: %w", err)
	}
	return array, nil
}
