package cri

import (
	"context"
	"fmt"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// StopContainer asks the container to end and, after the grace, ends it.
func (s *runtimeService) StopContainer(ctx context.Context, r *runtimeapi.StopContainerRequest) (*runtimeapi.StopContainerResponse, error) {
	c, err := s.findContainer(r.GetContainerId())
	if err != nil {
		return &runtimeapi.StopContainerResponse{}, nil // gone is stopped
	}
	if s.isRunning(c) && r.GetTimeout() > 0 {
		if err := s.askToEnd(ctx, c, time.Duration(r.GetTimeout())*time.Second); err != nil {
			return nil, err
		}
	}
	if err := s.killContainer(ctx, c); err != nil {
		return nil, err
	}
	return &runtimeapi.StopContainerResponse{}, nil
}

func (s *Server) askToEnd(ctx context.Context, c *container, grace time.Duration) error {
	signal, err := c.stopSignal()
	if err != nil {
		return fmt.Errorf("stop container %s: %w", c.id, err)
	}
	if err := c.process.Signal(signal); err != nil {
		return fmt.Errorf("stop container %s: %w", c.id, err)
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (s *Server) isRunning(c *container) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.running()
}

// killContainer ends a running container and waits until it has ended.
func (s *Server) killContainer(ctx context.Context, c *container) error {
	if !s.isRunning(c) {
		return nil
	}
	c.process.Kill()
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("kill container %s: %w", c.id, ctx.Err())
	}
}

// RemoveContainer ends the container and forgets it.
func (s *runtimeService) RemoveContainer(ctx context.Context, r *runtimeapi.RemoveContainerRequest) (*runtimeapi.RemoveContainerResponse, error) {
	c, err := s.findContainer(r.GetContainerId())
	if err != nil {
		return &runtimeapi.RemoveContainerResponse{}, nil // gone is removed
	}
	if err := s.killContainer(ctx, c); err != nil {
		return nil, err
	}
	c.box.gate.Lock() // nothing of this pod is being started now
	defer c.box.gate.Unlock()
	if err := s.killContainer(ctx, c); err != nil {
		return nil, err
	}
	if err := s.dropContainer(c); err != nil {
		return nil, fmt.Errorf("remove container %s: %w", c.id, err)
	}
	return &runtimeapi.RemoveContainerResponse{}, nil
}

// ReopenContainerLog goes on in a new log file, after a rotation.
func (s *runtimeService) ReopenContainerLog(_ context.Context, r *runtimeapi.ReopenContainerLogRequest) (*runtimeapi.ReopenContainerLogResponse, error) {
	c, err := s.runningContainer(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	if err := c.output.Log().Reopen(); err != nil {
		return nil, fmt.Errorf("reopen the log of container %s: %w", c.id, err)
	}
	return &runtimeapi.ReopenContainerLogResponse{}, nil
}

// UpdateContainerResources stores the limits, in place of those that the
// container began with.
func (s *runtimeService) UpdateContainerResources(_ context.Context, r *runtimeapi.UpdateContainerResourcesRequest) (*runtimeapi.UpdateContainerResourcesResponse, error) {
	c, err := s.findContainer(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.GetLinux() == nil {
		return &runtimeapi.UpdateContainerResourcesResponse{}, nil
	}
	if c.config.Linux == nil {
		c.config.Linux = &runtimeapi.LinuxContainerConfig{}
	}
	c.config.Linux.Resources = r.GetLinux()
	return &runtimeapi.UpdateContainerResourcesResponse{}, s.saveContainer(c)
}
