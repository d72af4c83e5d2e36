package cri

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/m3o/platform/internal/kube/cri/process"
	"github.com/m3o/platform/internal/kube/cri/stage"
)

// maxCapture is how much of each stream ExecSync keeps: both have to fit into
// one message.
const maxCapture = 7 << 20

// execute starts a command in a running container. The pipes' far ends are
// closed in any case.
func (s *Server) execute(ctx context.Context, c *container, args []string, p *pipes) (*process.Process, error) {
	defer p.closeTheirs()
	command := c.command
	command.Args = args
	if p.terminal != nil {
		command.Env = lastOfEach(append([]string{"TERM=xterm"}, command.Env...))
	}
	s.mu.Lock()
	spaces := c.spaces
	s.mu.Unlock()
	if spaces.Mount == nil {
		return nil, status.Errorf(codes.FailedPrecondition, "container %s is not running", c.id)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return s.spawner.Start(ctx, process.Request{
		Kind: stage.KindExec, Extra: spaces.Files(), Streams: p.theirs,
		Spec: stage.Exec{Command: command, OwnUser: spaces.User != nil, TTY: p.terminal != nil},
	})
}

// killExec ends a command with its process group.
func killExec(p *process.Process) {
	select {
	case <-p.Done():
	default:
		unix.Kill(-p.Reply.PID, unix.SIGKILL)
	}
}

// ExecSync runs a command in a container and returns what it printed. One that
// takes longer than the timeout is killed.
func (s *runtimeService) ExecSync(ctx context.Context, r *runtimeapi.ExecSyncRequest) (*runtimeapi.ExecSyncResponse, error) {
	c, err := s.runningContainer(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	if r.GetTimeout() > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.GetTimeout())*time.Second)
		defer cancel()
	}
	p, err := openStreams(false)
	if err != nil {
		return nil, err
	}
	defer p.closeOurs()
	running, err := s.execute(ctx, c, r.GetCmd(), p)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, s.tooLate(r)
	}
	if err != nil {
		return nil, fmt.Errorf("execute in container %s: %w", c.id, err)
	}
	var stdout, stderr capture
	var copies sync.WaitGroup
	copies.Go(func() { io.Copy(&stdout, p.stdout) })
	copies.Go(func() { io.Copy(&stderr, p.stderr) })
	select {
	case <-running.Done():
	case <-ctx.Done():
		killExec(running)
		<-running.Done()
		return nil, s.tooLate(r)
	}
	p.expire()
	copies.Wait()
	code, _ := running.Exit()
	return &runtimeapi.ExecSyncResponse{Stdout: stdout.kept.Bytes(), Stderr: stderr.kept.Bytes(), ExitCode: int32(code)}, nil
}

func (s *Server) tooLate(r *runtimeapi.ExecSyncRequest) error {
	return status.Errorf(codes.DeadlineExceeded, "command %q timed out after %d seconds", r.GetCmd(), r.GetTimeout())
}

// capture keeps the beginning of what is written.
type capture struct {
	kept bytes.Buffer
}

// Write implements io.Writer.
func (c *capture) Write(p []byte) (int, error) {
	c.kept.Write(p[:min(len(p), maxCapture-c.kept.Len())])
	return len(p), nil
}
