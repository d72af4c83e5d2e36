package cri_test

import (
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// memory limits what a container may hold.
func memory(limit int64) change {
	return func(c *runtimeapi.ContainerConfig) {
		c.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: limit}
	}
}

// A container is ended when what it holds exceeds its limit, whichever of its
// processes it is, and said so in the word that the kubelet knows.
func TestContainerThatOutgrowsItsMemoryIsEnded(t *testing.T) {
	n := startNode(t)
	image := n.probe()
	own, shared := n.pod("own"), n.pod("shared", shareProcesses)
	for _, c := range []*ctr{
		own.run("itself", image, args("grow", "4000"), memory(64<<20), asUser(65532, 65532)),
		own.run("child", image, args("nest", "nest", "grow", "4000"), memory(64<<20)),
		shared.run("shared", image, args("nest", "grow", "4000"), memory(64<<20)),
	} {
		if got := c.wait(); got.GetReason() != "OOMKilled" || got.GetExitCode() != 137 {
			t.Errorf("%s ended with %d, reason %s", c.name, got.GetExitCode(), got.GetReason())
		}
	}
}

// What the kernel can take back does not count: a large file that is mapped and
// read is no reason to end a container, nor is memory within its limit.
func TestContainersWithinTheirMemoryLive(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("within"), n.probe()
	maps := p.run("maps", image, args("map", "/tmp/large", "256"), memory(64<<20))
	holds := p.run("holds", image, args("grow", "96"), memory(128<<20))
	free := p.run("free", image, args("grow", "96"))
	killed := p.run("killed", image, args("sleep"), memory(64<<20))
	maps.logged("mapped 0")
	holds.logged("grown to 96")
	free.logged("grown to 96")
	time.Sleep(2 * time.Second) // several looks
	for _, c := range []*ctr{maps, holds, free} {
		if got := c.status(); got.GetState() != runtimeapi.ContainerState_CONTAINER_RUNNING {
			t.Errorf("%s ended: %s, %d", c.name, got.GetReason(), got.GetExitCode())
		}
	}
	// Who is killed for another reason has not outgrown anything.
	if _, err := n.runtime.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: killed.id}); err != nil {
		t.Fatal(err)
	}
	if got := killed.wait(); got.GetReason() != "Error" || got.GetExitCode() != 137 {
		t.Errorf("a container that was stopped ended with %d, reason %s", got.GetExitCode(), got.GetReason())
	}
	// A limit that is lowered holds from then on.
	if _, err := n.runtime.UpdateContainerResources(t.Context(), &runtimeapi.UpdateContainerResourcesRequest{ContainerId: holds.id,
		Linux: &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 64 << 20}}); err != nil {
		t.Fatal(err)
	}
	if got := holds.wait(); got.GetReason() != "OOMKilled" {
		t.Errorf("after its limit was lowered it ended with %d, reason %s", got.GetExitCode(), got.GetReason())
	}
}
