package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/m3o/platform/internal/image"
)

// jailName is the program name under which this executable starts as a jail.
const jailName = "m3o-build-jail"

// plan is what a jail is told: what to make visible, and what to run. Marks are still in it.
type plan struct {
	Binds  []bind   `json:"binds"`
	Args   []string `json:"args"`
	Env    []string `json:"env"`
	Dir    string   `json:"dir"`
	Limits Limits   `json:"limits"`
}

// bind is one place of the jail's root. The source is a path, or a mount that was opened for a jail that may not walk
// there (FD, from 4 on).
type bind struct {
	Source   string `json:"source"`
	FD       int    `json:"fd,omitempty"`
	Target   string `json:"target"`
	Writable bool   `json:"writable,omitempty"`
	File     bool   `json:"file,omitempty"`
}

// setupTime is how long a jail may take to be ready.
const setupTime = 20 * time.Second

// confined runs the job in a jail. The error is errNoJail when that did not come to running anything.
func (b *Builder) confined(ctx context.Context, j job, proxy *moduleProxy, out *output, kill context.CancelCauseFunc) error {
	// The parent-death signal is sent when the thread that forked ends, so this one is kept.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := b.jailPlan(j)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoJail, err)
	}
	out.hide(jailed)
	ours, theirs, err := socketPair()
	if err != nil {
		return fmt.Errorf("%w: %w", errNoJail, err)
	}
	defer ours.Close()
	cmd, err := jailCommand(ctx, &p, theirs, out)
	if err == nil {
		err = cmd.Start()
	}
	closeAll(append(cmd.ExtraFiles, theirs))
	if err != nil {
		return fmt.Errorf("%w: %w", errNoJail, err)
	}
	listener, err := shakeHands(ours, p)
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %w", errNoJail, err), ended(cmd))
	}
	defer serveModules(listener, proxy)()
	defer b.watch(ctx, cmd.Process.Pid, j, kill)()
	return cmd.Wait()
}

// ended kills a jail that did not get ready. That it was killed is no news.
func ended(cmd *exec.Cmd) error {
	err := cmd.Process.Kill()
	var exit *exec.ExitError
	if waited := cmd.Wait(); !errors.As(waited, &exit) {
		err = errors.Join(err, waited)
	}
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// jailCommand starts this executable again in namespaces of its own, as a user without any rights outside.
func jailCommand(ctx context.Context, p *plan, socket *os.File, out io.Writer) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args, cmd.Env, cmd.Stdout, cmd.Stderr = []string{jailName}, []string{}, out, out
	cmd.WaitDelay = 5 * time.Second
	cmd.ExtraFiles = []*os.File{socket}
	uid, gid, another := jailUser()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
		Setsid:     true,
	}
	if another {
		// That user may not walk through our folders, and so gets mounts.
		cmd.SysProcAttr.Credential = &syscall.Credential{}
		cmd.SysProcAttr.GidMappingsEnableSetgroups = true
		if err := openMounts(cmd, p); err != nil {
			return cmd, err
		}
	}
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: 1}}
	return cmd, nil
}

func openMounts(cmd *exec.Cmd, p *plan) error {
	for i, b := range p.Binds {
		fd, err := openTree(b.Source)
		if err != nil {
			return err
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(fd), b.Source))
		p.Binds[i].FD = 2 + len(cmd.ExtraFiles)
	}
	return nil
}

func openTree(name string) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return 0, fmt.Errorf("open mount of %s: %w", name, err)
	}
	return fd, nil
}

// closeAll closes our copies of what the child has; the socket may be among them twice.
func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// jailed are the folders of a build as its jail sees them; the toolchain is where it is outside.
var jailed = folders{source: "/source", private: "/private", build: "/caches/build", modules: "/caches/modules"}

// jailPlan chooses the places in the jail. The toolchain keeps its own path, because some distributions lay it out in
// links: what they lead to comes along.
func (b *Builder) jailPlan(j job) (plan, error) {
	goroot, err := filepath.EvalSymlinks(j.folders.goroot)
	if err != nil {
		return plan{}, err
	}
	inside := jailed
	inside.goroot = goroot
	p := plan{Limits: b.config.Limits, Binds: []bind{
		{Source: goroot, Target: goroot},
		{Source: j.folders.source, Target: inside.source},
		{Source: j.folders.private, Target: inside.private, Writable: true},
		{Source: j.folders.build, Target: inside.build, Writable: true},
		{Source: j.folders.modules, Target: inside.modules, Writable: true},
		{Source: "/dev/null", Target: "/dev/null", Writable: true, File: true},
	}}
	linked, err := linkedOutside(goroot)
	if err != nil {
		return plan{}, err
	}
	p.Binds = append(p.Binds, linked...)
	r := j.resolved(inside, proxyMark)
	p.Args, p.Env, p.Dir = r.args, r.env, r.dir
	return p, nil
}

func linkedOutside(goroot string) ([]bind, error) {
	entries, err := os.ReadDir(goroot)
	if err != nil {
		return nil, err
	}
	var binds []bind
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink == 0 {
			continue
		}
		real, err := filepath.EvalSymlinks(filepath.Join(goroot, e.Name()))
		if err != nil || strings.HasPrefix(real, goroot+"/") {
			continue
		}
		info, err := os.Stat(real)
		if err != nil {
			return nil, err
		}
		binds = append(binds, bind{Source: real, Target: real, File: !info.IsDir()})
	}
	return binds, nil
}

// socketPair is how a jail and its maker talk: whole messages, and a descriptor.
func socketPair() (*net.UnixConn, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "jail"), os.NewFile(uintptr(pair[1]), "jail")
	conn, err := net.FileConn(ours)
	ours.Close() // the connection has a copy
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn.(*net.UnixConn), theirs, nil
}

// shakeHands tells the jail its plan, takes the listener it made in its own network, and waits until the go command runs
// in place of the jail's maker: the socket closes then.
func shakeHands(conn *net.UnixConn, p plan) (net.Listener, error) {
	if err := conn.SetDeadline(time.Now().Add(setupTime)); err != nil {
		return nil, err
	}
	message, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(message); err != nil {
		return nil, err
	}
	listener, err := takeListener(conn)
	if err != nil {
		return nil, err
	}
	said := make([]byte, 1024)
	if n, err := conn.Read(said); n > 0 || !errors.Is(err, io.EOF) {
		return nil, errors.Join(fmt.Errorf("jail: %s", said[:n]), listener.Close())
	}
	return listener, nil
}

func takeListener(conn *net.UnixConn) (net.Listener, error) {
	said, control := make([]byte, 1024), make([]byte, unix.CmsgSpace(4))
	n, cn, _, _, err := conn.ReadMsgUnix(said, control)
	if err != nil {
		return nil, fmt.Errorf("the jail ended: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:cn])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("jail: %s", said[:n])
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fds[0]), "modules")
	defer file.Close()
	return net.FileListener(file)
}

// asGroup makes the child the head of a process group that is killed as a whole.
func asGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// jailUser is who a jail is, seen from outside: we ourselves, or, as root gives up being root there, another user.
func jailUser() (uid, gid int, another bool) {
	if os.Getuid() == 0 && mapped("/proc/self/uid_map") && mapped("/proc/self/gid_map") {
		return image.NonRoot, image.NonRoot, true
	}
	return os.Getuid(), os.Getgid(), false
}

// mapped reports whether the other user exists in our own user namespace.
func mapped(name string) bool {
	content, err := os.ReadFile(name)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(content)) {
		var inside, outside, size int64
		if n, err := fmt.Sscan(line, &inside, &outside, &size); n == 3 && err == nil && inside <= image.NonRoot && image.NonRoot < inside+size {
			return true
		}
	}
	return false
}

// giveAway makes the jail's user the owner of everything in dir, where that is another user than ours.
func giveAway(dir string) error {
	if _, _, another := jailUser(); !another {
		return nil
	}
	return filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, image.NonRoot, image.NonRoot)
	})
}

// residentMemory sums what the process and all its descendants hold. Processes that end meanwhile count nothing.
func residentMemory(pid int) int64 {
	return residentBelow(pid, 0) * int64(os.Getpagesize())
}

// maxGenerations bounds the walk; a go command has children and no more.
const maxGenerations = 16

func residentBelow(pid, generation int) (pages int64) {
	if content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid)); err == nil {
		if fields := strings.Fields(string(content)); len(fields) > 1 {
			pages, _ = strconv.ParseInt(fields[1], 10, 64)
		}
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || generation == maxGenerations {
		return pages
	}
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		for child := range strings.FieldsSeq(string(children)) {
			if id, err := strconv.Atoi(child); err == nil {
				pages += residentBelow(id, generation+1)
			}
		}
	}
	return pages
}
