package cri

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/m3o/platform/internal/kube/cri/output"
	"github.com/m3o/platform/internal/kube/cri/process"
	"github.com/m3o/platform/internal/kube/cri/stage"
	"github.com/m3o/platform/internal/kube/cri/usage"
)

const (
	// startExit is the exit code of a container whose command could not be
	// executed, as other runtimes have it.
	startExit = 128
	// drainTimeout is how long output may come after the end of a process:
	// something else may hold its pipes.
	drainTimeout = 5 * time.Second
)

// StartContainer executes the container's command.
func (s *runtimeService) StartContainer(ctx context.Context, r *runtimeapi.StartContainerRequest) (*runtimeapi.StartContainerResponse, error) {
	c, err := s.findContainer(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	c.box.gate.RLock()
	defer c.box.gate.RUnlock()
	if err := s.beginStart(c); err != nil {
		return nil, err
	}
	if err := s.startContainer(ctx, c); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		c.now.end(startExit, time.Now(), "StartError", err.Error())
		close(c.done)
		if saving := s.saveContainer(c); saving != nil {
			s.log.Warn("a container's state was not written", "container", c.id, "error", saving)
		}
		return nil, fmt.Errorf("start container %s of pod %s: %w", c.config.GetMetadata().GetName(), podName(c.box), err)
	}
	return &runtimeapi.StartContainerResponse{}, nil
}

// beginStart makes sure that a container is started once.
func (s *Server) beginStart(c *container) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.now.State != runtimeapi.ContainerState_CONTAINER_CREATED || c.starting {
		return status.Errorf(codes.FailedPrecondition, "container %s has been started before", c.id)
	}
	if !c.box.ready {
		return status.Errorf(codes.FailedPrecondition, "pod sandbox %s is not ready", c.box.id)
	}
	c.starting = true
	return nil
}

func (s *Server) startContainer(ctx context.Context, c *container) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	request, err := s.containerRequest(ctx, c)
	if err != nil {
		return err
	}
	log, err := output.OpenLog(c.logPath())
	if err != nil {
		return err
	}
	out := output.New(log)
	pipes, err := c.openPipes()
	if err != nil {
		log.Close()
		return err
	}
	request.Streams, request.TTY = pipes.theirs, c.config.GetTty()
	started, err := s.spawner.Start(ctx, request)
	pipes.closeTheirs()
	if err != nil {
		pipes.closeOurs()
		log.Close()
		return err
	}
	pipes.drain(out)
	s.mu.Lock()
	defer s.mu.Unlock()
	c.process, c.spaces, c.output, c.stdin, c.terminal = started, started.Spaces, out, pipes.stdin, pipes.terminal
	c.now.State, c.now.StartedAt = runtimeapi.ContainerState_CONTAINER_RUNNING, started.StartedAt
	go s.watchContainer(c, pipes)
	return s.saveContainer(c)
}

// containerRequest says what to start and in which namespaces.
func (s *Server) containerRequest(ctx context.Context, c *container) (process.Request, error) {
	mounts, err := c.mounts()
	if err != nil {
		return process.Request{}, err
	}
	spec := stage.Container{
		Rootfs: c.rootfs(), Sys: c.box.path("sys"), Shm: c.box.path("shm"), Mqueue: c.box.path("mqueue"), Pts: c.path("pts"),
		Mounts: mounts, MaskedPaths: c.security().GetMaskedPaths(), ReadOnlyPaths: c.security().GetReadonlyPaths(),
		ReadOnlyRoot: c.security().GetReadonlyRootfs(), TTY: c.config.GetTty(),
		OOMScoreAdj: int(c.config.GetLinux().GetResources().GetOomScoreAdj()), Command: c.command,
	}
	if !c.box.ownIPC() {
		spec.Shm = "/dev/shm"
	}
	request := process.Request{Kind: stage.KindContainer, Clone: unix.CLONE_NEWNS, Keep: true}
	request.Enter = process.Namespaces{Net: c.box.spaces.Net, IPC: c.box.spaces.IPC, UTS: c.box.spaces.UTS}
	if !c.user.root() {
		request.User = &process.IDs{UID: c.user.UID, GID: c.user.GID}
	}
	switch c.security().GetNamespaceOptions().GetPid() {
	case runtimeapi.NamespaceMode_POD:
		request.Enter.PID, spec.Proc = c.box.spaces.PID, c.box.path("proc")
		if !c.box.sharesPID() {
			return request, fmt.Errorf("the pod was made without a process namespace to share")
		}
	case runtimeapi.NamespaceMode_TARGET:
		if request.Enter.PID, err = s.enterTarget(ctx, c); err != nil {
			return request, err
		}
		spec.Proc = c.path("proc")
	default:
		request.Clone |= unix.CLONE_NEWPID
	}
	request.Spec = spec
	return request, nil
}

// enterTarget finds the process namespace of the container to look at, and
// mounts its proc for this container.
func (s *Server) enterTarget(ctx context.Context, c *container) (*os.File, error) {
	target, err := s.findContainer(c.security().GetNamespaceOptions().GetTargetId())
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	pid, running := target.spaces.PID, target.now.State == runtimeapi.ContainerState_CONTAINER_RUNNING
	s.mu.Unlock()
	if !running || pid == nil || target.box != c.box {
		return nil, fmt.Errorf("the target container %s does not run in this pod", target.id)
	}
	if err := os.MkdirAll(c.path("proc"), 0o755); err != nil {
		return nil, err
	}
	helper, err := s.spawner.Start(ctx, process.Request{Kind: stage.KindProc, Spec: stage.Proc{Path: c.path("proc")}, Enter: process.Namespaces{PID: pid}})
	if err != nil {
		return nil, fmt.Errorf("look into the target container: %w", err)
	}
	helper.Exit()
	return pid, nil
}

// watchContainer waits for the container's end and notes it.
func (s *Server) watchContainer(c *container, pipes *pipes) {
	code, at := c.process.Exit()
	if c.sharesPID() {
		s.killStragglers(c)
	}
	pipes.finish(c.output)
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	if lost := c.output.Log().Lost(); lost > 0 {
		s.log.Warn("the disk refused lines of a container's log", "container", c.id, "lines", lost)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.outgrown && code == killedExit {
		reason = outgrownReason
	}
	c.spaces.Close()
	c.spaces = process.Namespaces{}
	c.stdin, c.terminal = nil, nil
	c.now.end(code, at, reason, "")
	close(c.done)
	if err := s.saveContainer(c); err != nil {
		s.log.Warn("a container's state was not written", "container", c.id, "error", err)
	}
}

// killStragglers ends the processes that a container leaves in a process
// namespace which is not its own. They are known by their mount namespace.
func (s *Server) killStragglers(c *container) {
	if c.spaces.Mount == nil {
		return
	}
	for range 20 { // a process may fork while it is being looked for
		pids, err := usage.Members(c.spaces.Mount)
		if err != nil || len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			unix.Kill(pid, unix.SIGKILL)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
