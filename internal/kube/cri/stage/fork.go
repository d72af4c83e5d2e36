package stage

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The steps of the child, for messages.
const (
	stepSession = iota
	stepUser
	stepMount
	stepTerminal
	stepDir
	stepCapabilities
	stepPrivileges
	stepExec
)

var stepNames = [...]string{
	stepSession: "start a session", stepUser: "enter the user namespace", stepMount: "enter the mount namespace",
	stepTerminal: "take the terminal", stepDir: "enter the working directory",
	stepCapabilities: "set capabilities", stepPrivileges: "set no_new_privs", stepExec: "exec",
}

// plan is everything the child needs, laid out before the fork: between fork
// and exec it may not allocate, and so may not run ordinary Go.
type plan struct {
	report       uintptr
	ownUser, tty bool
	noNew        bool
	capabilities uint64
	dir          *byte
	files        []*byte
	args, env    []*byte
	header       unix.CapUserHeader
	data         [2]unix.CapUserData
	message      [2]byte
	blocked      [2]uint64
	mask         [2]uint64
}

func (e Exec) plan(report int) (*plan, error) {
	c := e.Command
	if len(c.candidates()) == 0 {
		return nil, c.notFound()
	}
	if c.Dir == "" {
		c.Dir = "/"
	}
	p := &plan{report: uintptr(report), ownUser: e.OwnUser, tty: e.TTY, noNew: c.NoNewPrivileges, capabilities: c.Capabilities}
	var errs [4]error
	p.dir, errs[0] = syscall.BytePtrFromString(c.Dir)
	p.files, errs[1] = pointers(c.candidates())
	p.args, errs[2] = pointers(c.Args)
	p.env, errs[3] = pointers(c.Env)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("prepare the command: %w", err)
	}
	p.header, p.data = c.capabilitySets()
	p.blocked = [2]uint64{^uint64(0), ^uint64(0)}
	return p, nil
}

// fork makes a child of this thread alone: only a process of one thread may
// enter a user namespace, and a Go program never is one. It returns in the
// parent; the child ends in become.
//
//go:norace
func fork(p *plan) (uintptr, syscall.Errno) {
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	return p.fork()
}

//go:norace
//go:nosplit
func (p *plan) fork() (uintptr, syscall.Errno) {
	const setMask, sigsetSize = 2, 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&p.blocked)), uintptr(unsafe.Pointer(&p.mask)), sigsetSize, 0, 0)
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if pid == 0 && errno == 0 {
		p.become()
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&p.mask)), 0, sigsetSize, 0, 0)
	return pid, errno
}

// become runs in the child, with nothing of Go's runtime behind it: only raw
// system calls on what plan prepared.
//
//go:norace
//go:nosplit
func (p *plan) become() {
	step, errno := p.enter()
	if errno == 0 {
		step, errno = p.restrict()
	}
	if errno == 0 {
		step, errno = p.execute()
	}
	p.message[0], p.message[1] = byte(step), byte(errno)
	syscall.RawSyscall(syscall.SYS_WRITE, p.report, uintptr(unsafe.Pointer(&p.message)), 2)
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 125, 0, 0)
	}
}

//go:norace
//go:nosplit
func (p *plan) enter() (int, syscall.Errno) {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0); errno != 0 {
		return stepSession, errno
	}
	if p.ownUser {
		if _, _, errno := syscall.RawSyscall(unix.SYS_SETNS, userFD, syscall.CLONE_NEWUSER, 0); errno != 0 {
			return stepUser, errno
		}
	}
	if _, _, errno := syscall.RawSyscall(unix.SYS_SETNS, mountFD, syscall.CLONE_NEWNS, 0); errno != 0 {
		return stepMount, errno
	}
	if p.tty {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, 0, syscall.TIOCSCTTY, 0); errno != 0 {
			return stepTerminal, errno
		}
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CHDIR, uintptr(unsafe.Pointer(p.dir)), 0, 0); errno != 0 {
		return stepDir, errno
	}
	return 0, 0
}

//go:norace
//go:nosplit
func (p *plan) restrict() (int, syscall.Errno) {
	for capability := uintptr(0); capability < 64; capability++ {
		if p.capabilities&(1<<capability) == 0 {
			syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_CAPBSET_DROP, capability, 0)
		}
	}
	header, data := uintptr(unsafe.Pointer(&p.header)), uintptr(unsafe.Pointer(&p.data))
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CAPSET, header, data, 0); errno != 0 {
		return stepCapabilities, errno
	}
	if p.noNew {
		if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
			return stepPrivileges, errno
		}
	}
	// Set last, since a change of credentials clears it: the command ends with
	// the process that waits for it.
	syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0)
	syscall.RawSyscall(syscall.SYS_UMASK, 0o022, 0, 0)
	return 0, 0
}

//go:norace
//go:nosplit
func (p *plan) execute() (int, syscall.Errno) {
	const setMask, sigsetSize = 2, 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&p.mask)), 0, sigsetSize, 0, 0)
	result := syscall.ENOENT
	for i := 0; i < len(p.files)-1; i++ {
		_, _, errno := syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(p.files[i])),
			uintptr(unsafe.Pointer(&p.args[0])), uintptr(unsafe.Pointer(&p.env[0])))
		if errno != syscall.ENOENT && errno != syscall.ENOTDIR {
			result = errno
		}
	}
	return stepExec, result
}
