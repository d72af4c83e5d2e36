package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	self = "/proc/self/exe"
	// Program is the name under which this binary starts itself.
	Program = "m3o-kube"
	// Subcommand runs a node, ProbeSubcommand tries what a node needs.
	Subcommand      = "node"
	ProbeSubcommand = "probe-node"
	probeLimit      = 30 * time.Second
)

// ErrRefused means that this machine does not let us make a node's namespaces.
var ErrRefused = errors.New("this machine refuses what a node needs")

// Command returns the process of a node, not started; it is for Run. Its user
// zero is the caller, so it can do no more to the machine than the caller can; or
// another user, if the caller is root.
func Command(config Config) (*exec.Cmd, error) {
	cmd := exec.Command(self, Subcommand, "--dir", config.Dir)
	cmd.Args[0] = Program
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = isolation()
	if _, _, another := Owner(); another {
		if err := handTrees(cmd, config); err != nil {
			return nil, errors.Join(err, closeTrees(cmd))
		}
	}
	return cmd, nil
}

func isolation() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		// The node ends with the thread that started it, and its pods with it.
		Pdeathsig: syscall.SIGKILL,
		// A Ctrl-C is for the cluster, which stops its nodes in order.
		Setpgid: true,
	}
	become(attributes)
	return attributes
}

// Run starts cmd and returns when it ended. The signal for our death is sent when
// the starting thread ends, so the thread is held until then. The channel
// started, if any, is closed when the process runs.
func Run(cmd *exec.Cmd, started chan<- struct{}) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		closing := closeTrees(cmd)
		if started != nil {
			close(started)
		}
		if err == nil {
			err = errors.Join(cmd.Wait(), closing)
		}
		result <- err
	}()
	return <-result
}

// Check tries to make a node's namespaces and mounts, and returns ErrRefused with
// the machine's own words if it may not.
func Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, ProbeSubcommand)
	cmd.Args[0] = Program
	cmd.SysProcAttr = isolation()
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	err := Run(cmd, nil)
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", ErrRefused, strings.TrimSpace(output.String()))
	}
	return fmt.Errorf("%w: user namespaces: %w", ErrRefused, err)
}
