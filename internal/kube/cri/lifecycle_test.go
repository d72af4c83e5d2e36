package cri_test

import (
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestContainerRunsAndEnds(t *testing.T) {
	n := startNode(t)
	p := n.pod("hello")
	c := p.run("main", n.probe(), args("echo", "hello", "world"))
	status := c.wait()
	if status.GetExitCode() != 0 || status.GetReason() != "Completed" {
		t.Errorf("exit code %d, reason %s", status.GetExitCode(), status.GetReason())
	}
	if status.GetFinishedAt() < status.GetStartedAt() || status.GetStartedAt() < status.GetCreatedAt() {
		t.Errorf("times out of order: %v", status)
	}
	lines := strings.Join(c.lines(), "\n")
	if !strings.Contains(lines, "stdout F hello world") || !strings.Contains(lines, "stderr F to stderr") {
		t.Errorf("log: %s", lines)
	}
	if status.GetImageId() == "" || !strings.Contains(status.GetImageRef(), "@sha256:") || status.GetImage().GetImage() != n.registry+"/test/probe:latest" {
		t.Errorf("image %v, ref %s, id %s", status.GetImage(), status.GetImageRef(), status.GetImageId())
	}
}

var _ = runtimeapi.RuntimeReady
