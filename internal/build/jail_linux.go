package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// MaybeJail turns this process into a build's jail when it was started as one, and then does not return. Every program
// that builds calls it first thing in main, before anything reads the environment or opens files.
func MaybeJail() {
	if len(os.Args) == 0 || os.Args[0] != jailName {
		return
	}
	// Capabilities belong to threads: the one that gives them up must be the one that becomes the go command.
	runtime.LockOSThread()
	socket := os.NewFile(3, "socket")
	if err := enterJail(socket); err != nil {
		if _, err := socket.Write([]byte(err.Error())); err != nil {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// newRoot is where the jail's root is put together before it becomes the root.
const newRoot = "/tmp"

// enterJail returns only with an error.
func enterJail(socket *os.File) error {
	message := make([]byte, 1<<20)
	n, err := socket.Read(message)
	if err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	var p plan
	if err := json.Unmarshal(message[:n], &p); err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	if err := buildRoot(p.Binds); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("build")); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	address, err := offerListener(socket)
	if err != nil {
		return err
	}
	for i, e := range p.Env {
		p.Env[i] = strings.ReplaceAll(e, proxyMark, "http://"+address)
	}
	if err := os.Chdir(p.Dir); err != nil {
		return err
	}
	if err := errors.Join(limitProcess(p.Limits), dropRights()); err != nil {
		return err
	}
	// All other descriptors are closed by the exec, the socket among them, which tells that it came to it.
	if err := unix.CloseRange(3, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	return fmt.Errorf("start go command: %w", syscall.Exec(p.Args[0], p.Args, p.Env))
}

// buildRoot makes a root of the binds alone, and lets the old one go.
func buildRoot(binds []bind) error {
	for i, b := range binds {
		if b.FD != 0 {
			continue
		}
		fd, err := openTree(b.Source)
		if err != nil {
			return err
		}
		binds[i].FD = fd
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("jail", newRoot, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=1m,mode=755"); err != nil {
		return fmt.Errorf("mount root: %w", err)
	}
	for _, b := range binds {
		if err := b.attach(); err != nil {
			return fmt.Errorf("mount %s: %w", b.Target, err)
		}
	}
	return changeRoot()
}

func (b bind) attach() error {
	target := filepath.Join(newRoot, b.Target)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if b.File {
		file, err := os.Create(target)
		if err != nil {
			return err
		}
		file.Close()
	} else if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.MoveMount(b.FD, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return err
	}
	attributes := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID}
	if !b.Writable {
		attributes.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if !b.File {
		attributes.Attr_set |= unix.MOUNT_ATTR_NODEV
	}
	return unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &attributes)
}

func changeRoot() error {
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let the old root go: %w", err)
	}
	return unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// offerListener opens a port on the jail's loopback, its only network, and hands it to the maker.
func offerListener(socket *os.File) (address string, err error) {
	if err := raiseLoopback(); err != nil {
		return "", fmt.Errorf("raise loopback: %w", err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return "", err
	}
	if err := unix.Sendmsg(int(socket.Fd()), []byte("ready"), unix.UnixRights(int(file.Fd())), nil, 0); err != nil {
		return "", fmt.Errorf("hand over listener: %w", err)
	}
	return listener.Addr().String(), nil
}

func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// niceness lets what serves go before what builds, without starving it.
const niceness = 5

// limitProcess bounds what each process may do; sums over all of them are watched from outside.
func limitProcess(l Limits) error {
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_CORE:   0,
		unix.RLIMIT_NOFILE: 4096,
		unix.RLIMIT_NPROC:  uint64(l.Processes),
		unix.RLIMIT_FSIZE:  uint64(l.Disk),
		unix.RLIMIT_DATA:   uint64(2 * l.Memory), // a backstop: the watch, which ends builds with a reason, comes first
		unix.RLIMIT_CPU:    uint64(l.Time.Seconds()*float64(runtime.NumCPU())) + 1,
	} {
		if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			return fmt.Errorf("set limit %d: %w", resource, err)
		}
	}
	return stepBack()
}

// stepBack takes a lower priority. Whoever started us with a lower one yet keeps it: none may be raised again.
func stepBack() error {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return fmt.Errorf("ask priority: %w", err)
	}
	if now := 20 - raw; now >= niceness { // the kernel's answer is never negative
		return nil
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, niceness); err != nil {
		return fmt.Errorf("lower priority: %w", err)
	}
	return nil
}

// dropRights takes every capability from this thread and what it becomes: being user 0 of the namespace means nothing
// then, and no program can give anything back.
func dropRights() error {
	const bits = 1<<0 | 1<<1 | // no rights by being root, locked
		1<<2 | 1<<3 | // none by changing the user, locked
		1<<5 | // none kept, locked
		1<<6 | 1<<7 // none handed on, locked
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, bits, 0, 0, 0); err != nil {
		return fmt.Errorf("set secure bits: %w", err)
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("refuse new privileges: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}
