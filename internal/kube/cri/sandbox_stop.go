package cri

import (
	"context"
	"errors"
	"fmt"
	"sync"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/m3o/platform/internal/kube/tree"
)

// StopPodSandbox ends everything in the pod and gives its address back. It may
// be called any number of times.
func (s *runtimeService) StopPodSandbox(ctx context.Context, r *runtimeapi.StopPodSandboxRequest) (*runtimeapi.StopPodSandboxResponse, error) {
	b, ok := s.findSandbox(r.GetPodSandboxId())
	if !ok {
		return &runtimeapi.StopPodSandboxResponse{}, nil
	}
	if err := s.stopSandbox(ctx, b); err != nil {
		return nil, fmt.Errorf("stop pod %s: %w", podName(b), err)
	}
	return &runtimeapi.StopPodSandboxResponse{}, nil
}

func (s *Server) stopSandbox(ctx context.Context, b *sandbox) error {
	b.gate.Lock()
	defer b.gate.Unlock()
	s.mu.Lock()
	b.ready = false
	s.mu.Unlock()
	if err := s.killContainers(ctx, b); err != nil {
		return err
	}
	if b.first != nil {
		b.first.Kill()
		b.first.Exit()
	}
	if err := s.disconnect(ctx, b); err != nil {
		return err
	}
	s.mu.Lock()
	b.spaces.Close()
	s.mu.Unlock()
	var errs []error
	for _, name := range []string{"sys", "mqueue", "proc", "shm"} {
		errs = append(errs, unmount(b.path(name)))
	}
	return errors.Join(errs...)
}

func (s *Server) killContainers(ctx context.Context, b *sandbox) error {
	var group sync.WaitGroup
	containers := s.containersOf(b)
	errs := make([]error, len(containers))
	for i, c := range containers {
		group.Go(func() { errs[i] = s.killContainer(ctx, c) })
	}
	group.Wait()
	return errors.Join(errs...)
}

func (s *Server) disconnect(ctx context.Context, b *sandbox) error {
	s.mu.Lock()
	attached := b.attached
	s.mu.Unlock()
	if !attached {
		return nil
	}
	if err := s.config.Network.Detach(ctx, b.id); err != nil {
		return fmt.Errorf("disconnect the pod's network: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b.attached = false
	return s.saveSandbox(b)
}

// RemovePodSandbox stops the pod and forgets it and its containers.
func (s *runtimeService) RemovePodSandbox(ctx context.Context, r *runtimeapi.RemovePodSandboxRequest) (*runtimeapi.RemovePodSandboxResponse, error) {
	b, ok := s.findSandbox(r.GetPodSandboxId())
	if !ok {
		return &runtimeapi.RemovePodSandboxResponse{}, nil
	}
	if err := s.removeSandbox(ctx, b); err != nil {
		return nil, fmt.Errorf("remove pod %s: %w", podName(b), err)
	}
	return &runtimeapi.RemovePodSandboxResponse{}, nil
}

func (s *Server) removeSandbox(ctx context.Context, b *sandbox) error {
	if err := s.stopSandbox(ctx, b); err != nil {
		return err
	}
	b.gate.Lock()
	defer b.gate.Unlock()
	for _, c := range s.containersOf(b) {
		if err := s.dropContainer(c); err != nil {
			return err
		}
	}
	if err := tree.Remove(b.dir); err != nil {
		return fmt.Errorf("remove the sandbox's folder: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sandboxes, b.id)
	return nil
}
