// Package process starts and watches the processes of pods and containers for
// the runtime above it: it knows threads, namespaces and exit codes, and
// nothing of pods, images or the CRI. What the started process does before it
// executes the wanted program is in package stage. Only package cri may import
// it.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/m3o/platform/internal/kube/cri/stage"
)

// self is the program to start again. The link leads to the running program
// even after its file has been replaced.
const self = "/proc/self/exe"

// lastCapability is a bound; the kernel refuses what it does not know.
const lastCapability = unix.CAP_LAST_CAP

// IDs are the user and group that a process has in a user namespace of its
// own; both stand for the one id that the node has.
type IDs struct {
	UID, GID int
}

// Request says what to start.
type Request struct {
	// Kind and Spec are the stage's.
	Kind string
	Spec any
	// Enter are the namespaces to be in; those missing are the node's.
	Enter Namespaces
	// Clone are the namespaces to make anew (CLONE_NEW...).
	Clone uintptr
	// User makes a user namespace with these ids.
	User *IDs
	// Streams are standard input, output and error; nil is /dev/null.
	Streams [3]*os.File
	// Extra are passed as file descriptors 4 and up.
	Extra []*os.File
	// TTY makes standard input the controlling terminal.
	TTY bool
	// Keep opens the namespaces that the process is in, as Process.Spaces.
	Keep bool
}

// Process is a started process.
type Process struct {
	// PID is its number in the node.
	PID int
	// Reply is what the stage answered.
	Reply stage.Reply
	// StartedAt is never after the time of the end.
	StartedAt time.Time
	// Spaces are the namespaces that were asked for; the caller closes them.
	Spaces Namespaces

	cmd  *exec.Cmd
	done chan struct{}
	code int
	at   time.Time
}

// Start starts a stage and waits until it has done its work: for all kinds but
// an exec that is when the wanted program is running. A stage that fails or
// that outlasts the context is gone when Start returns.
func (s *Spawner) Start(ctx context.Context, r Request) (*Process, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	cmd := r.command(theirs)
	err = s.Do(func() error { return s.inside(r.Enter, cmd.Start) })
	theirs.Close()
	if err != nil {
		return nil, fmt.Errorf("start the %s stage: %w", r.Kind, err)
	}
	p := &Process{PID: cmd.Process.Pid, StartedAt: time.Now(), cmd: cmd, done: make(chan struct{})}
	if r.Keep {
		// The stage waits for its spec: later, the wanted program may have ended.
		p.Spaces, err = Open(p.PID, r.User != nil)
	}
	go p.watch()
	stop := context.AfterFunc(ctx, func() { ours.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err == nil {
		p.Reply, err = converse(ours, r.Spec)
	}
	if err == nil {
		return p, nil
	}
	p.Kill()
	<-p.done
	p.Spaces.Close()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("start the %s stage: %w", r.Kind, ctx.Err())
	}
	return nil, err
}

func (r Request) command(conn *os.File) *exec.Cmd {
	cmd := &exec.Cmd{Path: self, Args: []string{stage.Name, r.Kind}, Dir: "/"}
	// One thread and no collection: the stage lives for some milliseconds.
	cmd.Env = []string{"GOMAXPROCS=1", "GOGC=off"}
	cmd.ExtraFiles = append([]*os.File{conn}, r.Extra...)
	if r.Streams[0] != nil {
		cmd.Stdin = r.Streams[0]
	}
	if r.Streams[1] != nil {
		cmd.Stdout = r.Streams[1]
	}
	if r.Streams[2] != nil {
		cmd.Stderr = r.Streams[2]
	}
	attr := &syscall.SysProcAttr{Cloneflags: r.Clone, Setsid: true, Setctty: r.TTY}
	if r.User != nil {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: r.User.UID, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: r.User.GID, Size: 1}}
		for capability := range uintptr(lastCapability + 1) {
			attr.AmbientCaps = append(attr.AmbientCaps, capability)
		}
	}
	cmd.SysProcAttr = attr
	return cmd
}

// socketPair is ours, which honours deadlines, and the stage's.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	if err := unix.SetNonblock(fds[1], false); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "stage"), os.NewFile(uintptr(fds[1]), "runtime"), nil
}

// converse sends the spec and reads the reply, if there is one.
func converse(conn *os.File, spec any) (stage.Reply, error) {
	var reply stage.Reply
	raw, err := json.Marshal(spec)
	if err != nil {
		return reply, err
	}
	if _, err := conn.Write(raw); err != nil {
		return reply, fmt.Errorf("send the spec: %w", err)
	}
	if err := shutdown(conn); err != nil {
		return reply, err
	}
	answer, err := io.ReadAll(io.LimitReader(conn, 1<<16))
	if err != nil {
		return reply, fmt.Errorf("wait for the stage: %w", err)
	}
	if len(answer) == 0 {
		return reply, nil
	}
	if err := json.Unmarshal(answer, &reply); err != nil {
		return reply, fmt.Errorf("read the stage's reply: %w", err)
	}
	if reply.Error != "" {
		return reply, errors.New(reply.Error)
	}
	return reply, nil
}

func shutdown(conn *os.File) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.Shutdown(int(fd), unix.SHUT_WR) }); err != nil {
		return err
	}
	return failed
}

func (p *Process) watch() {
	p.cmd.Wait()
	p.at = time.Now()
	p.code = p.cmd.ProcessState.ExitCode()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		p.code = 128 + int(status.Signal())
	}
	close(p.done)
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit waits for the end and returns the exit code, 128 and the number for a
// signal, and the time.
func (p *Process) Exit() (int, time.Time) {
	<-p.done
	return p.code, p.at
}

// Signal sends a signal. A process that has ended is no error.
func (p *Process) Signal(signal syscall.Signal) error {
	err := p.cmd.Process.Signal(signal)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Kill ends the process. If it is the first of its process namespace, the
// kernel ends all others of that namespace before Exit returns.
func (p *Process) Kill() { p.Signal(syscall.SIGKILL) }
