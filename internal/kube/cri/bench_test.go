package cri_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// rollup reads a line of a process's memory summary, in kilobytes.
func rollup(t testing.TB, pid int, key string) int {
	t.Helper()
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == key+":" {
			size, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return size
		}
	}
	t.Fatalf("no %s in\n%s", key, raw)
	return 0
}

func (p *pod) firstProcess() int {
	p.Helper()
	answer, err := p.runtime.PodSandboxStatus(p.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: p.id, Verbose: true})
	if err != nil {
		p.Fatal(err)
	}
	var info struct{ PID int }
	if err := json.Unmarshal([]byte(answer.GetInfo()["info"]), &info); err != nil {
		p.Fatal(err)
	}
	return info.PID
}

// A pod costs next to nothing beside its containers.
func TestPodIsSmall(t *testing.T) {
	n := startNode(t)
	pid := n.pod("small").firstProcess()
	if size := rollup(t, pid, "Rss"); size > 128 {
		t.Errorf("the pod's first process has %d kB", size)
	}
}

func BenchmarkPod(b *testing.B) {
	n := startNode(b)
	for i := 0; b.Loop(); i++ {
		n.pod(fmt.Sprintf("pod-%d", i))
	}
	pid := n.pod("size").firstProcess()
	b.ReportMetric(float64(rollup(b, pid, "Rss")), "kB-RSS/pod")
	b.ReportMetric(float64(rollup(b, pid, "Pss")), "kB-PSS/pod")
}

func BenchmarkContainer(b *testing.B) {
	for name, user := range map[string]change{"root": args(), "plain": asUser(65532, 65532)} {
		b.Run(name, func(b *testing.B) {
			n := startNode(b)
			p, image := n.pod("bench"), n.probe()
			for i := 0; b.Loop(); i++ {
				p.run(fmt.Sprintf("c-%d", i), image, user, args("exit", "0"))
			}
		})
	}
}

func BenchmarkExec(b *testing.B) {
	for name, user := range map[string]change{"root": args(), "plain": asUser(65532, 65532)} {
		b.Run(name, func(b *testing.B) {
			n := startNode(b)
			c := n.pod("bench").run("main", n.probe(), user, args("sleep"))
			for b.Loop() {
				c.exec("probe", "exit", "0")
			}
		})
	}
}
