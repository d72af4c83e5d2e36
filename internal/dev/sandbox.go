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
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// outside is the sandbox clouds, in a process of their own as the outside world would be: it outlives a kill of ours, and
// the next start finds it again.
type outside struct {
	control string
	dir     string
	pid     int
	child   *exec.Cmd // nil when it was found
	client  http.Client
	logger  *slog.Logger
}

// sandboxHealth is what a sandbox says of itself.
type sandboxHealth struct {
	PID       int    `json:"pid"`
	Dir       string `json:"dir"`
	Endpoints struct {
		Providers map[string]string `json:"providers"`
	} `json:"endpoints"`
}

const sandboxStart = 30 * time.Second

// findOrStart returns the sandbox of the directory, started with args if it does not run.
func findOrStart(ctx context.Context, control, dir, logFile string, args []string, logger *slog.Logger) (*outside, sandboxHealth, error) {
	o := &outside{control: control, dir: dir, client: http.Client{Timeout: 5 * time.Second}, logger: logger}
	health, err := o.health(ctx)
	if err == nil && health.Dir != dir {
		return nil, health, fault.New(fault.Conflict, "port of %s is held by the sandbox of another data directory (%s, process %d): stop that, or use --port-offset",
			control, health.Dir, health.PID)
	}
	if err == nil {
		o.pid = health.PID
		return o, health, o.renew(ctx)
	}
	health, err = o.startUntil(ctx, logFile, args)
	if err != nil {
		o.stop()
	}
	return o, health, err
}

// startUntil starts the sandbox until one of the directory answers: one from before may be on its way up, or on its way
// down, and holds the directory while it is.
func (o *outside) startUntil(ctx context.Context, logFile string, args []string) (sandboxHealth, error) {
	for deadline := time.Now().Add(2 * sandboxStart); ; {
		if err := o.start(logFile, args); err != nil {
			return sandboxHealth{}, err
		}
		health, err := o.await(ctx, logFile)
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return health, err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (o *outside) start(logFile string, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find our own program: %w", err)
	}
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the sandbox's log: %w", err)
	}
	defer log.Close()
	o.child = exec.Command(self, args...)
	o.child.Stdout, o.child.Stderr = log, log
	o.child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := o.child.Start(); err != nil {
		return fmt.Errorf("start the sandbox: %w", err)
	}
	o.pid = o.child.Process.Pid
	return nil
}

func (o *outside) await(ctx context.Context, logFile string) (sandboxHealth, error) {
	ctx, cancel := context.WithTimeout(ctx, sandboxStart)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- o.child.Wait() }()
	for {
		if health, err := o.health(ctx); err == nil && health.Dir == o.dir {
			o.pid = health.PID // ours, or one that was there first
			return health, o.renew(ctx)
		}
		select {
		case err := <-ended:
			return sandboxHealth{}, fault.New(fault.Failed, "the sandbox ended at once (%v): %s", err, tail(logFile))
		case <-ctx.Done():
			return sandboxHealth{}, fault.New(fault.Unavailable, "the sandbox does not become ready: %s", tail(logFile))
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

func (o *outside) health(ctx context.Context) (sandboxHealth, error) {
	var h sandboxHealth
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.control+"/healthz", nil)
	if err != nil {
		return h, err
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return h, err
	}
	defer resp.Body.Close()
	return h, json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&h)
}

// renew tells the sandbox that it has an owner.
func (o *outside) renew(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.control+"/_sandbox/lease", nil)
	if err != nil {
		return err
	}
	resp, err := o.client.Do(req)
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
func (o *outside) keep(ctx context.Context, logFile string, args []string) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(2 * time.Second):
		}
		if o.renew(ctx) == nil || ctx.Err() != nil {
			continue
		}
		if alive(o.pid) {
			continue
		}
		o.logger.WarnContext(ctx, "the sandbox died: starting it again", "pid", o.pid)
		found, _, err := findOrStart(ctx, o.control, o.dir, logFile, args, o.logger)
		if err != nil {
			o.logger.ErrorContext(ctx, "the sandbox does not start", "error", err)
			continue
		}
		o.pid, o.child = found.pid, found.child
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
func (o *outside) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	health, err := o.health(ctx)
	ours := err == nil && health.Dir == o.dir && health.PID == o.pid
	if !ours && o.child == nil || !alive(o.pid) || syscall.Kill(o.pid, syscall.SIGTERM) != nil {
		return
	}
	for deadline := time.Now().Add(40 * time.Second); alive(o.pid) && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
}

// logPath is a log file in the data directory.
func logPath(dir, name string) string { return filepath.Join(dir, "log", name+".log") }

// writePID says which process something is, for whoever looks in the data directory.
func writePID(dir, name string, pid int) error {
	return os.WriteFile(filepath.Join(dir, "run", name+".pid"), []byte(strconv.Itoa(pid)+"\n"), 0o600)
}
