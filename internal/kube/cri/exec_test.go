package cri_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestExecIsLikeTheContainer(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("exec"), n.probe()
	for name, try := range map[string]struct {
		user       change
		uid        int
		capability string
	}{
		"root":  {func(c *runtimeapi.ContainerConfig) { security(c).NoNewPrivs = true }, 0, "00000000a80425fb"},
		"plain": {func(c *runtimeapi.ContainerConfig) { asUser(65532, 7)(c); security(c).NoNewPrivs = true }, 65532, "0000000000000000"},
	} {
		c := p.run(name, image, try.user, args("sleep"), func(c *runtimeapi.ContainerConfig) {
			c.WorkingDir = "/tmp"
			c.Envs = []*runtimeapi.KeyValue{{Key: "MINE", Value: []byte("yes")}}
		})
		if out, _ := c.exec("probe", "id"); !strings.Contains(out, fmt.Sprintf("uid=%d ", try.uid)) || !strings.Contains(out, "cwd=/tmp") || !strings.Contains(out, "host=exec") {
			t.Errorf("%s: %s", name, out)
		}
		if out, _ := c.exec("probe", "env"); !strings.Contains(out, "MINE=yes\n") || !strings.Contains(out, "HOSTNAME=exec\n") {
			t.Errorf("%s: environment %s", name, out)
		}
		if out, _ := c.exec("probe", "status"); !strings.Contains(out, "CapEff:\t"+try.capability) || !strings.Contains(out, "CapBnd:\t00000000a80425fb") || !strings.Contains(out, "NoNewPrivs:\t1") || !strings.Contains(out, "Umask:\t0022") {
			t.Errorf("%s: %s", name, out)
		}
		if out, _ := c.exec("probe", "ps"); strings.Contains(out, "m3o-pod") || !strings.HasPrefix(out, "1 /bin/probe sleep") {
			t.Errorf("%s: processes\n%s", name, out)
		}
		if _, code := c.exec("probe", "exit", "42"); code != 42 {
			t.Errorf("%s: exit code %d", name, code)
		}
		if out, _ := c.exec("probe", "echo", "x"); out != "x\nto stderr\n" {
			t.Errorf("%s: %q", name, out)
		}
	}
}

func TestExecThatCannotBe(t *testing.T) {
	n := startNode(t)
	c := n.pod("exec").run("main", n.probe(), args("sleep"))
	call := func(timeout int64, command ...string) error {
		_, err := n.runtime.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: c.id, Cmd: command, Timeout: timeout})
		return err
	}
	for command, want := range map[string]string{
		"nothing":     `exec: "nothing": executable file not found in $PATH`,
		"/nothing":    `exec: "/nothing": no such file or directory`,
		"/etc/passwd": "exec",
		"":            "no command",
	} {
		if err := call(10, command); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("exec of %q: %v", command, err)
		}
	}
	begun := time.Now()
	if err := call(1, "probe", "sleep"); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a command that takes too long: %v", err)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("the timeout took %s", took)
	}
	if out, _ := c.exec("probe", "ps"); strings.Count(out, "sleep") != 1 {
		t.Errorf("the command outlives its timeout:\n%s", out)
	}
	if _, err := n.runtime.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: c.id}); err != nil {
		t.Fatal(err)
	}
	if err := call(1, "probe", "id"); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("exec in a container that ended: %v", err)
	}
}

// A command may leave something behind that holds its output.
func TestExecDoesNotWaitForOrphans(t *testing.T) {
	n := startNode(t)
	c := n.pod("exec").run("main", n.probe(), args("sleep"))
	begun := time.Now()
	if out, code := c.exec("probe", "orphan"); code != 0 || !strings.HasPrefix(out, "child ") {
		t.Errorf("%q, %d", out, code)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestExecOutputIsBounded(t *testing.T) {
	n := startNode(t)
	c := n.pod("exec").run("main", n.probe(), args("sleep"))
	if out, code := c.exec("probe", "long", "20000000"); code != 0 || len(out) != 7<<20 {
		t.Errorf("%d bytes, exit code %d", len(out), code)
	}
}

func TestExecAtTheSameTime(t *testing.T) {
	n := startNode(t)
	c := n.pod("exec").run("main", n.probe(), args("sleep"), asUser(65532, 65532))
	results := make(chan error, 20)
	for i := range cap(results) {
		go func() {
			answer, err := n.runtime.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: c.id, Cmd: []string{"probe", "exit", fmt.Sprint(i)}, Timeout: 60})
			if err == nil && answer.GetExitCode() != int32(i) {
				err = fmt.Errorf("exit code %d, not %d", answer.GetExitCode(), i)
			}
			results <- err
		}()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// While a command is being prepared, its process is that of the runtime's
// program inside the container: the container must not get at it.
func TestContainerCannotReachTheRuntimesProgram(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("thief"), n.probe()
	for name, user := range map[string]change{"root": args(), "plain": asUser(65532, 65532)} {
		c := p.run(name, image, user, args("steal"))
		c.logged("watching")
		for range 50 {
			c.exec("probe", "exit", "0")
		}
		if raw := strings.Join(c.lines(), "\n"); strings.Contains(raw, "stole") || !strings.Contains(raw, "saw") {
			t.Errorf("%s: %s", name, raw)
		}
	}
}
