package cri_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestContainerRunsAndEnds(t *testing.T) {
	n := startNode(t)
	p := n.pod("hello")
	c := p.run("main", n.probe(), args("echo", "hello", "world"))
	got := c.wait()
	if got.GetExitCode() != 0 || got.GetReason() != "Completed" {
		t.Errorf("exit code %d, reason %s", got.GetExitCode(), got.GetReason())
	}
	if got.GetFinishedAt() < got.GetStartedAt() || got.GetStartedAt() < got.GetCreatedAt() {
		t.Errorf("times out of order: %v", got)
	}
	lines := strings.Join(c.lines(), "\n")
	if !strings.Contains(lines, "stdout F hello world") || !strings.Contains(lines, "stderr F to stderr") {
		t.Errorf("log: %s", lines)
	}
	if got.GetImageId() == "" || !strings.Contains(got.GetImageRef(), "@sha256:") || got.GetImage().GetImage() != n.registry+"/test/probe:latest" {
		t.Errorf("image %v, ref %s, id %s", got.GetImage(), got.GetImageRef(), got.GetImageId())
	}
	if err := c.start(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a second start: %v", err)
	}
}

func TestExitCodesAndFailedStarts(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("ends"), n.probe()
	if got := p.run("seven", image, args("exit", "7")).wait(); got.GetExitCode() != 7 || got.GetReason() != "Error" {
		t.Errorf("exit 7: %v", got)
	}
	for name, wrong := range map[string]struct{ command, message string }{
		"missing":  {"nothing-here", `exec: "nothing-here": executable file not found in $PATH`},
		"absolute": {"/nothing", `exec: "/nothing": no such file or directory`},
		"plain":    {"/etc/passwd", `exec: "/etc/passwd": permission denied`},
		"folder":   {"/etc", `permission denied`},
	} {
		c, err := p.create(name, image, func(c *runtimeapi.ContainerConfig) { c.Command = []string{wrong.command} })
		if err != nil {
			t.Fatal(err)
		}
		if wrong.command == "/etc/passwd" {
			if err := os.Chmod(filepath.Join(n.root, "containers", c.id, "rootfs", "etc/passwd"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.start(); err == nil || !strings.Contains(err.Error(), wrong.message) {
			t.Errorf("%s: %v", name, err)
		}
		if got := c.wait(); got.GetExitCode() != 128 || got.GetReason() != "StartError" || !strings.Contains(got.GetMessage(), wrong.message) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestStopAsksAndThenKills(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("stops"), n.probe()
	stop := func(c *ctr, grace int64) (*runtimeapi.ContainerStatus, time.Duration) {
		begun := time.Now()
		if _, err := n.runtime.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: c.id, Timeout: grace}); err != nil {
			t.Fatal(err)
		}
		return c.status(), time.Since(begun)
	}
	polite := p.run("polite", image, args("term", "5"))
	polite.logged("ready")
	if got, took := stop(polite, 30); got.GetExitCode() != 5 || took > 25*time.Second {
		t.Errorf("polite: %v after %s", got, took)
	}
	polite.logged("got terminated")
	custom := p.run("custom", image, args("term"), func(c *runtimeapi.ContainerConfig) { c.StopSignal = runtimeapi.Signal_SIGNAL_SIGUSR1 })
	custom.logged("ready")
	if got, _ := stop(custom, 30); got.GetExitCode() != 0 {
		t.Errorf("custom: %v", got)
	}
	custom.logged("got user defined signal 1")
	fromImage := n.pull(n.push("signal", v1.Config{Entrypoint: []string{"/bin/probe"}, StopSignal: "SIGUSR1"}, baseLayer(t)))
	own := p.run("own", fromImage, args("term"))
	own.logged("ready")
	if stop(own, 30); !strings.Contains(own.output(), "user defined signal 1") {
		t.Errorf("the image's stop signal was not sent: %s", own.output())
	}
	deaf := p.run("deaf", image, args("tick"), func(c *runtimeapi.ContainerConfig) { c.StopSignal = runtimeapi.Signal_SIGNAL_SIGWINCH })
	if got, took := stop(deaf, 1); got.GetExitCode() != 137 || took < time.Second {
		t.Errorf("deaf: %v after %s", got, took)
	}
}

func TestGoneIsStoppedAndRemoved(t *testing.T) {
	n := startNode(t)
	for range 2 {
		if _, err := n.runtime.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: "gone"}); err != nil {
			t.Error(err)
		}
		if _, err := n.runtime.RemoveContainer(t.Context(), &runtimeapi.RemoveContainerRequest{ContainerId: "gone"}); err != nil {
			t.Error(err)
		}
		if _, err := n.runtime.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: "gone"}); err != nil {
			t.Error(err)
		}
		if _, err := n.runtime.RemovePodSandbox(t.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: "gone"}); err != nil {
			t.Error(err)
		}
	}
	if _, err := n.runtime.ContainerStatus(t.Context(), &runtimeapi.ContainerStatusRequest{ContainerId: "gone"}); status.Code(err) != codes.NotFound {
		t.Errorf("status of a container that is gone: %v", err)
	}
	if _, err := n.runtime.PodSandboxStatus(t.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: "gone"}); status.Code(err) != codes.NotFound {
		t.Errorf("status of a pod that is gone: %v", err)
	}
}

func TestPodStopsAndIsRemovedWithAllItHas(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("whole"), n.probe()
	c := p.run("main", image, args("sleep"), asUser(65532, 65532))
	answer, err := n.runtime.PodSandboxStatus(t.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: p.id})
	if err != nil {
		t.Fatal(err)
	}
	if answer.GetStatus().GetNetwork().GetIp() != "10.244.1.7" || answer.GetStatus().GetState() != runtimeapi.PodSandboxState_SANDBOX_READY || len(answer.GetContainersStatuses()) != 1 {
		t.Errorf("status: %v", answer)
	}
	for range 2 {
		if _, err := n.runtime.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: p.id}); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.status(); got.GetExitCode() != 137 || got.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED {
		t.Errorf("the container after its pod stopped: %v", got)
	}
	if _, err := p.create("late", image); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a container for a stopped pod: %v", err)
	}
	if len(n.network.attached) != 0 || len(n.network.detached) != 1 {
		t.Errorf("attached %v, detached %v", n.network.attached, n.network.detached)
	}
	for range 2 {
		if _, err := n.runtime.RemovePodSandbox(t.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.id}); err != nil {
			t.Fatal(err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), n.root) {
		t.Errorf("mounts are left:\n%s", mounts)
	}
	if entries, err := os.ReadDir(filepath.Join(n.root, "containers")); err != nil || len(entries) != 0 {
		t.Errorf("container folders are left: %v, %v", entries, err)
	}
}

func TestFilters(t *testing.T) {
	n := startNode(t)
	image := n.probe()
	one, two := n.pod("one"), n.pod("two")
	a, b := one.run("a", image, args("sleep")), two.run("b", image, args("exit", "0"))
	b.wait()
	pods := func(f *runtimeapi.PodSandboxFilter) int {
		list, err := n.runtime.ListPodSandbox(t.Context(), &runtimeapi.ListPodSandboxRequest{Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.GetItems())
	}
	containers := func(f *runtimeapi.ContainerFilter) []*runtimeapi.Container {
		list, err := n.runtime.ListContainers(t.Context(), &runtimeapi.ListContainersRequest{Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		return list.GetContainers()
	}
	notReady := &runtimeapi.PodSandboxStateValue{State: runtimeapi.PodSandboxState_SANDBOX_NOTREADY}
	for want, f := range map[*runtimeapi.PodSandboxFilter]int{
		nil: 2, {Id: one.id}: 1, {LabelSelector: map[string]string{"app": "two"}}: 1, {LabelSelector: map[string]string{"app": "no"}}: 0, {State: notReady}: 0,
	} {
		if got := pods(want); got != f {
			t.Errorf("pods with %v: %d, not %d", want, got, f)
		}
	}
	running := &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_RUNNING}
	for _, f := range []*runtimeapi.ContainerFilter{{State: running}, {PodSandboxId: one.id}, {Id: a.id}, {LabelSelector: map[string]string{"container": "a"}}} {
		if got := containers(f); len(got) != 1 || got[0].GetId() != a.id || got[0].GetPodSandboxId() != one.id {
			t.Errorf("containers with %v: %v", f, got)
		}
	}
	if got := containers(nil); len(got) != 2 {
		t.Errorf("all containers: %v", got)
	}
}

func TestRefusals(t *testing.T) {
	n := startNode(t)
	image := n.probe()
	pods := map[string]func(*runtimeapi.PodSandboxConfig){
		"privileged": func(c *runtimeapi.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true },
		"hostPID": func(c *runtimeapi.PodSandboxConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_NODE
		},
		"kernel.panic": func(c *runtimeapi.PodSandboxConfig) { c.Linux.Sysctls = map[string]string{"kernel.panic": "1"} },
		"../../../etc/": func(c *runtimeapi.PodSandboxConfig) {
			c.Linux.Sysctls = map[string]string{"net./../../../etc/passwd": "1"}
		},
	}
	for what, change := range pods {
		config := n.podConfig("refused")
		change(config)
		if _, err := n.runtime.RunPodSandbox(t.Context(), &runtimeapi.RunPodSandboxRequest{Config: config}); err == nil || !strings.Contains(err.Error(), strings.Trim(what, "./etc")) {
			t.Errorf("a pod with %s: %v", what, err)
		}
	}
	if _, err := n.runtime.RunPodSandbox(t.Context(), &runtimeapi.RunPodSandboxRequest{Config: n.podConfig("x"), RuntimeHandler: "gvisor"}); err == nil || !strings.Contains(err.Error(), "gvisor") {
		t.Errorf("an unknown handler: %v", err)
	}
	p := n.pod("p")
	for what, change := range map[string]change{
		"privileged":    func(c *runtimeapi.ContainerConfig) { security(c).Privileged = true },
		"CDI":           func(c *runtimeapi.ContainerConfig) { c.CDIDevices = []*runtimeapi.CDIDevice{{Name: "v/g=0"}} },
		"runAsGroup":    func(c *runtimeapi.ContainerConfig) { security(c).RunAsGroup = &runtimeapi.Int64Value{Value: 5} },
		"nobody-here":   func(c *runtimeapi.ContainerConfig) { security(c).RunAsUsername = "nobody-here" },
		"bidirectional": withMount(&runtimeapi.Mount{HostPath: "/tmp", ContainerPath: "/x", Propagation: runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL}),
		"/not/there":    withMount(&runtimeapi.Mount{HostPath: "/not/there", ContainerPath: "/x"}),
		"/proc":         withMount(&runtimeapi.Mount{HostPath: "/tmp", ContainerPath: "/proc/sys"}),
		"mount point":   withMount(&runtimeapi.Mount{HostPath: "/tmp", ContainerPath: "/.."}),
		"wonky":         func(c *runtimeapi.ContainerConfig) { c.Image.Image = "wonky" },
	} {
		if _, err := p.create("refused", image, change); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("a container with %s: %v", what, err)
		}
	}
	if list, err := n.runtime.ListContainers(t.Context(), &runtimeapi.ListContainersRequest{}); err != nil || len(list.GetContainers()) != 0 {
		t.Errorf("refused containers are listed: %v, %v", list, err)
	}
}

func TestFailedNetworkLeavesNothing(t *testing.T) {
	n := startNode(t)
	n.network.fail = os.ErrDeadlineExceeded
	if _, err := n.runtime.RunPodSandbox(t.Context(), &runtimeapi.RunPodSandboxRequest{Config: n.podConfig("unlucky")}); err == nil || !strings.Contains(err.Error(), "network") {
		t.Errorf("a pod without network: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Join(n.root, "sandboxes")); err != nil || len(entries) != 0 {
		t.Errorf("sandbox folders are left: %v, %v", entries, err)
	}
	if len(n.network.detached) != 1 {
		t.Error("the network was not told to forget the pod")
	}
}

func TestRuntimeTellsWhatItIs(t *testing.T) {
	n := startNode(t)
	answer, err := n.runtime.Status(t.Context(), &runtimeapi.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, condition := range answer.GetStatus().GetConditions() {
		if !condition.GetStatus() {
			t.Errorf("not met: %v", condition)
		}
	}
	if version, err := n.runtime.Version(t.Context(), &runtimeapi.VersionRequest{}); err != nil || version.GetRuntimeApiVersion() != "v1" {
		t.Errorf("version %v, %v", version, err)
	}
	if config, err := n.runtime.RuntimeConfig(t.Context(), &runtimeapi.RuntimeConfigRequest{}); err != nil || config.GetLinux() == nil {
		t.Errorf("config %v, %v", config, err)
	}
	if _, err := n.runtime.CheckpointContainer(t.Context(), &runtimeapi.CheckpointContainerRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("checkpoint: %v", err)
	}
}

func TestContainersMayEndWithTheRuntime(t *testing.T) {
	n := startNode(t)
	c := n.pod("graceful").run("main", n.probe(), args("term"))
	c.logged("ready")
	n.stop()
	if lines := strings.Join(c.lines(), "\n"); !strings.Contains(lines, "got terminated") {
		t.Errorf("log: %s", lines)
	}
}
