package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// sandboxPlan is where a sandbox is to be, and how it is started.
type sandboxPlan struct {
	control string // base URL of its control routes
	dir     string
	log     string
	args    []string
	logger  *slog.Logger
}

// sandboxProcess is the sandbox clouds, in a process of their own as the outside world would be: it outlives a kill of ours,
// and the next start finds it again.
type sandboxProcess struct {
	sandboxPlan
	pid   int
	child *exec.Cmd // nil when it was found
}

// sandboxHealth is what a sandbox says of itself.
type sandboxHealth struct {
	PID       int      `json:"pid"`
	Arguments []string `json:"arguments"` // of its command line
	Dir       string   `json:"dir"`
	Endpoints struct {
		Providers map[string]string `json:"providers"`
	} `json:"endpoints"`
}

const (
	// sandboxStart is how long a sandbox may take to answer.
	sandboxStart = 30 * time.Second
	// sandboxStop is how long one may take to end, with its clusters.
	sandboxStop = 40 * time.Second
)

// loopback asks sandboxes, which are near.
var loopback = http.Client{Timeout: 5 * time.Second}

// findOrStart returns the sandbox of the plan's folder, started if it does not run.
func findOrStart(ctx context.Context, p sandboxPlan) (*sandboxProcess, sandboxHealth, error) {
	s := &sandboxProcess{sandboxPlan: p}
	health, err := sandboxAt(ctx, p.control)
	if err == nil {
		if err := p.fits(health); err != nil {
			return nil, health, err
		}
		s.pid = health.PID
		return s, health, s.renew(ctx)
	}
	health, err = s.startUntil(ctx)
	if err != nil {
		s.stop()
	}
	return s, health, err
}

// fits reports why the sandbox that was found is not the one of the plan. One of other settings is not stopped: regions live in it.
func (p sandboxPlan) fits(found sandboxHealth) error {
	if found.Dir != p.dir {
		return notOurs(found, p.control)
	}
	if !slices.Equal(found.Arguments, p.args) {
		return fault.New(fault.Conflict, "the sandbox of this data directory still runs, as process %d, with other settings: %s; wanted are: %s. Start with its settings, or stop it and its regions' clusters, which the next start brings up again: kill %d",
			found.PID, strings.Join(found.Arguments, " "), strings.Join(p.args, " "), found.PID)
	}
	return nil
}

// notOurs says that the ports are those of somebody else's sandbox.
func notOurs(found sandboxHealth, control string) error {
	return fault.New(fault.Conflict, "ports are taken: %s is the sandbox of another data directory (%s, process %d). Stop that, or move ours: m3o dev --port-offset 100",
		control, found.Dir, found.PID)
}

// startUntil starts the sandbox until it answers. It tries again only when it ended and another process holds the folder:
// that one may be on its way up, or on its way down. Whatever else ends a sandbox would end the next one too.
func (s *sandboxProcess) startUntil(ctx context.Context) (sandboxHealth, error) {
	for deadline := time.Now().Add(sandboxStart + sandboxStop); ; {
		_, before := s.holder()
		if err := s.start(); err != nil {
			return sandboxHealth{}, err
		}
		health, err := s.await(ctx)
		other, after := s.holder()
		switch {
		case err == nil || ctx.Err() != nil || alive(s.pid) || !before && !after:
			return health, err
		case time.Now().After(deadline):
			return health, fault.Wrap(fault.Conflict, err, "the sandbox of this data directory runs as process %s, but not at %s: was it started with another --port-offset? Stop it: kill %s",
				other, s.control, other)
		}
		s.logger.WarnContext(ctx, "the sandbox's folder is in use: waiting for its process to answer or to end", "folder", s.dir, "process", other)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// holder is the process that holds the sandbox's folder. The file is the sandbox's own lock.
func (s *sandboxProcess) holder() (pid string, held bool) {
	return holder(filepath.Join(s.dir, "lock"))
}

func (s *sandboxProcess) start() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find our own program: %w", err)
	}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the sandbox's log: %w", err)
	}
	defer log.Close()
	s.child = exec.Command(self, s.args...)
	s.child.Stdout, s.child.Stderr = log, log
	s.child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := s.child.Start(); err != nil {
		return fmt.Errorf("start the sandbox: %w", err)
	}
	s.pid = s.child.Process.Pid
	return nil
}

func (s *sandboxProcess) await(ctx context.Context) (sandboxHealth, error) {
	ctx, cancel := context.WithTimeout(ctx, sandboxStart)
	defer cancel()
	ended := make(chan error, 1)
	go func(child *exec.Cmd) { ended <- child.Wait() }(s.child) // s has another child by then, where keep started one
	for {
		if health, err := sandboxAt(ctx, s.control); err == nil && health.Dir == s.dir {
			if err := s.fits(health); err != nil {
				return health, err
			}
			s.pid = health.PID // ours, or one that was there first
			return health, s.renew(ctx)
		}
		select {
		case err := <-ended:
			return sandboxHealth{}, fault.New(fault.Failed, "the sandbox ended at once (%v): %s", err, tail(s.log))
		case <-ctx.Done():
			return sandboxHealth{}, fault.New(fault.Unavailable, "the sandbox does not become ready: %s", tail(s.log))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// tail is the end of a log, for an error's sake.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "see " + path
	}
	return string(data[max(0, len(data)-600):])
}

// sandboxAt asks what answers at the control routes whether it is a sandbox, and whose.
func sandboxAt(ctx context.Context, url string) (sandboxHealth, error) {
	var h sandboxHealth
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/healthz", nil)
	if err != nil {
		return h, err
	}
	resp, err := loopback.Do(req)
	if err != nil {
		return h, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&h); err != nil {
		return h, fmt.Errorf("what answers at %s is not a sandbox: %s: %w", url, resp.Status, err)
	}
	if h.Dir == "" || h.PID == 0 {
		return h, fmt.Errorf("what answers at %s is not a sandbox: %s", url, resp.Status)
	}
	return h, nil
}

// renew tells the sandbox that it has an owner.
func (s *sandboxProcess) renew(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.control+"/_sandbox/lease", nil)
	if err != nil {
		return err
	}
	resp, err := loopback.Do(req)
	if err != nil {
		return fmt.Errorf("renew the sandbox's lease: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("renew the sandbox's lease: %s", resp.Status)
	}
	return nil
}

// keep renews the lease until ctx ends, and starts the sandbox again if it died: clouds come back.
func (s *sandboxProcess) keep(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(2 * time.Second):
		}
		if s.renew(ctx) == nil || ctx.Err() != nil {
			continue
		}
		if alive(s.pid) {
			continue
		}
		s.logger.WarnContext(ctx, "the sandbox died: starting it again", "pid", s.pid)
		found, _, err := findOrStart(ctx, s.sandboxPlan)
		if err != nil {
			s.logger.ErrorContext(ctx, "the sandbox does not start", "error", err)
			continue
		}
		s.pid, s.child = found.pid, found.child
	}
}

// alive reports whether the process runs. One that has ended and waits to be reaped does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return pid > 0 && syscall.Kill(pid, 0) == nil && !errors.Is(err, fs.ErrNotExist)
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

// stop ends the sandbox and its clusters, and returns when they have ended. It signals only what says that it is the
// sandbox of this directory, or our own child: the number may be somebody else's by now.
func (s *sandboxProcess) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	health, err := sandboxAt(ctx, s.control)
	ours := err == nil && health.Dir == s.dir && health.PID == s.pid
	if !ours && s.child == nil || !alive(s.pid) || syscall.Kill(s.pid, syscall.SIGTERM) != nil {
		return
	}
	for deadline := time.Now().Add(sandboxStop); alive(s.pid) && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
}

// logPath is a log file in the data directory.
func logPath(dir, name string) string { return filepath.Join(dir, "log", name+".log") }

// writePID says which process something is, for whoever looks in the data directory.
func writePID(dir, name string, pid int) error {
	return os.WriteFile(filepath.Join(dir, "run", name+".pid"), []byte(strconv.Itoa(pid)+"\n"), 0o600)
}
