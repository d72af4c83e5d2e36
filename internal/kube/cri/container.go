package cri

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/m3o/platform/internal/kube/cri/image"
	"github.com/m3o/platform/internal/kube/cri/output"
	"github.com/m3o/platform/internal/kube/cri/process"
	"github.com/m3o/platform/internal/kube/tree"
)

const (
	containerFolder   = "containers"
	refusedPrivileged = "privileged containers are not offered by this node: it runs without privileges itself"
)

// imageUse is the image of a container, which may lose its names or be
// removed while the container is there.
type imageUse struct {
	ID, Name, Ref string
	Layers        []string
	StopSignal    string
}

// containerState is the part of a container that changes.
type containerState struct {
	State                 runtimeapi.ContainerState
	StartedAt, FinishedAt time.Time
	ExitCode              int
	Reason, Message       string
}

func (n *containerState) end(code int, at time.Time, reason, message string) {
	n.State, n.ExitCode, n.FinishedAt, n.Reason, n.Message = runtimeapi.ContainerState_CONTAINER_EXITED, code, at, reason, message
}

// container is a container, from its making to its removal.
type container struct {
	id        string
	dir       string
	box       *sandbox
	config    *runtimeapi.ContainerConfig
	createdAt time.Time
	image     imageUse
	user      identity
	command   command

	// done is closed when the container has ended and its state says so.
	done chan struct{}

	// The rest is guarded by the server's lock.
	now      containerState
	starting bool
	outgrown bool // it was killed for its memory
	process  *process.Process
	spaces   process.Namespaces
	output   *output.Output
	stdin    *os.File
	terminal *os.File
}

func (c *container) path(name string) string { return filepath.Join(c.dir, name) }

func (c *container) rootfs() string { return c.path("rootfs") }

func (c *container) logPath() string {
	if c.box.config.GetLogDirectory() == "" || c.config.GetLogPath() == "" {
		return ""
	}
	return filepath.Join(c.box.config.GetLogDirectory(), c.config.GetLogPath())
}

func (c *container) security() *runtimeapi.LinuxContainerSecurityContext {
	return c.config.GetLinux().GetSecurityContext()
}

// running is the CRI's state; the caller holds the server's lock.
func (c *container) running() bool {
	return c.now.State == runtimeapi.ContainerState_CONTAINER_RUNNING
}

// sharesPID reports whether the container's processes are in a namespace with
// others', which then do not end with its first process.
func (c *container) sharesPID() bool {
	mode := c.security().GetNamespaceOptions().GetPid()
	return mode == runtimeapi.NamespaceMode_POD || mode == runtimeapi.NamespaceMode_TARGET
}

// checkContainer refuses what an unprivileged node cannot give.
func checkContainer(config *runtimeapi.ContainerConfig) error {
	security := config.GetLinux().GetSecurityContext()
	switch {
	case config.GetMetadata() == nil:
		return status.Error(codes.InvalidArgument, "the container has no metadata")
	case security.GetPrivileged():
		return status.Error(codes.InvalidArgument, refusedPrivileged)
	case security.GetNamespaceOptions().GetPid() == runtimeapi.NamespaceMode_NODE:
		return status.Error(codes.InvalidArgument, "hostPID is not offered by this node")
	case len(config.GetCDIDevices()) > 0:
		return status.Error(codes.InvalidArgument, "CDI devices are not offered by this node")
	case security.GetRunAsGroup() != nil && security.GetRunAsUser() == nil && security.GetRunAsUsername() == "":
		return status.Error(codes.InvalidArgument, "runAsGroup needs runAsUser")
	}
	return checkMounts(config.GetMounts())
}

// CreateContainer makes the container's file system and settles what it will
// run as. Nothing runs yet.
func (s *runtimeService) CreateContainer(ctx context.Context, r *runtimeapi.CreateContainerRequest) (*runtimeapi.CreateContainerResponse, error) {
	if err := checkContainer(r.GetConfig()); err != nil {
		return nil, err
	}
	b, ok := s.findSandbox(r.GetPodSandboxId())
	if !ok {
		return nil, status.Errorf(codes.NotFound, "no pod sandbox %s", r.GetPodSandboxId())
	}
	b.gate.RLock()
	defer b.gate.RUnlock()
	if !s.isReady(b) {
		return nil, status.Errorf(codes.FailedPrecondition, "pod sandbox %s is not ready", b.id)
	}
	c, found, err := s.addContainer(b, r.GetConfig())
	if err != nil {
		return nil, err
	}
	if err := s.makeContainer(c, found); err != nil {
		if undo := s.dropContainer(c); undo != nil {
			s.log.Warn("a container that could not be made was not cleaned up", "container", c.id, "error", undo)
		}
		return nil, fmt.Errorf("make container %s of pod %s: %w", c.config.GetMetadata().GetName(), podName(b), err)
	}
	return &runtimeapi.CreateContainerResponse{ContainerId: c.id}, nil
}

// addContainer notes a container of the sandbox. From here on its image's layers
// count as in use.
func (s *Server) addContainer(b *sandbox, config *runtimeapi.ContainerConfig) (*container, *image.Image, error) {
	s.claims.RLock()
	defer s.claims.RUnlock()
	wanted := config.GetImage().GetImage()
	found, ok := s.images.Get(wanted)
	if !ok {
		return nil, nil, status.Errorf(codes.NotFound, "image %s is not on this node", wanted)
	}
	id := newID()
	c := &container{id: id, dir: filepath.Join(s.config.Root, containerFolder, id), box: b, config: config, createdAt: time.Now(), done: make(chan struct{})}
	c.image = use(found, config.GetImage().GetUserSpecifiedImage())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers[id] = c
	return c, found, nil
}

func (s *Server) isReady(b *sandbox) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return b.ready
}

// use notes the image under the name that the user gave, if it still has it.
func use(i *image.Image, userName string) imageUse {
	u := imageUse{ID: i.ID, Name: i.ID, Ref: i.ID, Layers: i.Layers, StopSignal: i.Config.Config.StopSignal}
	names := slices.Concat(i.Tags, i.Digests)
	if len(names) > 0 {
		u.Name = names[0]
	}
	if userName != "" {
		u.Name = userName
	}
	if len(i.Digests) > 0 {
		u.Ref = i.Digests[0]
	}
	return u
}

func (s *Server) makeContainer(c *container, from *image.Image) error {
	o := overlay{folders: from.Folders(), upper: c.path("upper"), work: c.path("work"), point: c.rootfs()}
	for _, dir := range []string{o.upper, o.work, o.point, c.path("pts")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the container's folder: %w", err)
		}
	}
	if err := s.mountOverlay(o); err != nil {
		return err
	}
	// The terminals are mounted here and not in the container, so that the
	// runtime can open them.
	if err := unix.Mount("devpts", c.path("pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
		return fmt.Errorf("mount the container's terminals: %w", err)
	}
	var err error
	if c.user, err = resolveUser(c.rootfs(), c.security(), from.Config.Config.User); err != nil {
		return err
	}
	if err := s.mountImages(c); err != nil {
		return err
	}
	c.command = c.makeCommand(from.Config.Config)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saveContainer(c)
}

// dropContainer forgets a container that does not run.
func (s *Server) dropContainer(c *container) error {
	if err := s.unmountContainer(c); err != nil {
		return err
	}
	if err := tree.Remove(c.dir); err != nil {
		return fmt.Errorf("remove the container's folder: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.containers, c.id)
	s.usage.forget(c.id)
	return nil
}

func (s *Server) unmountContainer(c *container) error {
	for _, path := range append(c.imageMounts(), c.path("proc"), c.path("pts"), c.rootfs()) {
		if err := unmount(path); err != nil {
			return err
		}
	}
	return nil
}

// layersInUse are the layers of all containers and of their image volumes.
func (s *Server) layersInUse() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	layers := map[string]bool{}
	for _, c := range s.containers {
		for _, diffID := range c.image.Layers {
			layers[diffID] = true
		}
	}
	return layers
}
