package cri_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestContainersOfAPodShareWhatAPodShares(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("shared"), n.probe()
	server := p.run("server", image, asUser(65532, 65532), args("serve", ":80"))
	server.logged("listening")
	client := p.run("client", image, args("sleep"))
	if out, _ := client.exec("probe", "connect", "127.0.0.1:80"); out != "hello neighbour\n" {
		t.Errorf("over the pod's loopback: %q", out)
	}
	if _, code := client.exec("probe", "write", "/dev/shm/note", "shared"); code != 0 {
		t.Error("shared memory cannot be written")
	}
	if out, _ := server.exec("probe", "read", "/dev/shm/note"); out != "shared" {
		t.Errorf("shared memory has %q", out)
	}
	if out, _ := client.exec("probe", "ps"); strings.Contains(out, "serve") {
		t.Errorf("one container sees another's processes:\n%s", out)
	}
	other := n.pod("other").run("main", image, args("sleep"))
	if out, code := other.exec("probe", "connect", "127.0.0.1:80"); code == 0 {
		t.Errorf("another pod reaches this one's loopback: %q", out)
	}
	if _, code := other.exec("probe", "read", "/dev/shm/note"); code == 0 {
		t.Error("another pod sees this one's shared memory")
	}
}

func TestSharedProcesses(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("together", shareProcesses), n.probe()
	first := p.run("first", image, args("term", "4"), asUser(65532, 65532))
	first.logged("ready")
	second := p.run("second", image, args("sleep"))
	out, _ := second.exec("probe", "ps")
	if !strings.HasPrefix(out, "1 /pause") || !strings.Contains(out, "/bin/probe term") || !strings.Contains(out, "/bin/probe sleep") {
		t.Errorf("processes:\n%s", out)
	}
	if out, code := second.exec("probe", "read", "/proc/1/environ"); code == 0 && out != "" {
		t.Errorf("the first process can be looked into: %q", out)
	}
	leaving := p.run("leaving", image, args("orphan"))
	if got := leaving.wait(); got.GetExitCode() != 0 {
		t.Errorf("a container with an orphan ended with %v", got)
	}
	if out, _ := second.exec("probe", "ps"); strings.Count(out, "sleep") != 1 {
		t.Errorf("the orphan outlives its container:\n%s", out)
	}
	if _, err := n.runtime.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: first.id, Timeout: 10}); err != nil {
		t.Fatal(err)
	}
	if got := first.status(); got.GetExitCode() != 4 {
		t.Errorf("first: %v", got)
	}
	if second.status().GetState() != runtimeapi.ContainerState_CONTAINER_RUNNING {
		t.Error("a container ended with its neighbour")
	}
}

func TestDebugContainerLooksIntoItsTarget(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("debugged"), n.probe()
	for name, user := range map[string]change{"root": args(), "plain": asUser(65532, 65532)} {
		target := p.run("target-"+name, image, user, args("tick"))
		debug := p.run("debug-"+name, image, user, args("ps"), func(c *runtimeapi.ContainerConfig) {
			security(c).NamespaceOptions = &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_TARGET, TargetId: target.id}
		})
		if out := debug.output(); !strings.HasPrefix(out, "1 /bin/probe tick") {
			t.Errorf("%s: processes:\n%s", name, out)
		}
		if target.status().GetState() != runtimeapi.ContainerState_CONTAINER_RUNNING {
			t.Errorf("%s: the target ended with the debugger", name)
		}
	}
}

func TestHostNetwork(t *testing.T) {
	n := startNode(t)
	p := n.pod("host", func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Network = runtimeapi.NamespaceMode_NODE
	})
	if len(n.network.attached) != 0 {
		t.Error("a pod on the node's network was attached")
	}
	c := p.run("main", n.probe(), args("sleep"))
	if out, code := c.exec("probe", "connect", n.registry); code != 0 {
		t.Errorf("the node's network is not there: %s", out)
	}
	answer, err := n.runtime.PodSandboxStatus(t.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: p.id})
	if err != nil || answer.GetStatus().GetNetwork().GetIp() != "" {
		t.Errorf("status: %v, %v", answer, err)
	}
	if _, err := n.runtime.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: p.id}); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(n.network.detached, p.id) {
		t.Error("a pod on the node's network was detached")
	}
}

func TestSysctls(t *testing.T) {
	n := startNode(t)
	p := n.pod("tuned", func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.Sysctls = map[string]string{"net.ipv4.tcp_syncookies": "0", "net.ipv4.ip_local_port_range": "20000\t30000", "kernel.shm_rmid_forced": "1"}
	})
	c := p.run("main", n.probe(), args("sleep"))
	for name, want := range map[string]string{"net/ipv4/tcp_syncookies": "0", "net/ipv4/ip_local_port_range": "20000\t30000", "kernel/shm_rmid_forced": "1"} {
		if out, _ := c.exec("probe", "read", "/proc/sys/"+name); strings.TrimSpace(out) != want {
			t.Errorf("%s is %q", name, out)
		}
	}
	if raw, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err != nil || strings.TrimSpace(string(raw)) == "20000\t30000" {
		t.Errorf("the node's own setting is %q, %v", raw, err)
	}
}
