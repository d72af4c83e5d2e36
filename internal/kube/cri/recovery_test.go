package cri_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/m3o/platform/internal/kube/cri"
	"github.com/m3o/platform/internal/kube/tree"
)

// serveApart is a runtime in a process of its own, so that it can be killed
// with everything in it, as a node is.
func serveApart(root, socket string) int {
	if err := settle(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	server, err := cri.New(cri.Config{Root: root, Network: &loopbackOnly{attached: map[string]bool{}}, StreamingAddress: "127.0.0.1:0"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := server.Serve(context.Background(), listener); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// startApart starts such a runtime for a node without one.
func (n *node) startApart() *exec.Cmd {
	n.Helper()
	socket := filepath.Join(n.TempDir(), "cri.sock")
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{serverName, n.root, socket}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	if err := cmd.Start(); err != nil {
		n.Fatal(err)
	}
	n.connect(socket)
	n.eventually("the runtime answers", func() bool {
		_, err := n.runtime.Version(n.Context(), &runtimeapi.VersionRequest{})
		return err == nil
	})
	return cmd
}

func TestRuntimeKilledAndStartedAgain(t *testing.T) {
	n := &node{TB: t, root: filepath.Join(t.TempDir(), "root"), logs: t.TempDir(), network: &loopbackOnly{attached: map[string]bool{}}}
	t.Cleanup(func() {
		if err := tree.Remove(n.root); err != nil {
			t.Error(err)
		}
	})
	n.startRegistry()
	cmd := n.startApart()
	p := n.pod("survivor")
	image := n.pull(n.push("probe", v1.Config{Entrypoint: []string{"/bin/probe"}}, baseLayer(t)))
	running := p.run("running", image, args("sleep"), asUser(65532, 65532))
	ended := p.run("ended", image, args("exit", "3"))
	ended.wait()
	created, err := p.create("created", image, args("sleep"))
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()

	n.startRuntime()
	pods, err := n.runtime.ListPodSandbox(t.Context(), &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(pods.GetItems()) != 1 || pods.GetItems()[0].GetState() != runtimeapi.PodSandboxState_SANDBOX_NOTREADY || pods.GetItems()[0].GetId() != p.id {
		t.Fatalf("pods after the restart: %v", pods.GetItems())
	}
	if pods.GetItems()[0].GetAnnotations()["note"] != "kept" {
		t.Error("the pod's annotations are lost")
	}
	for c, code := range map[*ctr]int32{running: 137, ended: 3, created: 137} {
		c.node = n
		status := c.status()
		if status.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || status.GetExitCode() != code || status.GetFinishedAt() == 0 {
			t.Errorf("%s after the restart: %v", c.name, status)
		}
	}
	if list, err := n.images.ListImages(t.Context(), &runtimeapi.ListImagesRequest{}); err != nil || len(list.GetImages()) != 1 {
		t.Errorf("images after the restart: %v, %v", list, err)
	}
	n.removesWhatWas(p)
	again := n.pod("survivor").run("again", image, args("echo", "back"))
	if out := again.output(); !strings.Contains(out, "back") {
		t.Errorf("a new container on the old image printed %q", out)
	}
}

// removesWhatWas stops and removes a pod of the runtime before.
func (n *node) removesWhatWas(p *pod) {
	n.Helper()
	if _, err := n.runtime.StopPodSandbox(n.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: p.id}); err != nil {
		n.Fatal(err)
	}
	if !slices.Contains(n.network.detached, p.id) {
		n.Error("the address of the pod before was not given back")
	}
	if _, err := n.runtime.RemovePodSandbox(n.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.id}); err != nil {
		n.Fatal(err)
	}
	for _, dir := range []string{"sandboxes", "containers"} {
		entries, err := os.ReadDir(filepath.Join(n.root, dir))
		if err != nil || len(entries) != 0 {
			n.Errorf("%s is left with %v, %v", dir, entries, err)
		}
	}
}
