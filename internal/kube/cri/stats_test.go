package cri_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestStats(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("stats"), n.probe()
	busy := p.run("busy", image, args("spin"), asUser(65532, 65532))
	idle := p.run("idle", image, args("sleep"))
	if err := os.WriteFile(filepath.Join(n.root, "containers", idle.id, "rootfs", "tmp", "big"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	stats := func(c *ctr) *runtimeapi.ContainerStats {
		answer, err := n.runtime.ContainerStats(t.Context(), &runtimeapi.ContainerStatsRequest{ContainerId: c.id})
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetStats()
	}
	begin, first := time.Now(), stats(busy).GetCpu().GetUsageCoreNanoSeconds().GetValue()
	var used uint64
	n.eventually("the busy container's use of the processor", func() bool {
		now := stats(busy).GetCpu()
		used = now.GetUsageCoreNanoSeconds().GetValue() - first
		return used > 2e8 && now.GetUsageNanoCores().GetValue() > 0
	})
	// It has one thread that spins; what the kernel counts is rounded.
	if passed := time.Since(begin); time.Duration(used) > 2*passed+time.Second {
		t.Errorf("busy used %d ns in %s", used, passed)
	}
	quiet := stats(idle)
	if quiet.GetCpu().GetUsageCoreNanoSeconds().GetValue() > 1e9 || quiet.GetMemory().GetWorkingSetBytes().GetValue() < 100<<10 || quiet.GetMemory().GetWorkingSetBytes().GetValue() > 64<<20 {
		t.Errorf("idle: %v", quiet)
	}
	if disk := quiet.GetWritableLayer(); disk.GetUsedBytes().GetValue() < 1<<20 || disk.GetUsedBytes().GetValue() > 2<<20 {
		t.Errorf("idle wrote %v", disk)
	}
	pods, err := n.runtime.ListPodSandboxStats(t.Context(), &runtimeapi.ListPodSandboxStatsRequest{})
	if err != nil || len(pods.GetStats()) != 1 {
		t.Fatalf("pods: %v, %v", pods, err)
	}
	pod := pods.GetStats()[0].GetLinux()
	if len(pod.GetContainers()) != 2 || pod.GetProcess().GetProcessCount().GetValue() != 3 || pod.GetCpu().GetUsageCoreNanoSeconds().GetValue() < used || pod.GetMemory().GetWorkingSetBytes().GetValue() < quiet.GetMemory().GetWorkingSetBytes().GetValue() {
		t.Errorf("pod: %v", pod)
	}
	if _, err := n.runtime.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: busy.id}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.runtime.ContainerStats(t.Context(), &runtimeapi.ContainerStatsRequest{ContainerId: busy.id}); err == nil {
		t.Error("a container that ended has stats")
	}
	list, err := n.runtime.ListContainerStats(t.Context(), &runtimeapi.ListContainerStatsRequest{})
	if err != nil || len(list.GetStats()) != 1 || list.GetStats()[0].GetAttributes().GetMetadata().GetName() != "idle" {
		t.Errorf("list: %v, %v", list, err)
	}
}

func TestLimitsAreStoredAndReported(t *testing.T) {
	n := startNode(t)
	c := n.pod("limits").run("main", n.probe(), args("sleep"), func(c *runtimeapi.ContainerConfig) {
		c.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 1 << 20}
	})
	limits := &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 2 << 20, CpuQuota: 50000}
	if _, err := n.runtime.UpdateContainerResources(t.Context(), &runtimeapi.UpdateContainerResourcesRequest{ContainerId: c.id, Linux: limits}); err != nil {
		t.Fatal(err)
	}
	if got := c.status().GetResources().GetLinux(); got.GetMemoryLimitInBytes() != 2<<20 || got.GetCpuQuota() != 50000 {
		t.Errorf("limits: %v", got)
	}
}
