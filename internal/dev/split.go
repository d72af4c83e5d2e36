//go:build embedded

package dev

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/m3o/platform/internal/config"
)

// supervise runs a process as a child of ours until ctx ends, and starts it again with exponential backoff when it dies.
func (r *run) supervise(ctx context.Context, p Process, s config.Settings) error {
	for delay := 100 * time.Millisecond; ctx.Err() == nil; delay = min(2*delay, 10*time.Second) {
		began := time.Now()
		err := r.child(ctx, p, s)
		if ctx.Err() != nil {
			return nil
		}
		r.Logger.WarnContext(ctx, "a process ended: starting it again", "process", p.Name, "error", err, "log", logPath(r.DataDir, p.Name))
		if time.Since(began) > time.Minute {
			delay = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
	return nil
}

func (r *run) child(ctx context.Context, p Process, s config.Settings) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find our own program: %w", err)
	}
	log, err := os.OpenFile(logPath(r.DataDir, p.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", p.Name, err)
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, self, p.Args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.Environ(), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	if err := writePID(r.DataDir, p.Name, cmd.Process.Pid); err != nil {
		r.Logger.WarnContext(ctx, "the process id could not be written", "process", p.Name, "error", err)
	}
	return cmd.Wait()
}
