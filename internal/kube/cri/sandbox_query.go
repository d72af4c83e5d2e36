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

func (s *Server) findSandbox(id string) (*sandbox, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.sandboxes[id]
	return b, ok
}

// allSandboxes returns the sandboxes, newest first.
func (s *Server) allSandboxes() []*sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*sandbox, 0, len(s.sandboxes))
	for _, b := range s.sandboxes {
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b *sandbox) int { return b.createdAt.Compare(a.createdAt) })
	return all
}

// state is the CRI's; the caller holds the server's lock.
func (b *sandbox) state() runtimeapi.PodSandboxState {
	if b.ready {
		return runtimeapi.PodSandboxState_SANDBOX_READY
	}
	return runtimeapi.PodSandboxState_SANDBOX_NOTREADY
}

// hasLabels reports whether labels hold everything that is wanted.
func hasLabels(labels, wanted map[string]string) bool {
	for key, value := range wanted {
		if got, ok := labels[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// PodSandboxStatus describes one pod.
func (s *runtimeService) PodSandboxStatus(_ context.Context, r *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	b, ok := s.findSandbox(r.GetPodSandboxId())
	if !ok {
		return nil, status.Errorf(codes.NotFound, "no pod sandbox %s", r.GetPodSandboxId())
	}
	answer := &runtimeapi.PodSandboxStatusResponse{Timestamp: time.Now().UnixNano()}
	for _, c := range s.containersOf(b) {
		answer.ContainersStatuses = append(answer.ContainersStatuses, s.containerStatus(c))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	network := &runtimeapi.PodSandboxNetworkStatus{}
	if b.ip.IsValid() {
		network.Ip = b.ip.String()
	}
	answer.Status = &runtimeapi.PodSandboxStatus{
		Id: b.id, Metadata: b.config.GetMetadata(), State: b.state(), CreatedAt: b.createdAt.UnixNano(), Network: network,
		Linux:  &runtimeapi.LinuxPodSandboxStatus{Namespaces: &runtimeapi.Namespace{Options: b.options()}},
		Labels: b.config.GetLabels(), Annotations: b.config.GetAnnotations(),
	}
	if r.GetVerbose() && b.first != nil {
		raw, err := json.Marshal(map[string]any{"pid": b.first.PID})
		answer.Info = map[string]string{"info": string(raw)}
		return answer, err
	}
	return answer, nil
}

// ListPodSandbox lists the pods that pass the filter.
func (s *runtimeService) ListPodSandbox(_ context.Context, r *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	return &runtimeapi.ListPodSandboxResponse{Items: s.listSandboxes(r.GetFilter())}, nil
}

func (s *Server) listSandboxes(filter *runtimeapi.PodSandboxFilter) []*runtimeapi.PodSandbox {
	all := s.allSandboxes()
	s.mu.Lock()
	defer s.mu.Unlock()
	var items []*runtimeapi.PodSandbox
	for _, b := range all {
		if !strings.HasPrefix(b.id, filter.GetId()) || !hasLabels(b.config.GetLabels(), filter.GetLabelSelector()) {
			continue
		}
		if filter.GetState() != nil && filter.GetState().GetState() != b.state() {
			continue
		}
		items = append(items, &runtimeapi.PodSandbox{
			Id: b.id, Metadata: b.config.GetMetadata(), State: b.state(), CreatedAt: b.createdAt.UnixNano(),
			Labels: b.config.GetLabels(), Annotations: b.config.GetAnnotations(),
		})
	}
	return items
}
