package cri_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestLongLinesAreCutIntoPieces(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("long"), n.probe()
	for name, length := range map[string]int{"under": 100, "exact": 16 << 10, "twice": 32 << 10, "over": 40000} {
		c := p.run(name, image, args("long", fmt.Sprint(length)))
		c.wait()
		var whole strings.Builder
		lines := c.lines()
		for i, line := range lines {
			tag := "stdout P "
			if i == len(lines)-1 {
				tag = "stdout F "
			}
			rest, ok := strings.CutPrefix(line, tag)
			if !ok || len(rest) > 16<<10 {
				t.Errorf("%s: piece %d of %d, %d long, begins with %.20q", name, i, len(lines), len(rest), line)
			}
			whole.WriteString(rest)
		}
		if whole.String() != strings.Repeat("x", length) {
			t.Errorf("%s: %d of %d bytes came through", name, whole.Len(), length)
		}
	}
	c := p.run("unfinished", image, args("partial"))
	if c.wait(); strings.Join(c.lines(), "|") != "stdout F no newline" {
		t.Errorf("unfinished line: %q", c.lines())
	}
}

func TestLogRotationLosesNothing(t *testing.T) {
	n := startNode(t)
	c := n.pod("rotates").run("main", n.probe(), args("tick"))
	c.logged("tick 3")
	old := c.logFile() + ".old"
	if err := os.Rename(c.logFile(), old); err != nil {
		t.Fatal(err)
	}
	if _, err := n.runtime.ReopenContainerLog(t.Context(), &runtimeapi.ReopenContainerLogRequest{ContainerId: c.id}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if _, err := n.runtime.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: c.id}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(c.logFile())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(before)+string(after), "\n"), "\n")
	for i, line := range lines {
		if !strings.HasSuffix(line, fmt.Sprintf("stdout F tick %d", i)) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	if len(after) == 0 {
		t.Error("the new file has nothing")
	}
	if _, err := n.runtime.ReopenContainerLog(t.Context(), &runtimeapi.ReopenContainerLogRequest{ContainerId: c.id}); err == nil {
		t.Error("the log of a container that ended was opened again")
	}
}

// A log that cannot be written must not stop the container.
func TestContainerSurvivesAFullDisk(t *testing.T) {
	n := startNode(t)
	p := n.pod("full")
	if err := os.MkdirAll(p.config.GetLogDirectory()+"/main", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", p.config.GetLogDirectory()+"/main/0.log"); err != nil {
		t.Fatal(err)
	}
	if got := p.run("main", n.probe(), args("long", "1000000")).wait(); got.GetExitCode() != 0 {
		t.Errorf("the container ended with %v", got)
	}
}
