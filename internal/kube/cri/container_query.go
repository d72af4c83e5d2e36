package cri

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func (s *Server) findContainer(id string) (*container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.containers[id]; ok {
		return c, nil
	}
	return nil, status.Errorf(codes.NotFound, "no container %q", id)
}

func (s *Server) runningContainer(id string) (*container, error) {
	c, err := s.findContainer(id)
	if err != nil {
		return nil, err
	}
	if !s.isRunning(c) {
		return nil, status.Errorf(codes.FailedPrecondition, "container %s is not running", id)
	}
	return c, nil
}

func (s *Server) containersOf(b *sandbox) []*container {
	return s.selectContainers(func(c *container) bool { return c.box == b })
}

// selectContainers returns the chosen containers, newest first. The choice is
// made under the server's lock.
func (s *Server) selectContainers(chosen func(*container) bool) []*container {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*container
	for _, c := range s.containers {
		if chosen(c) {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b *container) int { return b.createdAt.Compare(a.createdAt) })
	return found
}

// ListContainers lists the containers that pass the filter.
func (s *runtimeService) ListContainers(_ context.Context, r *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	return &runtimeapi.ListContainersResponse{Containers: s.listContainers(r.GetFilter())}, nil
}

func (s *Server) listContainers(filter *runtimeapi.ContainerFilter) []*runtimeapi.Container {
	found := s.selectContainers(func(c *container) bool {
		return strings.HasPrefix(c.id, filter.GetId()) && strings.HasPrefix(c.box.id, filter.GetPodSandboxId()) &&
			hasLabels(c.config.GetLabels(), filter.GetLabelSelector()) &&
			(filter.GetState() == nil || filter.GetState().GetState() == c.now.State)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	items := make([]*runtimeapi.Container, len(found))
	for i, c := range found {
		items[i] = &runtimeapi.Container{
			Id: c.id, PodSandboxId: c.box.id, Metadata: c.config.GetMetadata(), Image: c.config.GetImage(),
			ImageRef: c.image.Ref, ImageId: c.image.ID, State: c.now.State, CreatedAt: c.createdAt.UnixNano(),
			Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations(),
		}
	}
	return items
}

// ContainerStatus describes one container.
func (s *runtimeService) ContainerStatus(_ context.Context, r *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	c, err := s.findContainer(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	answer := &runtimeapi.ContainerStatusResponse{Status: s.containerStatus(c)}
	s.mu.Lock()
	running := c.process
	s.mu.Unlock()
	if r.GetVerbose() && running != nil {
		raw, err := json.Marshal(map[string]any{"pid": running.PID, "sandboxID": c.box.id})
		answer.Info = map[string]string{"info": string(raw)}
		return answer, err
	}
	return answer, nil
}

func (s *Server) containerStatus(c *container) *runtimeapi.ContainerStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &runtimeapi.ContainerStatus{
		Id: c.id, Metadata: c.config.GetMetadata(), State: c.now.State,
		CreatedAt: c.createdAt.UnixNano(), StartedAt: nanoseconds(c.now.StartedAt), FinishedAt: nanoseconds(c.now.FinishedAt),
		ExitCode: int32(c.now.ExitCode), Reason: c.now.Reason, Message: c.now.Message,
		Image: &runtimeapi.ImageSpec{Image: c.image.Name, UserSpecifiedImage: c.config.GetImage().GetUserSpecifiedImage()}, ImageRef: c.image.Ref, ImageId: c.image.ID,
		Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations(), Mounts: c.config.GetMounts(), LogPath: c.logPath(),
		Resources:  &runtimeapi.ContainerResources{Linux: c.config.GetLinux().GetResources()},
		User:       &runtimeapi.ContainerUser{Linux: &runtimeapi.LinuxContainerUser{Uid: int64(c.user.UID), Gid: int64(c.user.GID)}},
		StopSignal: c.config.GetStopSignal(),
	}
}

// nanoseconds is zero for a time that has not come.
func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
