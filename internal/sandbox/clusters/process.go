package clusters

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// stopGrace is how long a cluster may take to stop its nodes and write its state.
	stopGrace = 25 * time.Second
	// settled is how long a process must have lived for its end to be no start failure: m3o-kube gives up after three minutes.
	settled = 4 * time.Minute
	// maxAttempts is how often in a row a process may fail to start until we believe that it cannot.
	maxAttempts = 4
	maxBackoff  = 30 * time.Second
	// maxDoublings keeps the pause from overflowing.
	maxDoublings = 10
	// exitRefused is m3o-kube's exit code where the machine does not allow nodes.
	exitRefused = 3
	maxLog      = 20 << 20
	lastWords   = 4 << 10
)

// process is the m3o-kube of one cluster.
type process struct {
	binary, dir, runDir string
	logger              *slog.Logger

	mu        sync.Mutex
	pid       int
	startedAt time.Time
	// child says that pid is a process of ours that has not been waited for: until then it counts as running.
	child   bool
	pidFile string
	// attempts counts the starts in a row that came to nothing, retryAt is when the next may be.
	attempts int
	retryAt  time.Time
	failed   string
	trouble  string
	stopping bool
	// owned says that the process has been told that it has an owner again.
	owned bool
}

// condition returns the running process' id or 0, why it cannot run at all, and what it last complained of.
func (p *process) condition() (pid int, failed, trouble string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive(), p.failed, p.trouble
}

// alive returns the process' id, 0 if it ended. Of a child's end we are told.
func (p *process) alive() int {
	if p.pid != 0 && !p.child && !stillRuns(p.pid, p.dir) {
		p.pid = 0
	}
	return p.pid
}

// keepAlive starts the process if there is none and it is time.
func (p *process) keepAlive(_ context.Context, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pidFile = p.pidFileOf(name)
	if !p.owned {
		if err := p.own(); err != nil {
			return err
		}
	}
	if p.stopping || p.failed != "" || time.Now().Before(p.retryAt) {
		return nil
	}
	pid := p.alive()
	if pid == 0 {
		pid = findProcess(p.dir)
	}
	if pid == 0 {
		return p.start()
	}
	return p.running(pid)
}

// pidFileOf is where the process id of the cluster of that name is written, for people and scripts.
func (p *process) pidFileOf(name string) string {
	if !safeName.MatchString(name) {
		name = filepath.Base(p.dir)
	}
	return filepath.Join(p.runDir, "cluster-"+name+".pid")
}

// running notes which process it is, for us and for people, and looks after its log.
func (p *process) running(pid int) error {
	p.pid = pid
	if err := p.shortenLog(); err != nil {
		p.logger.Warn("sandbox: a cluster's log was not kept whole", "error", err)
	}
	text := strconv.Itoa(pid) + "\n"
	if old, err := readLimited(p.pidFile); err == nil && string(old) == text {
		return nil
	}
	if err := replaceFile(p.pidFile, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the cluster's pid file: %w", err)
	}
	return nil
}

// start starts the process in a group of its own, so that what ends us does not end it.
func (p *process) start() error {
	log, err := p.openLog()
	if err != nil {
		return fmt.Errorf("open the cluster's log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(p.binary, "cluster", "--dir", p.dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Nothing of our surroundings is the cluster's business: it runs strangers' programs.
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + p.dir}
	if err := cmd.Start(); err != nil {
		p.notStarted(err)
		return nil
	}
	p.startedAt, p.child = time.Now(), true
	p.logger.Info("sandbox: started a cluster", "pid", cmd.Process.Pid)
	go p.reap(cmd)
	return p.running(cmd.Process.Pid)
}

// notStarted draws conclusions from an error of the system. That it is short of memory or processes, or that the program is
// being replaced, passes; a program that is missing or may not be executed stays so.
func (p *process) notStarted(err error) {
	p.trouble = fmt.Sprintf("cannot start %s: %v", p.binary, err)
	p.logger.Warn("sandbox: could not start a cluster", "error", err)
	for _, final := range []error{fs.ErrNotExist, fs.ErrPermission, exec.ErrNotFound, syscall.ENOEXEC, syscall.ENOTDIR} {
		if errors.Is(err, final) {
			p.failed = p.trouble
			return
		}
	}
	p.countAttempt()
}

// countAttempt counts a start that came to nothing, and says when the next may be.
func (p *process) countAttempt() {
	p.attempts++
	p.retryAt = time.Now().Add(min(time.Second<<min(p.attempts-1, maxDoublings), maxBackoff))
	if p.attempts >= maxAttempts && !p.wasReady() {
		p.failed = fmt.Sprintf("the control plane ended %d times while starting: %s", p.attempts, p.trouble)
	}
}

func (p *process) logPath() string { return filepath.Join(p.dir, "log") }

// openLog opens the log to append to it, or if it became too long from the start.
func (p *process) openLog() (*os.File, error) {
	if p.logTooLong() {
		if err := os.Rename(p.logPath(), p.logPath()+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(p.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

func (p *process) logTooLong() bool {
	info, err := os.Stat(p.logPath())
	return err == nil && info.Size() > maxLog
}

// shortenLog sets a copy of a log that became too long aside, and empties it: the process has it open and goes on appending.
// What it writes between the two is lost, and so is the rest if there is no room for a copy.
func (p *process) shortenLog() error {
	if !p.logTooLong() {
		return nil
	}
	return errors.Join(copyFile(p.logPath()+".1", p.logPath()), os.Truncate(p.logPath(), 0))
}

// reap waits for the end of a process that we started, and draws conclusions.
func (p *process) reap(cmd *exec.Cmd) {
	err := cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.child = false
	if p.pid == cmd.Process.Pid {
		p.pid = 0
	}
	if p.stopping {
		return
	}
	p.trouble = p.lastWords()
	p.logger.Warn("sandbox: a cluster ended", "pid", cmd.Process.Pid, "error", err, "said", p.trouble)
	if cmd.ProcessState.ExitCode() == exitRefused {
		p.failed = p.trouble
		return
	}
	if time.Since(p.startedAt) > settled {
		p.attempts = 0
		return
	}
	p.countAttempt()
}

// wasReady says whether the cluster ever came so far as to have an administrator.
func (p *process) wasReady() bool {
	_, err := os.Stat(filepath.Join(p.dir, "admin.kubeconfig"))
	return err == nil
}

// lastWords is the last line of the log.
func (p *process) lastWords() string {
	f, err := os.Open(p.logPath())
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > lastWords {
		if _, err := f.Seek(-lastWords, io.SeekEnd); err != nil {
			return ""
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, lastWords))
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return strings.ToValidUTF8(string(lines[len(lines)-1]), "?")
}

// stop ends the process for good: first kindly, then not. It returns when it is gone.
func (p *process) stop(ctx context.Context) error {
	p.mu.Lock()
	p.stopping = true
	pid := p.alive()
	p.mu.Unlock()
	if pid == 0 {
		pid = findProcess(p.dir)
	}
	if pid != 0 {
		if err := end(ctx, pid, p.dir); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid = 0
	return p.removePIDFile()
}

func (p *process) removePIDFile() error {
	if err := os.Remove(p.pidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// end asks a process to stop, and kills its group if it does not listen.
func end(ctx context.Context, pid int, dir string) error {
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop process %d: %w", pid, err)
	}
	if gone(ctx, pid, dir, stopGrace) {
		return nil
	}
	if err := signal(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill process %d: %w", pid, err)
	}
	// Even a cancelled caller waits for this: a killed process is gone in no time.
	if !gone(context.WithoutCancel(ctx), pid, dir, stopGrace) {
		return fmt.Errorf("process %d does not end", pid)
	}
	return nil
}

// gone waits for the end of a process.
func gone(ctx context.Context, pid int, dir string, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for stillRuns(pid, dir) {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}
