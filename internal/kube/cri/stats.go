package cri

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/m3o/platform/internal/kube/cri/usage"
)

// diskInterval is how old the size of a container's own files may be.
const diskInterval = 30 * time.Second

// usageCache remembers the last measurement of each container, to tell rates,
// and to keep the used time from going back when a child ends unseen.
type usageCache struct {
	mu   sync.Mutex
	last map[string]*measurement
}

type measurement struct {
	at        time.Time
	cpu       time.Duration
	nanoCores uint64

	diskAt       time.Time
	disk, inodes uint64
}

func (u *usageCache) forget(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.last, id)
}

// entry is the measurement of a container. The caller holds the lock.
func (u *usageCache) entry(id string) *measurement {
	if u.last == nil {
		u.last = map[string]*measurement{}
	}
	if u.last[id] == nil {
		u.last[id] = &measurement{}
	}
	return u.last[id]
}

// measure takes a new sample in and returns what is known now.
func (u *usageCache) measure(id, upper string, sample usage.Sample) measurement {
	u.measureDisk(id, upper)
	u.mu.Lock()
	defer u.mu.Unlock()
	m, now := u.entry(id), time.Now()
	cpu := max(m.cpu, sample.CPU)
	if past := now.Sub(m.at); past >= time.Second {
		if !m.at.IsZero() {
			m.nanoCores = uint64(float64(cpu-m.cpu) / past.Seconds())
		}
		m.at, m.cpu = now, cpu
	}
	result := *m
	result.cpu = cpu
	return result
}

// measureDisk measures the container's own files, unless that was done lately.
func (u *usageCache) measureDisk(id, upper string) (size, inodes uint64) {
	u.mu.Lock()
	m := *u.entry(id)
	u.mu.Unlock()
	if time.Since(m.diskAt) < diskInterval {
		return m.disk, m.inodes
	}
	size, inodes = usage.Disk(upper)
	u.mu.Lock()
	defer u.mu.Unlock()
	kept := u.entry(id)
	kept.disk, kept.inodes, kept.diskAt = size, inodes, time.Now()
	return size, inodes
}

// ContainerStats measures one running container.
func (s *runtimeService) ContainerStats(_ context.Context, r *runtimeapi.ContainerStatsRequest) (*runtimeapi.ContainerStatsResponse, error) {
	if _, err := s.runningContainer(r.GetContainerId()); err != nil {
		return nil, err
	}
	found := s.listContainerStats(&runtimeapi.ContainerStatsFilter{Id: r.GetContainerId()})
	if len(found) != 1 {
		return nil, status.Errorf(codes.NotFound, "container %s has just ended", r.GetContainerId())
	}
	return &runtimeapi.ContainerStatsResponse{Stats: found[0]}, nil
}

// ListContainerStats measures the running containers that pass the filter.
func (s *runtimeService) ListContainerStats(_ context.Context, r *runtimeapi.ListContainerStatsRequest) (*runtimeapi.ListContainerStatsResponse, error) {
	return &runtimeapi.ListContainerStatsResponse{Stats: s.listContainerStats(r.GetFilter())}, nil
}

func (s *Server) listContainerStats(filter *runtimeapi.ContainerStatsFilter) []*runtimeapi.ContainerStats {
	running := s.selectContainers(func(c *container) bool {
		return c.now.State == runtimeapi.ContainerState_CONTAINER_RUNNING && strings.HasPrefix(c.id, filter.GetId()) &&
			strings.HasPrefix(c.box.id, filter.GetPodSandboxId()) && hasLabels(c.config.GetLabels(), filter.GetLabelSelector())
	})
	groups, err := usage.Scan()
	if err != nil {
		s.log.Warn("containers cannot be measured", "error", err)
		return nil
	}
	var stats []*runtimeapi.ContainerStats
	for _, c := range running {
		if sample, ok := s.sample(c, groups); ok {
			stats = append(stats, s.containerStats(c, sample))
		}
	}
	return stats
}

// sample measures a container, if it still runs.
func (s *Server) sample(c *container, groups map[uint64][]int) (usage.Sample, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.spaces.Mount == nil {
		return usage.Sample{}, false
	}
	key, err := usage.Key(c.spaces.Mount)
	if err != nil {
		return usage.Sample{}, false
	}
	return usage.Measure(groups[key]), true
}

func (s *Server) containerStats(c *container, sample usage.Sample) *runtimeapi.ContainerStats {
	m := s.usage.measure(c.id, c.path("upper"), sample)
	now := time.Now().UnixNano()
	return &runtimeapi.ContainerStats{
		Attributes: &runtimeapi.ContainerAttributes{Id: c.id, Metadata: c.config.GetMetadata(), Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations()},
		Cpu:        &runtimeapi.CpuUsage{Timestamp: now, UsageCoreNanoSeconds: amount(uint64(m.cpu)), UsageNanoCores: amount(m.nanoCores)},
		Memory:     memoryUsage(now, sample),
		WritableLayer: &runtimeapi.FilesystemUsage{
			Timestamp: m.diskAt.UnixNano(), FsId: &runtimeapi.FilesystemIdentifier{Mountpoint: s.config.Root},
			UsedBytes: amount(m.disk), InodesUsed: amount(m.inodes),
		},
	}
}

func memoryUsage(now int64, sample usage.Sample) *runtimeapi.MemoryUsage {
	return &runtimeapi.MemoryUsage{
		Timestamp: now, WorkingSetBytes: amount(sample.Memory), UsageBytes: amount(sample.Memory), RssBytes: amount(sample.Anonymous),
		PageFaults: amount(sample.Minor), MajorPageFaults: amount(sample.Major),
	}
}

func amount(value uint64) *runtimeapi.UInt64Value { return &runtimeapi.UInt64Value{Value: value} }

// PodSandboxStats measures one pod.
func (s *runtimeService) PodSandboxStats(_ context.Context, r *runtimeapi.PodSandboxStatsRequest) (*runtimeapi.PodSandboxStatsResponse, error) {
	found := s.listSandboxStats(&runtimeapi.PodSandboxStatsFilter{Id: r.GetPodSandboxId()})
	if r.GetPodSandboxId() == "" || len(found) != 1 {
		return nil, status.Errorf(codes.NotFound, "no running pod sandbox %q", r.GetPodSandboxId())
	}
	return &runtimeapi.PodSandboxStatsResponse{Stats: found[0]}, nil
}

// ListPodSandboxStats measures the running pods that pass the filter.
func (s *runtimeService) ListPodSandboxStats(_ context.Context, r *runtimeapi.ListPodSandboxStatsRequest) (*runtimeapi.ListPodSandboxStatsResponse, error) {
	return &runtimeapi.ListPodSandboxStatsResponse{Stats: s.listSandboxStats(r.GetFilter())}, nil
}

func (s *Server) listSandboxStats(filter *runtimeapi.PodSandboxStatsFilter) []*runtimeapi.PodSandboxStats {
	byPod := map[string][]*runtimeapi.ContainerStats{}
	for _, c := range s.listContainerStats(&runtimeapi.ContainerStatsFilter{PodSandboxId: filter.GetId()}) {
		if owner, err := s.findContainer(c.GetAttributes().GetId()); err == nil {
			byPod[owner.box.id] = append(byPod[owner.box.id], c)
		}
	}
	var stats []*runtimeapi.PodSandboxStats
	for _, b := range s.allSandboxes() {
		if s.isReady(b) && strings.HasPrefix(b.id, filter.GetId()) && hasLabels(b.config.GetLabels(), filter.GetLabelSelector()) {
			stats = append(stats, s.sandboxStats(b, byPod[b.id]))
		}
	}
	return stats
}

// sandboxStats adds the pod's first process to its containers.
func (s *Server) sandboxStats(b *sandbox, containers []*runtimeapi.ContainerStats) *runtimeapi.PodSandboxStats {
	now := time.Now().UnixNano()
	total := usage.Measure([]int{b.first.PID})
	var nanoCores uint64
	for _, c := range containers {
		total.CPU += time.Duration(c.GetCpu().GetUsageCoreNanoSeconds().GetValue())
		nanoCores += c.GetCpu().GetUsageNanoCores().GetValue()
		total.Memory += c.GetMemory().GetWorkingSetBytes().GetValue()
		total.Anonymous += c.GetMemory().GetRssBytes().GetValue()
		total.Minor += c.GetMemory().GetPageFaults().GetValue()
		total.Major += c.GetMemory().GetMajorPageFaults().GetValue()
	}
	return &runtimeapi.PodSandboxStats{
		Attributes: &runtimeapi.PodSandboxAttributes{Id: b.id, Metadata: b.config.GetMetadata(), Labels: b.config.GetLabels(), Annotations: b.config.GetAnnotations()},
		Linux: &runtimeapi.LinuxPodSandboxStats{
			Cpu:     &runtimeapi.CpuUsage{Timestamp: now, UsageCoreNanoSeconds: amount(uint64(total.CPU)), UsageNanoCores: amount(nanoCores)},
			Memory:  memoryUsage(now, total),
			Network: s.networkUsage(b, now), Containers: containers,
			Process: &runtimeapi.ProcessUsage{Timestamp: now, ProcessCount: amount(s.countProcesses(b, total.Processes))},
		},
	}
}

// countProcesses adds those of the pod's containers.
func (s *Server) countProcesses(b *sandbox, count uint64) uint64 {
	groups, err := usage.Scan()
	if err != nil {
		return count
	}
	for _, c := range s.containersOf(b) {
		if sample, ok := s.sample(c, groups); ok {
			count += sample.Processes
		}
	}
	return count
}

func (s *Server) networkUsage(b *sandbox, now int64) *runtimeapi.NetworkUsage {
	if !b.ownNetwork() {
		return nil
	}
	found, err := usage.Interfaces(b.first.PID)
	if err != nil {
		s.log.Debug("a pod's network cannot be measured", "error", fmt.Errorf("pod %s: %w", podName(b), err))
		return nil
	}
	network := &runtimeapi.NetworkUsage{Timestamp: now}
	for _, i := range found {
		item := &runtimeapi.NetworkInterfaceUsage{Name: i.Name, RxBytes: amount(i.RxBytes), RxErrors: amount(i.RxErrors), TxBytes: amount(i.TxBytes), TxErrors: amount(i.TxErrors)}
		if i.Name == "eth0" {
			network.DefaultInterface = item
			continue
		}
		network.Interfaces = append(network.Interfaces, item)
	}
	return network
}
